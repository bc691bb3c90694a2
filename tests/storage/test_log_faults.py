"""The log where things go wrong: writes that were left undone or come late, and connections that break."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from pymongo.errors import BulkWriteError

from schema.types.node import new_id
from storage.changes import entry_from_document
from storage.check import check
from storage.database import DEADLOCK, DUPLICATE
from storage.log import INSERT_ATTEMPTS, apply
from storage.store import Store
from tests.storage.deeds import assert_dense, entries_of, influencer, number_of, play, receive, send, texts
from tests.storage.stores import BROKEN, Faulty, faulty_store, replayed, second_store, stored
from tests.team import Team


async def test_documents_are_what_the_log_says(store: Store, workspace: Team) -> None:
    await play(store, workspace)
    assert await stored(store, workspace.id) == await replayed(store, workspace.id)


@pytest.mark.parametrize("late", [False, True], ids=["in order", "newest first"])
async def test_applying_again_changes_nothing(store: Store, workspace: Team, late: bool) -> None:
    await play(store, workspace)
    before = await stored(store, workspace.id)
    entries = [entry_from_document(each) for each in await entries_of(store, workspace.id)]
    for entry in reversed(entries) if late else entries:
        await asyncio.gather(apply(store.database, entry), apply(store.database, entry))
        assert late or (await store.log.state(workspace.id))["applied"] == entries[-1].last
    assert await stored(store, workspace.id) == before


async def test_of_many_writes_of_a_new_document_the_last_position_stays(store: Store) -> None:
    """Whoever meets a document that was just made by somebody else must not take that for done."""
    for _ in range(10):
        id = str(new_id("test"))
        positions = random.sample(range(1, 33), 32)
        await asyncio.gather(
            *[
                store.database.put_guarded("tags", {id: {"workspace": "none", "position": each, "name": str(each)}})
                for each in positions
            ]
        )
        document = await store.database.get("tags", id)
        assert document == {"_id": id, "workspace": "none", "position": 32, "name": "32"}


class Contended:
    """A collection whose engine refuses the first write of a document."""

    def __init__(self, collection: Any, code: int) -> None:
        self.collection, self.codes = collection, [code]

    async def bulk_write(self, updates: list[Any], ordered: bool) -> object:
        if self.codes:
            raise BulkWriteError({"writeErrors": [{"index": 0, "code": self.codes.pop()}]})
        return await self.collection.bulk_write(updates, ordered=ordered)


@pytest.mark.parametrize("code", [DUPLICATE, DEADLOCK])
async def test_a_write_that_the_engine_refused_for_a_moment_is_made_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Somebody else has made the document a moment before, with an earlier position, or stood in the way."""
    id = str(new_id("test"))
    if code == DUPLICATE:
        await store.database.insert("tags", {"_id": id, "workspace": "none", "position": 1})
    database = Faulty(store.database)
    contended = Contended(database._collection("tags"), code)
    monkeypatch.setattr(database, "_collection", lambda name: contended)
    await database.put_guarded("tags", {id: {"workspace": "none", "position": 2}})
    assert await store.database.get("tags", id) == {"_id": id, "workspace": "none", "position": 2}


async def test_two_who_apply_what_somebody_left_undone(store: Store, workspace: Team) -> None:
    await play(store, workspace)
    thread = await influencer(store, workspace, "Emil")
    broken, database = faulty_store(store)
    database.broken_writes = 100
    with pytest.raises(BROKEN):
        await receive(broken, workspace, thread)
    assert await texts(store, thread) == []
    others = [second_store(store) for _ in range(4)]
    await asyncio.gather(*[other.log.refresh(workspace.id) for other in others])
    assert await texts(store, thread) == ["Hello"]
    assert await stored(store, workspace.id) == await replayed(store, workspace.id)
    assert await check(store, workspace.id, repair=False) == []


async def test_what_could_not_be_applied_is_finished_before_anything_else(
    store: Store, workspace: Team, caplog: pytest.LogCaptureFixture
) -> None:
    thread = await influencer(store, workspace, "Anna")
    broken, database = faulty_store(store)
    database.broken_writes = 1
    with pytest.raises(BROKEN):
        await send(broken, workspace.member, thread, "One")
    assert "stands still" in caplog.text
    assert (await store.log.state(workspace.id))["applied"] == 5
    await send(broken, workspace.member, thread, "Two")
    assert await texts(store, thread) == ["One", "Two"]
    await assert_dense(store, workspace.id)


async def test_a_hole_stops_the_workspace(store: Store, workspace: Team) -> None:
    await store.database.delete("entries", {"workspace": workspace.id, "last": 3})
    other = second_store(store)
    other.log.head(workspace.id).restart((await store.log.state(workspace.id))["epoch"], 2)
    with pytest.raises(RuntimeError, match="a hole before 4"):
        await other.log.refresh(workspace.id)


async def test_an_insert_whose_answer_was_lost_is_ours(store: Store, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Anna")
    broken, database = faulty_store(store)
    database.lost_answers = 1
    assert number_of(await send(broken, workspace.member, thread, "Once")) == 6
    assert await texts(store, thread) == ["Once"]
    await assert_dense(store, workspace.id)


async def test_an_insert_that_was_lost_and_overtaken_is_made_anew(store: Store, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Anna")
    broken, database = faulty_store(store)
    await broken.log.refresh(workspace.id)
    await send(store, workspace.member, thread, "First")
    database.lost_inserts = 1
    assert number_of(await send(broken, workspace.member, thread, "Second")) == 7
    assert await texts(store, thread) == ["First", "Second"]


async def test_nothing_happens_where_no_insert_comes_through(store: Store, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Anna")
    broken, database = faulty_store(store)
    database.lost_inserts = INSERT_ATTEMPTS
    with pytest.raises(BROKEN):
        await send(broken, workspace.member, thread, "Lost")
    assert await texts(store, thread) == []
    await send(broken, workspace.member, thread, "Found")
    assert await texts(store, thread) == ["Found"]
    await assert_dense(store, workspace.id)


@pytest.mark.parametrize("fault", ["lost answers", "broken writes"])
async def test_nobody_of_a_group_whose_end_is_unknown_is_planned_again(
    store: Store, workspace: Team, fault: str
) -> None:
    thread = await influencer(store, workspace, "Anna")
    broken, database = faulty_store(store)
    await broken.log.refresh(workspace.id)

    async def break_apply() -> None:
        database.broken_writes = 1

    if fault == "lost answers":
        database.lost_answers = INSERT_ATTEMPTS + 1
    else:
        database.before_insert = break_apply
    sent = [f"{number}" for number in range(5)]
    outcomes = await asyncio.gather(
        *[send(broken, workspace.member, thread, text) for text in sent], return_exceptions=True
    )
    assert all(isinstance(outcome, BROKEN) for outcome in outcomes)
    await broken.log.refresh(workspace.id)
    assert await texts(store, thread) == sent
    await assert_dense(store, workspace.id)
