"""uvicorn's protocols, which would wait for ever for a client that does not read, made to let go of it.

What a connection holds for its client is bounded: the transport asks to pause at 64 KiB, and nothing more is written
until the client has read most of that, or is cut off. What is written at once may be larger; one that reads on, however
long it takes for all of it, is not cut off.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

logger = logging.getLogger("connect_inbox.protocols")

PING_INTERVAL = 5.0  # seconds between two pings
PING_TIMEOUT = 7.0  # seconds that a client has to answer one in
REQUEST_WAIT = 10.0  # seconds for a request to begin in, and for the rest of one that is answered already
STALLED = 10.0  # seconds in which a client reads a chunk of what was written, or all of it
LOOKS = 10  # times that it is looked meanwhile what was read: from each chunk on it has as long again
CLOSE_WAIT = 2.0  # seconds for the reason of a cut to be delivered
SEND_BUFFER = 256 * 1024  # bytes that the system holds for a client, beside those
CHUNK = 64 * 1024  # bytes written before it is asked again whether there is room
TRY_AGAIN_LATER = 1013  # https://www.iana.org/assignments/websocket; clients come back after it
HEAD = struct.Struct("!BBH")
LONG_HEAD = struct.Struct("!BBQ")
EXTENSION = "connect_inbox.socket"
GIVEN_UP = "connect_inbox.given_up"  # in the state of a request whose client did not read the answer


def text_frame(*parts: bytes) -> bytes:
    """An unmasked text frame (RFC 6455, section 5.2)."""
    text = b"".join(parts)
    size = len(text)
    if size < 126:
        return bytes((0x81, size)) + text
    if size < 65536:
        return HEAD.pack(0x81, 126, size) + text
    return LONG_HEAD.pack(0x81, 127, size) + text


def first_of(frames: list[bytes], start: int) -> list[bytes]:
    """The frames from a place on that are written at once."""
    if len(frames) == 1:
        return frames
    size = 0
    for end in range(start, len(frames)):
        size += len(frames[end])
        if size >= CHUNK:
            return frames[start : end + 1]
    return frames[start:]


class Impatient(asyncio.Protocol):
    """Gives up on a client that leaves unread what was written for as long as it may.

    One that reads slowly is let go on as long as it reads a chunk in that time.
    """

    transport: asyncio.Transport
    _stalled: asyncio.TimerHandle | None = None

    def give_up(self) -> None:
        raise NotImplementedError

    def reads_on(self) -> None:
        """The client has read a chunk of what was written, or most of it."""

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._no_longer_stalled()
            self.reads_on()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.await_end()

    def eof_received(self) -> None:
        super().eof_received()
        self.transport.close()  # which the loop would do next
        self.await_end()

    def await_end(self) -> None:
        """A transport that was closed waits for all that it holds to be read: not longer than for anything else."""
        if self.transport.is_closing():
            self._await_reading()

    def shutdown(self) -> None:
        """Never raises: the server ends one connection after the other."""
        if self.transport.is_closing():
            return
        try:
            super().shutdown()  # type: ignore[misc]  # it is uvicorn's
        except Exception:
            logger.exception("a connection could not be ended as it should be")
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._no_longer_stalled()
        super().connection_lost(exc)

    def _await_reading(self) -> None:
        if self._stalled is None:
            self._look(self.transport.get_write_buffer_size(), LOOKS)

    def _look(self, unread: int, looks: int) -> None:
        """Gives up where so much was unread when there were all looks left, and no chunk of it was read since."""
        left = self.transport.get_write_buffer_size()
        if unread - left >= CHUNK:
            unread, looks = left, LOOKS
            self.reads_on()
        if looks == 0:
            self._stalled = None
            return self.give_up()
        self._stalled = asyncio.get_running_loop().call_later(STALLED / LOOKS, self._look, unread, looks - 1)

    def _no_longer_stalled(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


class SocketProtocol(Impatient, WebSocketsSansIOProtocol):
    """A WebSocket that the app can write to without waiting; it finds this object in the scope's extensions."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._turn = asyncio.Lock()
        self._owed = b""
        self._is_ping_behind = False  # what was unread when it was sent, and is so still

    async def run_asgi(self) -> None:
        cast(dict[str, Any], self.scope["extensions"])[EXTENSION] = self
        await super().run_asgi()
        self.await_end()

    def handle_ping(self) -> None:
        """Of pings that come while there is no room, the last is answered when there is (RFC 6455, section 5.5.3)."""
        pongs = self.conn.data_to_send()
        if self.writable.is_set() or self.conn.close_rcvd is not None:  # whose answer is among them
            self.transport.write(b"".join(pongs))
        elif pongs:
            self._owed = pongs[-1]

    def resume_writing(self) -> None:
        super().resume_writing()
        self._is_ping_behind = False
        if self._owed and self.is_writable:
            self.transport.write(self._owed)
        self._owed = b""

    @property
    def is_writable(self) -> bool:
        """Whether there is room, and somebody to read."""
        return self.writable.is_set() and not (self.close_sent or self.disconnected or self.transport.is_closing())

    def write_frames(self, frames: list[bytes]) -> int:
        """Writes text frames as long as there is room; how many were written."""
        written = 0
        while written < len(frames) and self.is_writable:
            chunk = first_of(frames, written)
            self.transport.write(b"".join(chunk))
            written += len(chunk)
        return written

    async def write(self, frame: bytes) -> bool:
        """Writes a text frame when there is room, in the order of asking; False where nobody is there any more."""
        async with self._turn:
            while not self.writable.is_set():  # what is written without waiting can take the room that there was
                await self.writable.wait()
            return self.write_frames([frame]) == 1

    def hang_up(self, code: int, reason: str) -> None:
        """Closes the socket without waiting for room: what is not delivered by then is dropped after `CLOSE_WAIT`."""
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        try:
            self.conn.send_close(code, reason)
        except InvalidState:  # the client is closing it
            return
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.stop_keepalive()
        self.close_timer = self.loop.call_later(CLOSE_WAIT, self.transport.abort)

    def send_keepalive_ping(self) -> None:
        super().send_keepalive_ping()
        self._is_ping_behind = not self.writable.is_set()

    def reads_on(self) -> None:
        """A ping can be answered only after what is in front of it."""
        if self._is_ping_behind and self.pong_timer is not None:
            assert self.ping_timeout is not None
            self.pong_timer.cancel()
            self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)

    def keepalive_timeout(self) -> None:
        # uvicorn closes with 1011 here, after which graphql-ws does not come back.
        self.pong_timer = None
        self.pending_ping_payload = None
        self.hang_up(TRY_AGAIN_LATER, "a ping was not answered")

    def give_up(self) -> None:
        if self.transport.is_closing():
            return self.transport.abort()
        self.hang_up(TRY_AGAIN_LATER, "the client does not read")

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(CLOSE_WAIT, self.transport.abort)


