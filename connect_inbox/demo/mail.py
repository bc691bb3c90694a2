"""E-mail in the demo: mail servers with the brand's mailbox and those of influencers, who answer what they are sent."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from email.headerregistry import Address
from enum import Enum
from random import Random
from typing import Any

import httpx2

from connect_inbox.demo import letters, texts
from connect_inbox.demo.dovecot import Dovecot, DovecotFailed, running_dovecot
from connect_inbox.demo.smtp import smtp_server
from connect_inbox.demo.story import MAILBOX
from connect_inbox.demo.traffic import post
from connect_inbox.server import CannotStart

logger = logging.getLogger("connect_inbox.demo")

PAUSE = 2.0, 4.0  # seconds between a mail and the answer to it
SPELL = 10.0, 25.0  # seconds between two mails that answer nothing
ATTACHING = 0.3  # of the answers

CONNECT = """
mutation($input: ConnectMailboxInput!) { connectMailbox(input: $input) { mailbox { id } userErrors { message } } }
"""
WHO = "query { inbox(first: 100) { nodes { id influencer { name emails } } } }"


class Manner(Enum):
    """What becomes of the mail that somebody is sent."""

    ANSWERS = "who answers"
    IS_AWAY = "who is away"
    BOUNCES = "whose mail comes back"


@dataclass(frozen=True)
class Correspondent:
    """An influencer with an e-mail address."""

    thread: str
    name: str
    emails: list[str]
    manner: Manner

    def address(self, email: str) -> Address:
        return Address(self.name, addr_spec=email)


@dataclass
class PostOffice:
    """The mail servers, and what was sent through them and not dealt with yet: to whom, and the mail."""

    dovecot: Dovecot
    password: str
    smtp_port: int = 0
    sent: asyncio.Queue[tuple[str, bytes]] = field(default_factory=asyncio.Queue)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of its servers, which are at a private address."""
        return (self.dovecot.host,)

    def send(self, recipients: list[str], raw: bytes) -> None:
        for each in recipients:
            self.sent.put_nowait((each, raw))


@dataclass(frozen=True)
class Correspondence:
    """The brand's mailbox, and who writes to it."""

    office: PostOffice
    mailbox: str
    people: list[Correspondent]

    def by_email(self) -> dict[str, Correspondent]:
        return {email.lower(): each for each in self.people for email in each.emails}

    def examples(self) -> dict[Manner, Correspondent]:
        """One for each manner, as far as there are."""
        first = {each.manner: each for each in reversed(self.people)}
        return {manner: first[manner] for manner in Manner if manner in first}

    def told(self) -> dict[str, str]:
        """For a program: the mailbox, and in which threads to write an e-mail."""
        names = {
            Manner.ANSWERS: "answeringThreadId",
            Manner.IS_AWAY: "awayThreadId",
            Manner.BOUNCES: "bouncingThreadId",
        }
        threads = {names[manner]: person.thread for manner, person in self.examples().items()}
        return {"mailboxId": self.mailbox, "mailboxAddress": MAILBOX, **threads}


@asynccontextmanager
async def post_office() -> AsyncIterator[PostOffice]:
    """The mail servers, which have ended when the context has. Raises `CannotStart`."""
    password = secrets.token_urlsafe(9)
    async with AsyncExitStack() as stack:
        try:
            dovecot = await stack.enter_async_context(running_dovecot({MAILBOX: password}))
        except DovecotFailed as error:
            raise CannotStart(str(error)) from error
        office = PostOffice(dovecot, password)
        office.smtp_port = await stack.enter_async_context(smtp_server(MAILBOX, password, office.send))
        yield office


async def connect(office: PostOffice, url: str, token: str) -> Correspondence:
    """Connects the brand's mailbox as its member would, and gives influencers mailboxes."""
    mailbox = {
        "address": MAILBOX, "name": "Alder & Wren", "password": office.password, "isShared": True,
        "imap": {"host": office.dovecot.host, "port": office.dovecot.port},
        "smtp": {"host": "localhost", "port": office.smtp_port, "encryption": "NONE"},
    }  # fmt: skip
    async with httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, timeout=30) as client:
        payload = (await post(client, url, CONNECT, {"input": mailbox}))["connectMailbox"]
        if payload["userErrors"]:
            raise CannotStart(f"the mailbox cannot be connected: {payload['userErrors'][0]['message']}")
        threads = (await post(client, url, WHO, {}))["inbox"]["nodes"]
    people = correspondents(threads)
    for email in (email for each in people for email in each.emails):
        office.dovecot.set_password(email, office.password)
    return Correspondence(office, payload["mailbox"]["id"], people)


def correspondents(threads: list[dict[str, Any]]) -> list[Correspondent]:
    """Those with an address: the second is away, the third cannot be reached, all others answer."""
    manners = {1: Manner.IS_AWAY, 2: Manner.BOUNCES}
    found = sorted((each for each in threads if each["influencer"]["emails"]), key=lambda each: str(each["id"]))
    return [
        Correspondent(
            each["id"], each["influencer"]["name"], each["influencer"]["emails"], manners.get(number, Manner.ANSWERS)
        )
        for number, each in enumerate(found)
    ]


async def keep_answering(correspondence: Correspondence) -> None:
    """Goes on until it is cancelled."""
    office, people, random = correspondence.office, correspondence.by_email(), Random()
    async with asyncio.TaskGroup() as answers:
        while True:
            email, raw = await office.sent.get()
            person = people.get(email.lower())
            if person is not None:
                answers.create_task(answer(office, person, email, raw, random))


async def answer(office: PostOffice, person: Correspondent, email: str, raw: bytes, random: Random) -> None:
    try:
        if person.manner is not Manner.BOUNCES:
            office.dovecot.deliver(email, raw)
        await asyncio.sleep(random.uniform(*PAUSE))
        office.dovecot.deliver(MAILBOX, reaction(person, email, raw, random))
    except Exception:
        logger.exception("a mail could not be answered")


def reaction(person: Correspondent, email: str, raw: bytes, random: Random) -> bytes:
    """What comes back for a mail."""
    if person.manner is Manner.BOUNCES:
        return letters.bounce_of(raw, email)
    if person.manner is Manner.IS_AWAY:
        text = texts.OUT_OF_OFFICE.format(first=person.name.split()[0])
        return letters.absence_reply(raw, person.address(email), text).as_bytes()
    mail = letters.answer_to(raw, person.address(email), random.choice(texts.MAIL_ANSWERS))
    if random.random() < ATTACHING:
        letters.attach_numbers(mail)
    return mail.as_bytes()


async def keep_mailing(correspondence: Correspondence) -> None:
    """Somebody writes a mail now and then, which answers nothing. Goes on until it is cancelled."""
    random = Random()
    writers = [each for each in correspondence.people if each.manner is Manner.ANSWERS]
    while writers:
        await asyncio.sleep(random.uniform(*SPELL))
        person, text = random.choice(writers), random.choice(texts.LATELY)
        mail = letters.letter(person.address(person.emails[0]), MAILBOX, text[:40], text)
        correspondence.office.dovecot.deliver(MAILBOX, mail.as_bytes())
