"""What a member has read: their own, whatever their role."""

from __future__ import annotations

from resolvers import access, validate
from resolvers.context import Info
from resolvers.refusal import refusable
from schema.types.arguments import After, First
from schema.types.inputs import (
    MarkMessageUnreadInput,
    MarkNotificationsReadInput,
    MarkThreadReadInput,
    MarkThreadsReadInput,
)
from schema.types.node import kind_of
from schema.types.notification import NotificationConnection
from schema.types.payloads import (
    MarkMessageUnreadPayload,
    MarkNotificationsReadPayload,
    MarkThreadReadPayload,
    MarkThreadsReadPayload,
)
from schema.types.thread import UnreadCount
from storage import counts, marks
from storage import notifications as stored


async def unread_count(info: Info) -> UnreadCount:
    _, member = access.own_state(info)
    return await counts.unread_count(info.context.store.database, member, info.context.reader.position)


async def notifications(info: Info, first: First = 25, after: After = None) -> NotificationConnection:
    _, member = access.own_state(info)
    return await stored.notification_page(info.context.reader, member, first, after)


@refusable(MarkThreadReadPayload)
async def mark_thread_read(info: Info, input: MarkThreadReadInput) -> MarkThreadReadPayload:
    caller, member = access.own_state(info)
    kind_of(input.thread_id)
    kind_of(input.up_to_message_id)
    store = info.context.store
    outcome = await marks.mark_thread_read(store, caller, member, input.thread_id, input.up_to_message_id)
    return MarkThreadReadPayload(
        thread=await info.context.reader.thread(input.thread_id),
        unread_count=await counts.unread_count(store.database, member, outcome.position),
        position=outcome.position,
    )


@refusable(MarkThreadsReadPayload)
async def mark_threads_read(info: Info, input: MarkThreadsReadInput) -> MarkThreadsReadPayload:
    caller, member = access.own_state(info)
    store = info.context.store
    threads = None
    if input.thread_ids is None:
        position = (await marks.mark_all_read(store, caller, member)).position
    else:
        ids = validate.ids(list(input.thread_ids), "threadIds")
        position = (await marks.mark_threads_read(store, caller, member, ids)).position
        threads = [await info.context.reader.thread(id) for id in ids]
    count = await counts.unread_count(store.database, member, position)
    return MarkThreadsReadPayload(threads=threads, unread_count=count, position=position)


@refusable(MarkMessageUnreadPayload)
async def mark_message_unread(info: Info, input: MarkMessageUnreadInput) -> MarkMessageUnreadPayload:
    caller, member = access.own_state(info)
    kind_of(input.message_id)
    outcome = await marks.mark_message_unread(info.context.store, caller, member, input.message_id)
    message = await info.context.reader.message(input.message_id)
    return MarkMessageUnreadPayload(
        message=message,
        thread=await info.context.reader.thread(message.thread_id),
        unread_count=await counts.unread_count(info.context.store.database, member, outcome.position),
        position=outcome.position,
    )


@refusable(MarkNotificationsReadPayload)
async def mark_notifications_read(info: Info, input: MarkNotificationsReadInput) -> MarkNotificationsReadPayload:
    caller, member = access.own_state(info)
    ids = validate.ids(list(input.notification_ids), "notificationIds")
    outcome = await stored.mark_notifications_read(info.context.store, caller, member, ids)
    found = [await info.context.reader.notification(id) for id in ids]
    return MarkNotificationsReadPayload(notifications=found, position=outcome.position)
