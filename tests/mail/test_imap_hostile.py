"""Reading a mailbox from a server that does whatever comes to its mind."""

from __future__ import annotations

import asyncio
import logging
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from sync.imap import FetchedHeader, Folders, ImapConnection, ImapLimits, MailTooLarge, Selected, imap_connection
from sync.mail_server import Failure, MailServerFailed
from tests.mail.hostile_imap import (
    DATE,
    DONE,
    FETCHED,
    GMAIL_CHALLENGE,
    GREETING,
    HEADER,
    MAIL,
    WELL_BEHAVED,
    Answer,
    HostileImap,
    Peer,
    byte_by_byte,
    cut,
    endless_line,
    flood,
    hostile_imap,
    silence,
)
from tests.mail.ticking import MOST_BLOCKED, ticking

QUICK = ImapLimits(idle=0.3, poll=0.1)
IMPATIENT = replace(QUICK, connect=2.0, answer=0.1)
PROMPT = 20.0  # seconds, on a machine that is busy with others
MOST = 100_000
MEGABYTE = 1024 * 1024
STEPS = [
    GREETING,
    "CAPABILITY",
    "LOGIN",
    "LIST",
    "EXAMINE",
    "SEARCH",
    "HEADER",
    "BODY",
    "IDLE",
    DONE,
    "APPEND",
    "APPENDED",
]


async def use(server: HostileImap, limits: ImapLimits = QUICK, is_oauth: bool = False) -> None:
    """All that a connection is good for."""
    async with imap_connection(server.account(is_oauth), limits) as connection:
        assert await connection.folders() == Folders("INBOX", "Gone")
        assert await connection.select("INBOX") == Selected(5, 8, 1)
        assert await connection.new_uids(6) == [7]
        assert await connection.headers([7]) == [FetchedHeader(7, len(MAIL), HEADER, DATE)]
        assert await connection.fetch(7, MOST) == MAIL
        assert await connection.idle(0.2)
        await connection.append("Gone", MAIL)


@contextmanager
def failing(failure: Failure) -> Iterator[None]:
    """What is done fails so, and soon."""
    started = time.monotonic()
    with pytest.raises(MailServerFailed) as failed:
        yield
    assert failed.value.failure is failure, failed.value
    assert time.monotonic() - started < PROMPT
    assert "correct horse" not in str(failed.value) and "\n" not in str(failed.value)


async def selected(connection: ImapConnection) -> ImapConnection:
    await connection.select("INBOX")
    return connection


async def test_a_well_behaved_server_is_used_and_left() -> None:
    async with hostile_imap() as server:
        await use(server)
        await use(server, is_oauth=True)
        assert server.lines[-1].endswith(b" LOGOUT")
        commands = b"\n".join(server.lines)
        assert b"SELECT" not in commands and b"STORE" not in commands and b"BODY[" not in commands


@pytest.mark.parametrize("step", STEPS)
async def test_a_connection_that_breaks_is_noticed_at_once_at_every_step(step: str) -> None:
    """Not when the time for an answer is over, which is a minute here."""
    async with hostile_imap({step: cut}) as server:
        with failing(Failure.LOST):
            await use(server, ImapLimits(answer=60.0))


@pytest.mark.parametrize("step", [step for step in STEPS if step != "IDLE"])
async def test_silence_has_a_limit_at_every_step(step: str) -> None:
    async with hostile_imap({step: silence}) as server:
        with failing(Failure.LOST):
            await use(server, IMPATIENT)


async def test_silence_instead_of_the_continuation_of_idle_has_a_limit() -> None:
    async with hostile_imap({"IDLE": silence}) as server:
        with failing(Failure.LOST):
            await use(server, IMPATIENT)


@pytest.mark.parametrize("step", STEPS)
async def test_an_endless_line_is_cut_off_at_every_step(step: str) -> None:
    async with hostile_imap({step: endless_line}) as server:
        with failing(Failure.PROTOCOL):
            await use(server, ImapLimits(answer=60.0))


