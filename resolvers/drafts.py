"""Drafts: what a member has begun to write."""

from __future__ import annotations

from resolvers import access, validate
from resolvers.context import Info
from resolvers.html import checked_html
from resolvers.messages import checked_cc
from resolvers.refusal import refusable
from schema.types.mail_inputs import DeleteDraftInput, SaveDraftInput
from schema.types.mail_payloads import DeleteDraftPayload, SaveDraftPayload
from schema.types.node import kind_of
from storage import drafts
from storage.attachments import access_attachments
from storage.drafts import NewDraft


@refusable(SaveDraftPayload)
async def save_draft(info: Info, input: SaveDraftInput) -> SaveDraftPayload:
    caller, member = access.member_to_write(info)
    for id in (input.thread_id, input.campaign_id, input.mailbox_id):
        validate.optional_id(id)
    store, attachment_ids = info.context.store, validate.ids(list(input.attachment_ids or []), "attachmentIds")
    new = NewDraft(
        thread_id=input.thread_id,
        channel=input.channel,
        subject=validate.optional_line(input.subject, "subject", most=validate.SUBJECT) if input.subject else None,
        text=validate.optional_text(input.text, "text"),
        safe_html=await checked_html(input.html) if input.html else None,
        cc=checked_cc(input.cc),
        attachments=await access_attachments(store, caller.workspace, attachment_ids),
        campaign_id=input.campaign_id,
        mailbox_id=input.mailbox_id,
    )
    outcome = await drafts.save_draft(store, caller, member, new)
    draft = await info.context.reader.draft_by_id(outcome.result)
    return SaveDraftPayload(draft=draft, position=outcome.position)


@refusable(DeleteDraftPayload)
async def delete_draft(info: Info, input: DeleteDraftInput) -> DeleteDraftPayload:
    caller, _ = access.own_state(info)
    kind_of(input.draft_id)
    outcome = await drafts.delete_draft(info.context.store, caller, input.draft_id)
    return DeleteDraftPayload(thread=await info.context.reader.thread(outcome.result), position=outcome.position)
