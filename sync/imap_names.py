"""Folder names as they travel: modified UTF-7 (RFC 3501, section 5.1.3), and which of them holds what was sent."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass

# What programs call the folder, where the server does not say which it is. Programs make it in the language of who
# uses them; the first of these that is there is taken.
SENT_NAMES = (
    "sent", "sent items", "sent messages", "sent mail", "gesendet", "gesendete elemente", "gesendete objekte",
    "envoyés", "éléments envoyés", "messages envoyés", "enviados", "elementos enviados", "itens enviados",
    "posta inviata", "inviati", "inviata", "verzonden", "verzonden items", "verzonden berichten", "skickat",
    "skickade objekt", "sendt", "sendt post", "sendte elementer", "lähetetyt", "wysłane", "elementy wysłane",
    "odeslané", "odeslaná pošta", "elküldött elemek", "gönderilmiş öğeler", "отправленные", "надіслані", "送信済み",
    "送信済みアイテム", "보낸 편지함", "已发送", "已发送邮件", "寄件備份",
)  # fmt: skip
ROOTS = ("inbox", "[gmail]", "[google mail]")  # folders under which servers put those of a whole mailbox


@dataclass(frozen=True)
class Folder:
    """One line of a LIST answer."""

    name: str
    separator: str | None
    attributes: frozenset[str]  # in lower case, with the backslash


def encode_name(name: str) -> str:
    """The name in ASCII, as the server has it. Raises `ValueError` for what no folder can be called."""
    return re.sub(r"[^\x20-\x7e]+|&", lambda found: encoded_run(found[0]), name)


def encoded_run(text: str) -> str:
    if text == "&":
        return "&-"
    return "&" + b64encode(text.encode("utf-16-be")).decode().rstrip("=").replace("/", ",") + "-"


def decode_name(encoded: bytes) -> str | None:
    """The name for people; none where it is not encoded as it must be, as it could not be asked for again."""
    try:
        name = re.sub(r"&([^-]*)-", lambda found: decoded_run(found[1]), encoded.decode("ascii"))
        return name if encode_name(name) == encoded.decode("ascii") else None
    except ValueError:
        return None


def decoded_run(text: str) -> str:
    if not text:
        return "&"
    return b64decode(text.replace(",", "/") + "=" * (-len(text) % 4), validate=True).decode("utf-16-be")


def sent_folder(folders: list[Folder], known: str | None = None) -> str | None:
    """The folder that the server marks as the one for sent mail (RFC 6154), or that is called so.

    Where several are, it is the known one: a program that makes another does not say that others use it now.
    """
    real = [folder for folder in folders if not folder.attributes & {"\\noselect", "\\nonexistent"}]
    marked = [folder.name for folder in real if "\\sent" in folder.attributes]
    if marked:
        return known if known in marked else marked[0]
    if any(folder.name == known for folder in real):
        return known
    called = {own_name(folder): folder.name for folder in reversed(real)}
    return next((called[name] for name in SENT_NAMES if name in called), None)


def own_name(folder: Folder) -> str:
    """In lower case, without the root that some servers put before everything."""
    name = folder.name.casefold()
    root, _, rest = name.partition(folder.separator) if folder.separator else ("", "", "")
    return rest if root in ROOTS else name
