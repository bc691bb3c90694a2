"""Following a log: everything once, in order, from any position on, or a clear word that this cannot be had."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from schema.types.errors import ApiError, ErrorCode
from storage import head as head_module
from storage.feed import Batch, follow
from storage.positions import parse_position
from storage.store import Store, open_store
from storage.workspaces import begin_epoch
from tests.storage.deeds import influencer, send
from tests.storage.stores import LATER, second_store
from tests.team import Team

DEADLINE = 30.0


@asynccontextmanager
async def following(store: Store, workspace: Team, since: str | None = None) -> AsyncIterator[AsyncIterator[Batch]]:
    """A feed that is closed afterwards, and that must say something before the deadline."""
    async with asyncio.timeout(DEADLINE), aclosing(follow(store.log, workspace.id, since)) as feed:  # type: ignore[type-var]
        yield feed


async def take(feed: AsyncIterator[Batch], up_to: int) -> list[int]:
    """The positions that a feed brings until it has brought `up_to`."""
    taken: list[int] = []
    while not taken or taken[-1] < up_to:
        batch = await anext(feed)
        positions = [change.position for change in batch.changes]
        assert not positions or batch.reached == positions[-1]
        taken += positions
    return taken


async def number_of(store: Store, workspace: Team) -> int:
    return parse_position(await store.log.position(workspace.id))[1]


async def test_from_now_on(store: Store, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Anna")
    async with following(store, workspace) as feed:
        first = await anext(feed)
        assert (first.changes, first.reached) == ([], 5)
        assert first.position == await store.log.position(workspace.id)
        await send(store, workspace.member, thread)
        assert await take(feed, 6) == [6]


async def test_since_a_position_it_replays_then_goes_live(store: Store, workspace: Team) -> None:
    epoch = (await store.log.state(workspace.id))["epoch"]
    thread = await influencer(store, workspace, "Anna")
    for since in range(6):
        async with following(store, workspace, f"{epoch}.{since}") as feed:
            first = await anext(feed)
            assert (first.changes, first.reached) == ([], since)
            up_to = await number_of(store, workspace)
            await send(store, workspace.member, thread)
            assert await take(feed, up_to + 1) == list(range(since + 1, up_to + 2))


async def test_changes_of_one_entry_may_be_parted(store: Store, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Anna")
    await asyncio.gather(*[send(store, workspace.member, thread) for _ in range(30)])
    epoch = (await store.log.state(workspace.id))["epoch"]
    async with following(store, workspace, f"{epoch}.20") as feed:
        assert await take(feed, 35) == list(range(21, 36))


async def write(store: Store, workspace: Team, thread: str, count: int) -> None:
    for _ in range(count):
        await send(store, workspace.member, thread)


async def drop_in(store: Store, workspace: Team, up_to: int, seed: int) -> list[int]:
    """A follower who leaves and comes back with the last position, again and again."""
    chance = random.Random(seed)
    taken: list[int] = []
    since = await store.log.position(workspace.id)
    while not taken or taken[-1] < up_to:
        stays = chance.randint(1, 4)
        async with following(store, workspace, since) as feed:
            while stays and (not taken or taken[-1] < up_to):
                batch = await anext(feed)
                taken += [change.position for change in batch.changes]
                since = batch.position
                stays -= bool(batch.changes)
    return taken


async def test_no_hole_and_no_repetition_while_writers_write(store: Store, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Anna")
    start, up_to = 5, 5 + 10 * 20
    async with asyncio.TaskGroup() as tasks:
        followers = [tasks.create_task(drop_in(store, workspace, up_to, seed)) for seed in range(10)]
        for _ in range(10):
            tasks.create_task(write(store, workspace, thread, 20))
    for follower in followers:
        assert follower.result() == list(range(start + 1, up_to + 1))


async def test_what_came_while_nobody_followed_is_in_the_log(store: Store, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Anna")
    async with following(store, workspace) as feed:
        left_at = (await anext(feed)).position
        await write(store, workspace, thread, 3)
    await write(store, workspace, thread, 3)
    async with following(store, workspace, left_at) as feed:
        await anext(feed)
        await write(store, workspace, thread, 3)
        assert await take(feed, 14) == list(range(6, 15))


async def test_one_who_lags_more_than_the_ring_reads_the_log(
    store: Store, workspace: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_module, "RING", 10)
    monkeypatch.setattr(head_module, "STEP", 3)
    thread = await influencer(store, workspace, "Anna")
    async with following(store, workspace) as slow, following(store, workspace) as quick:
        await anext(slow)
        await anext(quick)
        for n in range(6, 76):
            await send(store, workspace.member, thread)
            assert await take(quick, n) == [n]
        assert store.log.head(workspace.id).after(5) is None
        assert await take(slow, 75) == list(range(6, 76))
        await send(store, workspace.member, thread)
        assert await take(slow, 76) == [76]


async def test_one_who_lags_behind_what_is_kept_is_told(
    store: Store, workspace: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_module, "RING", 5)
    thread = await influencer(store, workspace, "Anna")
    async with following(store, workspace) as feed:
        await anext(feed)
        await write(store, workspace, thread, 15)
        await store.log.prune(workspace.id, before=LATER)
        with pytest.raises(ApiError) as error:
            await take(feed, 20)
        assert error.value.code is ErrorCode.RESYNC_REQUIRED


@pytest.mark.parametrize("number", [0, 3, 99])
async def test_a_position_outside_of_the_log_is_told_before_anything_else(
    store: Store, workspace: Team, number: int
) -> None:
    epoch = (await store.log.state(workspace.id))["epoch"]
    await write(store, workspace, await influencer(store, workspace, "Anna"), 3)
    await store.log.prune(workspace.id, before=LATER)
    async with following(store, workspace, f"{epoch}.{number}") as feed:
        with pytest.raises(ApiError) as error:
            await anext(feed)
        assert error.value.code is ErrorCode.RESYNC_REQUIRED


async def test_a_new_epoch_ends_every_feed(store: Store, workspace: Team) -> None:
    async with following(store, workspace) as feed:
        await anext(feed)
        waiting = asyncio.ensure_future(anext(feed))
        await begin_epoch(store, workspace.id)
        await store.log.refresh(workspace.id)
        with pytest.raises(ApiError) as error:
            await waiting
        assert error.value.code is ErrorCode.RESYNC_REQUIRED


async def test_what_another_store_changes_is_seen_after_a_look(store: Store, workspace: Team) -> None:
    other = second_store(store)
    thread = await influencer(store, workspace, "Anna")
    async with following(other, workspace) as feed:
        assert (await anext(feed)).reached == 5
        await write(store, workspace, thread, 3)
        assert [head.workspace for head in other.log.followed()] == [workspace.id]
        await other.log.refresh(workspace.id)
        assert await take(feed, 8) == [6, 7, 8]
        await other.log.hinted(workspace.id, 8)  # it knows of that
        await write(store, workspace, thread, 1)
        await other.log.hinted(workspace.id, 9)
        assert await take(feed, 9) == [9]
    assert other.log.followed() == []


async def test_a_hint_of_what_nobody_follows_costs_nothing(store: Store, workspace: Team) -> None:
    other = second_store(store)
    before = store.database.calls
    await other.log.hinted(workspace.id, 99)
    assert store.database.calls == before


async def test_two_stores_with_a_wire_each(
    store: Store, workspace: Team, database_uri: str, database_name: str
) -> None:
    """Both write and both are followed; what the wire does not carry from one to the other comes with each look."""
    thread = await influencer(store, workspace, "Anna")
    async with open_store(database_uri, database_name) as other:
        async with following(store, workspace) as here, following(other, workspace) as there:
            await anext(here)
            await anext(there)
            await asyncio.gather(write(store, workspace, thread, 20), write(other, workspace, thread, 20))
            await asyncio.gather(store.log.refresh(workspace.id), other.log.refresh(workspace.id))
            assert await take(here, 45) == await take(there, 45) == list(range(6, 46))


async def test_one_who_joins_before_a_change_is_applied_gets_it_later(store: Store, workspace: Team) -> None:
    """A position may be known from a query before this process has caught up with it."""
    other = second_store(store)
    await other.log.refresh(workspace.id)
    thread = await influencer(store, workspace, "Anna")
    async with following(other, workspace, await store.log.position(workspace.id)) as feed:
        assert (await anext(feed)).reached == 5
        await write(store, workspace, thread, 1)
        await other.log.refresh(workspace.id)
        assert await take(feed, 6) == [6]
