"""A real SMTP server for tests and the demo: it keeps what it is sent, and fails where it is told to.

It runs in the caller's own event loop. What is sent is on disk nowhere.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

DEADLINE = 20.0  # seconds

# When it is that a script is followed. For MAIL the address is the sender's, else a recipient's.
Step = Literal["MAIL", "RCPT", "DATA", "CONTENT", "ANSWER", "AFTER"]


class Act(Enum):
    """What a server does instead of answering."""

    SILENCE = "SILENCE"
    DROP = "DROP"


@dataclass
class Script:
    """What becomes of mails from or to one address: an answer such as `550 5.1.1 Nobody here`, or an act.

    MAIL, RCPT and DATA are the commands; CONTENT is in the midst of the mail; ANSWER is when the mail is here, is kept,
    and the sender does not know it yet; AFTER is when the sender was told.
    """

    step: Step
    does: str | Act
    times: int | None = None  # how often; None: always


@dataclass(frozen=True)
class Received:
    """A mail, as it came."""

    sender: str
    recipients: list[str]
    raw: bytes
    user: str | None  # who was logged in
    is_encrypted: bool


OnMail = Callable[[Received], Awaitable[None]]
KnowsToken = Callable[[str, str], Awaitable[bool]]


@dataclass
class SmtpReceiver:
    """What is known of a server, and what it is told to do."""

    port: int = 0
    users: dict[str, str] = field(default_factory=dict)  # their passwords
    tokens: dict[str, str] = field(default_factory=dict)  # their access tokens, for XOAUTH2
    mails: list[Received] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)  # of all connections, without what follows AUTH
    scripts: dict[str, Script] = field(default_factory=dict)  # by address
    knows_token: KnowsToken | None = None  # asked for a user's token that is none of `tokens`
    on_mail: OnMail | None = None  # told of each mail before its sender is; where it fails the sender may try again
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def received(self, count: int = 1) -> list[Received]:
        """All mails, once there are so many."""
        async with asyncio.timeout(DEADLINE):
            while len(self.mails) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.mails

    async def keep(self, mail: Received) -> None:
        self.mails.append(mail)
        self._arrived.set()
        if self.on_mail is not None:
            await self.on_mail(mail)

    def script(self, step: Step, addresses: Iterable[str]) -> str | Act | None:
        """What is to be done at this step, if any of the addresses has a script for it."""
        for address in addresses:
            found = self.scripts.get(address)
            if found is not None and found.step == step and found.times != 0:
                found.times = found.times and found.times - 1
                return found.does
        return None

    async def handle_DATA(self, server: ReceiverProtocol, session: Session, envelope: Envelope) -> str:
        """What is said of a mail that is here."""
        does = self.script("ANSWER", envelope.rcpt_tos)
        if isinstance(does, str):
            return does  # it is refused, so it is not kept
        raw = envelope.original_content or b""
        mail = Received(str(envelope.mail_from), list(envelope.rcpt_tos), raw, server.user(), server.is_encrypted())
        await self.keep(mail)
        if does is not None:
            await server.act(does)
        return f"250 2.0.0 Kept as {len(self.mails)}"

    async def handle_exception(self, error: Exception) -> str:
        """What `on_mail` raises, above all."""
        return f"451 4.3.0 {type(error).__name__}"

    def lets_in(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: Any) -> AuthResult:
        assert isinstance(login, LoginPassword)
        known = self.users.get(login.login.decode())
        is_known = known is not None and known.encode() == login.password
        return AuthResult(success=is_known, handled=False, auth_data=login)


class QuietSession(Session):
    """Whose `login_data`, which the server itself sets, is not logged as out of date."""

    login_data: Any = None


class ReceiverProtocol(SMTP):
    """One connection. What is overridden here are the commands in which a script may have a say."""

    def __init__(self, receiver: SmtpReceiver, **options: Any) -> None:
        super().__init__(
            receiver, authenticator=receiver.lets_in, auth_require_tls=False, hostname="mx.test", **options
        )
        self.receiver = receiver

    def _create_session(self) -> Session:
        return QuietSession(self.loop)

    async def end(self) -> None:
        """Ends the connection, whatever it is at."""
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()
            await self._handler_coroutine

    async def act(self, does: str | Act) -> None:
        if isinstance(does, str):
            await self.push(does)
            return
        if does is Act.DROP:
            assert isinstance(self.transport, asyncio.Transport)
            self.transport.abort()
        await asyncio.Event().wait()  # until the connection is lost, which cancels us

    async def is_scripted(self, step: Step, addresses: Iterable[str]) -> bool:
        does = self.receiver.script(step, addresses)
        if does is not None:
            await self.act(does)
        return does is not None

    def user(self) -> str | None:
        assert self.session is not None
        login = self.session.auth_data
        return login.login.decode() if isinstance(login, LoginPassword) else None

    def is_encrypted(self) -> bool:
        return self.transport is not None and self.transport.get_extra_info("ssl_object") is not None

    async def smtp_MAIL(self, arg: str | None) -> None:
        self.receiver.commands.append(f"MAIL {arg}")
        assert self.session is not None
        if not self.session.authenticated:
            await self.push("530 5.7.0 Authentication required")
        elif not await self.is_scripted("MAIL", [address_in(arg)]):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str | None) -> None:
        self.receiver.commands.append(f"RCPT {arg}")
        if not await self.is_scripted("RCPT", [address_in(arg)]):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg: str) -> None:
        self.receiver.commands.append("DATA")
        assert self.envelope is not None
        recipients = self.envelope.rcpt_tos
        if recipients and await self.is_scripted("DATA", recipients):
            return
        amidst = self.receiver.script("CONTENT", recipients)
        if amidst is not None:
            await self.push("354 Go on")
            await self._reader.readline()
            assert isinstance(amidst, Act), "an answer comes after the mail: ANSWER"
            await self.act(amidst)
        await super().smtp_DATA(arg)
        if self.receiver.script("AFTER", recipients) is not None:
            assert self.transport is not None
            self.transport.close()  # once the answer is out

    async def smtp_RSET(self, arg: str) -> None:
        self.receiver.commands.append("RSET")
        await super().smtp_RSET(arg)

    async def smtp_NOOP(self, arg: str) -> None:
        self.receiver.commands.append("NOOP")
        await super().smtp_NOOP(arg)

    async def smtp_QUIT(self, arg: str) -> None:
        self.receiver.commands.append("QUIT")
        await super().smtp_QUIT(arg)

    async def smtp_AUTH(self, arg: str) -> None:
        self.receiver.commands.append(f"AUTH {arg.partition(' ')[0]}")
        await super().smtp_AUTH(arg)

    async def auth_XOAUTH2(self, _: SMTP, args: list[str]) -> AuthResult:
        said = base64.b64decode(args[1]).decode().split("\x01")
        user, token = said[0].removeprefix("user="), said[1].removeprefix("auth=Bearer ")
        asked = self.receiver.knows_token
        if self.receiver.tokens.get(user) == token or (asked is not None and await asked(user, token)):
            return AuthResult(success=True, auth_data=LoginPassword(user.encode(), b""))
        await self.challenge_auth('{"status":"400","schemes":"Bearer","scope":"https://mail.test/"}')
        return AuthResult(success=False, handled=False)


def address_in(arg: str | None) -> str:
    """The address of MAIL and RCPT."""
    return (arg or "").partition("<")[2].partition(">")[0]


@asynccontextmanager
async def smtp_receiver(
    users: dict[str, str] | None = None,
    tokens: dict[str, str] | None = None,
    *,
    encryption: Literal["tls", "starttls", "none"] = "none",
    context: ssl.SSLContext | None = None,
    on_mail: OnMail | None = None,
    most: int = 25 * 1024 * 1024,
    takes_utf8: bool = True,
    without: Iterable[str] = (),
) -> AsyncIterator[SmtpReceiver]:
    """A server at 127.0.0.1 that has ended when the context has.

    `users` have passwords, `tokens` are access tokens of users; `context` is for the encryption; `most` is the size of
    a mail that is taken; `without` are ways to log in (PLAIN, LOGIN, XOAUTH2) that are not offered.
    """
    receiver = SmtpReceiver(users=users or {}, tokens=tokens or {}, on_mail=on_mail)
    connections: list[ReceiverProtocol] = []

    def connection() -> ReceiverProtocol:
        protocol = ReceiverProtocol(
            receiver, data_size_limit=most, enable_SMTPUTF8=takes_utf8, auth_exclude_mechanism=without,
            tls_context=context if encryption == "starttls" else None, require_starttls=encryption == "starttls",
            loop=asyncio.get_running_loop(),
        )  # fmt: skip
        connections.append(protocol)
        return protocol

    loop = asyncio.get_running_loop()
    server = await loop.create_server(connection, "127.0.0.1", 0, ssl=context if encryption == "tls" else None)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        await asyncio.gather(*(each.end() for each in connections), return_exceptions=True)
