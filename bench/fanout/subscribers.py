"""The subscribers' process: many sockets, of which each frame is counted and its arrival noted, and no more done.

It does little per frame, so that it keeps up with whatever is measured: no event loop, no objects, one buffer. It is
told what to do in lines of JSON on standard input, and answers each with one on standard output:

    {"do": "connect", "port", "path", "inits", "queries", "count"}   that many more sockets, with one subscription each
    {"do": "receive", "each", "seconds"}   waits until each socket has had so many events since the last answer
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from typing import Any

import orjson

TEXT, PING, PONG = 0x81, 0x89, 0x8A  # a frame's first byte: its opcode, and that it is a whole message
MASK = 0x80
BATCH = 20  # sockets that are opened side by side, before what came to the others meanwhile is read
MOST = 100_000  # sockets that are read from before the poll is asked again
OPENING_WAIT = 60.0  # seconds for one answer while a socket is opened
TYPE_WITHIN = 64  # bytes of a message in which its type is found

Json = dict[str, Any]


def frame(first: int, payload: bytes) -> bytes:
    """A client's frame. It must be masked, and is so with zeros, which leave it as it is."""
    length = len(payload)
    if length < 126:
        return bytes([first, MASK | length]) + bytes(4) + payload
    return bytes([first, MASK | 126]) + length.to_bytes(2, "big") + bytes(4) + payload


def text_frame(message: Json) -> bytes:
    return frame(TEXT, orjson.dumps(message))


class Subscriber:
    """One socket: how many events it had, and the beginning of a frame that has not come whole."""

    __slots__ = ("socket", "events", "rest")

    def __init__(self, socket: socket.socket) -> None:
        self.socket = socket
        self.events = 0
        self.rest = b""

    def take(self, data: bytes | bytearray, end: int) -> int:
        """Takes what came, `end` bytes of `data`; how many events are whole with it."""
        if self.rest:
            data = self.rest + data[:end]
            end = len(data)
        events = at = 0
        while end - at >= 2:
            length, start = data[at + 1], at + 2
            if length >= 126:
                start += 2 if length == 126 else 8
                if start > end:
                    break
                length = int.from_bytes(data[at + 2 : start], "big")
            if start + length > end:
                break
            if data[at] == TEXT and data.find(b'"next"', start, start + min(length, TYPE_WITHIN)) >= 0:
                events += 1
            else:
                self._answer(data[at], bytes(data[start : start + length]))
            at = start + length
        self.rest = bytes(data[at:end])
        self.events += events
        return events

    def _answer(self, first: int, payload: bytes) -> None:
        """Answers what is no event, or ends the process where it should not have come."""
        if first == PING:
            self.socket.sendall(frame(PONG, payload))
        elif first == TEXT and (kind := orjson.loads(payload)["type"]) in ("ping", "pong"):
            if kind == "ping":
                self.socket.sendall(text_frame({"type": "pong"}))
        elif first != PONG:
            raise SystemExit(f"a subscriber was sent {first:#x} {payload[:500]!r}")


class Subscribers:
    """All sockets, and when each event came since the last answer."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN)
        self._subscribers: dict[int, Subscriber] = {}
        self._buffer = bytearray(2**18)
        self._times = array("d")  # of time.monotonic(), which is the same for all processes
        self._bytes = 0

    def commands(self) -> Iterator[Json]:
        """What to do, as it is told; in between, what comes is read."""
        line = b""
        while True:
            if not self._read(1.0):
                continue
            told = os.read(sys.stdin.fileno(), 2**16)
            if not told:
                return
            line += told
            if line.endswith(b"\n"):
                yield orjson.loads(line)
                line = b""

    def _read(self, wait: float) -> bool:
        """Reads what there is; whether there is something on standard input."""
        is_told = False
        buffer, times, now = self._buffer, self._times, time.monotonic
        for number, _ in self._poll.poll(wait, MOST):
            subscriber = self._subscribers.get(number)
            if subscriber is None:
                is_told = True
                continue
            size = subscriber.socket.recv_into(buffer)
            at = now()
            if not size:
                raise SystemExit("the server has closed a socket")
            self._bytes += size
            for _ in range(subscriber.take(buffer, size)):
                times.append(at)
        return is_told

    def connect(self, port: int, path: str, inits: list[Json], queries: list[str], count: int) -> Json:
        """Opens sockets that have one of the payloads of connection_init and one of the queries each, in turns."""
        for done in range(0, count, BATCH):
            batch = [socket.create_connection(("127.0.0.1", port)) for _ in range(min(BATCH, count - done))]
            for each in batch:
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                each.settimeout(OPENING_WAIT)
                each.sendall(upgrade(port, path))
            for number, each in enumerate(batch, done):
                expect(each, b" 101 ", b"\r\n\r\n")
                each.sendall(text_frame({"type": "connection_init", "payload": inits[number % len(inits)]}))
            for number, each in enumerate(batch, done):
                expect(each, b'"connection_ack"', b"}")
                query = queries[number % len(queries)]
                each.sendall(text_frame({"id": "1", "type": "subscribe", "payload": {"query": query}}))
                self._subscribers[each.fileno()] = Subscriber(each)
                self._poll.register(each.fileno(), select.EPOLLIN)
            self._read(0)
        return {"sockets": len(self._subscribers)}

    def receive(self, each: int, seconds: float) -> Json:
        """Waits for so many events at each socket, but no longer than so many seconds; what has come, and when."""
        until, wanted = time.monotonic() + seconds, each * len(self._subscribers)
        while len(self._times) < wanted and (left := until - time.monotonic()) > 0:
            if self._read(left):
                raise SystemExit("nobody waits for the answer any more")
        events = [subscriber.events for subscriber in self._subscribers.values()]
        for subscriber in self._subscribers.values():
            subscriber.events = 0
        heard = {"least": min(events), "most": max(events), "bytes": self._bytes, "times": self._times.tolist()}
        del self._times[:]
        self._bytes = 0
        return {**heard, "cpu": time.process_time()}


def upgrade(port: int, path: str) -> bytes:
    """The request that opens a WebSocket. Its key is any 16 bytes, and nobody here checks what is made of it."""
    return (
        f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
        "sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        "sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
    ).encode()


def expect(socket: socket.socket, word: bytes, end: bytes) -> None:
    """Reads an answer up to its end, which must have that word in it."""
    answer = b""
    while not answer.endswith(end):
        came = socket.recv(4096)
        answer += came
        if not came:
            break
    if word not in answer:
        raise SystemExit(f"a socket could not be opened: {answer[:500]!r}")


def main() -> None:
    subscribers = Subscribers()
    doing: dict[str, Callable[..., Json]] = {"connect": subscribers.connect, "receive": subscribers.receive}
    for command in subscribers.commands():
        answer = doing[command.pop("do")](**command)
        print(orjson.dumps(answer).decode(), flush=True)


if __name__ == "__main__":
    main()
