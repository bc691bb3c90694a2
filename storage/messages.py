"""Messages come to be here, whoever wrote them and whatever they travel by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from schema.types.context import Caller
from schema.types.errors import not_found
from schema.types.message import (
    Attachment,
    CampaignMatch,
    Delivery,
    DeliveryState,
    Message,
    MessageChannel,
    MessageDirection,
    MessageKind,
    Recipient,
)
from schema.types.node import influencer_id_of, new_id, thread_id_of
from schema.types.notification import NotificationReason
from storage import claims
from storage.addresses import on_the_wire
from storage.campaigns import put_participant
from storage.changes import Change, Ids, Turn, place_of
from storage.claims import Key, Made
from storage.documents import Document, to_document, to_milliseconds
from storage.drafts import put_draft_deleted
from storage.log import Outcome
from storage.marks import mark_id, marks_of, put_mark, put_notification
from storage.store import Store
from storage.workspaces import active_members


@dataclass(frozen=True)
class Mail:
    """What an e-mail has beside what every message has. One of ours gets its Message-ID when it is added."""

    mailbox_id: str
    sender_address: str
    recipients: list[Recipient]
    references: list[str] = field(default_factory=list)
    mail_id: str | None = None
    quoted_text: str | None = None
    signature: str | None = None
    has_remote_images: bool = False
    campaign_match: CampaignMatch | None = None
    raw_id: str | None = None


@dataclass(frozen=True)
class NewMessage:
    """A message that is about to be added, checked for its form."""

    thread_id: str
    direction: MessageDirection
    kind: MessageKind
    text: str
    channel: MessageChannel = MessageChannel.PLATFORM
    subject: str | None = None
    safe_html: str | None = None
    automatic: bool = False
    campaign_id: str | None = None
    asset_delivery_id: str | None = None
    sent_at: datetime | None = None
    author_id: str | None = None  # of what is outbound, where that is not the caller
    attachments: list[Attachment] = field(default_factory=list)
    mail: Mail | None = None


async def add_message(
    store: Store, caller: Caller, new: NewMessage, key: Key | None, draft: str | None = None
) -> Outcome[Made]:
    """Adds a message, once per key. One within a campaign puts its influencer into the campaign.

    The caller's draft that it was written as is deleted with it. Raises NOT_FOUND.
    """

    async def make(turn: Turn) -> tuple[Change, str]:
        if draft is not None:
            await put_draft_deleted(turn, draft, new.thread_id)
        return await put_message(turn, new, key)

    async def plan(turn: Turn) -> Made:
        return await claims.once(turn, key, lambda: make(turn))

    async def expected(turn: Turn) -> Ids:
        claimed = [claims.id_of_key(turn.workspace, key)] if key else []
        return {**await expected_of_threads(turn, [new.thread_id]), "claims": claimed}

    return claims.dated(await store.log.change(caller, plan, expected))


async def add_messages(store: Store, caller: Caller, many: list[NewMessage]) -> Outcome[list[str]]:
    """Several messages in one entry, all or none; with those who join a campaign by them at most a hundred changes."""

    async def plan(turn: Turn) -> list[str]:
        return [(await put_message(turn, new, None))[1] for new in many]

    return await store.log.change(caller, plan)


async def expected_of_threads(turn: Turn, threads: Iterable[str]) -> Ids:
    """What `put_message` reads of threads."""
    threads, members = list(threads), await active_members(turn)
    return {
        "influencers": [influencer_id_of(each) for each in threads],
        "marks": [mark_id(member, thread) for thread in threads for member in members],
    }


async def put_message(turn: Turn, new: NewMessage, key: Key | None) -> tuple[Change, str]:
    """The message, the thread's summary, everyone's read mark and, where it makes unread, their notification."""
    influencer_id = influencer_id_of(new.thread_id)
    if await turn.get("influencers", influencer_id) is None:
        raise not_found(new.thread_id)
    if new.campaign_id is not None:
        await put_participant(turn, new.campaign_id, influencer_id)
    influencer = await turn.get("influencers", influencer_id)
    assert influencer is not None

    inbound = new.direction is MessageDirection.INBOUND
    id = new_id("message")
    change = turn.begin("MESSAGE_ADDED", id, new.thread_id, thread=new.thread_id, message=id)
    message = Message(
        id=id,
        channel=new.channel,
        kind=new.kind,
        direction=new.direction,
        automatic=new.automatic,
        subject=new.subject,
        text=new.text,
        safe_html=new.safe_html,
        attachments=new.attachments,
        sent_at=new.sent_at or turn.at,
        delivery=None if inbound else delivery_of(new, turn.at),
        thread_id=new.thread_id,
        author_id=influencer_id if inbound else new.author_id or turn.caller.id,
        campaign_id=new.campaign_id,
        asset_delivery_id=new.asset_delivery_id,
        key=key.value if key and not inbound else None,
        order=change.position,
        counted=influencer["counted"],
        **mail_fields(new.mail, id),
    )
    message.counted += message.countable
    if message.mail_id is not None:
        await put_mail_id(turn, change, message.mail_id, id, new)
    document = {**to_document(message), "heard": change.position if message.countable else influencer["heard"]}
    turn.put(change, "messages", id, document)
    await put_newest(turn, change, influencer, {**document, "_id": id}, message.countable)
    return change, id


def delivery_of(new: NewMessage, at: datetime) -> Delivery:
    """An e-mail is as far as it has come to whom it is for; what is written on the platform is there at once."""
    found = new.mail.recipients[0].delivery if new.mail and new.mail.recipients else None
    return found or Delivery(state=DeliveryState.SENT, at=at)


def mail_fields(mail: Mail | None, message_id: str) -> dict[str, Any]:
    """A mail's own fields; the Message-ID of one of ours is made of the message's id, so that every try has it."""
    if mail is None:
        return {}
    return {**vars(mail), "mail_id": mail.mail_id or own_mail_id(message_id, mail.sender_address)}


def own_mail_id(message_id: str, sender_address: str) -> str:
    """A Message-ID (RFC 5322, section 3.6.4), at the sender's domain as mail servers know it."""
    domain = on_the_wire(sender_address).rpartition("@")[2]
    return f"<{message_id}@{domain if domain.isascii() else 'mail.invalid'}>"


