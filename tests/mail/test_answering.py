"""What others wrote into their mail's header is answered without a header that they chose."""

from __future__ import annotations

import base64

import pytest

from tests.mail.office import BRAND, Office, parsed

pytestmark = pytest.mark.usefixtures("quiet")

EXPECTED = {
    "Date", "From", "To", "Subject", "Message-ID", "In-Reply-To", "References", "MIME-Version", "Content-Type",
    "Content-Transfer-Encoding",
}  # fmt: skip


def encoded(text: str) -> str:
    return f"=?utf-8?b?{base64.b64encode(text.encode()).decode()}?="


SUBJECTS = [
    "=?utf-8?q?Hello=0D=0ABcc=3A_evil=40else.test?=",
    "=?utf-8?q?Hello=0ABcc=3A_evil=40else.test?=",
    "=?utf-8?q?Hello=0D=0A=0D=0AAnother_body?=",
    encoded("Hello\r\nX-Injected: yes"),
    encoded("Hello\u2028X-Injected: yes\u2029\x85X-Injected: yes"),
    encoded("=?utf-8?q?twice=0D=0AX-Injected:_yes?="),
    "Hello\r\n X-Injected: folded",
    "=?utf-8?q?" + "=0D=0AX-Injected:_yes" * 50 + "?=",
]
MESSAGE_IDS = [
    "<a@people.test>", "<a b@people.test>\r\n X-Injected: yes", "<=?utf-8?q?a=0D=0AX-Injected:_yes?=@people.test>",
    "no brackets", "<" + "a" * 3000 + "@people.test>", "<a@people.test><b@people.test>",
]  # fmt: skip
NAMES = [encoded("Ada\r\nBcc: evil@else.test"), '"Ada\r\n Bcc: evil@else.test"', "=?utf-8?q?=22=0D=0AX-Injected:?="]


def raw_mail(sender: str, name: str, subject: str, message_id: str) -> bytes:
    head = f"From: {name} <{sender}>\r\nTo: {BRAND}\r\nSubject: {subject}\r\nMessage-ID: {message_id}\r\n"
    return (head + "Date: Thu, 26 Nov 2026 09:00:00 +0000\r\n\r\nHello\r\n").encode()


async def test_no_header_is_injected_by_what_is_answered(office: Office) -> None:
    attempts = [("Ada", subject, f"<{number}@people.test>") for number, subject in enumerate(SUBJECTS)]
    attempts += [("Ada", f"Subject {number}", message_id) for number, message_id in enumerate(MESSAGE_IDS)]
    attempts += [(name, "Hello", f"<name{number}@people.test>") for number, name in enumerate(NAMES)]
    threads = {f"person{number}@people.test": attempt for number, attempt in enumerate(attempts)}
    people = {address: await office.person("Ada", address) for address in threads}
    for address, attempt in threads.items():
        office.deliver(raw_mail(address, *attempt))
    for thread in people.values():
        await office.until_messages(thread, 1)
        await office.send(thread, "The answer", subject=None)
    for mail in await office.smtp.received(len(attempts)):
        [recipient] = mail.recipients
        assert recipient in people
        head = mail.raw.partition(b"\r\n\r\n")[0]
        assert b"\n" not in head.replace(b"\r\n", b"") and b"\r" not in head.replace(b"\r\n", b"")
        names = [line.partition(":")[0] for line in head.decode().split("\r\n") if line[0] not in " \t"]
        assert len(names) == len(set(names)) and set(names) <= EXPECTED, names
        content = parsed(mail.raw)
        assert str(content["From"]) == f"The Brand <{BRAND}>" and str(content["To"]) == recipient
        assert str(content.get_content()).strip() == "The answer"
