"""Runs the peers in turns; `bench/fanout/__init__.py` says how."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
from pymongo import AsyncMongoClient

from bench.fanout import report
from bench.fanout.measure import FIRST, Cores, Point, profile, turn
from bench.fanout.processes import PROJECT, on_cores, raise_file_limit
from storage.embedded import embedded_engine

PEERS = ["bare", "stock", "node", "ours"]
GROUPED = ["bare", "stock", "ours"]  # which are measured with different documents, too
PROFILED = ["bare", "ours"]
SOCKETS = [100, 500, 2_000, 5_000]
MOST_SOCKETS = 10_000
DOCUMENTS = (2_000, 50)  # at so many sockets, so many different ones
TURNS = 3
DATABASE = "cibench_fanout"
NPM = PROJECT / "tests" / "npm" / "node_modules"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.fanout", description="Measures the fan-out.")
    parser.add_argument("--sockets", type=int, nargs="+", metavar="N", default=SOCKETS, help="sizes to measure at")
    parser.add_argument("--only", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--json", action="store_true", help="one line of JSON at the end")
    parser.add_argument("--profile", action="store_true", help="profile a burst of bare and ours instead of measuring")
    options = parser.parse_args()
    if min(options.sockets) <= FIRST or max(options.sockets) > MOST_SOCKETS:
        parser.error(f"more than {FIRST} sockets are needed, and at most {MOST_SOCKETS:,}")
    return options


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def cores() -> Cores:
    """One for the servers, the others for everything else. Ends the program where there is only one."""
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        raise SystemExit("two cores are needed: one for the server, one for its subscribers")
    return Cores({first}, set(others))


def is_node_ready() -> bool:
    return shutil.which("node") is not None and (NPM / "graphql-ws").is_dir()


@asynccontextmanager
async def database() -> AsyncIterator[str]:
    """Where the database is: MONGODB_URI, or an embedded one on the cores that this process has."""
    given = os.environ.get("MONGODB_URI")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="connect-inbox-bench-") as folder:
        async with embedded_engine(Path(folder)) as uri:
            yield uri


async def run(options: argparse.Namespace) -> None:
    peers = [peer for peer in PEERS if peer in options.only]
    if "node" in peers and not options.profile and not is_node_ready():
        raise SystemExit("Node.js and what is in tests/npm is needed; `--only bare stock ours` does without them")
    raise_file_limit()
    allowed = cores()
    points = [Point(each) for each in options.sockets]
    if DOCUMENTS[0] in options.sockets:
        points.insert(options.sockets.index(DOCUMENTS[0]) + 1, Point(*DOCUMENTS))
    with on_cores(allowed.others):
        async with database() as uri:
            if options.profile:
                await profile_all(points, [peer for peer in PROFILED if peer in peers], allowed, uri)
            else:
                await measure_all(points, peers, allowed, uri, options.json)


async def measure_all(points: list[Point], peers: list[str], allowed: Cores, uri: str, with_json: bool) -> None:
    results: dict[Point, report.Turns] = {}
    report.print_heads()
    for point in points:
        asked = [peer for peer in peers if point.documents == 1 or peer in GROUPED]
        found: report.Turns = {peer: [] for peer in asked}
        for number in range(TURNS):
            for peer in asked if number % 2 == 0 else reversed(asked):
                say(f"{point.sockets:,} sockets, {point.documents} document(s), turn {number + 1}: {peer}")
                async with fresh_database(uri) as environment:
                    found[peer].append(await turn(peer, point, allowed, environment))
        results[point] = found
        report.print_point(point, found)
    if with_json:
        print(orjson.dumps(report.as_json(results)).decode())


async def profile_all(points: list[Point], peers: list[str], allowed: Cores, uri: str) -> None:
    for point in points:
        for peer in peers:
            async with fresh_database(uri) as environment:
                print(f"{peer}, {point.sockets:,} sockets, {point.documents} document(s)")
                print(await profile(peer, point, allowed, environment), flush=True)


@asynccontextmanager
async def fresh_database(uri: str) -> AsyncIterator[dict[str, str]]:
    """Where a server finds an empty database, as its environment has it; dropped afterwards."""
    async with AsyncMongoClient[dict[str, object]](uri) as client:
        await client.drop_database(DATABASE)
        try:
            yield {"MONGODB_URI": uri, "MONGODB_DATABASE": DATABASE}
        finally:
            await client.drop_database(DATABASE)


def main() -> None:
    asyncio.run(run(arguments()))


if __name__ == "__main__":
    main()
