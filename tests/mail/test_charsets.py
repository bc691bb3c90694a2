"""Character sets under the names that mails have for them, and as the programs that wrote them meant them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.mail_charsets import JIS_PAIR, codec_of, decoded, shifted


@pytest.mark.parametrize(
    ("charset", "codec", "text"),
    [
        ("x-gbk", "gbk", "你好"),
        ("gb_2312-80", "gb2312", "你好"),
        ("cn-big5", "big5", "您好"),
        ("X-X-Big5", "big5", "您好"),
        ("x-cp1251", "cp1251", "Привет"),
        ("x-mac-cyrillic", "mac_cyrillic", "Привет"),
        ("windows-949", "cp949", "안녕 똠"),
        ("x-euc-jp", "euc_jp", "こんにちは"),
        ("windows-31j", "cp932", "こんにちは①"),
        ("x-sjis", "cp932", "こんにちは①"),
        ("dos-874", "cp874", "สวัสดี"),
        ("unicode-1-1-utf-8", "utf-8", "ü"),
        ("iso-2022-jp", "iso2022_jp_ext", "日本 ｶﾀｶﾅ"),
    ],
)
def test_a_character_set_is_known_by_the_names_that_mails_have_for_it(charset: str, codec: str, text: str) -> None:
    assert decoded(text.encode(codec), charset) == text


@pytest.mark.parametrize("name", ["x-", "x-x-x", "x-punycode", "x-hex", "x-unknown", "", None])
def test_what_is_no_character_set_is_none(name: str | None) -> None:
    assert codec_of(name) is None


def test_japanese_as_programs_on_windows_write_it() -> None:
    written = b"a\x1b$B$3$s-!-5\x1b(B b\n\x1b$@|b9b\x1b(J.\x1b(I6E\x1b(B"
    assert decoded(written, "iso-2022-jp") == "aこん①Ⅰ b\n髙高.ｶﾅ"
    assert decoded(b"\x1b$B-!$", "iso-2022-jp") == "①$"


def test_every_character_of_the_standard_is_the_same_either_way() -> None:
    for row in range(0x21, 0x7F):
        for cell in range(0x21, 0x7F):
            pair = bytes([row, cell])
            try:
                expected = (b"\x1b$B" + pair).decode("iso2022_jp")
            except UnicodeDecodeError:
                continue
            assert JIS_PAIR.sub(shifted, pair).decode("shift_jis") == expected


@given(st.binary(max_size=100), st.sampled_from([b"", b"\x1b$B", b"\x1b", b"\x1b(I"]))
def test_no_bytes_are_too_wrong(data: bytes, before: bytes) -> None:
    assert isinstance(decoded(before + data + before + data, "iso-2022-jp"), str)


@pytest.mark.parametrize("piece", [b"\x1b", b"\x1b$B-!", b"\x1b$B", b"-!", b"\x1b(I"])
def test_time_grows_with_the_length_only(piece: bytes) -> None:
    start = time.process_time()
    decoded(b"\x1b$B-!" + piece * 400_000, "iso-2022-jp")
    assert time.process_time() - start < 5.0  # linear time takes a fifth of it, quadratic time minutes
