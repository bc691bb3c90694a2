"""A schema with everything that an executor meets, values for it that are mostly right, and documents on it."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Annotated, Any

import strawberry
from graphql.pyutils import Undefined
from strawberry.permission import BasePermission
from strawberry.schema.config import StrawberryConfig

NAMES = "abc"


@strawberry.enum
class Mood(Enum):
    GOOD = strawberry.enum_value("fine", name="WELL")
    BAD = "bad"


def serialize_level(value: Any) -> Any:
    if value == "high":
        raise ValueError("too high")
    return None if value == "none" else f"level {type(value).__name__}"


class Level:
    """A scalar of our own."""


class Nobody(BasePermission):
    message = "nobody may"

    def has_permission(self, source: Any, info: Any, **kwargs: Any) -> bool:
        return False


class Later:
    """An awaitable that can be awaited by both executors."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, None, Any]:
        yield from asyncio.sleep(0).__await__()
        return given(self.value)


@dataclass
class Raised:
    """What a method raises."""

    message: str


def given(value: Any) -> Any:
    if isinstance(value, Raised):
        raise ValueError(value.message)
    return value


async def promised(value: Any) -> Any:
    return given(value)


@strawberry.interface
class Thing:
    id: strawberry.ID
    name: str | None


@strawberry.type
class Box:
    size: int
    owner: Person | None
    held: Thing | None
    either: Annotated[Person | Box, strawberry.union("Either")] | None
    grid: list[list[Box | None]]


@strawberry.type
class Person(Thing):
    text: str
    count: int
    count_or_not: int | None
    ratio: float | None
    happy: bool
    happy_or_not: bool | None
    mood: Mood
    mood_or_not: Mood | None
    level: Level
    level_or_not: Level | None
    numbers: list[list[int | None] | None]
    moods: list[Mood] | None
    friend: Person | None
    box: Box
    people: list[Person]
    people_or_not: list[Person | None] | None
    things: list[Thing]

    @strawberry.field
    def shout(self) -> str:
        return given(getattr(self, "said", "HEY"))  # type: ignore[no-any-return]

    @strawberry.field
    def level_made(self) -> Level | None:
        return given(getattr(self, "made", 1))  # type: ignore[no-any-return]

    @strawberry.field
    def kin(self) -> list[Person]:
        return given(getattr(self, "kindred", []))  # type: ignore[no-any-return]

    @strawberry.field
    def promise(self) -> str | None:
        return promised(getattr(self, "said", "HEY"))  # type: ignore[return-value]

    @strawberry.field
    def promises(self) -> list[str]:
        return [promised(getattr(self, "said", each)) for each in NAMES]  # type: ignore[misc]

    @strawberry.field
    def where(self, info: strawberry.Info) -> str:
        return ".".join(map(str, info.path.as_list()))

    @strawberry.field
    async def slow(self) -> int:
        return given(getattr(self, "slowly", 1))  # type: ignore[no-any-return]

    @strawberry.field
    async def neighbour(self) -> Person | None:
        return self.friend

    @strawberry.field
    def times(self, by: int = 2) -> int:
        return by

    @strawberry.field(permission_classes=[Nobody])  # type: ignore[untyped-decorator]
    def secret(self) -> str | None:
        return "secret"


@strawberry.type
class Robot(Thing):
    text: str
    maker: Person


@strawberry.type
class Query:
    @strawberry.field
    def person(self) -> Person:
        return ROOT["person"]  # type: ignore[no-any-return]

    @strawberry.field
    async def perhaps(self) -> Person | None:
        return ROOT["person"]  # type: ignore[no-any-return]

    @strawberry.field
    async def people(self) -> list[Person | None]:
        return [ROOT["person"], None, ROOT["person"]]

    @strawberry.field
    def things(self) -> list[Thing | None]:
        return [ROOT["person"], ROOT["robot"]]

    @strawberry.field
    def box(self) -> Box | None:
        return ROOT["box"]  # type: ignore[no-any-return]


ROOT: dict[str, Any] = {}
SCHEMA = strawberry.Schema(
    Query,
    types=[Robot],
    config=StrawberryConfig(scalar_map={Level: strawberry.scalar(name="Level", serialize=serialize_level)}),
)._schema

# What may be anywhere instead of the right value.
ODD: list[Any] = [
    None, ValueError("a value"), Later("text"), Later(None), Later(Raised("later")), Later(3), "text", "high", "none",
    "7", True, 0, 3, 2**31, 2.5, float("nan"), Mood.BAD, "fine", "bad", [], [1, None], [[1], None], (2,), {"a": 1},
    object(), [ValueError("in a list")], [Later(1)], [Later(Raised("in a list, later"))], strawberry.UNSET, Undefined,
    range(3),
    Raised("raised"), int, iter(()),
]  # fmt: skip


class Elsewhere(Person):
    """A person of another class."""


