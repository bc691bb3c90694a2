"""What is derived, counted anew from what is not. For every thread it must hold that

- a message's `counted` and `heard` follow from the messages up to it, in their order;
- the influencer's `counted`, `heard`, `last_message_id` and `last_order` are those of the newest message, `rank` is its
  order (below zero where there is none), and there is a `last_activity_at` just where there is a message;
- its `last_mail` and `last_campaign` are the newest e-mail that no machine wrote, and the campaign of the newest that
  the brand wrote in one;
- `listed` says whether `archived_at` is empty, and `facets` are the campaigns they take part in and their tags;
- a participation's `status` is the last of its `history`;
- a member's mark counts what the influencer wrote from `first` on, in all and for each campaign, and `first` is 0 where
  that is nothing; `shown` and `facets` follow; where something is unread, `rank` is the newest message's order, or the
  position at which the member marked the thread as unread, if that is later;
- a notification is read unless its message is at or behind the `first` of a mark that is not empty;
- the Message-ID of each e-mail leads to a message, of which the campaign is noted there;
- the words of the influencer can be found, and each of their addresses and names is claimed by them.

Marks and notifications of members who were removed are nobody's any more, and are left as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable

from schema.types.node import thread_id_of
from schema.types.notification import NotificationReason
from storage.documents import Document
from storage.indexes import OF_INFLUENCER, TIMELINE, UNREAD_NOTIFICATIONS
from storage.influencers import NEVER_WRITTEN
from storage.marks import mark_id
from storage.messages import last_of
from storage.recount_names import (
    Difference,
    Source,
    differences,
    recount_claims,
    recount_mail_ids,
    recount_words,
)

PAGE = 1000
OF_MESSAGE = ["order", "direction", "automatic", "campaign_id", "counted", "heard", "mail_id"]


class Tally:
    """What a thread's messages come to, met one by one in their order."""

    def __init__(self, marks: Iterable[Document]) -> None:
        self.last: Document | None = None
        self.last_mail: str | None = None
        self.last_campaign: str | None = None
        self.mails: list[Document] = []
        self.counted = 0
        self.heard = 0
        self.unread = {mark["member"]: 0 for mark in marks if mark["first"]}
        self.by_campaign: dict[str, Counter[str]] = {member: Counter() for member in self.unread}
        self._first = {mark["member"]: mark["first"] for mark in marks if mark["first"]}

    def meet(self, message: Document) -> list[Difference]:
        self.last = message
        if message["mail_id"] is not None:
            self.mails.append(message)
        last = last_of(message)
        self.last_mail = last.get("last_mail", self.last_mail)
        self.last_campaign = last.get("last_campaign", self.last_campaign)
        if message["direction"] == "INBOUND" and not message["automatic"]:
            self._count(message)
        return differences("messages", message["_id"], message, {"counted": self.counted, "heard": self.heard})

    def _count(self, message: Document) -> None:
        self.counted += 1
        self.heard = message["order"]
        for member, first in self._first.items():
            if message["order"] >= first:
                self.unread[member] += 1
                if message["campaign_id"]:
                    self.by_campaign[member][message["campaign_id"]] += 1


async def recount_thread(source: Source, workspace: str, influencer_id: str) -> list[Difference]:
    """All that differs in what is derived about an influencer and their thread."""
    influencer = (await source.get_many("influencers", [influencer_id])).get(influencer_id)
    if influencer is None:
        return []
    thread = thread_id_of(influencer_id)
    members = await source.find("members", {"workspace": workspace, "removed_at": None}, only=["_id"])
    ids = [mark_id(member["_id"], thread) for member in members]
    marks = {mark["member"]: mark for mark in (await source.get_many("marks", ids)).values()}
    tally = Tally(list(marks.values()))
    found = [each async for message in messages_of(source, thread) for each in tally.meet(message)]
    found += await recount_mail_ids(source, workspace, tally.mails)

    participations = await source.find("participations", {"influencer_id": influencer_id}, hint=OF_INFLUENCER)
    for each in participations:
        found += differences("participations", each["_id"], each, {"status": each["history"][-1]["status"]})
        found += await recount_claims(source, workspace, each["_id"], "participations", each)
    summary = summary_of(influencer, participations, tally)
    found += differences("influencers", influencer_id, influencer, summary)
    for mark in list(marks.values()):
        recounted = await recount_mark(source, mark, tally, summary)
        found += differences("marks", mark["_id"], mark, recounted)
        marks[mark["member"]] = {**mark, **recounted}
    found += await recount_notifications(source, [each["_id"] for each in members], thread, marks)
    found += await recount_words(source, influencer)
    found += await recount_claims(source, workspace, influencer_id, "influencers", influencer)
    return found


