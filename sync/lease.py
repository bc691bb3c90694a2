"""Work that one process at a time does, and another takes over where that one is killed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from schema.types.scalars import now
from storage.database import DatabaseError
from storage.documents import to_milliseconds

logger = logging.getLogger("connect_inbox.sync")


class LeaseLost(Exception):
    """Somebody else does the work by now, or nobody should any more."""


def time_now() -> int:
    """In milliseconds since 1970."""
    return to_milliseconds(now())


def after(seconds: float) -> int:
    return time_now() + round(seconds * 1000)


@asynccontextmanager
async def kept(keep: Callable[[int], Awaitable[bool]], seconds: float) -> AsyncIterator[None]:
    """Keeps a lease while the context is open; where it is lost the work is cut off. Raises LeaseLost."""
    task = asyncio.current_task()
    assert task is not None, "work is done in a task"
    lost = False

    async def keep_on() -> None:
        nonlocal lost
        loop = asyncio.get_running_loop()
        kept_at = loop.time()
        while not lost:
            await asyncio.sleep(seconds / 4)
            asked = loop.time()
            try:
                async with asyncio.timeout_at(kept_at + seconds * 0.75):  # no answer is none in time
                    lost = not await keep(after(seconds))
                kept_at = asked
            except (DatabaseError, TimeoutError) as error:
                logger.warning("a lease could not be kept yet: %s", type(error).__name__)
                lost = loop.time() >= kept_at + seconds * 0.75
        task.cancel()

    keeping = asyncio.create_task(keep_on())
    try:
        yield
    except asyncio.CancelledError:
        if lost and task.uncancel() == 0:
            raise LeaseLost from None
        raise
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
