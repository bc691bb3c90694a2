"""The schema as its clients rely on it: written down, described, and after Relay's conventions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLUnionType,
    build_schema,
    get_named_type,
    specified_scalar_types,
    validate_schema,
)

from schema.root import print_schema, schema
from schema.types.errors import ErrorCode

SCHEMA = schema._schema
COMMITTED = Path(__file__).parents[1] / "schema" / "schema.graphql"
TYPES = {
    name: type
    for name, type in SCHEMA.type_map.items()
    if not name.startswith("__") and type not in specified_scalar_types.values()
}
OBJECTS = {name: type for name, type in TYPES.items() if isinstance(type, GraphQLObjectType | GraphQLInterfaceType)}
MUTATIONS = OBJECTS["Mutation"].fields
CONNECTIONS = {name: type for name, type in OBJECTS.items() if name.endswith("Connection")}


def test_the_committed_schema_is_the_codes() -> None:
    assert COMMITTED.read_text() == print_schema(), "write it anew with: connect-inbox schema print"


def test_the_committed_schema_can_be_built() -> None:
    """By whoever reads the file alone, such as a code generator."""
    built = build_schema(COMMITTED.read_text())
    assert validate_schema(built) == []
    assert built.type_map.keys() >= TYPES.keys()


def described_things() -> Iterator[tuple[str, str | None]]:
    for name, type in TYPES.items():
        yield name, type.description
        if isinstance(type, GraphQLEnumType):
            yield from ((f"{name}.{value}", it.description) for value, it in type.values.items())
        elif isinstance(type, GraphQLInputObjectType):
            yield from ((f"{name}.{field}", it.description) for field, it in type.fields.items())
        elif isinstance(type, GraphQLObjectType | GraphQLInterfaceType):
            for field, each in type.fields.items():
                yield f"{name}.{field}", each.description
                yield from ((f"{name}.{field}({argument})", it.description) for argument, it in each.args.items())


def test_everything_is_described() -> None:
    assert not [name for name, description in described_things() if not (description or "").strip()]


def test_descriptions_are_sentences() -> None:
    """Each begins with a capital or a name in backquotes, and ends."""
    begins = re.compile(r"[A-Z`]|e-mail|http|true")
    assert not [name for name, text in described_things() if text and not begins.match(text)]
    assert not [name for name, text in described_things() if text and text.strip()[-1] not in ".;:`"]


def test_names_are_written_as_graphql_has_them() -> None:
    for name, type in TYPES.items():
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]*", name), name
        members = [*getattr(type, "fields", {}), *[it for each in fields_of(type) for it in each.args]]
        assert not [it for it in members if not re.fullmatch(r"[a-z][A-Za-z0-9]*", it)], name
        if isinstance(type, GraphQLEnumType):
            assert not [value for value in type.values if not re.fullmatch(r"[A-Z][A-Z_]*", value)], name


def fields_of(type: GraphQLNamedType) -> list[GraphQLField]:
    return list(type.fields.values()) if isinstance(type, GraphQLObjectType | GraphQLInterfaceType) else []


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_has_one_input_and_a_payload_of_its_own(name: str) -> None:
    each, own = MUTATIONS[name], name[0].upper() + name[1:]
    assert {argument: str(it.type) for argument, it in each.args.items()} == {"input": f"{own}Input!"}
    assert str(each.type) == f"{own}Payload!"
    payload = OBJECTS[f"{own}Payload"]
    assert [interface.name for interface in payload.interfaces] == ["Payload"]
    assert str(payload.fields["position"].type) == "String"
    assert str(payload.fields["userErrors"].type) == "[UserError!]!"
    results = {field: each.type for field, each in payload.fields.items() if field not in ("position", "userErrors")}
    assert results and not [field for field, type in results.items() if str(type).endswith("!")], "null where refused"


def test_what_creates_or_sends_can_be_sent_again() -> None:
    """A token's secret is shown once, so a second request for it is another token."""
    keyed = {name for name in MUTATIONS if name.startswith(("create", "add", "send"))} - {"createToken"}
    with_key = {
        name for name, each in MUTATIONS.items()
        if "idempotencyKey" in get_named_type(each.args["input"].type).fields
    }  # fmt: skip
    assert keyed == with_key
    assert "externalId" in TYPES["ReceiveMessageInput"].fields  # type: ignore[attr-defined]


def test_the_node_interface() -> None:
    query, node = OBJECTS["Query"].fields, OBJECTS["Node"]
    assert isinstance(node, GraphQLInterfaceType)
    assert {name: str(each.type) for name, each in node.fields.items()} == {"id": "ID!"}
    assert (str(query["node"].type), {name: str(it.type) for name, it in query["node"].args.items()}) == (
        "Node", {"id": "ID!"},
    )  # fmt: skip
    assert (str(query["nodes"].type), {name: str(it.type) for name, it in query["nodes"].args.items()}) == (
        "[Node]!", {"ids": "[ID!]!"},
    )  # fmt: skip