async def messages_of(source: Source, thread: str) -> AsyncIterator[Document]:
    """A thread's messages in their order."""
    after = 0
    while True:
        filter = {"thread_id": thread, "order": {"$gt": after}}
        page = await source.find("messages", filter, sort=[("order", 1)], limit=PAGE, hint=TIMELINE, only=OF_MESSAGE)
        for message in page:
            yield message
        if len(page) < PAGE:
            return
        after = page[-1]["order"]


def summary_of(influencer: Document, participations: list[Document], tally: Tally) -> Document:
    """What an influencer's document says of their thread."""
    taking_part = [each for each in participations if each["history"][-1]["status"] != "REMOVED"]
    in_campaigns = [each["campaign_id"] for each in sorted(taking_part, key=lambda each: -int(each["added"]))]
    facets = in_campaigns + influencer["tag_ids"]
    last = tally.last
    return {
        "listed": int(influencer["archived_at"] is None),
        "facets": influencer["facets"] if sorted(influencer["facets"]) == sorted(facets) else facets,
        "rank": last["order"] if last else rank_of_never_written(influencer),
        "last_message_id": last["_id"] if last else None,
        "last_order": last["order"] if last else 0,
        "last_activity_at": activity_of(influencer, last),
        "counted": tally.counted,
        "heard": tally.heard,
        "last_mail": tally.last_mail,
        "last_campaign": tally.last_campaign,
    }


def rank_of_never_written(influencer: Document) -> int:
    """The log position at which they were made is known from nothing else: a rank of the right size is taken for it."""
    stored: int = influencer["rank"]
    made = stored - NEVER_WRITTEN
    return stored if 0 < made <= influencer["position"] else NEVER_WRITTEN + int(influencer["position"])


def activity_of(influencer: Document, last: Document | None) -> int | None:
    """When it was is known from nothing else; where it is missing, the time at which they were made stands in."""
    if last is None:
        return None
    stored: int | None = influencer["last_activity_at"]
    return int(influencer["created_at"]) if stored is None else stored


async def recount_mark(source: Source, mark: Document, tally: Tally, summary: Document) -> Document:
    count = tally.unread.get(mark["member"], 0)
    recounted = {
        "first": mark["first"] if count else 0,
        "count": count,
        "by_campaign": dict(tally.by_campaign[mark["member"]]) if count else {},
        "shown": int(count > 0 and summary["listed"] == 1),
        "facets": summary["facets"],
    }
    if count and mark["rank"] != summary["last_order"]:
        marked = await marked_unread_at(source, mark["member"], mark["thread"])
        recounted["rank"] = max(summary["last_order"], marked)
    return recounted


async def marked_unread_at(source: Source, member: str, thread: str) -> int:
    """The last log position at which a member marked a thread as unread; 0 where they never did."""
    filter = {"member_id": member, "thread_id": thread, "read": {"$in": [0, 1]}}
    notifications = await source.find("notifications", filter, hint=UNREAD_NOTIFICATIONS, only=["reason", "order"])
    marked = NotificationReason.MARKED_UNREAD.value
    return max((each["order"] for each in notifications if each["reason"] == marked), default=0)


async def recount_notifications(
    source: Source, members: list[str], thread: str, marks: dict[str, Document]
) -> list[Difference]:
    """Those that are unread and must not be; `marks` are as recounted."""
    filter = {"member_id": {"$in": members}, "thread_id": thread, "read": 0}
    unread = await source.find(
        "notifications", filter, hint=UNREAD_NOTIFICATIONS, only=["member_id", "message_order", "read"]
    )
    found = []
    for each in unread:
        first = marks[each["member_id"]]["first"] if each["member_id"] in marks else 0
        if first == 0 or each["message_order"] < first:
            found += differences("notifications", each["_id"], each, {"read": 1})
    return found
