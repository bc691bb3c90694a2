"""What members write in their own mail programs, as it lies in the Sent folder."""

from __future__ import annotations

import asyncio

import pytest

from tests.client import Json
from tests.mail.office import ADA, BOB, BRAND, DEADLINE, Office, a_mail, answer_to
from tests.mail.test_office import bounce_of

pytestmark = pytest.mark.usefixtures("quiet")

RAW = "query($id: ID!) { thread(id: $id) { messages(last: 10) { nodes { rawUrl } } } }"
QUARANTINED = "{ quarantinedMails { nodes { id } } }"


def recipients(message: Json) -> list[tuple[str, str, str]]:
    return [(each["address"], each["kind"], each["delivery"]["state"]) for each in message["recipients"]]


async def raw_of(office: Office, thread: str) -> bytes:
    """The only message of a thread, as it came."""
    [message] = (await office.brand.viewer.run(RAW, id=thread))["thread"]["messages"]["nodes"]
    content: bytes = (await office.fetch(message["rawUrl"])).content
    return content


async def test_who_got_a_blind_copy_has_it_and_nobody_learns_of_the_others(office: Office) -> None:
    ada, bob = await office.person("Ada", ADA), await office.person("Bob", BOB, "bob.home@people.test")
    blind = f"{ADA}, {BOB}, bob.office@people.test, bob.study@people.test, bob.garden@people.test"
    mail = a_mail(BRAND, BRAND, text="Are you free in May?", Bcc=blind)
    office.deliver(mail.as_bytes(), "Sent")
    [to_ada], [to_bob] = await office.until_messages(ada, 1), await office.until_messages(bob, 1)
    assert to_ada["direction"] == to_bob["direction"] == "OUTBOUND"
    assert recipients(to_ada) == [(BRAND, "TO", "SENT"), (ADA, "BCC", "SENT")]
    assert recipients(to_bob) == [(BRAND, "TO", "SENT"), (BOB, "BCC", "SENT")]
    for thread in (ada, bob):
        raw = await raw_of(office, thread)
        assert b"Are you free" in raw and b"people.test>" in raw and b"bcc" not in raw.lower() and b"bob" not in raw
    office.deliver(answer_to(mail.as_bytes(), "Yes").as_bytes())
    first, _ = await office.until_messages(ada, 2)
    assert recipients(first) == [(BRAND, "TO", "SENT"), (ADA, "BCC", "DELIVERED")]
    office.deliver(bounce_of(mail.as_bytes().replace(b"\n", b"\r\n"), BOB))
    await office.until_deliveries(bob, to_bob["id"], team="SENT", bob="BOUNCED")


async def test_who_is_named_twice_has_one_copy(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    office.deliver(a_mail(BRAND, ADA, text="To you", Bcc=f"{ADA}, {BOB}").as_bytes(), "Sent")
    [message] = await office.until_messages(ada, 1)
    assert recipients(message) == [(ADA, "TO", "SENT")]


async def test_nobody_learns_of_them_from_a_mail_that_was_tried_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await office.person("Ada", ADA)
    monkeypatch.setattr("sync.mail_workers.SECONDS", 0.01)  # so that a large mail is too much
    office.deliver(a_mail(BRAND, BRAND, text="patience\n" * 50_000, Bcc=f"{ADA}, {BOB}").as_bytes(), "Sent")
    async with asyncio.timeout(DEADLINE):
        while not (held := (await office.brand.member.run(QUARANTINED))["quarantinedMails"]["nodes"]):
            await asyncio.sleep(0.02)
    monkeypatch.undo()
    await office.brand.member.mutate("retryQuarantinedMail", "position", quarantinedMailId=held[0]["id"])
    await office.until_messages(ada, 1)
    raw = await raw_of(office, ada)
    assert raw.startswith(b"From: ") and b"patience" in raw and b"bob" not in raw


async def test_what_an_influencer_wrote_is_none_of_the_brands_wherever_it_lies(office: Office) -> None:
    """Somebody has moved it there."""
    ada, bob = await office.person("Ada", ADA), await office.person("Bob", BOB)
    office.deliver(a_mail(ADA, BRAND, text="Hers", Cc=BOB).as_bytes(), "Sent")
    office.deliver(a_mail(BRAND, BOB, text="Ours").as_bytes(), "Sent")
    assert [each["text"] for each in await office.until_messages(bob, 1)] == ["Ours"]
    check = await office.check()
    assert (check["compared"], check["missing"]) == (2, 0)
    assert await office.messages(ada) == []


async def test_a_member_may_be_an_influencer_too(office: Office) -> None:
    """As whoever tries things out is."""
    await office.person("Our own", BRAND)
    ada = await office.person("Ada", ADA)
    office.deliver(a_mail(BRAND, ADA, text="Ours").as_bytes(), "Sent")
    assert [each["text"] for each in await office.until_messages(ada, 1)] == ["Ours"]
