"""What became of an asset that was given is told where it was given: in the thread, of its message."""

from __future__ import annotations

from schema.types.asset import AssetDeliveryState
from schema.types.campaign import AssetKind
from storage.assets import NewAsset, create_asset, give_asset, set_delivery_state
from storage.workspaces import operator_of
from tests.api.conftest import Brand

EVENTS = """subscription($since: String, $thread: ID!) {
  threadChanged(since: $since, threadId: $thread) { position kind messageId message { asset { id state } } } }"""


async def test_who_follows_the_thread_is_told_of_an_assets_state(brand: Brand) -> None:
    store, operator = brand.store, operator_of(brand.workspace)
    ada = await brand.influencer("Ada")
    campaign = (await brand.admin.mutate("createCampaign", "campaign { id }", name="May"))["campaign"]["id"]
    asset = (await create_asset(store, operator, campaign, NewAsset(AssetKind.COUPON_CODE, "10 %"))).result
    given = [(await give_asset(store, operator, asset, ada["id"], "Yours")).result for _ in range(2)]
    await brand.receive(ada["thread"], "Thanks")
    found = await store.database.find("messages", {"thread_id": ada["thread"], "asset_delivery_id": given[0]})

    async with brand.member.subscription(EVENTS, since=await brand.position(), thread=ada["thread"]) as events:
        outcome = await set_delivery_state(store, operator, given[0], AssetDeliveryState.FULFILLED)
        assert await events.data() == {
            "position": outcome.position, "kind": "MESSAGE_UPDATED", "messageId": found[0]["_id"],
            "message": {"asset": {"id": given[0], "state": "FULFILLED"}},
        }  # fmt: skip
        await set_delivery_state(store, operator, given[0], AssetDeliveryState.FULFILLED)
        last = await brand.receive(ada["thread"], "It works")
        assert (await events.data())["position"] == last["position"], "nothing has changed in between"
