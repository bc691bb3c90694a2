"""Following a log: what came after a position, then what comes, without a hole or a repetition in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from schema.types.errors import resync_required
from storage.changes import Change
from storage.head import STEP
from storage.log import Log
from storage.positions import format_position


@dataclass(frozen=True)
class Batch:
    """Changes that follow each other, and up to where they lead."""

    epoch: str
    reached: int
    changes: list[Change]

    @property
    def position(self) -> str:
        return format_position(self.epoch, self.reached)

    def position_of(self, change: Change) -> str:
        return format_position(self.epoch, change.position)


async def begin(log: Log, workspace: str, since: str | None) -> Batch:
    """An empty batch, behind which nothing after `since` is missed; nothing from now on, without it.

    Raises RESYNC_REQUIRED for a position that is too old, above the head, or of another log.
    """
    head = await log.refresh(workspace)
    epoch = head.epoch
    cursor = head.known if since is None else await log.resume(workspace, since)
    return Batch(epoch, cursor, [])


async def next_batch(log: Log, workspace: str, behind: Batch, most: int = STEP) -> Batch:
    """The changes behind a batch that are there already, so many at most; an empty batch where there are none.

    Raises RESYNC_REQUIRED where they are no longer kept, or the log was begun anew.
    """
    head = log.head(workspace)
    if head.epoch != behind.epoch:
        raise resync_required("the log was begun anew")
    changes = head.after(behind.reached)
    if changes is None:
        changes = await log.changes(workspace, behind.reached, head.known, most)
    changes = changes[:most]
    return Batch(behind.epoch, changes[-1].position if changes else behind.reached, changes)


async def batches(log: Log, workspace: str, behind: Batch) -> AsyncIterator[Batch]:
    """Every change behind a batch, in order, for as long as it is asked. Raises RESYNC_REQUIRED, as above."""
    head = log.head(workspace)
    with head.followed():
        while True:
            batch = await next_batch(log, workspace, behind)
            if batch.changes:
                yield batch
                behind = batch
            else:
                await head.news(behind.reached, behind.epoch)


async def follow(log: Log, workspace: str, since: str | None) -> AsyncIterator[Batch]:
    """Every change of the workspace after `since`, in batches, of which the first is empty: see `begin`."""
    with log.head(workspace).followed():
        behind = await begin(log, workspace, since)
        yield behind
        async with aclosing(batches(log, workspace, behind)) as following:  # type: ignore[type-var]
            async for batch in following:
                yield batch
