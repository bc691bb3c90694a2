"""Fills a database with one workspace: a made-up history of a given number of messages, 80 to a thread.

The team joins when 19 of 20 messages are there, as a new member starts with everything read; from then on everyone has
read marks and notifications, and in the end everyone reads everything but the newest threads: 40 for one member, half
of all for another. The log's entries are not stored: it is as if they had been pruned.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from pymongo import AsyncMongoClient

from bench.memory import Memory
from schema.types.campaign import CampaignState, ParticipationStatus
from schema.types.context import Caller, Role
from schema.types.influencer import Handle, Network
from schema.types.message import MessageDirection, MessageKind
from schema.types.node import influencer_id_of, thread_id_of
from schema.types.scalars import now
from storage.campaigns import create_campaign, set_participation
from storage.counts import Counts
from storage.documents import Document
from storage.influencers import NewInfluencer, create_influencers
from storage.log import Log
from storage.marks import mark_threads_read
from storage.messages import NewMessage, add_messages
from storage.store import Store, open_store
from storage.tags import create_tag
from storage.wire import Wire
from storage.workspaces import add_member, add_partner, create_workspace, operator_of

FORMAT = 1  # of what is filled in; databases of another one are not used again
PER_THREAD = 80
LATE = 4  # of these, the messages that come in when the team is there
FEW_UNREAD = 40
CAMPAIGNS, TAGS, MEMBERS = 20, 10, 5
BATCH = 1000
AT_ONCE = 4

FIRST_NAMES = [
    "Maria", "Marcus", "Maya", "Mateo", "Ada", "Ben", "Cleo", "Dario", "Elif", "Fatou", "Grete", "Hugo", "Ines", "Jan",
    "Kofi", "Lena", "Nils", "Olga", "Paul", "Quim", "Rosa", "Søren", "Tove", "Uma", "Vera", "Wim", "Xenia", "Yuki",
    "Zoë", "Émile",
]  # fmt: skip
LAST_NAMES = [
    "García", "Müller", "Novak", "Okafor", "Silva", "Tanaka", "Usman", "Varga", "Weber", "Yılmaz", "Zhang", "Andersen",
    "Bianchi", "Costa", "Dubois", "Eriksen", "Fischer", "Haddad", "Ivanova", "Jansen", "Kowalski", "Lopez", "Moreau",
]  # fmt: skip
WORDS = [
    "thank",
    "you",
    "so",
    "much",
    "for",
    "the",
    "parcel",
    "it",
    "came",
    "today",
    "and",
    "looks",
    "great",
    "can",
    "we",
    "move",
    "the",
    "date",
    "of",
    "the",
    "post",
    "by",
    "a",
    "week",
    "the",
    "draft",
    "is",
    "ready",
    "please",
    "have",
    "a",
    "look",
    "at",
    "it",
    "and",
    "tell",
    "me",
    "what",
    "you",
    "think",
    "about",
    "the",
    "second",
    "picture",
    "in",
    "the",
    "story",
]


@dataclass(frozen=True)
class Filled:
    """What is in a filled database."""

    workspace: str
    members: list[str]  # the first has few unread threads, the second many
    partner: str
    campaigns: list[str]
    tags: list[str]
    threads: int
    read: list[list[str]]  # threads that everyone has read, each with its newest message
    handle: str  # of one influencer


async def fill(uri: str, name: str, messages: int) -> Filled:
    """What is in the database of this name, which is filled now unless it was before."""
    async with AsyncMongoClient[Document](uri) as client:
        database = client[name]
        known = await database["bench"].find_one({"_id": str(FORMAT)})
        if known is not None:
            return Filled(**known["filled"])
        await client.drop_database(name)
        async with open_store(uri, name):
            pass  # which makes the indexes
        writing = Writing(database)
        memory, filled = await history(messages, writing)
        for collection, documents in memory.collections.items():
            for document in documents.values():
                await writing.add(collection, document)
        await writing.end()
        await database["bench"].insert_one({"_id": str(FORMAT), "filled": asdict(filled)})
        return filled


class Writing:
    """Inserts documents in bulk, while more are made."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self._waiting: dict[str, list[Document]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    async def add(self, collection: str, document: Document) -> None:
        self.put(collection, document)
        await self.room()

    def put(self, collection: str, document: Document) -> None:
        waiting = self._waiting.setdefault(collection, [])
        waiting.append(document)
        if len(waiting) == BATCH:
            self._flush(collection)

    async def room(self) -> None:
        """Waits while too much is under way."""
        while len(self._tasks) >= AT_ONCE:
            done, self._tasks = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def end(self) -> None:
        for collection in list(self._waiting):
            self._flush(collection)
        await asyncio.gather(*self._tasks)

    def _flush(self, collection: str) -> None:
        documents = self._waiting.pop(collection)
        inserting = self._database[collection].insert_many(documents, ordered=False)
        self._tasks.add(asyncio.ensure_future(inserting))


