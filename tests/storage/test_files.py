"""Files and attachments: kept once, byte for byte, in little memory, with nothing left of what was broken off."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from gridfs import AsyncGridFSBucket
from pymongo import AsyncMongoClient

from schema.types.errors import ApiError, ErrorCode
from schema.types.node import new_id
from storage import attachments
from storage.database import ConnectionLost, Database
from storage.documents import Document
from storage.files import (
    CHUNK,
    SMALL,
    Blob,
    TooLarge,
    blob_id,
    give_up,
    read_bytes,
    remove_leftovers,
    store_bytes,
    whole,
)
from storage.store import Store
from tests.storage.stores import refusal, store_on
from tests.team import Team

MOST = 4_000_000
SIZES = [0, 1, SMALL, SMALL + 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7]


def content_of(size: int) -> bytes:
    """Bytes that no other test has."""
    return random.randbytes(size)


async def cut(content: bytes, sizes: range) -> AsyncIterator[bytes]:
    """Some bytes, in pieces of these sizes by turns."""
    start, turn = 0, 0
    while start < len(content):
        end = start + sizes[turn % len(sizes)]
        yield content[start:end]
        start, turn = end, turn + 1


async def read(store: Store, workspace: str, id: str, *part: int) -> bytes:
    return b"".join([piece async for piece in read_bytes(store, workspace, id, *part)])


class Killed(BaseException):
    """What ends a process: nobody who is in it does anything more."""


class Watched(Database):
    """A database that knows the uploads that were begun on it, and can fail or be killed at one of its next writes."""

    def __init__(self, database: Database) -> None:
        self.__dict__.update(vars(database))
        self.uploads: list[str] = []
        self.written = 0  # bytes
        self.writes_left = 10**9
        self.fails_with: type[BaseException] = Killed

    def _write(self) -> None:
        self.writes_left -= 1
        if self.writes_left == -1 or (self.writes_left < 0 and self.fails_with is Killed):
            raise self.fails_with

    async def insert(self, collection: str, document: Document) -> bool:
        self._write()
        if collection == "uploads":
            self.uploads.append(document["_id"])
        self.written += len(document.get("data", b""))
        return await super().insert(collection, document)

    async def set(self, collection: str, id: str, fields: Document, **how: Any) -> bool:
        self._write()
        return await super().set(collection, id, fields, **how)

    async def delete(self, collection: str, filter: Document) -> int:
        self._write()
        return await super().delete(collection, filter)

    async def kept(self) -> list[str]:
        """The uploads of which anything is left."""
        return [
            id for id in self.uploads
            if await self.get("uploads", id) or await self.get("fs.files", id)
            or await self.find("fs.chunks", {"files_id": id})
        ]  # fmt: skip


def watched(store: Store) -> tuple[Store, Watched]:
    """Another process's view of the database."""
    database = Watched(store.database)
    return store_on(database), database


@pytest.mark.parametrize("size", SIZES)
async def test_what_is_stored_is_read(store: Store, workspace: Team, size: int) -> None:
    content = content_of(size)
    blob = await store_bytes(store, workspace.id, cut(content, range(1, 100_000, 9_999)), MOST)
    assert blob == Blob(blob_id(workspace.id, blob.sha256), size, hashlib.sha256(content).hexdigest())
    assert await read(store, workspace.id, blob.id) == content


async def test_a_part_is_read(store: Store, workspace: Team) -> None:
    for size in (1000, 3 * CHUNK + 5):
        content = content_of(size)
        blob = await store_bytes(store, workspace.id, whole(content), MOST)
        edges = [0, 1, 999, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 4, 3 * CHUNK + 5, 4 * CHUNK]
        for start in edges:
            for end in edges:
                if start < end:
                    assert await read(store, workspace.id, blob.id, start, end) == content[start:end], (start, end)


async def test_other_programs_read_it_as_gridfs(
    store: Store, workspace: Team, database_uri: str, database_name: str
) -> None:
    content = content_of(2 * CHUNK + 7)
    one, database = watched(store)
    await store_bytes(one, workspace.id, whole(content), MOST)
    async with AsyncMongoClient[dict[str, Any]](database_uri) as client:
        bucket = AsyncGridFSBucket(client[database_name])
        file = await bucket.open_download_stream(database.uploads[0])
        assert await file.read() == content
        assert (file.length, file.chunk_size) == (len(content), CHUNK)


