"""Subscriptions: what each tells of a change, if anything.

What an event says of an object is its state at that change or later, so applying one twice does no harm. An event is
told once for all who ask the same, so what differs from viewer to viewer is behind a field that says so (`VIEWER`).
"""

from __future__ import annotations

import strawberry

from resolvers import access
from resolvers.changes import told
from resolvers.context import Info
from resolvers.feed import Feed, Told, of_changes
from schema.types.arguments import Filter, OnlyCampaignId, OnlyThreadId, Since, ThreadId
from schema.types.change import (
    InboxEvent,
    InboxEventKind,
    MessageAdded,
    NotificationAdded,
    ThreadEvent,
    ThreadEventKind,
)
from schema.types.mailbox import MailboxChanged
from schema.types.node import kind_of
from storage import inbox
from storage.changes import Change
from storage.cursors import Section
from storage.feed import Batch
from storage.inbox import View, view_of
from storage.mailboxes import changed_mailbox
from storage.reader import StoreReader


async def message_added(
    info: Info, since: Since = None, thread_id: OnlyThreadId = None, campaign_id: OnlyCampaignId = None
) -> Feed:
    access.to_read(info)
    if thread_id is not None:
        kind_of(thread_id)
        await info.context.reader.thread(thread_id)
    if campaign_id is not None:
        await info.context.reader.campaign(campaign_id)

    async def tell(change: Change, position: str, reader: StoreReader) -> MessageAdded | None:
        if change.message is None or (thread_id is not None and change.thread != thread_id):
            return None
        message = await reader.message_of(change)
        if campaign_id is not None and message.campaign_id != campaign_id:
            return None
        return MessageAdded(position=position, message=message)

    return of_changes(since, tell)


async def thread_changed(info: Info, thread_id: ThreadId, since: Since = None) -> Feed:
    access.to_read(info)
    kind_of(thread_id)
    await info.context.reader.thread(thread_id)

    async def tell(change: Change, position: str, reader: StoreReader) -> ThreadEvent | None:
        return await thread_event(change, position, reader) if change.thread == thread_id else None

    return of_changes(since, tell)


async def thread_event(change: Change, position: str, reader: StoreReader) -> ThreadEvent:
    assert change.thread is not None
    message = await reader.message_of(change) if change.message else None
    if change.changed is not None:
        message = await reader.message(change.changed)
    return ThreadEvent(
        position=position,
        kind=kind_of_event(change),
        message=message,
        message_id=message.id if message else None,
        thread_id=change.thread,
        marked=change.marked,
    )


def kind_of_event(change: Change) -> ThreadEventKind:
    if change.message is not None:
        return ThreadEventKind.MESSAGE_ADDED
    return ThreadEventKind.THREAD_UPDATED if change.changed is None else ThreadEventKind.MESSAGE_UPDATED


async def mailbox_changed(info: Info, since: Since = None) -> Feed:
    access.to_read(info)

    async def tell(change: Change, position: str, reader: StoreReader) -> MailboxChanged | None:
        mailbox = changed_mailbox(change)
        return MailboxChanged(position=position, mailbox=await reader.mailbox(mailbox)) if mailbox else None

    return of_changes(since, tell)


async def inbox_changed(info: Info, since: Since = None, filter: Filter = None) -> Feed:
    access.to_read(info)
    view = view_of(filter)

    async def tell(change: Change, position: str, reader: StoreReader) -> InboxEvent | None:
        if change.thread is None or change.now is None:
            return None
        return await inbox_event(change, position, reader, view, change.thread)

    return of_changes(since, tell)


async def inbox_event(
    change: Change, position: str, reader: StoreReader, view: View, thread_id: str
) -> InboxEvent | None:
    """What a change means for a view; None where the thread is in it neither before nor after."""
    assert change.now is not None
    edge = await inbox.inbox_row(reader, view, thread_id)
    is_unread = edge.cursor.startswith(str(Section.UNREAD.value))
    counts = change.unread.get(reader.caller.member or "", None)
    unread_before, unread_after = (counts[0] > 0, counts[1] > 0) if counts else (is_unread, is_unread)
    was_in = view.holds(change.was or change.now, unread_before)
    is_in = view.holds(change.now, unread_after)
    if not was_in and not is_in:
        return None
    kind = InboxEventKind.CHANGED if was_in and is_in else InboxEventKind.MOVED_IN if is_in else InboxEventKind.LEFT
    return InboxEvent(position=position, kind=kind, thread_id=strawberry.ID(thread_id), edge=edge if is_in else None)


async def unread_count(info: Info) -> Feed:
    _, member = access.own_state(info)

    async def tell(batch: Batch, reader: StoreReader) -> list[Told]:
        """One count for a whole batch: it is absolute, so those in between say nothing more."""
        if batch.changes and not any(counts_differ(change, member) for change in batch.changes):
            return []
        count = await reader.store.counts.unread(member, batch.position, batch.reached)
        return [Told(count, batch.reached)]

    return Feed(None, tell)


def counts_differ(change: Change, member: str) -> bool:
    before, after = change.unread.get(member, (0, 0))
    return before != after


async def notification_added(info: Info, since: Since = None) -> Feed:
    _, member = access.own_state(info)

    async def tell(change: Change, position: str, reader: StoreReader) -> NotificationAdded | None:
        if member not in change.notified:
            return None
        return NotificationAdded(position=position, notification=await reader.notification(change.notified[member]))

    return of_changes(since, tell)


async def changed(info: Info, since: Since = None) -> Feed:
    access.to_read(info)
    return of_changes(since, told)
