"""Several operations on one socket whose client reads slowly: each has everything, in its order."""

from __future__ import annotations

import re

import pytest

from connect_inbox import server as server_module
from connect_inbox.settings import Settings
from storage.store import Store
from tests.api.conftest import create_brand
from tests.client import until
from tests.raw_socket import masked, raw_subscription
from tests.server import running

FOR_ALL = "subscription($since: String) { messageAdded(since: $since) { message { id text } } }"
LONG = "x" * 49_000
COUNT = 40  # of them some 2 MB, more than is held for anybody


async def test_two_subscriptions_and_queries_on_one_socket(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "PING_INTERVAL", 3600.0)
    async with running(store, Settings()) as server:
        brand = await create_brand(store, server)
        thread = (await brand.influencer())["thread"]
        since = await brand.position()
        async with (
            raw_subscription(server, brand.viewer.token, FOR_ALL, since=since) as slow,
            brand.viewer.subscription(FOR_ALL, since=since) as fast,
        ):
            other = {"query": FOR_ALL, "variables": {"since": since}}
            slow.transport.write(masked({"type": "subscribe", "id": "2", "payload": other}))
            slow.transport.pause_reading()
            sent = []
            for number in range(COUNT):
                sent.append((await brand.send(thread, f"{number} {LONG}"))["id"])
                assert (await fast.data())["message"]["id"] == sent[-1]
            for number in range(5):
                query = {"query": "{ viewer { id } }"}
                slow.transport.write(masked({"type": "subscribe", "id": f"query {number}", "payload": query}))
            slow.transport.resume_reading()
            await until(lambda: slow.received.count(sent[-1].encode()) == 2 and slow.received.count(b'"complete"') == 5)
        received = bytes(slow.received)
        for id in (b"1", b"2"):
            before = b'{"id":"%b","type":"next","payload":{"data":{"messageAdded":{"message":{"id":"' % id
            assert [each.decode() for each in re.findall(re.escape(before) + rb"(message_\w+)", received)] == sent
        for number in range(5):
            assert b'"id":"query %d","type":"next","payload":{"data":{"viewer"' % number in received
