"""Runs everything that is measured; `bench/__init__.py` says how."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
from pymongo import AsyncMongoClient

from bench import bare, filters, inbox, latency, measure, reading, report, search, send, thread, throughput
from bench.fill import FORMAT, Filled, fill
from bench.place import Place, open_place
from bench.writers import make_writers
from storage.check import check
from storage.embedded import embedded_engine
from storage.store import open_store

PREFIX = f"cibench_{FORMAT}_"
KEPT = 100_000  # messages from which on a filled database is kept
CHECKED = 10_000  # messages up to which what was filled is recounted
MODULES = {"inbox": inbox, "thread": thread, "send": send, "reading": reading, "filters": filters, "search": search}
OTHERS = ["latency", "throughput"]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures the inbox.")
    parser.add_argument("--messages", type=int, nargs="+", metavar="N", help="sizes to measure at")
    parser.add_argument("--only", nargs="+", choices=[*MODULES, *OTHERS], default=[*MODULES, *OTHERS])
    parser.add_argument("--json", action="store_true", help="one line of JSON at the end")
    parser.add_argument("--refill", action="store_true", help="fill kept databases anew")
    parser.add_argument("--drop", action="store_true", help="only remove the kept databases")
    return parser.parse_args()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def run(options: argparse.Namespace) -> None:
    uri = os.environ.get("MONGODB_URI")
    if options.drop:
        if uri:
            await drop_all(uri)
        return
    sizes = sorted(set(options.messages or ([10_000, 1_000_000] if uri else [10_000, 100_000])))
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="connect-inbox-bench-"))
        embedded = await stack.enter_async_context(embedded_engine(Path(folder)))
        places = []
        if uri:
            for size in sizes:
                places.append(await place(stack, "MongoDB", uri, size, options.refill))
            places.append(await place(stack, "embedded", embedded, sizes[0], True))
        else:
            started = time.monotonic()
            for size in sizes:
                took = time.monotonic() - started
                if not options.messages and places and took * size / places[0].messages > 60:
                    say(f"{size:,} messages would take more than a minute to fill; name it with --messages")
                    break
                places.append(await place(stack, "embedded", embedded, size, True))
        uris = [uri if each.engine == "MongoDB" else embedded for each in places]
        await measure_all(places, [each for each in uris if each], options)


async def place(stack: AsyncExitStack, engine: str, uri: str, messages: int, refill: bool) -> Place:
    name = f"{PREFIX}{messages}"
    label = f"{engine} {messages:,}"
    refill = refill or messages < KEPT  # what is written while measuring is not little for a small one
    if refill:
        await drop(uri, name)
    say(f"{label}: filling, unless it is filled already ...")
    started = time.monotonic()
    filled = await fill(uri, name, messages)
    say(f"{label}: ready after {time.monotonic() - started:.1f} s")
    if refill and messages <= CHECKED:
        await recount(uri, name, filled)
    if messages < KEPT:
        stack.push_async_callback(drop, uri, name)
    return await stack.enter_async_context(open_place(engine, label, uri, name, messages, filled))


async def recount(uri: str, name: str, filled: Filled) -> None:
    """What was filled in is what everything derived is recounted to. Ends the program where it is not."""
    async with open_store(uri, name) as store:
        differences = await check(store, filled.workspace, repair=False)
    if differences:
        raise SystemExit(f"the filled workspace is not consistent: {len(differences)} differences: {differences[:3]}")


async def drop(uri: str, name: str) -> None:
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        await client.drop_database(name)


async def drop_all(uri: str) -> None:
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        for name in await client.list_database_names():
            if name.startswith("cibench_"):
                await client.drop_database(name)


async def measure_all(places: list[Place], uris: list[str], options: argparse.Namespace) -> None:
    lines = []
    for name in [name for name in MODULES if name in options.only]:
        say(f"measuring: {name}")
        for operations in zip(*[await MODULES[name].operations(place) for place in places], strict=True):
            figures = await measure.measured(list(zip(places, operations, strict=True)))
            lines.append(report.Line(operations[0], figures))
    latencies, throughputs = [], []
    for place, uri in zip(places, uris, strict=True):
        if not set(OTHERS) & set(options.only):
            break
        say(f"measuring: latency and throughput, {place.label}")
        writers = await make_writers(place)
        async with bare.open_bare(writers, uri, f"{PREFIX}bare") as peer:
            if "latency" in options.only:
                latencies.append(await latency.measured(writers, peer))
            if "throughput" in options.only:
                throughputs.append([await throughput.measured(writers, peer, count) for count in throughput.WRITERS])
    print()
    if lines:
        report.print_operations(places, lines)
    if latencies:
        report.print_latencies(places, latencies)
    if throughputs:
        report.print_throughputs(places, throughputs)
    if options.json:
        print(orjson.dumps(report.as_json(places, lines, latencies, throughputs)).decode())


def main() -> None:
    asyncio.run(run(arguments()))


if __name__ == "__main__":
    main()
