"""The peer of a received message: the same documents, inserted by the driver alone, and nothing else done.

They go into a database of their own with the same indexes, one insert for each collection: one after the other, or all
at once, which no order between a commit and its effects would allow.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.write_concern import WriteConcern

from bench.writers import Writers
from storage.changes import documents_after, entry_from_document
from storage.documents import Document
from storage.store import open_store

Collections = dict[str, list[Document]]


class Bare:
    """Inserts what a received message writes, as often as it is asked to."""

    def __init__(self, database: Any, documents: Collections) -> None:
        self._database = database
        self._documents = documents
        self._numbers = itertools.count()

    async def in_turn(self) -> None:
        for collection, documents in self._copies():
            await self._database[collection].insert_many(documents, ordered=False)

    async def at_once(self) -> None:
        inserts = [self._database[name].insert_many(copies, ordered=False) for name, copies in self._copies()]
        await asyncio.gather(*inserts)

    def _copies(self) -> list[tuple[str, list[Document]]]:
        number = next(self._numbers)
        return [
            (collection, [{**each, "_id": f"{each['_id']}:{number:09d}"} for each in documents])
            for collection, documents in self._documents.items()
        ]


async def written(writers: Writers) -> Collections:
    """What a received message writes: the log's entry, and the documents that it changes or makes."""
    await writers.add()
    database = writers.place.store.database
    filter = {"workspace": writers.workspace}
    [document] = await database.find("entries", filter, sort=[("last", -1)], limit=1)
    collections: Collections = {"entries": [document]}
    for collection, documents in documents_after(entry_from_document(document)).items():
        collections[collection] = [{"_id": id, **fields} for id, fields in documents.items()]
    return collections


@asynccontextmanager
async def open_bare(writers: Writers, uri: str, name: str) -> AsyncIterator[Bare]:
    client: Any = AsyncIOMotorClient(uri, maxPoolSize=64)
    try:
        await client.drop_database(name)
        async with open_store(uri, name):
            pass  # which makes the indexes
        yield Bare(client.get_database(name, write_concern=WriteConcern("majority")), await written(writers))
    finally:
        await client.drop_database(name)
        client.close()
