"""The server's protocols by themselves, with clients that read when they are told to: no client is held for ever, none
is held at the expense of others, and nothing that there is a reader for is lost."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from connect_inbox import protocols
from connect_inbox.protocols import EXTENSION, Impatient, RequestProtocol, SocketProtocol, text_frame
from tests.client import DEADLINE, until
from tests.raw_socket import Reader

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
LIMIT = 2048  # bytes of a frame from a client
LONG = 100_000  # bytes, more than are held for a client
LONG_ANSWER = 1_000_000


@dataclass
class Served:
    """A server of nothing, and what it holds for its sockets, in the order they came."""

    server: uvicorn.Server
    sockets: list[SocketProtocol] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    going_on: asyncio.Event = field(default_factory=asyncio.Event)

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
            number = len(self.sockets)
            reader.transport.write(UPGRADE + b"\r\n")
            await until(lambda: b"\r\n\r\n" in reader.received)
            reader.received.clear()
            yield reader, self.sockets[number]


@pytest.fixture(name="served")
async def a_server() -> AsyncIterator[Served]:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            return await answer(scope["path"], send, served)
        protocol: SocketProtocol = scope["extensions"][EXTENSION]
        served.sockets.append(protocol)
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            served.taken.append(message["text"])

    config = uvicorn.Config(
        app, port=0, http=RequestProtocol, ws=SocketProtocol, ws_ping_interval=None, ws_max_size=LIMIT, lifespan="off",
        log_config=None, timeout_graceful_shutdown=5,
    )  # fmt: skip
    server = uvicorn.Server(config)
    served = Served(server)
    running = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    try:
        yield served
    finally:
        server.should_exit = True
        await running


async def answer(path: str, send: Send, served: Served) -> None:
    if path == "/wait":
        await served.going_on.wait()
    await send({"type": "http.response.start", "status": 200})
    if path == "/part":  # of which a part is held for a client that does not read
        [connection] = served.server.server_state.connections
        assert isinstance(connection, RequestProtocol)
        while not connection.transport.get_write_buffer_size():
            await send({"type": "http.response.body", "body": b"-" * 1000, "more_body": True})
    await send({"type": "http.response.body", "body": b"-" * LONG_ANSWER if path == "/long" else b""})


def frame(opcode: int, data: bytes = b"") -> bytes:
    """A client's frame, masked with zeros."""
    return struct.pack("!BBHI", 0x80 | opcode, 0x80 | 126, len(data), 0) + data


TEXT, CLOSE, PING = 1, 8, 9
PINGS = frame(PING, b"x" * 125) * 1000
CLOSED = frame(CLOSE, struct.pack("!H", 1000))


def fill(protocol: SocketProtocol) -> int:
    """Writes until there is no room; how many bytes."""
    return fill_until(lambda: not protocol.is_writable, protocol)


def fill_partly(protocol: SocketProtocol) -> int:
    """Writes until something is held for the client; not as much as is too much."""
    return fill_until(lambda: protocol.transport.get_write_buffer_size() > 0, protocol)


def fill_until(condition: Callable[[], bool], protocol: SocketProtocol) -> int:
    data, count = text_frame(b"-" * 1000), 0
    while not condition():
        count += len(data) * protocol.write_frames([data])
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


@pytest.mark.parametrize("fill", [fill, fill_partly], ids=["much", "little"])
@pytest.mark.parametrize("ending", [CLOSED, frame(TEXT, b"x" * 3000), b""], ids=["close", "too large", "eof"])
async def test_who_ends_a_socket_and_does_not_read_is_cut_off(
    served: Served, monkeypatch: pytest.MonkeyPatch, ending: bytes, fill: Callable[[SocketProtocol], object]
) -> None:
    """A transport that is closed waits for all that it holds to be read."""
    monkeypatch.setattr(protocols, "STALLED", 0.2)
    async with served.socket() as (reader, protocol):
        reader.transport.pause_reading()
        fill(protocol)
        if ending:
            reader.transport.write(ending)
        else:
            reader.transport.write_eof()
        await until(lambda: served.connections == 0)


async def test_who_is_told_to_go_and_answers_without_reading_is_cut_off(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocols, "STALLED", 0.2)
    async with served.socket() as (reader, protocol):
        reader.transport.pause_reading()
        fill_partly(protocol)
        protocol.hang_up(1013, "")
        reader.transport.write(CLOSED)
        await until(lambda: served.connections == 0)


async def test_who_ends_a_socket_and_reads_only_a_part_is_cut_off(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocols, "STALLED", 0.2)
    async with served.socket() as (reader, protocol):
        reader.transport.pause_reading()
        fill_partly(protocol)
        reader.transport.write(CLOSED)
        await until(protocol.transport.is_closing)
        protocol.resume_writing()  # as when most of it was read
        await until(lambda: served.connections == 0)


async def test_who_ends_a_socket_and_reads_gets_all_of_it(served: Served) -> None:
    async with served.socket() as (reader, protocol):
        reader.transport.pause_reading()
        filled = fill_partly(protocol)
        reader.transport.write(CLOSED)
        await until(protocol.transport.is_closing)
        reader.transport.resume_reading()
        async with asyncio.timeout(DEADLINE):
            await reader.lost
        assert len(reader.received) == filled + 4  # and the answer


