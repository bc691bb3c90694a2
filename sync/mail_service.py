"""Everything about mail that goes on without a request: mailboxes are read, mail is sent, and tried again.

Any number of processes may do this on one database: each piece of work is done by one of them at a time, and by another
where that one is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from schema.types.mailbox import Mailbox, MailboxState, QuarantineState
from storage import files, mail_in, mail_states, mailboxes, outbox
from storage.database import DatabaseError
from storage.documents import Document, from_document
from storage.store import Store
from storage.workspaces import operator_of
from sync.imap import imap_connection
from sync.lease import LeaseLost, after, kept, time_now
from sync.mail import Unparsable
from sync.mail_access import MailAccess, secret_of
from sync.mail_server import Failure, MailServerFailed
from sync.mail_taking import found_mail
from sync.mail_times import MailTimes, pause_after
from sync.mail_workers import MailParsers
from sync.mailbox_reading import Flapping, Work, read
from sync.oauth import ReconnectNeeded
from sync.outbox_sending import work_on

logger = logging.getLogger("connect_inbox.sync")

MOST_MAILBOXES = 500  # that one process reads at a time
MOST_SENDING = 20  # mails that one process sends at a time
FLAPPING = "its server numbers its mail anew again and again, so that what is new cannot be told"


class MailService:
    """What one process does about mail."""

    def __init__(self, store: Store, access: MailAccess, parsers: MailParsers, times: MailTimes) -> None:
        self._store = store
        self._access = access
        self._parsers = parsers
        self._times = times
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._failures: dict[str, int] = {}  # of each mailbox, in a row

    @property
    def reading(self) -> int:
        """How many mailboxes this process reads."""
        return len(self._reading)

    @property
    def sending(self) -> int:
        return len(self._sending)

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            while True:
                for look in (self._look_for_mailboxes, self._look_into_outbox, self._retry):
                    try:
                        await look()
                    except DatabaseError as error:
                        logger.warning("the database failed: %s", type(error).__name__)
                await asyncio.sleep(self._times.look)
        finally:
            tasks = [*self._reading.values(), *self._sending.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_for_mailboxes(self) -> None:
        room = MOST_MAILBOXES - len(self._reading)
        for state in await mail_states.to_read(self._store, time_now(), room) if room > 0 else []:
            self._start(self._reading, state["_id"], self._read(state))

    async def _look_into_outbox(self) -> None:
        room = MOST_SENDING - len(self._sending)
        for item in await outbox.due_items(self._store, time_now(), room) if room > 0 else []:
            self._start(self._sending, item["_id"], work_on(self._store, self._access, self._times, item))

    def _start(self, tasks: dict[str, asyncio.Task[None]], id: str, work: Coroutine[Any, Any, None]) -> None:
        if id in tasks:
            work.close()
            return

        def ended(task: asyncio.Task[None]) -> None:
            del tasks[id]
            if not task.cancelled() and task.exception() is not None:
                logger.error("work on %s failed", id, exc_info=task.exception())

        tasks[id] = asyncio.create_task(work)
        tasks[id].add_done_callback(ended)

    async def _read(self, state: Document) -> None:
        """Reads a mailbox until something stops it, and says what did."""
        id, owner = state["_id"], secrets.token_hex(8)
        if not await mail_states.claim(self._store, id, owner, time_now(), after(self._times.lease)):
            return
        until = 0
        try:
            async with kept(lambda until: mail_states.keep(self._store, id, owner, until), self._times.lease):
                until = await self._read_once(state["workspace"], id, owner)
        except LeaseLost:
            return
        finally:
            with contextlib.suppress(DatabaseError):
                await mail_states.let_go(self._store, id, owner, until)

    async def _read_once(self, workspace: str, id: str, owner: str) -> int:
        """Reads until something fails; when it may be tried again."""
        caller = operator_of(workspace)
        document = await self._store.database.get("mailboxes", id)
        assert document is not None, "what is read is never deleted"
        mailbox = from_document(Mailbox, document)
        try:
            await self._connected(Work(self._store, self._parsers, caller, mailbox, owner, self._times))
        except (ReconnectNeeded, Flapping) as error:
            state = MailboxState.PAUSED if isinstance(error, Flapping) else MailboxState.NEEDS_RECONNECT
            reason = FLAPPING if isinstance(error, Flapping) else error.reason
            await mailboxes.set_state(self._store, caller, id, state, reason)
            await mail_states.stop(self._store, id)
        except MailServerFailed as failed:
            if failed.failure in (Failure.LOGIN, Failure.PERMISSION):
                await mailboxes.set_state(self._store, caller, id, MailboxState.NEEDS_RECONNECT, failed.reason)
                await mail_states.stop(self._store, id)
                return 0
            await mailboxes.set_state(self._store, caller, id, MailboxState.DEGRADED, failed.reason)
            self._failures[id] = self._failures.get(id, 0) + 1
            return after(pause_after(self._times, self._failures[id]))
        return 0

    async def _connected(self, work: Work) -> None:
        """Reads over a connection. A token that is refused is renewed once."""
        refused: str | None = None
        while True:
            secret = await secret_of(self._store, self._access, work.caller.workspace, work.mailbox, refused)
            assert work.mailbox.imap is not None, "a mailbox that is read has a server"
            server = self._access.server(work.mailbox.imap, secret, work.mailbox.provider is not None)
            try:
                async with imap_connection(server) as connection:
                    self._failures.pop(work.mailbox.id, None)
                    await read(work, connection)
            except MailServerFailed as failed:
                if failed.failure is not Failure.LOGIN or work.mailbox.provider is None or refused is not None:
                    raise
                refused = secret

    async def _retry(self) -> None:
        """Mails that could not be taken apart, and that somebody has asked to be tried again."""
        for document in await mail_in.to_retry(self._store, limit=10):
            await self._retry_one(document)
            await mail_in.note_retried(self._store, document["_id"])

    async def _retry_one(self, document: Document) -> None:
        store, caller, id = self._store, operator_of(document["workspace"]), document["_id"]
        stored = files.read_bytes(store, caller.workspace, document["raw_id"])
        raw = b"".join([chunk async for chunk in stored])
        try:
            parsed = await self._parsers.parse(raw)
        except Unparsable as error:
            await mail_in.set_quarantine(store, caller, id, QuarantineState.HELD, reason=str(error))
            return
        found = await found_mail(
            store, caller, document["mailbox_id"], bool(document["is_sent"]), parsed, document["raw_id"]
        )
        taken = (await mail_in.take_in(store, caller, found)).result
        await mail_in.set_quarantine(store, caller, id, QuarantineState.RECOVERED, message_ids=taken.message_ids)


@asynccontextmanager
async def mail_service(store: Store, access: MailAccess, times: MailTimes | None = None) -> AsyncIterator[MailService]:
    """Mail is read and sent while the context is open."""
    async with MailParsers() as parsers:
        service = MailService(store, access, parsers, times or MailTimes())
        running = asyncio.create_task(service.run())
        try:
            yield service
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
