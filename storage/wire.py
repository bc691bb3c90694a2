"""The wire between processes. It carries hints only (a workspace and a position), on one channel that each process
subscribes to once; what they are about is always read from the log. A lost hint delays, it never loses.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from broadcaster import Broadcast

logger = logging.getLogger("connect_inbox.wire")

CHANNEL = "connect-inbox"
Listener = Callable[[str, int], Awaitable[None]]


class Wire:
    """Tells other processes how far a workspace's log reaches."""

    def __init__(self, broadcast: Broadcast) -> None:
        self._broadcast = broadcast

    async def tell(self, workspace: str, position: int) -> None:
        """Sends a hint. A wire that is down is logged, never an error of the change that was made."""
        try:
            await self._broadcast.publish(CHANNEL, json.dumps([workspace, position]))
        except Exception as error:
            logger.warning("a hint was not sent: %s", type(error).__name__)

    async def listen(self, listener: Listener, ready: asyncio.Event) -> None:
        """Hands every hint to `listener`, until cancelled."""
        async with self._broadcast.subscribe(CHANNEL) as hints:
            ready.set()
            async for hint in hints:  # type: ignore[union-attr]  # broadcaster's own annotation is wrong
                try:
                    workspace, position = json.loads(hint.message)  # type: ignore[union-attr]
                    await listener(workspace, position)
                except Exception:
                    logger.exception("a hint could not be followed")


@asynccontextmanager
async def open_wire(url: str) -> AsyncIterator[Wire]:
    async with Broadcast(url) as broadcast:
        yield Wire(broadcast)
