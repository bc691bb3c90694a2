"""Mailboxes: connected addresses, who may send from which, and how each is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from schema.types.context import Caller
from schema.types.errors import Refused, UserErrorCode, not_found
from schema.types.mailbox import Mailbox, MailboxAccess, MailboxCheck, MailboxState, _Server
from schema.types.node import new_id
from storage import claims
from storage.addresses import canonical
from storage.changes import Change, Turn
from storage.documents import Document, from_document, to_document, to_milliseconds, to_value
from storage.indexes import OF_WORKSPACE
from storage.log import Outcome
from storage.reader import StoreReader
from storage.store import Store
from storage.workspaces import access_active_member, active_member

WELL = {MailboxState.CONNECTED, MailboxState.SYNCING}
STOPPED = {MailboxState.NEEDS_RECONNECT, MailboxState.PAUSED, MailboxState.DISCONNECTED}
NOT_SENDING = {MailboxState.NEEDS_RECONNECT, MailboxState.DISCONNECTED}
MOST_MAILBOXES = 200  # of a workspace
NONE_TO_SEND_FROM = (
    "you may not send from the workspace's fallback: name a mailbox that you may send from, connect one of your own, "
    "or have an ADMIN share the fallback"
)
PULSE = 5 * 60_000  # milliseconds between two tellings that all is still well


@dataclass(frozen=True)
class NewMailbox:
    """A mailbox whose servers have been tried."""

    address: str
    name: str
    access: MailboxAccess
    smtp: _Server
    imap: _Server | None
    provider: str | None = None
    is_shared: bool | None = None  # None: as it was with this owner before, or not


async def all_mailboxes(reader: StoreReader) -> list[Mailbox]:
    """Every mailbox that is connected, in the order in which they were."""
    filter = {"workspace": reader.caller.workspace}
    documents = await reader.store.database.find("mailboxes", filter, hint=OF_WORKSPACE)
    connected = [each for each in documents if each["state"] != MailboxState.DISCONNECTED.value]
    return [from_document(Mailbox, each) for each in sorted(connected, key=lambda each: int(each["added"]))]


async def connect_mailbox(store: Store, caller: Caller, owner: str, new: NewMailbox) -> Outcome[str]:
    """Connects an address; one that was connected before is the same mailbox again. The first is the fallback.

    Refused where it is connected and the caller does not manage it: its owner may be asked to share it.
    """

    async def plan(turn: Turn) -> str:
        id = await claims.owner_of(turn, "mailbox", canonical(new.address))
        old = await turn.get("mailboxes", id) if id else None
        if old is None:
            return await put_mailbox(turn, owner, new)
        if old["state"] != MailboxState.DISCONNECTED.value and not manages(turn.caller, old):
            raise Refused(UserErrorCode.TAKEN, "this address is connected by another member", "address")
        await put_connected_anew(turn, old, owner, new)
        return str(old["_id"])

    return await store.log.change(caller, plan)


async def put_connected_anew(turn: Turn, old: Document, member: str, new: NewMailbox) -> None:
    """Its name, where a provider says none, and who may send from it stay as they were.

    Not so where another member than its owner connects what was disconnected: who does that begins with nothing of it.
    """
    others = [each for each in await connected(turn) if each["_id"] != old["_id"]]
    must_have_room(others)
    fields = {name: to_value(value) for name, value in vars(new).items() if name not in ("address", "is_shared")}
    was_disconnected = old["state"] == MailboxState.DISCONNECTED.value
    if was_disconnected and old["owner_id"] != member:
        fields |= {"sender_ids": [], "is_shared": 0}
    elif new.provider is not None:
        del fields["name"]
    if new.is_shared is not None:
        fields["is_shared"] = int(new.is_shared)
    if was_disconnected:
        fields["connected_at"] = to_milliseconds(turn.at)
    owner = member if was_disconnected or not await active_member(turn, old["owner_id"]) else old["owner_id"]
    is_fallback = int(not any(each["is_fallback"] for each in others))
    fields |= {"owner_id": owner, "is_fallback": is_fallback, **state_now(turn, MailboxState.CONNECTED)}
    turn.put(turn.begin("MAILBOX_CHANGED", old["_id"]), "mailboxes", old["_id"], fields)


async def put_mailbox(turn: Turn, owner: str, new: NewMailbox) -> str:
    others = await connected(turn)
    must_have_room(others)
    id = new_id("mailbox")
    mailbox = Mailbox(
        id=id, state=MailboxState.CONNECTED, since=turn.at, last_success_at=turn.at, created_at=turn.at,
        connected_at=turn.at,
        is_fallback=not any(each["is_fallback"] for each in others), owner_id=owner, sender_ids=[],
        **{**vars(new), "is_shared": bool(new.is_shared)},
    )  # fmt: skip
    change = turn.begin("MAILBOX_ADDED", id)
    turn.put(change, "mailboxes", id, {**to_document(mailbox), "added": change.position})
    claims.take(turn, change, "mailbox", canonical(new.address), id)
    return str(id)


async def connected(turn: Turn) -> list[Document]:
    """The workspace's mailboxes that are connected: those that are shared, then the others, each by age."""
    found = await turn.find("mailboxes", {"workspace": turn.workspace}, hint=OF_WORKSPACE)
    there = [each for each in found if each["state"] != MailboxState.DISCONNECTED.value]
    return sorted(there, key=lambda each: (-each["is_shared"], int(each["added"])))


