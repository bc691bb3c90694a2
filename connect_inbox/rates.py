"""How much may be asked for, and how many streams may be held: for each token, and for each client's address.

Everything is counted in this process's memory. A bucket holds the points of one minute and is filled evenly. Whoever
has any may spend more than that, and waits until it is paid back: so an expensive operation is never out of reach.
"""

from __future__ import annotations

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.datastructures import Headers

from schema.types.errors import ApiError, ErrorCode
from schema.types.rate_limit import RateLimit
from schema.types.scalars import now

MINUTE = 60.0  # seconds in which an empty bucket is full again
MOST_BUCKETS = 50_000  # of each kind
STREAM_RETRY = 5  # seconds after which it is worth another try where there are too many streams

Network = IPv4Network | IPv6Network


class RateLimited(ApiError):
    """Too much for now. `retry_after` is in whole seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(ErrorCode.RATE_LIMITED, message, retryAfter=retry_after)
        self.retry_after = retry_after


class Buckets:
    """What each of many has left. One that has not been used for a minute is full, and need not be kept."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # points, and when that was

    def left(self, key: str) -> float:
        """How many points; below zero where more was spent than there was."""
        points, at = self._left.get(key, (self.limit, 0.0))
        return min(self.limit, points + (time.monotonic() - at) * self.limit / MINUTE)

    def wait(self, key: str) -> float:
        """Seconds until there are points again; 0 where there are, or where there is no limit."""
        return max(0.0, (1 - self.left(key)) * MINUTE / self.limit) if self.limit else 0.0

    def spend(self, key: str, points: int) -> None:
        if self.limit:
            self._left[key] = (self.left(key) - points, time.monotonic())
            self._left.move_to_end(key)
            if len(self._left) > MOST_BUCKETS:
                self._left.popitem(last=False)


class Streams:
    """How many streams each of many holds."""

    def __init__(self, limit: int, refusal: Callable[[str, int], RateLimited]) -> None:
        self._limit = limit
        self._refusal = refusal
        self._held: Counter[str] = Counter()

    def check(self, key: str, whose: str) -> None:
        """Raises RateLimited where as many are held as may."""
        if self._limit and self._held[key] >= self._limit:
            raise self._refusal(f"{whose} holds {self._limit} streams, and that is the limit", STREAM_RETRY)

    def hold(self, key: str) -> Held:
        """For as long as a stream is open."""
        return Held(self._held, key)


class Held:
    """One stream more, while it is open. There is one for each socket, so it is small."""

    __slots__ = ("_key", "_streams")

    def __init__(self, streams: Counter[str], key: str) -> None:
        self._streams = streams
        self._key = key

    def __enter__(self) -> None:
        self._streams[self._key] += 1

    def __exit__(self, *raised: object) -> None:
        self._streams[self._key] -= 1
        if not self._streams[self._key]:
            del self._streams[self._key]


class Rates:
    """The limits of one process; 0 is none."""

    def __init__(self, per_token: int, per_address: int, streams_per_token: int, streams_per_address: int) -> None:
        self._tokens = Buckets(per_token)
        self._addresses = Buckets(per_address)
        self._token_streams = Streams(streams_per_token, self.refusal)
        self._address_streams = Streams(streams_per_address, self.refusal)
        self.refused = 0  # how often somebody was

    def refusal(self, message: str, retry_after: int) -> RateLimited:
        """The error to raise, counted."""
        self.refused += 1
        return RateLimited(message, retry_after)

    def check(self, address: str, token: str | None = None) -> None:
        """Raises RateLimited where an address, or a token, has nothing left."""
        wait = max(self._addresses.wait(address), self._tokens.wait(token) if token else 0.0)
        if wait:
            seconds = math.ceil(wait)
            raise self.refusal(f"too much was asked for; try again in {seconds} s", seconds)

    def spend(self, points: int, address: str, token: str | None = None) -> None:
        self._addresses.spend(address, points)
        if token:
            self._tokens.spend(token, points)

    def limit_of(self, token: str, cost: int) -> RateLimit:
        """What is left to a token after an operation of this cost."""
        limit = self._tokens.limit
        if not limit:
            return RateLimit(cost=cost)
        left = self._tokens.left(token)
        full = now() + timedelta(seconds=(limit - left) * MINUTE / limit)
        return RateLimit(cost=cost, limit=limit, remaining=max(0, int(left)), reset_at=full)

    def check_address_streams(self, address: str) -> None:
        """Raises RateLimited where an address holds as many streams as it may."""
        self._address_streams.check(address, "this address")

    def check_token_streams(self, token: str) -> None:
        """Raises RateLimited where a token holds as many streams as it may."""
        self._token_streams.check(token, "this token")

    def hold_address(self, address: str) -> Held:
        """For as long as a stream from this address is open."""
        return self._address_streams.hold(address)

    def hold_token(self, token: str) -> Held:
        """For as long as a stream with this token is open."""
        return self._token_streams.hold(token)


def address_of(peer: str, headers: Headers, trusted: tuple[Network, ...]) -> str:
    """The client that a connection is of: `peer`, or whom trusted proxies had it from (X-Forwarded-For, read from the
    right). Addresses of IPv6 are given by their /64 network, which is what one client has.
    """
    address = parsed(peer)
    if address is None:
        return peer
    entries = ",".join(headers.getlist("x-forwarded-for")).split(",")
    while entries and any(address in network for network in trusted):
        before = parsed(entries.pop())
        if before is None:
            break
        address = before
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return str(address)


def parsed(text: str) -> IPv4Address | IPv6Address | None:
    """An address, with or without a port; one of IPv4 that is written as one of IPv6 is that of IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
