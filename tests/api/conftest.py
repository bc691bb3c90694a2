from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from connect_inbox import app
from connect_inbox.graphql.groups import Groups
from connect_inbox.settings import Settings
from schema.types.context import SCOPES, Role
from schema.types.scalars import now
from storage.store import Store
from storage.tokens import create_token
from storage.workspaces import add_member, add_partner, create_workspace, operator_of
from tests.client import Api, Json, Server
from tests.server import running


@pytest.fixture(scope="session")
async def server(store: Store) -> AsyncIterator[Server]:
    generous = Settings(max_aliases=1000, max_tokens=10_000, max_cost=100_000, rate_per_token=0, rate_per_address=0)
    async with running(store, generous) as server:
        yield server


@dataclass(frozen=True)
class Brand:
    """A workspace of its own, and the API as each of its callers sees it."""

    workspace: str
    store: Store
    server: Server
    admin: Api
    member: Api
    viewer: Api
    partner: Api
    stranger: Api  # an ADMIN of another workspace

    async def position(self) -> str:
        """Where the log stands: a subscription `since` it misses nothing that is done from now on."""
        position: str = (await self.admin.run("{ viewer { position } }"))["viewer"]["position"]
        return position

    async def influencer(self, name: str = "Ada Lovelace", **more: object) -> Json:
        """A new influencer, with the id of their thread."""
        payload = await self.admin.mutate(
            "createInfluencer", "influencer { id name } thread { id } position userErrors { code message }",
            name=name, **more,
        )  # fmt: skip
        assert payload["userErrors"] == []
        return {**payload["influencer"], "thread": payload["thread"]["id"]}

    async def receive(self, thread: str, text: str = "Hello!", external_id: str | None = None, **more: object) -> Json:
        """What an influencer wrote."""
        payload = await self.partner.mutate(
            "receiveMessage", "message { id text } position userErrors { code message }",
            threadId=thread, text=text, externalId=external_id or f"{thread}-{now().timestamp()}-{text}", **more,
        )  # fmt: skip
        assert payload["userErrors"] == []
        message: Json = payload["message"]
        return {**message, "position": payload["position"]}

    async def send(self, thread: str, text: str = "Hi!", **more: object) -> Json:
        payload = await self.member.mutate(
            "sendMessage",
            "message { id text } position userErrors { code message }",
            threadId=thread,
            text=text,
            **more,
        )
        assert payload["userErrors"] == []
        message: Json = payload["message"]
        return {**message, "position": payload["position"]}


async def token_for(store: Store, workspace: str, owner: str, scopes: list[str] | None = None, days: float = 1) -> str:
    secret, _ = await create_token(store, workspace, owner, "test", scopes or [], now() + timedelta(days=days))
    return secret


async def member_api(store: Store, server: Server, workspace: str, role: Role) -> Api:
    email = f"{role.name.lower()}@brand.example"
    outcome = await add_member(store, operator_of(workspace), role.name.title(), email, role)
    return server.api(await token_for(store, workspace, outcome.result.id))


@pytest.fixture
async def brand(store: Store, server: Server) -> Brand:
    return await create_brand(store, server)


def keep_groups(monkeypatch: pytest.MonkeyPatch) -> list[Groups]:
    """Those of each app that is made from here on."""
    kept: list[Groups] = []

    class Kept(Groups):
        def __init__(self, store: Store) -> None:
            super().__init__(store)
            kept.append(self)

    monkeypatch.setattr(app, "Groups", Kept)
    return kept


async def create_brand(store: Store, server: Server) -> Brand:
    workspace, other = await asyncio.gather(create_workspace(store, "Brand"), create_workspace(store, "Other brand"))

    async def partner_api() -> Api:
        partner = (await add_partner(store, operator_of(workspace), "Partner")).result.id
        return server.api(await token_for(store, workspace, partner, list(SCOPES)))

    admin, member, viewer, partner, stranger = await asyncio.gather(
        member_api(store, server, workspace, Role.ADMIN),
        member_api(store, server, workspace, Role.MEMBER),
        member_api(store, server, workspace, Role.VIEWER),
        partner_api(),
        member_api(store, server, other, Role.ADMIN),
    )
    return Brand(workspace, store, server, admin, member, viewer, partner, stranger)


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that a client does is a fault of ours: no error is logged, and no traceback."""
    caplog.set_level(logging.INFO)
    yield
    faults = [each for each in caplog.get_records("call") if each.levelno >= logging.ERROR or each.exc_info]
    assert not faults, [(each.name, each.getMessage(), str(each.exc_info)) for each in faults]
