"""One execution for all who ask the same: groups of equal subscriptions, and how each of them gets every event once.

A subscriber is a cursor in its workspace's log. Those of one group stand at the same place: each batch of changes is
executed once, encoded once, and handed to all of them. One that begins at an older position, or whose client has no
room for more, walks the log by itself, at its client's pace, until it is where its group is:

    walking    executes for itself, waits for its client; joins its group when it has caught up
    joined     is handed what the group executes, without waiting; leaves it when there is no room

Nothing is queued for a client, so nothing is dropped and nothing grows. Those of one client walk in turns, and one that
finds no room holds a single event while it waits; what was executed beyond that is executed again. The more an event
takes, the fewer are executed at once, for one and for all. Whether a token is still good is asked at each delivery.

An event that cannot be executed, for a fault of ours, ends the subscriptions that it is for, after what came before it:
it is told to them when they come back with their last position.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack, aclosing
from dataclasses import dataclass

from connect_inbox.auth import Gate
from connect_inbox.graphql import operation as operations
from connect_inbox.graphql.operation import Failed, Operation
from connect_inbox.graphql.outcomes import timed
from connect_inbox.logs import begin_request
from connect_inbox.timings import Timings
from resolvers.context import Context
from resolvers.feed import Feed, may_know
from schema.types.context import Caller
from storage.feed import Batch, batches, begin, next_batch
from storage.head import STEP
from storage.reader import StoreReader, read_for
from storage.store import Store

SLICE = 100  # subscribers that are handed something before others may run
FIRST_STEP = 10  # changes that are executed together at first
STEP_SIZE = 256 * 1024  # bytes that they are to come to, from then on
READ_AHEAD = 8  # times as many are read of the log at once
STEPS = 8  # of those who walk, that are executed at a time


@dataclass(frozen=True)
class Payload:
    """A result, encoded, and whose it is."""

    data: bytes
    position: int
    only: str | None


Executed = tuple[list[Payload], Failed | None]  # what was executed, up to what could not be


class Subscriber(ABC):
    """One client's subscription, at a cursor. Transports say how it is handed to."""

    def __init__(self, caller: Caller, gate: Gate, turn: asyncio.Lock | None = None) -> None:
        self.caller = caller
        self.turn = turn or asyncio.Lock()  # of all that walk for the same client
        self._gate = gate
        self.group: Group | None = None
        self.behind: Batch | None = None  # everything up to here was handed over
        self.walking: asyncio.Task[None] | None = None

    @property
    def is_admitted(self) -> bool:
        """Whether its token is known to be good at this moment."""
        return self._gate.knows_good(self.caller.token)

    async def readmit(self) -> None:
        """Looks whether its token is good. Raises TokenRefused."""
        await self._gate.still_good(self.caller.token)

    @abstractmethod
    def offer(self, payloads: list[bytes]) -> int:
        """Hands over without waiting; how many there was room for."""

    @abstractmethod
    async def send(self, payload: bytes) -> None:
        """Hands over, and waits for room. Raises whatever ends it."""

    @abstractmethod
    async def fail(self, error: Exception) -> None:
        """Tells that it has ended, and why."""

    async def end_with(self, error: Exception) -> None:
        """Tells that it has ended: as an event, be it the first, where it is one that failed."""
        if isinstance(error, Failed):
            self.offer([])
        await self.fail(error)

    def concerns(self, payload: Payload) -> bool:
        assert self.behind is not None
        return payload.position > self.behind.reached and may_know(self.caller.member, payload.only)

    def walk(self) -> None:
        """Goes on by itself, in a task, until it has caught up with its group."""
        self.walking = asyncio.create_task(self._walk())

    async def _walk(self) -> None:
        assert self.group is not None
        try:
            await self.group.catch_up(self)
        except Exception as error:
            self.leave()
            await self.end_with(error)
        self.walking = None

    def fail_with(self, error: Exception) -> None:
        """Ends it, and tells it in a task, which ends with it where its client does not wait for that."""
        self.leave()
        self.walking = asyncio.create_task(self.end_with(error))

    def leave(self) -> None:
        """Ends it, without a word to its client."""
        if self.group is not None:
            self.group.remove(self)

    async def stop(self) -> None:
        """Ends it, whatever it is doing; afterwards nothing more comes from it."""
        self.leave()
        if self.walking is not None:
            self.walking.cancel()
            await asyncio.wait([self.walking])


class ForAll:
    """A batch's payloads, of which nearly everybody gets all: only for the others is it looked which."""

    def __init__(self, payloads: list[Payload]) -> None:
        self._payloads = payloads
        self._data = [payload.data for payload in payloads]
        self._are_for_all = all(payload.only is None for payload in payloads)

    def of(self, subscriber: Subscriber) -> tuple[list[Payload], list[bytes]]:
        assert subscriber.behind is not None
        if self._payloads and self._are_for_all and subscriber.behind.reached < self._payloads[0].position:
            return self._payloads, self._data
        wanted = [payload for payload in self._payloads if subscriber.concerns(payload)]
        return wanted, [payload.data for payload in wanted]


