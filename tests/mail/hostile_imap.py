"""An IMAP server that does what it is told to, and well-behaved what it is not told about."""

from __future__ import annotations

import asyncio
import re
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from sync.mail_server import MailServer

HEADER = b"From: Mia <mia@example.org>\r\nSubject: hello\r\n\r\n"
MAIL = HEADER + b"Hello!\r\n"
GMAIL_CHALLENGE = b"+ eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIn0=\r\n"  # {"status":"400","schemes":"Bearer"}


@dataclass
class Peer:
    """A client, as the server sees it."""

    reader: StreamReader
    writer: StreamWriter
    tag: bytes = b""
    said: int = 0  # bytes that were accepted by the client's side

    async def line(self) -> bytes:
        """What the client says next. An empty one where it has gone."""
        return (await self.reader.readline()).rstrip(b"\r\n")

    async def say(self, text: bytes) -> None:
        self.writer.write(text.replace(b"TAG", self.tag))
        await self.writer.drain()
        self.said += len(text)

    def cut(self) -> None:
        self.writer.transport.abort()


Answer = bytes | Callable[[Peer], Awaitable[None]]

GREETING = "greeting"
DONE = "DONE"
FETCHED = b'* 1 FETCH (UID 7 RFC822.SIZE %d INTERNALDATE " 7-Jul-2026 02:44:25 -0700" %s {%d}\r\n%s)\r\nTAG OK done\r\n'
DATE = 1783417465_000  # the same in milliseconds
WELL_BEHAVED: dict[str, Answer] = {
    GREETING: b"* OK ready\r\n",
    "CAPABILITY": b"* CAPABILITY IMAP4rev1 IDLE SASL-IR AUTH=XOAUTH2\r\nTAG OK done\r\n",
    "LOGIN": b"TAG OK welcome\r\n",
    "AUTHENTICATE": b"TAG OK welcome\r\n",
    "LIST": b'* LIST (\\HasNoChildren) "/" INBOX\r\n* LIST (\\Sent) "/" Gone\r\nTAG OK done\r\n',
    "EXAMINE": b"* 1 EXISTS\r\n* OK [UIDVALIDITY 5] valid\r\n* OK [UIDNEXT 8] next\r\nTAG OK [READ-ONLY] done\r\n",
    "SEARCH": b"* SEARCH 7\r\nTAG OK done\r\n",
    "HEADER": FETCHED % (len(MAIL), b"BODY[HEADER]<0>", len(HEADER), HEADER),
    "SIZE": b"* 1 FETCH (UID 7 RFC822.SIZE %d)\r\nTAG OK done\r\n" % len(MAIL),
    "BODY": FETCHED % (len(MAIL), b"BODY[]<0>", len(MAIL), MAIL),
    "IDLE": b"+ idling\r\n* 2 EXISTS\r\n",
    DONE: b"TAG OK done\r\n",
    "APPEND": b"+ go on\r\n",
    "APPENDED": b"TAG OK done\r\n",
    "NOOP": b"TAG OK done\r\n",
    "LOGOUT": b"* BYE bye\r\nTAG OK done\r\n",
}


async def silence(peer: Peer) -> None:
    """Says nothing, for as long as the client is there."""
    while await peer.line():
        pass


async def cut(peer: Peer) -> None:
    peer.cut()


async def endless_line(peer: Peer) -> None:
    with suppress(OSError):
        await peer.say(b"* ")
        while True:
            await peer.say(b"x" * 65536)


def byte_by_byte(answer: bytes) -> Answer:
    async def say(peer: Peer) -> None:
        for byte in answer.replace(b"TAG", peer.tag):
            await peer.say(bytes([byte]))
            await asyncio.sleep(0)  # so that the client reads it alone

    return say


def flood(first: bytes, chunk: bytes, size: int) -> Answer:
    """As much as that, if the client takes it."""

    async def say(peer: Peer) -> None:
        with suppress(OSError):
            await peer.say(first)
            for _ in range(size // len(chunk)):
                await peer.say(chunk)

    return say


class HostileImap:
    """On a port of this machine. `answers` are those that differ from a well-behaved server's, and may be changed."""

    def __init__(self, port: int, answers: dict[str, Answer]) -> None:
        self.port = port
        self.answers = answers
        self.peers: list[Peer] = []
        self.lines: list[bytes] = []  # that clients said

    def account(self, is_oauth: bool = False, ca_file: str | None = None) -> MailServer:
        return MailServer(
            "localhost", self.port, "anna@example.org", "correct horse", is_oauth=is_oauth, ca_file=ca_file,
            encryption="tls" if ca_file else "none", allowed_hosts=frozenset({"localhost"}),
        )  # fmt: skip

    async def handle(self, reader: StreamReader, writer: StreamWriter) -> None:
        peer = Peer(reader, writer)
        self.peers.append(peer)
        with suppress(OSError):
            await self._answer(peer, GREETING)
            while line := await peer.line():
                self.lines.append(line)
                await self._take(peer, line)
        writer.transport.abort()

    async def _take(self, peer: Peer, line: bytes) -> None:
        if line == b"DONE":
            await self._answer(peer, DONE)
            return
        peer.tag, _, command = line.partition(b" ")
        await self._answer(peer, name_of(command))
        literal = re.search(rb"\{(\d+)\}$", line)
        if literal:
            await peer.reader.readexactly(int(literal[1]) + 2)
            await self._answer(peer, "APPENDED")

    async def _answer(self, peer: Peer, name: str) -> None:
        answer = self.answers.get(name, WELL_BEHAVED.get(name, b"TAG BAD what?\r\n"))
        await (peer.say(answer) if isinstance(answer, bytes) else answer(peer))


def name_of(command: bytes) -> str:
    name = command.removeprefix(b"UID ").split(b" ")[0].decode()
    if name != "FETCH":
        return name
    return "HEADER" if b"HEADER" in command else "BODY" if b"BODY" in command else "SIZE"


@asynccontextmanager
async def hostile_imap(
    answers: dict[str, Answer] | None = None, context: ssl.SSLContext | None = None
) -> AsyncIterator[HostileImap]:
    """A server that has ended, with all its connections, when the context has."""
    servers: list[HostileImap] = []
    server = await asyncio.start_server(
        lambda reader, writer: servers[0].handle(reader, writer), "127.0.0.1", 0, ssl=context
    )
    servers.append(HostileImap(server.sockets[0].getsockname()[1], dict(answers or {})))
    try:
        yield servers[0]
    finally:
        server.close()
        for peer in servers[0].peers:
            peer.cut()
        await server.wait_closed()
