"""Unread counts: those who ask for the same wait for one, and whoever asks for more gets a newer one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from storage.counts import Counts
from storage.database import Database
from storage.documents import Document
from storage.store import Store


class Slow(Database):
    """A database whose counts come when they are let, in whatever order."""

    def __init__(self, database: Database) -> None:
        self.__dict__.update(vars(database))
        self.waiting: list[asyncio.Future[tuple[int, int]]] = []

    async def sums(self, collection: str, filter: Document, field: str) -> tuple[int, int]:
        self.waiting.append(asyncio.get_running_loop().create_future())
        return await self.waiting[-1]


@contextmanager
def no_faults() -> Iterator[None]:
    """Nothing goes wrong in a callback, where nobody would be told."""
    loop, faults = asyncio.get_running_loop(), list[dict[str, Any]]()
    loop.set_exception_handler(lambda _, context: faults.append(context))
    try:
        yield
    finally:
        loop.set_exception_handler(None)
    assert faults == []


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_count_may_end_before_or_after_the_one_that_follows_it(store: Store, order: tuple[int, int]) -> None:
    database = Slow(store.database)
    counts = Counts(database)
    asked = [asyncio.create_task(counts.unread("member", f"p.{reached}", reached)) for reached in (1, 2, 2)]
    with no_faults():
        async with asyncio.timeout(30):
            while len(database.waiting) < 2:
                await asyncio.sleep(0)
            for number in order:
                database.waiting[number].set_result((number, number))
                await asyncio.gather(*(asked[:1] if number == 0 else asked[1:]))
            answers = [await each for each in asked]
            assert [(each.threads, each.position) for each in answers] == [(0, "p.1"), (1, "p.2"), (1, "p.2")]
            again = asyncio.create_task(counts.unread("member", "p.2", 2))
            while len(database.waiting) < 3:
                await asyncio.sleep(0)
            database.waiting[2].set_result((7, 7))
            assert (await again).threads == 7, "nothing is kept of a count that has ended"
