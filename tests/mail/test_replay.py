"""The same mail, found again and again by several processes, is there once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from storage.documents import Document
from storage.keys import KeyRing
from storage.store import open_store
from sync.mail_service import mail_service
from tests.mail.office import ADA, BOB, BRAND, DEADLINE, FAST, KEY, STRANGER, Office, a_mail, answer_to, office_on
from tests.mail.test_office import bounce_of

pytestmark = pytest.mark.usefixtures("quiet")

COLLECTIONS = ["messages", "attachments", "quarantined_mails", "blobs", "notifications", "marks", "outbox"]


@pytest.fixture
async def office(database_uri: str, own_database: str) -> AsyncIterator[Office]:
    async with office_on(database_uri, own_database, None) as office:
        assert (await office.connect())["userErrors"] == []
        yield office


async def state_of(office: Office) -> Document:
    state = await office.brand.store.database.get("mail_states", office.mailbox)
    assert state is not None
    return state


async def until_read(office: Office, uids: dict[str, int]) -> None:
    """Waits until the folders are read this far, by role, and every mail of theirs is noted."""
    async with asyncio.timeout(DEADLINE):
        while True:
            folders = (await state_of(office))["folders"]
            noted = await office.brand.store.database.find("mail_uids", {})
            if {role: each["last_uid"] for role, each in folders.items()} == uids and len(noted) == sum(uids.values()):
                return
            await asyncio.sleep(0.02)


async def forget(office: Office) -> None:
    """Has the whole mailbox be read anew by somebody, while whoever reads it now does not know that yet."""
    database = office.brand.store.database
    folders = (await state_of(office))["folders"]
    unread = {role: {**each, "last_uid": each["first_uid"] - 1} for role, each in folders.items()}
    await database.set("mail_states", office.mailbox, {"folders": unread, "lease": "", "lease_until": 0})
    await database.delete("mail_uids", {"workspace": office.brand.workspace})


async def everything(office: Office) -> dict[str, list[Document]]:
    return {name: await office.brand.store.database.find(name, {}, sort=[("_id", 1)]) for name in COLLECTIONS}


def with_file(text: str) -> bytes:
    mail = a_mail(text=text)
    mail.add_attachment(b"%PDF-1.7 of " + text.encode(), maintype="application", subtype="pdf", filename="offer.pdf")
    return mail.as_bytes()


async def test_a_mailbox_that_is_replayed_by_two_processes(
    office: Office, database_uri: str, own_database: str
) -> None:
    ada, bob = await office.person("Ada", ADA), await office.person("Bob", BOB)
    async with (
        open_store(database_uri, own_database, keys=KeyRing([KEY])) as other,
        mail_service(office.brand.store, office.mail, FAST),
        mail_service(other, office.mail, FAST),
    ):
        sent = await office.send(ada)
        await office.until_state(ada, sent["id"], "SENT")
        await office.until(lambda: len(office.dovecot.mails(office.account, "Sent")) == 1)
        ours = office.smtp.mails[0].raw
        office.deliver(answer_to(ours, "Thank you").as_bytes())
        again = a_mail(text="twice in the mailbox").as_bytes()
        nameless = a_mail(text="no Message-ID")
        del nameless["Message-ID"]
        for raw in (again, again, nameless.as_bytes(), with_file("one"), with_file("two"), bounce_of(ours, ADA)):
            office.deliver(raw)
        office.deliver(a_mail(BOB, text="from Bob").as_bytes())
        office.deliver(a_mail(STRANGER, text="none of ours").as_bytes())
        office.deliver(a_mail(BRAND, f"{ADA}, {BOB}", text="to both").as_bytes(), "Sent")
        uids = {"INBOX": 9, "SENT": 2}
        await until_read(office, uids)
        before = await everything(office)
        assert (len(await office.messages(ada)), len(await office.messages(bob))) == (7, 2)
        for _ in range(3):
            await forget(office)
            office.deliver(a_mail(STRANGER, text="wakes up who listens").as_bytes())
            uids["INBOX"] += 1
            await until_read(office, uids)
            assert await everything(office) == before
