"""The version of what is stored, and the steps from each version to the next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from storage.addresses import canonical
from storage.claims import claim_id
from storage.database import Database
from storage.documents import Document

CLAIMED = {"influencers": ("email", "emails"), "members": ("member", "email"), "mailboxes": ("mailbox", "address")}


async def claim_canonical_addresses(database: Database) -> None:
    """Addresses were claimed in lower case. Since then it is in canonical form, the same for both forms of a domain."""
    for collection, (kind, field) in CLAIMED.items():
        async for document in database.stream(collection, {}, only=["workspace", field]):
            addresses = document[field] if isinstance(document[field], list) else [document[field]]
            for address in addresses:
                if address.lower() != canonical(address):
                    await claim_anew(database, document, kind, address)


async def claim_anew(database: Database, document: Document, kind: str, address: str) -> None:
    """Moves a claim, unless somebody else has the other form of the address too: then theirs stays.

    The one of before is free as of all that is applied, so that it is not taken for a write that was lost.
    """
    workspace, owner = document["workspace"], document["_id"]
    old, new = (claim_id(workspace, kind, form) for form in (address.lower(), canonical(address)))
    claim, log = await database.get("claims", old), await database.get("workspaces", workspace)
    if claim is None or claim["owner"] != owner or log is None:
        return
    if not await database.insert("claims", {**claim, "_id": new}):
        await database.set("claims", new, {"owner": owner}, where={"owner": None})
    await database.set("claims", old, {"owner": None, "position": log["applied"]})


# STEPS[n - 1] brings a database of version n to version n + 1. A step may be cut short at any point and run again.
STEPS: list[Callable[[Database], Awaitable[None]]] = [claim_canonical_addresses]
VERSION = 1 + len(STEPS)


class UnknownFormat(Exception):
    """The database was written by a later version of this program."""


async def upgrade(database: Database) -> None:
    """Brings the database to this program's version, step by step. An empty one is of this version."""
    await database.insert("formats", {"_id": "version", "version": VERSION})
    document = await database.get("formats", "version")
    version = document["version"] if document else VERSION
    if version > VERSION:
        raise UnknownFormat(f"the database has format {version}, and this program knows formats up to {VERSION}")
    for number, step in enumerate(STEPS[version - 1 :], start=version):
        await step(database)
        await database.raise_to("formats", "version", "version", number + 1)