@pytest.mark.parametrize("size", [1000, CHUNK + 1])
async def test_the_same_bytes_are_kept_once_in_a_workspace(store: Store, workspace: Team, size: int) -> None:
    content = content_of(size)
    one, database = watched(store)
    first = await store_bytes(one, workspace.id, whole(content), MOST)
    again = await store_bytes(one, workspace.id, cut(content, range(777, 778)), MOST)
    assert again == first
    assert len(await database.kept()) == (size > SMALL)
    other = await store_bytes(one, "workspace_of_others", whole(content), MOST)
    assert other.id != first.id and other.sha256 == first.sha256


async def test_the_same_bytes_at_once_leave_one_blob(store: Store, workspace: Team) -> None:
    processes = [watched(store) for _ in range(2)]
    content = content_of(CHUNK + 1)
    ready = asyncio.Barrier(8)

    async def together() -> AsyncIterator[bytes]:
        yield content[:-1]
        await ready.wait()
        yield content[-1:]

    blobs = await asyncio.gather(
        *[store_bytes(each, workspace.id, together(), MOST) for each, _ in processes for _ in range(4)]
    )
    assert len(set(blobs)) == 1
    assert sum([len(await database.kept()) for _, database in processes]) == 1
    assert await read(store, workspace.id, blobs[0].id) == content


@pytest.mark.parametrize("size", [1001, SMALL + 1, CHUNK + 1, 3 * CHUNK])
async def test_nothing_is_left_of_what_is_too_large(store: Store, workspace: Team, size: int) -> None:
    one, database = watched(store)
    with pytest.raises(TooLarge, match=f"at most {size - 1} bytes"):
        await store_bytes(one, workspace.id, cut(content_of(size), range(1000, 1001)), size - 1)
    assert await database.kept() == [] and not await store.database.find("blobs", {"workspace": workspace.id})


async def test_nothing_is_left_of_what_is_broken_off(store: Store, workspace: Team) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield content_of(2 * CHUNK + 1)
        raise ConnectionResetError

    one, database = watched(store)
    with pytest.raises(ConnectionResetError):
        await store_bytes(one, workspace.id, broken(), MOST)
    assert len(database.uploads) == 1 and await database.kept() == []
    assert not await store.database.find("blobs", {"workspace": workspace.id})


async def test_it_is_written_as_it_comes(store: Store, workspace: Team) -> None:
    one, database = watched(store)
    size, ahead = 24 * 1024 * 1024, 0

    async def large() -> AsyncIterator[bytes]:
        nonlocal ahead
        for given in range(0, size, 65536):
            ahead = max(ahead, given - database.written)
            yield given.to_bytes(4) * 16384

    blob = await store_bytes(one, workspace.id, large(), size)
    assert blob.size == size and 0 < ahead <= CHUNK + 65536
    digest, longest = hashlib.sha256(), 0
    async for piece in read_bytes(store, workspace.id, blob.id):
        digest.update(piece)
        longest = max(longest, len(piece))
    assert digest.hexdigest() == blob.sha256 and longest == CHUNK


@pytest.mark.parametrize("fails_with", [Killed, ConnectionLost])
async def test_whenever_a_process_is_killed_the_file_is_there_or_nothing_is(
    store: Store, workspace: Team, fails_with: type[BaseException]
) -> None:
    """It dies one write later each time. Before the day is over nothing is taken from it, as it may only be slow."""
    for step in range(20):
        content = content_of(CHUNK + 1)
        one, database = watched(store)
        database.writes_left, database.fails_with = step, fails_with
        try:
            blob = await store_bytes(one, workspace.id, whole(content), MOST)
            break
        except fails_with:
            pass
        await remove_leftovers(store)
        id = blob_id(workspace.id, hashlib.sha256(content).hexdigest())
        was_there = await store.database.get("blobs", id) is not None
        if was_there:
            assert await read(store, workspace.id, id) == content
        elif step > 0:  # What was written last may come later than its failure.
            late = {"files_id": database.uploads[0], "n": 99, "data": b"late"}
            await store.database.insert("fs.chunks", {"_id": f"{database.uploads[0]}:99", **late})
        for upload in database.uploads:
            await store.database.set("uploads", upload, {"started_at": 0})
        await remove_leftovers(store)
        assert not [each for each in database.uploads if await store.database.get("uploads", each)]
        is_there = await store.database.get("blobs", id)
        assert await database.kept() == ([is_there["file"]] if is_there else [])
        assert is_there or not was_there
        again = await store_bytes(store, workspace.id, whole(content), MOST)
        assert again.id == id and await read(store, workspace.id, id) == content
    assert step > 5 and await read(store, workspace.id, blob.id) == content


