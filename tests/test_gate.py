"""The gate between tokens and streams, where things happen at the same time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from connect_inbox import auth
from connect_inbox.auth import TokenRefused, open_gate
from schema.types.scalars import now
from storage.store import Store
from storage.tokens import Standing, create_token, look_up
from tests.client import DEADLINE
from tests.team import Team


async def test_who_comes_while_the_others_tokens_are_looked_up_stays(
    store: Store, workspace: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not known of a token yet is not taken for a token that is not known."""
    rounds: asyncio.Queue[list[str]] = asyncio.Queue()
    going_on = asyncio.Semaphore(0)

    async def look_up_slowly(store: Store, ids: list[str]) -> dict[str, Standing]:
        found = await look_up(store, ids)
        await rounds.put(ids)
        await going_on.acquire()
        return found

    first, second = [
        (await create_token(store, workspace.id, caller.id, "test", [], now() + timedelta(days=1)))[0]
        for caller in (workspace.admin, workspace.member)
    ]
    monkeypatch.setattr(auth, "INTERVAL", 0.01)
    ended: list[TokenRefused] = []
    async with open_gate(store) as gate, asyncio.timeout(DEADLINE):
        one, two = await gate.admit(first), await gate.admit(second)
        monkeypatch.setattr(auth, "look_up", look_up_slowly)
        with gate.hold(one, ended.append):
            while one.id not in await rounds.get():
                going_on.release()
            with gate.hold(two, ended.append):
                going_on.release()
                await rounds.get()  # the round before is over
                assert ended == []
