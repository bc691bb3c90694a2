"""A small SMTP server for the demo (RFC 5321, with PLAIN of RFC 4954): on this machine only, for one user.

It takes every mail that this user sends, and hands it on. What an e-mail program or the outbox does not say, it does
not know.
"""

from __future__ import annotations

import asyncio
import base64
from asyncio import IncompleteReadError, LimitOverrunError, StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

MOST = 30 * 1024 * 1024  # bytes of a mail
GREETING = f"250-localhost\r\n250-SIZE {MOST}\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 AUTH PLAIN"

OnMail = Callable[[list[str], bytes], None]  # to whom, and the mail


class Conversation:
    """With one client."""

    def __init__(self, reader: StreamReader, writer: StreamWriter, login: str, on_mail: OnMail) -> None:
        self._reader = reader
        self._writer = writer
        self._login = login
        self._on_mail = on_mail
        self._is_known = False
        self._recipients: list[str] = []

    async def run(self) -> None:
        await self._say("220 localhost ESMTP")
        verb = ""
        while verb != "QUIT" and (line := await self._reader.readline()):
            word, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            verb = word.upper()
            await self._say(await self._taken() if verb == "DATA" else self._answer(verb, rest))

    async def _say(self, line: str) -> None:
        self._writer.write(f"{line}\r\n".encode())
        await self._writer.drain()

    def _answer(self, verb: str, rest: str) -> str:
        match verb:
            case "EHLO" | "HELO":
                return GREETING
            case "AUTH":
                self._is_known = rest == f"PLAIN {self._login}"
                return "235 2.7.0 Welcome" if self._is_known else "535 5.7.8 Wrong user or password"
            case "MAIL" | "RCPT" if not self._is_known:
                return "530 5.7.0 Log in first"
            case "MAIL" | "RSET":
                self._recipients = []
            case "RCPT":
                self._recipients.append(rest.partition("<")[2].partition(">")[0])
            case "QUIT":
                return "221 2.0.0 Goodbye"
            case "NOOP":
                pass
            case _:
                return "502 5.5.1 Not known here"
        return "250 2.0.0 OK"

    async def _taken(self) -> str:
        """What is said of a mail, once it is here."""
        if not self._recipients:
            return "503 5.5.1 Nobody is to get it"
        await self._say("354 Go on")
        raw = await self._reader.readuntil(b"\r\n.\r\n")
        self._on_mail(self._recipients, raw[:-3].replace(b"\r\n..", b"\r\n."))
        self._recipients = []
        return "250 2.0.0 Taken"


@asynccontextmanager
async def smtp_server(user: str, password: str, on_mail: OnMail) -> AsyncIterator[int]:
    """A server that has ended when the context has; its port."""
    login = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    clients: set[StreamWriter] = set()

    async def talk(reader: StreamReader, writer: StreamWriter) -> None:
        clients.add(writer)
        try:
            await Conversation(reader, writer, login, on_mail).run()
        except (OSError, ValueError, IncompleteReadError, LimitOverrunError):
            pass  # it is gone, or says what no client says
        finally:
            clients.discard(writer)
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, limit=MOST)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for each in clients:
            each.transport.abort()
