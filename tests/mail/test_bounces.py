"""Bounces and complaints as servers send them: each finds the mail that it is about, and nothing is kept of others."""

from __future__ import annotations

import os

import pytest

from tests.mail.office import ADA, STRANGER, Office
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
