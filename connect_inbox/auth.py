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
AT_ONCE = 500  # tokens looked up in one call
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


@dataclass(frozen=True)
class Pass:
    """A token that was let in, and what was found when it was looked up."""

    standing: Standing
    looked_at: float

    @property
    def caller(self) -> Caller:
        return self.standing.caller

    @property
    def id(self) -> str:
        """The token's hash."""
        return self.caller.token


@dataclass
class Held:
    """A token that streams are held with."""

    standing: Standing | None = None
    looked_at: float = 0.0
    good_until: float = 0.0  # monotonic time at which it expires, if it was good when it was looked at
    streams: dict[Callable[[TokenRefused], None], None] = field(default_factory=dict)
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)  # those who wait for a look share it

    def see(self, standing: Standing | None, looked_at: float) -> None:
        """Takes in what was found by a look that began at a monotonic time."""
        self.standing, self.looked_at, self.good_until = standing, looked_at, 0.0
        if standing is not None and not standing.revoked:
            self.good_until = time.monotonic() + (standing.expires_at - now()).total_seconds()


class Gate:
    """Lets callers in, and has the streams of those end whose token is no longer good."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: dict[str, Held] = {}

    async def admit(self, token: str) -> Pass:
        """Lets a token in, for whom it speaks for. Raises TokenRefused."""
        id, started = hash_of(token), time.monotonic()
        standing = (await look_up(self._store, [id])).get(id)
        good(standing)
        assert standing is not None
        return Pass(standing, started)

    @contextmanager
    def hold(self, admitted: Pass, end: Callable[[TokenRefused], None]) -> Iterator[None]:
        """For as long as a stream is open: `end` is called, once, when the token is no longer good."""
        held = self._held.get(admitted.id)
        if held is None:
            held = self._held[admitted.id] = Held()
            held.see(admitted.standing, admitted.looked_at)
        held.streams[end] = None
        try:
            yield
        finally:
            held.streams.pop(end, None)
            if not held.streams:
                self._held.pop(admitted.id, None)

    def knows_good(self, id: str) -> bool:
        """Whether a held token is known to be good, without looking: for those who cannot wait."""
        held = self._held.get(id)
        at = time.monotonic()
        return held is not None and at < held.good_until and at - held.looked_at <= OLDEST

    async def still_good(self, id: str) -> Caller:
        """Asked before each operation and each delivery: who a held token speaks for now. Raises TokenRefused."""
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
                self._held[id].see(standings.get(id), started)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            ids = list(self._held)
            for start in range(0, len(ids), AT_ONCE):
                some = ids[start : start + AT_ONCE]
                try:
                    await self._look(some)
                except Exception:
                    logger.exception("tokens could not be looked up")
                    continue
                self._end_those_no_longer_good(some)

    def _end_those_no_longer_good(self, ids: list[str]) -> None:
        for held in [self._held[id] for id in ids if id in self._held]:
            try:
                good(held.standing)
            except TokenRefused as refused:
                ending, held.streams = held.streams, {}
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
