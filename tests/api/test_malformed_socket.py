"""Whatever comes over a WebSocket: what breaks the protocol closes the socket with the code that says so, what is wrong
with one operation is told for that operation, and nothing is a fault of ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from connect_inbox.settings import Settings
from storage.store import Store
from tests.api.conftest import Brand, create_brand
from tests.api.raw import JSONS, collected
from tests.api.test_malformed_documents import DOCUMENTS
from tests.client import DEADLINE, Server, Socket, open_socket
from tests.server import running

MESSAGES = "subscription($since: String) { messageAdded(since: $since) { message { text } } }"
PING = '{"type":"ping"}'

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(scope="module")
async def brand(store: Store, server: Server) -> Brand:
    """One for all of these: none of them is hurt by another."""
    return await create_brand(store, server)


@pytest.fixture(scope="module")
async def hasty(store: Store) -> AsyncIterator[Server]:
    """A server that waits for connection_init, but not for long."""
    async with running(store, Settings(init_timeout=0.2)) as server:
        yield server


async def closed_by(socket: Socket, frame: str | bytes) -> tuple[int, str]:
    await socket.connection.send(frame)
    code, reason = await socket.closed()
    assert reason and len(reason.encode()) <= 123
    return code, reason


BROKEN: dict[str, str | bytes] = {
    "nothing": "",
    "not JSON": "hello",
    "truncated": '{"type":"pi',
    "array": "[]",
    "array of messages": f"[{PING}]",
    "string": '"x"',
    "number": "5",
    "null": "null",
    "true": "true",
    "NaN": "NaN",
    "binary": b'{"type":"ping"}',
    "binary garbage": b"\xff\x00",
    "object": "{}",
    "type missing": '{"id":"1"}',
    "type number": '{"type":5}',
    "type null": '{"type":null}',
    "type array": '{"type":["ping"]}',
    "payload array": '{"type":"ping","payload":[]}',
    "payload string": '{"type":"ping","payload":"x"}',
    "payload number": '{"type":"ping","payload":5}',
    "unknown type": '{"type":"nothing"}',
    "server's type": '{"type":"next","id":"1","payload":{}}',
    "server's ack": '{"type":"connection_ack"}',
    "legacy start": '{"type":"start","id":"1","payload":{"query":"{ viewer { id } }"}}',
    "legacy stop": '{"type":"stop","id":"1"}',
    "long type": json.dumps({"type": "x" * 3000}),
    "long type of wide characters": json.dumps({"type": "\u20ac" * 300}),
    "deep": "[" * 100_000,
    "deep payload": '{"type":"ping","payload":{"a":' + "[" * 5000 + "]" * 5000 + "}}",
    "5000 digits": '{"type":"ping","payload":{"a":' + "9" * 5000 + "}}",
    "lone surrogate": '{"type":"\\ud800"}',
    "subscribe without id": '{"type":"subscribe","payload":{"query":"{ viewer { id } }"}}',
    "id empty": '{"type":"subscribe","id":"","payload":{"query":"{ viewer { id } }"}}',
    "id array": '{"type":"subscribe","id":[],"payload":{"query":"{ viewer { id } }"}}',
    "id number": '{"type":"subscribe","id":1,"payload":{"query":"{ viewer { id } }"}}',
    "id null": '{"type":"subscribe","id":null,"payload":{"query":"{ viewer { id } }"}}',
    "complete without id": '{"type":"complete"}',
    "complete id array": '{"type":"complete","id":[]}',
    "subscribe payload array": '{"type":"subscribe","id":"1","payload":[]}',
}


@pytest.mark.parametrize("frame", BROKEN.values(), ids=BROKEN)
async def test_a_frame_that_is_no_message_closes_the_socket(brand: Brand, frame: str | bytes) -> None:
    async with brand.member.socket() as socket:
        assert (await closed_by(socket, frame))[0] == 4400
    async with open_socket(brand.server) as socket:
        assert (await closed_by(socket, frame))[0] in (4400, 4401)  # the latter where it is no connection_init


async def test_a_frame_that_is_too_large_closes_the_socket(store: Store, brand: Brand) -> None:
    async with running(store, Settings(max_frame_size=2048)) as server, open_socket(server) as socket:
        await socket.send(type="connection_init", payload={"Authorization": f"Bearer {brand.member.token}"})
        await socket.receive()
        await socket.connection.send(json.dumps({"type": "ping", "payload": {"a": "x" * 1900}}))
        assert (await socket.receive())["type"] == "pong"
        await socket.connection.send(json.dumps({"type": "ping", "payload": {"a": "x" * 3000}}))
        assert (await socket.closed())[0] == 1009


async def test_the_beginning(brand: Brand, hasty: Server) -> None:
    subscribe = json.dumps({"type": "subscribe", "id": "1", "payload": {"query": "{ viewer { id } }"}})
    async with open_socket(brand.server) as socket:
        await socket.send(type="ping")
        assert await socket.receive() == {"type": "pong"}
        await socket.send(type="pong")
        assert (await closed_by(socket, subscribe))[0] == 4401
    async with open_socket(brand.server) as socket:
        assert (await closed_by(socket, '{"type":"complete","id":"1"}'))[0] == 4401
    async with brand.member.socket() as socket:
        again = {"type": "connection_init", "payload": {"Authorization": f"Bearer {brand.member.token}"}}
        assert (await closed_by(socket, json.dumps(again)))[0] == 4429
    async with open_socket(hasty) as socket:
        assert (await socket.closed())[0] == 4408
    async with open_socket(hasty) as socket:  # keeping it busy is no beginning, either
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(DEADLINE):
                while True:
                    await socket.connection.send(PING)
                    await socket.connection.recv()
        assert socket.connection.close_code == 4408


@pytest.mark.parametrize("protocols", [None, ["graphql-ws"], ["x"]], ids=str)
async def test_another_subprotocol(brand: Brand, protocols: Any) -> None:
    async with connect(brand.server.websocket_url, subprotocols=protocols) as connection:
        assert connection.subprotocol is None
        assert (await Socket(connection).closed())[0] == 4406


async def test_another_path_and_a_plain_request(brand: Brand) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(brand.server.websocket_url.replace("/graphql", "/nothing"))
    assert refused.value.response.status_code in (403, 404)


async def test_an_id_is_in_use_until_its_operation_ends(brand: Brand) -> None:
    subscribe = {"type": "subscribe", "id": "1", "payload": {"query": MESSAGES}}
    async with brand.member.socket() as socket:
        await socket.send(**subscribe)
        assert (await closed_by(socket, json.dumps(subscribe)))[0] == 4409
    async with brand.member.socket() as socket:
        for _ in range(3):  # what has ended, from either side, leaves its id free
            await socket.send(**subscribe)
            await socket.send(type="complete", id="1")
            await socket.send(type="subscribe", id="1", payload={"query": "{ viewer { role } }"})
            received = [await socket.receive() for _ in range(2)]
            assert [message["type"] for message in received] == ["next", "complete"]
        long = {**subscribe, "id": "\u20ac" * 3000}
        await socket.send(**long)
        assert (await closed_by(socket, json.dumps({**long, "payload": "cut \ud83d"})))[0] == 4409


async def test_complete_for_an_operation_that_is_not_there(brand: Brand) -> None:
    async with brand.member.socket() as socket:
        for id in ("1", "x" * 10_000, "\0"):
            await socket.send(type="complete", id=id)
        await socket.send(type="ping", payload={"a": 1})
        assert await socket.receive() == {"type": "pong"}


PAYLOADS: dict[str, Any] = {
    "none": None,
    "empty": {},
    "query number": {"query": 5},
    "query null": {"query": None},
    "query empty": {"query": ""},
    "variables array": {"query": "{ viewer { id } }", "variables": []},
    "variables string": {"query": "{ viewer { id } }", "variables": "{}"},
    "extensions string": {"query": "{ viewer { id } }", "extensions": "x"},
    "operation name number": {"query": "{ viewer { id } }", "operationName": 5},
    "operation name unknown": {"query": "query a { viewer { id } }", "operationName": "x" * 300},
    "operation name of wide characters": {"query": "query a { viewer { id } }", "operationName": "\u20ac" * 300},
    "variable of another type": {
        "query": "subscription($a: String) { messageAdded(since: $a) { position } }",
        "variables": {"a": 5},
    },
    "half a surrogate pair": {"query": "{ viewer { id } }", "variables": {"a": "cut \ud83d"}},
    "no position": {"query": 'subscription { messageAdded(since: "x") { position } }'},
    **{name: {"query": document} for name, document in DOCUMENTS.items() if name != "subscription"},
}


async def test_an_operations_error_leaves_the_socket_and_the_others_as_they_are(brand: Brand) -> None:
    thread = (await brand.influencer())["thread"]
    async with brand.member.socket() as socket:
        living = await socket.subscribe(MESSAGES, since=await brand.position())
        for name, payload in PAYLOADS.items():
            text = json.dumps({"type": "subscribe", "id": name, "payload": payload})  # as JavaScript writes it
            await socket.connection.send(text)
            message = await socket.receive()
            assert (message["type"], message["id"]) == ("error", name), message
            assert message["payload"] and all(0 < len(error["message"]) < 300 for error in message["payload"]), name
            code = "TOO_COMPLEX" if name.startswith(("deep", "too many tokens")) else "BAD_USER_INPUT"
            assert {error["extensions"]["code"] for error in message["payload"]} == {code}, name
        await brand.receive(thread, "Still there")
        assert (await living.data())["message"]["text"] == "Still there"


async def test_a_query_and_a_mutation_over_the_socket(brand: Brand) -> None:
    async with brand.member.socket() as socket:
        for query, data in {"{ viewer { role } }": {"viewer": {"role": "MEMBER"}},
                            'mutation { createTag(input: {name: "a"}) { position } }': None}.items():  # fmt: skip
            operation = await socket.subscribe(query)
            result = await operation.next()
            assert result["data"] == data
            assert [error["extensions"]["code"] for error in result.get("errors", [])] == (
                ["FORBIDDEN"] if data is None else []
            )
            assert await socket.receive() == {"type": "complete", "id": operation.id}


async def test_a_client_that_goes_in_the_middle(brand: Brand) -> None:
    """However it goes, nobody is left behind: other sockets are served, and the server can stop."""
    thread = (await brand.influencer())["thread"]
    head = brand.store.log.head(brand.workspace)
    for _ in range(3):
        async with brand.member.socket() as socket:
            for _ in range(5):
                await socket.subscribe(MESSAGES)
            socket.connection.transport.abort()
    async with brand.member.subscription(MESSAGES, since=await brand.position()) as living:
        await brand.receive(thread, "Hello")
        assert (await living.data())["message"]["text"] == "Hello"
    async with asyncio.timeout(DEADLINE):
        while head.followers:
            await asyncio.sleep(0.01)


async def test_a_fault_before_anything_is_worth_another_try(
    store: Store, brand: Brand, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients try again after 1013, and a client is not told what the fault was."""

    async def fail(*arguments: object) -> None:
        raise RuntimeError("planted secret")

    with monkeypatch.context() as patch:
        patch.setattr("connect_inbox.auth.look_up", fail)
        async with open_socket(brand.server) as socket:
            await socket.send(type="connection_init", payload={"Authorization": f"Bearer {brand.member.token}"})
            code, reason = await socket.closed()
    assert code == 1013 and "secret" not in reason
    async with brand.member.socket() as socket:
        with monkeypatch.context() as patch:
            patch.setattr(type(store.log), "position", fail)
            subscription = await socket.subscribe("{ viewer { id } }")
            [error] = await subscription.error()
        assert error["extensions"]["code"] == "INTERNAL" and "secret" not in json.dumps(error)
        await socket.subscribe("{ viewer { role } }")
        assert (await socket.receive())["type"] == "next"
    assert [each for each in caplog.records if error["extensions"]["requestId"] in each.getMessage()]
    caplog.clear()  # as these are meant to be there


