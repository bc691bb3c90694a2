"""What goes on about mail in one process, whatever is done meanwhile and whatever fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from storage import credentials
from storage.mailboxes import disconnect_mailbox
from storage.workspaces import operator_of
from sync import mailbox_folder
from sync.imap import FetchedHeader, Folders, ImapConnection
from sync.mail_service import MOST_SENDING, mail_service
from sync.mail_taking import take_all
from sync.mailbox_folder import LARGE, MOST_LARGE, MOST_OF_WORKSPACE, room_for
from sync.smtp_connections import SmtpConnections
from tests.client import until
from tests.mail.office import ADA, BOB, BRAND, DEADLINE, FAST, PASSWORD, Office, a_mail, office_on
from tests.smtp_receiver import Act, Received, Script

pytestmark = pytest.mark.usefixtures("quiet")

SECOND = "second@brand.test"


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


async def test_mail_is_held_as_far_as_there_is_room(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their server says of their sizes."""
    for name, value in {"AT_ONCE": 50_000, "LARGE": 25_000}.items():
        monkeypatch.setattr(mailbox_folder, name, value)
    taken: list[list[int]] = []
    headers = ImapConnection.headers

    async def as_small(self: ImapConnection, uids: list[int]) -> list[FetchedHeader]:
        return [replace(each, size=1 if b"liar" in each.header else each.size) for each in await headers(self, uids)]

    async def noted(*given: Any) -> dict[int, str]:
        taken.append([len(each.raw or b"") for each in given[-1]])
        return await take_all(*given)

    monkeypatch.setattr(ImapConnection, "headers", as_small)
    monkeypatch.setattr(mailbox_folder, "take_all", noted)
    ada = await office.person("Ada", ADA)
    for subject, size in [
        ("small", 1),
        ("small", 20_000),
        ("liar", 40_000),
        ("liar", 40_000),
        ("large", 90_000),
        ("small", 2),
    ]:
        office.deliver(a_mail(subject=subject, text="twenty characters..\n" * (size // 20 + 1)).as_bytes())
    await office.until_messages(ada, 6)
    assert all(len(each) == 1 or sum(each[:-1]) <= 50_000 for each in taken)
    assert [len(each) for each in taken if max(each, default=0) > 80_000] == [1], "a large one is not held alone"


async def test_large_mails_of_one_workspace_leave_room_for_those_of_others() -> None:
    """Whose servers may take as long for each as they like."""
    room, own_rooms = asyncio.Semaphore(MOST_LARGE), [asyncio.Semaphore(MOST_OF_WORKSPACE) for _ in range(2)]
    inside: list[int] = []

    async def hold(workspace: int) -> None:
        async with room_for(LARGE + 1, own_rooms[workspace], room):
            inside.append(workspace)
            await asyncio.Event().wait()

    holding = [asyncio.create_task(hold(workspace)) for workspace in [0] * MOST_LARGE + [1]]
    await until(lambda: 1 in inside)
    assert inside.count(0) == MOST_OF_WORKSPACE < MOST_LARGE
    async with room_for(LARGE, own_rooms[0], room):
        pass  # others wait for nothing
    for each in holding:
        each.cancel()
    await asyncio.gather(*holding, return_exceptions=True)


async def test_mail_in_a_folder_that_is_made_later_is_no_history(
    database_uri: str, own_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first mail that the brand writes in another program, which makes the folder for it."""
    folders, is_made = ImapConnection.folders, False

    async def without_sent(self: ImapConnection, sent: str | None = None) -> Folders:
        found = await folders(self, sent)
        return found if is_made else replace(found, sent=None)

    monkeypatch.setattr(ImapConnection, "folders", without_sent)
    async with office_on(database_uri, own_database) as office:
        office.deliver(a_mail(BRAND, ADA, text="history").as_bytes(), "Sent")
        before = time.time()
        await until(lambda: time.time() > before + 1)  # as servers tell whole seconds
        await office.connect()
        ada = await office.person("Ada", ADA)
        await office.until_check()
        office.deliver(a_mail(BRAND, ADA, text="the first").as_bytes(), "Sent")
        is_made = True
        assert [each["text"] for each in await office.until_messages(ada, 1)] == ["the first"]


async def test_nobodys_mail_waits_for_all_that_somebody_else_has_written(database_uri: str, own_database: str) -> None:
    async with office_on(database_uri, own_database, None) as office:
        await office.connect(access="SEND_ONLY")
        ada = await office.person("Ada", ADA)
        many = [await office.send(ada, f"number {number}") for number in range(MOST_SENDING + 2)]
        office.smtp.users[SECOND] = PASSWORD
        assert (await office.connect(SECOND, access="SEND_ONLY"))["userErrors"] == []
        sent = await office.send(ada, "from the second one", mailboxId=office.mailbox)
        answers = asyncio.Event()

        async def wait(mail: Received) -> None:
            if b"from the second one" not in mail.raw:
                await answers.wait()

        office.smtp.on_mail = wait
        async with mail_service(office.brand.store, office.mail, FAST):
            await office.until_state(ada, sent["id"], "SENT")
            answers.set()
            for each in many:
                await office.until_state(ada, each["id"], "SENT")
        assert len(office.smtp.mails) == len(many) + 1


@pytest.mark.parametrize(("answer", "state"), [("550 5.1.1 Nobody here", "FAILED"), ("451 4.3.0 Not now", "SENT")])
async def test_who_was_refused_is_none_of_those_of_whom_nobody_knows(
    database_uri: str, own_database: str, answer: str, state: str
) -> None:
    async with office_on(database_uri, own_database) as office:
        await office.connect(access="SEND_ONLY")
        ada = await office.person("Ada", ADA)
        office.smtp.scripts[BOB] = Script("RCPT", answer, times=1)
        office.smtp.scripts[ADA] = Script("ANSWER", Act.DROP, times=1)
        sent = await office.send(ada, cc=[BOB])
        await office.until_deliveries(ada, sent["id"], ada="UNKNOWN", bob=state)
        assert [each.recipients for each in office.smtp.mails] == [[ADA], [BOB]][: 1 + (state == "SENT")]


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
