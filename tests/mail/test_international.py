"""Addresses whose domains have letters beyond ASCII: mail from either form is theirs, and any server sends to them."""

from __future__ import annotations

import pytest

from tests.client import Json
from tests.mail.office import BRAND, PASSWORD, House, Office, a_mail, answer_to
from tests.mail.test_office import bounce_of
from tests.smtp_receiver import smtp_receiver

pytestmark = pytest.mark.usefixtures("quiet")

WRITTEN, WIRED = "Ada@München.test", "ada@xn--mnchen-3ya.test"


async def texts_of(office: Office, thread: str, count: int) -> list[str]:
    return [each["text"] for each in await office.until_messages(thread, count)]


@pytest.mark.parametrize(("stored", "comes"), [(WRITTEN, WIRED), (WIRED, WRITTEN)])
async def test_mail_from_either_form_is_theirs(office: Office, stored: str, comes: str) -> None:
    """So is what the brand writes to them in another program."""
    ada = await office.person("Ada", stored)
    for folder, sender, to in (("INBOX", comes, BRAND), ("Sent", BRAND, comes)):
        raw = a_mail("one@x.test", "two@x.test", text=folder).as_bytes()
        raw = raw.replace(b"one@x.test", sender.encode()).replace(b"two@x.test", to.encode())
        office.deliver(raw, folder)
    assert sorted(await texts_of(office, ada, 2)) == ["INBOX", "Sent"]


async def test_every_server_takes_what_is_sent_to_one(house: House) -> None:
    """What is answered, and what comes back, is of the recipient, who is shown as they were written."""
    async with house.office() as office, smtp_receiver({BRAND: PASSWORD}, takes_utf8=False) as smtp:
        await office.connect(smtp={"host": "localhost", "port": smtp.port, "encryption": "NONE"})
        ada = await office.person("Ada", WRITTEN)
        first = await office.send(ada, "first", cc=["Bob@Bücher.test", "bob@xn--bcher-kva.test"])
        await office.until_state(ada, first["id"], "SENT")
        [mail] = await smtp.received()
        assert mail.recipients == ["Ada@xn--mnchen-3ya.test", "bob@xn--bcher-kva.test"] and mail.raw.isascii()
        office.deliver(answer_to(mail.raw, "Fine", WIRED).as_bytes())
        await office.until_state(ada, first["id"], "DELIVERED")
        office.deliver(bounce_of(mail.raw, "bob@xn--bcher-kva.test"))
        states = await office.until_message(ada, first["id"], bob_bounced)
        assert [each["address"] for each in states["recipients"]] == [WRITTEN, "bob@xn--bcher-kva.test"]


def bob_bounced(message: Json) -> bool:
    return bool(message["recipients"][1]["delivery"]["state"] == "BOUNCED")


async def test_mail_goes_from_a_mailbox_of_such_a_domain(house: House) -> None:
    brand = "team@bücher.test"
    async with house.office() as office, smtp_receiver({brand: PASSWORD}, takes_utf8=False) as smtp:
        await office.connect(brand, smtp={"host": "localhost", "port": smtp.port, "encryption": "NONE"})
        ada = await office.person("Ada", WRITTEN)
        sent = await office.send(ada)
        await office.until_state(ada, sent["id"], "SENT")
        [mail] = await smtp.received()
        assert (mail.sender, mail.user) == ("team@xn--bcher-kva.test", brand) and mail.raw.isascii()
        assert (await office.message(ada, sent["id"]))["senderAddress"] == brand
