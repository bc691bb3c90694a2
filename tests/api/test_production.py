"""A server as it stands in the open: what scanners look for is not there, and no fault tells anything.

The first tests are the checks of graphql-cop (https://github.com/dolevf/graphql-cop), by their names.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from graphql import GraphQLError, get_introspection_query

from connect_inbox.logs import TextFormatter
from connect_inbox.settings import Settings
from resolvers import access
from storage.reader import StoreReader
from storage.store import Store
from tests.api.conftest import Brand, create_brand
from tests.client import Json, Server
from tests.server import running
from tests.sse import open_stream

SECRET = "planted-secret"
PRODUCTION = {"CONNECT_INBOX_INTROSPECTION": "off", "CONNECT_INBOX_SUGGESTIONS": "off"}


@pytest.fixture(scope="module")
async def server(store: Store) -> AsyncIterator[Server]:
    async with running(store, Settings.from_env(PRODUCTION)) as server:
        yield server


@pytest.fixture(scope="module")
async def brand(store: Store, server: Server) -> Brand:
    return await create_brand(store, server)


async def request(brand: Brand, method: str, **what: Any) -> httpx2.Response:
    headers = {"authorization": f"Bearer {brand.admin.token}", **what.pop("headers", {})}
    return await brand.server.http.request(method, brand.server.url, headers=headers, **what)


def refusal(answer: Json) -> str:
    """The code that a whole answer is refused with."""
    [code] = {error["extensions"]["code"] for error in answer["errors"]}
    assert "data" not in answer
    assert isinstance(code, str)
    return code


async def test_alias_overloading(brand: Brand) -> None:
    aliases = " ".join(f"alias{each}: __typename" for each in range(101))
    assert refusal(await brand.admin.post(f"query cop {{ {aliases} }}")) == "TOO_COMPLEX"


async def test_array_based_query_batching(brand: Brand) -> None:
    response = await request(brand, "POST", json=[{"query": "query cop { __typename }"}] * 10)
    assert response.status_code == 400 and refusal(response.json()) == "BAD_USER_INPUT"


async def test_directive_overloading(brand: Brand) -> None:
    """Directives that there are not, which validation alone would tell of one by one."""
    assert refusal(await brand.admin.post("query cop { __typename " + "@aa" * 200 + " }")) == "TOO_COMPLEX"


async def test_field_duplication(brand: Brand) -> None:
    assert refusal(await brand.admin.post("query cop { " + "__typename " * 500 + "}")) == "TOO_COMPLEX"


CIRCLE = (
    "query cop { __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }"
)


async def test_circular_introspection(brand: Brand, store: Store) -> None:
    assert refusal(await brand.admin.post(CIRCLE)) == "BAD_USER_INPUT"
    async with running(store, Settings()) as open_server:
        assert refusal(await open_server.api(brand.admin.token).post(CIRCLE)) == "TOO_COMPLEX"


async def test_introspection(brand: Brand, store: Store) -> None:
    for query in (get_introspection_query(), "{ __schema { types { name } } }", '{ __type(name: "Query") { name } }'):
        assert refusal(await brand.admin.post(query)) == "BAD_USER_INPUT"
    assert await brand.admin.run("{ __typename viewer { __typename } }") == {
        "__typename": "Query", "viewer": {"__typename": "Viewer"}
    }  # fmt: skip
    async with running(store, Settings()) as open_server:
        found = await open_server.api(brand.admin.token).run(get_introspection_query())
        assert len(found["__schema"]["types"]) > 50


async def test_get_method_query_support(brand: Brand) -> None:
    response = await request(brand, "GET", params={"query": "query cop { __typename }"})
    assert response.status_code == 405 and "__typename" not in response.text


async def test_get_based_mutation(brand: Brand) -> None:
    response = await request(brand, "GET", params={"query": "mutation cop { __typename }"})
    assert response.status_code == 405 and "__typename" not in response.text


async def test_post_based_url_encoded_query(brand: Brand) -> None:
    for data in ({"query": "query cop { __typename }"}, {"query": "mutation cop { __typename }"}):
        response = await request(brand, "POST", data=data)
        assert response.status_code == 415 and refusal(response.json()) == "BAD_USER_INPUT"


async def test_graphql_ide(brand: Brand) -> None:
    for path in ("/graphql", "/graphiql", "/playground", "/console", "/"):
        url = brand.server.url.removesuffix("/graphql") + path
        response = await brand.server.http.get(url, headers={"accept": "text/html"})
        assert response.status_code in (404, 405)
        assert not any(word in response.text.lower() for word in ("graphiql", "playground", "<html"))


async def test_trace_mode(brand: Brand) -> None:
    answer = await brand.admin.post("query cop { __typename }")
    assert answer == {"data": {"__typename": "Query"}}


async def test_unhandled_errors(brand: Brand) -> None:
    for query in ("query cop {", "mutation { qwerty }", "query cop { viewer { id(a: 1) } }", "{ node(id: {}) { id } }"):
        text = json.dumps(await brand.admin.post(query)).lower()
        assert not any(word in text for word in ("exception", "traceback", "internal", 'file \\"', ".py"))


MISTAKES: dict[str, tuple[str, dict[str, Any]]] = {
    "field": ("{ viewe { id } }", {}),
    "argument": ("{ inbox(firs: 1) { position } }", {}),
    "type": ("query($a: Strin) { inbox(search: $a) { position } }", {}),
    "fragment": ("{ ...frag } fragment fragg on Query { viewer { id } }", {}),
    "directive": ("{ viewer @includ(if: true) { id } }", {}),
    "enum": ("mutation { createCampaign(input: {name: \"a\", state: LIV}) { position } }", {}),
    "input field": ("mutation { createTag(input: {nam: \"a\"}) { position } }", {}),
    "input field of a variable": ("query($a: InboxFilter) { inbox(filter: $a) { position } }", {"a": {"unreadOnl": 1}}),
    "enum in a variable": ("mutation($a: CreateCampaignInput!) { createCampaign(input: $a) { position } }",
                           {"a": {"name": "a", "state": "LIV"}}),
    "subscription": ("subscription($a: Strin) { messageAdde(sinc: $a) { position } }", {}),
}  # fmt: skip


@pytest.mark.parametrize(("query", "variables"), MISTAKES.values(), ids=MISTAKES)
async def test_field_suggestions(brand: Brand, query: str, variables: dict[str, Any]) -> None:
    answer = await brand.admin.post(query, **variables)
    assert answer["errors"] and "did you mean" not in json.dumps(answer).lower()
    async with brand.admin.socket() as socket:
        await socket.subscribe(query, **variables)
        assert "did you mean" not in json.dumps(await socket.receive()).lower()


async def test_suggestions_are_there_where_they_are_on(brand: Brand, store: Store) -> None:
    async with running(store, Settings()) as open_server:
        answer = await open_server.api(brand.admin.token).post("{ viewe { id } }")
        assert "Did you mean 'viewer'?" in answer["errors"][0]["message"]


FAULTS = {
    "plain": RuntimeError(f"cannot reach mongodb://user:{SECRET}@db.example.com for ada@{SECRET}.example"),
    "of the executor": GraphQLError(f"String cannot represent value: {SECRET}"),
    "with a cause": KeyError("thread"),
}
FAULTS["with a cause"].__cause__ = ValueError(f"Bearer {SECRET}")


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_fault_tells_nothing_over_any_transport(
    brand: Brand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: Exception
) -> None:
    """Its id is in the log, and there neither are addresses, tokens, or what the document says."""

    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(access, "to_read", fail)
    query = f'{{ inbox(search: "{SECRET}") {{ position }} }}'
    subscription = f'subscription {{ messageAdded(campaignId: "{SECRET}") {{ position }} }}'
    told = [await brand.admin.post(query)]
    async with brand.admin.socket() as socket:
        told.append(await (await socket.subscribe(query)).next())
        await socket.receive()
        told.append({"errors": await (await socket.subscribe(subscription)).error()})
    for each in (query, subscription):
        async with open_stream(brand.admin, each) as stream:
            told.append(await stream.next())
    for answer in told:
        [error] = answer["errors"]
        assert error["extensions"].keys() == {"code", "requestId"} and error["extensions"]["code"] == "INTERNAL"
        assert SECRET not in json.dumps(answer) and "mongodb" not in json.dumps(answer)
        assert [each for each in caplog.records if error["extensions"]["requestId"] in each.getMessage()]
    nothing_is_told(caplog, brand)


def nothing_is_told(caplog: pytest.LogCaptureFixture, brand: Brand) -> None:
    lines = "\n".join(TextFormatter().format(each) for each in caplog.records if each.levelno >= logging.ERROR)
    assert "fault" in lines and SECRET not in lines and brand.admin.token not in lines
    caplog.clear()  # as they are meant to be there


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_fault_in_an_event_tells_nothing(
    brand: Brand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: Exception
) -> None:
    thread = (await brand.influencer())["thread"]

    async def fail(*_: object) -> None:
        raise fault

    query = "subscription($since: String) { messageAdded(since: $since) { message { author { name } } } }"
    since = await brand.position()
    await brand.send(thread)
    monkeypatch.setattr(StoreReader, "actor", fail)
    async with brand.admin.subscription(query, since=since) as subscription:
        over_socket = await subscription.next()
    async with open_stream(brand.admin, query, since=since) as stream:
        over_events = await stream.next()
    for answer in (over_socket, over_events):
        [error] = answer["errors"]
        assert error["extensions"].keys() == {"code", "requestId"} and error["extensions"]["code"] == "INTERNAL"
        assert SECRET not in json.dumps(answer)
    nothing_is_told(caplog, brand)


async def test_a_clients_mistake_is_not_logged(brand: Brand, caplog: pytest.LogCaptureFixture) -> None:
    for query, variables in [*MISTAKES.values(), ("}{", {}), (CIRCLE, {}), ("{ inbox(first: 1000) { position } }", {})]:
        assert (await brand.admin.post(query, **variables))["errors"]
    ours = [each for each in caplog.records if each.name.startswith("connect_inbox")]
    assert not [each for each in ours if each.exc_info or each.levelno >= logging.WARNING]
