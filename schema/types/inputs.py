"""What clients say when they change something."""

from __future__ import annotations

from datetime import datetime

import strawberry

from schema.types.campaign import AssetKind, CampaignState, ParticipationStatus
from schema.types.context import Role
from schema.types.influencer import InfluencerRef, Network
from schema.types.message import MessageChannel
from schema.types.tag import VariableType

KEY = (
    "Makes the request one: sent again with the same key and input, it does nothing and gives what it gave the first "
    "time. With another input it is a CONFLICT. Held per caller, for good."
)


@strawberry.input(description="A name on one network.")
class HandleInput:
    network: Network = strawberry.field(description="The network.")
    name: str = strawberry.field(description="The name, with or without a leading @.")


@strawberry.input(description="A value of a custom variable.")
class VariableValueInput:
    variable_id: strawberry.ID = strawberry.field(description="The variable.")
    value: str | None = strawberry.field(description="The value, written as its type says; null takes it away.")


@strawberry.input(description="A new influencer.")
class CreateInfluencerInput:
    name: str = strawberry.field(description="The name to show.")
    handle: str | None = strawberry.field(default=None, description="Their handle on the platform.")
    handles: list[HandleInput] | None = strawberry.field(default=None, description="Their handles on other networks.")
    emails: list[str] | None = strawberry.field(default=None, description="Their addresses; the first is written to.")
    external_id: str | None = strawberry.field(default=None, description="The id in the brand's own system.")
    avatar_url: str | None = strawberry.field(default=None, description="The address of a picture.")
    has_account: bool = strawberry.field(default=False, description="Whether they have an account on the platform.")
    tag_ids: list[strawberry.ID] | None = strawberry.field(default=None, description="Their tags.")
    variables: list[VariableValueInput] | None = strawberry.field(default=None, description="Values of variables.")
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.input(
    description="What changes of an influencer. What is left out stays as it is; null takes away what can be without."
)
class UpdateInfluencerInput:
    influencer_id: strawberry.ID = strawberry.field(description="The influencer.")
    name: str | None = strawberry.field(default=strawberry.UNSET, description="The name to show.")
    handles: list[HandleInput] | None = strawberry.field(default=strawberry.UNSET, description="All their handles.")
    emails: list[str] | None = strawberry.field(default=strawberry.UNSET, description="All their addresses.")
    external_id: str | None = strawberry.field(default=strawberry.UNSET, description="The brand's own id of them.")
    avatar_url: str | None = strawberry.field(default=strawberry.UNSET, description="The address of a picture.")
    has_account: bool | None = strawberry.field(default=strawberry.UNSET, description="Whether they have an account.")
    tag_ids: list[strawberry.ID] | None = strawberry.field(default=strawberry.UNSET, description="All their tags.")
    variables: list[VariableValueInput] | None = strawberry.field(
        default=strawberry.UNSET, description="Values that change; variables that are left out keep theirs."
    )


@strawberry.input(description="Influencers to take out of the inbox and the counts.")
class ArchiveInfluencersInput:
    influencer_ids: list[strawberry.ID] = strawberry.field(description="At most a hundred.")


@strawberry.input(description="Influencers to bring back into the inbox.")
class RestoreInfluencersInput:
    influencer_ids: list[strawberry.ID] = strawberry.field(description="At most a hundred.")


@strawberry.input(description="Tags to add to influencers, and to take from them.")
class TagInfluencersInput:
    influencer_ids: list[strawberry.ID] = strawberry.field(description="At most a hundred.")
    add_tag_ids: list[strawberry.ID] | None = strawberry.field(default=None, description="Tags to add.")
    remove_tag_ids: list[strawberry.ID] | None = strawberry.field(default=None, description="Tags to take away.")


@strawberry.input(description="A new note.")
class AddNoteInput:
    influencer_id: strawberry.ID = strawberry.field(description="The influencer that it is on.")
    text: str = strawberry.field(description="What is noted.")
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.input(description="A note to delete.")
class DeleteNoteInput:
    note_id: strawberry.ID = strawberry.field(description="The note.")


@strawberry.input(description="A new tag.")
class CreateTagInput:
    name: str = strawberry.field(description="The name, unique in the workspace.")
    color: str | None = strawberry.field(default=None, description="A colour as #rrggbb.")
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.input(description="What changes of a tag. What is left out stays as it is.")
class UpdateTagInput:
    tag_id: strawberry.ID = strawberry.field(description="The tag.")
    name: str | None = strawberry.field(default=strawberry.UNSET, description="The name.")
    color: str | None = strawberry.field(default=strawberry.UNSET, description="A colour as #rrggbb, or none.")


@strawberry.input(description="A tag to delete. Everyone who has it loses it.")
class DeleteTagInput:
    tag_id: strawberry.ID = strawberry.field(description="The tag.")


@strawberry.input(description="A new custom variable.")
class CreateVariableInput:
    name: str = strawberry.field(description="The name, unique in the workspace.")
    type: VariableType = strawberry.field(description="What its values are; it stays so.")
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.input(description="A new name for a custom variable.")
class UpdateVariableInput:
    variable_id: strawberry.ID = strawberry.field(description="The variable.")
    name: str = strawberry.field(description="The name.")


@strawberry.input(description="A custom variable to delete, with its values.")
class DeleteVariableInput:
    variable_id: strawberry.ID = strawberry.field(description="The variable.")


