"""What is counted: that it is counted once, where it happens, and that nothing of anybody is in it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urljoin

import pytest
from prometheus_client.parser import text_string_to_metric_families

from connect_inbox import protocols
from connect_inbox import server as server_module
from connect_inbox.settings import Settings
from storage.store import Store, open_store
from tests.api.conftest import create_brand, token_for
from tests.client import DEADLINE, Server, open_socket
from tests.raw_socket import raw_subscription
from tests.redis_server import need_redis, redis_server
from tests.server import running
from tests.sse import open_stream
from tests.storage.deeds import influencer, send
from tests.storage.stores import BROKEN, faulty_store, second_store
from tests.team import Team

ADDED = "subscription { messageAdded { message { text } } }"
README = (Path(__file__).parents[2] / "README.md").read_text()
Sample = tuple[str, tuple[tuple[str, str], ...]]
Samples = dict[Sample, float]


@pytest.fixture
async def server(store: Store) -> AsyncIterator[Server]:
    """One that has counted nothing yet."""
    async with running(store, Settings(metrics=True)) as server:
        yield server


async def text_of(server: Server) -> str:
    response = await server.http.get(urljoin(server.url, "/metrics"))
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return response.text


async def samples(server: Server) -> Samples:
    """Everything that is told, without its prefix."""
    families = text_string_to_metric_families(await text_of(server))
    return {
        (sample.name.removeprefix("connect_inbox_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


async def grown(server: Server, doing: Callable[[], Awaitable[object]]) -> Samples:
    """What has become more, or less, by something that is done."""
    before = await samples(server)
    await doing()
    after = await samples(server)
    return {each: value - before.get(each, 0) for each, value in after.items() if value != before.get(each, 0)}


async def value(server: Server, name: str, **labels: str) -> float:
    return (await samples(server)).get((name, tuple(sorted(labels.items()))), 0)


async def until(server: Server, wanted: float, name: str, **labels: str) -> None:
    """Waits until a number is the wanted one."""
    async with asyncio.timeout(DEADLINE):
        while await value(server, name, **labels) != wanted:
            await asyncio.sleep(0.01)


def operation(type: str, outcome: str) -> Sample:
    return "operation_seconds_count", (("outcome", outcome), ("type", type))


async def test_it_is_off_unless_it_is_asked_for(store: Store) -> None:
    async with running(store, Settings()) as server:
        assert (await server.http.get(urljoin(server.url, "/metrics"))).status_code == 404


async def test_operations_by_type_and_outcome(store: Store, server: Server) -> None:
    brand = await create_brand(store, server)
    row = await brand.influencer()
    before = await samples(server)
    await brand.member.run("{ viewer { id } }")
    await brand.member.run("{ viewer { id } }")
    await brand.member.post("{ viewer { nothing } }")
    await brand.member.post('{ thread(id: "thread_01JAAAAAAAAAAAAAAAAAAAAAAA") { id } }')
    await brand.viewer.post(
        "mutation($input: SendMessageInput!) { sendMessage(input: $input) { position } }",
        input={"threadId": row["thread"], "text": "Hi!"},
    )
    for text in ("Hi!", " "):
        await brand.member.mutate("sendMessage", "position", threadId=row["thread"], text=text)
    after = await samples(server)
    counted = {
        each: after[each] - before.get(each, 0)
        for each in after
        if each[0] == "operation_seconds_count" and after[each] != before.get(each, 0)
    }
    assert counted == {
        operation("query", "ok"): 2,
        operation("unknown", "BAD_USER_INPUT"): 1,
        operation("query", "NOT_FOUND"): 1,
        operation("mutation", "FORBIDDEN"): 1,
        operation("mutation", "ok"): 1,
        operation("mutation", "BLANK"): 1,
    }


async def test_the_buckets_of_a_histogram_hold_each_other(server: Server, store: Store) -> None:
    brand = await create_brand(store, server)
    await brand.member.run("{ viewer { id } }")
    counted = await samples(server)
    of_queries = [
        value
        for (name, labels), value in counted.items()
        if name == "operation_seconds_bucket" and {("type", "query"), ("outcome", "ok")} <= set(labels)
    ]
    assert of_queries == sorted(of_queries) and of_queries[-1] == counted[operation("query", "ok")]
    assert counted["operation_seconds_sum", (("outcome", "ok"), ("type", "query"))] > 0


async def test_subscribers_their_groups_and_what_they_are_handed(store: Store, server: Server) -> None:
    brand = await create_brand(store, server)
    row = await brand.influencer()
    async with (
        brand.admin.subscription(ADDED) as one,
        brand.member.subscription(ADDED) as two,
        open_stream(brand.viewer, ADDED) as three,
    ):
        await until(server, 3, "subscribers")
        await until(server, 1, "groups")
        assert await value(server, "sockets") == 2
        assert await value(server, "event_streams") == 1
        assert await value(server, "workspaces_followed") == 1
        assert await value(server, "operation_seconds_count", type="subscription", outcome="ok") == 3
        await brand.receive(row["thread"], "Hello!")
        for each in (one, two, three):
            assert (await each.data())["message"]["text"] == "Hello!"
        assert await value(server, "events_executed_total") == 1
        assert await value(server, "events_delivered_total") == 3
        await until(server, 1, "delivery_lag_seconds_count")
    await until(server, 0, "subscribers")
    await until(server, 0, "groups")
    await until(server, 0, "sockets")
    await until(server, 0, "event_streams")
    await until(server, 2, "sockets_closed_total", code="client")


async def test_answers_and_closes(store: Store, server: Server) -> None:
    async def clients() -> None:
        await server.http.get(server.url)
        await server.http.post(server.url, json={"query": "{ viewer { id } }"})
        async with open_socket(server) as socket:
            await socket.send(type="connection_init", payload={"Authorization": "Bearer nobody's"})
            assert (await socket.closed())[0] == 4401

    counted = await grown(server, clients)
    assert counted["http_answers_total", (("status", "405"),)] == 1
    assert counted["http_answers_total", (("status", "401"),)] == 1
    await until(server, 1, "sockets_closed_total", code="4401")


async def test_a_client_that_is_cut_off(
    store: Store, server: Server, workspace: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that answers no ping is counted, one that merely leaves is not."""
    token = await token_for(store, workspace.id, workspace.member.id)
    async with server.api(token).subscription(ADDED):
        await until(server, 1, "subscribers")
    await until(server, 1, "sockets_closed_total", code="client")
    assert await value(server, "slow_clients_total") == 0
    monkeypatch.setattr(server_module, "PING_INTERVAL", 0.6)
    monkeypatch.setattr(server_module, "PING_TIMEOUT", 0.6)
    async with running(store, Settings(metrics=True)) as impatient, raw_subscription(impatient, token, ADDED):
        await until(impatient, 1, "slow_clients_total")
        await until(impatient, 1, "sockets_closed_total", code="1013")


