"""What surrounds the processes of `log_model`: a database, clients with their wishes, and what must hold at the end."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

RULES = {
    "guard": "a document is only written if it is at an earlier position",
    "catch up": "what others have committed is applied before anything is planned upon it",
    "unique": "a position is taken once",
    "nonce": "an insert whose answer was lost is recognised by its nonce",
    "unknown": "what may have been committed, and cannot be looked for any more, is not planned again",
    "group": "nobody whose change may have been committed is planned again",
    "mark": "the applied mark is raised after the writes",
    "publish": "followers are told after the writes",
    "refuse": "a refusal is decided at the head",
    "fresh": "a head that was known long ago is not built upon",
}

Writes = dict[str, int]


class Violation(AssertionError):
    """The protocol did not keep what it promises."""


class LostError(Exception):
    """The connection broke: whether the call was done is unknown."""


@dataclass(eq=False)
class Request:
    """A client's wish: `add`, or to `take` or `free` the one name there is, refused if it is taken or free already."""

    number: int
    wish: str
    head_before: int
    outcome: str = ""  # done, refused, failed
    position: int = 0
    head_after: int = 0


@dataclass(frozen=True)
class Change:
    position: int
    request: int
    writes: Writes


@dataclass(frozen=True)
class Entry:
    nonce: int
    at: int
    changes: list[Change]

    @property
    def first(self) -> int:
        return self.changes[0].position

    @property
    def last(self) -> int:
        return self.changes[-1].position


@dataclass
class World:
    """The database, and what nobody in it knows: the time, chance, and everything that was ever committed."""

    rules: frozenset[str]
    chance: random.Random
    clock: int = 0
    entries: dict[int, Entry] = field(default_factory=dict)
    applied: int = 0
    floor: int = 0
    documents: dict[str, tuple[int, int]] = field(default_factory=dict)  # id -> position, value
    committed: dict[int, Entry] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def likely(self, probability: float) -> bool:
        return self.chance.random() < probability

    def head(self) -> int:
        return max((entry.last for entry in self.committed.values()), default=0)

    def read(self, id: str) -> int:
        return self.documents.get(id, (0, 0))[1]

    def write(self, id: str, position: int, value: int) -> None:
        if "guard" not in self.rules or self.documents.get(id, (0, 0))[0] < position:
            self.documents[id] = (position, value)

    def insert(self, entry: Entry) -> bool:
        if entry.first in self.entries and "unique" in self.rules:
            return False
        self.entries[entry.first] = self.committed[entry.first] = entry
        return True


def check(world: World) -> None:
    entries = sorted(world.committed.values(), key=lambda each: each.first)
    changes = [change for entry in entries for change in entry.changes]
    if [change.position for change in changes] != list(range(1, len(changes) + 1)):
        raise Violation("the log is not dense")
    if len({change.request for change in changes}) != len(changes):
        raise Violation("a change was made twice")
    if any(change.writes["count"] != change.position for change in changes):
        raise Violation("a change was planned upon an old state")
    replayed: Writes = {}
    names = [0]
    for change in changes:
        replayed.update(change.writes)
        names.append(replayed.get("name", 0))
    if replayed != {id: value for id, (_, value) in world.documents.items()}:
        raise Violation("the documents are not what the log says")
    for request in world.requests:
        check_answer(request, {change.request: change.position for change in changes}, names)


def check_answer(request: Request, positions: dict[int, int], names: list[int]) -> None:
    if request.outcome == "done" and positions.get(request.number) != request.position:
        raise Violation("a change that was answered is lost")
    if request.outcome == "refused":
        meanwhile = names[request.head_before : request.head_after + 1]
        if int(request.wish == "take") not in meanwhile or request.number in positions:
            raise Violation("a change was refused without a reason")
