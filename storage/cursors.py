"""Cursors: a row's place in its list, then the log position that the list's first page was read at.

They compare, as strings, as the list is ordered, so that a client can place a row that a subscription brings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

from schema.types.errors import bad_input
from storage.positions import parse_position

BEYOND = 10**15  # above every log position
_CURSOR = re.compile(r"([0-9])([0-9]{16})\.(.*)", re.DOTALL)


class Section(IntEnum):
    """A list, or a part of one: so that no list takes the cursor of another."""

    UNREAD = 0
    OTHERS = 1
    MESSAGES = 2
    CAMPAIGNS = 3
    NOTIFICATIONS = 4
    QUARANTINED_MAILS = 5


@dataclass(frozen=True)
class Cursor:
    """A place in a list: its section, the number that orders it there, and the position of the first page."""

    section: Section
    number: int
    position: str


def format_cursor(section: Section, number: int, position: str) -> str:
    return f"{section}{number:016d}.{position}"


def newest_first(number: int) -> int:
    """A number for a list whose greatest numbers come first; its own inverse."""
    return BEYOND - number


def parse_cursor(cursor: str | None, *sections: Section) -> Cursor | None:
    """Raises BAD_USER_INPUT for what never was a cursor of such a list."""
    if cursor is None:
        return None
    match = _CURSOR.fullmatch(cursor)
    if match is None or int(match[1]) not in sections:
        raise bad_input(f"{cursor[:60]!r} is not a cursor of this list")
    parse_position(match[3])
    return Cursor(Section(int(match[1])), int(match[2]), match[3])
