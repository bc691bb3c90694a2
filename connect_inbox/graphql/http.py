"""GraphQL over HTTP (https://graphql.github.io/graphql-over-http/draft/), and over server-sent events in the
"distinct connections" mode of https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from graphql import OperationType
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response, StreamingResponse

from connect_inbox.auth import Gate, Pass, TokenRefused, bearer
from connect_inbox.graphql import operation as operations
from connect_inbox.graphql.errors import coded
from connect_inbox.graphql.groups import Groups, Subscriber
from connect_inbox.graphql.intake import Intake
from connect_inbox.graphql.operation import Invalid, encode, errors_of
from connect_inbox.graphql.origins import is_allowed
from connect_inbox.protocols import GIVEN_UP, first_of
from connect_inbox.rates import RateLimited
from resolvers.context import Context
from schema.types.context import Caller
from schema.types.errors import ApiError, bad_input
from storage.reader import read_for
from storage.store import Store

JSON = "application/json"
RESPONSE = "application/graphql-response+json"
EVENTS = "text/event-stream"
PREFLIGHT = "graphql-require-preflight"  # no link, image or form sends it, and browsers ask before they do
HEARTBEAT = 12.0  # seconds of silence after which a comment tells proxies that the stream is alive
BODY_WAIT = 30.0  # seconds for a request's body to come in
ONLY_POST = {"allow": "POST"}
COMPLETE = b"event: complete\ndata:\n\n"
SILENCE = b":\n\n"
MOST_WAITING = 256 * 1024  # bytes that wait for a client to read them, and one event more


class Endpoint:
    """What answers a POST to /graphql, and a GET that no web page of somebody else's can have caused."""

    def __init__(
        self, store: Store, gate: Gate, groups: Groups, intake: Intake, origins: tuple[str, ...], max_body_size: int
    ) -> None:
        self._store = store
        self._gate = gate
        self._groups = groups
        self._intake = intake
        self._origins = origins
        self._max_body_size = max_body_size
        self._streams: set[Stream] = set()
        self._is_stopped = False
        self.cut_off = 0  # event streams whose client did not read

    @property
    def streams(self) -> int:
        """How many event streams are open."""
        return len(self._streams)

    def stop(self) -> None:
        """Breaks off all subscriptions: the server is about to end, and would wait for them as for any answer."""
        self._is_stopped = True
        for stream in self._streams:
            if stream.is_subscription:
                stream.break_off()

    async def __call__(self, request: HTTPRequest) -> Response:
        is_post = request.method == "POST"
        if not is_post and PREFLIGHT not in request.headers:
            return answer(405, JSON, bad_input(f"a request is a POST, or a GET with the header {PREFLIGHT}"), ONLY_POST)
        media = media_of(request.headers.get("accept"))
        if media is None:
            return answer(406, JSON, bad_input(f"an answer is {RESPONSE}, {JSON} or {EVENTS}"))
        if not is_allowed(request.headers, self._origins):
            return answer(403, media, bad_input("this origin is not allowed"))
        if is_post and request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            return answer(415, media, bad_input(f"a request's content-type is {JSON}"))
        try:
            return await self._answer(request, media)
        except TokenRefused as refused:
            return answer(401, media, refused)
        except RateLimited as limited:
            return answer(429, media, limited)
        except ApiError as error:
            return answer(400, media, error)
        except HTTPException as error:
            return answer(error.status_code, media, bad_input(error.detail), error.headers)
        except ClientDisconnect:
            return answer(400, media, bad_input("the body did not come"))  # which nobody reads
        except Exception as error:
            return answer(500, media, error)

    async def _answer(self, request: HTTPRequest, media: str) -> Response:
        address = self._intake.address_of(request)
        self._intake.admit(address)
        admitted = await self._gate.admit(bearer(request.headers.get("authorization")))
        if request.method != "POST":
            return await self._answer_get(request, admitted.caller, address, media)
        asked = operations.request_of(operations.decode(await body_of(request, self._max_body_size)))
        if media == EVENTS:
            return self._stream(request, asked, admitted, address)
        return await self._respond(asked, admitted.caller, address, media)

    async def _answer_get(self, request: HTTPRequest, caller: Caller, address: str, media: str) -> Response:
        if media == EVENTS:
            raise HTTPException(405, "an event stream begins with a POST", ONLY_POST)
        asked = operations.request_of(asked_in(request.query_params))
        response = await self._respond(asked, caller, address, media, is_get=True)
        response.headers["cache-control"] = "no-store"
        return response

    async def _respond(
        self, asked: operations.Request, caller: Caller, address: str, media: str, is_get: bool = False
    ) -> Response:
        try:
            operation, limit = self._intake.prepare(asked, caller, address)
            if is_get and operation.kind is not OperationType.QUERY:
                raise HTTPException(405, "what is asked for by GET is a query", ONLY_POST)
            if operation.kind is OperationType.SUBSCRIPTION:
                raise Invalid([coded(bad_input(f"a subscription needs the media type {EVENTS}, or a WebSocket"))])
        except Invalid as invalid:
            return respond(200 if media == JSON else 400, media, {"errors": invalid.errors})
        context = Context(self._store, await read_for(self._store, caller), limit)
        result = await self._intake.run(operation, context)
        if result["data"] is None and all("path" not in error for error in result.get("errors", [])):
            del result["data"]
            return respond(200 if media == JSON else 400, media, result)
        return respond(200, media, result)

    def _stream(
        self, request: HTTPRequest, asked: operations.Request, admitted: Pass, address: str
    ) -> StreamingResponse:
        self._intake.rates.check_address_streams(address)
        self._intake.rates.check_token_streams(admitted.caller.token)
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        events = self._events(request, asked, admitted, address)
        return StreamingResponse(events, media_type=EVENTS, headers=headers)

    async def _events(
        self, request: HTTPRequest, asked: operations.Request, admitted: Pass, address: str
    ) -> AsyncIterator[bytes]:
        """The stream's bytes: an event for each result, comments in between, and one that says that it is complete."""
        stream = Stream(self._gate, admitted)
        self._streams.add(stream)
        rates = self._intake.rates
        with (
            rates.hold_address(address),
            rates.hold_token(admitted.caller.token),
            self._gate.hold(admitted, stream.end),
        ):
            beginning = asyncio.create_task(self._begin(asked, stream, address))
            try:
                yield SILENCE
                async for piece in stream.pieces():
                    yield piece
            finally:
                self._streams.discard(stream)
                self.cut_off += GIVEN_UP in request.scope["state"]
                beginning.cancel()
                stream.drop()  # without waiting for anything: where the client has gone, this is being cancelled

    async def _begin(self, asked: operations.Request, stream: Stream, address: str) -> None:
        try:
            operation, limit = self._intake.prepare(asked, stream.caller, address)
            if operation.kind is OperationType.SUBSCRIPTION:
                stream.is_subscription = True
                if self._is_stopped:
                    return stream.break_off()
                await self._groups.subscribe(operation, stream)
                return
            context = Context(self._store, await read_for(self._store, stream.caller), limit)
            await stream.send(encode(await self._intake.run(operation, context)))
            stream.complete()
        except Exception as error:
            await stream.fail(error)


