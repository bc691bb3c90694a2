"""The header of a mail or of a part, field by field, in linear time. Nothing here raises on any bytes.

The standard library's parser of headers is not used: it takes quadratic time, and fails on some.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote_to_bytes

from sync.mail_charsets import decoded, one_line

FIELD = 8 * 1024  # bytes of one field; what is longer is cut
LIST_FIELD = 32 * 1024  # bytes of a field that lists Message-IDs, or addresses in a report
ADDRESS_FIELD = 128 * 1024  # bytes of a field that lists whom a mail is for
FIELDS = 1000  # in one header; more are passed over
DATE = 200  # characters
REFERENCES = 100  # the newest ones, which are last

# What is possessive (`*+`) remembers no way back, which would take much memory.
LINES = re.compile(rb"([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)\n?")
END = re.compile(rb"\r?\n")
MBOX = re.compile(rb">?From [^\n]*\n")

WORD = re.compile(r"=\?([^?\s]{1,80})\?([bq])\?([^?]*)\?=", re.IGNORECASE)
MESSAGE_ID = re.compile(r"<[^<>\s]+>")
BETWEEN_IDS = re.compile(r"[<>\s,;()]+")
PARAMETER = re.compile(r';\s*([^=\s;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)', re.DOTALL)
PIECE = re.compile(r"(.+?)(?:\*(\d{1,3}))?(\*)?")
ESCAPED = re.compile(r"\\(.)", re.DOTALL)
NOT_BASE64 = bytes(byte for byte in range(256) if not (chr(byte).isalnum() and byte < 128 or byte in b"+/"))


@dataclass(frozen=True)
class Header:
    """Fields by their names in lower case, in their order, unfolded and not decoded."""

    fields: dict[str, list[bytes]] = field(default_factory=dict)

    def raw(self, name: str, most: int = FIELD) -> str:
        """A field's first value as it is written. What is not UTF-8 in it is read as Latin-1."""
        values = self.fields.get(name)
        return decoded(values[0][:most], None) if values else ""

    def text(self, name: str) -> str:
        """A field's first value for people: decoded, on one line."""
        return one_line(decoded_words(self.raw(name)))

    def joined(self, name: str, most: int = LIST_FIELD) -> str:
        """All values of a field that lists something."""
        return decoded(b", ".join(self.fields.get(name, []))[:most], None)

    def __contains__(self, name: str) -> bool:
        return name in self.fields


@dataclass(frozen=True)
class Value:
    """A value with parameters: `text/plain; charset=utf-8`."""

    word: str
    parameters: dict[str, str]


def header_of(raw: bytes, start: int = 0, end: int | None = None) -> tuple[Header, int]:
    """The header that begins at `start`, and where its body does."""
    end = len(raw) if end is None else end
    header = Header()
    mbox = MBOX.match(raw, start, end)
    position = mbox.end() if mbox else start
    count = 0
    while line := LINES.match(raw, position, end):
        position = line.end()
        count += 1
        if count <= FIELDS:
            header.fields.setdefault(line[1].decode("ascii").lower(), []).append(unfolded(line[2]))
    blank = END.match(raw, position, end)
    return header, blank.end() if blank else position


def with_line_feeds(raw: bytes) -> bytes:
    """A mail whose lines have ends, also where they end in carriage returns alone."""
    return raw if b"\n" in raw else raw.replace(b"\r", b"\n")


def without_field(raw: bytes, name: str) -> bytes:
    """A mail as it is but for one field of its header, by its name in lower case."""
    raw = with_line_feeds(raw)
    mbox = MBOX.match(raw)
    position = mbox.end() if mbox else 0
    kept = [raw[:position]]
    while line := LINES.match(raw, position):
        position = line.end()
        if line[1].decode("ascii").lower() != name:
            kept.append(line[0])
    return b"".join([*kept, raw[position:]])


