"""How long others wait for the loop."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

MOST_BLOCKED = 0.05  # seconds of computing time that others may wait for the loop


@asynccontextmanager
async def ticking() -> AsyncIterator[list[float]]:
    """The computing time of the loop between any two turns of somebody who wants one every millisecond."""
    turns: list[float] = []

    async def tick() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            turns.append(time.thread_time() - before)

    gc.collect()
    gc.disable()  # how long that takes depends on what other tests have left
    ticker = asyncio.create_task(tick())
    try:
        yield turns
    finally:
        gc.enable()
        ticker.cancel()
        await asyncio.wait([ticker])
