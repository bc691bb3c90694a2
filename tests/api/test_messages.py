"""Threads and messages: the timeline and its pages, sending, receiving, and once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Brand
from tests.client import ApiFailed, Json

PAGE = """query($id: ID!, $first: Int, $after: String, $last: Int, $before: String, $around: ID, $campaign: ID) {
  thread(id: $id) { messages(first: $first, after: $after, last: $last, before: $before, around: $around,
                             campaignId: $campaign) {
    position pageInfo { hasNextPage hasPreviousPage startCursor endCursor } nodes { id text } } } }"""
SENT = """message { id text channel kind direction automatic delivery { state } author { __typename name }
    campaign { name } unread preview idempotencyKey } thread { id lastMessage { text } } position
    userErrors { code message field }"""


async def page(brand: Brand, thread: str, **arguments: Any) -> Json:
    found: Json = (await brand.admin.run(PAGE, id=thread, **arguments))["thread"]["messages"]
    return found


def texts(found: Json) -> list[str]:
    return [each["text"] for each in found["nodes"]]


async def test_a_timeline_in_both_directions_and_around_a_message(brand: Brand) -> None:
    thread = (await brand.influencer())["thread"]
    messages = [await brand.receive(thread, str(n)) if n % 2 else await brand.send(thread, str(n)) for n in range(9)]
    assert texts(await page(brand, thread)) == list("012345678")
    newest = await page(brand, thread, last=3)
    assert texts(newest) == list("678")
    assert newest["pageInfo"]["hasPreviousPage"] is True and newest["pageInfo"]["hasNextPage"] is False
    before = await page(brand, thread, last=4, before=newest["pageInfo"]["startCursor"])
    assert texts(before) == list("2345") and before["pageInfo"]["hasNextPage"] is True
    oldest = await page(brand, thread, first=2)
    assert texts(oldest) == list("01") and oldest["pageInfo"]["hasPreviousPage"] is False
    assert texts(await page(brand, thread, first=3, after=oldest["pageInfo"]["endCursor"])) == list("234")
    middle = await page(brand, thread, first=4, around=messages[4]["id"])
    assert texts(middle) == list("2345")
    assert middle["pageInfo"]["hasNextPage"] and middle["pageInfo"]["hasPreviousPage"]
    assert texts(await page(brand, thread, last=10, before=middle["pageInfo"]["startCursor"])) == list("01")
    assert texts(await page(brand, thread, first=10, after=middle["pageInfo"]["endCursor"])) == list("678")
    for number, shown in ((0, "0123"), (1, "0123"), (7, "5678"), (8, "5678")):  # no page is short that need not be
        found = await page(brand, thread, first=4, around=messages[number]["id"])
        assert texts(found) == list(shown)
        assert found["pageInfo"]["hasPreviousPage"] == ("0" not in shown)
        assert found["pageInfo"]["hasNextPage"] == ("8" not in shown)
    assert texts(await page(brand, thread, first=100, around=messages[8]["id"])) == list("012345678")


async def test_messages_of_one_campaign_and_the_unread_of_each(brand: Brand) -> None:
    ada = await brand.influencer("Ada")
    made = [await brand.admin.mutate("createCampaign", "campaign { id }", name=name) for name in ("Spring", "Summer")]
    spring, summer = (each["campaign"]["id"] for each in made)
    await brand.receive(ada["thread"], "spring 1", campaignId=spring)
    await brand.receive(ada["thread"], "direct")
    await brand.receive(ada["thread"], "summer", campaignId=summer)
    last = await brand.receive(ada["thread"], "spring 2", campaignId=spring)
    assert texts(await page(brand, ada["thread"], campaign=spring)) == ["spring 1", "spring 2"]
    buttons = (
        "query($id: ID!) { thread(id: $id) { unreadMessages participations { campaign { name } unreadMessages } } }"
    )
    thread = (await brand.admin.run(buttons, id=ada["thread"]))["thread"]
    assert thread["unreadMessages"] == 4
    unread = {each["campaign"]["name"]: each["unreadMessages"] for each in thread["participations"]}
    assert unread == {"Spring": 2, "Summer": 1}
    await brand.admin.mutate("markThreadRead", "position", threadId=ada["thread"], upToMessageId=last["id"])
    thread = (await brand.admin.run(buttons, id=ada["thread"]))["thread"]
    assert [each["unreadMessages"] for each in thread["participations"]] == [0, 0]


async def test_what_a_sent_message_is(brand: Brand) -> None:
    thread = (await brand.influencer())["thread"]
    payload = await brand.member.mutate("sendMessage", SENT, threadId=thread, text="Hi\n there", idempotencyKey="k")
    message = payload["message"]
    assert payload["userErrors"] == [] and payload["thread"]["lastMessage"]["text"] == "Hi\n there"
    assert (message["channel"], message["kind"], message["direction"]) == ("PLATFORM", "DIRECT", "OUTBOUND")
    assert message["delivery"] == {"state": "SENT"} and message["author"] == {"__typename": "Member", "name": "Member"}
    assert message["preview"] == "Hi there" and message["unread"] is False
    assert message["idempotencyKey"] == "k"
    seen = await brand.admin.run(
        "query($id: ID!) { node(id: $id) { ... on Message { idempotencyKey } } }", id=message["id"]
    )
    assert seen["node"]["idempotencyKey"] is None, "a key is its author's alone"


async def test_the_same_key_sends_once_and_with_another_input_is_a_conflict(brand: Brand) -> None:
    thread = (await brand.influencer())["thread"]
    key = {"threadId": thread, "text": "once", "idempotencyKey": "key"}
    first = await brand.member.mutate("sendMessage", SENT, **key)
    await brand.influencer("Somebody in between")
    again = await brand.member.mutate("sendMessage", SENT, **key)
    assert again["message"] == first["message"] and again["position"] == first["position"]
    other = await brand.admin.mutate("sendMessage", SENT, **key)
    assert other["message"]["id"] != first["message"]["id"], "keys are held per caller"
    with pytest.raises(ApiFailed) as failed:
        await brand.member.mutate("sendMessage", SENT, **{**key, "text": "another"})
    assert failed.value.codes == ["CONFLICT"]
    with pytest.raises(ApiFailed) as failed:
        await brand.member.mutate("createInfluencer", "position", name="x", idempotencyKey="key")
    assert failed.value.codes == ["CONFLICT"]
    assert texts(await page(brand, thread)) == ["once", "once"]


async def test_e_mail_needs_a_mailbox(brand: Brand) -> None:
    thread = (await brand.influencer())["thread"]
    payload = await brand.member.mutate("sendMessage", SENT, threadId=thread, text="x", channel="EMAIL", subject="s")
    assert payload["message"] is None and payload["position"] is None
    assert [error["code"] for error in payload["userErrors"]] == ["MAILBOX_REQUIRED"]
    assert payload["userErrors"][0]["field"] == ["channel"]


@pytest.mark.parametrize(
    ("text", "code"), [("", "BLANK"), (" \n ", "BLANK"), ("x" * 50_001, "TOO_LONG"), ("\0", "INVALID")]
)
async def test_a_text_that_is_refused_changes_nothing(brand: Brand, text: str, code: str) -> None:
    thread = (await brand.influencer())["thread"]
    payload = await brand.member.mutate("sendMessage", SENT, threadId=thread, text=text)
    assert [(error["code"], error["field"]) for error in payload["userErrors"]] == [(code, ["text"])]
    assert texts(await page(brand, thread)) == []


async def test_what_an_influencer_wrote_comes_in_once_by_any_reference(brand: Brand) -> None:
    ada = await brand.influencer("Ada", emails=["Ada@X.example"], handle="ada", externalId="7")
    references: list[Json] = [
        {"threadId": ada["thread"]},
        {"influencer": {"id": ada["id"]}},
        {"influencer": {"email": "ada@x.example"}},
        {"influencer": {"handle": "@ADA"}},
        {"influencer": {"handle": "platform:ada"}},
        {"influencer": {"externalId": "7"}},
    ]
    selection = "message { id kind direction unread author { id } sentAt } position userErrors { code }"
    seen = set()
    for reference in references:
        payload = await brand.partner.mutate("receiveMessage", selection, text="Hi", externalId="x-1", **reference)
        assert payload["message"]["author"]["id"] == ada["id"]
        seen.add((payload["message"]["id"], payload["position"]))
    assert len(seen) == 1, "the same external id is the same message"
    sent_at = "2025-03-01T12:00:00.123+01:00"
    payload = await brand.partner.mutate(
        "receiveMessage", selection, text="!", externalId="2", sentAt=sent_at, **references[0]
    )
    assert payload["message"]["sentAt"] == "2025-03-01T11:00:00.123Z"
    with pytest.raises(ApiFailed) as failed:
        await brand.partner.mutate("receiveMessage", selection, text="changed", externalId="x-1", **references[0])
    assert failed.value.codes == ["CONFLICT"]
    for nobody in ({"email": "no@x.example"}, {"handle": "nobody"}, {"externalId": "8"}):
        with pytest.raises(ApiFailed) as failed:
            await brand.partner.mutate("receiveMessage", selection, text="x", externalId="9", influencer=nobody)
        assert failed.value.codes == ["NOT_FOUND"]
        assert failed.value.errors[0]["message"] == "there is no influencer with this reference"


async def test_a_message_within_a_campaign_puts_its_influencer_into_it(brand: Brand) -> None:
    ada = await brand.influencer("Ada")
    made = await brand.admin.mutate("createCampaign", "campaign { id }", name="Spring")
    payload = await brand.member.mutate(
        "sendMessage", SENT, threadId=ada["thread"], text="x", campaignId=made["campaign"]["id"]
    )
    assert payload["message"]["kind"] == "CAMPAIGN" and payload["message"]["campaign"] == {"name": "Spring"}
    query = (
        "query($id: ID!) { influencer(by: {id: $id}) { participations { status history { status actor { name } } } } }"
    )
    found = (await brand.admin.run(query, id=ada["id"]))["influencer"]["participations"]
    assert found == [{"status": "ADDED", "history": [{"status": "ADDED", "actor": {"name": "Member"}}]}]