class RequestProtocol(Impatient, H11Protocol):
    """HTTP, whose connection is dropped where the client does not read the answer, be it a stream or a page, and where
    it begins no request in time: uvicorn waits for that only between two of them, and only as long as nothing comes.
    """

    _awaited: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of a WebSocket's connection too, which begins as a request."""
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn's annotation is narrower than asyncio's
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._no_longer_awaited()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._is_answering:
            self._await_request()
        super().data_received(data)
        if self._is_answering:
            self._no_longer_awaited()

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._no_longer_awaited()
        if self.flow.write_paused:  # the WebSocket would not know, and write more
            return self.transport.abort()
        super().handle_websocket_upgrade(event)
        opened = self.transport.get_protocol()
        if isinstance(opened, SocketProtocol) and not opened.handshake_initiated:
            self.transport.write(b"".join(opened.conn.data_to_send()))  # it says why, which uvicorn keeps to itself
            self.transport.close()

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_request(self) -> None:
        if self._awaited is None:
            self._awaited = asyncio.get_running_loop().call_later(REQUEST_WAIT, self._leave)

    def _no_longer_awaited(self) -> None:
        if self._awaited is not None:
            self._awaited.cancel()
            self._awaited = None

    def _leave(self) -> None:
        self.transport.close()
        self.await_end()

    def give_up(self) -> None:
        if self.scope is not None:
            self.scope["state"][GIVEN_UP] = True
        self.transport.abort()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.await_end()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self.await_end()