# What has an `id` and is no Node: it cannot be fetched by it.
NO_NODES = {"Actor", "Attachment", "Token", "UnreadCount", "Viewer"}


def test_whatever_has_an_id_is_a_node() -> None:
    with_ids = {name for name, type in OBJECTS.items() if "id" in type.fields}
    nodes = {type.name for type in SCHEMA.get_possible_types(OBJECTS["Node"])}  # type: ignore[arg-type]
    assert with_ids - nodes - {"Node"} == NO_NODES
    assert not [name for name in with_ids if str(OBJECTS[name].fields["id"].type) != "ID!"]


def test_page_info() -> None:
    assert {name: str(each.type) for name, each in OBJECTS["PageInfo"].fields.items()} == {
        "hasNextPage": "Boolean!",
        "hasPreviousPage": "Boolean!",
        "startCursor": "String",
        "endCursor": "String",
    }


@pytest.mark.parametrize("name", CONNECTIONS)
def test_a_connection(name: str) -> None:
    own = name.removesuffix("Connection")
    fields = {field: str(each.type) for field, each in CONNECTIONS[name].fields.items()}
    assert fields["edges"] == f"[{own}Edge!]!" and fields["pageInfo"] == "PageInfo!"
    assert fields["position"] == "String!", "where a subscription goes on from"
    assert "totalCount" not in fields, "it would have to be counted"
    edge = {field: str(each.type) for field, each in OBJECTS[f"{own}Edge"].fields.items()}
    assert edge["cursor"] == "String!"
    assert fields["nodes"] == f"[{edge['node']}]!"


def test_connections_are_paged_and_cursors_are_not_positions() -> None:
    for type in OBJECTS.values():
        for name, each in type.fields.items():
            if get_named_type(each.type).name in CONNECTIONS:
                assert {"first", "after"} <= each.args.keys(), f"{type.name}.{name}"
            assert not {"after", "since"} <= each.args.keys(), f"{type.name}.{name}"
            assert "offset" not in each.args and "skip" not in each.args, f"{type.name}.{name}"


def test_every_event_has_a_position() -> None:
    for name, each in OBJECTS["Subscription"].fields.items():
        assert str(each.type).endswith("!"), name
        event = get_named_type(each.type)
        assert isinstance(event, GraphQLObjectType) and str(event.fields["position"].type) == "String!", name
        assert ("since" in each.args) == (name != "unreadCount"), name
        assert not [argument for argument, it in each.args.items() if argument == "since" and str(it.type) != "String"]


def test_there_are_no_unions_and_the_codes_are_the_contracts() -> None:
    assert not [name for name, type in TYPES.items() if isinstance(type, GraphQLUnionType)]
    assert {code.value for code in ErrorCode} == {
        "UNAUTHENTICATED", "FORBIDDEN", "NOT_FOUND", "BAD_USER_INPUT", "CONFLICT", "RATE_LIMITED", "RESYNC_REQUIRED",
        "TOO_COMPLEX", "TIMED_OUT", "INTERNAL",
    }  # fmt: skip


# The core that clients rely on. Nothing of it may go or change its type.
CORE = """
type Query {
  viewer: Viewer!  node(id: ID!): Node  nodes(ids: [ID!]!): [Node]!
  inbox(first: Int = 25, after: String, filter: InboxFilter, search: String): InboxConnection!
  thread(id: ID!): Thread  influencer(by: InfluencerRef!): Influencer  unreadCount: UnreadCount!
  notifications(first: Int = 25, after: String): NotificationConnection!
  changes(since: String!, first: Int = 100): ChangePage!
}
type Subscription {
  messageAdded(since: String, threadId: ID, campaignId: ID): MessageAdded!
  threadChanged(threadId: ID!, since: String): ThreadEvent!
  inboxChanged(since: String, filter: InboxFilter): InboxEvent!
  unreadCount: UnreadCount!  notificationAdded(since: String): NotificationAdded!
}
"""


def test_the_core_is_kept() -> None:
    for root, body in re.findall(r"type (\w+) \{(.*?)\n\}", CORE, re.DOTALL):
        for name, arguments, type in re.findall(r"(\w+)(?:\(([^)]*)\))?: (\[?\w+!?\]?!?)", body):
            each = OBJECTS[root].fields[name]
            assert str(each.type) == type, name
            wanted = dict(re.findall(r"(\w+): (\[?\w+!?\]?!?)", arguments))
            assert wanted == {argument: str(it.type) for argument, it in each.args.items()}, name
