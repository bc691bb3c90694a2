"""A brand with a real mailbox, and influencers who write to it: Dovecot, an SMTP server, the API, and the mail service,
as fast as it can be. Offices in one house share what takes long to start, and have accounts of their own there.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from email.utils import make_msgid
from typing import Any, TypeVar

import httpx2

from connect_inbox.settings import Settings
from storage.keys import KeyRing, new_key
from storage.store import Store, open_store
from sync.mail_access import MailAccess
from sync.mail_counters import MailCounters
from sync.mail_service import mail_service
from sync.mail_times import MailTimes
from tests.api.conftest import Brand, create_brand
from tests.client import Api, Json, Server
from tests.dovecot import Dovecot, dovecot_server
from tests.server import running
from tests.smtp_receiver import SmtpReceiver, smtp_receiver

BRAND, ADA, BOB, STRANGER = "team@brand.test", "ada@people.test", "bob@people.test", "someone@else.test"
PASSWORD = "open sesame"
DEADLINE = 40.0  # seconds within which whatever a test waits for has happened, also on a machine that is busy
POLL = 0.02
T = TypeVar("T")

# Dovecot tells of a new mail after half a second: a mailbox is looked at more often than that.
FAST = MailTimes(look=0.05, poll=0.15, lease=3.0, first_pause=0.2, longest_pause=0.5, check=3600.0, filing=0.1)
ACCOUNTS = 1000  # that a house has, one for each of its offices

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
    account: str  # of its mailbox at Dovecot
    mailbox: str = ""

    async def connect(self, address: str = BRAND, by: Api | None = None, **changed: Any) -> Json:
        """Connects a mailbox as the team's member does, or somebody else."""
        server = {"host": self.dovecot.host, "port": self.dovecot.port, "user": self.account}
        smtp = {"host": "localhost", "port": self.smtp.port, "encryption": "NONE"}
        given = {"address": address, "name": "The Brand", "password": PASSWORD, "imap": server, "smtp": smtp}
        payload = await (by or self.brand.member).mutate("connectMailbox", CONNECT, **{**given, **changed})
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

    async def message(self, thread: str, id: str) -> Json:
        [found] = [each for each in await self.messages(thread) if each["id"] == id]
        return found

    async def until_found(self, look: Callable[[], Awaitable[T | None]]) -> T:
        """What is looked for, once it is there. It is looked for again whenever the workspace has changed."""
        seen = -1
        async with asyncio.timeout(DEADLINE):
            while True:
                applied: int = (await self.brand.store.log.state(self.brand.workspace))["applied"]
                if applied != seen and (found := await look()) is not None:
                    return found
                seen = applied
                await asyncio.sleep(POLL)

    async def until_messages(self, thread: str, count: int) -> list[Json]:
        """The thread's messages, once there are so many."""

        async def look() -> list[Json] | None:
            found = await self.messages(thread)
            return found if len(found) >= count else None

        return await self.until_found(look)

    async def until_message(self, thread: str, id: str, condition: Callable[[Json], bool]) -> Json:
        """A message, once it is so."""

        async def look() -> Json | None:
            found = await self.message(thread, id)
            return found if condition(found) else None

        return await self.until_found(look)

    async def until_deliveries(self, thread: str, message: str, **states: str) -> dict[str, str]:
        """What is said of each recipient, once they are so: ada="SENT"."""

        def is_so(message: Json) -> bool:
            return {name: each["state"] for name, each in deliveries(message).items()} == states

        found = await self.until_message(thread, message, is_so)
        return {name: each["detail"] for name, each in deliveries(found).items()}

    async def until_detail(self, thread: str, message: str, words: str) -> Json:
        """A message, once this is said of how far it has come."""
        return await self.until_message(thread, message, lambda each: words in (each["delivery"]["detail"] or ""))

    async def until_state(self, thread: str, message: str, state: str) -> Json:
        """A message, once it has come so far."""
        return await self.until_message(thread, message, lambda each: bool(each["delivery"]["state"] == state))

    async def mailbox_state(self, state: str, mailbox: str = "") -> Json:
        """A mailbox, or the one that was connected last, once it is so."""

        async def look() -> Json | None:
            query = "{ mailboxes { id state reason lastCheck { at compared missing repaired } } }"
            mailboxes = (await self.brand.member.run(query))["mailboxes"]
            [found] = [each for each in mailboxes if each["id"] == (mailbox or self.mailbox)]
            return found if found["state"] == state else None

        return await self.until_found(look)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                await asyncio.sleep(POLL)

    async def check(self) -> Json:
        """What a check for completeness finds, once everything before it is read."""
        before = await self.until_check()
        await self.brand.member.mutate("checkMailbox", "position", mailboxId=self.mailbox)
        return await self.until_check(before)

    async def until_check(self, before: Json | None = None) -> Json:
        """What the check after this one has found."""

        async def look() -> Json | None:
            found = await self._last_check()
            return found if found != before else None

        return await self.until_found(look)

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

    def deliver(self, raw: bytes, folder: str = "INBOX") -> None:
        self.dovecot.deliver(self.account, raw, folder)


def deliveries(message: Json) -> dict[str, Json]:
    """By the names in its recipients' addresses."""
    return {each["address"].partition("@")[0]: each["delivery"] for each in message["recipients"]}


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


@dataclass(frozen=True)
class House:
    """Where offices are: what they share."""

    uri: str
    database: str
    store: Store
    server: Server
    dovecot: Dovecot
    mail: MailAccess
    counters: MailCounters
    accounts: Iterator[str] = field(default_factory=lambda: map(account, itertools.count()))

    @asynccontextmanager
    async def office(self, times: MailTimes | None = FAST) -> AsyncIterator[Office]:
        """A new one without a mailbox, whose mail is read and sent, unless there are no times for it."""
        if not self.dovecot.is_running:
            await self.dovecot.start()
        async with smtp_receiver({BRAND: PASSWORD}) as smtp:
            brand = await create_brand(self.store, self.server)
            office = Office(brand, self.dovecot, smtp, self.mail, next(self.accounts))
            try:
                if times is None:
                    yield office
                else:
                    async with mail_service(self.store, self.mail, times, self.counters):
                        yield office
            finally:
                await self._clear(brand.workspace)

    @asynccontextmanager
    async def another_store(self) -> AsyncIterator[Store]:
        """What another process has of the same database."""
        async with open_store(self.uri, self.database, keys=KeyRing([KEY])) as store:
            yield store

    async def _clear(self, workspace: str) -> None:
        """Leaves nothing to do for the next office's mail service, which looks after all workspaces."""
        for collection in ("mail_states", "outbox", "quarantined_mails"):
            await self.store.database.delete(collection, {"workspace": workspace})


def account(number: int) -> str:
    return f"account{number}"


@asynccontextmanager
async def house_on(uri: str, database: str) -> AsyncIterator[House]:
    """One on a database of its own."""
    async with (
        open_store(uri, database, keys=KeyRing([KEY])) as store,
        dovecot_server({account(number): PASSWORD for number in range(ACCOUNTS)}) as dovecot,
    ):
        mail = MailAccess(allowed_hosts=frozenset({"localhost"}), ca_file=dovecot.ca_file)
        settings, counters = Settings(rate_per_token=0, rate_per_address=0, metrics=True), MailCounters()
        async with running(store, settings, mail, counters) as server:
            yield House(uri, database, store, server, dovecot, mail, counters)


@asynccontextmanager
async def office_on(uri: str, database: str, times: MailTimes | None = FAST) -> AsyncIterator[Office]:
    """An office that shares nothing."""
    async with house_on(uri, database) as house, house.office(times) as office:
        yield office
