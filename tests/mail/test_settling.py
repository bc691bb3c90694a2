"""What ends that nobody knows whether a mail was sent, for whom, and what is done then."""

from __future__ import annotations

import pytest

from tests.mail.office import ADA, BOB, Office, answer_to
from tests.smtp_receiver import Act, Received, Script

pytestmark = pytest.mark.usefixtures("quiet")

PRIVATE = "ada.private@else.test"


async def test_an_answer_from_another_address_of_theirs_settles_it(office: Office) -> None:
    ada = await office.person("Ada", ADA, PRIVATE)
    office.smtp.scripts[ADA] = Script("ANSWER", Act.DROP)
    sent = await office.send(ada)
    await office.until_state(ada, sent["id"], "UNKNOWN")
    office.deliver(answer_to(office.smtp.mails[0].raw, "Got it", PRIVATE).as_bytes())
    await office.until_state(ada, sent["id"], "DELIVERED")


async def test_an_answer_settles_it_for_those_who_were_given_it_at_once(office: Office) -> None:
    """There was one outcome for all of them."""
    ada = await office.person("Ada", ADA)
    office.smtp.scripts[ADA] = Script("ANSWER", Act.DROP)
    sent = await office.send(ada, cc=[BOB])
    await office.until_deliveries(ada, sent["id"], ada="UNKNOWN", bob="UNKNOWN")
    office.deliver(answer_to(office.smtp.mails[0].raw, "Got it").as_bytes())
    said = await office.until_deliveries(ada, sent["id"], ada="DELIVERED", bob="SENT")
    assert said == {"ada": "answered", "bob": "another has answered it"}


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
