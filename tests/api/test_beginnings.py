"""How long a subscription may take to begin, over every transport; once it has begun it lasts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from connect_inbox.auth import Gate
from connect_inbox.graphql.documents import Documents
from connect_inbox.graphql.groups import Groups
from connect_inbox.graphql.limits import Limits
from connect_inbox.graphql.operation import Request
from connect_inbox.settings import Settings
from storage.counts import Counts
from storage.log import Log
from storage.reader import StoreReader
from storage.store import Store
from tests.api.conftest import Brand, keep_groups
from tests.api.test_walkers import Client
from tests.client import DEADLINE, Server, until
from tests.server import running
from tests.sse import open_stream

SECONDS = 1.0  # short, but long enough for what begins on a busy machine
COUNT = "subscription { unreadCount { threads } }"
FOLLOW = "subscription($id: ID, $since: String) { messageAdded(threadId: $id, since: $since) { message { id } } }"
TOLD = {"message": "the operation was ended after 1 s", "extensions": {"code": "TIMED_OUT"}}


@pytest.fixture
async def hasty(store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Server, Groups]]:
    """A server where nothing may take long, for the subscriptions alone."""
    kept = keep_groups(monkeypatch)
    async with running(store, Settings(operation_timeout=SECONDS)) as server:
        yield server, kept[0]


@pytest.mark.parametrize(
    ("place", "name", "query"),
    [(StoreReader, "thread", FOLLOW), (Log, "refresh", COUNT), (Log, "position", COUNT), (Counts, "unread", COUNT)],
    ids=["what the resolver reads", "the log", "its position", "the first event"],
)
async def test_one_that_takes_too_long_to_begin_is_ended(
    brand: Brand,
    hasty: tuple[Server, Groups],
    monkeypatch: pytest.MonkeyPatch,
    place: type,
    name: str,
    query: str,
) -> None:
    server, groups = hasty
    viewer = server.api(brand.viewer.token)
    thread = (await brand.influencer())["thread"]
    ended: list[str] = []

    async def never(*_: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    with monkeypatch.context() as patches:
        patches.setattr(place, name, never)
        async with viewer.socket() as socket:
            assert await (await socket.subscribe(query, id=thread)).error() == [TOLD]
            async with open_stream(viewer, query, id=thread) as stream:
                assert await stream.error() == [TOLD]
            patches.undo()
            await (await socket.subscribe(COUNT)).data()
    assert len(ended) >= 2
    assert sum(groups.timings.histograms["subscription", "TIMED_OUT"].counts) == 2
    await until(lambda: (len(groups), groups.subscribers) == (0, 0))


async def test_one_that_has_begun_lasts(brand: Brand, hasty: tuple[Server, Groups]) -> None:
    server, _ = hasty
    thread = (await brand.influencer())["thread"]
    viewer = server.api(brand.viewer.token)
    async with viewer.subscription(FOLLOW, since=await brand.position()) as subscription:
        end = time.monotonic() + 2 * SECONDS
        while time.monotonic() < end:
            sent = await brand.send(thread)
            assert (await subscription.data())["message"]["id"] == sent["id"]


async def test_a_client_without_room_is_not_what_takes_too_long(brand: Brand) -> None:
    gate = Gate(brand.store)
    groups, slow = Groups(brand.store), Client((await gate.admit(brand.viewer.token)).caller, gate, room=0)
    operation = Documents(Limits(seconds=SECONDS)).prepare(Request(COUNT, {}, None))
    async with asyncio.timeout(DEADLINE):
        beginning = asyncio.create_task(groups.subscribe(operation, slow))
        await until(lambda: slow.waits == 1)
        end = time.monotonic() + 2 * SECONDS
        await until(lambda: time.monotonic() > end)
        slow.going_on.set()
        await beginning
        await until(lambda: slow.walking is None)
    assert len(slow.taken) == 1
    await slow.stop()
