"""Cuts what an IMAP server sends into responses, in linear time: it knows of lines and literals, and of nothing else.

What a line says, however odd, cannot move the border between two responses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO

# A line; where it announces a literal, the literal, and the rest of the line; and so on.
Response = list[bytes]

# Free text can end like the announcement of a literal.
TEXT = re.compile(rb"\* (?:OK|NO|BAD|BYE|PREAUTH)(?: |$)|(?!\* )", re.IGNORECASE)
LITERAL = re.compile(rb"\{(\d{1,20})\+?\}\Z")


MOST_PARTS = 1000


class TooLarge(Exception):
    """A line does not end, or a literal is announced that is larger than any that was asked for, or one too many."""


class Framing:
    """What came and is not a whole response yet."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._parts: Response = []
        self._literal = BytesIO()
        self._missing = 0  # bytes of the literal

    @property
    def is_empty(self) -> bool:
        return not (self._line or self._parts)

    def feed(self, data: bytes, most_line: int, most_literal: int) -> Iterator[Response]:
        """The responses that are whole now, one by one. Raises `TooLarge` for a line or a literal with more bytes."""
        at = 0
        while at < len(data):
            if self._missing:
                at += self._take_literal(memoryview(data)[at : at + self._missing])
                continue
            end = data.find(b"\n", at)
            if end < 0:
                self._line += data[at:]
                if len(self._line) > most_line:
                    raise TooLarge
                return
            line = bytes(self._line) + data[at:end]
            self._line.clear()
            at = end + 1
            self._parts.append(line.removesuffix(b"\r"))
            size = announced(self._parts)
            if size is None:
                whole, self._parts = self._parts, []
                yield whole
            elif size > most_literal or len(self._parts) > MOST_PARTS:
                raise TooLarge
            elif size == 0:
                self._parts.append(b"")
            else:
                self._missing = size

    def _take_literal(self, piece: memoryview) -> int:
        self._literal.write(piece)
        self._missing -= len(piece)
        if not self._missing:
            self._parts.append(self._literal.getvalue())
            self._literal = BytesIO()
        return len(piece)


def announced(parts: Response) -> int | None:
    """The size of the literal that comes next, if one does."""
    if not parts[-1].endswith(b"}") or TEXT.match(parts[0]):
        return None
    found = LITERAL.search(parts[-1])
    return int(found[1]) if found else None
