"""How much somebody may ask for in a minute, and hold at a time, over every transport."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from connect_inbox.graphql.intake import Intake
from connect_inbox.graphql.operation import Request, size_of
from connect_inbox.settings import Settings
from schema.types.context import Caller, Role
from schema.types.scalars import now
from storage.store import Store
from tests.api.conftest import Brand, create_brand
from tests.client import DEADLINE, Api, Json, Server, open_socket
from tests.server import running
from tests.sse import EVENTS, open_stream

pytestmark = pytest.mark.usefixtures("quiet")

VIEWER = "{ viewer { id } }"
COST = 10 + len(VIEWER) + 1  # of the first time
FOLLOW = "subscription { unreadCount { threads } }"
LIMIT = "{ rateLimit { cost limit remaining resetAt } }"


@pytest.fixture(scope="module")
async def brand(store: Store, server: Server) -> Brand:
    return await create_brand(store, server)


@asynccontextmanager
async def limited(brand: Brand, settings: Settings) -> AsyncIterator[Server]:
    async with running(brand.store, settings) as server:
        yield server


async def status_of(api: Api, query: str = VIEWER, **headers: str) -> tuple[int, Json, int | None]:
    """A request's status, its answer, and the seconds that it says to wait for."""
    given = {"authorization": f"Bearer {api.token}", **{name.replace("_", "-"): it for name, it in headers.items()}}
    response = await api.server.http.post(api.server.url, headers=given, json={"query": query})
    after = response.headers.get("retry-after")
    return response.status_code, response.json(), int(after) if after else None


def is_refusal(errors: list[Json]) -> bool:
    [error] = errors
    extensions: Json = error["extensions"]
    return extensions.keys() == {"code", "retryAfter"} and extensions["code"] == "RATE_LIMITED"


async def test_who_asks_for_too_much_is_told_when_to_come_back(brand: Brand) -> None:
    async with limited(brand, Settings(rate_per_token=COST + 11, rate_per_address=0)) as server:
        member, admin = server.api(brand.member.token), server.api(brand.admin.token)
        for _ in range(2):
            assert (await status_of(member))[0] == 200
        status, answer, after = await status_of(member)
        assert status == 429 and "data" not in answer and is_refusal(answer["errors"])
        assert after in (1, 2, 3) and after == answer["errors"][0]["extensions"]["retryAfter"]
        async with member.socket() as socket:
            for query in (VIEWER, FOLLOW):
                assert is_refusal(await (await socket.subscribe(query)).error())
        async with open_stream(member, VIEWER) as stream:
            assert is_refusal(await stream.error())
        assert (await status_of(admin))[0] == 200


async def test_what_is_spent_comes_back(brand: Brand) -> None:
    async with limited(brand, Settings(rate_per_token=6000, rate_per_address=0)) as server:
        member = server.api(brand.member.token)
        page = "{ inbox(first: 100) { nodes { messages(last: 60) { nodes { id } } } } }"
        assert (await status_of(member, page))[0] == 200
        async with asyncio.timeout(DEADLINE):
            waits = [after async for after in refused(member)]
        assert waits and waits == sorted(waits, reverse=True)


async def refused(api: Api) -> AsyncIterator[int]:
    """What is said at each try, until one succeeds."""
    while True:
        status, _, after = await status_of(api)
        if status == 200:
            return
        assert after is not None
        yield after


async def test_an_expensive_operation_takes_more(brand: Brand) -> None:
    async with limited(brand, Settings(rate_per_token=100_000, rate_per_address=0)) as server:
        member = server.api(brand.member.token)
        begun = now()
        first = (await member.run(LIMIT))["rateLimit"]
        assert first["cost"] == 10 + len(LIMIT) + 1 and first["limit"] == 100_000
        assert 100_000 - first["cost"] <= first["remaining"] <= 100_000
        assert datetime.fromisoformat(first["resetAt"]) >= begun
        again = (await member.run(LIMIT))["rateLimit"]
        assert again["cost"] == 11
        page = "{ inbox(first: 100) { nodes { messages(last: 50) { nodes { id } } } } rateLimit { cost remaining } }"
        dear = (await member.run(page))["rateLimit"]
        assert dear["cost"] == 10 + len(page) + 5000 + 1
        assert dear["remaining"] <= again["remaining"] - 4000


async def test_without_limits_only_the_cost_is_told(brand: Brand) -> None:
    async with limited(brand, Settings(rate_per_token=0)) as server:
        answer = (await server.api(brand.partner.token).run(LIMIT))["rateLimit"]
        assert answer == {"cost": 10 + len(LIMIT) + 1, "limit": None, "remaining": None, "resetAt": None}


async def test_refused_documents_and_wrong_tokens_cost_something_too(brand: Brand) -> None:
    async with limited(brand, Settings(rate_per_token=100, rate_per_address=0)) as server:
        member = server.api(brand.member.token)
        found = [(await status_of(member, f"{{ nothing{each} }}"))[0] for each in range(8)]
        assert found[0] == 200 and found[-1] == 429
    async with limited(brand, Settings(rate_per_address=100)) as server:
        stranger = server.api("ci_nobody")
        found = [(await status_of(stranger))[0] for _ in range(12)]
        assert found[:9] == [401] * 9 and found[-1] == 429
        async with open_socket(server) as socket:
            await socket.send(type="connection_init", payload={"Authorization": "Bearer ci_nobody"})
            assert (await socket.closed())[0] == 1013


VIEW = "subscription($filter: InboxFilter) { inboxChanged(filter: $filter) { threadId } }"