@pytest.mark.parametrize("step", STEPS)
async def test_bye_ends_a_connection_at_every_step(step: str) -> None:
    failure = Failure.BUSY if step in {GREETING, "CAPABILITY", "LOGIN"} else Failure.LOST
    async with hostile_imap({step: b"* BYE see you\r\n"}) as server:
        with failing(failure):
            await use(server, ImapLimits(answer=60.0))


async def test_bye_that_says_too_many_connections_means_busy() -> None:
    async with hostile_imap({GREETING: b"* BYE Too many connections\r\n"}) as server:
        with pytest.raises(MailServerFailed, match="Too many connections") as failed:
            await use(server)
        assert failed.value.failure is Failure.BUSY
    async with hostile_imap({"EXAMINE": b"* BYE [UNAVAILABLE] come back later\r\n"}) as server:
        with failing(Failure.BUSY):
            await use(server)


@pytest.mark.parametrize(
    ("step", "answer", "failure"),
    [
        (GREETING, b"220 smtp.example ESMTP\r\n", Failure.PROTOCOL),
        (GREETING, b"* PREAUTH welcome\r\n", Failure.PROTOCOL),
        (GREETING, b"\xff\xfe\r\n", Failure.PROTOCOL),
        ("LOGIN", b"TAG NO wrong password\r\n", Failure.LOGIN),
        ("LOGIN", b"TAG NO [AUTHENTICATIONFAILED] wrong\r\n", Failure.LOGIN),
        ("LOGIN", b"TAG NO [UNAVAILABLE] come back later\r\n", Failure.BUSY),
        ("LOGIN", b"TAG NO [ALERT] Too many simultaneous connections. (Failure)\r\n", Failure.BUSY),
        ("LOGIN", b"TAG NO [PRIVACYREQUIRED] encrypt\r\n", Failure.TLS),
        ("LOGIN", b"TAG BAD what?\r\n", Failure.PROTOCOL),
        ("LOGIN", b"TAG2 OK welcome\r\n", Failure.PROTOCOL),
        ("LOGIN", b"+ more?\r\n", Failure.PROTOCOL),
        ("LOGIN", b"TAG NO the password is correct horse!\r\n", Failure.LOGIN),
        ("CAPABILITY", b"* CAPABILITY IMAP4rev1 LOGINDISABLED\r\nTAG OK done\r\n", Failure.LOGIN),
        ("EXAMINE", b"TAG NO not yours\r\n", Failure.PERMISSION),
        ("EXAMINE", b"* 1 EXISTS\r\nTAG OK done\r\n", Failure.PROTOCOL),  # no UIDVALIDITY
        ("EXAMINE", b"* OK [UIDVALIDITY 5] a\r\n* OK [UIDVALIDITY 6] b\r\nTAG OK done\r\n", Failure.PROTOCOL),
        ("EXAMINE", b"* OK [UIDVALIDITY 99999999999] a\r\nTAG OK done\r\n", Failure.PROTOCOL),
        ("EXAMINE", b"TAG NO [SERVERBUG] Internal error occurred\r\n", Failure.PROTOCOL),
        ("SEARCH", b"TAG NO Internal error occurred\r\n", Failure.PROTOCOL),
        ("LIST", b"TAG NO try later\r\n", Failure.PROTOCOL),
        ("LIST", b'* LIST (\\Sent "/" Gone\r\nTAG OK done\r\n', Failure.PROTOCOL),
        ("SEARCH", b"* SEARCH 7 x\r\nTAG OK done\r\n", Failure.PROTOCOL),
        ("SEARCH", b"* SEARCH 99999999999999999999\r\nTAG OK done\r\n", Failure.PROTOCOL),
        ("SEARCH", b"* OK [UIDVALIDITY 6] renumbered\r\nTAG OK done\r\n", Failure.PROTOCOL),
        ("HEADER", b"* 1 FETCH (UID 7 BODY[]\r\nTAG OK done\r\n", Failure.PROTOCOL),
        ("HEADER", b"* 1 FETCH BODY[] " + b"(" * 100 + b")" * 100 + b"\r\nTAG OK done\r\n", Failure.PROTOCOL),
        ("HEADER", b'* 1 FETCH (UID 7 BODY[HEADER] "never ends)\r\nTAG OK done\r\n', Failure.PROTOCOL),
        ("HEADER", b"TAG NO not yours\r\n", Failure.PROTOCOL),
        ("BODY", b"TAG NO [SERVERBUG] not that one\r\n", Failure.PROTOCOL),
        ("IDLE", b"TAG NO not now\r\n", Failure.PROTOCOL),
        ("APPEND", b"TAG NO [OVERQUOTA] full\r\n", Failure.PERMISSION),
        ("APPENDED", b"+ more?\r\n", Failure.PROTOCOL),
    ],
)
async def test_failures_are_told_apart(step: str, answer: bytes, failure: Failure) -> None:
    async with hostile_imap({step: answer}) as server:
        with failing(failure):
            await use(server, ImapLimits(answer=60.0))


