"""What mutations answer: the objects that changed, the position of the change, or why it was refused."""

from __future__ import annotations

import strawberry

from schema.types.campaign import Campaign, Participation
from schema.types.errors import UserError
from schema.types.influencer import Influencer, Note
from schema.types.member import Member, Token
from schema.types.message import Message
from schema.types.notification import Notification
from schema.types.tag import Tag, Variable
from schema.types.thread import Thread, UnreadCount

WHERE_DONE = "Null where it was refused."
FOR_READERS = "Null where it was refused, and for a partner without the scope inbox:read."


@strawberry.interface(description="What every mutation answers.")
class Payload:
    position: str | None = strawberry.field(
        default=None,
        description="The log position of the change, by which its echo in a subscription is recognised. It is no "
        "`since`: what came before it may not have been delivered yet. Where nothing was left to do it is where the "
        "log stands, and no echo comes. Null where it was refused, and of tokens, which are in no log.",
    )
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why it was refused; empty where it was done."
    )


@strawberry.type(description="The new influencer.")
class CreateInfluencerPayload(Payload):
    influencer: Influencer | None = strawberry.field(default=None, description=WHERE_DONE)
    thread: Thread | None = strawberry.field(default=None, description=WHERE_DONE)


@strawberry.type(description="The influencer as they are now.")
class UpdateInfluencerPayload(Payload):
    influencer: Influencer | None = strawberry.field(default=None, description=WHERE_DONE)


@strawberry.type
class _InfluencersPayload(Payload):
    influencers: list[Influencer] | None = strawberry.field(default=None, description=WHERE_DONE)


@strawberry.type(description="The influencers that are archived now.")
class ArchiveInfluencersPayload(_InfluencersPayload):
    pass


@strawberry.type(description="The influencers that are back.")
class RestoreInfluencersPayload(_InfluencersPayload):
    pass


@strawberry.type(description="The influencers with their tags as they are now.")
class TagInfluencersPayload(_InfluencersPayload):
    pass


@strawberry.type
class _NotePayload(Payload):
    note: Note | None = strawberry.field(default=None, description="Null where it was refused or deleted.")
    influencer: Influencer | None = strawberry.field(default=None, description=WHERE_DONE)


@strawberry.type(description="The new note, and the influencer that it is on.")
class AddNotePayload(_NotePayload):
    pass


@strawberry.type(description="The influencer that the note was on.")
class DeleteNotePayload(_NotePayload):
    pass


@strawberry.type
class _TagPayload(Payload):
    tag: Tag | None = strawberry.field(default=None, description=WHERE_DONE)


@strawberry.type(description="The new tag.")
class CreateTagPayload(_TagPayload):
    pass


@strawberry.type(description="The tag as it is now.")
class UpdateTagPayload(_TagPayload):
    pass


@strawberry.type
class _DeletePayload(Payload):
    deleted_id: strawberry.ID | None = strawberry.field(default=None, description=WHERE_DONE)


@strawberry.type(description="The id of the tag that is gone.")
class DeleteTagPayload(_DeletePayload):
    pass


@strawberry.type(description="The id of the variable that is gone.")
class DeleteVariablePayload(_DeletePayload):
    pass


@strawberry.type
class _VariablePayload(Payload):
    variable: Variable | None = strawberry.field(default=None, description=WHERE_DONE)


@strawberry.type(description="The new variable.")
class CreateVariablePayload(_VariablePayload):
    pass


@strawberry.type(description="The variable as it is now.")
class UpdateVariablePayload(_VariablePayload):
    pass


@strawberry.type
class _CampaignPayload(Payload):
    campaign: Campaign | None = strawberry.field(default=None, description=WHERE_DONE)


@strawberry.type(description="The new campaign.")
class CreateCampaignPayload(_CampaignPayload):
    pass


@strawberry.type(description="The campaign as it is now.")
class UpdateCampaignPayload(_CampaignPayload):
    pass


@strawberry.type(description="The influencers' places in the campaign as they are now.")
class SetParticipationPayload(Payload):
    participations: list[Participation] | None = strawberry.field(default=None, description=WHERE_DONE)


@strawberry.type(description="The message that was sent, or had been sent with the same key.")
class SendMessagePayload(Payload):
    message: Message | None = strawberry.field(default=None, description=WHERE_DONE)
    thread: Thread | None = strawberry.field(default=None, description=FOR_READERS)


@strawberry.type(description="The message that was handed in, now or before.")
class ReceiveMessagePayload(Payload):
    message: Message | None = strawberry.field(default=None, description=WHERE_DONE)
    thread: Thread | None = strawberry.field(default=None, description=FOR_READERS)


@strawberry.type(description="The thread as the viewer sees it now, and their unread count.")
class MarkThreadReadPayload(Payload):
    thread: Thread | None = strawberry.field(default=None, description=WHERE_DONE)
    unread_count: UnreadCount | None = strawberry.field(default=None, description=WHERE_DONE)


@strawberry.type(description="The threads as the viewer sees them now, and their unread count.")
class MarkThreadsReadPayload(Payload):
    threads: list[Thread] | None = strawberry.field(
        default=None, description="The threads that were named; null where all were meant."
    )
    unread_count: UnreadCount | None = strawberry.field(default=None, description=WHERE_DONE)


@strawberry.type(description="The thread and message as the viewer sees them now, and their unread count.")
class MarkMessageUnreadPayload(Payload):
    thread: Thread | None = strawberry.field(default=None, description=WHERE_DONE)
    message: Message | None = strawberry.field(default=None, description=WHERE_DONE)
    unread_count: UnreadCount | None = strawberry.field(default=None, description=WHERE_DONE)


@strawberry.type(description="The notifications as they are now.")
class MarkNotificationsReadPayload(Payload):
    notifications: list[Notification] | None = strawberry.field(default=None, description=WHERE_DONE)


@strawberry.type
class _MemberPayload(Payload):
    member: Member | None = strawberry.field(default=None, description=WHERE_DONE)


@strawberry.type(description="The new member.")
class CreateMemberPayload(_MemberPayload):
    pass


@strawberry.type(description="The member as they are now.")
class UpdateMemberPayload(_MemberPayload):
    pass


@strawberry.type(description="The member who was removed.")
class RemoveMemberPayload(_MemberPayload):
    pass


@strawberry.type(description="The new token. It is shown here and never again.")
class CreateTokenPayload(Payload):
    secret: str | None = strawberry.field(default=None, description="The token itself, for `Authorization: Bearer`.")
    token: Token | None = strawberry.field(default=None, description=WHERE_DONE)


@strawberry.type(description="The token as it is now.")
class RevokeTokenPayload(Payload):
    token: Token | None = strawberry.field(default=None, description=WHERE_DONE)
