"""Servers that number their mail anew: what is here already is told from what is new, and is not fetched again."""

from __future__ import annotations

import pytest

from sync.imap import ImapConnection
from tests.mail.office import ADA, BRAND, Office, a_mail

pytestmark = pytest.mark.usefixtures("quiet")

SHARED = "<constant@shop.test>"


def shared(text: str, sender: str = ADA, to: str = BRAND, hour: int = 9) -> bytes:
    """A mail of a program that gives all its mails one Message-ID."""
    mail = a_mail(sender, to, text=text)
    mail.replace_header("Message-ID", SHARED)
    mail.replace_header("Date", f"Thu, 26 Nov 2026 {hour:02}:00:00 +0100")
    return mail.as_bytes()


async def renumber(office: Office, *folders: str, new: bytes) -> None:
    """While the mailbox is not read, a mail comes to each folder."""
    await office.dovecot.kill()
    await office.mailbox_state("DEGRADED")
    for folder in folders:
        office.deliver(new, folder)
        office.dovecot.reset_folder(office.account, folder)
    await office.dovecot.start()


@pytest.mark.parametrize(("text", "hour"), [("longer than the first", 10), ("longer than the first", 9), ("other", 10)])
async def test_a_message_id_that_is_known_does_not_make_a_mail_known(office: Office, text: str, hour: int) -> None:
    ada = await office.person("Ada", ADA)
    office.deliver(shared("first"))
    await office.until_messages(ada, 1)
    await renumber(office, "INBOX", new=shared(text, hour=hour))
    assert [each["text"] for each in await office.until_messages(ada, 2)] == ["first", text]
    check = await office.check()
    assert (check["compared"], check["missing"]) == (2, 0)


async def test_a_message_id_of_ours_does_not_make_a_mail_known(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    sent = await office.send(ada, "from here")
    await office.until_state(ada, sent["id"], "SENT")
    [mail] = await office.smtp.received()
    again = a_mail(text="with its Message-ID")
    own = next(line for line in mail.raw.decode().splitlines() if line.lower().startswith("message-id:"))
    again.replace_header("Message-ID", own.partition(":")[2].strip())
    await renumber(office, "INBOX", new=again.as_bytes())
    assert [each["text"] for each in await office.until_messages(ada, 2)] == ["from here", "with its Message-ID"]


async def test_what_is_here_is_not_fetched_again(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = await office.person("Ada", ADA)
    office.deliver(a_mail(text="first").as_bytes())
    office.deliver(a_mail(text="large\n" * 20_000).as_bytes())
    office.deliver(a_mail(BRAND, ADA, text="sent").as_bytes(), "Sent")
    await office.until_messages(ada, 3)
    sent = await office.send(ada, "from here")
    await office.until_state(ada, sent["id"], "SENT")
    await office.until(lambda: len(office.dovecot.mails(office.account, "Sent")) == 2)
    assert (await office.check())["missing"] == 0
    fetched: list[bytes] = []
    fetch, fetch_small = ImapConnection.fetch, ImapConnection.fetch_small

    async def noting(imap: ImapConnection, uid: int, most: int, size: int | None = None) -> bytes | None:
        raw = await fetch(imap, uid, most, size)
        fetched.append(raw or b"")
        return raw

    async def noting_small(imap: ImapConnection, uids: list[int], most: int) -> dict[int, bytes]:
        raws = await fetch_small(imap, uids, most)
        fetched.extend(raws.values())
        return raws

    monkeypatch.setattr(ImapConnection, "fetch", noting)
    monkeypatch.setattr(ImapConnection, "fetch_small", noting_small)
    await renumber(office, "Sent", "INBOX", new=a_mail(text="new").as_bytes())
    await office.until_messages(ada, 5)
    assert (await office.check())["missing"] == 0
    assert len(fetched) == 1 and b"new" in fetched[0]
