"""The npm clients graphql-ws and graphql-sse: what becomes of a subscription whose connection is cut or closed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from connect_inbox import auth
from connect_inbox.settings import Settings
from schema.types.scalars import now
from storage.documents import to_milliseconds
from storage.store import Store, open_store
from storage.tokens import create_token, hash_of
from tests.api_process import api_process
from tests.client import Api, Json, Server
from tests.commands import environment, started
from tests.npm_client import DEADLINE, Client, needs_node, subscribed
from tests.proxy import proxy_to
from tests.server import running
from tests.team import Team, create_team

BOTH = ["graphql-ws", "graphql-sse"]


@pytest.fixture(autouse=True)
def node() -> None:
    needs_node()


@dataclass(frozen=True)
class Writer:
    """Somebody who writes messages into one thread."""

    api: Api
    thread: str

    async def position(self) -> str:
        position: str = (await self.api.run("{ viewer { position } }"))["viewer"]["position"]
        return position

    async def write(self, count: int, text: str = "Hello") -> list[Json]:
        """Messages that are written side by side, as events of them must be: in the order of the log."""
        made = await asyncio.gather(*(self._write(f"{text} {number}") for number in range(count)))
        return sorted(made, key=lambda each: int(each["position"].rpartition(".")[2]))

    async def write_in_turn(self, count: int) -> list[Json]:
        return [(await self.write(1))[0] for _ in range(count)]

    async def _write(self, text: str) -> Json:
        made = await self.api.mutate("sendMessage", "position message { id text }", threadId=self.thread, text=text)
        return {"position": made["position"], "message": made["message"]}


async def writer_of(api: Api) -> Writer:
    inbox = await api.run("{ inbox(first: 1) { nodes { id } } }")
    return Writer(api, inbox["inbox"]["nodes"][0]["id"])


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=DEADLINE) as http:
        yield http


@dataclass(frozen=True)
class Place:
    """A workspace on a server whose database is at hand."""

    store: Store
    team: Team
    server: Server
    writer: Writer

    async def token(self) -> tuple[str, str]:
        """A token of the viewer's, and its id."""
        return await token_for(self.store, self.team, self.team.viewer.id)


async def token_for(store: Store, team: Team, owner: str) -> tuple[str, str]:
    secret, token = await create_token(store, team.id, owner, "test", [], now() + timedelta(days=1))
    return secret, token.id


async def place_at(store: Store, url: str, http: httpx2.AsyncClient) -> Place:
    team = await create_team(store)
    secret, _ = await token_for(store, team, team.admin.id)
    server = Server(url, http)
    api = server.api(secret)
    await api.mutate("createInfluencer", "influencer { id }", name="Ada Lovelace")
    return Place(store, team, server, await writer_of(api))


