"""Parsing in workers: whatever a mail does to one, the loop turns, and the next mail is parsed."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sync import mail_workers
from sync.mail import Unparsable
from sync.mail_parsing import parse
from sync.mail_workers import MailParsers
from tests.mail.bombs import BOMBS, DEADLY, MIXED, TEXT
from tests.mail.ticking import MOST_BLOCKED, ticking

HELLO = b"From: ann@mail.test\r\nSubject: Hi\r\n\r\nhello"
DEADLINE = 20.0  # seconds, for what takes hardly any

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in /proc")


@pytest.fixture
async def parsers() -> AsyncIterator[MailParsers]:
    async with MailParsers(workers=1) as parsers:
        yield parsers


def workers_of(parent: int) -> list[int]:
    """The workers that a process has started and that have not ended."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            is_worker = b"sync.mail_worker" in (folder / "cmdline").read_bytes()
        except (OSError, ValueError):
            continue
        if is_worker and int(stat[1]) == parent and stat[0] != "Z":
            found.append(int(folder.name))
    return found


def worker() -> int:
    (pid,) = workers_of(os.getpid())
    return pid


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(DEADLINE):
        while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]:
            await asyncio.sleep(0.01)


async def test_a_worker_says_what_the_parser_does(parsers: MailParsers) -> None:
    content = os.urandom(3_000_000)
    raw = MIXED + b"--b\r\n\r\nhi\r\n--b\r\nContent-Type: x/y\r\n\r\n" + content + b"\r\n--b--\r\n"
    mail = await parsers.parse(raw)
    assert mail == parse(raw)
    assert mail.files[0].content == content


async def test_bombs_are_cut_parsed_or_refused_by_the_same_worker(parsers: MailParsers) -> None:
    await parsers.parse(HELLO)
    first = worker()
    refused = set()
    async with ticking() as turns:
        for name, raw in BOMBS.items():
            try:
                await parsers.parse(raw)
            except Unparsable:
                refused.add(name)
    assert max(turns) < MOST_BLOCKED
    assert refused == {"2000 levels", "100,000 parts", "over 25 MB"}
    assert worker() == first


async def test_the_loop_turns_while_a_mail_takes_all_the_time_there_is(
    parsers: MailParsers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_workers, "SECONDS", 0.5)
    await parsers.parse(HELLO)
    async with ticking() as turns:
        for raw in DEADLY.values():
            with pytest.raises(Unparsable, match="computing time"):
                await parsers.parse(raw)
    assert len(turns) > 10  # of some 500: it waits for nothing in between, however busy the machine is
    assert max(turns) < MOST_BLOCKED
    assert (await parsers.parse(HELLO)).text == "hello"


async def test_a_worker_that_needs_too_much_memory_is_replaced(parsers: MailParsers) -> None:
    await parsers.parse(HELLO)
    first = worker()
    most = int(Path(f"/proc/{first}/statm").read_text().split()[0]) * resource.getpagesize() + 40_000_000
    resource.prlimit(first, resource.RLIMIT_AS, (most, most))
    with pytest.raises(Unparsable, match="memory"):
        await parsers.parse(BOMBS["25 MB of text"])
    assert (await parsers.parse(HELLO)).text == "hello"
    assert worker() != first


async def test_a_worker_is_given_so_much_memory(parsers: MailParsers) -> None:
    await parsers.parse(HELLO)
    assert resource.prlimit(worker(), resource.RLIMIT_AS) == (mail_workers.MEMORY, mail_workers.MEMORY)


async def test_a_worker_that_hangs_is_replaced(parsers: MailParsers, monkeypatch: pytest.MonkeyPatch) -> None:
    await parsers.parse(HELLO)
    first = worker()
    os.kill(first, signal.SIGSTOP)
    with monkeypatch.context() as patch:
        patch.setattr(mail_workers, "DEADLINE", 0.2)
        with pytest.raises(Unparsable, match="seconds"):
            async with asyncio.timeout(DEADLINE):
                await parsers.parse(HELLO)
    await until_gone(first)
    assert (await parsers.parse(HELLO)).text == "hello"


async def test_a_worker_that_was_killed_meanwhile_is_replaced(parsers: MailParsers) -> None:
    await parsers.parse(HELLO)
    first = worker()
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(DEADLINE):
        while workers_of(os.getpid()):
            await asyncio.sleep(0.01)
    assert (await parsers.parse(HELLO)).text == "hello"


async def test_who_gives_up_leaves_no_answer_behind(parsers: MailParsers) -> None:
    await parsers.parse(HELLO)
    first = worker()
    asking = asyncio.create_task(parsers.parse(TEXT + b"slow\n" * 200_000))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until_gone(first)
    assert (await parsers.parse(HELLO)).text == "hello"


async def test_many_ask_at_once_and_each_gets_its_own() -> None:
    async with MailParsers(workers=2) as parsers:
        mails = await asyncio.gather(*(parsers.parse(HELLO + b" %d" % one) for one in range(50)))
        assert [mail.text for mail in mails] == [f"hello {one}" for one in range(50)]
        assert len(workers_of(os.getpid())) == 2
    assert workers_of(os.getpid()) == []


async def test_workers_end_when_their_starter_is_killed() -> None:
    code = (
        "import asyncio\nfrom sync.mail_workers import MailParsers\n"
        "async def main():\n  async with MailParsers() as parsers:\n"
        "    await parsers.parse(b'a: b')\n    print('ready', flush=True)\n    await asyncio.sleep(600)\n"
        "asyncio.run(main())"
    )
    starter = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=PIPE)
    assert starter.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE):
            assert await starter.stdout.readline() == b"ready\n"
        (pid,) = workers_of(starter.pid)
    finally:
        starter.kill()
        await starter.wait()
    await until_gone(pid)
