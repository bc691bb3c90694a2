"""What `inboxChanged` tells of a thread that left a view for one reason, and would not be in it for another."""

from __future__ import annotations

import pytest

from resolvers import live
from resolvers.context import Context, Info
from schema.types.context import Caller
from storage.changes import Change
from storage.feed import Batch
from storage.influencers import set_archived
from storage.log import Outcome
from storage.positions import parse_position
from storage.reader import read_for
from storage.store import Store
from storage.tags import create_tag, tag_influencers
from tests.api.conftest import Brand
from tests.client import Json
from tests.storage.deeds import entries_of, id_of, influencer, receive
from tests.team import Team

EVENTS = """subscription($since: String, $filter: InboxFilter) {
  inboxChanged(since: $since, filter: $filter) { position kind threadId } }"""


async def told_since(brand: Brand, since: str, filter: Json, marker: str) -> list[tuple[str, str]]:
    """What a view is told, up to a thread that it holds too."""
    last = await brand.receive(marker)
    events: list[tuple[str, str]] = []
    async with brand.admin.subscription(EVENTS, since=since, filter=filter) as subscription:
        while (event := await subscription.data())["position"] != last["position"]:
            events.append((event["kind"], event["threadId"]))
    return events


@pytest.mark.parametrize("by", ["tagIds", "campaignIds"])
async def test_a_thread_that_left_a_view_and_was_read_then_is_told_to_have_left(brand: Brand, by: str) -> None:
    admin = brand.admin
    ada, marker = await brand.influencer("Ada"), await brand.influencer("Marker")
    ids = [ada["id"], marker["id"]]
    if by == "tagIds":
        group = (await admin.mutate("createTag", "tag { id }", name="VIP"))["tag"]["id"]
        await admin.mutate("tagInfluencers", "position", influencerIds=ids, addTagIds=[group])
    else:
        group = (await admin.mutate("createCampaign", "campaign { id }", name="May"))["campaign"]["id"]
        await admin.mutate("setParticipation", "position", campaignId=group, influencerIds=ids, status="INVITED")
    await brand.receive(ada["thread"])
    since = await brand.position()

    if by == "tagIds":
        await admin.mutate("tagInfluencers", "position", influencerIds=[ada["id"]], removeTagIds=[group])
    else:
        await admin.mutate("setParticipation", "position", campaignId=group, influencerIds=ids[:1], status="REMOVED")
    await admin.mutate("markThreadsRead", "position", threadIds=[ada["thread"]])
    view = {by: [group], "unreadOnly": True}
    assert await told_since(brand, since, view, marker["thread"]) == [("LEFT", ada["thread"])]


async def last_change(store: Store, team: Team) -> Change:
    return Change(**(await entries_of(store, team.id))[-1]["changes"][-1])


async def counts_told(store: Store, viewer: Caller, outcome: Outcome[None], change: Change) -> list[tuple[int, int]]:
    """What a member's subscription to their unread count says after one change."""
    reader = await read_for(store, viewer)
    info: Info = type("Asked", (), {"context": Context(store, reader)})()
    epoch, number = parse_position(outcome.position)
    feed = await live.unread_count(info)
    events = [told.event for told in await feed.tell(Batch(epoch, number, [change]), reader)]
    return [(event.threads, event.messages) for event in events]  # type: ignore[attr-defined]


async def test_the_unread_count_is_told_only_where_it_differs(store: Store, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Ada")
    await receive(store, workspace, thread)
    tag = (await create_tag(store, workspace.admin, "VIP", None, None)).result.id
    outcome = await tag_influencers(store, workspace.admin, [id_of(thread)], [tag], [])
    change = await last_change(store, workspace)
    assert change.unread == {member.id: [1, 1] for member in workspace.members}, "who knows the thread as unread"
    assert await counts_told(store, workspace.viewer, outcome, change) == []
    outcome = await set_archived(store, workspace.admin, [id_of(thread)], True)
    change = await last_change(store, workspace)
    assert await counts_told(store, workspace.viewer, outcome, change) == [(0, 0)]