TAGS = [f"tag_{each:026}" for each in range(100)]
SEND = "mutation($input: SendMessageInput!) { sendMessage(input: $input) { position } }"


@pytest.mark.parametrize(
    ("query", "variables", "more"),
    [
        (VIEW, {}, 0),
        (VIEW, {"filter": None}, 7),
        (VIEW, {"filter": {"tagIds": TAGS}}, 7 + 7 + 100 * 31),
        (VIEW, {"junk": "x" * 30_000, "filters": TAGS}, 0),  # which is not kept
        (SEND, {"input": {"text": "x" * 30_000}}, 0),
        ("query($tags: [ID!]!) { nodes(ids: $tags) { id } }", {"tags": TAGS}, 0),
    ],
)
def test_a_subscription_takes_more_the_more_there_is_to_keep_of_it(
    query: str, variables: dict[str, Any], more: int
) -> None:
    intake = Intake(Settings())
    caller = Caller(id="m", name="M", workspace="w", token="t", role=Role.MEMBER)
    operation, limit = intake.prepare(Request(query, variables, None), caller, "a")
    assert limit.cost == 10 + len(query) + operation.cost + more
    assert limit.remaining is not None and limit.limit is not None
    assert abs(limit.limit - limit.remaining - limit.cost) <= 10 + limit.limit // 60


def test_however_deep_a_variable_is_it_is_measured() -> None:
    value: object = "x" * 10
    for _ in range(100_000):
        value = [value]
    assert size_of({"filter": value}) == 6 + 100_000 + 11


async def test_who_has_much_kept_for_them_must_wait(brand: Brand) -> None:
    async with limited(brand, Settings(rate_per_token=3000, rate_per_address=0)) as server:
        async with server.api(brand.member.token).socket() as socket:
            await socket.subscribe(VIEW, junk="x" * 100_000)
            await socket.subscribe(VIEW, filter={"tagIds": TAGS})
            assert is_refusal(await (await socket.subscribe(VIEWER)).error())


async def test_behind_a_proxy_each_client_has_its_own_limit(brand: Brand) -> None:
    settings = Settings.from_env(
        {"CONNECT_INBOX_RATE_PER_ADDRESS": "60", "CONNECT_INBOX_TRUSTED_PROXIES": "127.0.0.0/8, 10.0.0.0/8"}
    )
    async with limited(brand, settings) as server:
        member = server.api(brand.member.token)
        assert await spend_all(member, x_forwarded_for="198.51.100.7, 10.0.0.9")
        assert (await status_of(member, x_forwarded_for="203.0.113.1, 198.51.100.7"))[0] == 429
        assert (await status_of(member, x_forwarded_for="198.51.100.8"))[0] == 200
        assert (await status_of(member, x_forwarded_for="2001:db8::1"))[0] == 200


async def test_what_anybody_says_of_their_address_is_not_believed(brand: Brand) -> None:
    async with limited(brand, Settings(rate_per_address=60)) as server:
        member = server.api(brand.member.token)
        assert await spend_all(member, x_forwarded_for="198.51.100.7")
        assert (await status_of(member, x_forwarded_for="198.51.100.8"))[0] == 429


async def spend_all(api: Api, **headers: str) -> bool:
    """Whether somebody is refused in the end."""
    return any([(await status_of(api, **headers))[0] == 429 for _ in range(6)])


async def test_streams_are_counted_by_token_and_by_address(brand: Brand) -> None:
    async with limited(brand, Settings(streams_per_token=2, streams_per_address=3)) as server, AsyncExitStack() as held:
        member, admin = server.api(brand.member.token), server.api(brand.admin.token)
        socket = await held.enter_async_context(member.socket())
        stream = await held.enter_async_context(open_stream(member, FOLLOW))
        await stream.next()
        assert await refusal_of(member) == (1013, 429)
        await held.enter_async_context(admin.socket())
        assert await refusal_of(admin) == (1013, 429)
        await socket.connection.close()
        async with asyncio.timeout(DEADLINE):
            while await refusal_of(admin, "{ viewer { id } }") == (1013, 429):
                pass


async def refusal_of(api: Api, query: str = FOLLOW) -> tuple[int | None, int]:
    """The code that one more socket is closed with, and the status of one more event stream."""
    code = None
    async with open_socket(api.server) as socket:
        try:
            await socket.send(type="connection_init", payload={"Authorization": f"Bearer {api.token}"})
            assert await socket.receive() == {"type": "connection_ack"}
        except ConnectionClosed:
            code, _ = await socket.closed()
    headers = {"authorization": f"Bearer {api.token}", "accept": EVENTS}
    async with api.server.http.stream("POST", api.server.url, headers=headers, json={"query": query}) as response:
        return code, response.status_code


async def test_operations_on_a_socket_are_counted_until_they_end(brand: Brand) -> None:
    async with limited(brand, Settings(operations_per_socket=3)) as server:
        async with server.api(brand.member.token).socket() as socket:
            names = itertools.count()
            for _ in range(3):
                await socket.send(type="subscribe", id=f"{next(names)}", payload={"query": FOLLOW})
            told = [await socket.receive() for _ in range(3)]
            assert {each["type"] for each in told} == {"next"}
            await socket.send(type="subscribe", id="more", payload={"query": VIEWER})
            message = await socket.receive()
            assert (message["type"], message["id"]) == ("error", "more") and is_refusal(message["payload"])
            await socket.send(type="complete", id="0")
            await socket.send(type="subscribe", id="more", payload={"query": VIEWER})
            message = await socket.receive()
            assert (message["type"], message["id"]) == ("next", "more") and "errors" not in message["payload"]
