"""What a file is, which its content says and nobody else, and what it is called, which is made safe."""

from __future__ import annotations

import re
import unicodedata

import puremagic

HEAD = 4096  # bytes of a file's beginning, by which its type is found
UNKNOWN = "application/octet-stream"
TEXT = "text/plain"
LONGEST_NAME = 150  # characters; in UTF-8 at most 600 bytes, and in most scripts below the 255 that a disk allows
LONGEST_ENDING = 16
SURE = 0.3  # of puremagic: three bytes are as they must be, or two and the name agrees

# What runs when it is opened. Mail servers refuse mail that holds such files, and whoever gets one may open it.
PROGRAMS = (
    b"MZ", b"\x7fELF", b"\xca\xfe\xba\xbe", b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe",
    b"\xcf\xfa\xed\xfe",
)  # fmt: skip
PROGRAM_ENDINGS = {
    "apk", "app", "bat", "cmd", "com", "cpl", "dll", "exe", "hta", "jar", "js", "jse", "lnk", "msc", "msi", "msp",
    "pif", "ps1", "reg", "scr", "sh", "vb", "vbe", "vbs", "wsf", "wsh",
}  # fmt: skip

_MIME = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]{0,100}")
_DROPPED = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}  # controls, what turns the direction of writing, surrogates


def is_program(head: bytes, name: str) -> bool:
    """Whether a file with this beginning or name is one that runs."""
    return ending_of(name) in PROGRAM_ENDINGS or (head.startswith(PROGRAMS) and not is_text(head))


def ending_of(name: str) -> str:
    """What comes after the last dot, in lower case."""
    stem, _, ending = name.rpartition(".")
    return ending.lower() if stem else ""


def type_of(head: bytes, name: str) -> str:
    """The media type of a file that begins like this. The name decides between types that begin alike, and no more."""
    sure = [
        each for each in matches_of(head, name)
        if each.byte_match and each.offset >= 0 and each.confidence >= SURE and _MIME.fullmatch(each.mime_type)
    ]  # fmt: skip
    if head.startswith(b"PK\x03\x04") and not (sure and named(sure[0].extension, name)):
        return "application/zip"  # as which all that are kept in one begin
    if sure:
        return str(sure[0].mime_type)
    return TEXT if head and is_text(head) else UNKNOWN


def matches_of(head: bytes, name: str) -> list[puremagic.PureMagicWithConfidence]:
    try:
        return puremagic.magic_string(head[:HEAD], name) if head else []
    except puremagic.PureError:  # nothing that it knows
        return []


def named(ending: str, name: str) -> bool:
    return bool(ending) and name.lower().endswith(ending)


def is_text(head: bytes) -> bool:
    """Whether it is UTF-8 without control characters, as far as it can be seen; the last character may be cut."""
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            return False
        text = head[: error.start].decode()
    return not any(unicodedata.category(each) == "Cc" and each not in "\t\n\r\f" for each in text)


def safe_name(given: str) -> str:
    """The name of a file, of whatever somebody calls it: no path, nothing that cannot be seen, not too long."""
    name = re.split(r"[/\\]", given[:4096])[-1]
    name = "".join(each for each in unicodedata.normalize("NFC", name) if unicodedata.category(each) not in _DROPPED)
    name = " ".join(name.split()).strip(". ")
    if len(name) > LONGEST_NAME:
        stem, dot, ending = name.rpartition(".")
        ending = f".{ending}" if dot and len(ending) <= LONGEST_ENDING else ""
        name = (stem if ending else name)[: LONGEST_NAME - len(ending)].rstrip(". ") + ending
    return name or "file"
