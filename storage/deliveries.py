"""How far a message has come, to each whom it goes to."""

from __future__ import annotations

from schema.types.message import DeliveryState
from schema.types.node import influencer_id_of
from storage.addresses import canonical
from storage.changes import Change, Turn, place_of
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

GOT = {DeliveryState.SENT, DeliveryState.DELIVERED, DeliveryState.BOUNCED, DeliveryState.COMPLAINED}

State = tuple[DeliveryState, str | None]  # what was said of it
States = dict[str, State]  # by address, in any form


async def put_states(turn: Turn, message: Document, states: States) -> Change | None:
    """Notes how far a message has come to some of its recipients; None where nothing differs."""
    at = to_milliseconds(turn.at)
    told = {canonical(address): each for address, each in states.items()}
    recipients = [state_after(each, told.get(canonical(each["address"])), at) for each in message["recipients"]]
    if recipients == message["recipients"]:
        return None
    influencer = await turn.get("influencers", influencer_id_of(message["thread_id"]))
    assert influencer is not None, "a message belongs to a thread"
    change = turn.begin(
        "MESSAGE_CHANGED", message["_id"], thread=message["thread_id"], changed=message["_id"], now=place_of(influencer)
    )
    delivery = delivery_to(recipients, {canonical(each) for each in influencer["emails"]})
    turn.put(change, "messages", message["_id"], {"recipients": recipients, "delivery": delivery})
    return change


def state_after(recipient: Document, new: State | None, at: int) -> Document:
    if new is None:
        return recipient
    state, words = new[0], new[1] and new[1][:WORDS]
    old = recipient["delivery"]
    if state not in AFTER[DeliveryState(old["state"])] or (old["state"], old["detail"]) == (state.value, words):
        return recipient
    return {**recipient, "delivery": {"state": state.value, "at": at, "detail": words}}


def delivery_to(recipients: list[Document], emails: set[str]) -> Document:
    """A message is as far as it has come to whom its thread is with, or else to the first to whom it goes."""
    theirs = [each for each in recipients if canonical(each["address"]) in emails]
    return dict([*theirs, *recipients][0]["delivery"])


def addresses_in(message: Document, states: set[DeliveryState]) -> list[str]:
    """The recipients that are in one of these states, in canonical form."""
    deliveries = {canonical(each["address"]): each["delivery"] for each in message["recipients"]}
    return [address for address, each in deliveries.items() if each and DeliveryState(each["state"]) in states]
