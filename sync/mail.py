"""What a mail is to us, once it is taken apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum


class Unparsable(Exception):
    """A mail cannot be taken apart. The message says why, and holds nothing of the mail."""


@dataclass(frozen=True)
class Address:
    """Somebody's address, and the name beside it."""

    address: str
    name: str = ""


@dataclass(frozen=True)
class Envelope:
    """What decides whether a mail concerns us, from its header alone."""

    message_id: str | None
    sender: Address | None
    recipients: list[Address]  # To and Cc
    is_automatic: bool  # RFC 3834 and its like
    is_report: bool  # a bounce or a complaint, which comes from nobody we know
    bcc: list[Address] = field(default_factory=list)  # only its sender's own copy has it


class ReportKind(Enum):
    BOUNCE = "BOUNCE"  # it came back (RFC 3464, action failed)
    DELAY = "DELAY"  # it is still tried
    DELIVERY = "DELIVERY"  # it arrived
    COMPLAINT = "COMPLAINT"  # its reader called it unwanted (RFC 5965)


@dataclass(frozen=True)
class Report:
    """What a machine says of a mail that was sent before."""

    kind: ReportKind
    message_ids: list[str]  # of the mail that it is about, which may have been given another one on its way
    recipient: str | None
    words: str  # the status and the other server's text, on one line


@dataclass(frozen=True)
class MailFile:
    """A file in a mail. Its name has no path, and its type is what its content shows."""

    name: str
    content_type: str
    content: bytes
    content_id: str | None = None  # without angle brackets
    is_inline: bool = False


@dataclass(frozen=True)
class ParsedMail:
    """A mail, taken apart. Texts have no control characters but line feeds and tabs; header texts are one line."""

    message_id: str | None  # with angle brackets
    original_id: str | None  # the Message-ID that it had before its provider gave it another one
    in_reply_to: list[str]
    references: list[str]
    sender: Address | None
    to: list[Address]
    cc: list[Address]
    bcc: list[Address]
    subject: str
    sent_at: datetime | None
    is_automatic: bool
    text: str  # what was written now, without what it quotes and the signature
    quoted: str | None
    signature: str | None
    html: str | None  # safe, whole; remote images have `data-remote-src` instead of `src`
    has_remote_images: bool
    content_hash: str  # of what its author wrote: the same for every copy of it, wherever it was delivered
    files: list[MailFile] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
