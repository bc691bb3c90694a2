"""Where something is measured: a filled database, and the real app on it in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson

from bench.fill import Filled
from connect_inbox.app import PATH
from connect_inbox.server import Server, listener, uvicorn_config
from connect_inbox.settings import Settings
from schema.types.context import SCOPES, Caller, Role
from schema.types.scalars import now
from schema.types.thread import MessagePageArguments
from storage.reader import StoreReader
from storage.store import Store, open_store
from storage.tokens import create_token

RECENT = 200
NEWEST = MessagePageArguments(first=None, after=None, last=50, before=None, around=None, campaign=None)

Json = dict[str, Any]


class Client:
    """One connection to the API, for one request after the other. It does as little as an HTTP client can."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._head = (
            f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {token}\r\n"
            "content-type: application/json\r\naccept: application/json\r\ncontent-length: "
        ).encode()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, query: str, **variables: Any) -> Json:
        """A request's data."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=2**24)
        reader, writer = self._streams
        body = orjson.dumps({"query": query, "variables": variables})
        writer.write(self._head + str(len(body)).encode() + b"\r\n\r\n" + body)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        answer: Json = orjson.loads(await reader.readexactly(length))
        if answer.get("errors") or any(each.get("userErrors") for each in answer["data"].values()):
            raise RuntimeError(answer)
        data: Json = answer["data"]
        return data

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


@dataclass
class Place:
    """A filled database, and the app on it."""

    engine: str
    label: str
    messages: int
    store: Store
    port: int
    filled: Filled
    clients: list[Client] = field(default_factory=list)

    @property
    def recent(self) -> list[list[str]]:
        """Threads that everyone has read, each with its newest message, and that are in the database's memory."""
        return self.filled.read[:RECENT]

    @property
    def old(self) -> list[list[str]]:
        """The same, but nobody has looked at them lately, where there are so many."""
        return self.filled.read[RECENT:] or self.filled.read

    async def touch(self) -> None:
        """Brings to the database's memory what is recent."""
        reader = await self.reader(self.filled.members[0])
        for thread, _ in self.recent:
            await reader.thread(thread)
            await reader.messages(thread, NEWEST)

    def caller(self, id: str) -> Caller:
        """The member or partner, as storage knows them."""
        if id.startswith("partner_"):
            return Caller(id, "", self.filled.workspace, token="", role=None, scopes=frozenset(SCOPES))
        return Caller(id, "", self.filled.workspace, token="", role=Role.ADMIN)

    async def reader(self, id: str) -> StoreReader:
        return StoreReader(self.store, self.caller(id), await self.store.log.position(self.filled.workspace))

    async def token(self, id: str, workspace: str | None = None) -> str:
        scopes = list(SCOPES) if id.startswith("partner_") else []
        until = now() + timedelta(days=1)
        workspace = workspace or self.filled.workspace
        secret, _ = await create_token(self.store, workspace, id, "bench", scopes, until)
        return secret

    async def client(self, id: str, workspace: str | None = None) -> Client:
        """The API as a member or partner sees it."""
        client = Client(self.port, await self.token(id, workspace))
        self.clients.append(client)
        return client


@asynccontextmanager
async def open_place(
    engine: str, label: str, uri: str, name: str, messages: int, filled: Filled, fast_executor: bool = True
) -> AsyncIterator[Place]:
    """The app on a filled database, listening on a free port."""
    bind = ("127.0.0.1", 0)
    settings = Settings(bind=bind, rate_per_token=0, rate_per_address=0, fast_executor=fast_executor)
    async with open_store(uri, name) as store:
        with listener(settings) as bound:
            server = Server(uvicorn_config(settings, store))
            serving = asyncio.create_task(server.serve(sockets=[bound]))
            await server.listening.wait()
            place = Place(engine, label, messages, store, bound.getsockname()[1], filled)
            await place.touch()
            try:
                yield place
            finally:
                for client in place.clients:
                    client.close()
                server.should_exit = True
                await serving
