"""Who sends is killed anywhere: each mail is given to a server once at most, and one that may have been says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from storage.indexes import ENTRIES
from storage.outbox import DONE
from sync.mail_service import mail_service
from tests.client import Json
from tests.mail.killed import MailProcess, Order, mail_process
from tests.mail.office import ADA, BRAND, DEADLINE, FAST, KEY, Office, a_mail, office_on, parsed
from tests.smtp_receiver import Act, Script, Step

pytestmark = pytest.mark.usefixtures("quiet")

TIMES = replace(FAST, lease=30.0, filing=0.0)
MOST_WRITES = 60  # more than it takes to send a mail


@pytest.fixture
async def office(database_uri: str, own_database: str) -> AsyncIterator[Office]:
    async with office_on(database_uri, own_database, None) as office:
        yield office


@pytest.fixture
def order(office: Office, database_uri: str, own_database: str) -> Order:
    return Order(database_uri, own_database, KEY, office.mail, TIMES)


async def until_over(office: Office, process: MailProcess, message: str) -> bool:
    """Waits until a process has died, which is True, or has nothing left to do for a mail."""
    database = office.brand.store.database
    async with asyncio.timeout(DEADLINE):
        while not process.is_dead:
            item = await database.get("outbox", message)
            state = await office.brand.store.log.state(office.brand.workspace)
            filter = {"workspace": office.brand.workspace, "last": {"$gt": state["applied"]}}
            if item is not None and item["stage"] == DONE and not await database.find("entries", filter, hint=ENTRIES):
                return False
            await asyncio.sleep(0.02)
    return True


async def expire(office: Office, message: str) -> None:
    """As if a process that was killed had been dead for as long as what it held is left to it."""
    database = office.brand.store.database
    await database.set("outbox", message, {"lease_until": 0, "due": 0})
    await database.set("mail_states", office.mailbox, {"lease_until": 0})


async def outcome(office: Office, thread: str, message: str) -> str:
    """What is said of a mail once others have done what is left to do."""
    async with mail_service(office.brand.store, office.mail, TIMES):
        found = await office.until_message(thread, message, is_settled)
    return str(found["delivery"]["state"])


def is_settled(message: Json) -> bool:
    return message["delivery"]["state"] not in ("QUEUED", "SENDING")


def given(office: Office, message: str) -> int:
    """How often the server got it."""
    return sum(message in str(parsed(mail.raw)["Message-ID"]) for mail in office.smtp.mails)


async def test_killed_before_each_of_its_writes(office: Office, order: Order) -> None:
    """Between any two of them: claimed, begun, given, settled."""
    await office.connect(access="SEND_ONLY")
    ada = await office.person("Ada", ADA)
    died: dict[str, set[tuple[str, int]]] = {}
    for write in range(1, MOST_WRITES):
        sent = (await office.send(ada, f"killed before write {write}"))["id"]
        async with mail_process(replace(order, dies_at=write)) as process:
            if not await until_over(office, process, sent):
                break
            life = await process.ended()
        await expire(office, sent)
        state = await outcome(office, ada, sent)
        died.setdefault(life.died_before, set()).add((state, given(office, sent)))
    assert died["set outbox"] == {("SENT", 1)}, "claimed"
    assert died["insert entries"] == {("SENT", 1), ("UNKNOWN", 1)}, "not begun yet; given, and not settled yet"
    assert set().union(*died.values()) == {("SENT", 1), ("UNKNOWN", 0), ("UNKNOWN", 1)}, died
    assert write < MOST_WRITES - 1


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "CONTENT", "ANSWER"])
async def test_killed_while_it_waits_for_the_server(office: Office, order: Order, step: Step) -> None:
    await office.connect(access="SEND_ONLY")
    ada = await office.person("Ada", ADA)
    office.smtp.scripts[BRAND if step == "MAIL" else ADA] = Script(step, Act.SILENCE, times=1)
    sent = (await office.send(ada))["id"]
    async with mail_process(order) as process:
        if step == "ANSWER":
            await office.smtp.received()
        else:
            command = "DATA" if step == "CONTENT" else step
            await office.until(lambda: any(each.startswith(command) for each in office.smtp.commands))
        process.kill()
        await process.ended()
    await expire(office, sent)
    state = await outcome(office, ada, sent)
    assert state == ("SENT" if step in ("MAIL", "RCPT") else "UNKNOWN")
    assert given(office, sent) == (step in ("MAIL", "RCPT", "ANSWER"))


async def test_killed_once_it_has_filed_a_mail(office: Office, order: Order) -> None:
    """It is filed, and not noted yet. Who looks next finds it there."""
    await office.connect()
    ada = await office.person("Ada", ADA)
    sent = (await office.send(ada))["id"]
    filing = replace(order, writes_to="set outbox", dies_at=3)  # claim, claim, note
    async with mail_process(filing) as process:
        assert await until_over(office, process, sent)
    assert len(office.dovecot.mails(office.account, "Sent")) == 1
    await expire(office, sent)
    async with mail_service(office.brand.store, office.mail, TIMES), asyncio.timeout(DEADLINE):
        while (await office.brand.store.database.get("outbox", sent) or {})["stage"] != DONE:
            await asyncio.sleep(0.02)
        office.deliver(a_mail(text="after it").as_bytes())
        await office.until_messages(ada, 2)
    assert len(office.dovecot.mails(office.account, "Sent")) == 1


async def test_a_mail_found_among_sent_ones_before_anybody_missed_its_sender(office: Office, order: Order) -> None:
    """A provider files it at once: it is known to be sent as soon as that is read, whoever reads it when."""
    await office.connect()
    ada = await office.person("Ada", ADA)
    office.smtp.scripts[ADA] = Script("ANSWER", Act.SILENCE, times=1)
    sent = (await office.send(ada))["id"]
    async with mail_process(replace(order, times=replace(TIMES, lease=3600.0))) as process:
        await office.smtp.received()
        process.kill()
        await process.ended()
    await office.brand.store.database.set("mail_states", office.mailbox, {"lease_until": 0})
    office.deliver(office.smtp.mails[0].raw, "Sent")
    assert await outcome(office, ada, sent) == "SENT"
    assert given(office, sent) == 1
