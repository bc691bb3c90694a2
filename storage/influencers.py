"""Influencers. An influencer's document also holds what is known of their one thread:

listed      1 unless archived: whether the thread is in the inbox
rank        its place there: the log position of its last message, and below all of those, who was never written to
facets      the ids of their campaigns and tags, by which an inbox is filtered
last_message_id, last_order, last_activity_at    the newest message
last_mail, last_campaign    the newest e-mail, and the campaign that the brand last wrote to them in
counted     how many of its messages can be unread, and `heard` the log position of the newest such
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from schema.types.context import Caller
from schema.types.errors import Refused, UserErrorCode, not_found
from schema.types.influencer import Handle, Influencer, Network, Note
from schema.types.node import influencer_id_of, new_id, thread_id_of
from storage import claims
from storage.addresses import canonical
from storage.changes import Change, Turn, place_of
from storage.claims import Key, Made
from storage.documents import Document, to_document, to_milliseconds, to_value
from storage.log import Outcome
from storage.marks import in_steps, put_place
from storage.store import Store
from storage.words import words_of
from storage.workspaces import must_be_free

NEVER_WRITTEN = -(10**12)  # added to the position at which they were made: below every thread with a message


@dataclass(frozen=True)
class NewInfluencer:
    """What a client says of a new influencer, checked for its form."""

    name: str
    handles: list[Handle] = field(default_factory=list)
    emails: list[str] = field(default_factory=list)
    external_id: str | None = None
    avatar_url: str | None = None
    has_account: bool = False
    tag_ids: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)


def handle_key(network: str, name: str) -> str:
    return f"{network}:{name.casefold()}"


def unique_values(document: Document) -> list[tuple[str, str, str]]:
    """What no other influencer may have too: the kind of claim, the value, and the input field it comes from."""
    values = [("email", canonical(email), "emails") for email in document["emails"]]
    values += [("handle", handle_key(each["network"], each["name"]), "handles") for each in document["handles"]]
    if document["external_id"] is not None:
        values.append(("external", document["external_id"], "externalId"))
    return values


def words_of_influencer(document: Document) -> set[str]:
    return words_of([document["name"], *document["emails"], *(handle["name"] for handle in document["handles"])])


def put_words(turn: Turn, change: Change, id: str, old: set[str], new: set[str]) -> None:
    for word in sorted(old - new):
        turn.put(change, "words", f"{id}:{word}", {"word": "", "influencer": id})
    for word in sorted(new - old):
        turn.put(change, "words", f"{id}:{word}", {"word": word, "influencer": id})


async def create_influencer(store: Store, caller: Caller, new: NewInfluencer, key: Key | None) -> Outcome[Made]:
    """A new influencer, and with them their thread. Refused where an address, handle or external id is taken."""

    async def plan(turn: Turn) -> Made:
        return await claims.once(turn, key, lambda: put_influencer(turn, new))

    return claims.dated(await store.log.change(caller, plan))


async def create_influencers(store: Store, caller: Caller, many: list[NewInfluencer]) -> Outcome[list[str]]:
    """Up to a hundred new influencers in one entry, all or none."""

    async def plan(turn: Turn) -> list[str]:
        return [(await put_influencer(turn, new))[1] for new in many]

    return await store.log.change(caller, plan)


async def put_influencer(turn: Turn, new: NewInfluencer) -> tuple[Change, str]:
    id = new_id("influencer")
    await must_be_defined(turn, "tags", new.tag_ids)
    await must_be_defined(turn, "variables", list(new.values))
    influencer = Influencer(
        id=id, name=new.name, handles=new.handles, emails=new.emails, external_id=new.external_id,
        avatar_url=new.avatar_url, has_account=new.has_account, created_at=turn.at, tag_ids=new.tag_ids,
        values=new.values,
    )  # fmt: skip
    fields = {
        **to_document(influencer),
        "listed": 1,
        "facets": list(new.tag_ids),
        "last_message_id": None,
        "last_order": 0,
        "last_activity_at": None,
        "counted": 0,
        "heard": 0,
        "last_mail": None,
        "last_campaign": None,
    }
    for kind, value, name in unique_values(fields):
        await must_be_free(turn, kind, value, f"another influencer has this: {value[:80]}", name)
    change = turn.begin("INFLUENCER_ADDED", id, thread_id_of(id), thread=thread_id_of(id))
    fields["rank"] = NEVER_WRITTEN + change.position
    turn.put(change, "influencers", id, fields)
    for kind, value, _ in unique_values(fields):
        claims.take(turn, change, kind, value, id)
    put_words(turn, change, id, set(), words_of_influencer(fields))
    change.was, change.now = {"listed": 0, "facets": []}, place_of(fields)
    return change, id


async def must_be_defined(turn: Turn, collection: str, ids: list[str]) -> None:
    """Raises NOT_FOUND for a tag or variable that is not there."""
    found = await turn.get_many(collection, ids) if ids else {}
    for id in ids:
        if id not in found or found[id]["deleted"]:
            raise not_found(id)


async def access_influencer(turn: Turn, id: str) -> Document:
    return (await access_influencers(turn, [id]))[id]


async def access_influencers(turn: Turn, ids: list[str]) -> dict[str, Document]:
    """Each of them once, by id, in the order given. Raises NOT_FOUND."""
    influencers = await turn.get_many("influencers", ids)
    for id in ids:
        if id not in influencers:
            raise not_found(id)
    return influencers


async def access_influencer_of(turn: Turn, thread_id: str) -> Document:
    """The influencer whose one thread this is. Raises NOT_FOUND."""
    influencer = await turn.get("influencers", influencer_id_of(thread_id))
    if influencer is None:
        raise not_found(thread_id)
    return influencer


def begin_for(turn: Turn, kind: str, influencer: Document, *nodes: str) -> Change:
    """A change that concerns an influencer's row in the inbox, in whatever view it is listed."""
    thread = thread_id_of(influencer["_id"])
    return turn.begin(kind, influencer["_id"], thread, *nodes, thread=thread, now=place_of(influencer))


