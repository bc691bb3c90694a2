"""Servers that do not give one of their mails: the others come, and it comes as soon as it is given."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from storage import quarantine
from sync.imap import MOST_HEADER
from tests.client import Json
from tests.mail.hostile_imap import Answer, HostileImap, Peer, cut, flood, hostile_imap
from tests.mail.office import ADA, DEADLINE, FAST, STRANGER, House, Office, a_mail
from tests.mail.test_office import bounce_of

pytestmark = pytest.mark.usefixtures("quiet")

QUICK = replace(FAST, first_pause=0.05)
TEXTS = {8: "first", 9: "second", 10: "third", 11: "fourth"}
LIST = b'* LIST (\\HasNoChildren) "/" INBOX\r\nTAG OK done\r\n'
EXAMINE = b"* 3 EXISTS\r\n* OK [UIDVALIDITY 5] valid\r\n* OK [UIDNEXT %d] next\r\nTAG OK done\r\n"
SENT = b'* LIST (\\Sent) "/" Gone\r\n'
MAIL = b'* %d FETCH (UID %d RFC822.SIZE %d INTERNALDATE "%s" BODY[%s]<0> {%d}\r\n%s)\r\n'
WAYS: dict[str, Answer] = {
    "a refusal": b"TAG NO [SERVERBUG] Internal error\r\n",
    "a wish to be left alone": b"TAG NO [UNAVAILABLE] UID FETCH Server error\r\n",
    "a cut": cut,
    "too much": flood(b"* 2 FETCH (UID 9 BODY[]<0> {31457280}\r\n", b"x" * 65536, 30 * 2**20),
}


@dataclass
class Shelf:
    """A hostile server's mails, of which some are not given."""

    hostile: HostileImap
    mails: dict[int, bytes] = field(default_factory=dict)
    refused: str | None = None  # the part that is not given
    way: Answer = b""  # what is said instead
    of: frozenset[int] = frozenset({9})  # these mails

    def answers(self) -> dict[str, Answer]:
        return {"LIST": LIST, "EXAMINE": EXAMINE % 8, "SEARCH": self.search, "HEADER": self.header, "BODY": self.body}

    async def search(self, peer: Peer) -> None:
        await peer.say(b"* SEARCH %s\r\nTAG OK done\r\n" % b" ".join(b"%d" % uid for uid in self.mails))

    async def header(self, peer: Peer) -> None:
        await self.give(peer, "HEADER.FIELDS" if b"HEADER.FIELDS" in self.hostile.lines[-1] else "HEADER")

    async def body(self, peer: Peer) -> None:
        await self.give(peer, "")

    async def give(self, peer: Peer, part: str) -> None:
        asked = re.search(rb"FETCH ([\d,]+) ", self.hostile.lines[-1])
        assert asked
        for uid in map(int, asked[1].split(b",")):
            if uid in self.of and part == self.refused:
                await (peer.say(self.way) if isinstance(self.way, bytes) else self.way(peer))
                return
            mail = self.mails[uid]
            content = mail.partition(b"\n\n")[0] + b"\n\n" if part else mail
            content = content[:MOST_HEADER] if part == "HEADER" else content
            await peer.say(MAIL % (uid - 7, uid, len(mail), internal_date(), part.encode(), len(content), content))
        await peer.say(b"TAG OK done\r\n")


def internal_date() -> bytes:
    """That of a mail which came now."""
    return f"{datetime.now(UTC):%d-%b-%Y %H:%M:%S} +0000".encode()


@asynccontextmanager
async def shelf_in(office: Office) -> AsyncIterator[Shelf]:
    """What the office's mailbox is read from."""
    async with hostile_imap() as hostile:
        shelf = Shelf(hostile)
        hostile.answers |= shelf.answers()
        server = {"host": "localhost", "port": hostile.port, "encryption": "NONE"}
        assert (await office.connect(imap=server))["userErrors"] == []
        yield shelf


async def held(office: Office) -> list[Json]:
    query = "{ quarantinedMails { nodes { id state reason sender rawUrl messages { text } } } }"
    nodes: list[Json] = (await office.brand.member.run(query))["quarantinedMails"]["nodes"]
    return nodes


async def held_as(office: Office, state: str) -> Json:
    """The mail that was not given, once it is so."""

    async def look() -> Json | None:
        [mail] = await held(office)
        return mail if mail["state"] == state else None

    return await office.until_found(look)


