"""Influencers: everyone in a workspace's My Influencers, with or without platform account and e-mail address."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry

from schema.types.context import Info
from schema.types.node import Actor, Node, thread_id_of
from schema.types.tag import Tag, VariableValue

if TYPE_CHECKING:
    from schema.types.campaign import Participation
    from schema.types.thread import Thread


@strawberry.enum(description="Where a handle belongs.")
class Network(Enum):
    PLATFORM = strawberry.enum_value("PLATFORM", description="The platform that this inbox belongs to.")
    INSTAGRAM = strawberry.enum_value("INSTAGRAM", description="Instagram.")
    TIKTOK = strawberry.enum_value("TIKTOK", description="TikTok.")
    YOUTUBE = strawberry.enum_value("YOUTUBE", description="YouTube.")
    X = strawberry.enum_value("X", description="X, formerly Twitter.")
    FACEBOOK = strawberry.enum_value("FACEBOOK", description="Facebook.")
    SNAPCHAT = strawberry.enum_value("SNAPCHAT", description="Snapchat.")
    TWITCH = strawberry.enum_value("TWITCH", description="Twitch.")
    PINTEREST = strawberry.enum_value("PINTEREST", description="Pinterest.")


@strawberry.type(description="A name on one network.")
class Handle:
    network: Network = strawberry.field(description="The network.")
    name: str = strawberry.field(description="The name, without a leading @. Unique per network, whatever its case.")


@strawberry.type(description="A remark of the team on an influencer, which the influencer never sees.")
class Note(Node):
    text: str = strawberry.field(description="What was noted.")
    created_at: datetime = strawberry.field(description="When it was noted.")
    influencer_id: strawberry.Private[str]
    author_id: strawberry.Private[str]
    deleted: strawberry.Private[bool] = False

    @strawberry.field(description="Who noted it.")
    async def author(self, info: Info) -> Actor:
        return await info.context.reader.actor(self.author_id)


@strawberry.type(description="Someone in the workspace's My Influencers.")
class Influencer(Node, Actor):
    handles: list[Handle] = strawberry.field(description="Names on networks.")
    emails: list[str] = strawberry.field(description="E-mail addresses; the first is the one written to.")
    external_id: str | None = strawberry.field(default=None, description="The id in the brand's own system, unique.")
    avatar_url: str | None = strawberry.field(default=None, description="The address of a picture.")
    has_account: bool = strawberry.field(default=False, description="Whether they have an account on the platform.")
    created_at: datetime = strawberry.field(description="When they were added.")
    archived_at: datetime | None = strawberry.field(
        default=None, description="Since when they are out of the inbox and the counts; a new message brings them back."
    )
    tag_ids: strawberry.Private[list[str]]
    values: strawberry.Private[dict[str, str]]

    @strawberry.field(description="Tags, in the order of their names when they are read: a tag may be renamed later.")
    async def tags(self, info: Info) -> list[Tag]:
        return await info.context.reader.tags(self.tag_ids)

    @strawberry.field(description="Values of the workspace's custom variables, in the order of their names.")
    async def variables(self, info: Info) -> list[VariableValue]:
        variables = await info.context.reader.variables(list(self.values))
        return [VariableValue(variable=variable, value=self.values[variable.id]) for variable in variables]

    @strawberry.field(description="Notes, oldest first.")
    async def notes(self, info: Info) -> list[Note]:
        return await info.context.reader.notes(self.id)

    @strawberry.field(description="The one conversation with them.")
    async def thread(self, info: Info) -> Annotated[Thread, strawberry.lazy("schema.types.thread")]:
        return await info.context.reader.thread(thread_id_of(self.id))

    @strawberry.field(description="The campaigns they are in or were taken out of, newest first.")
    async def participations(
        self, info: Info
    ) -> list[Annotated[Participation, strawberry.lazy("schema.types.campaign")]]:
        return await info.context.reader.participations(self.id)


@strawberry.input(one_of=True, description="Names one influencer; exactly one of the fields is given.")
class InfluencerRef:
    id: strawberry.ID | None = strawberry.field(default=strawberry.UNSET, description="The influencer's id.")
    email: str | None = strawberry.field(default=strawberry.UNSET, description="One of their e-mail addresses.")
    handle: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="A handle: `name`, or `NETWORK:name` where several influencers have the same on different ones.",
    )
    external_id: str | None = strawberry.field(default=strawberry.UNSET, description="The brand's own id of them.")
