"""A real SIGKILL at every step of a change, with another process that works on in the same thread.

For each act, processes die one call later than the one before, until one lives to be answered. Whatever was answered
is there, what is asked for again with the same key is there once, and a recount finds no difference.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from schema.types.campaign import CampaignState
from schema.types.node import thread_id_of
from storage.campaigns import create_campaign
from storage.check import check
from storage.influencers import NewInfluencer, create_influencers
from storage.marks import mark_id
from storage.recount import recount_thread
from storage.store import Store
from tests.mailboxes import connected
from tests.storage.deeds import assert_dense, id_of, receive
from tests.storage.killed import ACTS, WRITING, Life, Order, run
from tests.storage.stores import BROKEN, faulty_store, replayed, stored
from tests.team import Team

MOST_STEPS = 20
APPLIED = ["put_guarded influencers", "raise_to workspaces", "announce"]
# The calls before which a process must have died for the test to have shown what it should.
STEPS = {
    "receive": [*APPLIED, "insert entries", "put_guarded messages", "put_guarded marks", "put_guarded notifications",
                "put_guarded claims", "put_guarded participations"],
    "send": [*APPLIED, "insert entries", "put_guarded messages", "put_guarded marks", "put_guarded claims"],
    "several": [*APPLIED, "insert entries", "put_guarded messages", "put_guarded marks", "put_guarded claims"],
    "mail": [*APPLIED, "insert entries", "put_guarded messages", "put_guarded marks", "put_guarded claims",
             "put_guarded outbox"],
    "take": [*APPLIED, "insert entries", "put_guarded messages", "put_guarded marks", "put_guarded notifications",
             "put_guarded claims"],
    "read": ["insert entries", "put_guarded marks", "put_guarded notifications", "raise_to workspaces", "announce"],
    "unread": ["insert entries", "put_guarded marks", "put_guarded notifications", "raise_to workspaces", "announce"],
    "archive": [*APPLIED, "insert entries", "put_guarded marks"],
    "refresh": ["put_guarded messages", "put_guarded marks", "put_guarded influencers", "raise_to workspaces"],
}  # fmt: skip


async def orders(store: Store, uri: str, database: str, team: Team, act: str) -> list[Order]:
    """The same act for one process after the other, each in a thread of its own in which there is something unread."""
    many = [NewInfluencer(name=f"Person {number}", emails=[address_of(number)]) for number in range(MOST_STEPS)]
    made = await create_influencers(store, team.operator, many)
    campaign = await create_campaign(store, team.operator, "Summer", CampaignState.LIVE, [], None)
    mailbox = await connected(store, team.id, team.member.id)
    first = Order(uri, database, team, act, thread="", campaign=campaign.result.id, mailbox=mailbox)
    return [
        replace(first, thread=thread_id_of(id), address=address_of(step - 1), key=f"{act} {step}", dies_at=step)
        for step, id in enumerate(made.result, start=1)
    ]


def address_of(number: int) -> str:
    return f"person.{number}@x.example"


async def write(store: Store, order: Order) -> None:
    await receive(store, order.team, order.thread, "Hello?", automatic=True)


@pytest.mark.parametrize("act", ["receive", "several", "unread", "mail", "take"])  # all, by chance, in tests/soak
async def test_killed_at_every_step(
    store: Store, database_uri: str, database_name: str, workspace: Team, act: str
) -> None:
    died_before = set()
    for order in await orders(store, database_uri, database_name, workspace, act):
        message = await receive(store, workspace, order.thread)
        order = replace(order, message=message.result.id)
        life = await run(order)
        if act != "archive":  # which a message would undo
            await write(store, order)
        await ACTS[act](store, order, order.key)  # A client that was not answered asks again.
        await assert_done_once(store, order, life)
        if not life.died_before:
            break
        died_before.add(life.died_before)
    assert died_before >= set(STEPS[act])
    await assert_whole(store, workspace)


@pytest.mark.parametrize("act", ["receive", "several", "mail", "take"])
async def test_killed_while_another_process_writes_to_the_same_thread(
    store: Store, database_uri: str, database_name: str, workspace: Team, act: str
) -> None:
    """The two race for each position, so where exactly a process dies is left to chance."""
    for order in (await orders(store, database_uri, database_name, workspace, act))[:10]:
        await receive(store, workspace, order.thread)
        life = await run(order, partial(write, store, order))
        await ACTS[act](store, order, order.key)
        await assert_done_once(store, order, life)
    await assert_whole(store, workspace)


async def assert_done_once(store: Store, order: Order, life: Life) -> None:
    """What was answered, and what was asked for again, is there once."""
    texts = [each["text"] for each in await store.database.find("messages", {"thread_id": order.thread})]
    for key in {*life.answered, order.key}:
        wanted = [f"{key}.{number}" for number in range(4)] if order.act == "several" else [key]
        if order.act in WRITING:
            assert [texts.count(text) for text in wanted] == [1] * len(wanted), life
    mark = await store.database.get("marks", mark_id(order.team.admin.id, order.thread))
    influencer = await store.database.get("influencers", id_of(order.thread))
    assert mark is not None and influencer is not None
    if order.act in ("read", "unread"):
        assert mark["count"] == (0 if order.act == "read" else 1), life
    if order.act == "archive":
        assert (influencer["listed"], mark["shown"]) == (0, 0), life
    assert await recount_thread(store.database, order.team.id, id_of(order.thread)) == []


async def assert_whole(store: Store, workspace: Team) -> None:
    await assert_dense(store, workspace.id)
    assert await check(store, workspace.id, repair=False) == []
    assert await stored(store, workspace.id) == await replayed(store, workspace.id)


async def test_killed_at_every_step_of_a_repair(
    store: Store, database_uri: str, database_name: str, workspace: Team
) -> None:
    """Somebody was killed after a commit, and so is everybody who finishes it; the last one does."""
    died_before = set()
    for order in await orders(store, database_uri, database_name, workspace, "refresh"):
        broken, database = faulty_store(store)
        database.broken_writes = 100
        with pytest.raises(BROKEN):
            await receive(broken, workspace, order.thread)
        life = await run(order)
        if not life.died_before:
            break
        died_before.add(life.died_before)
        await store.log.refresh(workspace.id)
        assert await recount_thread(store.database, workspace.id, id_of(order.thread)) == []
    assert died_before >= set(STEPS["refresh"])
    await assert_whole(store, workspace)
