"""One mailbox, read for as long as its server lets us: what is new, what was missed, and whether all is there.

What is known of a folder is only moved on once what it tells of is committed, and a mail that is found twice is the
same mail. So whoever is killed, wherever that is, leaves nothing undone that the next one does not do, and nothing
that is done twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

from schema.types.context import Caller
from schema.types.mailbox import Mailbox, MailboxCheck, MailboxState
from schema.types.scalars import now
from storage import mail_in, mail_states, mailboxes
from storage.mail_states import IGNORED, INBOX, SENT, TAKEN_IN, FolderState
from storage.store import Store
from sync.imap import FetchedHeader, ImapConnection, MailTooLarge
from sync.lease import LeaseLost, after, time_now
from sync.mail import Envelope
from sync.mail_access import roles_of
from sync.mail_counters import MailCounters
from sync.mail_envelope import envelope_of
from sync.mail_taking import Found, concerns, take_all
from sync.mail_times import MailTimes
from sync.mail_workers import MailParsers

logger = logging.getLogger("connect_inbox.sync")

BATCH = 50  # mails whose headers are looked at together
MOST_BYTES = 30 * 1024 * 1024  # of a mail that is fetched
AT_ONCE = 4 * 1024 * 1024  # bytes of the mails of a mailbox that are held at a time
SMALL = AT_ONCE // 2 // BATCH  # bytes of a mail, up to which it is fetched together with others
LARGE = AT_ONCE // 2  # bytes of a mail, from which on it waits for room and is held alone
MOST_LARGE = 8  # such mails that one process holds at a time, of all mailboxes
MANY = 20  # mails that are new at once, from which on it is told that the mailbox is being read
DAY = 24 * 3600 * 1000  # milliseconds
MOST_TURNS = 3  # in a day, in which a server may begin to number its mail anew


class Flapping(Exception):
    """The server keeps numbering its mail anew: what is new in it cannot be told."""


@dataclass(frozen=True)
class Work:
    """What reading a mailbox is done with."""

    store: Store
    parsers: MailParsers
    caller: Caller
    mailbox: Mailbox
    owner: str  # of the lease
    times: MailTimes
    counters: MailCounters
    room: asyncio.Semaphore  # for mails that are large
    on_success: Callable[[], object]


async def read(work: Work, imap: ImapConnection) -> None:
    """Reads until the connection or the lease is lost. Raises MailServerFailed, Flapping, LeaseLost."""
    roles: dict[str, str] = {}
    while True:
        if SENT not in roles:  # programs make it when they first need it
            roles = roles_of(await imap.folders())
        for role, name in roles.items():
            await read_folder(work, imap, role, name)
        if await mail_states.check_due(work.store, work.mailbox.id) <= time_now():
            await check(work, imap, roles)
            continue
        if not (await mailboxes.set_state(work.store, work.caller, work.mailbox.id, MailboxState.CONNECTED)).result:
            raise LeaseLost  # it was disconnected, and whoever did so was ended before the reading was
        work.on_success()
        await imap.idle(work.times.poll)


async def read_folder(work: Work, imap: ImapConnection, role: str, name: str) -> None:
    """Takes in what is new in a folder."""
    selected = await imap.select(name)
    states = await mail_states.folder_states(work.store, work.mailbox.id)
    state = states.get(role)
    if state is None:  # it was not there when the mailbox was connected, and what came to it since is none of history
        began = states[INBOX].began if INBOX in states else time_now()
        state = FolderState(name, selected.uid_validity, selected.uid_next, selected.uid_next - 1, began)
        state = await renumbered(work, imap, role, state, selected.uid_validity, selected.uid_next)
    elif state.uid_validity != selected.uid_validity:
        recent = await recent_turns(work, role)
        state = await renumbered(work, imap, role, state, selected.uid_validity, selected.uid_next)
        await mail_states.save_turns(work.store, work.mailbox.id, {**recent, role: [*recent[role], time_now()]})
    uids = await imap.new_uids(state.last_uid)
    if len(uids) >= MANY:
        await mailboxes.set_state(work.store, work.caller, work.mailbox.id, MailboxState.SYNCING)
    for batch in batches(uids):
        await take_uids(work, imap, role, state.uid_validity, batch)
        state = replace(state, last_uid=batch[-1])
        await save(work, role, state)


async def save(work: Work, role: str, state: FolderState) -> None:
    states = await mail_states.folder_states(work.store, work.mailbox.id)
    if not await mail_states.save_folders(work.store, work.mailbox.id, work.owner, {**states, role: state}):
        raise LeaseLost


def batches(uids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(uids), BATCH):
        yield uids[start : start + BATCH]


async def take_uids(work: Work, imap: ImapConnection, role: str, uid_validity: int, uids: list[int]) -> int:
    """Takes in those of some mails that concern somebody, and notes what became of each; how many were taken in."""
    headers = await imap.headers(uids)
    return await take_headers(work, imap, role, uid_validity, headers)


async def take_headers(
    work: Work, imap: ImapConnection, role: str, uid_validity: int, headers: list[FetchedHeader]
) -> int:
    envelopes = await envelopes_of(headers)
    concerned = await concerns(work.store, work.caller.workspace, envelopes, is_sent=role == SENT)
    await note(work, role, uid_validity, {each.uid: IGNORED for each in headers if each.uid not in concerned})
    wanted = [Wanted(each, envelopes[each.uid], concerned[each.uid]) for each in headers if each.uid in concerned]
    small = await imap.fetch_small([each.uid for each in wanted if each.size <= SMALL], SMALL)
    taken, held = 0, Held(work, role, uid_validity)
    for each in wanted:
        if each.size > LARGE or not held.has_room_for(each):
            taken += await held.take()
        async with work.room if each.size > LARGE else nullcontext():
            held.found.append(await fetched(imap, each, small.pop(each.uid, None)))
            if each.size > LARGE:
                taken += await held.take()
    return taken + await held.take()


@dataclass(frozen=True)
class Wanted:
    """A mail that is to be fetched, and whom it concerns."""

    header: FetchedHeader
    envelope: Envelope
    people: list[str]

    @property
    def uid(self) -> int:
        return self.header.uid

    @property
    def size(self) -> int:
        return self.header.size


async def envelopes_of(headers: list[FetchedHeader]) -> dict[int, Envelope]:
    """One by one: a header may take as long as others may wait."""
    envelopes: dict[int, Envelope] = {}
    for each in headers:
        envelopes[each.uid] = envelope_of(each.header)
        await asyncio.sleep(0)
    return envelopes


@dataclass
class Held:
    """Mails that are fetched, and are taken in together."""

    work: Work
    role: str
    uid_validity: int
    found: list[Found] = field(default_factory=list)

    def has_room_for(self, wanted: Wanted) -> bool:
        return wanted.size + sum(len(each.raw or b"") for each in self.found) <= AT_ONCE

    async def take(self) -> int:
        """How many were taken in. None is held any more."""
        work, found, self.found = self.work, self.found, []
        became = await take_all(work.store, work.parsers, work.caller, work.mailbox, self.role == SENT, found)
        await note(work, self.role, self.uid_validity, became)
        return sum(each != IGNORED for each in became.values())


async def note(work: Work, role: str, uid_validity: int, became: dict[int, str]) -> None:
    await mail_states.note_uids(work.store, work.caller.workspace, work.mailbox.id, role, uid_validity, became)
    work.counters.found.update(became.values())


async def fetched(imap: ImapConnection, wanted: Wanted, raw: bytes | None) -> Found:
    """The mail, or the header alone of one that is too large, or twice as large as its server says and more.

    `raw` is the mail where it was fetched before.
    """
    most = MOST_BYTES if wanted.size > LARGE else AT_ONCE
    found = Found(wanted.uid, raw, wanted.envelope, wanted.size, wanted.people)
    try:
        return found if raw is not None else replace(found, raw=await imap.fetch(wanted.uid, most))
    except MailTooLarge:
        return replace(found, raw=wanted.header.header, size=max(wanted.size, MOST_BYTES + 1), is_too_large=True)


# Where a server numbers its mail anew


async def recent_turns(work: Work, role: str) -> dict[str, list[int]]:
    """When it happened in the last day, by role. Raises Flapping where this is once too often for a folder."""
    turns = await mail_states.turns(work.store, work.mailbox.id)
    recent = {each: [at for at in turns.get(each, []) if at > time_now() - DAY] for each in (INBOX, SENT)}
    if len(recent[role]) + 1 >= MOST_TURNS:
        raise Flapping
    return recent


async def renumbered(
    work: Work, imap: ImapConnection, role: str, old: FolderState, uid_validity: int, uid_next: int
) -> FolderState:
    """Goes through what came since the mailbox was connected, and takes in what is not here yet: never history.

    So it is done with a folder that is new, too.

    Of what is known by its Message-ID only the header is fetched again. Servers tell whole seconds.
    """
    first, began = uid_next, old.began // 1000 * 1000
    for batch in batches(await imap.uids_since(began)):
        headers = [each for each in await imap.headers(batch) if each.internal_date >= began]
        first = min([first, *(each.uid for each in headers)])
        ids = {uid: each.message_id for uid, each in (await envelopes_of(headers)).items()}
        known = await mail_in.settled(work.store, work.caller.workspace, {id for id in ids.values() if id})
        await note(work, role, uid_validity, {uid: TAKEN_IN for uid, id in ids.items() if id in known})
        await take_headers(work, imap, role, uid_validity, [each for each in headers if ids[each.uid] not in known])
    state = FolderState(old.name, uid_validity, first, uid_next - 1, old.began)
    await save(work, role, state)
    return state


# Completeness


async def check(work: Work, imap: ImapConnection, names: dict[str, str]) -> None:
    """Compares what the server has since the mailbox was connected with what was seen of it, and fills the gaps."""
    await mail_states.begin_check(work.store, work.mailbox.id)
    compared = missing = repaired = 0
    for role, name in names.items():
        selected = await imap.select(name)
        state = (await mail_states.folder_states(work.store, work.mailbox.id)).get(role)
        if state is None or state.uid_validity != selected.uid_validity:
            return  # it is read first
        there = [uid for uid in await imap.new_uids(state.first_uid - 1) if uid <= state.last_uid]
        noted = await mail_states.noted_uids(work.store, work.mailbox.id, role, state.uid_validity)
        gaps = [uid for uid in there if uid not in noted]
        for batch in batches(gaps):
            repaired += await take_uids(work, imap, role, state.uid_validity, batch)
        compared, missing = compared + len(there), missing + len(gaps)
    found = MailboxCheck(at=now(), compared=compared, missing=missing, repaired=repaired)
    if missing:
        logger.warning("%s had %d gaps, of which %d are filled", work.mailbox.id, missing, repaired)
    await mailboxes.set_check(work.store, work.caller, work.mailbox.id, found)
    await mail_states.end_check(work.store, work.mailbox.id, after(work.times.check))
