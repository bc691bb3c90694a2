"""Hints: what is sent of them, and what is done with them. The wire over Redis is in tests/test_redis.py."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from storage import hints as hints_module
from storage import wire as wire_module
from storage.hints import GAP, Hearing, hints_of
from storage.store import Store
from storage.wire import CHANNEL, Wire
from tests.storage.deeds import influencer
from tests.storage.stores import second_store
from tests.team import Team, create_team

DEADLINE = 30.0


@asynccontextmanager
async def following(store: Store, *teams: Team) -> AsyncIterator[None]:
    """Somebody follows these workspaces, from now on."""
    async with AsyncExitStack() as stack:
        for team in teams:
            stack.enter_context((await store.log.refresh(team.id)).followed())
        yield


async def reached(store: Store, team: Team, position: int) -> None:
    """Waits until followers of the workspace in this store have been told so much."""
    head = store.log.head(team.id)
    async with asyncio.timeout(DEADLINE):
        while head.known < position:
            await head.news(head.known, head.epoch)


async def written(store: Store, team: Team) -> int:
    """Changes something; the position of it."""
    await influencer(store, team, "Anna")
    return store.log.head(team.id).known


async def messages_of(wire: Wire, count: int) -> list[dict[str, int]]:
    """The next messages on an open wire."""
    async with asyncio.timeout(DEADLINE), wire._broadcast.subscribe(CHANNEL) as messages:
        return [json.loads((await messages.get()).message) for _ in range(count)]


async def test_what_was_not_sent_is_one_number_for_each_workspace() -> None:
    wire = Wire("memory://")
    for position in [*range(1, 1000), 7]:
        wire.tell("one", position)
    wire.tell("two", 5)
    async with wire.opened():
        assert await messages_of(wire, 1) == [{"one": 999, "two": 5}]


async def test_many_hints_are_several_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_module, "AT_ONCE", 2)
    wire = Wire("memory://")
    for number in range(5):
        wire.tell(str(number), number + 1)
    async with wire.opened():
        assert await messages_of(wire, 3) == [{"0": 1, "1": 2}, {"2": 3, "3": 4}, {"4": 5}]


async def test_a_hint_is_followed(store: Store, workspace: Team) -> None:
    other, wire = second_store(store), Wire("memory://")
    async with wire.opened(), wire.listening(other.log), following(other, workspace):
        position = await written(store, workspace)
        wire.tell(workspace.id, position)
        await reached(other, workspace, position)
    assert other.log.head(workspace.id).known == position


async def test_after_a_gap_everything_that_is_followed_is_looked_at(store: Store, workspace: Team) -> None:
    other = second_store(store)
    another, unfollowed = await create_team(store), await create_team(store)
    hearing = Hearing(other.log)
    await other.log.refresh(unfollowed.id)
    async with following(other, workspace, another):
        positions = [await written(store, team) for team in (workspace, another, unfollowed)]
        hearing.hear(GAP)
        await reached(other, workspace, positions[0])
        await reached(other, another, positions[1])
    await hearing.stop()
    assert other.log.head(unfollowed.id).known == positions[2] - 1


async def test_a_workspace_that_stands_still_keeps_no_other_waiting(
    store: Store, workspace: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints_module, "AT_ONCE", 2)
    other = second_store(store)
    another = await create_team(store)
    hearing = Hearing(other.log)
    async with following(other, workspace, another):
        stuck, free = [await written(store, team) for team in (workspace, another)]
        async with other.log.head(workspace.id).lock:
            for position in range(1, stuck + 10):
                hearing.hear(json.dumps({workspace.id: position}))
                await asyncio.sleep(0)
            hearing.hear(json.dumps({another.id: free}))
            await reached(other, another, free)
        await reached(other, workspace, stuck)
    await hearing.stop()


async def test_what_comes_during_a_look_is_looked_at_afterwards(store: Store, workspace: Team) -> None:
    """Many changes, each hinted at when it is there; the last hint comes while an earlier one is followed."""
    other = second_store(store)
    hearing = Hearing(other.log)
    async with following(other, workspace):
        for _ in range(10):
            position = await written(store, workspace)
            hearing.hear(json.dumps({workspace.id: position}))
        await reached(other, workspace, position)
    await hearing.stop()


async def test_a_look_that_fails_is_logged_and_the_next_one_is_taken(
    store: Store, workspace: Team, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = second_store(store)
    hearing = Hearing(other.log)
    refused = asyncio.Event()

    async def refuse(*_: object) -> None:
        refused.set()
        raise ConnectionError("no")

    async with following(other, workspace):
        position = await written(store, workspace)
        with monkeypatch.context() as patch:
            patch.setattr(other.log, "refresh", refuse)
            hearing.hear(json.dumps({workspace.id: position}))
            async with asyncio.timeout(DEADLINE):
                await refused.wait()
        hearing.hear(json.dumps({workspace.id: position}))
        await reached(other, workspace, position)
    await hearing.stop()
    assert [record.getMessage() for record in caplog.records] == [f"a hint of {workspace.id} could not be followed"]


@pytest.mark.parametrize(
    "message", ["", "{", "7", "null", "[1]", '"gap"', "[" * 100_000, '{"w": "1"}', '{"w": null}', '{"w": {}}']
)
def test_what_is_not_ours_says_nothing(message: str) -> None:
    assert hints_of(message) == {}
