"""Databases that nobody else has, and that are gone afterwards."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pymongo import AsyncMongoClient


@asynccontextmanager
async def database_of_its_own(uri: str, kind: str = "own") -> AsyncIterator[str]:
    """The name of one on this server."""
    name = f"connect_inbox_{kind}_{secrets.token_hex(6)}"
    yield name
    async with AsyncMongoClient[dict[str, object]](uri) as client:
        await client.drop_database(name)
