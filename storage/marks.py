"""Read marks: that a thread is unread for one member. There is one for each that ever had something unread.

    first   the log position from which on what the influencer wrote is unread; 0 where nothing is
    count   how many messages are unread, and `by_campaign` how many of them belong to each campaign
    shown   1 where it counts: there are unread messages, and the thread is not archived
    rank    the thread's place among the member's unread threads

Counts are not kept by adding up: every message knows how many messages of its thread can be unread up to it
(`counted`), so a count is a difference of two such numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

from schema.types.context import Caller
from schema.types.errors import Refused, UserErrorCode, not_found
from schema.types.node import influencer_id_of, new_id, thread_id_of
from schema.types.notification import Notification, NotificationReason
from storage.changes import MOST_CHANGES, Change, Turn, place_of
from storage.documents import Document, to_document
from storage.indexes import OF_WORKSPACE, TIMELINE, UNREAD, UNREAD_NOTIFICATIONS
from storage.log import Outcome
from storage.store import Store

MOST_NOTIFICATIONS = 5000  # that one turn marks as read, as an entry has to stay far below 16 MB


def mark_id(member: str, thread: str) -> str:
    return f"{member}:{thread}"


def put_mark(
    turn: Turn,
    change: Change,
    influencer: Document,
    member: str,
    old: Document | None,
    *,
    first: int,
    by_campaign: dict[str, int],
    count: int,
    rank: int,
) -> None:
    """Sets a member's mark of a thread; `influencer` is as it is after the change."""
    thread = thread_id_of(influencer["_id"])
    fields = {
        "member": member,
        "thread": thread,
        "first": first,
        "count": count,
        "by_campaign": by_campaign,
        "shown": int(count > 0 and influencer["listed"] == 1),
        "rank": rank,
        "facets": influencer["facets"],
    }
    change.unread[member] = [shown_count(old), shown_count(fields)]
    turn.put(change, "marks", mark_id(member, thread), fields)


def shown_count(mark: Document | None) -> int:
    """What a mark adds to its member's unread count."""
    return int(mark["count"] * mark["shown"]) if mark else 0


async def count_by_campaign(turn: Turn, thread: str, first: int) -> dict[str, int]:
    """How many of the messages that are unread from `first` on belong to each campaign."""
    filter = {"thread_id": thread, "order": {"$gte": first}, "direction": "INBOUND", "automatic": 0}
    messages = await turn.find("messages", filter, hint=TIMELINE, only=["campaign_id"])
    return dict(Counter(message["campaign_id"] for message in messages if message["campaign_id"]))


async def marks_of(turn: Turn, members: list[str], thread: str) -> dict[str, Document]:
    """The marks that exist, by member."""
    marks = await turn.get_many("marks", [mark_id(member, thread) for member in members])
    return {mark["member"]: mark for mark in marks.values()}


async def put_place(turn: Turn, change: Change, influencer: Document) -> None:
    """Brings to every member's mark what decides where a thread is listed; `influencer` is as after the change.

    What was unread is said with it, even where it stays so: whether a view that lists only unread threads has held this
    one cannot be told later.
    """
    thread = thread_id_of(influencer["_id"])
    members = await turn.find("members", {"workspace": turn.workspace}, hint=OF_WORKSPACE, only=["_id"])
    for member, mark in (await marks_of(turn, [each["_id"] for each in members], thread)).items():
        fields = {"shown": int(mark["count"] > 0 and influencer["listed"] == 1), "facets": influencer["facets"]}
        if fields["shown"] != mark["shown"] or fields["facets"] != mark["facets"]:
            change.unread[member] = [shown_count(mark), shown_count({**mark, **fields})]
            turn.put(change, "marks", mark["_id"], fields)


async def access_message(turn: Turn, id: str) -> Document:
    message = await turn.get("messages", id)
    if message is None:
        raise not_found(id)
    return message


