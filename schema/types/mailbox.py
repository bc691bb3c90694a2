"""Mailboxes: the brand's own e-mail addresses, which mail is sent from and read in."""

from __future__ import annotations

import asyncio
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry

from schema.types.context import Info
from schema.types.member import Member
from schema.types.node import VIEWER, Node

if TYPE_CHECKING:
    from schema.types.message import Message


@strawberry.enum(description="What a mailbox is connected for.")
class MailboxAccess(Enum):
    FULL = strawberry.enum_value("FULL", description="Mail is sent from it, and what comes in is read.")
    SEND_ONLY = strawberry.enum_value("SEND_ONLY", description="Mail is sent from it; nothing is read.")


@strawberry.enum(description="How a mailbox is.")
class MailboxState(Enum):
    CONNECTED = strawberry.enum_value("CONNECTED", description="All is well.")
    SYNCING = strawberry.enum_value("SYNCING", description="Mail is being taken in.")
    DEGRADED = strawberry.enum_value("DEGRADED", description="Its server fails at the moment; it is tried again.")
    NEEDS_RECONNECT = strawberry.enum_value(
        "NEEDS_RECONNECT", description="The password or permission is no longer good: somebody must connect it anew."
    )
    PAUSED = strawberry.enum_value("PAUSED", description="Nothing is read until somebody connects it anew.")
    DISCONNECTED = strawberry.enum_value("DISCONNECTED", description="Somebody has disconnected it.")


@strawberry.enum(description="How the connection to a mail server is kept secret.")
class Encryption(Enum):
    TLS = strawberry.enum_value("TLS", description="From the beginning.")
    STARTTLS = strawberry.enum_value("STARTTLS", description="From the server's greeting on; never without.")
    NONE = strawberry.enum_value("NONE", description="Not at all: only for servers that the operator has allowed.")


@strawberry.type
class _Server:
    """Where one of a mailbox's servers is. Stored, and never told."""

    host: str
    port: int
    user: str
    encryption: Encryption = Encryption.TLS


@strawberry.type(description="What a comparison of a mailbox's server with what is stored has found.")
class MailboxCheck:
    at: datetime = strawberry.field(description="When they were compared.")
    compared: int = strawberry.field(description="How many mails on the server were compared, since it was connected.")
    missing: int = strawberry.field(description="How many of them were missing here.")
    repaired: int = strawberry.field(description="How many of those have been taken in by it.")


@strawberry.type(description="An e-mail address that is connected.")
class Mailbox(Node):
    address: str = strawberry.field(description="The e-mail address, unique in the workspace.")
    name: str = strawberry.field(description="The name beside the address in what is sent.")
    access: MailboxAccess = strawberry.field(description="What it is connected for.")
    provider: str | None = strawberry.field(
        default=None, description="Who it is connected through, by OAuth 2; null where by a password."
    )
    state: MailboxState = strawberry.field(description="How it is.")
    reason: str | None = strawberry.field(default=None, description="Why it is not well.")
    since: datetime = strawberry.field(description="Since when it is so.")
    last_success_at: datetime | None = strawberry.field(
        default=None,
        description="When its server last did what it was asked; told every five minutes while all is well.",
    )
    last_check: MailboxCheck | None = strawberry.field(default=None, description="The last check for completeness.")
    is_fallback: bool = strawberry.field(
        default=False, description="Whether it is what is sent from by those who have no default of their own."
    )
    is_shared: bool = strawberry.field(default=False, description="Whether everyone in the team may send from it.")
    created_at: datetime = strawberry.field(description="When it was connected first.")

    connected_at: strawberry.Private[datetime]  # since it was disconnected last
    owner_id: strawberry.Private[str]
    sender_ids: strawberry.Private[list[str]]  # who may send from it, beside its owner
    imap: strawberry.Private[_Server | None] = None
    smtp: strawberry.Private[_Server]

    @strawberry.field(description="Who connected it. What is sent from it by another program is shown as theirs.")
    async def owner(self, info: Info) -> Member:
        return await info.context.reader.member(self.owner_id)

    @strawberry.field(description="Who may send from it beside its owner, where it is not shared.")
    async def senders(self, info: Info) -> list[Member]:
        return await asyncio.gather(*[info.context.reader.member(id) for id in self.sender_ids])

    @strawberry.field(metadata=VIEWER, description="Whether the viewer may send from it.")
    def may_send(self, info: Info) -> bool:
        caller = info.context.reader.caller
        return caller.may_send and self.allows(caller.id)

    @strawberry.field(
        metadata=VIEWER, description="Whether the viewer has made it the one that their own e-mail goes from."
    )
    async def is_default(self, info: Info) -> bool:
        member = info.context.reader.caller.member
        return member is not None and (await info.context.reader.member(member)).mailbox_id == self.id

    def allows(self, sender_id: str) -> bool:
        return self.is_shared or sender_id == self.owner_id or sender_id in self.sender_ids


@strawberry.enum(description="What became of a mail that could not be taken in.")
class QuarantineState(Enum):
    HELD = strawberry.enum_value("HELD", description="It is kept, and can be tried again.")
    RECOVERED = strawberry.enum_value("RECOVERED", description="It has been taken in since.")
    DISCARDED = strawberry.enum_value("DISCARDED", description="Somebody has decided that it is not needed.")


@strawberry.type(
    description="A mail that came, and could not be taken apart, or was not given by its server. Nothing of it is lost."
)
class QuarantinedMail(Node):
    state: QuarantineState = strawberry.field(description="What became of it.")
    reason: str = strawberry.field(description="Why it could not be taken in.")
    sender: str | None = strawberry.field(default=None, description="The address that it says it is from.")
    size: int = strawberry.field(description="Its size in bytes.")
    received_at: datetime = strawberry.field(description="When it was found.")
    mailbox_id: strawberry.Private[str]
    raw_id: strawberry.Private[str]
    is_sent: strawberry.Private[bool]  # found among what was sent
    message_ids: strawberry.Private[list[str]]
    refused_at: strawberry.Private[str | None] = None  # where it is on its server, if that did not give it
    added: strawberry.Private[int] = 0

    @strawberry.field(
        description="Where it can be fetched as it came, without a token, for at least an hour. Of one that was too "
        "large to be fetched, or that its server did not give, the header is there."
    )
    def raw_url(self, info: Info) -> str:
        return info.context.reader.raw_url(self.id)

    @strawberry.field(description="The mailbox that it came to.")
    async def mailbox(self, info: Info) -> Mailbox:
        return await info.context.reader.mailbox(self.mailbox_id)

    @strawberry.field(description="The messages that were made of it once it could be taken in.")
    async def messages(self, info: Info) -> list[Annotated[Message, strawberry.lazy("schema.types.message")]]:
        return await asyncio.gather(*[info.context.reader.message(id) for id in self.message_ids])


@strawberry.type(description="A mailbox that changed.")
class MailboxChanged:
    position: str = strawberry.field(description="The log position, which is a `since`.")
    mailbox: Mailbox = strawberry.field(description="The mailbox as it is now.")
