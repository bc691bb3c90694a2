"""Paging while others write: what did not change is neither repeated nor skipped, and what did is told of by events."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

from schema.types.context import SCOPES, Caller
from schema.types.scalars import now
from storage.store import Store
from storage.tokens import create_token
from tests.client import Api, Json, Server
from tests.team import create_team

SIZE = 10  # rows of a page
LATEST = 5  # passes that are brought up to date with events at the end

INBOX = """query($after: String, $filter: InboxFilter) {
  inbox(first: 10, after: $after, filter: $filter) {
    position pageInfo { hasNextPage endCursor } edges { cursor node { id unread } }
  }
}"""
EVENTS = """subscription($since: String, $filter: InboxFilter) {
  inboxChanged(since: $since, filter: $filter) { position kind threadId edge { cursor } }
}"""
FORWARD = """query($thread: ID!, $cursor: String) {
  thread(id: $thread) { messages(first: 10, after: $cursor) {
    position pageInfo { more: hasNextPage next: endCursor } nodes { id }
  } }
}"""
BACKWARD = """query($thread: ID!, $cursor: String) {
  thread(id: $thread) { messages(last: 10, before: $cursor) {
    position pageInfo { more: hasPreviousPage next: startCursor } nodes { id }
  } }
}"""


@dataclass(frozen=True)
class Person:
    """An influencer, and their thread."""

    id: str
    thread: str


@dataclass
class Inbox:
    """A workspace in which some threads never change, and others do all the time."""

    random: Random
    member: Api  # who pages
    admin: Api
    partner: Api
    tag: str
    busy: Person  # whose thread grows; in every view
    still: list[Person] = field(default_factory=list)
    moving: list[Person] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)  # messages of the busy one
    writing: bool = True
    changes: int = 0

    async def receive(self, person: Person) -> str:
        """A new message of theirs; the position that includes it."""
        self.changes += 1
        payload = await done(self.partner, "receiveMessage", "position message { id }",
                             threadId=person.thread, text="Hello", externalId=f"{self.changes}")  # fmt: skip
        if person is self.busy:
            self.heard.append(payload["message"]["id"])
        position: str = payload["position"]
        return position

    async def send(self, person: Person) -> None:
        """A message to them."""
        self.changes += 1
        await done(self.admin, "sendMessage", "position", threadId=person.thread, text="Hi")

    async def read(self, person: Person) -> None:
        self.changes += 1
        await done(self.member, "markThreadsRead", "position", threadIds=[person.thread])


async def done(api: Api, how: str, selection: str, **input: object) -> Json:
    payload = await api.mutate(how, f"{selection} userErrors {{ message }}", **input)
    assert payload["userErrors"] == [], payload
    return payload


async def open_inbox(store: Store, server: Server, threads: int, random: Random) -> Inbox:
    """Two thirds of its threads stay as they are: unread, read, answered, never written to. Half of all is tagged."""
    team = await create_team(store, "Paging")

    async def api(caller: Caller) -> Api:
        scopes = sorted(SCOPES) if caller is team.partner else []
        secret, _ = await create_token(store, team.id, caller.id, "test", scopes, now() + timedelta(days=1))
        return server.api(secret)

    admin = await api(team.admin)
    tag = (await done(admin, "createTag", "tag { id }", name="Tagged"))["tag"]["id"]

    async def person(number: int) -> Person:
        made = await done(admin, "createInfluencer", "influencer { id } thread { id }", name=f"Person {number}",
                          tagIds=[tag] if number % 2 else [])  # fmt: skip
        return Person(made["influencer"]["id"], made["thread"]["id"])

    busy, *people = await asyncio.gather(*(person(number) for number in range(-1, threads)))
    inbox = Inbox(random, await api(team.member), admin, await api(team.partner), tag, busy)
    inbox.still = [each for number, each in enumerate(people) if number % 3]
    inbox.moving = people[::3]
    wrote = [each for number, each in enumerate(people) if number % 4]
    await asyncio.gather(*(inbox.receive(each) for each in [busy] * 3 * SIZE + wrote))
    await asyncio.gather(*(inbox.read(each) for each in people[1::4]))
    await asyncio.gather(*(inbox.send(each) for each in people[2::4]))
    return inbox


async def write(inbox: Inbox, changes: int) -> None:
    """Changes threads that move, one after the other, in every way that a thread can."""
    for _ in range(changes):
        person = inbox.random.choice(inbox.moving)
        await inbox.random.choice(WAYS)(inbox, person)


async def mark_unread(inbox: Inbox, person: Person) -> None:
    inbox.changes += 1
    found = await inbox.member.run("query($id: ID!) { thread(id: $id) { lastMessage { id } } }", id=person.thread)
    if found["thread"]["lastMessage"] is not None:
        await inbox.member.mutate("markMessageUnread", "position", messageId=found["thread"]["lastMessage"]["id"])


async def archive(inbox: Inbox, person: Person) -> None:
    inbox.changes += 1
    how = inbox.random.choice(["archiveInfluencers", "restoreInfluencers"])
    await done(inbox.admin, how, "position", influencerIds=[person.id])


async def tag(inbox: Inbox, person: Person) -> None:
    inbox.changes += 1
    tags = {inbox.random.choice(["addTagIds", "removeTagIds"]): [inbox.tag]}
    await done(inbox.admin, "tagInfluencers", "position", influencerIds=[person.id], **tags)


WAYS: list[Callable[[Inbox, Person], Awaitable[object]]] = [
    Inbox.receive, Inbox.receive, Inbox.send, Inbox.read, mark_unread, archive, tag,
]  # fmt: skip


async def run(store: Store, server: Server, threads: int, changes: int, writers: int, seed: int) -> str:
    """Somebody pages each view, and a thread, again and again for as long as others write. Raises AssertionError."""
    inbox = await open_inbox(store, server, threads, Random(seed))
    tagged, unread = {"tagIds": [inbox.tag]}, {"unreadOnly": True}
    views: list[Json | None] = [None, tagged, unread, {**tagged, **unread}]
    before = inbox.changes
    async with asyncio.TaskGroup() as tasks:
        paging = [tasks.create_task(page_view(inbox, view)) for view in views]
        reading = [tasks.create_task(page_thread(inbox, query)) for query in (FORWARD, BACKWARD)]
        await asyncio.gather(*(write(inbox, changes // writers) for _ in range(writers)))
        inbox.writing = False
    return (
        f"{threads} threads with {inbox.changes - before} changes meanwhile, their inbox paged "
        f"{sum(task.result() for task in paging)} times in {len(views)} views, "
        f"a thread of {len(inbox.heard)} messages {sum(task.result() for task in reading)} times in both directions"
    )


async def page_view(inbox: Inbox, view: Json | None) -> int:
    """How often the view was paged through while the others wrote."""
    still = {person.thread for person in inbox.still}
    expected = [row for row in (await page_through(inbox.member, view))[1] if row in still]
    assert expected
    passes: list[tuple[str, dict[str, str]]] = []
    while inbox.writing:
        position, rows, cursors = await page_through(inbox.member, view)
        passes.append((position, cursors))
        seen = [row for row in rows if row in still]
        assert seen == expected, f"what stood still was skipped, repeated or moved: {seen} for {expected}"
        told = {event["threadId"] for event in await events_since(inbox, view, position)}
        assert {row for row, count in Counter(rows).items() if count > 1} <= told, "a repeated row was not told of"

    events = [(position, cursors, await events_since(inbox, view, position)) for position, cursors in passes[-LATEST:]]
    _, rows, _ = await page_through(inbox.member, view)
    for position, cursors, since in events:
        for event in since:
            cursors.pop(event["threadId"], None)
            if event["edge"] is not None:
                cursors[event["threadId"]] = event["edge"]["cursor"]
        assert sorted(cursors, key=cursors.__getitem__) == rows, f"the pages of {position} and what came since differ"
    return len(passes)


async def page_through(api: Api, view: Json | None) -> tuple[str, list[str], dict[str, str]]:
    """The position of the first page, the threads of all pages as they came, and each one's last cursor."""
    after, positions = None, set()
    rows: list[str] = []
    cursors: dict[str, str] = {}
    while True:
        page = (await api.run(INBOX, after=after, filter=view))["inbox"]
        positions.add(page["position"])
        rows += [edge["node"]["id"] for edge in page["edges"]]
        cursors.update({edge["node"]["id"]: edge["cursor"] for edge in page["edges"]})
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            assert len(positions) == 1, positions
            return positions.pop(), rows, cursors


