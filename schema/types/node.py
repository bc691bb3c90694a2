"""Ids and the two interfaces that every object of the API is built on."""

from __future__ import annotations

import hashlib
import re

import strawberry
from ulid import ULID

from schema.types.errors import bad_input, not_found

_ID = re.compile(r"([a-z]+)_[0-9A-HJKMNP-TV-Z]{26}")


def described(description: str) -> object:
    """An argument's description, for `Annotated`."""
    return strawberry.argument(description=description)


def new_id(kind: str) -> strawberry.ID:
    """A new id: the kind of object, then a ULID, so that ids made later sort later."""
    return strawberry.ID(f"{kind}_{ULID()}")


def derived_id(kind: str, source: str) -> strawberry.ID:
    """An id that follows from a text: who makes the same thing once more gets the same id for it."""
    return strawberry.ID(f"{kind}_{ULID(hashlib.sha256(source.encode()).digest()[:16])}")


def kind_of(id: str) -> str:
    """The kind of object that `id` names. Raises BAD_USER_INPUT where it is no id at all."""
    match = _ID.fullmatch(id)
    if match is None:
        raise bad_input(f"{id[:60]!r} is not an id")
    return match[1]


def thread_id_of(influencer_id: str) -> str:
    """An influencer has exactly one thread, so the two ids differ in their kind only."""
    return f"thread_{influencer_id.partition('_')[2]}"


def influencer_id_of(thread_id: str) -> str:
    """The influencer whose one thread this is. Raises NOT_FOUND for what is no thread's id."""
    kind, _, rest = thread_id.partition("_")
    if kind != "thread":
        raise not_found(thread_id)
    return f"influencer_{rest}"


# Metadata of a field that has another value for each viewer: an answer that holds it is no one else's.
VIEWER = {"viewer": True}


@strawberry.interface(description="An object with an id that is unique among all objects.")
class Node:
    id: strawberry.ID = strawberry.field(description="Opaque, unique among all objects, never reused.")


@strawberry.interface(description="Who wrote a message or made a change: a member, an influencer or a partner app.")
class Actor:
    id: strawberry.ID = strawberry.field(description="The id of the member, influencer or partner.")
    name: str = strawberry.field(description="The name to show.")
