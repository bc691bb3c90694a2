"""The demo with e-mail, as a process of its own: what is sent comes back as an answer, and everything ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, redirect_stdout
from dataclasses import replace
from email.headerregistry import Address
from io import StringIO
from pathlib import Path
from typing import Any

import httpx2
import pytest

from connect_inbox.demo import dovecot, letters, mail
from connect_inbox.demo.run import Options, run_demo
from connect_inbox.demo.smtp import smtp_server
from connect_inbox.demo.story import MAILBOX
from connect_inbox.settings import Settings
from sync.mail import ReportKind
from sync.mail_parsing import parse
from sync.mail_server import Failure, MailServer, MailServerFailed
from sync.smtp import smtp_connection
from tests.client import Api, Json, Server
from tests.commands import DEADLINE, call, environment, result_of, started, wait_until
from tests.dovecot import need_dovecot
from tests.smtp_scripted import nothing

DEMO = ["demo", "--mail", "--port", 0, "--influencers", 8]
QUIET = [*DEMO, "--json", "--no-traffic"]
MESSAGES = """query($id: ID!) { thread(id: $id) { messages(last: 3) { nodes {
    id direction channel automatic subject text quotedText senderAddress delivery { state detail }
    recipients { address } } } } }"""


@asynccontextmanager
async def demo(folder: Path) -> AsyncIterator[Json]:
    """What a demo of this process printed when it was ready. Its influencers answer at once."""
    options = Options(port=0, data=folder, influencers=8, traffic=False, mail=True, json=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mail, "PAUSE", (0.0, 0.1))
        with redirect_stdout(StringIO()) as printed:
            running = asyncio.create_task(run_demo(Settings.from_env(environment()), options))
            await wait_until(lambda: running.done() or printed.getvalue().endswith("\n"))
        try:
            yield json.loads(printed.getvalue())
        finally:
            running.cancel()
            [error] = await asyncio.gather(running, return_exceptions=True)
            assert isinstance(error, asyncio.CancelledError), error


@pytest.fixture(scope="module")
async def ready(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Json]:
    need_dovecot()
    async with demo(tmp_path_factory.mktemp("demo")) as ready:
        yield ready


@asynccontextmanager
async def api(ready: Json, token: str = "memberToken") -> AsyncIterator[Api]:
    async with httpx2.AsyncClient(timeout=DEADLINE) as http:
        yield Api(Server(ready["url"], http), ready[token])


async def sent(api: Api, thread: str, text: str = "How was the hike?") -> str:
    """The id of an e-mail that a member has sent."""
    message = {"threadId": thread, "channel": "EMAIL", "subject": "Größe", "text": text}
    payload = await api.mutate("sendMessage", "message { id } userErrors { message }", **message)
    assert payload["userErrors"] == []
    id: str = payload["message"]["id"]
    return id


async def until_state(api: Api, thread: str, id: str, *states: str) -> list[Json]:
    """The thread's last messages, once one of them has come so far."""
    async with asyncio.timeout(DEADLINE):
        while True:
            nodes: list[Json] = (await api.run(MESSAGES, id=thread))["thread"]["messages"]["nodes"]
            if [each for each in nodes if each["id"] == id and each["delivery"]["state"] in states]:
                return nodes
            await asyncio.sleep(0.1)


async def test_its_mailbox_is_connected_and_everyone_may_send_from_it(ready: Json) -> None:
    async with api(ready, "secondMemberToken") as member:
        [mailbox] = (await member.run("{ mailboxes { id address state access maySend } }"))["mailboxes"]
    assert mailbox == {
        "id": ready["mailboxId"], "address": ready["mailboxAddress"], "state": "CONNECTED", "access": "FULL",
        "maySend": True,
    }  # fmt: skip


async def test_what_is_sent_is_answered(ready: Json) -> None:
    thread = ready["answeringThreadId"]
    async with api(ready) as member:
        id = await sent(member, thread)
        before, answer = (await until_state(member, thread, id, "DELIVERED"))[-2:]
    assert (before["id"], before["delivery"]["detail"]) == (id, "answered")
    assert (answer["direction"], answer["automatic"], answer["subject"]) == ("INBOUND", False, "Re: Größe")
    assert answer["text"] and "> How was the hike?" in answer["quotedText"]
    assert [answer["senderAddress"]] == [each["address"] for each in before["recipients"]]


async def test_who_is_away_has_an_automatic_reply(ready: Json) -> None:
    thread = ready["awayThreadId"]
    async with api(ready) as member:
        id = await sent(member, thread)
        [*_, reply] = await until_state(member, thread, id, "DELIVERED")
    assert (reply["direction"], reply["automatic"]) == ("INBOUND", True)


async def test_what_cannot_be_delivered_comes_back(ready: Json) -> None:
    thread = ready["bouncingThreadId"]
    async with api(ready) as member:
        id = await sent(member, thread)
        [*_, last] = await until_state(member, thread, id, "BOUNCED")
    assert last["id"] == id and "5.1.1" in last["delivery"]["detail"]


