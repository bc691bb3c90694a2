"""Sending by SMTP to a real server, which fails wherever a server can."""

from __future__ import annotations

import base64
import logging
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sync import smtp_data
from sync.composing import compose
from sync.mail import Address
from sync.mail_server import Failure, MailServer, MailServerFailed
from sync.smtp import OutcomeUnknown, RecipientOutcome, smtp_connection
from tests.certificates import Authority
from tests.client import until
from tests.mail.test_composing import MAIL
from tests.smtp_receiver import Act, Script, SmtpReceiver, Step, smtp_receiver
from tests.smtp_scripted import (
    ANNA,
    BOB,
    CAT,
    DAN,
    PASSWORD,
    RAW,
    USERS,
    hurry,
    nothing,
    scripted,
    server_at,
    wire,
)  # fmt: skip

SMUGGLED = [b"\n.\n", b"\r.\r", b"\r\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r\n.\r", b"\r\n.\r\n"]
WORDS = {Act.DROP: "the connection was lost", Act.SILENCE: "the server did not answer in time"}
BEFORE: list[Step] = ["MAIL", "RCPT"]
AFTER: list[Step] = ["CONTENT", "ANSWER"]


async def sent(
    receiver: SmtpReceiver, *recipients: str, raw: bytes = RAW, sender: str = ANNA, **differently: Any
) -> list[RecipientOutcome]:
    """What becomes of one mail, on a connection of its own."""
    async with smtp_connection(server_at(receiver.port, **differently)) as connection:
        return await connection.send(sender, list(recipients) or [BOB], raw, nothing)


async def failure_at(server: MailServer) -> MailServerFailed:
    with pytest.raises(MailServerFailed) as raised:
        async with smtp_connection(server) as connection:
            await connection.check()
    reason = raised.value.reason
    assert PASSWORD not in reason and "\n" not in reason and len(reason) < 600
    return raised.value


@pytest.fixture
async def receiver() -> AsyncIterator[SmtpReceiver]:
    async with smtp_receiver(USERS) as receiver:
        yield receiver


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


# How we get in


@pytest.mark.parametrize("encryption", ["tls", "starttls", "none"])
@pytest.mark.parametrize("way", ["PLAIN", "LOGIN", "XOAUTH2"])
async def test_a_mail_arrives(encryption: str, way: str, authority: Authority) -> None:
    others = {"PLAIN", "LOGIN", "XOAUTH2"} - {way}
    async with smtp_receiver(
        USERS, {ANNA: "access token"}, encryption=encryption, without=others,  # type: ignore[arg-type]
        context=authority.certificate().context(),
    ) as receiver:  # fmt: skip
        oauth: dict[str, Any] = {"is_oauth": True, "secret": "access token"} if way == "XOAUTH2" else {}
        outcomes = await sent(receiver, encryption=encryption, ca_file=str(authority.file), **oauth)
        assert outcomes == [RecipientOutcome(BOB, True, False, "250 2.0.0 Kept as 1")]
        [mail] = receiver.mails
        assert (mail.sender, mail.recipients, mail.raw) == (ANNA, [BOB], RAW)
        assert mail.is_encrypted is (encryption != "none")
        assert receiver.commands[0] == f"AUTH {way}"
        assert receiver.commands[-1] == "QUIT"


async def test_nobody_is_told_what_our_machine_is_called() -> None:
    async with scripted({}) as (port, said):
        async with smtp_connection(server_at(port)) as connection:
            await connection.check()
    assert said[0] == b"EHLO [127.0.0.1]"
    assert socket.gethostname().encode() not in b" ".join(said)


async def test_checking_sends_nothing(receiver: SmtpReceiver) -> None:
    async with smtp_connection(server_at(receiver.port)) as connection:
        await connection.check()
    assert receiver.commands == ["AUTH PLAIN", "NOOP", "QUIT"]


@pytest.mark.parametrize("encryption", ["tls", "starttls"])
@pytest.mark.parametrize("what", ["another authority", "another name", "expired"])
async def test_a_certificate_must_be_good(encryption: str, what: str, authority: Authority, tmp_path: Path) -> None:
    names = ["127.0.0.1"] if what == "another name" else ["localhost"]
    certificate = authority.certificate(*names, has_expired=what == "expired")
    trusted = Authority(tmp_path, "Another").file if what == "another authority" else authority.file
    async with smtp_receiver(
        USERS, encryption=encryption, context=certificate.context()  # type: ignore[arg-type]
    ) as receiver:  # fmt: skip
        failed = await failure_at(server_at(receiver.port, encryption=encryption, ca_file=str(trusted)))
        assert failed.failure is Failure.TLS
        assert "certificate" in failed.reason
        assert receiver.commands == [], "no password is told to whoever this is"


