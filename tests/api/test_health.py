"""Whether it lives, and whether it is ready: with a database and a wire that are there, and that are gone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urljoin

import httpx2

from connect_inbox.server import Server as ApiServer
from connect_inbox.server import listener, local_url, uvicorn_config
from connect_inbox.settings import Settings
from storage.store import Store, open_store
from tests.client import DEADLINE, Json, Server
from tests.engine import engine_in
from tests.redis_server import need_redis, redis_server
from tests.server import running

READY = {"status": "ready", "server": "up", "database": "up", "wire": "up"}


async def ask(server: Server, path: str) -> tuple[int, Json]:
    response = await server.http.get(urljoin(server.url, path))
    answer: Json = response.json()
    return response.status_code, answer


async def readiness(server: Server, wanted: Json) -> tuple[int, Json]:
    """The answer, as soon as it is the wanted one."""
    async with asyncio.timeout(2 * DEADLINE):
        while True:
            status, answer = await ask(server, "/readyz")
            if answer == wanted:
                return status, answer
            await asyncio.sleep(0.05)


async def test_alive_and_ready(server: Server) -> None:
    assert await ask(server, "/healthz") == (200, {"status": "alive"})
    assert await ask(server, "/readyz") == (200, READY)


async def test_a_database_that_is_gone(tmp_path: Path) -> None:
    """Frozen, then back, then killed: it is told each time, in time, and the process lives on."""
    without = {**READY, "status": "unready", "database": "down"}
    async with (
        engine_in(tmp_path) as engine,
        open_store(engine.uri) as store,
        running(store, Settings()) as server,
    ):
        assert await ask(server, "/readyz") == (200, READY)
        engine.freeze()
        assert (await readiness(server, without))[0] == 503
        assert await ask(server, "/healthz") == (200, {"status": "alive"})
        engine.thaw()
        assert (await readiness(server, READY))[0] == 200
        engine.kill()
        assert (await readiness(server, without))[0] == 503
        assert await ask(server, "/healthz") == (200, {"status": "alive"})


async def test_however_many_ask_a_dead_database_is_pinged_once(tmp_path: Path) -> None:
    async with engine_in(tmp_path) as engine, open_store(engine.uri) as store:
        pings = 0
        ping = store.database.ping

        async def counted() -> None:
            nonlocal pings
            pings += 1
            await ping()

        store.database.ping = counted  # type: ignore[method-assign]
        async with running(store, Settings()) as server:
            engine.freeze()
            answers = await asyncio.gather(*[ask(server, "/readyz") for _ in range(50)])
            assert {status for status, _ in answers} == {503}
            assert pings == 1
            engine.thaw()


async def test_a_wire_that_is_gone(tmp_path: Path, database_uri: str, database_name: str) -> None:
    """It is told, and what does not need it goes on."""
    need_redis()
    without = {**READY, "status": "unready", "wire": "down"}
    async with (
        redis_server(tmp_path, started=False) as redis,
        open_store(database_uri, database_name, redis.url) as store,
        running(store, Settings()) as server,
    ):
        assert await ask(server, "/readyz") == (503, without)
        response = await server.http.post(server.url, json={"query": "{ viewer { id } }"})
        assert response.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        await redis.start()
        assert (await readiness(server, READY))[0] == 200
        await redis.kill()
        assert (await readiness(server, without))[0] == 503


async def test_a_server_that_is_stopping_is_not_ready(tmp_path: Path) -> None:
    """Asked before it began to stop, answered after: the database takes its time."""
    settings = Settings(bind=("127.0.0.1", 0))
    async with engine_in(tmp_path) as engine, open_store(engine.uri) as store:
        with listener(settings) as bound:
            server = ApiServer(uvicorn_config(settings, store))
            serving = asyncio.create_task(server.serve(sockets=[bound]))
            async with asyncio.timeout(DEADLINE), httpx2.AsyncClient(timeout=DEADLINE) as http:
                await server.listening.wait()
                engine.freeze()
                asking = asyncio.create_task(http.get(urljoin(local_url(bound), "/readyz")))
                while not server.server_state.tasks:
                    await asyncio.sleep(0.01)
                server.should_exit = True
                answer = await asking
            assert answer.status_code == 503
            assert answer.json()["server"] == "stopping"
            engine.thaw()
            await serving


async def test_nothing_is_said_of_where_anything_is(server: Server, store: Store) -> None:
    for path in ("/healthz", "/readyz"):
        response = await server.http.get(urljoin(server.url, path))
        assert "127.0.0.1" not in response.text and "mongodb" not in response.text
        assert response.headers["cache-control"] == "no-store"
        assert (await server.http.post(urljoin(server.url, path))).status_code == 405
