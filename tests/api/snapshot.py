"""A client that keeps everything it may see: read once as a whole, and from then on brought up to date by events only.

The selections are generated from the schema, so a field that is added is compared from then on.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)

from schema.root import schema
from tests.client import Api, Json, Subscription

SCHEMA = schema._schema
NODE = SCHEMA.get_type("Node")
ACTOR = SCHEMA.get_type("Actor")
assert isinstance(NODE, GraphQLInterfaceType)

EVERYTHING = """{ tags { id } variables { id } members { id } campaigns(first: 100) { nodes { id } }
    inbox(first: 100) { edges { cursor node { id messages(last: 100) { nodes { id } } } } }
    mailboxes { id } quarantinedMails(first: 100) { nodes { id } }
    notifications(first: 100) { nodes { id } } unreadCount { threads messages position } viewer { position } }"""
MESSAGES = "query($id: ID!) { thread(id: $id) { messages(last: 100) { nodes { id } } } }"


def is_node(kind: object) -> bool:
    return kind in (NODE, ACTOR) or (isinstance(kind, GraphQLObjectType) and NODE in kind.interfaces)


def selection(kind: GraphQLObjectType) -> str:
    """All fields of a type; of other nodes their ids, of what belongs to it alone everything. Pages are apart."""
    return " ".join(selected(name, each) for name, each in kind.fields.items() if is_plain(each))


def is_plain(each: GraphQLField) -> bool:
    takes_page = "Connection" in str(get_named_type(each.type))
    return not takes_page and not any(is_required_argument(argument) for argument in each.args.values())


def selected(name: str, each: GraphQLField) -> str:
    kind = get_named_type(each.type)
    if is_leaf_type(kind):
        return name
    if kind is ACTOR:
        return f"{name} {{ id }}"  # people are compared where they are listed
    if is_node(kind):
        return f"{name} {{ __typename id }}"
    assert isinstance(kind, GraphQLObjectType)
    return f"{name} {{ {selection(kind)} }}"


def aliased(kind: GraphQLObjectType) -> str:
    """All fields of a type, under names that no other type's fields have."""
    return " ".join(
        f"{kind.name}_{name}: {selected(name, each)}" for name, each in kind.fields.items() if is_plain(each)
    )


FULL = "__typename id " + " ".join(
    f"... on {kind.name} {{ {aliased(kind)} }}" for kind in SCHEMA.get_possible_types(NODE)
)
NODES = f"query($ids: [ID!]!) {{ nodes(ids: $ids) {{ {FULL} }} }}"
CHANGES = f"""query($since: String!) {{ changes(since: $since) {{
    position hasMore changes {{ kind position removedIds nodes {{ {FULL} }} }} }} }}"""


@dataclass
class Snapshot:
    """What a client knows."""

    position: str
    nodes: dict[str, Json] = field(default_factory=dict)
    inbox: dict[str, str] = field(default_factory=dict)  # thread -> its place
    lists: dict[str, set[str]] = field(default_factory=dict)  # what has no other way to be found
    count: tuple[int, int] = (0, 0)

    def in_order(self) -> list[str]:
        return sorted(self.inbox, key=lambda thread: self.inbox[thread])

    def forget_messages_elsewhere(self) -> None:
        """Messages are listed with their threads, and leave with them."""
        self.lists["messages"] = {
            id for id in self.lists.get("messages", set()) if self.nodes[id]["Message_thread"]["id"] in self.inbox
        }

    def reachable(self) -> dict[str, Json]:
        """The nodes that the lists lead to; what nothing leads to any more is forgotten."""
        found: dict[str, Json] = {}
        waiting = [*self.inbox, *(id for ids in self.lists.values() for id in ids)]
        while waiting:
            id = waiting.pop()
            if id not in found and id in self.nodes:
                found[id] = self.nodes[id]
                waiting += references(self.nodes[id])
        return found


def references(value: Any) -> list[str]:
    """The ids of the nodes that a value names."""
    if isinstance(value, dict):
        own = [value["id"]] if "__typename" in value and "id" in value else []
        return own + [id for each in value.values() for id in references(each)]
    if isinstance(value, list):
        return [id for each in value for id in references(each)]
    return []


async def take(api: Api) -> Snapshot:
    """Reads everything."""
    found = await api.run(EVERYTHING)
    snapshot = Snapshot(found["viewer"]["position"])
    for edge in found["inbox"]["edges"]:
        snapshot.inbox[edge["node"]["id"]] = place(edge["cursor"])
    for name in ("tags", "variables", "members", "mailboxes"):
        snapshot.lists[name] = {each["id"] for each in found[name]}
    for name in ("campaigns", "notifications", "quarantinedMails"):
        snapshot.lists[name] = {each["id"] for each in found[name]["nodes"]}
    threads = [edge["node"]["messages"]["nodes"] for edge in found["inbox"]["edges"]]
    snapshot.lists["messages"] = {each["id"] for messages in threads for each in messages}
    snapshot.count = (found["unreadCount"]["threads"], found["unreadCount"]["messages"])
    await read_nodes(api, snapshot)
    return snapshot


