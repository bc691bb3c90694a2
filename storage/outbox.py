"""What waits to be sent by e-mail. An item is made in the same change as its message, so none is lost and none doubled.

stage       WAITING to be sent, TO_FILE in the mailbox's Sent folder as it was sent, or DONE
sending     1 from just before a server is given the mail until its answer is noted: if whoever did so is gone by then,
            nobody knows whether it was sent, and it is not given again by itself
due         when it is to be looked at, in milliseconds since 1970
attempts    how often it was tried
lease       who works on it, and `lease_until` when it is anybody's again; both are outside of the log
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from schema.types.context import Caller
from schema.types.errors import Refused, UserErrorCode, not_found
from schema.types.message import REMOTE, Delivery, DeliveryState, MessageChannel, Recipient, RecipientKind
from storage import claims
from storage.addresses import canonical
from storage.changes import Change, Turn
from storage.claims import Key, Made
from storage.deliveries import GOT, States, addresses_in, put_states
from storage.documents import Document, to_milliseconds
from storage.drafts import put_draft_deleted
from storage.indexes import OUTBOX
from storage.influencers import access_influencer_of
from storage.log import Outcome
from storage.mailboxes import access_mailbox, mailbox_to_send_from, must_send
from storage.messages import Mail, NewMessage, put_message
from storage.store import Store

WAITING, TO_FILE, DONE = 1, 2, 0  # stages
MOST_REFERENCES = 30


@dataclass(frozen=True)
class NewMail:
    """An e-mail that a member or partner sends, checked for its form."""

    message: NewMessage
    mailbox_id: str | None
    cc: list[str]
    draft_id: str | None = None


async def send_mail(store: Store, caller: Caller, new: NewMail, key: Key | None) -> Outcome[Made]:
    """Adds an e-mail to its thread, and to what waits to be sent: once per key."""

    async def plan(turn: Turn) -> Made:
        return await claims.once(turn, key, lambda: put_mail(turn, new, key))

    return claims.dated(await store.log.change(caller, plan))


async def put_mail(turn: Turn, new: NewMail, key: Key | None) -> tuple[Change, str]:
    mailbox = await mailbox_to_send_from(turn, new.mailbox_id)
    influencer = await access_influencer_of(turn, new.message.thread_id)
    answered = await turn.get("messages", influencer["last_mail"]) if influencer.get("last_mail") else None
    queued = Delivery(state=DeliveryState.QUEUED, at=turn.at)
    to = address_of(influencer, answered)
    cc = [each for each in new.cc if canonical(each) != canonical(to)]
    recipients = [Recipient(address=to, kind=RecipientKind.TO, delivery=queued)]
    recipients += [Recipient(address=each, kind=RecipientKind.CC, delivery=queued) for each in cc]
    mail = Mail(
        mailbox_id=mailbox["_id"], sender_address=mailbox["address"], recipients=recipients,
        references=references_to(answered), has_remote_images=REMOTE in (new.message.safe_html or ""),
    )  # fmt: skip
    subject = subject_of(new.message, answered)
    message = NewMessage(**{**vars(new.message), "channel": MessageChannel.EMAIL, "subject": subject, "mail": mail})
    if new.draft_id is not None:
        await put_draft_deleted(turn, new.draft_id, new.message.thread_id)
    change, id = await put_message(turn, message, key)
    turn.put(change, "outbox", id, {"mailbox": mailbox["_id"], **waiting_from(turn)})
    return change, id


def waiting_from(turn: Turn) -> Document:
    at = to_milliseconds(turn.at)
    return {"stage": WAITING, "sending": 0, "attempts": 0, "first": at, "due": at, "lease": "", "lease_until": 0}


def address_of(influencer: Document, answered: Document | None) -> str:
    """Where they wrote from last, if that is still theirs; else their first address."""
    emails: list[str] = influencer["emails"]
    if not emails:
        raise Refused(UserErrorCode.ADDRESS_REQUIRED, "the influencer has no e-mail address", "channel")
    known = {canonical(each): each for each in emails}
    if answered is None:
        return emails[0]
    theirs = [answered["sender_address"], *(each["address"] for each in answered["recipients"])]
    return next((known[canonical(each)] for each in theirs if each and canonical(each) in known), emails[0])


def references_to(answered: Document | None) -> list[str]:
    """The Message-IDs of the mail that is answered and of those before it, oldest first (RFC 5322, section 3.6.4)."""
    if answered is None:
        return []
    references = [*answered["references"], answered["mail_id"]]
    return references[:1] + references[1:][-(MOST_REFERENCES - 1) :]


def subject_of(message: NewMessage, answered: Document | None) -> str:
    if message.subject is not None:
        return message.subject
    if answered is None or not answered["subject"]:
        raise Refused(UserErrorCode.BLANK, "an e-mail that answers none needs a subject", "subject")
    subject: str = answered["subject"]
    return subject if subject[:3].casefold() == "re:" else f"Re: {subject}"


# What whoever sends does, outside of the log


async def due_items(store: Store, now: int, limit: int, without: Sequence[str] = ()) -> list[Document]:
    """What is to be looked at by now, of all workspaces but not of these mailboxes, the longest due first."""
    filter: Document = {"stage": {"$in": [WAITING, TO_FILE]}, "due": {"$lte": now}}
    if without:
        filter["mailbox"] = {"$nin": list(without)}
    return await store.database.find("outbox", filter, sort=[("due", 1)], limit=limit, hint=OUTBOX)


async def claim(store: Store, id: str, owner: str, now: int, until: int) -> bool:
    """Takes an item for some time, or says that somebody else has it."""
    where = {"stage": {"$in": [WAITING, TO_FILE]}, "lease_until": {"$lt": now}}
    return await store.database.set("outbox", id, {"lease": owner, "lease_until": until, "due": until}, where=where)


async def keep(store: Store, id: str, owner: str, until: int) -> bool:
    """Keeps an item for longer; False where it is somebody else's by now."""
    return await store.database.set("outbox", id, {"lease_until": until, "due": until}, where={"lease": owner})


