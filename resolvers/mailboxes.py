"""Mailboxes: connected, shared, chosen and disconnected; and the mail in them that could not be taken in."""

from __future__ import annotations

from typing import Any

import strawberry

from resolvers import access, validate
from resolvers.context import Info
from resolvers.refusal import refusable
from schema.types.arguments import After, First
from schema.types.errors import Refused, UserErrorCode
from schema.types.mail_inputs import (
    BeginMailboxAuthorizationInput,
    CheckMailboxInput,
    ConnectMailboxInput,
    DiscardQuarantinedMailInput,
    DisconnectMailboxInput,
    MailServerInput,
    RetryQuarantinedMailInput,
    SetDefaultMailboxInput,
    UpdateMailboxInput,
)
from schema.types.mail_payloads import (
    BeginMailboxAuthorizationPayload,
    CheckMailboxPayload,
    ConnectMailboxPayload,
    DiscardQuarantinedMailPayload,
    DisconnectMailboxPayload,
    RetryQuarantinedMailPayload,
    SetDefaultMailboxPayload,
    UpdateMailboxPayload,
)
from schema.types.mailbox import Mailbox, MailboxAccess, QuarantinedMail, QuarantineState, _Server
from schema.types.node import kind_of
from schema.types.paging import Connection
from storage import mail_states, quarantine
from storage import mailboxes as stored
from storage.credentials import Credentials
from storage.mailboxes import NewMailbox
from storage.oauth_flows import Flow
from sync import oauth
from sync.mail_access import TryFailed, try_servers
from sync.mail_server import Failure
from sync.mailbox_connecting import connect, disconnect
from sync.mailbox_folder import MOST_BYTES

HOST, PASSWORD = 253, 1000  # characters

CODES = {
    Failure.HOST: UserErrorCode.HOST_FAILED,
    Failure.TLS: UserErrorCode.TLS_FAILED,
    Failure.LOGIN: UserErrorCode.LOGIN_FAILED,
    Failure.PERMISSION: UserErrorCode.PERMISSION_FAILED,
}  # anything else may be better later


async def mailboxes(info: Info) -> list[Mailbox]:
    access.to_read(info)
    return await stored.all_mailboxes(info.context.reader)


async def mailbox_providers(info: Info) -> list[str]:
    access.to_read(info)
    providers = info.context.mail.providers
    return providers.names if providers else []


async def quarantined_mails(info: Info, first: First = 25, after: After = None) -> Connection[QuarantinedMail]:
    access.to_read(info)
    return await quarantine.page(info.context.reader, first, after)


@refusable(ConnectMailboxPayload)
async def connect_mailbox(info: Info, input: ConnectMailboxInput) -> ConnectMailboxPayload:
    caller, member = access.member_to_write(info)
    address = validate.email(input.address, "address")
    if input.imap is None and input.access is MailboxAccess.FULL:
        raise Refused(UserErrorCode.BLANK, "a mailbox that is read needs imap", "imap")
    new = NewMailbox(
        address=address,
        name=validate.line(input.name, "name"),
        access=input.access,
        smtp=checked_server(input.smtp, address, "smtp"),
        imap=checked_server(input.imap, address, "imap") if input.imap and input.access is MailboxAccess.FULL else None,
        is_shared=input.is_shared,
    )
    if not input.password:
        raise Refused(UserErrorCode.BLANK, "password must not be empty", "password")
    password = validate.optional_line(input.password, "password", most=PASSWORD)
    mail = info.context.mail
    try:
        folders = await try_servers(
            mail.server(new.imap, password, False) if new.imap else None, mail.server(new.smtp, password, False)
        )
    except TryFailed as error:
        code = CODES.get(error.failed.failure, UserErrorCode.SERVER_FAILED)
        raise Refused(code, error.failed.reason, error.which) from None
    outcome = await connect(info.context.store, caller, member, new, Credentials(password=password), folders)
    mailbox = await info.context.reader.mailbox(outcome.result)
    return ConnectMailboxPayload(mailbox=mailbox, position=outcome.position)


def checked_server(input: MailServerInput, address: str, field: str) -> _Server:
    host = validate.line(input.host, field, "host", most=HOST)
    if not 1 <= input.port <= 65535:
        raise Refused(UserErrorCode.INVALID, "a port is from 1 to 65535", field, "port")
    user = validate.line(input.user, field, "user") if input.user is not None else address
    return _Server(host=host, port=input.port, user=user, encryption=input.encryption)


@refusable(BeginMailboxAuthorizationPayload)
async def begin_mailbox_authorization(
    info: Info, input: BeginMailboxAuthorizationInput
) -> BeginMailboxAuthorizationPayload:
    caller, member = access.member_to_write(info)
    address, providers = validate.email(input.address, "address"), info.context.mail.providers
    if providers is None or providers.get(input.provider) is None:
        raise Refused(UserErrorCode.INVALID, f"there is no provider {input.provider[:40]!r}", "provider")
    flow = Flow(caller.workspace, member, input.provider, address, MailboxAccess(input.access).name)
    url = await oauth.begin(info.context.store, providers, flow)
    return BeginMailboxAuthorizationPayload(authorization_url=url)


