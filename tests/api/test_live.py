"""Subscriptions: whole transcripts, for each who may and each who may not."""

from __future__ import annotations

import asyncio

from tests.api.conftest import Brand

MESSAGES = "subscription($since: String) { messageAdded(since: $since) { position message { id text unread } } }"
COUNT = "subscription { unreadCount { threads messages position } }"
POSITION = "{ viewer { position } }"


async def test_a_message_is_pushed_and_a_stranger_is_told_nothing(brand: Brand) -> None:
    thread = (await brand.influencer())["thread"]
    async with (
        brand.member.subscription(MESSAGES) as mine,
        brand.stranger.subscription(MESSAGES) as theirs,
        brand.member.subscription(COUNT) as count,
    ):
        assert (await count.data())["threads"] == 0
        received = await brand.receive(thread)
        event = await mine.data()
        assert event == {
            "position": received["position"],
            "message": {"id": received["id"], "text": "Hello!", "unread": True},
        }
        counted = await count.data()
        assert (counted["threads"], counted["messages"]) == (1, 1)
        assert counted["position"] == received["position"]
        # The stranger's first event is of their own workspace, so nothing came before it.
        other = await brand.stranger.mutate("createInfluencer", "thread { id }", name="Somebody else")
        await brand.stranger.mutate("sendMessage", "position", threadId=other["thread"]["id"], text="Mine")
        assert (await theirs.data())["message"]["text"] == "Mine"


async def test_since_replays_and_goes_live_without_a_hole(brand: Brand) -> None:
    thread = (await brand.influencer())["thread"]
    since = (await brand.member.run(POSITION))["viewer"]["position"]
    before = [await brand.receive(thread, f"before {n}") for n in range(3)]
    async with brand.member.subscription(MESSAGES, since=since) as live:
        sending = asyncio.gather(*[brand.receive(thread, f"after {n}") for n in range(20)])
        events = [await live.data() for _ in range(23)]
        await sending
    positions = [int(event["position"].partition(".")[2]) for event in events]
    assert positions == list(range(positions[0], positions[0] + 23))
    assert [event["message"]["id"] for event in events[:3]] == [message["id"] for message in before]
    assert len({event["message"]["id"] for event in events}) == 23
