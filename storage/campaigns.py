"""Campaigns, and who takes part in them."""

from __future__ import annotations

from datetime import datetime

import strawberry

from schema.types.campaign import AssetKind, Campaign, CampaignState, Participation, ParticipationStatus, StatusChange
from schema.types.context import Caller
from schema.types.errors import not_found
from schema.types.node import new_id
from schema.types.paging import Connection
from storage import claims
from storage.changes import Change, Turn
from storage.claims import Key, Made
from storage.cursors import Section
from storage.definitions import define, rename
from storage.documents import Document, to_document, to_value
from storage.indexes import OF_WORKSPACE
from storage.influencers import access_influencer, access_influencers, begin_for, put_facets
from storage.log import Outcome
from storage.pages import newest_page
from storage.reader import StoreReader
from storage.store import Store


async def campaign_page(reader: StoreReader, first: int | None, after: str | None) -> Connection[Campaign]:
    """A page of the workspace's campaigns, newest first."""
    filter = {"workspace": reader.caller.workspace}
    page = Connection[Campaign]
    return await newest_page(reader, page, Campaign, Section.CAMPAIGNS, filter, OF_WORKSPACE, first, after)


async def access_campaign(turn: Turn, id: str) -> Document:
    campaign = await turn.get("campaigns", id)
    if campaign is None:
        raise not_found(id)
    return campaign


async def create_campaign(
    store: Store, caller: Caller, name: str, state: CampaignState, asset_kinds: list[AssetKind], key: Key | None
) -> Outcome[Made]:
    def make(at: datetime) -> Campaign:
        return Campaign(id=new_id("campaign"), name=name, state=state, asset_kinds=asset_kinds, created_at=at)

    return await define(store, caller, "campaign", name, key, make)


async def change_campaign(store: Store, caller: Caller, id: str, given: Document) -> Outcome[None]:
    """Changes what is given: the campaign's name, state or asset kinds."""

    async def plan(turn: Turn) -> None:
        campaign = await access_campaign(turn, id)
        fields = {name: to_value(value) for name, value in given.items() if campaign[name] != to_value(value)}
        if not fields:
            return
        change = turn.begin("CAMPAIGN_CHANGED", id)
        if "name" in fields:
            await rename(turn, change, "campaign", id, campaign["name"], fields["name"])
        turn.put(change, "campaigns", id, fields)

    return await store.log.change(caller, plan)


async def set_participation(
    store: Store, caller: Caller, campaign_id: str, influencer_ids: list[str], status: ParticipationStatus
) -> Outcome[list[str]]:
    """Gives influencers a status in a campaign, which puts those who are not in it yet into it; the participations.

    A change for each whose status differs after it; at most a hundred influencers. Where these are too large for one
    entry, some are changed before others.
    """
    left, done = list(dict.fromkeys(influencer_ids)), list[str]()

    async def plan(turn: Turn) -> list[str]:
        await access_campaign(turn, campaign_id)
        await access_influencers(turn, left)
        made: list[str] = []
        for id in left:
            if turn.must_stop():
                break
            made.append(await put_participation(turn, campaign_id, id, status))
        return made

    while True:
        outcome = await store.log.change(caller, plan)
        done, left = done + outcome.result, left[len(outcome.result) :]
        if not left:
            return Outcome(done, outcome.position)


async def put_participant(turn: Turn, campaign_id: str, influencer_id: str) -> None:
    """Makes sure that somebody is in a campaign, whatever their status. Raises NOT_FOUND for no campaign."""
    await access_campaign(turn, campaign_id)
    if campaign_id not in (await access_influencer(turn, influencer_id))["facets"]:
        await put_participation(turn, campaign_id, influencer_id, ParticipationStatus.ADDED)


async def put_participation(turn: Turn, campaign_id: str, influencer_id: str, status: ParticipationStatus) -> str:
    influencer = await access_influencer(turn, influencer_id)
    pair = f"{campaign_id}:{influencer_id}"
    known = await claims.owner_of(turn, "participation", pair)
    id = strawberry.ID(known) if known else new_id("participation")
    old = await turn.get("participations", id) if known else None
    if old is not None and old["status"] == status.value:
        return id

    change = begin_for(turn, "PARTICIPATION_CHANGED" if old else "PARTICIPATION_ADDED", influencer, id)
    latest = StatusChange(status=status, at=turn.at, actor_id=turn.caller.id)
    if old is None:
        participation = Participation(
            id=id, status=status, history=[latest], campaign_id=campaign_id, influencer_id=influencer_id,
            added=change.position,
        )  # fmt: skip
        turn.put(change, "participations", id, to_document(participation))
        claims.take(turn, change, "participation", pair, id)
    else:
        turn.put(change, "participations", id, {"status": status.value, "history": [*old["history"], to_value(latest)]})
    await put_membership(turn, change, influencer, campaign_id, status is not ParticipationStatus.REMOVED)
    return id


async def put_membership(turn: Turn, change: Change, influencer: Document, campaign_id: str, is_in: bool) -> None:
    """Lists a thread in a campaign's view, or takes it out."""
    if is_in == (campaign_id in influencer["facets"]):
        return
    others = [facet for facet in influencer["facets"] if facet != campaign_id]
    fields: Document = {}
    await put_facets(turn, change, influencer, fields, [campaign_id, *others] if is_in else others)
    turn.put(change, "influencers", influencer["_id"], fields)
