"""What clients say about mailboxes, drafts, and what became of mail."""

from __future__ import annotations

import strawberry

from schema.types.mailbox import Encryption, MailboxAccess
from schema.types.message import MessageChannel


@strawberry.input(description="Where a mail server is.")
class MailServerInput:
    host: str = strawberry.field(description="The name of the server. Its certificate must be valid for it.")
    port: int = strawberry.field(description="The port: 993 or 143 for IMAP, 465 or 587 for SMTP.")
    user: str | None = strawberry.field(default=None, description="The name to log in with; the address if left out.")
    encryption: Encryption = strawberry.field(default=Encryption.TLS, description="How the connection is kept secret.")


@strawberry.input(
    description="A mailbox to connect by a password. One that was connected before is connected anew: what came and "
    "went by it stays, and mail is read from now on."
)
class ConnectMailboxInput:
    address: str = strawberry.field(description="The e-mail address.")
    name: str = strawberry.field(description="The name beside the address in what is sent.")
    password: str = strawberry.field(
        description="The password for both servers. It is stored encrypted, and never told."
    )
    smtp: MailServerInput = strawberry.field(description="Where mail is sent.")
    imap: MailServerInput | None = strawberry.field(
        default=None, description="Where mail is read; needed unless it is connected for sending only."
    )
    access: MailboxAccess = strawberry.field(default=MailboxAccess.FULL, description="What it is connected for.")
    is_shared: bool | None = strawberry.field(
        default=None,
        description="Whether everyone in the team may send from it. Left out: as before, or not if it is new.",
    )


@strawberry.input(description="A mailbox to connect through its provider, by OAuth 2.")
class BeginMailboxAuthorizationInput:
    provider: str = strawberry.field(description="One of `mailboxProviders`.")
    address: str = strawberry.field(description="The e-mail address.")
    access: MailboxAccess = strawberry.field(default=MailboxAccess.FULL, description="What it is connected for.")


@strawberry.input(description="What changes of a mailbox. What is left out stays as it is.")
class UpdateMailboxInput:
    mailbox_id: strawberry.ID = strawberry.field(description="The mailbox.")
    name: str | None = strawberry.field(
        default=strawberry.UNSET, description="The name beside the address in what is sent."
    )
    is_shared: bool | None = strawberry.field(
        default=strawberry.UNSET, description="Whether everyone in the team may send from it."
    )
    member_ids: list[strawberry.ID] | None = strawberry.field(
        default=strawberry.UNSET, description="All who may send from it beside its owner; at most a hundred."
    )


@strawberry.input(description="A mailbox to disconnect.")
class DisconnectMailboxInput:
    mailbox_id: strawberry.ID = strawberry.field(description="The mailbox.")


@strawberry.input(description="The mailbox that e-mail goes from where none is named.")
class SetDefaultMailboxInput:
    mailbox_id: strawberry.ID | None = strawberry.field(
        default=None, description="The mailbox; null for the viewer to go by the workspace's fallback."
    )
    for_workspace: bool = strawberry.field(
        default=False,
        description="Whether it becomes the workspace's fallback, instead of the viewer's own. For an ADMIN.",
    )


@strawberry.input(description="A mailbox to compare with its server.")
class CheckMailboxInput:
    mailbox_id: strawberry.ID = strawberry.field(description="The mailbox.")


@strawberry.input(description="A mail to try once more.")
class RetryQuarantinedMailInput:
    quarantined_mail_id: strawberry.ID = strawberry.field(description="The mail.")


@strawberry.input(description="A mail that is not needed.")
class DiscardQuarantinedMailInput:
    quarantined_mail_id: strawberry.ID = strawberry.field(description="The mail.")


@strawberry.input(description="What the viewer has written so far in a thread, in place of what was saved before.")
class SaveDraftInput:
    thread_id: strawberry.ID = strawberry.field(description="The conversation.")
    text: str = strawberry.field(description="The text so far; may be empty.")
    channel: MessageChannel = strawberry.field(default=MessageChannel.EMAIL, description="How it is to travel.")
    subject: str | None = strawberry.field(default=None, description="The subject so far.")
    html: str | None = strawberry.field(default=None, description="The same as HTML.")
    cc: list[str] | None = strawberry.field(default=None, description="Addresses that get a copy.")
    campaign_id: strawberry.ID | None = strawberry.field(default=None, description="The campaign that it belongs to.")
    mailbox_id: strawberry.ID | None = strawberry.field(default=None, description="The mailbox that it is to go from.")
    attachment_ids: list[strawberry.ID] | None = strawberry.field(default=None, description="Files that go with it.")


@strawberry.input(description="A draft to delete.")
class DeleteDraftInput:
    draft_id: strawberry.ID = strawberry.field(description="The draft.")


@strawberry.input(description="What became of an e-mail whose delivery is UNKNOWN; or one to try again that FAILED.")
class ResolveDeliveryInput:
    message_id: strawberry.ID = strawberry.field(description="The message.")
    was_sent: bool = strawberry.field(
        description="True: it was sent, and is left alone. False: it is sent again, to those who did not get it."
    )
