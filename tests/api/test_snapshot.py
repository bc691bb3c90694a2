"""For each mutation and each kind of entry: what was known before, brought up to date by the events that the change
caused, equals what is read anew. For who made the change, and for somebody else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from schema.types.asset import AssetDeliveryState
from schema.types.campaign import AssetKind
from schema.types.change import ChangeKind
from storage import assets
from storage.workspaces import add_partner, operator_of
from tests.api.conftest import Brand
from tests.api.snapshot import (
    COUNT_EVENTS,
    INBOX_EVENTS,
    Snapshot,
    apply_changes,
    apply_count,
    apply_inbox,
    read_messages,
    read_nodes,
    take,
)
from tests.client import Api

Step = Callable[[], Awaitable[Any]]


class Watcher:
    """Somebody who reads everything once, and then only follows."""

    def __init__(self, brand: Brand, api: Api, marker: str) -> None:
        self.brand, self.api, self.marker = brand, api, marker
        self.fresh: Snapshot | None = None

    async def verify(self, step: Step) -> set[str]:
        """Runs a step, and compares. A message in a thread of its own marks the end of the step's events."""
        known = self.fresh or await take(self.api)
        async with (
            self.api.subscription(INBOX_EVENTS, since=known.position) as inbox,
            self.api.subscription(COUNT_EVENTS) as count,
        ):
            await count.data()
            await step()
            last = (await self.brand.receive(self.marker))["position"]
            came_in = await apply_inbox(inbox, known, last)
            await apply_count(count, known, last)
        kinds = await apply_changes(self.api, known)
        assert await apply_changes(self.api, known) == kinds, "applying events twice does no harm"
        for thread in came_in:  # a client opens its view of what comes in; what it knows already it does not read again
            await read_messages(self.api, known, thread)
            await read_nodes(self.api, known)
        known.forget_messages_elsewhere()
        self.fresh = await take(self.api)
        self.compare(known, self.fresh)
        return kinds

    def compare(self, known: Snapshot, fresh: Snapshot) -> None:
        assert known.in_order() == fresh.in_order()
        assert known.count == fresh.count
        assert known.lists == fresh.lists
        old, new = known.reachable(), fresh.reachable()
        assert old.keys() == new.keys()
        for id, node in new.items():
            assert old[id] == node


async def verify(brand: Brand, *steps: Step) -> set[str]:
    """Each step as its maker sees it, or another member; the kinds of changes that were seen.

    Whoever watches a step brings what they know up to date with the one before it too.
    """
    marker = (await brand.influencer("Marker"))["thread"]
    watchers = [Watcher(brand, brand.admin, marker), Watcher(brand, brand.viewer, marker)]
    kinds: set[str] = set()
    for number, step in enumerate(steps):
        kinds |= await watchers[number % 2].verify(step)
    return kinds


async def test_messages_and_reading(brand: Brand) -> None:
    admin = brand.admin
    ada, bob = await brand.influencer("Ada"), await brand.influencer("Bob")
    first = await brand.receive(ada["thread"], "one")
    await brand.receive(ada["thread"], "two")
    sent = await brand.send(ada["thread"])
    campaign = (await admin.mutate("createCampaign", "campaign { id }", name="Spring"))["campaign"]["id"]

    async def read_some() -> None:
        await admin.mutate("markThreadRead", "position", threadId=ada["thread"], upToMessageId=first["id"])

    async def mark(message: str) -> None:
        await admin.mutate("markMessageUnread", "position", messageId=message)

    async def see_notifications() -> None:
        found = (await admin.run("{ notifications { nodes { id } } }"))["notifications"]["nodes"]
        ids = [each["id"] for each in found[:2]]
        await admin.mutate("markNotificationsRead", "position", notificationIds=ids)

    steps: list[Step] = [
        lambda: brand.receive(bob["thread"], "hello"),
        lambda: brand.receive(bob["thread"], "again"),
        lambda: brand.receive(bob["thread"], "about it", campaignId=campaign),
        lambda: brand.receive(bob["thread"], "about it too", campaignId=campaign),
        lambda: brand.receive(bob["thread"], "out of office", automatic=True),
        lambda: brand.send(bob["thread"]),
        lambda: brand.send(ada["thread"], campaignId=campaign),
        lambda: mark(sent["id"]),
    ]
    kinds = await verify(brand, *steps)
    own: list[Step] = [
        read_some,
        lambda: mark(first["id"]),
        see_notifications,
        lambda: admin.mutate("markThreadsRead", "position", threadIds=[bob["thread"]]),
        lambda: mark(sent["id"]),
        lambda: admin.mutate("markThreadsRead", "position"),
    ]
    for watching in (admin, brand.viewer):
        watcher = Watcher(brand, watching, (await brand.influencer("Marker"))["thread"])
        for step in own:
            kinds |= await watcher.verify(step)
    assert kinds >= {"MESSAGE_ADDED", "THREAD_READ", "THREAD_MARKED_UNREAD", "NOTIFICATIONS_READ"}