async def test_what_goes_on_is_no_leftover(store: Store, workspace: Team) -> None:
    content = content_of(3 * CHUNK)

    async def slow() -> AsyncIterator[bytes]:
        yield content[: 2 * CHUNK]
        await remove_leftovers(store)
        yield content[2 * CHUNK :]

    blob = await store_bytes(store, workspace.id, slow(), MOST)
    assert await read(store, workspace.id, blob.id) == content


@pytest.mark.parametrize("is_removed", [True, False])
async def test_what_was_given_up_does_not_become_a_file(store: Store, workspace: Team, is_removed: bool) -> None:
    one, database = watched(store)

    async def stopped_for_a_day() -> AsyncIterator[bytes]:
        yield content_of(2 * CHUNK)
        await store.database.set("uploads", database.uploads[0], {"started_at": 0})
        if is_removed:
            await remove_leftovers(store)
            assert await database.kept() == []
        else:
            await give_up(store, database.uploads[0])
        yield content_of(CHUNK)

    with pytest.raises(TimeoutError, match="given up"):
        await store_bytes(one, workspace.id, stopped_for_a_day(), MOST)
    assert await database.kept() == [] and not await store.database.find("blobs", {"workspace": workspace.id})


async def test_a_blob_of_another_workspace_is_as_if_it_was_not(store: Store, workspace: Team) -> None:
    for size in (10, CHUNK + 1):
        blob = await store_bytes(store, workspace.id, whole(content_of(size)), MOST)
        for id, whose in [
            (blob.id, "workspace_of_others"),
            (blob_id("workspace_of_others", blob.sha256), workspace.id),
        ]:
            with pytest.raises(ApiError, check=refusal(ErrorCode.NOT_FOUND)):
                await read(store, whose, id)


async def test_an_attachment_is_told_to_its_workspace_only(store: Store, workspace: Team) -> None:
    blob = await store_bytes(store, workspace.id, whole(b"%PDF-1.7"), MOST)
    one = await attachments.add(store, workspace.id, workspace.member.id, "../a.pdf", blob, b"%PDF-1.7")
    two = await attachments.add(store, workspace.id, workspace.member.id, "b", blob, b"%PDF-1.7", "img@x", True)
    assert (one.name, one.content_type, one.size, one.content_id, one.is_inline) == (
        "a.pdf", "application/pdf", 8, None, False,
    )  # fmt: skip
    assert (two.content_id, two.is_inline) == ("img@x", True)
    assert await attachments.access_attachments(store, workspace.id, [two.id, one.id]) == [two, one]
    absent = new_id("attachment")
    for id, whose in [(one.id, "workspace_of_others"), (absent, workspace.id), (new_id("message"), workspace.id)]:
        with pytest.raises(ApiError, check=refusal(ErrorCode.NOT_FOUND)) as refused:
            await attachments.access_attachments(store, whose, [two.id, id] if whose == workspace.id else [id])
        assert str(refused.value) == f"there is no object with the id {id!r}"
    with pytest.raises(ApiError, check=refusal(ErrorCode.BAD_USER_INPUT)):
        await attachments.access_attachments(store, workspace.id, ["nothing"])


async def test_an_address_is_the_same_for_a_while(
    store: Store, workspace: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = replace(store, address="https://inbox.example.com/brand")
    at, id = 1_800_000_000, new_id("attachment")  # a whole hour
    urls = []
    for now in (at, at + 3599, at + 3600):
        monkeypatch.setattr(attachments, "seconds", lambda now=now: now)
        urls.append(attachments.url_of(public, workspace.id, id, "a ü/b.pdf"))
    assert urls[0] == urls[1] != urls[2]
    assert urls[0].startswith(
        f"https://inbox.example.com/brand/attachments/{id}/a%20%C3%BC%2Fb.pdf?expires={at + 7200}&"
    )
    assert attachments.url_of(store, workspace.id, id, "a").startswith(f"/attachments/{id}/a?expires=")
