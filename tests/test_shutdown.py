"""A deployment: SIGTERM to a process with sockets that are used, and with some whose clients read nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from storage.store import Store, open_store
from tests.api.conftest import Brand, create_brand
from tests.api_process import ApiProcess, api_process
from tests.client import DEADLINE, Server, Socket
from tests.raw_socket import Reader, raw_subscription

EVENTS = "subscription($since: String) { messageAdded(since: $since) { position message { id } } }"
TEXTS = "subscription($since: String) { messageAdded(since: $since) { message { text } } }"
SEND = "mutation($input: SendMessageInput!) { sendMessage(input: $input) { message { id } userErrors { message } } }"
GONE = 10.0  # seconds after which a process that was told to end has ended


@pytest.fixture
async def process(database_uri: str, own_database: str, tmp_path: Path) -> AsyncIterator[ApiProcess]:
    async with api_process(database_uri, own_database, tmp_path / "log") as process:
        yield process


@pytest.fixture
async def own_store(database_uri: str, own_database: str) -> AsyncIterator[Store]:
    async with open_store(database_uri, own_database) as store:
        yield store


@pytest.fixture
async def place(process: ApiProcess, own_store: Store) -> AsyncIterator[Brand]:
    async with httpx2.AsyncClient(timeout=DEADLINE) as http:
        yield await create_brand(own_store, Server(process.url, http))


async def test_a_process_with_stalled_clients_is_gone_in_time_and_the_others_go_on(
    place: Brand, process: ApiProcess
) -> None:
    thread = (await place.influencer())["thread"]
    since = await place.position()
    async with AsyncExitStack() as stack:
        stalled: list[Reader] = []
        for _ in range(3):
            reader = await stack.enter_async_context(
                raw_subscription(place.server, place.viewer.token, TEXTS, since=since)
            )
            reader.transport.pause_reading()
            stalled.append(reader)
        live = [await stack.enter_async_context(place.viewer.subscription(EVENTS, since=since)) for _ in range(10)]
        sent = [(await place.send(thread, "x" * 49_000))["id"] for _ in range(20)]
        for each in live:
            assert [(await each.data())["message"]["id"] for _ in sent] == sent
        started = time.monotonic()
        stopping = asyncio.create_task(process.stop())
        for each in live:
            assert (await each.socket.closed())[0] == 1012
        await stopping
        assert time.monotonic() - started < GONE
    assert process.faults() == []


async def test_what_was_asked_is_answered_before_the_sockets_are_closed(place: Brand, process: ApiProcess) -> None:
    thread = (await place.influencer())["thread"]
    async with place.member.socket() as socket:
        for number in range(20):
            await send(socket, thread, number)
        answered = [await next_result(socket)]  # all were taken in before the first was answered, in one turn or two
        await asyncio.gather(process.stop(), collect(socket, answered, 19))
        assert (await socket.closed())[0] == 1012
    assert sorted(answered) == sorted(str(number) for number in range(20))


async def send(socket: Socket, thread: str, number: int) -> None:
    variables = {"input": {"threadId": thread, "text": f"Hello {number}", "idempotencyKey": str(number)}}
    await socket.send(id=str(number), type="subscribe", payload={"query": SEND, "variables": variables})


async def collect(socket: Socket, answered: list[str], count: int) -> None:
    for _ in range(count):
        answered.append(await next_result(socket))


async def next_result(socket: Socket) -> str:
    """The id of the next operation that is answered, and was done."""
    while True:
        message = await socket.receive()
        if message["type"] == "next":
            payload = message["payload"]["data"]["sendMessage"]
            assert payload["message"] and payload["userErrors"] == []
            return str(message["id"])
        assert message["type"] == "complete"
