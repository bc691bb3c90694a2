"""What is logged: that programs can read it, that a client's request is found in it, and what is never in it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from connect_inbox import logs
from connect_inbox.graphql import outcomes
from connect_inbox.settings import Settings
from storage.influencers import NewInfluencer, create_influencers
from storage.store import Store, open_store
from tests.api.conftest import token_for
from tests.api_process import ApiProcess
from tests.client import DEADLINE, Api, Json, Server, open_socket
from tests.commands import environment
from tests.engine import Engine, engine_in
from tests.server import running
from tests.sse import open_stream
from tests.team import Team, create_team

SECRET = "marmalade"  # in whatever a client sends
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
DATABASE_FAILED = "^(AutoReconnect|ServerSelectionTimeoutError): "
LEVELS = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}
SEND = "mutation($input: SendMessageInput!) { sendMessage(input: $input) { position userErrors { code } } }"
ADDED = "subscription { messageAdded { message { text } } }"


@dataclass(frozen=True)
class Scene:
    """An API process with a database of its own, and somebody who may use it."""

    engine: Engine
    process: ApiProcess
    api: Api
    thread: str

    def lines(self) -> list[Json]:
        """Everything logged so far, each line of which is an object."""
        return [json.loads(line) for line in self.process.logged().splitlines()]


@asynccontextmanager
async def scene(folder: Path, log_format: str, level: str) -> AsyncIterator[Scene]:
    async with engine_in(folder / "engine") as engine:
        async with open_store(engine.uri) as store:
            team = await create_team(store)
            [influencer] = (await create_influencers(store, team.admin, [NewInfluencer(name="Ada")])).result
            token = await token_for(store, team.id, team.member.id)
        settings = environment(
            CONNECT_INBOX_BIND="127.0.0.1:0", CONNECT_INBOX_LOG_FORMAT=log_format, CONNECT_INBOX_LOG_LEVEL=level,
            MONGODB_URI=f"{engine.uri}/?serverSelectionTimeoutMS=300", MAKELEVEL=1,
        )  # fmt: skip
        process = ApiProcess(settings, folder / "log")
        try:
            await process.start()
            async with httpx2.AsyncClient(timeout=DEADLINE) as http:
                thread = influencer.replace("influencer_", "thread_")
                yield Scene(engine, process, Server(process.url, http).api(token), thread)
        finally:
            await process.stop()


async def use(scene: Scene) -> None:
    """What clients do, well and badly, over every transport."""
    api, server = scene.api, scene.api.server
    async with open_stream(api, ADDED) as stream, api.subscription(ADDED) as live:
        await stream.block()
        await api.run(SEND, input={"threadId": scene.thread, "text": SECRET})
        assert (await live.data())["message"]["text"] == SECRET
    for content in (f'{{"query": "{{ {SECRET} }}"}}', SECRET, '{"query": "{ viewer { id(' + SECRET):
        await server.http.post(server.url, content=content, headers={"content-type": "application/json"})
    await server.http.get(server.url + f"?{SECRET}")
    for request in (
        b"\x16\x03\x01" + SECRET.encode(),
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n",
    ):
        await raw(server, request + b"\r\n\r\n")
    async with open_socket(server) as socket:
        await socket.connection.send(b"\xff\xfe" + SECRET.encode(), text=True)
        await socket.closed()
    async with open_socket(server) as socket:
        await socket.send(type="connection_init", payload={"Authorization": f"Bearer {SECRET}"})
        await socket.closed()


async def raw(server: Server, request: bytes) -> None:
    """Bytes that are no request, or none that is understood, until they are answered or refused."""
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    async with asyncio.timeout(DEADLINE):
        writer.write(request)
        await reader.read(1)
    writer.close()
    await writer.wait_closed()


async def failing_request(scene: Scene, id: str) -> Json:
    """The error of a request, with this id, that the dead database cannot serve."""
    scene.engine.kill()
    headers = {"authorization": f"Bearer {scene.api.token}", "x-request-id": id}
    response = await scene.api.server.http.post(
        scene.api.server.url, json={"query": "{ viewer { id } }", "variables": {"a": SECRET}}, headers=headers
    )
    assert response.status_code == 500
    assert response.headers["x-request-id"] == id
    [error] = response.json()["errors"]
    return dict(error)


def holds_nothing_of_a_client(text: str, scene: Scene) -> None:
    for secret in (SECRET, scene.api.token, scene.api.token.removeprefix("ci_"), "127.0.0.1", "Bearer"):
        assert secret not in text, secret


async def test_each_line_is_an_object_with_nothing_of_a_client_in_it(tmp_path: Path) -> None:
    async with scene(tmp_path, "json", "debug") as it:
        await use(it)
        error = await failing_request(it, "from-the-proxy_1")
        await it.process.stop()
        lines = it.lines()
        assert lines
        for line in lines:
            assert set(line) <= {"time", "level", "logger", "message", "requestId", "exception"}
            assert TIME.fullmatch(line["time"]) and line["level"] in LEVELS
        [fault] = [line for line in lines if line["level"] == "ERROR" and line.get("requestId") == "from-the-proxy_1"]
        assert error["extensions"] == {"code": "INTERNAL", "requestId": "from-the-proxy_1"}
        assert re.search(DATABASE_FAILED, fault["exception"], re.MULTILINE)
        answered = [line for line in lines if "answered with" in line["message"]]
        assert {line["message"].split()[3] for line in answered} >= {"200", "401", "405", "500"}
        assert [line["level"] for line in answered if " 500 " in line["message"]] == ["INFO"]
        assert len({line["requestId"] for line in answered}) == len(answered)
        assert [line for line in lines if "a socket ended" in line["message"]]
        holds_nothing_of_a_client(it.process.logged(), it)


async def test_as_text_nothing_but_faults_is_told_without_asking(tmp_path: Path) -> None:
    async with scene(tmp_path, "text", "info") as it:
        await use(it)
        assert it.process.logged() == ""
        error = await failing_request(it, "b" * 64)
        await it.process.stop()
        assert error["extensions"]["requestId"] == "b" * 64
        [fault] = [
            line
            for line in it.process.logged().splitlines()
            if f" ERROR connect_inbox.graphql: fault {'b' * 64}" in line
        ]
        assert TIME.match(fault)
        assert re.search(DATABASE_FAILED, it.process.logged(), re.MULTILINE)
        holds_nothing_of_a_client(it.process.logged(), it)


@pytest.fixture(scope="module")
async def server(store: Store) -> AsyncIterator[Server]:
    async with running(store, Settings()) as server:
        yield server


async def test_a_warning_of_python_is_a_line_like_any_other() -> None:
    code = "import warnings; from connect_inbox.logs import set_up; set_up('json', 'info'); warnings.warn('odd')"
    process = await asyncio.create_subprocess_exec(sys.executable, "-W", "default", "-c", code, stderr=PIPE)
    _, errors = await process.communicate()
    [line] = [json.loads(line) for line in errors.splitlines()]
    assert (line["level"], "UserWarning: odd" in line["message"]) == ("WARNING", True)


@pytest.mark.parametrize("given", ["", "a" * 65, "a b", "a.b", "é", "a\tb", "<script>", "1;2"])
async def test_an_id_that_is_not_short_and_plain_is_replaced(server: Server, given: str) -> None:
    response = await server.http.get(server.url, headers={b"x-request-id": given.encode()})
    assert re.fullmatch(r"[0-9a-f]{16}", response.headers["x-request-id"])


async def test_each_request_has_an_id_of_its_own(server: Server) -> None:
    answers = [await server.http.get(server.url) for _ in range(3)]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 3


@contextmanager
def logged(level: int = logging.INFO) -> Iterator[io.StringIO]:
    """What this process logs meanwhile, as JSON."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logs.JsonFormatter())
    logging.root.addHandler(handler)
    try:
        yield text
    finally:
        logging.root.removeHandler(handler)