@pytest.fixture
async def place(store: Store, http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    monkeypatch.setattr(auth, "INTERVAL", 0.1)
    async with running(store, Settings()) as server:
        yield await place_at(store, server.url, http)


@pytest.mark.parametrize("transport", BOTH)
@pytest.mark.parametrize("back", ["retry", "again"])
async def test_what_came_while_the_connection_was_cut_comes_once_and_in_order(
    place: Place, transport: str, back: str
) -> None:
    """`back` is how the client comes back: by its own next attempt, or as a new client with the last position."""
    token, _ = await place.token()
    await assert_nothing_is_missed(place.server.url, token, place.writer, transport, back)


async def test_so_it_is_with_the_demo(tmp_path: Path, http: httpx2.AsyncClient) -> None:
    demo = ["demo", "--port", 0, "--json", "--influencers", 8, "--no-traffic"]
    async with started(*demo, env=environment(TMPDIR=tmp_path)) as (_, line):
        ready = json.loads(line)
        writer = await writer_of(Server(ready["url"], http).api(ready["memberToken"]))
        for transport in BOTH:
            await assert_nothing_is_missed(ready["url"], ready["secondMemberToken"], writer, transport, "again")


async def assert_nothing_is_missed(url: str, token: str, writer: Writer, transport: str, back: str) -> None:
    retries = 5 if back == "retry" else 0
    async with proxy_to(url) as proxy:
        async with subscribed(transport, proxy.url, [token], await writer.position(), retries) as client:
            assert await writer.write(3, "Before") == await client.values(3)
            proxy.cut()
            if transport == "graphql-ws":
                assert (await client.told("closed"))["code"] == 1006
            await client.told("waiting" if back == "retry" else "error")

            missed = await writer.write(100, "Meanwhile")
            await client.tell(back)
            await client.told("connected")
            assert await client.values(100) == missed
            assert await writer.write(3, "After") == await client.values(3)


@pytest.mark.parametrize("transport", BOTH)
async def test_nothing_is_lost_or_doubled_by_cuts_amid_messages(place: Place, transport: str) -> None:
    writer, (token, _), values = place.writer, await place.token(), []
    async with proxy_to(place.server.url) as proxy:
        async with subscribed(transport, proxy.url, [token], await writer.position()) as client:
            writing = asyncio.create_task(writer.write_in_turn(100))
            for _ in range(4):
                values += await client.values(5)
                proxy.cut()
                values += await until_waiting(client)
                await client.tell("retry")
                await client.told("connected")
            values += await client.values(100 - len(values))
            assert values == await writing
            assert await writer.write(1, "After") == await client.values(1)


async def until_waiting(client: Client) -> list[Json]:
    """The values of events that were on their way when the connection was cut."""
    values = []
    while (told := await client.next())["event"] != "waiting":
        if told["event"] != "closed":
            values.append(told["value"])
    return values


async def expire(place: Place, secret: str) -> None:
    await place.store.database.set("tokens", hash_of(secret), {"expires_at": to_milliseconds(now())})


async def revoke(place: Place, id: str) -> None:
    await place.writer.api.mutate("revokeToken", "token { revokedAt }", tokenId=id)


async def test_graphql_ws_comes_back_with_a_fresh_token_when_one_has_expired(place: Place) -> None:
    old, fresh = (await place.token())[0], (await place.token())[0]
    since = await place.writer.position()
    async with subscribed("graphql-ws", place.server.url, [old, fresh], since) as client:
        assert await place.writer.write(1) == await client.values(1)
        await expire(place, old)
        closed = await client.told("closed")
        assert (closed["code"], closed["reason"]) == (4403, "the token has expired")
        await client.told("waiting")
        missed = await place.writer.write(20)
        await client.tell("retry")
        await client.told("connected")
        assert await client.values(20) == missed
        assert await place.writer.write(1) == await client.values(1)


async def test_graphql_ws_gives_up_when_its_token_is_revoked(place: Place) -> None:
    secret, id = await place.token()
    async with subscribed("graphql-ws", place.server.url, [secret], await place.writer.position()) as client:
        assert await place.writer.write(1) == await client.values(1)
        await revoke(place, id)
        for _ in range(2):  # as it is being used, and as somebody wants to come in with it
            closed = await client.told("closed")
            assert (closed["code"], closed["reason"]) == (4401, "the token was revoked")
            assert (await client.told("error"))["code"] == 4401
            await client.tell("again")


@pytest.mark.parametrize("end", ["expired", "revoked"])
async def test_graphql_sse_is_told_of_a_token_that_has_ended(place: Place, end: str) -> None:
    (old, id), (fresh, _) = await place.token(), await place.token()
    since = await place.writer.position()
    async with subscribed("graphql-sse", place.server.url, [old, fresh], since) as client:
        assert await place.writer.write(1) == await client.values(1)
        await (expire(place, old) if end == "expired" else revoke(place, id))
        [error] = (await client.told("next"))["errors"]
        assert error["extensions"]["code"] == "UNAUTHENTICATED" and end in error["message"]
        await client.told("complete")
        missed = await place.writer.write(20)
        await client.tell("again")
        await client.told("connected")
        assert await client.values(20) == missed


async def test_a_restart_of_the_server_loses_and_doubles_nothing(
    database_uri: str, own_database: str, http: httpx2.AsyncClient, tmp_path: Path
) -> None:
    async with (
        api_process(database_uri, own_database, tmp_path / "log") as process,
        open_store(database_uri, own_database) as store,
    ):
        place = await place_at(store, process.url, http)
        secret, _ = await place.token()
        since = await place.writer.position()
        async with (
            subscribed("graphql-ws", process.url, [secret], since) as over_socket,
            subscribed("graphql-sse", process.url, [secret], since) as over_events,
        ):
            before = await place.writer.write(20)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(process.stop())
                ending = [tasks.create_task(until_stopped(each)) for each in (over_socket, over_events)]
            [(values, closed), (others, nothing)] = [each.result() for each in ending]
            assert [(told["event"], told["code"]) for told in closed] == [("closed", 1012)] and nothing == []
            await process.start()
            meanwhile = await place.writer.write(20)
            for client, had in ((over_socket, values), (over_events, others)):
                await client.tell("retry")
                await client.told("connected")
                assert had + await client.values(40 - len(had)) == before + meanwhile
            after = await place.writer.write(1)
            assert await over_socket.values(1) == await over_events.values(1) == after
        assert process.faults() == []


async def until_stopped(client: Client) -> tuple[list[Json], list[Json]]:
    """The values of the events before the server stopped, and what else happened until the client waits for it."""
    values, others = [], []
    while (told := await client.next())["event"] != "waiting":
        if told["event"] == "next":
            values.append(told["value"])
        else:
            others.append(told)
    return values, others
