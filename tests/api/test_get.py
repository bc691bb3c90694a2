"""Queries by GET: of whoever sends a header that no page of somebody else's can have sent, and never a mutation."""

from __future__ import annotations

import json

import httpx2
import pytest

from connect_inbox.graphql.http import PREFLIGHT
from tests.api.conftest import Brand
from tests.api.raw import JSON, RESPONSE, is_told

pytestmark = pytest.mark.usefixtures("quiet")

VIEWER = "{ viewer { id } }"
NODE = "query A { viewer { id } } query B($id: ID!) { node(id: $id) { id } }"
TAG = 'mutation { createTag(input: {name: "By GET"}) { tag { id } } }'
MESSAGES = "subscription { messageAdded { position } }"


async def get(brand: Brand, method: str = "GET", accept: str = JSON, **parameters: str) -> httpx2.Response:
    headers = {"authorization": f"Bearer {brand.member.token}", PREFLIGHT: "1", "accept": accept}
    return await brand.server.http.request(method, brand.server.url, params=parameters, headers=headers)


async def test_a_query(brand: Brand) -> None:
    me = (await brand.member.run(VIEWER))["viewer"]["id"]
    for accept, media in {JSON: JSON, RESPONSE: RESPONSE, "*/*": JSON}.items():
        response = await get(brand, accept=accept, query=VIEWER)
        assert (response.status_code, response.json()) == (200, {"data": {"viewer": {"id": me}}})
        assert response.headers["content-type"] == f"{media}; charset=utf-8"
        assert response.headers["cache-control"] == "no-store"
    response = await get(brand, query=NODE, operationName="B", variables=json.dumps({"id": me}))
    assert response.json() == {"data": {"node": {"id": me}}}
    response = await get(brand, "HEAD", query=VIEWER)
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize("accept", [JSON, RESPONSE])
@pytest.mark.parametrize(
    "asked",
    [{"query": TAG}, {"query": MESSAGES}, {"query": f"query A {VIEWER} mutation B {TAG[9:]}", "operationName": "B"}],
    ids=["mutation", "subscription", "mutation among others"],
)
async def test_nothing_but_queries(brand: Brand, asked: dict[str, str], accept: str) -> None:
    response = await get(brand, accept=accept, **asked)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert is_told(response.json())
    tags = await brand.member.run("{ tags { name } }")
    assert {"name": "By GET"} not in tags["tags"]


async def test_no_event_stream(brand: Brand) -> None:
    for query in (VIEWER, MESSAGES):
        response = await get(brand, accept="text/event-stream", query=query)
        assert (response.status_code, response.headers["allow"]) == (405, "POST")
        assert is_told(response.json())


async def test_what_a_page_can_have_a_browser_send(brand: Brand) -> None:
    """A token besides makes no difference."""
    for headers in ({}, {"authorization": f"Bearer {brand.member.token}"}, {"content-type": "text/plain"}):
        response = await brand.server.http.get(brand.server.url, params={"query": VIEWER}, headers=headers)
        assert (response.status_code, response.headers["allow"]) == (405, "POST")
        assert is_told(response.json())


async def test_a_token_is_needed(brand: Brand) -> None:
    response = await brand.server.http.get(brand.server.url, params={"query": VIEWER}, headers={PREFLIGHT: "1"})
    assert response.status_code == 401 and is_told(response.json(), "UNAUTHENTICATED")


@pytest.mark.parametrize(
    "parameters",
    [
        {}, {"query": ""}, {"query": VIEWER, "variables": "{"}, {"query": VIEWER, "variables": "[]"},
        {"query": VIEWER, "variables": ""}, {"query": VIEWER, "extensions": "1"}, {"query": VIEWER, "extensions": "x"},
        {"query": "{ viewe"}, {"query": "{ viewe }"}, {"query": NODE}, {"query": NODE, "operationName": "C"},
    ],
    ids=str,
)  # fmt: skip
async def test_parameters_that_are_no_request(brand: Brand, parameters: dict[str, str]) -> None:
    response = await get(brand, accept=RESPONSE, **parameters)
    assert response.status_code == 400 and is_told(response.json())
