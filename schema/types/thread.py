"""Threads: the one conversation with each influencer, as one viewer sees it; and the inbox, which lists them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import strawberry

from schema.types.campaign import Participation
from schema.types.context import Info
from schema.types.draft import Draft
from schema.types.influencer import Influencer
from schema.types.message import Message
from schema.types.node import VIEWER, Node, described
from schema.types.paging import Connection, PageInfo


@dataclass(frozen=True)
class MessagePageArguments:
    """Which messages of a thread are asked for."""

    first: int | None
    after: str | None
    last: int | None
    before: str | None
    around: str | None
    campaign: str | None


@strawberry.type(description="A page of a thread's messages, in the order of the log.")
class MessageConnection(Connection[Message]):
    pass


@strawberry.type(description="The one conversation with an influencer. It exists as soon as the influencer does.")
class Thread(Node):
    influencer: Influencer = strawberry.field(description="With whom.")
    unread: bool = strawberry.field(metadata=VIEWER, description="Whether the viewer has unread messages in it.")
    unread_messages: int = strawberry.field(
        metadata=VIEWER, description="How many messages in it the viewer has not read."
    )
    last_message: Message | None = strawberry.field(description="The newest message.")
    last_activity_at: datetime | None = strawberry.field(description="When the newest message came in or went out.")

    @strawberry.field(
        description="Its messages of all channels and kinds, oldest first. Without `first`, `last` or `around` the "
        "newest 25; at most 100."
    )
    async def messages(
        self,
        info: Info,
        first: Annotated[int | None, described("The oldest, this many: 0 to 100.")] = None,
        after: Annotated[str | None, described("A cursor: messages behind it.")] = None,
        last: Annotated[int | None, described("The newest, this many: 0 to 100.")] = None,
        before: Annotated[str | None, described("A cursor: messages ahead of it.")] = None,
        around: Annotated[
            strawberry.ID | None,
            described(
                "A message's id: a page of the size `first` or `last` with it in the middle, or as near to that as the "
                "ends of the list allow."
            ),
        ] = None,
        campaign_id: Annotated[strawberry.ID | None, described("Only messages of this campaign.")] = None,
    ) -> MessageConnection:
        arguments = MessagePageArguments(first, after, last, before, around, campaign_id)
        return await info.context.reader.messages(self.id, arguments)

    @strawberry.field(metadata=VIEWER, description="What the viewer has begun to write in it.")
    async def draft(self, info: Info) -> Draft | None:
        return await info.context.reader.draft(self.id)

    @strawberry.field(
        description="The campaigns that its influencer is in or was taken out of, newest first, with what is unread."
    )
    async def participations(self, info: Info) -> list[Participation]:
        return await info.context.reader.participations(self.influencer.id)


@strawberry.type(description="A thread's row in an inbox.")
class InboxEdge:
    cursor: str = strawberry.field(
        description="The row's place. Cursors of one inbox compare, as strings, as the inbox is ordered."
    )
    node: Thread = strawberry.field(description="The thread.")
    participations: list[Participation] = strawberry.field(
        description="The influencer's places in the campaigns that the filter names; empty without such a filter."
    )


@strawberry.type(description="A page of an inbox: the viewer's unread threads, then all others, each newest first.")
class InboxConnection:
    edges: list[InboxEdge] = strawberry.field(description="The rows.")
    page_info: PageInfo = strawberry.field(description="Where this page lies in the inbox.")
    position: str = strawberry.field(
        description="The log position at which the first page was read: `inboxChanged(since:)` with it tells at least "
        "what changed while paging."
    )

    @strawberry.field(description="The threads without their cursors.")
    def nodes(self) -> list[Thread]:
        return [edge.node for edge in self.edges]


@strawberry.input(description="Which threads an inbox holds. All that is given must hold.")
class InboxFilter:
    campaign_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="Only influencers who are in any of these campaigns."
    )
    tag_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="Only influencers who have any of these tags."
    )
    unread_only: bool | None = strawberry.field(default=None, description="Only threads that the viewer has not read.")


@strawberry.type(description="How much the viewer has not read. Archived threads don't count.")
class UnreadCount:
    id: strawberry.ID = strawberry.field(description="The viewer's id: there is one count for each.")
    threads: int = strawberry.field(description="How many threads have unread messages.")
    messages: int = strawberry.field(description="How many messages are unread.")
    position: str = strawberry.field(
        description="Everything up to this log position is counted. Of two counts the one with the later position wins."
    )
