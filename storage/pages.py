"""Pages of simple lists, newest first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from schema.types.paging import Edge, page_info, page_size
from storage.cursors import Section, format_cursor, newest_first, parse_cursor
from storage.documents import Document, from_document
from storage.indexes import Index
from storage.reader import StoreReader

T = TypeVar("T")
P = TypeVar("P")


async def newest_page(
    reader: StoreReader,
    page: Callable[..., P],
    kind: type[T],
    section: Section,
    filter: Document,
    index: Index,
    first: int | None,
    after: str | None,
) -> P:
    """A page of documents by the last field of an index, with the position that its list was first read at."""
    size, cursor = page_size(first), parse_cursor(after, section)
    position = cursor.position if cursor else reader.position
    field = index[-1][0]
    if cursor is not None:
        filter = {**filter, field: {"$lt": newest_first(cursor.number)}}
    collection = section.name.lower()
    documents = await reader.store.database.find(collection, filter, sort=[(field, -1)], limit=size + 1, hint=index)
    edges = [
        Edge(cursor=format_cursor(section, newest_first(each[field]), position), node=from_document(kind, each))
        for each in documents[:size]
    ]
    info = page_info(edges, more_before=cursor is not None, more_after=len(documents) > size)
    return page(edges=edges, page_info=info, position=position)
