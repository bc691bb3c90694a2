"""Positions of the log: what they are good for, what is forgotten, and who has slept meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from schema.types.errors import ApiError, ErrorCode
from storage.changes import Turn
from storage.database import Database
from storage.documents import Document
from storage.log import FRESH
from storage.store import Store
from storage.workspaces import begin_epoch
from tests.storage.deeds import assert_dense, entries_of, influencer, number_of, send, texts
from tests.storage.stores import BROKEN, LATER, Clock, faulty_store, refusal, second_store
from tests.team import Team


async def position_at(store: Store, workspace: str, number: int) -> str:
    return f"{(await store.log.state(workspace))['epoch']}.{number}"


async def test_positions_that_lead_nowhere(store: Store, workspace: Team) -> None:
    state = await store.log.state(workspace.id)
    assert await store.log.resume(workspace.id, f"{state['epoch']}.0") == 0
    assert await store.log.resume(workspace.id, f"{state['epoch']}.4") == 4
    for foreign in (f"{state['epoch']}.5", "a" * 12 + ".2"):
        with pytest.raises(ApiError, check=refusal(ErrorCode.RESYNC_REQUIRED)):
            await store.log.resume(workspace.id, foreign)


@pytest.mark.parametrize("garbage", [
    "", "3", "x", ".", "é.1", "abcdefghijkl.", "abcdefghijkl.-1", "abcdefghijkl.01", "abcdefghijkl.1.1",
    "ABCDEFGHIJKL.1", "abcdefghijkl.1\n", "abcdefghijkl.9999999999999999", "abcdefghijkl.१", "\0", "a" * 100_000,
])  # fmt: skip
async def test_what_never_was_a_position(store: Store, workspace: Team, garbage: str) -> None:
    with pytest.raises(ApiError, check=refusal(ErrorCode.BAD_USER_INPUT)):
        await store.log.resume(workspace.id, garbage)


async def test_pruning_forgets_what_is_old_and_says_so(store: Store, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Anna")
    for text in "abc":
        await send(store, workspace.member, thread, text)
    entries = await entries_of(store, workspace.id)
    for entry in entries[:6]:
        await store.database.set("entries", entry["_id"], {"at": 1000})
    assert await store.log.prune(workspace.id, before=1001) == 6
    assert await store.log.prune(workspace.id, before=1001) == 0
    assert (await store.log.state(workspace.id))["floor"] == 6
    assert await store.log.resume(workspace.id, await position_at(store, workspace.id, 6)) == 6
    assert [each.position for each in await store.log.changes(workspace.id, 6, up_to=8)] == [7, 8]
    with pytest.raises(ApiError, check=refusal(ErrorCode.RESYNC_REQUIRED)):
        await store.log.resume(workspace.id, await position_at(store, workspace.id, 5))
    with pytest.raises(ApiError, check=refusal(ErrorCode.RESYNC_REQUIRED)):
        await store.log.changes(workspace.id, 5, up_to=8)


@pytest.mark.parametrize("after", [0, 6, 7, 15])
async def test_no_more_is_read_of_the_log_than_was_asked_for(
    store: Store, workspace: Team, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Entries of many changes are the last that are read, and are cut."""
    thread = await influencer(store, workspace, "Anna")
    await send(store, workspace.member, thread)
    await asyncio.gather(*[send(store, workspace.member, thread) for _ in range(40)])
    await asyncio.gather(*[send(store, workspace.member, thread) for _ in range(40)])
    read: list[Document] = []
    find = Database.find

    async def found(database: Database, collection: str, filter: Document, **how: Any) -> list[Document]:
        documents = await find(database, collection, filter, **how)
        read.extend(each for each in documents if collection == "entries")
        return documents

    monkeypatch.setattr(Database, "find", found)
    changes = await store.log.changes(workspace.id, after, up_to=86, most=5)
    assert [each.position for each in changes] == list(range(after + 1, after + 6))
    assert read[0]["first"] <= after + 1 and read[-1]["first"] <= after + 5 <= read[-1]["last"]
    changes = await store.log.changes(workspace.id, after, up_to=after + 3)
    assert [each.position for each in changes] == list(range(after + 1, after + 4))


