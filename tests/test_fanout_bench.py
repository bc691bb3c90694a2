"""What `bench/fanout` counts: its subscribers' process must count rightly whatever way the bytes come."""

from __future__ import annotations

import os
import socket

import pytest
from websockets.frames import Frame, Opcode

from bench.fanout.measure import Cores, Point, started
from bench.fanout.subscribers import PONG, TEXT, Subscriber, frame, text_frame

SOCKETS = 30


def sent(text: str, opcode: Opcode = Opcode.TEXT) -> bytes:
    return Frame(opcode, text.encode()).serialize(mask=False)


def event(size: int) -> bytes:
    return sent('{"id":"1","type":"next","payload":{"data":{"text":"' + size * "x" + '"}}}')


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 64, 127, 1000, 10**6])
def test_events_are_counted_whatever_pieces_they_come_in(piece: int) -> None:
    events = [event(size) for size in (0, 10, 73, 74, 75, 76, 200, 70_000, 1)]  # each way to write a length
    stream = b"".join([
        *events, sent('{"type":"ping"}'), *events, sent("are you there", Opcode.PING), sent('{"type":"pong"}'), *events,
    ])  # fmt: skip
    ours, theirs = socket.socketpair()
    with ours, theirs:
        subscriber = Subscriber(ours)
        counted = [
            subscriber.take(stream[at : at + piece], len(stream[at : at + piece]))
            for at in range(0, len(stream), piece)
        ]
        assert sum(counted) == subscriber.events == 3 * len(events)
        assert subscriber.rest == b""
        answers = text_frame({"type": "pong"}) + frame(PONG, b"are you there")
        assert theirs.recv(2 * len(answers)) == answers


@pytest.mark.parametrize(
    "wrong", [sent('{"id":"1","type":"error","payload":[]}'), sent('{"id":"1","type":"complete"}'), b"\x88\x02\x03\xf5"]
)
def test_what_is_no_event_ends_the_process(wrong: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(SystemExit):
        Subscriber(ours).take(wrong, len(wrong))


def test_a_frame_is_one_that_a_server_understands() -> None:
    assert frame(TEXT, b"x" * 300)[:4] == b"\x81\xfe\x01\x2c"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes are pinned to cores, which is of Linux")
async def test_each_subscriber_hears_each_event_once() -> None:
    cores = os.sched_getaffinity(0)
    point = Point(SOCKETS, documents=1)
    async with started("bare", Cores(cores, cores), {}) as (bench, where):
        await bench.connect(where, point.queries, SOCKETS)
        await bench.hear()
        for count in (1, 7):
            emitted, heard = await bench.tell(count)
            assert len(heard["times"]) == count * SOCKETS
            assert all(at >= emitted["told"] >= emitted["committed"] for at in heard["times"])
        assert (await bench.everywhere(1, 0))["times"] == []
