"""One mailbox, read for as long as its server lets us: what is new, what was missed, and whether all is there.

What is known of a folder is only moved on once what it tells of is committed, and a mail that is found twice is the
same mail. So whoever is killed, wherever that is, leaves nothing undone that the next one does not do, and nothing
that is done twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from schema.types.mailbox import MailboxCheck, MailboxState, QuarantineState
from schema.types.scalars import now
from storage import files, mail_in, mail_states, mailboxes, quarantine
from storage.mail_states import IGNORED, INBOX, REFUSED, SENT, TAKEN_IN, FolderState
from sync.imap import FetchedHeader, ImapConnection, Selected
from sync.lease import LeaseLost, after, time_now
from sync.mail import Envelope
from sync.mail_access import account_of, roles_of
from sync.mail_server import Failure, MailServerFailed
from sync.mailbox_folder import BATCH, Folder, Work, ask_again
from sync.refusals import SetAside

logger = logging.getLogger("connect_inbox.sync")

NO_MORE = "its server did not give it, and it is asked for no more"
MANY = 20  # mails that are new at once, from which on it is told that the mailbox is being read
DAY = 24 * 3600 * 1000  # milliseconds
MOST_TURNS = 3  # in a day, in which a server may begin to number its mail anew


class Flapping(Exception):
    """The server keeps numbering its mail anew: what is new in it cannot be told."""


async def read(work: Work, imap: ImapConnection) -> None:
    """Reads until the connection or the lease is lost. Raises MailServerFailed, Flapping, LeaseLost."""
    roles: dict[str, str] = {}
    while True:
        if SENT not in roles:  # programs make it when they first need it
            roles = roles_of(await imap.folders(await mail_states.sent_name(work.store, work.mailbox.id)))
        missing = [each for role, name in roles.items() if (each := await read_folder(work, imap, role, name))]
        due = await mail_states.check_due(work.store, work.mailbox.id)
        if due <= time_now():
            if due != mail_states.UNDER_WAY:  # or it would be asked for after each failure
                work.refusals.allow_another_try()
            await check(work, imap, roles)
            continue
        state = MailboxState.DEGRADED if missing else MailboxState.CONNECTED
        if not (await mailboxes.set_state(work.store, work.caller, work.mailbox.id, state, *missing)).result:
            raise LeaseLost  # it was disconnected, and whoever did so was ended before the reading was
        work.on_success()
        await imap.idle(work.times.poll)


async def read_folder(work: Work, imap: ImapConnection, role: str, name: str) -> str | None:
    """Takes in what is new in a folder; or why it cannot be opened."""
    try:
        selected = await opened(work, imap, role, name)
    except SetAside as error:
        return str(error)
    states = await mail_states.folder_states(work.store, work.mailbox.id)
    state, there = states.get(role), folder_there(work, name, selected)
    if state is None:  # it was not there when the mailbox was connected, and what came to it since is none of history
        began = states[INBOX].began if INBOX in states else time_now()
        state = await begun_anew(work, imap, role, replace(there, began=began, generation=began))
    elif is_another(state, there):
        state = await begun_anew(work, imap, role, instead_of(state, there))
    elif state.uid_validity != there.uid_validity:
        recent = await recent_turns(work, role)
        state = await begun_anew(work, imap, role, instead_of(state, there))
        await mail_states.save_turns(work.store, work.mailbox.id, {**recent, role: [*recent[role], time_now()]})
    elif not state.account:
        state = replace(state, account=there.account)
        await save(work, role, state)
    folder = folder_of(work, imap, role, state)
    uids = await imap.new_uids(state.last_uid)
    if len(uids) >= MANY:
        await mailboxes.set_state(work.store, work.caller, work.mailbox.id, MailboxState.SYNCING)
    for batch in batches(uids):
        await folder.take(batch)
        state = replace(state, last_uid=batch[-1])
        await save(work, role, state)
        work.on_success()
    return None


async def opened(work: Work, imap: ImapConnection, role: str, name: str) -> Selected:
    """Of the folder of what was sent, `SetAside` is raised at last: what comes in does not wait for it."""
    if role == INBOX:
        return await imap.select(name)
    try:
        return await work.refusals.ask_for_one(f"folder {name}", partial(imap.select, name))
    except SetAside:
        await ask_again(work)
        raise
    except MailServerFailed as failed:
        if failed.failure is Failure.PERMISSION:  # which is for the mailbox as a whole
            raise MailServerFailed(Failure.PROTOCOL, failed.reason) from None
        raise


def folder_of(work: Work, imap: ImapConnection, role: str, state: FolderState) -> Folder:
    return Folder(work, imap, role, mail_states.place_of(work.mailbox.id, role, state), state.began)


async def save(work: Work, role: str, state: FolderState) -> None:
    states = await mail_states.folder_states(work.store, work.mailbox.id)
    if not await mail_states.save_folders(work.store, work.mailbox.id, work.owner, {**states, role: state}):
        raise LeaseLost


async def uids_of(imap: ImapConnection, state: FolderState) -> list[int]:
    """The mails of a folder, as far as it has been read and since the mailbox was connected."""
    return [uid for uid in await imap.new_uids(state.first_uid - 1) if uid <= state.last_uid]


def batches(uids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(uids), BATCH):
        yield uids[start : start + BATCH]


# Where a folder is another one than before, or its server numbers its mail anew


def folder_there(work: Work, name: str, selected: Selected) -> FolderState:
    """What its server says of a folder, with nothing of it read."""
    assert work.mailbox.imap is not None, "a mailbox that is read has a server"
    last = selected.uid_next - 1
    return FolderState(name, selected.uid_validity, last + 1, last, 0, account_of(work.mailbox.imap))


def is_another(state: FolderState, there: FolderState) -> bool:
    """Whether a folder has another name, or is somebody else's, whose UIDVALIDITY may be the same nevertheless.

    Some servers give the same one to all folders. Whether it was only renamed cannot be told.
    """
    return state.name != there.name or state.account not in ("", there.account)


def instead_of(state: FolderState, there: FolderState) -> FolderState:
    """How a folder is read from now on that was another one, or had other numbers."""
    return replace(there, began=state.began, generation=state.generation + 1)


async def recent_turns(work: Work, role: str) -> dict[str, list[int]]:
    """When it happened in the last day, by role. Raises Flapping where this is once too often for a folder."""
    turns = await mail_states.turns(work.store, work.mailbox.id)
    recent = {each: [at for at in turns.get(each, []) if at > time_now() - DAY] for each in (INBOX, SENT)}
    if len(recent[role]) + 1 >= MOST_TURNS:
        raise Flapping
    return recent


async def begun_anew(work: Work, imap: ImapConnection, role: str, state: FolderState) -> FolderState:
    """Goes through what came since the mailbox was connected, and takes in what is not here yet: never history.

    Of what is here by its Message-ID, size and header, only the header is fetched again. Servers tell whole seconds.
    """
    folder = folder_of(work, imap, role, state)
    first, began = state.first_uid, state.began // 1000 * 1000
    for batch in batches(await imap.uids_since(began)):
        given = await folder.headers(batch)
        headers = [each for each in given if each.internal_date >= began]
        history = {each.uid for each in given if each.internal_date < began}
        first = min([first, *(uid for uid in batch if uid not in history)])  # with those that are asked for again
        await folder.note(dict.fromkeys(history, IGNORED))
        envelopes = await folder.envelopes(headers)
        known = await known_of(work, role, headers, envelopes)
        await folder.note(dict.fromkeys(known, TAKEN_IN))
        await folder.take_headers(headers, {uid: each for uid, each in envelopes.items() if uid not in known})
    state = replace(state, first_uid=first)
    noted = set().union(*await mail_states.noted_uids(work.store, folder.place))
    for batch in batches([uid for uid in await uids_of(imap, state) if uid not in noted]):  # it was moved among them
        await folder.take(batch)
    await save(work, role, state)
    return state


async def known_of(work: Work, role: str, headers: list[FetchedHeader], envelopes: dict[int, Envelope]) -> set[int]:
    """Which of these mails are here for certain: there are programs that give a Message-ID to more than one."""
    store, workspace = work.store, work.caller.workspace
    ids = {uid: each.message_id for uid, each in envelopes.items() if each.message_id}
    settled = await mail_in.settled(store, workspace, set(ids.values()))
    known: set[int] = set()
    for each in headers:
        if ids.get(each.uid) in settled:
            raw = settled[ids[each.uid]]
            if await files.is_same(store, workspace, raw, each.size, each.header) if raw else role == SENT:
                known.add(each.uid)
    return known


# Completeness


async def check(work: Work, imap: ImapConnection, names: dict[str, str]) -> None:
    """Compares what the server has since the mailbox was connected with what was seen of it, and fills the gaps."""
    await mail_states.begin_check(work.store, work.mailbox.id)
    work.refusals.are_new = False
    compared = missing = repaired = 0
    folders: list[tuple[Folder, list[int]]] = []
    states = await mail_states.folder_states(work.store, work.mailbox.id)
    for role, name in names.items():
        try:
            selected = await opened(work, imap, role, name)
        except SetAside:
            continue
        state, there = states.get(role), folder_there(work, name, selected)
        if state is None or is_another(state, there) or state.uid_validity != there.uid_validity:
            return  # it is read first
        folder = folder_of(work, imap, role, state)
        uids = await uids_of(imap, state)
        done, refused = await mail_states.noted_uids(work.store, folder.place)
        work.refusals.before = set(map(folder.place_of, refused))
        folders.append((folder, uids))
        gaps = [uid for uid in uids if uid not in done]
        for batch in batches(gaps):
            work.refusals.one_by_one |= not refused.isdisjoint(batch)
            repaired += await folder.take(batch)
        compared, missing = compared + len(uids), missing + len(gaps)
    found = MailboxCheck(at=now(), compared=compared, missing=missing, repaired=repaired)
    if missing:
        logger.warning("%s had %d gaps, of which %d are filled", work.mailbox.id, missing, repaired)
    await mailboxes.set_check(work.store, work.caller, work.mailbox.id, found)
    if len(folders) == len(names):
        await close_refused(work, folders)
    wait = work.times.again if work.refusals.are_new else work.times.check
    await mail_states.end_check(work.store, work.mailbox.id, after(wait))


async def close_refused(work: Work, folders: list[tuple[Folder, list[int]]]) -> None:
    """What is told of mails that the server did not give ends where they are asked for no more."""
    store, caller = work.store, work.caller
    held = await quarantine.refused_of(store, caller.workspace, work.mailbox.id)
    there = {folder.place_of(uid) for folder, uids in folders for uid in uids} if held else set()
    for each in held:
        place = each["refused_at"]
        became = await mail_states.what_became(store, place)
        if became == TAKEN_IN:  # and whoever took it in was killed before this was told
            await quarantine.set_state(store, caller, each["_id"], QuarantineState.RECOVERED)
        elif became != REFUSED or place not in there:
            await quarantine.set_state(store, caller, each["_id"], QuarantineState.DISCARDED, reason=NO_MORE)
