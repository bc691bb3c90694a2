"""A mailbox, read over IMAP: what is new in a folder, the heads of mails, whole mails, and news of more.

Nothing in it is changed but that a mail is appended: folders are opened with EXAMINE, mails are read with BODY.PEEK,
and have no more and no less been seen by their owner than before. Everything has a limit, in bytes and in seconds.
After any `MailServerFailed` a connection is done for; the next one may go better.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from aioimaplib.aioimaplib import SELECTED, quoted

from sync.imap_framing import Response
from sync.imap_login import ImapLimits, logged_in
from sync.imap_names import encode_name, sent_folder
from sync.imap_parsing import (
    MOST_UID,
    Items,
    Malformed,
    content,
    content_of_fields,
    date_before,
    items_by_uid,
    listed,
    opened,
    searched,
    size_of,
    time_of,
)
from sync.imap_protocol import NOTHING, Allowance, ImapProtocol
from sync.mail_server import Failure, MailServer, MailServerFailed

__all__ = ["FetchedHeader", "Folders", "ImapConnection", "ImapLimits", "MailTooLarge", "Selected", "imap_connection"]

KILOBYTE = 1024
MEGABYTE = 1024 * 1024
BATCH = 200  # mails that are asked for at once
MOST_HEADER = 64 * KILOBYTE  # of one mail; what is longer is cut
# Of one whose header was cut, the fields that say whom it concerns; and how much of them there may be, at most.
DECIDING = (
    "FROM MESSAGE-ID CONTENT-TYPE AUTO-SUBMITTED PRECEDENCE RETURN-PATH X-AUTOREPLY X-AUTORESPOND X-AUTORESPONDER "
    "X-AUTO-REPLY X-FAILED-RECIPIENTS"
)
MOST_DECIDING = 32 * KILOBYTE
RECIPIENTS = "TO CC BCC"
MOST_RECIPIENTS = 128 * KILOBYTE
LOGOUT_WAIT = 2.0  # seconds
NO_NOOP = "the server does not answer as it should"

LIST = Allowance(frozenset({"LIST"}), budget=4 * MEGABYTE)
EXAMINE = Allowance(frozenset({"OK", "EXISTS"}))
SEARCH = Allowance(frozenset({"SEARCH"}), budget=4 * MEGABYTE)
SIZE = Allowance(frozenset({"FETCH"}), (b"RFC822.SIZE",))
IDLE = Allowance(noise=16 * MEGABYTE)  # somebody may mark ten thousands of mails as seen meanwhile, one by one


class MailTooLarge(Exception):
    """A mail has more bytes than were asked for. The connection goes on."""


@dataclass(frozen=True)
class Folders:
    inbox: str
    sent: str | None


@dataclass(frozen=True)
class Selected:
    """A folder that is open. With another `uid_validity` than before, all UIDs of before mean nothing."""

    uid_validity: int
    uid_next: int
    exists: int


@dataclass(frozen=True)
class FetchedHeader:
    uid: int
    size: int  # of the whole mail, as the server says
    header: bytes  # at most `MOST_HEADER` of it
    internal_date: (
        int  # when it came, in milliseconds, of which there are whole seconds only; 0 where that is not known
    )

    @property
    def is_cut(self) -> bool:
        return len(self.header) >= MOST_HEADER


@asynccontextmanager
async def imap_connection(server: MailServer, limits: ImapLimits | None = None) -> AsyncIterator[ImapConnection]:
    """A connection that is logged in, for one caller at a time. Raises `MailServerFailed`, as all it is asked does."""
    limits = limits or ImapLimits()
    protocol = await logged_in(server, limits)
    try:
        yield ImapConnection(protocol, limits)
        await say_goodbye(protocol)
    finally:
        await protocol.end(LOGOUT_WAIT)


async def say_goodbye(protocol: ImapProtocol) -> None:
    try:
        await protocol.ask(protocol.command("LOGOUT"), LOGOUT_WAIT)
    except MailServerFailed:
        pass  # it is gone already, and nothing was left to do


class ImapConnection:
    """What can be asked of a mailbox. After `select`, of that folder."""

    def __init__(self, protocol: ImapProtocol, limits: ImapLimits) -> None:
        self._protocol = protocol
        self._limits = limits

    async def folders(self, known: str | None = None) -> Folders:
        """INBOX, and the folder that sent mails are in, where there is one: the known one, if it still may be."""
        arguments = ['""', '"*"']
        if {"SPECIAL-USE", "LIST-EXTENDED"} <= self._protocol.capabilities:
            arguments.append("RETURN (SPECIAL-USE)")
        responses = await self._ask("LIST", *arguments, allowance=LIST, refused="the folders cannot be listed")
        with self._reading():
            folders = [folder for response in responses if (folder := listed(response)) is not None]
        return Folders("INBOX", sent_folder(folders, known))

    async def select(self, folder: str) -> Selected:
        """Opens a folder, to read from it."""
        refused = f"the folder {folder} cannot be opened"
        responses = await self._ask(
            "EXAMINE", folder_argument(folder), allowance=EXAMINE, refused=refused, failure=Failure.PERMISSION
        )
        self._protocol.state = SELECTED
        self._protocol.has_news = False
        with self._reading():
            uid_validity, uid_next, exists = opened(responses)
        if uid_next is None:
            last = await self._search("*") if exists else []
            uid_next = max(last, default=0) + 1
        return Selected(uid_validity, uid_next, exists)

    async def new_uids(self, after: int) -> list[int]:
        """The UIDs above this one, in order."""
        if not self._protocol.has_news:
            await self._ask("NOOP", refused=NO_NOOP)  # a search finds no mail that was not announced before
        self._protocol.has_news = False
        if after >= MOST_UID:
            return []
        # Where there are none, the last mail is found nevertheless: `*` is its UID, and the two ends are swapped.
        return [uid for uid in await self._search(f"UID {after + 1}:*") if uid > after]

    async def find_message_id(self, message_id: str) -> list[int]:
        """The mails whose Message-ID holds this one."""
        if not message_id or not message_id.isascii() or not message_id.isprintable():
            return []
        return await self._search(f"HEADER Message-ID {quoted(message_id)}")

    async def uids_since(self, time: int) -> list[int]:
        """The UIDs of what came to the folder since a time in milliseconds, and up to two days before it."""
        return await self._search(f"SINCE {date_before(time)}")

    async def _search(self, criteria: str) -> list[int]:
        refused = "the folder cannot be searched"
        responses = await self._ask("SEARCH", criteria, prefix="UID", allowance=SEARCH, refused=refused)
        with self._reading():
            return searched(responses)

    async def headers(self, uids: list[int]) -> list[FetchedHeader]:
        """The sizes and headers of these mails, in order; those that are gone are left out."""
        found: list[FetchedHeader] = []
        ordered = sorted(set(uids))
        for at in range(0, len(ordered), BATCH):
            found += await self._headers(ordered[at : at + BATCH])
        return found

    async def _headers(self, uids: list[int]) -> list[FetchedHeader]:
        wanted = f"(UID RFC822.SIZE INTERNALDATE BODY.PEEK[HEADER]<0.{MOST_HEADER}>)"
        allowance = Allowance(SIZE.wanted, (b"BODY[",), (len(uids) + 1) * (MOST_HEADER + KILOBYTE), MOST_HEADER)
        mails = await self._fetch(uids, wanted, allowance)
        return [
            FetchedHeader(uid, size, header, time_of(items))
            for uid, items in sorted(mails.items())
            if (size := size_of(items)) is not None and (header := content(items, "BODY[HEADER]")) is not None
        ]

    async def deciding_fields(self, uid: int) -> bytes | None:
        """The fields that say whom a mail concerns, wherever in its header they are; none where it is gone."""
        asked = ((DECIDING, MOST_DECIDING), (RECIPIENTS, MOST_RECIPIENTS))
        wanted = " ".join(f"BODY.PEEK[HEADER.FIELDS ({names})]<0.{most}>" for names, most in asked)
        budget = MOST_DECIDING + MOST_RECIPIENTS + 4 * KILOBYTE
        allowance = Allowance(SIZE.wanted, (b"BODY[",), budget, MOST_RECIPIENTS)
        mails = await self._fetch([uid], f"(UID {wanted})", allowance)
        return content_of_fields(mails.get(uid, {}))

    async def fetch(self, uid: int, most: int, size: int | None = None) -> bytes | None:
        """The whole mail; none where it is gone. Raises `MailTooLarge` where it has more than `most` bytes.

        `size` is what its header was told with; the server is asked for it where that is not known.
        """
        if size is None:
            size = size_of((await self._fetch([uid], "(UID RFC822.SIZE)", SIZE)).get(uid, {}))
        if size is None:
            return None
        if size > most:
            raise MailTooLarge
        # Sizes are estimates with some servers: one byte more than may come shows that there are more.
        allowance = Allowance(SIZE.wanted, (b"BODY[",), most + 64 * KILOBYTE, most + 1)
        mails = await self._fetch([uid], f"(UID BODY.PEEK[]<0.{most + 1}>)", allowance, size)
        raw = content(mails.get(uid, {}), "BODY[]")
        if raw is not None and len(raw) > most:
            raise MailTooLarge
        return raw

    async def fetch_small(self, uids: list[int], most: int) -> dict[int, bytes]:
        """Whole mails, in one round trip. Those that are gone, or have more than `most` bytes, are left out."""
        if not uids:
            return {}
        each = most + KILOBYTE  # with what is told around it
        allowance = Allowance(SIZE.wanted, (b"BODY[",), (len(uids) + 1) * each, most + 1)
        mails = await self._fetch(uids, f"(UID BODY.PEEK[]<0.{most + 1}>)", allowance)
        raws = {uid: content(items, "BODY[]") for uid, items in mails.items()}
        return {uid: raw for uid, raw in raws.items() if raw is not None and len(raw) <= most}

    async def _fetch(
        self, uids: list[int], wanted: str, allowance: Allowance, expected: int | None = None
    ) -> dict[int, Items]:
        """The items of each of these mails, by its UID. What is told of other mails meanwhile is left out."""
        command = self._protocol.command("FETCH", ",".join(map(str, uids)), wanted, prefix="UID")
        answer, carried = self._limits.answer, allowance.budget if expected is None else expected
        status, responses = await self._protocol.ask(command, answer, allowance, carried / self._limits.rate)
        if status.result != "OK" and status.code != "EXPUNGEISSUED":
            raise self._protocol.refuse(status, Failure.PROTOCOL, "the server does not give a mail")
        with self._reading():
            return items_by_uid(responses, set(uids))

    async def append(self, folder: str, raw: bytes) -> None:
        """Puts a mail that we sent into a folder, as seen. Where this fails as LOST it may be there all the same."""
        command = self._protocol.command("APPEND", folder_argument(folder), "(\\Seen)", f"{{{len(raw)}}}")
        self._protocol.literal_data = raw
        seconds = self._limits.answer + len(raw) / self._limits.rate
        status, _ = await self._protocol.ask(command, seconds)
        if status.result != "OK":
            raise self._protocol.refuse(status, Failure.PERMISSION, f"nothing can be put into the folder {folder}")

    async def idle(self, seconds: float) -> bool:
        """Waits until the server tells of mails in the folder, and says whether it did.

        It waits for at most so many seconds, and for less where the limits are narrower, or somebody calls `wake`. What
        was told since the last `new_uids` counts, so that nothing which came meanwhile is waited for.
        """
        protocol = self._protocol
        if "IDLE" not in protocol.capabilities:
            return await self._poll(seconds)
        protocol.begin(IDLE)
        if protocol.has_news:
            return True
        command = protocol.command("IDLE")
        protocol.is_idling = False
        protocol.pending_sync_command = command
        protocol.send(str(command))
        answer = self._limits.answer
        await protocol.within(answer, protocol.until(lambda: protocol.is_idling or protocol.pending is not command))
        if protocol.is_idling:
            await protocol.wait_for_news(min(seconds, self._limits.idle))
            protocol.send("DONE")
        await protocol.within(answer, protocol.until(lambda: protocol.pending is not command))
        status, _ = protocol.answer_to(command)
        if status.result != "OK":
            raise protocol.refuse(status, Failure.PROTOCOL, "the server does not tell of new mails")
        return protocol.has_news

    def wake(self) -> None:
        """Ends `idle`, also where it has not begun yet."""
        self._protocol.wake()

    async def _poll(self, seconds: float) -> bool:
        self._protocol.begin(NOTHING)
        await self._protocol.wait_for_news(min(seconds, self._limits.poll))
        await self._ask("NOOP", refused=NO_NOOP)
        return self._protocol.has_news

    async def _ask(
        self, name: str, *arguments: str, prefix: str | None = None, allowance: Allowance = NOTHING, refused: str,
        failure: Failure = Failure.PROTOCOL,
    ) -> list[Response]:  # fmt: skip
        """What a short command brings. Raises where it is refused, with these words."""
        command = self._protocol.command(name, *arguments, prefix=prefix)
        status, responses = await self._protocol.ask(command, self._limits.answer, allowance)
        if status.result != "OK":
            raise self._protocol.refuse(status, failure, refused)
        return responses

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Responses that cannot be understood end the connection."""
        try:
            yield
        except Malformed:
            raise self._protocol.fail(Failure.PROTOCOL, "the server's answer cannot be understood") from None


def folder_argument(folder: str) -> str:
    return str(quoted(encode_name(folder)))
