"""What a type may ask for while it is resolved. It is filled per viewer: a type only sees the viewer's workspace."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

import strawberry

if TYPE_CHECKING:
    from schema.types.asset import Asset, AssetDelivery
    from schema.types.campaign import Campaign, Participation
    from schema.types.draft import Draft
    from schema.types.influencer import Influencer, Note
    from schema.types.mailbox import Mailbox
    from schema.types.member import Member
    from schema.types.message import Message
    from schema.types.node import Actor
    from schema.types.tag import Tag, Variable
    from schema.types.thread import MessageConnection, MessagePageArguments, Thread


@strawberry.enum(description="What a member may do.")
class Role(Enum):
    VIEWER = strawberry.enum_value("VIEWER", description="Reads everything, changes only their own read state.")
    MEMBER = strawberry.enum_value("MEMBER", description="Reads and writes.")
    ADMIN = strawberry.enum_value("ADMIN", description="Manages members, tokens, tags and variables as well.")


SCOPES = {
    "inbox:read": "read everything a VIEWER reads, and subscribe to it",
    "messages:ingest": "hand in what influencers wrote (receiveMessage)",
    "messages:send": "send messages to influencers",
    "influencers:write": "create, change, archive and tag influencers",
    "campaigns:write": "create and change campaigns, and who takes part in them",
}


@dataclass(frozen=True)
class Caller:
    """Who a token speaks for: a member with a role, or a partner with scopes."""

    id: str
    name: str
    workspace: str
    token: str
    role: Role | None
    scopes: frozenset[str] = field(default_factory=frozenset)

    @property
    def member(self) -> str | None:
        """The member's id; a partner has no read state, no notifications and no unread count."""
        return None if self.role is None else self.id

    @property
    def may_send(self) -> bool:
        return self.role in (Role.MEMBER, Role.ADMIN) or (self.role is None and "messages:send" in self.scopes)

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN


class Reader(Protocol):
    """The reading side of storage, bound to one caller. Lookups of one kind made together cost one database call."""

    caller: Caller
    position: str

    async def actor(self, id: str) -> Actor: ...
    async def member(self, id: str) -> Member: ...
    async def influencer(self, id: str) -> Influencer: ...
    async def thread(self, id: str) -> Thread: ...
    async def message(self, id: str) -> Message: ...
    async def campaign(self, id: str) -> Campaign: ...
    async def asset(self, id: str) -> Asset: ...
    async def asset_delivery(self, id: str) -> AssetDelivery: ...
    async def mailbox(self, id: str) -> Mailbox: ...
    async def draft(self, thread_id: str) -> Draft | None: ...
    async def tags(self, ids: list[str]) -> list[Tag]: ...
    async def variables(self, ids: list[str]) -> list[Variable]: ...
    async def assets(self, campaign_id: str) -> list[Asset]: ...
    async def notes(self, influencer_id: str) -> list[Note]: ...
    async def participations(self, influencer_id: str) -> list[Participation]: ...
    async def participation(self, id: str) -> Participation: ...
    async def messages(self, thread_id: str, arguments: MessagePageArguments) -> MessageConnection: ...
    def file_url(self, id: str, name: str) -> str: ...
    def raw_url(self, id: str) -> str: ...
    async def messages_between(self, thread_id: str, first: int, last: int) -> list[Message]: ...


class HasReader(Protocol):
    reader: Reader


Info = strawberry.Info[HasReader, Any]