async def test_the_year_of_mail_looks_as_mail_does(ready: Json) -> None:
    async with api(ready) as member:
        query = "{ inbox(first: 8) { nodes { influencer { emails } messages(first: 100) { nodes { channel direction "
        query += "senderAddress recipients { address kind delivery { state } } delivery { state } } } } } }"
        threads = (await member.run(query))["inbox"]["nodes"]
    mails = [
        (thread["influencer"]["emails"][0], message)
        for thread in threads
        for message in thread["messages"]["nodes"]
        if message["channel"] == "EMAIL" and message["senderAddress"] in (MAILBOX, thread["influencer"]["emails"][0])
    ]
    assert {message["direction"] for _, message in mails} == {"INBOUND", "OUTBOUND"}
    for email, message in mails:
        pair = (email, MAILBOX) if message["direction"] == "INBOUND" else (MAILBOX, email)
        assert (message["senderAddress"], *(each["address"] for each in message["recipients"])) == pair


async def test_kill_ends_the_mail_servers_too(tmp_path: Path) -> None:
    need_dovecot()
    async with started(*DEMO, env=environment(TMPDIR=tmp_path)) as (process, _):
        assert process.stdout is not None
        lines: list[str] = []
        async with asyncio.timeout(DEADLINE):
            while not lines or "sendMessage" not in lines[-1]:
                lines.append((await process.stdout.readline()).decode())
        [servers] = [line for line in lines if "its servers" in line]
        ports = [int(word.rstrip(",").partition(":")[2]) for word in servers.split() if word.startswith("localhost:")]
        assert len(ports) == 2 and all(is_served(port) for port in ports)
        process.kill()
        await wait_until(lambda: not any(is_served(port) for port in ports))
    for configuration in dovecot.MEMORY.glob("connect-inbox-dovecot-*/dovecot.conf"):  # what a killed one leaves there
        with contextlib.suppress(OSError):  # another test's, which is gone by now
            if f"port = {ports[0]}\n" in configuration.read_text():
                shutil.rmtree(configuration.parent)


def is_served(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


async def test_a_folder_is_gone_on_with_and_the_mailbox_too(tmp_path: Path) -> None:
    need_dovecot()
    folder = tmp_path / "kept"
    async with started(*QUIET, "--data", folder, env=environment(TMPDIR=tmp_path)) as (process, line):
        before = json.loads(line)
        async with api(before) as member:
            id = await sent(member, before["bouncingThreadId"])
            await until_state(member, before["bouncingThreadId"], id, "SENT", "BOUNCED")
        process.send_signal(signal.SIGINT)
        ended = await result_of(process)
        assert (ended.code, ended.out) == (0, "") and "Traceback" not in ended.err, ended
    async with demo(folder) as told:
        assert told["mailboxId"] == before["mailboxId"]
        async with api(told) as member:
            id = await sent(member, told["answeringThreadId"])
            await until_state(member, told["answeringThreadId"], id, "DELIVERED")


async def test_without_dovecot_it_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dovecot, "find_dovecot", lambda: None)
    refused = await call(*QUIET, env=environment(TMPDIR=tmp_path), capsys=capsys)
    refused.refused("dovecot cannot be found", "apt install dovecot-imapd")
    assert not list(tmp_path.iterdir())


async def test_its_smtp_server_lets_one_user_in_and_takes_a_mail_as_it_is() -> None:
    came: list[tuple[list[str], bytes]] = []

    async with smtp_server(MAILBOX, "right", lambda to, raw: came.append((to, raw))) as port:
        server = MailServer(
            "localhost", port, MAILBOX, "right", encryption="none", allowed_hosts=frozenset({"localhost"})
        )
        raw = b"Subject: dots\r\n\r\n.\r\n..two\r\n.end.\r\n"
        async with smtp_connection(server) as connection:
            for _ in range(2):
                await connection.send(MAILBOX, ["a@people.test", "b@people.test"], raw, nothing)
        with pytest.raises(MailServerFailed) as refused:
            async with smtp_connection(replace(server, secret="wrong")):
                pass
    assert refused.value.failure is Failure.LOGIN
    assert came == [(["a@people.test", "b@people.test"], raw)] * 2


def test_a_bounce_and_an_absence_are_understood() -> None:
    """Also where what they answer has a name and a subject of another alphabet, and was folded."""
    to = Address("Zoë", addr_spec="zoe@mail.example.com")
    raw = letters.letter(to, '"Søren" <soren@mail.example.com>', "данные " * 20, "Hi").as_bytes()
    [report] = parse(letters.bounce_of(raw, "soren@mail.example.com")).reports
    assert (report.kind, report.recipient) == (ReportKind.BOUNCE, "soren@mail.example.com")
    assert report.message_ids == [parse(raw).message_id]
    away = parse(letters.absence_reply(raw, to, "Away").as_bytes())
    assert away.is_automatic and away.in_reply_to == report.message_ids
    answer = letters.answer_to(letters.answer_to(raw, to, "One").as_bytes(), to, "Two")
    letters.attach_numbers(answer)
    parsed: Any = parse(answer.as_bytes())
    assert len(parsed.references) == 2 and parsed.text == "Two" and "> > Hi" in parsed.quoted
    assert [file.name for file in parsed.files] == ["numbers.csv"]
