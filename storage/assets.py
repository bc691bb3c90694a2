"""What a campaign can give, and giving it: an asset that is given is a message of its own in the thread."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from schema.types.asset import Asset, AssetDelivery, AssetDeliveryState
from schema.types.campaign import AssetKind
from schema.types.context import Caller
from schema.types.errors import Refused, UserErrorCode, not_found
from schema.types.message import MessageDirection, MessageKind
from schema.types.node import new_id, thread_id_of
from storage.campaigns import access_campaign
from storage.changes import Turn
from storage.documents import to_document, to_value
from storage.indexes import TIMELINE
from storage.influencers import access_influencer
from storage.log import Outcome
from storage.messages import NewMessage, put_message
from storage.store import Store

NEEDS_ACCOUNT = {AssetKind.AGREEMENT.value, AssetKind.PAYMENT.value}


@dataclass(frozen=True)
class NewAsset:
    kind: AssetKind
    name: str
    url: str | None = None
    amount: str | None = None
    currency: str | None = None


async def create_asset(store: Store, caller: Caller, campaign_id: str, new: NewAsset) -> Outcome[str]:
    """A new asset of a campaign, which then can give assets of its kind."""

    async def plan(turn: Turn) -> str:
        campaign = await access_campaign(turn, campaign_id)
        id = new_id("asset")
        asset = Asset(
            id=id, kind=new.kind, name=new.name, url=new.url, amount=new.amount, currency=new.currency,
            created_at=turn.at, campaign_id=campaign_id,
        )  # fmt: skip
        change = turn.begin("ASSET_ADDED", id, campaign_id)
        turn.put(change, "assets", id, {**to_document(asset), "added": change.position})
        if new.kind.value not in campaign["asset_kinds"]:
            kinds = [*campaign["asset_kinds"], new.kind.value]
            turn.put(change, "campaigns", campaign_id, {"asset_kinds": kinds})
        return id

    return await store.log.change(caller, plan)


async def give_asset(
    store: Store,
    caller: Caller,
    asset_id: str,
    influencer_id: str,
    text: str,
    url: str | None = None,
    code: str | None = None,
    sent_at: datetime | None = None,
) -> Outcome[str]:
    """Gives an asset to an influencer, with a message of kind ASSET; the delivery's id.

    Agreements and payments are refused for influencers without a platform account.
    """

    async def plan(turn: Turn) -> str:
        asset = await turn.get("assets", asset_id)
        if asset is None:
            raise not_found(asset_id)
        influencer = await access_influencer(turn, influencer_id)
        if asset["kind"] in NEEDS_ACCOUNT and not influencer["has_account"]:
            raise Refused(
                UserErrorCode.ACCOUNT_REQUIRED,
                "only influencers with a platform account can be given this",
                "influencerId",
            )
        id = new_id("delivery")
        message = NewMessage(
            thread_id=thread_id_of(influencer_id), direction=MessageDirection.OUTBOUND, kind=MessageKind.ASSET,
            text=text, campaign_id=asset["campaign_id"], asset_delivery_id=id, sent_at=sent_at,
        )  # fmt: skip
        change, _ = await put_message(turn, message, None)
        delivery = AssetDelivery(
            id=id, state=AssetDeliveryState.GIVEN, url=url, code=code, given_at=turn.at, asset_id=asset_id,
            influencer_id=influencer_id,
        )  # fmt: skip
        change.nodes.append(id)
        turn.put(change, "asset_deliveries", id, to_document(delivery))
        return id

    return await store.log.change(caller, plan)


async def set_delivery_state(store: Store, caller: Caller, id: str, state: AssetDeliveryState) -> Outcome[None]:
    """What became of an asset that was given."""

    async def plan(turn: Turn) -> None:
        delivery = await turn.get("asset_deliveries", id)
        if delivery is None:
            raise not_found(id)
        if delivery["state"] == state.value:
            return
        thread = thread_id_of(delivery["influencer_id"])
        [message] = await turn.find(
            "messages", {"thread_id": thread, "asset_delivery_id": id}, hint=TIMELINE, only=["_id"]
        )
        change = turn.begin("ASSET_DELIVERY_CHANGED", id, thread=thread, changed=message["_id"])
        turn.put(change, "asset_deliveries", id, {"state": to_value(state)})

    return await store.log.change(caller, plan)
