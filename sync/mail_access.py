"""How mailboxes are got at: their servers, with what they are opened with, and whether that works."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from schema.types.mailbox import Encryption, Mailbox, _Server
from storage import credentials
from storage.credentials import Credentials
from storage.keys import WrongSeal
from storage.store import Store
from sync.imap import imap_connection
from sync.mail_server import Failure, MailServer, MailServerFailed
from sync.oauth import ReconnectNeeded, fresh_token
from sync.oauth_providers import MailHost, Providers
from sync.smtp import smtp_connection

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


async def try_servers(imap: MailServer | None, smtp: MailServer) -> None:
    """Logs in to both as for work. Raises TryFailed."""
    tries = [trying("smtp", try_smtp(smtp)), *([trying("imap", try_imap(imap))] if imap else [])]
    results = await asyncio.gather(*tries, return_exceptions=True)
    for each in results:
        if isinstance(each, BaseException):
            raise each


async def trying(which: Literal["imap", "smtp"], work: object) -> None:
    try:
        async with asyncio.timeout(TRYING):
            await work  # type: ignore[misc]  # a coroutine of either
    except TimeoutError:
        raise TryFailed(which, MailServerFailed(Failure.LOST, f"nothing came within {TRYING:g} s")) from None
    except MailServerFailed as failed:
        raise TryFailed(which, failed) from None


async def try_imap(server: MailServer) -> None:
    async with imap_connection(server) as connection:
        folders = await connection.folders()
        await connection.select(folders.inbox)


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
