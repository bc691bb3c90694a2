"""Messages by e-mail: what is refused and why, from which mailbox and to whom they go, and how they are shown."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin

import pytest

from schema.types.context import Caller, Role
from schema.types.mailbox import MailboxState
from schema.types.message import DeliveryState
from storage import attachments, outbox
from storage.deliveries import States
from storage.documents import Document
from storage.files import Blob, store_bytes, whole
from storage.mail_in import take_in
from storage.mailboxes import change_mailbox, disconnect_mailbox, set_state
from storage.workspaces import operator_of
from tests.api.conftest import Brand, token_for
from tests.client import Api, ApiFailed, Json
from tests.mailboxes import connected, found_mail
from tests.storage.stores import LATER

SENT = """message { id text subject html channel kind direction senderAddress hasRemoteImages campaignMatch
    delivery { state } recipients { address kind delivery { state detail } } mailbox { id address }
    attachments { name size isInline } author { name } campaign { name } } thread { id draft { id } } position
    userErrors { code field }"""
ADA, NO_MAILBOX = "ada@x.example", "mailbox_01M846HP2YAZA3T2GE58RFTKQH"

pytestmark = pytest.mark.usefixtures("quiet")


async def id_of(api: Api) -> str:
    id: str = (await api.run("{ viewer { id } }"))["viewer"]["id"]
    return id


async def mailbox_of(brand: Brand, api: Api, address: str = "team@brand.example", **more: Any) -> str:
    return await connected(brand.store, brand.workspace, await id_of(api), address, **more)


async def ada(brand: Brand, *emails: str) -> str:
    return str((await brand.influencer("Ada", emails=list(emails or (ADA,))))["thread"])


async def mail(api: Api, thread: str, **more: Any) -> Json:
    """What is answered to sending an e-mail."""
    given = {"text": "Hi", "subject": "Hello", "channel": "EMAIL", "threadId": thread, **more}
    return await api.mutate("sendMessage", SENT, **{name: value for name, value in given.items() if value is not None})


async def sent(api: Api, thread: str, **more: Any) -> Json:
    payload = await mail(api, thread, **more)
    assert payload["userErrors"] == [], payload
    message: Json = payload["message"]
    return message


async def refused(brand: Brand, api: Api, thread: str, **more: Any) -> tuple[str, list[str]]:
    """Why an e-mail is not sent; nothing is changed by it."""
    before = await brand.position()
    payload = await mail(api, thread, **more)
    assert payload["message"] is None and payload["position"] is None and await brand.position() == before
    [error] = payload["userErrors"]
    return error["code"], error["field"]


async def stored(brand: Brand, message: Json) -> Document:
    found = await brand.store.database.get("messages", message["id"])
    assert found is not None
    return found


async def comes_in(brand: Brand, mailbox: str, text: str, sender: str = ADA, **more: Any) -> str:
    found = found_mail(mailbox, sender, ["team@brand.example"], text, **more)
    [id] = (await take_in(brand.store, operator_of(brand.workspace), found)).result.message_ids
    return id


async def attachment(brand: Brand, size: int = 4, **more: Any) -> str:
    blob = await store_bytes(brand.store, brand.workspace, whole(b"text"), most=100)
    described = Blob(blob.id, size, blob.sha256)
    made = await attachments.add(brand.store, brand.workspace, "anybody", "a.txt", described, b"text", **more)
    return str(made.id)


async def test_an_e_mail_needs_a_mailbox_and_an_address(brand: Brand) -> None:
    thread, nowhere = await ada(brand), (await brand.influencer("Bob"))["thread"]
    assert await refused(brand, brand.member, thread) == ("MAILBOX_REQUIRED", ["channel"])
    await mailbox_of(brand, brand.member)
    assert await refused(brand, brand.member, nowhere) == ("ADDRESS_REQUIRED", ["channel"])


async def test_what_is_refused_of_an_e_mail(brand: Brand) -> None:
    await mailbox_of(brand, brand.member)
    thread = await ada(brand)
    half = await attachment(brand, size=10 * 1024 * 1024)
    other_half = await attachment(brand, size=9 * 1024 * 1024)
    many = [f"e{number}@x.example" for number in range(21)]
    expected: list[tuple[Json, str, str]] = [
        ({"subject": None}, "BLANK", "subject"),
        ({"subject": " "}, "BLANK", "subject"),
        ({"subject": "a\nBcc: e@x.example"}, "INVALID", "subject"),
        ({"subject": "a" * 501}, "TOO_LONG", "subject"),
        ({"text": ""}, "BLANK", "text"),
        ({"html": " "}, "BLANK", "html"),
        ({"html": "a" * 200_001}, "TOO_LONG", "html"),
        ({"cc": many}, "TOO_LONG", "cc"),
        ({"cc": ["e@x.example\r\nBcc: f@x.example"]}, "INVALID", "cc"),
        ({"cc": ["Eve <e@x.example>"]}, "INVALID", "cc"),
        ({"cc": ["eve"]}, "INVALID", "cc"),
        ({"cc": [f"{'e' * 65}@x.example"]}, "INVALID", "cc"),
        ({"attachmentIds": [half, other_half]}, "TOO_LONG", "attachmentIds"),
    ]
    for given, code, field in expected:
        assert await refused(brand, brand.member, thread, **given) == (code, [field]), given
    for given in ({"attachmentIds": [half]}, {"cc": many[:20]}):
        await sent(brand.member, thread, **given)


@pytest.mark.parametrize(
    "given",
    [
        {"subject": "Hello"},
        {"html": "<b>Hi</b>"},
        {"cc": ["e@x.example"]},
        {"mailboxId": "mailbox_01M846HP2YAZA3T2GE58RFTKQH"},
    ],
    ids=str,
)
async def test_what_only_an_e_mail_has(brand: Brand, given: Json) -> None:
    thread, [name] = await ada(brand), given
    plain = {"channel": "PLATFORM", "subject": None}
    assert await refused(brand, brand.member, thread, **{**plain, **given}) == ("INVALID", [name])


async def test_nothing_of_another_workspace_is_sent_or_sent_from(brand: Brand) -> None:
    thread = await ada(brand)
    await mailbox_of(brand, brand.member)
    viewer = (await brand.stranger.run("{ viewer { id workspace { id } } }"))["viewer"]
    workspace = viewer["workspace"]["id"]
    foreign = await connected(brand.store, workspace, viewer["id"], is_shared=True)
    blob = await store_bytes(brand.store, workspace, whole(b"text"), most=100)
    file = await attachments.add(brand.store, workspace, viewer["id"], "a.txt", blob, b"text")
    made = await brand.stranger.mutate("createInfluencer", "thread { id }", name="Zoe")
    draft = await brand.stranger.mutate("saveDraft", "draft { id }", threadId=made["thread"]["id"], text="x")
    named = {"mailboxId": foreign, "attachmentIds": [file.id], "draftId": draft["draft"]["id"]}
    for name, value in named.items():
        before = await brand.position()
        for channel in ("EMAIL", "PLATFORM"):
            if (name, channel) == ("mailboxId", "PLATFORM"):
                continue
            subject = "Hello" if channel == "EMAIL" else None
            with pytest.raises(ApiFailed) as failed:
                await mail(brand.member, thread, **{name: value}, channel=channel, subject=subject)
            assert failed.value.codes == ["NOT_FOUND"], (name, channel)
        assert await brand.position() == before
    assert foreign not in str(await brand.member.run("{ mailboxes { id } }"))


async def test_from_which_mailbox_it_goes(brand: Brand) -> None:
    """The one that is named; else the member's default, as long as they may use it; else the workspace's fallback."""
    thread, store = await ada(brand), brand.store
    admin, member = await id_of(brand.admin), await id_of(brand.member)
    fallback = await mailbox_of(brand, brand.admin, "all@brand.example", is_shared=True)
    own = await mailbox_of(brand, brand.member, "ben@brand.example")
    lent = await mailbox_of(brand, brand.admin, "lent@brand.example")
    closed = await mailbox_of(brand, brand.admin, "closed@brand.example")
    await change_mailbox(store, brand_caller(brand, admin), lent, {"sender_ids": [member]})

    async def goes_from(**more: Any) -> str:
        message = await sent(brand.member, thread, **more)
        assert message["senderAddress"] == message["mailbox"]["address"]
        return str(message["mailbox"]["id"])

    assert await goes_from() == fallback
    for named in (own, lent, fallback):
        assert await goes_from(mailboxId=named) == named
    assert await refused(brand, brand.member, thread, mailboxId=closed) == ("NOT_ALLOWED", ["mailboxId"])
    await choose(brand.member, lent)
    assert await goes_from() == lent and await goes_from(mailboxId=own) == own
    await change_mailbox(store, brand_caller(brand, admin), lent, {"sender_ids": []})
    assert await goes_from() == fallback, "the permission is gone"
    await choose(brand.member, own)
    operator = operator_of(brand.workspace)
    await set_state(store, operator, own, MailboxState.DEGRADED, "slow")
    assert await goes_from() == own, "which is tried again"
    await set_state(store, operator, own, MailboxState.NEEDS_RECONNECT, "no longer good")
    assert await refused(brand, brand.member, thread) == ("NEEDS_RECONNECT", ["mailboxId"]), "not silently another one"
    await disconnect_mailbox(store, brand_caller(brand, member), own)
    assert await goes_from() == fallback
    assert await refused(brand, brand.member, thread, mailboxId=own) == ("NEEDS_RECONNECT", ["mailboxId"])
    await change_mailbox(store, brand_caller(brand, admin), fallback, {"is_shared": False})
    assert await refused(brand, brand.member, thread) == ("NOT_ALLOWED", ["mailboxId"])


async def test_who_may_not_send_from_the_fallback_sends_from_their_own(brand: Brand) -> None:
    """From the first that they have connected, though others are shared, or lent to them."""
    thread, store = await ada(brand), brand.store
    admin, member = await id_of(brand.admin), await id_of(brand.member)
    fallback = await mailbox_of(brand, brand.admin, "ada@brand.example")
    lent = await mailbox_of(brand, brand.admin, "lent@brand.example", is_shared=True)
    payload = await brand.member.mutate("sendMessage", "userErrors { code message }", threadId=thread, text="Hi",
                                        subject="Hello", channel="EMAIL")  # fmt: skip
    [error] = payload["userErrors"]
    assert error["code"] == "NOT_ALLOWED" and "connect one of your own" in error["message"]
    assert await refused(brand, brand.partner, thread) == ("NOT_ALLOWED", ["mailboxId"])
    assert (await sent(brand.member, thread, mailboxId=lent))["mailbox"]["id"] == lent
    first, second = [await mailbox_of(brand, brand.member, f"{name}@brand.example") for name in ("ben", "b")]
    await change_mailbox(store, brand_caller(brand, member), second, {"is_shared": True})
    assert (await sent(brand.member, thread))["mailbox"]["id"] == first
    await set_state(store, operator_of(brand.workspace), first, MailboxState.NEEDS_RECONNECT, "no longer good")
    assert await refused(brand, brand.member, thread) == ("NEEDS_RECONNECT", ["mailboxId"]), "not silently another one"
    await change_mailbox(store, brand_caller(brand, admin), fallback, {"sender_ids": [member]})
    assert (await sent(brand.member, thread))["mailbox"]["id"] == fallback


def brand_caller(brand: Brand, member: str) -> Caller:
    return Caller(member, "", brand.workspace, token="", role=Role.MEMBER)


async def choose(api: Api, mailbox: str | None) -> None:
    payload = await api.mutate("setDefaultMailbox", "userErrors { code }", mailboxId=mailbox)
    assert payload["userErrors"] == []


async def test_a_partner_sends_from_what_is_shared_only(brand: Brand) -> None:
    thread = await ada(brand)
    shared = await mailbox_of(brand, brand.admin, "all@brand.example", is_shared=True)
    own = await mailbox_of(brand, brand.admin, "ada@brand.example")
    partner = await id_of(brand.partner)
    sender = brand.server.api(await token_for(brand.store, brand.workspace, partner, ["messages:send"]))
    payload = await sender.mutate("sendMessage", "message { senderAddress } userErrors { code field }", threadId=thread,
                                  text="Hi", subject="Hello", channel="EMAIL", idempotencyKey="k")  # fmt: skip
    assert payload == {"message": {"senderAddress": "all@brand.example"}, "userErrors": []}
    assert await refused(brand, brand.partner, thread, mailboxId=own) == ("NOT_ALLOWED", ["mailboxId"])
    may = "{ mailboxes { id maySend isDefault } }"
    reader = brand.server.api(await token_for(brand.store, brand.workspace, partner, ["inbox:read"]))
    for api, expected in ((brand.partner, {shared: True, own: False}), (reader, {shared: False, own: False}),
                          (brand.viewer, {shared: False, own: False}), (brand.member, {shared: True, own: False}),
                          (brand.admin, {shared: True, own: True})):  # fmt: skip
        found = (await api.run(may))["mailboxes"]
        assert {each["id"]: each["maySend"] for each in found} == expected
        assert not any(each["isDefault"] for each in found)


async def test_what_a_sent_e_mail_is(brand: Brand) -> None:
    thread = await ada(brand)
    await mailbox_of(brand, brand.member)
    file = await attachment(brand)
    campaign = (await brand.admin.mutate("createCampaign", "campaign { id }", name="Spring"))["campaign"]["id"]
    message = await sent(
        brand.member, thread, cc=["eve@x.example", "EVE@x.example", "ADA@x.example"], campaignId=campaign,
        attachmentIds=[file, file],
    )  # fmt: skip
    queued = {"delivery": {"state": "QUEUED", "detail": None}}
    assert message["recipients"] == [
        {"address": ADA, "kind": "TO", **queued}, {"address": "EVE@x.example", "kind": "CC", **queued},
    ]  # fmt: skip
    assert message["delivery"] == {"state": "QUEUED"} and message["attachments"] == [
        {"name": "a.txt", "size": 4, "isInline": False}
    ]
    assert (message["channel"], message["kind"], message["direction"]) == ("EMAIL", "CAMPAIGN", "OUTBOUND")
    assert (message["subject"], message["author"]["name"], message["html"]) == ("Hello", "Member", None)
    assert message["campaign"] == {"name": "Spring"} and message["campaignMatch"] is None
    item = await brand.store.database.get("outbox", message["id"])
    assert item is not None and item["stage"] == outbox.WAITING


async def test_the_same_key_sends_one_e_mail(brand: Brand) -> None:
    thread = await ada(brand)
    await mailbox_of(brand, brand.member)
    draft = (await brand.member.mutate("saveDraft", "draft { id }", threadId=thread, text="Hi"))["draft"]["id"]
    given = {"idempotencyKey": "k", "html": "<b>Hi</b>", "draftId": draft}
    first, again = [await mail(brand.member, thread, **given) for _ in range(2)]
    assert first == again and first["thread"]["draft"] is None
    for other in ({"subject": "Another"}, {"cc": ["eve@x.example"]}, {"html": "<i>Hi</i>"}):
        with pytest.raises(ApiFailed) as failed:
            await mail(brand.member, thread, **{**given, **other})
        assert failed.value.codes == ["CONFLICT"]
    assert len(await brand.store.database.find("outbox", {"workspace": brand.workspace})) == 1


async def test_an_answer_names_what_it_answers(brand: Brand) -> None:
    thread = await ada(brand, "first@x.example", ADA)
    mailbox = await mailbox_of(brand, brand.member)
    first = await sent(brand.member, thread, subject="Summer")
    assert first["recipients"][0]["address"] == "first@x.example" and (await stored(brand, first))["references"] == []
    mail_id = (await stored(brand, first))["mail_id"]
    await comes_in(brand, mailbox, "Sure", sender="ADA@x.example", subject="Re: Summer", references=[mail_id])
    answer = await sent(brand.member, thread, subject=None)
    theirs = found_mail(mailbox, ADA, [], "Sure").mail_id
    assert answer["subject"] == "Re: Summer" and answer["recipients"][0]["address"] == ADA, "where they wrote from last"
    assert (await stored(brand, answer))["references"] == [mail_id, theirs]
    await comes_in(brand, mailbox, "Away", subject="Away: Summer", is_automatic=True)
    another = await sent(brand.member, thread, subject=None)
    assert another["subject"] == "Re: Summer", "what a machine wrote is not answered"
    assert (await stored(brand, another))["references"] == [mail_id, theirs, (await stored(brand, answer))["mail_id"]]
    named = await sent(brand.member, thread, subject="Winter")
    assert named["subject"] == "Winter"
    assert (await sent(brand.member, thread, subject=None))["subject"] == "Re: Winter"
    influencer = f"influencer_{thread.partition('_')[2]}"
    await brand.admin.mutate("updateInfluencer", "position", influencerId=influencer, emails=["new@x.example"])
    assert (await sent(brand.member, thread, subject=None))["recipients"][0]["address"] == "new@x.example"


async def test_the_references_of_a_long_conversation_are_its_first_and_its_last(brand: Brand) -> None:
    thread = await ada(brand)
    mailbox = await mailbox_of(brand, brand.member)
    chain = [f"<{number}@x>" for number in range(90)]
    await comes_in(brand, mailbox, "Long", references=list(reversed(chain)))
    references = (await stored(brand, await sent(brand.member, thread)))["references"]
    last = found_mail(mailbox, ADA, [], "Long").mail_id
    assert references == [chain[0], *chain[-(outbox.MOST_REFERENCES - 2) :], last]


async def test_html_is_made_safe(brand: Brand) -> None:
    thread = await ada(brand)
    await mailbox_of(brand, brand.member)
    html = '<p onclick="x()">Hi <b>you</b><script>x()</script><img src="https://a.example/b.png"></p>'
    message = await sent(brand.member, thread, html=html)
    query = "query($id: ID!) { node(id: $id) { ... on Message { html shown: html(remoteImages: true) } } }"
    found = (await brand.viewer.run(query, id=message["id"]))["node"]
    assert found["html"] == message["html"] == '<p>Hi <b>you</b><img data-remote-src="https://a.example/b.png"></p>'
    assert found["shown"] == '<p>Hi <b>you</b><img src="https://a.example/b.png"></p>'
    assert message["hasRemoteImages"] is True


FONTS = [f"<font size={number}>" for number in range(500)]
BOMBS = {
    "left open": "<p>" + "".join(FONTS) + "</p><p>x" * 3000,
    "closed in a comment": "".join(f"{each}<!--</font>-->" for each in FONTS) + "<p>x" * 3000,
    "closed in an attribute": "".join(f'{each[:-1]} a=">" b="</font>">' for each in FONTS) + "<p>x" * 3000,
    "closed by nobody": "".join(each + "<div>" * 9 + "</font>" + "</div>" * 9 for each in FONTS[:300]) + "<p>x" * 3000,
    "closed in a script": "".join(f"{each}<title></font></title>" for each in FONTS) + "<p>x" * 3000,
}


@pytest.mark.parametrize("name", BOMBS)
async def test_html_that_would_become_millions_of_elements_stays_small(brand: Brand, name: str) -> None:
    thread = await ada(brand)
    await mailbox_of(brand, brand.member)
    message = await sent(brand.member, thread, html=BOMBS[name])
    assert len(message["html"]) < 3 * len(BOMBS[name])


async def test_html_of_which_much_is_made_is_refused(brand: Brand) -> None:
    thread = await ada(brand)
    await mailbox_of(brand, brand.member)
    html = "<p>" + "".join(FONTS[:3]) + "<p>x" * 30_000
    assert await refused(brand, brand.member, thread, html=html) == ("TOO_LONG", ["html"])


async def test_images_in_a_mail_are_fetched_from_here(brand: Brand) -> None:
    thread = await ada(brand)
    mailbox = await mailbox_of(brand, brand.member)
    blob = await store_bytes(brand.store, brand.workspace, whole(b"text"), most=100)
    file = await attachments.add(
        brand.store, brand.workspace, "x", "ä & b.txt", blob, b"text", content_id="a&b@x", is_inline=True
    )
    html = '<img src="cid:a&amp;b@x"><img src="cid:other"><img data-remote-src="https://ads.example/x.png">'
    await comes_in(brand, mailbox, "Look", safe_html=html, has_remote_images=True, attachments=[file])
    query = """query($id: ID!) { thread(id: $id) { messages { nodes {
        html shown: html(remoteImages: true) hasRemoteImages attachments { url isInline contentId } } } } }"""
    [message] = (await brand.viewer.run(query, id=thread))["thread"]["messages"]["nodes"]
    [image] = message["attachments"]
    assert (image["isInline"], image["contentId"], message["hasRemoteImages"]) == (True, "a&b@x", True)
    address = image["url"].replace("&", "&amp;")
    assert message["html"] == html.replace("cid:a&amp;b@x", address)
    assert message["shown"] == message["html"].replace("data-remote-src", "src")
    response = await brand.server.http.get(urljoin(brand.server.url, image["url"]))
    assert (response.status_code, response.content) == (200, b"text")


async def test_how_far_it_has_come_is_told_as_it_happens(brand: Brand) -> None:
    thread, store, operator = await ada(brand), brand.store, operator_of(brand.workspace)
    await mailbox_of(brand, brand.member)
    id = (await sent(brand.member, thread, cc=["eve@x.example"]))["id"]
    changed = """subscription($id: ID!, $since: String) { threadChanged(threadId: $id, since: $since) {
        position kind messageId message { id delivery { state } recipients { delivery { state detail } } } } }"""
    since = await brand.position()
    async with brand.viewer.subscription(changed, id=thread, since=since) as events:
        assert await outbox.claim(store, id, "us", now=LATER, until=LATER)
        begun: States = dict.fromkeys([ADA, "eve@x.example"], (DeliveryState.SENDING, None))
        assert await outbox.begin_sending(store, operator, id, "us", begun)
        event = await events.data()
        assert (event["kind"], event["messageId"]) == ("MESSAGE_UPDATED", id)
        assert [each["delivery"]["state"] for each in event["message"]["recipients"]] == ["SENDING"] * 2
        states: States = {
            ADA: (DeliveryState.UNKNOWN, "the connection broke"), "eve@x.example": (DeliveryState.FAILED, "550 nobody"),
        }  # fmt: skip
        await outbox.settle(store, operator, id, states, outbox.DONE, due=0, attempts=1, owner="us")
        event = await events.data()
        assert event["message"] == {
            "id": id, "delivery": {"state": "UNKNOWN"},
            "recipients": [{"delivery": {"state": "UNKNOWN", "detail": "the connection broke"}},
                           {"delivery": {"state": "FAILED", "detail": "550 nobody"}}],
        }  # fmt: skip
        given = {"messageId": id, "wasSent": True}
        resolved = await brand.member.mutate("resolveDelivery", "position message { delivery { state } }", **given)
        assert resolved["message"] == {"delivery": {"state": "SENT"}}
        event = await events.data()
        assert (event["kind"], event["position"]) == ("MESSAGE_UPDATED", resolved["position"])
        sent_again = await brand.member.mutate("resolveDelivery", "position", messageId=id, wasSent=False)
        event = await events.data()
        assert event["position"] == sent_again["position"]
        states_told = [each["delivery"]["state"] for each in event["message"]["recipients"]]
        assert states_told == ["SENT", "QUEUED"], "only who did not get it gets it again"
    refusal = await brand.member.mutate("resolveDelivery", "userErrors { code field }", messageId=id, wasSent=True)
    assert refusal["userErrors"] == [{"code": "INVALID", "field": ["messageId"]}]
