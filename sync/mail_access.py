"""How mailboxes are got at: their servers, with what they are opened with, and whether that works."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Literal, TypeVar

from schema.types.mailbox import Encryption, Mailbox, _Server
from storage import credentials
from storage.credentials import Credentials
from storage.keys import WrongSeal
from storage.mail_states import INBOX, SENT, FolderState
from storage.store import Store
from sync.imap import Folders, ImapConnection, imap_connection
from sync.lease import time_now
from sync.mail_server import Failure, MailServer, MailServerFailed
from sync.oauth import ReconnectNeeded, fresh_token
from sync.oauth_providers import MailHost, Providers
from sync.smtp import smtp_connection

T = TypeVar("T")

TRYING = 8.0  # seconds in which a new mailbox's servers must have let us in


@dataclass(frozen=True)
class MailAccess:
    """What all mailboxes are got at by."""

    providers: Providers | None = None
    allowed_hosts: frozenset[str] = frozenset()  # names of servers that may have private addresses
    ca_file: str | None = None  # certificates of authorities to be trusted, instead of the system's

    def server(self, where: _Server, secret: str, is_oauth: bool) -> MailServer:
        encryption: dict[Encryption, Literal["tls", "starttls", "none"]] = {
            Encryption.TLS: "tls", Encryption.STARTTLS: "starttls", Encryption.NONE: "none",
        }  # fmt: skip
        return MailServer(
            where.host, where.port, where.user, secret, is_oauth, encryption[where.encryption], self.allowed_hosts,
            self.ca_file,
        )  # fmt: skip


class TryFailed(Exception):
    """One of a mailbox's servers did not do what is needed."""

    def __init__(self, which: Literal["imap", "smtp"], failed: MailServerFailed) -> None:
        super().__init__(f"{which}: {failed}")
        self.which = which
        self.failed = failed


async def try_servers(imap: MailServer | None, smtp: MailServer) -> dict[str, FolderState]:
    """Logs in to both as for work; how the folders stand at this moment, by role. Raises TryFailed."""
    sending = asyncio.create_task(trying("smtp", try_smtp(smtp)))
    try:
        return await trying("imap", folders_now(imap)) if imap else {}
    finally:
        await sending


async def trying(which: Literal["imap", "smtp"], work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(TRYING):
            return await work
    except TimeoutError:
        raise TryFailed(which, MailServerFailed(Failure.LOST, f"nothing came within {TRYING:g} s")) from None
    except MailServerFailed as failed:
        raise TryFailed(which, failed) from None


async def folders_now(server: MailServer) -> dict[str, FolderState]:
    """What is in the folders by now is history to somebody who connects the mailbox."""
    async with imap_connection(server) as connection:
        roles = roles_of(await connection.folders())
        account = account_of(server)
        return {role: await folder_now(connection, name, account) for role, name in roles.items()}


def roles_of(folders: Folders) -> dict[str, str]:
    """The folders that are read. The inbox is the last, as it is the one that is listened to."""
    return {SENT: folders.sent, INBOX: folders.inbox} if folders.sent is not None else {INBOX: folders.inbox}


def account_of(server: MailServer | _Server) -> str:
    """Whose mail a server gives: of another account, or at another host, all folders are others."""
    return f"{server.user}@{server.host.lower()}"


async def folder_now(connection: ImapConnection, name: str, account: str) -> FolderState:
    """A server may open a folder before it looks for what has come to it by other ways than itself."""
    selected = await connection.select(name)
    last = max([selected.uid_next - 1, *await connection.new_uids(selected.uid_next - 1)])
    began = time_now()
    return FolderState(name, selected.uid_validity, last + 1, last, began, account, began)


async def try_smtp(server: MailServer) -> None:
    async with smtp_connection(server) as connection:
        await connection.check()


def where_of(host: MailHost, user: str) -> _Server:
    return _Server(host=host.host, port=host.port, user=user, encryption=Encryption[host.encryption.upper()])


async def secret_of(
    store: Store, access: MailAccess, workspace: str, mailbox: Mailbox, refused: str | None = None
) -> str:
    """What a mailbox is opened with now. Raises ReconnectNeeded, MailServerFailed."""
    if mailbox.provider is not None:
        if access.providers is None:
            raise ReconnectNeeded(f"{mailbox.provider} is not configured")
        return await fresh_token(store, access.providers, workspace, mailbox.id, refused)
    try:
        held: Credentials | None = await credentials.load(store, workspace, mailbox.id)
    except WrongSeal as error:
        raise ReconnectNeeded(f"its credentials cannot be opened: {error}") from None
    if held is None or held.password is None:
        raise ReconnectNeeded("it has no password")
    return held.password
