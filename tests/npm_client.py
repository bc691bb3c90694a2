"""A subscriber in Node: `npm/subscriber.mjs`, which is told what to do, and tells what happens to it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.client import Json

NPM = Path(__file__).with_name("npm")
DEADLINE = 40.0  # seconds
MESSAGES = "subscription($since: String) { messageAdded(since: $since) { position message { id text } } }"


def needs_node() -> None:
    """Without it there is nothing to test with, which only a developer's machine may be excused for."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{' and '.join(missing)} cannot be found")
    assert (NPM / "node_modules" / "graphql-ws").is_dir(), "`make test` installs the clients"


async def output_of(script: str, *arguments: str) -> list[str]:
    """The lines that one of the scripts prints."""
    process = await asyncio.create_subprocess_exec("node", str(NPM / script), *arguments, stdout=PIPE)
    async with asyncio.timeout(DEADLINE):
        output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode().splitlines()


class Client:
    """A client in Node."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())
        await self._process.stdin.drain()

    async def next(self) -> Json:
        """What happens to it next."""
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            line = await self._process.stdout.readline()
        assert line, "the client has ended"
        told: Json = json.loads(line)
        return told

    async def told(self, event: str) -> Json:
        """What happens to it next, which is that."""
        told = await self.next()
        assert told["event"] == event, (event, told)
        return told

    async def values(self, count: int) -> list[Json]:
        """The values of the next events."""
        told = [await self.told("next") for _ in range(count)]
        assert not any("errors" in each for each in told), told
        return [each["value"] for each in told]


@asynccontextmanager
async def subscribed(
    transport: str, url: str, tokens: list[str], since: str, retries: int = 5
) -> AsyncIterator[Client]:
    """A client that is connected, and subscribed to every message after a position."""
    settings = {
        "transport": transport, "url": url, "tokens": tokens, "query": MESSAGES, "since": since, "retries": retries,
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        "node", str(NPM / "subscriber.mjs"), json.dumps(settings), stdin=PIPE, stdout=PIPE
    )
    try:
        client = Client(process)
        await client.told("connected")
        yield client
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