@pytest.mark.parametrize("sasl_ir", [b" SASL-IR", b""])
async def test_a_refused_token_is_a_refused_login_and_no_timeout(sasl_ir: bytes) -> None:
    """The server says why, and only goes on once that is answered."""

    async def refuse(peer: Peer) -> None:
        if not sasl_ir:
            await peer.say(b"+ \r\n")
            assert await peer.line()
        await peer.say(GMAIL_CHALLENGE)
        assert await peer.line() == b""
        await peer.say(b"TAG NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)\r\n")

    capabilities = b"* CAPABILITY IMAP4rev1 AUTH=XOAUTH2%s\r\nTAG OK done\r\n" % sasl_ir
    async with hostile_imap({"CAPABILITY": capabilities, "AUTHENTICATE": refuse}) as server:
        with failing(Failure.LOGIN):
            await use(server, ImapLimits(answer=60.0), is_oauth=True)


@pytest.mark.parametrize(
    ("first", "chunk"),
    [
        (b"* 1 FETCH (UID 7 BODY[]<0> {31457280}\r\n", b"x" * 65536),
        (
            FETCHED.partition(b"TAG")[0] % (1000, b"BODY[]<0>", 1000, b"x" * 1000),
            b"* 1 FETCH (FLAGS (\\Seen))\r\n" * 999,
        ),
        (b"", b"* 1 FETCH (UID 7 BODY[]<0> {1000}\r\n" + b"x" * 1000 + b")\r\n"),
        (b'* 1 FETCH (UID 7 BODY[]<0> "', b"x" * 65536),
        (b"", b"\r\n" * 32768),
        (b"* 1 FETCH (UID 7 BODY[]<0> ", b"{0}\r\n" * 10000),
    ],
)
async def test_thirty_megabytes_for_one_kilobyte_are_cut_off(first: bytes, chunk: bytes) -> None:
    answers: dict[str, Answer] = {
        "SIZE": b"* 1 FETCH (UID 7 RFC822.SIZE 1000)\r\nTAG OK done\r\n",
        "BODY": flood(first, chunk, 30 * MEGABYTE),
    }
    async with hostile_imap(answers) as server:
        async with imap_connection(server.account(), ImapLimits()) as connection:
            await connection.select("INBOX")
            tracemalloc.start()
            try:
                with failing(Failure.PROTOCOL):
                    await connection.fetch(7, 1000)
                assert tracemalloc.get_traced_memory()[1] < 4 * MEGABYTE
            finally:
                tracemalloc.stop()
        assert server.peers[0].said < 16 * MEGABYTE  # what the kernel holds on loopback is in it


async def test_a_mail_that_is_larger_than_wanted_is_not_taken_and_the_connection_goes_on() -> None:
    answers: dict[str, Answer] = {
        "SIZE": b"* 1 FETCH (UID 7 RFC822.SIZE 1)\r\nTAG OK done\r\n",  # it is wrong, as with some servers
        "BODY": b"* 1 FETCH (UID 7 BODY[]<0> {11}\r\nhello world)\r\nTAG OK done\r\n",
    }
    async with hostile_imap(answers) as server:
        async with imap_connection(server.account(), QUICK) as connection:
            await connection.select("INBOX")
            assert await connection.fetch(7, 11) == b"hello world"
            with pytest.raises(MailTooLarge):
                await connection.fetch(7, 10)
            server.answers["SIZE"] = b"* 1 FETCH (UID 7 RFC822.SIZE 11)\r\nTAG OK done\r\n"
            server.answers["BODY"] = silence
            with pytest.raises(MailTooLarge):
                await connection.fetch(7, 10)
            assert await connection.new_uids(6) == [7]


