"""Two API processes with Redis between them, which is killed and silent while they write; one of them is killed, too.

They do not look for each other's changes in all that time: what a process knows of the other it knows by the wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

from tests.api_process import ApiProcess
from tests.redis_server import RedisServer, redis_server
from tests.soak import two_processes
from tests.soak.two_processes import Load, Scene, add_message, kill_a_process

SELDOM = 60.0  # seconds between two looks for others' changes, the most there may be
MEANWHILE = 10  # messages that are written while Redis is away, and while it is silent, whatever the others do
DEADLINE = 60.0  # seconds


async def run(uri: str, database: str, folder: Path, load: Load, seed: int) -> str:
    """Raises AssertionError where a promise was broken."""
    async with redis_server(folder) as redis:
        disturb = partial(outage, redis, count())
        told = await two_processes.run(uri, database, folder, load, seed, redis.url, SELDOM, disturb)
    return f"{told}; each time Redis was killed, and a process meanwhile, and then Redis was silent"


async def outage(redis: RedisServer, names: Iterator[int], scene: Scene, number: int) -> None:
    """Writing goes on while Redis is away, and while it is silent; afterwards each process finds it again."""
    await redis.kill()
    await write_some(scene, names)
    await kill_a_process(scene, number)
    await until_wire(scene, is_up=False)
    await redis.start()
    await until_wire(scene, is_up=True)

    redis.pause()
    await write_some(scene, names)
    await until_wire(scene, is_up=False)
    redis.resume()
    await until_wire(scene, is_up=True)


async def write_some(scene: Scene, names: Iterator[int]) -> None:
    for _ in range(MEANWHILE):
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
