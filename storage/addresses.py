"""E-mail addresses in the one form in which they are sent to and compared. What people wrote is what is shown.

A domain with other letters than ASCII's has two forms (RFC 5890): U-labels, which people write, and A-labels, which are
in the DNS and which every server takes. Mail comes with either.
"""

from __future__ import annotations

import idna

LONGEST = 253  # characters of a domain


def on_the_wire(address: str) -> str:
    """An address with its domain as A-labels. One that is in ASCII, or has no such form, stays as it is."""
    local, at, domain = address.rpartition("@")
    if domain.isascii() or len(domain) > LONGEST:
        return address
    try:
        return f"{local}{at}{idna.encode(domain, uts46=True).decode('ascii')}"
    except UnicodeError:
        return address


def canonical(address: str) -> str:
    """The same for all forms of an address: two that are written differently are one if this is the same."""
    return on_the_wire(address).lower()


def has_domain(address: str) -> bool:
    """Whether the domain can be asked for in the DNS, as far as its letters tell."""
    return on_the_wire(address).rpartition("@")[2].isascii()
