"""Mailboxes are read, whatever their servers do: nothing is lost, nothing comes twice, and how each is is told."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from typing import Any

import pytest

from schema.types.context import Caller
from storage import mail_in, quarantine
from storage.documents import Document
from storage.log import Outcome
from storage.mail_in import FoundMail, Taken
from storage.mail_states import QUARANTINED as HELD
from storage.mail_states import TAKEN_IN
from storage.store import Store
from sync import mail_taking, mailbox_folder
from sync.imap import ImapConnection
from sync.mail_parsing import parse
from sync.mailbox_folder import SMALL
from tests.client import Json
from tests.mail.corpus import corpus
from tests.mail.hostile_imap import Answer, cut, flood, hostile_imap, silence
from tests.mail.office import ADA, BOB, BRAND, DEADLINE, FAST, STRANGER, House, Office, a_mail
from tests.smtp_receiver import Act, Script

pytestmark = pytest.mark.usefixtures("quiet")

STATES = "subscription($since: String) { mailboxChanged(since: $since) { mailbox { id state reason } } }"
QUARANTINED = "{ quarantinedMails { nodes { id state reason sender size mailbox { id } messages { text } } } }"
SECOND = "second@brand.test"


def texts(messages: list[Json]) -> list[str]:
    return [each["text"] for each in messages]


async def last_arrives(office: Office, thread: str, text: str, before: list[str]) -> None:
    """A mail that comes now is the only one that is added to what was there before."""
    office.deliver(a_mail(text=text).as_bytes())
    assert sorted(texts(await office.until_messages(thread, len(before) + 1))) == sorted([*before, text])


async def quarantined(office: Office, count: int, state: str = "HELD") -> list[Json]:
    """All that were quarantined, once so many are so."""

    async def look() -> list[Json] | None:
        found: list[Json] = (await office.brand.member.run(QUARANTINED))["quarantinedMails"]["nodes"]
        return found if sum(each["state"] == state for each in found) >= count else None

    return await office.until_found(look)


# Servers that fail


async def test_a_server_that_is_away_comes_back_and_nothing_was_missed(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    office.deliver(a_mail(text="before").as_bytes())
    await office.until_messages(ada, 1)
    since = await office.brand.position()
    async with office.brand.viewer.subscription(STATES, since=since) as told:
        await office.dovecot.kill()
        while (down := (await told.data())["mailbox"])["state"] == "CONNECTED":  # which was checked, perhaps
            pass
        assert down["state"] == "DEGRADED" and down["reason"]
        office.deliver(a_mail(text="meanwhile").as_bytes())
        await office.dovecot.start()
        while (up := (await told.data())["mailbox"])["state"] == "DEGRADED":
            pass
    assert (up["state"], up["reason"]) == ("CONNECTED", None)
    assert texts(await office.until_messages(ada, 2)) == ["before", "meanwhile"]


async def test_a_password_that_is_no_longer_good(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    office.dovecot.set_password(office.account, "a new one")
    await office.dovecot.kill()
    await office.dovecot.start()
    mailbox = await office.mailbox_state("NEEDS_RECONNECT")
    assert mailbox["reason"]
    office.deliver(a_mail(text="meanwhile").as_bytes())
    office.smtp.users[BRAND] = "a new one"
    assert (await office.connect(password="a new one"))["userErrors"] == []
    assert texts(await office.until_messages(ada, 1)) == ["meanwhile"], "it was not disconnected: nothing is missed"
    await office.mailbox_state("CONNECTED")


NEWS: Answer = b"* SEARCH 8\r\nTAG OK done\r\n"
MUCH = flood(b"* 1 FETCH (UID 8 BODY[HEADER] {31457280}\r\n", b"x" * 65536, 30 * 2**20)
BREAKS: dict[str, dict[str, Answer]] = {  # what else there is, at which steps, is in test_imap_hostile.py
    "much for little": {"SEARCH": NEWS, "HEADER": MUCH},
    "a cut": {"LIST": cut},
    "silence": {"SEARCH": silence},
}


@pytest.mark.parametrize("name", BREAKS)
async def test_a_hostile_server_harms_no_other_mailbox(office: Office, name: str) -> None:
    ada = await office.person("Ada", ADA)
    async with hostile_imap() as hostile:
        good = office.mailbox
        server = {"host": "localhost", "port": hostile.port, "encryption": "NONE"}
        office.smtp.users[SECOND] = "open sesame"
        assert (await office.connect(SECOND, imap=server))["userErrors"] == []
        hostile.answers |= BREAKS[name]
        for peer in hostile.peers:
            peer.cut()
        bad, office.mailbox = office.mailbox, good
        for number in range(5):
            started = time.monotonic()
            await last_arrives(office, ada, f"number {number}", [f"number {each}" for each in range(number)])
            assert time.monotonic() - started < 20.0
        if name != "silence":  # which is waited for
            await office.mailbox_state("DEGRADED", bad)
        assert (await office.mailbox_state("CONNECTED", good))["reason"] is None


async def test_a_server_that_fails_is_left_alone_for_longer_each_time(house: House) -> None:
    """Also one that lets us in each time, and fails then."""
    times = replace(FAST, first_pause=0.02, longest_pause=60.0)
    async with house.office(times) as office, hostile_imap() as hostile:
        server = {"host": "localhost", "port": hostile.port, "encryption": "NONE"}
        await office.connect(imap=server)
        hostile.answers["EXAMINE"] = cut
        for peer in hostile.peers:
            peer.cut()
        await office.mailbox_state("DEGRADED")
        before = len(hostile.peers)
        started = time.monotonic()
        await office.until(lambda: len(hostile.peers) >= before + 7)
        assert time.monotonic() - started > 0.02 + 0.04 + 0.08 + 0.16 + 0.32 + 0.64 - 0.1
        del hostile.answers["EXAMINE"]
        await office.mailbox_state("CONNECTED")
        hostile.answers["EXAMINE"] = cut
        before, started = len(hostile.peers), time.monotonic()
        hostile.peers[-1].cut()
        await office.until(lambda: len(hostile.peers) >= before + 2)
        assert time.monotonic() - started < 1.28 + 2.56 - 0.1, "what was before it was well is forgotten"


async def test_who_connects_a_mailbox_anew_waits_for_no_pause(house: House) -> None:
    async with house.office(replace(FAST, first_pause=3600.0, longest_pause=3600.0)) as office:
        await office.connect()
        ada = await office.person("Ada", ADA)
        await office.dovecot.kill()
        await office.mailbox_state("DEGRADED")
        office.deliver(a_mail(text="meanwhile").as_bytes())
        await office.dovecot.start()
        assert (await office.connect())["userErrors"] == []
        assert texts(await office.until_messages(ada, 1)) == ["meanwhile"]


# What comes


async def test_a_hint_makes_it_arrive_long_before_it_would_be_looked_for(house: House) -> None:
    async with house.office(replace(FAST, poll=3600.0)) as office:
        await office.connect()
        ada = await office.person("Ada", ADA)
        await last_arrives(office, ada, "first", [])
        await last_arrives(office, ada, "second", ["first"])


async def test_a_burst_is_told_to_be_read(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    await office.dovecot.kill()
    await office.mailbox_state("DEGRADED")
    since = await office.brand.position()
    for number in range(30):
        office.deliver(a_mail(text=f"number {number}").as_bytes())
    async with office.brand.viewer.subscription(STATES, since=since) as told:
        await office.dovecot.start()
        states = [(await told.data())["mailbox"]["state"]]
        while states[-1] != "CONNECTED":
            states.append((await told.data())["mailbox"]["state"])
    assert states[-2:] == ["SYNCING", "CONNECTED"]
    assert texts(await office.messages(ada)) == [f"number {number}" for number in range(30)]


async def test_small_mails_are_fetched_together_and_others_alone(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await office.person("Ada", ADA)
    fetch, alone = ImapConnection.fetch, list[int]()

    async def noting(imap: ImapConnection, uid: int, most: int, size: int | None = None) -> bytes | None:
        alone.append(uid)
        return await fetch(imap, uid, most, size)

    monkeypatch.setattr(ImapConnection, "fetch", noting)
    await office.dovecot.kill()
    await office.mailbox_state("DEGRADED")
    said = ["first", "y\n" * SMALL, *(f"number {number}" for number in range(10))]
    for text in said:
        office.deliver(a_mail(text=text).as_bytes())
    await office.dovecot.start()
    assert texts(await office.until_messages(ada, 12)) == [each.strip() for each in said]
    assert alone == [2]


@pytest.mark.parametrize("size", [100, SMALL + 1])
async def test_a_mail_that_vanishes_while_it_is_read(
    office: Office, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Its owner deletes it between its header and its body."""
    ada = await office.person("Ada", ADA)
    concerns = mail_taking.concerns

    async def vanishing(*of: Any, **how: Any) -> dict[int, list[str]]:
        for file in office.dovecot.files(office.account):
            if b"vanishes" in file.read_bytes():
                file.unlink()
        return await concerns(*of, **how)

    monkeypatch.setattr(mailbox_folder, "concerns", vanishing)
    office.deliver(a_mail(text="vanishes\n" + "x\n" * (size // 2)).as_bytes())
    office.deliver(a_mail(text="stays").as_bytes())
    assert texts(await office.until_messages(ada, 1)) == ["stays"]
    await last_arrives(office, ada, "after it", ["stays"])


# What cannot be taken apart


# A part begins in each line: more than a parser may do here, where it may do little.
DEADLY = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--c\r\n" * (5 * 2**20 // 5)
LITTLE = 0.1  # seconds of computing time


async def test_what_cannot_be_taken_apart_stops_nothing_and_is_kept(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.mail_workers.SECONDS", LITTLE)
    ada = await office.person("Ada", ADA)
    raw = f"From: {ADA}\r\nTo: {BRAND}\r\n".encode() + DEADLY
    office.deliver(raw)
    await last_arrives(office, ada, "after it", [])
    [held] = await quarantined(office, 1)
    assert (held["state"], held["sender"], held["mailbox"]["id"]) == ("HELD", ADA, office.mailbox)
    assert held["size"] >= len(raw) and held["reason"]
    office.deliver(raw)  # the same once more
    await last_arrives(office, ada, "after both", ["after it"])
    assert len(await quarantined(office, 1)) == 1
    document = await office.brand.store.database.get("quarantined_mails", held["id"])
    assert document is not None
    blob = await office.brand.store.database.get("blobs", document["raw_id"])
    assert blob is not None and blob["size"] == len(raw)
    discarded = await office.brand.member.mutate(
        "discardQuarantinedMail", "quarantinedMail { state }", quarantinedMailId=held["id"]
    )
    assert discarded["quarantinedMail"]["state"] == "DISCARDED"


async def test_what_could_not_be_taken_apart_can_be_tried_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await office.person("Ada", ADA)
    monkeypatch.setattr("sync.mail_workers.SECONDS", 0.01)  # so that a large mail is too much
    office.deliver(a_mail(text="patience\n" * 50_000).as_bytes())
    [held] = await quarantined(office, 1)
    assert "computing time" in held["reason"]
    retry = "userErrors { message }"
    await office.brand.member.mutate("retryQuarantinedMail", retry, quarantinedMailId=held["id"])
    database = office.brand.store.database
    async with asyncio.timeout(DEADLINE):
        while (await database.get("quarantined_mails", held["id"]) or {})["retry"]:
            await asyncio.sleep(0.05)
    [held] = await quarantined(office, 1)
    assert held["state"] == "HELD"
    monkeypatch.undo()
    await office.brand.member.mutate("retryQuarantinedMail", retry, quarantinedMailId=held["id"])
    [message] = await office.until_messages(ada, 1)
    assert message["text"].startswith("patience")
    [found] = await quarantined(office, 1, "RECOVERED")
    assert texts(found["messages"]) == texts([message])


async def test_what_was_done_since_it_was_looked_for_is_not_done_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or what is asked meanwhile would be noted as done by it."""
    await office.person("Ada", ADA)
    monkeypatch.setattr("sync.mail_workers.SECONDS", 0.01)
    office.deliver(a_mail(text="patience\n" * 50_000).as_bytes())
    [held] = await quarantined(office, 1)
    done = await office.brand.store.database.get("quarantined_mails", held["id"])
    assert done is not None
    looks: list[int] = []
    noted: list[str] = []

    async def stale(store: Store, limit: int) -> list[Document]:
        looks.append(limit)
        return [done]

    async def note(store: Store, id: str) -> None:
        noted.append(id)

    monkeypatch.setattr(quarantine, "to_retry", stale)
    monkeypatch.setattr(quarantine, "note_retried", note)
    await office.until(lambda: len(looks) > 4)
    assert noted == []


async def test_a_mail_that_is_too_large_to_be_fetched(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its header is kept, and is never taken for the mail."""
    monkeypatch.setattr(mailbox_folder, "MOST_BYTES", 100_000)
    monkeypatch.setattr(mailbox_folder, "LARGE", 100_000)
    monkeypatch.setattr("resolvers.mailboxes.MOST_BYTES", 100_000)
    ada = await office.person("Ada", ADA)
    office.deliver(a_mail(text="x" * 70 + "\n" + "too large\n" * 20_000).as_bytes())
    await last_arrives(office, ada, "small", [])
    [held] = await quarantined(office, 1)
    assert held["sender"] == ADA and held["size"] > 200_000 and "too large" in held["reason"]
    refused = await office.brand.member.mutate(
        "retryQuarantinedMail", "userErrors { code }", quarantinedMailId=held["id"]
    )
    assert refused["userErrors"] == [{"code": "INVALID"}]
    assert texts(await office.messages(ada)) == ["small"]


async def test_a_mail_that_we_fail_at_stops_no_other(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ada = await office.person("Ada", ADA)
    take_in = mail_in.take_in

    async def faulty(store: Store, caller: Caller, mail: FoundMail) -> Outcome[Taken]:
        if "poison" in mail.text:
            raise ZeroDivisionError
        return await take_in(store, caller, mail)

    monkeypatch.setattr(mail_in, "take_in", faulty)
    office.deliver(a_mail(text="poison").as_bytes())
    await last_arrives(office, ada, "after it", [])
    [held] = await quarantined(office, 1)
    assert "error on this side" in held["reason"]
    assert "ZeroDivisionError" in caplog.text
    caplog.clear()


# Whether all is there


async def test_gaps_are_found_and_filled(office: Office) -> None:
    """Mails that were never looked at, as if a process had lost its memory of them."""
    ada, bob = await office.person("Ada", ADA), await office.person("Bob", BOB)
    for number in range(6):
        office.deliver(a_mail(text=f"number {number}").as_bytes())
    office.deliver(a_mail(STRANGER, text="none of ours").as_bytes())
    await office.until_messages(ada, 6)
    database = office.brand.store.database
    await office.check()
    lost = [
        each
        for each in await database.find("mail_uids", {"workspace": office.brand.workspace})
        if each["uid"] in (2, 5)
    ]
    for each in lost:
        await database.delete("mail_uids", {"_id": each["_id"]})
    found = await office.check()
    assert (found["missing"], found["repaired"]) == (2, 2)
    found = await office.check()
    assert (found["missing"], found["compared"]) == (0, 7)
    assert len(await office.messages(ada)) == 6 and await office.messages(bob) == []


# Servers that number their mail anew


async def reset(office: Office, *folders: str) -> None:
    await office.dovecot.kill()
    await office.mailbox_state("DEGRADED")
    for folder in folders:
        office.dovecot.reset_folder(office.account, folder)
    await office.dovecot.start()


async def test_a_server_that_numbers_its_mail_anew(house: House) -> None:
    """Nothing comes twice, nothing is lost, and what is history stays history."""
    async with house.office() as office:
        ada = await office.person("Ada", ADA)
        history = a_mail(text="history").as_bytes()
        office.deliver(history)
        age(office, 3600)  # the server is asked for what came since the day before
        await office.connect()
        office.deliver(a_mail(text="read before").as_bytes())
        await office.until_messages(ada, 1)
        await office.dovecot.kill()
        await office.mailbox_state("DEGRADED")
        office.deliver(a_mail(text="came with it").as_bytes())
        office.dovecot.reset_folder(office.account)
        await office.dovecot.start()
        before = texts(await office.until_messages(ada, 2))
        assert before == ["read before", "came with it"]
        await office.mailbox_state("CONNECTED")
        await last_arrives(office, ada, "after it", before)
        found = await office.check()
        assert (found["missing"], found["compared"]) == (0, 3)


def age(office: Office, seconds: float) -> None:
    """Makes all that is in the mailbox so much older."""
    for file in office.dovecot.files(office.account):
        os.utime(file, (time.time() - seconds,) * 2)


async def test_one_that_does_so_again_and_again_is_paused(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    office.deliver(a_mail(BRAND, ADA, text="sent").as_bytes(), "Sent")
    office.deliver(a_mail(text="read before").as_bytes())
    before = texts(await office.until_messages(ada, 2))
    for number in range(2):
        await reset(office, "INBOX", "Sent")
        await office.mailbox_state("CONNECTED")
        await last_arrives(office, ada, f"after reset {number}", before)
        before.append(f"after reset {number}")
    await reset(office, "INBOX")
    mailbox = await office.mailbox_state("PAUSED")
    assert "anew" in mailbox["reason"]
    office.deliver(a_mail(text="while paused").as_bytes())
    assert (await office.connect())["userErrors"] == []
    await office.mailbox_state("CONNECTED")
    assert sorted(texts(await office.until_messages(ada, len(before) + 1))) == sorted([*before, "while paused"])


async def test_a_mail_that_may_have_been_sent_is_found_among_renumbered_ones(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    office.deliver(a_mail(BRAND, ADA, text="sent").as_bytes(), "Sent")
    await office.until_messages(ada, 1)
    office.smtp.scripts[ADA] = Script("ANSWER", Act.DROP, times=1)
    sent = await office.send(ada)
    await office.until_state(ada, sent["id"], "UNKNOWN")
    await office.dovecot.kill()
    await office.mailbox_state("DEGRADED")
    office.deliver(office.smtp.mails[0].raw, "Sent")
    office.dovecot.reset_folder(office.account, "Sent")
    await office.dovecot.start()
    await office.until_state(ada, sent["id"], "SENT")


# Reconnecting


async def test_a_mailbox_that_only_sends_is_not_read_when_it_is_connected_anew(office: Office) -> None:
    database = office.brand.store.database
    for _ in range(2):
        assert (await office.connect(access="SEND_ONLY"))["userErrors"] == []
    state = await database.get("mail_states", office.mailbox)
    assert state is not None and state["active"] == 0
    await database.set("mail_states", office.mailbox, {"active": 1})  # as where who connected it was killed
    async with asyncio.timeout(DEADLINE):
        while (await database.get("mail_states", office.mailbox) or {})["active"]:
            await asyncio.sleep(0.05)


async def test_a_mailbox_is_read_as_it_was_connected_last(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    async with hostile_imap() as another:
        server = {"host": "localhost", "port": another.port, "encryption": "NONE"}
        assert (await office.connect(imap=server))["userErrors"] == []
        tried = len(another.peers)
        await office.until(lambda: len(another.peers) > tried)
    assert (await office.connect())["userErrors"] == []
    await last_arrives(office, ada, "from where it is now", [])


# Mails that others wrote


async def test_every_mail_of_the_corpus_is_stored_or_quarantined(office: Office) -> None:
    mails = {path.name: path.read_bytes() for path in sorted(corpus("messages").iterdir())}
    ada = await office.person("Ada", ADA)
    for raw in mails.values():
        office.deliver(f"From: {ADA}\r\n".encode() + raw)
    database, own = office.brand.store.database, {"workspace": office.brand.workspace}
    async with asyncio.timeout(DEADLINE):
        while len(noted := await database.find("mail_uids", own, sort=[("uid", 1)])) < len(mails):
            await asyncio.sleep(0.1)
    became = dict(zip(mails, [each["became"] for each in noted], strict=True))
    assert set(became.values()) <= {TAKEN_IN, HELD}, became
    messages = await database.find("messages", own)
    assert {each["thread_id"] for each in messages} == {ada}
    held = await database.find("quarantined_mails", own)
    different = {(each.message_id, each.content_hash) for each in map(parse, mails.values())}
    assert len(messages) + len(held) == len(different), "copies of one mail are one message"
    await office.messages(ada)  # all of them can be told
