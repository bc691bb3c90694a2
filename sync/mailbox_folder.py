"""A folder of a mailbox: its mails are fetched, taken in, and what became of each is noted.

Little is held at a time, whatever the server has: small mails are fetched together, large ones one by one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from schema.types.context import Caller
from schema.types.mailbox import Mailbox
from storage import mail_states
from storage.mail_states import IGNORED, REFUSED, SENT
from storage.store import Store
from sync.imap import FetchedHeader, ImapConnection, MailTooLarge
from sync.lease import after
from sync.mail import Envelope
from sync.mail_counters import MailCounters
from sync.mail_envelope import envelope_of
from sync.mail_server import Failure
from sync.mail_taking import Found, concerns, take_all
from sync.mail_times import MailTimes
from sync.mail_workers import MailParsers
from sync.refusals import Refusals, SetAside

logger = logging.getLogger("connect_inbox.sync")

BATCH = 50  # mails whose headers are looked at together
MOST_BYTES = 30 * 1024 * 1024  # of a mail that is fetched
AT_ONCE = 4 * 1024 * 1024  # bytes of the mails of a mailbox that are held at a time
SMALL = AT_ONCE // 2 // BATCH  # bytes of a mail, up to which it is fetched together with others
LARGE = AT_ONCE // 2  # bytes of a mail, from which on it waits for room and is held alone
MOST_LARGE = 8  # such mails that one process holds at a time, of all mailboxes
MOST_OF_WORKSPACE = 2  # of them, of one workspace
CLOCKS = 24 * 3600 * 1000  # milliseconds by which a server's clock may be behind


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
    own_room: asyncio.Semaphore  # of the workspace, for the same: its servers may keep no others from theirs
    refusals: Refusals
    on_success: Callable[[], object]


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


@dataclass(frozen=True)
class Folder:
    """One that is open."""

    work: Work
    imap: ImapConnection
    role: str
    place: str  # where it is, among all folders of all mailboxes
    began: int  # milliseconds since 1970; what came before is history

    async def take(self, uids: list[int]) -> int:
        """Takes in those of some mails that concern somebody; how many were taken in. Raises MailServerFailed.

        One that was only moved here, or imported, came when it came before: it may be history.
        """
        given = await self.headers(uids)
        history = {each.uid for each in given if 0 < each.internal_date < self.began - CLOCKS}
        await self.note(dict.fromkeys(history, IGNORED))
        headers = [each for each in given if each.uid not in history]
        return await self.take_headers(headers, await self.envelopes(headers))

    async def headers(self, uids: list[int]) -> list[FetchedHeader]:
        """Where the server does not give a header, nobody can tell whether the mail concerns somebody."""
        if not self.work.refusals.one_by_one:
            return await self.work.refusals.ask_for_several(self.imap.headers(uids))
        headers: list[FetchedHeader] = []
        for uid in uids:
            try:
                headers += await self.work.refusals.ask_for_one(
                    f"header of {self.place_of(uid)}", partial(self.imap.headers, [uid])
                )
            except SetAside as error:
                await self._set_header_aside(uid, error)
        return headers

    async def _set_header_aside(self, uid: int, error: SetAside) -> None:
        logger.warning("no header of a mail in %s can be had: %s", self.work.mailbox.id, error)
        await self.note_refused(error)
        await self.note({uid: REFUSED})

    async def envelopes(self, headers: list[FetchedHeader]) -> dict[int, Envelope]:
        """By UID, but of those that are gone or not given. One by one: each may take as long as others may wait."""
        envelopes: dict[int, Envelope] = {}
        for each in headers:
            header = await self._deciding_fields(each.uid) if each.is_cut else each.header
            if header is not None:
                envelopes[each.uid] = envelope_of(header)
            await asyncio.sleep(0)
        return envelopes

    async def _deciding_fields(self, uid: int) -> bytes | None:
        ask, refusals = partial(self.imap.deciding_fields, uid), self.work.refusals
        try:
            return await refusals.ask_for_one(f"fields of {self.place_of(uid)}", ask)
        except SetAside as error:
            await self._set_header_aside(uid, error)
            return None

    async def take_headers(self, headers: list[FetchedHeader], envelopes: dict[int, Envelope]) -> int:
        """Takes in those of the mails with these envelopes that concern somebody; how many were taken in."""
        work = self.work
        headers = [each for each in headers if each.uid in envelopes]
        workspace, own = work.caller.workspace, work.mailbox.address
        concerned = await concerns(work.store, workspace, own, envelopes, is_sent=self.role == SENT)
        await self.note({each.uid: IGNORED for each in headers if each.uid not in concerned})
        wanted = [Wanted(each, envelopes[each.uid], concerned[each.uid]) for each in headers if each.uid in concerned]
        small = await self._fetch_small(wanted)
        taken, held = 0, list[Found]()
        for each in wanted:
            if each.size > LARGE or each.size + sum(len(found.raw or b"") for found in held) > AT_ONCE:
                taken += await self._take_found(held)
                held = []
            async with room_for(each.size, work.own_room, work.room):
                held.append(await self._found(each, small.pop(each.uid, None)))
                if each.size > LARGE:
                    taken += await self._take_found(held)
                    held = []
        taken += await self._take_found(held)
        work.refusals.one_by_one = False
        return taken

    async def _fetch_small(self, wanted: list[Wanted]) -> dict[int, bytes]:
        if self.work.refusals.one_by_one:
            return {}
        uids = [each.uid for each in wanted if each.size <= SMALL]
        return await self.work.refusals.ask_for_several(self.imap.fetch_small(uids, SMALL))

    async def _found(self, wanted: Wanted, raw: bytes | None) -> Found:
        """The mail, of which `raw` is what was fetched before; or its header, where the server does not give it.

        So it is with one that is too large, too: larger than any may be, or twice as large as its server says and more.
        """
        place, header = self.place_of(wanted.uid), wanted.header.header
        was_refused = place if place in self.work.refusals.before else None
        found = Found(wanted.uid, raw, wanted.envelope, wanted.size, wanted.people, was_refused=was_refused)
        if raw is not None:
            return found
        most = MOST_BYTES if wanted.size > LARGE else AT_ONCE
        try:
            raw = await self.work.refusals.ask_for_one(place, partial(self.imap.fetch, wanted.uid, most, wanted.size))
        except MailTooLarge:
            return replace(found, raw=header, size=max(wanted.size, MOST_BYTES + 1), is_too_large=True)
        except SetAside as error:
            await self.note_refused(error)
            return replace(found, raw=header, refused=str(error), was_refused=place)
        return replace(found, raw=raw)

    async def _take_found(self, found: list[Found]) -> int:
        """How many were taken in."""
        work = self.work
        became = await take_all(work.store, work.parsers, work.caller, work.mailbox, self.role == SENT, found)
        await self.note(became)
        return sum(each not in (IGNORED, REFUSED) for each in became.values())

    async def note(self, became: dict[int, str]) -> None:
        work = self.work
        await mail_states.note_uids(work.store, work.caller.workspace, self.place, became)
        work.counters.found.update(became.values())

    async def note_refused(self, error: SetAside) -> None:
        """It is done with for now: its failures delay no others, unless the server wished to be left alone."""
        if error.failed.failure is not Failure.BUSY:
            self.work.on_success()
        await ask_again(self.work)

    def place_of(self, uid: int) -> str:
        """Where a mail is, among all mails of all mailboxes."""
        return mail_states.uid_id(self.place, uid)


@asynccontextmanager
async def room_for(size: int, *rooms: asyncio.Semaphore) -> AsyncIterator[None]:
    """Waits for room in all of them, with a mail that is large."""
    async with AsyncExitStack() as stack:
        for room in rooms if size > LARGE else ():
            await stack.enter_async_context(room)
        yield


async def ask_again(work: Work) -> None:
    """Has what the server does not give be asked for again before the next check would."""
    work.refusals.are_new = True
    await mail_states.ask_for_check_by(work.store, work.mailbox.id, after(work.times.again))