class Group:
    """All subscribers of one workspace who ask the same, and are answered the same."""

    def __init__(self, groups: Groups, key: bytes, operation: Operation, feed: Feed, caller: Caller) -> None:
        self._groups = groups
        self._key = key
        self._operation = operation
        self._feed = feed
        self._caller = caller  # any of theirs: what would be another one's for another caller is not selected
        self._log = groups.store.log
        self._joined: dict[Subscriber, None] = {}  # in the order they came
        self._walkers: set[Subscriber] = set()
        self._behind: Batch | None = None  # where those who have joined stand
        self._telling: asyncio.Task[None] | None = None
        self._following = ExitStack()  # hints that concern it are listened to for as long as there is somebody
        self._following.enter_context(self._log.head(caller.workspace).followed())

    def __len__(self) -> int:
        return len(self._joined) + len(self._walkers)

    def add(self, subscriber: Subscriber) -> None:
        """Adds one that has been told everything up to `subscriber.behind`, and walks from there."""
        subscriber.group = self
        self._walkers.add(subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        subscriber.group = None
        self._joined.pop(subscriber, None)
        self._walkers.discard(subscriber)
        if not self._joined:
            self._end_telling()
        if not len(self):
            self._following.close()
            self._groups.forget(self._key)

    def _end_telling(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None

    async def catch_up(self, subscriber: Subscriber) -> None:
        """Hands over what the group is ahead by, at the client's pace; then the subscriber has joined."""
        most = FIRST_STEP
        while subscriber.group is self and not self._joins(subscriber):
            async with subscriber.turn:
                most = await self._walk_on(subscriber, most)

    async def _walk_on(self, subscriber: Subscriber, most: int) -> int:
        """Hands over a few changes, and waits for room for the first that there is none for; how many to go on with."""
        async with self._groups.steps:
            left, most = await self._go_on(subscriber, most)
        if left is not None:
            await subscriber.send(left.data)
            self._handed_over(subscriber, [left])
        return most

    async def _go_on(self, subscriber: Subscriber, most: int) -> tuple[Payload | None, int]:
        """Hands over the next changes, a few at a time, as far as there is room.

        Returns what there was no room for first, and how many changes to execute next.
        """
        assert subscriber.behind is not None
        batch = await next_batch(self._log, self._caller.workspace, subscriber.behind, min(READ_AHEAD * most, STEP))
        if not batch.changes:  # the log was begun anew, and the others are about to be told
            await asyncio.sleep(0)
        changes = batch.changes
        while changes:
            step, changes = changes[:most], changes[most:]
            left, size = await self._step(subscriber, Batch(batch.epoch, step[-1].position, step))
            if left is not None:
                return left, 1
            most = following(most, size)
        return None, most

    async def _step(self, subscriber: Subscriber, batch: Batch) -> tuple[Payload | None, int]:
        """Executes a batch, and hands over what there is room for: what is left first, and what a change came to."""
        payloads, failed = await self.tell(batch)
        wanted = [payload for payload in payloads if subscriber.concerns(payload)]
        if wanted:
            await subscriber.readmit()
            taken = subscriber.offer([payload.data for payload in wanted])
            self._handed_over(subscriber, wanted[:taken])
            if taken < len(wanted):
                return wanted[taken], 0
        if failed is not None:
            raise failed
        subscriber.behind = at(batch, batch.reached)
        return None, size_of(payloads, batch)

    def _handed_over(self, subscriber: Subscriber, payloads: list[Payload]) -> None:
        assert subscriber.behind is not None
        self._groups.delivered += len(payloads)
        if payloads:
            subscriber.behind = at(subscriber.behind, payloads[-1].position)

    def _joins(self, subscriber: Subscriber) -> bool:
        """Lets one in that has been told all that the group was."""
        assert subscriber.behind is not None
        if not self._joined:  # nobody else is to be told anything in between
            head = self._log.head(self._caller.workspace)
            if head.epoch == subscriber.behind.epoch and subscriber.behind.reached < head.known:
                return False
            self._behind = subscriber.behind
        assert self._behind is not None
        if subscriber.behind.reached < self._behind.reached or subscriber.behind.epoch != self._behind.epoch:
            return False
        self._walkers.discard(subscriber)
        self._joined[subscriber] = None
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell_all(self._behind))
        return True

    async def _tell_all(self, behind: Batch) -> None:
        """Tells those who have joined of everything behind a batch, for as long as there are any."""
        most = FIRST_STEP
        try:
            news = batches(self._log, self._caller.workspace, behind)
            async with aclosing(news):  # type: ignore[type-var]
                async for batch in news:
                    most = await self._tell_on(batch, most)
                    if not self._joined:
                        self._telling = None  # whoever joins from here on begins another task
                        return
        except Exception as error:
            self._telling = None
            for subscriber in list(self._joined):  # all at once: none is told what comes later
                subscriber.fail_with(error)

    async def _tell_on(self, batch: Batch, most: int) -> int:
        """Tells them of a batch, a few changes at a time; how many to go on with."""
        changes = batch.changes
        while changes and self._joined:
            step, changes = changes[:most], changes[most:]
            most = following(most, await self._tell_step(Batch(batch.epoch, step[-1].position, step)))
        return most

    async def _tell_step(self, batch: Batch) -> int:
        """Executes a batch, and hands it to all who have joined; what a change came to."""
        begin_request()
        payloads, failed = await self.tell(batch)
        self._behind = at(batch, batch.reached)
        await self._hand_over(payloads, self._behind)
        if failed is not None:
            raise failed
        if payloads:
            self._groups.lag.add(time.time() - batch.changes[0].at / 1000)
        return size_of(payloads, batch)

    async def tell(self, batch: Batch) -> Executed:
        """Executes the events of a batch, side by side, with what is read for one shared by all."""
        reader = StoreReader(self._groups.store, self._caller, batch.position)
        reader.for_everyone = not self._operation.sharing.is_per_viewer
        told = await self._feed.tell(batch, reader)
        context = Context(self._groups.store, reader)
        executing = [operations.run_event(self._operation, context, each.event) for each in told]
        results = await asyncio.gather(*executing, return_exceptions=True)
        self._groups.executed += len(told)
        payloads: list[Payload] = []
        for result, event in zip(results, told, strict=True):
            if isinstance(result, Failed):
                return payloads, result
            if isinstance(result, BaseException):
                raise result
            payloads.append(Payload(result, event.position, event.only))
        return payloads, None

    async def _hand_over(self, payloads: list[Payload], reached: Batch) -> None:
        """Hands a batch's payloads to everyone who has room for them; who has not walks from there on."""
        for_all = ForAll(payloads)
        for number, subscriber in enumerate(list(self._joined), 1):
            if subscriber in self._joined:
                self._hand_to(subscriber, for_all, reached)
            if number % SLICE == 0:
                await asyncio.sleep(0)

    def _hand_to(self, subscriber: Subscriber, payloads: ForAll, reached: Batch) -> None:
        wanted, data = payloads.of(subscriber)
        taken = 0
        if wanted and subscriber.is_admitted:
            taken = subscriber.offer(data)
            self._groups.delivered += taken
        if taken == len(wanted):
            assert subscriber.behind is not None
            if subscriber.behind.reached < reached.reached:  # one who came meanwhile may be ahead
                subscriber.behind = reached
            return
        if taken:
            subscriber.behind = at(reached, wanted[taken - 1].position)
        del self._joined[subscriber]
        self._walkers.add(subscriber)
        subscriber.walk()


def size_of(payloads: list[Payload], batch: Batch) -> int:
    """The bytes that a change came to, on average."""
    return sum(len(payload.data) for payload in payloads) // len(batch.changes)


def following(most: int, size: int) -> int:
    """How many changes to execute after so many, of which each came to so many bytes."""
    return max(1, min(2 * most, STEP_SIZE // size if size else STEP, STEP))


def at(batch: Batch, position: int) -> Batch:
    """A place in the log, without the changes before it: subscribers hold on to it."""
    return Batch(batch.epoch, position, [])


class Groups:
    """All groups of this process."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.delivered = 0  # events that were handed to subscribers
        self.executed = 0  # events that were executed, each for all of a group or for one that is behind
        self.timings = Timings("type", "outcome")  # of beginnings
        self.lag = Timings()  # from a change's making to its hand-over to a group
        self.steps = asyncio.Semaphore(STEPS)
        self._groups: dict[bytes, Group] = {}

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def subscribers(self) -> int:
        return sum(len(group) for group in self._groups.values())

    async def subscribe(self, operation: Operation, subscriber: Subscriber) -> None:
        """Begins a subscription, whose events then come in tasks of their own.

        Raises what its resolver refuses: then nothing has come of it.
        """
        with timed(self.timings, operation):
            try:
                await self._subscribe(operation, subscriber)
            except BaseException:
                subscriber.leave()
                raise

    async def _subscribe(self, operation: Operation, subscriber: Subscriber) -> None:
        async with operations.in_time(operation):
            payloads = await self._begin(operation, subscriber)
        for payload in payloads:
            await subscriber.send(payload.data)
        subscriber.walk()

    async def _begin(self, operation: Operation, subscriber: Subscriber) -> list[Payload]:
        """Adds a subscriber to its group; what it is told before anything has happened."""
        caller = subscriber.caller
        context = Context(self.store, await read_for(self.store, caller))
        feed = await operations.feed_of(operation, context)
        key = operation.group_key(caller)
        with self.store.log.head(caller.workspace).followed():  # from before its position is read
            subscriber.behind = await begin(self.store.log, caller.workspace, feed.since)
            group = self._groups.get(key)
            if group is None:
                group = self._groups[key] = Group(self, key, operation, feed, caller)
            group.add(subscriber)
        payloads, failed = await group.tell(subscriber.behind)
        if failed is not None:
            raise failed
        return payloads

    def forget(self, key: bytes) -> None:
        self._groups.pop(key, None)
