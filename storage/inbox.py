"""The inbox: everyone, the caller's unread threads first, then all others, each newest first.

Two index walks behind one cursor. The first is over the caller's read marks, the second over everyone who is listed,
without those whom the first has shown. A page costs the same whatever the number of threads and messages; the second
walk reads, beside its page, the ids of the caller's unread threads. A search reads the ids of all who match it, and a
filter that few match walks over those who don't.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from schema.types.campaign import Participation
from schema.types.errors import bad_input
from schema.types.node import influencer_id_of, kind_of, thread_id_of
from schema.types.paging import MOST, PageInfo, page_size
from schema.types.thread import InboxConnection, InboxEdge, InboxFilter, Thread
from storage.changes import Place, place_of
from storage.cursors import Cursor, Section, format_cursor, newest_first, parse_cursor
from storage.documents import Document
from storage.indexes import INBOX, INBOX_OF_FACET, UNREAD, UNREAD_OF_FACET, WORDS
from storage.reader import StoreReader, participation_of
from storage.words import LAST, terms_of

FEW = 500  # found by a search, who are read by their ids


@dataclass(frozen=True)
class View:
    """Which threads a view of the inbox holds: those with any of these campaigns and any of these tags."""

    campaigns: list[str] | None = None
    tags: list[str] | None = None
    unread_only: bool = False

    def holds(self, place: Place, unread: bool) -> bool:
        """Whether a thread at such a place is in the view."""
        facets = set(place["facets"])
        in_campaign = self.campaigns is None or not facets.isdisjoint(self.campaigns)
        in_tags = self.tags is None or not facets.isdisjoint(self.tags)
        return place["listed"] == 1 and in_campaign and in_tags and (unread or not self.unread_only)


def view_of(filter: InboxFilter | None) -> View:
    """Raises BAD_USER_INPUT for what is no id and for more than a hundred; one that does not exist matches nothing."""
    if filter is None:
        return View()
    return View(
        campaigns=None if filter.campaign_ids is None else facets_of(list(filter.campaign_ids), "campaign"),
        tags=None if filter.tag_ids is None else facets_of(list(filter.tag_ids), "tag"),
        unread_only=bool(filter.unread_only),
    )


def facets_of(ids: list[str], kind: str) -> list[str]:
    """The ids of that kind: one of another kind matches nothing, as one that does not exist."""
    if len(ids) > MOST:
        raise bad_input(f"a filter has at most {MOST} {kind}s, not {len(ids)}")
    return [str(id) for id in dict.fromkeys(ids) if kind_of(id) == kind]


@dataclass
class Page:
    """The rows of a page as they are found: influencers in order, and the marks of those that are unread."""

    influencers: list[Document] = field(default_factory=list)
    marks: dict[str, Document] = field(default_factory=dict)
    cursors: list[str] = field(default_factory=list)


async def inbox_page(
    reader: StoreReader, view: View, search: str | None, first: int | None, after: str | None
) -> InboxConnection:
    """A page of the inbox. Raises BAD_USER_INPUT for a bad size or cursor."""
    size = page_size(first)
    cursor = parse_cursor(after, Section.UNREAD, Section.OTHERS)
    position = cursor.position if cursor else reader.position
    wanted = await search_influencers(reader, search) if search is not None else None
    page = Page()
    if wanted != [] and size > 0:
        await walk(reader, view, wanted, cursor, size + 1, position, page)
    shown = page.influencers[:size]
    threads = await reader.rows(shown, page.marks)
    participations = await participations_in(reader, view, shown, page.marks)
    edges = [
        InboxEdge(cursor=at, node=thread, participations=participations.get(thread.influencer.id, []))
        for at, thread in zip(page.cursors, threads, strict=False)
    ]
    info = PageInfo(
        has_next_page=len(page.influencers) > size,
        has_previous_page=cursor is not None,
        start_cursor=edges[0].cursor if edges else None,
        end_cursor=edges[-1].cursor if edges else None,
    )
    return InboxConnection(edges=edges, page_info=info, position=position)


async def walk(
    reader: StoreReader,
    view: View,
    wanted: list[str] | None,
    cursor: Cursor | None,
    limit: int,
    position: str,
    page: Page,
) -> None:
    """Fills a page: first from the unread threads behind the cursor, then from the others."""
    if cursor is None or cursor.section is Section.UNREAD:
        marks = await unread_marks(reader, view, wanted, cursor, limit)
        page.marks = {mark["thread"]: mark for mark in marks}
        people = await reader.documents("influencers", [influencer_id_of(thread) for thread in page.marks])
        page.influencers = [people[influencer_id_of(thread)] for thread in page.marks]
        page.cursors = [format_cursor(Section.UNREAD, newest_first(mark["rank"]), position) for mark in marks]
        cursor = None
    if len(page.influencers) < limit and not view.unread_only:
        others = await others_listed(reader, view, wanted, cursor, limit - len(page.influencers))
        page.influencers += others
        page.cursors += [format_cursor(Section.OTHERS, newest_first(each["rank"]), position) for each in others]


async def unread_marks(
    reader: StoreReader, view: View, wanted: list[str] | None, cursor: Cursor | None, limit: int
) -> list[Document]:
    if reader.caller.member is None:
        return []
    filter: Document = {"member": reader.caller.member, "shown": 1}
    if wanted is not None:
        filter["thread"] = {"$in": [thread_id_of(id) for id in wanted]}
    add_conditions(filter, view, cursor)
    index = UNREAD_OF_FACET if has_one_facet(view) else UNREAD
    return await reader.store.database.find("marks", filter, sort=[("rank", -1)], limit=limit, hint=index)


async def others_listed(
    reader: StoreReader, view: View, wanted: list[str] | None, cursor: Cursor | None, limit: int
) -> list[Document]:
    unread = {influencer_id_of(thread) for thread in await unread_threads(reader)}
    if wanted is not None and len(wanted) <= FEW:
        return await listed_among(reader, view, [id for id in wanted if id not in unread], cursor, limit)
    filter: Document = {"workspace": reader.caller.workspace, "listed": 1}
    if wanted is not None:
        filter["_id"] = {"$in": [id for id in wanted if id not in unread]}
    elif unread:
        filter["_id"] = {"$nin": sorted(unread)}
    add_conditions(filter, view, cursor)
    index = INBOX_OF_FACET if has_one_facet(view) else INBOX
    return await reader.store.database.find("influencers", filter, sort=[("rank", -1)], limit=limit, hint=index)


async def listed_among(
    reader: StoreReader, view: View, ids: list[str], cursor: Cursor | None, limit: int
) -> list[Document]:
    """The same for a search that few match: they are read by their ids, as a walk would pass all who don't match."""
    found = (await reader.documents("influencers", ids)).values()
    behind = newest_first(cursor.number) if cursor else None
    listed = [each for each in found if view.holds(place_of(each), unread=False)]
    people = [each for each in listed if behind is None or each["rank"] < behind]
    return sorted(people, key=lambda each: int(each["rank"]), reverse=True)[:limit]


