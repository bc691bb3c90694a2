"""Tokens at the door, and again at every delivery.

What a token is good for is looked up when it comes in, and every two seconds for as long as a stream is held with it,
so that nobody is let in by, and nothing is delivered to, a state that is older than five seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from schema.types.context import Caller
from schema.types.errors import ApiError, ErrorCode
from schema.types.scalars import now
from storage.store import Store
from storage.tokens import Standing, hash_of, look_up

logger = logging.getLogger("connect_inbox.auth")

INTERVAL = 2.0  # seconds between two looks at the tokens that streams are held with
OLDEST = 5.0  # seconds after which what is known of a token is not acted upon


class TokenRefused(ApiError):
    """A token that is not, or no longer, good for anything. `expired` tells a client to come back with a new one."""

    def __init__(self, message: str, expired: bool = False) -> None:
        super().__init__(ErrorCode.UNAUTHENTICATED, message)
        self.expired = expired


def good(standing: Standing | None) -> Caller:
    """Who a token speaks for. Raises TokenRefused."""
    if standing is None:
        raise TokenRefused("the token is not known")
    if standing.revoked:
        raise TokenRefused("the token was revoked")
    if standing.expires_at <= now():
        raise TokenRefused("the token has expired", expired=True)
    return standing.caller


def bearer(header: object) -> str:
    """The token in an `Authorization` value (RFC 6750, section 2.1). Raises TokenRefused."""
    if not isinstance(header, str):
        raise TokenRefused("a token is needed: Authorization: Bearer ...")
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise TokenRefused("the Authorization must be: Bearer, a space and the token")
    return token.strip()


@dataclass
class Held:
    """A token that streams are held with."""

    standing: Standing | None
    looked_at: float
    streams: list[Callable[[TokenRefused], None]] = field(default_factory=list)
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)  # those who wait for a look share it


class Gate:
    """Lets callers in, and has the streams of those end whose token is no longer good."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: dict[str, Held] = {}

    async def admit(self, token: str) -> tuple[str, Caller]:
        """The token's hash, and who it speaks for. Raises TokenRefused."""
        id = hash_of(token)
        return id, good((await look_up(self._store, [id])).get(id))

    @contextmanager
    def hold(self, id: str, caller: Caller, end: Callable[[TokenRefused], None]) -> Iterator[None]:
        """For as long as a stream is open: `end` is called, once, when the token is no longer good."""
        held = self._held.setdefault(id, Held(None, -OLDEST))
        held.streams.append(end)
        try:
            yield
        finally:
            with contextlib.suppress(ValueError):
                held.streams.remove(end)
            if not held.streams:
                self._held.pop(id, None)

    async def still_good(self, id: str) -> Caller:
        """Asked before each operation and each delivery: who the token speaks for now. Raises TokenRefused."""
        held = self._held.get(id)
        if held is None:
            raise TokenRefused("the stream has ended")
        async with held.looking:
            if time.monotonic() - held.looked_at > OLDEST:
                await self._look([id])
        return good(held.standing)

    async def _look(self, ids: list[str]) -> None:
        started = time.monotonic()
        standings = await look_up(self._store, ids)
        for id in ids:
            if id in self._held:
                self._held[id].standing, self._held[id].looked_at = standings.get(id), started

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            ids = list(self._held)  # of whom comes while they are looked up nothing is known yet
            try:
                await self._look(ids)
            except Exception:
                logger.exception("tokens could not be looked up")
                continue
            for held in [self._held[id] for id in ids if id in self._held]:
                try:
                    good(held.standing)
                except TokenRefused as refused:
                    ending, held.streams = held.streams, []
                    for end in ending:
                        end(refused)


@asynccontextmanager
async def open_gate(store: Store) -> AsyncIterator[Gate]:
    gate = Gate(store)
    watching = asyncio.create_task(gate._watch())
    try:
        yield gate
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
