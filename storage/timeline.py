"""Pages of a thread's messages, by their place in the log."""

from __future__ import annotations

from dataclasses import dataclass

from schema.types.errors import bad_input, not_found
from schema.types.node import kind_of
from schema.types.paging import page_size
from schema.types.thread import MessagePageArguments
from storage.cursors import Section, parse_cursor
from storage.database import Database
from storage.documents import Document
from storage.indexes import TIMELINE, TIMELINE_OF_CAMPAIGN


@dataclass(frozen=True)
class Window:
    """Messages, oldest first, and whether there are more on either side."""

    documents: list[Document]
    more_before: bool
    more_after: bool


async def window(
    database: Database, thread_id: str, arguments: MessagePageArguments, position: str
) -> tuple[Window, str]:
    """The page that is asked for, and the position that its list was first read at."""
    after, before = (parse_cursor(each, Section.MESSAGES) for each in (arguments.after, arguments.before))
    if arguments.first is not None and arguments.last is not None:
        raise bad_input("give first or last, not both")
    origin = after or before
    position = origin.position if origin else position
    filter: Document = {"thread_id": thread_id}
    if arguments.campaign is not None:
        kind_of(arguments.campaign)
        filter["campaign_id"] = arguments.campaign

    if arguments.around is not None:
        if origin is not None:
            raise bad_input("around begins a list; it takes no cursor")
        size = page_size(arguments.first if arguments.first is not None else arguments.last)
        return await around(database, filter, arguments.around, size), position
    low, high = after.number if after else -1, before.number if before else None
    if arguments.first is not None:
        size = page_size(arguments.first)
        documents = await behind(database, filter, low, high, size + 1)
        return Window(documents[:size], low >= 0, len(documents) > size), position
    size = page_size(arguments.last, "last")
    documents = await ahead(database, filter, high, low, size + 1)
    return Window(documents[max(0, len(documents) - size) :], len(documents) > size, high is not None), position


async def around(database: Database, filter: Document, message_id: str, size: int) -> Window:
    """A window with the message in its middle, or as near to it as the list's ends allow."""
    kind_of(message_id)
    message = await database.get("messages", message_id)
    if message is None or any(message[name] != wanted for name, wanted in filter.items()):
        raise not_found(message_id)
    before = await ahead(database, filter, message["order"], -1, size)
    after = await behind(database, filter, message["order"] - 1, None, size + 1)
    older = min(len(before), max(size // 2, size - len(after)))
    documents = before[len(before) - older :] + after[: size - older]
    return Window(documents, len(before) > older, len(after) > size - older)


async def behind(database: Database, filter: Document, low: int, high: int | None, limit: int) -> list[Document]:
    """The oldest messages behind `low`."""
    return await database.find(
        "messages", bounded(filter, low, high), sort=[("order", 1)], limit=limit, hint=hint(filter)
    )


async def ahead(database: Database, filter: Document, high: int | None, low: int, limit: int) -> list[Document]:
    """The newest messages ahead of `high`, oldest first."""
    filter_between = bounded(filter, low, high)
    documents = await database.find("messages", filter_between, sort=[("order", -1)], limit=limit, hint=hint(filter))
    return documents[::-1]


def bounded(filter: Document, low: int, high: int | None) -> Document:
    order = {"$gt": low} if high is None else {"$gt": low, "$lt": high}
    return {**filter, "order": order}


def hint(filter: Document) -> list[tuple[str, int]]:
    return TIMELINE_OF_CAMPAIGN if "campaign_id" in filter else TIMELINE