async def events_since(inbox: Inbox, view: Json | None, since: str) -> list[Json]:
    """What a view's subscription tells, up to a change that is made now to a thread which every view holds."""
    position = await inbox.receive(inbox.busy)
    events: list[Json] = []
    async with inbox.member.subscription(EVENTS, since=since, filter=view) as subscription:
        while not events or events[-1]["position"] != position:
            events.append(await subscription.data())
    return events


async def page_thread(inbox: Inbox, query: str) -> int:
    """How often a thread that grows was paged through, in one direction."""
    passes = []
    while inbox.writing:
        known = set(inbox.heard)
        seen = await page_through_thread(inbox, query)
        assert known <= set(seen), "a message was skipped"
        passes.append(seen)
    full = await page_through_thread(inbox, FORWARD)
    assert all(seen == full[: len(seen)] for seen in passes), "a message was skipped, repeated or moved"
    return len(passes)


async def page_through_thread(inbox: Inbox, query: str) -> list[str]:
    """The messages of all pages, oldest first."""
    cursor, positions = None, set()
    messages: list[str] = []
    while True:
        page = (await inbox.member.run(query, thread=inbox.busy.thread, cursor=cursor))["thread"]["messages"]
        positions.add(page["position"])
        rows = [node["id"] for node in page["nodes"]]
        messages = messages + rows if query is FORWARD else rows + messages
        cursor = page["pageInfo"]["next"]
        if not page["pageInfo"]["more"]:
            assert len(positions) == 1, positions
            return messages
