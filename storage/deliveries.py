"""How far a message has come, to each whom it goes to."""

from __future__ import annotations

from typing import Any

from schema.types.message import DeliveryState, RecipientKind
from schema.types.node import influencer_id_of
from storage.changes import Turn, place_of
from storage.documents import Document, to_milliseconds

WORDS = 500  # characters of what another server said

# What may come after what. What is not here stays as it is: a late or repeated word changes nothing.
AFTER = {
    DeliveryState.QUEUED: set(DeliveryState),
    DeliveryState.SENDING: set(DeliveryState) - {DeliveryState.SENDING},
    DeliveryState.UNKNOWN: set(DeliveryState) - {DeliveryState.SENDING, DeliveryState.UNKNOWN},
    DeliveryState.FAILED: {DeliveryState.QUEUED},
    DeliveryState.SENT: {DeliveryState.DELIVERED, DeliveryState.BOUNCED, DeliveryState.COMPLAINED},
    DeliveryState.DELIVERED: {DeliveryState.BOUNCED, DeliveryState.COMPLAINED},
    DeliveryState.BOUNCED: {DeliveryState.COMPLAINED, DeliveryState.DELIVERED},
    DeliveryState.COMPLAINED: set(),
}

States = dict[str, tuple[DeliveryState, str | None]]  # by address in lower case; what was said of it


async def put_states(turn: Turn, message: Document, states: States) -> bool:
    """Notes how far a message has come to some of its recipients; whether anything differs."""
    at = to_milliseconds(turn.at)
    recipients = [state_after(each, states.get(each["address"].lower()), at) for each in message["recipients"]]
    if recipients == message["recipients"]:
        return False
    influencer = await turn.get("influencers", influencer_id_of(message["thread_id"]))
    assert influencer is not None, "a message belongs to a thread"
    change = turn.begin(
        "MESSAGE_CHANGED", message["_id"], thread=message["thread_id"], changed=message["_id"], now=place_of(influencer)
    )
    turn.put(change, "messages", message["_id"], {"recipients": recipients, "delivery": delivery_to(recipients)})
    return True


def state_after(recipient: Document, new: tuple[DeliveryState, str | None] | None, at: int) -> Document:
    if new is None:
        return recipient
    state, words = new
    old = recipient["delivery"]
    if state not in AFTER[DeliveryState(old["state"])] or (old["state"], old["detail"]) == (state.value, words):
        return recipient
    return {**recipient, "delivery": {"state": state.value, "at": at, "detail": words and words[:WORDS]}}


def delivery_to(recipients: list[Document]) -> Document:
    """A message is as far as it has come to whom it is for."""
    first: Any = next(each for each in recipients if each["kind"] == RecipientKind.TO.value)
    return dict(first["delivery"])