async def mark_thread_read(store: Store, caller: Caller, member: str, thread: str, message_id: str) -> Outcome[None]:
    """Everything up to and with a message is read; what is read already stays so. Raises NOT_FOUND."""

    async def plan(turn: Turn) -> bool:
        influencer = await turn.get("influencers", influencer_id_of(thread))
        if influencer is None:
            raise not_found(thread)
        message = await access_message(turn, message_id)
        if message["thread_id"] != thread:
            raise not_found(message_id)
        mark = await turn.get("marks", mark_id(member, thread))
        most = MOST_NOTIFICATIONS
        return await put_read(turn, influencer, member, mark, message["order"], message["counted"], most) < most

    return await in_steps(store, caller, plan)


async def in_steps(store: Store, caller: Caller, plan: Callable[[Turn], Awaitable[bool]]) -> Outcome[None]:
    """Runs a plan until it says that all is done."""
    while True:
        outcome = await store.log.change(caller, plan)
        if outcome.result:
            return Outcome(None, outcome.position)


async def put_read(
    turn: Turn, influencer: Document, member: str, mark: Document | None, up_to: int, counted: int, most: int
) -> int:
    """Reads a thread up to a log position, behind `counted` of its messages, and the notifications that lead there.

    Where these are `most` or more, that many of them are all that is read: the messages are read last, so that none is
    that somebody is notified of. Returns how many notifications it has read.
    """
    thread = thread_id_of(influencer["_id"])
    # Where nothing behind it can be unread, everything is read.
    reached = influencer["last_order"] if counted == influencer["counted"] else up_to
    notifications = await unread_notifications(turn, member, thread, reached, most)
    if len(notifications) == most:
        put_only_notifications_read(turn, member, notifications)
        return most
    moves = mark is not None and mark["count"] > 0 and mark["first"] <= up_to
    if not moves and not notifications:
        return 0
    change = turn.begin("THREAD_READ", thread, thread=thread, only=member, now=place_of(influencer))
    if mark is not None and moves:
        count = influencer["counted"] - counted
        first = up_to + 1 if count else 0
        by_campaign = await count_by_campaign(turn, thread, first) if count else {}
        change.marked[member] = [mark["first"], up_to]
        put_mark(turn, change, influencer, member, mark,
                 first=first, count=count, by_campaign=by_campaign, rank=mark["rank"])  # fmt: skip
    put_notifications_read(turn, change, notifications)
    return len(notifications)


async def mark_threads_read(store: Store, caller: Caller, member: str, threads: list[str]) -> Outcome[None]:
    """Everything in these threads is read, a change for each that had something unread; at most a hundred."""
    left = threads

    async def plan(turn: Turn) -> list[str]:
        return await put_all_read(turn, member, left)

    while True:
        outcome = await store.log.change(caller, plan)
        left = outcome.result
        if not left:
            return Outcome(None, outcome.position)


async def mark_all_read(store: Store, caller: Caller, member: str) -> Outcome[None]:
    """Everything that is unread now is read, a hundred threads at a time."""

    async def plan(turn: Turn) -> bool:
        filter = {"member": member, "shown": 1}
        marks = await turn.find("marks", filter, hint=UNREAD, limit=MOST_CHANGES, only=["thread"])
        left = await put_all_read(turn, member, [mark["thread"] for mark in marks])
        return not left and len(marks) < MOST_CHANGES

    return await in_steps(store, caller, plan)


async def put_all_read(turn: Turn, member: str, threads: list[str]) -> list[str]:
    """Reads threads, as far as one turn may; those that are left. Raises NOT_FOUND."""
    influencers = await turn.get_many("influencers", [influencer_id_of(thread) for thread in threads])
    marks = await turn.get_many("marks", [mark_id(member, thread) for thread in threads])
    for thread in threads:
        if influencer_id_of(thread) not in influencers:
            raise not_found(thread)
    left, most = list(dict.fromkeys(threads)), MOST_NOTIFICATIONS
    for number, thread in enumerate(left):
        influencer = influencers[influencer_id_of(thread)]
        mark = marks.get(mark_id(member, thread))
        last, counted = influencer["last_order"], influencer["counted"]
        most -= await put_read(turn, influencer, member, mark, last, counted, most)
        if most == 0:
            return left[number:]
    return []


