"""What goes on about mail in one process, whatever is done meanwhile and whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from storage import credentials
from storage.mailboxes import disconnect_mailbox
from storage.workspaces import operator_of
from sync.smtp_connections import SmtpConnections
from tests.mail.office import ADA, DEADLINE, FAST, Office, a_mail, office_on

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
async def office(database_uri: str, own_database: str) -> AsyncIterator[Office]:
    """One that does not look at a mailbox for as long as the server tells of nothing."""
    async with office_on(database_uri, own_database, replace(FAST, poll=600.0)) as office:
        assert (await office.connect())["userErrors"] == []
        yield office


async def test_who_asks_for_a_check_does_not_wait_for_news(office: Office) -> None:
    await office.until_check()
    for _ in range(2):
        assert (await office.check())["missing"] == 0


async def test_a_mailbox_that_was_not_disconnected_to_the_end_is_not_read_and_keeps_no_secret(office: Office) -> None:
    store, workspace = office.brand.store, office.brand.workspace
    await office.until_check()
    await disconnect_mailbox(store, operator_of(workspace), office.mailbox)
    office.deliver(a_mail().as_bytes())
    async with asyncio.timeout(DEADLINE):
        while ((await store.database.get("mail_states", office.mailbox)) or {})["active"]:
            await asyncio.sleep(0.02)
    assert await credentials.load(store, workspace, office.mailbox) is None


async def test_an_error_does_not_end_it(
    database_uri: str, own_database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def faulty(self: SmtpConnections) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(SmtpConnections, "close_idle", faulty)
    async with office_on(database_uri, own_database) as office:
        await office.until(lambda: "ZeroDivisionError" in caplog.text)
        await office.connect(access="SEND_ONLY")
        ada = await office.person("Ada", ADA)
        sent = await office.send(ada)
        await office.until_state(ada, sent["id"], "SENT")
        monkeypatch.undo()
    caplog.clear()
