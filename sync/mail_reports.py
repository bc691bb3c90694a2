"""What machines say of mails that were sent before: bounces (RFC 3464) and complaints (RFC 5965)."""

from __future__ import annotations

import re

from sync.mail import Address, Report, ReportKind
from sync.mail_addresses import addresses_of
from sync.mail_charsets import decoded, one_line
from sync.mail_envelope import report_type
from sync.mail_headers import Header, decoded_words, header_of, message_id_of, message_ids_of, original_id_of
from sync.mail_structure import Part, leaves_of

WORDS = 500  # characters
REPORTS = 100  # of one mail
STATUS = {"message/delivery-status", "message/global-delivery-status"}
FEEDBACK = {"message/feedback-report"}
ORIGINAL = {"message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers"}
# What was relayed or given to a list has left those who would tell: that it arrived is not known.
ACTIONS = {"failed": ReportKind.BOUNCE, "delayed": ReportKind.DELAY, "delivered": ReportKind.DELIVERY}
NO_COMPLAINTS = {"not-spam", "opt-out"}
BLANK = re.compile(rb"(?:\r?\n)+")
MESSAGE_ID = re.compile(r"^message-id:(.*)$", re.IGNORECASE | re.MULTILINE)


def reports_of(root: Part, raw: bytes, text: str) -> list[Report]:
    """What a mail reports. What a person forwards reports nothing, whatever is in it."""
    if report_type(root.header) is None:
        return failed_recipients(root.header, text)
    original: list[str] = []
    fields: list[tuple[str, list[Header]]] = []
    for part in leaves_of(root):
        kind = part.content_type.word
        if kind in STATUS | FEEDBACK:
            fields.append((kind, groups_of(part.content(raw))))
        elif kind in ORIGINAL and not original:
            original = ids_of(header_of(part.content(raw))[0])
    original = original or ids_named(root.header, [group for _, groups in fields for group in groups[:1]])
    found: list[Report] = []
    for kind, groups in fields:
        found += deliveries(groups, original) if kind in STATUS else complaints(groups, original)
    return found[:REPORTS]


def ids_of(header: Header) -> list[str]:
    """The Message-IDs of a mail that is returned."""
    return [each for each in (message_id_of(header.raw("message-id")), original_id_of(header)) if each]


def ids_named(header: Header, groups: list[Header]) -> list[str]:
    """The mail that a report names, where it returns nothing of it. Of several that it answers, the nearest."""
    said = [message_id_of(group.raw("x-original-message-id")) for group in groups]
    answered = message_ids_of(header.joined("in-reply-to"))[:1] or message_ids_of(header.joined("references"))[-1:]
    return [each for each in said if each] or answered


def groups_of(content: bytes) -> list[Header]:
    """Groups of fields, with blank lines between them."""
    groups: list[Header] = []
    position = 0
    while position < len(content) and len(groups) <= REPORTS:
        blank = BLANK.match(content, position)
        start = blank.end() if blank else position
        header, position = header_of(content, start)
        if not header.fields:
            break
        groups.append(header)
    return groups


def deliveries(groups: list[Header], original: list[str]) -> list[Report]:
    """One report for each recipient that something is said of."""
    found = []
    for group in groups:
        kind = ACTIONS.get(group.raw("action").partition("(")[0].strip().lower())
        if kind is not None:
            told = [group.text("status"), typed(group, "diagnostic-code")]
            recipient = address_in(group, "original-recipient") or address_in(group, "final-recipient")
            found.append(Report(kind, original, recipient, one_line(" ".join(told))[:WORDS]))
    return found


def complaints(groups: list[Header], original: list[str]) -> list[Report]:
    found = []
    for group in groups[:1]:
        kind = group.text("feedback-type").lower()
        if not kind or kind in NO_COMPLAINTS:
            continue
        told = one_line(f"{kind} {group.text('user-agent')}")[:WORDS]
        recipients = list_of(group.joined("original-rcpt-to")) or [None]
        found += [Report(ReportKind.COMPLAINT, original, recipient, told) for recipient in recipients]
    return found


def failed_recipients(header: Header, text: str) -> list[Report]:
    """Exim names in the header who was not reached, and repeats the mail in its text."""
    recipients = list_of(header.joined("x-failed-recipients"))
    if not recipients:
        return []
    ids = MESSAGE_ID.findall(text)
    original = [each for each in map(message_id_of, ids[:1]) if each] or ids_named(header, [])
    return [Report(ReportKind.BOUNCE, original, one, header.text("subject")[:WORDS]) for one in recipients[:REPORTS]]


def list_of(raw: str) -> list[str | None]:
    found: list[Address] = addresses_of(raw)
    return [address.address for address in found]


def address_in(group: Header, name: str) -> str | None:
    found = addresses_of(typed(group, name))
    return found[0].address if found else None


def typed(group: Header, name: str) -> str:
    """A value without the type before it: `rfc822; someone@example.com`."""
    value = decoded(b" ".join(group.fields.get(name, [])[:1])[:WORDS], None)
    return one_line(decoded_words(value.partition(";")[2] or value))
