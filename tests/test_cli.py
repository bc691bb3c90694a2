"""The command line: what it prints, and how it ends. Servers are processes of their own."""

from __future__ import annotations

import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx2
import pytest
from pymongo import AsyncMongoClient

from connect_inbox import cli
from schema.root import print_schema
from storage.influencers import NewInfluencer, create_influencer
from storage.store import Store, open_store
from tests.client import Api, Server
from tests.commands import DEADLINE, Result, call, environment, is_free, result_of, run, started
from tests.team import Team

Env = dict[str, str]
Call = Callable[..., Awaitable[Result]]
NOBODY = "workspace_01JAAAAAAAAAAAAAAAAAAAAAAA"
NOTHING = "token_01JAAAAAAAAAAAAAAAAAAAAAAA"
CREATE = ["workspace", "create", "Alder & Wren", "--admin-name", "Ines Falk", "--admin-email", "ines@brand.test"]


@pytest.fixture
def env(database_uri: str, database_name: str) -> Env:
    """The settings of the tests' own database."""
    return environment(MONGODB_URI=database_uri, MONGODB_DATABASE=database_name, CONNECT_INBOX_BIND="127.0.0.1:0")


@pytest.fixture
def command(store: Store, env: Env, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs a command on the tests' own database."""

    async def run_here(*arguments: object) -> Result:
        return await call(*arguments, env=env, capsys=capsys)

    return run_here


@pytest.fixture
def own_env(database_uri: str, own_database: str) -> Env:
    """The settings of a database that nobody else fills: a server looks after all the mail that it finds."""
    return environment(MONGODB_URI=database_uri, MONGODB_DATABASE=own_database, CONNECT_INBOX_BIND="127.0.0.1:0")


@pytest.fixture
def folder_env(tmp_path: Path) -> Env:
    """Settings of an embedded database in a new folder."""
    return environment(CONNECT_INBOX_DATA=tmp_path / "data", CONNECT_INBOX_BIND="127.0.0.1:0")


@asynccontextmanager
async def api_at(line: str, token: str) -> AsyncIterator[Api]:
    """The API of a server that has printed where it listens."""
    async with httpx2.AsyncClient(timeout=DEADLINE) as http:
        yield Api(Server(line.split()[-1], http), token)


async def test_from_a_new_workspace_to_a_revoked_token(own_env: Env, capsys: pytest.CaptureFixture[str]) -> None:
    command = partial(call, env=own_env, capsys=capsys)
    made = (await command(*CREATE, "--json")).json
    id = made["workspaceId"]
    listed = (await command("workspace", "list", "--json")).json
    assert [each["name"] for each in listed if each["workspaceId"] == id] == ["Alder & Wren"]

    assert (await command("member", "add", id, "Tomasz Nowak", "Tomasz@brand.test")).code == 0
    member = (await command("token", "create", id, "--member", "tomasz@BRAND.test", "--json")).json
    scopes = ["--scope", "inbox:read", "--scope", "messages:ingest"]
    partner = (await command("token", "create", id, "--partner", "Portal", *scopes, "--days", 1, "--json")).json
    assert (await command("token", "revoke", id, member["tokenId"])).code == 0

    tokens = (await command("token", "list", id, "--json")).json
    assert [(each["owner"], each["state"], each["scopes"]) for each in tokens] == [
        ("Ines Falk", "valid", "-"),
        ("Tomasz Nowak", "revoked", "-"),
        ("Portal", "valid", "inbox:read,messages:ingest"),
    ]
    async with started("serve", env=own_env) as (_, line):
        query = "{ viewer { id role scopes actor { name } } }"
        async with api_at(line, made["token"]) as api:
            viewer = (await api.run(query))["viewer"]
            assert viewer == {"id": made["memberId"], "role": "ADMIN", "scopes": [], "actor": {"name": "Ines Falk"}}
        async with api_at(line, partner["token"]) as api:
            assert (await api.run(query))["viewer"]["scopes"] == ["inbox:read", "messages:ingest"]
        async with api_at(line, member["token"]) as api:
            headers = {"authorization": f"Bearer {member['token']}"}
            response = await api.server.http.post(api.server.url, headers=headers, json={"query": query})
            assert "UNAUTHENTICATED" in response.text and "Tomasz" not in response.text


async def test_for_people_it_prints_lines(command: Call) -> None:
    made = await command(*CREATE)
    assert made.code == 0
    values = dict(line.split(None, 1) for line in made.out.splitlines())
    assert values["token"].startswith("ci_") and values["workspaceId"].startswith("workspace_")
    listed = (await command("workspace", "list")).out.splitlines()
    assert listed[0].split() == ["workspaceId", "createdAt", "name"]
    assert [line.endswith("  Alder & Wren") for line in listed if values["workspaceId"] in line] == [True]


async def test_a_new_epoch_makes_older_positions_foreign(command: Call, store: Store, workspace: Team) -> None:
    before = await store.log.position(workspace.id)
    assert (await command("workspace", "new-epoch", workspace.id)).code == 0
    assert await store.log.position(workspace.id) != before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([*CREATE[:-1], "nobody"], ["'nobody' is not an e-mail address"]),
        (["workspace", "create", " ", *CREATE[3:]], ["NAME must not be empty"]),
        (["workspace", "new-epoch", NOBODY], [NOBODY]),
        (["member", "add", NOBODY, "Ben", "ben@brand.test"], [NOBODY]),
        (["member", "add", NOBODY, "Ben\n", "ben"], ["'ben' is not an e-mail address"]),
        (["token", "create", NOBODY, "--member", "ben@brand.test"], [NOBODY]),
        (["token", "create", NOBODY, "--partner", "Portal"], ["--scope"]),
        (["token", "create", NOBODY, "--member", "ben@brand.test", "--scope", "inbox:read"], ["--scope"]),
        (["token", "list", NOBODY], [NOBODY]),
        (["token", "revoke", NOBODY, NOTHING], [NOTHING]),
        (["check", NOBODY], [NOBODY]),
    ],
)
async def test_a_mistake_is_one_line(command: Call, arguments: list[str], words: list[str]) -> None:
    (await command(*arguments)).refused(*words)


