"""What is sent, whatever the server does: each mail once to each who gets it, or nobody knows and that is said."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from schema.types.message import DeliveryState
from storage import outbox
from storage.outbox import DONE
from storage.workspaces import operator_of
from sync import outbox_filing
from sync.imap import ImapConnection, imap_connection
from sync.mail_server import MailServer
from sync.mail_service import mail_service
from tests.client import Json
from tests.mail.office import ADA, BOB, BRAND, FAST, House, Office, a_mail, answer_to, parsed
from tests.mail.test_office import bounce_of
from tests.smtp_receiver import Act, Received, Script, Step

pytestmark = pytest.mark.usefixtures("quiet")


@asynccontextmanager
async def idle_office(house: House) -> AsyncIterator[Office]:
    """One that only sends, and has no service of its own."""
    async with house.office(None) as office:
        assert (await office.connect(access="SEND_ONLY"))["userErrors"] == []
        yield office


async def stage_of(office: Office, message: str) -> int:
    item = await office.brand.store.database.get("outbox", message)
    assert item is not None
    return int(item["stage"])


async def resolve(office: Office, message: str, was_sent: bool) -> None:
    payload = await office.brand.member.mutate(
        "resolveDelivery", "userErrors { message }", messageId=message, wasSent=was_sent
    )
    assert payload["userErrors"] == []


async def test_one_of_two_is_refused(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    office.smtp.scripts[BOB] = Script("RCPT", "550 5.1.1 Nobody here")
    sent = await office.send(ada, cc=[BOB])
    said = await office.until_deliveries(ada, sent["id"], ada="SENT", bob="FAILED")
    assert "Nobody here" in said["bob"] and "550" in said["bob"]
    assert [each.recipients for each in office.smtp.mails] == [[ADA]]


async def test_who_cannot_get_it_yet_gets_it_later(office: Office) -> None:
    """It is the same mail, and goes to nobody who has it."""
    ada = await office.person("Ada", ADA)
    office.smtp.scripts[BOB] = Script("RCPT", "451 4.3.0 Not now")
    sent = await office.send(ada, cc=[BOB])
    said = await office.until_deliveries(ada, sent["id"], ada="SENT", bob="QUEUED")
    assert "Not now" in said["bob"]
    del office.smtp.scripts[BOB]
    await office.until_deliveries(ada, sent["id"], ada="SENT", bob="SENT")
    assert [each.recipients for each in office.smtp.mails] == [[ADA], [BOB]]
    assert office.smtp.mails[0].raw == office.smtp.mails[1].raw
    assert parsed(office.smtp.mails[0].raw)["Message-ID"] is not None


async def test_a_mail_that_is_not_taken_yet_is_tried_again(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    office.smtp.scripts[ADA] = Script("ANSWER", "452 4.2.2 Full")
    sent = await office.send(ada)
    await office.until_detail(ada, sent["id"], "Full")
    await office.until(lambda: office.smtp.commands.count("DATA") >= 2)
    tried = office.smtp.commands.count("DATA")
    del office.smtp.scripts[ADA]
    await office.until_state(ada, sent["id"], "SENT")
    more = office.smtp.commands.count("DATA") - tried  # none where the last of those was answered only then
    assert len(office.smtp.mails) == 1 and more <= 1


async def test_what_is_never_taken_is_given_up(house: House) -> None:
    async with house.office(replace(FAST, give_up=0.5)) as office:
        await office.connect(access="SEND_ONLY")
        ada = await office.person("Ada", ADA)
        office.smtp.scripts[ADA] = Script("RCPT", "451 4.3.0 Not now")
        sent = await office.send(ada)
        message = await office.until_state(ada, sent["id"], "FAILED")
        assert "Not now" in message["delivery"]["detail"]
        assert await stage_of(office, sent["id"]) == DONE


async def test_a_mail_that_some_got_is_filed_though_others_are_given_up(house: House) -> None:
    async with house.office(replace(FAST, give_up=0.5)) as office:
        await office.connect()
        ada = await office.person("Ada", ADA)
        office.smtp.scripts[BOB] = Script("RCPT", "451 4.3.0 Not now")
        sent = await office.send(ada, cc=[BOB])
        await office.until_deliveries(ada, sent["id"], ada="SENT", bob="FAILED")
        await office.until(lambda: len(office.dovecot.mails(office.account, "Sent")) == 1)


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
async def test_a_connection_lost_before_the_mail_is_given_only_delays_it(office: Office, step: Step) -> None:
    ada = await office.person("Ada", ADA)
    office.smtp.scripts[BRAND if step == "MAIL" else ADA] = Script(step, Act.DROP, times=2)
    sent = await office.send(ada)
    await office.until_state(ada, sent["id"], "SENT")
    assert len(office.smtp.mails) == 1 and office.smtp.commands.count("DATA") == (3 if step == "DATA" else 1)


async def test_a_connection_lost_before_the_end_of_the_mail_only_delays_it(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    file = await office.upload("large.bin", os.urandom(9_000_000))
    office.smtp.scripts[ADA] = Script("CONTENT", Act.DROP, times=1)
    sent = await office.send(ada, attachmentIds=[file])
    await office.until_state(ada, sent["id"], "SENT")
    assert len(office.smtp.mails) == 1 and office.smtp.commands.count("DATA") == 2


@pytest.mark.parametrize("step", ["CONTENT", "ANSWER"])
async def test_of_a_connection_lost_while_it_is_given_nobody_knows(office: Office, step: Step) -> None:
    """It is not given again by itself, whether or not the server has it."""
    ada = await office.person("Ada", ADA)
    office.smtp.scripts[ADA] = Script(step, Act.DROP, times=1)
    sent = await office.send(ada)
    await office.until_state(ada, sent["id"], "UNKNOWN")
    assert await stage_of(office, sent["id"]) == DONE, "nobody looks at it again"
    assert len(office.smtp.mails) == (step == "ANSWER") and office.smtp.commands.count("DATA") == 1


async def test_a_connection_lost_after_the_answer_changes_nothing(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    office.smtp.scripts[ADA] = Script("AFTER", Act.DROP)
    sent = await office.send(ada)
    await office.until_state(ada, sent["id"], "SENT")
    assert len(office.smtp.mails) == 1


@asynccontextmanager
async def unknown(office: Office) -> AsyncIterator[tuple[str, str, Received]]:
    """A mail that the server has and of which nobody knows: its thread, its message, and itself."""
    ada = await office.person("Ada", ADA)
    office.smtp.scripts[ADA] = Script("ANSWER", Act.DROP, times=1)
    sent = await office.send(ada)
    await office.until_state(ada, sent["id"], "UNKNOWN")
    yield ada, sent["id"], office.smtp.mails[0]
    assert len(office.smtp.mails) == 1, "it was given twice"


async def test_what_is_found_among_sent_mails_was_sent(office: Office) -> None:
    async with unknown(office) as (ada, message, mail):
        office.deliver(mail.raw, "Sent")
        found = await office.until_state(ada, message, "SENT")
        assert found["delivery"]["detail"] == "found in the mailbox"
        assert len(await office.messages(ada)) == 1


async def test_what_comes_back_was_sent(office: Office) -> None:
    async with unknown(office) as (ada, message, mail):
        office.deliver(bounce_of(mail.raw, ADA))
        await office.until_state(ada, message, "BOUNCED")


async def test_what_is_answered_was_sent(office: Office) -> None:
    async with unknown(office) as (ada, message, mail):
        office.deliver(answer_to(mail.raw, "Got it").as_bytes())
        await office.until_state(ada, message, "DELIVERED")


async def test_a_member_says_that_it_was_sent(office: Office) -> None:
    async with unknown(office) as (ada, message, _):
        await resolve(office, message, True)
        await office.until_state(ada, message, "SENT")


async def test_a_member_has_it_sent_again(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    office.smtp.scripts[ADA] = Script("CONTENT", Act.DROP, times=1)
    sent = await office.send(ada)
    await office.until_state(ada, sent["id"], "UNKNOWN")
    await resolve(office, sent["id"], False)
    await office.until_state(ada, sent["id"], "SENT")
    assert len(office.smtp.mails) == 1


async def test_a_refused_password_waits_for_a_better_one(office: Office) -> None:
    await office.connect(access="SEND_ONLY")
    ada = await office.person("Ada", ADA)
    office.smtp.users[BRAND] = "a new one"
    sent = await office.send(ada)
    mailbox = await office.mailbox_state("NEEDS_RECONNECT")
    assert "login" in mailbox["reason"]
    message = await office.until_detail(ada, sent["id"], "must be connected anew")
    assert message["delivery"]["state"] == "QUEUED"
    assert (await office.connect(access="SEND_ONLY"))["mailbox"] is None, "the old password is no use"
    assert (await office.connect(access="SEND_ONLY", password="a new one"))["userErrors"] == []
    await office.until_state(ada, sent["id"], "SENT")
    assert len(office.smtp.mails) == 1


async def test_a_limit_is_none_of_the_mailbox(office: Office) -> None:
    """It goes on, whatever its server says of one mail."""
    ada = await office.person("Ada", ADA)
    office.smtp.scripts[BRAND] = Script("MAIL", "550 5.7.0 Daily sending limit exceeded", times=1)
    refused = await office.send(ada)
    message = await office.until_state(ada, refused["id"], "FAILED")
    assert "limit" in message["delivery"]["detail"]
    office.deliver(a_mail().as_bytes())
    await office.until_messages(ada, 2)
    sent = await office.send(ada)
    await office.until_state(ada, sent["id"], "SENT")
    assert (await office.mailbox_state("CONNECTED"))["reason"] is None


async def test_mail_that_waits_goes_out_as_soon_as_its_mailbox_is_connected(house: House) -> None:
    async with house.office(replace(FAST, longest_pause=3600.0)) as office:
        await office.connect(access="SEND_ONLY")
        ada = await office.person("Ada", ADA)
        office.smtp.scripts[ADA] = Script("RCPT", "451 4.3.0 Not now")
        sent = await office.send(ada)
        await office.until_detail(ada, sent["id"], "Not now")
        await office.brand.member.mutate("disconnectMailbox", "position", mailboxId=office.mailbox)
        message = await office.until_detail(ada, sent["id"], "must be connected anew")
        assert message["delivery"]["state"] == "QUEUED"
        office.smtp.scripts.clear()
        await office.connect(access="SEND_ONLY")
        await office.until_state(ada, sent["id"], "SENT")
        assert len(office.smtp.mails) == 1


async def test_mail_of_a_mailbox_that_nobody_connects_is_given_up(house: House) -> None:
    async with idle_office(house) as office:
        ada = await office.person("Ada", ADA)
        sent = await office.send(ada)
        await office.brand.member.mutate("disconnectMailbox", "position", mailboxId=office.mailbox)
        async with mail_service(office.brand.store, office.mail, replace(FAST, give_up=0.5)):
            message = await office.until_state(ada, sent["id"], "FAILED")
        assert "must be connected anew" in message["delivery"]["detail"]


async def test_two_services_send_each_mail_once(house: House) -> None:
    async with idle_office(house) as office, house.another_store() as other:
        ada = await office.person("Ada", ADA)
        sent = [await office.send(ada, f"number {number}") for number in range(20)]
        async with mail_service(office.brand.store, office.mail, FAST), mail_service(other, office.mail, FAST):
            await office.until(lambda: len(office.smtp.mails) >= len(sent))
            for each in sent:
                await office.until_state(ada, each["id"], "SENT")
        ids = [parsed(each.raw)["Message-ID"] for each in office.smtp.mails]
        assert len(ids) == len(set(ids)) == 20


async def test_only_who_holds_a_mail_may_begin_to_give_it_and_only_once(house: House) -> None:
    """However late one who has lost it comes back, and whatever that one says then."""
    async with idle_office(house) as office:
        ada = await office.person("Ada", ADA)
        id = (await office.send(ada))["id"]
        store, caller = office.brand.store, operator_of(office.brand.workspace)

        async def begins(owner: str) -> bool:
            return await outbox.begin_sending(store, caller, id, owner, {ADA: (DeliveryState.SENDING, None)})

        async def settle(owner: str, state: DeliveryState) -> str:
            await outbox.settle(store, caller, id, {ADA: (state, None)}, outbox.DONE, 0, 1, owner)
            [message] = await office.messages(ada)
            return str(message["delivery"]["state"])

        assert await outbox.claim(store, id, "late", now=1, until=2)
        assert await outbox.claim(store, id, "next", now=3, until=4)
        assert not await outbox.claim(store, id, "third", now=3, until=5)
        assert [await begins("late"), await begins("next"), await begins("next")] == [False, True, False]
        assert await settle("late", DeliveryState.QUEUED) == "SENDING"
        assert await settle("next", DeliveryState.SENT) == "SENT"
        assert not await outbox.claim(store, id, "third", now=9, until=10)


async def test_what_is_being_sent_is_finished_when_the_service_ends(house: House) -> None:
    async with idle_office(house) as office:
        ada = await office.person("Ada", ADA)
        arrived, answers = asyncio.Event(), asyncio.Event()

        async def wait(_: Received) -> None:
            arrived.set()
            await answers.wait()

        office.smtp.on_mail = wait
        sent = await office.send(ada)
        async with mail_service(office.brand.store, office.mail, FAST):
            await arrived.wait()
            asyncio.get_running_loop().call_later(0.1, answers.set)
        [message] = await office.messages(ada)
        assert (message["id"], message["delivery"]["state"]) == (sent["id"], "SENT")


async def test_a_file_that_is_gone_stops_only_its_own_mail(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """What must not happen is told, tried again, and given up."""
    async with house.office(replace(FAST, give_up=0.5)) as office:
        await office.connect(access="SEND_ONLY")
        ada = await office.person("Ada", ADA)
        file = await office.upload("gone.txt", b"gone")
        await office.brand.store.database.delete("blobs", {"workspace": office.brand.workspace})
        sent = await office.send(ada, attachmentIds=[file])
        other = await office.send(ada)
        await office.until_state(ada, other["id"], "SENT")
        await office.until_state(ada, sent["id"], "FAILED")
        assert "could not be sent" in caplog.text
        caplog.clear()


async def test_one_mail_of_a_mailbox_is_filed_at_a_time(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider lets few connections in at a time, and one is there to read."""
    open_now, most = 0, 0

    @asynccontextmanager
    async def counted(server: MailServer) -> AsyncIterator[ImapConnection]:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        async with imap_connection(server) as connection:
            yield connection
        open_now -= 1

    monkeypatch.setattr(outbox_filing, "imap_connection", counted)
    ada = await office.person("Ada", ADA)
    for number in range(6):
        await office.send(ada, f"number {number}")
    await office.until(lambda: len(office.dovecot.mails(office.account, "Sent")) == 6)
    assert most == 1


async def test_filed_mails_are_read_again_and_are_no_news(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    sent: list[Json] = [await office.send(ada, f"number {number}") for number in range(3)]
    await office.until(lambda: len(office.dovecot.mails(office.account, "Sent")) == 3)
    office.deliver(a_mail(text="after it").as_bytes())
    await office.until_messages(ada, 4)
    await office.check()
    assert len(await office.messages(ada)) == len(sent) + 1
    await office.until(lambda: len(office.dovecot.mails(office.account, "Sent")) == 3)
