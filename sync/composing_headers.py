"""The headers of a mail that we write. Whatever they are made of, they hold what was meant and nothing else.

They are written here and not by Python's `email`: some of its releases that we run on write what they decode as
headers of its own, and break long Message-IDs. What is written is read back, and is not used where it differs.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sized
from urllib.parse import quote

from storage.addresses import on_the_wire
from sync.mail import Address

LINE = 76  # characters, before a header goes on in the next line: no more where encoded words are (RFC 2047, 2)
WORD = 39  # bytes of text in one encoded word, which is then short enough for any line
TEXT = 1000  # characters of a subject or a name: whatever is longer is cut
ADDRESS, LOCAL_PART = 254, 64  # characters
FILE_NAME = 150  # characters
PIECE = 50  # characters of an encoded parameter in one line
MESSAGE_ID = 500  # characters
REFERENCES = 4000  # characters of all Message-IDs together: others cap a header at 8 KB, and so do we

# C0, DEL, C1, the separators of lines and paragraphs, and halves of characters; and the spaces around them.
_NOT_IN_HEADERS = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_NOT_IN_FILE_NAMES = re.compile(r'[/\\"]')
_MESSAGE_ID = re.compile(r"<[!-;=?-~]+>")
_ASCII_IN_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+\-/=?^_`{|}~]+")
_ASCII_IN_DOMAIN = re.compile(r"[A-Za-z0-9.\-_]+")
_LINE_END = re.compile(rb"\r\n|\r|\n")


class Uncomposable(Exception):
    """No mail can be made of this. The message says why, and holds nothing of the mail."""


def safe_header(text: str) -> str:
    """One line without control characters, of a text that is decoded already: it may come from anybody.

    What looks like an encoded word in it stays what it looks like: see `words_of`.
    """
    return _NOT_IN_HEADERS.sub(" ", text).strip(" ")[:TEXT].strip(" ")


def header_block(fields: list[tuple[str, list[str]]]) -> bytes:
    """Headers, each of a name and of words that stand in it with a space between them; without the empty line."""
    block = "".join(folded(name, words) for name, words in fields).encode("utf-8", "strict")
    meant = [(name.encode(), " ".join(words).encode()) for name, words in fields]
    if fields_in(block) != meant:
        raise Uncomposable("its headers would not hold what they are meant to")
    return block


def folded(name: str, words: list[str]) -> str:
    """A header, broken before words that would make a line too long."""
    lines = [f"{name}: {words[0]}"]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) > LINE:
            lines.append("")
        lines[-1] += f" {word}"
    return "\r\n".join(lines) + "\r\n"


def fields_in(block: bytes) -> list[tuple[bytes, bytes]]:
    """Names and values, as a reader would see them who takes any CR and any LF for the end of a line."""
    fields: list[tuple[bytes, bytes]] = []
    for line in _LINE_END.split(block.removesuffix(b"\r\n")):
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1] = (fields[-1][0], fields[-1][1] + line)
        else:
            name, _, value = line.partition(b": ")
            fields.append((name, value))
    return fields


def words_of(text: str) -> list[str]:
    """An unstructured header's words (RFC 2047). What could be taken for an encoded word is encoded itself."""
    safe = safe_header(text)
    words = safe.split(" ")
    is_plain = safe.isascii() and "=?" not in safe and max(map(len, words)) < LINE - 16
    return words if is_plain else encoded_words(safe)


def encoded_words(text: str) -> list[str]:
    """As many as are needed, each with whole characters."""
    return [f"=?utf-8?b?{base64.b64encode(piece.encode()).decode()}?=" for piece in pieces_of(text, str.encode, WORD)]


def pieces_of(text: str, encoded: Callable[[str], Sized], most: int) -> list[str]:
    """The text, cut between characters, in pieces that are no longer than this once they are encoded."""
    pieces, room = [""], most
    for character in text:
        needed = len(encoded(character))
        if needed > room:
            pieces.append("")
            room = most
        pieces[-1] += character
        room -= needed
    return pieces


