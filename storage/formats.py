"""The version of what is stored, and the steps from each version to the next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from storage.database import Database

# STEPS[n] brings a database of version n to version n + 1. A step may be cut short at any point and run again.
STEPS: list[Callable[[Database], Awaitable[None]]] = []
VERSION = 1 + len(STEPS)


class UnknownFormat(Exception):
    """The database was written by a later version of this program."""


async def upgrade(database: Database) -> None:
    """Brings the database to this program's version, step by step. An empty one is of this version."""
    await database.insert("formats", {"_id": "version", "version": VERSION})
    document = await database.get("formats", "version")
    version = document["version"] if document else VERSION
    if version > VERSION:
        raise UnknownFormat(f"the database has format {version}, and this program knows formats up to {VERSION}")
    for number, step in enumerate(STEPS[version - 1 :], start=version):
        await step(database)
        await database.raise_to("formats", "version", "version", number + 1)
