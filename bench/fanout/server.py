"""A server's process: `python -m bench.fanout.server bare|stock|ours`, told what to do in lines of JSON.

Its first line says where it listens. Then it answers each line on standard input with one on standard output:

    {"do": "emit", "messages": [...]}   tells all subscribers of these messages, one event each
    {"do": "memory"}                    its memory, in bytes, without garbage
    {"do": "cpu"}                       its processor time, in seconds
    {"do": "profile"}                   begins a profile, or ends it and gives it as text

It ends with its standard input. `server.mjs` does the same on Node.js, all but the profile.
"""

from __future__ import annotations

import asyncio
import cProfile
import gc
import io
import os
import pstats
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import orjson
import uvicorn

from bench.fanout.peers import Bare, Peer, Stock
from connect_inbox.server import GRACE, listener
from connect_inbox.settings import Settings

LONGEST = 2**22  # bytes of a line
LINES = 40  # of a profile

Json = dict[str, Any]


class Control:
    """What a server is told from outside."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._profile: cProfile.Profile | None = None

    async def do(self, command: Json) -> Json:
        match command["do"]:
            case "emit":
                return asdict(await self._peer.emit(command["messages"]))
            case "memory":
                gc.collect()
                return {"memory": resident()}
            case "cpu":
                return {"cpu": time.process_time()}
            case _:
                return {"profile": self._turn_profile()}

    def _turn_profile(self) -> str:
        if self._profile is None:
            self._profile = cProfile.Profile()
            self._profile.enable()
            return ""
        self._profile.disable()
        text = io.StringIO()
        pstats.Stats(self._profile, stream=text).strip_dirs().sort_stats("tottime").print_stats(LINES)
        self._profile = None
        return text.getvalue()


def resident() -> int:
    """The memory that this process has, in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def serving(peer: Bare | Stock) -> AsyncIterator[Json]:
    """A peer on uvicorn as the app has it (connect_inbox/server.py)."""
    settings = Settings(bind=("127.0.0.1", 0))
    config = uvicorn.Config(
        peer.app, interface="asgi3", ws="websockets-sansio", ws_ping_interval=None, ws_max_size=settings.max_frame_size,
        ws_per_message_deflate=False, timeout_graceful_shutdown=GRACE, lifespan="off", access_log=False,
        log_config=None, server_header=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    with listener(settings) as bound:
        running = asyncio.create_task(server.serve(sockets=[bound]))
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield {"port": bound.getsockname()[1], "path": "/", "inits": [{}]}
        finally:
            server.should_exit = True
            await running


@asynccontextmanager
async def opened(name: str) -> AsyncIterator[tuple[Peer, Json]]:
    """The peer of that name, and what it takes to subscribe to it."""
    if name == "ours":
        from bench.fanout.ours import open_ours  # only here: it would be a part of the peers' memory

        async with open_ours(os.environ["MONGODB_URI"], os.environ["MONGODB_DATABASE"]) as (ours, where):
            yield ours, where
        return
    peer: Bare | Stock = Bare() if name == "bare" else Stock()
    async with peer.running(), serving(peer) as where:
        yield peer, where


async def run(name: str) -> None:
    commands = asyncio.StreamReader(limit=LONGEST)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    async with opened(name) as (peer, where):
        say(where)
        control = Control(peer)
        async for line in commands:
            say(await control.do(orjson.loads(line)))


def say(answer: Json) -> None:
    print(orjson.dumps(answer).decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
