"""Paging the inbox and a thread while others write; at full size in tests/soak."""

from __future__ import annotations

from connect_inbox.settings import Settings
from storage.store import Store
from tests.server import running
from tests.soak import paging


async def test_what_does_not_change_is_neither_repeated_nor_skipped(store: Store) -> None:
    async with running(store, Settings()) as server:
        await paging.run(store, server, threads=20, changes=24, writers=4, seed=1)
