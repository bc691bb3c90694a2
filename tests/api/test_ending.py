"""A server that ends answers what it was asked, over an event stream too, and breaks off only what has no end."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from connect_inbox import server
from connect_inbox.graphql.intake import Intake
from connect_inbox.graphql.operation import Operation, Result
from connect_inbox.server import listener, local_url, serving
from connect_inbox.settings import Settings
from resolvers.context import Context
from storage.store import Store
from tests.api.conftest import Brand, create_brand
from tests.client import DEADLINE, Server
from tests.sse import Stream, open_stream

MESSAGES = "subscription($since: String) { messageAdded(since: $since) { position } }"
ROLE = "query { viewer { role } }"
ANSWER = {"data": {"viewer": {"role": "MEMBER"}}}

pytestmark = pytest.mark.usefixtures("quiet")


async def test_operations_are_answered_and_subscriptions_broken_off(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = asyncio.Semaphore(0)
    going_on = asyncio.Event()
    run = Intake.run

    async def run_later(self: Intake, operation: Operation, context: Context) -> Result:
        if operation.request.query == ROLE:
            held.release()
            await going_on.wait()
        return await run(self, operation, context)

    monkeypatch.setattr(Intake, "run", run_later)
    monkeypatch.setattr(server, "GRACE", DEADLINE)
    settings = Settings(bind=("127.0.0.1", 0), sync=False)
    async with httpx2.AsyncClient(timeout=DEADLINE) as http, asyncio.TaskGroup() as tasks:
        with listener(settings) as bound:
            async with serving(settings, store, bound):
                brand = await create_brand(store, Server(local_url(bound), http))
                subscribed, ended = asyncio.Event(), asyncio.Event()
                answers = [tasks.create_task(over_stream(brand)), tasks.create_task(over_socket(brand))]
                tasks.create_task(subscribe(brand, subscribed, ended))
                for _ in answers:
                    await held.acquire()
                await subscribed.wait()
                tasks.create_task(begin_when(ended, brand, going_on))
    assert [await each for each in answers] == [ANSWER] * 2


async def over_stream(brand: Brand) -> object:
    async with open_stream(brand.member, ROLE) as stream:
        result = await stream.next()
        assert await stream.event() == ("complete", "")
        assert await stream.ended()
        return result


async def over_socket(brand: Brand) -> object:
    async with brand.member.subscription(ROLE) as query:
        return await query.next()


async def subscribe(brand: Brand, subscribed: asyncio.Event, ended: asyncio.Event) -> None:
    thread = (await brand.influencer())["thread"]
    async with open_stream(brand.member, MESSAGES, since=await brand.position()) as stream:
        await brand.send(thread)
        await stream.next()
        subscribed.set()
        await broken_off(stream)
        ended.set()


async def begin_when(ended: asyncio.Event, brand: Brand, going_on: asyncio.Event) -> None:
    """Another subscription, while the server waits for what is under way on sockets."""
    await ended.wait()
    async with open_stream(brand.member, MESSAGES) as stream:
        assert stream.response.status_code == 200
        await broken_off(stream)
    going_on.set()


async def broken_off(stream: Stream) -> None:
    """Waits for its end; nothing but comments comes before that."""
    with pytest.raises(EOFError):
        await stream.event()
