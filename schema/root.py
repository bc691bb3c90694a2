"""The API's table of contents: read this file and you have read what there is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import strawberry
from strawberry.schema.config import StrawberryConfig

from resolvers import (
    campaigns,
    drafts,
    influencers,
    live,
    mailboxes,
    members,
    messages,
    queries,
    reading,
    tags,
)  # fmt: skip
from schema.types.asset import Asset, AssetDelivery
from schema.types.campaign import Campaign, Participation
from schema.types.change import Change, InboxEvent, MessageAdded, NotificationAdded, ThreadEvent
from schema.types.draft import Draft
from schema.types.influencer import Influencer, Note
from schema.types.mailbox import Mailbox, MailboxChanged, QuarantinedMail
from schema.types.member import Member, Partner, Workspace
from schema.types.message import Message
from schema.types.node import VIEWER
from schema.types.notification import Notification
from schema.types.scalars import DATE_TIME
from schema.types.tag import Tag, Variable
from schema.types.thread import Thread, UnreadCount


def mutation(resolver: Callable[..., Any], description: str) -> Any:
    """A mutation, whose one argument says what to do."""
    field = strawberry.mutation(resolver, description=description)
    field.arguments[0].description = "What to do."
    return field


def subscription(resolver: Callable[..., Any], event: type, description: str, per_viewer: bool = False) -> Any:
    """A subscription, whose resolver returns the feed of its events."""
    metadata = VIEWER if per_viewer else {}
    return strawberry.subscription(resolver, graphql_type=event, description=description, metadata=metadata)


@strawberry.type(description="Reading. Everything in one answer is at least as new as `viewer.position`.")
class Query:
    viewer = strawberry.field(queries.viewer, description="Who this request speaks for.")
    node = strawberry.field(queries.node, description="An object by its id; NOT_FOUND where there is none.")
    nodes = strawberry.field(
        queries.nodes, description="Objects by their ids, in that order; null with a NOT_FOUND for each there is none."
    )
    inbox = strawberry.field(
        queries.inbox,
        description="Everyone: the viewer's unread threads first, then the rest, each newest first, who was never "
        "written to last. `search` matches the beginnings of words of names, handles and addresses.",
    )
    thread = strawberry.field(queries.thread, description="A conversation by its id; NOT_FOUND where there is none.")
    influencer = strawberry.field(
        influencers.influencer, description="An influencer by id, address, handle or external id; null where nobody is."
    )
    unread_count = strawberry.field(reading.unread_count, description="How much the viewer has not read.")
    notifications = strawberry.field(reading.notifications, description="The viewer's notifications, newest first.")
    changes = strawberry.field(
        queries.changes,
        description="What changed after a position, for a client that was away. RESYNC_REQUIRED where that is lost.",
    )
    campaigns = strawberry.field(campaigns.campaigns, description="The workspace's campaigns, newest first.")
    variables = strawberry.field(tags.variables, description="The workspace's custom variables, by name.")
    tags = strawberry.field(tags.tags, description="The workspace's tags, in the order of their names.")
    tokens = strawberry.field(members.tokens, description="The workspace's tokens, without the secrets. For an ADMIN.")
    members = strawberry.field(members.members, description="The team, in the order they joined.")
    mailbox_providers = strawberry.field(
        mailboxes.mailbox_providers, description="The providers by which mailboxes can be connected with OAuth 2."
    )
    quarantined_mails = strawberry.field(
        mailboxes.quarantined_mails, description="Mails that could not be taken in, newest first."
    )
    mailboxes = strawberry.field(mailboxes.mailboxes, description="The connected mailboxes, in the order they were.")
    rate_limit = strawberry.field(queries.rate_limit, description="What this request costs, and what is left.")


@strawberry.type(description="Changing. What is refused is told in `userErrors`, and changes nothing.")
class Mutation:
    create_influencer = mutation(influencers.create_influencer, description="Adds an influencer.")
    update_influencer = mutation(influencers.update_influencer, description="Changes an influencer.")
    archive_influencers = mutation(
        influencers.archive_influencers,
        description="Takes influencers out of the inbox and the counts; a new message brings them back.",
    )
    restore_influencers = mutation(influencers.restore_influencers, description="Brings influencers back.")
    tag_influencers = mutation(tags.tag_influencers, description="Adds and takes away tags.")
    add_note = mutation(influencers.add_note, description="Notes something on an influencer.")
    delete_note = mutation(influencers.delete_note, description="Deletes a note.")
    create_tag = mutation(tags.create_tag, description="Creates a tag. For an ADMIN.")
    update_tag = mutation(tags.update_tag, description="Changes a tag. For an ADMIN.")
    delete_tag = mutation(tags.delete_tag, description="Deletes a tag. For an ADMIN.")
    create_variable = mutation(tags.create_variable, description="Defines a custom variable. For an ADMIN.")
    update_variable = mutation(tags.update_variable, description="Renames a custom variable. For an ADMIN.")
    delete_variable = mutation(tags.delete_variable, description="Deletes a custom variable. For an ADMIN.")
    create_campaign = mutation(campaigns.create_campaign, description="Creates a campaign.")
    update_campaign = mutation(campaigns.update_campaign, description="Changes a campaign.")
    set_participation = mutation(
        campaigns.set_participation, description="Puts influencers into a campaign, or gives them a status in it."
    )
    send_message = mutation(messages.send_message, description="Sends a message to an influencer.")
    receive_message = mutation(
        messages.receive_message,
        description="Hands in what an influencer wrote. For partners with the scope messages:ingest.",
    )
    mark_thread_read = mutation(
        reading.mark_thread_read, description="Reads a thread up to a message. What is read already stays so."
    )
    mark_threads_read = mutation(
        reading.mark_threads_read, description="Reads threads whole: those named, or all that are unread."
    )
    mark_message_unread = mutation(
        reading.mark_message_unread,
        description="Makes a thread unread from a message on: it returns to the viewer's top, with a new notification.",
    )
    mark_notifications_read = mutation(
        reading.mark_notifications_read, description="Marks notifications as seen; the messages stay as they are."
    )
    resolve_delivery = mutation(
        messages.resolve_delivery,
        description="Says what became of an e-mail whose outcome is unknown, or sends one again that failed.",
    )
    save_draft = mutation(drafts.save_draft, description="Saves what the viewer has begun to write in a thread.")
    delete_draft = mutation(drafts.delete_draft, description="Deletes a draft of the viewer's.")
    connect_mailbox = mutation(
        mailboxes.connect_mailbox, description="Connects a mailbox by a password, once its servers have let us in."
    )
    begin_mailbox_authorization = mutation(
        mailboxes.begin_mailbox_authorization,
        description="Begins to connect a mailbox through its provider, by OAuth 2.",
    )
    update_mailbox = mutation(mailboxes.update_mailbox, description="Changes a mailbox. For its owner or an ADMIN.")
    disconnect_mailbox = mutation(
        mailboxes.disconnect_mailbox,
        description="Disconnects a mailbox; what came and went by it stays. For its owner or an ADMIN.",
    )
    set_default_mailbox = mutation(
        mailboxes.set_default_mailbox, description="Chooses the mailbox that e-mail goes from where none is named."
    )
    check_mailbox = mutation(
        mailboxes.check_mailbox, description="Has a mailbox compared with its server, and gaps filled."
    )
    retry_quarantined_mail = mutation(
        mailboxes.retry_quarantined_mail, description="Has a mail that could not be taken apart tried once more."
    )
    discard_quarantined_mail = mutation(
        mailboxes.discard_quarantined_mail, description="Puts a mail out of the way that is not needed."
    )
    create_member = mutation(
        members.create_member, description="Adds a member, who starts with everything read. For an ADMIN."
    )
    update_member = mutation(members.update_member, description="Changes a member. For an ADMIN.")
    remove_member = mutation(
        members.remove_member, description="Removes a member, whose tokens cease to be accepted. For an ADMIN."
    )
    create_token = mutation(members.create_token, description="Makes a token. For an ADMIN.")
    revoke_token = mutation(
        members.revoke_token, description="Revokes a token; its streams end within five seconds. For an ADMIN."
    )


@strawberry.type(
    description="Following the log. With `since`, a position, what came after it comes first, then what happens, "
    "without a hole or a repetition; RESYNC_REQUIRED where that cannot be kept."
)
class Subscription:
    message_added = subscription(
        live.message_added, MessageAdded, "Every message that is added, or those of one thread or campaign."
    )
    thread_changed = subscription(
        live.thread_changed, ThreadEvent, "What happens in a thread: messages, the influencer, what is unread."
    )
    inbox_changed = subscription(
        live.inbox_changed,
        InboxEvent,
        "Which threads come into a view of the inbox, change in it, or leave it.",
        per_viewer=True,
    )
    unread_count = subscription(
        live.unread_count,
        UnreadCount,
        "The viewer's unread count: now, then after every change of it.",
        per_viewer=True,
    )
    mailbox_changed = subscription(live.mailbox_changed, MailboxChanged, "Every change of how a mailbox is.")
    notification_added = subscription(
        live.notification_added, NotificationAdded, "Every notification that the viewer gets.", per_viewer=True
    )
    changed = subscription(
        live.changed,
        Change,
        "Every change that concerns the viewer, of whatever it is, with the objects that differ after it: what the "
        "query `changes` tells.",
        per_viewer=True,
    )


schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[
        Asset, AssetDelivery, Campaign, Draft, Influencer, Mailbox, Member, Message, Note, Notification, Participation,
        Partner, QuarantinedMail, Tag, Thread, Variable, Workspace,
    ],
    config=StrawberryConfig(scalar_map={datetime: DATE_TIME}),
)  # fmt: skip


def print_schema() -> str:
    """The schema in GraphQL's own language, as `schema/schema.graphql` holds it."""
    return f"{schema.as_str().strip()}\n"
