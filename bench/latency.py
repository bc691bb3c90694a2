"""From a message that a partner hands in to one subscriber's socket: `messageAdded` over a WebSocket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from bench.bare import Bare
from bench.measure import Figures
from bench.writers import Writers
from connect_inbox.app import PATH
from storage.documents import Document

SUBSCRIPTION = "subscription { messageAdded { position message { id text unread } } }"
RUNS = 300
WARM_UP = 20


@dataclass
class Latency:
    """From the request's start, and from the commit, to the subscriber; and the bare inserts, in the same run."""

    from_request: Figures = field(default_factory=lambda: Figures([], []))
    from_commit: Figures = field(default_factory=lambda: Figures([], []))
    answer: Figures = field(default_factory=lambda: Figures([], []))  # to the mutation's own answer
    bare_in_turn: Figures = field(default_factory=lambda: Figures([], []))
    bare_at_once: Figures = field(default_factory=lambda: Figures([], []))


async def measured(writers: Writers, bare: Bare) -> Latency:
    client = await writers.client(writers.partner.id)
    found = Latency()
    async with subscriber(writers) as socket, commits(writers) as commit_times:
        for run in range(WARM_UP + RUNS):
            latency = await once(writers, client, socket, commit_times)
            for insert, figures in ((bare.in_turn, found.bare_in_turn), (bare.at_once, found.bare_at_once)):
                started = time.perf_counter()
                await insert()
                if run >= WARM_UP:
                    figures.times.append(time.perf_counter() - started)
            if run >= WARM_UP:
                for figures, took in zip((found.from_request, found.from_commit, found.answer), latency, strict=True):
                    figures.times.append(took)
    return found


async def once(
    writers: Writers, client: Any, socket: ClientConnection, commit_times: list[float]
) -> tuple[float, float, float]:
    receiving = asyncio.create_task(received(socket))
    commit_times.clear()
    started = time.perf_counter()
    id = await writers.receive(client)
    answered = time.perf_counter()
    told, at = await receiving
    assert told == id, "every message comes, in order"
    return at - started, at - commit_times[-1], answered - started


async def received(socket: ClientConnection) -> tuple[str, float]:
    message = orjson.loads(await socket.recv())
    at = time.perf_counter()
    return message["payload"]["data"]["messageAdded"]["message"]["id"], at


@asynccontextmanager
async def subscriber(writers: Writers) -> AsyncIterator[ClientConnection]:
    token = await writers.place.token(writers.members[0], writers.workspace)
    url = f"ws://127.0.0.1:{writers.place.port}{PATH}"
    async with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")], compression=None) as socket:
        init = {"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}
        await socket.send(orjson.dumps(init).decode())
        assert orjson.loads(await socket.recv())["type"] == "connection_ack"
        await socket.send(orjson.dumps({"id": "1", "type": "subscribe", "payload": {"query": SUBSCRIPTION}}).decode())
        while not writers.place.store.log.head(writers.workspace).followers:
            await writers.place.store.log.refresh(writers.workspace)
        yield socket


@asynccontextmanager
async def commits(writers: Writers) -> AsyncIterator[list[float]]:
    """The times at which entries were committed."""
    database = writers.place.store.database
    times: list[float] = []
    insert = database.insert

    async def noted(collection: str, document: Document) -> bool:
        inserted = await insert(collection, document)
        if collection == "entries":
            times.append(time.perf_counter())
        return inserted

    database.insert = noted  # type: ignore[method-assign]  # only here, and put back
    try:
        yield times
    finally:
        database.insert = insert  # type: ignore[method-assign]
