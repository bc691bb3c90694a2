"""What an IMAP server's responses say. Flat loops only: what nests deeply is malformed, and stops nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from sync.imap_framing import LITERAL, Response
from sync.imap_names import Folder, decode_name

MOST_DEPTH = 50
MOST_UID = 2**32 - 1
MOST_WORDS = 200  # characters
BUSY_CODES = frozenset({"UNAVAILABLE", "INUSE", "LIMIT"})
BUSY_WORDS = ("too many", "try again later")

Value = bytes | list["Value"] | None
Items = dict[str, Value]  # of a mail, by their names in upper case

STATUS = re.compile(rb"(OK|NO|BAD|BYE|PREAUTH)(?: +\[([^\]]*)\])?(?: +(.*))?\Z", re.IGNORECASE | re.DOTALL)
KEYWORD = re.compile(rb"\* (?:\d+ )?([A-Za-z]+)")
COUNT = re.compile(rb"\* (\d{1,10}) ([A-Za-z]+)")
# A parenthesis, a quoted string, or an atom, which may have a section with blanks: BODY[HEADER.FIELDS ("To")]<0>.
TOKEN = re.compile(rb'([()])|"((?:[^"\\]++|\\.)*+)"|((?:[^\s()"\[\]]++|\[[^\]]*+\])++)')
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DATE = re.compile(r"(\d{1,2})-([a-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)\Z", re.ASCII)
SPACE = re.compile(rb"\s*")
FETCH = re.compile(rb"\* \d+ FETCH ", re.IGNORECASE)


class Malformed(Exception):
    """A response is not what IMAP allows there."""


@dataclass(frozen=True)
class Status:
    """A condition: OK, NO, BAD, BYE or PREAUTH, perhaps with a code in brackets, and words for people."""

    result: str
    code: str  # in upper case, without its arguments
    argument: str
    words: str


def status_of(text: bytes) -> Status | None:
    found = STATUS.match(text)
    if found is None:
        return None
    code, _, argument = plain(found[2] or b"").partition(" ")
    return Status(plain(found[1]).upper(), code.upper(), argument, plain(found[3] or b""))


def is_busy(status: Status) -> bool:
    return status.code in BUSY_CODES or any(words in status.words.lower() for words in BUSY_WORDS)


def plain(text: bytes) -> str:
    """On one line, without control characters, and not long."""
    printable = (letter if letter.isprintable() else " " for letter in text[: 4 * MOST_WORDS].decode(errors="replace"))
    return " ".join("".join(printable).split())[:MOST_WORDS]


def keyword_of(line: bytes) -> str:
    """What an untagged response is about: FETCH, EXISTS, LIST, OK …"""
    found = KEYWORD.match(line)
    return found[1].decode().upper() if found else ""


def count_of(line: bytes) -> int:
    found = COUNT.match(line)
    if found is None:
        raise Malformed
    return int(found[1])


def number(text: bytes | str, most: int = MOST_UID) -> int:
    """Raises `Malformed` for what is none, or too large."""
    if not text.isdigit() or len(text) > 10 or int(text) > most:
        raise Malformed
    return int(text)


def values_of(response: Response, start: int) -> list[Value]:
    """What stands in a response from there on: strings and literals, NIL as None, and lists of such."""
    found: list[Value] = []
    stack = [found]
    for place, part in enumerate(response):
        if place % 2:
            stack[-1].append(part)
        else:
            line = LITERAL.sub(b"", part) if place + 1 < len(response) else part
            read_line(line, start if place == 0 else 0, stack)
    if len(stack) != 1:
        raise Malformed
    return found


def read_line(line: bytes, at: int, stack: list[list[Value]]) -> None:
    """Puts what a line says into the innermost list, which is another at the end where lists begin or end in it."""
    at = end_of(SPACE, line, at)
    while at < len(line):
        token = TOKEN.match(line, at)
        if token is None:
            raise Malformed
        if token[1] == b"(":
            inner: list[Value] = []
            stack[-1].append(inner)
            stack.append(inner)
        elif token[1] == b")":
            stack.pop()
        else:
            stack[-1].append(string(token))
        if not 0 < len(stack) <= MOST_DEPTH:
            raise Malformed
        at = end_of(SPACE, line, token.end())


def end_of(pattern: re.Pattern[bytes], line: bytes, at: int) -> int:
    found = pattern.match(line, at)
    return found.end() if found else at


def string(token: re.Match[bytes]) -> bytes | None:
    if token[2] is not None:
        return re.sub(rb"\\(.)", rb"\1", token[2], flags=re.DOTALL)
    return None if token[3].upper() == b"NIL" else token[3]


def fetched(response: Response) -> Items:
    """What a FETCH response says of a mail."""
    values = values_of(response, end_of(FETCH, response[0], 0))
    items = values[0] if len(values) == 1 else None
    if not isinstance(items, list) or len(items) % 2:
        raise Malformed
    pairs = zip(items[::2], items[1::2], strict=True)
    return {plain(name).upper(): value for name, value in pairs if isinstance(name, bytes)}


def items_by_uid(responses: Iterable[Response], uids: set[int]) -> dict[int, Items]:
    """What was said of these mails, however many responses each took. Changes of others come in between."""
    mails: dict[int, Items] = {}
    for response in responses:
        items = fetched(response)
        uid = items.get("UID")
        if isinstance(uid, bytes) and number(uid) in uids:
            mail = mails.setdefault(number(uid), {})
            mail.update((name, value) for name, value in items.items() if value is not None or name not in mail)
    return mails


def size_of(items: Items) -> int | None:
    size = items.get("RFC822.SIZE")
    return number(size) if isinstance(size, bytes) else None


def time_of(items: Items) -> int:
    """When a mail came to the folder, in milliseconds, of which the server knows whole seconds; 0 where it does not."""
    date = items.get("INTERNALDATE")
    found = DATE.match(plain(date).lower()) if isinstance(date, bytes) else None
    if found is None:
        return 0
    day, month, year, hour, minute, second, sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
    try:
        zone = timezone(offset)
        at = datetime(int(year), MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second), tzinfo=zone)
    except ValueError:
        return 0
    return int(at.timestamp()) * 1000


def date_before(time: int) -> str:
    """The day before a time, as searches have it: they know of days alone, and of those in the server's zone."""
    day = datetime.fromtimestamp(time / 1000, UTC) - timedelta(days=1)
    return f"{day.day}-{MONTHS[day.month - 1].title()}-{day.year:04}"