async def change_influencer(store: Store, caller: Caller, id: str, given: dict[str, Any]) -> Outcome[None]:
    """Changes what is given (fields of `NewInfluencer`). Refused where a value is taken by another influencer.

    Of `values` those that are given are set, or taken away where one is None; the others stay.
    """
    new_fields = dict(zip(given, to_value(list(given.values())), strict=True))

    async def plan(turn: Turn) -> None:
        old = await access_influencer(turn, id)
        await must_be_defined(turn, "variables", list(given.get("values", {})))
        fields = {name: value for name, value in with_values(old, new_fields).items() if old[name] != value}
        await must_be_defined(turn, "tags", fields.get("tag_ids", []))
        if not fields:
            return
        new = {**old, **fields}
        change = begin_for(turn, "INFLUENCER_CHANGED", old)
        held, wanted = unique_values(old), unique_values(new)
        for kind, value, name in wanted:
            await must_be_free(turn, kind, value, f"another influencer has this: {value[:80]}", name, owner=id)
        for kind, value, _ in held:
            claims.release(turn, change, kind, value)
        for kind, value, _ in wanted:
            claims.take(turn, change, kind, value, id)
        put_words(turn, change, id, words_of_influencer(old), words_of_influencer(new))
        if "tag_ids" in fields:
            await put_facets(turn, change, old, fields, campaigns_of(old) + fields["tag_ids"])
        turn.put(change, "influencers", id, fields)

    return await store.log.change(caller, plan)


def with_values(old: Document, fields: Document) -> Document:
    """The fields to set, with all values of custom variables where some are given."""
    if "values" not in fields:
        return fields
    merged = {**old["values"], **fields["values"]}
    return {**fields, "values": {id: value for id, value in merged.items() if value is not None}}


def campaigns_of(influencer: Document) -> list[str]:
    return [facet for facet in influencer["facets"] if facet.startswith("campaign_")]