async def test_mails_that_are_fetched_together_have_limits_of_their_own() -> None:
    """One that is larger than its server said is left for later, as one that is gone is."""
    mails = b"".join(
        b"* %d FETCH (UID %d BODY[]<0> {%d}\r\n%s)\r\n" % (uid, uid, len(raw), raw)
        for uid, raw in {1: b"x" * 1000, 2: b"x" * 1001, 4: b"", 99: b"nobody asked"}.items()
    )
    async with hostile_imap({"BODY": mails + b"TAG OK done\r\n"}) as server:
        async with imap_connection(server.account(), QUICK) as connection:
            await connection.select("INBOX")
            assert await connection.fetch_small([1, 2, 3, 4], 1000) == {1: b"x" * 1000, 4: b""}
            assert [line for line in server.lines if b"BODY" in line] == [server.lines[-1]]
            assert await connection.fetch_small([], 1000) == {}
            server.answers["BODY"] = flood(
                b"", b"* 1 FETCH (UID 1 BODY[]<0> {1000}\r\n" + b"x" * 1000 + b")\r\n", MEGABYTE
            )
            with failing(Failure.PROTOCOL):
                await connection.fetch_small([1, 2], 1000)


async def test_thousands_of_lines_in_a_packet() -> None:
    lines = b"".join(b'* LIST () "/" "folder %d"\r\n' % number for number in range(4000))
    async with hostile_imap({"LIST": lines + b'* LIST (\\Sent) "/" Gone\r\nTAG OK done\r\n'}) as server:
        await use(server)
    mail = b"* %d FETCH (UID %d RFC822.SIZE 9 BODY[HEADER]<0> {1}\r\nx)\r\n"
    mails = b"".join(mail % (number, number) for number in range(1, 2001))
    async with hostile_imap({"HEADER": mails + b"TAG OK done\r\n"}) as server:
        async with imap_connection(server.account(), QUICK) as connection:
            await connection.select("INBOX")
            assert len(await connection.headers(list(range(1, 201)))) == 200
            assert len(await connection.headers(list(range(1, 1001)))) == 1000


async def test_what_others_do_meanwhile_is_told_in_between() -> None:
    between = (
        b"* 9 EXISTS\r\n* 2 EXPUNGE\r\n* 3 FETCH (FLAGS (\\Seen))\r\n* 4 FETCH (UID 9 FLAGS (\\Seen))\r\n"
        b"* OK still here\r\n* 3 RECENT\r\n"
    )
    answers = {
        name: between + answer.replace(b"TAG", between + b"TAG") + b"* 1 FETCH (FLAGS (\\Seen) UID 7)\r\n"
        for name, answer in WELL_BEHAVED.items()
        if isinstance(answer, bytes) and name not in {GREETING, "EXAMINE", "LOGOUT"}
    }
    async with hostile_imap({name: answer for name, answer in answers.items()}) as server:
        await use(server)


async def test_the_text_of_a_line_does_not_change_what_comes_after_it() -> None:
    odd = (
        b'* 1 FETCH (UID 7 ENVELOPE (NIL "sad :( * 1 EXISTS" NIL NIL NIL NIL NIL NIL NIL "<a@b> {3}"))\r\n'
        b'* 2 FETCH (UID 8 ENVELOPE (NIL "Sale * now * 50% \\" ) )" {5}\r\n((((( NIL NIL NIL NIL NIL NIL NIL))\r\n'
        b"* OK a human reads this {99}\r\n* NO and this ( {99}\r\n"
    )
    folders = (
        b'* LIST () "/" "Clients * VIP :("\r\n* LIST () "/" "a \\"quoted\\" \\\\ one"\r\n'
        b'* LIST (\\Sent) "/" {4}\r\nGone\r\n'
    )
    header = WELL_BEHAVED["HEADER"]
    assert isinstance(header, bytes)
    async with hostile_imap({"HEADER": odd + header, "LIST": folders + b"TAG OK done ( {7}\r\n"}) as server:
        await use(server)


