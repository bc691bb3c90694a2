"""Small clients of the API, for tests: one request at a time, and one socket with its messages in order."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

DEADLINE = 30.0  # seconds within which whatever a test waits for has happened

Json = dict[str, Any]


@dataclass(frozen=True)
class Server:
    """A running server: where it listens, and a client for plain requests."""

    url: str
    http: httpx2.AsyncClient

    @property
    def websocket_url(self) -> str:
        return self.url.replace("http", "ws", 1)

    def api(self, token: str) -> Api:
        return Api(self, token)


class ApiFailed(Exception):
    """An answer with errors."""

    def __init__(self, errors: list[Json]) -> None:
        super().__init__(errors)
        self.errors = errors
        self.codes = [error.get("extensions", {}).get("code") for error in errors]


@dataclass(frozen=True)
class Api:
    """The API as one token sees it."""

    server: Server
    token: str

    async def post(self, query: str, **variables: Any) -> Json:
        """A request's whole answer."""
        response = await self.server.http.post(
            self.server.url,
            headers={"authorization": f"Bearer {self.token}"},
            json={"query": query, "variables": variables},
        )
        assert response.status_code == 200, (response.status_code, response.text)
        answer: Json = response.json()
        return answer

    async def run(self, query: str, **variables: Any) -> Json:
        """A request's data. Raises ApiFailed where there are errors."""
        answer = await self.post(query, **variables)
        if answer.get("errors"):
            raise ApiFailed(answer["errors"])
        data: Json = answer["data"]
        return data

    async def mutate(self, field: str, selection: str, **input: Any) -> Json:
        """What a mutation of one input answers: `field(input: ...) { selection }`."""
        name = field[0].upper() + field[1:]
        query = f"mutation($input: {name}Input!) {{ {field}(input: $input) {{ {selection} }} }}"
        data = await self.run(query, input=input)
        payload: Json = data[field]
        return payload

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[Socket]:
        """A socket that is let in."""
        async with open_socket(self.server) as socket:
            await socket.send(type="connection_init", payload={"Authorization": f"Bearer {self.token}"})
            assert await socket.receive() == {"type": "connection_ack"}
            yield socket

    @asynccontextmanager
    async def subscription(self, query: str, **variables: Any) -> AsyncIterator[Subscription]:
        """A subscription on a socket of its own."""
        async with self.socket() as socket:
            yield await socket.subscribe(query, **variables)


class Socket:
    """A graphql-transport-ws socket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._ids = itertools.count(1)

    async def send(self, **message: Any) -> None:
        await self.connection.send(orjson.dumps(message).decode())

    async def receive(self) -> Json:
        async with asyncio.timeout(DEADLINE):
            message: Json = orjson.loads(await self.connection.recv())
        return message

    async def closed(self) -> tuple[int, str]:
        """The code and reason that the server closes with; messages before it are passed over."""
        async with asyncio.timeout(DEADLINE):
            try:
                while True:
                    await self.connection.recv()
            except ConnectionClosed as closed:
                assert closed.rcvd is not None, "the connection broke without a close frame"
                return closed.rcvd.code, closed.rcvd.reason

    async def subscribe(self, query: str, **variables: Any) -> Subscription:
        id = str(next(self._ids))
        await self.send(id=id, type="subscribe", payload={"query": query, "variables": variables})
        return Subscription(self, id)


@dataclass(frozen=True)
class Subscription:
    """One operation on a socket that has no other."""

    socket: Socket
    id: str

    async def next(self) -> Json:
        """The next event's whole result."""
        message = await self.socket.receive()
        assert message["type"] == "next" and message["id"] == self.id, message
        payload: Json = message["payload"]
        return payload

    async def data(self) -> Any:
        """The next event's one field."""
        result = await self.next()
        if result.get("errors"):
            raise ApiFailed(result["errors"])
        [value] = result["data"].values()
        return value

    async def error(self) -> list[Json]:
        """The error that it ends with instead of a first event."""
        message = await self.socket.receive()
        assert message["type"] == "error" and message["id"] == self.id, message
        errors: list[Json] = message["payload"]
        return errors


async def until(condition: Callable[[], bool]) -> None:
    """Waits until something is so."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def open_socket(server: Server, **options: Any) -> AsyncIterator[Socket]:
    """A socket that is not let in yet."""
    async with connect(server.websocket_url, subprotocols=["graphql-transport-ws"], **options) as connection:  # type: ignore[list-item]
        yield Socket(connection)
