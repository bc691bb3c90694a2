"""A deployment while the database is away: SIGTERM to a process in which changes are under way."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from storage.check import check
from storage.embedded import embedded_engine
from storage.store import open_store
from tests.api.conftest import Brand, create_brand
from tests.api_process import api_process
from tests.client import DEADLINE, Server
from tests.commands import wait_until
from tests.engine import Engine, engine_in
from tests.storage.deeds import assert_dense, texts
from tests.test_shutdown import GONE

WRITERS = 12
FIRST = 60  # messages that are written before the database goes away


@pytest.mark.timeout(120)
@pytest.mark.parametrize("go_away", [Engine.kill, Engine.freeze])
async def test_a_process_is_gone_in_time_and_leaves_nothing_half_done(
    tmp_path: Path, go_away: Callable[[Engine], None]
) -> None:
    folder, written = tmp_path / "engine", list[str]()
    async with (
        engine_in(folder) as engine,
        api_process(engine.uri, "own", tmp_path / "log") as process,
        httpx2.AsyncClient(timeout=DEADLINE) as http,
    ):
        async with open_store(engine.uri, "own") as store:
            place = await create_brand(store, Server(process.url, http))
            thread = (await place.influencer())["thread"]
        writing = [asyncio.create_task(write(place, thread, f"{number}", written)) for number in range(WRITERS)]
        await wait_until(lambda: len(written) >= FIRST)
        go_away(engine)
        started = time.monotonic()
        await process.stop()
        assert time.monotonic() - started < GONE
        for each in writing:
            each.cancel()
        await asyncio.wait(writing)
    async with embedded_engine(folder) as uri, open_store(uri, "own") as store:
        await store.log.refresh(place.workspace)
        assert set(written) <= set(await texts(store, thread))
        await assert_dense(store, place.workspace)
        assert await check(store, place.workspace, repair=False) == []


async def write(place: Brand, thread: str, name: str, written: list[str]) -> None:
    """Writes one message after the other, until it cannot."""
    with contextlib.suppress(Exception):
        while True:
            text = f"{name}: {len(written)}"
            await place.send(thread, text)
            written.append(text)
