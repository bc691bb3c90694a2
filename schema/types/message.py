"""Messages: one item in a thread, whatever the channel it came or went by."""

from __future__ import annotations

import re
from datetime import datetime
from enum import Enum
from html import escape
from typing import TYPE_CHECKING, Annotated

import strawberry

from schema.types.asset import AssetDelivery
from schema.types.campaign import Campaign
from schema.types.context import Info
from schema.types.mailbox import Mailbox
from schema.types.node import VIEWER, Actor, Node, described

if TYPE_CHECKING:
    from schema.types.thread import Thread

PREVIEW = 140
REMOTE = ' data-remote-src="'  # what a remote image has in stored HTML, instead of its `src`

IMAGE = re.compile(r'src="cid:([^"]*)"')  # one that came with the mail


def with_remote_images(html: str) -> str:
    """Stored HTML as it was written: with the images that are fetched from elsewhere."""
    return html.replace(REMOTE, ' src="')


@strawberry.enum(description="How a message travels.")
class MessageChannel(Enum):
    PLATFORM = strawberry.enum_value("PLATFORM", description="On the platform.")
    EMAIL = strawberry.enum_value("EMAIL", description="By e-mail.")


@strawberry.enum(description="On what occasion a message was written.")
class MessageKind(Enum):
    DIRECT = strawberry.enum_value("DIRECT", description="To this person, outside of any campaign.")
    CAMPAIGN = strawberry.enum_value("CAMPAIGN", description="To this person, within a campaign.")
    MASS = strawberry.enum_value("MASS", description="One of many that were sent together.")
    RECRUIT = strawberry.enum_value("RECRUIT", description="An invitation to a campaign.")
    ASSET = strawberry.enum_value("ASSET", description="Given: a file, link, agreement, payment, coupon or gift.")


@strawberry.enum(description="Who wrote to whom.")
class MessageDirection(Enum):
    INBOUND = strawberry.enum_value("INBOUND", description="From the influencer to the brand.")
    OUTBOUND = strawberry.enum_value("OUTBOUND", description="From the brand to the influencer.")


@strawberry.enum(description="How far an outbound message has come.")
class DeliveryState(Enum):
    QUEUED = strawberry.enum_value("QUEUED", description="Waits to be sent.")
    SENDING = strawberry.enum_value("SENDING", description="Is being sent.")
    SENT = strawberry.enum_value("SENT", description="Was taken over by what carries it.")
    DELIVERED = strawberry.enum_value("DELIVERED", description="Its influencer could have read it.")
    BOUNCED = strawberry.enum_value("BOUNCED", description="Came back.")
    COMPLAINED = strawberry.enum_value("COMPLAINED", description="Its reader has reported it as unwanted.")
    FAILED = strawberry.enum_value("FAILED", description="Could not be sent.")
    UNKNOWN = strawberry.enum_value("UNKNOWN", description="Whether it was sent is not known.")


@strawberry.type(description="How far an outbound message has come, and since when.")
class Delivery:
    state: DeliveryState = strawberry.field(description="How far it has come.")
    at: datetime = strawberry.field(description="Since when.")
    detail: str | None = strawberry.field(default=None, description="What the carrier said.")


@strawberry.type(description="A file that came or went with a message.")
class Attachment:
    id: strawberry.ID = strawberry.field(description="The file's id.")
    name: str = strawberry.field(description="The file's name, without any path.")
    content_type: str = strawberry.field(description="What its content is, as found in it.")
    size: int = strawberry.field(description="Its size in bytes.")
    content_id: str | None = strawberry.field(
        default=None, description="By what an e-mail's HTML shows it (`cid:`), without angle brackets."
    )
    is_inline: bool = strawberry.field(
        default=False, description="Whether it is a part of an e-mail's HTML rather than a file that goes with it."
    )

    blob_id: strawberry.Private[str]

    @strawberry.field(
        description="Where it can be fetched, without a token, for at least an hour: ask for it when it is shown."
    )
    def url(self, info: Info) -> str:
        return info.context.reader.file_url(self.id, self.name)


@strawberry.enum(description="In which of an e-mail's headers an address stands.")
class RecipientKind(Enum):
    TO = strawberry.enum_value("TO", description="To whom it is written.")
    CC = strawberry.enum_value("CC", description="Who gets a copy.")
    BCC = strawberry.enum_value(
        "BCC", description="Who gets a copy that the others do not know of: only the person whose thread it is in."
    )


@strawberry.type(description="Somebody whom an e-mail goes or went to.")
class Recipient:
    address: str = strawberry.field(description="The address.")
    kind: RecipientKind = strawberry.field(description="Whether it is for them, or a copy.")
    delivery: Delivery | None = strawberry.field(default=None, description="How far it has come; null if inbound.")


@strawberry.enum(description="How the campaign of an e-mail that came in was found.")
class CampaignMatch(Enum):
    REFERENCES = strawberry.enum_value("REFERENCES", description="It answers a message of this campaign.")
    LATEST = strawberry.enum_value(
        "LATEST",
        description="It names no message that is known, and this campaign is the last one they were written about.",
    )


