"""How a store ends."""

from __future__ import annotations

import asyncio
import time

import pytest

from storage.store import LAST_CHANCE, Store, open_store
from tests.commands import wait_until
from tests.storage.deeds import assert_dense, influencer, send, texts
from tests.storage.stores import second_store
from tests.storage.test_wire import DEADLINE
from tests.team import Team


@pytest.mark.parametrize(("stuck", "done"), [("insert", []), ("put_guarded", ["One"])])
async def test_its_end_waits_for_no_database_that_does_not_answer(
    store: Store, workspace: Team, database_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch,
    stuck: str, done: list[str],
) -> None:  # fmt: skip
    """What was under way is as after a kill: before its entry is inserted it is not there, afterwards others do it."""
    thread = await influencer(store, workspace, "Anna")
    is_stuck = asyncio.Event()

    async def never(*_: object) -> None:
        is_stuck.set()
        await asyncio.Event().wait()

    async with open_store(database_uri, database_name) as ending:
        monkeypatch.setattr(ending.database, stuck, never)
        sending = [asyncio.create_task(send(ending, workspace.member, thread, "One"))]
        async with asyncio.timeout(DEADLINE):
            await is_stuck.wait()
        sending += [asyncio.create_task(send(ending, workspace.member, thread, text)) for text in ("Two", "Three")]
        await wait_until(lambda: len(ending.log.head(workspace.id).requests) == 3)
        started = time.monotonic()
    assert time.monotonic() - started < 2 * LAST_CHANCE
    for each in sending:
        each.cancel()
    await asyncio.wait(sending)
    other = second_store(store)
    await other.log.refresh(workspace.id)
    assert await texts(other, thread) == done
    await send(other, workspace.member, thread, "Four")
    assert await texts(other, thread) == [*done, "Four"]
    await assert_dense(other, workspace.id)
