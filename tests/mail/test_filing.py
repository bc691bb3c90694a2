"""What was sent is put into the Sent folder, as long as there is one for us to put it into."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from storage.outbox import DONE, TO_FILE
from sync.mail_service import mail_service
from tests.mail.office import ADA, DEADLINE, FAST, House, Office

pytestmark = pytest.mark.usefixtures("quiet")


async def until_stage(office: Office, message: str, stage: int) -> None:
    async with asyncio.timeout(DEADLINE):
        while (await office.brand.store.database.get("outbox", message) or {})["stage"] != stage:
            await asyncio.sleep(0.02)


async def test_a_mailbox_that_is_not_read_any_more_has_nothing_to_be_filed_in(house: House) -> None:
    async with house.office(None) as office:
        await office.connect()
        ada = await office.person("Ada", ADA)
        sent = (await office.send(ada))["id"]
        async with mail_service(office.brand.store, office.mail, replace(FAST, filing=3600.0)):
            await until_stage(office, sent, TO_FILE)
        assert (await office.connect(access="SEND_ONLY"))["userErrors"] == []
        await office.brand.store.database.set("outbox", sent, {"due": 0})
        async with mail_service(office.brand.store, office.mail, FAST):
            await until_stage(office, sent, DONE)
        assert not office.dovecot.mails(office.account, "Sent")
