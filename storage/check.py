"""Recounts everything that is derived, says what differs, and puts it right if asked.

It runs beside all other work and is not deceived by it: what seems to differ is looked at once more within a turn,
where the workspace stands still, before it is said. It is put right through the log like every other change, so that
whoever follows is told.

The log itself cannot be recounted. That it is dense, and that each of its entries is in the documents, is looked at;
a write that was lost is done again unless the document was written since.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from storage.changes import MOST_CHANGES, Entry, Turn, documents_after, entry_from_document
from storage.documents import Document
from storage.indexes import ENTRIES, INBOX, OF_WORKSPACE
from storage.recount import recount_thread
from storage.recount_names import (
    Difference,
    Recount,
    Source,
    differences,
    doubtful_claims,
    doubtful_words,
    in_batches,
    recount_claims,
)
from storage.repair import put_right, repairs_of
from storage.store import Store
from storage.workspaces import operator_of

AT_ONCE = 8  # recounts side by side
ENTRIES_AT_ONCE = 10
DEFINITIONS = ["members", "partners", "tags", "variables", "campaigns", "mailboxes"]
# What is changed outside of the log too, so that it may differ from what was written there last.
BESIDE_THE_LOG = {"outbox": {"stage", "due", "attempts", "lease", "lease_until"}}

Lost = dict[tuple[str, str], Document]


async def check(store: Store, workspace: str, repair: bool) -> list[Difference]:
    """All that differs, which `repair` puts right where that can be done without a person. Raises NOT_FOUND."""
    await store.log.refresh(workspace)
    found, lost = await check_log(store, workspace)
    written: list[Recount] = [
        partial(recount_written, collection=collection, id=id, fields=fields)
        for (collection, id), fields in lost.items()
    ]
    found += await settle(store, workspace, written, repair)
    for recounts in (
        threads(store, workspace),
        definitions(store, workspace),
        doubtful_claims(store.database, workspace),
        doubtful_words(store.database, workspace),
    ):
        async for batch in in_batches(recounts):
            found += await settle(store, workspace, await doubtful(store, batch), repair)
    # What was lost may also be counted anew.
    return list({(each.collection, each.id, each.field): each for each in reversed(found)}.values())[::-1]


async def doubtful(store: Store, recounts: list[Recount]) -> list[Recount]:
    """Those that differ as it is stored, of which somebody may be writing a part just now."""
    suspects = []
    for start in range(0, len(recounts), AT_ONCE):
        part = recounts[start : start + AT_ONCE]
        found = await asyncio.gather(*[recount(store.database) for recount in part])
        suspects += [recount for recount, differing in zip(part, found, strict=True) if differing]
    return suspects


async def settle(store: Store, workspace: str, suspects: list[Recount], repair: bool) -> list[Difference]:
    """What differs within a turn, put right there if asked, as many changes at once as an entry holds."""
    found: list[Difference] = []
    while suspects:
        outcome = await store.log.change(operator_of(workspace), partial(settled, suspects=suspects, repair=repair))
        done, differing = outcome.result
        found += differing
        suspects = suspects[done:]
    return found


async def settled(turn: Turn, suspects: list[Recount], repair: bool) -> tuple[int, list[Difference]]:
    """How many of the suspects are done with, and what differed: what of the next one has been put right is in it."""
    found: list[Difference] = []
    for done, recount in enumerate(suspects):
        differing = await recount(turn)
        repairs = await repairs_of(turn, differing) if repair else []
        room = MOST_CHANGES - len(turn.changes)
        for each in repairs[:room]:
            await put_right(turn, each)
        if len(repairs) > room:
            return done, found + [difference for each in repairs[:room] for difference in each.differences]
        found += differing
    return len(suspects), found


# The log


async def check_log(store: Store, workspace: str) -> tuple[list[Difference], Lost]:
    """Where the log is not dense, and what its entries have written that seems not to be in the documents."""
    state = await store.log.state(workspace)
    found: list[Difference] = []
    lost: Lost = {}
    reached = state["floor"]
    async for entries in entries_between(store, workspace, reached, state["applied"]):
        for entry in entries:
            found += await check_place(store, entry, reached)
            reached = entry.last
        await look_for_lost(store, entries, lost)
    if max(reached, (await store.log.state(workspace))["floor"]) < state["applied"]:
        found.append(Difference("workspaces", workspace, "applied", state["applied"], reached, by_hand=True))
    return found, lost


async def entries_between(store: Store, workspace: str, after: int, up_to: int) -> AsyncIterator[list[Entry]]:
    while after < up_to:
        documents = await store.database.find(
            "entries", {"workspace": workspace, "last": {"$gt": after, "$lte": up_to}},
            sort=[("last", 1)], limit=ENTRIES_AT_ONCE, hint=ENTRIES,
        )  # fmt: skip
        if not documents:
            return
        yield [entry_from_document(document) for document in documents]
        after = documents[-1]["last"]


async def check_place(store: Store, entry: Entry, reached: int) -> list[Difference]:
    """An entry follows the one before it, unless that has just been pruned; and is dense in itself."""
    found = []
    if entry.first != reached + 1 and (await store.log.state(entry.workspace))["floor"] < entry.first - 1:
        found.append(Difference("entries", entry.id, "first", entry.first, reached + 1, by_hand=True))
    positions = [change.position for change in entry.changes]
    if positions != list(range(entry.first, entry.first + len(positions))):
        found.append(Difference("entries", entry.id, "changes", positions, "dense", by_hand=True))
    return found


async def look_for_lost(store: Store, entries: list[Entry], lost: Lost) -> None:
    """Adds what seems not to have been written, with all that the log wrote to the same document later.

    Every entry up to the `applied` mark is in the documents, so each of those has reached the position of its last
    write, and if it has gone no further, holds what was written there.
    """
    writes: Lost = {}
    for entry in entries:
        for collection, documents in documents_after(entry).items():
            for id, fields in documents.items():
                writes.setdefault((collection, id), {}).update(fields)
    for collection in {collection for collection, _ in writes}:
        stored = await store.database.get_many(collection, [id for name, id in writes if name == collection])
        for (name, id), fields in writes.items():
            if name == collection and (name, id) not in lost and is_lost(name, stored.get(id), fields):
                lost[name, id] = {}
            if name == collection and (name, id) in lost:
                lost[name, id].update(fields)


def is_lost(collection: str, stored: Document | None, fields: Document) -> bool:
    if stored is None or stored["position"] < fields["position"]:
        return True
    compared = fields.keys() - BESIDE_THE_LOG.get(collection, set())
    return stored["position"] == fields["position"] and any(stored.get(name) != fields[name] for name in compared)


async def recount_written(source: Source, collection: str, id: str, fields: Document) -> list[Difference]:
    """What the log says of a document that was not written since."""
    stored = (await source.get_many(collection, [id])).get(id, {})
    if stored and stored["position"] > fields["position"]:
        return []
    given = {name: value for name, value in fields.items() if name not in ("workspace", "position")}
    return differences(collection, id, stored, given)


# What is recounted


async def threads(store: Store, workspace: str) -> AsyncIterator[Recount]:
    """One that moves up in the inbox meanwhile may be passed over."""
    filter = {"workspace": workspace}
    async for influencer in store.database.stream("influencers", filter, hint=INBOX, only=["_id"]):
        yield partial(recount_thread, workspace=workspace, influencer_id=influencer["_id"])


async def definitions(store: Store, workspace: str) -> AsyncIterator[Recount]:
    for collection in DEFINITIONS:
        async for document in store.database.stream(
            collection, {"workspace": workspace}, hint=OF_WORKSPACE, only=["_id"]
        ):
            yield partial(recount_definition, workspace=workspace, collection=collection, id=document["_id"])


async def recount_definition(source: Source, workspace: str, collection: str, id: str) -> list[Difference]:
    document = (await source.get_many(collection, [id])).get(id)
    return await recount_claims(source, workspace, id, collection, document) if document else []