async def history(messages: int, writing: Writing) -> tuple[Memory, Filled]:
    """The workspace, but for its messages, which are written as they are made."""
    chance = random.Random(messages)
    memory = Memory(lambda message: writing.put("messages", message))
    wire = Wire("memory://")  # which is never opened: nobody listens
    store = Store(memory, Log(memory, wire.tell), wire, Counts(memory))
    workspace = await create_workspace(store, "Bench")
    operator = operator_of(workspace)
    campaigns, tags = await made_campaigns(store, operator), await made_tags(store, operator)
    count = max(2, messages // PER_THREAD)
    threads = await made_threads(store, operator, count, campaigns, tags)

    rounds = list(range(-(-messages // count)))
    texts = [" ".join(chance.choices(WORDS, k=chance.randint(4, 40))) for _ in range(1000)]
    for round in rounds[:-LATE]:
        await made_round(store, operator, round, threads, chance, texts, writing)
    members = await made_members(store, operator)
    partner = (await add_partner(store, operator, "Platform")).result.id
    for round in rounds[-LATE:]:
        some = threads[: messages - round * count]
        await made_round(store, operator, round, some, chance, texts, writing)

    people = memory.collections["influencers"]
    ids = [thread_id_of(id) for id in sorted(people, key=lambda id: -people[id]["rank"])]
    unread = [min(FEW_UNREAD, count // 3), count // 2, 0, 0, 0]
    for member, kept in zip(members, unread, strict=True):
        caller = Caller(id=member, name="", workspace=workspace, token="", role=Role.ADMIN)
        for batch in batches(ids[kept:]):
            await mark_threads_read(store, caller, member, batch)

    state = memory.collections["workspaces"][workspace]
    state["floor"] = state["applied"]
    some_read = chance.sample(ids[max(unread) :], min(2000, count - max(unread)))
    read = [[thread, str(people[influencer_id_of(thread)]["last_message_id"])] for thread in some_read]
    handle = people[influencer_id_of(ids[-1])]["handles"][0]["name"]
    return memory, Filled(workspace, members, partner, campaigns, tags, count, read, handle)


def batches(ids: list[str]) -> Iterable[list[str]]:
    return (ids[start : start + 100] for start in range(0, len(ids), 100))


async def made_campaigns(store: Store, operator: Caller) -> list[str]:
    made = [
        await create_campaign(store, operator, f"Campaign {n}", CampaignState.LIVE, [], None) for n in range(CAMPAIGNS)
    ]
    return [outcome.result.id for outcome in made]


async def made_tags(store: Store, operator: Caller) -> list[str]:
    return [(await create_tag(store, operator, f"Tag {n}", None, None)).result.id for n in range(TAGS)]


async def made_members(store: Store, operator: Caller) -> list[str]:
    made = [
        await add_member(store, operator, f"Member {n}", f"member{n}@brand.example", Role.ADMIN) for n in range(MEMBERS)
    ]
    return [outcome.result.id for outcome in made]


async def made_threads(
    store: Store, operator: Caller, count: int, campaigns: list[str], tags: list[str]
) -> list[tuple[str, list[str]]]:
    """Threads, each with its two campaigns; one in ten has the first tag, and so on."""
    people = [person(n, tags) for n in range(count)]
    ids: list[str] = []
    for start in range(0, count, 100):
        ids += (await create_influencers(store, operator, people[start : start + 100])).result
    places: dict[str, list[str]] = {}
    for n, id in enumerate(ids):
        places[id] = list(dict.fromkeys([campaigns[n % CAMPAIGNS], campaigns[n // CAMPAIGNS % CAMPAIGNS]]))
    for campaign in campaigns:
        for batch in batches([id for id in ids if campaign in places[id]]):
            await set_participation(store, operator, campaign, batch, ParticipationStatus.ACCEPTED)
    return [(thread_id_of(id), places[id]) for id in ids]


def person(number: int, tags: list[str]) -> NewInfluencer:
    first = FIRST_NAMES[number % len(FIRST_NAMES)]
    last = LAST_NAMES[number // len(FIRST_NAMES) % len(LAST_NAMES)]
    return NewInfluencer(
        name=f"{first} {last}",
        handles=[Handle(network=Network.INSTAGRAM, name=f"writes{number:06d}")],
        emails=[f"mail{number}@people.example"],
        external_id=f"external-{number}",
        tag_ids=[tags[number % TAGS]],
        has_account=number % 3 > 0,
    )


async def made_round(
    store: Store,
    operator: Caller,
    round: int,
    threads: list[tuple[str, list[str]]],
    chance: random.Random,
    texts: list[str],
    writing: Writing,
) -> None:
    """One message to each thread, in any order. What comes in last, in the end, is written by hand."""
    sent_at = now() - timedelta(days=max(0, 365 - 4 * round))
    order = chance.sample(threads, len(threads))
    for start in range(0, len(order), 100):
        many = []
        for thread, campaigns in order[start : start + 100]:
            inbound = round % 2 == 0 or chance.random() < 0.3
            campaign = chance.choice(campaigns) if chance.random() < 0.3 else None
            many.append(
                NewMessage(
                    thread_id=thread,
                    direction=MessageDirection.INBOUND if inbound else MessageDirection.OUTBOUND,
                    kind=MessageKind.CAMPAIGN if campaign else MessageKind.DIRECT,
                    text=chance.choice(texts),
                    automatic=inbound and round % 2 == 1 and chance.random() < 0.1,
                    campaign_id=campaign,
                    sent_at=sent_at,
                )
            )
        await add_messages(store, operator, many)
        await writing.room()
