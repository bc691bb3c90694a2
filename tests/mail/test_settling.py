"""What ends that nobody knows whether a mail was sent, for whom, and what is done then."""

from __future__ import annotations

import pytest

from storage.outbox import DONE
from sync.mail_service import mail_service
from tests.mail.office import ADA, BOB, FAST, House, Office, answer_to, parsed
from tests.mail.test_filing import until_stage
from tests.mail.test_office import bounce_of
from tests.mail.test_sending import resolve
from tests.smtp_receiver import Act, Received, Script

pytestmark = pytest.mark.usefixtures("quiet")

PRIVATE = "ada.private@else.test"


async def unknown(office: Office, *others: str) -> tuple[str, str]:
    """A thread, and a mail in it that the server has and of which nobody knows."""
    ada = await office.person("Ada", ADA, *others)
    office.smtp.scripts[ADA] = Script("ANSWER", Act.DROP)
    sent = (await office.send(ada))["id"]
    await office.until_state(ada, sent, "UNKNOWN")
    return ada, sent


async def until_filed(office: Office, message: str) -> None:
    await office.until(lambda: len(office.dovecot.mails(office.account, "Sent")) > 0)
    await until_stage(office, message, DONE)
    [filed] = office.dovecot.mails(office.account, "Sent")
    assert parsed(filed)["Message-ID"] == parsed(office.smtp.mails[0].raw)["Message-ID"]


async def test_what_is_answered_is_filed(office: Office) -> None:
    ada, sent = await unknown(office)
    office.deliver(answer_to(office.smtp.mails[0].raw, "Got it").as_bytes())
    await office.until_state(ada, sent, "DELIVERED")
    await until_filed(office, sent)


async def test_what_a_member_says_to_be_sent_is_filed(office: Office) -> None:
    ada, sent = await unknown(office)
    await resolve(office, sent, True)
    await office.until_state(ada, sent, "SENT")
    await until_filed(office, sent)
    await office.check()
    assert len(await office.messages(ada)) == 1


async def test_what_is_filed_already_is_not_filed_again(house: House) -> None:
    """By the provider, and nobody has read it there by the time a member knows."""
    async with house.office(None) as office:
        await office.connect()
        ada = await office.person("Ada", ADA)
        office.smtp.scripts[ADA] = Script("ANSWER", Act.DROP)
        sent = (await office.send(ada))["id"]
        async with mail_service(office.brand.store, office.mail, FAST):
            await office.until_state(ada, sent, "UNKNOWN")
        office.deliver(office.smtp.mails[0].raw, "Sent")
        await resolve(office, sent, True)
        async with mail_service(office.brand.store, office.mail, FAST):
            await until_filed(office, sent)


async def test_an_answer_from_another_address_of_theirs_settles_it(office: Office) -> None:
    ada, sent = await unknown(office, PRIVATE)
    office.deliver(answer_to(office.smtp.mails[0].raw, "Got it", PRIVATE).as_bytes())
    await office.until_state(ada, sent, "DELIVERED")


async def test_an_answer_settles_it_for_those_who_were_given_it_at_once(office: Office) -> None:
    """There was one outcome for all of them."""
    ada = await office.person("Ada", ADA)
    office.smtp.scripts[ADA] = Script("ANSWER", Act.DROP)
    sent = await office.send(ada, cc=[BOB])
    await office.until_deliveries(ada, sent["id"], ada="UNKNOWN", bob="UNKNOWN")
    office.deliver(answer_to(office.smtp.mails[0].raw, "Got it").as_bytes())
    said = await office.until_deliveries(ada, sent["id"], ada="DELIVERED", bob="SENT")
    assert said == {"ada": "answered", "bob": "another has answered it"}


async def test_a_bounce_settles_it_for_them_too_and_it_is_filed(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    office.smtp.scripts[ADA] = Script("ANSWER", Act.DROP)
    sent = await office.send(ada, cc=[BOB])
    await office.until_deliveries(ada, sent["id"], ada="UNKNOWN", bob="UNKNOWN")
    office.deliver(bounce_of(office.smtp.mails[0].raw, BOB))
    await office.until_deliveries(ada, sent["id"], ada="SENT", bob="BOUNCED")
    await until_filed(office, sent["id"])


async def test_an_answer_says_nothing_of_another_try(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    office.smtp.scripts[ADA] = Script("ANSWER", Act.DROP)
    office.smtp.scripts[BOB] = Script("RCPT", "451 4.3.0 Not now")

    async def drop_the_next_too(_: Received) -> None:
        office.smtp.scripts[BOB] = Script("ANSWER", Act.DROP)

    office.smtp.on_mail = drop_the_next_too
    sent = await office.send(ada, cc=[BOB])
    await office.until_deliveries(ada, sent["id"], ada="UNKNOWN", bob="UNKNOWN")
    assert [each.recipients for each in office.smtp.mails] == [[ADA], [BOB]]
    office.deliver(answer_to(office.smtp.mails[0].raw, "Got it").as_bytes())
    await office.until_deliveries(ada, sent["id"], ada="DELIVERED", bob="UNKNOWN")
