"""Files over HTTP: uploaded with a token, in a body that is the file itself; fetched at a signed address without one.

Nothing that was uploaded is ever a page of ours: all but plain images is only for saving, and a browser neither guesses
what it is nor runs anything in it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from connect_inbox.auth import Gate, bearer
from connect_inbox.graphql.http import JSON, answer, respond
from connect_inbox.graphql.intake import Intake
from connect_inbox.graphql.origins import is_allowed
from resolvers import access
from schema.types.errors import ApiError, ErrorCode, bad_input, forbidden
from schema.types.message import Attachment
from storage import attachments
from storage.file_types import HEAD, is_program, safe_name
from storage.files import TooLarge, read_bytes, sha256_of, store_bytes
from storage.store import Store

UPLOAD_TIME = 900.0  # seconds that an upload may take
POINT = 1024  # bytes that come in for one point
SHOWN = {"image/png", "image/jpeg", "image/gif", "image/webp"}  # which a browser may show, as they hold no script
STATUS = {
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.TIMED_OUT: 408,
    ErrorCode.RATE_LIMITED: 429,
}
_RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")


class TypeRefused(ApiError):
    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.BAD_USER_INPUT, message)


class Files:
    """What answers at /attachments."""

    def __init__(self, store: Store, gate: Gate, intake: Intake, origins: tuple[str, ...], most: int) -> None:
        self._store = store
        self._gate = gate
        self._intake = intake
        self._origins = origins
        self._most = most

    async def upload(self, request: Request) -> Response:
        try:
            async with asyncio.timeout(UPLOAD_TIME):
                return await self._upload(request)
        except Exception as error:
            return refusal(error)

    async def _upload(self, request: Request) -> Response:
        if not is_allowed(request.headers, self._origins):
            raise forbidden("this origin is not allowed")
        address = self._intake.address_of(request)
        self._intake.admit(address)
        caller = (await self._gate.admit(bearer(request.headers.get("authorization")))).caller
        access.to_send(caller)
        name = name_in(request, self._most)
        rates = self._intake.rates
        rates.check(address, caller.token)
        rates.check_address_streams(address)
        rates.check_token_streams(caller.token)
        head = bytearray()
        with rates.hold_address(address), rates.hold_token(caller.token):
            pieces = self._pieces(request, name, head, address, caller.token)
            blob = await store_bytes(self._store, caller.workspace, pieces, self._most)
        made = await attachments.add(self._store, caller.workspace, caller.id, name, blob, bytes(head))
        url = attachments.url_of(self._store, caller.workspace, made.id, made.name)
        told = {"id": made.id, "name": made.name, "contentType": made.content_type, "size": made.size, "url": url}
        return respond(201, JSON, told)

    async def _pieces(
        self, request: Request, name: str, head: bytearray, address: str, token: str
    ) -> AsyncIterator[bytes]:
        """The body as it comes, paid for; its beginning is kept in `head`. Raises TypeRefused."""
        async for piece in request.stream():
            self._intake.rates.spend(len(piece) // POINT, address, token)
            if len(head) < HEAD:
                head += piece[: HEAD - len(head)]
                if is_program(bytes(head), name):
                    raise TypeRefused("such a file runs when it is opened, and mail servers refuse it")
            yield piece

    async def download(self, request: Request) -> Response:
        try:
            return await self._download(request)
        except Exception as error:
            return refusal(error)

    async def _download(self, request: Request) -> Response:
        self._intake.admit(self._intake.address_of(request))
        given, asked = request.path_params, request.query_params
        expires = int(asked["expires"]) if re.fullmatch(r"[0-9]{1,12}", asked.get("expires", "")) else 0
        found = await attachments.at_url(self._store, given["id"], given["name"], expires, asked.get("signature", ""))
        if found is None:
            raise forbidden("this address is not one of ours, or no longer")
        workspace, attachment = found
        headers = headers_of(attachment, expires)
        if headers["etag"] in re.split(r"\s*,\s*", request.headers.get("if-none-match", "").strip()):
            return Response(status_code=304, headers=headers)
        part = part_of(request.headers, attachment.size, headers["etag"])
        if part is None:
            return Response(status_code=416, headers={"content-range": f"bytes */{attachment.size}"})
        headers["content-length"] = str(len(part))
        if len(part) < attachment.size:
            headers["content-range"] = f"bytes {part.start}-{part.stop - 1}/{attachment.size}"
        status = 206 if "content-range" in headers else 200
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers)
        pieces = read_bytes(self._store, workspace, attachment.blob_id, part.start, part.stop)
        return StreamingResponse(pieces, status, headers)


def name_in(request: Request, most: int) -> str:
    """The name of the file that an upload says it is. Raises BAD_USER_INPUT, TypeRefused, TooLarge."""
    if not request.query_params.get("name", "").strip():
        raise bad_input("a file has a name: POST /attachments?name=...")
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        raise TypeRefused("the body is the file itself, not a form with one in it")
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdecimal() and int(length) > most:
        raise TooLarge(most)
    return safe_name(request.query_params["name"])


def headers_of(attachment: Attachment, expires: int) -> dict[str, str]:
    kind = "inline" if attachment.content_type in SHOWN else "attachment"
    plain = re.sub(r'[^ -~]|["\\%]', "_", attachment.name)
    return {
        "content-type": attachment.content_type,
        "content-disposition": f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(attachment.name, safe='')}",
        "content-security-policy": "sandbox; default-src 'none'",
        "x-content-type-options": "nosniff",
        "cache-control": f"private, max-age={max(0, expires - int(time.time()))}",
        "accept-ranges": "bytes",
        "etag": f'"{sha256_of(attachment.blob_id)}"',
    }


def part_of(headers: Mapping[str, str], size: int, etag: str) -> range | None:
    """The bytes that are asked for: all, or one range (RFC 9110, section 14); None for one beyond the end."""
    match = _RANGE.fullmatch(headers.get("range", ""))
    first, last = match.groups() if match else ("", "")
    if not first + last or headers.get("if-range", etag) != etag or (first and last and int(last) < int(first)):
        return range(size)
    if not first:
        part = range(max(0, size - int(last)), size)
    else:
        part = range(int(first), min(int(last) + 1, size) if last else size)
    return part or None


def refusal(error: Exception) -> Response:
    """What a client is told, in the form of the API's errors."""
    if isinstance(error, TimeoutError):
        error = ApiError(ErrorCode.TIMED_OUT, f"the upload was ended after {UPLOAD_TIME:g} s")
    if isinstance(error, ClientDisconnect):
        error = bad_input("the body did not come")  # which nobody reads
    return answer(status_of(error), JSON, error)


def status_of(error: Exception) -> int:
    if isinstance(error, TooLarge):
        return 413
    if isinstance(error, TypeRefused):
        return 415
    return STATUS.get(error.code, 400) if isinstance(error, ApiError) else 500