def unfolded(value: bytes) -> bytes:
    return value[:ADDRESS_FIELD].replace(b"\r", b"").replace(b"\n", b"").strip()


def decoded_words(value: str) -> str:
    """Encoded words (RFC 2047) as text. A character may lie across two of them, so that neighbours are one."""
    if "=?" not in value:
        return value
    return "".join(pieces_of(value))


def pieces_of(value: str) -> Iterator[str]:
    last, charset, pending = 0, "", b""
    for word in WORD.finditer(value):
        between = value[last : word.start()]
        name = word[1].partition("*")[0].lower()  # after the star there is a language (RFC 2231)
        if pending and (between.strip() or name != charset):
            yield decoded(pending, charset)
            pending = b""
        if between.strip() or last == 0:
            yield between
        charset, last = name, word.end()
        pending += from_base64(word[3].encode()) if word[2] in "bB" else from_q(word[3])
    yield decoded(pending, charset)
    yield value[last:]


def from_base64(data: bytes) -> bytes:
    """What is no base64 in it is passed over, and so is the lack of an end."""
    clean = data.translate(None, NOT_BASE64)
    clean = clean[: len(clean) - (len(clean) % 4 == 1)]
    return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))


def from_uu(data: bytes) -> bytes:
    """The lines between `begin` and `end`; one that is no such line is passed over."""
    decoded_lines = []
    for line in data.splitlines():
        try:
            decoded_lines.append(binascii.a2b_uu(line))
        except binascii.Error:
            if line.strip() == b"end":
                break
    return b"".join(decoded_lines)


def from_q(text: str) -> bytes:
    return binascii.a2b_qp(text.encode(), header=True)


def value_of(raw: str) -> Value:
    """A value and its parameters, those in pieces or with a character set (RFC 2231) as one."""
    word = raw.partition(";")[0].strip().lower()
    pieces: dict[str, dict[int, tuple[bool, str]]] = {}
    for found in PARAMETER.finditer(raw):
        piece = PIECE.fullmatch(found[1].lower())
        if piece is not None:
            place = int(piece[2] or 0)
            pieces.setdefault(piece[1], {}).setdefault(place, (piece[3] is not None, unquoted(found[2])))
    return Value(word, {name: parameter_of(found) for name, found in pieces.items()})


def unquoted(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        return ESCAPED.sub(r"\1", text[1:-1])
    return text


def parameter_of(pieces: dict[int, tuple[bool, str]]) -> str:
    is_extended, first = pieces[min(pieces)]
    if not is_extended and len(pieces) == 1:
        return one_line(decoded_words(first))
    charset = ""
    if is_extended and first.count("'") >= 2:
        charset, _, first = first.split("'", 2)
    data = b""
    for place in sorted(pieces):
        is_encoded, text = pieces[place]
        text = first if place == min(pieces) else text
        data += unquote_to_bytes(text) if is_encoded else text.encode(errors="replace")
    return one_line(decoded(data, charset))


def message_id_of(raw: str) -> str | None:
    """A Message-ID in angle brackets, also where the mail forgot them."""
    found = MESSAGE_ID.search(raw)
    if found:
        return one_line(found[0])
    bare = next((word for word in BETWEEN_IDS.split(raw) if "@" in word), None)
    return f"<{one_line(bare)}>" if bare else None


def original_id_of(header: Header) -> str | None:
    """The Message-ID that Microsoft's servers have replaced by one of their own."""
    return message_id_of(header.raw("x-microsoft-original-message-id"))


def message_ids_of(raw: str) -> list[str]:
    """All Message-IDs, each once, in their order; of very many the last ones."""
    found = list(dict.fromkeys(one_line(id) for id in MESSAGE_ID.findall(raw)))
    return found[-REFERENCES:]


def date_of(raw: str) -> datetime | None:
    """A moment in UTC. A date without a zone is taken to be in UTC."""
    try:
        moment = parsedate_to_datetime(raw[:DATE])
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
