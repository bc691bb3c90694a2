"""Changes per second: messages received by a team of five, from one writer and from twenty in one process."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from bench.bare import Bare
from bench.measure import Step
from bench.writers import Writers

SECONDS = 3.0
WRITERS = (1, 20)


@dataclass(frozen=True)
class Throughput:
    """Changes per second, and the same documents inserted bare by as many."""

    writers: int
    requests: float
    storage: float
    bare_in_turn: float
    bare_at_once: float


async def measured(writers: Writers, bare: Bare, count: int) -> Throughput:
    clients = [await writers.client(writers.partner.id) for _ in range(count)]

    def request(number: int) -> Step:
        return lambda: writers.receive(clients[number])

    return Throughput(
        writers=count,
        requests=await rate([request(number) for number in range(count)]),
        storage=await rate([writers.add] * count),
        bare_in_turn=await rate([bare.in_turn] * count),
        bare_at_once=await rate([bare.at_once] * count),
    )


async def rate(steps: list[Step]) -> float:
    """How often a second all of them together are done, each again and again, side by side."""
    done = 0

    async def repeat(step: Step, ends: float) -> None:
        nonlocal done
        while time.perf_counter() < ends:
            await step()
            done += 1

    await asyncio.gather(*[repeat(step, time.perf_counter() + 0.3) for step in steps])  # to warm up
    done, started = 0, time.perf_counter()
    await asyncio.gather(*[repeat(step, started + SECONDS) for step in steps])
    return done / (time.perf_counter() - started)
