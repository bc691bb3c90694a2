"""From a provider to a mailbox: tokens of a real authorization server, with which a real Dovecot lets us in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from storage import credentials, oauth_flows
from storage.oauth_flows import Flow
from storage.store import Store
from sync.imap import imap_connection
from sync.mail_server import Failure, MailServer, MailServerFailed
from sync.oauth import begin, finish, fresh_token
from sync.oauth_providers import Providers, open_providers
from tests.dovecot import Dovecot, TokenCheck, account_of, dovecot_server, need_dovecot
from tests.npm_client import needs_node
from tests.oidc import CLIENT_SECRET, REDIRECT_URI, oidc_server, visit

WORKSPACE = "workspace_xoauth2"
ADDRESS, OTHER = "brand@example.com", "other@example.com"


@dataclass(frozen=True)
class Place:
    providers: Providers
    dovecot: Dovecot

    def account(self, user: str, token: str) -> MailServer:
        return replace(account_of(self.dovecot, user), secret=token, is_oauth=True)

    async def connect(self, store: Store, mailbox: str) -> str:
        """Has somebody connect their mailbox; the access token."""
        returned = await visit(
            await begin(store, self.providers, Flow(WORKSPACE, "m", "oidc", ADDRESS, "FULL")), ADDRESS
        )
        flow, verifier = await oauth_flows.take(store, returned["state"])
        given = await finish(store, self.providers, flow, verifier, returned["code"])
        await credentials.save(store, WORKSPACE, mailbox, given)
        return given.access_token or ""


@pytest.fixture(scope="module")
async def place() -> AsyncIterator[Place]:
    needs_node()
    need_dovecot()
    async with oidc_server() as server, open_providers([server.provider()], REDIRECT_URI) as providers:
        login = server.url.replace("://", f"://mail-server:{CLIENT_SECRET}@")
        check = TokenCheck(f"{login}/token/introspection", username_attribute="sub")
        async with dovecot_server({ADDRESS: "a password", OTHER: "a password"}, token_check=check) as dovecot:
            yield Place(providers, dovecot)


async def test_a_providers_token_opens_the_mailbox(store: Store, place: Place) -> None:
    await place.connect(store, "x1")
    place.dovecot.deliver(ADDRESS, b"Subject: Hello\r\n\r\nHello\r\n")
    token = await fresh_token(store, place.providers, WORKSPACE, "x1")
    async with imap_connection(place.account(ADDRESS, token)) as connection:
        assert (await connection.select((await connection.folders()).inbox)).exists == 1


async def test_a_renewed_token_opens_it_too(store: Store, place: Place) -> None:
    first = await place.connect(store, "x2")
    second = await fresh_token(store, place.providers, WORKSPACE, "x2", refused=first)
    assert first != second
    async with imap_connection(place.account(ADDRESS, second)) as connection:
        await connection.folders()


@pytest.mark.parametrize(("user", "is_good"), [(OTHER, True), (ADDRESS, False)])
async def test_a_token_that_is_not_the_mailboxs_is_told_from_trouble(
    store: Store, place: Place, user: str, is_good: bool
) -> None:
    token = await place.connect(store, "x3") if is_good else "a-token-of-nobodys"
    with pytest.raises(MailServerFailed) as failed:
        async with imap_connection(place.account(user, token)):
            pass
    assert failed.value.failure is Failure.LOGIN
    assert token not in str(failed.value)
