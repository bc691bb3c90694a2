"""Everything about mail that goes on without a request: mailboxes are read, mail is sent, and tried again.

Any number of processes may do this on one database: each piece of work is done by one of them at a time, and by another
where that one is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any

from schema.types.mailbox import Mailbox, MailboxState, QuarantineState
from storage import credentials, files, mail_in, mail_states, mailboxes, outbox, quarantine
from storage.database import DatabaseError, is_of_database
from storage.documents import Document, from_document
from storage.store import Store
from storage.workspaces import operator_of
from sync.imap import ImapConnection, imap_connection
from sync.lease import LeaseLost, after, kept, time_now
from sync.mail import Unparsable
from sync.mail_access import MailAccess, secret_of
from sync.mail_counters import MailCounters
from sync.mail_server import Failure, MailServerFailed
from sync.mail_taking import OUR_FAULT, found_mail
from sync.mail_times import MailTimes, pause_after
from sync.mail_workers import MailParsers
from sync.mailbox_folder import MOST_LARGE, MOST_OF_WORKSPACE, Work
from sync.mailbox_reading import Flapping, read
from sync.oauth import ReconnectNeeded
from sync.outbox_item import Post
from sync.outbox_sending import work_on
from sync.refusals import Refusals
from sync.smtp_connections import SmtpConnections

logger = logging.getLogger("connect_inbox.sync")

MOST_MAILBOXES = 500  # that one process reads at a time
MOST_SENDING = 24  # mails that one process sends at a time
MOST_OF_MAILBOX = 6  # of them, of one mailbox: while some are sent, others are made ready
MOST_RETRYING = 4  # mails that one process takes apart once more at a time
FLAPPING = "its server numbers its mail anew again and again, so that what is new cannot be told"


class MailService:
    """What one process does about mail."""

    def __init__(
        self, store: Store, access: MailAccess, parsers: MailParsers, times: MailTimes, counters: MailCounters
    ) -> None:
        self._store = store
        self._access = access
        self._parsers = parsers
        self._times = times
        self._counters = counters
        self._post = Post(store, access, times, counters, SmtpConnections())
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._retrying: dict[str, asyncio.Task[None]] = {}
        self._listening: dict[str, ImapConnection] = {}  # by mailbox
        self._room = asyncio.Semaphore(MOST_LARGE)
        self._own_rooms: dict[str, asyncio.Semaphore] = {}  # by workspace
        self._failures: dict[str, int] = {}  # of each mailbox, in a row
        self._refusals: dict[str, Refusals] = {}  # of each mailbox

    async def run(self) -> None:
        """Until it is cancelled: no error ends it, whatever it is of.

        What is being sent has some seconds then: cut off, nobody knew what became of it.
        """
        looks = (
            self._look_for_mailboxes, self._look_into_outbox, self._look_for_checks, self._look_for_retries,
            self._post.connections.close_idle,
        )  # fmt: skip
        try:
            while True:
                for look in looks:
                    try:
                        await look()
                    except Exception as error:
                        tell("looking for what is to be done", error)
                await self._wait()
        finally:
            try:
                end([*self._reading.values(), *self._retrying.values()])
                if self._sending:
                    await asyncio.wait(self._sending.values(), timeout=self._times.finish)
            finally:
                tasks = [*self._reading.values(), *self._retrying.values(), *self._sending.values()]
                end(self._sending.values())
                await asyncio.gather(*tasks, return_exceptions=True)
                await self._post.connections.close_idle(0)

    async def _wait(self) -> None:
        """Until the next look: for a while, or, where all room to send was taken, until half of it is free."""
        busy = self._busy()
        if not busy and len(self._sending) < MOST_SENDING:
            await asyncio.sleep(self._times.look)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._times.look):
                while not self._has_room(busy):
                    await asyncio.wait(self._sending.values(), return_when=asyncio.FIRST_COMPLETED)

    def _has_room(self, busy: list[str]) -> bool:
        if busy:
            return any(self._counts()[each] <= MOST_OF_MAILBOX // 2 for each in busy)
        return len(self._sending) <= MOST_SENDING // 2

    def _counts(self) -> Counter[str]:
        """How many mails are being sent of each mailbox."""
        return Counter(key.partition(" ")[0] for key in self._sending)

    def _busy(self) -> list[str]:
        """The mailboxes of which as many mails are being sent as may be."""
        return sorted(mailbox for mailbox, count in self._counts().items() if count >= MOST_OF_MAILBOX)

    async def _look_for_mailboxes(self) -> None:
        room = MOST_MAILBOXES - len(self._reading)
        for state in await mail_states.to_read(self._store, time_now(), room) if room > 0 else []:
            self._start(self._reading, state["_id"], self._read(state))

    async def _look_into_outbox(self) -> None:
        """First for mail of mailboxes of which none is being sent: it does not wait for all that others have."""
        without = sorted(self._counts())
        while (room := MOST_SENDING - len(self._sending)) > 0:
            for item in await outbox.due_items(self._store, time_now(), room, without):
                if item["mailbox"] not in self._busy():
                    self._start(self._sending, f"{item['mailbox']} {item['_id']}", work_on(self._post, item))
            if without == (busy := self._busy()):
                return
            without = busy

    async def _look_for_checks(self) -> None:
        """Nobody who asks for a check waits until there is news in the mailbox."""
        for id in await mail_states.asked_for_checks(self._store) if self._listening else []:
            if id in self._listening:
                self._listening[id].wake()

    async def _look_for_retries(self) -> None:
        """For mails that could not be taken apart, and that somebody has asked to be tried again."""
        room = MOST_RETRYING - len(self._retrying)
        for document in await quarantine.to_retry(self._store, room) if room > 0 else []:
            self._start(self._retrying, document["_id"], self._retry(document))

    def _start(self, tasks: dict[str, asyncio.Task[None]], id: str, work: Coroutine[Any, Any, None]) -> None:
        if id in tasks:
            work.close()
            return

        def ended(task: asyncio.Task[None]) -> None:
            del tasks[id]
            error = None if task.cancelled() else task.exception()
            if error is not None:
                tell(f"work on {id}", error)

        tasks[id] = asyncio.create_task(work)
        tasks[id].add_done_callback(ended)

    async def _read(self, state: Document) -> None:
        """Reads a mailbox until something stops it, and says what did."""
        id, owner = state["_id"], secrets.token_hex(8)
        if not await mail_states.claim(self._store, id, owner, time_now(), after(self._times.lease)):
            return
        until = 0
        self._counters.reading += 1
        try:
            async with kept(lambda until: mail_states.keep(self._store, id, owner, until), self._times.lease):
                until = await self._read_once(state["workspace"], id, owner)
        except LeaseLost:
            return
        except Exception as error:
            until = self._pause(id)
            tell(f"reading {id}", error)
        finally:
            self._counters.reading -= 1
            with contextlib.suppress(DatabaseError):
                await mail_states.let_go(self._store, id, owner, until)

    def _pause(self, id: str) -> int:
        """Until when to leave a mailbox alone that has failed once more."""
        self._failures[id] = self._failures.get(id, 0) + 1
        return after(pause_after(self._times, self._failures[id]))

    async def _read_once(self, workspace: str, id: str, owner: str) -> int:
        """Reads until something fails; when it may be tried again."""
        caller = operator_of(workspace)
        document = await self._store.database.get("mailboxes", id)
        assert document is not None, "what is read is never deleted"
        is_disconnected = document["state"] == MailboxState.DISCONNECTED.value
        if is_disconnected:  # by somebody who was killed before all was done
            await credentials.forget(self._store, workspace, id)
        if is_disconnected or document["imap"] is None:
            await mail_states.stop(self._store, id, owner)
            return 0
        refusals = self._refusals.setdefault(id, Refusals())
        own_room = self._own_rooms.setdefault(workspace, asyncio.Semaphore(MOST_OF_WORKSPACE))
        work = Work(
            self._store, self._parsers, caller, from_document(Mailbox, document), owner, self._times, self._counters,
            self._room, own_room, refusals, lambda: self._failures.pop(id, None),
        )  # fmt: skip
        try:
            await self._connected(work)
        except Flapping:
            await self._stop(work, MailboxState.PAUSED, "FLAPPING", FLAPPING)
        except ReconnectNeeded as error:
            await self._stop(work, MailboxState.NEEDS_RECONNECT, "LOGIN", error.reason)
        except MailServerFailed as failed:
            if failed.failure in (Failure.LOGIN, Failure.PERMISSION):
                await self._stop(work, MailboxState.NEEDS_RECONNECT, failed.failure.name, failed.reason)
                return 0
            self._counters.failures[failed.failure.name] += 1
            await mailboxes.set_state(self._store, caller, id, MailboxState.DEGRADED, failed.reason)
            return self._pause(id)
        except (LeaseLost, DatabaseError):
            raise
        except Exception as error:
            if not is_of_database(error):
                await mailboxes.set_state(self._store, caller, id, MailboxState.DEGRADED, OUR_FAULT)
            raise
        return 0

    async def _stop(self, work: Work, state: MailboxState, kind: str, reason: str) -> None:
        """Nothing is read any more until somebody connects the mailbox anew, which somebody may just have done."""
        self._counters.failures[kind] += 1
        if not await mail_states.keep(self._store, work.mailbox.id, work.owner, after(self._times.lease)):
            raise LeaseLost
        await mailboxes.set_state(self._store, work.caller, work.mailbox.id, state, reason)
        await mail_states.stop(self._store, work.mailbox.id, work.owner)

    async def _connected(self, work: Work) -> None:
        """Reads over a connection; where we are not let in, once more with what lets us in by now, if it differs."""
        secret = await self._secret(work)
        try:
            await self._read_with(work, secret)
        except MailServerFailed as failed:
            if failed.failure is not Failure.LOGIN:
                raise
            now = await self._secret(work, secret)
            if now == secret:
                raise
            await self._read_with(work, now)

    async def _secret(self, work: Work, refused: str | None = None) -> str:
        return await secret_of(self._store, self._access, work.caller.workspace, work.mailbox, refused)

    async def _read_with(self, work: Work, secret: str) -> None:
        assert work.mailbox.imap is not None, "a mailbox that is read has a server"
        server = self._access.server(work.mailbox.imap, secret, work.mailbox.provider is not None)
        async with imap_connection(server) as connection:
            self._listening[work.mailbox.id] = connection
            try:
                await read(work, connection)
            finally:
                del self._listening[work.mailbox.id]

    async def _retry(self, held: Document) -> None:
        id = held["_id"]
        if not await quarantine.is_to_retry(self._store, id):
            return  # it was done since it was looked for, and what is asked from now on is not noted as done by this
        try:
            await self._retry_once(held)
        except Exception as error:
            if is_of_database(error):
                raise
            tell(f"retrying {id}", error)
            caller = operator_of(held["workspace"])
            await quarantine.set_state(self._store, caller, id, QuarantineState.HELD, reason=OUR_FAULT)
        await quarantine.note_retried(self._store, id)

    async def _retry_once(self, held: Document) -> None:
        store, caller, id = self._store, operator_of(held["workspace"]), held["_id"]
        stored = files.read_bytes(store, caller.workspace, held["raw_id"])
        raw = b"".join([chunk async for chunk in stored])
        try:
            parsed = await self._parsers.parse(raw)
        except Unparsable as error:
            await quarantine.set_state(store, caller, id, QuarantineState.HELD, reason=str(error))
            return
        found = await found_mail(store, caller, held["mailbox_id"], bool(held["is_sent"]), parsed, raw)
        taken = (await mail_in.take_in(store, caller, found)).result
        await quarantine.set_state(store, caller, id, QuarantineState.RECOVERED, message_ids=taken.message_ids)


def end(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()


def tell(what: str, error: BaseException) -> None:
    """The operator, who can do nothing about each of the things that a database does not do while it is away."""
    if is_of_database(error):
        logger.warning("%s failed: %s", what, type(error).__name__)
    else:
        logger.error("%s failed", what, exc_info=error)


@asynccontextmanager
async def mail_service(
    store: Store, access: MailAccess, times: MailTimes | None = None, counters: MailCounters | None = None
) -> AsyncIterator[None]:
    """Mail is read and sent while the context is open."""
    async with MailParsers() as parsers:
        service = MailService(store, access, parsers, times or MailTimes(), counters or MailCounters())
        running = asyncio.create_task(service.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
