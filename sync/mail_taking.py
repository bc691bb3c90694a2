"""From a mail as a server has it to what is stored: whom it concerns, what it says, and its files."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from schema.types.context import Caller
from schema.types.mailbox import Mailbox
from schema.types.message import Attachment, DeliveryState
from schema.types.node import derived_id
from storage import attachments, files, mail_in, quarantine
from storage.addresses import canonical
from storage.database import is_of_database
from storage.files import Blob
from storage.mail_in import FoundMail, ReportedState
from storage.mail_states import IGNORED, QUARANTINED, REFUSED, TAKEN_IN
from storage.store import Store
from sync.mail import Envelope, MailFile, ParsedMail, Report, ReportKind, Unparsable
from sync.mail_addresses import ADDRESSES
from sync.mail_headers import without_field
from sync.mail_workers import MailParsers

logger = logging.getLogger("connect_inbox.sync")
T = TypeVar("T")

MOST_RAW = 64 * 1024 * 1024  # bytes of a raw mail that are kept
MOST_HTML = 4 * 1024 * 1024  # bytes: an entry of the log has room for 16 MB
MOST_TEXT = 200_000  # characters of a text; the raw mail has the rest
MOST_OTHERS = 1000  # who else got a mail that came in, in each of To and Cc
OUR_FAULT = "an error on this side, which the operator's log tells of"

STATES = {
    ReportKind.BOUNCE: DeliveryState.BOUNCED,
    ReportKind.DELIVERY: DeliveryState.DELIVERED,
    ReportKind.COMPLAINT: DeliveryState.COMPLAINED,
}  # a delay changes nothing yet


@dataclass(frozen=True)
class Found:
    """A mail on a server. `raw` is None where it is gone by now; where it cannot be had it is the header."""

    uid: int
    raw: bytes | None
    envelope: Envelope
    size: int
    people: list[str]  # whom it concerns, as far as its header tells
    is_too_large: bool = False
    refused: str | None = None  # why its server does not give it
    was_refused: str | None = None  # where it is, if its server has not given it at some time


async def concerns(
    store: Store, workspace: str, mailbox: str, envelopes: Mapping[int, Envelope], is_sent: bool
) -> dict[int, list[str]]:
    """Which mails are from or to influencers, and to whom each of them is; or reports on mail of ours.

    A mail that an influencer wrote is none of the brand's, though somebody has moved it to what was sent. The mailbox's
    own address may be an influencer's too, where somebody tries things out.
    """
    theirs = {uid: addresses_of(each, is_sent) for uid, each in envelopes.items()}
    senders = {uid: sender_of(each) for uid, each in envelopes.items()}
    asked = {address for each in [*theirs.values(), *senders.values()] for address in each}
    known = await mail_in.known_people(store, workspace, asked)
    others = known.keys() - {canonical(mailbox)}
    moved = {uid for uid, each in senders.items() if is_sent and not others.isdisjoint(each)}
    people = {uid: [known[each] for each in theirs[uid] if each in known and uid not in moved] for uid in envelopes}
    return {uid: people[uid] for uid, each in envelopes.items() if each.is_report or people[uid]}


def addresses_of(envelope: Envelope, is_sent: bool) -> set[str]:
    """Who is on the other side, in canonical form."""
    if is_sent:
        return {canonical(each.address) for each in [*envelope.recipients, *envelope.bcc]}
    return sender_of(envelope)


def sender_of(envelope: Envelope) -> set[str]:
    return {canonical(envelope.sender.address)} if envelope.sender else set()


async def take_all(
    store: Store, parsers: MailParsers, caller: Caller, mailbox: Mailbox, is_sent: bool, found: list[Found]
) -> dict[int, str]:
    """Takes in mails in their order; what became of each, by UID, but of those that are gone."""
    taking = Taking(store, parsers, caller, mailbox, is_sent)
    prepared = await together([taking.prepare(each) for each in found])
    became = await together([taking.take(each, mail) for each, mail in zip(found, prepared, strict=True)])
    return {each.uid: what for each, what in zip(found, became, strict=True) if what is not None}


async def together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What each comes to. Where one fails the others are ended first."""
    tasks = [asyncio.ensure_future(each) for each in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True)
