"""Tags and custom variables: what a workspace defines for itself."""

from __future__ import annotations

from typing import Any

import strawberry

from resolvers import access, validate
from resolvers.context import Info
from resolvers.influencers import SCOPE, idempotency, influencers_of
from resolvers.refusal import refusable
from schema.types.inputs import (
    CreateTagInput,
    CreateVariableInput,
    DeleteTagInput,
    DeleteVariableInput,
    TagInfluencersInput,
    UpdateTagInput,
    UpdateVariableInput,
)
from schema.types.node import kind_of
from schema.types.payloads import (
    CreateTagPayload,
    CreateVariablePayload,
    DeleteTagPayload,
    DeleteVariablePayload,
    TagInfluencersPayload,
    UpdateTagPayload,
    UpdateVariablePayload,
)
from schema.types.tag import Tag, Variable
from storage import tags as stored


async def tags(info: Info) -> list[Tag]:
    access.to_read(info)
    return await stored.all_tags(info.context.reader)


async def variables(info: Info) -> list[Variable]:
    access.to_read(info)
    return await stored.all_variables(info.context.reader)


@refusable(CreateTagPayload)
async def create_tag(info: Info, input: CreateTagInput) -> CreateTagPayload:
    caller = access.to_manage(info)
    name = validate.line(input.name, "name")
    color = None if input.color is None else validate.color(input.color, "color")
    key = idempotency(caller, "createTag", input.idempotency_key, [name, color])
    outcome = await stored.create_tag(info.context.store, caller, name, color, key)
    return CreateTagPayload(tag=await info.context.reader.tag(outcome.result.id), position=outcome.position)


@refusable(UpdateTagPayload)
async def update_tag(info: Info, input: UpdateTagInput) -> UpdateTagPayload:
    caller = access.to_manage(info)
    kind_of(input.tag_id)
    given: dict[str, Any] = {}
    if input.name is not strawberry.UNSET:
        given["name"] = validate.line(input.name or "", "name")
    if input.color is not strawberry.UNSET:
        given["color"] = None if input.color is None else validate.color(input.color, "color")
    outcome = await stored.change_tag(info.context.store, caller, input.tag_id, given)
    return UpdateTagPayload(tag=await info.context.reader.tag(input.tag_id), position=outcome.position)


@refusable(DeleteTagPayload)
async def delete_tag(info: Info, input: DeleteTagInput) -> DeleteTagPayload:
    caller = access.to_manage(info)
    kind_of(input.tag_id)
    outcome = await stored.delete_tag(info.context.store, caller, input.tag_id)
    return DeleteTagPayload(deleted_id=input.tag_id, position=outcome.position)


@refusable(TagInfluencersPayload)
async def tag_influencers(info: Info, input: TagInfluencersInput) -> TagInfluencersPayload:
    caller = access.to_write(info, SCOPE)
    ids = validate.ids(list(input.influencer_ids), "influencerIds")
    add = validate.ids(list(input.add_tag_ids or []), "addTagIds")
    remove = validate.ids(list(input.remove_tag_ids or []), "removeTagIds")
    outcome = await stored.tag_influencers(info.context.store, caller, ids, add, remove)
    found = await influencers_of(info, input.influencer_ids)
    return TagInfluencersPayload(influencers=found, position=outcome.position)


@refusable(CreateVariablePayload)
async def create_variable(info: Info, input: CreateVariableInput) -> CreateVariablePayload:
    caller = access.to_manage(info)
    name = validate.line(input.name, "name")
    key = idempotency(caller, "createVariable", input.idempotency_key, [name, input.type])
    outcome = await stored.create_variable(info.context.store, caller, name, input.type, key)
    variable = await info.context.reader.variable(outcome.result.id)
    return CreateVariablePayload(variable=variable, position=outcome.position)


@refusable(UpdateVariablePayload)
async def update_variable(info: Info, input: UpdateVariableInput) -> UpdateVariablePayload:
    caller = access.to_manage(info)
    kind_of(input.variable_id)
    name = validate.line(input.name, "name")
    outcome = await stored.rename_variable(info.context.store, caller, input.variable_id, name)
    variable = await info.context.reader.variable(input.variable_id)
    return UpdateVariablePayload(variable=variable, position=outcome.position)


@refusable(DeleteVariablePayload)
async def delete_variable(info: Info, input: DeleteVariableInput) -> DeleteVariablePayload:
    caller = access.to_manage(info)
    kind_of(input.variable_id)
    outcome = await stored.delete_variable(info.context.store, caller, input.variable_id)
    return DeleteVariablePayload(deleted_id=input.variable_id, position=outcome.position)