@pytest.mark.parametrize("body", [b"BODY[]<0> NIL", b"BODY[] NIL", b"FLAGS ()", b"FLAGS (\\Seen) BODY[]<0> NIL"])
async def test_a_mail_without_a_body_is_gone(body: bytes) -> None:
    async with hostile_imap({"BODY": b"* 1 FETCH (UID 7 %s)\r\nTAG OK done\r\n" % body}) as server:
        async with imap_connection(server.account(), QUICK) as connection:
            await connection.select("INBOX")
            assert await connection.fetch(7, MOST) is None
            server.answers["BODY"] = b"TAG NO [EXPUNGEISSUED] some are gone\r\n"
            assert await connection.fetch(7, MOST) is None
            server.answers |= {"SIZE": b"TAG OK done\r\n", "BODY": silence}
            assert await connection.fetch(7, MOST) is None
            server.answers["HEADER"] = b"* 1 FETCH (UID 7 RFC822.SIZE 9 BODY[HEADER]<0> NIL)\r\nTAG OK done\r\n"
            assert await connection.headers([7]) == []


@pytest.mark.parametrize(
    "date", [b'"99-Jul-2026 02:44:25 +0000"', b'"x"', b"NIL", b"()", b'"1-Jul-0000 00:00:00 +9999"']
)
async def test_a_date_that_is_none_is_not_known(date: bytes) -> None:
    header = b"* 1 FETCH (UID 7 RFC822.SIZE 9 INTERNALDATE %s BODY[HEADER]<0> {1}\r\nx)\r\nTAG OK done\r\n" % date
    async with hostile_imap({"HEADER": header}) as server:
        async with imap_connection(server.account(), QUICK) as connection:
            await connection.select("INBOX")
            assert await connection.headers([7]) == [FetchedHeader(7, 9, b"x", 0)]


async def test_a_folder_whose_uids_begin_anew_each_time_shows_it() -> None:
    async with hostile_imap() as server:
        for validity in (5, 0, 4294967295):
            server.answers["EXAMINE"] = b"* 0 EXISTS\r\n* OK [UIDVALIDITY %d] a\r\nTAG OK done\r\n" % validity
            async with imap_connection(server.account(), QUICK) as connection:
                assert await connection.select("INBOX") == Selected(validity, 1, 0)


async def test_literals_are_the_same_however_they_are_split() -> None:
    answers = {name: byte_by_byte(answer) for name, answer in WELL_BEHAVED.items() if isinstance(answer, bytes)}
    async with hostile_imap(dict(answers)) as server:
        await use(server, ImapLimits(answer=20.0))


async def test_news_that_came_before_are_not_waited_for() -> None:
    search = b"* SEARCH 7\r\n* 2 EXISTS\r\nTAG OK done\r\n"
    async with hostile_imap({"SEARCH": search, "IDLE": silence}) as server:
        async with imap_connection(server.account(), QUICK) as connection:
            await connection.select("INBOX")
            await connection.new_uids(6)
            assert await connection.idle(5.0)


async def test_idle_ends_when_its_time_is_over_and_other_news_are_none() -> None:
    async with hostile_imap({"IDLE": b"+ \r\n* OK still here\r\n* 3 FETCH (FLAGS (\\Seen))\r\n"}) as server:
        async with imap_connection(server.account(), QUICK) as connection:
            await connection.select("INBOX")
            started = time.monotonic()
            assert not await connection.idle(1000.0)  # the limit is lower
            assert not await connection.idle(0.05)
            assert time.monotonic() - started < PROMPT
            assert await connection.new_uids(6) == [7]


async def test_a_server_without_idle_is_asked_now_and_then() -> None:
    capabilities = b"* CAPABILITY IMAP4rev1\r\nTAG OK done\r\n"
    async with hostile_imap({"CAPABILITY": capabilities, "IDLE": cut}) as server:
        async with imap_connection(server.account(), QUICK) as connection:
            await connection.select("INBOX")
            assert not await connection.idle(1000.0)
            server.answers["NOOP"] = b"* 2 EXISTS\r\nTAG OK done\r\n"
            assert await connection.idle(1000.0)
            server.answers["NOOP"] = cut
            await connection.new_uids(6)
            with failing(Failure.LOST):
                await connection.idle(1000.0)


