"""Sending by SMTP to servers that say what no server should, at every moment at which they can."""

from __future__ import annotations

import asyncio

import pytest

from sync.mail_server import Failure, MailServerFailed
from sync.smtp import OutcomeUnknown, RecipientOutcome, smtp_connection
from tests.client import until
from tests.smtp_scripted import ANNA, BOB, GOOD, RAW, hurry, listening, nothing, scripted, server_at


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


async def sent_to(port: int, count: int = 1) -> list[RecipientOutcome]:
    async with smtp_connection(server_at(port)) as connection:
        for _ in range(count):
            outcomes = await connection.send(ANNA, [BOB], RAW, nothing)
    return outcomes


@pytest.mark.parametrize("at", ["", "EHLO", "AUTH", "MAIL", "RCPT", "RSET"])
@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (b"421 4.3.2 Come back later\r\n", Failure.BUSY), (b"450 later\r\n", Failure.BUSY),
        (b"junk\r\n", Failure.PROTOCOL),
        (b"\x00\xff\xfe\r\n", Failure.PROTOCOL), (b"250-" + b"x" * 50_000, Failure.PROTOCOL),
        (b"250-x\r\n" * 9000, Failure.PROTOCOL), (b"999 what\r\n", Failure.PROTOCOL), (b"\r\n", Failure.PROTOCOL),
        (b"2", Failure.LOST), (b"", Failure.LOST),
    ],
)  # fmt: skip
async def test_odd_answers_before_data(at: str, answer: bytes, failure: Failure, soon: None) -> None:
    if at == "RCPT" and answer.startswith(b"450"):
        return  # that is about the recipient
    async with scripted({at: answer}) as (port, said):
        with pytest.raises(MailServerFailed) as failed:
            await sent_to(port, count=2)
    assert failed.value.failure is failure
    assert failed.value.reason.isprintable() and len(failed.value.reason) < 600
    assert said.count(b"DATA") == (at == "RSET")


@pytest.mark.parametrize("at", ["DATA", "."])
@pytest.mark.parametrize(
    "answer", [b"junk\r\n", b"\xff\r\n", b"2", b"", b"250-x\r\n" * 9000, b"999 what\r\n", b"399 so\r\n", b"150 ok\r\n"]
)  # fmt: skip
async def test_odd_answers_from_data_on(at: str, answer: bytes, soon: None) -> None:
    if at == "DATA" and answer in (b"2", b""):
        return  # that is none, and nothing of the mail was written
    async with scripted({at: answer}) as (port, _):
        with pytest.raises(OutcomeUnknown) as unknown:
            await sent_to(port)
    assert unknown.value.words.isprintable() and len(unknown.value.words) < 600


@pytest.mark.parametrize("answer", [b"2", b""])
async def test_no_answer_to_data(answer: bytes, soon: None) -> None:
    async with scripted({"DATA": answer}) as (port, _):
        [outcome] = await sent_to(port)
    assert not outcome.accepted and outcome.temporary


async def test_a_mail_is_not_taken_by_who_was_not_given_it() -> None:
    async with scripted({"DATA": b"250 kept already\r\n"}) as (port, _):
        with pytest.raises(OutcomeUnknown):
            await sent_to(port)


@pytest.mark.parametrize(("answer", "is_refused"), [(b"552 Too large\r\n", True), (b"250 kept\r\n", False)])
async def test_an_answer_before_the_whole_mail(answer: bytes, is_refused: bool) -> None:
    """A refusal counts. That it was taken cannot be."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GOOD[""])
        while line := await reader.readline():
            command = line.split()[0].decode()
            writer.write(GOOD.get(command, b"250 ok\r\n"))
            if command == "DATA":
                await reader.readline()
                writer.write(answer)
                await asyncio.Event().wait()

    raw = RAW + b"x" * 70 + b"\r\n" * 10_000_000
    async with listening(talk) as port, smtp_connection(server_at(port)) as connection:
        sending = connection.send(ANNA, [BOB], raw, nothing)
        if is_refused:
            assert await sending == [RecipientOutcome(BOB, False, False, "552 Too large")]
        else:
            with pytest.raises(OutcomeUnknown):
                await sending
        with pytest.raises(MailServerFailed):
            await connection.send(ANNA, [BOB], RAW, nothing)


async def test_a_server_that_stops_to_read(soon: None) -> None:
    """Our end is closed, whatever was not sent yet, and that was not all of it."""
    ended = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GOOD[""])
        while line := await reader.readline():
            command = line.split()[0].decode()
            writer.write(GOOD.get(command, b"250 ok\r\n"))
            if command == "DATA":
                writer.transport.pause_reading()  # type: ignore[attr-defined]
                await ended.wait()
                writer.transport.resume_reading()  # type: ignore[attr-defined]
                while await reader.read(65536):
                    pass

    async with listening(talk) as port:
        async with smtp_connection(server_at(port)) as connection:
            ours = connection._writer.get_extra_info("socket")
            [outcome] = await connection.send(ANNA, [BOB], RAW + b"x" * 70 + b"\r\n" * 10_000_000, nothing)
        assert outcome == RecipientOutcome(BOB, False, True, "DATA: the server did not answer in time")
        await until(lambda: ours.fileno() == -1)
        ended.set()