async def test_the_server_that_it_is_built_on_tells_no_address(
    server: Server, store: Store, workspace: Team, caplog: pytest.LogCaptureFixture
) -> None:
    """Though it would, for each socket, wherever somebody listens for INFO; its access log is off altogether."""
    caplog.set_level(logging.INFO)
    api = server.api(await token_for(store, workspace.id, workspace.member.id))
    async with api.socket():
        await api.run("{ viewer { id } }")
    told = [record.getMessage() for record in caplog.records if record.name == "uvicorn.error"]
    assert not [line for line in told if "127.0.0.1" in line]


async def test_each_operation_of_a_socket_has_an_id_of_its_own(
    store: Store, workspace: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*arguments: object) -> None:
        raise RuntimeError("planted")

    async with running(store, Settings()) as server:
        token = await token_for(store, workspace.id, workspace.member.id)
        async with server.api(token).socket() as socket:
            with logged() as text, monkeypatch.context() as patch:
                patch.setattr(type(store.log), "position", fail)
                subscriptions = [await socket.subscribe("{ viewer { id } }") for _ in range(2)]
                errors = {(await socket.receive())["id"]: None for _ in subscriptions}
    assert len(errors) == 2
    ids = [json.loads(line)["requestId"] for line in text.getvalue().splitlines()]
    assert len(set(ids)) == 2


