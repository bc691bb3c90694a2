"""Other processes that read and send mail, until they kill themselves or are killed: by a real SIGKILL.

They die as those of tests/storage/killed.py do, before their n-th write; or whenever we like.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

from storage import database as database_module
from storage.keys import Key, KeyRing
from storage.store import open_store
from sync.mail_access import MailAccess
from sync.mail_service import mail_service
from sync.mail_times import MailTimes
from tests.storage.killed import PROCESSES, Fate, Life, listen, mortal

PROCESSES.set_forkserver_preload(["tests.storage.killed", "tests.mail.killed"])


@dataclass(frozen=True)
class Order:
    """Where a process works, how, and before which of its writes it dies: of all, or of those to something."""

    uri: str
    database: str
    key: Key
    mail: MailAccess
    times: MailTimes
    dies_at: int = 10**9
    writes_to: str = ""


class Chosen(Fate):
    """Counts only what is written to something."""

    def __init__(self, reports: Connection, writes_to: str) -> None:
        super().__init__(reports)
        self.writes_to = writes_to

    def call(self, name: str) -> None:
        if self.writes_to in name:
            super().call(name)


def live(order: Order, reports: Connection) -> None:
    asyncio.run(work(order, reports))


async def work(order: Order, reports: Connection) -> None:
    fate = Chosen(reports, order.writes_to)
    database_module.Database = mortal(fate)  # type: ignore[misc]  # this process has no other use for it
    async with open_store(order.uri, order.database, keys=KeyRing([order.key])) as store:
        fate.left = order.dies_at
        async with mail_service(store, order.mail, order.times):
            reports.send(("begun", ""))
            await asyncio.Event().wait()


class MailProcess:
    """A process that works."""

    def __init__(self, order: Order) -> None:
        reading, writing = PROCESSES.Pipe(duplex=False)
        self.begun = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._process = PROCESSES.Process(target=live, args=(order, writing))
        self._process.start()
        writing.close()
        begun = self.begun.set
        self._life = asyncio.create_task(asyncio.to_thread(listen, reading, lambda: loop.call_soon_threadsafe(begun)))

    @property
    def is_dead(self) -> bool:
        return self._life.done()

    def kill(self) -> None:
        self._process.kill()

    async def ended(self) -> Life:
        """What became of it, once it is dead."""
        life = await asyncio.shield(self._life)
        await asyncio.to_thread(self._process.join)
        return life


@asynccontextmanager
async def mail_process(order: Order) -> AsyncIterator[MailProcess]:
    """A process that works, and has ended when the context has."""
    process = MailProcess(order)
    try:
        await process.begun.wait()
        yield process
    finally:
        process.kill()
        await process.ended()
