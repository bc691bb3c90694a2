"""Messages come to be here, whoever wrote them and whatever they travel by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from schema.types.context import Caller
from schema.types.errors import not_found
from schema.types.message import (
    Delivery,
    DeliveryState,
    Message,
    MessageChannel,
    MessageDirection,
    MessageKind,
)
from schema.types.node import influencer_id_of, new_id
from schema.types.notification import NotificationReason
from storage import claims
from storage.campaigns import put_participant
from storage.changes import Change, Turn, place_of
from storage.claims import Key, Made
from storage.documents import Document, to_document, to_milliseconds
from storage.log import Outcome
from storage.marks import marks_of, put_mark, put_notification
from storage.store import Store
from storage.workspaces import active_members


@dataclass(frozen=True)
class NewMessage:
    """A message that is about to be added, checked for its form."""

    thread_id: str
    direction: MessageDirection
    kind: MessageKind
    text: str
    channel: MessageChannel = MessageChannel.PLATFORM
    subject: str | None = None
    html: str | None = None
    automatic: bool = False
    campaign_id: str | None = None
    asset_delivery_id: str | None = None
    sent_at: datetime | None = None


async def add_message(store: Store, caller: Caller, new: NewMessage, key: Key | None) -> Outcome[Made]:
    """Adds a message, once per key. One within a campaign puts its influencer into the campaign. Raises NOT_FOUND."""

    async def plan(turn: Turn) -> Made:
        return await claims.once(turn, key, lambda: put_message(turn, new, key))

    return claims.dated(await store.log.change(caller, plan))


async def add_messages(store: Store, caller: Caller, many: list[NewMessage]) -> Outcome[list[str]]:
    """Several messages in one entry, all or none; with those who join a campaign by them at most a hundred changes."""

    async def plan(turn: Turn) -> list[str]:
        return [(await put_message(turn, new, None))[1] for new in many]

    return await store.log.change(caller, plan)


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
        html=new.html,
        sent_at=new.sent_at or turn.at,
        delivery=None if inbound else Delivery(state=DeliveryState.SENT, at=turn.at),
        thread_id=new.thread_id,
        author_id=influencer_id if inbound else turn.caller.id,
        campaign_id=new.campaign_id,
        asset_delivery_id=new.asset_delivery_id,
        key=key.value if key and not inbound else None,
        order=change.position,
        counted=influencer["counted"],
    )
    message.counted += message.countable
    document = {**to_document(message), "heard": change.position if message.countable else influencer["heard"]}
    turn.put(change, "messages", id, document)
    await put_newest(turn, change, influencer, {**document, "_id": id}, message.countable)
    return change, id


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
    }
    influencer = {**old, **fields}
    change.now = place_of(influencer)
    turn.put(change, "influencers", old["_id"], fields)

    await put_marks(turn, change, influencer, message, countable)


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
