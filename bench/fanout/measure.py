"""One turn of one peer: many sockets are opened, then bursts of events are sent, and then single ones."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bench.fanout.processes import Child, Json, child, server_command, subscribers_command
from bench.writers import TEXT

FIRST = 20  # sockets that are opened before memory is measured, so that nothing is counted that is done once
BURSTS = 2.0  # seconds of bursts
BURST = 25_000  # deliveries in one
MOST = 100  # events in one, which is what an entry of ours holds
SINGLES = 1.5  # seconds of single events
FEWEST_SINGLES = 5
PAUSE = 0.02  # seconds after a single event
PATIENCE = 120.0  # seconds for a burst to arrive
TRY = 0.5  # seconds for an event to arrive everywhere, while it is not known whether all have subscribed; doubled
TRIES = 9
SILENCE = 0.3  # seconds


@dataclass(frozen=True)
class Point:
    """What is measured at: how many sockets, and how many different documents they subscribe with."""

    sockets: int
    documents: int = 1

    @property
    def events(self) -> int:
        """How many there are in a burst."""
        return min(MOST, BURST // self.sockets)

    @property
    def queries(self) -> list[str]:
        """Made different by an alias as long as the field's name, so that all are told the same number of bytes."""
        names = [f"messageAdd{n:02}: messageAdded" for n in range(self.documents)]
        if self.documents == 1:
            names = ["messageAdded"]
        return [f"subscription {{ {name} {{ position message {{ id text sentAt }} }} }}" for name in names]


@dataclass(frozen=True)
class Figures:
    """Of one turn. Rates are deliveries per second, latencies in seconds, of single events."""

    rate: float  # in bursts, from when one might be told
    rate_with_writing: float  # in bursts, from the commit
    rate_of_cpu: float  # in bursts, per second of the server's processor time, from when one might be told
    subscribers_cpu: float  # the share of the bursts that the subscribers' process was busy for
    rate_of_singles: float  # of single events, from when one might be told
    p50: float
    p99: float
    memory: float  # bytes per idle subscriber
    frame: float  # bytes of an event on the wire


@dataclass
class Bench:
    """A server and its subscribers."""

    server: Child
    subscribers: Child
    number: int = 0

    async def emit(self, count: int) -> Json:
        messages = [self._message() for _ in range(count)]
        return await self.server.ask("emit", messages=messages)

    def _message(self) -> Json:
        """As long as ours are, in every field."""
        self.number += 1
        message = {"id": f"message_{self.number:026}", "text": TEXT, "sentAt": "2026-01-31T12:00:00.000Z"}
        return {"position": f"uwturigzxdsg.{self.number}", "message": message}

    async def connect(self, where: Json, queries: list[str], count: int) -> None:
        await self.subscribers.ask("connect", **where, queries=queries, count=count)

    async def everywhere(self, events: int, seconds: float) -> Json:
        return await self.subscribers.ask("receive", each=events, seconds=seconds)

    async def hear(self) -> None:
        """Returns when all subscribers have heard an event: nothing else says that a subscription has begun."""
        for number in range(TRIES):
            await self.emit(1)
            heard = await self.everywhere(1, TRY * 2**number)
            if heard["least"] >= 1:
                while (await self.everywhere(1, SILENCE))["times"]:
                    pass
                return
        raise RuntimeError("not all subscribers have heard an event")

    async def tell(self, count: int) -> tuple[Json, Json]:
        """Events that each subscriber must hear once; when they were told, and when heard."""
        emitted = await self.emit(count)
        heard = await self.everywhere(count, PATIENCE)
        if heard["least"] != count or heard["most"] != count:
            raise RuntimeError(f"of {count} events a subscriber heard {heard['least']} to {heard['most']}")
        return emitted, heard


async def measure(bench: Bench, where: Json, point: Point) -> Figures:
    await bench.connect(where, point.queries, FIRST)
    await bench.hear()
    before = (await bench.server.ask("memory"))["memory"]
    await bench.connect(where, point.queries, point.sockets - FIRST)
    await bench.hear()
    after = (await bench.server.ask("memory"))["memory"]
    rates = await bursts(bench, point.events)
    single = await singles(bench)
    return Figures(
        *rates,
        rate_of_singles=len(single.latencies) / single.took,
        p50=single.latencies[len(single.latencies) // 2],
        p99=single.latencies[len(single.latencies) * 99 // 100],
        memory=(after - before) / (point.sockets - FIRST),
        frame=single.bytes / len(single.latencies),
    )


async def bursts(bench: Bench, events: int) -> tuple[float, float, float, float]:
    deliveries = 0
    took = took_with_writing = cpu = subscribers_cpu = 0.0
    ends = time.monotonic() + BURSTS
    while deliveries == 0 or time.monotonic() < ends:
        busy = float((await bench.everywhere(0, 0))["cpu"])
        emitted, heard = await bench.tell(events)
        last = max(heard["times"])
        deliveries += len(heard["times"])
        took += last - emitted["told"]
        took_with_writing += last - emitted["committed"]
        cpu += (await bench.server.ask("cpu"))["cpu"] - emitted["cpu"]
        subscribers_cpu += heard["cpu"] - busy
    return deliveries / took, deliveries / took_with_writing, deliveries / cpu, subscribers_cpu / took


@dataclass
class Singles:
    """Events sent one at a time: from the commit to each receipt, and all together from when they might be told."""

    latencies: list[float] = field(default_factory=list)
    took: float = 0.0
    bytes: int = 0


async def singles(bench: Bench) -> Singles:
    found = Singles()
    done, ends = 0, time.monotonic() + SINGLES
    while done < FEWEST_SINGLES or time.monotonic() < ends:
        emitted, heard = await bench.tell(1)
        found.latencies += [at - emitted["committed"] for at in heard["times"]]
        found.took += max(heard["times"]) - emitted["told"]
        found.bytes += heard["bytes"]
        done += 1
        await bench.everywhere(1, PAUSE)
    found.latencies.sort()
    return found


@dataclass(frozen=True)
class Cores:
    """The server's, and those of everything else."""

    server: set[int]
    others: set[int]


async def turn(peer: str, point: Point, cores: Cores, environment: dict[str, str]) -> Figures:
    """A peer's figures."""
    async with started(peer, cores, environment) as (bench, where):
        return await measure(bench, where, point)


async def profile(peer: str, point: Point, cores: Cores, environment: dict[str, str]) -> str:
    """What a server's time goes to while it tells of a burst, which the profile makes take longer."""
    async with started(peer, cores, environment) as (bench, where):
        await bench.connect(where, point.queries, point.sockets)
        await bench.hear()
        await bench.server.ask("profile")
        await bench.tell(point.events)
        return str((await bench.server.ask("profile"))["profile"])


@asynccontextmanager
async def started(peer: str, cores: Cores, environment: dict[str, str]) -> AsyncIterator[tuple[Bench, Json]]:
    """A peer's server and the subscribers' process, and what it takes to subscribe."""
    async with child(*server_command(peer), cores=cores.server, **environment) as server:
        where = await server.answer()
        async with child(*subscribers_command(), cores=cores.others) as subscribers:
            yield Bench(server, subscribers), where
