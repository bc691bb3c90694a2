"""An event stream whose client reads slowly: what waits for it is bounded by its size, and it has everything."""

from __future__ import annotations

import re

import pytest

from connect_inbox.auth import Gate
from connect_inbox.graphql.http import MOST_WAITING, Stream, event_of
from tests.api.conftest import Brand
from tests.client import until
from tests.raw_socket import raw_stream

FOR_ALL = "subscription($since: String) { messageAdded(since: $since) { message { id text } } }"
LONG = "x" * 49_000
COUNT = 40  # of them some 2 MB, more than is held for anybody


async def stream_of(brand: Brand) -> Stream:
    gate = Gate(brand.store)
    return Stream(gate, await gate.admit(brand.viewer.token))


@pytest.mark.parametrize("size", [10, 1_000, 100_000, 5_000_000])
async def test_what_waits_is_bounded_by_its_size_and_one_event_always_fits(brand: Brand, size: int) -> None:
    stream, payload = await stream_of(brand), b"x" * size
    count = 0
    while stream.offer([payload]):
        count += 1
    event = len(event_of(payload))
    assert (count - 1) * event < MOST_WAITING <= count * event
    assert stream.offer([payload] * 100) == 0


async def test_there_is_room_once_something_was_written(brand: Brand) -> None:
    stream, payloads = await stream_of(brand), [bytes([65 + number]) * MOST_WAITING for number in range(3)]
    pieces = stream.pieces()
    assert stream.offer(payloads) == 1
    assert await anext(pieces) == event_of(payloads[0])
    assert stream.offer(payloads[1:]) == 0  # it is being written
    stream.complete()
    assert (await anext(pieces)).startswith(b"event: complete")
    assert stream.offer(payloads[1:]) == 1


async def test_who_reads_slowly_has_everything_in_order(brand: Brand) -> None:
    thread = (await brand.influencer())["thread"]
    since = await brand.position()
    async with raw_stream(brand.server, brand.viewer.token, FOR_ALL, since=since) as slow:
        slow.transport.pause_reading()
        sent = [(await brand.send(thread, f"{number} {LONG}"))["id"] for number in range(COUNT)]
        slow.transport.resume_reading()
        await until(lambda: sent[-1].encode() in slow.received)
    ids = re.findall(rb'"message":\{"id":"(message_\w+)"', bytes(slow.received))
    assert [each.decode() for each in ids] == sent
