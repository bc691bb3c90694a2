"""Servers that do not give one of their mails: the others come, and it comes as soon as it is given."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from tests.client import Json
from tests.mail.hostile_imap import Answer, HostileImap, Peer, cut, flood, hostile_imap
from tests.mail.office import ADA, FAST, House, Office, a_mail

pytestmark = pytest.mark.usefixtures("quiet")

TEXTS = {8: "first", 9: "second", 10: "third", 11: "fourth"}
LIST = b'* LIST (\\HasNoChildren) "/" INBOX\r\nTAG OK done\r\n'
EXAMINE = b"* 3 EXISTS\r\n* OK [UIDVALIDITY 5] valid\r\n* OK [UIDNEXT %d] next\r\nTAG OK done\r\n"
MAIL = b'* %d FETCH (UID %d RFC822.SIZE %d INTERNALDATE "26-Nov-2026 09:00:00 +0000" BODY[%s]<0> {%d}\r\n%s)\r\n'
WAYS: dict[str, Answer] = {
    "a refusal": b"TAG NO [SERVERBUG] Internal error\r\n",
    "a cut": cut,
    "too much": flood(b"* 2 FETCH (UID 9 BODY[]<0> {31457280}\r\n", b"x" * 65536, 30 * 2**20),
}


@dataclass
class Shelf:
    """A hostile server's mails, of which one is not given."""

    hostile: HostileImap
    mails: dict[int, bytes] = field(default_factory=dict)
    refused: str | None = None  # the part of the second mail
    way: Answer = b""

    def answers(self) -> dict[str, Answer]:
        return {"LIST": LIST, "EXAMINE": EXAMINE % 8, "SEARCH": self.search, "HEADER": self.header, "BODY": self.body}

    async def search(self, peer: Peer) -> None:
        await peer.say(b"* SEARCH %s\r\nTAG OK done\r\n" % b" ".join(b"%d" % uid for uid in self.mails))

    async def header(self, peer: Peer) -> None:
        await self.give(peer, "HEADER")

    async def body(self, peer: Peer) -> None:
        await self.give(peer, "")

    async def give(self, peer: Peer, part: str) -> None:
        asked = re.search(rb"FETCH ([\d,]+) ", self.hostile.lines[-1])
        assert asked
        for uid in map(int, asked[1].split(b",")):
            if uid == 9 and part == self.refused:
                await (peer.say(self.way) if isinstance(self.way, bytes) else self.way(peer))
                return
            mail = self.mails[uid]
            content = mail.partition(b"\n\n")[0] + b"\n\n" if part else mail
            await peer.say(MAIL % (uid - 7, uid, len(mail), part.encode(), len(content), content))
        await peer.say(b"TAG OK done\r\n")


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


async def recovered(office: Office) -> Json:
    async def look() -> Json | None:
        [mail] = await held(office)
        return mail if mail["state"] == "RECOVERED" else None

    return await office.until_found(look)


def fill(shelf: Shelf, part: str, way: Answer) -> None:
    shelf.refused, shelf.way = part, way
    shelf.mails |= {uid: a_mail(text=text).as_bytes() for uid, text in TEXTS.items()}


async def come(office: Office, thread: str, *texts: str) -> None:
    found = await office.until_messages(thread, len(texts))
    assert [each["text"] for each in found] == list(texts)


@pytest.mark.parametrize("way", WAYS)
async def test_a_mail_that_is_not_given_stops_no_other_and_is_taken_in_once_it_is_given(house: House, way: str) -> None:
    async with house.office(replace(FAST, again=0.5)) as office, shelf_in(office) as shelf:
        ada = await office.person("Ada", ADA)
        fill(shelf, "", WAYS[way])
        await come(office, ada, "first", "third", "fourth")
        [mail] = await held(office)
        assert (mail["state"], mail["sender"], mail["messages"]) == ("HELD", ADA, [])
        assert mail["reason"].endswith("its header is kept, and it is asked for again")
        raw = (await office.fetch(mail["rawUrl"])).content
        assert raw == shelf.mails[9].partition(b"\n\n")[0] + b"\n\n"
        check = await office.until_check()
        assert (check["compared"], check["missing"], check["repaired"]) == (4, 1, 0)
        shelf.refused = None
        assert (await recovered(office))["messages"] == [{"text": "second"}]
        await come(office, ada, "first", "third", "fourth", "second")
        assert (await office.mailbox_state("CONNECTED"))["reason"] is None


async def test_a_mail_that_is_not_given_is_asked_for_when_a_member_says_so(house: House) -> None:
    async with house.office(replace(FAST, longest_pause=30.0)) as office, shelf_in(office) as shelf:
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
        assert (await recovered(office))["messages"] == [{"text": "second"}]


async def test_a_header_that_is_not_given_stops_no_other_mail(house: House) -> None:
    async with house.office(replace(FAST, again=0.5)) as office, shelf_in(office) as shelf:
        ada = await office.person("Ada", ADA)
        fill(shelf, "HEADER", WAYS["a refusal"])
        await come(office, ada, "first", "third", "fourth")
        check = await office.until_check()
        assert (check["compared"], check["missing"], check["repaired"]) == (4, 1, 0)
        assert await held(office) == [], "nobody knows whom it is from"
        shelf.refused = None
        await come(office, ada, "first", "third", "fourth", "second")
