"""Second stores on a database, faulty ones, and what a log comes to when it is replayed."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from schema.types.errors import ApiError, ErrorCode
from storage.changes import documents_after, entry_from_document
from storage.counts import Counts
from storage.database import ConnectionLost, Database
from storage.documents import Document
from storage.indexes import INDEXES
from storage.log import Log
from storage.store import Store
from storage.wire import Wire
from tests.storage.deeds import entries_of

BROKEN = (ConnectionLost, ExceptionGroup)  # what a change raises where the database is out of reach
LATER = 2**60  # milliseconds since 1970, long after everything
COLLECTIONS = sorted({*INDEXES, "claims", "asset_deliveries"} - {"entries", "tokens"})
Documents = dict[tuple[str, str], Document]


def store_on(database: Database) -> Store:
    """Another process's view of a database; no hint comes from it, or to it."""
    wire = Wire("memory://")  # which is never opened
    return Store(database, Log(database, wire.tell), wire, Counts(database))


def second_store(store: Store) -> Store:
    return store_on(store.database)


class Faulty(Database):
    """A database whose next inserts or guarded writes go wrong; of an insert, only the answer may be lost."""

    def __init__(self, database: Database) -> None:
        self.__dict__.update(vars(database))
        self.lost_inserts = 0
        self.lost_answers = 0
        self.broken_writes = 0
        self.before_insert: Callable[[], Awaitable[None]] | None = None

    async def insert(self, collection: str, document: Document) -> bool:
        if self.before_insert is not None:
            before, self.before_insert = self.before_insert, None
            await before()
        if self.lost_inserts:
            self.lost_inserts -= 1
            raise ConnectionLost("the connection broke")
        inserted = await super().insert(collection, document)
        if self.lost_answers:
            self.lost_answers -= 1
            raise ConnectionLost("the answer was lost")
        return inserted

    async def put_guarded(self, collection: str, documents: dict[str, Document]) -> None:
        if self.broken_writes:
            self.broken_writes -= 1
            raise ConnectionLost("the connection broke")
        await super().put_guarded(collection, documents)


class Restless(Database):
    """A database in which something happens before each of the next few looks at messages."""

    def __init__(self, database: Database, happens: Callable[[], Awaitable[object]]) -> None:
        self.__dict__.update(vars(database))
        self.happens = happens
        self.left = 3

    async def find(self, collection: str, filter: Document, **how: Any) -> list[Document]:
        if collection == "messages" and self.left:
            self.left -= 1
            await self.happens()
        return await super().find(collection, filter, **how)


def faulty_store(store: Store) -> tuple[Store, Faulty]:
    database = Faulty(store.database)
    return store_on(database), database


async def stored(store: Store, workspace: str) -> Documents:
    """Every document of a workspace that its log writes."""
    return {
        (collection, document["_id"]): document
        for collection in COLLECTIONS
        for document in await store.database.find(collection, {"workspace": workspace})
    }


async def replayed(store: Store, workspace: str) -> Documents:
    """What the log says of every document."""
    documents: Documents = {}
    for entry in await entries_of(store, workspace):
        for collection, written in documents_after(entry_from_document(entry)).items():
            for id, fields in written.items():
                documents.setdefault((collection, id), {"_id": id}).update(fields)
    return documents


def refusal(code: ErrorCode) -> Callable[[BaseException], bool]:
    """Whether an error says this to the client."""
    return lambda error: isinstance(error, ApiError) and error.code is code


class Clock:
    """A clock that can be put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead
