"""What is refused for its size or its time, over every transport, and what is left of it for others: everything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from connect_inbox.settings import Settings
from resolvers import queries
from storage.log import Log
from storage.store import Store
from tests.api.conftest import Brand, create_brand
from tests.client import Server
from tests.server import running
from tests.sse import open_stream
from tests.test_limits import doubling, nested

pytestmark = pytest.mark.usefixtures("quiet")

ALIASES = "{ " + " ".join(f"a{each}: id" for each in range(31)) + " }"
SEND = "mutation($input: SendMessageInput!) { sendMessage(input: $input) { message { id text } } }"
THREAD = "query($id: ID!) { thread(id: $id) { messages { nodes { id text } } } }"
PAGES = "query($first: Int!) { inbox(first: 100) { nodes { messages(last: $first) { nodes { id } } } } }"


@pytest.fixture(scope="module")
async def server(store: Store) -> AsyncIterator[Server]:
    """With the limits that a server has where nothing is set."""
    async with running(store, Settings()) as server:
        yield server


@pytest.fixture(scope="module")
async def brand(store: Store, server: Server) -> Brand:
    return await create_brand(store, server)


TOO_COMPLEX = {
    "depth": nested(13),
    "aliases": f"{{ viewer {ALIASES} }}",
    "directives": "{ __typename" + " @include(if: true)" * 31 + " }",
    "doubling fragments": doubling(60),
    "root fields": "{" + " __typename" * 21 + "}",
    "tokens": "{ viewer {" + " id" * 2000 + "} }",
    "characters": "{ viewer { id } }" + " " * 102_400,
    "circular introspection": "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }",
}


@pytest.mark.parametrize("document", TOO_COMPLEX.values(), ids=TOO_COMPLEX)
async def test_a_document_that_is_too_complex_is_refused(brand: Brand, document: str) -> None:
    answer = await brand.member.post(document)
    assert [error["extensions"] for error in answer["errors"]] == [{"code": "TOO_COMPLEX"}]
    assert "data" not in answer
    async with brand.member.socket() as socket:
        assert await (await socket.subscribe(document)).error() == answer["errors"]
    async with open_stream(brand.member, document) as stream:
        assert await stream.error() == answer["errors"]


async def test_what_a_page_costs_depends_on_its_variables(brand: Brand) -> None:
    assert "errors" not in await brand.member.post(PAGES, first=100)
    answer = await brand.member.post("query($a: Int!) { a: inbox(first: $a) { nodes { messages(last: 100) { nodes { id "
                                     "author { id } campaign { id } } } } } }", a=100)  # fmt: skip
    assert [error["extensions"] for error in answer["errors"]] == [{"code": "TOO_COMPLEX"}]


async def test_a_subscription_is_limited_too(brand: Brand) -> None:
    document = f"subscription {{ messageAdded {{ message {{ thread {ALIASES} }} }} }}"
    async with brand.member.socket() as socket:
        [error] = await (await socket.subscribe(document)).error()
        assert error["extensions"] == {"code": "TOO_COMPLEX"}


@pytest.fixture(scope="module")
async def hasty(store: Store) -> AsyncIterator[Server]:
    """A server where nothing may take long."""
    async with running(store, Settings(operation_timeout=0.2)) as server:
        yield server


async def test_an_operation_that_takes_too_long_is_ended(
    brand: Brand, hasty: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []

    async def never(*_: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("query")

    monkeypatch.setattr(queries, "inbox_page", never)
    told = {"message": "the operation was ended after 0.2 s", "extensions": {"code": "TIMED_OUT"}}
    member = hasty.api(brand.member.token)
    assert (await member.post("{ inbox { position } }"))["errors"] == [told]
    async with member.socket() as socket:
        result = await (await socket.subscribe("{ inbox { position } }")).next()
        assert result["errors"] == [told] and result["data"] is None
    async with open_stream(member, "{ inbox { position } }") as stream:
        assert (await stream.next())["errors"] == [told]
    assert ended == ["query"] * 3


async def test_a_change_that_takes_too_long_is_made_whole(
    brand: Brand, hasty: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its request is ended while the change is being committed; the same key finds it afterwards."""
    thread = (await brand.influencer())["thread"]
    committing, going_on = asyncio.Event(), asyncio.Event()
    commit = Log._commit

    async def commit_late(self: Log, *arguments: Any) -> bool:
        committing.set()
        await going_on.wait()
        return await commit(self, *arguments)

    monkeypatch.setattr(Log, "_commit", commit_late)
    input = {"threadId": thread, "text": "Sent", "idempotencyKey": "one"}
    while not committing.is_set():  # one that is ended before its change has begun is not made
        answer = await hasty.api(brand.member.token).post(SEND, input=input)
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["TIMED_OUT"]
    going_on.set()
    await brand.store.log.finish()
    found = (await brand.member.run(THREAD, id=thread))["thread"]["messages"]["nodes"]
    assert [each["text"] for each in found] == ["Sent"]
    assert [(await brand.member.run(SEND, input=input))["sendMessage"]["message"]] == found
