"""`connect-inbox sync`: processes of their own that read mailboxes and send mail, beside an API that does neither."""

from __future__ import annotations

import asyncio
import signal
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from connect_inbox.server import CannotStart, listener, local_url, open_database, serving, sync
from connect_inbox.settings import Settings
from schema.types.context import Role
from schema.types.scalars import now
from storage import embedded
from storage.keys import format_key, new_key
from storage.store import Store
from storage.tokens import create_token
from storage.workspaces import add_member, create_workspace, operator_of
from tests.client import Api, Json, Server
from tests.commands import DEADLINE, Result, environment, result_of, started
from tests.databases import database_of_its_own
from tests.dovecot import Dovecot, dovecot_server
from tests.mail.office import ADA, BOB, BRAND, CONNECT, PASSWORD, a_mail
from tests.smtp_receiver import SmtpReceiver, smtp_receiver

READY = "Connect Inbox reads mailboxes and sends mail.\n"
SECOND = "press@brand.test"
LOOKS = 1.5  # seconds in which whoever sends mail looks for it
MESSAGES = "query($id: ID!) { thread(id: $id) { messages(last: 50) { nodes { id text delivery { state } } } } }"


@dataclass
class Brand:
    """A workspace whose API leaves mail alone."""

    env: dict[str, str]
    store: Store
    api: Api
    dovecot: Dovecot
    smtp: SmtpReceiver

    async def connect(self, address: str) -> str:
        """The mailbox's id."""
        imap = {"host": "localhost", "port": self.dovecot.port}
        smtp = {"host": "localhost", "port": self.smtp.port, "encryption": "NONE"}
        given = {"address": address, "name": "Brand", "password": PASSWORD, "imap": imap, "smtp": smtp}
        payload = await self.api.mutate("connectMailbox", CONNECT, **given)
        assert payload["userErrors"] == []
        id: str = payload["mailbox"]["id"]
        return id

    async def person(self, name: str, address: str) -> str:
        """The thread of somebody who has an address."""
        made = await self.api.mutate("createInfluencer", "thread { id }", name=name, emails=[address])
        thread: str = made["thread"]["id"]
        return thread

    async def messages(self, thread: str) -> list[Json]:
        nodes: list[Json] = (await self.api.run(MESSAGES, id=thread))["thread"]["messages"]["nodes"]
        return nodes

    async def comes(self, thread: str, user: str, text: str) -> None:
        """Delivers a mail of Ada's, and waits until it is in the thread."""
        self.dovecot.deliver(user, a_mail(ADA, user, text=text).as_bytes())
        async with asyncio.timeout(DEADLINE):
            while text not in [each["text"] for each in await self.messages(thread)]:
                await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
async def brand(database_uri: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Brand]:
    users = dict.fromkeys((BRAND, SECOND), PASSWORD)
    async with (
        database_of_its_own(database_uri) as database,
        dovecot_server(users) as dovecot,
        smtp_receiver(users) as smtp,
    ):
        env = environment(
            MONGODB_URI=database_uri, MONGODB_DATABASE=database, CONNECT_INBOX_BIND="127.0.0.1:0",
            CONNECT_INBOX_DATA=tmp_path_factory.mktemp("data"), CONNECT_INBOX_SECRET_KEYS=format_key(new_key()),
            CONNECT_INBOX_MAIL_HOSTS="localhost", CONNECT_INBOX_MAIL_CA=dovecot.ca_file,
        )  # fmt: skip
        async with api_without_mail(env) as (store, api):
            yield Brand(env, store, api, dovecot, smtp)


@asynccontextmanager
async def api_without_mail(env: dict[str, str]) -> AsyncIterator[tuple[Store, Api]]:
    settings = Settings.from_env({**env, "CONNECT_INBOX_SYNC": "off"})
    with listener(settings) as bound:
        async with (
            open_database(settings, with_keys=True) as store,
            serving(settings, store, bound),
            httpx2.AsyncClient(timeout=DEADLINE) as http,
        ):
            workspace = await create_workspace(store, "Brand")
            made = await add_member(store, operator_of(workspace), "Ines", "ines@brand.test", Role.ADMIN)
            secret, _ = await create_token(store, workspace, made.result.id, "test", [], now() + timedelta(days=1))
            yield store, Api(Server(local_url(bound), http), secret)


async def killed(process: Process, store: Store, mailboxes: list[str]) -> None:
    """As if it had been dead for as long as the mailboxes that it read are left to it."""
    process.kill()
    await process.wait()
    for each in mailboxes:
        state = await store.database.get("mail_states", each)
        assert state is not None and state["lease"] and state["lease_until"] > time.time() * 1000
        await store.database.set("mail_states", each, {"lease_until": 0})


async def test_processes_share_mailboxes_and_take_over_what_another_one_leaves(brand: Brand) -> None:
    ada = await brand.person("Ada", ADA)
    mailboxes = [await brand.connect(BRAND), await brand.connect(SECOND)]
    async with started("sync", env=brand.env) as (first, line), started("sync", env=brand.env) as (second, _):
        assert line == READY
        await brand.comes(ada, BRAND, "one")
        await brand.comes(ada, SECOND, "two")
        first.send_signal(signal.SIGTERM)
        assert await result_of(first) == Result(0, "", "")
        await brand.comes(ada, BRAND, "three")
        await brand.comes(ada, SECOND, "four")
        async with started("sync", env=brand.env) as (third, _):
            await killed(second, brand.store, mailboxes)
            await brand.comes(ada, BRAND, "five")
            await brand.comes(ada, SECOND, "six")
            third.send_signal(signal.SIGINT)
            assert await result_of(third) == Result(0, "", "")
    texts = [each["text"] for each in await brand.messages(ada)]
    assert texts == ["one", "two", "three", "four", "five", "six"]


async def test_mail_is_sent_by_it_and_not_by_an_api_that_leaves_mail_alone(brand: Brand) -> None:
    bob = await brand.person("Bob", BOB)
    mailbox = await brand.connect(BRAND)
    message = {"threadId": bob, "channel": "EMAIL", "subject": "Hello", "text": "How are you?", "mailboxId": mailbox}
    sent = await brand.api.mutate("sendMessage", "message { id } userErrors { message }", **message)
    assert sent["userErrors"] == []
    until = time.monotonic() + LOOKS
    while time.monotonic() < until:
        [queued] = await brand.messages(bob)
        assert queued["delivery"]["state"] == "QUEUED" and not brand.smtp.mails
        await asyncio.sleep(0.25)
    async with started("sync", env=brand.env):
        [mail] = await brand.smtp.received()
    assert mail.recipients == [BOB]


async def test_a_folder_that_an_api_has_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An embedded database is one process's."""
    monkeypatch.setattr(embedded, "LOCK_WAIT", 0.1)
    settings = Settings(data=tmp_path)
    async with open_database(settings):
        with pytest.raises(CannotStart, match=f"{tmp_path} is in use by another process"):
            await sync(settings, lambda: None)
