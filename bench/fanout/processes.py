"""The processes of a measurement: lines of JSON to and from them, and the core that each may use."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import orjson

PROJECT = Path(__file__).parents[2]
LONGEST = 2**28  # bytes of an answer: the time of every receipt in a burst
ANSWER_WAIT = 300.0  # seconds
STOP_WAIT = 30.0
FILES = 12_000  # open files that a process of 10,000 sockets may have

Json = dict[str, Any]


class Child:
    """A process that answers each line with one."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def ask(self, do: str, **how: Any) -> Json:
        """Tells it what to do, and gives its answer. Raises RuntimeError if there is none."""
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps({"do": do, **how}) + b"\n")
        return await self.answer()

    async def answer(self) -> Json:
        assert self._process.stdout is not None
        async with asyncio.timeout(ANSWER_WAIT):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process has ended; the lines above say why")
        answer: Json = orjson.loads(line)
        return answer

    async def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(STOP_WAIT):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def child(*command: str, cores: set[int], **environment: str) -> AsyncIterator[Child]:
    """A process on those cores, ended with the context."""
    with on_cores(cores):
        process = await asyncio.create_subprocess_exec(
            *command, cwd=PROJECT, env={**os.environ, **environment}, stdin=PIPE, stdout=PIPE, limit=LONGEST
        )
    running = Child(process)
    try:
        yield running
    finally:
        await running.end()


@contextmanager
def on_cores(cores: set[int]) -> Iterator[None]:
    """What is started meanwhile runs on those cores, and stays there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def server_command(peer: str) -> list[str]:
    if peer == "node":
        return ["node", "--expose-gc", str(Path(__file__).with_name("server.mjs"))]
    return [sys.executable, "-m", "bench.fanout.server", peer]


def subscribers_command() -> list[str]:
    return [sys.executable, "-m", "bench.fanout.subscribers"]


def raise_file_limit() -> None:
    """As many open files as all sockets need; a child has the same limit. Ends the program where that is forbidden."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < FILES:
        raise SystemExit(f"{FILES:,} open files are needed, and {most:,} allowed (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, most))
