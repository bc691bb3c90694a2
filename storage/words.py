"""Words for search: normalised once when they are stored, and matched by their beginning on an index."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

LONGEST = 64
LAST = "\U0010ffff"
_NOT_DECOMPOSED = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h"}
)
_APOSTROPHES = str.maketrans("’‘ʼ", "'''")  # as telephones write it
_PART = re.compile(r"[^\W_]+")
_EDGES = re.compile(r"^\W+|\W+$")


def normalised(text: str) -> str:
    """The text without differences of case, accents and width."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(character for character in decomposed if not unicodedata.combining(character))
    return plain.casefold().translate(_NOT_DECOMPOSED).translate(_APOSTROPHES)


def words_of(texts: Iterable[str]) -> set[str]:
    """Every word that a search may begin with: whole ones as they are written, and their letters-and-digits parts."""
    words: set[str] = set()
    for text in texts:
        for word in normalised(text).split():
            words.add(word[:LONGEST])
            words.update(part[:LONGEST] for part in _PART.findall(word))
    return words


def terms_of(search: str) -> list[str]:
    """What a search asks for; each term must begin some word. What is not of letters and digits counts within one."""
    terms = {(_EDGES.sub("", term) or term.lstrip("@"))[:LONGEST] for term in normalised(search).split()}
    return sorted(terms - {""}, key=len, reverse=True)


def name_key(name: str) -> str:
    """What two names share that may not stand beside each other."""
    return unicodedata.normalize("NFKC", " ".join(name.split())).casefold()