@strawberry.type(description="One item in a thread: what was written, sent, received or given.")
class Message(Node):
    channel: MessageChannel = strawberry.field(description="How it travels.")
    kind: MessageKind = strawberry.field(description="On what occasion it was written.")
    direction: MessageDirection = strawberry.field(description="Who wrote to whom.")
    automatic: bool = strawberry.field(default=False, description="Whether a machine wrote it; such never make unread.")
    subject: str | None = strawberry.field(default=None, description="An e-mail's subject.")
    text: str = strawberry.field(description="What it says, as plain text, without what an e-mail quotes.")
    quoted_text: str | None = strawberry.field(default=None, description="The earlier mail that an e-mail quotes.")
    signature: str | None = strawberry.field(default=None, description="The signature below an e-mail.")
    sender_address: str | None = strawberry.field(default=None, description="The address that an e-mail is from.")
    recipients: list[Recipient] = strawberry.field(
        default_factory=list, description="Whom an e-mail goes or went to, with how far it has come to each."
    )
    has_remote_images: bool = strawberry.field(
        default=False, description="Whether its HTML has images that are not in it: loading them tells who reads it."
    )
    campaign_match: CampaignMatch | None = strawberry.field(
        default=None, description="How the campaign of an e-mail that came in was found; null where it is given."
    )
    attachments: list[Attachment] = strawberry.field(default_factory=list, description="The files that came with it.")
    sent_at: datetime = strawberry.field(description="When it was written, as its sender says. Never used for sorting.")
    delivery: Delivery | None = strawberry.field(default=None, description="How far it has come; null if inbound.")

    thread_id: strawberry.Private[str]
    author_id: strawberry.Private[str]
    campaign_id: strawberry.Private[str | None] = None
    asset_delivery_id: strawberry.Private[str | None] = None
    key: strawberry.Private[str | None] = None  # the author's idempotency key
    mailbox_id: strawberry.Private[str | None] = None
    mail_id: strawberry.Private[str | None] = None  # an e-mail's Message-ID, with angle brackets
    references: strawberry.Private[list[str]] = strawberry.field(default_factory=list)  # Message-IDs that it answers
    raw_id: strawberry.Private[str | None] = None  # the blob of the mail as it came
    safe_html: strawberry.Private[str | None] = None
    order: strawberry.Private[int]  # its log position: its place in the timeline
    counted: strawberry.Private[int]  # how many messages of the thread can be unread, up to and with this one

    unread: bool = strawberry.field(
        default=False, metadata=VIEWER, description="Whether the viewer has it among their unread messages."
    )

    @property
    def countable(self) -> bool:
        """Whether it makes a thread unread: only what an influencer wrote with their own hand does."""
        return self.direction is MessageDirection.INBOUND and not self.automatic

    @strawberry.field(description="The first words of the text, on one line.")
    def preview(self) -> str:
        line = " ".join(self.text[: 4 * PREVIEW].split())
        return line if len(line) <= PREVIEW else line[: PREVIEW - 1].rstrip() + "…"

    @strawberry.field(metadata=VIEWER, description="The key that its author sent it with; null for everyone else.")
    def idempotency_key(self, info: Info) -> str | None:
        return self.key if info.context.reader.caller.id == self.author_id else None

    @strawberry.field(
        description="What it says, as HTML made safe, with what it quotes. Show it in a sandboxed frame nevertheless."
    )
    def html(
        self,
        info: Info,
        remote_images: Annotated[
            bool, described("Whether images that are not in it are to be loaded, which tells who reads it.")
        ] = False,
    ) -> str | None:
        if self.safe_html is None:
            return None
        shown = with_remote_images(self.safe_html) if remote_images else self.safe_html
        images = {escape(each.content_id): each for each in self.attachments if each.content_id}

        def from_here(image: re.Match[str]) -> str:
            found = images.get(image[1])
            return f'src="{escape(info.context.reader.file_url(found.id, found.name))}"' if found else image[0]

        return IMAGE.sub(from_here, shown) if images else shown

    @strawberry.field(
        description="Where an e-mail that was found in a mailbox can be fetched as it came, with its whole header but "
        "for Bcc, without a token, for at least an hour; null for everything else."
    )
    def raw_url(self, info: Info) -> str | None:
        return info.context.reader.raw_url(self.id) if self.raw_id else None

    @strawberry.field(description="The mailbox that an e-mail came to or goes from.")
    async def mailbox(self, info: Info) -> Mailbox | None:
        return await info.context.reader.mailbox(self.mailbox_id) if self.mailbox_id else None

    @strawberry.field(description="The conversation that it belongs to.")
    async def thread(self, info: Info) -> Annotated[Thread, strawberry.lazy("schema.types.thread")]:
        return await info.context.reader.thread(self.thread_id)

    @strawberry.field(description="Who wrote it.")
    async def author(self, info: Info) -> Actor:
        return await info.context.reader.actor(self.author_id)

    @strawberry.field(description="The campaign that it belongs to.")
    async def campaign(self, info: Info) -> Campaign | None:
        return await info.context.reader.campaign(self.campaign_id) if self.campaign_id else None

    @strawberry.field(description="What was given with it, where its kind is ASSET.")
    async def asset(self, info: Info) -> AssetDelivery | None:
        return await info.context.reader.asset_delivery(self.asset_delivery_id) if self.asset_delivery_id else None
