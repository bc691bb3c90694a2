"""SMTP connections that are used again: letting us in takes a server longer than taking a mail.

Each is for one mail at a time. One that fails is closed; one that nobody has used for some seconds, too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from sync.mail_server import MailServer, MailServerFailed
from sync.smtp import SmtpConnection, smtp_connection

IDLE = 10.0  # seconds: many servers let go of who says nothing for a minute
MOST = 3  # connections for one user of a server


@dataclass(frozen=True)
class Open:
    """A connection that nobody uses."""

    connection: SmtpConnection
    stack: AsyncExitStack  # which closes it
    since: float


class SmtpConnections:
    """The connections of a process."""

    def __init__(self) -> None:
        self._idle: dict[MailServer, list[Open]] = {}
        self._room: dict[tuple[str, int, str], asyncio.Semaphore] = {}

    @asynccontextmanager
    async def connection(self, server: MailServer) -> AsyncIterator[SmtpConnection]:
        """One that is good at this moment. Raises MailServerFailed."""
        place = (server.host, server.port, server.user)
        async with self._room.setdefault(place, asyncio.Semaphore(MOST)):
            connection, stack = await self._opened(server)
            try:
                yield connection
            except BaseException:
                await stack.aclose()
                raise
            self._idle.setdefault(server, []).append(Open(connection, stack, time.monotonic()))

    async def _opened(self, server: MailServer) -> tuple[SmtpConnection, AsyncExitStack]:
        while self._idle.get(server):
            last = self._idle[server].pop()
            try:
                await last.connection.check()
                return last.connection, last.stack
            except BaseException as error:
                await last.stack.aclose()
                if not isinstance(error, MailServerFailed):
                    raise
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(smtp_connection(server))
            return connection, stack.pop_all()

    async def close_idle(self, seconds: float = IDLE) -> None:
        """Closes those that nobody has used for so long."""
        until = time.monotonic() - seconds
        old = [each for idle in self._idle.values() for each in idle if each.since <= until]
        kept = {server: [each for each in idle if each.since > until] for server, idle in self._idle.items()}
        self._idle = {server: idle for server, idle in kept.items() if idle}
        await asyncio.gather(*(each.stack.aclose() for each in old), return_exceptions=True)
