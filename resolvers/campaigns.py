"""Campaigns, and who takes part in them."""

from __future__ import annotations

from typing import Any

import strawberry

from resolvers import access, validate
from resolvers.context import Info
from resolvers.influencers import idempotency
from resolvers.refusal import refusable
from schema.types.arguments import After, First
from schema.types.campaign import Campaign
from schema.types.inputs import CreateCampaignInput, SetParticipationInput, UpdateCampaignInput
from schema.types.node import kind_of
from schema.types.paging import Connection
from schema.types.payloads import CreateCampaignPayload, SetParticipationPayload, UpdateCampaignPayload
from storage import campaigns as stored

SCOPE = "campaigns:write"


async def campaigns(info: Info, first: First = 25, after: After = None) -> Connection[Campaign]:
    access.to_read(info)
    return await stored.campaign_page(info.context.reader, first, after)


@refusable(CreateCampaignPayload)
async def create_campaign(info: Info, input: CreateCampaignInput) -> CreateCampaignPayload:
    caller = access.to_write(info, SCOPE)
    name = validate.line(input.name, "name")
    kinds = list(dict.fromkeys(input.asset_kinds or []))
    key = idempotency(caller, "createCampaign", input.idempotency_key, [name, input.state, kinds])
    outcome = await stored.create_campaign(info.context.store, caller, name, input.state, kinds, key)
    campaign = await info.context.reader.campaign(outcome.result.id)
    return CreateCampaignPayload(campaign=campaign, position=outcome.position)


@refusable(UpdateCampaignPayload)
async def update_campaign(info: Info, input: UpdateCampaignInput) -> UpdateCampaignPayload:
    caller = access.to_write(info, SCOPE)
    kind_of(input.campaign_id)
    given: dict[str, Any] = {}
    if input.name is not strawberry.UNSET:
        given["name"] = validate.line(input.name or "", "name")
    if input.state:
        given["state"] = input.state
    if input.asset_kinds is not strawberry.UNSET:
        given["asset_kinds"] = list(dict.fromkeys(input.asset_kinds or []))
    outcome = await stored.change_campaign(info.context.store, caller, input.campaign_id, given)
    campaign = await info.context.reader.campaign(input.campaign_id)
    return UpdateCampaignPayload(campaign=campaign, position=outcome.position)


@refusable(SetParticipationPayload)
async def set_participation(info: Info, input: SetParticipationInput) -> SetParticipationPayload:
    caller = access.to_write(info, SCOPE)
    kind_of(input.campaign_id)
    ids = validate.ids(list(input.influencer_ids), "influencerIds")
    outcome = await stored.set_participation(info.context.store, caller, input.campaign_id, ids, input.status)
    found = [await info.context.reader.participation(id) for id in outcome.result]
    return SetParticipationPayload(participations=found, position=outcome.position)