def must_have_room(others: list[Document]) -> None:
    if len(others) >= MOST_MAILBOXES:
        raise Refused(UserErrorCode.LIMIT_REACHED, f"a workspace has at most {MOST_MAILBOXES} mailboxes")


def state_now(turn: Turn, state: MailboxState, reason: str | None = None) -> Document:
    fields: Document = {"state": state.value, "reason": reason, "since": to_milliseconds(turn.at)}
    if state in WELL:
        fields["last_success_at"] = to_milliseconds(turn.at)
    return fields


async def access_mailbox(turn: Turn, id: str) -> Document:
    mailbox = await turn.get("mailboxes", id)
    if mailbox is None:
        raise not_found(id)
    return mailbox


def manages(caller: Caller, mailbox: Document) -> bool:
    """A mailbox is managed by its owner and by every ADMIN."""
    return mailbox["owner_id"] == caller.id or caller.is_admin


def must_manage(caller: Caller, mailbox: Document) -> None:
    if not manages(caller, mailbox):
        raise Refused(UserErrorCode.NOT_ALLOWED, "only its owner or an ADMIN manages a mailbox", "mailboxId")


async def change_mailbox(store: Store, caller: Caller, id: str, given: dict[str, Any]) -> Outcome[None]:
    """Changes what is given: `name`, `is_shared`, `sender_ids`. Raises NOT_FOUND for who is no member."""

    async def plan(turn: Turn) -> None:
        mailbox = await access_mailbox(turn, id)
        must_manage(turn.caller, mailbox)
        for member in given.get("sender_ids", []):
            await access_active_member(turn, member)
        changed = {name: to_value(value) for name, value in given.items() if to_value(value) != mailbox[name]}
        if changed:
            turn.put(turn.begin("MAILBOX_CHANGED", id), "mailboxes", id, changed)

    return await store.log.change(caller, plan)


async def disconnect_mailbox(store: Store, caller: Caller, id: str) -> Outcome[None]:
    """Nothing is read or sent from it any more; what came and went by it stays. Another one becomes the fallback."""

    async def plan(turn: Turn) -> None:
        mailbox = await access_mailbox(turn, id)
        must_manage(turn.caller, mailbox)
        if mailbox["state"] == MailboxState.DISCONNECTED.value:
            return
        change = turn.begin("MAILBOX_CHANGED", id)
        turn.put(change, "mailboxes", id, {**state_now(turn, MailboxState.DISCONNECTED), "is_fallback": 0})
        others = [each for each in await connected(turn) if each["_id"] != id] if mailbox["is_fallback"] else []
        if others:
            next_one = others[0]["_id"]
            turn.put(turn.begin("MAILBOX_CHANGED", next_one), "mailboxes", next_one, {"is_fallback": 1})

    return await store.log.change(caller, plan)


async def set_fallback(store: Store, caller: Caller, id: str) -> Outcome[None]:
    """Makes it what is sent from by those who have no default of their own, and may send from it."""

    async def plan(turn: Turn) -> None:
        await access_connected(turn, id)
        for each in await turn.find("mailboxes", {"workspace": turn.workspace}, hint=OF_WORKSPACE):
            is_fallback = int(each["_id"] == id)
            if each["is_fallback"] != is_fallback:
                change = turn.begin("MAILBOX_CHANGED", each["_id"])
                turn.put(change, "mailboxes", each["_id"], {"is_fallback": is_fallback})

    return await store.log.change(caller, plan)


async def set_default(store: Store, caller: Caller, member: str, id: str | None) -> Outcome[None]:
    """Makes it what the member's e-mail goes from; None for the workspace's fallback."""

    async def plan(turn: Turn) -> None:
        if id is not None:
            must_allow(await access_connected(turn, id), member)
        old = await access_active_member(turn, member)
        if old.get("mailbox_id") != id:
            for each in filter(None, (old.get("mailbox_id"), id)):
                change = turn.begin("MAILBOX_CHANGED", each, only=member)
            turn.put(change, "members", member, {"mailbox_id": id})

    return await store.log.change(caller, plan)


async def access_connected(turn: Turn, id: str) -> Document:
    mailbox = await access_mailbox(turn, id)
    if mailbox["state"] == MailboxState.DISCONNECTED.value:
        raise Refused(UserErrorCode.NEEDS_RECONNECT, f"{mailbox['address']} must be connected anew", "mailboxId")
    return mailbox


def allows(mailbox: Document, sender: str) -> bool:
    return from_document(Mailbox, mailbox).allows(sender)


def must_allow(mailbox: Document, sender: str, field: str = "mailboxId") -> None:
    if not allows(mailbox, sender):
        raise Refused(UserErrorCode.NOT_ALLOWED, f"you may not send from {mailbox['address']}", field)


def must_send(mailbox: Document, sender: str, field: str = "mailboxId") -> None:
    """Refused where the sender may not send from a mailbox, or nobody can at the moment."""
    must_allow(mailbox, sender, field)
    if MailboxState(mailbox["state"]) in NOT_SENDING:
        raise Refused(UserErrorCode.NEEDS_RECONNECT, f"{mailbox['address']} must be connected anew", field)


async def mailbox_to_send_from(turn: Turn, id: str | None) -> Document:
    """The mailbox named, or the one that the caller's e-mail goes from. Refused where there is none to use."""
    sender = turn.caller.id
    mailbox = await access_mailbox(turn, id or await default_of(turn, sender))
    must_send(mailbox, sender)
    return mailbox


async def default_of(turn: Turn, sender: str) -> str:
    """The sender's own default, or the workspace's fallback, if they may send from it; else the first of their own."""
    member = await turn.get("members", sender)
    chosen = await turn.get("mailboxes", member["mailbox_id"]) if member and member.get("mailbox_id") else None
    if chosen and chosen["state"] != MailboxState.DISCONNECTED.value and allows(chosen, sender):
        return str(chosen["_id"])
    there = await connected(turn)
    if not there:
        raise Refused(UserErrorCode.MAILBOX_REQUIRED, "e-mail needs a connected mailbox, and there is none", "channel")
    fallback = [each for each in there if each["is_fallback"] and allows(each, sender)]
    own = sorted((each for each in there if each["owner_id"] == sender), key=lambda each: int(each["added"]))
    if not fallback and not own:
        raise Refused(UserErrorCode.NOT_ALLOWED, NONE_TO_SEND_FROM, "mailboxId")
    return str((fallback + own)[0]["_id"])


async def set_state(
    store: Store, caller: Caller, id: str, state: MailboxState, reason: str | None = None
) -> Outcome[bool]:
    """How a mailbox is, as whoever reads or sends found; False for one that is disconnected by now.

    One that needs a person is left to that person.
    """

    async def plan(turn: Turn) -> bool:
        mailbox = await access_mailbox(turn, id)
        old = MailboxState(mailbox["state"])
        if old not in STOPPED:
            if old is state and mailbox["reason"] == reason:
                put_pulse(turn, mailbox, state)
            else:
                turn.put(turn.begin("MAILBOX_CHANGED", id), "mailboxes", id, state_now(turn, state, reason))
        return old is not MailboxState.DISCONNECTED

    return await store.log.change(caller, plan)


def put_pulse(turn: Turn, mailbox: Document, state: MailboxState) -> None:
    at = to_milliseconds(turn.at)
    if state in WELL and at - (mailbox["last_success_at"] or 0) >= PULSE:
        turn.put(turn.begin("MAILBOX_CHANGED", mailbox["_id"]), "mailboxes", mailbox["_id"], {"last_success_at": at})


async def set_check(store: Store, caller: Caller, id: str, found: MailboxCheck) -> Outcome[None]:
    async def plan(turn: Turn) -> None:
        await access_mailbox(turn, id)
        turn.put(turn.begin("MAILBOX_CHANGED", id), "mailboxes", id, {"last_check": to_value(found)})

    return await store.log.change(caller, plan)


def changed_mailbox(change: Change) -> str | None:
    """The mailbox that differs after a change, if one does."""
    return next((id for id in change.nodes if id.startswith("mailbox_")), None)


async def find_mailbox(store: Store, workspace: str, address: str) -> Mailbox | None:
    """The mailbox with this address, connected or not."""
    claim = await store.database.get("claims", claims.claim_id(workspace, "mailbox", canonical(address)))
    document = await store.database.get("mailboxes", claim["owner"]) if claim and claim["owner"] else None
    return from_document(Mailbox, document) if document else None
