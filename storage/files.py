"""The bytes of files. A workspace has the same bytes once: a blob's id is made of the workspace and of their hash.

Small ones are in the blob's document, others in GridFS, in the collections and the layout that every driver knows.
The calls are our own: the driver's would hold up to 32 MB before it writes any. Nothing here is in the log, as nobody
sees a blob before a message names it.

An upload is noted before its first byte is written, and no longer once its blob is there. One that a killed process
has left is removed after a day: it is either whole, and becomes a blob, or given up, and then it cannot become one.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from schema.types.errors import ApiError, ErrorCode, not_found
from schema.types.node import new_id
from schema.types.scalars import now
from storage.database import DatabaseError
from storage.documents import Document, to_milliseconds
from storage.indexes import UPLOADS
from storage.store import Store

CHUNK = 255 * 1024  # bytes, as GridFS cuts them by default; what is stored is read by it
SMALL = 64 * 1024  # bytes up to which a file is in its blob's document
ABANDONED_AFTER = 24 * 60 * 60 * 1000  # milliseconds since an upload began, which ends within minutes

OPEN, WHOLE, GIVEN_UP = "OPEN", "WHOLE", "GIVEN_UP"  # what an upload is


class TooLarge(ApiError):
    def __init__(self, most: int) -> None:
        super().__init__(ErrorCode.BAD_USER_INPUT, f"a file has at most {most} bytes")


@dataclass(frozen=True)
class Blob:
    id: str
    size: int
    sha256: str


def blob_id(workspace: str, sha256: str) -> str:
    return f"{workspace}:{sha256}"


def sha256_of(blob_id: str) -> str:
    return blob_id.rpartition(":")[2]


async def whole(content: bytes) -> AsyncIterator[bytes]:
    """What is there already, as something that comes."""
    yield content


async def store_bytes(store: Store, workspace: str, chunks: AsyncIterator[bytes], most: int) -> Blob:
    """Keeps what comes, piece by piece, unless the workspace has the same already. Raises TooLarge."""
    async with aclosing(pieces_of(chunks, most)) as pieces:
        first = await anext(pieces, b"")
        if len(first) > SMALL:
            return await upload(store, workspace, first, pieces)
    sha256 = hashlib.sha256(first).hexdigest()
    blob = Blob(blob_id(workspace, sha256), len(first), sha256)
    await store.database.insert("blobs", {"_id": blob.id, "workspace": workspace, "size": blob.size, "data": first})
    return blob


async def pieces_of(chunks: AsyncIterator[bytes], most: int) -> AsyncGenerator[bytes, None]:
    """The same bytes in pieces of CHUNK, of which the last may be shorter. Raises TooLarge."""
    size, waiting = 0, bytearray()
    async for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise TooLarge(most)
        for start in range(0, len(chunk), CHUNK):
            waiting += chunk[start : start + CHUNK]
            if len(waiting) >= CHUNK:
                yield bytes(waiting[:CHUNK])
                del waiting[:CHUNK]
    if waiting:
        yield bytes(waiting)


@dataclass
class Upload:
    """One that goes on: its file in GridFS, and what has come of it."""

    store: Store
    workspace: str
    id: str = field(default_factory=lambda: new_id("file"))
    hash: Any = field(default_factory=hashlib.sha256)
    size: int = 0
    pieces: int = 0

    async def begin(self) -> None:
        fields = {"workspace": self.workspace, "started_at": to_milliseconds(now()), "state": OPEN}
        await self.store.database.insert("uploads", {"_id": self.id, **fields})

    async def add(self, piece: bytes) -> None:
        self.hash.update(piece)
        fields = {"files_id": self.id, "n": self.pieces, "data": piece}
        await self.store.database.insert("fs.chunks", {"_id": f"{self.id}:{self.pieces}", **fields})
        self.size += len(piece)
        self.pieces += 1

    async def finish(self) -> Blob:
        metadata = {"workspace": self.workspace, "sha256": self.hash.hexdigest()}
        await self.store.database.insert("fs.files", {
            "_id": self.id, "filename": "", "length": self.size, "chunkSize": CHUNK, "uploadDate": now(),
            "metadata": metadata,
        })  # fmt: skip
        done = {"state": WHOLE, "sha256": metadata["sha256"], "size": self.size}
        if not await self.store.database.set("uploads", self.id, done, where={"state": OPEN}):
            raise TimeoutError(f"{self.id} has taken so long that it was given up")
        return await settle(self.store, {"_id": self.id, "workspace": self.workspace, **done})


async def upload(store: Store, workspace: str, first: bytes, rest: AsyncIterator[bytes]) -> Blob:
    """Where it is broken off by those who send, nothing is left of it.

    Where we are cancelled, or the database fails, a write may still come: then it is left to `remove_leftovers`.
    """
    going = Upload(store, workspace)
    try:
        await going.begin()
        await going.add(first)
        async for piece in rest:
            await going.add(piece)
        return await going.finish()
    except DatabaseError:
        raise
    except Exception:
        await remove(store, going.id)
        raise


async def settle(store: Store, done: Document) -> Blob:
    """Makes an upload that is whole the blob of its bytes, or removes it where there is one already."""
    id, workspace = done["_id"], done["workspace"]
    blob = Blob(blob_id(workspace, done["sha256"]), done["size"], done["sha256"])
    fields = {"workspace": workspace, "size": blob.size, "file": id}
    await store.database.insert("blobs", {"_id": blob.id, **fields})
    kept = await store.database.get("blobs", blob.id)
    if kept is not None and kept["file"] != id:
        await remove(store, id)
    else:
        await store.database.delete("uploads", {"_id": id})
    return blob


async def remove(store: Store, id: str) -> None:
    """Removes an upload that is no blob."""
    await store.database.delete("fs.chunks", {"files_id": id})
    if await store.database.get("fs.files", id) is not None:  # one of the engines refuses to delete what is not there
        await store.database.delete("fs.files", {"_id": id})
    await store.database.delete("uploads", {"_id": id})


async def remove_leftovers(store: Store) -> None:
    """Removes what uploads have left that were broken off a day ago or earlier."""
    before = to_milliseconds(now()) - ABANDONED_AFTER
    for found in await store.database.find("uploads", {"started_at": {"$lt": before}}, hint=UPLOADS):
        if found["state"] == WHOLE:
            await settle(store, found)
        elif found["state"] == GIVEN_UP or await give_up(store, found["_id"]):
            await remove(store, found["_id"])


async def give_up(store: Store, id: str) -> bool:
    """From here on it cannot become a blob. False where it was whole by then."""
    return await store.database.set("uploads", id, {"state": GIVEN_UP}, where={"state": OPEN})


async def access_blob(store: Store, workspace: str, id: str) -> Document:
    blob = await store.database.get("blobs", id)
    if blob is None or blob["workspace"] != workspace:
        raise not_found(id)
    return blob


async def is_same(store: Store, workspace: str, id: str, size: int, begin: bytes) -> bool:
    """Whether a blob has so many bytes, of which these are the first."""
    blob = await store.database.get("blobs", id)
    if blob is None or blob["workspace"] != workspace or blob["size"] != size:
        return False
    return b"".join([piece async for piece in read_bytes(store, workspace, id, 0, len(begin))]) == begin


async def read_bytes(
    store: Store, workspace: str, id: str, start: int = 0, end: int | None = None
) -> AsyncIterator[bytes]:
    """A blob's bytes from `start` up to `end`, piece by piece. Raises NOT_FOUND."""
    blob = await access_blob(store, workspace, id)
    end = blob["size"] if end is None else min(end, blob["size"])
    if "data" in blob:
        yield blob["data"][start:end]
        return
    for n in range(start // CHUNK, -(-end // CHUNK)):
        found = await store.database.find("fs.chunks", {"files_id": blob["file"], "n": n}, limit=1)
        if not found:
            raise RuntimeError(f"chunk {n} of {blob['file']} is not there")
        yield found[0]["data"][max(0, start - n * CHUNK) : end - n * CHUNK]
