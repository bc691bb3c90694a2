"""From a server's name to a connection that is logged in, and what was wrong where that fails."""

from __future__ import annotations

import asyncio
import socket
import ssl
from base64 import b64encode
from dataclasses import dataclass

from aioimaplib.aioimaplib import AUTH, quoted

from sync.calling import call, tls_context
from sync.imap_protocol import Allowance, ImapProtocol
from sync.mail_server import Failure, MailServer, MailServerFailed

CAPABILITIES = Allowance(frozenset({"CAPABILITY"}))


@dataclass(frozen=True)
class ImapLimits:
    """How long we wait, in seconds."""

    connect: float = 15.0  # for the connection, and again for its encryption
    answer: float = 30.0  # for an answer, beside what it takes to carry a mail
    idle: float = 9 * 60.0  # for one IDLE; networks forget a silent connection soon after
    poll: float = 60.0  # between two questions, where there is no IDLE
    rate: int = 32 * 1024  # bytes a second that a mail is carried at, at least


async def logged_in(server: MailServer, limits: ImapLimits) -> ImapProtocol:
    """A connection that is logged in. Raises `MailServerFailed`, and nothing is left open then."""
    check_credentials(server)
    protocol = await connected(server, limits)
    try:
        await protocol.within(limits.answer, protocol.until(lambda: protocol.greeting is not None))
        await read_capabilities(protocol, limits)
        if server.encryption == "starttls":
            await start_tls(protocol, server, limits)
        await log_in(protocol, server, limits)
        await read_capabilities(protocol, limits)
    except BaseException:
        await protocol.end(limits.connect)
        raise
    return protocol


def check_credentials(server: MailServer) -> None:
    """LOGIN carries ASCII alone. What a server makes of anything else differs, and looks like a wrong password."""
    for what, text in (("user name", server.user), ("access token" if server.is_oauth else "password", server.secret)):
        if not text:
            raise MailServerFailed(Failure.LOGIN, f"the {what} is empty")
        if not text.isascii() or not text.isprintable():
            raise MailServerFailed(
                Failure.LOGIN, f"the {what} has characters other than ASCII, which IMAP cannot carry"
            )


async def connected(server: MailServer, limits: ImapLimits) -> ImapProtocol:
    """A connection whose server has not said anything yet, encrypted where that comes first."""
    context = await tls_context(server) if server.encryption == "tls" else None
    connection = await call(server, limits.connect)
    return await speaking(connection, server, context, limits.connect)


async def speaking(
    connection: socket.socket, server: MailServer, context: ssl.SSLContext | None, seconds: float
) -> ImapProtocol:
    protocol = ImapProtocol(secrets_of(server))
    name = server.host if context else None
    try:
        async with asyncio.timeout(seconds):
            await protocol.loop.create_connection(lambda: protocol, sock=connection, ssl=context, server_hostname=name)
    except (OSError, TimeoutError) as error:
        raise tls_failure(error) from None
    return protocol


def tls_failure(error: Exception) -> MailServerFailed:
    if isinstance(error, ssl.SSLCertVerificationError):
        return MailServerFailed(Failure.TLS, f"the certificate is not good: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return MailServerFailed(Failure.TLS, f"encryption cannot be agreed on: {error.reason or 'no reason was given'}")
    return MailServerFailed(Failure.TLS, "the host answers, but does not begin to encrypt")


async def start_tls(protocol: ImapProtocol, server: MailServer, limits: ImapLimits) -> None:
    """What came before the encryption is forgotten, and nothing that came with the answer is taken for what follows."""
    context = await tls_context(server)
    status, _ = await protocol.ask(protocol.command("STARTTLS"), limits.answer)
    if status.result != "OK":
        raise protocol.fail(Failure.TLS, protocol.told("the server does not offer encryption", status.words))
    try:
        async with asyncio.timeout(limits.connect):
            await protocol.encrypt(context, server.host)
    except (OSError, TimeoutError) as error:
        failed = tls_failure(error)
        raise protocol.fail(failed.failure, failed.reason) from None
    await read_capabilities(protocol, limits)


async def read_capabilities(protocol: ImapProtocol, limits: ImapLimits) -> None:
    """What the server can do now, which is more once somebody has logged in."""
    status, responses = await protocol.ask(protocol.command("CAPABILITY"), limits.answer, CAPABILITIES)
    if status.result != "OK":
        raise protocol.refuse(status, Failure.PROTOCOL, "the server does not say what it can do")
    words = (word.decode(errors="replace").upper() for response in responses for word in response[0].split()[2:])
    protocol.capabilities = set(words)


async def log_in(protocol: ImapProtocol, server: MailServer, limits: ImapLimits) -> None:
    if server.is_oauth:
        if "AUTH=XOAUTH2" not in protocol.capabilities:
            raise protocol.fail(Failure.LOGIN, "the server takes no access tokens (XOAUTH2)")
        command = token_command(protocol, server)
    else:
        if "LOGINDISABLED" in protocol.capabilities:
            raise protocol.fail(Failure.LOGIN, "the server takes no passwords, or none on such a connection")
        command = protocol.command("LOGIN", quoted(server.user), quoted(server.secret))
    status, _ = await protocol.ask(command, limits.answer)
    if status.code == "PRIVACYREQUIRED":
        raise protocol.fail(Failure.TLS, protocol.told("the server asks for encryption", status.words))
    if status.result != "OK":
        what = "access token" if server.is_oauth else "password"
        raise protocol.refuse(status, Failure.LOGIN, f"the {what} was refused")
    protocol.state = AUTH


def token_command(protocol: ImapProtocol, server: MailServer) -> object:
    """With the token in it where the server takes it so (SASL-IR), or else when it asks."""
    answer = sasl(server)
    if "SASL-IR" in protocol.capabilities:
        return protocol.command("AUTHENTICATE", "XOAUTH2", answer)
    protocol.answers.append(answer)
    return protocol.command("AUTHENTICATE", "XOAUTH2")


def sasl(server: MailServer) -> str:
    return b64encode(f"user={server.user}\1auth=Bearer {server.secret}\1\1".encode()).decode()


def secrets_of(server: MailServer) -> tuple[str, ...]:
    """The secret in every form in which it is sent, and in which a server could repeat it."""
    return (server.secret, sasl(server)) if server.is_oauth else (server.secret, quoted(server.secret))
