"""Whole transcripts of the subscriptions, over both transports: for a member, for somebody of another
workspace, and without a token. The stranger's own message at the end is the first that they are told of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.api.conftest import Brand
from tests.client import Api, Json, open_socket
from tests.mailboxes import connected
from tests.sse import EVENTS, open_stream

MESSAGE = "message { id text unread author { __typename name } thread { id } }"
CHANGE = """position kind at removedIds actor { __typename name } nodes {
    __typename id
    ... on Message { text unread } ... on Thread { unreadMessages } ... on Notification { read }
    ... on Mailbox { maySend isDefault } ... on Participation { unreadMessages }
}"""
SUBSCRIPTIONS = {
    "messageAdded": "subscription($since: String, $thread: ID) { messageAdded(since: $since, threadId: $thread) "
    f"{{ position {MESSAGE} }} }}",
    "threadChanged": "subscription($since: String, $thread: ID!) { threadChanged(since: $since, threadId: $thread) "
    "{ position kind messageId message { id text unread } thread { id unread unreadMessages } } }",
    "inboxChanged": "subscription($since: String) { inboxChanged(since: $since) "
    "{ position kind threadId edge { node { unread lastMessage { text } } } } }",
    "unreadCount": "subscription { unreadCount { id threads messages position } }",
    "notificationAdded": "subscription($since: String) { notificationAdded(since: $since) "
    "{ position notification { reason read message { id } } } }",
    "mailboxChanged": "subscription($since: String) { mailboxChanged(since: $since) "
    "{ position mailbox { id address state maySend isDefault isFallback owner { name } } } }",
    "changed": f"subscription($since: String) {{ changed(since: $since) {{ {CHANGE} }} }}",
}

pytestmark = pytest.mark.usefixtures("quiet")
transports = pytest.mark.parametrize("transport", ["socket", "events"])


@asynccontextmanager
async def subscribed(transport: str, api: Api, name: str, **variables: Any) -> AsyncIterator[Any]:
    query = SUBSCRIPTIONS[name]
    given = {key: value for key, value in variables.items() if f"${key}" in query}
    opened = api.subscription(query, **given) if transport == "socket" else open_stream(api, query, **given)
    async with opened as subscription:
        yield subscription


async def the_story(brand: Brand, thread: str) -> list[Json]:
    """What happens while the others listen: an influencer writes, the member answers, reads, marks as unread, and
    connects a mailbox that becomes theirs to send from."""
    received = await brand.receive(thread, "Hello!")
    sent = await brand.send(thread, "Hi!")
    read = await brand.member.mutate("markThreadRead", "position", threadId=thread, upToMessageId=received["id"])
    marked = await brand.member.mutate("markMessageUnread", "position", messageId=received["id"])
    me = (await brand.member.run("{ viewer { id } }"))["viewer"]["id"]
    mailbox = await connected(brand.store, brand.workspace, me, name="Ben")
    made = {"id": mailbox, "position": await brand.position()}
    chosen = await brand.member.mutate("setDefaultMailbox", "position", mailboxId=mailbox)
    return [received, sent, read, marked, made, chosen]


def expected(name: str, thread: str, member: str, since: str, story: list[Json]) -> list[Json]:
    """Everything that the member is told of it. Objects are as they stand when they are told: after the story."""
    received, sent, read, marked, made, chosen = story
    at = [each["position"] for each in (received, sent, read, marked)]
    hello = {"id": received["id"], "text": "Hello!", "unread": True}
    hi = {"id": sent["id"], "text": "Hi!", "unread": False}
    row = {"id": thread, "unread": True, "unreadMessages": 1}
    edge = {"node": {"unread": True, "lastMessage": {"text": "Hi!"}}}
    if name == "messageAdded":
        ada = {"author": {"__typename": "Influencer", "name": "Ada"}, "thread": {"id": thread}}
        ben = {"author": {"__typename": "Member", "name": "Member"}, "thread": {"id": thread}}
        return [{"position": at[0], "message": hello | ada}, {"position": at[1], "message": hi | ben}]
    if name == "threadChanged":
        added = {"kind": "MESSAGE_ADDED", "thread": row}
        updated = {"kind": "THREAD_UPDATED", "thread": row, "message": None, "messageId": None}
        return [
            {"position": at[0], "message": hello, "messageId": hello["id"], **added},
            {"position": at[1], "message": hi, "messageId": hi["id"], **added},
            {"position": at[2], **updated},
            {"position": at[3], **updated},
        ]
    if name == "inboxChanged":
        return [{"position": it, "kind": "CHANGED", "threadId": thread, "edge": edge} for it in at]
    if name == "mailboxChanged":
        mailbox = {"id": made["id"], "address": "team@brand.example", "state": "CONNECTED", "maySend": True,
                   "isDefault": True, "isFallback": True, "owner": {"name": "Member"}}  # fmt: skip
        return [{"position": each["position"], "mailbox": mailbox} for each in (made, chosen)]
    if name == "notificationAdded":
        told = {"read": False, "message": {"id": hello["id"]}}
        return [
            {"position": at[0], "notification": {"reason": "MESSAGE_RECEIVED", **told, "read": True}},
            {"position": at[3], "notification": {"reason": "MARKED_UNREAD", **told}},
        ]
    if name == "changed":
        kinds = ["MESSAGE_ADDED"] * 2 + ["THREAD_READ", "THREAD_MARKED_UNREAD", "MAILBOX_ADDED", "MAILBOX_CHANGED"]
        return [{"position": each["position"], "kind": kind} for each, kind in zip(story, kinds, strict=True)]
    return [{"id": member, "threads": 1, "messages": 1, "position": chosen["position"]}]


@transports
@pytest.mark.parametrize("name", SUBSCRIPTIONS)
async def test_what_a_member_is_told_afterwards(brand: Brand, transport: str, name: str) -> None:
    """With `since`, all of it; of the unread count, which has none, how it stands."""
    thread = (await brand.influencer("Ada"))["thread"]
    member, since = (await brand.member.run("{ viewer { id } }"))["viewer"]["id"], await brand.position()
    story = await the_story(brand, thread)
    async with subscribed(transport, brand.member, name, since=since, thread=thread) as subscription:
        wanted = expected(name, thread, member, since, story)
        told = [await subscription.data() for _ in wanted]
        assert [{key: event[key] for key in each} for event, each in zip(told, wanted, strict=True)] == wanted
        last = await brand.receive(thread, "Later")  # and then what happens, with nothing in between
        if name == "mailboxChanged":
            renamed = {"mailboxId": story[4]["id"], "name": "The team"}
            last = await brand.admin.mutate("updateMailbox", "position", **renamed)
        assert (await subscription.data())["position"] == last["position"]


@transports
async def test_of_every_change_each_is_told_what_the_query_tells(brand: Brand, transport: str) -> None:
    """What has a subscription of its own, and what has none: tags, campaigns, notifications that are read."""
    thread = (await brand.influencer("Ada"))["thread"]
    since = await brand.position()
    await the_story(brand, thread)
    tag = (await brand.admin.mutate("createTag", "tag { id }", name="VIP"))["tag"]["id"]
    await brand.admin.mutate("updateTag", "position", tagId=tag, name="Very important")
    await brand.admin.mutate("createCampaign", "position", name="Spring")
    told = (await brand.member.run("{ notifications { nodes { id } } }"))["notifications"]["nodes"]
    await brand.member.mutate("markNotificationsRead", "position", notificationIds=[each["id"] for each in told])
    await brand.admin.mutate("deleteTag", "position", tagId=tag)
    query = f"query($since: String!) {{ changes(since: $since) {{ changes {{ {CHANGE} }} }} }}"
    seen = {}
    for api in (brand.admin, brand.member, brand.viewer, brand.partner):
        wanted = (await api.run(query, since=since))["changes"]["changes"]
        async with subscribed(transport, api, "changed", since=since) as subscription:
            assert [await subscription.data() for _ in wanted] == wanted
        seen[api] = {each["kind"] for each in wanted}
    assert "TAG_CHANGED" in seen[brand.partner] and "NOTIFICATIONS_READ" in seen[brand.member]
    assert not {"NOTIFICATIONS_READ", "THREAD_READ"} & seen[brand.admin], "what a member reads is told to nobody else"


@transports
async def test_the_unread_count_as_it_changes(brand: Brand, transport: str) -> None:
    """Now, then after every change: counts may be skipped, the last one never is."""
    thread = (await brand.influencer("Ada"))["thread"]
    async with subscribed(transport, brand.member, "unreadCount") as subscription:
        first = await subscription.data()
        assert (first["threads"], first["messages"]) == (0, 0)
        for n in (1, 2):
            received = await brand.receive(thread, f"{n}")
            counted = await subscription.data()
            assert (counted["threads"], counted["messages"], counted["position"]) == (1, n, received["position"])
        read = await brand.member.mutate("markThreadRead", "position", threadId=thread, upToMessageId=received["id"])
        counted = await subscription.data()
        assert (counted["threads"], counted["messages"], counted["position"]) == (0, 0, read["position"])


@transports
@pytest.mark.parametrize("name", ["messageAdded", "threadChanged"])
async def test_what_happens_in_another_thread(brand: Brand, transport: str, name: str) -> None:
    thread, other = [(await brand.influencer(person))["thread"] for person in ("Ada", "Bea")]
    since = await brand.position()
    async with subscribed(transport, brand.member, name, since=since, thread=thread) as subscription:
        await the_story(brand, other)
        received = await brand.receive(thread, "Hello!")
        assert (await subscription.data())["position"] == received["position"]


async def test_the_messages_of_a_campaign_only(brand: Brand) -> None:
    thread = (await brand.influencer("Ada"))["thread"]
    campaigns = [
        (await brand.admin.mutate("createCampaign", "campaign { id }", name=name))["campaign"]["id"]
        for name in ("One", "Two")
    ]
    query = "subscription($since: String, $id: ID) { messageAdded(since: $since, campaignId: $id) { position } }"
    async with brand.member.subscription(query, since=await brand.position(), id=campaigns[1]) as subscription:
        await brand.receive(thread, "Of none")
        await brand.receive(thread, "Of the first", campaignId=campaigns[0])
        received = await brand.receive(thread, "Of the second", campaignId=campaigns[1])
        assert (await subscription.data())["position"] == received["position"]


@transports
async def test_what_a_stranger_is_told(brand: Brand, transport: str) -> None:
    """Nothing at all of another workspace: their own message is the first."""
    thread = (await brand.influencer("Ada"))["thread"]
    made = await brand.stranger.mutate("createInfluencer", "thread { id }", name="Zoe")
    own, since = made["thread"]["id"], (await brand.stranger.run("{ viewer { position } }"))["viewer"]["position"]
    async with AsyncExitStack() as stack:
        told = {
            name: await stack.enter_async_context(
                subscribed(
                    transport, brand.stranger, name, since=since, thread=own if name == "threadChanged" else None
                )
            )
            for name in SUBSCRIPTIONS
        }
        assert (await told["unreadCount"].data())["messages"] == 0
        await the_story(brand, thread)
        sent = await brand.stranger.mutate("sendMessage", "message { id } position", threadId=own, text="Mine")
        mark = {"messageId": sent["message"]["id"]}
        assert (await told["messageAdded"].data())["message"]["text"] == "Mine"
        assert (await told["threadChanged"].data())["messageId"] == mark["messageId"]
        assert (await told["changed"].data())["position"] == sent["position"]
        event = await told["inboxChanged"].data()
        assert (event["threadId"], event["position"]) == (own, sent["position"])
        viewer = (await brand.stranger.run("{ viewer { id workspace { id } } }"))["viewer"]
        mailbox = await connected(brand.store, viewer["workspace"]["id"], viewer["id"])
        event = (await told["mailboxChanged"].data())["mailbox"]
        assert (event["id"], event["isFallback"], event["isDefault"]) == (mailbox, True, False)
    async with subscribed(transport, brand.stranger, "threadChanged", thread=thread) as refused:
        [error] = await refused.error()
        assert error["extensions"] == {"code": "NOT_FOUND"}


@pytest.mark.parametrize("name", SUBSCRIPTIONS)
async def test_what_nobody_is_told(brand: Brand, name: str) -> None:
    """Without a token there is no stream and no socket, and nothing of what was asked is looked at."""
    thread = (await brand.influencer("Ada"))["thread"]
    body = {"query": SUBSCRIPTIONS[name], "variables": {"thread": thread}}
    response = await brand.server.http.post(brand.server.url, headers={"accept": EVENTS}, json=body)
    assert response.status_code == 401
    assert [each["extensions"]["code"] for each in response.json()["errors"]] == ["UNAUTHENTICATED"]
    async with open_socket(brand.server) as socket:
        await socket.send(id="1", type="subscribe", payload=body)
        assert await socket.closed() == (4401, "connection_init comes first")


@transports
@pytest.mark.parametrize("name", ["unreadCount", "notificationAdded"])
async def test_what_a_partner_has_none_of(brand: Brand, transport: str, name: str) -> None:
    async with subscribed(transport, brand.partner, name) as subscription:
        [error] = await subscription.error()
        assert error["extensions"] == {"code": "FORBIDDEN"}


@transports
async def test_who_else_is_told_of_a_mailbox(brand: Brand, transport: str) -> None:
    """Whose default it is is told to that member alone; and who may not send from it any more is told so."""
    me = (await brand.member.run("{ viewer { id } }"))["viewer"]["id"]
    ada = (await brand.admin.run("{ viewer { id } }"))["viewer"]["id"]
    mailbox = await connected(brand.store, brand.workspace, ada, is_shared=True)
    since = await brand.position()
    async with (
        subscribed(transport, brand.admin, "mailboxChanged", since=since) as owner,
        subscribed(transport, brand.member, "mailboxChanged", since=since) as member,
        subscribed(transport, brand.viewer, "mailboxChanged", since=since) as viewer,
        subscribed(transport, brand.partner, "mailboxChanged", since=since) as partner,
    ):
        chosen = await brand.member.mutate("setDefaultMailbox", "position", mailboxId=mailbox)
        event = await member.data()
        assert event["position"] == chosen["position"] and event["mailbox"]["isDefault"]
        taken = await brand.admin.mutate("updateMailbox", "position", mailboxId=mailbox, isShared=False)
        for api, told in ((ada, owner), (me, member), (None, viewer), (None, partner)):
            event = await told.data()
            assert event["position"] == taken["position"], "the first that anybody else is told"
            assert event["mailbox"]["maySend"] == (api == ada)
            assert event["mailbox"]["isDefault"] == (api == me)
