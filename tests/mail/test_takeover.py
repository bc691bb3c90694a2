"""Several processes share the mailboxes: each is read by one of them, and by another soon after that one is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from storage.database import ConnectionLost
from storage.keys import KeyRing
from storage.store import Store, open_store
from sync.lease import LeaseLost, kept
from sync.mail_counters import MailCounters
from sync.mail_service import mail_service
from sync.mail_times import MailTimes
from tests.mail.killed import Order, mail_process
from tests.mail.office import ADA, DEADLINE, FAST, KEY, Office, a_mail, office_on

pytestmark = pytest.mark.usefixtures("quiet")

TIMES = replace(FAST, lease=1.0)
FAR = 2**52  # milliseconds since 1970
LEASE = 4.0  # seconds; a quarter of it is what a busy machine may take


@pytest.fixture
async def office(database_uri: str, own_database: str) -> AsyncIterator[Office]:
    async with office_on(database_uri, own_database, None) as office:
        assert (await office.connect())["userErrors"] == []
        yield office


@pytest.fixture
async def other(database_uri: str, own_database: str) -> AsyncIterator[Store]:
    """What another process has of the same database."""
    async with open_store(database_uri, own_database, keys=KeyRing([KEY])) as store:
        yield store


async def until_read(office: Office) -> str:
    """Who reads the mailbox, once somebody does."""
    async with asyncio.timeout(DEADLINE):
        while True:
            state = await office.brand.store.database.get("mail_states", office.mailbox)
            if state is not None and state["lease"]:
                return str(state["lease"])
            await asyncio.sleep(0.02)


async def test_one_of_two_reads_a_mailbox_and_hands_it_over_when_it_ends(office: Office, other: Store) -> None:
    ada = await office.person("Ada", ADA)
    first, second = MailCounters(), MailCounters()
    async with mail_service(other, office.mail, TIMES, second):
        async with mail_service(office.brand.store, office.mail, TIMES, first):
            for number in range(3):
                office.deliver(a_mail(text=f"number {number}").as_bytes())
                await office.until_messages(ada, number + 1)
                assert first.reading + second.reading == 1
            assert first.found.total() + second.found.total() == 3
        assert first.reading == 0
        office.deliver(a_mail(text="last").as_bytes())
        await office.until_messages(ada, 4)
        assert second.reading == 1


async def test_another_takes_over_from_one_that_is_killed(office: Office, database_uri: str, own_database: str) -> None:
    ada, counters = await office.person("Ada", ADA), MailCounters()
    async with mail_process(Order(database_uri, own_database, KEY, office.mail, TIMES)) as process:
        await until_read(office)
        async with mail_service(office.brand.store, office.mail, TIMES, counters):
            office.deliver(a_mail(text="before").as_bytes())
            await office.until_messages(ada, 1)
            assert counters.reading == 0
            process.kill()
            office.deliver(a_mail(text="after").as_bytes())
            started = time.monotonic()
            await office.until_messages(ada, 2)
            assert time.monotonic() - started < TIMES.lease + 10
            assert counters.reading == 1


def test_that_is_within_half_a_minute() -> None:
    times = MailTimes()
    assert times.lease + 2 * times.look < 25


async def test_who_has_lost_a_mailbox_stops_to_read_it(office: Office) -> None:
    ada, counters = await office.person("Ada", ADA), MailCounters()
    database = office.brand.store.database
    async with mail_service(office.brand.store, office.mail, TIMES, counters):
        await until_read(office)
        await database.set("mail_states", office.mailbox, {"lease": "somebody else", "lease_until": FAR})
        await office.until(lambda: counters.reading == 0)
        office.deliver(a_mail(text="for somebody else").as_bytes())
        state = await database.get("mail_states", office.mailbox)
        assert state is not None and (state["lease"], state["lease_until"]) == ("somebody else", FAR)
        assert await office.messages(ada) == []
        await database.set("mail_states", office.mailbox, {"lease_until": 0})
        await office.until_messages(ada, 1)


async def test_nobody_reads_a_mailbox_that_is_disconnected(office: Office) -> None:
    counters = MailCounters()
    async with mail_service(office.brand.store, office.mail, TIMES, counters):
        await office.until(lambda: counters.reading == 1)
        await office.brand.member.mutate("disconnectMailbox", "position", mailboxId=office.mailbox)
        await office.until(lambda: counters.reading == 0)


# The lease itself


async def failing(_: int) -> bool:
    raise ConnectionLost("the database is away")


async def hanging(_: int) -> bool:
    await asyncio.Event().wait()
    return True


async def lost(_: int) -> bool:
    return False


@pytest.mark.parametrize("keep", [failing, hanging, lost])
async def test_work_is_cut_off_before_its_lease_may_be_anothers(keep: Callable[[int], Awaitable[bool]]) -> None:
    started = time.monotonic()
    with pytest.raises(LeaseLost):
        async with kept(keep, LEASE):
            await asyncio.Event().wait()
    assert time.monotonic() - started < LEASE


async def test_a_database_that_is_away_for_a_moment_cuts_nothing_off() -> None:
    is_away, done = iter([True, False, True, False]), asyncio.Event()

    async def keep(_: int) -> bool:
        away = next(is_away, None)
        if away:
            raise ConnectionLost("the database is away")
        if away is None:
            done.set()
        return True

    async with kept(keep, 0.4):
        await done.wait()


async def test_who_cancels_work_is_not_told_that_its_lease_was_lost() -> None:
    async def keep(_: int) -> bool:
        return True

    async def work() -> None:
        async with kept(keep, 10):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
