"""Mailboxes that are connected by OAuth 2: authorization code with PKCE, and access tokens that are always fresh.

A refresh token may be good for one use, after which the provider has forgotten it and knows only the one it answered
with. So one process at a time renews a mailbox's tokens, under a lease in the database; what it was answered is written
before anything is done with it, whoever asked is cancelled meanwhile, and again and again where the database fails. One
gap is left that nobody can close: killed between the provider's answer and our write, the mailbox has to be connected
anew, unless the provider lets the old refresh token live on (as Google and Microsoft do).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlencode

from schema.types.scalars import now
from storage import credentials as stored
from storage import oauth_flows
from storage.credentials import Credentials, Held, Lease
from storage.database import DatabaseError
from storage.documents import to_milliseconds
from storage.keys import WrongSeal
from storage.oauth_flows import Flow
from storage.store import Store
from sync.mail_server import Failure, MailServerFailed
from sync.oauth_providers import Provider, Providers
from sync.oauth_tokens import GrantEnded, exchange, refresh

logger = logging.getLogger("connect_inbox.oauth")
P = ParamSpec("P")
T = TypeVar("T")

LEASE = 120.0  # seconds, longer than an answer and its writing may take together
WRITE_TIME = 60.0
WAIT = 20.0  # for another process to renew a token that has expired
POLL = 0.1


class NoSuchProvider(Exception):
    """A provider is not configured, or not any more."""


class ReconnectNeeded(Exception):
    """Only a member can help: the mailbox must be connected anew. `reason` is one line, without any secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


async def begin(store: Store, providers: Providers, flow: Flow) -> str:
    """The address at the provider that a member must visit to connect a mailbox. Raises NoSuchProvider."""
    provider = provider_named(providers, flow.provider)
    verifier = secrets.token_urlsafe(48)
    state = await oauth_flows.begin(store, flow, verifier)
    query = urlencode(
        {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": providers.redirect_uri,
            "scope": " ".join(provider.scopes),
            "state": state,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
            "login_hint": flow.address,
            **provider.parameters,
        }
    )
    return f"{provider.authorize_url}{'&' if '?' in provider.authorize_url else '?'}{query}"


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def provider_named(providers: Providers, name: str | None) -> Provider:
    provider = providers.get(name)
    if provider is None:
        raise NoSuchProvider(f"{name or 'no provider'} is not configured")
    return provider


async def finish(store: Store, providers: Providers, flow: Flow, verifier: str, code: str) -> Credentials:
    """The tokens for the code that a browser came back with, once `oauth_flows.take` has said what it was begun for.

    Raises GrantEnded, MailServerFailed, NoSuchProvider.
    """
    return await exchange(providers, provider_named(providers, flow.provider), code, verifier)


async def fresh_token(
    store: Store, providers: Providers, workspace: str, mailbox_id: str, refused: str | None = None
) -> str:
    """An access token of the mailbox's. One that a server has `refused` is renewed, however young it is.

    Raises ReconnectNeeded where the provider has ended the grant, MailServerFailed where it cannot be asked.
    """
    deadline = time.monotonic() + WAIT
    while True:
        held = await hold(store, workspace, mailbox_id)
        token = good_token(held.credentials, refused)
        if token is not None and not is_due(held.credentials):
            return token
        lease = await stored.take_lease(store, workspace, mailbox_id, held.version, LEASE)
        if lease is not None:
            try:
                renewed = await renew(store, providers, held.credentials, lease)
            except MailServerFailed as failure:
                if token is None:
                    raise
                logger.warning("an access token could not be renewed yet: %s", failure)
                return token
            if renewed is not None:
                return renewed
        elif token is not None:  # somebody else renews it just now, and it is good until then
            return token
        elif time.monotonic() > deadline:
            raise MailServerFailed(Failure.BUSY, "another process is about to renew the access token")
        else:
            await asyncio.sleep(POLL)


async def hold(store: Store, workspace: str, mailbox_id: str) -> Held:
    """The mailbox's credentials, as far as they are an OAuth provider's. Raises ReconnectNeeded."""
    try:
        held = await stored.hold(store, workspace, mailbox_id)
    except WrongSeal as error:
        raise ReconnectNeeded(f"its credentials cannot be opened: {error}") from None
    if held is None or held.credentials.refresh_token is None:
        raise ReconnectNeeded("it has no tokens of a provider")
    return held


def good_token(credentials: Credentials, refused: str | None) -> str | None:
    """The access token, if it has not expired and was not refused."""
    is_good = credentials.access_token != refused and (credentials.expires_at or 0) > to_milliseconds(now())
    return credentials.access_token if is_good else None


def is_due(credentials: Credentials) -> bool:
    return (credentials.refresh_at or 0) <= to_milliseconds(now())


def uncut(work: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Has work run to its end, even where whoever asked for it is cancelled, who is told so afterwards."""

    @wraps(work)
    async def run(*arguments: P.args, **named: P.kwargs) -> T:
        task = asyncio.create_task(work(*arguments, **named))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # nobody waits for it any more
            raise

    return run


@uncut
async def renew(store: Store, providers: Providers, credentials: Credentials, lease: Lease) -> str | None:
    """A new access token, once it is written; None where others have written meanwhile."""
    try:
        provider = provider_named(providers, credentials.provider)
        answer = await refresh(providers, provider, credentials.refresh_token or "")
        return answer.access_token if await write(store, lease, answer) else None
    except NoSuchProvider as error:
        raise ReconnectNeeded(str(error)) from None
    except GrantEnded as error:
        if (await hold(store, lease.workspace, lease.mailbox_id)).version != lease.version:
            return None
        raise ReconnectNeeded(str(error)) from None
    finally:
        with contextlib.suppress(DatabaseError):  # then it ends by itself
            await stored.release(store, lease)


async def write(store: Store, lease: Lease, credentials: Credentials) -> bool:
    """Writes what nobody could get again, however long the database fails; False where others wrote meanwhile."""
    deadline = time.monotonic() + WRITE_TIME
    while True:
        try:
            return await stored.replace(store, lease, credentials)
        except DatabaseError:
            if time.monotonic() > deadline:
                logger.critical("the renewed tokens of %s could not be written and are lost", lease.mailbox_id)
                raise
        await asyncio.sleep(POLL)
