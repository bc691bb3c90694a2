"""A small client of server-sent events, for tests: what comes over the stream, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import orjson

from tests.client import DEADLINE, Api, ApiFailed, Json

EVENTS = "text/event-stream"


@dataclass
class Stream:
    """A stream of events in the "distinct connections" mode: each belongs to one operation."""

    response: httpx2.Response
    lines: AsyncIterator[str]

    async def block(self) -> list[str]:
        """The lines up to the next empty one: an event, or a comment."""
        lines: list[str] = []
        async with asyncio.timeout(DEADLINE):
            async for line in self.lines:
                if not line:
                    return lines
                lines.append(line)
        raise EOFError("the stream has ended")

    async def event(self) -> tuple[str, str]:
        """The next event's name and data; comments are passed over."""
        while True:
            lines = await self.block()
            if not all(line.startswith(":") for line in lines):
                fields = dict(line.partition(":")[::2] for line in lines)
                return fields["event"].strip(), fields["data"].strip()

    async def next(self) -> Json:
        """The next result, whole."""
        name, data = await self.event()
        assert name == "next", (name, data)
        result: Json = orjson.loads(data)
        return result

    async def data(self) -> Any:
        """The next result's one field."""
        result = await self.next()
        if result.get("errors"):
            raise ApiFailed(result["errors"])
        [value] = result["data"].values()
        return value

    async def error(self) -> list[Json]:
        """The errors that it ends with."""
        result = await self.next()
        assert await self.event() == ("complete", "")
        errors: list[Json] = result["errors"]
        return errors

    async def ended(self) -> bool:
        """Whether the server has ended it."""
        try:
            await self.block()
        except EOFError:
            return True
        return False


@asynccontextmanager
async def open_stream(api: Api, query: str, **variables: Any) -> AsyncIterator[Stream]:
    """The stream that answers an operation."""
    headers = {"authorization": f"Bearer {api.token}", "accept": EVENTS}
    body = {"query": query, "variables": variables}
    async with api.server.http.stream("POST", api.server.url, headers=headers, json=body) as response:
        yield Stream(response, response.aiter_lines())
