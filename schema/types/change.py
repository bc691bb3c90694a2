"""The log as clients see it: what changed, in order, and what differs after it."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import strawberry

from schema.types.context import Info
from schema.types.message import Message
from schema.types.node import VIEWER, Actor, Node
from schema.types.notification import Notification
from schema.types.thread import InboxEdge, Thread


@strawberry.enum(description="What kind of change it was.")
class ChangeKind(Enum):
    MEMBER_ADDED = strawberry.enum_value("MEMBER_ADDED", description="A member joined.")
    MEMBER_CHANGED = strawberry.enum_value("MEMBER_CHANGED", description="A member's name or role changed.")
    MEMBER_REMOVED = strawberry.enum_value("MEMBER_REMOVED", description="A member was removed.")
    PARTNER_ADDED = strawberry.enum_value("PARTNER_ADDED", description="A partner app was added.")
    TAG_ADDED = strawberry.enum_value("TAG_ADDED", description="A tag was created.")
    TAG_CHANGED = strawberry.enum_value("TAG_CHANGED", description="A tag's name or colour changed.")
    TAG_DELETED = strawberry.enum_value("TAG_DELETED", description="A tag was deleted.")
    VARIABLE_ADDED = strawberry.enum_value("VARIABLE_ADDED", description="A custom variable was defined.")
    VARIABLE_CHANGED = strawberry.enum_value("VARIABLE_CHANGED", description="A custom variable was renamed.")
    VARIABLE_DELETED = strawberry.enum_value("VARIABLE_DELETED", description="A custom variable was deleted.")
    CAMPAIGN_ADDED = strawberry.enum_value("CAMPAIGN_ADDED", description="A campaign was created.")
    CAMPAIGN_CHANGED = strawberry.enum_value("CAMPAIGN_CHANGED", description="A campaign changed.")
    PARTICIPATION_ADDED = strawberry.enum_value("PARTICIPATION_ADDED", description="Somebody came into a campaign.")
    PARTICIPATION_CHANGED = strawberry.enum_value("PARTICIPATION_CHANGED", description="A campaign status changed.")
    ASSET_ADDED = strawberry.enum_value("ASSET_ADDED", description="An asset was added to a campaign.")
    ASSET_DELIVERY_CHANGED = strawberry.enum_value(
        "ASSET_DELIVERY_CHANGED", description="What became of a given asset."
    )
    INFLUENCER_ADDED = strawberry.enum_value("INFLUENCER_ADDED", description="An influencer was added.")
    INFLUENCER_CHANGED = strawberry.enum_value(
        "INFLUENCER_CHANGED", description="Data or tags of an influencer changed."
    )
    INFLUENCER_ARCHIVED = strawberry.enum_value("INFLUENCER_ARCHIVED", description="An influencer was archived.")
    INFLUENCER_RESTORED = strawberry.enum_value("INFLUENCER_RESTORED", description="An influencer was restored.")
    NOTE_ADDED = strawberry.enum_value("NOTE_ADDED", description="A note was added to an influencer.")
    NOTE_DELETED = strawberry.enum_value("NOTE_DELETED", description="A note was deleted.")
    MESSAGE_ADDED = strawberry.enum_value("MESSAGE_ADDED", description="A message came in or went out.")
    MESSAGE_CHANGED = strawberry.enum_value("MESSAGE_CHANGED", description="How far a message has come changed.")
    MAILBOX_ADDED = strawberry.enum_value("MAILBOX_ADDED", description="A mailbox was connected.")
    MAILBOX_CHANGED = strawberry.enum_value("MAILBOX_CHANGED", description="How a mailbox is or may be used changed.")
    MAIL_QUARANTINED = strawberry.enum_value("MAIL_QUARANTINED", description="A mail came that could not be taken in.")
    QUARANTINE_CHANGED = strawberry.enum_value("QUARANTINE_CHANGED", description="What became of such a mail.")
    DRAFT_SAVED = strawberry.enum_value("DRAFT_SAVED", description="The viewer saved a draft.")
    DRAFT_DELETED = strawberry.enum_value("DRAFT_DELETED", description="The viewer deleted or sent a draft.")
    THREAD_READ = strawberry.enum_value("THREAD_READ", description="The viewer read a thread.")
    THREAD_MARKED_UNREAD = strawberry.enum_value("THREAD_MARKED_UNREAD", description="The viewer marked as unread.")
    NOTIFICATIONS_READ = strawberry.enum_value("NOTIFICATIONS_READ", description="The viewer read notifications.")
    REPAIRED = strawberry.enum_value("REPAIRED", description="Derived values were recounted and put right.")


@strawberry.type(description="One position of the workspace's log.")
class Change:
    position: str = strawberry.field(description="Its position, which is a `since`.")
    kind: ChangeKind = strawberry.field(description="What kind of change it was.")
    at: datetime = strawberry.field(description="When it was made.")
    nodes: list[Node] = strawberry.field(
        description="The objects that differ after it for the viewer, as they are now: replacing what is known of them "
        "brings a client up to date."
    )
    removed_ids: list[strawberry.ID] = strawberry.field(
        description="Ids of objects that are no longer there: drop them wherever they are listed."
    )
    actor_id: strawberry.Private[str]

    @strawberry.field(description="Who made it.")
    async def actor(self, info: Info) -> Actor:
        return await info.context.reader.actor(self.actor_id)


@strawberry.type(description="What changed after a position.")
class ChangePage:
    changes: list[Change] = strawberry.field(
        description="The changes that concern the viewer, in the order of the log."
    )
    position: str = strawberry.field(description="Everything up to it is in this page or before it; the next `since`.")
    has_more: bool = strawberry.field(description="Whether there is more after `position` already.")


@strawberry.type(description="A message that was added to the log.")
class MessageAdded:
    position: str = strawberry.field(description="The log position, which is a `since`.")
    message: Message = strawberry.field(description="The message.")


@strawberry.enum(description="What happened in a thread.")
class ThreadEventKind(Enum):
    MESSAGE_ADDED = strawberry.enum_value("MESSAGE_ADDED", description="`message` was added.")
    MESSAGE_UPDATED = strawberry.enum_value("MESSAGE_UPDATED", description="`message` changed.")
    THREAD_UPDATED = strawberry.enum_value(
        "THREAD_UPDATED", description="The thread, its influencer or what is unread in it changed."
    )


@strawberry.type(description="Something that happened in a thread.")
class ThreadEvent:
    position: str = strawberry.field(description="The log position, which is a `since`.")
    kind: ThreadEventKind = strawberry.field(description="What happened.")
    message: Message | None = strawberry.field(description="The message that was added or changed.")
    message_id: strawberry.ID | None = strawberry.field(description="The id of the message that it is about.")
    thread_id: strawberry.Private[str]
    marked: strawberry.Private[dict[str, list[int]]]  # member -> messages of this span became (un)read

    @strawberry.field(description="The thread as it is now.")
    async def thread(self, info: Info) -> Thread:
        return await info.context.reader.thread(self.thread_id)

    @strawberry.field(
        metadata=VIEWER,
        description="The messages whose `unread` differs for the viewer because the thread was read or marked unread.",
    )
    async def read_messages(self, info: Info) -> list[Message]:
        reader = info.context.reader
        span = self.marked.get(reader.caller.member or "")
        return await reader.messages_between(self.thread_id, *span) if span else []


@strawberry.enum(description="What happened to a thread in an inbox view.")
class InboxEventKind(Enum):
    MOVED_IN = strawberry.enum_value("MOVED_IN", description="It came into the view.")
    CHANGED = strawberry.enum_value("CHANGED", description="Its row or its place changed.")
    LEFT = strawberry.enum_value("LEFT", description="It left the view.")


@strawberry.type(description="Something that happened in an inbox view.")
class InboxEvent:
    position: str = strawberry.field(description="The log position, which is a `since`.")
    kind: InboxEventKind = strawberry.field(description="What happened.")
    thread_id: strawberry.ID = strawberry.field(description="The thread that it happened to.")
    edge: InboxEdge | None = strawberry.field(
        description="The thread's row with the cursor that tells its new place; null where it left."
    )

    @strawberry.field(description="The thread as it is now; null where it left.")
    def thread(self) -> Thread | None:
        return self.edge.node if self.edge else None


@strawberry.type(description="A notification for the viewer.")
class NotificationAdded:
    position: str = strawberry.field(description="The log position, which is a `since`.")
    notification: Notification = strawberry.field(description="The notification.")
