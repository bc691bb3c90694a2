"""How far each mailbox has been read, and by whom. Nothing of it is for clients, so it is outside of the log.

mail_states   one document for each mailbox: what is known of its folders, and the lease of whoever reads it
mail_uids     what became of each mail on the server since the mailbox was connected, so that gaps can be found
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from storage.documents import Document
from storage.indexes import MAIL_STATES, MAIL_UIDS
from storage.store import Store

INBOX, SENT = "INBOX", "SENT"  # roles of folders
TAKEN_IN, IGNORED, QUARANTINED = "TAKEN_IN", "IGNORED", "QUARANTINED"  # what became of a mail
REFUSED = "REFUSED"  # its server has not given it so far
NOW, UNDER_WAY = 0, 1  # when a check is due that somebody waits for, or that goes on


@dataclass
class FolderState:
    """How far a folder has been read: everything up to `last_uid` is done. Mail from before `began` is history."""

    name: str
    uid_validity: int
    first_uid: int  # mail below it was there before the mailbox was connected
    last_uid: int
    began: int  # milliseconds since 1970
    account: str = ""  # whose it is, and where; "" where that was not kept
    generation: int = 0  # differs from that of any other folder that had its role: UIDs of one mean nothing in another


async def begin(store: Store, workspace: str, mailbox: str, is_read: bool, folders: dict[str, FolderState]) -> None:
    """Has a mailbox be read from where its folders stand, and forgets how far it was read before."""
    fields: Document = {
        "workspace": workspace, "active": int(is_read), "lease_until": 0, "lease": "", "turns": {}, "check_due": NOW,
        "folders": {role: vars(each) for role, each in folders.items()},
    }  # fmt: skip
    if not await store.database.insert("mail_states", {"_id": mailbox, **fields}):
        await store.database.set("mail_states", mailbox, fields)


async def go_on(store: Store, mailbox: str) -> bool:
    """Has a mailbox be read again from where it was left, at once; False for one that was never read.

    Whoever reads it by now does so as it was connected before, and has it no more.
    """
    fields: Document = {"active": 1, "turns": {}, "lease": "", "lease_until": 0}
    return await store.database.set("mail_states", mailbox, fields)


async def stop(store: Store, mailbox: str, owner: str | None = None) -> None:
    """Has a mailbox be read no more; where its reader says so, only if it is still that one's."""
    await store.database.set("mail_states", mailbox, {"active": 0}, where={"lease": owner} if owner else None)


async def to_read(store: Store, now: int, limit: int) -> list[Document]:
    """Mailboxes that nobody reads at the moment, and somebody should."""
    filter = {"active": 1, "lease_until": {"$lt": now}}
    return await store.database.find("mail_states", filter, limit=limit, hint=MAIL_STATES)


async def claim(store: Store, mailbox: str, owner: str, now: int, until: int) -> bool:
    where = {"active": 1, "lease_until": {"$lt": now}}
    return await store.database.set("mail_states", mailbox, {"lease": owner, "lease_until": until}, where=where)


async def keep(store: Store, mailbox: str, owner: str, until: int) -> bool:
    """Keeps the lease; False where it is somebody else's by now, or nobody should read it any more."""
    where = {"lease": owner, "active": 1}
    return await store.database.set("mail_states", mailbox, {"lease_until": until}, where=where)


async def let_go(store: Store, mailbox: str, owner: str, until: int = 0) -> None:
    """Lets others read it, at once or from some time on."""
    await store.database.set("mail_states", mailbox, {"lease": "", "lease_until": until}, where={"lease": owner})


async def folder_states(store: Store, mailbox: str) -> dict[str, FolderState]:
    """By role: what is known of the folders."""
    state = await store.database.get("mail_states", mailbox)
    return {role: FolderState(**each) for role, each in state["folders"].items()} if state else {}


