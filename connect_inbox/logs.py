"""What is logged: a record a line, as text or as JSON, each with the id of the request that it belongs to.

A record holds no client's address, no token, no body and no variables. Nobody here logs them; what others put into an
exception is cut short, and whatever looks like an address or a secret is blotted out.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
import time
import traceback
from collections import Counter
from contextvars import ContextVar
from datetime import UTC, datetime

from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("connect_inbox.requests")

SLOW = 1.0  # seconds after which a request is worth a line that is seen without asking for it
LONGEST = 200  # characters of an exception's message, which may hold what somebody wrote
FRAMES = 40  # of a traceback, the innermost
HEADER = b"x-request-id"
CLIENTS_MISTAKES = ("Invalid UTF-8 sequence", "Invalid HTTP request", "Unsupported upgrade request")  # as uvicorn says
_PLAIN_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_SECRET = re.compile(
    r"""(?P<login>://)[^/\s@]{1,200}@    # what an address is entered with
    | \bci_[A-Za-z0-9_-]{8,}             # our tokens
    | (?i:\bbearer\s+)\S+
    | [^\s@<>"'()\[\]:;,]{1,64}@[\w-]+(?:\.[\w-]+)+
    | \b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b
    | (?<![\w:])(?:[0-9a-fA-F]{0,4}:){3,7}[0-9a-fA-F]{0,4}(?![\w:])
    """,
    re.VERBOSE,
)

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def begin_request(given: bytes = b"") -> str:
    """From here on this task works for a new request; its id, which is the given one where that is short and plain."""
    id = given.decode() if _PLAIN_ID.fullmatch(given) else secrets.token_hex(8)
    _request_id.set(id)
    return id


def current_request() -> str:
    """The id of the request that this task works for; a new one where it works for none."""
    return _request_id.get() or begin_request()


def blotted(text: str) -> str:
    """A text without what looks like an address or a secret."""
    return _SECRET.sub(lambda found: f"{found['login'] or ''}***", text)


def described(error: BaseException, within: tuple[BaseException, ...] = ()) -> list[str]:
    """What went wrong, and where, after what led to it: lines as Python writes them, with short messages."""
    within = (*within, error)
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    lines = [*described(cause, within), "which led to:"] if cause is not None and cause not in within else []
    lines += "".join(traceback.format_tb(error.__traceback__, -FRAMES)).splitlines()
    lines.append(f"{type(error).__name__}: {message_of(error)}")
    for each in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        lines += [f"  {line}" for line in described(each, within)]
    return lines


def message_of(error: BaseException) -> str:
    details = getattr(error, "details", None)
    if isinstance(details, dict) and "writeErrors" in details:  # the driver's own text holds the documents
        return f"writes failed with the codes {sorted({failure['code'] for failure in details['writeErrors']})}"
    text = " ".join(str(error).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


class Formatter(logging.Formatter):
    """The parts of a record, each as it may be shown."""

    def time_of(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"

    def message_of(self, record: logging.LogRecord) -> str:
        return blotted(record.getMessage().strip())

    def exception_of(self, record: logging.LogRecord) -> str | None:
        error = record.exc_info[1] if record.exc_info else None
        return blotted("\n".join(described(error))) if error is not None else None


class TextFormatter(Formatter):
    """For people: a line, and below it the exception."""

    def format(self, record: logging.LogRecord) -> str:
        message = self.message_of(record).replace("\n", "\\n").replace("\r", "\\r")
        id, exception = _request_id.get(), self.exception_of(record)
        line = f"{self.time_of(record)} {record.levelname} {record.name}: {message}"
        return line + (f" [{id}]" if id and id not in message else "") + (f"\n{exception}" if exception else "")


class JsonFormatter(Formatter):
    """For programs: an object in a line."""

    def format(self, record: logging.LogRecord) -> str:
        shown = {
            "time": self.time_of(record),
            "level": record.levelname,
            "logger": record.name,
            "message": self.message_of(record),
            "requestId": _request_id.get(),
            "exception": self.exception_of(record),
        }
        return json.dumps({name: value for name, value in shown.items() if value is not None})


def set_up(format: str, level: str) -> None:
    """Has this process log to standard error: of its own from `level` on, of what it is built on warnings only."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    logging.getLogger("connect_inbox").setLevel(level.upper())


def quieten_server() -> None:
    """Has uvicorn log no client's address, as it does at INFO for each socket, and no client's mistake as a fault."""
    server = logging.getLogger("uvicorn.error")
    server.setLevel(logging.WARNING)
    server.addFilter(is_ours)


def is_ours(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(CLIENTS_MISTAKES)


Answered = Counter[int]  # how many requests were answered, by status


class Requests:
    """Middleware: gives each request an id, tells it to the client, and logs how it was answered."""

    def __init__(self, app: ASGIApp, answered: Answered) -> None:
        self._app = app
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        id = begin_request(given_id(scope))
        started = time.monotonic()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (HEADER, id.encode())]
                self._answered[message["status"]] += 1
                log_answer(scope["method"], message["status"], time.monotonic() - started)
            await send(message)

        await self._app(scope, receive, send_with_id)


def given_id(scope: Scope) -> bytes:
    given: bytes = next((value for name, value in scope["headers"] if name == HEADER), b"")
    return given


def log_answer(method: str, status: int, seconds: float) -> None:
    """One line for an answer when it begins. Those that an operator looks for are seen without asking for all."""
    level = logging.INFO if status >= 500 or seconds >= SLOW else logging.DEBUG
    logger.log(level, "%s answered with %d after %.3f s", method[:10], status, seconds)
