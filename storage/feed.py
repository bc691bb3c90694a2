"""Following a log: what came after a position, then what comes, without a hole or a repetition in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from schema.types.errors import resync_required
from storage.changes import Change
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


async def follow(log: Log, workspace: str, since: str | None) -> AsyncIterator[Batch]:
    """Every change of the workspace after `since` (from now on, without it), in order, in batches.

    The first batch is empty: it says that from here on nothing is missed, so that a caller can read a first state.
    Raises RESYNC_REQUIRED as soon as that cannot be kept: the position is too old, above the head, of another log, or
    the reader has been slower than the log is kept for.
    """
    with log.head(workspace).followed():
        head = await log.refresh(workspace)
        epoch = head.epoch
        cursor = head.known if since is None else await log.resume(workspace, since)
        yield Batch(epoch, cursor, [])
        while True:
            if head.epoch != epoch:
                raise resync_required("the log was begun anew")
            changes = head.after(cursor)
            if changes is None:
                changes = await log.changes(workspace, cursor, up_to=head.known)
            if changes:
                cursor = changes[-1].position
                yield Batch(epoch, cursor, changes)
            else:
                await head.news(cursor, epoch)
