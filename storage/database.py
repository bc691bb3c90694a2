"""The database driver. Only what `pymongo.AsyncMongoClient` has too is used, so that a change of driver is this module.

Rules that keep one code for every engine: string ids, no `$lookup`, no pipeline updates, no transactions, no change
streams, no engine timers, no `$or` in an update's filter, top-level field names only.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ReadPreference, UpdateOne
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    DocumentTooLarge,
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from storage.documents import Document

T = TypeVar("T")

DEADLOCK = 112  # the engine wrote nothing and asks to be called again
DUPLICATE = 11000
ATTEMPTS = 8

DEFAULTS: dict[str, Any] = {
    "serverSelectionTimeoutMS": 10_000,
    "socketTimeoutMS": 30_000,
    "maxPoolSize": 64,
}  # unless the address says so

DatabaseError = PyMongoError
WrongAddress = ConfigurationError
ConnectionLost = AutoReconnect
TooLarge = DocumentTooLarge  # nothing of it was written


class Database:
    """One database: reads from the primary what a majority holds, writes are acknowledged by a majority."""

    def __init__(self, client: Any, name: str) -> None:
        self._database = client.get_database(
            name,
            read_concern=ReadConcern("majority"),
            write_concern=WriteConcern("majority"),
            read_preference=ReadPreference.PRIMARY,
        )
        self.calls = 0  # how often the engine was called: tests hold operations to a constant number

    def _collection(self, name: str) -> Any:
        self.calls += 1
        return self._database[name]

    async def ping(self) -> None:
        await self._database.command("ping")

    async def get(self, collection: str, id: str) -> Document | None:
        document: Document | None = await self._collection(collection).find_one({"_id": id})
        return document

    async def get_many(self, collection: str, ids: Iterable[str]) -> dict[str, Document]:
        """The documents with these ids, by id; those that do not exist are left out."""
        wanted = sorted(set(ids))
        if not wanted:
            return {}
        documents = await self._collection(collection).find({"_id": {"$in": wanted}}).to_list(None)
        return {document["_id"]: document for document in documents}

    async def find(
        self,
        collection: str,
        filter: Document,
        *,
        sort: Sequence[tuple[str, int]] = (),
        limit: int = 0,
        hint: Sequence[tuple[str, int]] | None = None,
        only: Sequence[str] | None = None,
    ) -> list[Document]:
        """Documents in order. `hint` names the index meant, `only` the fields wanted beside the `_id`."""
        projection = dict.fromkeys(only, 1) if only else None
        cursor = self._collection(collection).find(filter, projection)
        if sort:
            cursor = cursor.sort(list(sort))
        if limit:
            cursor = cursor.limit(limit)
        if hint:
            cursor = cursor.hint(list(hint))
        documents: list[Document] = await cursor.to_list(None)
        return documents

    async def stream(
        self,
        collection: str,
        filter: Document,
        *,
        hint: Sequence[tuple[str, int]] | None = None,
        only: Sequence[str] | None = None,
    ) -> AsyncIterator[Document]:
        """All documents that match, however many: they are read as they are used."""
        cursor = self._collection(collection).find(filter, dict.fromkeys(only, 1) if only else None).batch_size(500)
        if hint:
            cursor = cursor.hint(list(hint))
        async for document in cursor:
            yield document

    async def sums(self, collection: str, filter: Document, field: str) -> tuple[int, int]:
        """How many documents match, and the sum of a field of theirs."""
        group = {"_id": None, "documents": {"$sum": 1}, "total": {"$sum": f"${field}"}}
        rows = await self._collection(collection).aggregate([{"$match": filter}, {"$group": group}]).to_list(None)
        return (int(rows[0]["documents"]), int(rows[0]["total"])) if rows else (0, 0)

    async def insert(self, collection: str, document: Document) -> bool:
        """Inserts a document; False where one with its `_id` or a unique value is there already."""

        async def run() -> bool:
            try:
                await self._collection(collection).insert_one(document)
            except DuplicateKeyError:
                return False
            return True

        return await repeated(run)

    async def set(self, collection: str, id: str, fields: Document, *, where: Document | None = None) -> bool:
        """Sets fields of one document that is there; whether one was."""
        filter = {"_id": id, **(where or {})}

        async def run() -> bool:
            result = await self._collection(collection).update_one(filter, {"$set": fields})
            return bool(result.matched_count)

        return await repeated(run)

    async def set_all(self, collection: str, filter: Document, fields: Document) -> None:
        """Sets fields of all documents that match."""

        async def run() -> None:
            await self._collection(collection).update_many(filter, {"$set": fields})

        await repeated(run)

    async def raise_to(self, collection: str, id: str, field: str, value: int) -> None:
        """Raises a number to at least `value`."""

        async def run() -> None:
            await self._collection(collection).update_one({"_id": id}, {"$max": {field: value}})

        await repeated(run)

    async def put_guarded(self, collection: str, documents: dict[str, Document]) -> None:
        """Sets fields of documents, each made where it is missing and left alone where it is at a later `position`.

        Doing it again, late, or in two processes at once changes nothing.
        """
        pending = [(id, fields, True) for id, fields in documents.items()]
        for _ in range(ATTEMPTS):
            pending = await repeated(lambda: self._put(collection, pending))  # noqa: B023 - awaited in this turn
            if not pending:
                return
        raise RuntimeError(f"{len(pending)} documents of {collection} could not be written")

    async def _put(
        self, collection: str, documents: list[tuple[str, Document, bool]]
    ) -> list[tuple[str, Document, bool]]:
        """Writes, and returns what must be tried once more.

        An upsert that meets a duplicate key found the document, with a later position or just made by somebody else:
        without the upsert, the guard tells the two apart.
        """
        updates = [
            UpdateOne({"_id": id, "position": {"$lt": fields["position"]}}, {"$set": fields}, upsert=upsert)
            for id, fields, upsert in documents
        ]
        try:
            await self._collection(collection).bulk_write(updates, ordered=False)
        except BulkWriteError as error:
            again = []
            for failure in error.details["writeErrors"]:
                id, fields, upsert = documents[failure["index"]]
                if failure["code"] == DUPLICATE and upsert:
                    again.append((id, fields, False))
                elif failure["code"] == DEADLOCK:
                    again.append((id, fields, upsert))
                else:
                    raise
            return again
        return []

    async def delete(self, collection: str, filter: Document) -> int:
        result = await self._collection(collection).delete_many(filter)
        return int(result.deleted_count)

    async def create_indexes(self, collection: str, indexes: list[Any]) -> None:
        await self._collection(collection).create_indexes(indexes)


def is_of_database(error: BaseException) -> bool:
    """Whether it says of the database that it failed. Writes that are done together fail as a group."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_of_database, error.exceptions))
    return isinstance(error, DatabaseError)


async def repeated(run: Callable[[], Awaitable[T]]) -> T:
    """Runs what the engine may refuse because of a deadlock, again where it did."""
    for attempt in range(ATTEMPTS):
        try:
            return await run()
        except OperationFailure as error:
            if error.code != DEADLOCK or attempt == ATTEMPTS - 1:
                raise
            await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))
    raise AssertionError("the last attempt returns or raises")


@asynccontextmanager
async def connect(uri: str, name: str) -> AsyncIterator[Database]:
    """A connection to the database. It binds to the running event loop, so it is made in the app's lifespan."""
    defaults = {option: value for option, value in DEFAULTS.items() if f"{option.lower()}=" not in uri.lower()}
    try:
        client: Any = AsyncIOMotorClient(uri, **defaults)
    except ValueError as error:  # what the driver says of a wrong port
        raise WrongAddress(str(error)) from error
    try:
        yield Database(client, name)
    finally:
        client.close()
