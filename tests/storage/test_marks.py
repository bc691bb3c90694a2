"""Read marks and notifications agree: whoever has read a message is not notified of it any more."""

from __future__ import annotations

from schema.types.context import Caller
from storage.check import check
from storage.store import Store
from tests.storage.deeds import influencer, read, receive, send, unread
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
