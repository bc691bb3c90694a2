"""Those whom a server refuses before a mail is given to it for others: what becomes of the others is not theirs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import pytest

from storage.outbox import DONE
from sync.mail_service import mail_service
from sync.mail_times import MailTimes
from sync.smtp import RecipientOutcome, SmtpConnection
from tests.client import Json
from tests.mail.office import ADA, BOB, DEADLINE, FAST, House, Office
from tests.smtp_receiver import Act, Received, Script

pytestmark = pytest.mark.usefixtures("quiet")

ENDED = replace(FAST, finish=0.0)  # as one that is killed is
NOBODY, LATER = "550 5.1.1 Nobody here", "451 4.7.1 Come back later"


@pytest.fixture
async def idle(house: House) -> AsyncIterator[Office]:
    """An office with a mailbox, which has no service of its own."""
    async with house.office(None) as office:
        assert (await office.connect())["userErrors"] == []
        yield office


async def begun(office: Office, thread: str, answer: str) -> str:
    """A mail that the server has for Ada and refused for Bob; who gave it to the server was ended before its answer."""
    office.smtp.scripts = {BOB: Script("RCPT", answer), ADA: Script("ANSWER", Act.SILENCE)}
    sent: Json = await office.send(thread, cc=[BOB])
    async with service(office, ENDED):
        await office.smtp.received()
    del office.smtp.scripts[ADA]
    await office.brand.store.database.set("outbox", sent["id"], {"lease_until": 0, "due": 0})
    return str(sent["id"])


def service(office: Office, times: MailTimes = FAST) -> AbstractAsyncContextManager[None]:
    return mail_service(office.brand.store, office.mail, times)


async def until_done(office: Office, message: str) -> None:
    """Nobody looks at it any more."""
    async with asyncio.timeout(DEADLINE):
        while (await office.brand.store.database.get("outbox", message) or {})["stage"] != DONE:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(("answer", "state"), [(NOBODY, "FAILED"), (LATER, "SENT")])
async def test_a_mail_that_is_found_before_its_server_has_answered_is_not_theirs(
    office: Office, answer: str, state: str
) -> None:
    """Providers put a mail into the Sent folder when they like."""
    ada = await office.person("Ada", ADA)
    office.smtp.scripts[BOB] = Script("RCPT", answer, times=1)
    answers = asyncio.Event()

    async def file(mail: Received) -> None:
        if mail.recipients == [ADA]:
            office.deliver(mail.raw, "Sent")
            await answers.wait()

    office.smtp.on_mail = file
    sent = await office.send(ada, cc=[BOB])
    said = await office.until_deliveries(ada, sent["id"], ada="SENT", bob="QUEUED" if answer == LATER else "FAILED")
    assert said == {"ada": "found in the mailbox", "bob": answer}
    answers.set()
    await office.until_deliveries(ada, sent["id"], ada="SENT", bob=state)
    await until_done(office, sent["id"])
    assert [each.recipients for each in office.smtp.mails] == ([[ADA], [BOB]] if state == "SENT" else [[ADA]])


@pytest.mark.parametrize(("answer", "state"), [(NOBODY, "FAILED"), (LATER, "SENT")])
@pytest.mark.parametrize("is_found", [True, False])
async def test_who_sends_is_ended_before_the_server_has_answered(
    idle: Office, answer: str, state: str, is_found: bool
) -> None:
    """Who may get it later gets it later, and nobody twice."""
    ada = await idle.person("Ada", ADA)
    sent = await begun(idle, ada, answer)
    [mail] = idle.smtp.mails
    if is_found:
        idle.deliver(mail.raw, "Sent")
    async with service(idle):
        adas = "SENT" if is_found else "UNKNOWN"
        await idle.until_deliveries(ada, sent, ada=adas, bob="QUEUED" if answer == LATER else "FAILED")
        idle.smtp.scripts.clear()
        await idle.until_deliveries(ada, sent, ada=adas, bob=state)
        await until_done(idle, sent)
    assert [each.recipients for each in idle.smtp.mails] == ([[ADA], [BOB]] if state == "SENT" else [[ADA]])


async def test_a_fault_of_ours_while_it_is_given_keeps_nobody_waiting(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who was to get it later still does."""
    send = SmtpConnection.send

    async def faulty(self: SmtpConnection, *given: Any) -> list[RecipientOutcome]:
        outcomes = await send(self, *given)
        if len(office.smtp.mails) == 1:
            raise ZeroDivisionError
        return outcomes

    monkeypatch.setattr(SmtpConnection, "send", faulty)
    ada = await office.person("Ada", ADA)
    office.smtp.scripts[BOB] = Script("RCPT", LATER, times=1)
    sent = await office.send(ada, cc=[BOB])
    await office.until_deliveries(ada, sent["id"], ada="UNKNOWN", bob="SENT")
    assert "ZeroDivisionError" in caplog.text
    assert [each.recipients for each in office.smtp.mails] == [[ADA], [BOB]]
    caplog.clear()