def addresses_of(addresses: list[Address]) -> list[str]:
    """The words of From, To and Cc. Raises where something is no address."""
    if not all(is_address(each.address) for each in addresses):
        raise Uncomposable("it has an address that is none")
    words = [[*name_of(each.name), f"<{on_the_wire(each.address)}>"] for each in addresses]
    return [word for each in words[:-1] for word in [*each[:-1], f"{each[-1]},"]] + sum(words[-1:], [])


def name_of(name: str) -> list[str]:
    safe = safe_header(name)
    if not safe:
        return []
    if safe.isascii() and "=?" not in safe and len(safe) < LINE - 16:
        return [quoted(safe)]
    return encoded_words(safe)


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def is_address(text: str) -> bool:
    """Whether this is somebody's address, and can stand in a header or a command without saying anything else.

    It is not whether anybody is there. Local parts in quotation marks and numeric domains are not taken.
    """
    return has_form(text) and has_form(on_the_wire(text))


def has_form(text: str) -> bool:
    local, at, domain = text.rpartition("@")
    return (
        bool(at)
        and len(text) <= ADDRESS
        and len(local) <= LOCAL_PART
        and "=?" not in text
        and _consists_of(local, _ASCII_IN_ADDRESS)
        and _consists_of(domain, _ASCII_IN_DOMAIN)
        and "." in domain
        and not (domain.startswith(".") or domain.endswith("."))
    )


def _consists_of(text: str, ascii: re.Pattern[str]) -> bool:
    """Of these characters, and of any that are not ASCII and can be printed (RFC 6531)."""
    rest = "".join(each for each in text if each.isascii())
    others = [each for each in text if not each.isascii()]
    return bool(text) and (not rest or bool(ascii.fullmatch(rest))) and all(map(str.isprintable, others))


def is_message_id(text: str) -> bool:
    """Whether it can be repeated as it is. What comes from others need not even have an @."""
    return len(text) <= MESSAGE_ID and bool(_MESSAGE_ID.fullmatch(text)) and "=?" not in text


def references_of(references: list[str], in_reply_to: str | None) -> list[str]:
    """The first mail's Message-ID and as many of the newest as there is room for; the last is the answered mail's."""
    chain = [each for each in [*references, in_reply_to or ""] if is_message_id(each)]
    unique = list(reversed(dict.fromkeys(reversed(chain))))
    room = REFERENCES - sum(map(len, unique[:1]))
    newest: list[str] = []
    for each in reversed(unique[1:]):
        room -= len(each)
        if room < 0:
            break
        newest.insert(0, each)
    return unique[:1] + newest


def disposition_of(kind: str, name: str) -> list[str]:
    """The words of Content-Disposition, with the file's name (RFC 2231)."""
    safe = file_name_of(name)
    if safe.isascii() and "=?" not in safe and len(safe) < LINE - 16:
        return [f"{kind};", f'filename="{safe}"']
    pieces = [percent_encoded(each) for each in pieces_of(safe, percent_encoded, PIECE)]
    if len(pieces) == 1:
        return [f"{kind};", f"filename*=utf-8''{pieces[0]}"]
    pieces[0] = f"utf-8''{pieces[0]}"
    words = [f"filename*{number}*={piece};" for number, piece in enumerate(pieces)]
    return [f"{kind};", *words[:-1], words[-1].removesuffix(";")]


def percent_encoded(text: str) -> str:
    return quote(text, safe="!#$&+-.^_`|~")


def file_name_of(name: str) -> str:
    """A name without a path, and without quotation marks, of which readers make different things.

    A long one is cut before its ending.
    """
    safe = _NOT_IN_FILE_NAMES.sub("_", safe_header(name)).strip(". ") or "file"
    if len(safe) <= FILE_NAME:
        return safe
    stem, dot, ending = safe.rpartition(".")
    kept = f"{dot}{ending}" if dot and len(ending) <= 10 else ""
    return (stem if kept else safe)[: FILE_NAME - len(kept)] + kept
