"""Which web pages may use the API: those of the configured origins, and those from the server's own address."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from connect_inbox.settings import Settings
from storage.store import Store
from tests.api.conftest import Brand
from tests.client import Server
from tests.server import running

APP = "https://app.brand.example"
FOREIGN = ["https://evil.example", "http://app.brand.example", "https://app.brand.example:8443", "null", "", "x",
           "https://app.brand.example.evil.example", "http://[", "http://[::1", "file://", "https://app.brand.example/",
           "http://127.0.0.1", "http://127.0.0.1:1", "http://user@127.0.0.1"]  # fmt: skip

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(scope="module")
async def guarded(store: Store) -> AsyncIterator[Server]:
    async with running(store, Settings(allowed_origins=(APP,))) as server:
        yield server


def own(server: Server) -> str:
    return server.url.removesuffix("/graphql")


async def post(server: Server, brand: Brand, origin: str | None) -> tuple[int, str | None]:
    """The status, and the origin that a browser is told may see the answer."""
    headers = {"authorization": f"Bearer {brand.member.token}"} | ({} if origin is None else {"origin": origin})
    response = await server.http.post(server.url, headers=headers, json={"query": "{ viewer { id } }"})
    if response.status_code != 200:
        assert [error["extensions"]["code"] for error in response.json()["errors"]] == ["BAD_USER_INPUT"]
    return response.status_code, response.headers.get("access-control-allow-origin")


async def test_a_request(guarded: Server, brand: Brand) -> None:
    assert await post(guarded, brand, APP) == (200, APP)
    assert await post(guarded, brand, own(guarded)) == (200, None)  # which a browser does not ask about
    assert await post(guarded, brand, None) == (200, None)
    for origin in FOREIGN:
        assert await post(guarded, brand, origin) == (403, None), origin
    assert await post(brand.server, brand, APP) == (403, None)  # where none is configured


async def preflight(server: Server, origin: str, method: str = "POST") -> tuple[int, str | None]:
    response = await server.http.options(server.url, headers={
        "origin": origin, "access-control-request-method": method,
        "access-control-request-headers": "authorization,content-type",
    })  # fmt: skip
    return response.status_code, response.headers.get("access-control-allow-origin")


async def test_a_preflight(guarded: Server) -> None:
    assert await preflight(guarded, APP) == (200, APP)
    assert await preflight(guarded, APP, "GET") == (200, APP)
    assert (await preflight(guarded, APP, "DELETE"))[0] == 400
    for origin in FOREIGN:
        assert await preflight(guarded, origin) == (400, None), origin


async def test_a_socket(guarded: Server, brand: Brand) -> None:
    for origin in (APP, own(guarded), None):
        headers = {} if origin is None else {"origin": origin}
        async with connect(
            guarded.websocket_url, additional_headers=headers, subprotocols=["graphql-transport-ws"],  # type: ignore[list-item]
        ) as connection:  # fmt: skip
            assert connection.subprotocol == "graphql-transport-ws"
    for origin in FOREIGN:
        with pytest.raises(InvalidStatus) as refused:
            await connect(guarded.websocket_url, additional_headers={"origin": origin})
        assert refused.value.response.status_code == 403, origin
