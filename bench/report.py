"""What was measured, as tables to read and as one line of JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.latency import Latency
from bench.measure import Figures, Operation
from bench.place import Place
from bench.throughput import Throughput

BUDGET = 1.2  # the time at the greatest size, of that at the smallest

Rows = list[list[str]]


@dataclass(frozen=True)
class Line:
    """One operation, at every place."""

    operation: Operation
    figures: list[Figures]


def growth(places: list[Place], figures: list[Figures]) -> float | None:
    """The time at the greatest size of the first engine, of that at its smallest; None where there is one size."""
    times = {place.messages: found.median for place, found in zip(places, figures, strict=True)
             if place.engine == places[0].engine}  # fmt: skip
    return times[max(times)] / times[min(times)] if len(times) > 1 else None


def calls_of(figures: list[Figures]) -> str:
    """How many calls to the database, where it differs from run to run the fewest and the most."""
    calls = [count for found in figures for count in found.calls]
    return f"{min(calls)}" if min(calls) == max(calls) else f"{min(calls)}-{max(calls)}"


def print_operations(places: list[Place], lines: list[Line]) -> None:
    heads = [f"{place.label}: median, p95" for place in places]
    rows: Rows = [["", "", "calls", *heads, "ratio", "budget"]]
    for line in lines:
        ratio = growth(places, line.figures)
        budget = BUDGET if line.operation.budgeted and ratio is not None else None
        rows.append([
            line.operation.name, line.operation.level, calls_of(line.figures),
            *[f"{ms(found.median)} {ms(found.percentile(95)):>9}" for found in line.figures],
            "" if ratio is None else f"{ratio:.2f}",
            "" if budget is None or ratio is None else f"{budget} {'ok' if ratio <= budget else 'OVER'}",
        ])  # fmt: skip
    print_rows(rows)


def print_latencies(places: list[Place], latencies: list[Latency]) -> None:
    print("\nOne message handed in, to the socket of one subscriber (ms); x: of the bare inserts in the same run")
    names = {
        "from_request": "from the request's start to the socket",
        "from_commit": "from the commit to the socket",
        "answer": "from the request's start to its own answer",
        "bare_in_turn": "bare: the same documents, one insert after the other",
        "bare_at_once": "bare: all inserts at once",
    }
    rows: Rows = [["", *[f"{place.label}: p50, p99, x in turn, x at once" for place in places]]]
    for name, text in names.items():
        row = [text]
        for latency in latencies:
            figures: Figures = getattr(latency, name)
            against = [figures.median / peer.median for peer in (latency.bare_in_turn, latency.bare_at_once)]
            row.append(f"{ms(figures.median)} {ms(figures.percentile(99)):>9} {against[0]:6.2f} {against[1]:6.2f}")
        rows.append(row)
    print_rows(rows)


def print_throughputs(places: list[Place], throughputs: list[list[Throughput]]) -> None:
    print("\nMessages received per second, by a team of five; the bare peer inserts the same documents")
    rows: Rows = [["", "writers", "requests", "storage alone", "bare in turn", "bare at once", "storage, of bare"]]
    for place, found in zip(places, throughputs, strict=True):
        for each in found:
            rows.append([
                place.label, str(each.writers), f"{each.requests:.0f}", f"{each.storage:.0f}",
                f"{each.bare_in_turn:.0f}", f"{each.bare_at_once:.0f}",
                f"{each.storage / max(each.bare_in_turn, each.bare_at_once):.2f}",
            ])  # fmt: skip
    print_rows(rows)


def ms(seconds: float) -> str:
    return f"{1000 * seconds:.2f}"


def print_rows(rows: Rows) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) if column == 0 else cell.rjust(width)
                 for column, (cell, width) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
        print("  ".join(cells).rstrip())


def as_json(
    places: list[Place], lines: list[Line], latencies: list[Latency], throughputs: list[list[Throughput]]
) -> dict[str, Any]:
    """Times in milliseconds, by place."""
    labels = [place.label for place in places]

    def by_place(values: list[Any]) -> dict[str, Any]:
        return dict(zip(labels, values, strict=True))

    return {
        "places": [{"label": place.label, "engine": place.engine, "messages": place.messages} for place in places],
        "operations": [
            {
                "name": line.operation.name,
                "level": line.operation.level,
                "calls": calls_of(line.figures),
                "times": by_place([summary(figures) for figures in line.figures]),
                "ratio": growth(places, line.figures),
                "budget": BUDGET if line.operation.budgeted else None,
            }
            for line in lines
        ],
        "latency": by_place([{name: summary(value) for name, value in vars(each).items()} for each in latencies]),
        "changesPerSecond": by_place([[vars(each) for each in found] for found in throughputs]),
    }


def summary(figures: Figures) -> dict[str, float]:
    percentiles = {f"p{percent}": round(1000 * figures.percentile(percent), 3) for percent in (95, 99)}
    return {"runs": len(figures.times), "median": round(1000 * figures.median, 3), **percentiles}
