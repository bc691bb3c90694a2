"""What was there before a mailbox was connected stays where it is, also where somebody moves it."""

from __future__ import annotations

import os
import time

import pytest

from tests.client import Json
from tests.mail.office import ADA, BRAND, STRANGER, Office, a_mail

pytestmark = pytest.mark.usefixtures("quiet")

HOUR = 3600
YEARS = 3 * 365 * 24 * HOUR


def move_here(office: Office, raw: bytes, seconds: float, folder: str = "INBOX") -> None:
    """Moves a mail that came so long ago from the archive into a folder that holds one: it keeps when it came."""
    office.deliver(raw, "Archive")
    [archived] = office.dovecot.files(office.account, "Archive")
    os.utime(archived, (time.time() - seconds,) * 2)
    here = office.dovecot.files(office.account, folder)[0].parent.parent
    archived.rename(here / "cur" / f"{archived.name}:2,S")


def texts(messages: list[Json]) -> list[str]:
    return [each["text"] for each in messages]


async def counted(office: Office) -> tuple[int, int]:
    """How many mails a check compares, and how many of them it misses."""
    check = await office.check()
    return check["compared"], check["missing"]


async def test_old_mail_that_is_moved_back_is_history(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    office.deliver(a_mail(text="first").as_bytes())
    office.deliver(a_mail(BRAND, STRANGER).as_bytes(), "Sent")
    await office.until_messages(ada, 1)
    move_here(office, a_mail(text="three years old").as_bytes(), YEARS)
    move_here(office, a_mail(BRAND, ADA, text="three years old").as_bytes(), YEARS, "Sent")
    office.deliver(a_mail(text="second").as_bytes())
    office.deliver(a_mail(BRAND, ADA, text="third").as_bytes(), "Sent")
    await office.until_messages(ada, 3)
    assert await counted(office) == (6, 0)
    assert sorted(texts(await office.messages(ada))) == ["first", "second", "third"]


async def test_clocks_may_differ_and_mail_may_be_late(office: Office) -> None:
    """What is years old by its own date comes in, if it comes now."""
    ada = await office.person("Ada", ADA)
    late = a_mail(text="late")
    late.replace_header("Date", "Thu, 23 Nov 2023 09:00:00 +0100")
    office.deliver(late.as_bytes())
    await office.until_messages(ada, 1)
    move_here(office, a_mail(text="by a clock that is slow").as_bytes(), 20 * HOUR)
    assert texts(await office.until_messages(ada, 2)) == ["late", "by a clock that is slow"]


async def test_old_mail_that_was_moved_back_is_history_where_mail_is_numbered_anew(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    office.deliver(a_mail(text="first").as_bytes())
    await office.until_messages(ada, 1)
    move_here(office, a_mail(text="three years old").as_bytes(), YEARS)
    office.deliver(a_mail(text="second").as_bytes())
    await office.until_messages(ada, 2)
    await office.dovecot.kill()
    await office.mailbox_state("DEGRADED")
    office.dovecot.reset_folder(office.account)
    await office.dovecot.start()
    await office.mailbox_state("CONNECTED")
    office.deliver(a_mail(text="third").as_bytes())
    await office.until_messages(ada, 3)
    assert await counted(office) == (4, 0)
    assert texts(await office.messages(ada)) == ["first", "second", "third"]
