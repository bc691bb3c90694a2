"""Which web pages may talk to us: those served from our own address, and those of the configured origins."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers


def is_allowed(headers: Headers, origins: tuple[str, ...]) -> bool:
    """Whether the page that a browser says it speaks for may. Whatever is no browser sends no `Origin` (RFC 6454)."""
    origin = headers.get("origin")
    if origin is None or origin in origins:
        return True
    try:
        address = urlsplit(origin).netloc.lower()
    except ValueError:
        return False
    return bool(address) and address == headers.get("host", "").lower()
