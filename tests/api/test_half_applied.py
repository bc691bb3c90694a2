"""What a reader meets while an entry is being applied, or once that was given up: nothing that leads to nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from storage.database import ConnectionLost
from storage.documents import Document
from storage.store import Store
from tests.api.conftest import Brand
from tests.client import DEADLINE, ApiFailed

WRITTEN = ["messages", "influencers", "marks", "notifications", "claims"]  # by an entry with a message that comes in
INBOX = "{ inbox(first: 5) { nodes { lastActivityAt lastMessage { text } } } }"
NOTIFICATIONS = "{ notifications(first: 5) { nodes { message { text } thread { lastMessage { text } } } } }"
Put = Callable[[str, dict[str, Document]], Awaitable[None]]


async def look(brand: Brand) -> None:
    """Raises ApiFailed where something is not found."""
    [row] = (await brand.member.run(INBOX))["inbox"]["nodes"]
    assert row["lastActivityAt"] is not None and row["lastMessage"] is not None
    for notification in (await brand.member.run(NOTIFICATIONS))["notifications"]["nodes"]:
        assert notification["message"] is not None and notification["thread"]["lastMessage"] is not None


def before_writing(
    store: Store, monkeypatch: pytest.MonkeyPatch, collection: str, happens: Callable[[], Awaitable[object]]
) -> None:
    """Has something happen before a collection is written, and after what is written beside it."""
    put: Put = store.database.put_guarded
    running = set[str]()

    async def put_guarded(name: str, documents: dict[str, Document]) -> None:
        if name == collection:
            await asyncio.sleep(0)  # the others have begun
            while running:
                await asyncio.sleep(0.001)
            await happens()
        running.add(name)
        await put(name, documents)
        running.discard(name)

    monkeypatch.setattr(store.database, "put_guarded", put_guarded)


@pytest.mark.parametrize("late", WRITTEN)
async def test_while_one_collection_is_not_written_yet(
    brand: Brand, monkeypatch: pytest.MonkeyPatch, late: str
) -> None:
    thread = (await brand.influencer())["thread"]
    await brand.receive(thread, "first", external_id="1")
    reached, goes_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        reached.set()
        await goes_on.wait()

    with monkeypatch.context() as patch:
        before_writing(brand.store, patch, late, hold)
        receiving = asyncio.create_task(brand.receive(thread, "second", external_id="2"))
        async with asyncio.timeout(DEADLINE):
            await reached.wait()
        try:
            await look(brand)
        finally:
            goes_on.set()
            await receiving
    await look(brand)


@pytest.mark.parametrize("broken", WRITTEN)
async def test_once_a_collection_could_not_be_written(
    brand: Brand, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    thread = (await brand.influencer())["thread"]
    await brand.receive(thread, "first", external_id="1")

    async def fail() -> None:
        raise ConnectionLost("the connection broke")

    with monkeypatch.context() as patch:
        before_writing(brand.store, patch, broken, fail)
        with pytest.raises(ApiFailed):
            await brand.receive(thread, "second", external_id="2")
        await look(brand)
    await brand.receive(thread, "second", external_id="2")
    await look(brand)
