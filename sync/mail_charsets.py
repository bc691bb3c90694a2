"""Bytes of a mail to text, whatever they claim to be, and text without what must not be in it.

Nothing here raises, and everything takes linear time.
"""

from __future__ import annotations

import codecs
import re

# What a mail says, and what its author's program meant: supersets under the wrong name, as browsers read them too.
MEANT = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "big5": "big5hkscs",
    "iso2022_jp": "iso2022_jp_ext",
}
# Names that mails have and Python does not know, beside those with `x-` before one that it does.
ALIASES = {
    "iso-8859-8-i": "iso8859-8",
    "iso-8859-8-e": "iso8859-8",
    "windows-874": "cp874",
    "dos-874": "cp874",
    "windows-31j": "cp932",
    "windows-949": "cp949",
    "x-windows-949": "cp949",
    "cn-big5": "big5",
    "x-x-big5": "big5",
    "cn-gb": "gb2312",
    "csgb2312": "gb2312",
    "gb_2312": "gb2312",
    "gb_2312-80": "gb2312",
    "iso-2022-jp-ms": "iso2022_jp",
    "cp50220": "iso2022_jp",
    "cp50221": "iso2022_jp",
    "unicode-1-1-utf-8": "utf-8",
}
# These are codecs to Python, but no character sets; the first two take quadratic time.
NO_CHARSETS = {"punycode", "idna", "unicode_escape", "raw_unicode_escape", "undefined"}

JIS_PIECE = re.compile(rb"(?=\x1b)")  # where another character set begins, by its escape sequence
JIS_SETS = (b"\x1b$B", b"\x1b$@")  # those of two bytes for each character
JIS_PAIR = re.compile(rb"[\x21-\x7e]{2}")

LINE_ENDS = re.compile("\r\n?|[\u2028\u2029]")
# Control characters but tab and line feed; halves of surrogate pairs, which nothing can encode; non-characters.
UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
BLANK = re.compile("[\\s\u2028\u2029]+")


def decoded(data: bytes, charset: str | None) -> str:
    """The text that bytes mean. Where the character set is unknown or wrong: by guess, then with replacements."""
    codec = codec_of(charset)
    codec = MEANT.get(codec, codec) if codec else "cp1252"
    if codec == "cp1252":
        try:
            return data.decode("utf-8")  # hardly any other text is valid in it, whatever it claims to be
        except UnicodeDecodeError:
            pass
    if codec == "iso2022_jp_ext":
        try:
            return data.decode(codec)
        except UnicodeDecodeError:
            return "".join(map(jis_of_windows, JIS_PIECE.split(data)))
    return data.decode(codec, "replace")


def jis_of_windows(piece: bytes) -> str:
    """What programs on Windows write as ISO-2022-JP, with characters that are not in it, circled digits say."""
    if not piece.startswith(JIS_SETS):
        return piece.decode("iso2022_jp_ext", "replace")
    return JIS_PAIR.sub(shifted, piece[3:]).decode("cp932", "replace")


def shifted(pair: re.Match[bytes]) -> bytes:
    """A character of JIS X 0208 as Shift JIS has it: two rows of it are one there."""
    row, cell = pair[0]
    lead = (row + 1) // 2 + (0x70 if row < 0x5F else 0xB0)
    return bytes([lead, cell + (0x1F + (cell >= 0x60) if row % 2 else 0x7E)])


def codec_of(charset: str | None) -> str | None:
    name = (charset or "").strip().lower()
    try:
        found = codecs.lookup(ALIASES.get(name, name.removeprefix("x-")))
    except (LookupError, ValueError):
        return None
    # The codecs from bytes to bytes, zip say, are marked by nothing that is public but their refusal.
    return None if found.name in NO_CHARSETS or not getattr(found, "_is_text_encoding", True) else found.name


def many_lines(text: str) -> str:
    """Text with line feeds as the only line ends, and no control characters but tabs beside them."""
    return UNWANTED.sub("", LINE_ENDS.sub("\n", text))


def one_line(text: str) -> str:
    """Text on one line, without any control character: nothing of it can end a header, now or when it is answered."""
    return UNWANTED.sub("", BLANK.sub(" ", text)).strip()