async def mark_message_unread(store: Store, caller: Caller, member: str, message_id: str) -> Outcome[None]:
    """The thread is unread from this message on, returns to the member's top, and a new notification leads to it.

    Where neither the message nor anything behind it can be unread (the brand's own, an automatic one), the thread is
    unread from the influencer's last words before it; Refused where there are none. Raises NOT_FOUND.
    """

    async def plan(turn: Turn) -> bool:
        message = await access_message(turn, message_id)
        thread = message["thread_id"]
        influencer = await turn.get("influencers", influencer_id_of(thread))
        assert influencer is not None, "a message belongs to a thread"
        if message["heard"] == 0 and influencer["counted"] == 0:
            raise Refused(UserErrorCode.INVALID, "the influencer has not written anything in this thread", "messageId")
        mark = await turn.get("marks", mark_id(member, thread))
        first, count = unread_from(message, influencer)
        notifications = await unread_notifications(turn, member, thread, first - 1, MOST_NOTIFICATIONS)
        if len(notifications) == MOST_NOTIFICATIONS:
            put_only_notifications_read(turn, member, notifications)
            return False
        change = turn.begin("THREAD_MARKED_UNREAD", thread, thread=thread, only=member, now=place_of(influencer))
        change.marked[member] = span_between(mark["first"] if mark else 0, first, influencer["last_order"])
        by_campaign = await count_by_campaign(turn, thread, first)
        put_mark(turn, change, influencer, member, mark,
                 first=first, count=count, by_campaign=by_campaign, rank=change.position)  # fmt: skip
        put_notifications_read(turn, change, notifications)
        put_notification(turn, change, member, message, NotificationReason.MARKED_UNREAD)
        return True

    return await in_steps(store, caller, plan)


def unread_from(message: Document, influencer: Document) -> tuple[int, int]:
    """The log position from which on the thread is unread if it is so from this message, and how many messages are."""
    behind = influencer["counted"] - message["counted"]
    if message["heard"] == message["order"]:
        return message["order"], behind + 1
    if behind:
        return message["order"], behind
    return message["heard"], 1


def span_between(old: int, new: int, last: int) -> list[int]:
    """The log positions whose messages become read or unread when `first` moves from `old` to `new`."""
    return [new, last] if old == 0 else [min(old, new), max(old, new) - 1]


async def unread_notifications(turn: Turn, member: str, thread: str, up_to: int, most: int) -> list[Document]:
    """The member's notifications that lead to messages of a thread up to a log position, and are unread; so many."""
    return await turn.find(
        "notifications",
        {"member_id": member, "thread_id": thread, "read": 0, "message_order": {"$lte": up_to}},
        limit=most,
        hint=UNREAD_NOTIFICATIONS,
        only=["_id"],
    )


def put_only_notifications_read(turn: Turn, member: str, notifications: list[Document]) -> None:
    put_notifications_read(turn, turn.begin("NOTIFICATIONS_READ", only=member), notifications)


def put_notifications_read(turn: Turn, change: Change, notifications: list[Document]) -> None:
    for notification in notifications:
        change.nodes.append(notification["_id"])
        turn.put(change, "notifications", notification["_id"], {"read": 1})


def put_notification(turn: Turn, change: Change, member: str, message: Document, reason: NotificationReason) -> None:
    notification = Notification(
        id=new_id("notification"),
        reason=reason,
        read=False,
        created_at=turn.at,
        member_id=member,
        thread_id=message["thread_id"],
        message_id=message["_id"],
        message_order=message["order"],
        order=change.position,
    )
    change.notified[member] = notification.id
    turn.put(change, "notifications", notification.id, to_document(notification))