async def put_facets(turn: Turn, change: Change, old: Document, fields: Document, facets: list[str]) -> None:
    """Moves a thread between filtered views, for everyone. `fields` is what the change sets on the influencer."""
    fields["facets"] = facets
    change.was, change.now = place_of(old), {**place_of(old), "facets": facets}
    await put_place(turn, change, {**old, "facets": facets})


async def put_tags(turn: Turn, influencer: Document, tag_ids: list[str]) -> None:
    """Sets an influencer's tags, as a change of its own, if they differ."""
    if tag_ids == influencer["tag_ids"]:
        return
    change = begin_for(turn, "INFLUENCER_CHANGED", influencer)
    fields: Document = {"tag_ids": tag_ids}
    await put_facets(turn, change, influencer, fields, campaigns_of(influencer) + tag_ids)
    turn.put(change, "influencers", influencer["_id"], fields)


async def set_archived(store: Store, caller: Caller, ids: list[str], archived: bool) -> Outcome[None]:
    """Takes influencers out of the inbox and the counts, or brings them back; at most a hundred.

    Where these are too large for one entry, some are changed before others.
    """

    async def plan(turn: Turn) -> bool:
        for id, influencer in (await access_influencers(turn, ids)).items():
            if archived == (influencer["archived_at"] is not None):
                continue
            if turn.must_stop():
                return False
            kind = "INFLUENCER_ARCHIVED" if archived else "INFLUENCER_RESTORED"
            change = begin_for(turn, kind, influencer)
            fields = {"archived_at": to_milliseconds(turn.at) if archived else None, "listed": int(not archived)}
            change.was, change.now = place_of(influencer), {**place_of(influencer), "listed": fields["listed"] or 0}
            await put_place(turn, change, {**influencer, **fields})
            turn.put(change, "influencers", id, fields)
        return True

    return await in_steps(store, caller, plan)


async def find_influencer(store: Store, workspace: str, kind: str, values: list[str]) -> str | None:
    """The id of the one influencer who holds any of these values; None where nobody does.

    Refused where several do, which only a handle without its network can bring about.
    """
    ids = [claims.claim_id(workspace, kind, value) for value in values]
    holders = {claim["owner"] for claim in (await store.database.get_many("claims", ids)).values()} - {None}
    if len(holders) > 1:
        raise Refused(UserErrorCode.INVALID, "several influencers have this handle; write it as NETWORK:name", "handle")
    return next(iter(holders), None)


def handle_values(handle: str) -> list[str]:
    """The claims a handle can be found by: of the network it names, or of any."""
    network, colon, name = handle.partition(":")
    if colon and network.upper() in Network.__members__:
        return [handle_key(network.upper(), name.lstrip("@"))]
    return [handle_key(each.name, handle.lstrip("@")) for each in Network]


async def add_note(store: Store, caller: Caller, influencer_id: str, text: str, key: Key | None) -> Outcome[Made]:
    async def plan(turn: Turn) -> Made:
        async def make() -> tuple[Change, str]:
            influencer = await access_influencer(turn, influencer_id)
            note = Note(
                id=new_id("note"), text=text, created_at=turn.at, influencer_id=influencer_id, author_id=turn.caller.id
            )
            change = begin_for(turn, "NOTE_ADDED", influencer, note.id)
            turn.put(change, "notes", note.id, {**to_document(note), "added": change.position})
            return change, note.id

        return await claims.once(turn, key, make)

    return claims.dated(await store.log.change(caller, plan))


async def delete_note(store: Store, caller: Caller, id: str) -> Outcome[str]:
    """Deletes a note; the id of the influencer it was on."""

    async def plan(turn: Turn) -> str:
        note = await turn.get("notes", id)
        if note is None or note["deleted"]:
            raise not_found(id)
        influencer = await access_influencer(turn, note["influencer_id"])
        change = begin_for(turn, "NOTE_DELETED", influencer, id)
        turn.put(change, "notes", id, {"deleted": 1, "text": ""})
        return str(note["influencer_id"])

    return await store.log.change(caller, plan)
