"""What mutations of mailboxes, drafts and mail answer."""

from __future__ import annotations

import strawberry

from schema.types.draft import Draft
from schema.types.mailbox import Mailbox, QuarantinedMail
from schema.types.member import Member
from schema.types.message import Message
from schema.types.payloads import WHERE_DONE, Payload
from schema.types.thread import Thread


@strawberry.type
class _MailboxPayload(Payload):
    mailbox: Mailbox | None = strawberry.field(default=None, description=WHERE_DONE)


@strawberry.type(description="The mailbox that is connected now.")
class ConnectMailboxPayload(_MailboxPayload):
    pass


@strawberry.type(description="Where the member goes on, with a browser.")
class BeginMailboxAuthorizationPayload(Payload):
    authorization_url: str | None = strawberry.field(
        default=None,
        description="The provider's page. It leads back to one of ours that asks once more, and says whether the "
        "mailbox is connected, as `mailboxChanged` does. Good for ten minutes, once.",
    )


@strawberry.type(description="The mailbox as it is now.")
class UpdateMailboxPayload(_MailboxPayload):
    pass


@strawberry.type(description="The mailbox that is not connected any more.")
class DisconnectMailboxPayload(_MailboxPayload):
    pass


@strawberry.type(description="The mailbox that is a default now, and the member whose own it is.")
class SetDefaultMailboxPayload(_MailboxPayload):
    member: Member | None = strawberry.field(default=None, description="The viewer, where it is their own default.")


@strawberry.type(description="The mailbox; what is found is in its `lastCheck` soon, which `mailboxChanged` tells.")
class CheckMailboxPayload(_MailboxPayload):
    pass


@strawberry.type
class _QuarantinedMailPayload(Payload):
    quarantined_mail: QuarantinedMail | None = strawberry.field(default=None, description=WHERE_DONE)


@strawberry.type(description="The mail; what becomes of it is told as a change of it soon.")
class RetryQuarantinedMailPayload(_QuarantinedMailPayload):
    pass


@strawberry.type(description="The mail that is not needed. It is kept, out of the way.")
class DiscardQuarantinedMailPayload(_QuarantinedMailPayload):
    pass


@strawberry.type(description="The draft as it is now.")
class SaveDraftPayload(Payload):
    draft: Draft | None = strawberry.field(default=None, description=WHERE_DONE)


@strawberry.type(description="The thread that the draft was in.")
class DeleteDraftPayload(Payload):
    thread: Thread | None = strawberry.field(default=None, description=WHERE_DONE)


@strawberry.type(description="The message with its delivery as it is now.")
class ResolveDeliveryPayload(Payload):
    message: Message | None = strawberry.field(default=None, description=WHERE_DONE)
