"""A mailbox whose password is no longer good is connected anew: by whom, whose it is then, and nothing is missed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.client import Json
from tests.mail.office import ADA, BRAND, Office, a_mail

pytestmark = pytest.mark.usefixtures("quiet")

NEW_PASSWORD = "a new one"
MAILBOXES = "{ mailboxes { id address state isShared owner { id name } senders { name } } }"


async def mailbox_of(office: Office) -> Json:
    [mailbox] = (await office.brand.viewer.run(MAILBOXES))["mailboxes"]
    return dict(mailbox)


async def password_changes(office: Office) -> None:
    """The mailbox has another password, and what is connected here needs it."""
    office.dovecot.set_password(office.account, NEW_PASSWORD)
    office.smtp.users[BRAND] = NEW_PASSWORD
    await office.dovecot.kill()
    await office.dovecot.start()
    await office.mailbox_state("NEEDS_RECONNECT")


async def texts_of(office: Office, thread: str, count: int) -> list[str]:
    return [each["text"] for each in await office.until_messages(thread, count)]


async def test_an_admin_does_so_for_a_member_and_nothing_is_missed(office: Office) -> None:
    ada, before = await office.person("Ada", ADA), await mailbox_of(office)
    await password_changes(office)
    office.deliver(a_mail(text="meanwhile").as_bytes())
    assert (await office.connect(by=office.brand.admin, password=NEW_PASSWORD))["userErrors"] == []
    assert await texts_of(office, ada, 1) == ["meanwhile"]
    await office.mailbox_state("CONNECTED", before["id"])
    assert (await mailbox_of(office))["owner"] == before["owner"], "it is still that member's"


async def test_that_of_a_removed_member_becomes_the_admins(office: Office) -> None:
    brand, ada, before = office.brand, await office.person("Ada", ADA), await mailbox_of(office)
    admin = {"id": (await brand.admin.run("{ viewer { id } }"))["viewer"]["id"], "name": "Admin"}
    shared = {"mailboxId": before["id"], "isShared": True, "memberIds": [admin["id"]]}
    await brand.admin.mutate("updateMailbox", "position", **shared)
    await password_changes(office)
    office.deliver(a_mail(text="meanwhile").as_bytes())
    await brand.admin.mutate("removeMember", "position", memberId=before["owner"]["id"])
    office.brand = replace(brand, member=brand.admin)  # who looks from here on
    assert (await office.connect(password=NEW_PASSWORD))["userErrors"] == []
    assert await texts_of(office, ada, 1) == ["meanwhile"]
    await office.mailbox_state("CONNECTED", before["id"])
    now = await mailbox_of(office)
    assert (now["id"], now["owner"]) == (before["id"], admin)
    assert (now["isShared"], now["senders"]) == (True, [{"name": "Admin"}]), "who sends from it goes on"
