"""Bringing a database to this program's format: every step once, in order, and again where it was cut short."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from storage import formats
from storage.database import Database, connect
from storage.formats import UnknownFormat, upgrade

Step = Callable[[Database], Awaitable[None]]


class Killed(BaseException):
    """The process ended, wherever it was."""


@pytest.fixture
async def database(database_uri: str, own_database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """An empty one, and a program that knows no step yet."""
    knows(monkeypatch)
    async with connect(database_uri, own_database) as database:
        yield database


def knows(monkeypatch: pytest.MonkeyPatch, *steps: Step) -> None:
    """The program is one that brings databases up by these steps."""
    monkeypatch.setattr(formats, "STEPS", list(steps))
    monkeypatch.setattr(formats, "VERSION", 1 + len(steps))


async def version(database: Database) -> int:
    document = await database.get("formats", "version")
    assert document is not None
    found: int = document["version"]
    return found


async def write(database: Database, id: str) -> None:
    """Part of a step, which may be done already."""
    await database.insert("tags", {"_id": id})
    document = await database.get("tags", id)
    assert document is not None
    await database.set("tags", id, {"written": document.get("written", 0) + 1})


async def written(database: Database) -> dict[str, int]:
    """How often each part was done."""
    return {each["_id"]: each["written"] for each in await database.find("tags", {})}


async def first(database: Database) -> None:
    assert await version(database) == 1
    await write(database, "1a")
    await write(database, "1b")


async def second(database: Database) -> None:
    assert await version(database) == 2
    await write(database, "2")


async def test_steps_are_run_once_each_in_their_order(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await upgrade(database)
    assert await version(database) == 1
    knows(monkeypatch, first, second)
    for _ in range(2):
        await upgrade(database)
        assert (await version(database), await written(database)) == (3, {"1a": 1, "1b": 1, "2": 1})


async def test_only_the_steps_that_are_missing_are_run(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await database.insert("formats", {"_id": "version", "version": 2})
    knows(monkeypatch, first, second)
    await upgrade(database)
    assert (await version(database), await written(database)) == (3, {"2": 1})


async def test_an_empty_database_needs_no_step(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    knows(monkeypatch, first, second)
    await upgrade(database)
    assert (await version(database), await written(database)) == (3, {})


async def test_a_step_that_was_cut_short_is_run_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def cut_short(database: Database) -> None:
        await write(database, "2")
        raise Killed

    await upgrade(database)
    knows(monkeypatch, first, cut_short, write_third)
    with pytest.raises(Killed):
        await upgrade(database)
    assert (await version(database), await written(database)) == (2, {"1a": 1, "1b": 1, "2": 1})
    knows(monkeypatch, first, second, write_third)
    await upgrade(database)
    assert (await version(database), await written(database)) == (4, {"1a": 1, "1b": 1, "2": 2, "3": 1})


async def write_third(database: Database) -> None:
    await write(database, "3")


async def test_a_process_that_is_slower_than_another_does_not_take_back_what_that_did(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def overtaken(database: Database) -> None:
        knows(monkeypatch, first, second, write_third)
        await upgrade(database)
        knows(monkeypatch, overtaken)

    await upgrade(database)
    knows(monkeypatch, overtaken)
    await upgrade(database)
    assert await version(database) == 4


async def test_a_later_programs_database_is_left_as_it_is(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    knows(monkeypatch, first, second)
    await upgrade(database)
    knows(monkeypatch, first)
    with pytest.raises(UnknownFormat):
        await upgrade(database)
    assert (await version(database), await written(database)) == (3, {})