def content(items: Items, section: str) -> bytes | None:
    """A part of a mail, asked for from its beginning; none where the server has nothing."""
    value = items.get(f"{section}<0>", items.get(section))
    if isinstance(value, list):
        raise Malformed
    return value


def content_of_fields(items: Items) -> bytes | None:
    """Fields of a header, which were asked for by their names; none where the server has nothing.

    It may write their names otherwise than they were asked for.
    """
    found = [value for name, value in items.items() if name.startswith("BODY[HEADER.FIELDS")]
    lines = [value.strip(b"\r\n") for value in found if isinstance(value, bytes)]
    return b"".join(each + b"\r\n" for each in lines if each) if lines else None


def opened(responses: Iterable[Response]) -> tuple[int, int | None, int]:
    """From the answer to EXAMINE: UIDVALIDITY, the next UID where it is said, and how many mails there are."""
    exists, codes = 0, dict[str, str]()
    for line, *_ in responses:
        status = status_of(line.removeprefix(b"* "))
        if status is None:
            exists = count_of(line)
        elif codes.setdefault(status.code, status.argument) != status.argument and status.code == "UIDVALIDITY":
            raise Malformed
    uid_next = codes.get("UIDNEXT")
    return number(codes.get("UIDVALIDITY", "")), None if uid_next is None else number(uid_next), exists


def searched(responses: Iterable[Response]) -> list[int]:
    """The UIDs that a search found, in order."""
    uids: set[int] = set()
    for response in responses:
        uids.update(number(word) for word in response[0].split()[2:])
    return sorted(uids)


def listed(response: Response) -> Folder | None:
    """A line of a LIST answer; none where the folder's name cannot be told."""
    values = values_of(response, len(b"* LIST"))
    if len(values) < 3:
        raise Malformed
    attributes, separator, encoded = values[:3]
    if not isinstance(attributes, list) or isinstance(separator, list) or not isinstance(encoded, bytes):
        raise Malformed
    name = decode_name(encoded)
    if name is None:
        return None
    flags = frozenset(plain(flag).lower() for flag in attributes if isinstance(flag, bytes))
    return Folder(name, plain(separator) if separator else None, flags)
