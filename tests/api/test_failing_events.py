"""Events that cannot be executed for a fault of ours: who they are for is told, comes back, and misses nothing."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest

from connect_inbox.auth import Gate
from schema.types.message import MessageDirection, MessageKind
from storage.counts import Counts
from storage.database import ConnectionLost
from storage.messages import NewMessage, add_messages
from storage.reader import StoreReader
from tests.api.conftest import Brand
from tests.client import Api, Json, Subscription
from tests.sse import open_stream

FOLLOW = """subscription($since: String) { messageAdded(since: $since) {
  position message { text thread { influencer { tags { name } } } } } }"""


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Threads of which nothing can be read."""
    threads: set[str] = set()
    read = StoreReader.thread

    async def thread(reader: StoreReader, id: str) -> Any:
        if id in threads:
            raise ConnectionLost("secret: the connection broke")
        return await read(reader, id)

    monkeypatch.setattr(StoreReader, "thread", thread)
    return threads


async def write(brand: Brand, threads: list[str]) -> None:
    """One message in each, in one entry."""
    author = (await Gate(brand.store).admit(brand.member.token)).caller
    new = [NewMessage(each, MessageDirection.OUTBOUND, MessageKind.DIRECT, f"{n}") for n, each in enumerate(threads)]
    await add_messages(brand.store, author, new)


@pytest.fixture
async def threads(brand: Brand) -> list[str]:
    return [(await brand.influencer(name))["thread"] for name in ("Ada", "Bea")]


async def transcript(subscription: Subscription) -> list[Json]:
    """All messages up to the last one."""
    messages: list[Json] = []
    while not messages or messages[-1]["type"] == "next":
        messages.append(await subscription.socket.receive())
    return messages


def text_of(message: Json) -> str:
    text: str = message["payload"]["data"]["messageAdded"]["message"]["text"]
    return text


def assert_ended(messages: list[Json], subscription: Subscription) -> None:
    failed, complete = messages
    assert complete == {"id": subscription.id, "type": "complete"}
    [error] = failed["payload"]["errors"]
    assert (failed["type"], failed["id"], failed["payload"]["data"]) == ("next", subscription.id, None)
    assert error["extensions"].keys() == {"code", "requestId"} and error["extensions"]["code"] == "INTERNAL"
    assert "secret" not in error["message"]


async def assert_followed(api: Api, since: str, texts: list[str]) -> None:
    async with api.subscription(FOLLOW, since=since) as subscription:
        assert [(await subscription.data())["message"]["text"] for _ in texts] == texts


async def test_all_of_a_group_are_told_what_came_before_and_come_back_for_the_rest(
    brand: Brand, threads: list[str], broken: set[str]
) -> None:
    good, bad = threads
    async with AsyncExitStack() as stack:
        members = [
            await stack.enter_async_context(api.subscription(FOLLOW, since=await brand.position()))
            for api in (brand.viewer, brand.member, brand.partner)
        ]
        await brand.send(good, "first")
        assert [(await each.data())["message"]["text"] for each in members] == ["first"] * 3  # they have joined
        broken.add(bad)
        await write(brand, [good, bad, good])
        for each in members:
            told, *ended = await transcript(each)
            assert text_of(told) == "0"
            assert_ended(ended, each)
        broken.clear()
        since = told["payload"]["data"]["messageAdded"]["position"]
        await assert_followed(brand.viewer, since, ["1", "2"])
        await brand.send(good, "nobody is told")
        for each in members:
            await each.socket.send(type="ping")
            assert await each.socket.receive() == {"type": "pong"}


async def test_one_who_walks_is_told_what_came_before_and_comes_back_for_the_rest(
    brand: Brand, threads: list[str], broken: set[str]
) -> None:
    good, bad = threads
    since = await brand.position()
    await write(brand, [good, good, bad, good])
    broken.add(bad)
    async with brand.viewer.subscription(FOLLOW, since=since) as subscription:
        *told, failed, complete = await transcript(subscription)
        assert [text_of(each) for each in told] == ["0", "1"]
        assert_ended([failed, complete], subscription)
    since = told[-1]["payload"]["data"]["messageAdded"]["position"]
    async with brand.viewer.subscription(FOLLOW, since=since) as subscription:
        assert_ended(await transcript(subscription), subscription)  # still, and as an event, though it is the first
    async with open_stream(brand.viewer, FOLLOW, since=since) as stream:
        [error] = await stream.error()
        assert error["extensions"]["code"] == "INTERNAL"
    broken.clear()
    await assert_followed(brand.viewer, since, ["2", "3"])


async def test_what_fails_before_anything_has_happened_is_an_error(
    brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unread(*_: object) -> None:
        raise ConnectionLost("the connection broke")

    monkeypatch.setattr(Counts, "unread", unread)
    async with brand.viewer.subscription("subscription { unreadCount { threads } }") as subscription:
        [error] = await subscription.error()
        assert error["extensions"]["code"] == "INTERNAL"


async def test_what_a_viewer_may_not_have_ends_nothing(brand: Brand, threads: list[str]) -> None:
    """An error in an event that is no fault of ours is a part of the event."""
    query = "subscription { messageAdded { message { text thread { messages(first: 1000) { position } } } } }"
    async with brand.viewer.subscription(query) as subscription:
        await subscription.socket.send(type="ping")
        assert await subscription.socket.receive() == {"type": "pong"}
        for _ in range(2):
            await brand.send(threads[0])
            result = await subscription.next()
            assert [each["extensions"]["code"] for each in result["errors"]] == ["BAD_USER_INPUT"]
