"""The parts of a mail (RFC 2045 and 2046), found in one pass over its bytes, without recursion.

A mail within a mail is one part: what is in it was written to somebody else.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from sync.mail import Unparsable
from sync.mail_headers import FIELD, Header, Value, from_base64, from_uu, header_of, value_of

LEVELS = 100
PARTS = 500
BOUNDARY = 200  # bytes; RFC 2046 allows 70

UUENCODED = {"x-uuencode", "uuencode", "x-uue", "uue"}
DELIMITER = re.compile(rb"^--([^\n]{1,%d})$" % (BOUNDARY + 10), re.MULTILINE)


@dataclass
class Part:
    """A part that has no parts, or one that has."""

    header: Header
    content_type: Value
    start: int
    end: int
    level: int
    alternative: Part | None  # the outermost multipart/alternative around it
    is_related: bool  # it is within a multipart/related
    boundary: bytes | None = None
    parts: list[Part] = field(default_factory=list)

    def content(self, raw: bytes) -> bytes:
        """What it holds, decoded. What is wrong in the encoding is passed over."""
        body = raw[self.start : self.end]
        encoding = self.header.raw("content-transfer-encoding").strip().lower()
        if encoding == "base64":
            return from_base64(body)
        if encoding == "quoted-printable":
            return binascii.a2b_qp(body)
        if encoding in UUENCODED:
            return from_uu(body)
        return body


def structure_of(raw: bytes) -> Part:
    """A mail as a tree of parts."""
    root = part_at(raw, 0, len(raw), None)
    around = [root] if root.boundary else []  # those that are not at their end, the innermost last
    count = 1
    for line in DELIMITER.finditer(raw, root.start):
        if not around:
            break
        found = named(around, line[1].rstrip())
        if found is None or line.start() < around[-1].start:
            continue
        place, is_last = found
        close(around, place, before_line(raw, line.start()))
        if is_last:
            around.pop()
            continue
        count += 1
        if count > PARTS:
            raise Unparsable(f"it has more than {PARTS} parts")
        part = part_at(raw, min(line.end() + 1, len(raw)), len(raw), around[-1])
        around[-1].parts.append(part)
        if part.boundary:
            around.append(part)
    return root


def named(around: list[Part], line: bytes) -> tuple[int, bool] | None:
    """Which of the open parts a delimiter belongs to, and whether it is their last. The innermost counts."""
    for place in range(len(around) - 1, -1, -1):
        if line == around[place].boundary:
            return place, False
        if line[-2:] == b"--" and line[:-2] == around[place].boundary:
            return place, True
    return None


def before_line(raw: bytes, start: int) -> int:
    """Where the line before ends: its line end belongs to the delimiter."""
    return start - (2 if raw[start - 2 : start] == b"\r\n" else 1)


def close(around: list[Part], place: int, end: int) -> None:
    """Ends what is open within a part, and the last part in it."""
    for part in [*around[place + 1 :], *(inner.parts[-1] for inner in around[place:] if inner.parts)]:
        part.end = max(part.start, min(part.end, end))
    del around[place + 1 :]


def part_at(raw: bytes, start: int, end: int, parent: Part | None) -> Part:
    header, body = header_of(raw, start, end)
    content_type = value_of(header.raw("content-type", FIELD))
    level = parent.level + 1 if parent else 0
    if level > LEVELS:
        raise Unparsable(f"its parts lie more than {LEVELS} deep in each other")
    boundary = content_type.parameters.get("boundary", "").encode()[:BOUNDARY].rstrip()
    is_multipart = content_type.word.startswith("multipart/") and boundary
    return Part(
        header, content_type, body, end, level,
        alternative=alternative_of(parent),
        is_related=parent is not None and (parent.is_related or parent.content_type.word == "multipart/related"),
        boundary=boundary if is_multipart else None,
    )  # fmt: skip


def alternative_of(parent: Part | None) -> Part | None:
    if parent is None or parent.alternative:
        return parent and parent.alternative
    return parent if parent.content_type.word == "multipart/alternative" else None


def leaves_of(part: Part) -> Iterator[Part]:
    """The parts that have no parts, in their order. A multipart in which none was found is one of them."""
    waiting = [part]
    while waiting:
        part = waiting.pop()
        if part.parts:
            waiting.extend(reversed(part.parts))
        else:
            yield part
