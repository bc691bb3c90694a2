"""The log: how nothing is lost.

Every change that a client can see is one position in its workspace's log, and the entry is the commit. Positions are
1, 2, 3 ... without a hole. A change is made in a turn:

    plan      read the workspace as it stands at the head, decide, and say what every document will be
    commit    insert the entry at head + 1; if that is taken somebody else was first: catch up and plan again
    apply     write the documents, each guarded by its own position, then raise the workspace's `applied` mark
    publish   to the followers in this process; a hint goes to the other processes

Guarantees. Changes of a workspace are serializable, in one process and across processes. A change whose entry was
inserted will be applied, by us or by whoever finds it above the mark: killed before the insert nothing has happened,
killed after it somebody finishes. Applying again, late, or in two processes at once changes nothing. A follower sees
a change only once it is applied, every change once, in order.

Whoever gets the turn takes it for everybody who waits: their plans are run one upon the other and committed in one
entry, so that a busy workspace costs fewer writes, not more waiting. A plan may be run several times, and must change
nothing but its turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from schema.types.context import Caller
from schema.types.errors import not_found, resync_required, too_complex
from storage.changes import (
    MOST_CHANGES,
    Change,
    Entry,
    Expected,
    NeedsOwnTurn,
    Turn,
    documents_after,
    entry_from_document,
    entry_to_document,
)
from storage.database import ConnectionLost, Database, TooLarge
from storage.documents import Document
from storage.head import NEVER, STEP, Head
from storage.indexes import ENTRIES
from storage.positions import format_position, parse_position

logger = logging.getLogger("connect_inbox.log")
T = TypeVar("T")

FRESH = 60.0  # seconds that a known head may be built upon: far less than entries are kept, so none was pruned since
PLANNING = 5.0  # seconds of planning after which those who wait are left for the next turn: far less than FRESH
BATCH = 100  # entries read at once
INSERT_ATTEMPTS = 5
TOO_LARGE = (
    "a change has to fit into 16 MB with all that it writes, such as everybody's read marks; ask for less at once"
)
LEADING = {"claims", "influencers", "marks", "notifications", "outbox", "words"}  # what they lead to is written first


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What a turn came to: its plan's result, and the position that includes it."""

    result: T
    position: str


@dataclass(eq=False)
class Request:
    """A change that waits for its turn."""

    caller: Caller
    plan: Callable[[Turn], Awaitable[Any]]
    expected: Expected | None
    outcome: asyncio.Future[Any]
    is_begun: bool = False  # it may be in an entry that is being committed

    def answer(self, result: object, position: str) -> None:
        if isinstance(result, Exception):
            self.fail(result)
        elif not self.outcome.done():
            self.outcome.set_result(Outcome(result, position))

    def fail(self, error: Exception) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(error)
            self.outcome.exception()  # nobody may be waiting for it any more


@dataclass
class Counters:
    """What this process has done with logs since it began."""

    entries: int = 0  # committed
    changes: int = 0  # in them
    conflicts: int = 0  # commits that another process was faster than: they were planned again
    repairs: int = 0  # entries that were found committed and not applied, and were applied here


