"""The peers in Python: a bare broadcast, and stock Strawberry with broadcaster."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
import strawberry
from broadcaster import Broadcast
from strawberry.asgi import GraphQL
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

Json = dict[str, Any]
CHANNEL = "messages"


@dataclass(frozen=True)
class Emitted:
    """When messages were committed and when they might be told, by time.monotonic().

    `cpu` is the processor time that the server had used at the latter, in seconds.
    """

    committed: float
    told: float
    cpu: float


def handed_over() -> Emitted:
    """For a peer that writes nothing."""
    now = time.monotonic()
    return Emitted(now, now, time.process_time())


class Peer(Protocol):
    async def emit(self, messages: list[Json]) -> Emitted:
        """Tells all subscribers of these messages, one event each."""


class Bare:
    """Takes every socket, answers as the protocol wants it, and sends all of them the same text, in a plain loop."""

    def __init__(self) -> None:
        self._sends: dict[int, Any] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        yield

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "graphql-transport-ws"})
        await receive()
        await send({"type": "websocket.send", "text": '{"type":"connection_ack"}'})
        await receive()
        self._sends[id(send)] = send
        try:
            while (await receive())["type"] != "websocket.disconnect":
                pass
        finally:
            del self._sends[id(send)]

    async def emit(self, messages: list[Json]) -> Emitted:
        texts = [
            orjson.dumps({"id": "1", "type": "next", "payload": {"data": {"messageAdded": message}}}).decode()
            for message in messages
        ]
        emitted = handed_over()
        for text in texts:
            for send in list(self._sends.values()):
                await send({"type": "websocket.send", "text": text})
        return emitted


@strawberry.type
class Message:
    id: strawberry.ID
    text: str
    sent_at: str


@strawberry.type
class MessageAdded:
    position: str
    message: Message


@strawberry.type
class Query:
    nothing: bool = True


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def message_added(self, info: strawberry.Info[Any, None]) -> AsyncGenerator[MessageAdded, None]:
        broadcast: Broadcast = info.context["request"].app
        async with broadcast.subscribe(channel=CHANNEL) as subscriber:
            async for event in subscriber:  # type: ignore[union-attr]  # broadcaster's own annotation is wrong
                yield event.message  # type: ignore[union-attr,misc]


class Stock:
    """Strawberry's own app. Its messages are handed on as objects, which spares it the parsing at every subscriber."""

    def __init__(self) -> None:
        self._broadcast = Broadcast("memory://")
        schema = strawberry.Schema(query=Query, subscription=Subscription)
        self._graphql: Any = GraphQL(schema, subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL], graphql_ide=None)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self._broadcast:
            yield

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        await self._graphql({**scope, "app": self._broadcast}, receive, send)

    async def emit(self, messages: list[Json]) -> Emitted:
        added = [
            MessageAdded(
                position=each["position"],
                message=Message(
                    id=each["message"]["id"], text=each["message"]["text"], sent_at=each["message"]["sentAt"]
                ),
            )
            for each in messages
        ]
        emitted = handed_over()
        for one in added:
            await self._broadcast.publish(CHANNEL, one)
        return emitted
