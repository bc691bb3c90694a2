"""Server-sent events: the protocol, and where a stream begins, which is the same over a WebSocket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from connect_inbox.graphql import http
from tests.api.conftest import Brand
from tests.client import Api, Json
from tests.sse import EVENTS, open_stream

MESSAGES = "subscription($since: String) { messageAdded(since: $since) { position message { text } } }"
THREAD = "subscription($since: String, $id: ID!) { threadChanged(threadId: $id, since: $since) { position } }"
INBOX = "subscription($since: String) { inboxChanged(since: $since) { position } }"
NOTIFICATIONS = "subscription($since: String) { notificationAdded(since: $since) { position } }"

pytestmark = pytest.mark.usefixtures("quiet")


async def test_a_stream_from_its_beginning_to_its_end(brand: Brand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte by byte: a comment at once, comments in silence, an event for each result."""
    monkeypatch.setattr(http, "HEARTBEAT", 0.05)
    thread = (await brand.influencer())["thread"]
    async with open_stream(brand.member, MESSAGES, since=await brand.position()) as stream:
        assert stream.response.status_code == 200
        assert stream.response.headers["content-type"] == f"{EVENTS}; charset=utf-8"
        assert stream.response.headers["cache-control"] == "no-cache"
        assert [await stream.block() for _ in range(3)] == [[":"]] * 3
        received = await brand.receive(thread, "Hello\nand\r\nmore: é", external_id="1")
        block = [":"]
        while block == [":"]:
            block = await stream.block()
        data = (
            f'{{"data":{{"messageAdded":{{"position":"{received["position"]}",'
            '"message":{"text":"Hello\\nand\\r\\nmore: é"}}}}'
        )
        assert block == ["event: next", f"data: {data}"]
        assert await stream.block() == [":"]


async def test_silence_is_not_broken_before_its_time(brand: Brand) -> None:
    assert 5 <= http.HEARTBEAT <= 20  # proxies cut what is silent for thirty seconds or a minute
    async with open_stream(brand.member, "{ viewer { role } }") as stream:
        assert await stream.block() == [":"]
        assert await stream.block() == ["event: next", 'data: {"data":{"viewer":{"role":"MEMBER"}}}']
        assert await stream.block() == ["event: complete", "data:"]
        assert await stream.ended()


async def test_queries_and_mutations_over_a_stream(brand: Brand) -> None:
    create = 'mutation { createCampaign(input: {name: "A campaign"}) { campaign { name } } }'
    async with open_stream(brand.member, create) as stream:
        assert await stream.data() == {"campaign": {"name": "A campaign"}}
        assert await stream.event() == ("complete", "")
    async with open_stream(brand.viewer, create) as stream:
        result = await stream.next()
        assert result["data"] is None and result["errors"][0]["extensions"] == {"code": "FORBIDDEN"}
        assert await stream.event() == ("complete", "")
        assert await stream.ended()


@pytest.mark.parametrize(
    "query",
    ["{", "{ nothing }", "subscription { nothing }", "subscription { messageAdded(since: 5) { position } }",
     'subscription { messageAdded(since: "garbage") { position } }',
     "query a { viewer { id } } query b { viewer { id } }"],
)  # fmt: skip
async def test_an_error_before_the_first_event(brand: Brand, query: str) -> None:
    async with open_stream(brand.member, query) as stream:
        [error] = await stream.error()
        assert error["extensions"] == {"code": "BAD_USER_INPUT"}
        assert await stream.ended()


async def test_a_body_that_is_no_request_is_refused_before_there_is_a_stream(brand: Brand) -> None:
    headers = {"authorization": f"Bearer {brand.member.token}", "accept": EVENTS, "content-type": "application/json"}
    for body in ("[]", "", '{"query":5}', b"\xff"):
        response = await brand.server.http.post(brand.server.url, headers=headers, content=body)
        assert response.status_code == 400 and response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_stream_is_taken_up_where_it_was_dropped(brand: Brand) -> None:
    thread = (await brand.influencer())["thread"]
    since = await brand.position()
    seen: list[str] = []
    sending = asyncio.create_task(sent(brand, thread, 30))
    while len(seen) < 30:
        async with open_stream(brand.member, MESSAGES, since=since) as stream:
            for _ in range(min(7, 30 - len(seen))):
                event = await stream.data()
                since = event["position"]
                seen.append(event["message"]["text"])
    assert seen == [f"{n}" for n in range(30)]
    await sending


async def sent(brand: Brand, thread: str, count: int) -> None:
    for n in range(count):
        await brand.receive(thread, f"{n}")


async def test_a_stream_that_nobody_reads_any_more_ends(brand: Brand) -> None:
    head = brand.store.log.head(brand.workspace)
    for _ in range(3):
        async with open_stream(brand.member, MESSAGES) as stream:
            await stream.block()
    deadline = time.monotonic() + 5
    while head.followers:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@asynccontextmanager
async def refusal(transport: str, api: Api, query: str, **variables: Any) -> AsyncIterator[list[Json]]:
    """The errors that a subscription ends with instead of a first event: `error`, or `next` and `complete`."""
    if transport == "socket":
        async with api.subscription(query, **variables) as subscription:
            yield await subscription.error()
    else:
        async with open_stream(api, query, **variables) as stream:
            yield await stream.error()


@pytest.mark.parametrize("transport", ["socket", "events"])
@pytest.mark.parametrize("query", [MESSAGES, THREAD, INBOX, NOTIFICATIONS])
async def test_a_position_that_cannot_be_gone_on_from(brand: Brand, transport: str, query: str) -> None:
    """Told at once, never by silence; and what can be gone on from is."""
    more: dict[str, Any] = {"id": (await brand.influencer())["thread"]} if "$id" in query else {}
    epoch, _, number = (await brand.position()).partition(".")
    foreign = (await brand.stranger.run("{ viewer { position } }"))["viewer"]["position"]
    unknown = f"{'0' * 12}.{number}"
    for position, code in {
        f"{epoch}.{int(number) + 1}": "RESYNC_REQUIRED",
        f"{epoch}.{10**14}": "RESYNC_REQUIRED",
        foreign: "RESYNC_REQUIRED",
        unknown: "RESYNC_REQUIRED",
        f"{epoch}.-1": "BAD_USER_INPUT",
        epoch: "BAD_USER_INPUT",
        "": "BAD_USER_INPUT",
        "x" * 1000: "BAD_USER_INPUT",
    }.items():
        async with refusal(transport, brand.member, query, since=position, **more) as [error]:
            assert error["extensions"] == {"code": code}, position
            assert len(error["message"]) < 200
    async with refusal(transport, brand.member, query, since=foreign, **more) as one:
        async with refusal(transport, brand.member, query, since=unknown, **more) as other:
            assert one == other  # nothing tells whether it is another workspace's


@pytest.mark.parametrize("transport", ["socket", "events"])
async def test_a_position_that_is_older_than_the_log(brand: Brand, transport: str) -> None:
    thread = (await brand.influencer())["thread"]
    old = await brand.position()
    await sent(brand, thread, 3)
    kept = await brand.position()
    await brand.store.log.prune(brand.workspace, before=int(time.time() * 1000) + 60_000)
    async with refusal(transport, brand.member, MESSAGES, since=old) as [error]:
        assert error["extensions"] == {"code": "RESYNC_REQUIRED"}
    answer = await brand.member.post("query($since: String!) { changes(since: $since) { position } }", since=old)
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["RESYNC_REQUIRED"]
    async with brand.member.subscription(MESSAGES, since=kept) as living:
        await brand.receive(thread, "New")
        assert (await living.data())["message"]["text"] == "New"
