"""Two API processes on one database; at full size, and with kills, in tests/soak."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.redis_server import free_port, need_redis, redis_server
from tests.soak import redis_outage, two_processes
from tests.soak.redis_outage import SELDOM
from tests.soak.subscriber import over_socket
from tests.soak.two_processes import Load, open_scene

LOAD = Load(messages=40, writers=4, subscribers=4)


@pytest.mark.timeout(120)  # two servers start, which alone takes long on a machine that is busy
async def test_each_subscriber_has_each_message_once_in_the_order_of_the_log(
    database_uri: str, own_database: str, tmp_path: Path
) -> None:
    await two_processes.run(database_uri, own_database, tmp_path, LOAD, seed=1)


@pytest.mark.timeout(120)
async def test_the_same_while_redis_is_killed_and_silent_and_a_process_is_killed(
    database_uri: str, own_database: str, tmp_path: Path
) -> None:
    need_redis()
    load = Load(messages=40, writers=4, subscribers=4, disturbances=1)
    await redis_outage.run(database_uri, own_database, tmp_path, load, seed=1)


@pytest.mark.timeout(120)
async def test_the_same_without_the_redis_that_there_should_be(
    database_uri: str, own_database: str, tmp_path: Path
) -> None:
    """Each finds what the other did when it looks for it, by default every two seconds."""
    nobody = f"redis://127.0.0.1:{free_port()}"
    await two_processes.run(database_uri, own_database, tmp_path, LOAD, seed=1, wire=nobody, upkeep=2)


@pytest.mark.timeout(120)
async def test_what_one_process_did_without_redis_the_other_tells_when_redis_is_back(
    database_uri: str, own_database: str, tmp_path: Path
) -> None:
    need_redis()
    async with (
        redis_server(tmp_path) as redis,
        open_scene(database_uri, own_database, tmp_path, Random(1), redis.url, SELDOM) as scene,
    ):
        since = await scene.store.log.position(scene.team.id)
        here, there = [server.api(scene.tokens[scene.team.member.id]) for server in scene.servers]
        async with over_socket(here, since) as told_here, over_socket(there, since) as told_there:
            for text in ("One", "Two", "Three"):
                sent = {"threadId": scene.threads[0], "text": text, "idempotencyKey": text}
                await redis.kill()
                await here.mutate("sendMessage", "position", **sent)
                assert (await told_here())["message"]["text"] == text
                await redis.start()
                assert (await told_there())["message"]["text"] == text
