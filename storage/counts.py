"""Unread counts, each computed once for all who wait for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from schema.types.thread import UnreadCount
from storage.database import Database


@dataclass(frozen=True)
class Counting:
    """A count that is under way, of everything up to a place in the log, or of more."""

    reached: int
    count: asyncio.Task[UnreadCount]


class Counts:
    """A member's subscriptions, whatever they select, ask for the same count after the same change."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counting: dict[str, Counting] = {}

    async def unread(self, member: str, position: str, reached: int) -> UnreadCount:
        """How much a member has not read; `position`, whose place is `reached`, was read before."""
        counting = self._counting.get(member)
        if counting is None or counting.reached < reached:
            task = asyncio.create_task(unread_count(self._database, member, position))
            counting = self._counting[member] = Counting(reached, task)
            task.add_done_callback(lambda _: self._forget(member, task))
        return await asyncio.shield(counting.count)

    def _forget(self, member: str, task: asyncio.Task[UnreadCount]) -> None:
        counting = self._counting.get(member)
        if counting is not None and counting.count is task:
            del self._counting[member]


async def unread_count(database: Database, member: str, position: str) -> UnreadCount:
    """How much a member has not read; `position` is one that was read before."""
    threads, messages = await database.sums("marks", {"member": member, "shown": 1}, "count")
    return UnreadCount(id=member, threads=threads, messages=messages, position=position)  # type: ignore[arg-type]
