"""Mail whose Message-ID its provider replaces, as Microsoft's servers do: it is the same mail nevertheless."""

from __future__ import annotations

import pytest

from tests.mail.office import ADA, BRAND, Office, a_mail, answer_to, parsed
from tests.mail.test_office import bounce_of
from tests.smtp_receiver import Act, Script

pytestmark = pytest.mark.usefixtures("quiet")

THEIRS = "<AM0PR01MB1234@AM0PR01MB1234.prod.outlook.test>"


def changed(raw: bytes) -> bytes:
    """A mail as Microsoft's servers have it once it was sent through them."""
    mail = parsed(raw)
    mail["X-Microsoft-Original-Message-ID"] = str(mail["Message-ID"])
    mail.replace_header("Message-ID", THEIRS)
    return mail.as_bytes()


async def test_it_is_known_again_and_so_is_what_names_it(office: Office) -> None:
    ada, admin = await office.person("Ada", ADA), office.brand.admin
    spring = (await admin.mutate("createCampaign", "campaign { id }", name="Spring"))["campaign"]["id"]
    summer = (await admin.mutate("createCampaign", "campaign { id }", name="Summer"))["campaign"]["id"]
    sent = await office.send(ada, campaignId=spring)
    await office.until_state(ada, sent["id"], "SENT")
    [mail] = await office.smtp.received()
    office.deliver(changed(mail.raw), "Sent")
    await office.check()
    later = await office.send(ada, campaignId=summer)
    await office.until_state(ada, later["id"], "SENT")
    office.deliver(answer_to(changed(mail.raw), "Fine").as_bytes())
    first, second, answer = await office.until_messages(ada, 3)
    assert [first["id"], second["id"], answer["text"]] == [sent["id"], later["id"], "Fine"]
    assert (first["delivery"]["state"], second["delivery"]["state"]) == ("DELIVERED", "SENT")
    assert (answer["campaign"]["id"], answer["campaignMatch"]) == (spring, "REFERENCES")
    hidden = changed(mail.raw).replace(b"X-Microsoft-Original-Message-ID", b"X-Nothing")
    office.deliver(bounce_of(hidden.replace(b"\n", b"\r\n"), ADA))
    await office.until_state(ada, sent["id"], "BOUNCED")


async def test_that_it_lies_among_what_was_sent_says_that_it_was_sent(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    office.smtp.scripts[ADA] = Script("ANSWER", Act.DROP, times=1)
    sent = await office.send(ada)
    await office.until_state(ada, sent["id"], "UNKNOWN")
    office.deliver(changed(office.smtp.mails[0].raw), "Sent")
    await office.until_state(ada, sent["id"], "SENT")


async def test_what_is_returned_in_a_bounce_says_what_it_was(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    sent = await office.send(ada)
    await office.until_state(ada, sent["id"], "SENT")
    [mail] = await office.smtp.received()
    office.deliver(bounce_of(changed(mail.raw).replace(b"\n", b"\r\n"), ADA))
    await office.until_state(ada, sent["id"], "BOUNCED")


async def test_nobody_else_can_say_to_have_written_it(office: Office) -> None:
    """Who comes in with such a header is no mail of ours, and gives it no other Message-ID."""
    ada = await office.person("Ada", ADA)
    sent = await office.send(ada)
    await office.until_state(ada, sent["id"], "SENT")
    [mail] = await office.smtp.received()
    ours = str(parsed(mail.raw)["Message-ID"])
    forged = a_mail(BRAND, ADA, text="forged", X_Microsoft_Original_Message_ID=ours)
    copied = a_mail(ADA, BRAND, text="hers", X_Microsoft_Original_Message_ID=ours)
    office.deliver(forged.as_bytes())
    office.deliver(copied.as_bytes())
    office.deliver(bounce_of(forged.as_bytes().replace(b"X-Microsoft-", b"X-").replace(b"\n", b"\r\n"), ADA))
    await office.check()
    assert [(each["text"], each["direction"]) for each in await office.messages(ada)] == [
        ("Hi!", "OUTBOUND"), ("hers", "INBOUND"),
    ]  # fmt: skip
    assert (await office.message(ada, sent["id"]))["delivery"]["state"] == "SENT"
