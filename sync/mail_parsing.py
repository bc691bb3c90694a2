"""A raw mail, taken apart: caps first, then in linear time.

`parse` runs in a worker that can be killed (sync/mail_workers.py), as it takes longer than others may wait.
"""

from __future__ import annotations

import hashlib
import re

from sync.mail import MailFile, ParsedMail, Unparsable
from sync.mail_addresses import addresses_of
from sync.mail_bodies import Bodies, bodies_of
from sync.mail_envelope import is_automatic, recipients_of
from sync.mail_files import file_of
from sync.mail_headers import FIELD, Header, date_of, message_id_of, message_ids_of, original_id_of, with_line_feeds
from sync.mail_quotes import split_reply
from sync.mail_reports import reports_of
from sync.mail_structure import Part, structure_of

MAIL = 25 * 1024 * 1024  # bytes
SUBJECT = 1000  # characters
LINE_END = re.compile(rb"\r\n?")


def parse(raw: bytes) -> ParsedMail:
    """A mail, taken apart. Raises Unparsable where it is more than a mail can be."""
    if len(raw) > MAIL:
        raise Unparsable(f"it has more than {MAIL // (1024 * 1024)} MB")
    raw = with_line_feeds(raw)
    root = structure_of(raw)
    header = root.header
    bodies = bodies_of(root, raw)
    files = [file_of(part, raw) for part in bodies.files]
    reply = split_reply(bodies.text)
    return ParsedMail(
        message_id=message_id_of(header.raw("message-id")),
        original_id=original_id_of(header),
        in_reply_to=message_ids_of(header.joined("in-reply-to")),
        references=message_ids_of(header.joined("references")),
        sender=next(iter(addresses_of(header.joined("from", FIELD))), None),
        to=recipients_of(header, "to"),
        cc=recipients_of(header, "cc"),
        bcc=recipients_of(header, "bcc"),
        subject=header.text("subject")[:SUBJECT],
        sent_at=date_of(header.raw("date")),
        is_automatic=is_automatic(header),
        text=reply.text,
        quoted=reply.quoted,
        signature=reply.signature,
        html=bodies.html,
        has_remote_images=bodies.has_remote_images,
        content_hash=content_hash(header, bodies, files),
        files=files,
        reports=reports_of(root, raw, bodies.text),
    )


def content_hash(header: Header, bodies: Bodies, files: list[MailFile]) -> str:
    """The same for every copy of a mail: servers add to its header, and may encode its parts and end its lines anew.

    It is stored and compared with later ones: what is hashed must stay as it is.
    """
    sender = next(iter(addresses_of(header.joined("from", FIELD))), None)
    pieces = [
        (sender.address.lower() if sender else "").encode(),
        header.text("date").encode(),
        header.text("subject").encode(),
        *(normal(text).encode() for text in bodies.written),
        *(same_line_ends(part, file.content) for part, file in zip(bodies.files, files, strict=True)),
    ]
    found = hashlib.sha256()
    for piece in pieces:
        found.update(len(piece).to_bytes(8, "big"))
        found.update(piece)
    return found.hexdigest()


def normal(text: str) -> str:
    """Text without what is lost on the way: spaces at the ends of lines, and blank lines at the end of all."""
    return "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")


def same_line_ends(part: Part, content: bytes) -> bytes:
    is_text = part.content_type.word.startswith(("text/", "message/"))
    return LINE_END.sub(b"\n", content).strip(b"\n") if is_text else content
