"""GraphQL over WebSocket: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md (graphql-transport-ws).

    opened    waits for connection_init, which carries the token; nothing else is allowed
    ready     operations are started by `subscribe`, each in a task of its own, and ended by `complete` from either side
    closed    every task is ended

An operation's error is told for its id and leaves the socket as it is; only what breaks the protocol closes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Any

from graphql import OperationType
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from connect_inbox.auth import Gate, TokenRefused, bearer
from connect_inbox.graphql import operation as operations
from connect_inbox.graphql.errors import coded
from connect_inbox.graphql.operation import Invalid
from connect_inbox.graphql.origins import is_allowed
from resolvers.context import Context
from schema.types.context import Caller
from schema.types.errors import ApiError
from storage.reader import read_for
from storage.store import Store

logger = logging.getLogger("connect_inbox.websocket")

PROTOCOL = "graphql-transport-ws"
REASON = 120  # bytes: a close frame has room for 123 (RFC 6455, section 5.5)
SEND_TIMEOUT = 10.0  # seconds for a client to take a message


class Close(IntEnum):
    """Why a socket is closed. Clients retry after the first three, and give up after the others."""

    TRY_AGAIN_LATER = 1013
    FORBIDDEN = 4403  # the token has expired: come back with a new one
    INIT_TIMEOUT = 4408
    BAD_MESSAGE = 4400
    UNAUTHORIZED = 4401
    WRONG_PROTOCOL = 4406
    DUPLICATE_ID = 4409
    TOO_MANY_INITS = 4429


class Closing(Exception):
    """Raised to close the socket."""

    def __init__(self, code: Close, reason: str) -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class Connection:
    """One socket, from its opening to its end."""

    def __init__(self, socket: WebSocket, store: Store, gate: Gate, init_timeout: float) -> None:
        self._socket = socket
        self._store = store
        self._gate = gate
        self._init_timeout = init_timeout
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def serve(self) -> None:
        """Runs the socket to its end, whoever ends it."""
        try:
            await self._serve()
        except Closing as closing:
            await self._close(closing.code, closing.reason)
        except WebSocketDisconnect:
            pass
        except Exception:
            logger.exception("a socket failed")
            await self._close(Close.TRY_AGAIN_LATER, "something went wrong here")
        finally:
            for task in self._operations.values():
                task.cancel()
            await asyncio.gather(*self._operations.values(), return_exceptions=True)

    async def _serve(self) -> None:
        if PROTOCOL not in self._socket.scope["subprotocols"]:
            await self._socket.accept()
            raise Closing(Close.WRONG_PROTOCOL, f"the subprotocol is {PROTOCOL}")
        await self._socket.accept(PROTOCOL)
        try:
            async with asyncio.timeout(self._init_timeout):
                id, caller = await self._initialise()
        except TimeoutError:
            raise Closing(Close.INIT_TIMEOUT, "connection_init did not come in time") from None
        with self._gate.hold(id, caller, self._end):
            await self._send({"type": "connection_ack"})
            await self._until_ended(self._listen(id))

    async def _initialise(self) -> tuple[str, Caller]:
        """Waits for connection_init, and lets in who it speaks for."""
        while True:
            message = await self._receive()
            if message["type"] == "ping":
                await self._send({"type": "pong"})
            elif message["type"] == "connection_init":
                payload = message.get("payload") or {}
                try:
                    return await self._gate.admit(bearer(payload.get("Authorization", payload.get("authorization"))))
                except TokenRefused as refused:
                    raise closing_for(refused) from None
            elif message["type"] != "pong":
                raise Closing(Close.UNAUTHORIZED, "connection_init comes first")

    def _end(self, refused: TokenRefused) -> None:
        if not self._ended.done():
            self._ended.set_exception(closing_for(refused))

    async def _until_ended(self, listening: Awaitable[None]) -> None:
        """Listens until the client goes, breaks the protocol, or its token is no longer good."""
        task = asyncio.ensure_future(listening)
        try:
            await asyncio.wait({task, self._ended}, return_when=asyncio.FIRST_COMPLETED)
            if self._ended.done():
                self._ended.result()
            await task
        finally:
            task.cancel()
            with contextlib.suppress(BaseException):
                await task

    async def _listen(self, id: str) -> None:
        handlers: dict[str, Callable[[dict[str, Any]], Awaitable[None]]] = {
            "ping": self._handle_ping,
            "pong": self._handle_pong,
            "complete": self._handle_complete,
            "connection_init": self._handle_second_init,
        }
        while True:
            message = await self._receive()
            if message["type"] == "subscribe":
                self._handle_subscribe(message, id)
            elif message["type"] in handlers:
                await handlers[message["type"]](message)
            else:
                raise Closing(Close.BAD_MESSAGE, f"{message['type'][:60]!r} is not a message of the client's")

    async def _receive(self) -> dict[str, Any]:
        """The next message. Raises Closing for what is none."""
        frame = await self._socket.receive()
        if frame["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(frame.get("code", 1005))
        if frame.get("text") is None:
            raise Closing(Close.BAD_MESSAGE, "a message is JSON in a text frame")
        try:
            message = operations.decode(frame["text"])
        except ApiError as error:
            raise Closing(Close.BAD_MESSAGE, error.message) from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise Closing(Close.BAD_MESSAGE, "a message is an object with a type")
        if not isinstance(message.get("payload", {}), dict | None):
            raise Closing(Close.BAD_MESSAGE, "a payload is an object")
        return message

    async def _handle_ping(self, message: dict[str, Any]) -> None:
        await self._send({"type": "pong"})

    async def _handle_pong(self, message: dict[str, Any]) -> None:
        pass

    async def _handle_second_init(self, message: dict[str, Any]) -> None:
        raise Closing(Close.TOO_MANY_INITS, "Too many initialisation requests")

    async def _handle_complete(self, message: dict[str, Any]) -> None:
        task = self._operations.pop(operation_id(message), None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _handle_subscribe(self, message: dict[str, Any], id: str) -> None:
        name = operation_id(message)
        if name in self._operations:
            raise Closing(Close.DUPLICATE_ID, f"Subscriber for {name[:60]} already exists")
        running = asyncio.create_task(self._operate(name, message.get("payload"), id))
        self._operations[name] = running

    async def _operate(self, name: str, payload: object, id: str) -> None:
        """Runs one operation to its end, for whom the token speaks for when it begins."""
        told = False
        try:
            caller = await self._gate.still_good(id)
            operation = operations.prepare(operations.request_of(payload))
            context = Context(self._store, await read_for(self._store, caller))
            if operation.kind is not OperationType.SUBSCRIPTION:
                await self._send_next(name, await operations.run(operation, context))
            else:
                async for result in operations.follow(operation, context):
                    await self._gate.still_good(id)
                    await self._send_next(name, result)
                    told = True
            await self._finish(name, {"id": name, "type": "complete"})
        except TokenRefused as refused:
            self._end(refused)
        except Closing as closing:
            if not self._ended.done():
                self._ended.set_exception(closing)
        except Exception as error:
            errors = error.errors if isinstance(error, Invalid) else [coded(error)]
            if told:
                await self._send_next(name, {"errors": errors, "data": None})
                await self._finish(name, {"id": name, "type": "complete"})
            else:
                await self._finish(name, {"id": name, "type": "error", "payload": errors})

    async def _finish(self, name: str, message: dict[str, Any]) -> None:
        """An operation's last message; its id is free again before the client can know."""
        self._operations.pop(name, None)
        await self._send(message)

    async def _send_next(self, name: str, result: object) -> None:
        await self._send({"id": name, "type": "next", "payload": result})

    async def _send(self, message: dict[str, Any]) -> None:
        if self._socket.application_state is not WebSocketState.CONNECTED:
            return
        text = operations.encode(message).decode()
        try:
            async with asyncio.timeout(SEND_TIMEOUT):
                await self._socket.send_text(text)
        except TimeoutError:
            raise Closing(Close.TRY_AGAIN_LATER, "the client does not read") from None
        except WebSocketDisconnect:
            return  # whoever listens is told too, and ends the socket

    async def _close(self, code: Close, reason: str) -> None:
        if self._socket.application_state is not WebSocketState.DISCONNECTED:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
                async with asyncio.timeout(SEND_TIMEOUT):
                    await self._socket.close(code, reason.encode()[:REASON].decode(errors="ignore"))


def closing_for(refused: TokenRefused) -> Closing:
    return Closing(Close.FORBIDDEN if refused.expired else Close.UNAUTHORIZED, refused.message)


def operation_id(message: dict[str, Any]) -> str:
    id = message.get("id")
    if not isinstance(id, str) or not id:
        raise Closing(Close.BAD_MESSAGE, "an operation's id is a string that is not empty")
    return id


class Sockets:
    """What answers a WebSocket at /graphql."""

    def __init__(self, store: Store, gate: Gate, origins: tuple[str, ...], init_timeout: float) -> None:
        self._store = store
        self._gate = gate
        self._origins = origins
        self._init_timeout = init_timeout

    async def __call__(self, socket: WebSocket) -> None:
        if not is_allowed(socket.headers, self._origins):
            await socket.close(1008, "this origin is not allowed")
            return
        await Connection(socket, self._store, self._gate, self._init_timeout).serve()
