"""The demo, as a process of its own: what it prints, what is in it, and that it ends whole."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from schema.types.campaign import AssetKind
from schema.types.context import SCOPES
from schema.types.message import MessageChannel, MessageKind
from tests.client import Api, Server
from tests.commands import DEADLINE, PROJECT, call, ending, environment, is_free, result_of, start, started, wait_until

Json = dict[str, Any]
FEW = ["demo", "--port", 0, "--json", "--influencers", 8]
QUIET = [*FEW, "--no-traffic"]
MESSAGES = """
{ inbox(first: 10) { edges { node { id unread influencer { hasAccount emails } messages(first: 100) { edges { node {
  id kind channel automatic asset { asset { kind } }
} } } } } } }
"""


@pytest.fixture(scope="module")
async def ready(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Json]:
    """What a demo that goes on printed when it was ready."""
    async with started(*FEW, env=environment(TMPDIR=tmp_path_factory.mktemp("demo"))) as (_, line):
        yield json.loads(line)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Temporary folders are made in the test's own."""
    return environment(TMPDIR=tmp_path)


@asynccontextmanager
async def api(ready: Json, token: str = "memberToken") -> AsyncIterator[Api]:
    async with httpx2.AsyncClient(timeout=DEADLINE) as http:
        yield Api(Server(ready["url"], http), ready[token])


async def threads_of(ready: Json) -> list[Json]:
    """The threads with their messages, as the first member sees them."""
    async with api(ready) as member:
        return [edge["node"] for edge in (await member.run(MESSAGES))["inbox"]["edges"]]


async def interrupted(process: Process) -> None:
    """Ctrl-C ends it, and it says nothing about that."""
    process.send_signal(signal.SIGINT)
    ended = await result_of(process)
    assert (ended.code, ended.out) == (0, "") and "Traceback" not in ended.err, ended


async def test_it_tells_where_it_is_and_who_may_come_in(ready: Json) -> None:
    names = ["memberToken", "secondMemberToken", "otherWorkspaceToken", "partnerToken"]
    assert list(ready) == ["url", "websocketUrl", *names]
    assert ready["websocketUrl"] == ready["url"].replace("http://", "ws://")
    viewers = []
    for name in names:
        async with api(ready, name) as viewer:
            viewers.append((await viewer.run("{ viewer { role scopes workspace { id } } }"))["viewer"])
    assert [each["role"] for each in viewers] == ["ADMIN", "MEMBER", "ADMIN", None]
    assert set(viewers[3]["scopes"]) == set(SCOPES)
    first, second, other, partner = (each["workspace"]["id"] for each in viewers)
    assert first == second == partner != other


async def test_messages_of_every_channel_kind_and_asset_are_there(ready: Json) -> None:
    threads = await threads_of(ready)
    messages = [edge["node"] for thread in threads for edge in thread["messages"]["edges"]]
    assert {message["kind"] for message in messages} == {kind.name for kind in MessageKind}
    assert {message["channel"] for message in messages} == {channel.name for channel in MessageChannel}
    assert {message["automatic"] for message in messages} == {True, False}
    given = Counter(each["asset"]["asset"]["kind"] for each in messages if each["kind"] == "ASSET")
    assert given.keys() == {kind.name for kind in AssetKind}
    assert all((message["asset"] is not None) == (message["kind"] == "ASSET") for message in messages)


async def test_influencers_of_every_sort_are_there(ready: Json) -> None:
    threads = await threads_of(ready)
    assert {thread["unread"] for thread in threads} == {True, False}
    assert {thread["influencer"]["hasAccount"] for thread in threads} == {True, False}
    assert {bool(thread["influencer"]["emails"]) for thread in threads} == {True, False}
    assert not all(thread["messages"]["edges"] for thread in threads)


async def test_influencers_write_now_and_then(ready: Json) -> None:
    async with api(ready) as member:
        query = "subscription { messageAdded { message { direction author { id } } } }"
        async with member.subscription(query) as subscription:
            message = (await subscription.data())["message"]
        assert message["direction"] == "INBOUND" and message["author"]["id"].startswith("influencer_")


async def test_a_folder_that_was_named_is_gone_on_with_even_after_a_kill(env: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    async with started(*QUIET, "--data", folder, env=env) as (process, line):
        before = json.loads(line), await threads_of(json.loads(line))
        assert not is_free(folder)
        process.kill()
        await wait_until(lambda: is_free(folder))
    async with started(*QUIET, "--data", folder, env=env) as (process, line):
        after = json.loads(line), await threads_of(json.loads(line))
        await interrupted(process)
    assert is_free(folder)
    for name in ("memberToken", "secondMemberToken", "otherWorkspaceToken", "partnerToken"):
        assert before[0][name] == after[0][name]
    assert before[1] == after[1]


async def test_a_folder_with_other_workspaces_is_refused(
    env: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create = ["workspace", "create", "Alder & Wren", "--admin-name", "Ines", "--admin-email", "ines@brand.test"]
    assert (await call(*create, env={**env, "CONNECT_INBOX_DATA": str(tmp_path / "real")}, capsys=capsys)).code == 0
    result = await call(*QUIET, "--data", tmp_path / "real", env=env, capsys=capsys)
    assert (result.code, result.out) == (1, "")
    assert "holds workspaces that are not the demo's" in result.err.splitlines()[-1]


async def test_ctrl_c_while_it_fills_leaves_nothing_behind(env: dict[str, str], tmp_path: Path) -> None:
    process = await start("demo", "--port", 0, "--influencers", 2000, env=env)
    async with ending(process):
        assert process.stderr is not None
        async with asyncio.timeout(DEADLINE):
            assert await process.stderr.readline() == b"Starting the database ...\n"
            assert (await process.stderr.readline()).startswith(b"Filling the workspace")
        await interrupted(process)
    assert not list(tmp_path.iterdir())


async def test_it_ends_with_the_make_that_started_it(env: dict[str, str], tmp_path: Path) -> None:
    """A `make` that is killed cannot end what it started. Here something else stands for make."""
    script = "import subprocess, sys; subprocess.run([sys.executable, '-m', 'connect_inbox', *sys.argv[1:]])"
    make = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, "demo", "--port", "0", "--influencers", "1"),
        cwd=PROJECT, env={**env, "MAKELEVEL": "1"}, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    async with ending(make):
        assert make.stdout is not None
        async with asyncio.timeout(DEADLINE):
            assert await make.stdout.readline() == b"\n"
            assert (await make.stdout.readline()).startswith(b"Connect Inbox is ready.")
        make.kill()
        ended = await result_of(make)  # it is read to the end of the demo, which has the other end too
    assert not list(tmp_path.iterdir())
    assert "curl -N http://127.0.0.1:" in ended.out and "'accept: text/event-stream'" in ended.out
    assert ended.out.count("ci_") == 5


async def test_a_port_in_use_is_one_line(env: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = await call("demo", "--port", port, env=env, capsys=capsys)
        refused.refused(f"cannot listen at 127.0.0.1:{port}", "in use")
