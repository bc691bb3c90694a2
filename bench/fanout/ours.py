"""The real app on the real store, in a workspace with a team and a few threads."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta

from bench.fanout.peers import Emitted, Json
from connect_inbox.app import PATH
from connect_inbox.server import listener, serving
from connect_inbox.settings import Settings
from schema.types.context import Caller, Role
from schema.types.message import MessageDirection, MessageKind
from schema.types.node import thread_id_of
from schema.types.scalars import now
from storage.documents import Document
from storage.influencers import NewInfluencer, create_influencers
from storage.messages import NewMessage, add_messages
from storage.store import Store, open_store
from storage.tokens import create_token
from storage.workspaces import add_member, create_workspace, operator_of

THREADS = 20
MEMBERS = 20  # who share the sockets: a token may not hold all of them


class Ours:
    """Writes messages as a member, and notes when their entry was committed and when it was applied."""

    def __init__(self, store: Store, caller: Caller, threads: Iterator[str]) -> None:
        self._store = store
        self._caller = caller
        self._threads = threads
        self._committed = self._told = self._cpu = 0.0
        self._insert = store.database.insert
        self._raise_to = store.database.raise_to
        store.database.insert = self._note_insert  # type: ignore[method-assign]  # in this process nobody minds
        store.database.raise_to = self._note_mark  # type: ignore[method-assign]

    async def _note_insert(self, collection: str, document: Document) -> bool:
        inserted = await self._insert(collection, document)
        if collection == "entries":
            self._committed = time.monotonic()
        return inserted

    async def _note_mark(self, collection: str, id: str, field: str, value: int) -> None:
        await self._raise_to(collection, id, field, value)
        if field == "applied":
            self._told, self._cpu = time.monotonic(), time.process_time()

    async def emit(self, messages: list[Json]) -> Emitted:
        new = [
            NewMessage(next(self._threads), MessageDirection.OUTBOUND, MessageKind.DIRECT, each["message"]["text"])
            for each in messages
        ]
        await add_messages(self._store, self._caller, new)
        return Emitted(self._committed, self._told, self._cpu)


@asynccontextmanager
async def open_ours(uri: str, name: str) -> AsyncIterator[tuple[Ours, Json]]:
    """The app, listening on a free port, and what it takes to subscribe to it."""
    settings = Settings(bind=("127.0.0.1", 0))
    async with open_store(uri, name) as store:
        ours, tokens = await populated(store)
        with listener(settings) as bound:
            async with serving(settings, store, bound) as running:
                if running.done():
                    running.result()  # which raises why it could not start
                inits = [{"Authorization": f"Bearer {token}"} for token in tokens]
                yield ours, {"port": bound.getsockname()[1], "path": PATH, "inits": inits}


async def populated(store: Store) -> tuple[Ours, list[str]]:
    """A new workspace, and its members' tokens."""
    workspace = await create_workspace(store, "Fan-out")
    operator = operator_of(workspace)
    people = [NewInfluencer(name=f"Writer {n}", emails=[f"writer{n}@people.example"]) for n in range(THREADS)]
    threads = [thread_id_of(id) for id in (await create_influencers(store, operator, people)).result]
    members = [
        (await add_member(store, operator, f"Member {n}", f"member{n}@brand.example", Role.ADMIN)).result.id
        for n in range(MEMBERS)
    ]
    until = now() + timedelta(days=1)
    tokens = [(await create_token(store, workspace, id, "bench", [], until))[0] for id in members]
    caller = Caller(members[0], "Member 0", workspace, token="", role=Role.ADMIN)
    return Ours(store, caller, itertools.cycle(threads)), tokens
