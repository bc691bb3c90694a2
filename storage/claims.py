"""What must be unique or done once: addresses, handles, names, idempotency keys, external ids.

A claim is a document whose id is made of the workspace, the kind and a hash of the value, so that looking it up is
looking up an id, and a second one cannot exist. It names its owner; one without an owner is free again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from schema.types.errors import conflict
from storage.changes import Change, Turn
from storage.documents import Document, to_value
from storage.log import Outcome
from storage.positions import format_position, parse_position


def claim_id(workspace: str, kind: str, value: str) -> str:
    return f"{workspace}:{kind}:{hashlib.sha256(value.encode()).hexdigest()[:40]}"


async def owner_of(turn: Turn, kind: str, value: str) -> str | None:
    """Who holds a value; None where it is free."""
    claim = await turn.get("claims", claim_id(turn.workspace, kind, value))
    return claim["owner"] if claim else None


def take(turn: Turn, change: Change, kind: str, value: str, owner: str) -> None:
    turn.put(change, "claims", claim_id(turn.workspace, kind, value), {"owner": owner})


def release(turn: Turn, change: Change, kind: str, value: str) -> None:
    turn.put(change, "claims", claim_id(turn.workspace, kind, value), {"owner": None})


@dataclass(frozen=True)
class Key:
    """What makes a request the same as an earlier one: its caller's key, and a fingerprint of its input."""

    kind: str
    value: str
    fingerprint: str


def key_of(caller_id: str, kind: str, value: str, content: object) -> Key:
    """A key of one caller. `content` is what must be the same when the same key comes again."""
    text = json.dumps(to_value(content), sort_keys=True, ensure_ascii=True)
    return Key(f"{kind}:{caller_id}", value, hashlib.sha256(text.encode()).hexdigest())


def id_of_key(workspace: str, key: Key) -> str:
    return claim_id(workspace, key.kind, key.value)


@dataclass(frozen=True)
class Made:
    """The id of what was made, now or by an earlier request with the same key; then `earlier` is its position."""

    id: str
    earlier: int | None = None


def dated(outcome: Outcome[Made]) -> Outcome[Made]:
    """The outcome with the position at which the thing was made, which may be an earlier request's."""
    if outcome.result.earlier is None:
        return outcome
    epoch, _ = parse_position(outcome.position)
    return Outcome(outcome.result, format_position(epoch, outcome.result.earlier))


async def once(turn: Turn, key: Key | None, make: Callable[[], Awaitable[tuple[Change, str]]]) -> Made:
    """Makes something unless the same request made it before. The same key with another input is a CONFLICT."""
    if key is None:
        return Made((await make())[1])
    id = id_of_key(turn.workspace, key)
    claim: Document | None = await turn.get("claims", id)
    if claim is not None:
        if claim["fingerprint"] != key.fingerprint:
            raise conflict(f"{key.value[:60]!r} was used before, with another input")
        return Made(claim["owner"], claim["made_at"])
    change, made = await make()
    turn.put(change, "claims", id, {"owner": made, "fingerprint": key.fingerprint, "made_at": change.position})
    return Made(made)
