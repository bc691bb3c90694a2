"""The log: dense, in order, each change once, each decided by the state at the head."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from schema.types.context import Role
from schema.types.errors import ApiError, ErrorCode, Refused, UserErrorCode
from schema.types.tag import Tag
from storage.changes import Turn
from storage.check import check
from storage.documents import from_document
from storage.influencers import NewInfluencer, add_note, change_influencer, create_influencers, set_archived
from storage.log import Outcome
from storage.marks import mark_id, mark_thread_read, mark_threads_read
from storage.notifications import mark_notifications_read
from storage.store import Store
from storage.tags import create_tag, delete_tag
from storage.workspaces import add_member
from tests.storage.deeds import assert_dense, entries_of, id_of, influencer, number_of, receive, send, texts
from tests.storage.killed import Order, run
from tests.storage.stores import BROKEN, faulty_store, second_store
from tests.team import Team


async def tag_names(store: Store, workspace: str) -> list[str]:
    tags = await store.database.find("tags", {"workspace": workspace, "deleted": 0})
    return sorted(from_document(Tag, tag).name for tag in tags)


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


async def test_what_those_who_wait_together_read_is_read_together(store: Store, workspace: Team) -> None:
    threads = [await influencer(store, workspace, f"Person {number}") for number in range(40)]

    async def calls(among: list[str]) -> int:
        before = store.database.calls
        await asyncio.gather(*[receive(store, workspace, each, "Hi", f"id {each}") for each in among])
        return store.database.calls - before

    assert await calls(threads) <= 2 * await calls(threads[:1]), "one turn for the first, and one for all others"


async def test_what_one_has_found_and_changed_is_whole_for_those_after_it(store: Store, workspace: Team) -> None:
    """Who deletes a tag, or reads a thread, reads what has it by a search, and not by id as others do."""
    tag = (await create_tag(store, workspace.admin, "VIP", None, None)).result.id
    threads = [await influencer(store, workspace, f"Person {number}", tag_ids=[tag]) for number in range(5)]
    people, member = list(map(id_of, threads)), workspace.member
    last = [(await receive(store, workspace, each)).result.id for each in threads][0]
    told = [each["_id"] for each in await store.database.find("notifications", {"member_id": member.id})]
    await asyncio.gather(
        send(store, member, threads[0]),  # the others wait for it, and are served together
        delete_tag(store, workspace.admin, tag),
        add_note(store, member, people[0], "A note", None),
        change_influencer(store, member, people[1], {"name": "Another"}),
        set_archived(store, member, [people[2]], True),
        mark_threads_read(store, member, member.id, [threads[3]]),
        mark_thread_read(store, member, member.id, threads[0], last),
        mark_notifications_read(store, member, member.id, told),
    )
    stored = await store.database.get_many("influencers", people)
    assert [stored[each]["tag_ids"] for each in people] == [[]] * 5
    assert (stored[people[1]]["name"], stored[people[2]]["listed"]) == ("Another", 0)
    assert not await store.database.find("notifications", {"member_id": member.id, "read": 0})
    assert await check(store, workspace.id, repair=False) == []


async def test_one_who_is_wrong_is_the_only_one_who_is_told(store: Store, workspace: Team) -> None:
    """Also while what all who wait will read is read for all of them."""
    thread = await influencer(store, workspace, "Anna")
    threads = [thread, f"campaign_{thread}", thread, f"thread_{'0' * 26}"] * 5
    outcomes = await asyncio.gather(*[send(store, workspace.member, each) for each in threads], return_exceptions=True)
    assert [str(each) for each in outcomes[1::2]] == [
        f"there is no object with the id {each!r}" for each in threads[1::2]
    ]
    assert not [each for each in outcomes[::2] if isinstance(each, BaseException)]


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


async def test_who_is_refused_leaves_nothing_to_those_who_share_the_turn(store: Store, workspace: Team) -> None:
    id = f"tag_of_{workspace.id}"

    async def refused(turn: Turn) -> None:
        turn.put(turn.begin("TAG_ADDED"), "tags", id, {"name": "Refused", "deleted": 0})
        raise Refused(UserErrorCode.INVALID, "no")

    async def looks(turn: Turn) -> object:
        turn.begin("TAG_ADDED")
        return await turn.get("tags", id)

    outcomes = await asyncio.gather(
        store.log.change(workspace.admin, refused), store.log.change(workspace.admin, looks), return_exceptions=True
    )
    assert isinstance(outcomes[0], Refused)
    assert isinstance(outcomes[1], Outcome) and outcomes[1].result is None


async def test_what_a_plan_looks_for_holds_what_those_before_it_have_put(store: Store, workspace: Team) -> None:
    """A message that comes in the moment after somebody joined is unread for them, too."""
    thread = await influencer(store, workspace, "Anna")
    joining = add_member(store, workspace.operator, "Dan", "dan@brand.test", Role.MEMBER)
    member, message = await asyncio.gather(joining, receive(store, workspace, thread))
    assert number_of(member) < number_of(message)
    mark = await store.database.get("marks", mark_id(member.result.id, thread))
    assert mark is not None and mark["count"] == 1


async def test_two_who_do_not_fit_into_one_entry(store: Store, workspace: Team) -> None:
    many = [[NewInfluencer(name=f"Person {n}.{number}") for number in range(60)] for n in range(3)]
    outcomes = await asyncio.gather(*[create_influencers(store, workspace.member, each) for each in many])
    assert [number_of(each) for each in outcomes] == [64, 124, 184]
    assert [len(each["changes"]) for each in await entries_of(store, workspace.id)][-3:] == [60, 60, 60]
    await assert_dense(store, workspace.id)


async def test_more_than_an_entry_holds_is_refused(store: Store, workspace: Team) -> None:
    with pytest.raises(ValueError, match="at most 100"):
        await create_influencers(store, workspace.member, [NewInfluencer(name="Anna")] * 101)
    assert (await store.log.refresh(workspace.id)).known == 4


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
