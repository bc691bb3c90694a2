"""HTML that clients write: made safe, and refused where too much comes of it."""

from __future__ import annotations

import asyncio

from resolvers import validate
from schema.types.errors import Refused, UserErrorCode
from sync.mail_html import safe_html

MOST_HTML = 200_000  # characters
MOST_MADE = 5 * MOST_HTML  # characters of it once it is safe


async def checked_html(html: str, field: str = "html") -> str:
    """What may be shown and sent of it."""
    return await asyncio.to_thread(made_safe, html, field)


def made_safe(html: str, field: str) -> str:
    made = safe_html(validate.text(html, field, most=MOST_HTML)).html
    if len(made) > MOST_MADE:
        raise Refused(UserErrorCode.TOO_LONG, f"{field} has at most {MOST_MADE} characters once it is safe", field)
    return made
