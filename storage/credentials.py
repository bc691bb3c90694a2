"""What mailboxes are opened with: passwords and OAuth tokens, sealed, and never part of what a client can see.

They are outside of the log. Whoever renews a mailbox's tokens holds a lease on them, and what it got is written only
where nobody has written since, so that a mailbox which is connected anew meanwhile keeps its new credentials.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field

from schema.types.scalars import now
from storage.documents import Document, to_milliseconds
from storage.keys import WrongSeal
from storage.store import Store

COLLECTION = "credentials"
KEYS = ("formats", "keys")  # the document that tells whether a ring of keys is the one of this database


@dataclass(frozen=True)
class Credentials:
    """A password, or what a provider gave. Times are milliseconds since 1970."""

    password: str | None = field(default=None, repr=False)
    provider: str | None = None
    access_token: str | None = field(default=None, repr=False)
    refresh_at: int | None = None  # from when on the access token should be renewed
    expires_at: int | None = None
    refresh_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Held:
    """Credentials as they are stored: each time they are written they have another version."""

    credentials: Credentials
    version: str


@dataclass(frozen=True)
class Lease:
    """The right to replace this version of a mailbox's credentials, for a while."""

    workspace: str
    mailbox_id: str
    version: str
    holder: str  # and the version of what its holder writes


def id_of(workspace: str, mailbox_id: str) -> str:
    return f"{workspace}:{mailbox_id}"


def bound_to(workspace: str, mailbox_id: str) -> str:
    return json.dumps([COLLECTION, workspace, mailbox_id])


def sealed(store: Store, workspace: str, mailbox_id: str, credentials: Credentials) -> str:
    return store.keys.seal(json.dumps(asdict(credentials)).encode(), bound_to(workspace, mailbox_id))


async def save(store: Store, workspace: str, mailbox_id: str, credentials: Credentials) -> None:
    """Stores a mailbox's credentials in the place of those that it had."""
    id = id_of(workspace, mailbox_id)
    content: Document = {
        "workspace": workspace,
        "mailbox_id": mailbox_id,
        "sealed": sealed(store, workspace, mailbox_id, credentials),
        "version": secrets.token_hex(8),
        "leased_to": None,
        "leased_until": 0,
    }
    while not await store.database.insert(COLLECTION, {"_id": id, **content}):
        if await store.database.set(COLLECTION, id, content):
            return


async def load(store: Store, workspace: str, mailbox_id: str) -> Credentials | None:
    """Raises WrongSeal where they are another mailbox's, or were sealed with a key that is gone."""
    held = await hold(store, workspace, mailbox_id)
    return held.credentials if held else None


async def hold(store: Store, workspace: str, mailbox_id: str) -> Held | None:
    """Raises WrongSeal as `load` does."""
    document = await store.database.get(COLLECTION, id_of(workspace, mailbox_id))
    if document is None:
        return None
    content = json.loads(store.keys.open(document["sealed"], bound_to(workspace, mailbox_id)))
    return Held(Credentials(**content), document["version"])


async def forget(store: Store, workspace: str, mailbox_id: str) -> None:
    await store.database.delete(COLLECTION, {"_id": id_of(workspace, mailbox_id)})


async def take_lease(store: Store, workspace: str, mailbox_id: str, version: str, seconds: float) -> Lease | None:
    """The lease; None where somebody has it, or has written since that version was read."""
    at = to_milliseconds(now())
    lease = Lease(workspace, mailbox_id, version, secrets.token_hex(8))
    taken = await store.database.set(
        COLLECTION,
        id_of(workspace, mailbox_id),
        {"leased_to": lease.holder, "leased_until": at + round(seconds * 1000)},
        where={"version": version, "leased_until": {"$lte": at}},
    )
    return lease if taken else None


async def release(store: Store, lease: Lease) -> None:
    """Lets others have the lease, unless it was taken by them already."""
    id = id_of(lease.workspace, lease.mailbox_id)
    await store.database.set(COLLECTION, id, {"leased_until": 0}, where={"leased_to": lease.holder})


async def replace(store: Store, lease: Lease, credentials: Credentials) -> bool:
    """Writes what a lease was taken for; False where others wrote meanwhile. Doing it again is harmless."""
    id = id_of(lease.workspace, lease.mailbox_id)
    content = {"sealed": sealed(store, lease.workspace, lease.mailbox_id, credentials), "version": lease.holder}
    if await store.database.set(COLLECTION, id, content, where={"version": lease.version}):
        return True
    there = await store.database.get(COLLECTION, id)
    return there is not None and there["version"] == lease.holder  # it was ours, and its answer was lost


async def reseal(store: Store) -> int:
    """Seals with the first key what another key has sealed; how many. Raises WrongSeal where that key is gone."""
    count = 0
    async for found in store.database.stream(COLLECTION, {}):
        binding = bound_to(found["workspace"], found["mailbox_id"])
        document: Document | None = found
        while document is not None and not store.keys.is_current(document["sealed"]):
            anew = store.keys.seal(store.keys.open(document["sealed"], binding), binding)
            unchanged = {"sealed": document["sealed"]}
            count += await store.database.set(COLLECTION, found["_id"], {"sealed": anew}, where=unchanged)
            document = await store.database.get(COLLECTION, found["_id"])
    collection, id = KEYS
    await store.database.set(collection, id, {"sealed": store.keys.seal(b"", id)})
    return count


async def check_keys(store: Store) -> None:
    """Raises WrongSeal where this database's secrets were sealed with a key that is not in the ring."""
    collection, id = KEYS
    await store.database.insert(collection, {"_id": id, "sealed": store.keys.seal(b"", id)})
    document = await store.database.get(collection, id)
    if document is None:
        raise WrongSeal("what tells of the keys is gone")
    store.keys.open(document["sealed"], id)
