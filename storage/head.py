"""What one process knows of one workspace's log: its head, and the last changes before it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from storage.changes import Change
from storage.positions import format_position

NEVER = float("-inf")
RING = 1000  # changes kept for followers, up to twice as many; one that lags further reads the log
CHARACTERS = 4_000_000  # of what they write, which is kept at most, up to twice as many
STEP = 100  # changes a follower takes at once


class Head:
    """Where a workspace's log stands, as far as it is applied and known here.

    A follower is a cursor, not a queue: it walks the ring at its own pace, so nothing is dropped and nothing grows.
    """

    def __init__(self, workspace: str) -> None:
        self.workspace = workspace
        self.lock = asyncio.Lock()  # held by a turn, and by all applying in this process
        self.epoch = ""
        self.known = -1  # everything up to here is applied
        self.committed = -1  # the last position that is known to be in the log: applied soon, unless something is wrong
        self.verified = NEVER  # monotonic time at which nothing lay above `known`
        self.requests: list[Any] = []  # changes that wait for their turn, first come first served
        self.is_served = False  # whether somebody takes turns for them
        self.followers = 0
        self._ring: list[Change] = []
        self._characters = 0  # in the ring
        self._news = asyncio.Event()

    @property
    def position(self) -> str:
        return format_position(self.epoch, self.known)

    @property
    def is_unfinished(self) -> bool:
        """Whether something may be in the log that is not applied. So it is during every commit, too."""
        return self.known >= 0 and (self.committed > self.known or self.verified == NEVER)

    def restart(self, epoch: str, applied: int) -> None:
        """Begins anew, where the log is another one or what lies between has been pruned."""
        self.epoch, self.known, self.committed = epoch, applied, applied
        self._clear()
        self._wake()

    def publish(self, changes: list[Change]) -> None:
        """Lets followers see changes that are applied."""
        self.known = changes[-1].position
        if not self.followers:
            return
        self._ring.extend(changes)
        self._characters += sum(map(characters_of, changes))
        if len(self._ring) > 2 * RING or self._characters > 2 * CHARACTERS:
            self._trim()
        self._wake()

    def _clear(self) -> None:
        self._ring.clear()
        self._characters = 0

    def _trim(self) -> None:
        """Forgets all but the last changes, as many as may be kept."""
        kept, self._characters = 0, 0
        for change in reversed(self._ring[-RING:]):
            characters = characters_of(change)
            if self._characters + characters > CHARACTERS:
                break
            kept, self._characters = kept + 1, self._characters + characters
        del self._ring[: len(self._ring) - kept]

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def after(self, cursor: int) -> list[Change] | None:
        """The next changes behind a cursor; None where the ring does not reach back so far."""
        if cursor >= self.known:
            return []
        if not self._ring or self._ring[0].position > cursor + 1:
            return None
        start = cursor + 1 - self._ring[0].position
        return self._ring[start : start + STEP]

    async def news(self, cursor: int, epoch: str) -> None:
        """Waits until there is something behind the cursor."""
        while self.known <= cursor and self.epoch == epoch:
            await self._news.wait()

    @contextmanager
    def followed(self) -> Iterator[None]:
        self.followers += 1
        try:
            yield
        finally:
            self.followers -= 1
            if not self.followers:
                self._clear()


def characters_of(change: Change) -> int:
    """The size of what a change writes, as far as it can be large: its texts, and the ids of its documents."""
    return sum(
        len(id) + sum(len(value) for value in fields.values() if isinstance(value, str))
        for _, id, fields in change.writes
    )
