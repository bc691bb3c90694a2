"""The files of a mail: a name without a path, and a type that the content shows rather than the mail claims."""

from __future__ import annotations

import mimetypes
import re

import puremagic

from sync.mail import MailFile
from sync.mail_headers import message_id_of, value_of
from sync.mail_structure import Part

NAME = 200  # characters
HEAD = 8192  # bytes that are looked at
CONFIDENCE = 0.3  # from puremagic: a signature of three bytes or more
UNKNOWN = "application/octet-stream"

# Texts have no signature. These are believed if the content is text: no browser runs them.
HARMLESS_TEXTS = {
    "text/plain", "text/csv", "text/calendar", "text/vcard", "text/x-vcard", "text/markdown", "text/rfc822-headers",
    "application/json", "application/ics", "message/rfc822", "message/global", "message/delivery-status",
    "message/global-delivery-status", "message/feedback-report", "message/disposition-notification",
}  # fmt: skip
# What a browser would run, or take for a page, if it were shown.
ACTIVE = re.compile(r"html|xml$|script|java|flash|xsl|x-sh|x-php", re.IGNORECASE)

NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
# Separators of paths, what Windows forbids, and characters that turn the direction of writing, so that a name seems
# to end in another way than it does.
UNSAFE = re.compile('[<>:"|?*\u200e\u200f\u202a-\u202e\u2066-\u2069]')


def file_of(part: Part, raw: bytes) -> MailFile:
    content = part.content(raw)
    declared = part.content_type.word
    content_type = type_of(content, declared)
    content_id = message_id_of(part.header.raw("content-id"))
    disposition = value_of(part.header.raw("content-disposition"))
    is_image = content_type.startswith("image/")
    return MailFile(
        name=safe_name(declared_name(part)) or f"attachment{mimetypes.guess_extension(content_type) or ''}",
        content_type=content_type,
        content=content,
        content_id=content_id.strip("<>") if content_id else None,
        is_inline=is_image and content_id is not None and (part.is_related or disposition.word != "attachment"),
    )


def declared_name(part: Part) -> str:
    disposition = value_of(part.header.raw("content-disposition"))
    return disposition.parameters.get("filename") or part.content_type.parameters.get("name", "")


def safe_name(name: str) -> str:
    """The last piece of a path, whichever system it is from, without what a file's name must not have."""
    base = re.split(r"[/\\]", name)[-1]
    base = UNSAFE.sub("", base).strip(". ")
    if len(base) <= NAME:
        return base
    stem, dot, extension = base.rpartition(".")
    return stem[: NAME - 20] + dot + extension if dot and len(extension) < 20 else base[:NAME]


def type_of(content: bytes, declared: str) -> str:
    """What a file is, from its content. What the mail says counts only where nothing can come of it."""
    head = content[:HEAD]
    found = signatures_of(head)
    if any(ACTIVE.search(one) for one in found):
        return UNKNOWN
    if declared in HARMLESS_TEXTS and NO_TEXT.search(head) is None:
        return declared
    if declared in found:  # formats that share a signature: the ZIP of Word, Excel and others
        return declared
    return found[0] if found else UNKNOWN


def signatures_of(head: bytes) -> list[str]:
    """The types whose signature the content bears, the likeliest first."""
    try:
        found = puremagic.magic_string(head)
    except (puremagic.PureError, ValueError):
        return []
    return [one.mime_type for one in found if one.mime_type and one.confidence >= CONFIDENCE]
