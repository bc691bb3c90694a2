"""Two API processes with Redis between them, which is killed and silent while they write; one of them is killed, too.

They do not look for each other's changes in all that time: what a process knows of the other it knows by the wire.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path

from tests.api_process import ApiProcess
from tests.redis_server import RedisServer, redis_server
from tests.soak import two_processes
from tests.soak.two_processes import Load, Scene, add_message, kill_a_process

SELDOM = 60.0  # seconds between two looks for others' changes, the most there may be
MEANWHILE = 20  # messages that are written while Redis is away, and while it is silent, whatever the others do
RETURN = 2.0  # seconds after the return of Redis in which every subscriber must have everything
QUIET = 1.0  # seconds without an event, after which whoever could be told of something has been
DEADLINE = 60.0  # seconds


async def run(uri: str, database: str, folder: Path, load: Load, seed: int) -> str:
    """Raises AssertionError where a promise was broken."""
    late: list[float] = []
    async with redis_server(folder) as redis:
        disturb = partial(outage, redis, late, count())
        told = await two_processes.run(uri, database, folder, load, seed, redis.url, SELDOM, disturb, math.inf)
    assert max(late) <= RETURN, f"somebody had everything {max(late):.2f} s after Redis was back"
    return (
        f"{told}; each time Redis was killed, and a process meanwhile, and then Redis was silent; "
        f"everybody had everything {max(late):.2f} s after it was back"
    )


async def outage(redis: RedisServer, late: list[float], names: Iterator[int], scene: Scene, number: int) -> None:
    """Writing goes on while Redis is away, and while it is silent; afterwards each process finds it again."""
    await redis.kill()
    await asyncio.gather(write_some(scene, names), kill_a_process(scene, number))
    await until_wire(scene, is_up=False)
    async with quiet(scene):
        await write_some(scene, names, 1)
        await redis.start()
        late.append(await time_until_all_have_all(scene))
        await until_wire(scene, is_up=True)

    redis.pause()
    await write_some(scene, names)
    await until_wire(scene, is_up=False)
    async with quiet(scene):
        await write_some(scene, names, 1)
        redis.resume()
        late.append(await time_until_all_have_all(scene))
        await until_wire(scene, is_up=True)


@asynccontextmanager
async def quiet(scene: Scene) -> AsyncIterator[None]:
    """Keeps the writers waiting, so that what takes time is not that everybody is busy; begins when nothing happens."""
    scene.may_write.clear()
    async with asyncio.timeout(DEADLINE):
        seen, since = -1, 0.0
        while seen != scene.events() or time.monotonic() - since < QUIET:
            if seen != scene.events():
                seen, since = scene.events(), time.monotonic()
            await asyncio.sleep(0.02)
    try:
        yield
    finally:
        scene.may_write.set()


async def time_until_all_have_all(scene: Scene) -> float:
    started = time.monotonic()
    async with asyncio.timeout(DEADLINE):
        while not scene.all_have_all():
            await asyncio.sleep(0.01)
    return time.monotonic() - started


async def write_some(scene: Scene, names: Iterator[int], count: int = MEANWHILE) -> None:
    for _ in range(count):
        name = f"meanwhile {next(names)}"
        await add_message(scene, name, name)


async def until_wire(scene: Scene, is_up: bool) -> None:
    async with asyncio.timeout(DEADLINE):
        while any(says_up(process) != is_up for process in scene.processes):
            await asyncio.sleep(0.1)


def says_up(process: ApiProcess) -> bool:
    """What a process has last said of its wire; where it said nothing, it has never been down."""
    log = process.logged()
    return log.rfind("the wire is down") <= log.rfind("the wire is back")
