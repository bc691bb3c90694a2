"""The command line as a process of its own, for tests."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connect_inbox import cli
from storage import embedded

PROJECT = Path(__file__).parents[1]
DEADLINE = 40.0  # seconds; a whole demo is filled in a fraction of it
KEYS = f"test:{base64.b64encode(bytes(range(32))).decode()}"  # or a server would make a key file in its data folder
SETTINGS = ("CONNECT_INBOX_", "MONGODB_", "BROADCAST_URL", "MAKELEVEL")


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)

    def refused(self, *words: str, code: int = 1) -> None:
        """It was refused, by one clear line that has these words."""
        assert self.code == code, (self.code, self.out, self.err)
        assert self.err.startswith("connect-inbox: ") and self.err.count("\n") == 1, self.err
        for word in words:
            assert word in self.err, (word, self.err)


def environment(**settings: object) -> dict[str, str]:
    """This process's environment, with these settings and no others but keys."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    return {**kept, "CONNECT_INBOX_SECRET_KEYS": KEYS, **{name: str(value) for name, value in settings.items()}}


async def start(*arguments: object, env: dict[str, str]) -> Process:
    command = [sys.executable, "-m", "connect_inbox", *map(str, arguments)]
    return await asyncio.create_subprocess_exec(*command, cwd=PROJECT, env=env, stdout=PIPE, stderr=PIPE)


async def call(*arguments: object, env: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Result:
    """A command within this process, which is faster."""
    capsys.readouterr()
    with logging_kept():
        code = await cli.execute(cli.build_parser().parse_args([str(each) for each in arguments]), env)
    printed = capsys.readouterr()
    return Result(code, printed.out, printed.err)


@contextmanager
def logging_kept() -> Iterator[None]:
    """Afterwards this process logs as it did before, and not to what a test has captured."""
    root, own = logging.root, logging.getLogger("connect_inbox")
    handlers, levels = root.handlers[:], (root.level, own.level)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        own.setLevel(levels[1])


async def run(*arguments: object, env: dict[str, str]) -> Result:
    process = await start(*arguments, env=env)
    async with ending(process):
        return await result_of(process)


async def result_of(process: Process) -> Result:
    """How it ends, and what it printed that was not read before."""
    async with asyncio.timeout(DEADLINE):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Result(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def ending(process: Process) -> AsyncIterator[None]:
    """It has ended when this has, whatever happens."""
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def started(*arguments: object, env: dict[str, str]) -> AsyncIterator[tuple[Process, str]]:
    """A process that goes on, and the first line that it prints, which says that it is ready."""
    process = await start(*arguments, env=env)
    async with ending(process):
        assert process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            line = (await process.stdout.readline()).decode()
        assert line, (await result_of(process)).err
        yield process, line


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.02)


def is_free(folder: Path) -> bool:
    """Whether no database server has the folder open."""
    lock = embedded.open_lock_file(folder)
    try:
        return embedded.try_lock(lock)
    finally:
        os.close(lock)
