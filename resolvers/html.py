"""HTML that clients write: made safe, and refused where making it safe would take long.

Formatting that is left open is repeated in everything that follows it, so that little HTML can stand for millions of
elements. How many there can be is counted before anything is built of it.
"""

from __future__ import annotations

import asyncio
import re

from resolvers import validate
from schema.types.errors import Refused, UserErrorCode
from sync.mail_html import safe_html

MOST_HTML = 200_000  # characters
MOST_MADE = 5 * MOST_HTML  # characters of it once it is safe
MOST_REPEATED = 50_000  # elements

FORMATTING = {"a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"}
# What everybody reads as the same tags. Of anything else it is not known where a tag ends.
PLAIN = re.compile(
    r"""<(/?)([a-z][a-z0-9]*)(?:\s++[^\s"'<>/=]++(?:\s*+=\s*+(?:"[^"<>]*+"|'[^'<>]*+'|[^\s"'<>=`]++))?+)*+\s*+/?>"""
    r"|<!--[^<>-]*+-->",
    re.IGNORECASE,
)
TAG = re.compile(r"<()([a-z]++)", re.IGNORECASE)


async def checked_html(html: str, field: str = "html") -> str:
    """What may be shown and sent of it."""
    return await asyncio.to_thread(made_safe, html, field)


def made_safe(html: str, field: str) -> str:
    text = validate.text(html, field, most=MOST_HTML)
    if repeated(text) > MOST_REPEATED:
        raise Refused(UserErrorCode.INVALID, f"{field} leaves too much of its formatting open", field)
    made = safe_html(text).html
    if len(made) > MOST_MADE:
        raise Refused(UserErrorCode.TOO_LONG, f"{field} has at most {MOST_MADE} characters once it is safe", field)
    return made


def repeated(html: str) -> int:
    """How many elements may come of formatting that is open where others begin, at most."""
    is_plain = "<" not in PLAIN.sub("", html)
    opened: list[str] = []
    open_formatting = found = 0
    for end, name in (PLAIN if is_plain else TAG).findall(html.lower()):
        if not end:
            found += open_formatting
            opened.append(name)
            open_formatting += name in FORMATTING
        elif opened and opened[-1] == name:
            opened.pop()
            open_formatting -= name in FORMATTING
    return found
