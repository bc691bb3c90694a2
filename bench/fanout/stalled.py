"""What clients that do not read cost the others: `python -m bench.fanout.stalled`.

Idle subscribers of ours, with a few beside them whose clients have stopped reading and whose buffers are full: the
latency of single events at the others, and the memory of the server, without and with them.
"""

from __future__ import annotations

import argparse
import asyncio

import orjson

from bench.fanout.__main__ import cores, database, fresh_database
from bench.fanout.measure import MOST, Bench, Point, Singles, singles, started
from bench.fanout.processes import Json, child, on_cores, raise_file_limit, subscribers_command

SOCKETS = 2000
STALLED = 5
ALIASES = 25
HEAVY = " ".join(f"a{number}: text" for number in range(ALIASES))
QUERY = f"subscription {{ messageAdded {{ position message {{ id sentAt {HEAVY} }} }} }}"  # a burst is over a megabyte


async def run(sockets: int, stalled: int) -> Json:
    allowed = cores()
    with on_cores(allowed.others):
        async with (
            database() as uri,
            fresh_database(uri) as environment,
            started("ours", allowed, environment) as (bench, where),
            child(*subscribers_command(), cores=allowed.others) as silent,
        ):
            await bench.connect(where, Point(sockets).queries, sockets)
            await bench.hear()
            without = await singles(bench)
            before = await memory_of(bench)
            await silent.ask("connect", **where, queries=[QUERY], count=stalled)  # which reads when it is asked to only
            await bench.tell(MOST)
            with_them = await singles(bench)
            after = await memory_of(bench)
    return {
        "sockets": sockets,
        "stalled": stalled,
        "without": percentiles(without),
        "with": percentiles(with_them),
        "bytesPerStalled": round((after - before) / stalled),
    }


async def memory_of(bench: Bench) -> int:
    return int((await bench.server.ask("memory"))["memory"])


def percentiles(found: Singles) -> Json:
    """In milliseconds, from the commit to the receipt."""
    count = len(found.latencies)
    return {name: round(found.latencies[count * part // 100] * 1000, 2) for name, part in (("p50", 50), ("p99", 99))}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fanout.stalled", description=__doc__)
    parser.add_argument("--sockets", type=int, default=SOCKETS)
    parser.add_argument("--stalled", type=int, default=STALLED)
    options = parser.parse_args()
    raise_file_limit()
    result = asyncio.run(run(options.sockets, options.stalled))
    for name in ("without", "with"):
        figures = result[name]
        print(f"{name:>7} {options.stalled} stalled: p50 {figures['p50']} ms, p99 {figures['p99']} ms")
    print(f"memory per stalled client: {result['bytesPerStalled'] / 1024:.0f} KB")
    print(orjson.dumps(result).decode())


if __name__ == "__main__":
    main()
