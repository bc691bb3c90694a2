"""Two API processes on one database, with writers and subscribers at both: nothing lost, nothing doubled, one order."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from pathlib import Path
from random import Random

import httpx2

from connect_inbox.settings import Settings
from schema.types.context import Caller
from schema.types.message import MessageDirection, MessageKind
from schema.types.scalars import now
from storage.changes import Change, entry_from_document
from storage.check import check
from storage.indexes import ENTRIES
from storage.messages import NewMessage, add_messages
from storage.positions import format_position
from storage.store import Store, open_store
from storage.tokens import create_token
from tests.api_process import ApiProcess, api_process
from tests.client import Api, ApiFailed, Json, Server
from tests.soak.subscriber import BROKEN, LAST, TIMEOUTS, Subscriber, over_events, over_socket
from tests.team import Team, create_team

REQUEST_WAIT = 60.0  # seconds
THREADS = 12
ASKED_FOR = 20  # of so many messages that are written, one is asked of the API processes, where most are not
UPKEEP = Settings().upkeep_interval
WITHOUT = 15.0  # seconds after it was written in which everybody must have a message, with that and without Redis


@dataclass(frozen=True)
class Load:
    """How much is done, and how often it is disturbed."""

    messages: int
    writers: int = 20
    subscribers: int = 20
    disturbances: int = 0
    longest: int = 60  # events that a subscriber takes before it leaves and comes back, at most
    batch: int = 1  # messages that are one entry, most of them: those this process writes, which has no clients
    reconnects: int = 0  # that there must be, at least


@dataclass
class Scene:
    """What everybody works with."""

    store: Store
    team: Team
    tokens: dict[str, str]  # of each caller, by its id
    processes: list[ApiProcess]
    servers: list[Server]
    threads: list[str]
    random: Random
    written: dict[str, str] = field(default_factory=dict)  # message ids that were answered, by their writers' keys
    written_at: list[float] = field(default_factory=list)  # when each of them was
    subscribers: list[Subscriber] = field(default_factory=list)
    may_write: asyncio.Event = field(default_factory=asyncio.Event)
    retries: int = 0
    progress: asyncio.Condition = field(default_factory=asyncio.Condition)

    def api(self, caller: Caller) -> Api:
        """The API of either process."""
        return self.random.choice(self.servers).api(self.tokens[caller.id])

    async def mutate(self, caller: Caller, how: str, selection: str, /, **input: object) -> Json:
        """A mutation, sent again (to either process) where the connection broke or it took too long."""
        while True:
            try:
                payload = await self.api(caller).mutate(how, f"{selection} userErrors {{ message }}", **input)
            except TIMEOUTS:
                raise
            except BROKEN:
                self.retries += 1
                continue
            except ApiFailed as failed:
                if failed.codes != ["TIMED_OUT"]:
                    raise
                self.retries += 1  # it may have been done, or may still be: the same key again says which
                continue
            assert payload["userErrors"] == [], payload
            return payload

    def events(self) -> int:
        """How many the subscribers have had, all together."""
        return sum(len(subscriber.events) for subscriber in self.subscribers)

    def all_have_all(self) -> bool:
        return all(len(subscriber.events) >= len(self.written) for subscriber in self.subscribers)


Disturb = Callable[[Scene, int], Awaitable[None]]  # the number is how many disturbances were before it


async def kill_a_process(scene: Scene, number: int) -> None:
    process = scene.processes[number % len(scene.processes)]
    await process.kill()
    await process.start()


async def run(
    uri: str, database: str, folder: Path, load: Load, seed: int,
    wire: str = "memory://", upkeep: float = UPKEEP, disturb: Disturb = kill_a_process, within: float = WITHOUT,
) -> str:  # fmt: skip
    """Does it all; what there is to tell. Raises AssertionError where a promise was broken.

    `wire` is what is between the processes, `upkeep` the seconds after which they look without it. A disturbance is
    that one of them is killed, and started again, where it is nothing else. `within` is in how many seconds after it
    was written everybody must have a message.
    """
    async with open_scene(uri, database, folder, Random(seed), wire, upkeep) as scene:
        position = await scene.store.log.position(scene.team.id)
        callers = [*scene.team.members, scene.team.partner]
        scene.subscribers += [
            Subscriber(
                over_socket if number % 2 else over_events, scene.servers,
                scene.tokens[callers[number // 2 % len(callers)].id], position, Random(scene.random.random()),
                load.longest,
            )
            for number in range(load.subscribers)
        ]  # fmt: skip
        started = time.monotonic()
        async with asyncio.TaskGroup() as following:
            for subscriber in scene.subscribers:
                following.create_task(subscriber.follow())
            await write_all(scene, load, disturb)
            seconds = time.monotonic() - started
        await verify(scene, load)
        reconnects = sum(subscriber.connections - 1 for subscriber in scene.subscribers)
        assert reconnects >= load.reconnects
        assert scene.retries or not load.disturbances, "nobody was asking a process that was killed"
        late = latest(scene)
        assert late <= within, f"somebody had a message {late:.1f} s after it was written"
        return (
            f"{load.messages} messages, {load.messages / seconds:.0f}/s, {load.writers} writers, "
            f"{load.subscribers} subscribers with {reconnects} reconnects, "
            f"disturbed {load.disturbances} times, {scene.retries} requests sent again, "
            f"everybody had each message after {late:.1f} s"
        )


@asynccontextmanager
async def open_scene(
    uri: str, database: str, folder: Path, random: Random, wire: str, upkeep: float
) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(uri, database, wire))
        team = await create_team(store, "Two processes")
        tokens = {}
        for caller in [*team.members, team.partner]:
            expires_at = now() + timedelta(days=1)
            tokens[caller.id], _ = await create_token(
                store, team.id, caller.id, "test", sorted(caller.scopes), expires_at
            )
        http = await stack.enter_async_context(httpx2.AsyncClient(timeout=REQUEST_WAIT))
        logs = [folder / f"{secrets.token_hex(4)}.log" for _ in range(2)]
        starting = [api_process(uri, database, log, upkeep=upkeep, wire=wire) for log in logs]
        processes = [await stack.enter_async_context(each) for each in starting]
        servers = [Server(process.url, http) for process in processes]
        scene = Scene(store, team, tokens, processes, servers, [], random)
        scene.may_write.set()
        made = await asyncio.gather(
            *[
                scene.mutate(team.member, "createInfluencer", "thread { id }", name=f"Influencer {number}")
                for number in range(THREADS)
            ]
        )
        scene.threads += [each["thread"]["id"] for each in made]
        yield scene


async def write_all(scene: Scene, load: Load, disturb: Disturb) -> None:
    """Has the writers write everything while they are disturbed, then the message that says LAST."""
    numbers = iter(range(load.messages))
    async with asyncio.TaskGroup() as tasks:
        for _ in range(load.writers):
            tasks.create_task(write(scene, numbers) if load.batch == 1 else write_batches(scene, numbers, load.batch))
        for number in range(load.disturbances):
            await written(scene, load.messages * (number + 1) // (load.disturbances + 1))
            await disturb(scene, number)
    await add_message(scene, "last", LAST)


async def written(scene: Scene, count: int) -> None:
    """Waits until so many messages are written."""
    async with scene.progress:
        await scene.progress.wait_for(lambda: len(scene.written) >= count)


async def write(scene: Scene, numbers: Iterator[int]) -> None:
    """Writes a message for each of its numbers, and reads a thread now and then."""
    for number in numbers:
        await scene.may_write.wait()
        thread, message = await add_message(scene, f"message {number}", f"Message {number}")
        await read_perhaps(scene, thread, message)


async def write_batches(scene: Scene, numbers: Iterator[int], size: int) -> None:
    """The same, most of them many at a time, and without the API processes."""
    while batch := list(islice(numbers, size)):
        asked = max(1, len(batch) // ASKED_FOR)
        await write(scene, iter(batch[:asked]))
        batch = batch[asked:]
        if not batch:
            return
        await scene.may_write.wait()
        many = [message_by_chance(scene, f"Message {number}") for number in batch]
        made = (await add_messages(scene.store, scene.team.member, many)).result
        await note(scene, {f"message {number}": id for number, id in zip(batch, made, strict=True)})
        await read_perhaps(scene, many[-1].thread_id, made[-1])


def message_by_chance(scene: Scene, text: str) -> NewMessage:
    direction = scene.random.choice(list(MessageDirection))
    return NewMessage(scene.random.choice(scene.threads), direction, MessageKind.DIRECT, text)


async def read_perhaps(scene: Scene, thread: str, message: str) -> None:
    if scene.random.random() < 0.3:
        reader = scene.random.choice(scene.team.members)
        await scene.mutate(reader, "markThreadRead", "position", threadId=thread, upToMessageId=message)


async def add_message(scene: Scene, key: str, text: str) -> tuple[str, str]:
    """A message from either side, of either process; its thread, and its id."""
    thread = scene.random.choice(scene.threads)
    if scene.random.random() < 0.5:
        how, caller, once = "sendMessage", scene.team.member, "idempotencyKey"
    else:
        how, caller, once = "receiveMessage", scene.team.partner, "externalId"
    made = await scene.mutate(caller, how, "message { id }", threadId=thread, text=text, **{once: key})
    message: str = made["message"]["id"]
    await note(scene, {key: message})
    return thread, message


async def note(scene: Scene, written: dict[str, str]) -> None:
    """Keeps what was written, and lets those know who wait for it."""
    scene.written |= written
    scene.written_at += [time.monotonic()] * len(written)
    async with scene.progress:
        scene.progress.notify_all()


async def verify(scene: Scene, load: Load) -> None:
    """The log is dense, holds each message once, and every subscriber had them all, once, in its order."""
    workspace = scene.team.id
    changes = await all_changes(scene.store, workspace)
    assert [change.position for change in changes] == list(range(1, len(changes) + 1)), "the log is not dense"
    state = await scene.store.log.state(workspace)
    assert state["applied"] == len(changes), "an entry is not applied"

    logged = [(format_position(state["epoch"], each.position), each.message) for each in changes if each.message]
    assert len(scene.written) > load.messages
    assert sorted(scene.written.values()) == sorted(message for _, message in logged), "lost or doubled in the log"
    for number, subscriber in enumerate(scene.subscribers):
        assert subscriber.events == logged, told(number, subscriber.events, logged)
    differences = await check(scene.store, workspace, repair=False)
    assert not differences, differences
    for process in scene.processes:
        assert process.faults() == []


def latest(scene: Scene) -> float:
    """The seconds from when a message was written to when all subscribers had it, at worst."""
    had: dict[str, float] = {}
    for subscriber in scene.subscribers:
        for (_, message), at in zip(subscriber.events, subscriber.received, strict=True):
            had[message] = max(at, had.get(message, at))
    return max(had[id] - at for id, at in zip(scene.written.values(), scene.written_at, strict=True))


async def all_changes(store: Store, workspace: str) -> list[Change]:
    """The whole log, from the database."""
    entries = await store.database.find("entries", {"workspace": workspace}, sort=[("last", 1)], hint=ENTRIES)
    return [change for entry in entries for change in entry_from_document(entry).changes]


def told(number: int, events: list[tuple[str, str]], logged: list[tuple[str, str]]) -> str:
    """How what a subscriber had differs from the log."""
    pairs = enumerate(zip(events, logged, strict=False))
    first = next((place for place, (event, entry) in pairs if event != entry), min(len(events), len(logged)))
    return (
        f"subscriber {number} had {len(events)} events of {len(logged)}, {len(set(events))} different ones; "
        f"they part at {first}: {events[first : first + 3]} for {logged[first : first + 3]}"
    )
