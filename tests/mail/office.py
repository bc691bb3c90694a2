"""A brand with a real mailbox and influencers with theirs: one Dovecot, one SMTP server that delivers to it, the API,
and the mail service, as fast as it can be.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from email.utils import make_msgid
from typing import Any

import httpx2

from connect_inbox.settings import Settings
from storage.keys import KeyRing, new_key
from storage.store import Store, open_store
from sync.mail_access import MailAccess
from sync.mail_counters import MailCounters
from sync.mail_service import mail_service
from sync.mail_times import MailTimes
from tests.api.conftest import Brand, create_brand
from tests.client import Json
from tests.dovecot import Dovecot, dovecot_server
from tests.server import running
from tests.smtp_receiver import Received, SmtpReceiver, smtp_receiver

BRAND, ADA, BOB, STRANGER = "team@brand.test", "ada@people.test", "bob@people.test", "someone@else.test"
PASSWORD = "open sesame"
DEADLINE = 20.0  # seconds

FAST = MailTimes(look=0.05, poll=5.0, lease=3.0, first_pause=0.2, longest_pause=0.5, check=3600.0, filing=0.3)

KEY = new_key()  # of all stores here, so that they can open each other's secrets

CONNECT = "mailbox { id state } userErrors { code message field }"
MESSAGES = """query($id: ID!) { thread(id: $id) { unreadMessages messages(last: 100) { nodes {
    id channel kind direction automatic subject text html quotedText signature senderAddress unread campaignMatch
    campaign { id } author { id name } delivery { state detail } recipients { address kind delivery { state detail } }
    attachments { id name contentType size url isInline contentId } hasRemoteImages } } } }"""


@dataclass
class Office:
    """What there is, and what can be done in it."""

    brand: Brand
    dovecot: Dovecot
    smtp: SmtpReceiver
    mail: MailAccess
    mailbox: str = ""

    async def connect(self, address: str = BRAND, **changed: Any) -> Json:
        """Connects a mailbox as the team's member does."""
        server = {"host": self.dovecot.host, "port": self.dovecot.port}
        smtp = {"host": "localhost", "port": self.smtp.port, "encryption": "NONE"}
        given = {"address": address, "name": "The Brand", "password": PASSWORD, "imap": server, "smtp": smtp}
        payload = await self.brand.member.mutate("connectMailbox", CONNECT, **{**given, **changed})
        if payload["mailbox"]:
            self.mailbox = payload["mailbox"]["id"]
        return payload

    async def person(self, name: str, *addresses: str) -> str:
        """A new influencer's thread."""
        thread: str = (await self.brand.influencer(name, emails=list(addresses)))["thread"]
        return thread

    async def send(self, thread: str, text: str = "Hi!", **more: Any) -> Json:
        """What the member sends by e-mail."""
        sent = await self.brand.send(thread, text, **{"channel": "EMAIL", "subject": "Hello", **more})
        return sent

    async def messages(self, thread: str) -> list[Json]:
        found: list[Json] = (await self.brand.member.run(MESSAGES, id=thread))["thread"]["messages"]["nodes"]
        return found

    async def until_messages(self, thread: str, count: int) -> list[Json]:
        """The thread's messages, once there are so many."""
        async with asyncio.timeout(DEADLINE):
            while len(found := await self.messages(thread)) < count:
                await asyncio.sleep(0.05)
        return found

    async def until_deliveries(self, thread: str, message: str, **states: str) -> dict[str, str]:
        """What is said of each recipient, once they are so: ada="SENT"."""
        async with asyncio.timeout(DEADLINE):
            while True:
                [found] = [each for each in await self.messages(thread) if each["id"] == message]
                there = {each["address"].partition("@")[0]: each["delivery"] for each in found["recipients"]}
                if {name: each["state"] for name, each in there.items()} == states:
                    return {name: each["detail"] for name, each in there.items()}
                await asyncio.sleep(0.05)

    async def until_detail(self, thread: str, message: str, words: str) -> Json:
        """A message, once this is said of how far it has come."""
        async with asyncio.timeout(DEADLINE):
            while True:
                [found] = [each for each in await self.messages(thread) if each["id"] == message]
                if words in (found["delivery"]["detail"] or ""):
                    return found
                await asyncio.sleep(0.05)

    async def until_state(self, thread: str, message: str, state: str) -> Json:
        """A message, once it has come so far."""
        async with asyncio.timeout(DEADLINE):
            while True:
                [found] = [each for each in await self.messages(thread) if each["id"] == message]
                if found["delivery"]["state"] == state:
                    return found
                await asyncio.sleep(0.05)

    async def mailbox_state(self, state: str) -> Json:
        """The mailbox, once it is so."""
        async with asyncio.timeout(DEADLINE):
            while True:
                [found] = (
                    await self.brand.member.run(
                        "{ mailboxes { id state reason lastCheck { compared missing repaired } } }"
                    )
                )["mailboxes"]
                if found["state"] == state:
                    mailbox: Json = found
                    return mailbox
                await asyncio.sleep(0.05)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                await asyncio.sleep(0.05)

    async def check(self) -> Json:
        """What a check for completeness finds, once everything before it is read."""
        before = await self._last_check()
        await self.brand.member.mutate("checkMailbox", "position", mailboxId=self.mailbox)
        self.deliver(a_mail(STRANGER, text="wakes up who listens").as_bytes())
        async with asyncio.timeout(DEADLINE):
            while (found := await self._last_check()) is None or found == before:
                await asyncio.sleep(0.05)
        return found

    async def _last_check(self) -> Json | None:
        query = "{ mailboxes { id lastCheck { at compared missing repaired } } }"
        mailboxes = (await self.brand.member.run(query))["mailboxes"]
        [found] = [each["lastCheck"] for each in mailboxes if each["id"] == self.mailbox]
        check: Json | None = found
        return check

    async def upload(self, name: str, content: bytes) -> str:
        server, token = self.brand.server, self.brand.member.token
        answer = await server.http.post(
            f"{server.url.removesuffix('/graphql')}/attachments", params={"name": name}, content=content,
            headers={"authorization": f"Bearer {token}"},
        )  # fmt: skip
        assert answer.status_code == 201, answer.text
        id: str = answer.json()["id"]
        return id

    async def fetch(self, url: str) -> httpx2.Response:
        server = self.brand.server
        return await server.http.get(url if "://" in url else server.url.removesuffix("/graphql") + url)

    def deliver(self, raw: bytes, folder: str = "INBOX", user: str = BRAND) -> None:
        self.dovecot.deliver(user, raw, folder)