@refusable(UpdateMailboxPayload)
async def update_mailbox(info: Info, input: UpdateMailboxInput) -> UpdateMailboxPayload:
    caller, _ = access.member_to_write(info)
    kind_of(input.mailbox_id)
    given: dict[str, Any] = {}
    if input.name is not strawberry.UNSET:
        given["name"] = validate.line(input.name or "", "name")
    if input.is_shared is not strawberry.UNSET:
        given["is_shared"] = bool(input.is_shared)
    if input.member_ids is not strawberry.UNSET:
        given["sender_ids"] = validate.ids(list(input.member_ids or []), "memberIds")
    outcome = await stored.change_mailbox(info.context.store, caller, input.mailbox_id, given)
    mailbox = await info.context.reader.mailbox(input.mailbox_id)
    return UpdateMailboxPayload(mailbox=mailbox, position=outcome.position)


@refusable(DisconnectMailboxPayload)
async def disconnect_mailbox(info: Info, input: DisconnectMailboxInput) -> DisconnectMailboxPayload:
    caller, _ = access.member_to_write(info)
    kind_of(input.mailbox_id)
    outcome = await disconnect(info.context.store, caller, input.mailbox_id)
    mailbox = await info.context.reader.mailbox(input.mailbox_id)
    return DisconnectMailboxPayload(mailbox=mailbox, position=outcome.position)


@refusable(SetDefaultMailboxPayload)
async def set_default_mailbox(info: Info, input: SetDefaultMailboxInput) -> SetDefaultMailboxPayload:
    caller, member = access.member_to_write(info)
    validate.optional_id(input.mailbox_id)
    store, reader = info.context.store, info.context.reader
    if input.for_workspace:
        access.to_manage(info)
        if input.mailbox_id is None:
            raise Refused(UserErrorCode.BLANK, "the workspace's fallback is a mailbox", "mailboxId")
        outcome = await stored.set_fallback(store, caller, input.mailbox_id)
        return SetDefaultMailboxPayload(mailbox=await reader.mailbox(input.mailbox_id), position=outcome.position)
    outcome = await stored.set_default(store, caller, member, input.mailbox_id)
    mailbox = await reader.mailbox(input.mailbox_id) if input.mailbox_id else None
    return SetDefaultMailboxPayload(mailbox=mailbox, member=await reader.member(member), position=outcome.position)


@refusable(CheckMailboxPayload)
async def check_mailbox(info: Info, input: CheckMailboxInput) -> CheckMailboxPayload:
    access.member_to_write(info)
    mailbox = must_be_read(await info.context.reader.mailbox(input.mailbox_id), "mailboxId")
    await mail_states.ask_for_check(info.context.store, mailbox.id)
    return CheckMailboxPayload(mailbox=mailbox, position=info.context.reader.position)


def must_be_read(mailbox: Mailbox, field: str) -> Mailbox:
    if mailbox.access is not MailboxAccess.FULL:
        raise Refused(UserErrorCode.INVALID, "nothing is read from this mailbox", field)
    if mailbox.state in stored.STOPPED:
        raise Refused(UserErrorCode.NEEDS_RECONNECT, "nothing is read until it is connected anew", field)
    return mailbox


@refusable(RetryQuarantinedMailPayload)
async def retry_quarantined_mail(info: Info, input: RetryQuarantinedMailInput) -> RetryQuarantinedMailPayload:
    caller, _ = access.member_to_write(info)
    mail = await info.context.reader.quarantined_mail(input.quarantined_mail_id)
    if mail.size > MOST_BYTES:
        raise Refused(
            UserErrorCode.INVALID, "it was too large to be fetched: its header is all there is", "quarantinedMailId"
        )
    if mail.refused_at and mail.state is QuarantineState.HELD:
        mailbox = must_be_read(await info.context.reader.mailbox(mail.mailbox_id), "quarantinedMailId")
        await mail_states.ask_for_check(info.context.store, mailbox.id)
    else:
        await quarantine.ask_for_retry(info.context.store, caller, mail.id)
    return RetryQuarantinedMailPayload(quarantined_mail=mail, position=info.context.reader.position)


@refusable(DiscardQuarantinedMailPayload)
async def discard_quarantined_mail(info: Info, input: DiscardQuarantinedMailInput) -> DiscardQuarantinedMailPayload:
    caller, _ = access.member_to_write(info)
    id = input.quarantined_mail_id
    mail = await info.context.reader.quarantined_mail(id)
    if mail.refused_at:
        await mail_states.give_up_refused(info.context.store, mail.refused_at)
    outcome = await quarantine.set_state(info.context.store, caller, id, QuarantineState.DISCARDED)
    mail = await info.context.reader.quarantined_mail(id)
    return DiscardQuarantinedMailPayload(quarantined_mail=mail, position=outcome.position)
