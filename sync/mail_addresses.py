"""Lists of addresses (RFC 5322, and what is found in practice instead), in linear time. Nothing here raises."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from sync.mail import Address
from sync.mail_charsets import one_line
from sync.mail_headers import decoded_words

ADDRESSES = 2000  # in one list; large providers let nobody write to more
TOKENS = re.compile(
    r"""(?P<encoded>=\?[^?\s]{1,80}\?[bBqQ]\?[^?]*\?=)  # whole, as it may hold what separates addresses
    |   (?P<quoted>"(?:[^"\\]|\\.)*")
    |   (?P<angle><[^<>]*>)
    |   (?P<pair>\\.)
    |   (?P<space>\s+)
    |   (?P<mark>[,;:()])
    |   (?P<word>[^\s"<>\\,;:()=]+|.)""",
    re.VERBOSE | re.DOTALL,
)
ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def addresses_of(raw: str) -> list[Address]:
    """The addresses of a list, with the names beside them. What has no address is passed over."""
    found = list(islice(scanned(raw, comments=True), ADDRESSES))
    if found and found[-1] is None:  # a bracket was never closed: it began no comment
        found = list(islice(scanned(raw, comments=False), ADDRESSES))
    return [address for address in found if address is not None]


def scanned(raw: str, comments: bool) -> Iterator[Address | None]:
    """Each address of a list. At last None, if the list ended within a comment."""
    phrase: list[str] = []
    comment: list[str] = []
    angle: str | None = None
    depth = 0
    for token in TOKENS.finditer(raw):
        text = token[0]
        depth += comments and text == "("
        if depth == 1 and text in ("(", ")"):
            depth -= text == ")"
        elif depth:
            depth -= text == ")"
            comment.append(text)
        elif token["angle"] is not None:
            angle = angle or text[1:-1]
        elif text == ":":
            phrase = []  # it was the name of a group
        elif text in (",", ";"):
            yield from one(phrase, comment, angle)
            phrase, comment, angle = [], [], None
        else:
            phrase.append(text)
    yield from one(phrase, comment, angle)
    if depth:
        yield None


def one(phrase: list[str], comment: list[str], angle: str | None) -> Iterator[Address]:
    """The address that was scanned, if it is one."""
    name = "".join(phrase)
    if angle is None:
        plain = next((word for word in name.split() if "@" in word.strip("@") and '"' not in word), None)
        if plain is not None:
            yield Address(one_line(plain), name_of("".join(comment)))
        return
    address = one_line(angle.rpartition(":")[2]).replace(" ", "")  # before a colon there was a route once
    if "@" in address:
        yield Address(address, name_of(name))


def name_of(raw: str) -> str:
    """A name without the quotes around it."""
    return one_line(decoded_words(ESCAPED.sub(r"\1", raw))).strip("\"' ")
