"""Influencers, and what the team notes on them."""

from __future__ import annotations

from typing import Any

import strawberry

from resolvers import access, validate
from resolvers.context import Info
from resolvers.refusal import refusable
from schema.types.arguments import Reference
from schema.types.context import Caller
from schema.types.errors import bad_input
from schema.types.influencer import Handle, Influencer, InfluencerRef, Network
from schema.types.inputs import (
    AddNoteInput,
    ArchiveInfluencersInput,
    CreateInfluencerInput,
    DeleteNoteInput,
    HandleInput,
    RestoreInfluencersInput,
    UpdateInfluencerInput,
    VariableValueInput,
)
from schema.types.node import kind_of, thread_id_of
from schema.types.payloads import (
    AddNotePayload,
    ArchiveInfluencersPayload,
    CreateInfluencerPayload,
    DeleteNotePayload,
    RestoreInfluencersPayload,
    UpdateInfluencerPayload,
)
from storage import influencers
from storage.addresses import canonical
from storage.claims import Key, key_of
from storage.influencers import NewInfluencer
from storage.log import Outcome

MOST_ADDRESSES = 20
SCOPE = "influencers:write"


async def find(info: Info, by: InfluencerRef) -> str | None:
    """The id of the influencer that a reference names; None where nobody has that address, handle or external id."""
    store, workspace = info.context.store, info.context.caller.workspace
    if by.id:
        await info.context.reader.influencer(by.id)
        return str(by.id)
    if by.email:
        return await influencers.find_influencer(store, workspace, "email", [canonical(by.email.strip())])
    if by.handle:
        values = influencers.handle_values(by.handle.strip())
        return await influencers.find_influencer(store, workspace, "handle", values)
    if by.external_id:
        return await influencers.find_influencer(store, workspace, "external", [by.external_id.strip()])
    raise bad_input("a reference names an influencer by id, email, handle or externalId, and none of them is empty")


async def influencer(info: Info, by: Reference) -> Influencer | None:
    access.to_read(info)
    id = await find(info, by)
    return await info.context.reader.influencer(id) if id else None


def idempotency(caller: Caller, mutation: str, value: str | None, content: object) -> Key | None:
    """The key of a request, if it has one; the same key for another mutation is another input."""
    if value is None:
        return None
    key = validate.line(value, "idempotencyKey", most=validate.KEY)
    return key_of(caller.id, "key", key, [mutation, content])


def checked_handles(handles: list[HandleInput], *field: str) -> list[Handle]:
    validate.at_most(list(handles), MOST_ADDRESSES, *field)
    checked = [Handle(network=each.network, name=validate.handle(each.name, *field)) for each in handles]
    return list({(each.network, each.name.casefold()): each for each in checked}.values())


def checked_emails(emails: list[str]) -> list[str]:
    validate.at_most(list(emails), MOST_ADDRESSES, "emails")
    checked = [validate.email(email, "emails") for email in emails]
    return list({canonical(email): email for email in checked}.values())


async def checked_values(info: Info, given: list[VariableValueInput]) -> dict[str, str | None]:
    """Values by the variable's id; None for those that are taken away. Raises NOT_FOUND for no variable."""
    validate.at_most(list(given), validate.MOST, "variables")
    values: dict[str, str | None] = {}
    for each in given:
        variable = await info.context.reader.variable(each.variable_id)
        value = each.value
        values[variable.id] = None if value is None else validate.variable_value(value, variable.type, "variables")
    return values


@refusable(CreateInfluencerPayload)
async def create_influencer(info: Info, input: CreateInfluencerInput) -> CreateInfluencerPayload:
    caller = access.to_write(info, SCOPE)
    handles = list(input.handles or [])
    if input.handle is not None:
        handles.insert(0, HandleInput(network=Network.PLATFORM, name=input.handle))
    values = await checked_values(info, input.variables or [])
    new = NewInfluencer(
        name=validate.line(input.name, "name"),
        handles=checked_handles(handles, "handle" if input.handle is not None else "handles"),
        emails=checked_emails(input.emails or []),
        external_id=None if input.external_id is None else validate.line(input.external_id, "externalId"),
        avatar_url=None if input.avatar_url is None else validate.url(input.avatar_url, "avatarUrl"),
        has_account=input.has_account,
        tag_ids=validate.ids(list(input.tag_ids or []), "tagIds"),
        values={id: value for id, value in values.items() if value is not None},
    )
    key = idempotency(caller, "createInfluencer", input.idempotency_key, new)
    outcome = await influencers.create_influencer(info.context.store, caller, new, key)
    reader = info.context.reader
    return CreateInfluencerPayload(
        influencer=await reader.influencer(outcome.result.id),
        thread=await reader.thread(thread_id_of(outcome.result.id)),
        position=outcome.position,
    )