@pytest.mark.parametrize("header", [b"", b"Connection: close\r\n"], ids=["kept", "closed"])
async def test_who_does_not_read_the_end_of_an_answer_is_cut_off(
    served: Served, monkeypatch: pytest.MonkeyPatch, header: bytes
) -> None:
    monkeypatch.setattr(protocols, "STALLED", 0.2)
    served.server.config.timeout_keep_alive = 1
    async with served.client() as reader:
        reader.transport.pause_reading()
        reader.transport.write(b"GET /part HTTP/1.1\r\nHost: a\r\n" + header + b"\r\n")
        await until(lambda: served.connections == 1)
        await until(lambda: served.connections == 0)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What was unread whenever it was looked; the system holds little."""
    seen: list[int] = []
    look = Impatient._look

    def seeing(self: Impatient, unread: int, left: int) -> None:
        seen.append(self.transport.get_write_buffer_size())
        look(self, unread, left)

    monkeypatch.setattr(Impatient, "_look", seeing)
    monkeypatch.setattr(protocols, "STALLED", 0.2)
    monkeypatch.setattr(protocols, "CLOSE_WAIT", 0.2)
    monkeypatch.setattr(protocols, "SEND_BUFFER", 4096)
    return seen


async def read_some(reader: Reader, count: int) -> None:
    """Reads so many bytes, or as many as there are, and a little more."""
    most = len(reader.received) + count
    reader.transport.resume_reading()
    async with asyncio.timeout(DEADLINE):
        while len(reader.received) < most and not reader.lost.done():
            await asyncio.sleep(0)
    reader.transport.pause_reading()


async def looked(looks: list[int], count: int, reader: Reader) -> None:
    """Waits for so many looks."""
    least = len(looks) + count
    await until(lambda: len(looks) >= least or reader.lost.done())


async def read_on(reader: Reader, looks: list[int], total: int) -> None:
    """Reads a chunk every few looks, nearly to the end; it takes several times as long as nothing may be read."""
    started = len(looks)
    while len(reader.received) < total - 2 * protocols.CHUNK and not reader.lost.done():
        await looked(looks, protocols.LOOKS // 2, reader)
        await read_some(reader, protocols.CHUNK * 3 // 2)
    assert len(looks) - started > 2 * protocols.LOOKS
    reader.transport.resume_reading()


async def test_who_reads_on_has_all_of_it_however_long_that_takes(served: Served, looks: list[int]) -> None:
    async with served.socket() as (reader, protocol):
        reader.transport.pause_reading()
        data = text_frame(b"-" * 700_000)
        assert protocol.write_frames([data]) == 1
        await read_on(reader, looks, len(data))
        await until(lambda: len(reader.received) == len(data))
        assert reader.received == data and protocol.is_writable


@pytest.mark.parametrize("header", [b"", b"Connection: close\r\n"], ids=["kept", "closed"])
async def test_who_reads_on_has_all_of_an_answer(served: Served, looks: list[int], header: bytes) -> None:
    """Be it longer than a connection is kept that asks nothing more."""
    served.server.config.timeout_keep_alive = 0
    async with served.client() as reader:
        reader.transport.pause_reading()
        reader.transport.write(b"GET /long HTTP/1.1\r\nHost: a\r\n" + header + b"\r\n")
        await until(lambda: bool(looks))
        await read_on(reader, looks, LONG_ANSWER)
        async with asyncio.timeout(DEADLINE):
            await reader.lost
        assert reader.received.endswith(b"\r\n" + b"-" * LONG_ANSWER + b"\r\n0\r\n\r\n")


async def test_who_reads_too_little_is_cut_off_in_the_same_time(served: Served, looks: list[int]) -> None:
    async with served.socket() as (reader, protocol):
        reader.transport.pause_reading()
        protocol.write_frames([text_frame(b"-" * 700_000)])
        while not protocol.close_sent:
            await read_some(reader, 1)
            await looked(looks, 1, reader)
        assert len(looks) == protocols.LOOKS + 1
        await until(lambda: served.connections == 0)


async def test_a_ping_is_waited_for_as_long_as_what_is_in_front_of_it_is_read(served: Served, looks: list[int]) -> None:
    async with served.socket() as (reader, protocol):

        def due() -> float:
            assert protocol.pong_timer is not None
            return protocol.pong_timer.when()

        reader.transport.pause_reading()
        protocol.write_frames([text_frame(b"-" * 700_000)])
        protocol.send_keepalive_ping()
        times = [due()]
        await looked(looks, 3, reader)
        assert due() == times[0]  # nothing is read
        await read_some(reader, protocols.CHUNK * 3 // 2)
        await looked(looks, 2, reader)
        times.append(due())
        reader.transport.resume_reading()
        await until(lambda: protocol.is_writable)
        times.append(due())
        assert times == sorted(set(times))
        reader.transport.pause_reading()
        fill(protocol)
        reader.transport.resume_reading()
        await until(lambda: protocol.is_writable)
        assert due() == times[-1]  # that was not in front of it


async def test_at_the_end_of_the_server_no_socket_keeps_the_others_from_theirs(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither one that its client is closing, nor one that fails."""
    shutdown = WebSocketsSansIOProtocol.shutdown

    def fail_for_one(self: SocketProtocol) -> None:
        if self is served.sockets[5]:
            raise RuntimeError
        shutdown(self)

    monkeypatch.setattr(WebSocketsSansIOProtocol, "shutdown", fail_for_one)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(served.socket()) for _ in range(10)]
        for reader, protocol in clients[:5]:
            reader.transport.pause_reading()
            fill_partly(protocol)
            reader.transport.write(CLOSED)
            await until(protocol.transport.is_closing)
        served.server.should_exit = True
        for reader, _ in clients[6:]:
            async with asyncio.timeout(DEADLINE):
                await reader.lost
            assert bytes(reader.received) == struct.pack("!BBH", 0x80 | CLOSE, 2, 1012)
        await until(lambda: served.connections == 0)
    assert [each.name for each in caplog.records if each.exc_info] == ["connect_inbox.protocols"]


