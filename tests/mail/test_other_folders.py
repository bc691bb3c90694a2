"""A folder takes the place of another one, with the same UIDVALIDITY: nothing is taken for what was known."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from connect_inbox.settings import Settings
from storage import mail_states
from storage.mail_states import INBOX, SENT
from sync.mail_service import mail_service
from tests.client import Json
from tests.dovecot import dovecot_server
from tests.mail.office import ADA, BRAND, FAST, PASSWORD, STRANGER, House, Office, a_mail
from tests.server import running

pytestmark = pytest.mark.usefixtures("quiet")

UID_VALIDITY = 1_700_000_000


@pytest.fixture(scope="module")
async def plain(house: House) -> AsyncIterator[House]:
    """A house whose server does not say what its folders are for."""
    accounts = [f"account{number}" for number in range(20)]
    async with dovecot_server(dict.fromkeys(accounts, PASSWORD), "Other", is_special_use=False) as dovecot:
        mail = replace(house.mail, ca_file=dovecot.ca_file)
        async with running(house.store, Settings(rate_per_token=0, rate_per_address=0), mail, house.counters) as server:
            yield replace(house, dovecot=dovecot, mail=mail, server=server, accounts=iter(accounts))


def texts(messages: list[Json]) -> list[str]:
    return [each["text"] for each in messages]


def sent_mail(text: str, to: str = ADA) -> bytes:
    return a_mail(BRAND, to, text=text).as_bytes()


def path_of(office: Office, folder: str = "INBOX") -> Path:
    return office.dovecot.files(office.account, folder)[0].parent.parent


def number_as(office: Office, uid_validity: int, folder: str = "INBOX") -> None:
    """Gives a folder that holds a mail this UIDVALIDITY."""
    office.dovecot.reset_folder(office.account, folder)
    uids = path_of(office, folder) / "dovecot-uidlist"
    uids.write_text(re.sub(r"\bV\d+", f"V{uid_validity}", uids.read_text()))


async def test_a_mailbox_is_connected_anew_with_another_account(house: House) -> None:
    async with house.office() as office:
        ada = await office.person("Ada", ADA)
        await office.connect()
        before = [f"before {number}" for number in range(5)]
        for text in before:
            office.deliver(a_mail(text=text).as_bytes())
        await office.until_messages(ada, 5)
        assert (await office.check())["missing"] == 0
        known = (await mail_states.folder_states(office.brand.store, office.mailbox))[INBOX]
        office.account = next(house.accounts)
        office.deliver(a_mail(STRANGER).as_bytes())
        number_as(office, known.uid_validity)
        assert (await office.connect())["userErrors"] == []
        after = [f"after {number}" for number in range(3)]
        for text in after:
            office.deliver(a_mail(text=text).as_bytes())
        assert texts(await office.until_messages(ada, 8)) == before + after
        found = await office.check()
        assert (found["compared"], found["missing"]) == (4, 0)


async def test_what_was_noted_of_one_account_is_not_taken_for_anothers(house: House) -> None:
    """Nor where it was disconnected in between."""
    async with house.office() as office:
        ada = await office.person("Ada", ADA)
        await office.connect()
        office.deliver(a_mail(text="before").as_bytes())
        await office.until_messages(ada, 1)
        await office.check()
        store, mailbox = office.brand.store, office.mailbox
        known = await mail_states.folder_states(store, mailbox)
        await office.brand.member.mutate("disconnectMailbox", "position", mailboxId=mailbox)
        office.account = next(house.accounts)
        office.deliver(a_mail(STRANGER).as_bytes())
        number_as(office, known[INBOX].uid_validity)
        await office.connect()
        now = await mail_states.folder_states(store, mailbox)
        assert now[INBOX].uid_validity == known[INBOX].uid_validity
        places = [mail_states.place_of(mailbox, INBOX, each[INBOX]) for each in (known, now)]
        assert (await mail_states.noted_uids(store, places[0]))[0] == {1}
        assert (await mail_states.noted_uids(store, places[1]))[0] == set()


async def test_the_sent_folder_is_another_one(plain: House) -> None:
    async with plain.office() as office:
        ada = await office.person("Ada", ADA)
        for folder in ("Sent", "Sent Items"):
            office.deliver(sent_mail("history"), folder)
            number_as(office, UID_VALIDITY, folder)
            for file in office.dovecot.files(office.account, folder):
                os.utime(file, (1_700_000_000,) * 2)
        await office.connect()
        before = [f"sent {number}" for number in range(4)]
        for text in before:
            office.deliver(sent_mail(text), "Sent")
        await office.until_messages(ada, 4)
        shutil.rmtree(path_of(office, "Sent"))
        after = [f"sent items {number}" for number in range(3)]
        for text in after:
            office.deliver(sent_mail(text), "Sent Items")
        assert texts(await office.until_messages(ada, 7)) == before + after
        known = (await mail_states.folder_states(office.brand.store, office.mailbox))[SENT]
        assert (known.name, known.uid_validity) == ("Sent Items", UID_VALIDITY)
        assert await mail_states.turns(office.brand.store, office.mailbox) == {}
        found = await office.check()
        assert (found["compared"], found["missing"]) == (3, 0)


async def test_the_sent_folder_is_renamed(plain: House) -> None:
    async with plain.office() as office:
        ada = await office.person("Ada", ADA)
        office.deliver(sent_mail("history", STRANGER), "Sent")
        await office.connect()
        office.deliver(sent_mail("before"), "Sent")
        await office.until_messages(ada, 1)
        path_of(office, "Sent").rename(path_of(office, "Sent").with_name(".Gesendet"))
        office.deliver(sent_mail("after"), "Gesendet")
        assert texts(await office.until_messages(ada, 2)) == ["before", "after"]
        found = await office.check()
        assert found["missing"] == 0


async def test_another_program_makes_another_sent_folder(plain: House) -> None:
    async with plain.office() as office:
        ada = await office.person("Ada", ADA)
        office.deliver(sent_mail("history", STRANGER), "Sent Items")
        await office.connect()
        office.deliver(sent_mail("before"), "Sent Items")
        await office.until_messages(ada, 1)
        await office.dovecot.kill()
        await office.mailbox_state("DEGRADED")
        office.deliver(sent_mail("by another program"), "Sent")
        await office.dovecot.start()
        await office.mailbox_state("CONNECTED")
        office.deliver(sent_mail("after"), "Sent Items")
        assert texts(await office.until_messages(ada, 2)) == ["before", "after"]
        await office.send(ada, "from here")
        dovecot, account = office.dovecot, office.account
        await office.until(lambda: any(b"from here" in each for each in dovecot.mails(account, "Sent Items")))


async def test_what_was_known_before_accounts_were_kept_goes_on(house: House) -> None:
    async with house.office(None) as office:
        ada = await office.person("Ada", ADA)
        await office.connect()
        database, mailbox = office.brand.store.database, office.mailbox
        state = await database.get("mail_states", mailbox)
        assert state is not None
        for each in state["folders"].values():
            del each["account"], each["generation"]
        await database.set("mail_states", mailbox, {"folders": state["folders"]})
        known = (await mail_states.folder_states(office.brand.store, mailbox))[INBOX]
        place = mail_states.place_of(mailbox, INBOX, known)
        assert place == f"{mailbox}:INBOX:{known.uid_validity}"
        office.deliver(a_mail(text="first").as_bytes())
        async with mail_service(office.brand.store, house.mail, FAST, house.counters):
            await office.until_messages(ada, 1)
            assert (await office.check())["missing"] == 0
        now = (await mail_states.folder_states(office.brand.store, mailbox))[INBOX]
        assert now.account == f"{office.account}@localhost"
        assert (await mail_states.noted_uids(office.brand.store, place))[0] == {1}
