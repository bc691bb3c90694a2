"""Messages: sent by the team, and handed in for influencers."""

from __future__ import annotations

from resolvers import access, validate
from resolvers.context import Info
from resolvers.html import checked_html
from resolvers.influencers import find, idempotency
from resolvers.refusal import refusable
from schema.types.errors import ApiError, ErrorCode, Refused, UserErrorCode, bad_input
from schema.types.inputs import ReceiveMessageInput, SendMessageInput
from schema.types.mail_inputs import ResolveDeliveryInput
from schema.types.mail_payloads import ResolveDeliveryPayload
from schema.types.message import MessageChannel, MessageDirection, MessageKind
from schema.types.node import kind_of, thread_id_of
from schema.types.payloads import ReceiveMessagePayload, SendMessagePayload
from storage import messages, outbox
from storage.addresses import canonical
from storage.attachments import access_attachments
from storage.claims import key_of
from storage.messages import NewMessage
from storage.outbox import NewMail

MOST_CC = 20
MOST_BYTES = 18 * 1024 * 1024  # of an e-mail's files: as text they are a third longer, and many servers take 25 MB


@refusable(SendMessagePayload)
async def send_message(info: Info, input: SendMessageInput) -> SendMessagePayload:
    caller = access.to_send(info.context.caller)
    kind_of(input.thread_id)
    for id in (input.campaign_id, input.mailbox_id, input.draft_id):
        validate.optional_id(id)
    store, attachment_ids = info.context.store, validate.ids(list(input.attachment_ids or []), "attachmentIds")
    new = NewMessage(
        thread_id=input.thread_id,
        direction=MessageDirection.OUTBOUND,
        kind=MessageKind.CAMPAIGN if input.campaign_id else MessageKind.DIRECT,
        text=validate.text(input.text, "text"),
        subject=validate.line(input.subject, "subject", most=validate.SUBJECT) if input.subject is not None else None,
        campaign_id=input.campaign_id,
        safe_html=await checked_html(input.html) if input.html is not None else None,
        attachments=await access_attachments(store, caller.workspace, attachment_ids),
    )
    cc = checked_cc(input.cc)
    if input.channel is MessageChannel.EMAIL:
        must_fit(new)
        mail = NewMail(new, input.mailbox_id, cc, input.draft_id)
        outcome = await outbox.send_mail(
            store, caller, mail, idempotency(caller, "sendMessage", input.idempotency_key, mail)
        )
    else:
        must_be_plain(input)
        key = idempotency(caller, "sendMessage", input.idempotency_key, new)
        outcome = await messages.add_message(store, caller, new, key, input.draft_id)
    message = await info.context.reader.message(outcome.result.id)
    thread = await info.context.reader.thread(message.thread_id) if access.may_read(caller) else None
    return SendMessagePayload(message=message, thread=thread, position=outcome.position)


def must_be_plain(input: SendMessageInput) -> None:
    """What only an e-mail has is refused for what travels on the platform."""
    only = {"subject": input.subject, "html": input.html, "cc": input.cc, "mailboxId": input.mailbox_id}
    for name, value in only.items():
        if value is not None:
            raise Refused(UserErrorCode.INVALID, f"only an e-mail has {name}", name)


def must_fit(new: NewMessage) -> None:
    if sum(each.size for each in new.attachments) > MOST_BYTES:
        raise Refused(UserErrorCode.TOO_LONG, "an e-mail's files have at most 18 MB in all", "attachmentIds")


def checked_cc(cc: list[str] | None) -> list[str]:
    given = list(cc or [])
    validate.at_most(list(given), MOST_CC, "cc")
    return list({canonical(each): each for each in (validate.email(each, "cc") for each in given)}.values())


@refusable(ResolveDeliveryPayload)
async def resolve_delivery(info: Info, input: ResolveDeliveryInput) -> ResolveDeliveryPayload:
    caller, _ = access.member_to_write(info)
    kind_of(input.message_id)
    outcome = await outbox.resolve(info.context.store, caller, input.message_id, input.was_sent)
    message = await info.context.reader.message(input.message_id)
    return ResolveDeliveryPayload(message=message, position=outcome.position)


@refusable(ReceiveMessagePayload)
async def receive_message(info: Info, input: ReceiveMessageInput) -> ReceiveMessagePayload:
    caller = access.to_ingest(info)
    validate.optional_id(input.campaign_id)
    thread_id = await thread_of(info, input)
    external_id = validate.line(input.external_id, "externalId", most=validate.KEY)
    new = NewMessage(
        thread_id=thread_id,
        direction=MessageDirection.INBOUND,
        kind=MessageKind.CAMPAIGN if input.campaign_id else MessageKind.DIRECT,
        text=validate.text(input.text, "text"),
        campaign_id=input.campaign_id,
        automatic=input.automatic,
        sent_at=input.sent_at,
    )
    key = key_of(caller.id, "message", external_id, new)
    outcome = await messages.add_message(info.context.store, caller, new, key)
    message = await info.context.reader.message(outcome.result.id)
    thread = await info.context.reader.thread(message.thread_id) if access.may_read(caller) else None
    return ReceiveMessagePayload(message=message, thread=thread, position=outcome.position)


async def thread_of(info: Info, input: ReceiveMessageInput) -> str:
    """The thread that a message is handed in for. Raises NOT_FOUND where the reference names nobody."""
    if (input.thread_id is None) == (input.influencer is None):
        raise bad_input("give either threadId or influencer")
    if input.thread_id is not None:
        kind_of(input.thread_id)
        return str(input.thread_id)
    assert input.influencer is not None
    id = await find(info, input.influencer)
    if id is None:
        raise ApiError(ErrorCode.NOT_FOUND, "there is no influencer with this reference")
    return thread_id_of(id)