async def test_an_operation_that_takes_long_is_told_by_its_name(
    store: Store, workspace: Team, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "connect_inbox")

    def told() -> list[str]:
        lines = [each.getMessage() for each in caplog.records if each.name == "connect_inbox.operations"]
        return [line.partition(" after ")[0] for line in lines]

    async with running(store, Settings()) as server:
        api = server.api(await token_for(store, workspace.id, workspace.member.id))
        await api.run("query Quick { viewer { id } }")
        assert told() == []
        monkeypatch.setattr(outcomes, "SLOW", 0.0)
        await api.run("query Named { viewer { id } }")
        await api.post('{ thread(id: "thread_01JAAAAAAAAAAAAAAAAAAAAAAA") { id } }')
        assert told() == ["query Named: ok", "query without a name: NOT_FOUND"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("token ci_QVZgLw734YAVsStDM1X8z0Rpd1_1Up7RYQDHlAXsuJ8 refused", "token *** refused"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("from Ada.Lovelace+x@mail.example.com.", "from ***."),
        ("at mongodb://user:pa:ss@db.example.com:27017/x", "at mongodb://***db.example.com:27017/x"),
        ("10.1.2.3:4567: refused", "***: refused"),
        ("peer ('2001:db8::1:0', 80)", "peer ('***', 80)"),
        ("at 15:37:04 in version 1.2.3 of storage/log.py:12", "at 15:37:04 in version 1.2.3 of storage/log.py:12"),
    ],
)
def test_what_looks_like_an_address_or_a_secret_is_blotted_out(text: str, shown: str) -> None:
    assert logs.blotted(text) == shown


def described(error: BaseException) -> str:
    return "\n".join(logs.described(error))


def test_an_exception_is_told_with_what_led_to_it_and_short() -> None:
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ExceptionGroup("both", [ValueError("a" * 1000), error]) from error
    except ExceptionGroup as error:
        text = described(error)
    assert text.index("KeyError: 'first'") < text.index("which led to:") < text.index("ExceptionGroup: both")
    assert f"  ValueError: {'a' * 199}…" in text and "a" * 200 not in text
    assert "in test_an_exception_is_told_with_what_led_to_it_and_short" in text


def test_writes_that_failed_are_told_without_what_was_written() -> None:
    class WritesFailed(Exception):
        details = {"writeErrors": [{"code": 11000, "op": {"text": SECRET}}]}

    assert described(WritesFailed(SECRET)) == "WritesFailed: writes failed with the codes [11000]"


def test_an_endless_recursion_is_told_in_a_page() -> None:
    def recurse() -> None:
        recurse()

    try:
        recurse()
    except RecursionError as error:
        assert len(described(error).splitlines()) <= 2 * logs.FRAMES + 1


def test_a_line_break_does_not_make_a_line() -> None:
    record = logging.LogRecord("connect_inbox", logging.INFO, "", 1, "one\ntwo\r\n%s", ("three\n",), None)
    assert logs.TextFormatter().format(record).endswith(" INFO connect_inbox: one\\ntwo\\r\\nthree")
    assert json.loads(logs.JsonFormatter().format(record))["message"] == "one\ntwo\r\nthree"