TYPES = st.sampled_from(["subscribe", "complete", "ping", "pong", "connection_init", "x"])
MESSAGE = st.fixed_dictionaries(
    {"type": TYPES}, optional={"id": st.sampled_from(["1", ""]) | JSONS, "payload": JSONS, "query": JSONS}
)
FRAMES = st.one_of(
    MESSAGE.map(lambda it: json.dumps(it).encode()), JSONS.map(lambda it: json.dumps(it).encode()),
    st.text(max_size=40).map(lambda it: it.encode("utf-8", "replace")),
)  # fmt: skip


async def test_whatever_the_frame_the_socket_lives_or_is_closed_for_a_reason(brand: Brand) -> None:
    async def outcome(frame: bytes) -> int:
        """The code that the socket is closed with; 0 where it lives."""
        async with brand.member.socket() as socket:
            await socket.connection.send(frame.decode())
            await socket.connection.send(PING)
            try:
                while (await socket.receive())["type"] != "pong":
                    pass
            except ConnectionClosed as closed:
                assert closed.rcvd is not None, frame
                return int(closed.rcvd.code)
            return 0

    frames = collected(FRAMES, 120)
    for start in range(0, len(frames), 20):
        codes = await asyncio.gather(*[outcome(frame) for frame in frames[start : start + 20]])
        assert set(codes) <= {0, 4400, 4429}, (frames[start : start + 20], codes)