async def test_an_event_stream_that_is_cut_off(
    store: Store, server: Server, workspace: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose client does not read is counted, one that merely ends is not."""
    token = await token_for(store, workspace.id, workspace.member.id)
    async with open_stream(server.api(token), ADDED):
        await until(server, 1, "event_streams")
    await until(server, 0, "event_streams")
    assert await value(server, "slow_clients_total") == 0
    monkeypatch.setattr(protocols, "STALLED", 0.2)
    thread = await influencer(store, workspace, "Anna")
    async with open_stream(server.api(token), ADDED), asyncio.timeout(DEADLINE):
        await until(server, 1, "event_streams")
        while await value(server, "event_streams"):
            await send(store, workspace.member, thread, "x" * 49_000)
    assert await value(server, "slow_clients_total") == 1


async def test_documents_that_are_kept(store: Store, server: Server) -> None:
    brand = await create_brand(store, server)

    async def ask() -> None:
        for _ in range(3):
            await brand.member.run("query Again { viewer { id } }")

    counted = await grown(server, ask)
    assert counted["documents_total", (("cache", "miss"),)] == 1
    assert counted["documents_total", (("cache", "hit"),)] == 2


async def test_what_is_committed_and_applied(store: Store, server: Server) -> None:
    brand = await create_brand(store, server)
    row = await brand.influencer()
    counted = await grown(server, lambda: brand.send(row["thread"]))
    assert counted["log_entries_total", ()] == 1
    assert counted["log_changes_total", ()] == counted["log_head", ()] == counted["log_applied", ()] >= 1
    assert counted["database_calls_total", ()] > 0
    assert await value(server, "log_behind") == 0


async def test_another_process_that_is_faster_is_counted(store: Store, server: Server, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Anna")

    async def both() -> None:
        await send(second_store(store), workspace.member, thread, "First")
        await send(store, workspace.member, thread, "Second")

    counted = await grown(server, both)
    assert (counted["log_conflicts_total", ()], counted["log_entries_total", ()]) == (1, 1)


async def test_a_workspace_that_stands_still_is_seen_until_it_is_repaired(store: Store, workspace: Team) -> None:
    broken, database = faulty_store(store)
    thread = await influencer(broken, workspace, "Anna")
    async with running(broken, Settings(metrics=True)) as server:
        assert await value(server, "log_behind") == 0
        database.broken_writes = 1
        with pytest.raises(BROKEN):
            await send(broken, workspace.member, thread, "One")
        assert await value(server, "log_behind") > 0
        assert await value(server, "log_head") - await value(server, "log_applied") > 0
        await broken.log.refresh(workspace.id)
        assert await value(server, "log_behind") == 0
        assert await value(server, "log_repairs_total") == 1


async def test_whether_the_wire_is_up(tmp_path: Path, database_uri: str, database_name: str, server: Server) -> None:
    need_redis()
    assert await value(server, "wire_up") == 1
    async with (
        redis_server(tmp_path, started=False) as redis,
        open_store(database_uri, database_name, redis.url) as store,
        running(store, Settings(metrics=True)) as server,
    ):
        assert await value(server, "wire_up") == 0


async def test_the_event_loop_is_watched(server: Server) -> None:
    async with asyncio.timeout(DEADLINE):
        while await value(server, "event_loop_lag_seconds_count") < 2:
            await asyncio.sleep(0.01)
        time.sleep(0.3)  # noqa: ASYNC251 - nothing else must happen meanwhile
        while await value(server, "event_loop_lag_seconds_sum") < 0.02:
            await asyncio.sleep(0.01)


async def test_what_was_refused_by_a_limit(store: Store) -> None:
    async with running(store, Settings(metrics=True, rate_per_address=1)) as server:
        answers = [await server.http.post(server.url, json={"query": "{ viewer { id } }"}) for _ in range(3)]
        refused = [answer.status_code for answer in answers].count(429)
        assert refused
        assert await value(server, "rate_limited_total") == refused


async def test_no_app_counts_for_another(store: Store, server: Server) -> None:
    async with running(store, Settings(metrics=True)) as other:
        await other.http.get(other.url)
        assert await value(other, "http_answers_total", status="405") == 1
        assert await value(server, "http_answers_total", status="405") == 0


async def test_nothing_of_anybody_is_in_it(store: Store, server: Server) -> None:
    """No workspace, member, token, text, address or name; and more workspaces are not more lines."""
    brand = await create_brand(store, server)
    row = await brand.influencer("Marmalade")
    await brand.send(row["thread"], "marmalade")
    text = await text_of(server)
    for secret in (brand.workspace, brand.member.token, row["thread"], "armalade", "127.0.0.1", "workspace_", "token_"):
        assert secret not in text, secret
    before = await samples(server)
    other = await create_brand(store, server)
    await other.send((await other.influencer("Marmalade"))["thread"], "marmalade")
    assert (await samples(server)).keys() == before.keys()


async def test_the_readme_names_each(server: Server) -> None:
    told = {family.name for family in text_string_to_metric_families(await text_of(server))}
    ours = {name for name in told if name.startswith("connect_inbox_")}
    assert ours and {name for name in told if not name.startswith("process_")} == ours
    named = set(re.findall(r"^\| `(connect_inbox_\w+)`", README, re.MULTILINE))
    assert {name.removesuffix("_total") for name in named} == ours
