"""Members, and the tokens that members and partner apps are let in by."""

from __future__ import annotations

from datetime import timedelta

import strawberry

from resolvers import access, validate
from resolvers.context import Info
from resolvers.influencers import idempotency
from resolvers.refusal import refusable
from schema.types.context import SCOPES, Role
from schema.types.errors import Refused, UserErrorCode, bad_input
from schema.types.inputs import (
    CreateMemberInput,
    CreateTokenInput,
    RemoveMemberInput,
    RevokeTokenInput,
    UpdateMemberInput,
)
from schema.types.member import Member, Token
from schema.types.node import kind_of
from schema.types.payloads import (
    CreateMemberPayload,
    CreateTokenPayload,
    RemoveMemberPayload,
    RevokeTokenPayload,
    UpdateMemberPayload,
)
from schema.types.scalars import now
from storage import tokens as stored_tokens
from storage import workspaces

LONGEST = 3650  # days


async def members(info: Info) -> list[Member]:
    access.to_read(info)
    return await workspaces.all_members(info.context.reader)


async def tokens(info: Info) -> list[Token]:
    caller = access.to_manage(info)
    return await stored_tokens.tokens(info.context.store, caller.workspace)


@refusable(CreateMemberPayload)
async def create_member(info: Info, input: CreateMemberInput) -> CreateMemberPayload:
    caller = access.to_manage(info)
    name, email = validate.line(input.name, "name"), validate.email(input.email, "email")
    key = idempotency(caller, "createMember", input.idempotency_key, [name, email, input.role])
    outcome = await workspaces.add_member(info.context.store, caller, name, email, input.role, key)
    member = await info.context.reader.member(outcome.result.id)
    return CreateMemberPayload(member=member, position=outcome.position)


@refusable(UpdateMemberPayload)
async def update_member(info: Info, input: UpdateMemberInput) -> UpdateMemberPayload:
    caller = access.to_manage(info)
    kind_of(input.member_id)
    name = None if input.name is strawberry.UNSET else validate.line(input.name or "", "name")
    role: Role | None = input.role or None
    outcome = await workspaces.change_member(info.context.store, caller, input.member_id, name, role)
    member = await info.context.reader.member(input.member_id)
    return UpdateMemberPayload(member=member, position=outcome.position)


@refusable(RemoveMemberPayload)
async def remove_member(info: Info, input: RemoveMemberInput) -> RemoveMemberPayload:
    caller = access.to_manage(info)
    kind_of(input.member_id)
    outcome = await workspaces.remove_member(info.context.store, caller, input.member_id)
    member = await info.context.reader.member(input.member_id)
    return RemoveMemberPayload(member=member, position=outcome.position)


@refusable(CreateTokenPayload)
async def create_token(info: Info, input: CreateTokenInput) -> CreateTokenPayload:
    caller = access.to_manage(info)
    label = validate.line(input.label, "label")
    if not 1 <= input.expires_in_days <= LONGEST:
        raise Refused(UserErrorCode.INVALID, f"a token is valid for 1 to {LONGEST} days", "expiresInDays")
    scopes = list(dict.fromkeys(input.scopes or []))
    owner = await owner_of_token(info, input, scopes)
    expires_at = now() + timedelta(days=input.expires_in_days)
    secret, token = await stored_tokens.create_token(
        info.context.store, caller.workspace, owner, label, scopes, expires_at
    )
    return CreateTokenPayload(secret=secret, token=token)


async def owner_of_token(info: Info, input: CreateTokenInput, scopes: list[str]) -> str:
    """Who a new token speaks for. A partner that is not there yet is added."""
    caller = info.context.caller
    if (input.member_id is None) == (input.partner is None):
        raise bad_input("give either memberId or partner")
    if input.member_id is not None:
        if scopes:
            raise Refused(UserErrorCode.INVALID, "a member's token has no scopes: the role decides", "scopes")
        member = await info.context.reader.member(input.member_id)
        if member.removed_at is not None:
            raise Refused(UserErrorCode.INVALID, "the member was removed", "memberId")
        return str(member.id)
    assert input.partner is not None
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        raise Refused(UserErrorCode.INVALID, f"there is no scope {unknown[0][:60]!r}", "scopes")
    if not scopes:
        raise Refused(UserErrorCode.BLANK, "a partner's token needs a scope", "scopes")
    name = validate.line(input.partner, "partner")
    return (await workspaces.add_partner(info.context.store, caller, name)).result.id


@refusable(RevokeTokenPayload)
async def revoke_token(info: Info, input: RevokeTokenInput) -> RevokeTokenPayload:
    caller = access.to_manage(info)
    kind_of(input.token_id)
    token = await stored_tokens.revoke_token(info.context.store, caller.workspace, input.token_id)
    return RevokeTokenPayload(token=token)
