"""The real app on the real server, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import uvicorn

from connect_inbox.app import PATH
from connect_inbox.server import uvicorn_config
from connect_inbox.settings import Settings
from storage.store import Store
from sync.mail_access import MailAccess
from sync.mail_counters import MailCounters
from tests.client import DEADLINE, Server


@asynccontextmanager
async def running(
    store: Store, settings: Settings, mail: MailAccess | None = None, counters: MailCounters | None = None
) -> AsyncIterator[Server]:
    """The app, listening on a free port."""
    config = uvicorn_config(settings, store, mail, counters=counters)
    config.port = 0
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(DEADLINE):
            while not server.started:
                await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx2.AsyncClient(timeout=DEADLINE) as http:
            yield Server(f"http://127.0.0.1:{port}{PATH}", http)
    finally:
        server.should_exit = True
        await serving
