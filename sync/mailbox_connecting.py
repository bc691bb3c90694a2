"""Connecting a mailbox, once its servers have been tried: by a password, or by what a provider gave."""

from __future__ import annotations

from schema.types.context import Caller, Role
from schema.types.errors import Refused, UserErrorCode
from schema.types.mailbox import MailboxAccess, MailboxState
from storage import credentials, mail_states, mailboxes, outbox
from storage.credentials import Credentials
from storage.log import Outcome
from storage.mail_states import FolderState
from storage.mailboxes import NewMailbox
from storage.oauth_flows import Flow
from storage.store import Store
from sync.lease import time_now
from sync.mail_access import MailAccess, TryFailed, try_servers, where_of
from sync.oauth import NoSuchProvider, uncut


@uncut
async def connect(
    store: Store,
    caller: Caller,
    member: str,
    new: NewMailbox,
    opened_with: Credentials,
    folders: dict[str, FolderState],
) -> Outcome[str]:
    """Connects a mailbox, to the end even where whoever asked for it is cancelled.

    Mail is read from where its folders stood when it was tried. One that only needed a new password or permission is
    read from where it was left; one that was disconnected, like a new one, from then on. Killed in between, it has no
    credentials: it is not read, and what is sent from it says that it needs some.
    """
    before = await mailboxes.find_mailbox(store, caller.workspace, new.address)
    outcome = await mailboxes.connect_mailbox(store, caller, member, new)
    await credentials.save(store, caller.workspace, outcome.result, opened_with)
    is_read = new.access is MailboxAccess.FULL
    was_read = before is not None and before.state is not MailboxState.DISCONNECTED and before.access is new.access
    if not (is_read and was_read and await mail_states.go_on(store, outcome.result)):
        await mail_states.begin(store, caller.workspace, outcome.result, is_read, folders)
    await outbox.hurry(store, outcome.result, time_now())
    return outcome


@uncut
async def disconnect(store: Store, caller: Caller, id: str) -> Outcome[None]:
    """Disconnects a mailbox, to the end even where whoever asked for it is cancelled.

    Killed in between, whoever would read it does what is left.
    """
    outcome = await mailboxes.disconnect_mailbox(store, caller, id)
    await credentials.forget(store, caller.workspace, id)
    await mail_states.stop(store, id)
    return outcome


async def connect_with_tokens(store: Store, access: MailAccess, flow: Flow, tokens: Credentials) -> Outcome[str]:
    """Connects what a member began at a provider, once the provider's servers have let us in with its tokens.

    Raises MailServerFailed, NoSuchProvider, and Refused where the member may not do this any more.
    """
    provider = access.providers.get(flow.provider) if access.providers else None
    if provider is None or tokens.access_token is None:
        raise NoSuchProvider(f"{flow.provider} is not configured")
    caller = await member_of(store, flow)
    is_read = MailboxAccess(flow.access) is MailboxAccess.FULL
    new = NewMailbox(
        address=flow.address,
        name=caller.name,
        access=MailboxAccess(flow.access),
        smtp=where_of(provider.smtp, flow.address),
        imap=where_of(provider.imap, flow.address) if is_read else None,
        provider=provider.name,
    )
    imap = access.server(new.imap, tokens.access_token, True) if new.imap else None
    try:
        folders = await try_servers(imap, access.server(new.smtp, tokens.access_token, True))
    except TryFailed as error:
        raise error.failed from None
    return await connect(store, caller, flow.member_id, new, tokens, folders)


async def member_of(store: Store, flow: Flow) -> Caller:
    member = await store.database.get("members", flow.member_id)
    if member is None or member["removed_at"] is not None or member["role"] == Role.VIEWER.value:
        raise Refused(UserErrorCode.NOT_ALLOWED, "you may not connect mailboxes any more")
    return Caller(flow.member_id, member["name"], flow.workspace, token="", role=Role(member["role"]))
