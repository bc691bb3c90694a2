"""A database in memory: what the storage functions write goes here first, and then in bulk to the real one.

So a filled workspace is what the log itself would have made of the same changes, only sooner.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from storage.database import Database
from storage.documents import Document

Sink = Callable[[Document], None]


class Memory(Database):
    """As much of a `Database` as filling asks for. Messages are handed on at once and not kept, nor are log entries."""

    def __init__(self, sink: Sink) -> None:
        self.calls = 0
        self.collections: dict[str, dict[str, Document]] = defaultdict(dict)
        self._sink = sink
        self._unread: dict[tuple[str, str], set[str]] = defaultdict(set)  # notifications by member and thread

    async def get(self, collection: str, id: str) -> Document | None:
        return self.collections[collection].get(id)

    async def get_many(self, collection: str, ids: Iterable[str]) -> dict[str, Document]:
        documents = self.collections[collection]
        return {id: documents[id] for id in ids if id in documents}

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
        if collection == "entries":
            return []  # all are applied
        documents = self.collections[collection]
        if collection == "notifications":
            found = [documents[id] for id in self._unread[filter["member_id"], filter["thread_id"]]]
            return [each for each in found if each["message_order"] <= filter["message_order"]["$lte"]]
        assert not any(isinstance(value, dict) for value in filter.values()), "only equality is understood"
        return [each for each in documents.values() if filter.items() <= each.items()]

    async def insert(self, collection: str, document: Document) -> bool:
        if collection != "entries":
            self.collections[collection][document["_id"]] = document
        return True

    async def raise_to(self, collection: str, id: str, field: str, value: int) -> None:
        document = self.collections[collection][id]
        document[field] = max(document[field], value)

    async def put_guarded(self, collection: str, documents: dict[str, Document]) -> None:
        if collection == "messages":
            for id, fields in documents.items():
                self._sink({"_id": id, **fields})
            return
        kept = self.collections[collection]
        for id, fields in documents.items():
            kept[id] = {**kept.get(id, {"_id": id}), **fields}
            if collection == "notifications":
                self._note(kept[id])

    def _note(self, notification: Document) -> None:
        unread = self._unread[notification["member_id"], notification["thread_id"]]
        if notification["read"]:
            unread.discard(notification["_id"])
        else:
            unread.add(notification["_id"])
