"""The wire over a real Redis server, which is killed, started again, silent, late, and unfriendly.

No store here looks for others' changes by itself, so that what it comes to know it knows by the wire.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from connect_inbox.server import background
from connect_inbox.settings import Settings
from schema.types.scalars import now
from storage import redis_wire
from storage.redis_wire import Direction, Health
from storage.store import Store, open_store
from storage.tokens import create_token
from storage.wire import CHANNEL, open_wire
from sync.upkeep import run_upkeep
from tests.client import Subscription
from tests.commands import wait_until
from tests.proxy import proxy_to
from tests.redis_server import RedisServer, free_port, need, need_redis, redis_server
from tests.server import running
from tests.soak.redis_outage import RETURN
from tests.soak.two_processes import WITHOUT
from tests.storage.deeds import influencer, send
from tests.storage.test_wire import following, reached, written
from tests.team import Team, create_team

DEADLINE = 30.0  # seconds
TEXTS = "subscription($since: String) { messageAdded(since: $since) { message { text } } }"
SUBSCRIBERS = 20
Opening = Callable[[str], AbstractAsyncContextManager[Store]]
DOWN, BACK = "the wire is down", "the wire is back"


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    need_redis()
    async with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what is logged: a Redis that a busy machine holds up is not taken for a silent one."""
    for name in ("SILENCE", "ANSWER_TIMEOUT"):
        monkeypatch.setattr(redis_wire, name, DEADLINE)


@pytest.fixture
def opening(database_uri: str, database_name: str) -> Opening:
    """Opens a store as a process does, with its end of the wire at an address."""
    return lambda url: open_store(database_uri, database_name, url)


@asynccontextmanager
async def two_stores(opening: Opening, here: str, there: str | None = None) -> AsyncIterator[tuple[Store, Store]]:
    async with opening(here) as first, opening(there or here) as second:
        yield first, second


async def are_up(*stores: Store) -> None:
    await wait_until(lambda: all(store.wire.is_up for store in stores))


