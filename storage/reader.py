"""The reading side: what one caller may see of their workspace, each lookup batched with others of its kind.

Nothing is kept from one lookup to the next, so a reader is never stale, however long it is used.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

from strawberry.dataloader import DataLoader
from ulid import ULID

from schema.types.asset import Asset, AssetDelivery
from schema.types.campaign import Campaign, Participation
from schema.types.context import Caller
from schema.types.draft import Draft
from schema.types.errors import forbidden, not_found
from schema.types.influencer import Influencer, Note
from schema.types.mailbox import Mailbox, QuarantinedMail
from schema.types.member import Member, Partner, Workspace
from schema.types.message import Message
from schema.types.node import Actor, Node, influencer_id_of, kind_of, thread_id_of
from schema.types.notification import Notification
from schema.types.paging import Edge, page_info
from schema.types.tag import Tag, Variable
from schema.types.thread import MessageConnection, MessagePageArguments, Thread
from storage import attachments, timeline
from storage.changes import Change
from storage.cursors import Section, format_cursor
from storage.documents import Document, from_document, from_milliseconds
from storage.indexes import TIMELINE
from storage.marks import mark_id
from storage.store import Store
from storage.words import name_key

T = TypeVar("T")
Marks = dict[str, Document]  # by thread


class StoreReader:
    """Reads for one caller. `position` is one that everything it reads is not older than."""

    def __init__(self, store: Store, caller: Caller, position: str) -> None:
        self.store = store
        self.caller = caller
        self.position = position
        self.is_open = True  # False for what a change is told with to one who may not read
        self.for_everyone = False  # True for what is told to all who ask the same: nothing of the caller's own is in it
        self._loaders: dict[str, DataLoader[str, Any]] = {}

    def _load(
        self, name: str, load: Callable[[list[str]], Awaitable[Mapping[str, T]]], key: str
    ) -> Awaitable[T | None]:
        """One of the things that `load` finds, in one call with all others that are asked for at the same time."""
        self._must_be_open()
        if name not in self._loaders:

            async def batch(keys: list[str]) -> list[T | None]:
                found = await load(list(dict.fromkeys(keys)))
                return [found.get(key) for key in keys]

            self._loaders[name] = DataLoader(batch, cache=False)
        return self._loaders[name].load(key)

    def _must_be_open(self) -> None:
        if not self.is_open:
            raise forbidden("this needs the scope inbox:read")

    async def documents(self, collection: str, ids: Iterable[str]) -> dict[str, Document]:
        """Documents of the caller's workspace; those of another are left out like those that do not exist."""
        found = await self.store.database.get_many(collection, ids)
        return {id: each for id, each in found.items() if each["workspace"] == self.caller.workspace}

    async def document(self, collection: str, id: str) -> Document:
        """Raises NOT_FOUND, and BAD_USER_INPUT for what is no id."""
        kind_of(id)
        found = await self._load(f"{collection} by id", lambda ids: self.documents(collection, ids), id)
        if found is None:
            raise not_found(id)
        return found

    async def marks(self, threads: Iterable[str]) -> Marks:
        """The caller's read marks of these threads, where there are any."""
        if self.caller.member is None or self.for_everyone:
            return {}
        found = await self.store.database.get_many("marks", [mark_id(self.caller.member, each) for each in threads])
        return {mark["thread"]: mark for mark in found.values()}

    # Objects by id

    async def workspace(self, id: str) -> Workspace:
        return from_document(Workspace, await self.document("workspaces", id))

    async def member(self, id: str) -> Member:
        return from_document(Member, await self.document("members", id))

    async def partner(self, id: str) -> Partner:
        return from_document(Partner, await self.document("partners", id))

    async def actor(self, id: str) -> Actor:
        kind = kind_of(id)
        if kind == "workspace":
            return await self.operator()
        read: dict[str, Callable[[str], Awaitable[Actor]]] = {
            "member": self.member, "partner": self.partner, "influencer": self.influencer,
        }  # fmt: skip
        return await read[kind](id)

    async def operator(self) -> Partner:
        """Who works at the command line, shown as a partner with the workspace's name."""
        workspace = await self.document("workspaces", self.caller.workspace)
        return from_document(Partner, workspace)

    async def influencer(self, id: str) -> Influencer:
        return from_document(Influencer, await self.document("influencers", id))

    async def campaign(self, id: str) -> Campaign:
        return from_document(Campaign, await self.document("campaigns", id))

    async def asset(self, id: str) -> Asset:
        return from_document(Asset, await self.document("assets", id))

    async def asset_delivery(self, id: str) -> AssetDelivery:
        return from_document(AssetDelivery, await self.document("asset_deliveries", id))

    async def mailbox(self, id: str) -> Mailbox:
        return from_document(Mailbox, await self.document("mailboxes", id))

    async def quarantined_mail(self, id: str) -> QuarantinedMail:
        return from_document(QuarantinedMail, await self.document("quarantined_mails", id))

    async def draft_by_id(self, id: str) -> Draft:
        """A draft of the caller's own."""
        document = await self._undeleted("drafts", id)
        if document["member_id"] != self.caller.member:
            raise not_found(id)
        return from_document(Draft, document)

    async def draft(self, thread_id: str) -> Draft | None:
        """What the caller has begun to write in a thread."""
        if self.caller.member is None or self.for_everyone:
            return None
        id = draft_id(self.caller.member, thread_id)
        document = await self._load("drafts by id", lambda ids: self.documents("drafts", ids), id)
        return None if document is None or document["deleted"] else from_document(Draft, document)

    async def _undeleted(self, collection: str, id: str) -> Document:
        document = await self.document(collection, id)
        if document["deleted"]:
            raise not_found(id)
        return document

    async def tag(self, id: str) -> Tag:
        return from_document(Tag, await self._undeleted("tags", id))

    async def variable(self, id: str) -> Variable:
        return from_document(Variable, await self._undeleted("variables", id))

    async def note(self, id: str) -> Note:
        return from_document(Note, await self._undeleted("notes", id))

    async def notification(self, id: str) -> Notification:
        document = await self.document("notifications", id)
        if document["member_id"] != self.caller.member:
            raise not_found(id)
        return from_document(Notification, document)

    async def message(self, id: str) -> Message:
        kind_of(id)
        found = await self._load("message", self._messages, id)
        if found is None:
            raise not_found(id)
        return found

    async def message_of(self, change: Change) -> Message:
        """The message that a change added, as the change wrote it."""
        assert change.message is not None and change.thread is not None
        mark: Document | None = await self._load("mark", self.marks, change.thread)
        written = {id: fields for collection, id, fields in change.writes if collection == "messages"}
        document = {"_id": change.message, **written[change.message]}
        return message_of(document, {change.thread: mark} if mark else {})

    async def _messages(self, ids: list[str]) -> dict[str, Message]:
        documents = await self.documents("messages", ids)
        marks = await self.marks({document["thread_id"] for document in documents.values()})
        return {id: message_of(document, marks) for id, document in documents.items()}

    async def thread(self, id: str) -> Thread:
        kind_of(id)
        influencer_id_of(id)
        found = await self._load("thread", self._threads, id)
        if found is None:
            raise not_found(id)
        return found

    async def _threads(self, ids: list[str]) -> dict[str, Thread]:
        influencers = await self.documents("influencers", [influencer_id_of(id) for id in ids])
        threads = await self.rows(list(influencers.values()), await self.marks(ids))
        return {thread.id: thread for thread in threads}

    async def rows(self, influencers: list[Document], marks: Marks) -> list[Thread]:
        """Threads as the caller sees them, with their newest messages, in one call."""
        newest = [each["last_message_id"] for each in influencers if each["last_message_id"]]
        messages = await self.documents("messages", newest)
        return [thread_of(each, messages.get(each["last_message_id"]), marks) for each in influencers]

    async def participation(self, id: str) -> Participation:
        document = await self.document("participations", id)
        marks = await self.marks([thread_id_of(document["influencer_id"])])
        return participation_of(document, marks)

    async def node(self, id: str) -> Node:
        """Any object that has an id of its own. Raises NOT_FOUND."""
        read = {
            "workspace": self.workspace, "member": self.member, "partner": self.partner, "tag": self.tag,
            "variable": self.variable, "influencer": self.influencer, "note": self.note, "thread": self.thread,
            "message": self.message, "campaign": self.campaign, "participation": self.participation,
            "asset": self.asset, "delivery": self.asset_delivery, "notification": self.notification,
            "mailbox": self.mailbox, "draft": self.draft_by_id, "mail": self.quarantined_mail,
        }.get(kind_of(id))  # fmt: skip
        if read is None:
            raise not_found(id)
        return await read(id)

    # What belongs to an object

    async def tags(self, ids: list[str]) -> list[Tag]:
        found: list[Tag | None] = await asyncio.gather(*[self._load("tags", self._tags, id) for id in ids])
        return sorted((tag for tag in found if tag is not None and not tag.deleted), key=lambda tag: name_key(tag.name))

    async def _tags(self, ids: list[str]) -> dict[str, Tag]:
        return {id: from_document(Tag, each) for id, each in (await self.documents("tags", ids)).items()}

    async def variables(self, ids: list[str]) -> list[Variable]:
        found: list[Variable | None] = await asyncio.gather(
            *[self._load("variables", self._variables, id) for id in ids]
        )
        there = [variable for variable in found if variable is not None and not variable.deleted]
        return sorted(there, key=lambda variable: name_key(variable.name))

    async def _variables(self, ids: list[str]) -> dict[str, Variable]:
        return {id: from_document(Variable, each) for id, each in (await self.documents("variables", ids)).items()}

    async def notes(self, influencer_id: str) -> list[Note]:
        return await self._load("notes", self._notes, influencer_id) or []

    async def _notes(self, influencer_ids: list[str]) -> dict[str, list[Note]]:
        filter = {"influencer_id": {"$in": influencer_ids}}
        documents = await self.store.database.find("notes", filter)
        notes: dict[str, list[Note]] = {}
        for document in sorted(documents, key=lambda each: int(each["added"])):
            if document["workspace"] == self.caller.workspace and not document["deleted"]:
                notes.setdefault(document["influencer_id"], []).append(from_document(Note, document))
        return notes

    async def assets(self, campaign_id: str) -> list[Asset]:
        return await self._load("campaign's assets", self._assets, campaign_id) or []

    async def _assets(self, campaign_ids: list[str]) -> dict[str, list[Asset]]:
        documents = await self.store.database.find("assets", {"campaign_id": {"$in": campaign_ids}})
        assets: dict[str, list[Asset]] = {}
        for document in sorted(documents, key=lambda each: -int(each["added"])):
            if document["workspace"] == self.caller.workspace:
                assets.setdefault(document["campaign_id"], []).append(from_document(Asset, document))
        return assets

    async def participations(self, influencer_id: str) -> list[Participation]:
        return await self._load("participations", self._participations, influencer_id) or []

    async def _participations(self, influencer_ids: list[str]) -> dict[str, list[Participation]]:
        marks = await self.marks([thread_id_of(id) for id in influencer_ids])
        documents = await self.store.database.find("participations", {"influencer_id": {"$in": influencer_ids}})
        participations: dict[str, list[Participation]] = {}
        for document in sorted(documents, key=lambda each: -int(each["added"])):
            if document["workspace"] == self.caller.workspace:
                participations.setdefault(document["influencer_id"], []).append(participation_of(document, marks))
        return participations

    def file_url(self, id: str, name: str) -> str:
        """Where an attachment can be fetched, by everybody who is told."""
        return attachments.url_of(self.store, self.caller.workspace, id, name)

    def raw_url(self, id: str) -> str:
        """Where a mail can be fetched as it came, by everybody who is told."""
        return self.file_url(id, attachments.raw_name(id))

    async def messages_between(self, thread_id: str, first: int, last: int) -> list[Message]:
        """The thread's messages at log positions from `first` to `last` that can be unread."""
        documents = await self.store.database.find(
            "messages",
            {"thread_id": thread_id, "order": {"$gte": first, "$lte": last}, "direction": "INBOUND", "automatic": 0},
            sort=[("order", 1)],
            hint=TIMELINE,
        )
        marks = await self.marks([thread_id])
        return [message_of(each, marks) for each in documents if each["workspace"] == self.caller.workspace]

    async def messages(self, thread_id: str, arguments: MessagePageArguments) -> MessageConnection:
        """A page of a thread's messages. Raises BAD_USER_INPUT, and NOT_FOUND for a message to be around."""
        self._must_be_open()
        window, position = await timeline.window(self.store.database, thread_id, arguments, self.position)
        marks = await self.marks([thread_id])
        edges = [
            Edge(cursor=format_cursor(Section.MESSAGES, each["order"], position), node=message_of(each, marks))
            for each in window.documents
        ]
        info = page_info(edges, more_before=window.more_before, more_after=window.more_after)
        return MessageConnection(edges=edges, page_info=info, position=position)


