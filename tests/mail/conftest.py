"""What tests of mail share: a house, in which each of them has an office of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.api.conftest import quiet
from tests.databases import database_of_its_own
from tests.mail.office import House, Office, house_on

__all__ = ["quiet"]  # a fixture that tests of mail ask for too


@pytest.fixture(scope="session")
async def house(database_uri: str) -> AsyncIterator[House]:
    async with database_of_its_own(database_uri, "house") as name, house_on(database_uri, name) as house:
        yield house


@pytest.fixture
async def office(house: House) -> AsyncIterator[Office]:
    """One with a mailbox that is read and sent from."""
    async with house.office() as office:
        assert (await office.connect())["userErrors"] == []
        yield office