@strawberry.input(description="A new campaign.")
class CreateCampaignInput:
    name: str = strawberry.field(description="The name, unique in the workspace.")
    state: CampaignState = strawberry.field(default=CampaignState.DRAFT, description="Where it stands.")
    asset_kinds: list[AssetKind] | None = strawberry.field(default=None, description="What it can give.")
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.input(description="What changes of a campaign. What is left out stays as it is.")
class UpdateCampaignInput:
    campaign_id: strawberry.ID = strawberry.field(description="The campaign.")
    name: str | None = strawberry.field(default=strawberry.UNSET, description="The name.")
    state: CampaignState | None = strawberry.field(default=strawberry.UNSET, description="Where it stands.")
    asset_kinds: list[AssetKind] | None = strawberry.field(default=strawberry.UNSET, description="What it can give.")


@strawberry.input(description="A status for influencers in a campaign. Who is not in it yet comes into it.")
class SetParticipationInput:
    campaign_id: strawberry.ID = strawberry.field(description="The campaign.")
    influencer_ids: list[strawberry.ID] = strawberry.field(description="At most a hundred.")
    status: ParticipationStatus = strawberry.field(
        default=ParticipationStatus.ADDED, description="The status; REMOVED takes them out of the campaign's views."
    )


@strawberry.input(description="A message to an influencer.")
class SendMessageInput:
    thread_id: strawberry.ID = strawberry.field(description="The conversation.")
    text: str = strawberry.field(description="What it says.")
    channel: MessageChannel = strawberry.field(default=MessageChannel.PLATFORM, description="How it travels.")
    campaign_id: strawberry.ID | None = strawberry.field(
        default=None, description="The campaign that it belongs to. Who is not in it yet comes into it."
    )
    subject: str | None = strawberry.field(
        default=None, description="An e-mail's subject. Left out, it is that of the e-mail before it in the thread."
    )
    html: str | None = strawberry.field(default=None, description="An e-mail's text as HTML, which is made safe.")
    cc: list[str] | None = strawberry.field(default=None, description="Who gets a copy of an e-mail; at most 20.")
    mailbox_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The mailbox that an e-mail goes from; left out, the viewer's default, the fallback or their own.",
    )
    attachment_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="Files that go with it, as they were uploaded."
    )
    draft_id: strawberry.ID | None = strawberry.field(
        default=None, description="The viewer's draft that it was written as, which is deleted with it."
    )
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.input(description="What an influencer wrote, handed in by a partner.")
class ReceiveMessageInput:
    thread_id: strawberry.ID | None = strawberry.field(default=None, description="The conversation; or `influencer`.")
    influencer: InfluencerRef | None = strawberry.field(default=None, description="Who wrote; or `threadId`.")
    text: str = strawberry.field(description="What it says.")
    external_id: str = strawberry.field(
        description="The partner's own id of the message. The same again is no second message; with another content it "
        "is a CONFLICT."
    )
    campaign_id: strawberry.ID | None = strawberry.field(
        default=None, description="The campaign that it belongs to. Who is not in it yet comes into it."
    )
    sent_at: datetime | None = strawberry.field(default=None, description="When it was written; now, if left out.")
    automatic: bool = strawberry.field(default=False, description="Whether a machine wrote it; such never make unread.")


@strawberry.input(description="How far the viewer has read a thread.")
class MarkThreadReadInput:
    thread_id: strawberry.ID = strawberry.field(description="The conversation.")
    up_to_message_id: strawberry.ID = strawberry.field(description="The last message that was read.")


@strawberry.input(description="Threads that the viewer has read.")
class MarkThreadsReadInput:
    thread_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="At most a hundred; all that are unread, if left out."
    )


@strawberry.input(description="A message from which on the viewer wants the thread to be unread.")
class MarkMessageUnreadInput:
    message_id: strawberry.ID = strawberry.field(
        description="The message. Where it cannot be unread itself, as one of the brand's or an automatic one, what "
        "can and came after it is unread, or else the last before it."
    )


@strawberry.input(description="Notifications that the viewer has seen.")
class MarkNotificationsReadInput:
    notification_ids: list[strawberry.ID] = strawberry.field(description="At most a hundred.")


@strawberry.input(description="A new member.")
class CreateMemberInput:
    name: str = strawberry.field(description="The name to show.")
    email: str = strawberry.field(description="The e-mail address, unique in the workspace.")
    role: Role = strawberry.field(default=Role.MEMBER, description="What they may do.")
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.input(description="What changes of a member. What is left out stays as it is.")
class UpdateMemberInput:
    member_id: strawberry.ID = strawberry.field(description="The member.")
    name: str | None = strawberry.field(default=strawberry.UNSET, description="The name to show.")
    role: Role | None = strawberry.field(default=strawberry.UNSET, description="What they may do.")


@strawberry.input(description="A member to remove. What they wrote stays.")
class RemoveMemberInput:
    member_id: strawberry.ID = strawberry.field(description="The member.")


@strawberry.input(description="A new token, of a member or of a partner app.")
class CreateTokenInput:
    label: str = strawberry.field(description="What it is for.")
    member_id: strawberry.ID | None = strawberry.field(default=None, description="The member; or `partner`.")
    partner: str | None = strawberry.field(
        default=None, description="The partner app's name; one that is not there yet is added."
    )
    scopes: list[str] | None = strawberry.field(
        default=None,
        description="What a partner may do: inbox:read, messages:ingest, messages:send, influencers:write, "
        "campaigns:write.",
    )
    expires_in_days: int = strawberry.field(default=90, description="How long it is accepted: 1 to 3650 days.")


@strawberry.input(description="A token to revoke.")
class RevokeTokenInput:
    token_id: strawberry.ID = strawberry.field(description="The token's id.")