class Stream(Subscriber):
    """One event stream. What waits for its client is bounded: then it is a subscriber that walks by itself."""

    def __init__(self, gate: Gate, admitted: Pass) -> None:
        super().__init__(admitted.caller, gate)
        self.is_subscription = False
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._unwritten = 0  # bytes of what waits, and of what is being written
        self._room = asyncio.Event()
        self._room.set()

    async def pieces(self) -> AsyncIterator[bytes]:
        """What is to be written, as it comes; comments in silence."""
        while True:
            try:
                piece = await asyncio.wait_for(self._waiting.get(), HEARTBEAT)
            except TimeoutError:
                self._put(SILENCE)
                continue
            if piece is None:
                return
            yield piece
            self._gone(piece)

    def offer(self, payloads: list[bytes]) -> int:
        offered = 0
        while offered < len(payloads) and self._room.is_set():
            chunk = first_of(payloads, offered)
            self._put(b"".join(map(event_of, chunk)))
            offered += len(chunk)
        return offered

    async def send(self, payload: bytes) -> None:
        await self._room.wait()
        self._put(event_of(payload))

    def complete(self) -> None:
        """Ends it, behind what waits."""
        self._put(COMPLETE)
        self._waiting.put_nowait(None)

    def _put(self, piece: bytes) -> None:
        self._waiting.put_nowait(piece)
        self._unwritten += len(piece)
        if self._unwritten >= MOST_WAITING:
            self._room.clear()

    def _gone(self, piece: bytes) -> None:
        self._unwritten -= len(piece)
        if self._unwritten < MOST_WAITING:
            self._room.set()

    async def fail(self, error: Exception) -> None:
        self._put(event_of(encode({"errors": errors_of(error)})))
        self.complete()

    def end(self, refused: TokenRefused) -> None:
        """Ends with this error at once: what waits is what a client that comes back is told again."""
        self.drop()
        self._put(event_of(encode({"errors": errors_of(refused)})))
        self.complete()

    def break_off(self) -> None:
        """Ends without saying that it is complete, so that the client comes back."""
        self.drop()
        self._waiting.put_nowait(None)

    def drop(self) -> None:
        """Ends it, with nothing more for its client."""
        self.leave()
        if self.walking is not None:
            self.walking.cancel()
        while not self._waiting.empty():
            self._gone(self._waiting.get_nowait() or b"")


def event_of(payload: bytes) -> bytes:
    return b"event: next\ndata: " + payload + b"\n\n"


def media_of(accept: str | None) -> str | None:
    """The media type to answer in, of those that are accepted; None for none of ours."""
    accepted = {part.partition(";")[0].strip().lower() for part in (accept or "*/*").split(",")}
    for media in (EVENTS, RESPONSE, JSON):
        if media in accepted:
            return media
    return JSON if accepted & {"*/*", "application/*", ""} else None


def asked_in(parameters: QueryParams) -> dict[str, object]:
    """What the parameters of an address ask for, as a body would have it. Raises BAD_USER_INPUT."""
    asked: dict[str, object] = dict(parameters)
    decoded = {name: operations.decode(parameters[name]) for name in ("variables", "extensions") if name in parameters}
    return asked | decoded


async def body_of(request: HTTPRequest, most: int) -> bytes:
    """A request's body, of which no more than `most` bytes are read, and no longer than `BODY_WAIT`."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_WAIT):
            async for piece in request.stream():
                body += piece
                if len(body) > most:
                    raise HTTPException(413, f"a body has at most {most} bytes")
    except TimeoutError:
        told = f"a body comes within {BODY_WAIT:g} s"
        raise HTTPException(408, told, {"connection": "close"}) from None  # RFC 9110, section 15.5.9
    return bytes(body)


def answer(status: int, media: str, error: Exception, more: Mapping[str, str] | None = None) -> Response:
    headers = dict(more or {})
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, RateLimited):
        headers["retry-after"] = str(error.retry_after)
    return respond(status, JSON if media == EVENTS else media, {"errors": [coded(error)]}, headers)


def respond(status: int, media: str, result: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(encode(result), status, headers, f"{media}; charset=utf-8")