async def test_influencers_tags_and_variables(brand: Brand) -> None:
    admin = brand.admin
    ada, bob = await brand.influencer("Ada"), await brand.influencer("Bob")
    await brand.receive(bob["thread"])
    tag = (await admin.mutate("createTag", "tag { id }", name="old"))["tag"]["id"]
    gone = (await admin.mutate("createTag", "tag { id }", name="gone"))["tag"]["id"]
    variable = (await admin.mutate("createVariable", "variable { id }", name="size", type="TEXT"))["variable"]["id"]
    note = (await admin.mutate("addNote", "note { id }", influencerId=ada["id"], text="nice"))["note"]["id"]
    ids = [ada["id"], bob["id"]]
    values = [{"variableId": variable, "value": "L"}]
    steps: list[Step] = [
        lambda: brand.influencer("Cleo", emails=["c@x.example"], tagIds=[tag], variables=values),
        lambda: brand.influencer("Dora"),
        lambda: admin.mutate("tagInfluencers", "position", influencerIds=ids, addTagIds=[tag, gone]),
        lambda: admin.mutate("tagInfluencers", "position", influencerIds=[bob["id"]], removeTagIds=[tag]),
        lambda: admin.mutate("updateInfluencer", "position", influencerId=bob["id"], name="Rob", variables=values),
        lambda: admin.mutate("updateInfluencer", "position", influencerId=ada["id"], tagIds=[gone], externalId="7"),
        lambda: admin.mutate("updateTag", "position", tagId=tag, name="new"),
        lambda: admin.mutate("updateTag", "position", tagId=gone, color="#00ff00"),
        lambda: admin.mutate("deleteTag", "position", tagId=gone),
        lambda: admin.mutate("deleteTag", "position", tagId=tag),
        lambda: admin.mutate("createTag", "position", name="another"),
        lambda: admin.mutate("createVariable", "position", name="colour", type="TEXT"),
        lambda: admin.mutate("updateVariable", "position", variableId=variable, name="shoe size"),
        lambda: admin.mutate("addNote", "position", influencerId=bob["id"], text="funny"),
        lambda: admin.mutate("deleteNote", "position", noteId=note),
        lambda: admin.mutate("archiveInfluencers", "position", influencerIds=ids),
        lambda: admin.mutate("restoreInfluencers", "position", influencerIds=[ada["id"]]),
        lambda: brand.receive(bob["thread"], "I am back"),
        lambda: admin.mutate("deleteVariable", "position", variableId=variable),
    ]
    kinds = await verify(brand, *steps)
    assert kinds >= {
        kind.name for kind in ChangeKind if kind.name.startswith(("INFLUENCER", "NOTE", "TAG", "VARIABLE"))
    }


async def test_campaigns_assets_and_members(brand: Brand) -> None:
    admin, store = brand.admin, brand.store
    ada = await brand.influencer("Ada", hasAccount=True)
    campaign = (await admin.mutate("createCampaign", "campaign { id }", name="Spring"))["campaign"]["id"]
    member = (await admin.mutate("createMember", "member { id }", name="Eve", email="e@x.example"))["member"]["id"]
    operator = operator_of(brand.workspace)
    made: dict[str, str] = {}

    async def create_asset() -> None:
        asset = assets.NewAsset(AssetKind.COUPON_CODE, "10 % off")
        made["asset"] = (await assets.create_asset(store, operator, campaign, asset)).result

    async def give_asset() -> None:
        made["delivery"] = (
            await assets.give_asset(store, operator, made["asset"], ada["id"], "Yours", code="A1")
        ).result

    def join(status: str) -> Step:
        return lambda: admin.mutate(
            "setParticipation", "position", campaignId=campaign, influencerIds=[ada["id"]], status=status
        )

    steps: list[Step] = [
        lambda: admin.mutate("createCampaign", "position", name="Summer", state="LIVE"),
        lambda: admin.mutate("updateCampaign", "position", campaignId=campaign, name="May", state="LIVE"),
        join("INVITED"),
        join("ACCEPTED"),
        create_asset,
        give_asset,
        lambda: assets.set_delivery_state(store, operator, made["delivery"], AssetDeliveryState.FULFILLED),
        join("REMOVED"),
        lambda: admin.mutate("createMember", "position", name="Finn", email="f@x.example"),
        lambda: admin.mutate("updateMember", "position", memberId=member, role="VIEWER", name="Eva"),
        lambda: admin.mutate("removeMember", "position", memberId=member),
        lambda: add_partner(store, operator, "Another app"),
    ]
    kinds = await verify(brand, *steps)
    started = ("CAMPAIGN", "PARTICIPATION", "ASSET", "MEMBER", "PARTNER")
    assert kinds >= {kind.name for kind in ChangeKind if kind.name.startswith(started)}
