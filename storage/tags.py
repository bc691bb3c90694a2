"""What a workspace defines for itself: tags and custom variables."""

from __future__ import annotations

from datetime import datetime

from schema.types.context import Caller
from schema.types.errors import not_found
from schema.types.node import new_id
from schema.types.tag import Tag, Variable, VariableType
from storage import claims
from storage.changes import MOST_CHANGES, Turn
from storage.claims import Key, Made
from storage.definitions import define, rename
from storage.documents import Document, from_document
from storage.indexes import INBOX_OF_FACET, OF_WORKSPACE
from storage.influencers import access_influencers, put_tags
from storage.log import Outcome
from storage.marks import in_steps
from storage.reader import StoreReader
from storage.store import Store
from storage.words import name_key

MOST_TAGS = 1000
MOST_VARIABLES = 100


async def all_tags(reader: StoreReader) -> list[Tag]:
    """The workspace's tags, in the order of their names."""
    filter = {"workspace": reader.caller.workspace, "deleted": 0}
    documents = await reader.store.database.find("tags", filter, hint=OF_WORKSPACE)
    return sorted((from_document(Tag, each) for each in documents), key=lambda tag: name_key(tag.name))


async def all_variables(reader: StoreReader) -> list[Variable]:
    """The workspace's custom variables, in the order of their names."""
    filter = {"workspace": reader.caller.workspace, "deleted": 0}
    documents = await reader.store.database.find("variables", filter, hint=OF_WORKSPACE)
    return sorted((from_document(Variable, each) for each in documents), key=lambda each: name_key(each.name))


async def access_definition(turn: Turn, collection: str, id: str) -> Document:
    """A tag or variable that is there. Raises NOT_FOUND."""
    document = await turn.get(collection, id)
    if document is None or document["deleted"]:
        raise not_found(id)
    return document


async def create_tag(store: Store, caller: Caller, name: str, color: str | None, key: Key | None) -> Outcome[Made]:
    def make(at: datetime) -> Tag:
        return Tag(id=new_id("tag"), name=name, color=color)

    return await define(store, caller, "tag", name, key, make, MOST_TAGS)


async def change_tag(store: Store, caller: Caller, id: str, fields: Document) -> Outcome[None]:
    """Changes the tag's name or colour."""

    async def plan(turn: Turn) -> None:
        tag = await access_definition(turn, "tags", id)
        changed = {name: value for name, value in fields.items() if tag[name] != value}
        if not changed:
            return
        change = turn.begin("TAG_CHANGED", id)
        if "name" in changed:
            await rename(turn, change, "tag", id, tag["name"], changed["name"])
        turn.put(change, "tags", id, changed)

    return await store.log.change(caller, plan)


async def delete_tag(store: Store, caller: Caller, id: str) -> Outcome[None]:
    """Takes the tag from everyone who has it, then deletes it.

    Each influencer is a change of their own, so that every view that they leave is told. Killed in between, some have
    it still, and deleting it again goes on.
    """

    async def plan(turn: Turn) -> bool:
        tag = await access_definition(turn, "tags", id)
        tagged = [
            influencer
            for listed in (1, 0)
            for influencer in await turn.find(
                "influencers",
                {"workspace": turn.workspace, "listed": listed, "facets": {"$in": [id]}},
                limit=MOST_CHANGES,
                hint=INBOX_OF_FACET,
            )
        ]
        for influencer in tagged[:MOST_CHANGES]:
            if turn.must_stop():
                return False
            await put_tags(turn, influencer, [tag_id for tag_id in influencer["tag_ids"] if tag_id != id])
        if len(tagged) >= MOST_CHANGES or turn.must_stop():
            return False
        change = turn.begin("TAG_DELETED", id)
        turn.put(change, "tags", id, {"deleted": 1})
        claims.release(turn, change, "tag", name_key(tag["name"]))
        return True

    return await in_steps(store, caller, plan)


async def tag_influencers(
    store: Store, caller: Caller, influencer_ids: list[str], add: list[str], remove: list[str]
) -> Outcome[None]:
    """Adds tags to influencers and takes tags from them, a change for each who differs after it; at most a hundred.

    Where these are too large for one entry, some are changed before others.
    """

    async def plan(turn: Turn) -> bool:
        for id in add + remove:
            await access_definition(turn, "tags", id)
        for influencer in (await access_influencers(turn, influencer_ids)).values():
            if turn.must_stop():
                return False
            kept = [tag_id for tag_id in influencer["tag_ids"] if tag_id not in remove]
            await put_tags(turn, influencer, list(dict.fromkeys(kept + add)))
        return True

    return await in_steps(store, caller, plan)


async def create_variable(
    store: Store, caller: Caller, name: str, type: VariableType, key: Key | None
) -> Outcome[Made]:
    def make(at: datetime) -> Variable:
        return Variable(id=new_id("variable"), name=name, type=type)

    return await define(store, caller, "variable", name, key, make, MOST_VARIABLES)


async def rename_variable(store: Store, caller: Caller, id: str, name: str) -> Outcome[None]:
    async def plan(turn: Turn) -> None:
        variable = await access_definition(turn, "variables", id)
        if variable["name"] == name:
            return
        change = turn.begin("VARIABLE_CHANGED", id)
        await rename(turn, change, "variable", id, variable["name"], name)
        turn.put(change, "variables", id, {"name": name})

    return await store.log.change(caller, plan)


async def delete_variable(store: Store, caller: Caller, id: str) -> Outcome[None]:
    """Deletes the variable; its values are no longer shown with any influencer."""

    async def plan(turn: Turn) -> None:
        variable = await access_definition(turn, "variables", id)
        change = turn.begin("VARIABLE_DELETED", id)
        turn.put(change, "variables", id, {"deleted": 1})
        claims.release(turn, change, "variable", name_key(variable["name"]))

    return await store.log.change(caller, plan)
