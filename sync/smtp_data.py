"""A mail on its way through DATA, by pieces: nobody else of this process waits for the whole of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

from aiosmtplib import SMTP, SMTPResponse, SMTPResponseException

DATA_WAIT = 600.0  # seconds, for a mail to be sent and taken: servers look at it first (RFC 5321, 4.5.3.2.6)
PIECE = 64 * 1024  # bytes that are sent at once

_LINE_END = re.compile(rb"\r\n|\r|\n")


class Handover:
    """One mail that is given to a server.

    `is_ended` is set as soon as the end of the mail is written. Whatever was lost before, nobody can have taken it: a
    server must not take a mail that has no end (RFC 5321, 4.1.1.4).
    """

    def __init__(self, client: SMTP, writer: asyncio.StreamWriter, raw: bytes) -> None:
        self._client = client
        self._writer = writer
        self._raw = raw
        self.is_ended = False

    async def answer(self) -> SMTPResponse:
        """DATA and the mail; the answer by which the server took it or refused it. All else raises.

        aiosmtplib's own `data` keeps the loop for itself for as long as it looks at a large mail.
        """
        async with asyncio.timeout(DATA_WAIT):
            return await self._answer()

    async def _answer(self) -> SMTPResponse:
        client = self._client
        begun = await client.execute_command(b"DATA", timeout=None)
        if 400 <= begun.code < 600:
            return begun
        if begun.code != 354 or client.protocol is None:
            raise SMTPResponseException(begun.code, begun.message)
        answering = asyncio.create_task(client.protocol.read_response())
        try:
            await self._write(answering)
            answer = await answering
        finally:
            answering.cancel()
        if not self.is_ended:
            client.close()  # what is said next on it would be taken for a part of the mail
        if 400 <= answer.code < 600 or (200 <= answer.code < 300 and self.is_ended):
            return answer
        raise SMTPResponseException(answer.code, answer.message)

    async def _write(self, answering: asyncio.Task[SMTPResponse]) -> None:
        """All of it, unless the answer comes before, for one that the server does not want."""
        try:
            for piece in pieces(self._raw):
                self._writer.write(stuffed(piece))
                await self._writer.drain()
                await asyncio.sleep(0)  # the others' turn, also where nothing has to be waited for
                if answering.done():
                    return
        except OSError:
            return
        self.is_ended = True
        self._writer.write(b".\r\n")


def pieces(raw: bytes) -> Iterator[bytes]:
    """A mail in whole lines, some at once."""
    start = 0
    while start < len(raw):
        end = raw.find(b"\r\n", start + PIECE)
        end = len(raw) if end < 0 else end + 2
        yield raw[start:end]
        start = end


def stuffed(piece: bytes) -> bytes:
    """Whole lines with a dot before each dot that begins one (RFC 5321, 4.5.2)."""
    dotted = piece.replace(b"\r\n.", b"\r\n..")
    return b"." + dotted if dotted.startswith(b".") else dotted


def canonical(raw: bytes) -> bytes:
    """The mail with CRLF at the end of each line, and nowhere else a CR or LF: servers differ in what those mean.

    With a large mail this takes time, so it is to be called in a thread.
    """
    if raw.endswith(b"\r\n") and all(map(_is_canonical, pieces(raw))):
        return raw
    return _LINE_END.sub(b"\r\n", raw).removesuffix(b"\r\n") + b"\r\n"


def _is_canonical(piece: bytes) -> bool:
    return piece.count(b"\r\n") == piece.count(b"\r") == piece.count(b"\n")
