"""`connect-inbox sync`: processes of their own that read mailboxes and send mail, beside an API that does neither."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from storage.keys import format_key, new_key
from tests.client import Api, Json, Server
from tests.commands import DEADLINE, Result, environment, result_of, run, started
from tests.dovecot import Dovecot, dovecot_server
from tests.mail.office import ADA, BRAND, CONNECT, PASSWORD, a_mail
from tests.smtp_receiver import SmtpReceiver, smtp_receiver

READY = "Connect Inbox reads mailboxes and sends mail.\n"
SECOND = "press@brand.test"
LOOKS = 2.5  # seconds in which whoever sends mail looks for it twice
MESSAGES = "query($id: ID!) { thread(id: $id) { messages(last: 50) { nodes { id text delivery { state } } } } }"


@dataclass
class Brand:
    """A workspace whose API leaves mail alone, with a person who has an address."""

    env: dict[str, str]
    api: Api
    dovecot: Dovecot
    smtp: SmtpReceiver
    thread: str

    async def connect(self, address: str) -> None:
        imap = {"host": "localhost", "port": self.dovecot.port}
        smtp = {"host": "localhost", "port": self.smtp.port, "encryption": "NONE"}
        given = {"address": address, "name": "Brand", "password": PASSWORD, "imap": imap, "smtp": smtp}
        assert (await self.api.mutate("connectMailbox", CONNECT, **given))["userErrors"] == []

    async def messages(self) -> list[Json]:
        nodes: list[Json] = (await self.api.run(MESSAGES, id=self.thread))["thread"]["messages"]["nodes"]
        return nodes

    async def comes(self, user: str, text: str) -> None:
        """Delivers a mail, and waits until it is in the thread."""
        self.dovecot.deliver(user, a_mail(ADA, user, text=text).as_bytes())
        async with asyncio.timeout(DEADLINE):
            while text not in [each["text"] for each in await self.messages()]:
                await asyncio.sleep(0.1)


@pytest.fixture
async def brand(database_uri: str, own_database: str, tmp_path: Path) -> AsyncIterator[Brand]:
    users = dict.fromkeys((BRAND, SECOND), PASSWORD)
    async with dovecot_server(users) as dovecot, smtp_receiver(users) as smtp:
        env = environment(
            MONGODB_URI=database_uri, MONGODB_DATABASE=own_database, CONNECT_INBOX_BIND="127.0.0.1:0",
            CONNECT_INBOX_DATA=tmp_path, CONNECT_INBOX_SECRET_KEYS=format_key(new_key()),
            CONNECT_INBOX_MAIL_HOSTS="localhost", CONNECT_INBOX_MAIL_CA=dovecot.ca_file,
        )  # fmt: skip
        create = ("workspace", "create", "Brand", "--admin-name", "Ines", "--admin-email", "ines@brand.test", "--json")
        token = (await run(*create, env=env)).json["token"]
        async with api_without_mail(env, token) as api:
            made = await api.mutate("createInfluencer", "thread { id }", name="Ada", emails=[ADA])
            yield Brand(env, api, dovecot, smtp, made["thread"]["id"])


@asynccontextmanager
async def api_without_mail(env: dict[str, str], token: str) -> AsyncIterator[Api]:
    async with started("serve", env={**env, "CONNECT_INBOX_SYNC": "off"}) as (_, line):
        async with httpx2.AsyncClient(timeout=DEADLINE) as http:
            yield Api(Server(line.split()[-1], http), token)


@pytest.mark.timeout(150)
async def test_processes_share_mailboxes_and_take_over_what_another_one_leaves(brand: Brand) -> None:
    await brand.connect(BRAND)
    await brand.connect(SECOND)
    async with started("sync", env=brand.env) as (first, line), started("sync", env=brand.env) as (second, _):
        assert line == READY
        await brand.comes(BRAND, "one")
        await brand.comes(SECOND, "two")
        first.send_signal(signal.SIGTERM)
        assert await result_of(first) == Result(0, "", "")
        await brand.comes(BRAND, "three")
        await brand.comes(SECOND, "four")
        async with started("sync", env=brand.env) as (third, _):
            second.kill()
            await brand.comes(BRAND, "five")
            await brand.comes(SECOND, "six")
            third.send_signal(signal.SIGINT)
            assert await result_of(third) == Result(0, "", "")
    assert [each["text"] for each in await brand.messages()] == ["one", "two", "three", "four", "five", "six"]


async def test_mail_is_sent_by_it_and_not_by_an_api_that_leaves_mail_alone(brand: Brand) -> None:
    await brand.connect(BRAND)
    message = {"threadId": brand.thread, "channel": "EMAIL", "subject": "Hello", "text": "How are you?"}
    sent = await brand.api.mutate("sendMessage", "message { id } userErrors { message }", **message)
    assert sent["userErrors"] == []
    until = time.monotonic() + LOOKS
    while time.monotonic() < until:
        [queued] = await brand.messages()
        assert queued["delivery"]["state"] == "QUEUED" and not brand.smtp.mails
        await asyncio.sleep(0.1)
    async with started("sync", env=brand.env):
        [mail] = await brand.smtp.received()
    assert mail.recipients == [ADA]


async def test_a_folder_that_an_api_has_is_refused(tmp_path: Path) -> None:
    """An embedded database is one process's."""
    env = environment(CONNECT_INBOX_DATA=tmp_path / "data", CONNECT_INBOX_BIND="127.0.0.1:0")
    async with started("serve", env=env):
        (await run("sync", env=env)).refused(f"{tmp_path / 'data'} is in use by another process")
