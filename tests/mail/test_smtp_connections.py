"""Connections that are used again, as long as they are good."""

from __future__ import annotations

import asyncio

import pytest

from sync.mail_server import MailServer, MailServerFailed
from sync.smtp_connections import MOST, SmtpConnections
from tests.smtp_receiver import Act, Script, SmtpReceiver, smtp_receiver
from tests.smtp_scripted import nothing

USER, PASSWORD = "team@brand.test", "open sesame"


def server_of(receiver: SmtpReceiver) -> MailServer:
    return MailServer(
        "localhost", receiver.port, USER, PASSWORD, encryption="none", allowed_hosts=frozenset({"localhost"})
    )


async def send(connections: SmtpConnections, server: MailServer, to: str = "ada@people.test") -> None:
    async with connections.connection(server) as connection:
        [outcome] = await connection.send(USER, [to], b"Subject: Hello\r\n\r\nHello\r\n", nothing)
        assert outcome.accepted


def logins(receiver: SmtpReceiver) -> int:
    return sum(each.startswith("AUTH") for each in receiver.commands)


async def test_one_is_used_again() -> None:
    connections = SmtpConnections()
    async with smtp_receiver({USER: PASSWORD}) as receiver:
        for _ in range(5):
            await send(connections, server_of(receiver))
        assert (len(receiver.mails), logins(receiver)) == (5, 1)
        await connections.close_idle(0)
        assert receiver.commands[-1] == "QUIT"
        await send(connections, server_of(receiver))
        assert logins(receiver) == 2
        await connections.close_idle(0)


async def test_no_more_than_some_at_a_time() -> None:
    connections = SmtpConnections()
    async with smtp_receiver({USER: PASSWORD}) as receiver:
        await asyncio.gather(*(send(connections, server_of(receiver)) for _ in range(4 * MOST)))
        assert (len(receiver.mails), logins(receiver)) == (4 * MOST, MOST)
        await connections.close_idle(0)


async def test_one_that_was_lost_meanwhile_is_replaced() -> None:
    connections = SmtpConnections()
    async with smtp_receiver({USER: PASSWORD}) as receiver:
        receiver.scripts["ada@people.test"] = Script("AFTER", Act.DROP, times=1)
        await send(connections, server_of(receiver))
        await send(connections, server_of(receiver))
        assert (len(receiver.mails), logins(receiver)) == (2, 2)
        await connections.close_idle(0)


async def test_one_that_failed_is_not_used_again() -> None:
    connections = SmtpConnections()
    async with smtp_receiver({USER: PASSWORD}) as receiver:
        receiver.scripts["ada@people.test"] = Script("RCPT", Act.DROP, times=1)
        with pytest.raises(MailServerFailed):
            await send(connections, server_of(receiver))
        await send(connections, server_of(receiver))
        assert (len(receiver.mails), logins(receiver)) == (1, 2)
        await connections.close_idle(0)


async def test_another_password_is_another_connection() -> None:
    """One that was let in with a token of before is not used with a new one."""
    connections = SmtpConnections()
    async with smtp_receiver({USER: PASSWORD}) as receiver:
        await send(connections, server_of(receiver))
        receiver.users[USER] = "another"
        server = MailServer("localhost", receiver.port, USER, "another", encryption="none",
                            allowed_hosts=frozenset({"localhost"}))  # fmt: skip
        await send(connections, server)
        assert logins(receiver) == 2
        await connections.close_idle(0)