class Taking:
    """Mails of one folder, which are taken in. One that fails, in whatever way, stops no other: it is quarantined."""

    store: Store
    parsers: MailParsers
    caller: Caller
    mailbox: Mailbox
    is_sent: bool

    async def prepare(self, found: Found) -> FoundMail | str | None:
        """A mail, taken apart, with its raw bytes and files stored; or what became of one that cannot be.

        Of a report from nobody known nothing is kept, unless it is about a mail of ours. None for a mail that is gone:
        it is noted nowhere, so that a check asks for it if it is there nevertheless.
        """
        if found.raw is None:
            return None
        if found.is_too_large:
            return await self.give_up(found, "it is too large to be fetched; its header is kept")
        if found.refused is not None:
            await self.give_up(found, f"{found.refused}; its header is kept, and it is asked for again")
            return REFUSED
        try:
            parsed = await self.parsers.parse(found.raw)
            if not found.people and not await self.is_about_ours(parsed):
                return IGNORED
            mail = await found_mail(self.store, self.caller, self.mailbox.id, self.is_sent, parsed, found.raw)
            return replace(mail, people=found.people, connected_at=self.mailbox.connected_at)
        except Unparsable as error:
            return await self.give_up(found, str(error))
        except Exception as error:
            tell(error)
            return await self.give_up(found, OUR_FAULT)

    async def is_about_ours(self, parsed: ParsedMail) -> bool:
        reported = {mail_id for each in parsed.reports for mail_id in each.message_ids}
        return await mail_in.is_of_ours(self.store, self.caller.workspace, reported)

    async def take(self, found: Found, mail: FoundMail | str | None) -> str | None:
        if mail is None or isinstance(mail, str):
            return mail
        try:
            taken = (await mail_in.take_in(self.store, self.caller, mail)).result
        except Exception as error:
            tell(error)
            return await self.quarantine(found, OUR_FAULT)
        if found.was_refused is not None:
            await quarantine.settle_refused(self.store, self.caller, found.was_refused, taken.message_ids)
        return TAKEN_IN if taken.message_ids or taken.reported else IGNORED

    async def give_up(self, found: Found, reason: str) -> str:
        """Quarantines what concerns somebody. A report from nobody known may be about anything, and is left."""
        return await self.quarantine(found, reason) if found.people else IGNORED

    async def quarantine(self, found: Found, reason: str) -> str:
        assert found.raw is not None, "it is there"
        raw = await store_raw(self.store, self.caller, found.raw)
        sender = found.envelope.sender.address if found.envelope.sender else None
        await quarantine.hold(
            self.store, self.caller, self.mailbox.id, self.is_sent, sender, found.size, raw.id, reason,
            found.was_refused if found.refused else None,
        )  # fmt: skip
        return QUARANTINED


def tell(error: Exception) -> None:
    """The operator, of a mail that fails here. Raises what is not the mail's fault."""
    if is_of_database(error) or isinstance(error, OSError):  # no file or process could be opened
        raise error
    logger.error("a mail could not be taken in", exc_info=error)


async def found_mail(
    store: Store, caller: Caller, mailbox_id: str, is_sent: bool, parsed: ParsedMail, raw: bytes
) -> FoundMail:
    """A mail, with its raw bytes and files stored. Of its raw bytes nobody learns to whom else it went by Bcc."""
    raw_id = (await store_raw(store, caller, without_field(raw, "bcc") if is_sent and parsed.bcc else raw)).id
    stored = [await store_file(store, caller, each, raw_id, place) for place, each in enumerate(parsed.files)]
    most = ADDRESSES if is_sent else MOST_OTHERS
    references = list(dict.fromkeys([*parsed.in_reply_to, *reversed(parsed.references)]))
    return FoundMail(
        mailbox_id=mailbox_id,
        is_sent=is_sent,
        sender=parsed.sender.address if parsed.sender else "",
        to=[each.address for each in parsed.to[:most]],
        cc=[each.address for each in parsed.cc[:most]],
        bcc=[each.address for each in parsed.bcc[:most]],
        mail_id=parsed.message_id,
        original_id=parsed.original_id,
        content_hash=parsed.content_hash,
        references=references,
        subject=parsed.subject,
        text=parsed.text[:MOST_TEXT],
        sent_at=parsed.sent_at,
        quoted_text=parsed.quoted[:MOST_TEXT] if parsed.quoted else None,
        signature=parsed.signature[:MOST_TEXT] if parsed.signature else None,
        safe_html=parsed.html if parsed.html and len(parsed.html.encode()) <= MOST_HTML else None,
        has_remote_images=parsed.has_remote_images,
        is_automatic=parsed.is_automatic,
        attachments=stored,
        raw_id=raw_id,
        reports=[each for each in map(reported, parsed.reports) if each is not None],
    )


async def store_raw(store: Store, caller: Caller, raw: bytes) -> Blob:
    return await files.store_bytes(store, caller.workspace, files.whole(raw), MOST_RAW)


async def store_file(store: Store, caller: Caller, file: MailFile, raw_id: str, place: int) -> Attachment:
    blob = await files.store_bytes(store, caller.workspace, files.whole(file.content), MOST_RAW)
    return await attachments.add(
        store, caller.workspace, caller.id, file.name, blob, file.content[:8192], file.content_id, file.is_inline,
        derived_id("attachment", f"{raw_id}:{place}:{blob.sha256}:{file.name}"),
    )  # fmt: skip


def reported(report: Report) -> ReportedState | None:
    state = STATES.get(report.kind)
    if state is None or not report.message_ids:
        return None
    return ReportedState(report.message_ids, report.recipient, state, report.words)
