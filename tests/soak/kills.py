"""Processes that are killed anywhere in a change, again and again, while others work on in the same workspace."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from random import Random

from schema.types.campaign import CampaignState
from storage.campaigns import create_campaign
from storage.store import Store
from tests.mailboxes import connected
from tests.storage import killed
from tests.storage.deeds import influencer, receive
from tests.storage.killed import ACTS, Order
from tests.storage.test_kill import assert_done_once, assert_whole, write
from tests.team import create_team

CHOICE = ["receive", "receive", "send", "several", "several", "read", "unread", "archive", "mail", "take"]
LATEST = 12  # calls that a change makes at most, about
ROUND = 20  # kills, beside which another process has twenty writers of its own


async def run(store: Store, uri: str, database: str, kills: int, seed: int) -> str:
    """Raises AssertionError where something was lost or doubled, or a recount differs."""
    random = Random(seed)
    team = await create_team(store, "Kills")
    campaign = (await create_campaign(store, team.operator, "Summer", CampaignState.LIVE, [], None)).result.id
    mailbox = await connected(store, team.id, team.member.id)
    steps: Counter[str] = Counter()
    for first in range(0, kills, ROUND):
        busy = await influencer(store, team, f"Busy {first}")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(killed.run(Order(uri, database, team, "many", busy, key=f"many {first}")))
            for number in range(first, min(first + ROUND, kills)):
                address = f"person.{number}@x.example"
                thread = await influencer(store, team, f"Person {number}", emails=[address])
                message = (await receive(store, team, thread)).result.id
                act, dies_at = random.choice(CHOICE), random.randint(1, LATEST)
                order = Order(
                    uri, database, team, act, thread, message, campaign, mailbox, address, f"{act} {number}", dies_at
                )
                steps[await kill(store, order, random)] += 1
    await assert_whole(store, team)
    survived = steps.pop("", 0)
    return f"{kills} kills, {kills - survived} of them before one of {len(steps)} kinds of calls, the others afterwards"


async def kill(store: Store, order: Order, random: Random) -> str:
    """Has a process begin and die, somebody else write meanwhile or not, and a client ask again; where it died."""
    others = partial(write, store, order)
    meanwhile = order.act != "archive" and random.random() < 0.5  # a message brings back who was archived
    life = await killed.run(order, others if meanwhile else None)
    if order.act != "archive":
        await others()
    await ACTS[order.act](store, order, order.key)
    await assert_done_once(store, order, life)
    return life.died_before
