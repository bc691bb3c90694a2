"""The log: dense, in order, once, whatever happens around it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from schema.types.errors import ApiError, ErrorCode, Refused, UserErrorCode
from schema.types.tag import Tag
from storage.changes import Turn, entry_from_document
from storage.check import check
from storage.documents import from_document
from storage.log import FRESH, INSERT_ATTEMPTS, Outcome, apply
from storage.positions import parse_position
from storage.store import Store
from storage.tags import create_tag, delete_tag
from storage.workspaces import begin_epoch
from tests.storage.deeds import assert_dense, entries_of, influencer, play, receive, send
from tests.storage.killed import Order, run
from tests.storage.stores import BROKEN, faulty_store, replayed, second_store, stored
from tests.team import Team

LATER = 2**60  # milliseconds since 1970, long after everything


def number_of(outcome: Outcome[Any]) -> int:
    return parse_position(outcome.position)[1]


async def texts(store: Store, thread: str) -> list[str]:
    messages = await store.database.find("messages", {"thread_id": thread}, sort=[("order", 1)])
    return [message["text"] for message in messages]


async def tag_names(store: Store, workspace: str) -> list[str]:
    tags = await store.database.find("tags", {"workspace": workspace, "deleted": 0})
    return sorted(from_document(Tag, tag).name for tag in tags)


def refusal(code: ErrorCode) -> Callable[[BaseException], bool]:
    return lambda error: isinstance(error, ApiError) and error.code is code


# Writers at once


async def test_twenty_writers_of_one_process(store: Store, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Anna")

    async def write(number: int) -> list[int]:
        return [number_of(await send(store, workspace.member, thread, f"{number}.{n}")) for n in range(10)]

    positions = await asyncio.gather(*[write(number) for number in range(20)])
    assert sorted(position for each in positions for position in each) == list(range(6, 206))
    assert all(each == sorted(each) for each in positions)
    await assert_dense(store, workspace.id)
    assert len(await entries_of(store, workspace.id)) < 100, "writers who wait are served together"


async def test_twenty_writers_in_each_of_two_processes(
    store: Store, database_uri: str, database_name: str, workspace: Team
) -> None:
    thread = await influencer(store, workspace, "Anna")
    order = Order(database_uri, database_name, workspace, "many", thread, key="theirs")
    other = asyncio.create_task(run(order))
    ours = [f"ours.{number}" for number in range(100)]

    async def write(own: list[str]) -> None:
        for text in own:
            await send(store, workspace.member, thread, text)

    async with asyncio.TaskGroup() as tasks:
        for number in range(20):
            tasks.create_task(write(ours[number::20]))
    theirs = (await other).answered
    assert len(theirs) == 100
    assert sorted(await texts(store, thread)) == sorted(ours + theirs)
    await assert_dense(store, workspace.id)
    assert await check(store, workspace.id, repair=False) == []


# Applying


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


# Connections that break


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


# Once


async def test_the_same_key_is_the_same_message(store: Store, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Anna")
    first = await send(store, workspace.member, thread, "Once", "key")
    stores = [store, second_store(store)]
    again = await asyncio.gather(*[send(stores[n % 2], workspace.member, thread, "Once", "key") for n in range(10)])
    assert {each.result.id for each in again} == {first.result.id}
    assert {each.result.earlier for each in again} == {number_of(first)}
    assert await texts(store, thread) == ["Once"]


async def test_ten_who_come_first_with_one_key(store: Store, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Anna")
    stores = [store, second_store(store)]
    made = await asyncio.gather(*[send(stores[n % 2], workspace.member, thread, "Once", "key") for n in range(10)])
    assert len({each.result.id for each in made}) == 1
    assert [each.result.earlier for each in made].count(None) == 1
    assert await texts(store, thread) == ["Once"]


async def test_the_same_key_with_another_input_is_a_conflict(store: Store, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Anna")
    await send(store, workspace.member, thread, "Once", "key")
    with pytest.raises(ApiError) as error:
        await send(store, workspace.member, thread, "Twice", "key")
    assert error.value.code is ErrorCode.CONFLICT
    await send(store, workspace.admin, thread, "Another's key", "key")
    assert await texts(store, thread) == ["Once", "Another's key"]


# Decisions


async def left_undone(store: Store, change: Callable[[Store], Awaitable[object]]) -> None:
    """A change that is committed, and whose process ends before it writes anything."""
    broken, database = faulty_store(store)
    database.broken_writes = 100
    with pytest.raises(BROKEN):
        await change(broken)


async def test_what_was_refused_on_an_old_state_is_decided_again(store: Store, workspace: Team) -> None:
    tag = (await create_tag(store, workspace.admin, "VIP", None, None)).result.id
    await left_undone(store, lambda broken: delete_tag(broken, workspace.admin, tag))
    await create_tag(store, workspace.admin, "VIP", "#ff0000", None)
    assert await tag_names(store, workspace.id) == ["VIP"]
    await assert_dense(store, workspace.id)


async def test_what_was_allowed_on_an_old_state_is_decided_again(store: Store, workspace: Team) -> None:
    await left_undone(store, lambda broken: create_tag(broken, workspace.admin, "VIP", None, None))
    with pytest.raises(Refused) as refused:
        await create_tag(store, workspace.admin, "vip", None, None)
    assert refused.value.error.code is UserErrorCode.TAKEN
    assert await tag_names(store, workspace.id) == ["VIP"]


async def test_of_many_who_want_one_name_one_gets_it(store: Store, workspace: Team) -> None:
    stores = [store, second_store(store)]
    outcomes = await asyncio.gather(
        *[create_tag(stores[n % 2], workspace.admin, "VIP", None, None) for n in range(20)], return_exceptions=True
    )
    assert sum(isinstance(each, Refused) for each in outcomes) == 19
    assert await tag_names(store, workspace.id) == ["VIP"]
    assert await check(store, workspace.id, repair=False) == []


async def test_two_hundred_at_once(store: Store, workspace: Team) -> None:
    """Each gets the outcome of their own plan; one who is refused, or whose plan is broken, does so alone."""
    thread = await influencer(store, workspace, "Anna")

    async def refused(turn: Turn) -> None:
        change = turn.begin("TAG_ADDED", "tag_refused")
        turn.put(change, "tags", "tag_refused", {"name": "Refused", "deleted": 0, "added": change.position})
        raise Refused(UserErrorCode.INVALID, "no")

    async def broken(turn: Turn) -> None:
        turn.put(turn.begin("TAG_ADDED"), "tags", "tag_broken", {"name": "Broken", "deleted": 0})
        raise ZeroDivisionError

    def nth(number: int) -> Awaitable[Outcome[Any]]:
        if number % 50 == 7:
            return store.log.change(workspace.admin, refused)
        if number % 50 == 8:
            return store.log.change(workspace.admin, broken)
        return send(store, workspace.member, thread, f"{number}")

    outcomes = await asyncio.gather(*[nth(number) for number in range(200)], return_exceptions=True)
    assert [n for n, each in enumerate(outcomes) if isinstance(each, Refused)] == [7, 57, 107, 157]
    assert [n for n, each in enumerate(outcomes) if isinstance(each, ZeroDivisionError)] == [8, 58, 108, 158]
    made = {number_of(each): str(n) for n, each in enumerate(outcomes) if isinstance(each, Outcome)}
    assert sorted(made) == list(range(6, 198))
    messages = await store.database.find("messages", {"thread_id": thread})
    assert {each["order"]: each["text"] for each in messages} == made
    assert await tag_names(store, workspace.id) == []
    await assert_dense(store, workspace.id)
    assert len(await entries_of(store, workspace.id)) < 20
    assert await check(store, workspace.id, repair=False) == []


async def test_a_request_that_is_cancelled_is_not_cut_in_two(store: Store, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Anna")
    committing = asyncio.Event()
    slow, database = faulty_store(store)

    async def tell() -> None:
        committing.set()

    database.before_insert = tell
    sending = asyncio.create_task(send(slow, workspace.member, thread, "Sent"))
    await committing.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await slow.log.finish()
    assert await texts(store, thread) == ["Sent"]
    assert await check(store, workspace.id, repair=False) == []


async def test_no_workspace(store: Store) -> None:
    with pytest.raises(ApiError, match="no object"):
        await store.log.refresh("workspace_none")


# Positions and pruning


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


class Clock:
    """A clock that can be put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


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
