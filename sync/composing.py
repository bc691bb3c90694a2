"""From what is to be said to the bytes of a mail (RFC 5322, RFC 2045 and those after it).

The same mail gives the same bytes at every try. Bodies are encoded, so that no line of them is too long, and neither a
server nor a reader can take any of it for the end of a part or of the mail.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import NamedTuple
from urllib.parse import unquote

from sync.composing_headers import (
    Uncomposable,
    addresses_of,
    disposition_of,
    header_block,
    is_message_id,
    references_of,
    words_of,
)
from sync.mail import Address

BASE64_LINE = 57  # bytes in one line, which then has 76 characters
ANY_TYPE = "application/octet-stream"

Fields = list[tuple[str, list[str]]]

_LINE_END = re.compile(r"\r\n|\r|\n")
_CONTENT_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}")


@dataclass(frozen=True)
class OutgoingFile:
    """A file that goes with a mail. With a Content-ID that the HTML shows, it is a part of what is read."""

    name: str
    content_type: str
    content: bytes
    content_id: str | None = None  # without angle brackets


@dataclass(frozen=True)
class OutgoingMail:
    """What is to be said, and to whom. Only its own Message-ID and addresses must be well-formed."""

    message_id: str  # with angle brackets, like the others
    sender: Address
    to: list[Address]
    cc: list[Address]
    subject: str
    text: str
    html: str | None
    attachments: list[OutgoingFile]
    in_reply_to: str | None
    references: list[str]
    date: datetime
    automatic: bool


class Part(NamedTuple):
    """A mail's content, or a part of it."""

    fields: Fields
    body: bytes

    def written(self) -> bytes:
        return header_block(self.fields) + b"\r\n" + self.body


def compose(mail: OutgoingMail) -> bytes:
    """The mail as it is sent: whole lines, with CRLF. Raises Uncomposable.

    With large files this takes time, so it is to be called in a thread.
    """
    content = content_of(mail)
    return Part([*headers_of(mail), *content.fields], content.body).written()


def headers_of(mail: OutgoingMail) -> Fields:
    """The headers but those of the content. What others said is left out where it cannot be repeated."""
    if not is_message_id(mail.message_id):
        raise Uncomposable("it has no Message-ID")
    if mail.date.tzinfo is None:
        raise Uncomposable("its date has no zone")
    answered = mail.in_reply_to if is_message_id(mail.in_reply_to or "") else None
    fields = [
        ("Date", format_datetime(mail.date.astimezone(UTC)).split(" ")),
        ("From", addresses_of([mail.sender])),
        ("To", addresses_of(mail.to)),
        ("Cc", addresses_of(mail.cc)),
        ("Subject", words_of(mail.subject)),
        ("Message-ID", [mail.message_id]),
        ("In-Reply-To", [answered] if answered else []),
        ("References", references_of(mail.references, answered)),
        ("Auto-Submitted", ["auto-generated"] if mail.automatic else []),
        ("MIME-Version", ["1.0"]),
    ]
    return [(name, words) for name, words in fields if words]


def content_of(mail: OutgoingMail) -> Part:
    """Text, or text and HTML with its images; with files, if there are any."""
    mark = hashlib.sha256(mail.message_id.encode()).hexdigest()[:24]
    shown = [each for each in mail.attachments if is_shown(each, mail.html)]
    attached = [each for each in mail.attachments if each not in shown]
    content = text_part("plain", mail.text)
    if mail.html is not None:
        html = text_part("html", mail.html)
        if shown:
            html = multipart("related", mark, [html, *map(shown_part, shown)], 'type="text/html";')
        content = multipart("alternative", mark, [content, html])
    if attached:
        content = multipart("mixed", mark, [content, *map(attached_part, attached)])
    return content


def is_shown(file: OutgoingFile, html: str | None) -> bool:
    if file.content_id is None or html is None or not is_message_id(f"<{file.content_id}>"):
        return False
    return f"cid:{file.content_id}" in html or f"cid:{file.content_id}" in unquote(html)


def multipart(kind: str, mark: str, parts: list[Part], *parameters: str) -> Part:
    """Parts with a line between them that is in none of them: after a `=` that is encoded comes no `_`."""
    boundary = f"=_{kind}_{mark}"
    between = b"--" + boundary.encode()
    body = b"".join(between + b"\r\n" + each.written() + b"\r\n" for each in parts) + between + b"--\r\n"
    return Part([("Content-Type", [f"multipart/{kind};", *parameters, f'boundary="{boundary}"'])], body)


def text_part(kind: str, text: str) -> Part:
    """Text, in that of the two encodings in which it is shorter. All line ends become CRLF."""
    lines = _LINE_END.sub("\r\n", text).removesuffix("\r\n") + "\r\n"
    data = lines.encode("utf-8", "replace")
    quoted, encoded = binascii.b2a_qp(data), base64_lines(data)
    name, body = ("quoted-printable", quoted) if len(quoted) <= len(encoded) else ("base64", encoded)
    return Part([("Content-Type", [f"text/{kind};", "charset=utf-8"]), ("Content-Transfer-Encoding", [name])], body)


def shown_part(file: OutgoingFile) -> Part:
    part = file_part(file, "inline")
    return Part([*part.fields, ("Content-ID", [f"<{file.content_id}>"])], part.body)


def attached_part(file: OutgoingFile) -> Part:
    return file_part(file, "attachment")


def file_part(file: OutgoingFile, disposition: str) -> Part:
    fields = [
        ("Content-Type", [content_type_of(file.content_type)]),
        ("Content-Transfer-Encoding", ["base64"]),
        ("Content-Disposition", disposition_of(disposition, file.name)),
    ]
    return Part(fields, base64_lines(file.content))


def content_type_of(said: str) -> str:
    """A type without parameters. A mail or parts as a file must not be in base64 (RFC 2046, 5.2.1), so it is a file."""
    type = said.partition(";")[0].strip().lower()
    is_file = _CONTENT_TYPE.fullmatch(type) and not type.startswith(("message/", "multipart/"))
    return type if is_file else ANY_TYPE


def base64_lines(data: bytes) -> bytes:
    lines = (base64.b64encode(data[at : at + BASE64_LINE]) for at in range(0, len(data), BASE64_LINE))
    return b"".join(line + b"\r\n" for line in lines)
