"""Subscriptions. Each follows the log from a position on, and tells what concerns its viewer, as it is now.

What an event says of an object is its state when it is delivered, so applying one twice does no harm.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

import strawberry

from resolvers import access
from resolvers.changes import concerns, read_messages
from resolvers.context import Info
from schema.types.arguments import Filter, OnlyCampaignId, OnlyThreadId, Since, ThreadId
from schema.types.change import (
    InboxEvent,
    InboxEventKind,
    MessageAdded,
    NotificationAdded,
    ThreadEvent,
    ThreadEventKind,
)
from schema.types.node import kind_of
from schema.types.thread import UnreadCount
from storage import inbox
from storage.changes import Change
from storage.feed import follow
from storage.inbox import UNREAD_SECTION, View, view_of
from storage.reader import StoreReader


async def visible(info: Info, since: str | None) -> AsyncIterator[tuple[Change, StoreReader]]:
    """The changes that the viewer may know of, each with a reader at its position, which what is told is read with."""
    context = info.context
    async for batch in follow(context.store.log, context.caller.workspace, since):
        for change in batch.changes:
            context.reader = context.reader_at(batch.position_of(change))
            if concerns(change, context.reader):
                yield change, context.reader


async def message_added(
    info: Info, since: Since = None, thread_id: OnlyThreadId = None, campaign_id: OnlyCampaignId = None
) -> AsyncGenerator[MessageAdded, None]:
    access.to_read(info)
    if thread_id is not None:
        kind_of(thread_id)
        await info.context.reader.thread(thread_id)
    if campaign_id is not None:
        await info.context.reader.campaign(campaign_id)
    async for change, reader in visible(info, since):
        if change.message is None or (thread_id is not None and change.thread != thread_id):
            continue
        message = await reader.message(change.message)
        if campaign_id is None or message.campaign_id == campaign_id:
            yield MessageAdded(position=reader.position, message=message)


async def thread_changed(info: Info, thread_id: ThreadId, since: Since = None) -> AsyncGenerator[ThreadEvent, None]:
    access.to_read(info)
    kind_of(thread_id)
    await info.context.reader.thread(thread_id)
    async for change, reader in visible(info, since):
        if change.thread == thread_id:
            yield await thread_event(change, reader, thread_id)


async def thread_event(change: Change, reader: StoreReader, thread_id: str) -> ThreadEvent:
    message = await reader.message(change.message) if change.message else None
    return ThreadEvent(
        position=reader.position,
        kind=ThreadEventKind.MESSAGE_ADDED if message else ThreadEventKind.THREAD_UPDATED,
        thread=await reader.thread(thread_id),
        message=message,
        message_id=message.id if message else None,
        read_messages=await read_messages(change, reader),
    )


async def inbox_changed(info: Info, since: Since = None, filter: Filter = None) -> AsyncGenerator[InboxEvent, None]:
    access.to_read(info)
    view = view_of(filter)
    async for change, reader in visible(info, since):
        if change.thread is not None and change.now is not None:
            event = await inbox_event(change, reader, view, change.thread)
            if event is not None:
                yield event


async def inbox_event(change: Change, reader: StoreReader, view: View, thread_id: str) -> InboxEvent | None:
    """What a change means for a view; None where the thread is in it neither before nor after."""
    assert change.now is not None
    edge = await inbox.inbox_row(reader, view, thread_id)
    is_unread = edge.cursor.startswith(str(UNREAD_SECTION))
    counts = change.unread.get(reader.caller.member or "", None)
    unread_before, unread_after = (counts[0] > 0, counts[1] > 0) if counts else (is_unread, is_unread)
    was_in = view.holds(change.was or change.now, unread_before)
    is_in = view.holds(change.now, unread_after)
    if not was_in and not is_in:
        return None
    kind = InboxEventKind.CHANGED if was_in and is_in else InboxEventKind.MOVED_IN if is_in else InboxEventKind.LEFT
    return InboxEvent(
        position=reader.position, kind=kind, thread_id=strawberry.ID(thread_id), edge=edge if is_in else None
    )


async def unread_count(info: Info) -> AsyncGenerator[UnreadCount, None]:
    caller, member = access.own_state(info)
    store = info.context.store
    async for batch in follow(store.log, caller.workspace, None):
        if not batch.changes or any(member in change.unread for change in batch.changes):
            yield await inbox.unread_count(store, member, batch.position)


async def notification_added(info: Info, since: Since = None) -> AsyncGenerator[NotificationAdded, None]:
    _, member = access.own_state(info)
    async for change, reader in visible(info, since):
        if member in change.notified:
            notification = await reader.notification(change.notified[member])
            yield NotificationAdded(position=reader.position, notification=notification)
