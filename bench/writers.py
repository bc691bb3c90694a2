"""A workspace to write in: a team of five, and a hundred threads, beside the one whose pages are measured."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from bench.place import Client, Place
from schema.types.context import SCOPES, Caller, Role
from schema.types.message import MessageDirection, MessageKind
from schema.types.node import thread_id_of
from storage.claims import Made, key_of
from storage.influencers import NewInfluencer, create_influencers
from storage.log import Outcome
from storage.messages import NewMessage, add_message
from storage.workspaces import add_member, add_partner, create_workspace, operator_of

MEMBERS, THREADS = 5, 100
TEXT = "Hello! The parcel came today and it looks great. When shall I post about it?"
RECEIVE = """mutation($input: ReceiveMessageInput!) {
  receiveMessage(input: $input) { message { id } position userErrors { code message } }
}"""


@dataclass(frozen=True)
class Writers:
    """The workspace, and what comes in there."""

    place: Place
    workspace: str
    members: list[str]
    partner: Caller
    threads: Iterator[str]

    async def client(self, id: str) -> Client:
        return await self.place.client(id, self.workspace)

    async def receive(self, client: Client) -> str:
        """A message, handed in by the partner; its id."""
        input = {"threadId": next(self.threads), "text": TEXT, "externalId": secrets.token_hex(8)}
        data = await client.run(RECEIVE, input=input)
        return str(data["receiveMessage"]["message"]["id"])

    async def add(self) -> Outcome[Made]:
        """The same in storage alone."""
        new = NewMessage(next(self.threads), MessageDirection.INBOUND, MessageKind.DIRECT, TEXT)
        key = key_of(self.partner.id, "message", secrets.token_hex(8), new)
        return await add_message(self.place.store, self.partner, new, key)


async def make_writers(place: Place) -> Writers:
    store = place.store
    workspace = await create_workspace(store, "Writers")
    operator = operator_of(workspace)
    people = [NewInfluencer(name=f"Writer {n}", emails=[f"writer{n}@people.example"]) for n in range(THREADS)]
    ids = (await create_influencers(store, operator, people)).result
    members = [
        (await add_member(store, operator, f"Member {n}", f"member{n}@brand.example", Role.ADMIN)).result.id
        for n in range(MEMBERS)
    ]
    id = (await add_partner(store, operator, "Platform")).result.id
    partner = Caller(id, "", workspace, token="", role=None, scopes=frozenset(SCOPES))
    return Writers(place, workspace, members, partner, itertools.cycle([thread_id_of(id) for id in ids]))
