"""Puts right what was recounted, as changes of kind REPAIRED that tell followers what any other change would."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from schema.types.node import influencer_id_of, thread_id_of
from storage.changes import Change, Turn, place_of
from storage.documents import Document
from storage.marks import shown_count
from storage.recount_names import Difference

WRITES = 50  # documents that one change puts right

# What has an id in the API, by the collection that it is kept in.
NODES = {
    "influencers", "messages", "participations", "notifications", "campaigns", "tags", "variables", "members",
    "partners", "notes", "assets", "asset_deliveries", "mailboxes", "quarantined_mails", "drafts",
}  # fmt: skip


@dataclass
class Repair:
    """What one change puts right: documents of one thread, or of none, of which `only` one member may know."""

    thread: str | None
    only: str | None
    differences: list[Difference] = field(default_factory=list)

    def documents(self) -> dict[tuple[str, str], Document]:
        documents: dict[tuple[str, str], Document] = {}
        for each in self.differences:
            documents.setdefault((each.collection, each.id), {})[each.field] = each.recounted
        return documents


async def repairs_of(turn: Turn, found: list[Difference]) -> list[Repair]:
    """The changes that put right what can be put right without a person."""
    homes: dict[tuple[str | None, str | None], list[list[Difference]]] = {}
    for document in by_document([each for each in found if not each.by_hand]):
        homes.setdefault(await home_of(turn, document), []).append(document)
    return [
        Repair(thread, only, [each for document in documents[start : start + WRITES] for each in document])
        for (thread, only), documents in homes.items()
        for start in range(0, len(documents), WRITES)
    ]


def by_document(found: list[Difference]) -> Iterator[list[Difference]]:
    documents: dict[tuple[str, str], list[Difference]] = {}
    for each in found:
        documents.setdefault((each.collection, each.id), []).append(each)
    yield from documents.values()


async def home_of(turn: Turn, differing: list[Difference]) -> tuple[str | None, str | None]:
    """The thread that a document belongs to, and the one member who may know of it."""
    collection, id = differing[0].collection, differing[0].id
    document = (await turn.get(collection, id) or {}) | {each.field: each.recounted for each in differing}
    if collection == "influencers":
        return thread_id_of(id), None
    if collection in ("notifications", "drafts"):
        return document["thread_id"], document["member_id"]
    if collection in ("messages", "marks"):
        return document["thread_id" if collection == "messages" else "thread"], None
    if collection == "words":
        return thread_id_of(document["influencer"]), None
    if "influencer_id" in document:
        return thread_id_of(document["influencer_id"]), None
    return None, None


async def put_right(turn: Turn, repair: Repair) -> None:
    documents = repair.documents()
    change = turn.begin("REPAIRED", thread=repair.thread, only=repair.only)
    change.nodes += [id for collection, id in documents if collection in NODES]
    if repair.thread is not None:
        await tell_of_thread(turn, change, documents, repair.thread)
    for (collection, id), fields in documents.items():
        turn.put(change, collection, id, fields)


async def tell_of_thread(turn: Turn, change: Change, documents: dict[tuple[str, str], Document], thread: str) -> None:
    """What decides where the thread is listed, for everyone and for each member whose mark is put right."""
    id = influencer_id_of(thread)
    old = await turn.get("influencers", id)
    new = {**(old or {}), **documents.get(("influencers", id), {})}
    if "facets" not in new:
        return
    if any(collection in ("influencers", "marks") for collection, _ in documents):
        change.nodes.append(thread)
    change.now = place_of(new)
    if old is not None and "facets" in old and place_of(old) != change.now:
        change.was = place_of(old)
    for (collection, mark), fields in documents.items():
        if collection == "marks":
            tell_of_mark(change, await turn.get("marks", mark), fields, new["last_order"])


def tell_of_mark(change: Change, old: Document | None, fields: Document, last: int) -> None:
    new = {**(old or {}), **fields}
    change.unread[new["member"]] = [shown_count(old), shown_count(new)]
    if bool(old and old["count"]) != bool(new["count"]):
        change.marked[new["member"]] = [max(new["first"], old["first"] if old else 0), last]
