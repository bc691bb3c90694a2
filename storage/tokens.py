"""Tokens: 256 random bits, stored as a hash, with an expiry. They are not part of what clients see change, so they are
outside of the log; what they may do is looked up again every few seconds."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from schema.types.context import Caller, Role
from schema.types.errors import not_found
from schema.types.member import Token
from schema.types.node import new_id
from schema.types.scalars import now
from storage.documents import Document, from_document, to_milliseconds
from storage.store import Store

PREFIX = "ci_"


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


async def create_token(
    store: Store, workspace: str, owner: str, label: str, scopes: list[str], expires_at: datetime
) -> tuple[str, Token]:
    """A new token of a member or partner, and its description. The token itself is never stored."""
    token = PREFIX + secrets.token_urlsafe(32)
    document = {
        "_id": hash_of(token),
        "workspace": workspace,
        "token_id": new_id("token"),
        "label": label,
        "owner_id": owner,
        "scopes": scopes,
        "created_at": to_milliseconds(now()),
        "expires_at": to_milliseconds(expires_at),
        "revoked_at": None,
    }
    await store.database.insert("tokens", document)
    return token, describe(document)


def describe(document: Document) -> Token:
    return from_document(Token, {**document, "_id": document["token_id"]})


async def tokens(store: Store, workspace: str) -> list[Token]:
    documents = await store.database.find("tokens", {"workspace": workspace})
    return [describe(document) for document in sorted(documents, key=lambda each: str(each["token_id"]))]


async def revoke_token(store: Store, workspace: str, id: str) -> Token:
    """From within five seconds on nobody accepts it, and its streams are ended. Raises NOT_FOUND."""
    found = await store.database.find("tokens", {"token_id": id}, limit=1)
    if not found or found[0]["workspace"] != workspace:
        raise not_found(id)
    if found[0]["revoked_at"] is None:
        found[0]["revoked_at"] = to_milliseconds(now())
        await store.database.set("tokens", found[0]["_id"], {"revoked_at": found[0]["revoked_at"]})
    return describe(found[0])


@dataclass(frozen=True)
class Standing:
    """What a token is good for now: a caller, unless it was revoked or its owner removed, or it has expired."""

    caller: Caller
    expires_at: datetime
    revoked: bool


async def look_up(store: Store, hashes: list[str]) -> dict[str, Standing]:
    """What these tokens are good for; unknown ones are left out. Three calls to the database, however many they are."""
    found = await store.database.get_many("tokens", hashes)
    owners = {document["owner_id"] for document in found.values()}
    members = await store.database.get_many("members", {owner for owner in owners if owner.startswith("member_")})
    partners = await store.database.get_many("partners", {owner for owner in owners if owner.startswith("partner_")})
    standings = {}
    for id, document in found.items():
        owner = members.get(document["owner_id"]) or partners.get(document["owner_id"])
        if owner is not None:
            standings[id] = standing_of(document, owner)
    return standings


def standing_of(token: Document, owner: Document) -> Standing:
    caller = Caller(
        id=owner["_id"],
        name=owner["name"],
        workspace=token["workspace"],
        token=token["_id"],
        role=Role(owner["role"]) if "role" in owner else None,
        scopes=frozenset(token["scopes"]),
    )
    revoked = token["revoked_at"] is not None or owner.get("removed_at") is not None
    return Standing(caller, describe(token).expires_at, revoked)