async def are_down(*stores: Store) -> None:
    await wait_until(lambda: not any(store.wire.is_up for store in stores))


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the wire has logged, without addresses and reasons."""
    messages = [record.getMessage() for record in caplog.records if record.name == "connect_inbox.wire"]
    return [message.partition(":")[0] for message in messages]


async def failed(monkeypatch: pytest.MonkeyPatch, times: int) -> set[Direction]:
    """Waits until the wire has failed so many times more; in what it has."""
    fails, enough = Health.fails, asyncio.Event()
    failures: list[Direction] = []

    def count(health: Health, direction: Direction, error: Exception) -> None:
        fails(health, direction, error)
        failures.append(direction)
        if len(failures) == times:
            enough.set()

    with monkeypatch.context() as patch:
        patch.setattr(Health, "fails", count)
        async with asyncio.timeout(DEADLINE):
            await enough.wait()
    return set(failures)


async def test_a_change_is_told_of_at_once(opening: Opening, workspace: Team, redis: RedisServer) -> None:
    async with two_stores(opening, redis.url) as (here, there), following(there, workspace):
        await are_up(here, there)
        for _ in range(20):
            await reached(there, workspace, await written(here, workspace))


@pytest.mark.usefixtures("patient")
async def test_redis_is_killed_and_started_again(
    opening: Opening, workspace: Team, redis: RedisServer,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    async with two_stores(opening, redis.url) as (here, there):
        async with following(here, workspace), following(there, workspace):
            await are_up(here, there)
            assert lines(caplog) == []
            for _ in range(2):
                await redis.kill()
                await are_down(here, there)
                position = await written(here, workspace)
                await reached(here, workspace, position)
                await failed(monkeypatch, times=10)
                await redis.start()
                await reached(there, workspace, position)
                await are_up(here, there)
                await reached(here, workspace, await written(there, workspace))
    assert sorted(lines(caplog)) == 4 * [BACK] + 4 * [DOWN]


async def test_hints_that_were_lost_while_a_process_was_cut_off_are_made_up_for(
    opening: Opening, workspace: Team, store: Store, redis: RedisServer
) -> None:
    """Redis turns one process away while the others go on: nobody tells it again of what it has missed."""
    another = await create_team(store)
    await redis.run("ACL", "SETUSER", "there", "on", ">secret", "&*", "+@all")
    url = redis.url.replace("//", "//there:secret@")
    async with two_stores(opening, redis.url, url) as (here, there), following(there, workspace, another):
        await are_up(here, there)
        await redis.run("ACL", "SETUSER", "there", "off")
        await redis.run("CLIENT", "KILL", "USER", "there")
        await are_down(there)
        assert here.wire.is_up
        positions = await heard_by_others(redis, here, [workspace, another])
        await redis.run("ACL", "SETUSER", "there", "on")
        for team, position in positions.items():
            await reached(there, team, position)


async def heard_by_others(redis: RedisServer, here: Store, teams: list[Team]) -> dict[Team, int]:
    """Changes something in each workspace; what Redis has told whoever listened."""
    positions = {}
    async with Redis.from_url(redis.url, protocol=2) as client, client.pubsub() as listening:
        await listening.subscribe(CHANNEL)
        told: dict[str, int] = {}
        for team in teams:
            positions[team] = await written(here, team)
        async with asyncio.timeout(DEADLINE):
            while any(told.get(team.id) != position for team, position in positions.items()):
                message = await listening.get_message(ignore_subscribe_messages=True, timeout=1)
                told |= json.loads(message["data"]) if message else {}
    return positions


@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "silent"])
async def test_every_subscriber_has_everything_two_seconds_after_redis_is_back(
    opening: Opening, workspace: Team, redis: RedisServer, is_killed: bool
) -> None:
    """In two of three times at least: in one the machine may have been busy with something else."""
    took: list[float] = []
    async with two_stores(opening, redis.url) as (here, there), subscribers(there, workspace) as listening:
        thread = await influencer(here, workspace, "Anna")
        for _ in range(3):
            await are_up(here, there)
            await redis.kill() if is_killed else redis.pause()
            await are_down(here, there)
            for text in ("One", "Two", "Three"):
                await send(here, workspace.member, thread, text)
            await redis.start() if is_killed else redis.resume()
            returned = time.monotonic()
            assert await told(listening, 3) == SUBSCRIBERS * [["One", "Two", "Three"]]
            took.append(time.monotonic() - returned)
    assert sorted(took)[1] < RETURN, took


async def test_every_subscriber_has_a_change_in_fifteen_seconds_where_redis_is_never_there(
    opening: Opening, workspace: Team
) -> None:
    """With upkeep as often as it is by default, which is all that a process then has of another one."""
    nobody = f"redis://127.0.0.1:{free_port()}"
    async with (
        two_stores(opening, nobody) as (here, there),
        background(run_upkeep(there, Settings().upkeep_interval, log_days=7)),
        subscribers(there, workspace) as listening,
    ):
        thread = await influencer(here, workspace, "Anna")
        for text in ("One", "Two"):
            committing = time.monotonic()
            await send(here, workspace.member, thread, text)
            assert await told(listening, 1) == SUBSCRIBERS * [[text]]
            assert time.monotonic() - committing < WITHOUT


@asynccontextmanager
async def subscribers(store: Store, team: Team) -> AsyncIterator[list[Subscription]]:
    """Clients of a server on this store, from where the log is now."""
    since = await store.log.position(team.id)
    token, _ = await create_token(store, team.id, team.member.id, "test", [], now() + timedelta(days=1))
    async with running(store, Settings()) as server, AsyncExitStack() as stack:
        subscribing = [server.api(token).subscription(TEXTS, since=since) for _ in range(SUBSCRIBERS)]
        yield [await stack.enter_async_context(each) for each in subscribing]


async def told(subscriptions: list[Subscription], count: int) -> list[list[str]]:
    """The next messages that each is told of."""

    async def next_texts(subscription: Subscription) -> list[str]:
        return [(await subscription.data())["message"]["text"] for _ in range(count)]

    return await asyncio.gather(*map(next_texts, subscriptions))


async def test_a_silent_partition_is_noticed_and_made_up_for(
    opening: Opening, workspace: Team, redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Connections stay open and nothing comes; nobody says anything that would need an answer, either."""
    async with two_stores(opening, redis.url) as (here, there), following(there, workspace):
        await are_up(here, there)
        redis.pause()
        await are_down(here, there)
        position = await written(here, workspace)
        redis.resume()
        await reached(there, workspace, position)
        await are_up(here, there)
    assert sorted(lines(caplog)) == 2 * [BACK] + 2 * [DOWN]