def fill(shelf: Shelf, part: str, way: Answer) -> None:
    shelf.refused, shelf.way = part, way
    shelf.mails |= {uid: a_mail(text=text).as_bytes() for uid, text in TEXTS.items()}


async def compared(office: Office, missing: int, repaired: int) -> None:
    """A check of all four mails finds this."""

    async def look() -> bool | None:
        check = await office.until_check()
        return (check["compared"], check["missing"], check["repaired"]) == (4, missing, repaired) or None

    await office.until_found(look)


async def come(office: Office, thread: str, *texts: str) -> None:
    found = await office.until_messages(thread, len(texts))
    assert [each["text"] for each in found] == list(texts)


@pytest.mark.parametrize("way", WAYS)
async def test_a_mail_that_is_not_given_stops_no_other_and_is_taken_in_once_it_is_given(house: House, way: str) -> None:
    async with house.office(replace(QUICK, again=0.5)) as office, shelf_in(office) as shelf:
        ada = await office.person("Ada", ADA)
        fill(shelf, "", WAYS[way])
        await come(office, ada, "first", "third", "fourth")
        [mail] = await held(office)
        assert (mail["state"], mail["sender"], mail["messages"]) == ("HELD", ADA, [])
        assert mail["reason"].endswith("its header is kept, and it is asked for again")
        raw = (await office.fetch(mail["rawUrl"])).content
        assert raw == shelf.mails[9].partition(b"\n\n")[0] + b"\n\n"
        await compared(office, missing=1, repaired=0)
        shelf.refused = None
        assert (await held_as(office, "RECOVERED"))["messages"] == [{"text": "second"}]
        await come(office, ada, "first", "third", "fourth", "second")
        assert (await office.mailbox_state("CONNECTED"))["reason"] is None


async def test_a_mail_that_is_not_given_is_asked_for_when_a_member_says_so(house: House) -> None:
    async with house.office(replace(QUICK, longest_pause=30.0)) as office, shelf_in(office) as shelf:
        ada = await office.person("Ada", ADA)
        fill(shelf, "", WAYS["a refusal"])
        await come(office, ada, "first", "third", "fourth")
        [mail] = await held(office)
        assert "Internal error" in mail["reason"]
        shelf.refused = None
        retried = await office.brand.member.mutate(
            "retryQuarantinedMail", "quarantinedMail { id } userErrors { code }", quarantinedMailId=mail["id"]
        )
        assert retried == {"quarantinedMail": {"id": mail["id"]}, "userErrors": []}
        assert (await held_as(office, "RECOVERED"))["messages"] == [{"text": "second"}]


async def test_a_header_that_is_not_given_stops_no_other_mail(house: House) -> None:
    async with house.office(replace(QUICK, again=0.5)) as office, shelf_in(office) as shelf:
        ada = await office.person("Ada", ADA)
        fill(shelf, "HEADER", WAYS["a refusal"])
        await come(office, ada, "first", "third", "fourth")
        await compared(office, missing=1, repaired=0)
        assert await held(office) == [], "nobody knows whom it is from"
        shelf.refused = None
        await come(office, ada, "first", "third", "fourth", "second")


async def test_of_a_report_that_is_not_given_nothing_is_told(house: House) -> None:
    """It may be about a mail of ours, or about somebody else's: so it is asked for again, and only that."""
    async with house.office(replace(QUICK, again=0.3)) as office, shelf_in(office) as shelf:
        ada = await office.person("Ada", ADA)
        fill(shelf, "", WAYS["a refusal"])
        shelf.mails[9] = bounce_of(b"Message-ID: <private@else.test>\r\n\r\n", STRANGER)
        await come(office, ada, "first", "third", "fourth")
        await compared(office, missing=1, repaired=0)
        assert await held(office) == []
        shelf.refused = None
        async with asyncio.timeout(DEADLINE):
            while (await office.check())["missing"]:
                pass
        assert await held(office) == []


async def test_many_mails_that_are_not_given_stop_no_other(house: House) -> None:
    """However long the pauses are after failures in a row, as each that is set aside is done with."""
    async with house.office(replace(QUICK, longest_pause=3600.0)) as office, shelf_in(office) as shelf:
        ada = await office.person("Ada", ADA)
        shelf.of = frozenset({8, 9, 10})
        fill(shelf, "", WAYS["a refusal"])
        await come(office, ada, "fourth")
        assert [each["state"] for each in await held(office)] == ["HELD"] * 3
        await office.brand.member.mutate("checkMailbox", "position", mailboxId=office.mailbox)
        await compared(office, missing=3, repaired=0)
        shelf.refused = None
        await office.brand.member.mutate("checkMailbox", "position", mailboxId=office.mailbox)
        assert len(await office.until_messages(ada, 4)) == 4


