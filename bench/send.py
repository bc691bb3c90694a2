"""Sending a message, into another thread each time, which everyone in a team of five has read."""

from __future__ import annotations

import itertools

from bench.measure import Operation
from bench.place import Place
from schema.types.message import MessageDirection, MessageKind
from storage.messages import NewMessage, add_message

SEND = """mutation($input: SendMessageInput!) {
  sendMessage(input: $input) { message { id text sentAt } position userErrors { code message } }
}"""
TEXT = "Thank you, that looks great! We will come back to you on Monday."


async def operations(place: Place) -> list[Operation]:
    member = place.filled.members[0]
    client, caller = await place.client(member), place.caller(member)
    threads = itertools.cycle([thread for thread, _ in place.recent])

    def message() -> NewMessage:
        return NewMessage(next(threads), MessageDirection.OUTBOUND, MessageKind.DIRECT, TEXT)

    return [
        Operation("send", "request", lambda: client.run(SEND, input={"threadId": next(threads), "text": TEXT})),
        Operation("send", "storage", lambda: add_message(place.store, caller, message(), None)),
    ]
