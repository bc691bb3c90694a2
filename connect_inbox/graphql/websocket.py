"""GraphQL over WebSocket: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md (graphql-transport-ws).

    opened    waits for connection_init, which carries the token; nothing else is allowed
    ready     operations are started by `subscribe`, and ended by `complete` from either side; a query or mutation runs
              in a task of its own, a subscription joins its group
    closed    every operation is ended

An operation's error is told for its id and leaves the socket as it is; only what breaks the protocol closes it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from enum import IntEnum
from typing import Any

import orjson
from graphql import OperationType
from starlette.websockets import WebSocket, WebSocketDisconnect

from connect_inbox.auth import Gate, Pass, TokenRefused, bearer
from connect_inbox.graphql import operation as operations
from connect_inbox.graphql.groups import Groups, Subscriber
from connect_inbox.graphql.intake import Intake
from connect_inbox.graphql.origins import is_allowed
from connect_inbox.logs import begin_request, given_id
from connect_inbox.protocols import EXTENSION, TRY_AGAIN_LATER, SocketProtocol, text_frame
from connect_inbox.rates import RateLimited
from resolvers.context import Context
from schema.types.context import Caller
from schema.types.errors import ApiError
from storage.reader import read_for
from storage.store import Store

logger = logging.getLogger("connect_inbox.websocket")

PROTOCOL = "graphql-transport-ws"
RESTART = 1012  # uvicorn closes with it when the server ends
BY_CLIENT = "client"
REASON = 120  # bytes: a close frame has room for 123 (RFC 6455, section 5.5)


class Close(IntEnum):
    """Why a socket is closed. Clients retry after the first three, and give up after the others."""

    TRY_AGAIN_LATER = TRY_AGAIN_LATER
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


class Gone(Exception):
    """The client is no longer there."""


class Connection:
    """One socket, from its opening to its end."""

    def __init__(self, socket: WebSocket, sockets: Sockets) -> None:
        self.gate = sockets.gate
        self.turn = asyncio.Lock()
        self._socket = socket
        self._sockets = sockets
        self._intake = sockets.intake
        self._address = sockets.intake.address_of(socket)
        self.wire: SocketProtocol = socket.scope["extensions"][EXTENSION]
        self._operations: dict[str, asyncio.Task[None] | SocketSubscriber] = {}

    async def serve(self) -> None:
        """Runs the socket to its end, whoever ends it."""
        try:
            await self._serve()
        except Closing as closing:
            self._end(closing)
        except RateLimited as limited:
            self._end(Closing(Close.TRY_AGAIN_LATER, limited.message))
        except WebSocketDisconnect as gone:
            self._sockets.note_end(gone.code)
            self._sockets.cut_off += gone.code == Close.TRY_AGAIN_LATER
        except Exception:
            logger.exception("a socket failed")
            self._end(Closing(Close.TRY_AGAIN_LATER, "something went wrong here"))
        finally:
            for name in list(self._operations):
                await self._stop(name)

    def _end(self, closing: Closing) -> None:
        self.close(closing)
        self._sockets.note_end(closing.code)

    async def _serve(self) -> None:
        if PROTOCOL not in self._socket.scope["subprotocols"]:
            await self._socket.accept()
            raise Closing(Close.WRONG_PROTOCOL, f"the subprotocol is {PROTOCOL}")
        await self._socket.accept(PROTOCOL)
        rates = self._intake.rates
        rates.check_address_streams(self._address)
        with rates.hold_address(self._address):
            admitted = await self._let_in()
            rates.check_token_streams(admitted.caller.token)
            with rates.hold_token(admitted.caller.token), self.gate.hold(admitted, self.refuse):
                await self.send({"type": "connection_ack"})
                await self._listen(admitted)

    async def _let_in(self) -> Pass:
        try:
            async with asyncio.timeout(self._sockets.init_timeout):
                return await self._initialise()
        except TimeoutError:
            raise Closing(Close.INIT_TIMEOUT, "connection_init did not come in time") from None

    async def _initialise(self) -> Pass:
        """Waits for connection_init, and lets in who it speaks for."""
        while True:
            message = await self._receive()
            if message["type"] == "ping":
                await self.send({"type": "pong"})
            elif message["type"] == "connection_init":
                self._intake.admit(self._address)
                payload = message.get("payload") or {}
                try:
                    return await self.gate.admit(bearer(payload.get("Authorization", payload.get("authorization"))))
                except TokenRefused as refused:
                    raise closing_for(refused) from None
            elif message["type"] != "pong":
                raise Closing(Close.UNAUTHORIZED, "connection_init comes first")

    async def _listen(self, admitted: Pass) -> None:
        while True:
            message = await self._receive()
            match message["type"]:
                case "subscribe":
                    await self._handle_subscribe(message, admitted.id)
                case "complete":
                    await self._stop(operation_id(message))
                case "ping":
                    await self.send({"type": "pong"})
                case "pong":
                    pass
                case "connection_init":
                    raise Closing(Close.TOO_MANY_INITS, "Too many initialisation requests")
                case other:
                    raise Closing(Close.BAD_MESSAGE, f"{other[:60]!r} is not a message of the client's")

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
            name = id_of_broken(frame["text"])
            if name is None:
                raise Closing(Close.BAD_MESSAGE, error.message) from None
            return {"type": "subscribe", "id": name, "payload": error}
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise Closing(Close.BAD_MESSAGE, "a message is an object with a type")
        if not isinstance(message.get("payload", {}), dict | None):
            raise Closing(Close.BAD_MESSAGE, "a payload is an object")
        return message

    @property
    def running(self) -> list[asyncio.Task[None]]:
        """What is being answered now."""
        return [each for each in self._operations.values() if isinstance(each, asyncio.Task)]

    async def _stop(self, name: str) -> None:
        """Ends an operation, if it is still there; afterwards nothing more comes from it."""
        running = self._operations.pop(name, None)
        if isinstance(running, SocketSubscriber):
            await running.stop()
        elif running is not None:
            running.cancel()
            await asyncio.wait([running])

    async def _handle_subscribe(self, message: dict[str, Any], id: str) -> None:
        name = operation_id(message)
        if name in self._operations:
            raise Closing(Close.DUPLICATE_ID, f"Subscriber for {name[:60]} already exists")
        try:
            self._intake.another_operation(len(self._operations))
        except RateLimited as limited:
            return await self.fail(name, limited, told=False)
        self._operations[name] = asyncio.create_task(self._operate(name, message.get("payload"), id))

    async def _operate(self, name: str, payload: object, id: str) -> None:
        """Runs one operation, for whom the token speaks for when it begins."""
        begin_request()
        try:
            caller = await self.gate.still_good(id)
            if isinstance(payload, ApiError):
                raise payload
            operation, limit = self._intake.prepare(operations.request_of(payload), caller, self._address)
            if operation.kind is OperationType.SUBSCRIPTION:
                subscriber = SocketSubscriber(self, name, caller)
                await self._sockets.groups.subscribe(operation, subscriber)
                self._operations[name] = subscriber
                return
            context = Context(self._sockets.store, await read_for(self._sockets.store, caller), limit)
            result = await self._intake.run(operation, context)
            await self.send({"id": name, "type": "next", "payload": result})
            await self.finish({"id": name, "type": "complete"})
        except Exception as error:
            await self.fail(name, error, told=False)

    async def fail(self, name: str, error: Exception, told: bool) -> None:
        """Ends an operation: with `error` before its first result, with a result that has errors after it."""
        if isinstance(error, Gone):
            return
        if isinstance(error, TokenRefused):
            return self.refuse(error)
        errors = operations.errors_of(error)
        if told:
            await self.send({"id": name, "type": "next", "payload": {"errors": errors, "data": None}})
            await self.finish({"id": name, "type": "complete"})
        else:
            await self.finish({"id": name, "type": "error", "payload": errors})

    async def finish(self, message: dict[str, Any]) -> None:
        """An operation's last message. Its id is free once that is written, and not before: while it waits for room,
        the client may end the operation and use the id again.
        """
        await self.send(message)
        self._operations.pop(message["id"], None)

    async def send(self, message: dict[str, Any]) -> None:
        """Sends a message when there is room, unless the client has gone; then whoever listens is told."""
        await self.wire.write(text_frame(operations.encode(message)))

    def refuse(self, refused: TokenRefused) -> None:
        self.close(closing_for(refused))

    def close(self, closing: Closing) -> None:
        self.wire.hang_up(closing.code, closing.reason.encode()[:REASON].decode(errors="ignore"))


class SocketSubscriber(Subscriber):
    """A subscription over a socket."""

    def __init__(self, connection: Connection, name: str, caller: Caller) -> None:
        super().__init__(caller, connection.gate, connection.turn)
        self._connection = connection
        self._name = name
        self._before = b'{"id":' + orjson.dumps(name) + b',"type":"next","payload":'
        self._told = False

    def offer(self, payloads: list[bytes]) -> int:
        self._told = True
        return self._connection.wire.write_frames([text_frame(self._before, payload, b"}") for payload in payloads])

    async def send(self, payload: bytes) -> None:
        self._told = True
        if not await self._connection.wire.write(text_frame(self._before, payload, b"}")):
            raise Gone

    async def fail(self, error: Exception) -> None:
        await self._connection.fail(self._name, error, self._told)


def closing_for(refused: TokenRefused) -> Closing:
    return Closing(Close.FORBIDDEN if refused.expired else Close.UNAUTHORIZED, refused.message)


def operation_id(message: dict[str, Any]) -> str:
    id = message.get("id")
    if not isinstance(id, str) or not id:
        raise Closing(Close.BAD_MESSAGE, "an operation's id is a string that is not empty")
    return id


def id_of_broken(text: str) -> str | None:
    """The id of an operation in a message that is not quite JSON: JavaScript sends half a surrogate pair where it cuts
    an emoji in two (RFC 8259, section 8.2), which is that operation's error and not the others' end.
    """
    try:
        message = json.loads(text)
        id = message["id"] if message["type"] == "subscribe" else None
        return id if isinstance(id, str) and id.encode() else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


class Sockets:
    """What answers a WebSocket at /graphql."""

    def __init__(
        self, store: Store, gate: Gate, groups: Groups, intake: Intake, origins: tuple[str, ...], init_timeout: float
    ) -> None:
        self.store = store
        self.gate = gate
        self.groups = groups
        self.intake = intake
        self.init_timeout = init_timeout
        self._origins = origins
        self.closed: Counter[str] = Counter()  # by our close code, or BY_CLIENT
        self.cut_off = 0  # sockets whose client did not read, or did not answer a ping
        self._open: set[Connection] = set()

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def note_end(self, code: int) -> None:
        ended = str(code) if code in {RESTART, *Close} else BY_CLIENT
        self.closed[ended] += 1
        logger.debug("a socket ended: %s", ended)

    async def __call__(self, socket: WebSocket) -> None:
        if not is_allowed(socket.headers, self._origins):
            await socket.close(1008, "this origin is not allowed")
            return
        begin_request(given_id(socket.scope))
        connection = Connection(socket, self)
        self._open.add(connection)
        try:
            await connection.serve()
        finally:
            self._open.discard(connection)

    async def finish(self, seconds: float) -> None:
        """Waits for the queries and mutations that are under way to be answered, for so long at most."""
        running = [task for connection in self._open for task in connection.running]
        if running:
            await asyncio.wait(running, timeout=seconds)
