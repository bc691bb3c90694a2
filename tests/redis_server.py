"""A real Redis server for tests, which can be killed, started again, and made silent as if the network had gone."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

START_WAIT = 20.0  # seconds
COMMAND = "redis-server"


class RedisServer:
    """A server on a port that stays the same, with nothing on disk, and perhaps more options. It does not run yet."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._folder = folder
        self._options = options
        self._process: Process | None = None

    async def start(self) -> None:
        """Starts it, and waits until it answers."""
        assert self._process is None, "it runs already"
        self._process = await asyncio.create_subprocess_exec(
            COMMAND, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", "",
            "--appendonly", "no", *self._options, stdin=DEVNULL, stdout=DEVNULL,
        )  # fmt: skip
        async with asyncio.timeout(START_WAIT):
            while not await self._answers():
                await asyncio.sleep(0.02)

    async def _answers(self) -> bool:
        assert self._process is not None and self._process.returncode is None, "it ended while it started"
        try:
            await self.run("PING")
        except (RedisError, OSError):
            return False
        return True

    async def run(self, *command: str) -> object:
        """Has it run a command, on a connection for that alone."""
        async with Redis.from_url(self.url) as client:
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]

    async def kill(self) -> None:
        """As if its machine had gone: SIGKILL. Where it does not run this does nothing."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None

    def pause(self) -> None:
        """From now on it says nothing, and its connections stay open: as in a partition of the network."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "it does not run"
        self._process.send_signal(number)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def need_redis() -> None:
    need(COMMAND)


def need(command: str) -> None:
    """Skips a test where there is no such command; where everything must be tested, fails it."""
    if shutil.which(command) is None:
        told = f"{command} cannot be found; Debian has it in the package of this name"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(told)


@asynccontextmanager
async def redis_server(folder: Path, *options: str, started: bool = True) -> AsyncIterator[RedisServer]:
    """A server that has ended when the context has."""
    server = RedisServer(folder, *options)
    try:
        if started:
            await server.start()
        yield server
    finally:
        await server.kill()
