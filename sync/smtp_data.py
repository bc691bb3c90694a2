"""A mail on its way through DATA, by pieces: nobody else of this process waits for the whole of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

from aiosmtplib import SMTP, SMTPResponse, SMTPResponseException

DATA_WAIT = 600.0  # seconds, for a mail to be sent and taken: servers look at it first (RFC 5321, 4.5.3.2.6)
PIECE = 64 * 1024  # bytes that are sent at once

_LINE_END = re.compile(rb"\r\n|\r|\n")


async def hand_over(client: SMTP, writer: asyncio.StreamWriter, raw: bytes) -> SMTPResponse:
    """DATA and the mail; the answer by which the server took it or refused it. All else raises.

    aiosmtplib's own `data` keeps the loop for itself for as long as it looks at a large mail.
    """
    async with asyncio.timeout(DATA_WAIT):
        return await _hand_over(client, writer, raw)


async def _hand_over(client: SMTP, writer: asyncio.StreamWriter, raw: bytes) -> SMTPResponse:
    begun = await client.execute_command(b"DATA", timeout=None)
    if 400 <= begun.code < 600:
        return begun
    if begun.code != 354 or client.protocol is None:
        raise SMTPResponseException(begun.code, begun.message)
    answering = asyncio.create_task(client.protocol.read_response())
    try:
        is_whole = await write_pieces(writer, raw, answering)
        answer = await answering
    finally:
        answering.cancel()
    if not is_whole:
        client.close()  # what is said next on it would be taken for a part of the mail
    if 400 <= answer.code < 600 or (200 <= answer.code < 300 and is_whole):
        return answer
    raise SMTPResponseException(answer.code, answer.message)


async def write_pieces(writer: asyncio.StreamWriter, raw: bytes, answering: asyncio.Task[SMTPResponse]) -> bool:
    """Whether all of a mail could be sent. The answer may come before, for one that the server does not want."""
    try:
        for piece in pieces(raw):
            writer.write(stuffed(piece))
            await writer.drain()
            await asyncio.sleep(0)  # the others' turn, also where nothing has to be waited for
            if answering.done():
                return False
        writer.write(b".\r\n")
    except OSError:
        return False
    return True


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
