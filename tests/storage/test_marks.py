"""Read marks and notifications agree: whoever has read a message is not notified of it any more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from schema.types.context import Caller
from schema.types.errors import ApiError, ErrorCode
from storage import marks
from storage.check import check
from storage.documents import Document
from storage.log import Outcome
from storage.marks import mark_all_read, mark_id, mark_threads_read
from storage.positions import parse_position
from storage.store import Store
from tests.storage.deeds import entries_of, influencer, number_of, read, receive, send, unread
from tests.team import Team


async def unread_notifications(store: Store, caller: Caller) -> list[str]:
    found = await store.database.find("notifications", {"member_id": caller.id, "read": 0}, sort=[("order", 1)])
    return [each["message_id"] for each in found]


async def test_reading_the_last_words_reads_what_was_marked_behind_them(store: Store, workspace: Team) -> None:
    """A thread that is marked as unread at the brand's own message is unread from the influencer's words before it."""
    thread = await influencer(store, workspace, "Anna")
    words = (await receive(store, workspace, thread)).result.id
    answer = (await send(store, workspace.member, thread)).result.id
    await read(store, workspace.admin, thread, answer)
    await unread(store, workspace.admin, answer)
    assert await unread_notifications(store, workspace.admin) == [answer]
    await read(store, workspace.admin, thread, words)
    assert await unread_notifications(store, workspace.admin) == []
    assert await check(store, workspace.id, repair=False) == []


async def test_marking_a_later_message_as_unread_reads_those_before_it(store: Store, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Anna")
    messages = [(await receive(store, workspace, thread)).result.id for _ in range(3)]
    await unread(store, workspace.admin, messages[2])
    assert await unread_notifications(store, workspace.admin) == [messages[2], messages[2]]
    assert await unread_notifications(store, workspace.viewer) == messages
    assert await check(store, workspace.id, repair=False) == []


Mark = Callable[[Store, Team, str, list[str]], Awaitable[Outcome[None]]]


async def mark_all(store: Store, team: Team, thread: str, messages: list[str]) -> Outcome[None]:
    return await mark_all_read(store, team.admin, team.admin.id)


async def mark_named(store: Store, team: Team, thread: str, messages: list[str]) -> Outcome[None]:
    return await mark_threads_read(store, team.admin, team.admin.id, [thread])


async def mark_one(store: Store, team: Team, thread: str, messages: list[str]) -> Outcome[None]:
    return await read(store, team.admin, thread, messages[-1])


async def mark_last_unread(store: Store, team: Team, thread: str, messages: list[str]) -> Outcome[None]:
    return await unread(store, team.admin, messages[-1])


async def changes_after(store: Store, team: Team, position: str) -> list[Document]:
    changes = [change for entry in await entries_of(store, team.id) for change in entry["changes"]]
    return changes[parse_position(position)[1] :]


def notifications_written(change: Document) -> list[str]:
    return [id for collection, id, _ in change["writes"] if collection == "notifications"]


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("mark", [mark_all, mark_named, mark_one, mark_last_unread])
async def test_many_notifications_are_read_in_steps(
    store: Store, workspace: Team, monkeypatch: pytest.MonkeyPatch, mark: Mark, count: int
) -> None:
    """No step is larger than it may be. The mark moves in the last one, so that whatever is read is notified no more,
    and the position that is answered includes all."""
    monkeypatch.setattr(marks, "MOST_NOTIFICATIONS", 3)
    thread = await influencer(store, workspace, "Anna")
    messages = [(await receive(store, workspace, thread)).result.id for _ in range(count)]
    before = await store.log.position(workspace.id)
    outcome = await mark(store, workspace, thread, messages)

    changes = await changes_after(store, workspace, before)
    is_unread = mark is mark_last_unread
    assert [change["kind"] for change in changes[:-1]] == ["NOTIFICATIONS_READ"] * (len(changes) - 1)
    assert changes[-1]["kind"] == ("THREAD_MARKED_UNREAD" if is_unread else "THREAD_READ")
    assert changes[-1]["marked"].keys() == {workspace.admin.id}
    assert max(len(notifications_written(change)) for change in changes) <= 3
    assert all(change["only"] == workspace.admin.id for change in changes)
    assert number_of(outcome) == changes[-1]["position"]
    assert await unread_notifications(store, workspace.admin) == [messages[-1]] * 2 * is_unread
    assert await unread_notifications(store, workspace.viewer) == messages
    assert await check(store, workspace.id, repair=False) == []


async def test_many_threads_are_read_in_steps(store: Store, workspace: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "MOST_NOTIFICATIONS", 5)
    threads = [await influencer(store, workspace, f"Person {number}") for number in range(4)]
    for number, thread in enumerate(threads):
        for _ in range(2 * number):
            await receive(store, workspace, thread)
    for caller, mark in ((workspace.admin, mark_all_read), (workspace.viewer, None)):
        before = await store.log.position(workspace.id)
        marked = mark(store, caller, caller.id) if mark else mark_threads_read(store, caller, caller.id, threads)
        outcome = await marked
        assert await unread_notifications(store, caller) == []
        entries = [each for each in await entries_of(store, workspace.id) if each["first"] > parse_position(before)[1]]
        written = [sum(len(notifications_written(change)) for change in entry["changes"]) for entry in entries]
        assert sum(written) == 12 and max(written) <= 5
        assert number_of(outcome) == entries[-1]["last"]
        for thread in threads[1:]:
            found = await store.database.get("marks", mark_id(caller.id, thread))
            assert found is not None and (found["count"], found["shown"]) == (0, 0)
    assert await check(store, workspace.id, repair=False) == []


async def test_a_message_that_comes_between_two_steps_stays_unread_in_a_thread_that_is_done(
    store: Store, workspace: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "MOST_NOTIFICATIONS", 2)
    first, second = [await influencer(store, workspace, name) for name in ("Anna", "Bruno")]
    for thread in (first, second, second):
        await receive(store, workspace, thread)
    change = store.log.change
    late: list[str] = []

    async def change_slowly(caller: Caller, plan: Any) -> Outcome[Any]:
        outcome = await change(caller, plan)
        if not late:
            with monkeypatch.context() as quick:
                quick.setattr(store.log, "change", change)
                late.append((await receive(store, workspace, first)).result.id)
        return outcome

    monkeypatch.setattr(store.log, "change", change_slowly)
    await mark_threads_read(store, workspace.admin, workspace.admin.id, [first, second])
    assert await unread_notifications(store, workspace.admin) == late
    assert await check(store, workspace.id, repair=False) == []


async def test_nothing_is_read_where_one_of_the_threads_is_not_there(
    store: Store, workspace: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "MOST_NOTIFICATIONS", 1)
    thread = await influencer(store, workspace, "Anna")
    message = (await receive(store, workspace, thread)).result.id
    with pytest.raises(ApiError) as error:
        await mark_threads_read(store, workspace.admin, workspace.admin.id, [thread, "thread_none"])
    assert error.value.code is ErrorCode.NOT_FOUND
    assert await unread_notifications(store, workspace.admin) == [message]
