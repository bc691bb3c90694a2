"""What members have begun at a provider, until they come back: for ten minutes, and once."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import asdict, dataclass
from enum import Enum

from schema.types.scalars import now
from storage.documents import Document, to_milliseconds
from storage.keys import WrongSeal
from storage.store import Store

COLLECTION = "oauth_flows"
LIFETIME = 10 * 60 * 1000  # milliseconds
REMEMBERED = 24 * 60 * 60 * 1000  # for which it is told that one has expired, or was used


@dataclass(frozen=True)
class Flow:
    """What was begun, by whom: nothing of it comes from the address that a browser comes back with."""

    workspace: str
    member_id: str
    provider: str
    address: str  # the mailbox
    access: str


class Unfit(Enum):
    UNKNOWN = "UNKNOWN"
    USED = "USED"
    EXPIRED = "EXPIRED"


class FlowUnfit(Exception):
    """A state is not, or no longer, good for anything."""

    def __init__(self, why: Unfit) -> None:
        super().__init__(why.value)
        self.why = why


def hash_of(state: str) -> str:
    return hashlib.sha256(state.encode("utf-8", "replace")).hexdigest()


async def begin(store: Store, flow: Flow, verifier: str) -> str:
    """A new state, of which only a hash is stored. The verifier comes back with the flow."""
    at = to_milliseconds(now())
    state = secrets.token_urlsafe(32)
    id = hash_of(state)
    sealed = store.keys.seal(verifier.encode(), f"{COLLECTION} {id}")
    times = {"expires_at": at + LIFETIME, "used_at": None}
    await store.database.delete(COLLECTION, {"expires_at": {"$lt": at - REMEMBERED}})
    await store.database.insert(COLLECTION, {"_id": id, **asdict(flow), "verifier": sealed, **times})
    return state


async def look(store: Store, state: str) -> Flow:
    """What was begun with this state, which stays good for `take`. Raises FlowUnfit."""
    return flow_of(await found(store, state))


async def take(store: Store, state: str) -> tuple[Flow, str]:
    """What was begun with this state, and its verifier: to the first who asks. Raises FlowUnfit."""
    document = await found(store, state)
    id = document["_id"]
    if not await store.database.set(COLLECTION, id, {"used_at": to_milliseconds(now())}, where={"used_at": None}):
        raise FlowUnfit(Unfit.USED)
    try:
        verifier = store.keys.open(document["verifier"], f"{COLLECTION} {id}").decode()
    except WrongSeal:
        raise FlowUnfit(Unfit.EXPIRED) from None  # its key was taken away meanwhile
    return flow_of(document), verifier


async def found(store: Store, state: str) -> Document:
    """Raises FlowUnfit for what is not, or no longer, good."""
    document = await store.database.get(COLLECTION, hash_of(state))
    if document is None:
        raise FlowUnfit(Unfit.UNKNOWN)
    if document["used_at"] is not None:
        raise FlowUnfit(Unfit.USED)
    if document["expires_at"] <= to_milliseconds(now()):
        raise FlowUnfit(Unfit.EXPIRED)
    return document


def flow_of(document: Document) -> Flow:
    return Flow(**{name: document[name] for name in Flow.__dataclass_fields__})
