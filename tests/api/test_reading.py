"""What is unread, for each member by themselves."""

from __future__ import annotations

import pytest

from schema.types.context import Role
from storage.workspaces import add_member, operator_of
from tests.api.conftest import Brand, token_for
from tests.client import Api, Json

COUNT = "{ unreadCount { threads messages position } }"
THREAD = "query($id: ID!) { thread(id: $id) { unread unreadMessages messages { nodes { text unread } } } }"
NOTIFICATIONS = "{ notifications { nodes { id reason read message { text } thread { id } } } }"


async def count(api: Api) -> tuple[int, int]:
    found = (await api.run(COUNT))["unreadCount"]
    return found["threads"], found["messages"]


async def unread(api: Api, thread: str) -> list[str]:
    found = (await api.run(THREAD, id=thread))["thread"]
    texts = [each["text"] for each in found["messages"]["nodes"] if each["unread"]]
    assert found["unreadMessages"] == len(texts) and found["unread"] is bool(texts)
    return texts


async def notifications(api: Api) -> list[Json]:
    found: list[Json] = (await api.run(NOTIFICATIONS))["notifications"]["nodes"]
    return found


async def test_only_what_influencers_write_makes_unread(brand: Brand) -> None:
    thread = (await brand.influencer())["thread"]
    await brand.send(thread, "ours")
    await brand.receive(thread, "out of office", automatic=True)
    assert await count(brand.admin) == (0, 0) and await notifications(brand.admin) == []
    await brand.receive(thread, "theirs")
    assert await count(brand.admin) == (1, 1) and await count(brand.member) == (1, 1)
    assert await unread(brand.admin, thread) == ["theirs"]


async def test_reading_up_to_a_message_is_each_members_own(brand: Brand) -> None:
    thread = (await brand.influencer())["thread"]
    messages = [await brand.receive(thread, str(n)) for n in range(4)]

    async def read(api: Api, up_to: int) -> Json:
        return await api.mutate(
            "markThreadRead", "thread { unreadMessages } unreadCount { messages } position",
            threadId=thread, upToMessageId=messages[up_to]["id"],
        )  # fmt: skip

    payload = await read(brand.viewer, 1)
    assert payload["thread"]["unreadMessages"] == 2 and payload["unreadCount"]["messages"] == 2
    assert await unread(brand.viewer, thread) == ["2", "3"]
    assert await unread(brand.admin, thread) == ["0", "1", "2", "3"]
    await read(brand.viewer, 0)
    assert await unread(brand.viewer, thread) == ["2", "3"], "what is read stays so"
    await read(brand.viewer, 3)
    assert await unread(brand.viewer, thread) == [] and await count(brand.viewer) == (0, 0)
    await brand.receive(thread, "4")
    assert await unread(brand.viewer, thread) == ["4"]


async def test_marking_a_message_unread_brings_a_new_notification(brand: Brand) -> None:
    thread = (await brand.influencer())["thread"]
    messages = [await brand.receive(thread, str(n)) for n in range(3)]
    await brand.admin.mutate("markThreadsRead", "position", threadIds=[thread])
    assert all(each["read"] for each in await notifications(brand.admin))
    payload = await brand.admin.mutate(
        "markMessageUnread", "thread { unread unreadMessages } message { unread } unreadCount { threads }",
        messageId=messages[1]["id"],
    )  # fmt: skip
    assert payload["thread"] == {"unread": True, "unreadMessages": 2}
    assert payload["message"]["unread"] is True and payload["unreadCount"]["threads"] == 1
    assert await unread(brand.admin, thread) == ["1", "2"]
    newest = (await notifications(brand.admin))[0]
    assert (newest["reason"], newest["read"], newest["message"]["text"]) == ("MARKED_UNREAD", False, "1")
    assert await unread(brand.viewer, thread) == ["0", "1", "2"]


async def test_marking_the_brands_own_message_goes_back_to_the_influencers_last_words(brand: Brand) -> None:
    thread = (await brand.influencer())["thread"]
    nothing = await brand.send(thread, "first")
    refused = await brand.admin.mutate("markMessageUnread", "userErrors { code field }", messageId=nothing["id"])
    assert refused["userErrors"] == [{"code": "INVALID", "field": ["messageId"]}]
    await brand.receive(thread, "theirs")
    ours = await brand.send(thread, "ours")
    await brand.admin.mutate("markThreadsRead", "position")
    await brand.admin.mutate("markMessageUnread", "position", messageId=ours["id"])
    assert await unread(brand.admin, thread) == ["theirs"]
    await brand.admin.mutate("markThreadsRead", "position")
    await brand.receive(thread, "more")
    await brand.admin.mutate("markThreadsRead", "position")
    await brand.admin.mutate("markMessageUnread", "position", messageId=nothing["id"])
    assert await unread(brand.admin, thread) == ["theirs", "more"]


async def test_many_and_all_are_read_at_once(brand: Brand) -> None:
    threads = [(await brand.influencer(f"P{n}"))["thread"] for n in range(5)]
    for thread in threads:
        await brand.receive(thread)
    await brand.viewer.mutate("markThreadsRead", "position", threadIds=threads[:2])
    assert await count(brand.viewer) == (3, 3)
    payload = await brand.viewer.mutate("markThreadsRead", "unreadCount { threads messages } threads { id }")
    assert payload == {"unreadCount": {"threads": 0, "messages": 0}, "threads": None}
    assert await count(brand.admin) == (5, 5)


async def test_notifications_lead_to_their_messages_and_are_seen_by_themselves(brand: Brand) -> None:
    thread = (await brand.influencer())["thread"]
    for text in ("one", "two"):
        await brand.receive(thread, text)
    newest, oldest = await notifications(brand.admin)
    assert [newest["message"]["text"], oldest["message"]["text"]] == ["two", "one"]
    assert newest["thread"]["id"] == thread and newest["reason"] == "MESSAGE_RECEIVED"
    payload = await brand.admin.mutate(
        "markNotificationsRead", "notifications { id read }", notificationIds=[oldest["id"]]
    )
    assert payload["notifications"] == [{"id": oldest["id"], "read": True}]
    assert await count(brand.admin) == (1, 2), "the messages stay unread"
    assert [each["read"] for each in await notifications(brand.viewer)] == [False, False]


async def test_a_new_member_starts_with_everything_read(brand: Brand) -> None:
    thread = (await brand.influencer())["thread"]
    await brand.receive(thread, "before")
    made = await add_member(brand.store, operator_of(brand.workspace), "New", "new@x.example", Role.MEMBER)
    new = brand.server.api(await token_for(brand.store, brand.workspace, made.result.id))
    assert await count(new) == (0, 0) and await unread(new, thread) == []
    await brand.receive(thread, "after")
    assert await unread(new, thread) == ["after"]


@pytest.mark.parametrize("query", [COUNT, NOTIFICATIONS])
async def test_a_partner_has_no_read_state(brand: Brand, query: str) -> None:
    answer = await brand.partner.post(query)
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
