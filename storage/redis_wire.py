"""The wire's backend on Redis, which heals itself: broadcaster's own one does not outlive a restart of Redis.

Two connections: one that is subscribed, and one that publishes. That a connection is dead is nothing that one is told:
who is silent on the first is asked, and who does not answer is left, on both.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from broadcaster import BroadcastBackend, Event

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger("connect_inbox.wire")

SILENCE = 1.5  # seconds after which Redis is asked whether it is there, and in which it must have answered
CONNECT_TIMEOUT = 1.0  # seconds; short, as an attempt that began in an outage must not outlast it by much
ANSWER_TIMEOUT = 3.0  # seconds in which Redis must have taken what is published
PAUSE = (0.1, 0.5)  # seconds between two attempts: by chance, so that processes do not come back all at once
CANCEL_AGAIN = 1.0  # seconds
QUEUE = 1000  # messages read and not taken yet; more wait in the connection

Direction = Literal["listening", "publishing"]


class Health:
    """Whether the wire works in both directions. A line is logged when it stops to, and one when it does again."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._works: dict[Direction, bool] = {"listening": False, "publishing": True}
        self._is_told = False  # that it is down

    @property
    def is_up(self) -> bool:
        return all(self._works.values())

    def works(self, direction: Direction) -> None:
        self._works[direction] = True
        if self.is_up and self._is_told:
            self._is_told = False
            logger.warning("the wire is back: %s", self._address)

    def fails(self, direction: Direction, error: Exception) -> None:
        self._works[direction] = False
        if not self._is_told:
            self._is_told = True
            logger.warning(
                "the wire is down: %s, %s; until it is back, what other processes change is seen at each upkeep",
                self._address, reason_of(error),
            )  # fmt: skip


def reason_of(error: Exception) -> str:
    """What kind of error it is. Not its own text, in which Redis may repeat a password."""
    cause = error.__cause__ or error.__context__
    told = cause.strerror if isinstance(cause, OSError) else None
    return f"{type(error).__name__} ({told})" if told else type(error).__name__


def address_of(url: str) -> str:
    """Host and port, without credentials."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    return f"{host}:{parts.port or 6379}"


def client_of(url: str) -> Redis:
    """A client that tries nothing twice by itself: a connection that was made anew in silence would hide a gap."""
    from redis.asyncio import Redis  # here, as it is a tenth of what a process without Redis would load
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    options: dict[str, Any] = {"ssl_check_hostname": True} if url.startswith("rediss:") else {}
    client: Redis = Redis.from_url(
        url, protocol=2, retry=Retry(NoBackoff(), 0), health_check_interval=0,
        socket_connect_timeout=CONNECT_TIMEOUT, socket_timeout=ANSWER_TIMEOUT, **options,
    )  # fmt: skip
    return client


async def end(task: asyncio.Task[None]) -> None:
    """Cancels a task that talks to Redis until it has ended.

    Once may not do: redis-py sends with `asyncio.wait_for`, which before Python 3.12 forgets that it was cancelled
    where that meets what it waited for.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_AGAIN)


class RedisBackend(BroadcastBackend):
    """One channel of a Redis server, for as long as it takes.

    After every connection `gap` comes first, as if somebody had published it: what was published before is lost.
    """

    def __init__(self, url: str, channel: str, gap: str) -> None:
        self._listener = client_of(url)
        self._publisher = client_of(url)
        self._is_listening = asyncio.Event()
        self._health = Health(address_of(url))
        self._channel = channel
        self._gap = gap
        self._messages: asyncio.Queue[Event] = asyncio.Queue(QUEUE)
        self._pump: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        return self._health.is_up

    async def connect(self) -> None:
        """Begins to connect, and waits for nothing: Redis may come later than we do."""
        self._pump = asyncio.create_task(self._keep_listening())

    async def disconnect(self) -> None:
        if self._pump is not None:
            await end(self._pump)
        await self._listener.aclose()
        await self._publisher.aclose()

    async def subscribe(self, channel: str) -> None:
        """Nothing to do, and no turn of the loop: broadcaster would lose a subscriber that came meanwhile."""

    async def unsubscribe(self, channel: str) -> None:
        """Nothing to do: the channel is listened to for as long as we are connected."""

    async def publish(self, channel: str, message: str) -> None:
        """Waits until Redis is there. Raises where it did not say that it has the message."""
        await self._is_listening.wait()
        try:
            await self._publisher.publish(channel, message)
        except Exception as error:
            self._health.fails("publishing", error)
            raise
        self._health.works("publishing")

    async def next_published(self) -> Event:
        return await self._messages.get()

    async def _keep_listening(self) -> None:
        while True:
            try:
                await self._listen()
            except Exception as error:
                self._health.fails("listening", error)
            self._is_listening.clear()
            with contextlib.suppress(Exception):
                await self._publisher.connection_pool.disconnect()  # it is no better, and may not know it for long
            await asyncio.sleep(random.uniform(*PAUSE))

    async def _listen(self) -> None:
        """One connection's life: ends with an error where it is lost, or does not answer any more."""
        async with self._listener.pubsub() as subscription:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await subscription.subscribe(self._channel)
            is_asked = False
            while True:
                message = await subscription.get_message(timeout=SILENCE)
                if message is not None:
                    is_asked = False
                    await self._take(message)
                elif is_asked:
                    raise TimeoutError("Redis does not answer")
                else:
                    is_asked = True
                    await subscription.ping()

    async def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            self._health.works("listening")
            self._is_listening.set()
            await self._messages.put(Event(self._channel, self._gap))
        elif message["type"] == "message":
            await self._messages.put(Event(self._channel, message["data"].decode(errors="replace")))
