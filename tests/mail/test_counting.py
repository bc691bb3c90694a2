"""What is counted of mail, and told to operators."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urljoin

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.mail.office import ADA, BOB, STRANGER, Office, a_mail, office_on
from tests.smtp_receiver import Script

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
async def office(database_uri: str, own_database: str) -> AsyncIterator[Office]:
    async with office_on(database_uri, own_database) as office:
        assert (await office.connect())["userErrors"] == []
        yield office


async def counted(office: Office, name: str) -> dict[str, float]:
    """A metric's values by label."""
    server = office.brand.server
    text = (await server.http.get(urljoin(server.url, "/metrics"))).text
    return {
        ",".join(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"connect_inbox_{name}"
    }


async def test_mails_and_mailboxes_are_counted(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    office.deliver(a_mail(STRANGER).as_bytes())
    office.deliver(a_mail(text="one").as_bytes())
    office.deliver(a_mail(text="two").as_bytes())
    await office.until_messages(ada, 2)
    assert await counted(office, "mailboxes_read") == {"": 1}
    assert await counted(office, "mails_found_total") == {"TAKEN_IN": 2, "IGNORED": 1}
    office.smtp.scripts[BOB] = Script("RCPT", "550 5.1.1 Nobody here")
    sent = await office.send(ada, cc=[BOB])
    await office.until_deliveries(ada, sent["id"], ada="SENT", bob="FAILED")
    assert await counted(office, "mails_sent_total") == {"SENT": 1, "FAILED": 1}
    assert await counted(office, "mail_failures_total") == {}
    await office.dovecot.kill()
    await office.mailbox_state("DEGRADED")
    assert (await counted(office, "mail_failures_total")).keys() <= {"LOST", "HOST"}
    assert sum((await counted(office, "mail_failures_total")).values()) >= 1
