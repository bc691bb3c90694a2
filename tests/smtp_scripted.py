"""SMTP servers below any library, which say whatever they are told to; and what a test's mail to them needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from sync import smtp, smtp_data
from sync.mail_server import MailServer
from sync.smtp import RecipientOutcome
from tests.smtp_receiver import SmtpReceiver

ANNA, BOB, CAT, DAN = (f"{name}@mail.test" for name in ("anna", "bob", "cat", "dan"))
PASSWORD = "open sesame"
USERS = {ANNA: PASSWORD}
LOOPBACK = frozenset({"localhost", "127.0.0.1"})
RAW = b"From: <anna@mail.test>\r\n\r\nHello\r\n"

Answers = dict[str, bytes]
GOOD: Answers = {
    "": b"220 here\r\n", "EHLO": b"250-here\r\n250-SIZE 0\r\n250 AUTH PLAIN LOGIN XOAUTH2\r\n", "AUTH": b"235 in\r\n",
    "DATA": b"354 go on\r\n", ".": b"250 kept\r\n",
}  # fmt: skip


def server_at(port: int, host: str = "localhost", **differently: Any) -> MailServer:
    server = MailServer(host, port, ANNA, PASSWORD, encryption="none", allowed_hosts=LOOPBACK)
    return replace(server, **differently)


async def nothing(_: list[RecipientOutcome]) -> None:
    pass


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long."""
    monkeypatch.setattr(smtp, "ANSWER_WAIT", 0.3)
    monkeypatch.setattr(smtp_data, "DATA_WAIT", 0.3)


@asynccontextmanager
async def listening(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A server at a port, each of whose connections ends with its talk."""
    talks: set[asyncio.Task[None]] = set()

    async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await talk(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for each in talks:
            each.cancel()
        await asyncio.gather(*talks)


@asynccontextmanager
async def scripted(answers: Answers) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that says these things and otherwise what is good, and all that it was told.

    `%s` in an answer stands for what is answered.
    """
    said: list[bytes] = []
    answers = GOOD | answers

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answers[""])
        while line := await reader.readline():
            said.append(line.rstrip(b"\r\n"))
            command = said[-1].partition(b" ")[0].decode()
            writer.write(answers.get(command, b"250 ok\r\n").replace(b"%s", said[-1]))
            if command == "DATA" and answers["DATA"].startswith(b"354"):
                await reader.readuntil(b"\r\n.\r\n")
                writer.write(answers["."])

    async with listening(talk) as port:
        yield port, said


@asynccontextmanager
async def wire(receiver: SmtpReceiver) -> AsyncIterator[tuple[int, bytearray]]:
    """A way to a server on which all is kept that passes to it."""
    passed = bytearray()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", receiver.port)

        async def answers() -> None:
            while data := await there.read(65536):
                writer.write(data)

        answering = asyncio.create_task(answers())
        try:
            while data := await reader.read(65536):
                passed.extend(data)
                back.write(data)
        finally:
            answering.cancel()
            back.transport.abort()

    async with listening(talk) as port:
        yield port, passed