async def test_a_follower_reads_a_hundred_changes_of_the_log_at_once(store: Store, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Anna")
    await asyncio.gather(*[send(store, workspace.member, thread) for _ in range(250)])
    up_to = number_of(await send(store, workspace.member, thread))
    assert max(each["last"] - each["first"] for each in await entries_of(store, workspace.id)) > 40
    after, sizes = 0, []
    while after < up_to:
        changes = await store.log.changes(workspace.id, after, up_to)
        assert [each.position for each in changes] == list(range(after + 1, after + len(changes) + 1))
        sizes.append(len(changes))
        after = changes[-1].position
    assert sizes == [100, 100, up_to - 200]


async def test_a_hole_is_never_skipped(store: Store, workspace: Team) -> None:
    """Whatever is deleted while it is read: there is no answer with something missing in its middle."""
    await store.database.delete("entries", {"workspace": workspace.id, "last": 3})
    with pytest.raises(ApiError, check=refusal(ErrorCode.RESYNC_REQUIRED)):
        await store.log.changes(workspace.id, 0, up_to=4)


async def test_the_last_entry_stays(store: Store, workspace: Team) -> None:
    assert await store.log.prune(workspace.id, before=LATER) == 3
    assert [each["last"] for each in await entries_of(store, workspace.id)] == [4]
    other = second_store(store)
    assert (await other.log.refresh(workspace.id)).known == 4


async def test_an_entry_is_never_half_forgotten(store: Store, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Anna")
    await asyncio.gather(*[send(store, workspace.member, thread) for _ in range(30)])
    await send(store, workspace.member, thread)
    (before,) = (await entries_of(store, workspace.id))[-2:-1]
    await store.database.set("entries", before["_id"], {"at": LATER})
    await store.log.prune(workspace.id, before=LATER)
    floor = (await store.log.state(workspace.id))["floor"]
    assert floor == before["first"] - 1
    kept = await store.log.changes(workspace.id, floor, up_to=36)
    assert [each.position for each in kept] == list(range(floor + 1, 37))


async def test_a_store_that_slept_through_pruning_goes_on_from_the_applied_mark(store: Store, workspace: Team) -> None:
    sleeper = second_store(store)
    assert (await sleeper.log.refresh(workspace.id)).known == 4
    thread = await influencer(store, workspace, "Anna")
    for text in "abc":
        await send(store, workspace.member, thread, text)
    await store.log.prune(workspace.id, before=LATER)

    sleeper.log.head(workspace.id).verified -= FRESH
    assert number_of(await send(sleeper, workspace.member, thread, "d")) == 9
    assert await texts(store, thread) == ["a", "b", "c", "d"]
    assert (await store.log.refresh(workspace.id)).known == 9


async def test_a_turn_that_took_too_long_looks_again(
    store: Store, workspace: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it knows may have been pruned meanwhile, and a position that was pruned seems to be free."""
    clock = Clock()
    monkeypatch.setattr("storage.log.time", clock)
    sleeper = second_store(store)
    thread = await influencer(store, workspace, "Anna")
    tries = []

    async def slow(turn: Turn) -> None:
        tries.append(turn)
        turn.put(turn.begin("TAG_ADDED"), "tags", f"tag_of_{workspace.id}", {"name": "Slow", "deleted": 0, "added": 0})
        if len(tries) == 1:
            await send(store, workspace.member, thread)
            await store.log.prune(workspace.id, before=LATER)
            clock.ahead += FRESH + 1

    assert number_of(await sleeper.log.change(workspace.admin, slow)) == 7
    assert len(tries) == 2


@pytest.mark.parametrize("fault", ["lost_inserts", "lost_answers"])
async def test_an_insert_that_hangs_for_too_long_is_not_planned_again(
    store: Store, workspace: Team, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """It cannot be repeated, as its position may have been pruned meanwhile; nor can it be known not to be there."""
    clock = Clock()
    monkeypatch.setattr("storage.log.time", clock)
    thread = await influencer(store, workspace, "Anna")
    sleeper, database = faulty_store(store)
    await sleeper.log.refresh(workspace.id)

    async def hang() -> None:
        clock.ahead += FRESH + 1

    database.before_insert = hang
    setattr(database, fault, 1)
    with pytest.raises(BROKEN):
        await send(sleeper, workspace.member, thread, "Once", "key")
    await send(sleeper, workspace.member, thread, "Once", "key")
    assert await texts(store, thread) == ["Once"]
    await assert_dense(store, workspace.id)


async def test_a_new_epoch_makes_positions_foreign(store: Store, workspace: Team) -> None:
    before = await store.log.position(workspace.id)
    other = second_store(store)
    await other.log.refresh(workspace.id)
    await begin_epoch(store, workspace.id)
    with pytest.raises(ApiError, check=refusal(ErrorCode.RESYNC_REQUIRED)):
        await store.log.resume(workspace.id, before)
    assert (await other.log.refresh(workspace.id)).position == await store.log.position(workspace.id) != before
    with pytest.raises(ApiError):
        await begin_epoch(store, "workspace_none")