def draft_id(member: str, thread: str) -> str:
    """A member's one draft in a thread always has the same id, so that there cannot be two."""
    digest = hashlib.sha256(f"{member}:{thread}".encode()).digest()
    return f"draft_{ULID.from_bytes(digest[:16])}"


def message_of(document: Document, marks: Marks) -> Message:
    message = from_document(Message, document)
    mark = marks.get(message.thread_id)
    message.unread = bool(mark and message.countable and mark["count"] and message.order >= mark["first"])
    return message


def thread_of(influencer: Document, newest: Document | None, marks: Marks) -> Thread:
    thread_id = thread_id_of(influencer["_id"])
    person = from_document(Influencer, influencer)
    last_message = message_of(newest, marks) if newest else None
    mark = marks.get(thread_id)
    unread = mark["count"] if mark else 0
    return Thread(
        id=thread_id,  # type: ignore[arg-type]  # an ID is a string
        influencer=person,
        unread=unread > 0,
        unread_messages=unread,
        last_message=last_message,
        last_activity_at=from_milliseconds(influencer["last_activity_at"]) if newest else None,
    )


def participation_of(document: Document, marks: Marks) -> Participation:
    mark = marks.get(thread_id_of(document["influencer_id"]))
    unread = mark["by_campaign"].get(document["campaign_id"], 0) if mark else 0
    return from_document(Participation, document, unread_messages=unread)


async def read_for(store: Store, caller: Caller) -> StoreReader:
    """A reader at the log's `applied` mark, read before anything else."""
    return StoreReader(store, caller, await store.log.position(caller.workspace))
