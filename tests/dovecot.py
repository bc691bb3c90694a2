"""Dovecot for tests: started, killed and started again, with access tokens where a test has a place to look them up."""

from __future__ import annotations

import asyncio
import re
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import orjson

from connect_inbox.demo.dovecot import Dovecot, find_dovecot, running_dovecot
from connect_inbox.demo.dovecot_config import TokenCheck
from sync.mail_server import MailServer
from tests.redis_server import need

__all__ = ["Dovecot", "TokenCheck", "account_of", "dovecot_server", "need_dovecot", "token_introspection"]


def need_dovecot() -> None:
    """Skips a test where there is no Dovecot; where everything must be tested, fails it."""
    need(find_dovecot() or "dovecot")


@asynccontextmanager
async def dovecot_server(
    accounts: dict[str, str], sent: str = "Sent", is_special_use: bool = True, token_check: TokenCheck | None = None
) -> AsyncIterator[Dovecot]:
    """A server with these passwords by user, that has ended when the context has."""
    need_dovecot()
    async with running_dovecot(accounts, sent, is_special_use, token_check) as server:
        yield server


def account_of(server: Dovecot, user: str, **changed: Any) -> MailServer:
    """How a user gets at their mails there: over TLS, with their password. `changed` are fields of it."""
    account = MailServer(
        server.host, server.port, user, server.accounts[user],
        allowed_hosts=frozenset({server.host}), ca_file=server.ca_file,
    )  # fmt: skip
    return replace(account, **changed)


@asynccontextmanager
async def token_introspection(users: dict[str, str]) -> AsyncIterator[TokenCheck]:
    """A place to look access tokens up (RFC 7662), which knows these: user by token. It may be changed meanwhile."""

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        form = parse_qs((await reader.readexactly(int(length[1]) if length else 0)).decode())
        user = users.get(form.get("token", [""])[0])
        body = orjson.dumps({"active": user is not None, **({"username": user} if user is not None else {})})
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n%s" % (len(body), body)
        )
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield TokenCheck(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/introspect")