def person(friend: Person | None = None, box: Box | None = None) -> Person:
    return Person(
        id=strawberry.ID("p"), name="Ada", text="hello", count=1, count_or_not=None, ratio=0.5, happy=True,
        happy_or_not=None, mood=Mood.GOOD, mood_or_not=None, level=Level(), level_or_not=None,
        numbers=[[1, None], None], moods=[Mood.GOOD, Mood.BAD], friend=friend, box=box or make_box(), people=[],
        people_or_not=None, things=[],
    )  # fmt: skip


def make_box(owner: Person | None = None) -> Box:
    return Box(size=1, owner=owner, held=owner, either=owner, grid=[[]])


MADE = ["said", "made", "kindred", "slowly"]  # what Person's methods return


def people(random: Random, depth: int = 2) -> Person:
    """A person with people, of whom some have a few odd attributes, lack one, or are of another class."""
    made = person()
    holder: Any = made
    if depth > 0:
        others = [people(random, depth - 1) for _ in range(random.randint(0, 2))]
        made.friend = others[0] if others else None
        made.people, made.people_or_not = others, [*others, None]
        made.things = [*others, Robot(id=strawberry.ID("r"), name=None, text="beep", maker=made)]
        made.box = make_box(made.friend)
        made.box.grid = [[make_box(made.friend), None], []]
        holder.kindred = others
    for _ in range(random.choice([0, 0, 1, 2, 4])):
        setattr(holder, random.choice([*vars(made), *MADE]), random.choice(ODD))
    if random.random() < 0.05:
        delattr(holder, random.choice(list(vars(made))))
    if random.random() < 0.05:
        holder.__class__ = Elsewhere
    return made


# The fields of each type, and the type that is selected in them.
LEAVES = [
    "id", "name", "text", "count", "countOrNot", "ratio", "happy", "happyOrNot", "mood", "moodOrNot", "level",
    "levelOrNot", "numbers", "moods", "shout", "levelMade", "promise", "promises", "where", "slow", "times",
    "times(by: 5)", "secret",
]  # fmt: skip
PERSONS = ["friend", "people", "peopleOrNot", "kin", "neighbour"]
FIELDS: dict[str, dict[str, str | None]] = {
    "Query": {"person": "Person", "perhaps": "Person", "people": "Person", "things": "Thing", "box": "Box"},
    "Thing": {"id": None, "name": None},
    "Robot": {"id": None, "text": None, "maker": "Person"},
    "Either": {},
    "Box": {"size": None, "owner": "Person", "held": "Thing", "either": "Either", "grid": "Box"},
    "Person": {
        **dict.fromkeys(LEAVES), **dict.fromkeys(PERSONS, "Person"), "box": "Box", "things": "Thing",
    },
}  # fmt: skip
CONDITIONS = {
    "Thing": ["Thing", "Person", "Robot"], "Either": ["Person", "Box"], "Person": ["Person", "Thing"],
    "Robot": ["Robot", "Thing"], "Box": ["Box"], "Query": ["Query"],
}  # fmt: skip
DIRECTIVES = ["", "", "", "", " @include(if: $p)", " @skip(if: $q)", " @skip(if: $p) @include(if: $q)"]


class Documents:
    """Makes valid documents. Names in them are made of the fields', so that no two fields meet under one."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._fragments: dict[str, str] = {}
        self._named: dict[str, list[str]] = {}  # the names of fragments, by the type they are on

    def document(self) -> str:
        body = self._selections("Query", 4)
        used = "__typename @include(if: $p) @skip(if: $q)"
        return "\n".join([f"query($p: Boolean!, $q: Boolean = true) {{ {used} {body} }}", *self._fragments.values()])

    def _selections(self, on: str, depth: int) -> str:
        return " ".join([self._selected(on, depth) for _ in range(self._random.randint(1, 5))])

    def _selected(self, on: str, depth: int) -> str:
        """A field, or a fragment of fields."""
        directive = self._random.choice(DIRECTIVES)
        kind = self._random.randrange(10) if depth > 0 else 9
        if kind == 0:
            condition = self._random.choice(CONDITIONS[on])
            return f"... on {condition}{directive} {{ {self._selections(condition, depth - 1)} }}"
        if kind == 1:
            return f"...{self._fragment(self._random.choice(CONDITIONS[on]), depth - 1)}{directive}"
        name = self._random.choice([name for name, type in FIELDS[on].items() if not type or depth] + ["__typename"])
        alias = self._random.choice(["", "", "x_", "y_"])
        shown = f"{alias}{name.partition('(')[0]}5: {name}" if "(" in name else f"{alias}{name}: {name}"
        inner = FIELDS[on].get(name)
        return f"{shown}{directive}" + (f" {{ {self._selections(inner, depth - 1)} }}" if inner else "")

    def _fragment(self, on: str, depth: int) -> str:
        """The name of a fragment: of one that there is, or a new one."""
        known = self._named.setdefault(on, [])
        if known and self._random.random() < 0.5:
            return self._random.choice(known)
        body = self._selections(on, depth)
        name = f"F{len(self._fragments)}"
        self._fragments[name] = f"fragment {name} on {on} {{ {body} }}"
        known.append(name)
        return name
