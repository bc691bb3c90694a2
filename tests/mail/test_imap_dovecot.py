"""Reading a mailbox, from a real Dovecot."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from connect_inbox.demo.certificates import make_certificate
from sync.imap import Folders, ImapConnection, MailTooLarge, imap_connection
from sync.mail_server import Failure, MailServer, MailServerFailed
from tests.client import until
from tests.dovecot import Dovecot, account_of, dovecot_server, token_introspection
from tests.mail.hostile_imap import hostile_imap

ANNA = "anna@example.org"
BORIS = "boris@example.org"
PASSWORDS = {ANNA: 'a "quoted" \\ one', BORIS: "simple"}
MOST = 1_000_000
numbers = itertools.count()


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Dovecot]:
    users = {f"user{number}@example.org": "secret" for number in range(40)}
    async with dovecot_server(PASSWORDS | users, sent="Gesendete Objekte & mehr ✉") as server:
        yield server


@pytest.fixture
async def mailbox(server: Dovecot) -> str:
    """A user of their own for each test."""
    return f"user{next(numbers)}@example.org"


@asynccontextmanager
async def opened(server: Dovecot, user: str, folder: str = "INBOX") -> AsyncIterator[ImapConnection]:
    async with imap_connection(account_of(server, user)) as connection:
        await connection.select(folder)
        yield connection


async def failure_of(account: MailServer) -> Failure:
    with pytest.raises(MailServerFailed) as failed:
        async with imap_connection(account):
            pass
    assert account.secret not in str(failed.value)
    return failed.value.failure


def mail(number: int, size: int = 0) -> bytes:
    head = f"From: Mia <mia@example.org>\r\nSubject: sad :( * {number}\r\nMessage-ID: <{number}@example.org>\r\n\r\n"
    return head.encode() + b"Hello\r\n" + b"x" * size


async def test_folders_and_what_is_new_in_them(server: Dovecot, mailbox: str) -> None:
    async with imap_connection(account_of(server, mailbox)) as connection:
        folders = await connection.folders()
        assert folders == Folders("INBOX", "Gesendete Objekte & mehr ✉")
        assert folders.sent is not None
        before = await connection.select(folders.inbox)
        assert (before.uid_next, before.exists) == (1, 0)
        assert await connection.new_uids(before.uid_next - 1) == []
        for number in range(5):
            server.deliver(mailbox, mail(number))
        assert await connection.new_uids(0) == [1, 2, 3, 4, 5]
        assert await connection.new_uids(5) == []  # `6:*` is the last mail
        headers = await connection.headers([5, 1, 9])
        assert [header.uid for header in headers] == [1, 5]
        assert headers[0].header == mail(0)[: -len("Hello\r\n")] and headers[0].size == len(mail(0))
        assert [await connection.fetch(uid, MOST) for uid in (1, 9)] == [mail(0), None]
        server.deliver(mailbox, mail(9), folders.sent)
        after = await connection.select(folders.sent)
        assert (after.exists, after.uid_next) == (1, 2)


async def test_what_came_since_a_time(server: Dovecot, mailbox: str) -> None:
    before = int(time.time()) * 1000
    for number in range(3):
        server.deliver(mailbox, mail(number))
    week = before / 1000 - 7 * 24 * 3600
    os.utime(server.files(mailbox)[0], (week, week))
    async with opened(server, mailbox) as connection:
        assert await connection.uids_since(before) == [2, 3]
        dates = [header.internal_date for header in await connection.headers([1, 2, 3])]
    assert dates[0] == int(week) * 1000 and before <= dates[1] <= dates[2] <= time.time() * 1000


async def test_nothing_is_seen_that_its_owner_has_not_seen(server: Dovecot, mailbox: str) -> None:
    server.deliver(mailbox, mail(1))
    async with opened(server, mailbox) as connection:
        await connection.headers(await connection.new_uids(0))
        assert await connection.fetch(1, MOST) == mail(1)
    async with opened(server, mailbox):
        (file,) = server.files(mailbox)
        assert "S" not in file.name.partition(":2,")[2]


async def test_more_mails_than_are_asked_for_at_once(server: Dovecot, mailbox: str) -> None:
    for number in range(450):
        server.deliver(mailbox, mail(number))
    async with opened(server, mailbox) as connection:
        uids = await connection.new_uids(0)
        assert uids == list(range(1, 451))
        assert [header.header for header in await connection.headers(uids)] == [mail(n)[:-7] for n in range(450)]


async def test_large_mails_and_huge_headers(server: Dovecot, mailbox: str) -> None:
    huge = b"X-Long: " + b"y" * 300_000 + b"\r\n" + mail(1)
    for raw in (mail(1, 5_000_000), huge):
        server.deliver(mailbox, raw)
    async with opened(server, mailbox) as connection:
        headers = await connection.headers([1, 2])
        assert [header.size for header in headers] == [len(mail(1, 5_000_000)), len(huge)]
        assert headers[1].header == huge[: 64 * 1024]
        with pytest.raises(MailTooLarge):
            await connection.fetch(1, 4_000_000)
        assert await connection.fetch(1, 6_000_000) == mail(1, 5_000_000)
        assert await connection.fetch(2, 6_000_000) == huge


async def test_every_byte_of_a_mail_comes_through(server: Dovecot, mailbox: str) -> None:
    raw = mail(1) + bytes(range(1, 256)) * 100 + b"\r\n)\r\n* 1 EXISTS\r\n+ \r\n* BYE\r\n{3}\r\n"
    server.deliver(mailbox, raw.replace(b"\r", b"").replace(b"\n", b"\r\n"))
    async with opened(server, mailbox) as connection:
        assert await connection.fetch(1, MOST) == raw.replace(b"\r", b"").replace(b"\n", b"\r\n")


async def test_a_mail_that_is_deleted_meanwhile_is_gone(server: Dovecot, mailbox: str) -> None:
    for number in range(3):
        server.deliver(mailbox, mail(number))
    async with opened(server, mailbox) as connection:
        assert await connection.new_uids(0) == [1, 2, 3]
        server.files(mailbox)[1].unlink()
        assert await connection.fetch(2, MOST) is None
        assert await connection.fetch(3, MOST) == mail(2)
        assert [header.uid for header in await connection.headers([1, 2, 3])] == [1, 3]


async def test_idle_tells_of_new_mail_at_once(server: Dovecot, mailbox: str) -> None:
    async with opened(server, mailbox) as connection:
        assert not await connection.idle(0.05)
        waiting = asyncio.create_task(connection.idle(30.0))
        await asyncio.sleep(0)
        server.deliver(mailbox, mail(1))
        assert await asyncio.wait_for(waiting, 30.0)
        assert await connection.new_uids(0) == [1]
        assert not await connection.idle(0.05)


async def test_idle_on_a_server_that_dies_ends_at_once(mailbox: str, server: Dovecot) -> None:
    async with dovecot_server(PASSWORDS) as mortal:
        async with opened(mortal, ANNA) as connection:
            waiting = asyncio.create_task(connection.idle(500.0))
            await until(lambda: bool(connection._protocol.is_idling))
            await mortal.kill()
            with pytest.raises(MailServerFailed) as failed:
                await asyncio.wait_for(waiting, 30.0)
        assert failed.value.failure is Failure.LOST
        assert await failure_of(account_of(mortal, ANNA)) is Failure.HOST
        await mortal.start()
        async with opened(mortal, ANNA):
            pass


async def test_a_folder_that_was_reset_has_another_validity(server: Dovecot, mailbox: str) -> None:
    server.deliver(mailbox, mail(1))
    async with imap_connection(account_of(server, mailbox)) as connection:
        before = await connection.select("INBOX")
    server.reset_folder(mailbox)
    async with imap_connection(account_of(server, mailbox)) as connection:
        after = await connection.select("INBOX")
    assert after.uid_validity > before.uid_validity and after.uid_next == before.uid_next == 2


async def test_a_sent_mail_is_appended_and_found(server: Dovecot, mailbox: str) -> None:
    sent = "Gesendete Objekte & mehr ✉"
    raw = mail(7, 300_000)
    async with imap_connection(account_of(server, mailbox)) as connection:
        await connection.append(sent, raw)
        await connection.select(sent)
        assert await connection.find_message_id("<7@example.org>") == [1]
        assert await connection.find_message_id("<8@example.org>") == []
        assert await connection.find_message_id('"\r\n') == await connection.find_message_id("<ä@example.org>") == []
    assert server.mails(mailbox, sent) == [raw]
    assert server.files(mailbox, sent)[0].name.endswith(":2,S")


async def test_a_folder_that_is_not_there_cannot_be_used(server: Dovecot) -> None:
    async with imap_connection(account_of(server, ANNA)) as connection:
        with pytest.raises(MailServerFailed, match="nowhere") as failed:
            await connection.select('no"where (nowhere')
        assert failed.value.failure is Failure.PERMISSION
    async with imap_connection(account_of(server, ANNA)) as connection:
        with pytest.raises(MailServerFailed) as failed:
            await connection.append("nowhere", mail(1))
        assert failed.value.failure is Failure.PERMISSION


@pytest.mark.parametrize("sent", ["Sent Items", "Gesendet"])
async def test_the_sent_folder_is_found_by_name_where_the_server_does_not_say(sent: str) -> None:
    async with dovecot_server(PASSWORDS, sent, is_special_use=False) as server:
        async with imap_connection(account_of(server, ANNA)) as connection:
            assert (await connection.folders()).sent == sent


async def test_each_way_to_fail_is_told_apart(server: Dovecot, tmp_path: Path) -> None:
    account = account_of(server, ANNA)
    wrong_ca = str(make_certificate(tmp_path).ca_file)
    assert await failure_of(replace(account, secret="wrong")) is Failure.LOGIN
    assert await failure_of(replace(account, user="nobody@example.org")) is Failure.LOGIN
    assert await failure_of(replace(account, is_oauth=True)) is Failure.LOGIN
    assert await failure_of(replace(account, allowed_hosts=frozenset())) is Failure.HOST
    assert await failure_of(replace(account, host="nowhere.invalid")) is Failure.HOST
    assert await failure_of(replace(account, ca_file=None)) is Failure.TLS
    assert await failure_of(replace(account, ca_file=wrong_ca)) is Failure.TLS
    assert await failure_of(replace(account, ca_file=str(tmp_path / "missing"))) is Failure.TLS
    assert await failure_of(replace(account, port=server.ports.plain)) is Failure.TLS
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert await failure_of(replace(account, port=unused.getsockname()[1])) is Failure.HOST


@pytest.mark.parametrize(("names", "days"), [(("other.example",), 30), (("localhost",), -1)])
async def test_a_certificate_for_another_name_or_time_is_refused(
    names: tuple[str, ...], days: int, tmp_path: Path
) -> None:
    certificate = make_certificate(tmp_path, names, days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate_file, certificate.key_file)
    async with hostile_imap({}, context) as server:
        assert await failure_of(server.account(ca_file=str(certificate.ca_file))) is Failure.TLS


async def test_encryption_begins_where_it_is_asked_for(server: Dovecot) -> None:
    account = replace(account_of(server, ANNA), port=server.ports.plain)
    for encryption in ("starttls", "none"):
        async with imap_connection(replace(account, encryption=encryption)) as connection:
            assert (await connection.select("INBOX")).exists == 0
    with pytest.raises(MailServerFailed) as failed:
        async with imap_connection(replace(account, encryption="starttls", ca_file=None)):
            pass
    assert failed.value.failure is Failure.TLS
    assert await failure_of(replace(account, encryption="none", allowed_hosts=frozenset())) is Failure.TLS


async def test_access_tokens_are_taken_and_refused() -> None:
    users = {"good": ANNA}
    async with token_introspection(users) as check, dovecot_server(PASSWORDS, token_check=check) as server:
        account = account_of(server, ANNA, is_oauth=True, secret="good")
        async with imap_connection(account) as connection:
            await connection.select("INBOX")
        started = time.monotonic()
        assert await failure_of(replace(account, secret="x" * 2000)) is Failure.LOGIN
        assert await failure_of(replace(account, user=BORIS)) is Failure.LOGIN
        assert time.monotonic() - started < 20.0  # and not when the time for an answer is over
        users.clear()
        assert await failure_of(account) is Failure.LOGIN
        async with imap_connection(account_of(server, ANNA)):
            pass


async def test_too_many_connections_are_told_as_busy() -> None:
    async with dovecot_server(PASSWORDS) as server:
        configuration = server.folder / "dovecot.conf"
        configuration.write_text(configuration.read_text().replace("connections = 100", "connections = 1"))
        await server.kill()
        await server.start()
        async with opened(server, ANNA), opened(server, BORIS):
            assert await failure_of(account_of(server, ANNA)) is Failure.BUSY


async def test_a_password_that_changes_counts_soon() -> None:
    async with dovecot_server(PASSWORDS) as server:
        before = account_of(server, BORIS)
        async with imap_connection(before):
            server.set_password(BORIS, "change")  # of the same length, within the same second
        deadline = time.monotonic() + 5.0
        while time.monotonic() < deadline:
            try:
                async with imap_connection(account_of(server, BORIS)):
                    break
            except MailServerFailed as failed:
                assert failed.failure is Failure.LOGIN
        assert await failure_of(before) is Failure.LOGIN
