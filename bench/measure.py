"""Measuring operations at several places, in turns, so that what else the machine does concerns all of them alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench.place import Place

RUNS = 300  # of an operation at a place, at most
FEWEST_RUNS = 15
SECONDS = 2.0  # for an operation at a place, about
WARM_UP = 5

Step = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Operation:
    """What is measured: `run`, each time after `prepare`, which is not."""

    name: str
    level: str  # "request": the whole GraphQL request; "storage": the call to storage alone
    run: Step
    prepare: Step | None = None
    budgeted: bool = True


@dataclass(frozen=True)
class Figures:
    """How long something took, in seconds, and how many calls to the database it made."""

    times: list[float]
    calls: list[int]

    @property
    def median(self) -> float:
        return statistics.median(self.times)

    def percentile(self, percent: float) -> float:
        times = sorted(self.times)
        return times[min(len(times) - 1, round(percent / 100 * len(times)))]


async def measured(operations: list[tuple[Place, Operation]]) -> list[Figures]:
    """The same operation's figures at each place."""
    figures = [Figures([], []) for _ in operations]
    for place, operation in operations:
        for _ in range(WARM_UP):
            await once(place, operation)
    gc.collect()
    gc.disable()
    try:
        ends = time.monotonic() + SECONDS * len(operations)
        for run in range(RUNS):
            if run >= FEWEST_RUNS and time.monotonic() > ends:
                break
            for found, (place, operation) in zip(figures, operations, strict=True):
                took, calls = await once(place, operation)
                found.times.append(took)
                found.calls.append(calls)
    finally:
        gc.enable()
    return figures


async def once(place: Place, operation: Operation) -> tuple[float, int]:
    if operation.prepare is not None:
        await operation.prepare()
    calls = place.store.database.calls
    started = time.perf_counter()
    await operation.run()
    return time.perf_counter() - started, place.store.database.calls - calls
