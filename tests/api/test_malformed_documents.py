"""Whatever a document or its variables say gets a clear answer: a coded error at its place, and the rest unharmed."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from storage.store import Store
from tests.api.conftest import Brand, create_brand
from tests.api.raw import RESPONSE, is_told, send
from tests.client import Server

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(scope="module")
async def brand(store: Store, server: Server) -> Brand:
    """One for all of these: none of them is hurt by another."""
    return await create_brand(store, server)


DOCUMENTS = {
    "comment": "# nothing",
    "syntax": "{",
    "garbage": "}{",
    "NUL": "{ viewer { id } }\0",
    "control character": "{ viewer \x07 { id } }",
    "unknown field": "{ nothing }",
    "unknown argument": "{ viewer(a: 1) { id } }",
    "unknown directive": "{ viewer @nothing { id } }",
    "unknown fragment": "{ ...nothing }",
    "cyclic fragment": "{ viewer { ...a } } fragment a on Viewer { ...a }",
    "type system": "type Query { a: Int }",
    "no selection": "{ viewer }",
    "no operation": "fragment a on Viewer { id }",
    "several operations": "query a { viewer { id } } query b { viewer { id } }",
    "subscription": "subscription { unreadCount { threads } }",
    "two subscriptions": "subscription { unreadCount { threads } messageAdded { position } }",
    "mutation field in a query": "{ sendMessage { position } }",
    "surrogate in a literal": '{ node(id: "\\ud800") { id } }',
    "5000 digits": "{ inbox(first: " + "9" * 5000 + ") { position } }",
    "float of 5000 digits": "{ inbox(first: " + "9" * 5000 + ".5) { position } }",
    "deep selection": "{ viewer " * 3000 + "}" * 3000,
    "deep value": "{ node(id: " + "[" * 4000 + "]" * 4000 + ") { id } }",
    "deep object": "{ inbox(filter: " + "{a:" * 3000 + "1" + "}" * 3000 + ") { position } }",
    "deep type": "query($a: " + "[" * 4000 + "Int" + "]" * 4000 + ") { viewer { id } }",
    "too many tokens": "{ " + "viewer { id } " * 5000 + "}",
    "variable of no type": "query($a: Nothing) { viewer { id } }",
    "variable not used": "query($a: Int) { viewer { id } }",
    "variable not there": "{ inbox(first: $first) { position } }",
}


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_a_document_that_cannot_be_executed(brand: Brand, name: str) -> None:
    body = orjson.dumps({"query": DOCUMENTS[name]})
    code = "TOO_COMPLEX" if name.startswith(("deep", "too many")) else "BAD_USER_INPUT"
    status, answer = await send(brand, body)
    assert status == 200 and is_told(answer, code)
    status, answer = await send(brand, body, accept=RESPONSE)
    assert status == 400 and is_told(answer, code)


VARIABLES: dict[str, tuple[str, Any]] = {
    "Int": ("query($a: Int) { inbox(first: $a) { position } }", "ten"),
    "Int too large": ("query($a: Int) { inbox(first: $a) { position } }", 10**10),
    "Int enormous": ("query($a: Int) { inbox(first: $a) { position } }", 10**18),
    "Int fraction": ("query($a: Int) { inbox(first: $a) { position } }", 1.5),
    "Int true": ("query($a: Int) { inbox(first: $a) { position } }", True),
    "Int object": ("query($a: Int) { inbox(first: $a) { position } }", {}),
    "String number": ("query($a: String) { inbox(search: $a) { position } }", 5),
    "String array": ("query($a: String) { inbox(search: $a) { position } }", ["a"]),
    "ID object": ("query($a: ID!) { node(id: $a) { id } }", {}),
    "ID null": ("query($a: ID!) { node(id: $a) { id } }", None),
    "ID in list null": ("query($a: [ID!]!) { nodes(ids: $a) { id } }", [None]),
    "input string": ("query($a: InboxFilter) { inbox(filter: $a) { position } }", "x"),
    "input unknown field": ("query($a: InboxFilter) { inbox(filter: $a) { position } }", {"a": 1}),
    "one of none": ("query($a: InfluencerRef!) { influencer(by: $a) { id } }", {}),
    "one of two": ("query($a: InfluencerRef!) { influencer(by: $a) { id } }", {"email": "a", "handle": "b"}),
    "one of null": ("query($a: InfluencerRef!) { influencer(by: $a) { id } }", {"email": None}),
    "enum": ("mutation($a: CreateCampaignInput!) { createCampaign(input: $a) { position } }",
             {"name": "a", "state": "NOTHING"}),
    "enum number": ("mutation($a: CreateCampaignInput!) { createCampaign(input: $a) { position } }",
                    {"name": "a", "state": 5}),
    "enum null": ("mutation($a: CreateCampaignInput!) { createCampaign(input: $a) { position } }",
                  {"name": "a", "state": None}),
    "required field": ("mutation($a: CreateTagInput!) { createTag(input: $a) { position } }", {}),
}  # fmt: skip


@pytest.mark.parametrize("query, value", VARIABLES.values(), ids=VARIABLES)
async def test_a_variable_that_is_not_of_its_type(brand: Brand, query: str, value: object) -> None:
    status, answer = await send(brand, json.dumps({"query": query, "variables": {"a": value}}))
    assert status == 200 and is_told(answer)


async def test_a_variable_that_is_null_where_its_default_would_do(brand: Brand) -> None:
    """The one fault of a document that only shows when it is executed."""
    for query in (
        'mutation($a: CampaignState = LIVE) { createCampaign(input: {name: "a", state: $a}) { position } }',
        "query($a: Boolean = true) { viewer { id @include(if: $a) } }",
    ):
        _, answer = await send(brand, json.dumps({"query": query, "variables": {"a": None}}))
        assert [error["extensions"] for error in answer["errors"]] == [{"code": "BAD_USER_INPUT"}], answer


async def test_an_operation_name_that_the_document_does_not_have(brand: Brand) -> None:
    for name in ("other", "x" * 300, "", "é\n\u2028"):
        status, answer = await send(brand, json.dumps({"query": "query a { viewer { id } }", "operationName": name}))
        assert status == 200 and is_told(answer), name
