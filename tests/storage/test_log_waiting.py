"""Those who wait for the log's turn: whom a slow database leaves no time for, and who goes before it is theirs."""

from __future__ import annotations

import asyncio

import pytest

from schema.types.message import DeliveryState, MessageDirection, MessageKind
from storage import outbox
from storage.changes import Turn
from storage.deliveries import States
from storage.log import FRESH
from storage.messages import NewMessage
from storage.outbox import DONE, NewMail, send_mail
from storage.store import Store
from tests.client import DEADLINE
from tests.mailboxes import connected
from tests.storage.deeds import assert_dense, influencer, number_of, send, texts
from tests.storage.stores import Clock, faulty_store
from tests.team import Team


async def test_those_whom_a_slow_database_leaves_no_time_for_have_the_next_turn(
    store: Store, workspace: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planning all who wait takes longer than a head may be built upon."""
    clock = Clock()
    monkeypatch.setattr("storage.log.time", clock)

    async def slow(turn: Turn) -> None:
        clock.ahead += FRESH / 3
        turn.begin("TAG_ADDED")

    async with asyncio.timeout(DEADLINE):
        outcomes = await asyncio.gather(*[store.log.change(workspace.admin, slow) for _ in range(5)])
    assert [number_of(each) for each in outcomes] == [5, 6, 7, 8, 9]
    await assert_dense(store, workspace.id)


async def test_who_has_gone_before_it_began_changes_nothing(store: Store, workspace: Team) -> None:
    """However many try it while the database hangs, nothing of it is left."""
    thread = await influencer(store, workspace, "Anna")
    committing, goes_on = asyncio.Event(), asyncio.Event()
    slow, database = faulty_store(store)

    async def hang() -> None:
        committing.set()
        await goes_on.wait()

    database.before_insert = hang
    first = asyncio.create_task(send(slow, workspace.member, thread, "First"))
    await committing.wait()
    others = [asyncio.create_task(send(slow, workspace.member, thread, f"{number}")) for number in range(10)]
    await asyncio.sleep(0)
    for other in others[1:]:
        other.cancel()
    gone = await asyncio.gather(*others[1:], return_exceptions=True)
    assert {type(each) for each in gone} == {asyncio.CancelledError}
    assert len(slow.log.head(workspace.id).requests) == 2
    goes_on.set()
    await asyncio.gather(first, others[0])
    assert await texts(store, thread) == ["First", "0"]


async def test_who_has_gone_while_others_are_planned_changes_nothing(store: Store, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Anna")
    planning, goes_on = asyncio.Event(), asyncio.Event()

    async def slow(turn: Turn) -> None:
        planning.set()
        await goes_on.wait()

    first = asyncio.create_task(store.log.change(workspace.member, slow))
    second = asyncio.create_task(send(store, workspace.member, thread, "Gone"))
    third = asyncio.create_task(send(store, workspace.member, thread, "Here"))
    await planning.wait()
    second.cancel()
    await asyncio.wait([second])
    goes_on.set()
    await asyncio.gather(first, third)
    assert await texts(store, thread) == ["Here"]


async def test_what_became_of_a_mail_is_noted_though_whoever_sent_it_has_gone(store: Store, workspace: Team) -> None:
    await connected(store, workspace.id, workspace.member.id)
    thread = await influencer(store, workspace, "Ada", emails=["ada@x.example"])
    new = NewMessage(thread, MessageDirection.OUTBOUND, MessageKind.DIRECT, "Hi", subject="Hi")
    id = (await send_mail(store, workspace.member, NewMail(new, None, []), None)).result.id
    states: States = {"ada@x.example": (DeliveryState.SENT, "250 ok")}
    head = store.log.head(workspace.id)
    async with head.lock, asyncio.timeout(DEADLINE):
        settling = asyncio.create_task(outbox.settle(store, workspace.operator, id, states, DONE, 0, 1))
        while not head.requests:
            await asyncio.sleep(0)
        settling.cancel()
        await asyncio.wait([settling])
    await store.log.finish()
    message = await store.database.get("messages", id)
    assert message is not None and message["delivery"]["state"] == "SENT"
