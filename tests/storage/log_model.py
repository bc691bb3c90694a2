"""A model of the protocol of `storage/log.py`: processes, atomic calls to a database, chance, and death at any step.

A process is a generator that stops before each call to the database; chance decides who goes on, whose answer is lost
and who dies. Each rule of the protocol can be taken out, to see that the model notices.
"""

from __future__ import annotations

import random
from collections.abc import Generator

from tests.storage.log_world import RULES, Change, Entry, LostError, Request, Violation, World, check

PROCESSES, REQUESTS, ATTEMPTS = 3, 12, 3
PATIENCE = 20  # ticks after which a process goes on for certain
FRESH = 15
KEPT = 3 * (FRESH + PATIENCE)  # ticks: long enough for whoever has just looked at the log, and is slow
NEVER = -(10**9)

Steps = Generator[str, None, None]


class Process:
    """What one process knows, and what it does. Everything in here is gone when it dies."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.known = -1
        self.verified = NEVER
        self.queue: list[Request] = []
        self.last_step = world.clock
        self.steps = self.live()

    def live(self) -> Steps:
        while True:
            if self.queue:
                yield from self.take_turn()
            elif self.world.likely(0.1):
                yield from self.catch_up()
            else:
                yield "idle"

    def take_turn(self) -> Steps:
        world = self.world
        while True:
            if ("fresh" in world.rules or self.known < 0) and world.clock - self.verified > FRESH:
                yield from self.catch_up()
            group = self.queue[: world.chance.randint(1, 3)]
            changes, answers = yield from self.plan(group)
            if changes:
                started = world.clock
                entry = Entry(world.chance.getrandbits(60), world.clock, changes)
                try:
                    committed = yield from self.commit(entry)
                except LostError:
                    for request in group if "group" in world.rules else group[:1]:
                        self.answer(request, "failed", 0)
                    return
                if not committed:
                    yield from self.learn_of_others()
                    continue
                yield from self.apply_and_publish(entry)
                self.verified = started
            elif "refuse" in world.rules:
                before = self.known
                yield from self.catch_up()
                if self.known != before:
                    continue
            for request, outcome, position in answers:
                self.answer(request, outcome, position)
            return

    def learn_of_others(self) -> Steps:
        if "catch up" in self.world.rules:
            yield from self.catch_up()
        else:
            yield "read head"
            self.known, self.verified = self.world.head(), self.world.clock

    def answer(self, request: Request, outcome: str, position: int) -> None:
        request.outcome, request.position, request.head_after = outcome, position, self.world.head()
        self.queue.remove(request)

    def plan(self, group: list[Request]) -> Generator[str, None, tuple[list[Change], list[tuple[Request, str, int]]]]:
        """Each change counts itself, so that its number must be its position."""
        yield "plan"
        count = self.world.read("count")
        yield "plan"
        taken = self.world.read("name")
        changes: list[Change] = []
        answers = []
        for request in group:
            if request.wish != "add" and taken == (request.wish == "take"):
                answers.append((request, "refused", 0))
                continue
            count += 1
            writes = {"count": count, f"message {request.number}": 1}
            if request.wish != "add":
                taken = int(request.wish == "take")
                writes["name"] = taken
            position = self.known + len(changes) + 1
            changes.append(Change(position, request.number, writes))
            answers.append((request, "done", position))
        return changes, answers

    def commit(self, entry: Entry) -> Generator[str, None, bool]:
        world = self.world
        verified, self.verified = self.verified, NEVER
        lost = False
        for _ in range(ATTEMPTS):
            if "fresh" in world.rules and world.clock - verified > FRESH:
                break
            try:
                if (yield from self.insert(entry)):
                    return True
                yield "get"
                there = world.entries.get(entry.first)
                return "nonce" in world.rules and there is not None and there.nonce == entry.nonce
            except LostError:
                lost = True
        if lost and "unknown" in world.rules:
            raise LostError
        return False

    def insert(self, entry: Entry) -> Generator[str, None, bool]:
        yield "insert"
        if self.world.likely(0.1):
            raise LostError
        inserted = self.world.insert(entry)
        if self.world.likely(0.2):
            raise LostError
        return inserted

    def catch_up(self) -> Steps:
        world = self.world
        started = world.clock
        while True:
            yield "read"
            entries = [entry for entry in world.entries.values() if entry.last > self.known]
            yield "state"
            applied, floor = world.applied, world.floor
            if self.known >= floor:
                break
            self.known = applied
        for entry in sorted(entries, key=lambda each: each.first):
            if entry.first != self.known + 1:
                raise Violation(f"a hole before {entry.first}")
            if entry.last > applied:
                yield from self.apply_and_publish(entry)
            else:
                self.publish(entry)
        self.verified = started

    def apply_and_publish(self, entry: Entry) -> Steps:
        if "publish" not in self.world.rules:
            self.publish(entry)
        yield from self.apply(entry)
        if "publish" in self.world.rules:
            self.publish(entry)

    def apply(self, entry: Entry) -> Steps:
        after: dict[str, tuple[int, int]] = {}
        for change in entry.changes:
            after.update({id: (change.position, value) for id, value in change.writes.items()})
        writes = sorted(after)
        self.world.chance.shuffle(writes)
        if "mark" not in self.world.rules:
            yield "mark"
            self.world.applied = max(self.world.applied, entry.last)
        for id in writes:
            yield "write"
            self.world.write(id, *after[id])
        yield "mark"
        self.world.applied = max(self.world.applied, entry.last)

    def publish(self, entry: Entry) -> None:
        """A follower reads what the change wrote, and must find it."""
        if entry.first != self.known + 1:
            raise Violation(f"a follower got {entry.first} after {self.known}")
        self.known = entry.last
        for change in entry.changes:
            for id in change.writes:
                if self.world.documents.get(id, (0, 0))[0] < change.position:
                    raise Violation(f"a follower was told of {change.position} before {id} was written")


def prune(world: World) -> Steps:
    """Raises the floor first, then deletes below it; never the last entry."""
    while True:
        yield "look"
        old = [e.last for e in world.entries.values() if e.at < world.clock - KEPT and e.last < world.applied]
        world.floor = max([world.floor, *old])
        yield "delete"
        for entry in list(world.entries.values()):
            if entry.last <= world.floor:
                del world.entries[entry.first]


def play(seed: int, rules: frozenset[str] = frozenset(RULES)) -> World:
    """One schedule to its end, checked. Raises Violation."""
    world = World(rules, random.Random(seed))
    processes = [Process(world) for _ in range(PROCESSES)]
    pruner = prune(world)
    while len(world.requests) < REQUESTS or any(process.queue for process in processes):
        step(world, processes, pruner)
    drain(Process(world).catch_up())
    check(world)
    return world


def step(world: World, processes: list[Process], pruner: Steps) -> None:
    """One call of one process, or something that happens to one."""
    world.clock += 1
    if len(world.requests) < REQUESTS and world.likely(0.08):
        if world.likely(0.2) and not any(process.queue for process in processes):
            world.clock += 2 * KEPT  # a quiet time: nobody is in the middle of a call, but somebody knows an old head
            for process in processes:
                process.last_step = world.clock
        wish = world.chance.choice(["add", "take", "free"])
        request = Request(len(world.requests), wish, world.head())
        world.requests.append(request)
        world.chance.choice(processes).queue.append(request)
    if world.likely(0.02):
        index = world.chance.randrange(PROCESSES)
        processes[index].steps.close()
        processes[index] = Process(world)
    next(pruner)
    waiting = [process for process in processes if world.clock - process.last_step > PATIENCE]
    process = waiting[0] if waiting else world.chance.choice(processes)
    process.last_step = world.clock
    next(process.steps)


def drain(steps: Steps) -> None:
    for _ in steps:
        pass