@refusable(UpdateInfluencerPayload)
async def update_influencer(info: Info, input: UpdateInfluencerInput) -> UpdateInfluencerPayload:
    caller = access.to_write(info, SCOPE)
    kind_of(input.influencer_id)
    given: dict[str, Any] = {}
    if input.name is not strawberry.UNSET:
        given["name"] = validate.line(input.name or "", "name")
    if input.handles is not strawberry.UNSET:
        given["handles"] = checked_handles(input.handles or [], "handles")
    if input.emails is not strawberry.UNSET:
        given["emails"] = checked_emails(input.emails or [])
    if input.external_id is not strawberry.UNSET:
        given["external_id"] = None if input.external_id is None else validate.line(input.external_id, "externalId")
    if input.avatar_url is not strawberry.UNSET:
        given["avatar_url"] = None if input.avatar_url is None else validate.url(input.avatar_url, "avatarUrl")
    if input.has_account is not strawberry.UNSET:
        given["has_account"] = bool(input.has_account)
    if input.tag_ids is not strawberry.UNSET:
        given["tag_ids"] = validate.ids(list(input.tag_ids or []), "tagIds")
    if input.variables is not strawberry.UNSET:
        given["values"] = await checked_values(info, input.variables or [])
    outcome = await influencers.change_influencer(info.context.store, caller, input.influencer_id, given)
    changed = await info.context.reader.influencer(input.influencer_id)
    return UpdateInfluencerPayload(influencer=changed, position=outcome.position)


async def _set_archived(info: Info, influencer_ids: list[strawberry.ID], archived: bool) -> Outcome[None]:
    caller = access.to_write(info, SCOPE)
    ids = validate.ids(list(influencer_ids), "influencerIds")
    return await influencers.set_archived(info.context.store, caller, ids, archived)


async def influencers_of(info: Info, ids: list[strawberry.ID]) -> list[Influencer]:
    return [await info.context.reader.influencer(id) for id in ids]


@refusable(ArchiveInfluencersPayload)
async def archive_influencers(info: Info, input: ArchiveInfluencersInput) -> ArchiveInfluencersPayload:
    outcome = await _set_archived(info, input.influencer_ids, True)
    found = await influencers_of(info, input.influencer_ids)
    return ArchiveInfluencersPayload(influencers=found, position=outcome.position)


@refusable(RestoreInfluencersPayload)
async def restore_influencers(info: Info, input: RestoreInfluencersInput) -> RestoreInfluencersPayload:
    outcome = await _set_archived(info, input.influencer_ids, False)
    found = await influencers_of(info, input.influencer_ids)
    return RestoreInfluencersPayload(influencers=found, position=outcome.position)


@refusable(AddNotePayload)
async def add_note(info: Info, input: AddNoteInput) -> AddNotePayload:
    caller = access.to_write(info, SCOPE)
    kind_of(input.influencer_id)
    text = validate.text(input.text, "text", most=validate.NOTE)
    key = idempotency(caller, "addNote", input.idempotency_key, [input.influencer_id, text])
    outcome = await influencers.add_note(info.context.store, caller, input.influencer_id, text, key)
    reader = info.context.reader
    return AddNotePayload(
        note=await reader.note(outcome.result.id),
        influencer=await reader.influencer(input.influencer_id),
        position=outcome.position,
    )


@refusable(DeleteNotePayload)
async def delete_note(info: Info, input: DeleteNoteInput) -> DeleteNotePayload:
    caller = access.to_write(info, SCOPE)
    kind_of(input.note_id)
    outcome = await influencers.delete_note(info.context.store, caller, input.note_id)
    return DeleteNotePayload(influencer=await info.context.reader.influencer(outcome.result), position=outcome.position)