def place(cursor: str) -> str:
    """The part of a cursor that orders it: the rest says when its list was read."""
    return cursor.partition(".")[0]


async def read_messages(api: Api, snapshot: Snapshot, thread: str) -> None:
    messages = (await api.run(MESSAGES, id=thread))["thread"]["messages"]["nodes"]
    snapshot.lists["messages"].update(each["id"] for each in messages)


async def read_nodes(api: Api, snapshot: Snapshot) -> None:
    """Reads what is referred to and not known; what is known stays as it is."""
    waiting = {*snapshot.inbox, *(id for ids in snapshot.lists.values() for id in ids)}
    waiting |= set(references(list(snapshot.nodes.values())))
    waiting -= set(snapshot.nodes)
    while waiting:
        ids = sorted(waiting)[:100]
        found = (await api.run(NODES, ids=ids))["nodes"]
        snapshot.nodes |= {each["id"]: each for each in found}
        waiting = (waiting | set(references(found))) - set(snapshot.nodes)


LISTS = {
    "Tag": "tags", "Variable": "variables", "Member": "members", "Campaign": "campaigns",
    "Notification": "notifications", "Message": "messages", "Mailbox": "mailboxes",
    "QuarantinedMail": "quarantinedMails",
}  # fmt: skip


async def read_changes(api: Api, position: str) -> list[Json]:
    """What changed after a position."""
    changes: list[Json] = []
    while True:
        page = (await api.run(CHANGES, since=position))["changes"]
        changes += page["changes"]
        position = page["position"]
        if not page["hasMore"]:
            return changes


def apply_changes(changes: list[Json], snapshot: Snapshot) -> set[str]:
    """Brings the nodes up to date; the kinds of changes there were."""
    for change in changes:
        for node in change["nodes"]:
            put_node(snapshot, node)
        for id in change["removedIds"]:
            remove_node(snapshot, id)
    return {change["kind"] for change in changes}


def put_node(snapshot: Snapshot, node: Json) -> None:
    snapshot.nodes[node["id"]] = node
    if node["__typename"] not in LISTS:
        return
    listed = snapshot.lists.setdefault(LISTS[node["__typename"]], set())
    if node.get("Member_removedAt") or node.get("Mailbox_state") == "DISCONNECTED":
        listed.discard(node["id"])
    else:
        listed.add(node["id"])


def remove_node(snapshot: Snapshot, id: str) -> None:
    """Drops an object wherever it is listed."""
    snapshot.nodes.pop(id, None)
    for listed in snapshot.lists.values():
        listed.discard(id)
    snapshot.nodes = {each: without(node, id) for each, node in snapshot.nodes.items()}


def without(value: Any, id: str) -> Any:
    if isinstance(value, dict):
        return {name: without(each, id) for name, each in value.items()}
    if isinstance(value, list):
        return [without(each, id) for each in value if id not in own_references(each)]
    return value


def own_references(value: Any) -> list[Any]:
    """An item of a list is gone with the object it is, or is a value of."""
    if not isinstance(value, dict):
        return []
    inner = [each["id"] for each in value.values() if isinstance(each, dict) and "__typename" in each]
    if "__typename" in value:
        return [value["id"], *inner]
    return inner if "value" in value else []


def undated(node: Json) -> str:
    """An object as text; an attachment's address is another one every hour."""
    return re.sub(r"\?expires=[0-9]+&(amp;)?signature=[^\"\\\\]+", "", json.dumps(node, sort_keys=True))


INBOX_EVENTS = """subscription($since: String) { inboxChanged(since: $since) {
    position kind threadId edge { cursor } } }"""
COUNT_EVENTS = "subscription { unreadCount { threads messages position } }"


def number(position: str) -> int:
    return int(position.partition(".")[2])


async def apply_inbox(events: Subscription, snapshot: Snapshot, up_to: str) -> set[str]:
    """Brings the inbox up to date by its events, up to a change that causes one; the threads that came in."""
    came_in = set()
    while True:
        event = await events.data()
        if event["kind"] == "LEFT":
            snapshot.inbox.pop(event["threadId"], None)
        else:
            snapshot.inbox[event["threadId"]] = place(event["edge"]["cursor"])
            if event["kind"] == "MOVED_IN":
                came_in.add(event["threadId"])
        if number(event["position"]) >= number(up_to):
            return came_in & snapshot.inbox.keys()


async def apply_count(events: Subscription, snapshot: Snapshot, up_to: str) -> None:
    while True:
        event = await events.data()
        snapshot.count = (event["threads"], event["messages"])
        if number(event["position"]) >= number(up_to):
            return
