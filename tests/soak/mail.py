"""Mail while whoever reads and sends it is killed again and again: all of it is there once, and none is sent twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from random import Random
from typing import Any

from storage.outbox import DONE
from sync.mail_service import mail_service
from tests.mail.killed import Order, mail_process
from tests.mail.office import FAST, KEY, Office, a_mail, office_on, parsed
from tests.mail.test_replay import forget
from tests.soak.two_processes import all_changes

TIMES = replace(FAST, lease=0.6, filing=0.0)
PEOPLE = 12
REPLAYS = 3
SENDING = 4  # mails that wait for a process that is killed
LATEST = (12, 60, 200)  # writes that a process has done by then, at most: of a few mails, or of many
LONGEST = 4.0  # seconds that a process lives, if it does not come so far
DEADLINE = 300.0  # seconds for what is left to do in the end

Deliver = Callable[[], Coroutine[Any, Any, None]]


async def run(uri: str, database: str, mails: int, kills: int, sends: int, seed: int) -> str:
    """Raises AssertionError where a mail is lost, doubled, or sent twice."""
    random = Random(seed)
    async with office_on(uri, database, None) as office:
        assert (await office.connect())["userErrors"] == []
        order = Order(uri, database, KEY, office.mail, TIMES)
        threads = [await office.person(f"Person {number}", f"person{number}@people.test") for number in range(PEOPLE)]
        told = await read_all(office, order, threads, mails, kills, random)
        return f"{told}; {await send_all(office, order, threads, sends, random)}"


async def live(order: Order, random: Random, meanwhile: Deliver) -> str:
    """A process that lives for some time, and is killed; before which write, or nothing where that was not why."""
    async with mail_process(replace(order, dies_at=random.randint(1, random.choice(LATEST)))) as process:
        await meanwhile()
        try:
            async with asyncio.timeout(random.uniform(0, LONGEST)):
                return (await process.ended()).died_before
        except TimeoutError:
            return ""


async def read_all(office: Office, order: Order, threads: list[str], mails: int, kills: int, random: Random) -> str:
    """Mails come while the process that reads them is killed."""
    numbers, died = iter(range(mails)), Counter[str]()

    async def deliver(count: int) -> None:
        for _, number in zip(range(count), numbers, strict=False):
            raw = numbered(number, random)
            for _ in range(random.choice([1, 1, 1, 2])):  # some are in the mailbox twice
                office.deliver(raw)

    for _ in range(kills):
        died[await live(order, random, lambda: deliver(mails // kills))] += 1
    await deliver(mails)
    async with mail_service(office.brand.store, office.mail, TIMES):
        await until(lambda: is_all_read(office))
        found = await office.check()
    assert found["missing"] == 0, found
    counted = Counter([each["subject"] for each in await messages(office, threads)])
    assert counted == Counter(f"mail {number}" for number in range(mails)), counted.most_common(5)
    await replay(office, order, threads)
    survived = died.pop("", 0)
    return (
        f"{mails} mails read, killed {kills} times, {kills - survived} of them before one of {len(died)} writes; "
        f"replayed {REPLAYS} times by two processes"
    )


async def replay(office: Office, order: Order, threads: list[str]) -> None:
    """The whole mailbox is read anew, which changes nothing."""
    before = [each["_id"] for each in await messages(office, threads)]
    for _ in range(REPLAYS):
        await forget(office)
        async with mail_process(order), mail_process(order):
            await until(lambda: is_all_read(office))
        assert [each["_id"] for each in await messages(office, threads)] == before


def numbered(number: int, random: Random) -> bytes:
    mail = a_mail(f"person{number % PEOPLE}@people.test", subject=f"mail {number}", text=f"This is number {number}")
    if random.random() < 0.2:
        mail.add_attachment(random.randbytes(3000), maintype="application", subtype="octet-stream", filename="a.bin")
    return mail.as_bytes()


async def is_all_read(office: Office) -> bool:
    state = await office.brand.store.database.get("mail_states", office.mailbox)
    assert state is not None
    return bool(state["folders"]["INBOX"]["last_uid"] >= len(office.dovecot.files(office.account)))


async def until(condition: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not await condition():
            await asyncio.sleep(0.1)


async def messages(office: Office, threads: list[str]) -> list[dict[str, Any]]:
    found = await office.brand.store.database.find("messages", {"workspace": office.brand.workspace})
    assert {each["thread_id"] for each in found} <= set(threads)
    added = [each.message for each in await all_changes(office.brand.store, office.brand.workspace) if each.message]
    assert sorted(added) == sorted(each["_id"] for each in found), "told, and not there; or there, and not told"
    return found


async def send_all(office: Office, order: Order, threads: list[str], sends: int, random: Random) -> str:
    """Mails are sent while the process that does so is killed."""
    sent: list[str] = []
    kills = 0
    while len(sent) < sends:
        for _ in range(SENDING):
            sent.append((await office.send(random.choice(threads), f"send {len(sent)}"))["id"])
        await live(order, random, nothing)
        kills += 1
    async with mail_service(office.brand.store, office.mail, TIMES):
        await until(lambda: is_all_done(office, sent))
    ids = [str(parsed(each.raw)["Message-ID"]) for each in office.smtp.mails]
    given = Counter(each.partition("@")[0].lstrip("<") for each in ids)
    assert max(given.values()) == 1, given.most_common(3)
    found = await office.brand.store.database.get_many("messages", sent)
    states = Counter(each["delivery"]["state"] for each in found.values())
    assert set(states) <= {"SENT", "UNKNOWN"}, states
    lost = [id for id, each in found.items() if each["delivery"]["state"] == "SENT" and not given[id]]
    assert not lost, lost
    filed = Counter(str(parsed(each)["Message-ID"]) for each in office.dovecot.mails(office.account, "Sent"))
    assert max(filed.values()) == 1 and filed.total() == states["SENT"], (filed.total(), states)
    unsure = sum(given[id] for id, each in found.items() if each["delivery"]["state"] == "UNKNOWN")
    return f"{len(sent)} sent, killed {kills} times, {states['UNKNOWN']} unknown, of which {unsure} had been given"


async def nothing() -> None:
    pass


async def is_all_done(office: Office, sent: list[str]) -> bool:
    items = await office.brand.store.database.get_many("outbox", sent)
    return all(each["stage"] == DONE for each in items.values())
