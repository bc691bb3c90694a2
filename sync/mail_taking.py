"""From a mail as a server has it to what is stored: whom it concerns, what it says, and its files."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from schema.types.context import Caller
from schema.types.mailbox import Mailbox
from schema.types.message import Attachment, DeliveryState
from storage import attachments, files, mail_in
from storage.mail_in import FoundMail, ReportedState
from storage.mail_states import IGNORED, QUARANTINED, TAKEN_IN
from storage.store import Store
from sync.mail import Envelope, MailFile, ParsedMail, Report, ReportKind, Unparsable
from sync.mail_workers import MailParsers

MOST_RAW = 64 * 1024 * 1024  # bytes of a raw mail that are kept
MOST_TEXT = 200_000  # characters of a text; the raw mail has the rest

STATES = {
    ReportKind.BOUNCE: DeliveryState.BOUNCED,
    ReportKind.DELIVERY: DeliveryState.DELIVERED,
    ReportKind.COMPLAINT: DeliveryState.COMPLAINED,
}  # a delay changes nothing yet


@dataclass(frozen=True)
class Found:
    """A mail on a server. `raw` is None where it is gone by now; of one that is too large it is the header."""

    uid: int
    raw: bytes | None
    envelope: Envelope
    size: int
    is_too_large: bool = False


async def concerns(store: Store, workspace: str, envelopes: Mapping[int, Envelope], is_sent: bool) -> set[int]:
    """Which mails are from or to somebody known, or report on mail of ours."""
    theirs = {uid: addresses_of(each, is_sent) for uid, each in envelopes.items()}
    known = await mail_in.known_people(store, workspace, {address for each in theirs.values() for address in each})
    return {uid for uid, each in envelopes.items() if each.is_report or theirs[uid] & known.keys()}


def addresses_of(envelope: Envelope, is_sent: bool) -> set[str]:
    """Who is on the other side, in lower case."""
    if is_sent:
        return {each.address.lower() for each in envelope.recipients}
    return {envelope.sender.address.lower()} if envelope.sender else set()


async def take_all(
    store: Store, parsers: MailParsers, caller: Caller, mailbox: Mailbox, is_sent: bool, found: list[Found]
) -> dict[int, str]:
    """Takes in mails in their order; what became of each, by UID."""
    there = [each for each in found if each.raw is not None]
    became = {each.uid: IGNORED for each in found if each.raw is None}
    prepared = await asyncio.gather(*[prepare(store, parsers, caller, mailbox, is_sent, each) for each in there])
    taken = await asyncio.gather(*[take(store, caller, each) for each in prepared])
    return became | {each.uid: what for each, what in zip(there, taken, strict=True)}


async def take(store: Store, caller: Caller, prepared: FoundMail | None) -> str:
    if prepared is None:
        return QUARANTINED
    taken = (await mail_in.take_in(store, caller, prepared)).result
    return TAKEN_IN if taken.message_ids or taken.reported else IGNORED


async def prepare(
    store: Store, parsers: MailParsers, caller: Caller, mailbox: Mailbox, is_sent: bool, found: Found
) -> FoundMail | None:
    """A mail, taken apart, with its raw bytes and files stored; None for one that had to be quarantined."""
    assert found.raw is not None, "it is there"
    raw = await files.store_bytes(store, caller.workspace, files.whole(found.raw), MOST_RAW)
    try:
        if found.is_too_large:
            raise Unparsable("it is too large to be fetched; its header is kept")
        parsed = await parsers.parse(found.raw)
    except Unparsable as error:
        sender = found.envelope.sender.address if found.envelope.sender else None
        await mail_in.quarantine(store, caller, mailbox.id, is_sent, sender, found.size, raw.id, str(error))
        return None
    return await found_mail(store, caller, mailbox.id, is_sent, parsed, raw.id)


async def found_mail(
    store: Store, caller: Caller, mailbox_id: str, is_sent: bool, parsed: ParsedMail, raw_id: str
) -> FoundMail:
    stored = [await store_file(store, caller, each) for each in parsed.files]
    references = list(dict.fromkeys([*parsed.in_reply_to, *reversed(parsed.references)]))
    return FoundMail(
        mailbox_id=mailbox_id,
        is_sent=is_sent,
        sender=parsed.sender.address if parsed.sender else "",
        to=[each.address for each in parsed.to],
        cc=[each.address for each in parsed.cc],
        mail_id=parsed.message_id,
        content_hash=parsed.content_hash,
        references=references,
        subject=parsed.subject,
        text=parsed.text[:MOST_TEXT],
        sent_at=parsed.sent_at,
        quoted_text=parsed.quoted[:MOST_TEXT] if parsed.quoted else None,
        signature=parsed.signature[:MOST_TEXT] if parsed.signature else None,
        safe_html=parsed.html,
        has_remote_images=parsed.has_remote_images,
        is_automatic=parsed.is_automatic,
        attachments=stored,
        raw_id=raw_id,
        reports=[each for each in map(reported, parsed.reports) if each is not None],
    )


async def store_file(store: Store, caller: Caller, file: MailFile) -> Attachment:
    blob = await files.store_bytes(store, caller.workspace, files.whole(file.content), MOST_RAW)
    return await attachments.add(
        store, caller.workspace, caller.id, file.name, blob, file.content[:8192], file.content_id, file.is_inline
    )


def reported(report: Report) -> ReportedState | None:
    state = STATES.get(report.kind)
    if state is None or report.message_id is None:
        return None
    return ReportedState(report.message_id, report.recipient, state, report.words)
