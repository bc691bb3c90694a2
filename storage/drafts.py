"""Drafts: what each member has begun to write, one in each thread, which nobody else can see."""

from __future__ import annotations

from dataclasses import dataclass

from schema.types.context import Caller
from schema.types.draft import Draft
from schema.types.errors import not_found
from schema.types.message import Attachment, MessageChannel
from storage.campaigns import access_campaign
from storage.changes import Turn, place_of
from storage.documents import Document, to_document
from storage.influencers import access_influencer_of
from storage.log import Outcome
from storage.mailboxes import access_mailbox
from storage.reader import draft_id
from storage.store import Store


@dataclass(frozen=True)
class NewDraft:
    """A draft as it is to be, checked for its form."""

    thread_id: str
    channel: MessageChannel
    subject: str | None
    text: str
    safe_html: str | None
    cc: list[str]
    attachments: list[Attachment]
    campaign_id: str | None
    mailbox_id: str | None


async def save_draft(store: Store, caller: Caller, member: str, new: NewDraft) -> Outcome[str]:
    """Saves the member's draft in a thread, in place of the one before it. Raises NOT_FOUND."""
    id = draft_id(member, new.thread_id)

    async def plan(turn: Turn) -> str:
        if new.campaign_id is not None:
            await access_campaign(turn, new.campaign_id)
        if new.mailbox_id is not None:
            await access_mailbox(turn, new.mailbox_id)
        draft = Draft(id=id, updated_at=turn.at, member_id=member, **vars(new))  # type: ignore[arg-type]
        await put_draft(turn, "DRAFT_SAVED", id, new.thread_id, to_document(draft))
        return id

    return await store.log.change(caller, plan)


async def delete_draft(store: Store, caller: Caller, id: str) -> Outcome[str]:
    """Deletes a draft of the caller's; the thread that it was in. Raises NOT_FOUND."""

    async def plan(turn: Turn) -> str:
        return await put_draft_deleted(turn, id)

    return await store.log.change(caller, plan)


async def put_draft_deleted(turn: Turn, id: str, only_of: str | None = None) -> str:
    """Deletes a draft of the caller's, if it is of this thread where one is named; its thread. Raises NOT_FOUND."""
    draft = await turn.get("drafts", id)
    if draft is None or draft["deleted"] or draft["member_id"] != turn.caller.id:
        raise not_found(id)
    thread: str = draft["thread_id"]
    if only_of not in (None, thread):
        raise not_found(id)
    emptied = {"deleted": 1, "text": "", "safe_html": None, "subject": None, "cc": [], "attachments": []}
    await put_draft(turn, "DRAFT_DELETED", id, thread, emptied)
    return thread


async def put_draft(turn: Turn, kind: str, id: str, thread: str, fields: Document) -> None:
    influencer = await access_influencer_of(turn, thread)
    change = turn.begin(kind, id, thread, thread=thread, only=turn.caller.id, now=place_of(influencer))
    turn.put(change, "drafts", id, fields)
