"""Drafts: what a member has begun to write in a thread. Each member has one in each thread, which nobody else sees."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from schema.types.campaign import Campaign
from schema.types.context import Info
from schema.types.mailbox import Mailbox
from schema.types.message import Attachment, MessageChannel, with_remote_images
from schema.types.node import Node

if TYPE_CHECKING:
    from schema.types.thread import Thread


@strawberry.type(description="What the viewer has begun to write in a thread. Nobody else sees it.")
class Draft(Node):
    channel: MessageChannel = strawberry.field(description="How it is to travel.")
    subject: str | None = strawberry.field(default=None, description="The subject so far.")
    text: str = strawberry.field(description="The text so far; may be empty.")
    cc: list[str] = strawberry.field(description="Addresses that get a copy.")
    attachments: list[Attachment] = strawberry.field(description="Files that are to go with it.")
    updated_at: datetime = strawberry.field(description="When it was last saved.")
    member_id: strawberry.Private[str]
    thread_id: strawberry.Private[str]
    campaign_id: strawberry.Private[str | None] = None
    mailbox_id: strawberry.Private[str | None] = None
    safe_html: strawberry.Private[str | None] = None
    deleted: strawberry.Private[bool] = False

    @strawberry.field(description="The same as HTML, made safe, with all the images that its author has put in.")
    def html(self) -> str | None:
        return with_remote_images(self.safe_html) if self.safe_html is not None else None

    @strawberry.field(description="The conversation that it belongs to.")
    async def thread(self, info: Info) -> Annotated[Thread, strawberry.lazy("schema.types.thread")]:
        return await info.context.reader.thread(self.thread_id)

    @strawberry.field(description="The campaign that it is to belong to.")
    async def campaign(self, info: Info) -> Campaign | None:
        return await info.context.reader.campaign(self.campaign_id) if self.campaign_id else None

    @strawberry.field(description="The mailbox that it is to go from.")
    async def mailbox(self, info: Info) -> Mailbox | None:
        return await info.context.reader.mailbox(self.mailbox_id) if self.mailbox_id else None
