"""Mails as influencers, their absence assistants, and mail servers write them."""

from __future__ import annotations

from datetime import UTC, datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import format_datetime, make_msgid

WHOLE_LINES = policy.SMTP.clone(max_line_length=998)  # or a long Message-ID would be encoded as words
NUMBERS = "post,plays,likes,saves\nreel,48200,3910,212\nstory,12840,0,0\n"


def letter(sender: Address, to: str, subject: str, text: str) -> EmailMessage:
    mail = EmailMessage(policy=WHOLE_LINES)
    mail["From"], mail["To"], mail["Subject"] = sender, to, subject
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = make_msgid(domain=sender.domain)
    mail.set_content(text)
    return mail


def answer_to(raw: bytes, sender: Address, text: str) -> EmailMessage:
    """An answer as a person's program writes it, with what it answers below."""
    mail = parsed(raw)
    said = f"{text}\n\nOn {mail['Date']}, {mail['From']} wrote:\n{quoted(mail)}\n"
    subject = str(mail["Subject"])
    answer = letter(sender, str(mail["From"]), subject if subject.startswith("Re: ") else f"Re: {subject}", said)
    refer(answer, mail)
    return answer


def attach_numbers(mail: EmailMessage) -> None:
    mail.add_attachment(NUMBERS, subtype="csv", filename="numbers.csv")


def absence_reply(raw: bytes, sender: Address, text: str) -> EmailMessage:
    """What is sent while somebody is away (RFC 3834)."""
    mail = parsed(raw)
    reply = letter(sender, str(mail["From"]), f"Automatic reply: {mail['Subject']}", text)
    reply["Auto-Submitted"] = "auto-replied"
    refer(reply, mail)
    return reply


def bounce_of(raw: bytes, recipient: str) -> bytes:
    """What a mail server sends back where there is nobody with this address (RFC 3464)."""
    header = raw.partition(b"\r\n\r\n")[0].decode("ascii", "replace")
    domain = recipient.rpartition("@")[2]
    text = f"""\
From: Mail Delivery System <mailer-daemon@{domain}>
To: {parsed(raw)["From"].addresses[0].addr_spec}
Subject: Undelivered Mail Returned to Sender
Date: {format_datetime(datetime.now(UTC))}
Message-ID: {make_msgid(domain=domain)}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="returned"

--returned
Content-Type: text/plain

Your mail to {recipient} could not be delivered.

--returned
Content-Type: message/delivery-status

Reporting-MTA: dns; {domain}

Final-Recipient: rfc822; {recipient}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 There is no such mailbox

--returned
Content-Type: text/rfc822-headers

{header}

--returned--
"""
    return "\r\n".join(text.splitlines()).encode()


def parsed(raw: bytes) -> EmailMessage:
    mail = BytesParser(policy=policy.default).parsebytes(raw)
    assert isinstance(mail, EmailMessage)
    return mail


def quoted(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    lines = body.get_content().splitlines() if body is not None else []
    return "\n".join(f"> {line}" for line in lines)


def refer(answer: EmailMessage, mail: EmailMessage) -> None:
    answer["In-Reply-To"] = str(mail["Message-ID"])
    answer["References"] = " ".join([*str(mail["References"] or "").split(), str(mail["Message-ID"])])
