"""What a change is: one position of a workspace's log, with everything needed to do it again.

A `Change` is made in a turn, by functions named after nouns in this folder. It holds the absolute state of every
document it touches (`writes`), so that applying it needs no thought and no reading: it is done again, late, or by two
processes at once, with the same outcome. Beside that it holds what its readers need: which objects of the API differ
after it (`nodes`), whose thread it concerns, and how that thread stood in everyone's inbox before and after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from schema.types.context import Caller
from schema.types.scalars import now
from storage.database import Database, DatabaseError
from storage.documents import Document, to_milliseconds

MOST_CHANGES = 100  # of one entry
MOST_BYTES = 4_000_000  # of one entry, after which nobody joins it: documents have at most 16 MB
OVERHEAD = 12  # bytes of a value in a document beside itself, at most

Ids = Mapping[str, Collection[str]]  # of documents, by collection


class Place(TypedDict):
    """What decides in which inbox views a thread is listed, for everyone."""

    listed: int
    facets: list[str]


@dataclass
class Change:
    """One position of a log."""

    position: int
    kind: str
    actor: str  # the id of who did it
    at: int  # milliseconds since 1970
    nodes: list[str]  # ids of the objects of the API that differ after it
    thread: str | None = None  # the thread whose row in the inbox differs after it
    message: str | None = None  # the message that was added
    changed: str | None = None  # the message that differs after it
    only: str | None = None  # the one member who may know of it: read state is nobody else's business
    notified: dict[str, str] = field(default_factory=dict)  # member -> the notification they got
    unread: dict[str, list[int]] = field(default_factory=dict)  # member -> unread messages of the thread, before, after
    marked: dict[str, list[int]] = field(default_factory=dict)  # member -> messages of this span became (un)read
    was: Place | None = None  # where it differs from `now`
    now: Place | None = None
    writes: list[tuple[str, str, Document]] = field(default_factory=list)  # (collection, id, fields)


def place_of(influencer: Document) -> Place:
    return Place(listed=influencer["listed"], facets=influencer["facets"])


def size_of(value: object) -> int:
    """How many bytes a value takes in a document, at most, and not many fewer."""
    if isinstance(value, str):
        return OVERHEAD + (len(value) if value.isascii() else 4 * len(value))
    if isinstance(value, dict):
        return OVERHEAD + sum(len(name) + size_of(each) for name, each in value.items())
    if isinstance(value, list | tuple):
        return OVERHEAD + sum(map(size_of, value))
    return OVERHEAD + 8


@dataclass(frozen=True)
class Entry:
    """What is committed at once: a change, or up to a hundred."""

    workspace: str
    nonce: str
    changes: list[Change]

    @property
    def first(self) -> int:
        return self.changes[0].position

    @property
    def last(self) -> int:
        return self.changes[-1].position

    @property
    def id(self) -> str:
        return f"{self.workspace}:{self.first:015d}"


def entry_to_document(entry: Entry) -> Document:
    return {
        "_id": entry.id,
        "workspace": entry.workspace,
        "first": entry.first,
        "last": entry.last,
        "at": entry.changes[-1].at,
        "nonce": entry.nonce,
        "changes": [vars(change) for change in entry.changes],
    }


def entry_from_document(document: Document) -> Entry:
    changes = [Change(**change) for change in document["changes"]]
    return Entry(document["workspace"], document["nonce"], changes)


def documents_after(entry: Entry) -> dict[str, dict[str, Document]]:
    """What an entry writes: by collection and id, the fields as they are after its last change of the document."""
    collections: dict[str, dict[str, Document]] = {}
    for change in entry.changes:
        for collection, id, fields in change.writes:
            document = collections.setdefault(collection, {}).setdefault(id, {"workspace": entry.workspace})
            document.update(fields, position=change.position)
    return collections


class NeedsOwnTurn(Exception):
    """A plan must not share this turn: it is run again in one of its own."""


class Turn:
    """A workspace as it stands at the head of its log, and the changes that are about to be made to it.

    What is read here includes what was put here before. Several callers' plans may share a turn, one after the other;
    each sees what those before it have put.
    """

    def __init__(self, database: Database, workspace: str, head: int) -> None:
        self.workspace = workspace
        self.changes: list[Change] = []
        self._database = database
        self._head = head
        self._stored: dict[tuple[str, str], Document | None] = {}  # as they were read
        self._put: dict[tuple[str, str], Document] = {}  # the fields that differ from that
        self._found: dict[str, list[Document]] = {}
        self._written: set[str] = set()  # collections that earlier plans have written to
        self._measured = 0  # changes whose size is known
        self._size = 0  # of these

    def begin_plan(self, caller: Caller) -> None:
        """From here on it is another caller's plan."""
        self.caller = caller
        self.at = now()
        self._before = (len(self.changes), dict(self._put), self._measure())
        self._written = {collection for change in self.changes for collection, _, _ in change.writes}

    def undo_plan(self) -> None:
        """Takes back what the plan that runs has put."""
        self._measured, self._put, self._size = self._before
        del self.changes[self._measured :]

    async def read_ahead(self, expected: Iterable[Expected]) -> None:
        """Reads what plans are about to ask for, in one call for each collection instead of some for each plan."""
        collections: dict[str, set[str]] = {}
        for each in expected:
            try:
                wanted = await each(self)
            except DatabaseError:
                raise
            except Exception:
                continue  # what is wrong with one plan is met by that plan, and by no other
            for collection, ids in wanted.items():
                collections.setdefault(collection, set()).update(ids)
        await asyncio.gather(*(self.get_many(collection, ids) for collection, ids in collections.items()))

    @property
    def is_full(self) -> bool:
        return len(self.changes) >= MOST_CHANGES or self._measure() > MOST_BYTES

    def _measure(self) -> int:
        """How large all changes are. Each is measured once, when it is done."""
        self._size += sum(size_of(vars(change)) for change in self.changes[self._measured :])
        self._measured = len(self.changes)
        return self._size

    def must_stop(self) -> bool:
        """Whether a plan has to leave what it has not put yet to another turn.

        It need not before it has a turn of its own: NeedsOwnTurn is raised where it shares one.
        """
        if not self.is_full:
            return False
        self._need_own()
        return True

    def _need_own(self) -> None:
        count, _, _ = self._before
        if count:
            raise NeedsOwnTurn

    async def get(self, collection: str, id: str) -> Document | None:
        """A document of this workspace; None for one of another, as for one that does not exist."""
        return (await self.get_many(collection, [id])).get(id)

    async def get_many(self, collection: str, ids: Iterable[str]) -> dict[str, Document]:
        wanted = list(ids)
        unknown = [id for id in wanted if (collection, id) not in self._stored]
        found = await self._database.get_many(collection, unknown)
        for id in unknown:
            document = found.get(id)
            is_ours = document is not None and document["workspace"] == self.workspace
            self._stored[collection, id] = document if is_ours else None
        documents = {id: self._document(collection, id) for id in wanted}
        return {id: document for id, document in documents.items() if document is not None}

    def _document(self, collection: str, id: str) -> Document | None:
        stored, put = self._stored[collection, id], self._put.get((collection, id))
        if put is None:
            return stored
        return {"_id": id, "workspace": self.workspace, **(stored or {}), **put}

    async def find(self, collection: str, filter: Document, **how: Any) -> list[Document]:
        """Documents as they are stored, without what this plan has put.

        What an earlier plan of the turn has put would be missing too, so then the plan needs a turn of its own.
        """
        if collection in self._written:
            raise NeedsOwnTurn
        question = repr((collection, filter, how))
        if question not in self._found:
            self._found[question] = await self._database.find(collection, filter, **how)
        return self._found[question]

    def begin(self, kind: str, *nodes: str, **about: Any) -> Change:
        """The next change. It is committed with the turn unless the plan is refused."""
        if len(self.changes) == MOST_CHANGES:
            self._need_own()
            raise ValueError(f"an entry holds at most {MOST_CHANGES} changes")
        change = Change(
            position=self._head + len(self.changes) + 1,
            kind=kind,
            actor=self.caller.id,
            at=to_milliseconds(self.at),
            nodes=list(nodes),
            **about,
        )
        self.changes.append(change)
        return change

    def put(self, change: Change, collection: str, id: str, fields: Document) -> None:
        """Sets fields of a document as part of a change; a document that is not there yet is made."""
        change.writes.append((collection, id, fields))
        self._put[collection, id] = {**self._put.get((collection, id), {}), **fields}


Expected = Callable[[Turn], Awaitable[Ids]]  # says what a plan is going to read
