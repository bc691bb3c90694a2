"""What a subscription is, before it is executed: how to tell its events, for one caller or for all who ask the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from storage.changes import Change
from storage.feed import Batch
from storage.reader import StoreReader


@dataclass(frozen=True)
class Told:
    """An event, on which the subscription's selection is executed."""

    event: object
    position: int
    only: str | None = None  # the one member who may know of it


Tell = Callable[[Batch, StoreReader], Awaitable[list[Told]]]
TellChange = Callable[[Change, str, StoreReader], Awaitable[object | None]]


@dataclass(frozen=True)
class Feed:
    """What a subscription's resolver returns: whoever runs it walks the log, and asks for the events of each batch."""

    since: str | None
    tell: Tell

    def __aiter__(self) -> AsyncIterator[Any]:
        """graphql-core wants a subscription to be iterable, and does not iterate here."""
        raise TypeError("a feed is told by batches of the log")


def of_changes(since: str | None, tell: TellChange) -> Feed:
    """A feed with at most one event for a change, which is told to whoever may know of the change."""

    async def tell_all(batch: Batch, reader: StoreReader) -> list[Told]:
        changes = [each for each in batch.changes if reader.for_everyone or may_know(reader.caller.member, each.only)]
        events = await asyncio.gather(*[tell(each, batch.position_of(each), reader) for each in changes])
        return [
            Told(event, change.position, change.only)
            for change, event in zip(changes, events, strict=True)
            if event is not None
        ]

    return Feed(since, tell_all)


def may_know(member: str | None, only: str | None) -> bool:
    """Whether a change that only one member may know of, if any, is one for this viewer."""
    return only is None or only == member