async def test_connections_that_did_not_survive_a_partition_are_not_waited_for(
    opening: Opening, workspace: Team, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one process only, so that nobody else has a reason to look; a hint is under way when it begins."""
    monkeypatch.setattr(redis_wire, "ANSWER_TIMEOUT", 3600.0)
    monkeypatch.setattr(redis_wire, "SILENCE", 0.3)
    async with proxy_to(redis.url) as proxy, two_stores(opening, proxy.url, redis.url) as (here, there):
        async with following(there, workspace):
            await are_up(here, there)
            await reached(there, workspace, await written(here, workspace))
            proxy.begin_silence()
            position = await written(here, workspace)
            await are_down(here)
            await failed(monkeypatch, times=2)
            proxy.end_silence()
            await reached(there, workspace, position)
            await are_up(here, there)


async def test_a_quiet_wire_is_not_a_dead_one(
    opening: Opening, redis: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(redis_wire, "SILENCE", 0.5)

    async def pings() -> int:
        told = str(await redis.run("INFO", "commandstats"))
        return int(told.partition("'cmdstat_ping': {'calls': ")[2].partition(",")[0] or 0)

    async with opening(redis.url) as here:
        await are_up(here)
        async with asyncio.timeout(DEADLINE):
            while await pings() < 4:
                await asyncio.sleep(0.05)
        assert here.wire.is_up
    assert lines(caplog) == []


async def test_nobody_waits_for_a_silent_redis(
    opening: Opening, workspace: Team, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes hints and never says that it has them: changes go on, and are seen by whoever is in this process."""
    for name in ("SILENCE", "ANSWER_TIMEOUT"):
        monkeypatch.setattr(redis_wire, name, 3600.0)
    async with two_stores(opening, redis.url) as (here, there):
        async with following(here, workspace), following(there, workspace):
            await are_up(here, there)
            redis.pause()
            for _ in range(20):
                position = await written(here, workspace)
                await reached(here, workspace, position)
            assert here.wire._unsent == {workspace.id: position}
            redis.resume()
            await reached(there, workspace, position)


@pytest.mark.usefixtures("patient")
async def test_redis_comes_later_than_the_processes(
    opening: Opening, workspace: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    need_redis()
    async with redis_server(tmp_path, started=False) as redis, two_stores(opening, redis.url) as (here, there):
        async with following(here, workspace), following(there, workspace):
            await failed(monkeypatch, times=6)
            position = await written(here, workspace)
            await reached(here, workspace, position)
            tried = await failed(monkeypatch, times=6)
            assert tried == {"listening"}, "a hint that is sent into an outage may be stuck in it for longer"
            await redis.start()
            await reached(there, workspace, position)
            await are_up(here, there)
    assert sorted(lines(caplog)) == 2 * [BACK] + 2 * [DOWN]


async def test_the_last_hint_is_sent_before_a_process_ends(
    opening: Opening, workspace: Team, redis: RedisServer
) -> None:
    """As a command of the command line does: it opens the store, changes something, and closes it."""
    async with opening(redis.url) as there, following(there, workspace):
        await are_up(there)
        async with opening(redis.url) as here:
            position = await written(here, workspace)
        await reached(there, workspace, position)


@pytest.mark.parametrize("silence", [redis_wire.SILENCE, 0.001], ids=["as it tells something", "as it asks"])
async def test_it_ends_at_whatever_moment_it_is_told_to(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch, silence: float
) -> None:
    monkeypatch.setattr(redis_wire, "SILENCE", silence)
    monkeypatch.setattr(redis_wire, "CANCEL_AGAIN", 0.1)
    for turns in range(15):  # of the loop, after which it is told
        async with asyncio.timeout(DEADLINE), open_wire(redis.url) as wire:
            wire.tell("workspace", 1)
            await wait_until(lambda wire=wire: wire.is_up and not wire._unsent)  # type: ignore[misc]
            wire.tell("workspace", 2)
            for _ in range(turns):
                await asyncio.sleep(0)


@pytest.mark.usefixtures("patient")
async def test_one_that_may_not_publish_is_down_until_it_may(
    opening: Opening, workspace: Team, redis: RedisServer,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """With nothing allowed but what the README says."""
    await redis.run("ACL", "SETUSER", "here", "on", ">secret", "resetchannels", f"&{CHANNEL}", "+subscribe", "+ping")
    url = redis.url.replace("//", "//here:secret@")
    async with two_stores(opening, url, redis.url) as (here, there), following(there, workspace):
        await are_up(here, there)
        position = await written(here, workspace)
        await failed(monkeypatch, times=5)
        assert not here.wire.is_up and there.wire.is_up
        await redis.run("ACL", "SETUSER", "here", "+publish")
        await reached(there, workspace, position)
        await are_up(here)
    assert lines(caplog) == [DOWN, BACK]


@pytest.mark.usefixtures("patient")
async def test_a_password_is_not_logged(
    opening: Opening, redis: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = redis.url.replace("//", "//anna:open%20sesame@")
    async with opening(url) as here:
        await failed(monkeypatch, times=3)
        assert not here.wire.is_up
        await redis.run("ACL", "SETUSER", "anna", "on", ">open sesame", "&*", "+@all")
        await are_up(here)
    assert lines(caplog) == [DOWN, BACK]
    assert f"127.0.0.1:{redis.port}" in caplog.text and "AuthenticationError" in caplog.text
    assert "anna" not in caplog.text and "sesame" not in caplog.text


@pytest.mark.usefixtures("patient")
async def test_what_others_say_on_the_channel_does_no_harm(
    opening: Opening, workspace: Team, redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with two_stores(opening, redis.url) as (here, there), following(there, workspace):
        await are_up(here, there)
        for junk in ("", "{", "[[1]]", '{"a": {}}', "[" * 100_000, "\udcff", f'{{"{workspace.id}": 1e400}}'):
            async with Redis.from_url(redis.url, encoding_errors="surrogateescape") as client:
                await client.publish(CHANNEL, junk)
        await reached(there, workspace, await written(here, workspace))
    assert lines(caplog) == []


async def test_a_server_that_is_not_who_it_should_be_is_not_talked_to(
    opening: Opening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    need_redis()
    need("openssl")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    making = await asyncio.create_subprocess_exec(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
        "-keyout", str(key), "-out", str(certificate), stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await making.wait() == 0
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    port = free_port()
    options = ["--tls-port", str(port), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(certificate),
               "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]  # fmt: skip
    async with redis_server(tmp_path, *options):
        async with opening(f"rediss://localhost:{port}") as trusted, opening(f"rediss://127.0.0.1:{port}") as other:
            await are_up(trusted)
            await failed(monkeypatch, times=3)
            assert not other.wire.is_up
        monkeypatch.delenv("SSL_CERT_FILE")
        async with opening(f"rediss://localhost:{port}") as unknown:
            await failed(monkeypatch, times=3)
            assert not unknown.wire.is_up
    assert caplog.text.count("certificate verify failed") == 2
