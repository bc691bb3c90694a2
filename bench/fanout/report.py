"""The figures of all turns, as tables to read and as one line of JSON."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from typing import Any

from bench.fanout.measure import Figures, Point
from bench.report import ms, print_rows

BARE = "bare"
HEADS = ["", "bursts", "x", "committed", "x", "singles", "x", "CPU", "x", "p50", "p99", "KB", "over", "busy"]

Turns = dict[str, list[Figures]]  # by peer, in the order of the turns
Pick = Callable[[Figures], float]


def median(turns: list[Figures], pick: Pick) -> float:
    return statistics.median(pick(each) for each in turns)


def of_bare(found: Turns, peer: str, pick: Pick) -> float | None:
    """The median of the ratios within each turn; None where the bare peer was not measured."""
    if BARE not in found:
        return None
    return statistics.median(pick(each) / pick(bare) for each, bare in zip(found[peer], found[BARE], strict=True))


def over_bare(found: Turns, peer: str) -> float | None:
    """Bytes of memory per idle subscriber that the bare socket does not have."""
    if BARE not in found:
        return None
    return median(found[peer], lambda each: each.memory) - median(found[BARE], lambda each: each.memory)


def print_heads() -> None:
    print("Deliveries per second: in bursts, in bursts from the commit on, of single events, in bursts by the server's")
    print("processor time; x: of bare, within a turn. Latency of single events in ms, from commit to receipt. KB of")
    print("memory per idle subscriber, and over the bare socket. Busy: the subscribers' process, in bursts.")


def print_point(point: Point, found: Turns) -> None:
    documents = f", {point.documents} documents" if point.documents > 1 else ""
    print(f"\n{point.sockets:,} sockets{documents}, bursts of {point.events} events")
    print_rows([HEADS, *[row_of(found, peer) for peer in found]])
    sys.stdout.flush()


def row_of(found: Turns, peer: str) -> list[str]:
    turns = found[peer]
    cells = [peer]
    for pick in (rate, rate_with_writing, rate_of_singles, rate_of_cpu):
        ratio = of_bare(found, peer, pick)
        cells += [f"{median(turns, pick):,.0f}", "" if ratio is None else f"{ratio:.2f}"]
    over = over_bare(found, peer)
    return [
        *cells,
        ms(median(turns, lambda each: each.p50)),
        ms(median(turns, lambda each: each.p99)),
        kb(median(turns, lambda each: each.memory)),
        "" if over is None else kb(over),
        f"{median(turns, lambda each: each.subscribers_cpu):.0%}",
    ]


def rate(figures: Figures) -> float:
    return figures.rate


def rate_with_writing(figures: Figures) -> float:
    return figures.rate_with_writing


def rate_of_singles(figures: Figures) -> float:
    return figures.rate_of_singles


def rate_of_cpu(figures: Figures) -> float:
    return figures.rate_of_cpu


def kb(size: float) -> str:
    return f"{size / 1024:.1f}"


def as_json(results: dict[Point, Turns]) -> dict[str, Any]:
    """By peer, one object for each point. Times in milliseconds, memory in bytes."""
    told: dict[str, Any] = {}
    for point, found in results.items():
        for peer in found:
            told.setdefault(peer, []).append(summary(point, found, peer))
    return told


def summary(point: Point, found: Turns, peer: str) -> dict[str, Any]:
    turns = found[peer]
    return {
        "sockets": point.sockets,
        "documents": point.documents,
        "turns": len(turns),
        "eventsPerBurst": point.events,
        "deliveriesPerSecond": round(median(turns, rate)),
        "ofBare": rounded(of_bare(found, peer, rate), 3),
        "withWriting": round(median(turns, rate_with_writing)),
        "withWritingOfBare": rounded(of_bare(found, peer, rate_with_writing), 3),
        "singlesPerSecond": round(median(turns, rate_of_singles)),
        "singlesOfBare": rounded(of_bare(found, peer, rate_of_singles), 3),
        "perCpuSecond": round(median(turns, rate_of_cpu)),
        "perCpuSecondOfBare": rounded(of_bare(found, peer, rate_of_cpu), 3),
        "p50": round(1000 * median(turns, lambda each: each.p50), 3),
        "p99": round(1000 * median(turns, lambda each: each.p99), 3),
        "memoryPerSubscriber": round(median(turns, lambda each: each.memory)),
        "memoryOverBare": rounded(over_bare(found, peer), 0),
        "bytesPerEvent": round(median(turns, lambda each: each.frame), 1),
        "subscribersBusy": round(median(turns, lambda each: each.subscribers_cpu), 2),
    }


def rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