def mail_id_claim(workspace: str, mail_id: str) -> str:
    """The document that says which message an e-mail's Message-ID is of, and of which campaign that is."""
    return claims.claim_id(workspace, "mail", mail_id)


async def put_mail_id(turn: Turn, change: Change, mail_id: str, message_id: str, new: NewMessage) -> None:
    """Makes a message known by its Message-ID.

    The first keeps it, where a sender uses one twice. A mail of the brand's to several people is a message in each of
    their threads, and known by it there too.
    """
    claim = mail_id_claim(turn.workspace, mail_id)
    if await turn.get("claims", claim) is None:
        turn.put(change, "claims", claim, {"owner": message_id, "campaign": new.campaign_id})
    elif new.direction is MessageDirection.OUTBOUND:
        claims.take(turn, change, "mail in thread", f"{new.thread_id}:{mail_id}", message_id)


async def message_of_mail(turn: Turn, mail_id: str, person: str | None) -> Document | None:
    """The message with this Message-ID: the one in somebody's own thread, where there are several."""
    claim = await turn.get("claims", mail_id_claim(turn.workspace, mail_id))
    if claim is None:
        return None
    own = await claims.owner_of(turn, "mail in thread", f"{thread_id_of(person)}:{mail_id}") if person else None
    return await turn.get("messages", own or claim["owner"])


async def put_newest(turn: Turn, change: Change, old: Document, message: Document, countable: bool) -> None:
    """Makes a message the newest of its thread, which brings an archived thread back."""
    if old["archived_at"] is not None:
        change.nodes.append(old["_id"])
        change.was = place_of(old)
    fields = {
        "listed": 1,
        "archived_at": None,
        "rank": change.position,
        "last_message_id": message["_id"],
        "last_order": change.position,
        "last_activity_at": to_milliseconds(turn.at),
        "counted": message["counted"],
        "heard": message["heard"],
        **last_of(message),
    }
    influencer = {**old, **fields}
    change.now = place_of(influencer)
    turn.put(change, "influencers", old["_id"], fields)

    await put_marks(turn, change, influencer, message, countable)


def last_of(message: Document) -> Document:
    """What an e-mail that comes after it goes by: the mail to answer, and the campaign that they were written about."""
    last = {}
    if message["mail_id"] is not None and not message["automatic"]:
        last["last_mail"] = message["_id"]
    if message["direction"] == MessageDirection.OUTBOUND.value and message["campaign_id"] is not None:
        last["last_campaign"] = message["campaign_id"]
    return last


async def put_marks(turn: Turn, change: Change, influencer: Document, message: Document, countable: bool) -> None:
    """Moves the thread up in every member's inbox; what makes unread raises their mark and notifies them."""
    members = await active_members(turn)
    marks = await marks_of(turn, members, message["thread_id"])
    for member in members:
        mark = marks.get(member, {"first": 0, "count": 0, "by_campaign": {}})
        if not countable and not mark["count"]:
            continue
        by_campaign = dict(mark["by_campaign"])
        if countable and message["campaign_id"]:
            by_campaign[message["campaign_id"]] = by_campaign.get(message["campaign_id"], 0) + 1
        put_mark(
            turn, change, influencer, member, marks.get(member), first=mark["first"] or change.position,
            count=mark["count"] + countable, by_campaign=by_campaign, rank=change.position,
        )  # fmt: skip
        if countable:
            put_notification(turn, change, member, message, NotificationReason.MESSAGE_RECEIVED)
