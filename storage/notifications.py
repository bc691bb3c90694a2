"""Notifications of one member."""

from __future__ import annotations

from schema.types.context import Caller
from schema.types.errors import not_found
from schema.types.notification import Notification, NotificationConnection
from storage.changes import Turn
from storage.cursors import Section
from storage.indexes import NOTIFICATIONS
from storage.log import Outcome
from storage.pages import newest_page
from storage.reader import StoreReader
from storage.store import Store


async def notification_page(
    reader: StoreReader, member: str, first: int | None, after: str | None
) -> NotificationConnection:
    """A page of the member's notifications, newest first."""
    filter = {"member_id": member}
    return await newest_page(
        reader, NotificationConnection, Notification, Section.NOTIFICATIONS, filter, NOTIFICATIONS, first, after
    )


async def mark_notifications_read(store: Store, caller: Caller, member: str, ids: list[str]) -> Outcome[None]:
    """Marks the member's notifications as read, which leaves the messages as they are. Raises NOT_FOUND."""

    async def plan(turn: Turn) -> None:
        notifications = await turn.get_many("notifications", ids)
        unread = []
        for id in dict.fromkeys(ids):
            notification = notifications.get(id)
            if notification is None or notification["member_id"] != member:
                raise not_found(id)
            if not notification["read"]:
                unread.append(id)
        if not unread:
            return
        change = turn.begin("NOTIFICATIONS_READ", *unread, only=member)
        for id in unread:
            turn.put(change, "notifications", id, {"read": 1})

    return await store.log.change(caller, plan)