async def test_no_encryption_where_there_must_be_one(receiver: SmtpReceiver) -> None:
    for encryption in ("tls", "starttls"):
        failed = await failure_at(server_at(receiver.port, encryption=encryption))
        assert failed.failure is Failure.TLS
    assert receiver.commands == []


async def test_a_file_of_authorities_that_cannot_be_read(receiver: SmtpReceiver, tmp_path: Path) -> None:
    failed = await failure_at(server_at(receiver.port, encryption="tls", ca_file=str(tmp_path / "none.pem")))
    assert failed.failure is Failure.TLS


async def test_only_allowed_hosts_go_without_encryption(receiver: SmtpReceiver) -> None:
    failed = await failure_at(server_at(587, allowed_hosts=frozenset({"other"})))
    assert failed.failure is Failure.TLS
    async with smtp_connection(server_at(receiver.port, host="LocalHost")) as connection:
        await connection.check()


async def test_hosts_that_may_not_be_called_or_are_not_there(receiver: SmtpReceiver) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        servers = [
            server_at(closed.getsockname()[1]),
            server_at(receiver.port, encryption="tls", allowed_hosts=frozenset()),
            server_at(587, encryption="tls", allowed_hosts=frozenset()),
            server_at(587, host="nowhere.invalid", encryption="tls"),
            server_at(587, host="bad\r\nname", encryption="tls"),
        ]
        for server in servers:
            assert (await failure_at(server)).failure is Failure.HOST
    assert receiver.commands == []


async def test_a_refused_password_or_token_is_told_from_all_else() -> None:
    async with smtp_receiver(USERS, {ANNA: "access token"}) as receiver:
        for server in (server_at(receiver.port, secret="wrong"), server_at(receiver.port, is_oauth=True)):
            failed = await failure_at(server)
            assert failed.failure is Failure.LOGIN
            assert "535 5.7.8" in failed.reason
        assert receiver.commands == ["AUTH PLAIN", "AUTH XOAUTH2"], "each was tried once"


async def test_a_server_without_a_way_to_log_in() -> None:
    async with smtp_receiver(USERS, without=["XOAUTH2"]) as receiver:
        failed = await failure_at(server_at(receiver.port, is_oauth=True))
    assert failed.failure is Failure.LOGIN
    assert "LOGIN, PLAIN" in failed.reason