async def test_what_the_workspace_refuses_is_one_line(command: Call, workspace: Team) -> None:
    taken = await command("member", "add", workspace.id, "Ada", "ADA@brand.test")
    taken.refused("another member has this e-mail address")
    (await command("token", "create", workspace.id, "--member", "zoe@brand.test")).refused("'zoe@brand.test'")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["workspace"],
        ["flee"],
        ["workspace", "create", "Alder & Wren"],
        ["member", "add", NOBODY, "Ben", "ben@brand.test", "--role", "OWNER"],
        ["token", "create", NOBODY],
        ["token", "create", NOBODY, "--partner", "Portal", "--scope", "everything"],
        ["token", "create", NOBODY, "--member", "ben@brand.test", "--days", "0"],
        ["demo", "--port", "65536"],
        ["demo", "--influencers", "many"],
    ],
)
def test_a_wrong_use_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.build_parser().parse_args(arguments)
    told = capsys.readouterr()
    Result(int(str(ended.value.code)), told.out, told.err).refused(code=cli.WRONG_USE)


async def test_a_wrong_setting_is_one_line(folder_env: Env, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = {**folder_env, "CONNECT_INBOX_LOG_DAYS": "a week"}
    for arguments in (["serve"], ["demo"], ["workspace", "list"]):
        refused = await call(*arguments, env=wrong, capsys=capsys)
        refused.refused("CONNECT_INBOX_LOG_DAYS must be ", "'a week'", code=cli.WRONG_USE)
    assert (await run("serve", env=wrong)) == refused
    assert not Path(folder_env["CONNECT_INBOX_DATA"]).exists()


async def test_a_folder_in_use_is_refused_and_one_left_by_a_killed_server_is_not(folder_env: Env) -> None:
    folder = Path(folder_env["CONNECT_INBOX_DATA"])
    async with started("serve", env=folder_env) as (process, _):
        (await run("serve", env=folder_env)).refused(f"{folder} is in use by another process")
        process.kill()
        await process.wait()
        async with started("serve", env=folder_env) as (second, _):
            second.send_signal(signal.SIGTERM)
            assert await result_of(second) == Result(0, "", "")
        assert is_free(folder)


async def test_a_port_in_use_is_one_line(folder_env: Env, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = await call("serve", env={**folder_env, "CONNECT_INBOX_BIND": address}, capsys=capsys)
        refused.refused(f"cannot listen at {address}", "in use")


async def test_a_database_that_does_not_answer_is_one_line(folder_env: Env, capsys: pytest.CaptureFixture[str]) -> None:
    before = time.monotonic()
    nowhere = {**folder_env, "MONGODB_URI": "mongodb://user:secret@127.0.0.1:1/?serverSelectionTimeoutMS=500"}
    result = await call("serve", env=nowhere, capsys=capsys)
    result.refused("the database at 127.0.0.1:1 cannot be used", "refused")
    assert "secret" not in result.err
    assert time.monotonic() - before < DEADLINE / 2


@pytest.mark.parametrize(
    "uri", ["mongodb://host:secret/x", "mongodb://user:s:ecret@host", "mongodb+srv://a:secret@host"]
)
async def test_an_address_that_is_none_is_one_line(
    folder_env: Env, capsys: pytest.CaptureFixture[str], uri: str
) -> None:
    result = await call("serve", env={**folder_env, "MONGODB_URI": uri}, capsys=capsys)
    result.refused("MONGODB_URI cannot be used: ", code=cli.WRONG_USE)
    assert "ecret" not in result.err


async def test_a_database_of_a_later_version_is_one_line(env: Env, capsys: pytest.CaptureFixture[str]) -> None:
    later = {**env, "MONGODB_DATABASE": f"connect_inbox_later_{secrets.token_hex(6)}"}
    try:
        async with open_store(later["MONGODB_URI"], later["MONGODB_DATABASE"]) as store:
            await store.database.set("formats", "version", {"version": 1000})
        (await call("serve", env=later, capsys=capsys)).refused("the database has format 1000")
    finally:
        async with AsyncMongoClient[dict[str, object]](env["MONGODB_URI"]) as client:
            await client.drop_database(later["MONGODB_DATABASE"])


async def test_ctrl_c_ends_a_server_with_streams_open(own_env: Env, capsys: pytest.CaptureFixture[str]) -> None:
    token = (await call(*CREATE, "--json", env=own_env, capsys=capsys)).json["token"]
    async with started("serve", env=own_env) as (process, line), api_at(line, token) as api:
        async with api.subscription("subscription { unreadCount { messages } }") as subscription:
            await subscription.data()
            process.send_signal(signal.SIGINT)
            code, _ = await subscription.socket.closed()
            assert code == 1012  # a restart: clients come back
            assert await result_of(process) == Result(0, "", "")


async def test_what_differs_is_told_and_repaired(command: Call, store: Store, workspace: Team) -> None:
    made = await create_influencer(store, workspace.admin, NewInfluencer(name="Zoë Hartmann"), None)
    assert (await command("check", workspace.id)).code == 0
    await store.database.set("influencers", made.result.id, {"counted": 7})
    found = await command("check", workspace.id)
    found.refused("differs")
    assert made.result.id in found.out
    assert (await command("check", workspace.id, "--repair")).code == 0
    assert (await command("check", workspace.id)).out == "1 workspace checked, no differences\n"


async def test_the_schema_is_printed_and_compared(
    folder_env: Env, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = await call("schema", "print", env=folder_env, capsys=capsys)
    assert printed == Result(0, print_schema(), "")
    monkeypatch.setattr(cli, "SCHEMA_FILE", tmp_path / "schema.graphql")
    cli.SCHEMA_FILE.write_text(printed.out)
    assert await call("schema", "check", env=folder_env, capsys=capsys) == Result(0, "", "")
    cli.SCHEMA_FILE.write_text("type Query { old: Int }")
    differs = await call("schema", "check", env=folder_env, capsys=capsys)
    differs.refused("connect-inbox schema print > schema/schema.graphql")
