"""How long things take, counted as they happen: plain numbers, which `/metrics` reads."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import accumulate

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds, each included


@dataclass
class Histogram:
    """How many took how long."""

    total: float = 0.0  # seconds
    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))  # the last one is of all above

    def add(self, seconds: float) -> None:
        self.total += seconds
        self.counts[bisect_left(BOUNDS, seconds)] += 1

    def buckets(self) -> list[tuple[str, int]]:
        """How many took at most so long: by each bound, then all."""
        names = [*(f"{bound:g}" for bound in BOUNDS), "+Inf"]
        return list(zip(names, accumulate(self.counts), strict=True))


class Timings:
    """Histograms, one for each combination of labels that there was. Labels come from us alone, so they are few."""

    def __init__(self, *labels: str) -> None:
        self.labels = labels
        self.histograms: dict[tuple[str, ...], Histogram] = {} if labels else {(): Histogram()}

    def add(self, seconds: float, *values: str) -> None:
        self.histograms.setdefault(values, Histogram()).add(max(seconds, 0.0))
