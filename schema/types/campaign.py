"""Campaigns, and an influencer's place and status in each."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry

from schema.types.context import Info
from schema.types.node import VIEWER, Actor, Node, thread_id_of

if TYPE_CHECKING:
    from schema.types.asset import Asset
    from schema.types.influencer import Influencer
    from schema.types.thread import Thread


@strawberry.enum(description="Where a campaign stands.")
class CampaignState(Enum):
    DRAFT = strawberry.enum_value("DRAFT", description="Being prepared.")
    LIVE = strawberry.enum_value("LIVE", description="Running.")
    ENDED = strawberry.enum_value("ENDED", description="Over; its messages stay.")


@strawberry.enum(description="What a campaign can give to an influencer.")
class AssetKind(Enum):
    FILE = strawberry.enum_value("FILE", description="A file, such as a briefing.")
    TRACKING_LINK = strawberry.enum_value("TRACKING_LINK", description="A link that counts its clicks.")
    AGREEMENT = strawberry.enum_value("AGREEMENT", description="An agreement to sign; needs a platform account.")
    PAYMENT = strawberry.enum_value("PAYMENT", description="A payment; needs a platform account.")
    COUPON_CODE = strawberry.enum_value("COUPON_CODE", description="A coupon code of their own.")
    PRODUCT = strawberry.enum_value("PRODUCT", description="A product as a gift.")


@strawberry.enum(description="An influencer's status in a campaign.")
class ParticipationStatus(Enum):
    ADDED = strawberry.enum_value("ADDED", description="In the campaign, not yet asked.")
    INVITED = strawberry.enum_value("INVITED", description="Asked to take part.")
    APPLIED = strawberry.enum_value("APPLIED", description="Asked by themselves to take part.")
    ACCEPTED = strawberry.enum_value("ACCEPTED", description="Takes part.")
    DECLINED = strawberry.enum_value("DECLINED", description="Does not want to take part.")
    REJECTED = strawberry.enum_value("REJECTED", description="The brand does not want them in it.")
    COMPLETED = strawberry.enum_value("COMPLETED", description="Has done what was agreed.")
    REMOVED = strawberry.enum_value("REMOVED", description="Taken out of the campaign.")


@strawberry.type(description="A campaign.")
class Campaign(Node):
    name: str = strawberry.field(description="The name, unique in the workspace whatever its case.")
    state: CampaignState = strawberry.field(description="Where it stands.")
    asset_kinds: list[AssetKind] = strawberry.field(description="What it can give.")
    created_at: datetime = strawberry.field(description="When it was created.")

    @strawberry.field(description="What it can give, newest first.")
    async def assets(self, info: Info) -> list[Annotated[Asset, strawberry.lazy("schema.types.asset")]]:
        return await info.context.reader.assets(self.id)


@strawberry.type(description="A status that was set.")
class StatusChange:
    status: ParticipationStatus = strawberry.field(description="The status.")
    at: datetime = strawberry.field(description="When it was set.")
    actor_id: strawberry.Private[str]

    @strawberry.field(description="Who set it.")
    async def actor(self, info: Info) -> Actor:
        return await info.context.reader.actor(self.actor_id)


@strawberry.type(description="An influencer's place in a campaign.")
class Participation(Node):
    status: ParticipationStatus = strawberry.field(description="The status now.")
    history: list[StatusChange] = strawberry.field(description="Every status there was, oldest first.")
    campaign_id: strawberry.Private[str]
    influencer_id: strawberry.Private[str]
    added: strawberry.Private[int]

    unread_messages: int = strawberry.field(
        default=0,
        metadata=VIEWER,
        description="How many of the viewer's unread messages of the thread belong to this campaign.",
    )

    @strawberry.field(description="The campaign.")
    async def campaign(self, info: Info) -> Campaign:
        return await info.context.reader.campaign(self.campaign_id)

    @strawberry.field(description="The influencer.")
    async def influencer(self, info: Info) -> Annotated[Influencer, strawberry.lazy("schema.types.influencer")]:
        return await info.context.reader.influencer(self.influencer_id)

    @strawberry.field(description="The conversation with the influencer.")
    async def thread(self, info: Info) -> Annotated[Thread, strawberry.lazy("schema.types.thread")]:
        return await info.context.reader.thread(thread_id_of(self.influencer_id))
