"""For each mutation and each kind of entry: what was known before, brought up to date by the events that the change
caused, equals what is read anew. For who made the change, and for somebody else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from schema.types.asset import AssetDeliveryState
from schema.types.campaign import AssetKind
from schema.types.change import ChangeKind
from schema.types.mailbox import MailboxCheck, MailboxState, QuarantineState
from schema.types.message import DeliveryState
from schema.types.scalars import now
from storage import assets, attachments, outbox, quarantine
from storage.check import check
from storage.deliveries import States
from storage.files import store_bytes, whole
from storage.mail_in import ReportedState, take_in
from storage.mailboxes import set_check, set_state
from storage.marks import mark_id
from storage.workspaces import add_partner, operator_of
from tests.api.conftest import Brand
from tests.api.documents import object_type
from tests.api.snapshot import (
    COUNT_EVENTS,
    INBOX_EVENTS,
    Snapshot,
    apply_changes,
    apply_count,
    apply_inbox,
    read_changes,
    read_messages,
    read_nodes,
    take,
    undated,
)
from tests.client import Api, Json
from tests.mailboxes import connected, found_mail
from tests.storage.stores import LATER

Step = Callable[[], Awaitable[Any]]

# By test, the kinds of changes that are followed in it, and the mutations that make them.
COVERED = {
    "messages": {
        "MESSAGE_ADDED", "THREAD_READ", "THREAD_MARKED_UNREAD", "NOTIFICATIONS_READ", "receiveMessage", "sendMessage",
        "markThreadRead", "markThreadsRead", "markMessageUnread", "markNotificationsRead",
    },
    "influencers": {
        "INFLUENCER_ADDED", "INFLUENCER_CHANGED", "INFLUENCER_ARCHIVED", "INFLUENCER_RESTORED", "NOTE_ADDED",
        "NOTE_DELETED", "TAG_ADDED", "TAG_CHANGED", "TAG_DELETED", "VARIABLE_ADDED", "VARIABLE_CHANGED",
        "VARIABLE_DELETED", "createInfluencer", "updateInfluencer", "archiveInfluencers", "restoreInfluencers",
        "tagInfluencers", "addNote", "deleteNote", "createTag", "updateTag", "deleteTag", "createVariable",
        "updateVariable", "deleteVariable",
    },
    "campaigns": {
        "CAMPAIGN_ADDED", "CAMPAIGN_CHANGED", "PARTICIPATION_ADDED", "PARTICIPATION_CHANGED", "ASSET_ADDED",
        "ASSET_DELIVERY_CHANGED", "MEMBER_ADDED", "MEMBER_CHANGED", "MEMBER_REMOVED", "PARTNER_ADDED",
        "createCampaign", "updateCampaign", "setParticipation", "createMember", "updateMember", "removeMember",
        "createToken", "revokeToken",
    },
    "mail": {"MESSAGE_ADDED", "MESSAGE_CHANGED", "resolveDelivery"},
    "mailboxes": {
        "MAILBOX_ADDED", "MAILBOX_CHANGED", "MAIL_QUARANTINED", "QUARANTINE_CHANGED", "updateMailbox",
        "setDefaultMailbox", "disconnectMailbox", "discardQuarantinedMail",
    },
    "drafts": {"DRAFT_SAVED", "DRAFT_DELETED", "saveDraft", "deleteDraft", "sendMessage"},
    "repairs": {"REPAIRED"},
}  # fmt: skip
# These need a mail server or a provider: what they change is changed here without them.
NEEDS_MAIL = {"connectMailbox", "beginMailboxAuthorization", "checkMailbox", "retryQuarantinedMail"}


called: list[str] = []  # the mutations that were called, and did what they should


@pytest.fixture(autouse=True)
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    mutate = Api.mutate

    async def record(api: Api, field: str, selection: str, **input: Any) -> Json:
        payload = await mutate(api, field, f"{selection} userErrors {{ code }}", **input)
        assert payload["userErrors"] == [], field
        called.append(field)
        return payload

    monkeypatch.setattr(Api, "mutate", record)


def test_every_kind_of_change_and_every_mutation_is_covered() -> None:
    mutations = set(object_type("Mutation").fields)
    assert set().union(*COVERED.values()) == {kind.name for kind in ChangeKind} | (mutations - NEEDS_MAIL)
    assert mutations >= NEEDS_MAIL


class Watcher:
    """Somebody who reads everything once, and then only follows."""

    def __init__(self, brand: Brand, api: Api, marker: str) -> None:
        self.brand, self.api, self.marker = brand, api, marker
        self.fresh: Snapshot | None = None

    async def verify(self, step: Step) -> set[str]:
        """Runs a step, and compares; the kinds of changes that were seen, and the mutations that the step called.

        A message in a thread of its own marks the end of the step's events.
        """
        known = self.fresh or await take(self.api)
        async with (
            self.api.subscription(INBOX_EVENTS, since=known.position) as inbox,
            self.api.subscription(COUNT_EVENTS) as count,
        ):
            await count.data()
            called.clear()
            await step()
            mutations = set(called)
            last = (await self.brand.receive(self.marker))["position"]
            came_in = await apply_inbox(inbox, known, last)
            await apply_count(count, known, last)
        changes = await read_changes(self.api, known.position)
        kinds = apply_changes(changes, known)
        assert apply_changes(changes, known) == kinds, "applying events twice does no harm"
        for thread in came_in:  # a client opens its view of what comes in; what it knows already it does not read again
            await read_messages(self.api, known, thread)
            await read_nodes(self.api, known)
        known.forget_messages_elsewhere()
        self.fresh = await take(self.api)
        self.compare(known, self.fresh)
        return kinds | mutations

    def compare(self, known: Snapshot, fresh: Snapshot) -> None:
        assert known.in_order() == fresh.in_order()
        assert known.count == fresh.count
        assert known.lists == fresh.lists
        old, new = known.reachable(), fresh.reachable()
        assert old.keys() == new.keys()
        for id, node in new.items():
            assert undated(old[id]) == undated(node)


async def verify(brand: Brand, *steps: Step) -> set[str]:
    """Each step as its maker sees it, or another member; the kinds of changes and the mutations that there were.

    Whoever watches a step brings what they know up to date with the one before it too.
    """
    marker = (await brand.influencer("Marker"))["thread"]
    watchers = [Watcher(brand, brand.admin, marker), Watcher(brand, brand.viewer, marker)]
    seen: set[str] = set()
    for number, step in enumerate(steps):
        seen |= await watchers[number % 2].verify(step)
    return seen


async def test_messages_and_reading(brand: Brand) -> None:
    admin = brand.admin
    ada, bob = await brand.influencer("Ada"), await brand.influencer("Bob")
    first = await brand.receive(ada["thread"], "one")
    await brand.receive(ada["thread"], "two")
    sent = await brand.send(ada["thread"])
    campaign = (await admin.mutate("createCampaign", "campaign { id }", name="Spring"))["campaign"]["id"]

    async def read_some() -> None:
        await admin.mutate("markThreadRead", "position", threadId=ada["thread"], upToMessageId=first["id"])

    async def mark(message: str) -> None:
        await admin.mutate("markMessageUnread", "position", messageId=message)

    async def see_notifications() -> None:
        found = (await admin.run("{ notifications { nodes { id } } }"))["notifications"]["nodes"]
        ids = [each["id"] for each in found[:2]]
        await admin.mutate("markNotificationsRead", "position", notificationIds=ids)

    steps: list[Step] = [
        lambda: brand.receive(bob["thread"], "hello"),
        lambda: brand.receive(bob["thread"], "again"),
        lambda: brand.receive(bob["thread"], "about it", campaignId=campaign),
        lambda: brand.receive(bob["thread"], "about it too", campaignId=campaign),
        lambda: brand.receive(bob["thread"], "out of office", automatic=True),
        lambda: brand.send(bob["thread"]),
        lambda: brand.send(ada["thread"], campaignId=campaign),
        lambda: mark(sent["id"]),
    ]
    seen = await verify(brand, *steps)
    own: list[Step] = [
        read_some,
        lambda: mark(first["id"]),
        see_notifications,
        lambda: admin.mutate("markThreadsRead", "position", threadIds=[bob["thread"]]),
        lambda: mark(sent["id"]),
        lambda: admin.mutate("markThreadsRead", "position"),
    ]
    for watching in (admin, brand.viewer):
        watcher = Watcher(brand, watching, (await brand.influencer("Marker"))["thread"])
        for step in own:
            seen |= await watcher.verify(step)
    assert seen >= COVERED["messages"]


async def test_influencers_tags_and_variables(brand: Brand) -> None:
    admin = brand.admin
    ada, bob = await brand.influencer("Ada"), await brand.influencer("Bob")
    await brand.receive(bob["thread"])
    tag = (await admin.mutate("createTag", "tag { id }", name="old"))["tag"]["id"]
    gone = (await admin.mutate("createTag", "tag { id }", name="gone"))["tag"]["id"]
    variable = (await admin.mutate("createVariable", "variable { id }", name="size", type="TEXT"))["variable"]["id"]
    note = (await admin.mutate("addNote", "note { id }", influencerId=ada["id"], text="nice"))["note"]["id"]
    ids = [ada["id"], bob["id"]]
    values = [{"variableId": variable, "value": "L"}]
    steps: list[Step] = [
        lambda: brand.influencer("Cleo", emails=["c@x.example"], tagIds=[tag], variables=values),
        lambda: brand.influencer("Dora"),
        lambda: admin.mutate("tagInfluencers", "position", influencerIds=ids, addTagIds=[tag, gone]),
        lambda: admin.mutate("tagInfluencers", "position", influencerIds=[bob["id"]], removeTagIds=[tag]),
        lambda: admin.mutate("updateInfluencer", "position", influencerId=bob["id"], name="Rob", variables=values),
        lambda: admin.mutate("updateInfluencer", "position", influencerId=ada["id"], tagIds=[gone], externalId="7"),
        lambda: admin.mutate("updateTag", "position", tagId=tag, name="new"),
        lambda: admin.mutate("updateTag", "position", tagId=gone, color="#00ff00"),
        lambda: admin.mutate("deleteTag", "position", tagId=gone),
        lambda: admin.mutate("deleteTag", "position", tagId=tag),
        lambda: admin.mutate("createTag", "position", name="another"),
        lambda: admin.mutate("createVariable", "position", name="colour", type="TEXT"),
        lambda: admin.mutate("updateVariable", "position", variableId=variable, name="shoe size"),
        lambda: admin.mutate("addNote", "position", influencerId=bob["id"], text="funny"),
        lambda: admin.mutate("deleteNote", "position", noteId=note),
        lambda: admin.mutate("archiveInfluencers", "position", influencerIds=ids),
        lambda: admin.mutate("restoreInfluencers", "position", influencerIds=[ada["id"]]),
        lambda: brand.receive(bob["thread"], "I am back"),
        lambda: admin.mutate("deleteVariable", "position", variableId=variable),
    ]
    assert await verify(brand, *steps) >= COVERED["influencers"]


async def test_campaigns_assets_and_members(brand: Brand) -> None:
    admin, store = brand.admin, brand.store
    ada = await brand.influencer("Ada", hasAccount=True)
    campaign = (await admin.mutate("createCampaign", "campaign { id }", name="Spring"))["campaign"]["id"]
    member = (await admin.mutate("createMember", "member { id }", name="Eve", email="e@x.example"))["member"]["id"]
    operator = operator_of(brand.workspace)
    app: dict[str, Any] = {"partner": "An app", "scopes": ["inbox:read"]}
    token = (await admin.mutate("createToken", "token { id }", label="One", **app))["token"]["id"]
    made: dict[str, str] = {}

    async def create_asset() -> None:
        asset = assets.NewAsset(AssetKind.COUPON_CODE, "10 % off")
        made["asset"] = (await assets.create_asset(store, operator, campaign, asset)).result

    async def give_asset() -> None:
        made["delivery"] = (
            await assets.give_asset(store, operator, made["asset"], ada["id"], "Yours", code="A1")
        ).result

    def join(status: str) -> Step:
        return lambda: admin.mutate(
            "setParticipation", "position", campaignId=campaign, influencerIds=[ada["id"]], status=status
        )

    steps: list[Step] = [
        lambda: admin.mutate("createCampaign", "position", name="Summer", state="LIVE"),
        lambda: admin.mutate("updateCampaign", "position", campaignId=campaign, name="May", state="LIVE"),
        join("INVITED"),
        join("ACCEPTED"),
        create_asset,
        give_asset,
        lambda: assets.set_delivery_state(store, operator, made["delivery"], AssetDeliveryState.FULFILLED),
        join("REMOVED"),
        lambda: admin.mutate("createMember", "position", name="Finn", email="f@x.example"),
        lambda: admin.mutate("updateMember", "position", memberId=member, role="VIEWER", name="Eva"),
        lambda: admin.mutate("removeMember", "position", memberId=member),
        lambda: add_partner(store, operator, "Another app"),
        lambda: admin.mutate("createToken", "secret", label="Two", **{**app, "partner": "Their app"}),
        lambda: admin.mutate("revokeToken", "token { id }", tokenId=token),
    ]
    assert await verify(brand, *steps) >= COVERED["campaigns"]


HTML = '<p>Look <img src="cid:cat"> <img data-remote-src="https://ads.example/x.png"></p>'


async def test_mail_that_is_sent_and_comes_in(brand: Brand) -> None:
    store, operator = brand.store, operator_of(brand.workspace)
    ada = await brand.influencer("Ada", emails=["ada@x.example"], handle="ada")
    me = (await brand.admin.run("{ viewer { id } }"))["viewer"]["id"]
    mailbox = await connected(store, brand.workspace, me, is_shared=True)
    blob = await store_bytes(store, brand.workspace, whole(b"text"), most=100)
    file = await attachments.add(store, brand.workspace, me, "cat.txt", blob, b"text", content_id="cat")
    sent: dict[str, str] = {}

    async def send(name: str) -> None:
        message = await brand.send(
            ada["thread"], channel="EMAIL", subject="Hello", cc=["eve@x.example"], attachmentIds=[file.id],
            html="<b>Hi</b>",
        )  # fmt: skip
        sent[name] = message["id"]

    async def begin(name: str) -> None:
        assert await outbox.claim(store, sent[name], "us", now=LATER, until=LATER)
        states: States = dict.fromkeys(["ada@x.example", "eve@x.example"], (DeliveryState.SENDING, None))
        assert await outbox.begin_sending(store, operator, sent[name], "us", states)

    async def settle(name: str, state: DeliveryState) -> None:
        states: States = {"ada@x.example": (state, "said so"), "eve@x.example": (DeliveryState.SENT, None)}
        await outbox.settle(store, operator, sent[name], states, outbox.DONE, due=0, attempts=1, owner="us")

    async def receive(text: str, **more: Any) -> None:
        mail = found_mail(mailbox, "ada@x.example", ["team@brand.example"], text, **more)
        assert (await take_in(store, operator, mail)).result

    async def report() -> None:
        document = await store.database.get("messages", sent["one"])
        assert document is not None
        told = ReportedState([document["mail_id"]], "ada@x.example", DeliveryState.BOUNCED, "no such user")
        mail = found_mail(mailbox, "daemon@x.example", ["team@brand.example"], "It came back", reports=[told])
        assert (await take_in(store, operator, mail)).result.reported

    steps: list[Step] = [
        lambda: send("one"),
        lambda: begin("one"),
        lambda: send("two"),
        lambda: settle("one", DeliveryState.SENT),
        report,
        lambda: begin("two"),
        lambda: settle("two", DeliveryState.UNKNOWN),
        lambda: brand.admin.mutate("resolveDelivery", "position", messageId=sent["two"], wasSent=False),
        lambda: receive("Thanks", safe_html=HTML, has_remote_images=True, attachments=[file], quoted_text="> Hi"),
        lambda: receive("I am away", is_automatic=True),
        lambda: take_in(store, operator, found_mail(
            mailbox, "team@brand.example", ["ada@x.example"], "From my phone", is_sent=True
        )),
    ]  # fmt: skip
    assert await verify(brand, *steps) >= COVERED["mail"]


async def test_mailboxes_and_what_is_quarantined(brand: Brand) -> None:
    store, operator, admin = brand.store, operator_of(brand.workspace), brand.admin
    me = (await admin.run("{ viewer { id } }"))["viewer"]["id"]
    ben = (await brand.member.run("{ viewer { id } }"))["viewer"]["id"]
    first = await connected(store, brand.workspace, me)
    second = await connected(store, brand.workspace, ben, "ben@brand.example", is_shared=True)
    blob = await store_bytes(store, brand.workspace, whole(b"raw"), most=100)
    held: dict[str, str] = {}

    async def quarantined(name: str, raw: str) -> None:
        made = await quarantine.hold(store, operator, first, False, "ada@x.example", 9, raw, "it has no end")
        held[name] = made.result

    def choose(mailbox: str | None, **more: Any) -> Step:
        return lambda: admin.mutate("setDefaultMailbox", "position", mailboxId=mailbox, **more)

    found = MailboxCheck(at=now(), compared=9, missing=1, repaired=1)
    steps: list[Step] = [
        lambda: connected(store, brand.workspace, me, "third@brand.example"),
        lambda: set_state(store, operator, first, MailboxState.DEGRADED, "it is slow"),
        lambda: admin.mutate("updateMailbox", "position", mailboxId=first, name="Us", memberIds=[ben]),
        lambda: admin.mutate("updateMailbox", "position", mailboxId=first, isShared=True),
        choose(first),
        choose(second),
        choose(first),
        lambda: set_check(store, operator, first, found),
        choose(None),
        choose(second, forWorkspace=True),
        lambda: quarantined("one", blob.id),
        lambda: quarantined("two", "another"),
        lambda: quarantine.set_state(store, operator, held["one"], QuarantineState.RECOVERED, message_ids=[]),
        lambda: admin.mutate("discardQuarantinedMail", "position", quarantinedMailId=held["two"]),
        lambda: admin.mutate("disconnectMailbox", "position", mailboxId=second),
        lambda: connected(store, brand.workspace, ben, "ben@brand.example"),
        lambda: admin.mutate("disconnectMailbox", "position", mailboxId=first),
        lambda: connected(store, brand.workspace, ben, "ben@brand.example", name="Ben"),
    ]
    assert await verify(brand, *steps) >= COVERED["mailboxes"]


async def test_drafts(brand: Brand) -> None:
    """Each step is watched by its author, and by another member, to whom nothing has happened."""
    admin = brand.admin
    ada, bob = await brand.influencer("Ada", emails=["ada@x.example"]), await brand.influencer("Bob")
    me = (await admin.run("{ viewer { id } }"))["viewer"]["id"]
    mailbox = await connected(brand.store, brand.workspace, me)
    campaign = (await admin.mutate("createCampaign", "campaign { id }", name="Spring"))["campaign"]["id"]
    drafts: list[str] = []

    async def save(thread: str, **more: Any) -> None:
        saved = await admin.mutate("saveDraft", "draft { id }", threadId=thread, **more)
        drafts[:] = [saved["draft"]["id"]]

    steps: list[Step] = [
        lambda: save(ada["thread"], text="Dear Ada"),
        lambda: save(ada["thread"], text="Dear A", subject="S", html="<b>D</b>", cc=["e@x.example"], mailboxId=mailbox),
        lambda: admin.mutate("deleteDraft", "position", draftId=drafts[0]),
        lambda: save(bob["thread"], text="Dear Bob", campaignId=campaign, channel="PLATFORM"),
        lambda: admin.mutate("sendMessage", "position", threadId=bob["thread"], text="Dear Bob", draftId=drafts[0]),
    ]
    seen: set[str] = set()
    for watching in (admin, brand.viewer):
        watcher = Watcher(brand, watching, (await brand.influencer("Marker"))["thread"])
        for step in steps:
            found = await watcher.verify(step)
            assert watching is admin or not any(kind.startswith("DRAFT") for kind in found)
            seen |= found
    assert seen >= COVERED["drafts"]


async def test_repairs(brand: Brand) -> None:
    """What was wrong for whoever watches, before a repair puts it right."""
    admin, database = brand.admin, brand.store.database
    campaign = (await admin.mutate("createCampaign", "campaign { id }", name="Spring"))["campaign"]["id"]
    tag = (await admin.mutate("createTag", "tag { id }", name="VIP"))["tag"]["id"]
    ada, bob, cleo, dora = [await brand.influencer(name, tagIds=[tag]) for name in ("Ada", "Bob", "Cleo", "Dora")]
    for each in (ada, bob, cleo):
        await brand.receive(each["thread"], "one", campaignId=campaign)
        await brand.receive(each["thread"], "two")
    await admin.mutate("archiveInfluencers", "position", influencerIds=[dora["id"]])
    seen: set[str] = set()
    for watching in (admin, brand.viewer):
        me = (await watching.run("{ viewer { id } }"))["viewer"]["id"]
        await watching.mutate("markThreadsRead", "position", threadIds=[cleo["thread"]])
        participations = await database.find("participations", {"influencer_id": bob["id"]})
        notifications = await database.find("notifications", {"member_id": me, "thread_id": cleo["thread"]})
        wrong: list[tuple[str, str, Json]] = [
            ("marks", mark_id(me, ada["thread"]), {"count": 0, "shown": 0, "by_campaign": {}}),
            ("marks", mark_id(me, bob["thread"]), {"count": 9, "by_campaign": {campaign: 7}}),
            ("participations", participations[0]["_id"], {"status": "REMOVED"}),
            ("notifications", notifications[0]["_id"], {"read": 0}),
            ("influencers", cleo["id"], {"rank": 1, "last_message_id": None, "last_activity_at": None}),
            ("influencers", dora["id"], {"listed": 1}),
        ]
        for collection, id, fields in wrong:
            assert await database.set(collection, id, fields)
        watcher = Watcher(brand, watching, (await brand.influencer("Marker"))["thread"])
        seen |= await watcher.verify(lambda: check(brand.store, brand.workspace, repair=True))
        assert await check(brand.store, brand.workspace, repair=False) == []
    assert seen >= COVERED["repairs"]