async def test_after_a_failure_a_connection_is_done_for() -> None:
    async with hostile_imap({"SEARCH": silence}) as server:
        async with imap_connection(server.account(), replace(QUICK, answer=1.0)) as connection:
            await connection.select("INBOX")
            with failing(Failure.LOST):
                await connection.new_uids(0)
            asked = len(server.lines)
            for again in (connection.folders, lambda: connection.select("INBOX"), lambda: connection.idle(9.0)):
                with failing(Failure.LOST):
                    await again()
            assert len(server.lines) == asked


async def test_a_command_that_is_cancelled_ends_the_connection() -> None:
    """Its answer would be taken for that of the next one."""
    async with hostile_imap({"SEARCH": silence}) as server:
        async with imap_connection(server.account(), ImapLimits(answer=60.0)) as connection:
            await connection.select("INBOX")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await connection.new_uids(0)
            with failing(Failure.LOST):
                await connection.select("INBOX")


async def test_what_a_server_can_do_is_asked_again_once_we_are_logged_in() -> None:
    async def capabilities(peer: Peer) -> None:
        is_in = any(b" LOGIN " in line for line in server.lines)
        await peer.say(b"* CAPABILITY IMAP4rev1%s\r\nTAG OK done\r\n" % (b" IDLE" if is_in else b""))

    async with hostile_imap({"CAPABILITY": capabilities}) as server:
        await use(server)
        assert any(line.endswith(b" IDLE") for line in server.lines)


@pytest.mark.parametrize("answer", [b"TAG BAD what?\r\n", b"TAG NO\r\n", b"TAG OK go on\r\n* OK", b"TAG OK go on\r\n"])
async def test_nothing_is_said_where_encryption_does_not_begin(answer: bytes) -> None:
    """Nor is anything that came with the answer taken for what follows it."""
    async with hostile_imap({"STARTTLS": answer}) as server:
        with failing(Failure.TLS):
            account = replace(server.account(), encryption="starttls")
            async with imap_connection(account, ImapLimits(connect=0.5)):
                pass
        assert not any(b"LOGIN" in line for line in server.lines)


FLOODS = [
    (b"", b"* 1 FETCH (FLAGS (\\Seen))\r\n" * 1000),
    (b"", b"\r\n" * 32768),
    (b"* X ", b"{0}\r\n" * 10000),
    (b"", b"x" * 65536),
    (b"", b"* 1 FETCH (UID 7 BODY[] {1000}\r\n" + b"x" * 1000 + b")\r\n"),
]


@pytest.mark.parametrize(("first", "chunk"), FLOODS)
async def test_others_are_not_harmed_by_a_flood(first: bytes, chunk: bytes) -> None:
    """They have their turn all the time: what takes longest is what the loop does for the flood between two of them."""
    async with hostile_imap({"SEARCH": flood(first, chunk, 1000 * MEGABYTE)}) as hostile:
        async with hostile_imap() as other, imap_connection(hostile.account(), ImapLimits()) as connection:
            await connection.select("INBOX")
            async with ticking() as turns:
                using = asyncio.create_task(use(other))
                with failing(Failure.PROTOCOL):
                    await connection.new_uids(6)
                await using
            assert max(turns) < MOST_BLOCKED


async def test_no_log_is_told_of_mails_and_secrets(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with hostile_imap() as server:
        await use(server)
        await use(server, is_oauth=True)
        server.answers["LOGIN"] = b"TAG NO correct horse\r\n"
        with failing(Failure.LOGIN):
            await use(server)
    assert "correct horse" not in caplog.text and "hello" not in caplog.text and "aioimaplib" not in caplog.text


@pytest.mark.parametrize("secret", ["pässword", "", "two\r\nlines", "nul\0"])
async def test_a_password_that_cannot_be_sent_is_refused_at_once(secret: str) -> None:
    async with hostile_imap() as server:
        with failing(Failure.LOGIN):
            async with imap_connection(replace(server.account(), secret=secret), QUICK):
                pass
        assert not server.peers
