"""A subscriber as a client is one: it follows the log through one connection after another."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random

import httpx2
from websockets.exceptions import WebSocketException

from tests.client import Api, Json, Server
from tests.sse import open_stream

MESSAGES = "subscription($since: String) { messageAdded(since: $since) { position message { id text } } }"
LAST = "the last message"

BROKEN = (httpx2.TransportError, WebSocketException, OSError, EOFError)  # what a client comes back after
TIMEOUTS = (httpx2.TimeoutException, TimeoutError)  # which are among them, and mean that something was lost
Next = Callable[[], Awaitable[Json]]
Connecting = Callable[[Api, str], AbstractAsyncContextManager[Next]]


@asynccontextmanager
async def over_socket(api: Api, since: str) -> AsyncIterator[Next]:
    """`messageAdded` over a WebSocket, which is torn down at the end without a word."""
    async with api.subscription(MESSAGES, since=since) as subscription:
        try:
            yield subscription.data
        finally:
            subscription.socket.connection.transport.abort()


@asynccontextmanager
async def over_events(api: Api, since: str) -> AsyncIterator[Next]:
    """`messageAdded` over server-sent events, whose connection is closed in the middle of it at the end."""
    async with open_stream(api, MESSAGES, since=since) as stream:
        assert stream.response.status_code == 200, stream.response.status_code
        yield stream.data


class Subscriber:
    """Follows `messageAdded`, now in one process and now in another, each time from the last event's position on."""

    def __init__(
        self, connecting: Connecting, servers: list[Server], token: str, since: str, random: Random, longest: int
    ) -> None:
        self.events: list[tuple[str, str]] = []  # positions and messages
        self.received: list[float] = []  # when each of them came
        self.connections = 0
        self._connecting = connecting
        self._servers = servers
        self._token = token
        self._since = since
        self._random = random
        self._longest = longest  # events of one connection

    async def follow(self) -> None:
        """Goes on until the message that says LAST."""
        going = True
        while going:
            try:
                going = await self._follow_once(self._random.randint(0, self._longest))
            except TIMEOUTS:
                raise
            except BROKEN:
                pass

    async def _follow_once(self, most: int) -> bool:
        """Takes at most so many events, and goes away without a word; False once LAST was there."""
        api = self._random.choice(self._servers).api(self._token)
        async with self._connecting(api, self._since) as next:
            self.connections += 1
            for _ in range(most):
                event = await next()
                self._since = event["position"]
                self.events.append((event["position"], event["message"]["id"]))
                self.received.append(time.monotonic())
                if event["message"]["text"] == LAST:
                    return False
        return True
