"""What a campaign can give, and what was given to whom."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry

from schema.types.campaign import AssetKind, Campaign
from schema.types.context import Info
from schema.types.node import Node

if TYPE_CHECKING:
    from schema.types.influencer import Influencer


@strawberry.enum(description="What became of an asset that was given.")
class AssetDeliveryState(Enum):
    GIVEN = strawberry.enum_value("GIVEN", description="Given; nothing has happened since.")
    OPENED = strawberry.enum_value("OPENED", description="The file or link was opened.")
    ACCEPTED = strawberry.enum_value("ACCEPTED", description="The agreement was signed, or the product selected.")
    DECLINED = strawberry.enum_value("DECLINED", description="The influencer does not want it.")
    FULFILLED = strawberry.enum_value("FULFILLED", description="Paid, shipped or redeemed.")
    CANCELLED = strawberry.enum_value("CANCELLED", description="Taken back.")


@strawberry.type(description="Something that a campaign can give.")
class Asset(Node):
    kind: AssetKind = strawberry.field(description="What it is.")
    name: str = strawberry.field(description="The name to show.")
    url: str | None = strawberry.field(
        default=None, description="Where the file, the link's target, the agreement or the product is found."
    )
    amount: str | None = strawberry.field(default=None, description="A payment's amount, as a decimal number.")
    currency: str | None = strawberry.field(default=None, description="A payment's currency, as ISO 4217 names it.")
    created_at: datetime = strawberry.field(description="When it was created.")
    campaign_id: strawberry.Private[str]

    @strawberry.field(description="The campaign that it belongs to.")
    async def campaign(self, info: Info) -> Campaign:
        return await info.context.reader.campaign(self.campaign_id)


@strawberry.type(description="An asset as it was given to one influencer.")
class AssetDelivery(Node):
    state: AssetDeliveryState = strawberry.field(description="What became of it.")
    url: str | None = strawberry.field(default=None, description="The influencer's own address of it.")
    code: str | None = strawberry.field(default=None, description="The influencer's own coupon code.")
    given_at: datetime = strawberry.field(description="When it was given.")
    asset_id: strawberry.Private[str]
    influencer_id: strawberry.Private[str]

    @strawberry.field(description="What was given.")
    async def asset(self, info: Info) -> Asset:
        return await info.context.reader.asset(self.asset_id)

    @strawberry.field(description="To whom it was given.")
    async def influencer(self, info: Info) -> Annotated[Influencer, strawberry.lazy("schema.types.influencer")]:
        return await info.context.reader.influencer(self.influencer_id)
