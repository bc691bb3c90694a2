"""Who a mail is from and to, from its header alone: whether it concerns us is decided before its body is fetched.

This runs where everything else does, so it must take linear time and never fail.
"""

from __future__ import annotations

from sync.mail import Address, Envelope
from sync.mail_addresses import addresses_of
from sync.mail_headers import ADDRESS_FIELD, FIELD, Header, header_of, message_id_of, value_of

HEADER = 256 * 1024  # bytes of a header that are looked at
REPORTS = {"delivery-status", "feedback-report"}
AUTOMATIC_FIELDS = {"x-autoreply", "x-autorespond", "x-autoresponder", "x-auto-reply", "x-failed-recipients"}
AUTOMATIC_PRECEDENCE = {"auto_reply", "auto-reply", "bulk", "junk"}


def envelope_of(header: bytes) -> Envelope:
    """What a mail's header says, whatever bytes it is made of."""
    fields, _ = header_of(header[:HEADER])
    return Envelope(
        message_id=message_id_of(fields.raw("message-id")),
        sender=next(iter(addresses_of(fields.joined("from", FIELD))), None),
        recipients=recipients_of(fields, "to") + recipients_of(fields, "cc"),
        is_automatic=is_automatic(fields),
        is_report=is_report(fields),
        bcc=recipients_of(fields, "bcc"),
    )


def recipients_of(header: Header, name: str) -> list[Address]:
    return addresses_of(header.joined(name, ADDRESS_FIELD))


def is_automatic(header: Header) -> bool:
    """Whether a machine wrote it: RFC 3834, what was usual before it, reports, and whatever must not be answered.

    A list of people (`Precedence: list`) is none, and what asks machines for silence was not written by one.
    """
    declared = value_of(header.raw("auto-submitted")).word
    if declared and declared != "no":
        return True
    if header.raw("precedence").strip().lower() in AUTOMATIC_PRECEDENCE:
        return True
    if header.raw("return-path").strip() == "<>":
        return True
    return not AUTOMATIC_FIELDS.isdisjoint(header.fields) or report_type(header) is not None


def is_report(header: Header) -> bool:
    """Whether it says what became of another mail. A receipt of who read it says nothing of its delivery."""
    return report_type(header) in REPORTS or "x-failed-recipients" in header


def report_type(header: Header) -> str | None:
    """What a multipart/report reports, or None. One that does not say it, reports a delivery."""
    content_type = value_of(header.raw("content-type"))
    if content_type.word != "multipart/report":
        return None
    return content_type.parameters.get("report-type", "delivery-status").lower()
