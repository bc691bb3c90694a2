"""Which searches find what."""

from __future__ import annotations

import pytest

from storage.words import terms_of, words_of


@pytest.mark.parametrize(
    ("search", "text"),
    [
        ("sean,", "Sean Lee"),
        ("(Sean)", "Sean Lee"),
        ("o\u2019brien", "Sean O'Brien"),
        ("o'brien", "Sean O\u2019Brien"),
        ("@sean", "sean_lee"),
        ("sean@mail.test", "sean@mail.test"),
        ("\N{SEEDLING}", "\N{SEEDLING} Sean"),
    ],
)
def test_what_stands_around_a_word_keeps_nobody_from_being_found(search: str, text: str) -> None:
    terms = terms_of(search)
    assert terms and all(any(word.startswith(term) for word in words_of([text])) for term in terms)


def test_nothing_is_nothing() -> None:
    assert terms_of(" @ ") == []