async def unread_threads(reader: StoreReader) -> list[str]:
    if reader.caller.member is None:
        return []
    filter = {"member": reader.caller.member, "shown": 1}
    return [mark["thread"] for mark in await reader.store.database.find("marks", filter, hint=UNREAD, only=["thread"])]


def add_conditions(filter: Document, view: View, cursor: Cursor | None) -> None:
    if cursor is not None:
        filter["rank"] = {"$lt": newest_first(cursor.number)}
    facets = [ids for ids in (view.campaigns, view.tags) if ids is not None]
    if facets:
        filter["$and"] = [{"facets": {"$in": ids}} for ids in facets]


def has_one_facet(view: View) -> bool:
    """Whether the walk can be over one facet's threads alone, in their order."""
    return [len(ids) for ids in (view.campaigns, view.tags) if ids is not None] == [1]


async def search_influencers(reader: StoreReader, search: str) -> list[str] | None:
    """The ids of those with a name, handle or address in which every word of the search begins a word.

    None where the search is empty, and so asks for nothing.
    """
    terms = terms_of(search)
    if not terms:
        return None
    found: set[str] | None = None
    for term in terms:
        filter: dict[str, Any] = {"workspace": reader.caller.workspace, "word": {"$gte": term, "$lt": term + LAST}}
        words = await reader.store.database.find("words", filter, hint=WORDS, only=["influencer"])
        ids = {word["influencer"] for word in words}
        found = ids if found is None else found & ids
        if not found:
            return []
    return sorted(found or [])


async def participations_in(
    reader: StoreReader, view: View, influencers: list[Document], marks: dict[str, Document]
) -> dict[str, list[Participation]]:
    """By influencer, their places in the campaigns that the view is of."""
    if not view.campaigns or not influencers:
        return {}
    filter = {"influencer_id": {"$in": [each["_id"] for each in influencers]}, "campaign_id": {"$in": view.campaigns}}
    found: dict[str, list[Participation]] = {}
    for document in await reader.store.database.find("participations", filter):
        if document["workspace"] == reader.caller.workspace:
            found.setdefault(document["influencer_id"], []).append(participation_of(document, marks))
    return found


async def inbox_row(reader: StoreReader, view: View, thread_id: str) -> InboxEdge:
    """A thread's row in the inbox as it is now. Raises NOT_FOUND."""
    influencer = await reader.document("influencers", influencer_id_of(thread_id))
    marks = await reader.marks([thread_id])
    thread: Thread = (await reader.rows([influencer], marks))[0]
    participations = await participations_in(reader, view, [influencer], marks)
    mark = marks.get(thread_id)
    section, rank = (Section.UNREAD, mark["rank"]) if mark and mark["shown"] else (Section.OTHERS, influencer["rank"])
    cursor = format_cursor(section, newest_first(rank), reader.position)
    return InboxEdge(cursor=cursor, node=thread, participations=participations.get(influencer["_id"], []))
