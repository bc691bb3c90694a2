"""Clients below any library, of WebSockets and of event streams, that read only when they are told to: by themselves
they neither read what comes nor answer pings."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import orjson

from tests.client import Json, Server, until


class Reader(asyncio.Protocol):
    """A client that reads only when it is told to. It sends what it is given, and keeps what it reads."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set_result(error)


def masked(message: Json) -> bytes:
    """A client's text frame, masked with zeros (RFC 6455, section 5.3)."""
    data = orjson.dumps(message)
    assert len(data) < 65536
    return struct.pack("!BBHI", 0x81, 0x80 | 126, len(data), 0) + data


@asynccontextmanager
async def raw_subscription(server: Server, token: str, query: str, **variables: object) -> AsyncIterator[Reader]:
    """A client below the WebSocket library, which would read whatever comes."""
    address = urlsplit(server.url)
    loop = asyncio.get_running_loop()
    _, reader = await loop.create_connection(Reader, address.hostname or "", address.port or 0)
    reader.transport.write(
        f"GET {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
    )
    await until(lambda: b"\r\n\r\n" in reader.received)
    reader.transport.write(masked({"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}))
    payload = {"query": query, "variables": variables}
    reader.transport.write(masked({"type": "subscribe", "id": "1", "payload": payload}))
    await until(lambda: b"connection_ack" in reader.received)
    try:
        yield reader
    finally:
        reader.transport.abort()


@asynccontextmanager
async def raw_stream(server: Server, token: str, query: str, **variables: object) -> AsyncIterator[Reader]:
    """The client of an event stream that has begun."""
    address = urlsplit(server.url)
    body = orjson.dumps({"query": query, "variables": variables})
    _, reader = await asyncio.get_running_loop().create_connection(Reader, address.hostname or "", address.port or 0)
    head = (
        f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nAccept: text/event-stream\r\n"
        f"Content-Type: application/json\r\nAuthorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reader.transport.write(head.encode() + body)
    await until(lambda: b"\r\n:\n\n" in reader.received)
    try:
        yield reader
    finally:
        reader.transport.abort()
