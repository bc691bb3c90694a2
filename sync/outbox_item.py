"""One mail that is to be sent or filed, as whoever works on it has it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from schema.types.context import Caller
from schema.types.mailbox import Mailbox, MailboxAccess
from schema.types.message import DeliveryState, Message, RecipientKind, with_remote_images
from storage import files, outbox
from storage.documents import Document, from_document
from storage.store import Store
from storage.workspaces import operator_of
from sync.composing import OutgoingFile, OutgoingMail, compose
from sync.lease import after, time_now
from sync.mail import Address
from sync.mail_access import MailAccess
from sync.mail_counters import MailCounters
from sync.mail_times import MailTimes, pause_after
from sync.smtp_connections import SmtpConnections


@dataclass(frozen=True)
class Post:
    """What mail is sent with."""

    store: Store
    access: MailAccess
    times: MailTimes
    counters: MailCounters
    connections: SmtpConnections
    filing: dict[str, asyncio.Lock] = field(default_factory=dict, kw_only=True)  # by mailbox: one connection at a time


@dataclass(frozen=True)
class Sending(Post):
    """One item that is worked on."""

    caller: Caller
    owner: str  # of the lease
    item: Document
    message: Message
    mailbox: Mailbox

    @property
    def id(self) -> str:
        return str(self.message.id)

    @property
    def waiting(self) -> list[str]:
        """The addresses that have not been answered for."""
        return self._addresses_in(DeliveryState.QUEUED)

    @property
    def being_given(self) -> list[str]:
        """The addresses for which a server is given the mail, or was when somebody ended."""
        return self._addresses_in(DeliveryState.SENDING)

    def _addresses_in(self, state: DeliveryState) -> list[str]:
        return [each.address for each in self.message.recipients if each.delivery and each.delivery.state is state]


async def opened(post: Post, id: str, owner: str) -> Sending:
    item, message = await as_it_is(post.store, id)
    mailbox = await post.store.database.get("mailboxes", item["mailbox"])
    assert mailbox is not None, "what is sent from is never deleted"
    found = from_document(Mailbox, mailbox)
    return Sending(
        **vars(post), caller=operator_of(item["workspace"]), owner=owner, item=item, message=message, mailbox=found
    )


async def opened_anew(sending: Sending) -> Sending:
    """With what was noted since it was opened."""
    item, message = await as_it_is(sending.store, sending.id)
    return replace(sending, item=item, message=message)


async def as_it_is(store: Store, id: str) -> tuple[Document, Message]:
    item, document = await store.database.get("outbox", id), await store.database.get("messages", id)
    assert item is not None and document is not None, "they were made in one change"
    return item, from_document(Message, document)


def is_out_of_time(sending: Sending) -> bool:
    return bool(time_now() - sending.item["first"] > sending.times.give_up * 1000)


def files_itself(sending: Sending) -> bool:
    """Whether nobody but the provider needs to put the mail into the Sent folder."""
    if sending.mailbox.access is MailboxAccess.SEND_ONLY or sending.mailbox.imap is None:
        return True
    providers = sending.access.providers
    provider = providers.get(sending.mailbox.provider) if providers else None
    return provider is not None and provider.files_sent


async def put_off(sending: Sending, seconds: float | None = None) -> None:
    """Later again, in so many seconds, or in ever more. Nobody is told."""
    attempts = sending.item["attempts"] + 1
    due = after(pause_after(sending.times, attempts) if seconds is None else seconds)
    await outbox.put_off(sending.store, sending.id, sending.owner, due, attempts)


async def compose_mail(sending: Sending) -> bytes:
    """The mail, the same at every try but for who gets it in this one."""
    message, mailbox = sending.message, sending.mailbox
    by_kind = {
        kind: [Address(each.address) for each in message.recipients if each.kind is kind] for kind in RecipientKind
    }
    assert message.mail_id is not None, "what we send has a Message-ID"
    mail = OutgoingMail(
        message_id=message.mail_id,
        sender=Address(message.sender_address or mailbox.address, mailbox.name),
        to=by_kind[RecipientKind.TO],
        cc=by_kind[RecipientKind.CC],
        subject=message.subject or "",
        text=message.text,
        html=with_remote_images(message.safe_html) if message.safe_html else None,
        attachments=[
            OutgoingFile(each.name, each.content_type, await content_of(sending, each.blob_id), each.content_id)
            for each in message.attachments
        ],
        in_reply_to=message.references[-1] if message.references else None,
        references=message.references,
        date=message.sent_at,
        automatic=message.automatic,
    )
    return await asyncio.to_thread(compose, mail)  # with large files it takes time


async def content_of(sending: Sending, blob_id: str) -> bytes:
    stored = files.read_bytes(sending.store, sending.caller.workspace, blob_id)
    return b"".join([chunk async for chunk in stored])
