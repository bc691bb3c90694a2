"""Credentials: sealed, bound to their mailbox, never shown, replaced by one at a time; and keys that change."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from connect_inbox import server
from connect_inbox.server import CannotStart, open_database
from connect_inbox.settings import Settings, parse_bind
from storage import credentials
from storage.credentials import Credentials
from storage.keys import FILE, Key, KeyRing, WrongSeal, format_key, new_key
from storage.store import Store, open_store
from tests.commands import call, environment

WORKSPACE = "workspace_credentials"
SECRET = "correct horse battery staple"
GIVEN = Credentials(
    provider="oidc", access_token=f"access {SECRET}", refresh_at=1, expires_at=2, refresh_token=f"refresh {SECRET}"
)
PASSWORD = Credentials(password=SECRET)


async def dump(store: Store) -> str:
    """Everything that the database holds."""
    names = await store.database._database.list_collection_names()
    found = {name: [each async for each in store.database.stream(name, {})] for name in names}
    return json.dumps(found, default=str)


async def test_credentials_are_kept_until_they_are_forgotten(store: Store) -> None:
    assert await credentials.load(store, WORKSPACE, "m1") is None
    for given in (PASSWORD, GIVEN):
        await credentials.save(store, WORKSPACE, "m1", given)
        assert await credentials.load(store, WORKSPACE, "m1") == given
    await credentials.forget(store, WORKSPACE, "m1")
    assert await credentials.load(store, WORKSPACE, "m1") is None


async def test_nothing_shown_or_stored_is_secret(database_uri: str, own_database: str) -> None:
    async with open_store(database_uri, own_database) as store:
        await credentials.save(store, WORKSPACE, "m2", PASSWORD)
        await credentials.save(store, WORKSPACE, "m3", GIVEN)
        held = await credentials.hold(store, WORKSPACE, "m3")
        assert SECRET not in f"{PASSWORD!r} {PASSWORD} {GIVEN!r} {held!r} {store!r}"
        stored = await dump(store)
    assert f"{WORKSPACE}:m2" in stored and SECRET not in stored


@pytest.mark.parametrize(("workspace", "mailbox"), [(WORKSPACE, "m5"), ("another", "m4"), (f"{WORKSPACE}:m4", "")])
async def test_the_credentials_of_one_mailbox_do_not_open_for_another(
    store: Store, workspace: str, mailbox: str
) -> None:
    await credentials.save(store, WORKSPACE, "m4", PASSWORD)
    await credentials.save(store, workspace, mailbox, GIVEN)
    there = await store.database.get("credentials", credentials.id_of(WORKSPACE, "m4"))
    assert there is not None
    await store.database.set("credentials", credentials.id_of(workspace, mailbox), {"sealed": there["sealed"]})
    with pytest.raises(WrongSeal):
        await credentials.load(store, workspace, mailbox)


async def test_one_at_a_time_may_replace_them(store: Store) -> None:
    await credentials.save(store, WORKSPACE, "m6", GIVEN)
    held = await credentials.hold(store, WORKSPACE, "m6")
    assert held is not None
    leases = await asyncio.gather(
        *(credentials.take_lease(store, WORKSPACE, "m6", held.version, seconds=60) for _ in range(20))
    )
    [lease] = [each for each in leases if each is not None]
    assert await credentials.replace(store, lease, PASSWORD)
    assert await credentials.replace(store, lease, PASSWORD), "it is ours, as after an answer that was lost"
    assert await credentials.load(store, WORKSPACE, "m6") == PASSWORD
    await credentials.release(store, lease)
    assert await credentials.take_lease(store, WORKSPACE, "m6", held.version, seconds=60) is None, (
        "that version is gone"
    )


async def test_a_lease_ends_and_the_one_who_had_it_cannot_end_the_next(store: Store) -> None:
    await credentials.save(store, WORKSPACE, "m7", GIVEN)
    held = await credentials.hold(store, WORKSPACE, "m7")
    assert held is not None
    first = await credentials.take_lease(store, WORKSPACE, "m7", held.version, seconds=0)
    second = await credentials.take_lease(store, WORKSPACE, "m7", held.version, seconds=60)
    assert first is not None and second is not None
    await credentials.release(store, first)
    assert await credentials.take_lease(store, WORKSPACE, "m7", held.version, seconds=60) is None
    await credentials.release(store, second)
    assert await credentials.take_lease(store, WORKSPACE, "m7", held.version, seconds=60) is not None


async def test_what_was_saved_meanwhile_is_not_overwritten(store: Store) -> None:
    await credentials.save(store, WORKSPACE, "m8", GIVEN)
    held = await credentials.hold(store, WORKSPACE, "m8")
    assert held is not None
    lease = await credentials.take_lease(store, WORKSPACE, "m8", held.version, seconds=60)
    assert lease is not None
    await credentials.save(store, WORKSPACE, "m8", PASSWORD)
    assert not await credentials.replace(store, lease, GIVEN)
    assert await credentials.load(store, WORKSPACE, "m8") == PASSWORD
    await credentials.forget(store, WORKSPACE, "m8")
    assert not await credentials.replace(store, lease, GIVEN)
    assert await credentials.load(store, WORKSPACE, "m8") is None


@asynccontextmanager
async def with_keys(uri: str, database: str, *keys: Key) -> AsyncIterator[Store]:
    async with open_store(uri, database, keys=KeyRing(keys)) as store:
        yield store


async def test_a_key_is_replaced_without_a_loss(database_uri: str, own_database: str) -> None:
    old, new = new_key(), new_key()
    async with with_keys(database_uri, own_database, old) as store:
        await credentials.check_keys(store)
        await credentials.save(store, WORKSPACE, "m1", GIVEN)
        await credentials.save(store, WORKSPACE, "m2", PASSWORD)
    async with with_keys(database_uri, own_database, new, old) as store:
        await credentials.check_keys(store)
        assert await credentials.load(store, WORKSPACE, "m1") == GIVEN
        await credentials.save(store, WORKSPACE, "m2", GIVEN)
        assert await credentials.reseal(store) == 1
        assert await credentials.reseal(store) == 0
    async with with_keys(database_uri, own_database, new) as store:
        await credentials.check_keys(store)
        assert await credentials.load(store, WORKSPACE, "m1") == await credentials.load(store, WORKSPACE, "m2") == GIVEN
    async with with_keys(database_uri, own_database, old) as store:
        for refused in (
            credentials.check_keys(store),
            credentials.load(store, WORKSPACE, "m1"),
            credentials.reseal(store),
        ):
            with pytest.raises(WrongSeal):
                await refused


async def test_a_server_does_not_start_with_the_keys_of_another_database(
    database_uri: str, own_database: str, tmp_path: Path
) -> None:
    settings = Settings(mongodb_uri=database_uri, mongodb_database=own_database, data=tmp_path)
    for _ in range(2):  # a key file is made at the first start, and read at the next
        async with open_database(settings, with_keys=True) as store:
            assert store.keys.current in (tmp_path / FILE).read_text()
    other = dataclasses.replace(settings, secret_keys=KeyRing([new_key()]))
    with pytest.raises(CannotStart, match="cannot be opened with the keys"):
        async with open_database(other, with_keys=True):
            pass
    (tmp_path / FILE).write_text("no key")
    with pytest.raises(CannotStart, match=str(tmp_path / FILE)):
        async with open_database(settings, with_keys=True):
            pass
    async with open_database(settings):
        pass


async def test_serving_takes_the_keys_of_the_settings(
    database_uri: str, own_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with with_keys(database_uri, own_database, new_key()) as store:
        await credentials.check_keys(store)
    settings = Settings(
        bind=parse_bind("127.0.0.1:0"), mongodb_uri=database_uri, mongodb_database=own_database, data=tmp_path
    )
    with pytest.raises(CannotStart, match="cannot be opened with the keys"):
        await server.serve(settings, print)


async def test_keys_at_the_command_line(
    database_uri: str, own_database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = (await call("keys", "new", env=environment(), capsys=capsys)).out.strip()
    old = new_key()
    async with with_keys(database_uri, own_database, old) as store:
        await credentials.check_keys(store)
        await credentials.save(store, WORKSPACE, "m1", GIVEN)

    def env(*keys: str) -> dict[str, str]:
        return environment(
            MONGODB_URI=database_uri, MONGODB_DATABASE=own_database, CONNECT_INBOX_SECRET_KEYS=",".join(keys)
        )

    refused = await call("keys", "reseal", env=env(printed), capsys=capsys)
    refused.refused("cannot be opened with the keys")
    done = await call("keys", "reseal", env=env(printed, format_key(old)), capsys=capsys)
    assert (done.code, done.out) == (0, f"1 mailbox encrypted anew with the key {printed.partition(':')[0]}\n")
    assert (await call("keys", "reseal", env=env(printed), capsys=capsys)).out.startswith("no mailboxes encrypted")
    wrong = await call("keys", "reseal", env=env(printed[:-1]), capsys=capsys)
    wrong.refused("CONNECT_INBOX_SECRET_KEYS must be keys as", code=2)
    assert printed.partition(":")[2][:8] not in wrong.err
