"""GraphQL over HTTP (https://graphql.github.io/graphql-over-http/draft/), and over server-sent events in the
"distinct connections" mode of https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from graphql import OperationType
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response, StreamingResponse

from connect_inbox.auth import Gate, TokenRefused, bearer
from connect_inbox.graphql import operation as operations
from connect_inbox.graphql.errors import coded
from connect_inbox.graphql.operation import Invalid, Operation, Result, encode
from connect_inbox.graphql.origins import is_allowed
from resolvers.context import Context
from schema.types.context import Caller
from schema.types.errors import ApiError, bad_input
from storage.reader import read_for
from storage.store import Store

JSON = "application/json"
RESPONSE = "application/graphql-response+json"
EVENTS = "text/event-stream"
HEARTBEAT = 12.0  # seconds of silence after which a comment tells proxies that the stream is alive
BROKEN_OFF: Result = {}  # ends a stream without saying that it is complete, so that its client comes back


class Stopping(Exception):
    """The server is about to end."""


class Endpoint:
    """What answers a POST to /graphql."""

    def __init__(self, store: Store, gate: Gate, origins: tuple[str, ...], max_body_size: int) -> None:
        self._store = store
        self._gate = gate
        self._origins = origins
        self._max_body_size = max_body_size
        self._streams: set[asyncio.Future[None]] = set()

    def stop(self) -> None:
        """Breaks off all event streams: the server is about to end, and would wait for them."""
        for ended in self._streams:
            if not ended.done():
                ended.set_exception(Stopping())

    async def __call__(self, request: HTTPRequest) -> Response:
        media = media_of(request.headers.get("accept"))
        if media is None:
            return answer(406, JSON, bad_input(f"an answer is {RESPONSE}, {JSON} or {EVENTS}"))
        if not is_allowed(request.headers, self._origins):
            return answer(403, media, bad_input("this origin is not allowed"))
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            return answer(415, media, bad_input(f"a request's content-type is {JSON}"))
        try:
            return await self._answer(request, media)
        except TokenRefused as refused:
            return answer(401, media, refused)
        except ApiError as error:
            return answer(400, media, error)
        except HTTPException as error:
            return answer(error.status_code, media, bad_input(error.detail))
        except ClientDisconnect:
            return answer(400, media, bad_input("the body did not come"))  # which nobody reads
        except Exception as error:
            return answer(500, media, error)

    async def _answer(self, request: HTTPRequest, media: str) -> Response:
        id, caller = await self._gate.admit(bearer(request.headers.get("authorization")))
        asked = operations.request_of(operations.decode(await body_of(request, self._max_body_size)))
        if media == EVENTS:
            return self._stream(asked, id, caller)
        return await self._respond(asked, caller, media)

    async def _respond(self, asked: operations.Request, caller: Caller, media: str) -> Response:
        try:
            operation = operations.prepare(asked)
            if operation.kind is OperationType.SUBSCRIPTION:
                raise Invalid([coded(bad_input(f"a subscription needs the media type {EVENTS}, or a WebSocket"))])
        except Invalid as invalid:
            return respond(200 if media == JSON else 400, media, {"errors": invalid.errors})
        context = Context(self._store, await read_for(self._store, caller))
        result = await operations.run(operation, context)
        if result["data"] is None and all("path" not in error for error in result.get("errors", [])):
            del result["data"]
            return respond(200 if media == JSON else 400, media, result)
        return respond(200, media, result)

    def _stream(self, asked: operations.Request, id: str, caller: Caller) -> Response:
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        return StreamingResponse(self._events(asked, id, caller), media_type=EVENTS, headers=headers)

    async def _events(self, asked: operations.Request, id: str, caller: Caller) -> AsyncIterator[bytes]:
        """The stream's bytes: an event for each result, comments in between, and one that says that it is complete."""
        results: asyncio.Queue[Result | None] = asyncio.Queue(maxsize=1)
        producing = asyncio.create_task(self._produce(asked, id, caller, results))
        try:
            yield b":\n\n"
            while True:
                try:
                    result = await asyncio.wait_for(results.get(), HEARTBEAT)
                except TimeoutError:
                    yield b":\n\n"
                    continue
                if result is BROKEN_OFF:
                    return
                if result is None:
                    break
                yield b"event: next\ndata: " + encode(result) + b"\n\n"
            yield b"event: complete\ndata:\n\n"
        finally:
            producing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await producing

    async def _produce(
        self, asked: operations.Request, id: str, caller: Caller, results: asyncio.Queue[Result | None]
    ) -> None:
        """Fills the queue with results. It holds one, so a client is never ahead of what it reads."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._streams.add(ended)

        def end(refused: TokenRefused) -> None:
            if not ended.done():
                ended.set_exception(refused)

        try:
            with self._gate.hold(id, caller, end):
                telling = asyncio.create_task(self._tell(asked, id, caller, results))
                try:
                    await asyncio.wait({telling, ended}, return_when=asyncio.FIRST_COMPLETED)
                    if ended.done():
                        ended.result()
                    await telling
                finally:
                    telling.cancel()
                    with contextlib.suppress(BaseException):
                        await telling
        except Stopping:
            return await results.put(BROKEN_OFF)
        except Invalid as invalid:
            await results.put({"errors": invalid.errors})
        except Exception as error:
            await results.put({"errors": [coded(error)]})
        finally:
            self._streams.discard(ended)
        await results.put(None)

    async def _tell(
        self, asked: operations.Request, id: str, caller: Caller, results: asyncio.Queue[Result | None]
    ) -> None:
        operation: Operation = operations.prepare(asked)
        context = Context(self._store, await read_for(self._store, caller))
        if operation.kind is not OperationType.SUBSCRIPTION:
            await results.put(await operations.run(operation, context))
            return
        async for result in operations.follow(operation, context):
            await self._gate.still_good(id)
            await results.put(result)


def media_of(accept: str | None) -> str | None:
    """The media type to answer in, of those that are accepted; None for none of ours."""
    accepted = {part.partition(";")[0].strip().lower() for part in (accept or "*/*").split(",")}
    for media in (EVENTS, RESPONSE, JSON):
        if media in accepted:
            return media
    return JSON if accepted & {"*/*", "application/*", ""} else None


async def body_of(request: HTTPRequest, most: int) -> bytes:
    """A request's body, of which no more than `most` bytes are read."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise HTTPException(413, f"a body has at most {most} bytes")
    return bytes(body)


def answer(status: int, media: str, error: Exception) -> Response:
    return respond(status, JSON if media == EVENTS else media, {"errors": [coded(error)]})


def respond(status: int, media: str, result: dict[str, Any]) -> Response:
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    return Response(encode(result), status, headers, f"{media}; charset=utf-8")
