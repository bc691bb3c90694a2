"""Several operations on one socket whose client reads slowly: each has everything, in its order, and nothing else."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from connect_inbox import protocols
from connect_inbox import server as server_module
from connect_inbox.auth import Gate
from connect_inbox.graphql.groups import Groups
from connect_inbox.graphql.websocket import Connection
from connect_inbox.protocols import SocketProtocol
from connect_inbox.settings import Settings
from schema.types.message import MessageDirection, MessageKind
from storage.messages import NewMessage, add_messages
from storage.store import Store
from storage.workspaces import begin_epoch
from tests.api.conftest import Brand, create_brand, keep_groups
from tests.client import Server, until
from tests.raw_socket import Reader, masked, raw_subscription
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


FOLLOW = "subscription { messageAdded { message { text } } }"
MUCH = "query($id: ID!) { thread(id: $id) { messages(last: 40) { nodes { text } } } }"


class Full:
    """A socket without room for more, behind the answer to a query, "q", and with a subscription, "1"."""

    def __init__(self, reader: Reader, wire: SocketProtocol, brand: Brand, thread: str, groups: Groups) -> None:
        self.reader = reader
        self.wire = wire
        self.brand = brand
        self.thread = thread
        self.groups = groups

    async def use_again(self, id: str) -> None:
        """Ends an operation, and begins another one with its id, before anything more is read."""
        before = self.groups.subscribers
        self.reader.transport.write(masked({"type": "complete", "id": id}))
        self.reader.transport.write(masked({"type": "subscribe", "id": id, "payload": {"query": FOLLOW}}))
        await until(lambda: self.groups.subscribers == before + 1)

    async def assert_lives(self, id: str) -> None:
        """The operation is told what comes, nothing of the one before it, and can be ended."""
        before = self.groups.subscribers
        self.reader.transport.resume_reading()
        await self.brand.send(self.thread, "new")
        told = b'{"id":"%b","type":"next","payload":{"data":{"messageAdded":{"message":{"text":"new"}}}}}' % id.encode()
        await until(lambda: told in self.reader.received)
        assert b'{"id":"%b","type":"complete"}' % id.encode() not in self.reader.received
        assert b"RESYNC_REQUIRED" not in self.reader.received
        self.reader.transport.write(masked({"type": "complete", "id": id}))
        await until(lambda: self.groups.subscribers == before - 1)


@asynccontextmanager
async def full_socket(server: Server, store: Store, groups: Groups, opened: list[Connection]) -> AsyncIterator[Full]:
    brand = await create_brand(store, server)
    thread = (await brand.influencer())["thread"]
    author = (await Gate(store).admit(brand.member.token)).caller
    new = NewMessage(thread, MessageDirection.OUTBOUND, MessageKind.DIRECT, LONG)
    await add_messages(store, author, [new] * COUNT)
    async with raw_subscription(server, brand.viewer.token, FOLLOW) as reader:
        await until(lambda: groups.subscribers == 1)
        await brand.send(thread, "told")
        await until(lambda: b"told" in reader.received)  # it has joined
        reader.transport.pause_reading()
        query = {"query": MUCH, "variables": {"id": thread}}
        reader.transport.write(masked({"type": "subscribe", "id": "q", "payload": query}))
        wire = opened[0].wire
        await until(lambda: not wire.is_writable)
        yield Full(reader, wire, brand, thread, groups)


@pytest.fixture
async def full(store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Full]:
    monkeypatch.setattr(server_module, "PING_INTERVAL", 3600.0)
    monkeypatch.setattr(protocols, "STALLED", 3600.0)
    groups = keep_groups(monkeypatch)
    opened: list[Connection] = []
    open = Connection.__init__

    def opening(self: Connection, *arguments: Any) -> None:
        opened.append(self)
        open(self, *arguments)

    monkeypatch.setattr(Connection, "__init__", opening)
    async with running(store, Settings()) as server, full_socket(server, store, groups[0], opened) as full:
        yield full


async def test_the_id_of_a_subscription_that_failed_is_used_again_before_that_was_told(full: Full) -> None:
    await begin_epoch(full.brand.store, full.brand.workspace)
    await full.brand.store.log.refresh(full.brand.workspace)
    await until(lambda: full.groups.subscribers == 0)
    await full.use_again("1")
    await full.assert_lives("1")


async def test_the_id_of_a_query_is_used_again_before_it_is_complete(full: Full) -> None:
    await full.use_again("q")
    await full.assert_lives("q")


async def test_an_operation_that_is_not_complete_is_still_there(full: Full) -> None:
    """Whoever uses its id without having ended it is told so, and not answered for two at once."""
    full.reader.transport.write(masked({"type": "subscribe", "id": "q", "payload": {"query": FOLLOW}}))
    await until(lambda: full.wire.close_sent)
