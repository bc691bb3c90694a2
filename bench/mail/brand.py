"""A brand with people who are known, a mailbox on a real Dovecot, and the API on an empty database."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path

from connect_inbox.app import PATH
from connect_inbox.demo.dovecot import Dovecot, running_dovecot
from connect_inbox.server import Server, listener, uvicorn_config
from connect_inbox.settings import Settings
from schema.types.context import Caller, Role
from schema.types.mailbox import Encryption, MailboxAccess, _Server
from schema.types.node import thread_id_of
from schema.types.scalars import now
from storage.credentials import Credentials
from storage.embedded import embedded_engine
from storage.influencers import NewInfluencer, create_influencers
from storage.mailboxes import NewMailbox
from storage.store import Store, open_store
from storage.tokens import create_token
from storage.workspaces import add_member, create_workspace, operator_of
from sync.mail_access import MailAccess, try_servers
from sync.mailbox_connecting import connect
from tests.smtp_receiver import SmtpReceiver, smtp_receiver

ADDRESS, PASSWORD = "team@brand.test", "bench"
PEOPLE = 100
PARAGRAPH = "I have looked at the brief, and the second of the three dates would suit me best. "
QUOTED = "> Thank you for your interest! Please find the brief attached, and tell us which date suits you.\n"


@dataclass
class BenchBrand:
    store: Store
    dovecot: Dovecot
    smtp: SmtpReceiver
    access: MailAccess
    workspace: str
    member: str
    mailbox: str
    threads: list[str]
    url: str = ""  # of the API's WebSocket

    @property
    def caller(self) -> Caller:
        return Caller(self.member, "Mia", self.workspace, token="", role=Role.ADMIN)

    async def token(self) -> str:
        until = now() + timedelta(days=1)
        return (await create_token(self.store, self.workspace, self.member, "bench", [], until))[0]


@asynccontextmanager
async def open_brand() -> AsyncIterator[BenchBrand]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="connect-inbox-bench-")))
        uri = await stack.enter_async_context(embedded_engine(folder))
        store = await stack.enter_async_context(open_store(uri))
        dovecot = await stack.enter_async_context(running_dovecot({ADDRESS: PASSWORD}))
        smtp = await stack.enter_async_context(smtp_receiver({ADDRESS: PASSWORD}))
        brand = await filled(store, dovecot, smtp)
        brand.url = await stack.enter_async_context(served(brand))
        yield brand


@asynccontextmanager
async def served(brand: BenchBrand) -> AsyncIterator[str]:
    """The API, for subscribers."""
    settings = Settings(bind=("127.0.0.1", 0), rate_per_token=0, rate_per_address=0)
    with listener(settings) as bound:
        server = Server(uvicorn_config(settings, brand.store))
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        await server.listening.wait()
        try:
            yield f"ws://127.0.0.1:{bound.getsockname()[1]}{PATH}"
        finally:
            server.should_exit = True
            await serving


async def filled(store: Store, dovecot: Dovecot, smtp: SmtpReceiver) -> BenchBrand:
    workspace = await create_workspace(store, "Bench")
    operator = operator_of(workspace)
    member = (await add_member(store, operator, "Mia", ADDRESS, Role.ADMIN)).result.id
    people = [NewInfluencer(f"Person {number}", emails=[address_of(number)]) for number in range(PEOPLE)]
    influencers = (await create_influencers(store, operator, people)).result
    access = MailAccess(allowed_hosts=frozenset({"localhost"}), ca_file=dovecot.ca_file)
    imap = _Server(host="localhost", port=dovecot.port, user=ADDRESS, encryption=Encryption.TLS)
    smtp_server = _Server(host="localhost", port=smtp.port, user=ADDRESS, encryption=Encryption.NONE)
    folders = await try_servers(access.server(imap, PASSWORD, False), access.server(smtp_server, PASSWORD, False))
    new = NewMailbox(ADDRESS, "The Brand", MailboxAccess.FULL, smtp_server, imap, is_shared=True)
    connected = await connect(store, operator, member, new, Credentials(password=PASSWORD), folders)
    threads = [thread_id_of(id) for id in influencers]
    return BenchBrand(store, dovecot, smtp, access, workspace, member, connected.result, threads)


def address_of(person: int) -> str:
    return f"person{person}@people.test"


def a_mail(number: int, sender: str) -> bytes:
    """A mail of some kilobytes, an answer with what it answers."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, ADDRESS, f"Re: Spring campaign {number}"
    mail["Date"] = "Thu, 26 Nov 2026 09:00:00 +0000"
    mail["Message-ID"] = f"<{number}.{sender}>"
    mail["References"] = f"<before.{number}@brand.test>"
    text = f"Number {number}. " + PARAGRAPH * 10 + "\n\nOn Thu, 26 Nov 2026, The Brand wrote:\n" + QUOTED * 10
    mail.set_content(text)
    html = "".join(f"<p>{line}</p>" for line in text.splitlines())
    mail.add_alternative(f"<html><body>{html}</body></html>", subtype="html")
    return mail.as_bytes()


async def deliver(brand: BenchBrand, count: int, known: bool) -> None:
    """Puts so many mails into the mailbox, of people who are known or of strangers."""

    def write() -> None:
        for number in range(count):
            sender = address_of(number % PEOPLE) if known else f"stranger{number}@else.test"
            brand.dovecot.deliver(ADDRESS, a_mail(number, sender))

    await asyncio.to_thread(write)