async def test_a_mail_that_was_put_aside_is_asked_for_no_more(house: House) -> None:
    async with house.office(replace(QUICK, again=0.3)) as office, shelf_in(office) as shelf:
        ada = await office.person("Ada", ADA)
        fill(shelf, "", WAYS["a refusal"])
        await come(office, ada, "first", "third", "fourth")
        [mail] = await held(office)
        discarded = await office.brand.member.mutate(
            "discardQuarantinedMail", "quarantinedMail { state }", quarantinedMailId=mail["id"]
        )
        assert discarded["quarantinedMail"] == {"state": "DISCARDED"}
        shelf.refused = None
        await office.brand.member.mutate("checkMailbox", "position", mailboxId=office.mailbox)
        await compared(office, missing=0, repaired=0)
        await come(office, ada, "first", "third", "fourth")


async def test_a_mail_that_is_not_there_any_more_is_waited_for_no_more(house: House) -> None:
    async with house.office(replace(QUICK, again=0.3)) as office, shelf_in(office) as shelf:
        ada = await office.person("Ada", ADA)
        fill(shelf, "", WAYS["a refusal"])
        await come(office, ada, "first", "third", "fourth")
        del shelf.mails[9]
        assert "asked for no more" in (await held_as(office, "DISCARDED"))["reason"]


async def test_a_mail_that_came_is_told_of_though_who_took_it_in_was_killed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: object) -> None:
        pass

    monkeypatch.setattr(quarantine, "settle_refused", killed)
    async with house.office(replace(QUICK, again=0.3)) as office, shelf_in(office) as shelf:
        ada = await office.person("Ada", ADA)
        fill(shelf, "", WAYS["a refusal"])
        await come(office, ada, "first", "third", "fourth")
        shelf.refused = None
        await come(office, ada, "first", "third", "fourth", "second")
        await held_as(office, "RECOVERED")


async def test_a_mail_that_is_there_and_was_given_empty_is_missed_by_the_check(house: House) -> None:
    async with house.office(QUICK) as office, shelf_in(office) as shelf:
        ada = await office.person("Ada", ADA)
        fill(shelf, "", b"TAG OK done\r\n")
        await come(office, ada, "first", "third", "fourth")
        shelf.refused = None
        await office.brand.member.mutate("checkMailbox", "position", mailboxId=office.mailbox)
        await compared(office, missing=1, repaired=1)
        await come(office, ada, "first", "third", "fourth", "second")


async def test_a_sent_folder_that_cannot_be_opened_keeps_nothing_from_coming_in(house: House) -> None:
    async with house.office(replace(QUICK, again=0.3)) as office, shelf_in(office) as shelf:
        ada = await office.person("Ada", ADA)
        opened = shelf.hostile.answers["EXAMINE"]

        async def refuse_sent(peer: Peer) -> None:
            is_sent = b"Gone" in shelf.hostile.lines[-1]
            await peer.say(b"TAG NO [NONEXISTENT] No such mailbox\r\n" if is_sent else EXAMINE % 8)

        shelf.hostile.answers |= {"EXAMINE": refuse_sent, "LIST": LIST.replace(b"TAG", SENT + b"TAG")}
        for peer in shelf.hostile.peers:
            peer.cut()
        fill(shelf, "nothing", b"")
        await office.until_messages(ada, 4)
        state = await office.mailbox_state("DEGRADED")
        assert "the folder Gone cannot be opened" in state["reason"]
        shelf.hostile.answers |= {"EXAMINE": opened, "LIST": LIST}
        await office.mailbox_state("CONNECTED")


async def test_fields_of_a_long_header_that_are_not_given_stop_no_other(house: House) -> None:
    """Where that is what is needed to tell whom a mail concerns."""
    async with house.office(replace(QUICK, again=0.5)) as office, shelf_in(office) as shelf:
        ada = await office.person("Ada", ADA)
        fill(shelf, "HEADER.FIELDS", WAYS["a refusal"])
        shelf.mails[9] = b"X-Trace: %s\n" % (b"x" * MOST_HEADER) + shelf.mails[9]
        await come(office, ada, "first", "third", "fourth")
        await compared(office, missing=1, repaired=0)
        assert await held(office) == []
        shelf.refused = None
        await come(office, ada, "first", "third", "fourth", "second")
        await compared(office, missing=1, repaired=1)