async def put_off(store: Store, id: str, owner: str, due: int, attempts: int) -> None:
    """Lets go of an item until it is due."""
    fields = {"lease": "", "lease_until": 0, "due": due, "attempts": attempts}
    await store.database.set("outbox", id, fields, where={"lease": owner})


async def hurry(store: Store, mailbox: str, now: int) -> None:
    """Has what waits for a mailbox be looked at now, by whoever sends."""
    filter = {"stage": {"$in": [WAITING, TO_FILE]}, "due": {"$gt": now}, "mailbox": mailbox, "lease": ""}
    await store.database.set_all("outbox", filter, {"due": now})


# What becomes of an item, in the log


async def begin_sending(store: Store, caller: Caller, id: str, owner: str, states: States) -> bool:
    """Notes that a server is about to be given the mail for those who are SENDING, and what it said of the others.

    False where it must not be given it: it is another's, or was given.
    """

    async def plan(turn: Turn) -> bool:
        item, message = await access_item(turn, id)
        if item["stage"] != WAITING or item["sending"] or item["lease"] != owner:
            return False
        change = await put_states(turn, message, states)
        turn.put(change or quiet_change(turn, id), "outbox", id, {"sending": 1})
        return True

    return (await store.log.change(caller, plan)).result


async def settle(
    store: Store, caller: Caller, id: str, states: States, stage: int, due: int, attempts: int, owner: str = ""
) -> Outcome[None]:
    """Notes what became of a try, unless somebody else has the item by now, and says what became of it."""

    async def plan(turn: Turn) -> None:
        item, message = await access_item(turn, id)
        changed = {"stage": stage, "sending": 0, "attempts": attempts, "due": due, "lease": "", "lease_until": 0}
        if item["stage"] == WAITING and item["lease"] == owner:
            change = await put_states(turn, message, states)
            turn.put(change or quiet_change(turn, id), "outbox", id, changed)

    return await asyncio.shield(store.log.change(caller, plan))  # nobody else knows it, so it is noted in any case


async def finish(store: Store, caller: Caller, id: str, owner: str, stage: int, due: int) -> Outcome[None]:
    """Notes that nobody waits for a mail any more: what was heard of it meanwhile has settled it."""

    async def plan(turn: Turn) -> None:
        item, message = await access_item(turn, id)
        if item["lease"] == owner and not item["sending"] and not addresses_in(message, {DeliveryState.QUEUED}):
            turn.put(quiet_change(turn, id), "outbox", id, {"stage": stage, "due": due, "lease": "", "lease_until": 0})

    return await store.log.change(caller, plan)


async def finish_filing(store: Store, id: str) -> None:
    """The mail is in the mailbox's Sent folder, which no client can see from us."""
    await store.database.set("outbox", id, {"stage": DONE, "lease": "", "lease_until": 0}, where={"stage": TO_FILE})


async def access_item(turn: Turn, id: str) -> tuple[Document, Document]:
    """An item and its message. What was leased meanwhile must be seen, so it is read anew in each turn."""
    item, message = await turn.get("outbox", id), await turn.get("messages", id)
    if item is None or message is None:
        raise not_found(id)
    return item, message


def quiet_change(turn: Turn, id: str) -> Change:
    """A change of an item alone, of whose message there is nothing to tell."""
    return turn.begin("MESSAGE_CHANGED", id)


async def put_learned(turn: Turn, message: Document, states: States) -> Change | None:
    """Notes what was learned of a mail. Whoever sent it did not file it if nobody knew that anybody got it."""
    unknown = addresses_in(message, {DeliveryState.UNKNOWN})
    is_news = not addresses_in(message, GOT) and any(states[each][0] in GOT for each in unknown if each in states)
    change = await put_states(turn, message, states)
    item = await turn.get("outbox", message["_id"]) if is_news else None
    if change is not None and item is not None and item["stage"] == DONE:
        turn.put(change, "outbox", message["_id"], {**waiting_from(turn), "stage": TO_FILE})
    return change


def resolution_states(message: Document, old: set[DeliveryState], new: DeliveryState, words: str) -> States:
    """The recipients that are in one of these states, each with another one."""
    return dict.fromkeys(addresses_in(message, old), (new, words))


async def resolve(store: Store, caller: Caller, id: str, was_sent: bool) -> Outcome[None]:
    """A member says what became of a mail whose outcome is unknown; one that was not sent, or failed, is sent again."""

    async def plan(turn: Turn) -> None:
        message = await turn.get("messages", id)
        item = await turn.get("outbox", id)
        if message is None:
            raise not_found(id)
        if item is None:
            raise Refused(UserErrorCode.INVALID, "only an e-mail that is sent from here has an outcome", "messageId")
        old = {DeliveryState.UNKNOWN} if was_sent else {DeliveryState.UNKNOWN, DeliveryState.FAILED}
        new = DeliveryState.SENT if was_sent else DeliveryState.QUEUED
        states = resolution_states(message, old, new, "as a member says" if was_sent else "sent again by a member")
        if not states or item["sending"]:
            raise Refused(UserErrorCode.INVALID, "it is known what became of this message", "messageId")
        if not was_sent:
            must_send(await access_mailbox(turn, item["mailbox"]), turn.caller.id, "messageId")
        change = await put_learned(turn, message, states)
        if not was_sent:
            turn.put(change or quiet_change(turn, id), "outbox", id, waiting_from(turn))

    return await store.log.change(caller, plan)
