"""Connecting a mailbox, once its servers have been tried: by a password, or by what a provider gave."""

from __future__ import annotations

from schema.types.context import Caller
from schema.types.mailbox import MailboxAccess, MailboxState
from storage import credentials, mail_states, mailboxes
from storage.credentials import Credentials
from storage.log import Outcome
from storage.mailboxes import NewMailbox
from storage.store import Store


async def connect(store: Store, caller: Caller, member: str, new: NewMailbox, opened_with: Credentials) -> Outcome[str]:
    """Connects a mailbox, from whose servers mail is read from now on.

    One that only needed a new password or permission is read from where it was left; one that was disconnected, like a
    new one, from now on. Killed in between, it has no credentials, and soon says that it must be connected anew.
    """
    before = await mailboxes.find_mailbox(store, caller.workspace, new.address)
    outcome = await mailboxes.connect_mailbox(store, caller, member, new)
    await credentials.save(store, caller.workspace, outcome.result, opened_with)
    is_read = new.access is MailboxAccess.FULL
    if before is not None and before.state is not MailboxState.DISCONNECTED and before.access is new.access:
        await mail_states.go_on(store, outcome.result)
    else:
        await mail_states.begin(store, caller.workspace, outcome.result, is_read)
    return outcome
