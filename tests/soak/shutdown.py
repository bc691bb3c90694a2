"""A deployment: SIGTERM to a process with many sockets, and with some whose clients read nothing."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import httpx2

from schema.types.scalars import now
from storage.store import Store, open_store
from storage.tokens import create_token
from tests.api_process import ApiProcess, api_process
from tests.client import DEADLINE, Server, Socket, Subscription
from tests.raw_socket import raw_subscription
from tests.storage.deeds import influencer, send
from tests.team import Team, create_team

EVENTS = "subscription($since: String) { messageAdded(since: $since) { position message { text } } }"
LONG = 20 * ["x" * 49_000]  # more than the buffers of who does not read hold
MEANWHILE = ["One", "Two", "Three"]  # what is written between two processes
GONE = 10.0  # seconds after which a process that was told to end has ended


async def run(uri: str, database: str, folder: Path, live: int, stalled: int) -> str:
    """Raises AssertionError where it takes too long, or somebody who reads is not told, or misses anything."""
    async with (
        open_store(uri, database) as store,
        api_process(uri, database, folder / "shutdown.log") as process,
        httpx2.AsyncClient(timeout=DEADLINE) as http,
    ):
        team = await create_team(store, "Shutdown")
        thread = await influencer(store, team, "Anna")
        token, _ = await create_token(store, team.id, team.member.id, "test", [], now() + timedelta(days=1))
        api, since = Server(process.url, http).api(token), await store.log.position(team.id)
        async with AsyncExitStack() as stack:
            for _ in range(stalled):
                reader = await stack.enter_async_context(raw_subscription(api.server, token, EVENTS, since=since))
                reader.transport.pause_reading()
            subscriptions = [
                await stack.enter_async_context(api.subscription(EVENTS, since=since)) for _ in range(live)
            ]
            following = [asyncio.create_task(texts_of(each, len(LONG))) for each in subscriptions]
            await write(store, team, thread, LONG)
            positions = [position for _, position in await asyncio.gather(*following)]
            took = await stop(process, [each.socket for each in subscriptions])
        assert took < GONE, f"the process was gone after {took:.1f} s"
        await write(store, team, thread, MEANWHILE)
        await process.start()
        async with AsyncExitStack() as stack:
            for position in positions:
                again = await stack.enter_async_context(api.subscription(EVENTS, since=position))
                assert (await texts_of(again, len(MEANWHILE)))[0] == MEANWHILE
        assert process.faults() == []
    return f"{live} sockets were told, {stalled} stalled ones were not waited for, gone after {took:.1f} s"


async def write(store: Store, team: Team, thread: str, texts: list[str]) -> None:
    for text in texts:
        await send(store, team.member, thread, text)


async def texts_of(subscription: Subscription, count: int) -> tuple[list[str], str]:
    """The next messages' texts, and the last one's position."""
    events = [await subscription.data() for _ in range(count)]
    return [event["message"]["text"] for event in events], events[-1]["position"]


async def stop(process: ApiProcess, sockets: list[Socket]) -> float:
    """SIGTERM; the seconds until the process is gone. Each of the sockets is closed as one that is to come back."""
    started = time.monotonic()
    closed = asyncio.gather(*[socket.closed() for socket in sockets])
    await process.stop()
    took = time.monotonic() - started
    assert {code for code, _ in await closed} == {1012}
    return took
