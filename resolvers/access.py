"""Who may do what. Every resolver begins with one of these; objects of other workspaces are out of a reader's sight."""

from __future__ import annotations

from resolvers.context import Info
from schema.types.context import Caller, Role
from schema.types.errors import forbidden

WRITERS = {Role.MEMBER, Role.ADMIN}


def to_read(info: Info) -> Caller:
    """Every member reads; a partner needs the scope `inbox:read`."""
    return allowed(info.context.caller, {Role.VIEWER, Role.MEMBER, Role.ADMIN}, "inbox:read")


def may_read(caller: Caller) -> bool:
    """Whether somebody sees more than what they change themselves."""
    return caller.role is not None or "inbox:read" in caller.scopes


def to_write(info: Info, scope: str) -> Caller:
    """A VIEWER does not write; a partner needs the scope."""
    return allowed(info.context.caller, WRITERS, scope)


def to_send(caller: Caller) -> Caller:
    """Who sends messages uploads files for them, too."""
    return allowed(caller, WRITERS, "messages:send")


def to_ingest(info: Info) -> Caller:
    """What influencers wrote is handed in by partners with the scope `messages:ingest` only."""
    return allowed(info.context.caller, set(), "messages:ingest")


def to_manage(info: Info) -> Caller:
    """Members, tokens, tags and variables are managed by an ADMIN."""
    return allowed(info.context.caller, {Role.ADMIN}, None)


def own_state(info: Info) -> tuple[Caller, str]:
    """Read state and notifications are a member's own, whatever their role; a partner has none."""
    caller = info.context.caller
    if caller.member is None:
        raise forbidden("a partner has no read state of its own")
    return caller, caller.member


def member_to_write(info: Info) -> tuple[Caller, str]:
    """What is a person's own to do: for members who write, and no partner."""
    caller = allowed(info.context.caller, WRITERS, None)
    assert caller.member is not None, "who has a role is a member"
    return caller, caller.member


def allowed(caller: Caller, roles: set[Role], scope: str | None) -> Caller:
    """The caller. Raises FORBIDDEN."""
    if caller.role is None:
        if scope is None or scope not in caller.scopes:
            raise forbidden(f"this needs the scope {scope}" if scope else "this is for members")
    elif caller.role not in roles:
        wanted = " or ".join(role.name for role in Role if role in roles)
        raise forbidden(f"this needs the role {wanted}" if roles else f"this is for partners with the scope {scope}")
    return caller
