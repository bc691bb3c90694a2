"""Whether this process lives, and whether it should be sent requests: for load balancers and whoever restarts it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from storage.store import Store

DEADLINE = 2.0  # seconds for the database to answer a ping
FRESH = 1.0  # seconds for which an answer is good for all who ask, so that asking often costs the database nothing
HEADERS = {"cache-control": "no-store"}


class Health:
    """Answers `GET /healthz` and `GET /readyz`, without a token, and without a word about where anything is."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._is_stopping = False
        self._pinging: asyncio.Task[bool] | None = None
        self._answered = -FRESH

    def stop(self) -> None:
        """From here on it is not ready: the server is about to end."""
        self._is_stopping = True

    async def alive(self, request: Request) -> Response:
        """Whether requests are answered at all: nothing is asked."""
        return JSONResponse({"status": "alive"}, headers=HEADERS)

    async def ready(self, request: Request) -> Response:
        """Whether everything that is needed is there: 503 where it is not, with which part is missing."""
        database = await self._database_answers()
        parts = {
            "server": "stopping" if self._is_stopping else "up",
            "database": "up" if database else "down",
            "wire": "up" if self._store.wire.is_up else "down",
        }
        is_ready = set(parts.values()) == {"up"}
        answer = {"status": "ready" if is_ready else "unready", **parts}
        return JSONResponse(answer, 200 if is_ready else 503, HEADERS)

    async def _database_answers(self) -> bool:
        """Whether the database answers a ping in time. However many ask, one ping at a time is under way."""
        if time.monotonic() - self._answered < FRESH:
            return True
        if self._pinging is None or self._pinging.done():
            self._pinging = asyncio.create_task(self._ping())
        pinging = self._pinging
        await asyncio.wait([pinging], timeout=DEADLINE)
        return pinging.done() and not pinging.cancelled() and pinging.result()

    async def _ping(self) -> bool:
        try:
            await self._store.database.ping()
        except Exception:  # whatever it is, whoever asks only wants to know that it does not answer
            return False
        self._answered = time.monotonic()
        return True

    async def close(self) -> None:
        if self._pinging is not None:
            self._pinging.cancel()
            await asyncio.wait([self._pinging])


@asynccontextmanager
async def open_health(store: Store) -> AsyncIterator[Health]:
    health = Health(store)
    try:
        yield health
    finally:
        await health.close()
