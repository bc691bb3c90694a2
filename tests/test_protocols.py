"""The server's protocols by themselves, with clients that read when they are told to: no client is held for ever, none
is held at the expense of others, and nothing that there is a reader for is lost."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from connect_inbox.protocols import EXTENSION, RequestProtocol, SocketProtocol, text_frame
from tests.client import DEADLINE, until
from tests.raw_socket import Reader

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
LONG = 100_000  # bytes, more than are held for a client


@dataclass
class Served:
    """A server of nothing, and what it holds for its sockets, in the order they came."""

    server: uvicorn.Server
    sockets: list[SocketProtocol]

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Reader]:
        """A connection with little room for what is not read."""
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        bound.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(bound, self.server.servers[0].sockets[0].getsockname())
        _, reader = await loop.create_connection(Reader, sock=bound)
        try:
            yield reader
        finally:
            reader.transport.abort()

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[tuple[Reader, SocketProtocol]]:
        """A WebSocket, and the server's side of it."""
        async with self.client() as reader:
            reader.transport.write(UPGRADE + b"\r\n")
            await until(lambda: b"\r\n\r\n" in reader.received)
            reader.received.clear()
            yield reader, self.sockets[-1]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


@asynccontextmanager
async def serving() -> AsyncIterator[Served]:
    sockets: list[SocketProtocol] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        sockets.append(scope["extensions"][EXTENSION])
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    config = uvicorn.Config(
        app, port=0, http=RequestProtocol, ws=SocketProtocol, ws_ping_interval=None, lifespan="off", log_config=None,
        timeout_graceful_shutdown=5,
    )  # fmt: skip
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    try:
        yield Served(server, sockets)
    finally:
        server.should_exit = True
        await running


def fill(protocol: SocketProtocol) -> int:
    """Writes until there is no room; how many bytes."""
    frame, count = text_frame(b"-" * 1000), 0
    while protocol.is_writable:
        count += len(frame) * protocol.write_frames([frame])
    return count


async def test_all_who_wait_for_room_get_it_in_their_turn(served: Served) -> None:
    """Each fills the buffer again, and the first always has more to say."""
    async with served.socket() as (reader, protocol):
        reader.transport.pause_reading()
        filled = fill(protocol)
        names = [b"1", b"2", b"3"]

        async def write_two(name: bytes) -> list[bool]:
            return [await protocol.write(text_frame(name * LONG)) for _ in range(2)]

        writing = asyncio.gather(*[write_two(name) for name in names])
        reader.transport.resume_reading()
        async with asyncio.timeout(DEADLINE):
            assert await writing == [[True, True]] * 3
        expected = b"".join(text_frame(name * LONG) for name in names * 2)
        await until(lambda: len(reader.received) == filled + len(expected))
        assert reader.received[filled:] == expected


async def test_who_waits_for_room_is_told_when_the_client_has_gone(served: Served) -> None:
    async with served.socket() as (reader, protocol):
        reader.transport.pause_reading()
        fill(protocol)
        writing = asyncio.gather(*[protocol.write(text_frame(b"x")) for _ in range(3)])
        reader.transport.abort()
        async with asyncio.timeout(DEADLINE):
            assert await writing == [False] * 3