class Log:
    """The logs of all workspaces, as this process knows them."""

    def __init__(self, database: Database, announce: Callable[[str, int], None]) -> None:
        self._database = database
        self._announce = announce
        self._heads: dict[str, Head] = {}
        self._turns: set[asyncio.Task[object]] = set()
        self.counters = Counters()

    def head(self, workspace: str) -> Head:
        return self._heads.setdefault(workspace, Head(workspace))

    def heads(self) -> list[Head]:
        """The workspaces that this process has had to do with."""
        return list(self._heads.values())

    def followed(self) -> list[Head]:
        """The workspaces that somebody in this process follows."""
        return [head for head in self._heads.values() if head.followers]

    def unfinished(self) -> list[Head]:
        """The workspaces in which something may be left undone; in some of them it is being done just now."""
        return [head for head in self._heads.values() if head.is_unfinished]

    async def change(
        self, caller: Caller, plan: Callable[[Turn], Awaitable[T]], expected: Expected | None = None
    ) -> Outcome[T]:
        """Makes a change, or refuses it by what `plan` raises.

        Turns run in a task of their own, so that a cancelled request does not cut a change in two: once its planning
        has begun it is made, before that it is not. `expected` says what the plan is going to read, as far as that is
        known: it is read with what those who wait beside it expect.
        """
        head = self.head(caller.workspace)
        request = Request(caller, plan, expected, asyncio.get_running_loop().create_future())
        head.requests.append(request)
        if not head.is_served:
            head.is_served = True
            serving = asyncio.create_task(self._serve(head), context=Context())  # for all who wait, not for this one
            self._turns.add(serving)
            serving.add_done_callback(self._turns.discard)
        try:
            outcome: Outcome[T] = await asyncio.shield(request.outcome)
        except asyncio.CancelledError:
            if not request.is_begun:
                drop(head, request)
            raise
        return outcome

    async def finish(self) -> None:
        """Waits for the turns that are under way."""
        await asyncio.gather(*self._turns, return_exceptions=True)

    async def _serve(self, head: Head) -> None:
        """Takes the workspace's turns, one after the other, until nobody waits."""
        try:
            while head.requests:
                async with head.lock:
                    await self._try_turn(head)
        finally:
            head.is_served = False

    async def _try_turn(self, head: Head) -> None:
        """Takes a turn. If that fails it does so for whoever has waited longest, and the others try again."""
        if not head.requests:
            return
        first: Request = head.requests[0]
        try:
            await self._take_turn(head)
        except Exception as error:
            drop(head, first)
            first.fail(error)

    async def _take_turn(self, head: Head) -> None:
        """Plans, commits and applies what is waiting, as far as it fits into one entry."""
        most = MOST_CHANGES  # requests
        while True:
            if time.monotonic() - head.verified > FRESH:
                await self._catch_up(head)
            turn = Turn(self._database, head.workspace, head.known)
            answers = await self._plan(head, turn, most)
            if turn.changes:
                try:
                    committed = await self._write(head, turn)
                except TooLarge:
                    if len(answers) == 1:
                        raise too_complex(TOO_LARGE) from None
                    most = 1
                    continue
                except Exception as error:
                    # It may be in the log nevertheless, so nobody whose change is in it may be planned again.
                    for request, _, _ in answers:
                        head.requests.remove(request)
                        request.fail(error)
                    return
                if not committed:
                    await self._catch_up(head)
                    continue
            elif await self._catch_up(head):
                continue  # Nothing to be done, or refused, by a state that was old: only one at the head may say so.
            for request, answer, position in answers:
                head.requests.remove(request)
                request.answer(answer, format_position(head.epoch, position))
            return

    async def _plan(self, head: Head, turn: Turn, most: int) -> list[tuple[Request, object, int]]:
        """Runs so many plans that are waiting, each upon those before it; what each came to, and its last position.

        Where the database is slow the last of them are left for the next turn, or the head would be too old.
        """
        started = time.monotonic()
        answers: list[tuple[Request, object, int]] = []
        requests = head.requests[:most]
        await turn.read_ahead(request.expected for request in requests if request.expected)
        for request in requests:
            if request not in head.requests:
                continue  # whoever asked has gone meanwhile
            request.is_begun = True
            turn.begin_plan(request.caller)
            answer: object
            try:
                answer = await request.plan(turn)
            except NeedsOwnTurn:
                turn.undo_plan()
                break
            except Exception as error:
                turn.undo_plan()
                answer = error
            answers.append((request, answer, head.known + len(turn.changes)))
            if turn.is_full or time.monotonic() - started > PLANNING:
                break
        return answers

    async def _write(self, head: Head, turn: Turn) -> bool:
        """Commits a turn's changes as one entry, and applies it; False where they must be planned again."""
        entry = Entry(head.workspace, secrets.token_hex(8), turn.changes)
        started = time.monotonic()
        if not await self._commit(head, entry):
            self.counters.conflicts += 1
            return False
        self.counters.entries += 1
        self.counters.changes += len(entry.changes)
        head.committed = entry.last
        await self._finish(head, entry, started)
        return True

    async def _commit(self, head: Head, entry: Entry) -> bool:
        """Inserts the entry; False where its position is taken, or what we know is too old to be built upon."""
        document = entry_to_document(entry)
        verified, head.verified = head.verified, NEVER  # whatever fails from here on, the next turn looks first
        lost: ConnectionLost | None = None
        for _ in range(INSERT_ATTEMPTS):
            if time.monotonic() - verified > FRESH:
                break
            try:
                if await self._database.insert("entries", document):
                    return True
                there = await self._database.get("entries", entry.id)
                # An insert whose answer was lost, or that the driver repeated, is ours.
                return there is not None and there["nonce"] == entry.nonce
            except ConnectionLost as error:
                lost = error
        if lost is not None:
            raise lost  # It may have been inserted, so it must not be planned again.
        return False

    async def _finish(self, head: Head, entry: Entry, verified: float) -> None:
        """Applies an entry that is committed. If this fails the next turn does it, before anything else."""
        try:
            await apply(self._database, entry)
        except Exception:
            logger.critical("%s stands still: entry %d could not be applied", head.workspace, entry.first)
            raise
        head.publish(entry.changes)
        head.verified = verified
        self._announce(head.workspace, entry.last)

    async def _catch_up(self, head: Head) -> bool:
        """Applies every entry after the last one known; whether there were any. Called under the head's lock."""
        started = time.monotonic()
        before = (head.epoch, head.known)
        more = True
        while more:
            entries = await self._read(head.workspace, {"$gt": head.known}) if head.epoch else []
            state = await self.state(head.workspace)  # read after them, so that what was pruned meanwhile is noticed
            if head.epoch != state["epoch"] or head.known < state["floor"]:
                head.restart(state["epoch"], state["applied"])
                continue
            more = len(entries) == BATCH
            for entry in entries:
                if entry.first != head.known + 1:
                    raise RuntimeError(f"the log of {head.workspace} has a hole before {entry.first}")
                head.committed = entry.last
                if entry.last > state["applied"]:
                    await apply(self._database, entry)
                    self.counters.repairs += 1
                head.publish(entry.changes)
        head.verified = started
        return before != (head.epoch, head.known)

    async def refresh(self, workspace: str) -> Head:
        """Applies and publishes whatever is in the log by now. Callers that wait together share one look."""
        asked = time.monotonic()
        head = self.head(workspace)
        async with head.lock:
            if head.verified < asked:
                await self._catch_up(head)
        return head

    async def complete(self, workspace: str) -> None:
        """Applies and publishes what is left undone of a workspace's log, as far as this process knows of it."""
        head = self.head(workspace)
        async with head.lock:
            if head.is_unfinished:
                await self._catch_up(head)

    def lags(self, workspace: str, position: float) -> bool:
        """Whether somebody in this process follows the workspace, and it is not known up to `position`."""
        head = self._heads.get(workspace)
        return head is not None and head.followers > 0 and head.known < position

    async def hinted(self, workspace: str, position: float) -> None:
        """Another process says that its log reaches to `position`, which matters only where somebody follows it."""
        if self.lags(workspace, position):
            await self.refresh(workspace)

    async def state(self, workspace: str) -> Document:
        """The workspace's document: its name and its log's `epoch`, `applied` mark and `floor`."""
        state = await self._database.get("workspaces", workspace)
        if state is None:
            raise not_found(workspace)
        return state

    async def position(self, workspace: str) -> str:
        """The position that data read after this call is not older than."""
        state = await self.state(workspace)
        return format_position(state["epoch"], state["applied"])

    async def _read(self, workspace: str, last: Document, **more: object) -> list[Entry]:
        filter = {"workspace": workspace, "last": last, **more}
        documents = await self._database.find("entries", filter, sort=[("last", 1)], limit=BATCH, hint=ENTRIES)
        return [entry_from_document(document) for document in documents]

    async def changes(self, workspace: str, after: int, up_to: int, most: int = STEP) -> list[Change]:
        """The changes behind `after`, so many at most and none above `up_to`. Only their entries are read.

        Raises RESYNC_REQUIRED where they are no longer kept.
        """
        up_to = min(up_to, after + most)
        last = {"$gt": after, "$lt": up_to + MOST_CHANGES}
        entries = await self._read(workspace, last, first={"$lte": up_to})
        changes = [change for entry in entries for change in entry.changes if after < change.position <= up_to]
        if after < up_to and (not changes or changes[-1].position != after + len(changes)):
            raise resync_required("the position is older than what is kept of the log")
        return changes

    async def resume(self, workspace: str, since: str) -> int:
        """The number of a client's position.

        Raises RESYNC_REQUIRED for a position that is too old, above the head, or of another log.
        """
        epoch, number = parse_position(since)
        state = await self.state(workspace)
        if epoch != state["epoch"]:
            raise resync_required("the position is of another log")
        if number > state["applied"]:
            raise resync_required("the position is above the log's head")
        if number < state["floor"]:
            raise resync_required("the position is older than what is kept of the log")
        return number

    async def prune(self, workspace: str, before: int) -> int:
        """Forgets entries older than `before` (milliseconds since 1970), never the last one; how many.

        The floor is raised first, so that a client whose position is below it is told, whatever is deleted when.
        """
        state = await self.state(workspace)
        filter = {"workspace": workspace, "last": {"$lt": state["applied"], "$gt": state["floor"]}}
        oldest = await self._database.find(
            "entries", filter, sort=[("last", 1)], limit=10 * BATCH, hint=ENTRIES, only=["last", "at"]
        )
        floor = state["floor"]
        for document in oldest:
            if document["at"] >= before:
                break
            floor = document["last"]
        await self._database.raise_to("workspaces", workspace, "floor", floor)
        return await self._database.delete("entries", {"workspace": workspace, "last": {"$lte": floor}})


def drop(head: Head, request: Request) -> None:
    """Takes out a request that may be waiting."""
    with contextlib.suppress(ValueError):
        head.requests.remove(request)


async def apply(database: Database, entry: Entry) -> None:
    """Writes what an entry says, each document guarded by its own position, then raises the `applied` mark.

    It cannot refuse: whatever could was decided in the turn. Who reads meanwhile meets no document that leads to one
    that is not there yet, though it may be stopped at any time.
    """
    collections = documents_after(entry)
    for names in (collections.keys() - LEADING, collections.keys() & LEADING):
        async with asyncio.TaskGroup() as writes:
            for name in names:
                writes.create_task(database.put_guarded(name, collections[name]))
    await database.raise_to("workspaces", entry.workspace, "applied", entry.last)
