"""IMAP's wire: aioimaplib's protocol, with everything that a server can do wrong taken out of its hands.

What it receives is cut into responses here, kept only where it was asked for, and counted against what the command at
hand may bring. The first failure ends the connection: whoever waits is woken with it, and whoever comes later gets it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeVar

from aioimaplib.aioimaplib import CONNECTED, NONAUTH, SELECTED, Command, IMAP4ClientProtocol

from sync.imap_framing import Framing, Response, TooLarge
from sync.imap_parsing import Status, is_busy, keyword_of, status_of
from sync.mail_server import Failure, MailServerFailed

T = TypeVar("T")

# It tells mails and commands at the level DEBUG, and formats them at any.
logging.getLogger("aioimaplib").setLevel(logging.ERROR)

SMALL = 64 * 1024  # bytes, for what is short
AT_ONCE = 1000  # responses that are taken in one turn; a server may send a hundred thousand at once
PAUSE = 0.005  # seconds in which others have their turn
NOISE = 4 * 1024 * 1024  # bytes that may come besides: whoever marks a folder as seen tells us of each of its mails
OVERHEAD = 32  # bytes that a response is counted as having more than it has; short ones take as long as others
KEPT_OVERHEAD = 128  # the same for one that is kept, as it is several objects then
TAGGED = re.compile(rb"([A-Z0-9]+) (?i:OK|NO|BAD)(?: |\Z)")
BROKEN_CODES = {"SERVERBUG", "CORRUPTION"}  # RFC 5530
TOO_MUCH = "the server sent more than it was asked for"


@dataclass(frozen=True)
class Allowance:
    """What a command may bring."""

    wanted: frozenset[str] = frozenset()  # untagged responses that are kept, by their keywords
    holding: tuple[bytes, ...] = ()  # and only if they hold one of these
    budget: int = SMALL  # bytes, of what is kept
    literal: int = SMALL  # bytes, of one literal
    noise: int = NOISE  # bytes, of all else


NOTHING = Allowance()


class ImapProtocol(IMAP4ClientProtocol):  # type: ignore[misc]  # it has no annotations
    """One connection. One caller at a time."""

    transport: Any

    def __init__(self, secrets: tuple[str, ...]) -> None:
        super().__init__(asyncio.get_running_loop())
        self.failure: MailServerFailed | None = None
        self.greeting: Status | None = None
        self.is_closed = False
        self.is_idling = False
        self.has_news = False  # mails were announced
        self.is_woken = False  # who waits for news has something else to do
        self.answers: list[str] = []  # to what the server asks while we authenticate
        self._secrets = secrets
        self._framing = Framing()
        self._coming: Iterator[Response] = iter(())
        self._is_behind = False  # there is more to take than was good to take at once
        self._allowance = NOTHING
        self._left = self._room = SMALL
        self._changed = asyncio.Event()
        self._timer: asyncio.Timeout | None = None
        self._silence = self._latest = 0.0  # seconds, and a time

    # What comes from the server.

    def data_received(self, data: bytes) -> None:
        if self.failure is not None:
            return
        self._left -= len(data)
        if self._left < 0:
            self.fail(Failure.PROTOCOL, TOO_MUCH)
            return
        if self._timer is not None and not self._timer.expired():
            self._timer.reschedule(min(self.loop.time() + self._silence, self._latest))
        coming = self._framing.feed(data, self._allowance.budget, self._allowance.literal)
        self._coming = chain(self._coming, coming) if self._is_behind else coming
        if not self._is_behind:
            self._take_some()

    def _take_some(self) -> None:
        """As much as others can wait for. Then they have their turn, and nothing more is read meanwhile."""
        taken = 0
        try:
            for response in islice(self._coming, AT_ONCE):
                if self.failure is not None:
                    return
                self._take(response)
                taken += 1
        except TooLarge:
            self.fail(Failure.PROTOCOL, TOO_MUCH)
            return
        self._left -= OVERHEAD * taken
        self._changed.set()
        was_behind, self._is_behind = self._is_behind, taken == AT_ONCE
        if self._is_behind:
            self.transport.pause_reading()
            self.loop.call_later(PAUSE, self._take_some)
        elif was_behind:
            self.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.fail(Failure.LOST, "the connection broke")
        self.is_closed = True
        self._changed.set()

    def _take(self, response: Response) -> None:
        line = response[0]
        if self.state == CONNECTED:
            self._take_greeting(line)
        elif line.startswith(b"* "):
            self._take_untagged(response)
        elif line.startswith(b"+"):
            self._continuation(line)
        elif line:
            self._response_done(line)

    def _take_greeting(self, line: bytes) -> None:
        self.greeting = status_of(line.removeprefix(b"* "))
        if self.greeting is None or self.greeting.result not in {"OK", "BYE"}:
            self.fail(Failure.PROTOCOL, "the server did not begin as an IMAP server does")
        elif self.greeting.result == "BYE":
            self.fail(Failure.BUSY, self.told("the server lets nobody in now", self.greeting.words))
        else:
            self.state = NONAUTH

    def _take_untagged(self, response: Response) -> None:
        keyword = keyword_of(response[0])
        if keyword == "BYE":
            self._take_bye(response[0])
        elif keyword == "EXISTS":
            self.has_news = True
        elif keyword == "OK" and self._is_renumbered(response[0]):
            self.fail(Failure.PROTOCOL, "the server renumbers a folder that is open")
        if keyword in self._allowance.wanted and self.pending is not None:
            self._keep(response)

    def _keep(self, response: Response) -> None:
        holding = self._allowance.holding
        if holding and not any(mark in part.upper() for part in response[::2] for mark in holding):
            return
        self._room -= KEPT_OVERHEAD + sum(map(len, response))
        if self._room < 0:
            self.fail(Failure.PROTOCOL, TOO_MUCH)
        else:
            self.pending.append_to_resp(response)

    def _is_renumbered(self, line: bytes) -> bool:
        is_opening = self.pending is not None and self.pending.name == "EXAMINE"
        return self.state == SELECTED and not is_opening and line.upper().startswith(b"* OK [UIDVALIDITY ")

    def _take_bye(self, line: bytes) -> None:
        if self.pending is not None and self.pending.name == "LOGOUT":
            return
        status = status_of(line.removeprefix(b"* "))
        is_early = self.state == NONAUTH
        failure = Failure.BUSY if is_early or (status and is_busy(status)) else Failure.LOST
        self.fail(failure, self.told("the server ended the connection", status.words if status else ""))

    def _response_done(self, line: bytes) -> None:
        tagged = TAGGED.match(line)
        if tagged is None or self.pending is None or tagged[1].decode() != self.pending.tag:
            self.fail(Failure.PROTOCOL, "the server answered what it was not asked")
        else:
            super()._response_done(line)

    def _continuation(self, line: bytes) -> None:
        name = self.pending.name if self.pending is not None else None
        if name == "APPEND" and self.literal_data is not None:
            super()._continuation(line)
        elif name == "AUTHENTICATE":
            # Where a token is refused the server says why first, and goes on once it has got an empty answer.
            self.send(self.answers.pop(0) if self.answers else "")
        elif name == "IDLE":
            self.is_idling = True
        else:
            self.fail(Failure.PROTOCOL, "the server asked for what there is not")

    # What we do.

    @property
    def pending(self) -> Any:
        """The command that is not answered yet, if there is one."""
        return self.pending_sync_command or next(iter(self.pending_async_commands.values()), None)

    def send(self, line: str, scrub: str | None = None) -> None:
        """Without telling it to a log."""
        self.transport.write(f"{line}\r\n".encode())

    def command(self, name: str, *arguments: str, prefix: str | None = None) -> Any:
        return Command(name, self.new_tag(), *arguments, prefix=prefix, loop=self.loop)

    def begin(self, allowance: Allowance) -> None:
        """Before a command. Raises where the connection has failed."""
        self.check()
        self._allowance = allowance
        self._room = allowance.budget
        self._left = allowance.budget + (allowance.noise if self.state == SELECTED else SMALL)

    async def ask(
        self, command: Any, seconds: float, allowance: Allowance = NOTHING, more: float = 0.0
    ) -> tuple[Status, list[Response]]:
        """Has a command answered: with how it went, and the untagged responses that were wanted.

        The server is silent for at most so many seconds, and done after so many and some more.
        """
        self.begin(allowance)
        await self.within(seconds, self.execute(command), more)
        return self.answer_to(command)

    def answer_to(self, command: Any) -> tuple[Status, list[Response]]:
        """How a command went that is done. Raises where it is only done because the connection has failed."""
        self.check()
        result, lines = command.response
        status = status_of(result.encode() + b" " + lines[-1])
        assert status is not None  # it was one when it came
        return status, lines[:-1]

    async def within(self, seconds: float, work: Awaitable[T], more: float = 0.0) -> T:
        """Waits for it, and ends the connection where it takes longer or is given up: nothing fits together then."""
        self._silence, self._latest = seconds, self.loop.time() + seconds + more
        try:
            async with asyncio.timeout(seconds) as self._timer:
                return await work
        except TimeoutError:
            raise self.fail(Failure.LOST, "the server did not answer in time") from None
        except asyncio.CancelledError:
            self.fail(Failure.LOST, "it was left in the middle of a command")
            raise
        finally:
            self._timer = None

    def wake(self) -> None:
        """Ends the waiting for news, now or as soon as it begins."""
        self.is_woken = True
        self._changed.set()

    async def wait_for_news(self, seconds: float) -> None:
        """Until mails are announced, or somebody wakes us, or that time is over."""
        try:
            async with asyncio.timeout(seconds):
                await self.until(lambda: self.has_news or self.is_woken)
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            self.fail(Failure.LOST, "it was left in the middle of a command")
            raise
        self.is_woken = False

    async def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        """From now on. What came before it could be anybody's, and ends the connection where it is not asked for."""
        if not self._framing.is_empty:
            raise self.fail(Failure.TLS, "the server said something before the encryption began")
        transport = await self.loop.start_tls(self.transport, self, context, server_hostname=host)
        if self.failure is not None:
            transport.abort()
        self.transport = transport
        self.check()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for something that the server does. Raises where the connection fails meanwhile."""
        while not condition():
            self.check()
            self._changed.clear()
            await self._changed.wait()
        self.check()

    def check(self) -> None:
        if self.failure is not None:
            raise MailServerFailed(self.failure.failure, self.failure.reason)

    def fail(self, failure: Failure, reason: str) -> MailServerFailed:
        """Ends the connection at once, and wakes who waits. What failed first is what is told."""
        if self.failure is None:
            self.failure = MailServerFailed(failure, reason)
            if self.pending is not None:
                self.pending.close(b"", "BAD")
            self._changed.set()
            if self.transport is not None:
                self.transport.abort()
        return self.failure

    def refuse(self, status: Status, failure: Failure, what: str) -> MailServerFailed:
        """The end of a connection whose server said NO or BAD."""
        if is_busy(status):
            failure = Failure.BUSY
        elif status.result == "BAD" or status.code in BROKEN_CODES:
            failure = Failure.PROTOCOL
        return self.fail(failure, self.told(what, status.words))

    def told(self, what: str, words: str) -> str:
        """With the server's own words, but where they repeat a secret."""
        return what if not words or repeats(words, self._secrets) else f"{what}: {words}"

    async def end(self, seconds: float) -> None:
        """Lets go of the connection, and waits a moment until it is gone."""
        self.fail(Failure.LOST, "the connection was closed")
        try:
            async with asyncio.timeout(seconds):
                while not self.is_closed and self.transport is not None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass


def repeats(words: str, secrets: tuple[str, ...]) -> bool:
    """Whether there is so much of a secret in what was said that it should not be told."""
    for secret in secrets:
        length = min(8, len(secret))
        pieces = (words[at : at + length].casefold() for at in range(len(words) - length + 1))
        if length and any(piece in secret.casefold() for piece in pieces):
            return True
    return False