def a_mail(
    sender: str = ADA, to: str = BRAND, subject: str = "Hello", text: str = "Hello there", **headers: str
) -> EmailMessage:
    """A mail as a person's program writes it; `headers` have _ for -."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, to, subject
    mail["Date"] = "Thu, 26 Nov 2026 09:00:00 +0100"
    mail["Message-ID"] = make_msgid(domain="people.test")
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return mail


def parsed(raw: bytes) -> EmailMessage:
    mail = BytesParser(policy=default).parsebytes(raw)
    assert isinstance(mail, EmailMessage)
    return mail


def answer_to(raw: bytes, text: str, sender: str = ADA, **headers: str) -> EmailMessage:
    """What a person's program makes of an answer."""
    mail = parsed(raw)
    quoted = "\n".join(f"> {line}" for line in str(mail.get_body().get_content()).splitlines())  # type: ignore[union-attr]
    subject = str(mail["Subject"])
    given = {"In_Reply_To": str(mail["Message-ID"]), "References": str(mail["Message-ID"]), **headers}
    said = f"{text}\n\nOn Thu, 26 Nov 2026 at 09:00, The Brand wrote:\n{quoted}\n"
    return a_mail(sender, BRAND, subject if subject.startswith("Re:") else f"Re: {subject}", said, **given)


@asynccontextmanager
async def office_on(uri: str, database: str, times: MailTimes | None = FAST) -> AsyncIterator[Office]:
    """An office with a database of its own, and no mailbox yet."""
    async with open_store(uri, database, keys=KeyRing([KEY])) as store, open_office(store, times) as office:
        yield office


@asynccontextmanager
async def open_office(store: Store, times: MailTimes | None = FAST) -> AsyncIterator[Office]:
    """An office whose mail is read and sent, unless there are no times for it."""
    users = {BRAND: PASSWORD, ADA: PASSWORD, BOB: PASSWORD}
    async with dovecot_server(users) as dovecot, smtp_receiver({BRAND: PASSWORD}) as smtp:

        async def deliver(mail: Received) -> None:
            for each in mail.recipients:
                if each in users:
                    dovecot.deliver(each, mail.raw)

        smtp.on_mail = deliver
        mail = MailAccess(allowed_hosts=frozenset({"localhost"}), ca_file=dovecot.ca_file)
        settings, counters = Settings(rate_per_token=0, rate_per_address=0, metrics=True), MailCounters()
        async with running(store, settings, mail, counters) as server:
            office = Office(await create_brand(store, server), dovecot, smtp, mail)
            if times is None:
                yield office
                return
            async with mail_service(store, mail, times, counters):
                yield office
