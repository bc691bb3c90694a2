"""Who works in a workspace: its members, and the partner apps that act for it."""

from __future__ import annotations

from datetime import datetime

import strawberry

from schema.types.context import Info, Role
from schema.types.node import Actor, Node


@strawberry.type(description="One brand account: every object belongs to exactly one.")
class Workspace(Node, Actor):
    """Also the actor of what is done at the command line."""


@strawberry.type(description="A person of the brand's team.")
class Member(Node, Actor):
    email: str = strawberry.field(description="The e-mail address, unique in the workspace.")
    role: Role = strawberry.field(description="What the member may do.")
    created_at: datetime = strawberry.field(description="When the member joined.")
    removed_at: datetime | None = strawberry.field(
        default=None, description="When the member was removed; their messages and notes stay."
    )
    mailbox_id: strawberry.Private[str | None] = None  # the one that their e-mail goes from


@strawberry.type(description="An app that acts for the workspace through scoped tokens, without being a person.")
class Partner(Node, Actor):
    created_at: datetime = strawberry.field(description="When the partner was added.")


@strawberry.type(description="A token's description. The token itself is shown once, when it is made.")
class Token:
    id: strawberry.ID = strawberry.field(description="The token's id, which is not the token.")
    label: str = strawberry.field(description="What the token is for.")
    owner_id: strawberry.Private[str]
    scopes: list[str] = strawberry.field(description="What a partner's token may do; empty for a member's.")
    created_at: datetime = strawberry.field(description="When it was made.")
    expires_at: datetime = strawberry.field(description="When it ceases to be accepted.")
    revoked_at: datetime | None = strawberry.field(default=None, description="When it was revoked.")

    @strawberry.field(description="Who the token speaks for.")
    async def owner(self, info: Info) -> Actor:
        return await info.context.reader.actor(self.owner_id)


@strawberry.type(description="Who this request speaks for.")
class Viewer:
    id: strawberry.ID = strawberry.field(description="The id of the member or partner.")
    role: Role | None = strawberry.field(description="The member's role; null for a partner.")
    scopes: list[str] = strawberry.field(description="The partner's scopes; empty for a member.")
    workspace: Workspace = strawberry.field(description="The workspace that the token belongs to.")
    position: str = strawberry.field(
        description="The log position that this request was read at: everything up to it is in its data."
    )

    @strawberry.field(description="The member or partner.")
    async def actor(self, info: Info) -> Actor:
        return await info.context.reader.actor(self.id)
