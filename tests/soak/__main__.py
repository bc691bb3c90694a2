"""The long test: `python -m tests.soak --scale 0.1`, on the embedded database or on the one that MONGODB_URI names.

Each part prints a line with its figures. What it leaves behind where a part failed is in the folder that it names.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import secrets
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pymongo import AsyncMongoClient

from connect_inbox.settings import Settings
from storage.embedded import embedded_engine
from storage.store import open_store
from tests import client, sse, test_executor
from tests.server import running
from tests.soak import kills, mail, paging, redis_outage, shutdown, stalled, two_processes
from tests.soak.two_processes import Load
from tests.storage import log_model

UNLIMITED = Settings(rate_per_token=0, rate_per_address=0)  # for clients that never pause
DEADLINE = 60.0  # seconds for what a client of a test waits for: there is more to do here than there


@dataclass(frozen=True)
class Soak:
    """Where it runs, and how long: 1 is full size."""

    uri: str
    database: str
    folder: Path
    scale: float
    seed: int

    def scaled(self, full: int, least: int = 1) -> int:
        return max(least, round(full * self.scale))


async def soak_two_processes(soak: Soak) -> str:
    load = Load(messages=soak.scaled(5000, 100), disturbances=soak.scaled(10))
    return await two_processes.run(soak.uri, soak.database, soak.folder, load, soak.seed)


async def soak_redis_outage(soak: Soak) -> str:
    messages = soak.scaled(100_000, 500)
    load = Load(
        messages, writers=8, subscribers=50, disturbances=soak.scaled(5), longest=max(60, messages // 6),
        batch=max(5, min(100, messages // 100)), reconnects=500,
    )  # fmt: skip
    return await redis_outage.run(soak.uri, soak.database, soak.folder, load, soak.seed)


async def soak_paging(soak: Soak) -> str:
    async with open_store(soak.uri, soak.database) as store, running(store, UNLIMITED) as server:
        threads, changes = soak.scaled(300, 36), soak.scaled(4000, 100)
        return await paging.run(store, server, threads=threads, changes=changes, writers=10, seed=soak.seed)


async def soak_stalled(soak: Soak) -> str:
    return await stalled.run(soak.uri, soak.scaled(2000, 100), stalled=5)


async def soak_shutdown(soak: Soak) -> str:
    return await shutdown.run(soak.uri, soak.database, soak.folder, soak.scaled(200, 20), stalled=5)


async def soak_kills(soak: Soak) -> str:
    async with open_store(soak.uri, soak.database) as store:
        return await kills.run(store, soak.uri, soak.database, soak.scaled(500, 20), soak.seed)


async def soak_mail(soak: Soak) -> str:
    mails, kills, sends = soak.scaled(1000, 40), soak.scaled(50, 4), soak.scaled(1000, 24)
    return await mail.run(soak.uri, soak.database, mails, kills, sends, soak.seed)


async def soak_model(soak: Soak) -> str:
    """The log's protocol in schedules made by chance."""
    schedules = soak.scaled(30_000, 500)

    def play() -> None:
        for seed in range(soak.seed, soak.seed + schedules):
            try:
                log_model.play(seed)
            except AssertionError as violation:
                raise AssertionError(f"schedule {seed}: {violation}") from violation

    await asyncio.to_thread(play)
    return f"{schedules} schedules"


async def soak_executors(soak: Soak) -> str:
    """Both executors, on documents and values made by chance."""
    documents = soak.scaled(10_000, 200)

    def compare() -> None:
        for seed in range(soak.seed, soak.seed + documents):
            try:
                test_executor.compare(random.Random(seed))
            except AssertionError as difference:
                raise AssertionError(f"document {seed}: {difference}") from difference

    await asyncio.to_thread(compare)
    return f"{documents} documents, {test_executor.VALUES} times each"


PARTS: dict[str, Callable[[Soak], Awaitable[str]]] = {
    "two processes": soak_two_processes,
    "redis outage": soak_redis_outage,
    "paging": soak_paging,
    "stalled": soak_stalled,
    "shutdown": soak_shutdown,
    "kills": soak_kills,
    "mail": soak_mail,
    "log model": soak_model,
    "executors": soak_executors,
}


@asynccontextmanager
async def database(folder: Path) -> AsyncIterator[tuple[str, str]]:
    """A database that nobody else has, and that is gone afterwards."""
    name = f"connect_inbox_soak_{secrets.token_hex(6)}"
    given = os.environ.get("MONGODB_URI")
    if not given:
        async with embedded_engine(folder / "engine") as uri:
            yield uri, name
        return
    yield given, name
    async with AsyncMongoClient[dict[str, object]](given) as client:
        await client.drop_database(name)


async def run(folder: Path, scale: float, seed: int, parts: list[str]) -> int:
    """Runs the parts one after the other; how many have failed."""
    failed = 0
    async with database(folder) as (uri, name):
        for part in parts:
            started = time.monotonic()
            try:
                told = await PARTS[part](Soak(uri, name, folder, scale, seed))
            except Exception:
                failed += 1
                traceback.print_exc()
                told = f"FAILED with --scale {scale} --seed {seed}"
            print(f"{part} ({time.monotonic() - started:.0f} s): {told}", flush=True)
    print(f"{len(parts) - failed} passed, {failed} failed")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="The long test.")
    parser.add_argument("--scale", type=float, default=1, help="how long; 1 is full size")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="to do the same once more")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="only this part; may be repeated")
    arguments = parser.parse_args()
    for module in (client, sse):
        vars(module)["DEADLINE"] = DEADLINE
    folder = Path(tempfile.mkdtemp(prefix="connect-inbox-soak-"))
    failed = asyncio.run(run(folder, arguments.scale, arguments.seed, arguments.part or list(PARTS)))
    if failed:
        print(f"what is left of it is in {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
