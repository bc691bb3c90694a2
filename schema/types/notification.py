"""Notifications: that something came in for one member, leading to the message that it was."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import strawberry

from schema.types.context import Info
from schema.types.message import Message
from schema.types.node import Node
from schema.types.paging import Connection
from schema.types.thread import Thread


@strawberry.enum(description="Why there is a notification.")
class NotificationReason(Enum):
    MESSAGE_RECEIVED = strawberry.enum_value("MESSAGE_RECEIVED", description="An influencer wrote.")
    MARKED_UNREAD = strawberry.enum_value("MARKED_UNREAD", description="The member marked a message as unread.")


@strawberry.type(description="Tells one member of one message.")
class Notification(Node):
    reason: NotificationReason = strawberry.field(description="Why it is there.")
    read: bool = strawberry.field(description="Whether it was seen, or the thread read up to its message.")
    created_at: datetime = strawberry.field(description="When it was made.")
    member_id: strawberry.Private[str]
    thread_id: strawberry.Private[str]
    message_id: strawberry.Private[str]
    message_order: strawberry.Private[int]
    order: strawberry.Private[int]

    @strawberry.field(description="The message that it leads to.")
    async def message(self, info: Info) -> Message:
        return await info.context.reader.message(self.message_id)

    @strawberry.field(description="The conversation that it leads to.")
    async def thread(self, info: Info) -> Thread:
        return await info.context.reader.thread(self.thread_id)


@strawberry.type(description="A page of the viewer's notifications, newest first.")
class NotificationConnection(Connection[Notification]):
    pass
