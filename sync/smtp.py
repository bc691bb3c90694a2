"""Sends mail through a server that lets us in, by single commands, so that the moment before DATA is ours.

Until then nothing has happened, whatever goes wrong. Where the connection is lost before the end of the mail was
written, nobody has it, and it may be tried again. From there until the server's last answer is here nobody knows
whether it was taken, unless the server says so: that is neither a success nor a failure, but OutcomeUnknown.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from aiosmtplib import SMTP, SMTPException, SMTPResponse, SMTPResponseException

from storage.addresses import on_the_wire
from sync.calling import call, tls_context
from sync.composing_headers import is_address
from sync.mail_server import Failure, MailServer, MailServerFailed
from sync.smtp_data import Handover, canonical
from sync.smtp_failures import lost, said, told_apart

CONNECT_WAIT = 20.0  # seconds, for a connection to an address
ANSWER_WAIT = 60.0  # seconds, for an answer to a command
QUIT_WAIT = 2.0  # seconds
OUR_NAME = "[127.0.0.1]"  # in EHLO; it tells nobody what our machine is called

NOT_LET_IN = (530, 534, 535, 538)  # for want of a login, or of one that is good enough (RFC 4954, 6)

_NUMBER = re.compile(r"[0-9]{1,18}")
_NOT_LET_IN = re.compile(r"5\.7\.(8|9|11|30|57|139)(?![0-9])")  # the same; from 30 on Microsoft's, if SMTP AUTH is off


class OutcomeUnknown(Exception):
    """The mail may have been taken, and may not. `words` is one line that says what happened.

    Those who were `refused` before have not got it in any case.
    """

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words
        self.refused: list[RecipientOutcome] = []


@dataclass(frozen=True)
class RecipientOutcome:
    """What a server said of one recipient. A mail that it took it may still send back."""

    address: str
    accepted: bool
    temporary: bool  # not accepted now, but perhaps later
    words: str  # the server's, on one line


BeforeData = Callable[[list[RecipientOutcome]], Awaitable[None]]


class SmtpConnection:
    """A connection on which mails are sent one after the other. After an exception from it, it is of no more use."""

    def __init__(self, client: SMTP, server: MailServer) -> None:
        self._client = client
        self._server = server
        self._is_new = True
        transport, protocol = client.transport, client.protocol
        assert isinstance(transport, asyncio.WriteTransport) and protocol is not None
        self._writer = asyncio.StreamWriter(transport, protocol, None, asyncio.get_running_loop())

    async def check(self) -> None:
        """Raises where the server does not do what it is asked for."""
        with told_apart(self._server, "NOOP", Failure.PERMISSION):
            await self._client.noop()

    async def send(
        self, sender: str, recipients: list[str], raw: bytes, before_data: BeforeData
    ) -> list[RecipientOutcome]:
        """Sends a mail, and says what became of it for each recipient, in their order.

        `before_data` is awaited with what was said of each by then, and only where somebody is to get the mail. What
        goes wrong before raises MailServerFailed, and what goes wrong after it OutcomeUnknown.
        """
        raw, sender = await asyncio.to_thread(canonical, raw), on_the_wire(sender)
        if not self._client.is_connected:  # and what it can do is not known any more
            raise MailServerFailed(Failure.LOST, "the connection was lost")
        refusal = self._refusal(sender, recipients, raw)
        if refusal is not None:
            return [RecipientOutcome(each, False, False, refusal) for each in recipients]
        outcomes = await self._begin(sender, recipients, raw)
        if not any(each.accepted for each in outcomes):
            return outcomes
        await before_data(outcomes)
        try:
            of_all = await self._hand_over(raw)
        except OutcomeUnknown as error:
            error.refused = [each for each in outcomes if not each.accepted]
            raise
        return [replace(of_all, address=each.address) if each.accepted else each for each in outcomes]

    def _refusal(self, sender: str, recipients: list[str], raw: bytes) -> str | None:
        """Why this server cannot be given the mail at all."""
        if not is_address(sender):
            return "the sender's address is none"
        if not are_ascii(sender, recipients, raw) and not self._client.supports_extension("smtputf8"):
            return "an address of the mail has letters that this server cannot carry (it has no SMTPUTF8)"
        most = self._client.esmtp_extensions.get("size", "")
        if _NUMBER.fullmatch(most) and 0 < int(most) < len(raw):
            return f"the mail has {megabytes(len(raw))}, and this server takes {megabytes(int(most))} at most"
        return None

    async def _begin(self, sender: str, recipients: list[str], raw: bytes) -> list[RecipientOutcome]:
        """Everything before DATA."""
        if not self._is_new:
            with told_apart(self._server, "RSET", Failure.PROTOCOL):
                await self._client.rset()
        self._is_new = False
        options = [f"SIZE={len(raw)}"] if self._client.supports_extension("size") else []
        options += [] if are_ascii(sender, recipients, raw) else ["SMTPUTF8"]
        with told_apart(self._server, "sender", Failure.LOGIN):
            try:
                await self._client.mail(sender, options=options, encoding="utf-8")
            except SMTPResponseException as error:
                if not is_about_the_mail(error):
                    raise
                answer = SMTPResponse(error.code, error.message)
                return [self._outcome(each, answer) for each in recipients]
        return [await self._offer(each) for each in recipients]

    async def _offer(self, recipient: str) -> RecipientOutcome:
        if not is_address(recipient):
            return RecipientOutcome(recipient, False, False, "this is no address")
        with told_apart(self._server, "recipient", Failure.PERMISSION):
            try:
                answer = await self._client.rcpt(on_the_wire(recipient), encoding="utf-8")
            except SMTPResponseException as error:
                if error.code == 421 or not 400 <= error.code < 600:
                    raise
                answer = SMTPResponse(error.code, error.message)
        return self._outcome(recipient, answer)

    def _outcome(self, recipient: str, answer: SMTPResponse) -> RecipientOutcome:
        words = said(self._server, answer.code, answer.message)
        return RecipientOutcome(recipient, answer.code < 400, 400 <= answer.code < 500, words)

    async def _hand_over(self, raw: bytes) -> RecipientOutcome:
        """What became of the mail for everybody who was to get it, without an address. All else is OutcomeUnknown."""
        handover = Handover(self._client, self._writer, raw)
        try:
            return self._outcome("", await handover.answer())
        except Exception as error:
            self._client.close()
            if handover.is_ended or not is_loss(error):
                raise unknown(self._server, error) from error
            return RecipientOutcome("", False, True, lost("DATA", error).reason)


def is_about_the_mail(error: SMTPResponseException) -> bool:
    """Whether MAIL was refused for good for its size or a limit, say, and not because we are not let in."""
    is_about_us = error.code in NOT_LET_IN or _NOT_LET_IN.match(error.message)
    return 500 <= error.code < 600 and not is_about_us


def is_loss(error: Exception) -> bool:
    """Whether a connection failed, and not what was said on it."""
    return isinstance(error, SMTPException | OSError) and not isinstance(error, SMTPResponseException)


def unknown(server: MailServer, error: Exception) -> OutcomeUnknown:
    if isinstance(error, SMTPResponseException):
        return OutcomeUnknown(f"DATA: {said(server, error.code, error.message)}")
    return OutcomeUnknown(lost("DATA", error).reason)


def are_ascii(sender: str, recipients: list[str], raw: bytes) -> bool:
    return all(on_the_wire(each).isascii() for each in [sender, *recipients]) and raw.isascii()


def megabytes(size: int) -> str:
    return f"{size / 1_000_000:.1f} MB"


@asynccontextmanager
async def smtp_connection(server: MailServer) -> AsyncIterator[SmtpConnection]:
    """A connection to a server that has let us in. Raises MailServerFailed."""
    client = await connected(server)
    transport = client.transport
    assert isinstance(transport, asyncio.Transport)
    try:
        yield SmtpConnection(client, server)
        await quit(client)
    finally:
        client.close()
        transport.abort()  # whether or not all was sent: the other side may have stopped to read


async def quit(client: SMTP) -> None:
    """Says goodbye. All that matters is done by then."""
    try:
        await client.quit(timeout=QUIT_WAIT)
    except (SMTPException, OSError):
        pass


async def connected(server: MailServer) -> SMTP:
    context, sock = await tls_context(server), await call(server, CONNECT_WAIT)
    client = SMTP(
        hostname=server.host, sock=sock, use_tls=server.encryption == "tls", start_tls=False,
        tls_context=context, local_hostname=OUR_NAME, timeout=ANSWER_WAIT,
    )  # fmt: skip
    try:
        with told_apart(server, "connecting", Failure.PERMISSION):
            await client.connect()
            await client.ehlo()
        if server.encryption == "starttls":
            await encrypt(client, server)
        await log_in(client, server)
    except BaseException:
        transport = client.transport
        client.close()
        if isinstance(transport, asyncio.Transport):
            transport.abort()
        raise
    return client


async def encrypt(client: SMTP, server: MailServer) -> None:
    if not client.supports_extension("starttls"):
        raise MailServerFailed(Failure.TLS, "the server offers no encryption (no STARTTLS)")
    with told_apart(server, "STARTTLS", Failure.TLS):
        await client.starttls()
        await client.ehlo()


async def log_in(client: SMTP, server: MailServer) -> None:
    """By the first way that the server offers: a second refusal would only count against the user."""
    ways = {"xoauth2": client.auth_xoauth2} if server.is_oauth else {
        "plain": client.auth_plain, "login": client.auth_login,
    }  # fmt: skip
    way = next((each for name, each in ways.items() if name in client.server_auth_methods), None)
    if way is None:
        offered = said(server, 0, ", ".join(client.server_auth_methods).upper()) or "none"
        raise MailServerFailed(Failure.LOGIN, f"the server offers no login of this kind, but {offered}")
    with told_apart(server, "login", Failure.LOGIN):
        await way(server.user, server.secret)
