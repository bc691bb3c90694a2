"""Bounces and complaints as servers send them: each finds the mail that it is about, and nothing is kept of others."""

from __future__ import annotations

import os

import pytest

from tests.mail.office import ADA, BOB, BRAND, STRANGER, Office, deliveries, parsed
from tests.mail.test_office import bounce_of

pytestmark = pytest.mark.usefixtures("quiet")

KEPT = ("blobs", "attachments", "uploads", "quarantined_mails")


def with_file(raw: bytes) -> bytes:
    content = os.urandom(300_000).hex().encode()
    return raw.removesuffix(b"--b--\n") + b"--b\nContent-Type: application/x-data; name=x\n\n" + content + b"\n--b--\n"


def with_many_parts(raw: bytes) -> bytes:
    """More than a mail can have."""
    return raw.removesuffix(b"--b--\n") + b"--b\n\nprivate\n" * 600 + b"--b--\n"


async def test_of_a_report_about_no_mail_of_ours_nothing_is_kept(office: Office) -> None:
    await office.person("Ada", ADA)
    other = bounce_of(b"Message-ID: <private@else.test>\r\n\r\n", STRANGER)
    for raw in (with_file(other), with_many_parts(other), bounce_of(b"Subject: Hi\r\n\r\n", ADA)):
        office.deliver(raw)
    await office.check()
    check = await office.check()
    assert (check["missing"], check["repaired"]) == (0, 0) and check["compared"] == 3
    where = {"workspace": office.brand.workspace}
    assert {name: await office.brand.store.database.find(name, where) for name in KEPT} == {name: [] for name in KEPT}


async def test_a_report_of_a_person_we_know_is_kept_as_all_that_they_write(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    raw = bounce_of(b"Message-ID: <private@else.test>\r\n\r\n", STRANGER)
    office.deliver(raw.replace(b"mailer-daemon@mx.test", ADA.encode()))
    [message] = await office.until_messages(ada, 1)
    assert message["automatic"] and message["text"] == "I am sorry."


def complaint_of(raw: bytes, fields: str) -> bytes:
    """As RFC 5965 has it, by those who hide whose it is."""
    head = raw.partition(b"\r\n\r\n")[0].decode().replace(ADA, "redacted@redacted.test")
    return f"""From: feedback@isp.test
To: {BRAND}
Subject: complaint
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary=b

--b
Content-Type: text/plain

This is a report of a mail.

--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: Feedback/2.0
Version: 1
{fields}
--b
Content-Type: message/rfc822

{head}

Hi!
--b--
""".encode()


async def sent_to(office: Office, thread: str, *cc: str) -> tuple[str, bytes]:
    """A mail that has left, and what left."""
    before = len(office.smtp.mails)
    sent = await office.send(thread, cc=list(cc))
    await office.until_state(thread, sent["id"], "SENT")
    return sent["id"], (await office.smtp.received(before + 1))[before].raw


async def test_a_bounce_of_a_mail_that_was_forwarded(office: Office) -> None:
    """It names an address that we have not written to: so it is about whose thread it is."""
    ada = await office.person("Ada", ADA)
    alone, raw = await sent_to(office, ada)
    office.deliver(bounce_of(raw, "ada.lovelace@elsewhere.test"))
    await office.until_deliveries(ada, alone, ada="BOUNCED")
    copied, raw = await sent_to(office, ada, BOB)
    office.deliver(bounce_of(raw, "ada.lovelace@elsewhere.test"))
    await office.until_deliveries(ada, copied, ada="BOUNCED", bob="SENT")


@pytest.mark.parametrize("fields", ["Original-Rcpt-To: 3a7c@redacted.test\n", ""])
async def test_a_complaint_that_hides_whose_it_is(office: Office, fields: str) -> None:
    ada = await office.person("Ada", ADA)
    copied, raw = await sent_to(office, ada, BOB)
    office.deliver(complaint_of(raw, fields))
    await office.until_deliveries(ada, copied, ada="COMPLAINED", bob="SENT")


async def test_a_report_of_nobody_among_several_changes_nothing(office: Office) -> None:
    """She has another address now: it may be about either."""
    influencer = await office.brand.influencer("Ada", emails=[ADA])
    ada = influencer["thread"]
    copied, raw = await sent_to(office, ada, BOB)
    changed = {"influencerId": influencer["id"], "emails": ["ada.new@people.test"]}
    await office.brand.admin.mutate("updateInfluencer", "position", **changed)
    office.deliver(bounce_of(raw, STRANGER))
    await office.check()
    assert {each["state"] for each in deliveries(await office.message(ada, copied)).values()} == {"SENT"}


async def test_a_bounce_that_returns_nothing_of_the_mail(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    sent, raw = await sent_to(office, ada)
    bounce = bounce_of(raw, ADA)
    alone = bounce[: bounce.index(b"--b\nContent-Type: text/rfc822-headers")] + b"--b--\n"
    office.deliver(b"In-Reply-To: " + str(parsed(raw)["Message-ID"]).encode() + b"\n" + alone)
    await office.until_state(ada, sent, "BOUNCED")
