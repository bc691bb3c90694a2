"""Drafts: one for each member and thread, which nobody else ever sees."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schema.types.node import new_id
from storage import attachments
from storage.files import store_bytes, whole
from tests.api.conftest import Brand
from tests.api.documents import operation
from tests.client import Api, ApiFailed, Json
from tests.mailboxes import connected

DRAFT = """id channel subject text html cc attachments { id name } campaign { id } mailbox { id } thread { id }"""
SAVED = f"draft {{ {DRAFT} }} position userErrors {{ code field }}"
OF_THREAD = f"query($id: ID!) {{ thread(id: $id) {{ draft {{ {DRAFT} }} }} }}"
BY_ID = "query($id: ID!) { node(id: $id) { id } }"
BY_IDS = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }"
SECRET = "between us"

pytestmark = pytest.mark.usefixtures("quiet")


async def save(api: Api, thread: str, text: str = SECRET, **more: Any) -> Json:
    payload = await api.mutate("saveDraft", SAVED, threadId=thread, text=text, **more)
    assert payload["userErrors"] == []
    draft: Json = payload["draft"]
    return {**draft, "position": payload["position"]}


async def draft_of(api: Api, thread: str) -> Json | None:
    found: Json | None = (await api.run(OF_THREAD, id=thread))["thread"]["draft"]
    return found


async def test_a_draft_is_what_was_saved_last(brand: Brand) -> None:
    thread = (await brand.influencer("Ada"))["thread"]
    me = (await brand.member.run("{ viewer { id } }"))["viewer"]["id"]
    mailbox = await connected(brand.store, brand.workspace, me)
    campaign = (await brand.admin.mutate("createCampaign", "campaign { id }", name="Spring"))["campaign"]["id"]
    blob = await store_bytes(brand.store, brand.workspace, whole(b"text"), most=100)
    file = await attachments.add(brand.store, brand.workspace, me, "a.txt", blob, b"text")
    assert await draft_of(brand.member, thread) is None
    html = '<b onclick="x()">Hi</b><img src="https://a.example/b.png">'
    first = await save(
        brand.member, thread, subject="S", html=html, cc=["e@x.example"], attachmentIds=[file.id], campaignId=campaign,
        mailboxId=mailbox,
    )  # fmt: skip
    assert first["html"] == '<b>Hi</b><img src="https://a.example/b.png">', "safe, and as its author wrote it"
    assert (first["channel"], first["cc"]) == ("EMAIL", ["e@x.example"])
    assert first["attachments"] == [{"id": file.id, "name": "a.txt"}]
    assert (first["campaign"], first["mailbox"]) == ({"id": campaign}, {"id": mailbox})
    again = await save(brand.member, thread, html=first["html"])
    assert again["html"] == first["html"], "it can be saved as it was read"
    empty = await save(brand.member, thread, "", channel="PLATFORM", html="", subject="", cc=[])
    assert {**empty, "position": ""} == {
        "id": first["id"], "channel": "PLATFORM", "subject": None, "text": "", "html": None, "cc": [],
        "attachments": [], "campaign": None, "mailbox": None, "thread": {"id": thread}, "position": "",
    }  # fmt: skip
    del empty["position"]
    assert await draft_of(brand.member, thread) == empty
    other = (await brand.influencer("Bob"))["thread"]
    assert (await save(brand.member, other))["id"] != first["id"] != (await save(brand.admin, thread))["id"]
    assert await draft_of(brand.member, thread) == empty


async def test_a_draft_outlives_its_mailbox(brand: Brand) -> None:
    thread = (await brand.influencer("Ada"))["thread"]
    me = (await brand.member.run("{ viewer { id } }"))["viewer"]["id"]
    mailbox = await connected(brand.store, brand.workspace, me)
    await brand.member.mutate("disconnectMailbox", "position", mailboxId=mailbox)
    assert (await save(brand.member, thread, mailboxId=mailbox))["mailbox"] == {"id": mailbox}


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"text": "a" * 50_001}, "TOO_LONG", "text"),
        ({"text": "a\0"}, "INVALID", "text"),
        ({"subject": "a\nb"}, "INVALID", "subject"),
        ({"subject": "a" * 501}, "TOO_LONG", "subject"),
        ({"html": "a" * 200_001}, "TOO_LONG", "html"),
        ({"cc": ["eve"]}, "INVALID", "cc"),
        ({"cc": [f"e{number}@x.example" for number in range(21)]}, "TOO_LONG", "cc"),
    ],
)
async def test_what_is_refused_of_a_draft(brand: Brand, given: Json, code: str, field: str) -> None:
    thread = (await brand.influencer("Ada"))["thread"]
    payload = await brand.member.mutate("saveDraft", SAVED, **{"threadId": thread, "text": "", **given})
    assert payload["userErrors"] == [{"code": code, "field": [field]}] and payload["draft"] is None
    assert await draft_of(brand.member, thread) is None


async def test_it_is_gone_once_it_is_sent_or_deleted(brand: Brand) -> None:
    thread = (await brand.influencer("Ada"))["thread"]
    for end in ("deleteDraft", "sendMessage"):
        draft = (await save(brand.member, thread))["id"]
        if end == "deleteDraft":
            payload = await brand.member.mutate(end, "thread { draft { id } } position", draftId=draft)
        else:
            given = {"threadId": thread, "text": SECRET, "draftId": draft}
            payload = await brand.member.mutate(end, "thread { draft { id } } position", **given)
        assert payload["thread"] == {"draft": None} and await draft_of(brand.member, thread) is None
        for query in (BY_ID, "mutation($id: ID!) { deleteDraft(input: {draftId: $id}) { position } }"):
            with pytest.raises(ApiFailed) as failed:
                await brand.member.run(query, id=draft)
            assert failed.value.codes == ["NOT_FOUND"]
        stored = await brand.store.database.get("drafts", draft)
        assert stored is not None and (stored["text"], stored["deleted"]) == ("", 1)
    assert (await save(brand.member, thread, "anew"))["text"] == "anew"


async def test_a_draft_is_sent_in_its_own_thread_or_not_at_all(brand: Brand) -> None:
    thread, other = [(await brand.influencer(name, emails=[f"{name}@x.example"]))["thread"] for name in ("ada", "bob")]
    me = (await brand.member.run("{ viewer { id } }"))["viewer"]["id"]
    await connected(brand.store, brand.workspace, me)
    draft = (await save(brand.member, thread))["id"]
    for channel in ({"channel": "EMAIL", "subject": "S"}, {}):
        with pytest.raises(ApiFailed) as failed:
            await brand.member.mutate("sendMessage", "position", threadId=other, text="x", draftId=draft, **channel)
        assert failed.value.codes == ["NOT_FOUND"]
    assert await draft_of(brand.member, thread)
    messages = "query($id: ID!) { thread(id: $id) { messages { nodes { id } } } }"
    assert (await brand.member.run(messages, id=other))["thread"]["messages"]["nodes"] == []


async def test_nobody_else_sees_it(brand: Brand) -> None:
    """In no query, by no id, in no list of changes; and it is as if it did not exist."""
    thread, since = (await brand.influencer("Ada"))["thread"], await brand.position()
    theirs = (await brand.stranger.run("{ viewer { position } }"))["viewer"]["position"]
    draft = (await save(brand.member, thread, subject=SECRET, html=f"<b>{SECRET}</b>"))["id"]
    absent = new_id("draft")
    for api in (brand.admin, brand.viewer, brand.partner, brand.stranger):
        told = []
        for id in (draft, absent):
            answers = [await api.post(BY_ID, id=id), await api.post(BY_IDS, ids=[id])]
            for name, input in (("deleteDraft", {}), ("sendMessage", {"threadId": thread, "text": "x"})):
                if name == "sendMessage" and api is not brand.admin:
                    continue
                answers.append(await api.post(operation(name).document, input={**input, "draftId": id}))
            told.append(json.dumps(answers).replace(id, "ID"))
        assert told[0] == told[1]
        answers = [await api.run(f"{{ inbox {{ nodes {{ id draft {{ {DRAFT} }} lastMessage {{ text }} }} }} }}")]
        start = theirs if api is brand.stranger else since
        answers.append(await api.run(operation("changes").document, since=start, first=100))
        if api is not brand.stranger:
            answers.append(await api.run(OF_THREAD, id=thread))
        text = json.dumps(answers)
        assert SECRET not in text and draft not in text and "DRAFT" not in text
    assert await draft_of(brand.member, thread), "and nobody has deleted it"
    query = "query($since: String!) { changes(since: $since) { changes { kind nodes { __typename id } } } }"
    own = await brand.member.run(query, since=since)
    assert own["changes"]["changes"] == [
        {"kind": "DRAFT_SAVED", "nodes": [{"__typename": "Draft", "id": draft}, {"__typename": "Thread", "id": thread}]}
    ]


@pytest.mark.parametrize("shared", [True, False], ids=["asked for by all", "with one's own draft"])
async def test_only_its_author_is_told_of_it(brand: Brand, shared: bool) -> None:
    thread, since = (await brand.influencer("Ada"))["thread"], await brand.position()
    own = "" if shared else "thread { draft { text } }"
    queries = {
        "threadChanged": "subscription($since: String, $id: ID!) { threadChanged(since: $since, threadId: $id) "
        f"{{ position kind {own} }} }}",
        "inboxChanged": f"subscription($since: String) {{ inboxChanged(since: $since) {{ position kind {own} }} }}",
    }
    for name, query in queries.items():
        given = {"id": thread} if name == "threadChanged" else {}
        async with (
            brand.member.subscription(query, since=since, **given) as author,
            brand.admin.subscription(query, since=since, **given) as admin,
            brand.partner.subscription(query, since=since, **given) as partner,
        ):
            saved = await save(brand.member, thread)
            deleted = await brand.member.mutate("deleteDraft", "position", draftId=saved["id"])
            sent = await brand.send(thread, "Hi")
            kind = "THREAD_UPDATED" if name == "threadChanged" else "CHANGED"
            for position in (saved["position"], deleted["position"]):
                event = await author.data()
                assert (event["position"], event["kind"]) == (position, kind)
            for told in (author, admin, partner):
                assert (await told.data())["position"] == sent["position"]
        since = sent["position"]
