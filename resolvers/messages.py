"""Messages: sent by the team, and handed in for influencers."""

from __future__ import annotations

from resolvers import access, validate
from resolvers.context import Info
from resolvers.influencers import find, idempotency
from resolvers.refusal import refusable
from schema.types.errors import Refused, UserErrorCode, bad_input, not_found
from schema.types.inputs import ReceiveMessageInput, SendMessageInput
from schema.types.message import MessageChannel, MessageDirection, MessageKind
from schema.types.node import kind_of, thread_id_of
from schema.types.payloads import ReceiveMessagePayload, SendMessagePayload
from storage import messages
from storage.claims import key_of
from storage.messages import NewMessage


@refusable(SendMessagePayload)
async def send_message(info: Info, input: SendMessageInput) -> SendMessagePayload:
    caller = access.to_write(info, "messages:send")
    kind_of(input.thread_id)
    if input.channel is MessageChannel.EMAIL:
        await info.context.reader.thread(input.thread_id)
        raise Refused(UserErrorCode.MAILBOX_REQUIRED, "e-mail needs a connected mailbox, and there is none", "channel")
    validate.optional_id(input.campaign_id)
    validate.optional_id(input.mailbox_id)
    for id in [input.mailbox_id, *validate.ids(list(input.attachment_ids or []), "attachmentIds")]:
        if id is not None:
            raise not_found(id)
    if input.subject is not None:
        raise Refused(UserErrorCode.INVALID, "only an e-mail has a subject", "subject")
    new = NewMessage(
        thread_id=input.thread_id,
        direction=MessageDirection.OUTBOUND,
        kind=MessageKind.CAMPAIGN if input.campaign_id else MessageKind.DIRECT,
        text=validate.text(input.text, "text"),
        campaign_id=input.campaign_id,
    )
    key = idempotency(caller, "sendMessage", input.idempotency_key, new)
    outcome = await messages.add_message(info.context.store, caller, new, key)
    message = await info.context.reader.message(outcome.result.id)
    thread = await info.context.reader.thread(message.thread_id) if access.may_read(caller) else None
    return SendMessagePayload(message=message, thread=thread, position=outcome.position)


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
        raise not_found("influencer")
    return thread_id_of(id)
