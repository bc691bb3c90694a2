"""The wire between processes. It carries hints only (how far workspaces' logs reach), on one channel that each process
subscribes to once; what they are about is always read from the log. A lost hint delays, it never loses.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice

from broadcaster import Broadcast

from storage.hints import GAP, Hearing
from storage.log import Log
from storage.redis_wire import PAUSE, RedisBackend, end

CHANNEL = "connect-inbox"
AT_ONCE = 1000  # hints in one message
LAST_CHANCE = 1.0  # seconds at the end, for what is not sent yet


class Wire:
    """Tells other processes how far logs reach, and listens to them.

    A dead wire costs nobody any time, and one number for each workspace that changed meanwhile.
    """

    def __init__(self, url: str) -> None:
        self._redis = None if url == "memory://" else RedisBackend(url, CHANNEL, GAP)
        self._broadcast = Broadcast(url, backend=self._redis)
        self._unsent: dict[str, int] = {}
        self._news = asyncio.Event()

    @property
    def is_up(self) -> bool:
        """Whether hints pass, as far as is known. Where there is one process only, they always do."""
        return self._redis is None or self._redis.is_up

    def tell(self, workspace: str, position: int) -> None:
        """Notes a hint; it is sent as soon as it can be, unless a later one of the workspace comes before."""
        self._unsent[workspace] = max(position, self._unsent.get(workspace, 0))
        self._news.set()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Sends what is noted while the context is open; what is left at the end gets a second for it."""
        async with self._broadcast:
            sending = asyncio.create_task(self._keep_sending())
            try:
                yield
            finally:
                await end(sending)
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(LAST_CHANCE):
                        await self._send()

    async def _keep_sending(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._send()
            except Exception:  # the backend has logged it, once for the whole outage
                self._news.set()
                await asyncio.sleep(random.uniform(*PAUSE))

    async def _send(self) -> None:
        """Sends what is noted by now. What the wire does not take stays noted, and is an error."""
        while self._unsent:
            hints = dict(islice(self._unsent.items(), AT_ONCE))
            await self._broadcast.publish(CHANNEL, json.dumps(hints))
            for workspace, position in hints.items():
                if self._unsent[workspace] == position:
                    del self._unsent[workspace]

    @asynccontextmanager
    async def listening(self, log: Log) -> AsyncIterator[None]:
        """Follows the others' hints while the context is open."""
        hearing = Hearing(log)
        async with self._broadcast.subscribe(CHANNEL) as messages:

            async def listen() -> None:
                async for message in messages:  # type: ignore[union-attr]  # broadcaster's own annotation is wrong
                    hearing.hear(message.message)  # type: ignore[union-attr]

            task = asyncio.create_task(listen())
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait([task])
                await hearing.stop()


@asynccontextmanager
async def open_wire(url: str) -> AsyncIterator[Wire]:
    """The wire at an address: `memory://`, `redis://...` or `rediss://...`. It need not be there yet, nor stay."""
    wire = Wire(url)
    async with wire.opened():
        yield wire
