"""Other processes on the same database, which work until they kill themselves.

Each is forked from a warm server, so that it is there at once. It dies of a real SIGKILL: nothing is flushed, closed
or awaited. That comes before its n-th call that others can see the effect of (a write, or a hint), so the n-th process
has done n - 1 of them; one that dies before it reads has done just as much as one that dies before its next write.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any

from schema.types.message import MessageDirection, MessageKind
from storage import database as database_module
from storage.counts import Counts
from storage.database import Database, connect
from storage.influencers import set_archived
from storage.log import Log
from storage.mail_in import take_in
from storage.messages import NewMessage
from storage.outbox import NewMail, send_mail
from storage.store import Store
from storage.wire import Wire
from tests.mailboxes import found_mail
from tests.storage.deeds import id_of, read, receive, send, sending_key, unread
from tests.team import Team

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.storage.killed"])


@dataclass(frozen=True)
class Order:
    """What a process is to do: an act, once undisturbed, and once more with death before the call `dies_at`."""

    uri: str
    database: str
    team: Team
    act: str
    thread: str
    message: str = ""
    campaign: str = ""
    mailbox: str = ""
    address: str = ""  # of whose thread it is
    key: str = ""
    dies_at: int = 10**9


@dataclass
class Life:
    """What became of a process: what it was answered, and before which call it died."""

    answered: list[str] = field(default_factory=list)
    died_before: str = ""


class Fate:
    """Counts what others can see, and kills its process before a certain one."""

    def __init__(self, reports: Connection) -> None:
        self.reports = reports
        self.left = 10**9
        self.one_by_one = asyncio.Lock()  # so that a process dies with exactly that much written

    def call(self, name: str) -> None:
        self.left -= 1
        if self.left == 0:
            self.reports.send(("died", name))
            os.kill(os.getpid(), signal.SIGKILL)


def mortal(fate: Fate) -> type[Database]:
    """A database each of whose writes may be the last."""

    def dangerous(name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(Database, name)

        async def call(self: Database, collection: str, *arguments: Any, **how: Any) -> Any:
            async with fate.one_by_one:
                fate.call(f"{name} {collection}")
                return await method(self, collection, *arguments, **how)

        return call

    names = ["insert", "set", "raise_to", "put_guarded", "delete"]
    return type("Mortal", (Database,), {name: dangerous(name) for name in names})


Act = Callable[[Store, Order, str], Awaitable[object]]


async def several(store: Store, order: Order, key: str) -> None:
    """Several at once, which are committed together."""
    sends = [send(store, order.team.member, order.thread, f"{key}.{n}", f"{key}.{n}") for n in range(3)]
    await asyncio.gather(*sends, receive(store, order.team, order.thread, f"{key}.3", f"{key}.3"))


async def many(store: Store, order: Order, key: str) -> list[str]:
    """Twenty writers, who say what they have written."""
    written = [f"{key}.{number}" for number in range(100)]

    async def write(own: list[str]) -> None:
        for text in own:
            await send(store, order.team.member, order.thread, text)

    await asyncio.gather(*[write(written[number::20]) for number in range(20)])
    return written


async def mail(store: Store, order: Order, key: str) -> None:
    """A member writes an e-mail."""
    new = NewMessage(
        order.thread, MessageDirection.OUTBOUND, MessageKind.CAMPAIGN if order.campaign else MessageKind.DIRECT, key,
        subject="Hello", campaign_id=order.campaign or None,
    )  # fmt: skip
    await send_mail(store, order.team.member, NewMail(new, order.mailbox, []), sending_key(order.team.member, key, new))


async def take(store: Store, order: Order, key: str) -> None:
    """An influencer's e-mail is found, which answers one."""
    sent = await store.database.find("messages", {"thread_id": order.thread, "direction": "OUTBOUND"})
    references = [each["mail_id"] for each in sent if each["mail_id"]]
    found = found_mail(order.mailbox, order.address, ["team@brand.example"], key, references=references)
    await take_in(store, order.team.operator, found)


ACTS: dict[str, Act] = {
    "mail": mail,
    "take": take,
    "receive": lambda store, order, key: receive(
        store, order.team, order.thread, key, key, campaign=order.campaign or None
    ),
    "send": lambda store, order, key: send(
        store, order.team.member, order.thread, key, key, campaign=order.campaign or None
    ),
    "several": several,
    "read": lambda store, order, key: read(store, order.team.admin, order.thread, order.message),
    "unread": lambda store, order, key: unread(store, order.team.admin, order.message),
    "archive": lambda store, order, key: set_archived(store, order.team.member, [id_of(order.thread)], True),
    "refresh": lambda store, order, key: store.log.refresh(order.team.id),
    "many": many,
}


WRITING = {"receive", "send", "several", "mail", "take"}


def live(order: Order, reports: Connection) -> None:
    asyncio.run(work(order, reports))


async def work(order: Order, reports: Connection) -> None:
    fate = Fate(reports)
    database_module.Database = mortal(fate)  # type: ignore[misc]  # this process has no other use for it

    def announce(workspace: str, position: int) -> None:
        fate.call("announce")

    async with connect(order.uri, order.database) as database:
        store = Store(database, Log(database, announce), Wire("memory://"), Counts(database))
        act = ACTS[order.act]
        if order.act == "many":
            reports.send(("answered", await many(store, order, order.key)))
            return
        if order.act in WRITING:
            await act(store, replace(order, campaign=""), f"{order.key}:before")
            reports.send(("answered", [f"{order.key}:before"]))
        reports.send(("begun", ""))
        fate.left = order.dies_at
        await act(store, order, order.key)
        reports.send(("answered", [order.key]))
        os.kill(os.getpid(), signal.SIGKILL)


async def run(order: Order, meanwhile: Callable[[], Awaitable[object]] | None = None) -> Life:
    """Starts a process and waits for its end. `meanwhile` is done as soon as the process begins to be in danger."""
    loop, begun = asyncio.get_running_loop(), asyncio.Event()
    reading, writing = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=live, args=(order, writing))
    process.start()
    writing.close()
    listening = asyncio.create_task(asyncio.to_thread(listen, reading, lambda: loop.call_soon_threadsafe(begun.set)))
    if meanwhile is not None:
        await begun.wait()
        await meanwhile()
    life = await listening
    await asyncio.to_thread(process.join)
    assert process.exitcode == (0 if order.act == "many" else -signal.SIGKILL)
    process.close()
    return life


def listen(reports: Connection, begun: Callable[[], object]) -> Life:
    life = Life()
    with reports:
        while True:
            try:
                kind, what = reports.recv()
            except EOFError:
                begun()  # or never: nobody must wait for it any more
                return life
            if kind == "begun":
                begun()
            elif kind == "died":
                life.died_before = what
            else:
                life.answered += what
