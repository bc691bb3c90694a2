"""What tests share: one database server per process of tests, one database in it, and a workspace for each test."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from storage.embedded import embedded_engine
from storage.store import Store, open_store
from tests.databases import database_of_its_own
from tests.team import Team, create_team

TESTS = Path(__file__).parent
MOST_WORKERS = 12
MEMORY = Path("/dev/shm")  # where there is one, the database does not wait for a disk


class Scheduler(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each process one test after the other, and one process all tests of a file that makes something for them.

    pytest-xdist's marks of groups would do, but have no effect with pytest 9.2 (pytest-xdist, issue 1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if shares(file) else nodeid


@cache
def shares(file: str) -> bool:
    return 'scope="module"' in (TESTS.parent / file).read_text()


def pytest_xdist_auto_num_workers() -> int:
    """Three for each core, as many tests wait for something; but each has a database server of its own."""
    return min(3 * (os.cpu_count() or 1), MOST_WORKERS)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduler:
    return Scheduler(config, log)


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """What waits for long comes first, or it would be waited for alone."""
    items.sort(key=lambda item: item.path.parent != TESTS)


def pytest_collection_finish() -> None:
    """What is loaded by now stays, so nobody looks through it for garbage; and less often through what tests make."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session")
async def database_uri() -> AsyncIterator[str]:
    """The server that MONGODB_URI names, or an embedded one that lives as long as the tests of this process."""
    given = os.environ.get("MONGODB_URI")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="connect-inbox-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        async with embedded_engine(Path(folder)) as uri:
            yield uri


@pytest.fixture(scope="session")
async def database_name(database_uri: str) -> AsyncIterator[str]:
    async with database_of_its_own(database_uri, "test") as name:
        yield name


@pytest.fixture
async def own_database(database_uri: str) -> AsyncIterator[str]:
    """A database for one test, whose processes would otherwise look after the workspaces of all tests."""
    async with database_of_its_own(database_uri) as name:
        yield name


@pytest.fixture(scope="session")
async def store(database_uri: str, database_name: str) -> AsyncIterator[Store]:
    async with open_store(database_uri, database_name) as store:
        yield store


@pytest.fixture
async def workspace(store: Store) -> Team:
    """A new workspace with three members and a partner."""
    return await create_team(store)
