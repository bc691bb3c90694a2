"""The upkeep: what it finds that nobody told of, what it forgets and removes, and that an error ends nothing."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
from pymongo import AsyncMongoClient

from connect_inbox.server import background
from storage import log
from storage.influencers import NewInfluencer, create_influencer
from storage.store import Store, open_store
from storage.tags import create_tag
from sync.upkeep import for_each, keep_following, run_upkeep
from tests.client import DEADLINE
from tests.storage.stores import BROKEN, faulty_store
from tests.team import create_team

INTERVAL = 0.02
WEEK = 7.0


@pytest.fixture
async def stores(database_uri: str) -> AsyncIterator[tuple[Store, Store]]:
    """Two processes on one database of their own, as far as they can be in one: neither hears of the other."""
    name = f"connect_inbox_upkeep_{secrets.token_hex(6)}"
    async with open_store(database_uri, name) as one, open_store(database_uri, name) as other:
        yield one, other
    async with AsyncMongoClient[dict[str, object]](database_uri) as client:
        await client.drop_database(name)


async def test_it_finds_what_another_process_did_without_a_hint(stores: tuple[Store, Store]) -> None:
    here, there = stores
    team = await create_team(there)
    head = await here.log.refresh(team.id)
    async with background(run_upkeep(here, INTERVAL, WEEK)), asyncio.timeout(DEADLINE):
        with head.followed():
            before = head.known
            await create_tag(there, team.admin, "Outdoor", None, None)
            await head.news(before, head.epoch)
    assert head.known == before + 1


async def test_it_finishes_what_a_killed_process_has_begun(
    stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = stores
    team = await create_team(there)

    async def killed(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(log, "apply", killed)
        with pytest.raises(RuntimeError, match="killed"):
            await create_influencer(there, team.admin, NewInfluencer(name="Zoë Hartmann"), None)
    async with background(run_upkeep(here, INTERVAL, WEEK)), asyncio.timeout(DEADLINE):
        while not await here.database.find("influencers", {"workspace": team.id, "listed": 1}):
            await asyncio.sleep(INTERVAL)


@pytest.mark.parametrize("fault", ["a write fails", "the answer to the commit is lost"])
async def test_it_finishes_what_was_left_undone_where_nobody_follows(
    stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    here, _ = stores
    team = await create_team(here)
    broken, database = faulty_store(here)
    if fault == "a write fails":
        database.broken_writes = 1
    else:
        database.lost_answers = log.INSERT_ATTEMPTS
    with pytest.raises(BROKEN):
        await create_influencer(broken, team.admin, NewInfluencer(name="Zoë Hartmann"), None)
    async with background(keep_following(broken, INTERVAL)), asyncio.timeout(DEADLINE):
        while broken.log.unfinished():
            await asyncio.sleep(INTERVAL)
    assert await here.database.find("influencers", {"workspace": team.id, "listed": 1})


async def test_it_forgets_old_entries_but_the_last(stores: tuple[Store, Store]) -> None:
    here, _ = stores
    team = await create_team(here)
    last = (await here.log.state(team.id))["applied"]
    assert last > 1
    async with background(run_upkeep(here, INTERVAL, log_days=-WEEK)), asyncio.timeout(DEADLINE):
        while (await here.log.state(team.id))["floor"] < last - 1:
            await asyncio.sleep(INTERVAL)
        while len(entries := await here.database.find("entries", {"workspace": team.id})) > 1:
            await asyncio.sleep(INTERVAL)
    assert entries[0]["last"] == last


async def test_it_removes_what_broken_uploads_have_left(stores: tuple[Store, Store]) -> None:
    here, _ = stores
    left = {"workspace": "workspace", "started_at": 0, "state": "OPEN"}
    await here.database.insert("uploads", {"_id": "file", **left})
    await here.database.insert("fs.chunks", {"_id": "file:0", "files_id": "file", "n": 0, "data": b"bytes"})
    async with background(run_upkeep(here, INTERVAL, WEEK)), asyncio.timeout(DEADLINE):
        while await here.database.get("uploads", "file"):
            await asyncio.sleep(INTERVAL)
    assert not await here.database.find("fs.chunks", {"files_id": "file"})


async def test_an_error_of_one_workspace_is_logged_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    done = []

    async def work(id: str) -> None:
        if id == "two":
            raise RuntimeError("no")
        done.append(id)

    await for_each("prune", ["one", "two", "three"], work)
    assert done == ["one", "three"]
    assert [record.getMessage() for record in caplog.records] == ["prune of two failed"]


async def test_it_outlives_a_database_that_does_not_answer(
    stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    here, there = stores
    team = await create_team(there)
    head = await here.log.refresh(team.id)
    refused = asyncio.Event()

    async def refuse(*_: object, **__: object) -> None:
        refused.set()
        raise ConnectionError("no")

    async with background(run_upkeep(here, INTERVAL, WEEK)) as upkeep, asyncio.timeout(DEADLINE):
        with head.followed():
            with monkeypatch.context() as patch:
                patch.setattr(here.database, "get", refuse)
                await refused.wait()
            before = head.known
            await create_tag(there, team.admin, "Outdoor", None, None)
            await head.news(before, head.epoch)
        assert not upkeep.done()
    assert "failed" in caplog.text