async def test_answers_to_pings_are_not_held_for_who_does_not_read(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocols, "STALLED", 0.2)
    monkeypatch.setattr(protocols, "CLOSE_WAIT", 0.5)
    async with served.socket() as (reader, protocol):
        reader.transport.pause_reading()
        fill_partly(protocol)
        protocol.data_received(PINGS)
        reader.transport.write(PINGS * 20)
        held = 0

        def is_cut_off() -> bool:
            nonlocal held
            held = max(held, protocol.transport.get_write_buffer_size())
            return served.connections == 0

        await until(is_cut_off)
        assert held < 400_000  # the room there is, and the answers to what is taken in at once


async def test_the_last_ping_is_answered_when_there_is_room_again(served: Served) -> None:
    async with served.socket() as (reader, protocol):
        reader.transport.pause_reading()
        filled = fill(protocol)
        reader.transport.write(PINGS + frame(PING, b"last") + frame(TEXT, b"hello"))
        await until(lambda: served.taken == ["hello"])
        reader.transport.resume_reading()
        await until(lambda: len(reader.received) >= filled + 6)
        protocol.pause_writing()
        protocol.resume_writing()
        reader.transport.write(frame(PING, b"another"))
        await until(lambda: reader.received.endswith(b"another"))
        assert reader.received[filled:] == b"\x8a\x04last" + b"\x8a\x07another"


async def test_who_pings_and_ends_a_socket_is_answered_that_it_has_ended(served: Served) -> None:
    async with served.socket() as (reader, protocol):
        reader.transport.pause_reading()
        fill(protocol)
        protocol.data_received(PINGS + CLOSED)
        assert protocol.transport.is_closing()
        reader.transport.resume_reading()
        async with asyncio.timeout(DEADLINE):
            await reader.lost
        assert reader.received.endswith(struct.pack("!BBH", 0x80 | CLOSE, 2, 1000))


GET = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"
REFUSED = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"  # it is answered without its body


@pytest.mark.parametrize("begun", [b"", GET % b"/", REFUSED], ids=["first", "another", "refused"])
async def test_a_request_that_does_not_come_in_time_is_waited_for_no_longer(
    served: Served, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    """Neither for one that comes byte by byte."""
    monkeypatch.setattr(protocols, "REQUEST_WAIT", 1.0)
    async with served.client() as reader:
        reader.transport.write(begun)
        await until(lambda: not begun or b"200 OK" in reader.received)

        def is_lost_while_more_comes() -> bool:
            reader.transport.write(b"x")
            return reader.lost.done()

        await until(is_lost_while_more_comes)
        assert served.connections == 0


async def test_a_client_that_says_nothing_is_waited_for_no_longer_and_others_stay(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocols, "REQUEST_WAIT", 1.0)
    async with served.client() as asking, served.socket() as (_, protocol), served.client() as silent:
        asking.transport.write(GET % b"/wait")
        async with asyncio.timeout(DEADLINE):
            await silent.lost
        assert not protocol.transport.is_closing()
        served.going_on.set()
        await until(lambda: b"200 OK" in asking.received)


async def test_an_upgrade_with_too_many_headers_is_refused(served: Served) -> None:
    async with served.client() as reader:
        reader.transport.write(UPGRADE + b"a: b\r\n" * 200 + b"\r\n")
        async with asyncio.timeout(DEADLINE):
            await reader.lost
        assert reader.received.startswith(b"HTTP/1.1 431 ")


async def test_an_upgrade_before_an_answer_is_read_is_refused(served: Served) -> None:
    """A WebSocket would not know how much is held for its client already."""
    async with served.client() as reader:
        reader.transport.pause_reading()
        reader.transport.write(GET % b"/long" + UPGRADE + b"\r\n")
        await until(lambda: served.server.server_state.total_requests == 1)
        await until(lambda: served.connections == 0)
        assert served.sockets == []