async def sent_name(store: Store, mailbox: str) -> str | None:
    """The name of the Sent folder that is read, if one is."""
    state = (await folder_states(store, mailbox)).get(SENT)
    return state.name if state else None


async def save_folders(store: Store, mailbox: str, owner: str, folders: dict[str, FolderState]) -> bool:
    fields: Document = {"folders": {role: vars(each) for role, each in folders.items()}}
    return await store.database.set("mail_states", mailbox, fields, where={"lease": owner})


async def turns(store: Store, mailbox: str) -> dict[str, list[int]]:
    """By role: when the server last began to number a folder anew, in milliseconds since 1970."""
    state = await store.database.get("mail_states", mailbox)
    return dict(state["turns"]) if state else {}


async def save_turns(store: Store, mailbox: str, turns: dict[str, list[int]]) -> None:
    await store.database.set("mail_states", mailbox, {"turns": turns})


async def ask_for_check(store: Store, mailbox: str) -> None:
    await store.database.set("mail_states", mailbox, {"check_due": NOW})


async def asked_for_checks(store: Store) -> list[str]:
    """The mailboxes of which somebody waits for a check that has not begun."""
    filter = {"active": 1, "check_due": NOW}
    return [each["_id"] for each in await store.database.find("mail_states", filter, hint=MAIL_STATES, only=["active"])]


async def check_due(store: Store, mailbox: str) -> int:
    """When the mailbox is to be checked for completeness, in milliseconds since 1970."""
    state = await store.database.get("mail_states", mailbox)
    return int(state["check_due"]) if state else 0


async def ask_for_check_by(store: Store, mailbox: str, due: int) -> None:
    """Has a mailbox be checked by then, or before."""
    await store.database.set("mail_states", mailbox, {"check_due": due}, where={"check_due": {"$gt": due}})


async def begin_check(store: Store, mailbox: str) -> None:
    """Whoever asks for a check from here on is not answered by this one."""
    await store.database.set("mail_states", mailbox, {"check_due": UNDER_WAY})


async def end_check(store: Store, mailbox: str, due: int) -> None:
    """The next one is due then, unless somebody has asked for one meanwhile."""
    await store.database.set("mail_states", mailbox, {"check_due": due}, where={"check_due": UNDER_WAY})


def place_of(mailbox: str, role: str, state: FolderState) -> str:
    """Where a folder is, among all of all mailboxes."""
    generation = f".{state.generation}" if state.generation else ""
    return f"{mailbox}:{role}:{state.uid_validity}{generation}"


def uid_id(place: str, uid: int) -> str:
    return f"{place}:{uid}"


async def note_uids(store: Store, workspace: str, place: str, became: dict[int, str]) -> None:
    """Notes what became of mails. Noted twice is noted once; only what was refused can become something else."""
    documents: dict[str, dict[str, Any]] = {
        uid_id(place, uid): {
            "workspace": workspace, "place": place, "uid": uid, "became": what,
            "position": int(what != REFUSED),
        }
        for uid, what in became.items()
    }  # fmt: skip
    if documents:
        await store.database.put_guarded("mail_uids", documents)


async def what_became(store: Store, place: str) -> str | None:
    """Of a mail; where it is, is what `uid_id` says."""
    noted = await store.database.get("mail_uids", place)
    return noted["became"] if noted else None


async def give_up_refused(store: Store, place: str) -> None:
    """Has a mail that its server did not give be asked for no more."""
    fields: Document = {"became": IGNORED, "position": 1}
    await store.database.set("mail_uids", place, fields, where={"became": REFUSED})


async def noted_uids(store: Store, place: str) -> tuple[set[int], set[int]]:
    """The mails of a folder of which it is known what became of them, and those that were refused."""
    filter, done, refused = {"place": place}, set[int](), set[int]()
    async for each in store.database.stream("mail_uids", filter, hint=MAIL_UIDS, only=["uid", "became"]):
        (refused if each["became"] == REFUSED else done).add(each["uid"])
    return done, refused