@pytest.mark.parametrize("is_oauth", [False, True])
async def test_the_secret_is_in_no_error_and_no_log(is_oauth: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the server repeats of it."""
    caplog.set_level(logging.DEBUG)
    echo = f"535 {PASSWORD} {base64.b64encode(PASSWORD.encode()).decode()} %s\r\n".encode()
    async with scripted({"AUTH": echo}) as (port, said):
        server = server_at(port, is_oauth=is_oauth)
        failed = await failure_at(server)
    told = said[-1].split()[-1].decode()
    assert failed.failure is Failure.LOGIN
    assert failed.reason == "login: 535 … … AUTH " + ("XOAUTH2" if is_oauth else "PLAIN") + " …"
    for secret in (PASSWORD, told, base64.b64encode(PASSWORD.encode()).decode()):
        assert secret not in caplog.text + repr(server) + repr(failed)


# What becomes of a mail


async def test_each_recipient_is_answered_for(receiver: SmtpReceiver) -> None:
    receiver.scripts[BOB] = Script("RCPT", "550 5.1.1 Nobody\there")
    receiver.scripts[CAT] = Script("RCPT", "451 4.7.1 Come\xa0back later")
    bad = ["<x@mail.test>", "x@mail.test>\r\nRCPT TO:<y@mail.test", "", "x", "a b@mail.test", "x@[127.0.0.1]"]
    outcomes = await sent(receiver, BOB, CAT, DAN, *bad)
    assert outcomes[:3] == [
        RecipientOutcome(BOB, False, False, "550 5.1.1 Nobody here"),
        RecipientOutcome(CAT, False, True, "451 4.7.1 Come back later"),
        RecipientOutcome(DAN, True, False, "250 2.0.0 Kept as 1"),
    ]
    assert outcomes[3:] == [RecipientOutcome(each, False, False, "this is no address") for each in bad]
    assert [mail.recipients for mail in receiver.mails] == [[DAN]]


@pytest.mark.parametrize("sender", ["", "x", "<x@mail.test>", "x@mail.test> SIZE=1", "x@mail.test\r\nDATA"])
async def test_a_sender_must_be_an_address(sender: str, receiver: SmtpReceiver) -> None:
    [outcome] = await sent(receiver, sender=sender)
    assert not outcome.accepted and not outcome.temporary
    assert receiver.commands == ["AUTH PLAIN", "QUIT"]


async def test_the_moment_before_data_is_ours(receiver: SmtpReceiver) -> None:
    """And all is known by then that was said of each recipient."""
    receiver.scripts[CAT] = Script("RCPT", "451 4.7.1 Come back later")
    seen: list[list[str]] = []
    answered: list[list[RecipientOutcome]] = []

    async def before_data(outcomes: list[RecipientOutcome]) -> None:
        seen.append([each.split()[0] for each in receiver.commands])
        answered.append(outcomes)

    async with smtp_connection(server_at(receiver.port)) as connection:
        outcomes = await connection.send(ANNA, [BOB, CAT], RAW, before_data)
    assert seen == [["AUTH", "MAIL", "RCPT", "RCPT"]]
    [[bob, cat]] = answered
    assert bob.accepted and [bob.address, cat] == [BOB, outcomes[1]]
    assert receiver.commands[4:] == ["DATA", "QUIT"]


async def test_it_does_not_come_where_nobody_gets_the_mail(receiver: SmtpReceiver) -> None:
    receiver.scripts[BOB] = Script("RCPT", "550 no", times=1)

    async def before_data(_: list[RecipientOutcome]) -> None:
        called.append(True)

    called: list[bool] = []
    async with smtp_connection(server_at(receiver.port)) as connection:
        assert not (await connection.send(ANNA, [BOB], RAW, before_data))[0].accepted
        assert "DATA" not in receiver.commands and not called
        assert (await connection.send(ANNA, [BOB], RAW, before_data))[0].accepted
    assert called == [True]


async def test_a_mail_that_must_not_be_sent_any_more_is_not(receiver: SmtpReceiver) -> None:
    class Lost(Exception):
        pass

    async def before_data(_: list[RecipientOutcome]) -> None:
        raise Lost

    with pytest.raises(Lost):
        async with smtp_connection(server_at(receiver.port)) as connection:
            await connection.send(ANNA, [BOB], RAW, before_data)
    assert "DATA" not in receiver.commands and not receiver.mails


async def test_mails_on_one_connection_do_not_mix(receiver: SmtpReceiver) -> None:
    raws = [RAW + str(number).encode() + b"\r\n" for number in range(30)]
    async with smtp_connection(server_at(receiver.port)) as connection:
        for number, raw in enumerate(raws):
            await connection.send(ANNA, [CAT, BOB] if number % 2 else [DAN], raw, nothing)
        ours = connection._writer.get_extra_info("socket")
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), "or each mail would wait for 40 ms"
    assert [mail.raw for mail in receiver.mails] == raws
    assert [mail.recipients for mail in receiver.mails] == 15 * [[DAN], [CAT, BOB]]
    assert (receiver.commands.count("AUTH PLAIN"), receiver.commands.count("RSET")) == (1, 29)


@pytest.mark.parametrize("step", BEFORE)
@pytest.mark.parametrize("act", list(Act))
async def test_a_server_that_is_gone_before_data(step: Step, act: Act, receiver: SmtpReceiver, soon: None) -> None:
    """Nothing has happened."""
    receiver.scripts = {ANNA: Script(step, act), BOB: Script(step, act)}
    with pytest.raises(MailServerFailed) as failed:
        await sent(receiver)
    assert failed.value.failure is Failure.LOST
    assert not receiver.mails


@pytest.mark.parametrize("step", ["DATA", "CONTENT"])
@pytest.mark.parametrize("act", list(WORDS))
async def test_a_server_that_is_gone_before_the_end_of_a_mail(
    step: Step, act: Act, receiver: SmtpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has not taken the mail, which is larger than what can be on its way."""
    if act is Act.SILENCE:
        monkeypatch.setattr(smtp_data, "DATA_WAIT", 0.3)
    receiver.scripts = {BOB: Script(step, act), CAT: Script("RCPT", "550 no")}
    bob, cat = await sent(receiver, BOB, CAT, raw=RAW + b"\r\n" * 10_000_000)
    assert bob == RecipientOutcome(BOB, False, True, f"DATA: {WORDS[act]}")
    assert cat == RecipientOutcome(CAT, False, False, "550 no")
    assert not receiver.mails


@pytest.mark.parametrize("step", AFTER)
@pytest.mark.parametrize("act", list(WORDS))
async def test_a_server_that_is_gone_after_the_end_of_a_mail(
    step: Step, act: Act, receiver: SmtpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows, whether or not all of it has come there."""
    if act is Act.SILENCE:
        monkeypatch.setattr(smtp_data, "DATA_WAIT", 1.5)
    receiver.scripts = {BOB: Script(step, act)}
    with pytest.raises(OutcomeUnknown) as unknown:
        await sent(receiver)
    assert unknown.value.words == f"DATA: {WORDS[act]}"
    assert len(receiver.mails) == (step == "ANSWER")


async def test_a_server_that_is_gone_after_its_answer(receiver: SmtpReceiver) -> None:
    """The mail is sent. The next one finds out, and has not been."""
    receiver.scripts[BOB] = Script("AFTER", Act.DROP)
    async with smtp_connection(server_at(receiver.port)) as connection:
        assert (await connection.send(ANNA, [BOB], RAW, nothing))[0].accepted
        with pytest.raises(MailServerFailed) as failed:
            await connection.send(ANNA, [BOB], RAW, nothing)
    assert failed.value.failure is Failure.LOST
    assert len(receiver.mails) == 1


@pytest.mark.parametrize("step", ["RCPT", "DATA", "ANSWER"])
@pytest.mark.parametrize("answer", ["554 5.7.1 Spam", "451 4.3.0 Later", "421 4.3.2 Shutting down"])
async def test_a_mail_that_is_refused(step: Step, answer: str, receiver: SmtpReceiver) -> None:
    receiver.scripts[BOB] = Script(step, answer)
    if step == "RCPT" and answer.startswith("421"):
        with pytest.raises(MailServerFailed) as failed:
            await sent(receiver)
        assert failed.value.failure is Failure.BUSY
        return
    assert await sent(receiver) == [RecipientOutcome(BOB, False, not answer.startswith("5"), answer)]
    assert not receiver.mails


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        ("530 5.7.0 Log in first", Failure.LOGIN), ("534 5.7.9 Application-specific password required", Failure.LOGIN),
        ("535 5.7.139 SmtpClientAuthentication is disabled", Failure.LOGIN), ("550 5.7.8 Bad login", Failure.LOGIN),
        ("550 5.7.30 Basic authentication is not supported", Failure.LOGIN),
        ("530 5.7.57 Client not authenticated to send mail", Failure.LOGIN), ("538 5.7.11 Encrypt", Failure.TLS),
        ("530 Log in first", Failure.LOGIN), ("530 5.7.0 Must issue a STARTTLS command first", Failure.TLS),
        ("451 4.3.0 Later", Failure.BUSY),
        ("250-250", Failure.LOST), ("350 What?", Failure.PROTOCOL),
    ],
)  # fmt: skip
async def test_a_sender_that_is_refused(answer: str, failure: Failure, receiver: SmtpReceiver, soon: None) -> None:
    receiver.scripts[ANNA] = Script("MAIL", answer)
    with pytest.raises(MailServerFailed) as failed:
        await sent(receiver)
    assert failed.value.failure is failure


async def test_a_mail_that_is_too_large_is_not_sent() -> None:
    async with smtp_receiver(USERS, most=1_000_000) as receiver:
        raw = RAW + b"x" * 1_234_567 + b"\r\n"
        [outcome] = await sent(receiver, raw=raw)
        assert outcome == RecipientOutcome(
            BOB, False, False, "the mail has 1.2 MB, and this server takes 1.0 MB at most"
        )
        assert receiver.commands == ["AUTH PLAIN", "QUIT"]


@pytest.mark.parametrize(
    "answer",
    [
        "552 5.3.4 Too large", "550 5.4.5 Daily quota exceeded", "554 Too fast", "550 5.7.0 Daily limit exceeded",
        "550 5.7.1 Not wanted", "550 5.7.60 Not as this sender", "554 5.7.90 Of no list",
    ],
)  # fmt: skip
async def test_a_mail_that_is_refused_before_its_recipients(answer: str, receiver: SmtpReceiver) -> None:
    """Which says nothing of the mailbox."""
    receiver.scripts[ANNA] = Script("MAIL", answer)
    assert await sent(receiver, BOB, CAT) == [RecipientOutcome(each, False, False, answer) for each in (BOB, CAT)]
    assert receiver.commands[1:] == [f"MAIL FROM:<{ANNA}> SIZE={len(RAW)}", "QUIT"]


async def test_addresses_with_other_letters() -> None:
    address = "jörg@mail.test"
    raw = compose(replace(MAIL, to=[Address(address)]))
    async with smtp_receiver(USERS) as receiver:
        assert (await sent(receiver, address, raw=raw))[0].accepted
        assert [(mail.recipients, mail.raw) for mail in receiver.mails] == [([address], raw)]
    async with smtp_receiver(USERS, takes_utf8=False) as receiver:
        for recipient in (address, BOB):
            [outcome] = await sent(receiver, recipient, raw=raw)
            assert not outcome.accepted and not outcome.temporary and "SMTPUTF8" in outcome.words
        assert (await sent(receiver, raw=compose(MAIL)))[0].accepted
        assert len(receiver.mails) == 1


@pytest.mark.parametrize("takes_utf8", [True, False])
async def test_domains_with_other_letters(takes_utf8: bool) -> None:
    """Every server takes them as A-labels. The outcome is of the address that it was asked for."""
    address, wired = "jorg@bücher.test", "jorg@xn--bcher-kva.test"
    raw = compose(replace(MAIL, sender=Address(address), to=[Address(address)]))
    async with smtp_receiver(USERS, takes_utf8=takes_utf8) as receiver:
        async with smtp_connection(server_at(receiver.port)) as connection:
            [outcome] = await connection.send(address, [address], raw, nothing)
        assert outcome.accepted and outcome.address == address
        assert [(mail.sender, mail.recipients, mail.raw) for mail in receiver.mails] == [(wired, [wired], raw)]


async def test_what_a_server_can_do_is_not_asked_of_a_lost_connection(receiver: SmtpReceiver) -> None:
    """Or a mail would be refused for good that only came too late."""
    receiver.scripts[BOB] = Script("AFTER", Act.DROP)
    raw = compose(replace(MAIL, to=[Address("jörg@mail.test")]))
    async with smtp_connection(server_at(receiver.port)) as connection:
        await connection.send(ANNA, [BOB], RAW, nothing)
        await until(lambda: connection._client.protocol is None)
        with pytest.raises(MailServerFailed) as failed:
            await connection.send(ANNA, [BOB], raw, nothing)
    assert failed.value.failure is Failure.LOST


# What arrives


async def test_what_is_composed_is_what_arrives(receiver: SmtpReceiver) -> None:
    raw = compose(replace(MAIL, subject="Ünï", text="\n.\n..\n.a\n" + "ä" * 3000, html="<p>.\n.\n</p>"))
    await sent(receiver, raw=raw)
    assert receiver.mails[0].raw == raw


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 1000, 200_000])
async def test_dots_are_no_end(length: int, receiver: SmtpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp_data, "PIECE", 64)
    raw = b".\r\n..\r\n.a\r\n\r\n" + b".\r\n..\r\na\r\n" * (length // 10) + b"." * (length % 10) + b"\r\n.\r\n"
    await sent(receiver, raw=raw)
    assert [mail.raw for mail in receiver.mails] == [raw]


@pytest.mark.parametrize("end", SMUGGLED)
async def test_no_line_end_makes_two_mails_of_one(end: bytes, receiver: SmtpReceiver) -> None:
    raw = (
        b"From: <anna@mail.test>\r\n\r\nHello"
        + end
        + b"MAIL FROM:<eve@evil.test>\r\nRCPT TO:<bob@mail.test>\r\nDATA\r\n"
    )
    async with wire(receiver) as (port, passed):
        assert (await sent(replace(receiver, port=port), raw=raw))[0].accepted
    assert len(receiver.mails) == 1
    assert b"MAIL FROM:<eve@evil.test>\r\n" in receiver.mails[0].raw
    content = bytes(passed).partition(b"DATA\r\n")[2].partition(b"QUIT")[0]
    assert content.count(b"\r\n") == content.count(b"\r") == content.count(b"\n")
    assert content.count(b"\r\n.\r\n") == 1


async def test_a_large_mail_arrives(receiver: SmtpReceiver) -> None:
    raw = RAW + base64.encodebytes(os.urandom(3_000_000)).replace(b"\n", b"\r\n")
    assert (await sent(receiver, raw=raw))[0].accepted
    assert receiver.mails[0].raw == raw
