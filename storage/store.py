"""The store: the database, the log and the wire, opened and closed together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from storage import formats, indexes
from storage.counts import Counts
from storage.database import Database, connect
from storage.keys import KeyRing
from storage.log import Log
from storage.wire import Wire, open_wire

LAST_CHANCE = 1.0  # seconds at the end, for changes that are under way


@dataclass(frozen=True)
class Store:
    """Everything that is remembered. Functions in this folder take it as their first argument."""

    database: Database
    log: Log
    wire: Wire
    counts: Counts
    keys: KeyRing = field(default_factory=KeyRing.random)
    address: str = ""  # at which clients reach the server; without one, addresses are paths


@asynccontextmanager
async def open_store(
    uri: str,
    database_name: str = "connect_inbox",
    wire_url: str = "memory://",
    keys: KeyRing | None = None,
    address: str = "",
) -> AsyncIterator[Store]:
    """Connects, brings stored formats and indexes up to date, and listens to the other processes.

    Without `keys` nothing that it seals or signs can be opened or verified by another store.
    Raises `formats.UnknownFormat` for a database that a later version has written.
    """
    async with connect(uri, database_name) as database, open_wire(wire_url) as wire:
        await formats.upgrade(database)
        await indexes.create(database)
        log = Log(database, wire.tell)
        async with wire.listening(log):
            try:
                yield Store(database, log, wire, Counts(database), keys or KeyRing.random(), address)
            finally:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LAST_CHANCE):
                        await log.finish()  # cut off, they are as after a kill: what was inserted others will apply
