"""Mails with headers so long that they are cut: whom they concern is found nevertheless."""

from __future__ import annotations

import pytest

from sync.imap import MOST_HEADER
from tests.mail.office import ADA, BOB, BRAND, Office, a_mail

pytestmark = pytest.mark.usefixtures("quiet")

LONG = b"".join(b"X-Trace-%d: %s\n" % (number, b"x" * 900) for number in range(MOST_HEADER // 900 + 1))


async def test_who_wrote_a_mail_stands_behind_much_else(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    office.deliver(a_mail(text="first").as_bytes())
    office.deliver(LONG + a_mail(text="second").as_bytes())
    office.deliver(LONG + a_mail(BOB, text="of nobody here").as_bytes())
    office.deliver(LONG + a_mail(text="third").as_bytes())
    found = await office.until_messages(ada, 3)
    assert [each["text"] for each in found] == ["first", "second", "third"]
    check = await office.check()
    assert (check["compared"], check["missing"]) == (4, 0)


@pytest.mark.parametrize(
    ("before", "count", "name"), [(b"", 1200, ""), (LONG, 1000, "Somebody Number {} ")], ids=["many", "long and cut"]
)
async def test_a_mail_to_very_many(office: Office, before: bytes, count: int, name: str) -> None:
    """As they are sent by other programs: the influencers among those whom it is for have it."""
    ada, bob = await office.person("Ada", ADA), await office.person("Bob", BOB)
    others = [f"{name.format(number)}<somebody.number.{number}@else.test>" for number in range(count)]
    to = ",\n ".join([*others, ADA])
    raw = a_mail(BRAND, "TO", text="to all", Cc="CC").as_bytes()
    office.deliver(before + raw.replace(b"TO", to.encode()).replace(b"CC", to.replace(ADA, BOB).encode()), "Sent")
    for thread in (ada, bob):
        [message] = await office.until_messages(thread, 1)
        assert message["text"] == "to all"
        assert len(message["recipients"]) == 2 * count + 2
