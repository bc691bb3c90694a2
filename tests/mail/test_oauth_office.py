"""A mailbox that is connected through a provider: from the first click to mail that comes and goes by its tokens.

The provider is a real authorization server. Dovecot looks its tokens up there, and so does the SMTP server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import httpx2
import pytest

from connect_inbox.oauth import redirect_uri
from connect_inbox.server import listener, local_address, local_url, serving
from connect_inbox.settings import Settings
from schema.types.mailbox import MailboxState
from storage import credentials
from storage.mailboxes import set_state
from storage.store import Store, open_store
from storage.workspaces import operator_of
from sync.oauth_providers import MailHost
from tests.api.conftest import Brand, create_brand
from tests.client import DEADLINE, Api, Json, Server, Subscription
from tests.dovecot import Dovecot, TokenCheck, dovecot_server, need_dovecot
from tests.mail.office import ADA, a_mail
from tests.npm_client import needs_node
from tests.oidc import CLIENT_SECRET, Oidc, oidc_server, visit
from tests.smtp_receiver import SmtpReceiver, smtp_receiver

pytestmark = pytest.mark.usefixtures("quiet")

ADDRESS = "brand@example.com"
CHANGED = (
    "subscription($since: String) { mailboxChanged(since: $since) { mailbox { id address state provider reason } } }"
)
OWNED = "{ mailboxes { id state owner { name } } }"
MESSAGES = "query($id: ID!) { thread(id: $id) { messages { nodes { text delivery { state } } } } }"


@dataclass
class Place:
    store: Store
    brand: Brand
    oidc: Oidc
    dovecot: Dovecot
    smtp: SmtpReceiver
    address: str
    http: httpx2.AsyncClient

    async def begin(self, access: str = "FULL", by: Api | None = None) -> str:
        begun = await (by or self.brand.member).mutate(
            "beginMailboxAuthorization", "authorizationUrl userErrors { message }",
            provider="oidc", address=ADDRESS, access=access,
        )  # fmt: skip
        assert begun["userErrors"] == []
        url: str = begun["authorizationUrl"]
        return url

    async def come_back(self, returned: dict[str, str]) -> httpx2.Response:
        return await self.http.post(redirect_uri(self.address), params=returned)

    async def until_messages(self, thread: str, texts: dict[str, str | None]) -> None:
        """Waits until the thread has these texts, each with the state of its delivery."""
        async with asyncio.timeout(DEADLINE):
            while True:
                nodes = (await self.brand.member.run(MESSAGES, id=thread))["thread"]["messages"]["nodes"]
                if {each["text"]: (each["delivery"] or {}).get("state") for each in nodes} == texts:
                    return
                await asyncio.sleep(0.05)


@pytest.fixture
async def place(database_uri: str, own_database: str) -> AsyncIterator[Place]:
    needs_node()
    need_dovecot()
    with listener(Settings(bind=("127.0.0.1", 0))) as bound:
        address = local_address(bound)
        async with oidc_server(redirect_uri(address)) as oidc, httpx2.AsyncClient(timeout=DEADLINE) as http:
            looked_up = f"{oidc.url.replace('://', f'://mail-server:{CLIENT_SECRET}@')}/token/introspection"

            async def knows(user: str, token: str) -> bool:
                told = (await http.post(looked_up, data={"token": token})).json()
                return bool(told["active"]) and told["sub"] == user

            check = TokenCheck(looked_up, username_attribute="sub")
            async with (
                dovecot_server({ADDRESS: "a password"}, token_check=check) as dovecot,
                smtp_receiver() as smtp,
                open_store(database_uri, own_database, address=address) as store,
            ):
                smtp.knows_token = knows
                provider = oidc.provider(
                    imap=MailHost("localhost", dovecot.port, "tls"), smtp=MailHost("localhost", smtp.port, "none")
                )
                settings = Settings(other_providers=(provider,), mail_hosts=("localhost",), mail_ca=dovecot.ca_file)
                async with serving(settings, store, bound):
                    server = Server(local_url(bound), http)
                    yield Place(store, await create_brand(store, server), oidc, dovecot, smtp, address, http)


async def until_state(changes: Subscription, state: str) -> Json:
    while True:
        mailbox: Json = (await changes.data())["mailbox"]
        if mailbox["state"] == state:
            return mailbox


async def test_a_providers_mailbox_is_read_and_sent_from(place: Place) -> None:
    brand = place.brand
    ada = (await brand.influencer("Ada", emails=[ADA]))["thread"]
    assert (await brand.viewer.run("{ mailboxProviders }"))["mailboxProviders"] == ["oidc"]
    place.dovecot.deliver(ADDRESS, a_mail(text="history").as_bytes())
    async with brand.viewer.subscription(CHANGED, since=await brand.position()) as changes:
        page = await place.come_back(await visit(await place.begin(), ADDRESS))
        assert (page.status_code, "The mailbox is connected" in page.text) == (200, True)
        mailbox = await until_state(changes, "CONNECTED")
    assert (mailbox["address"], mailbox["provider"]) == (ADDRESS, "oidc")
    place.dovecot.deliver(ADDRESS, a_mail(text="news").as_bytes())
    await place.until_messages(ada, {"news": None})
    await brand.send(ada, "Hello", channel="EMAIL", subject="Hello", mailboxId=mailbox["id"])
    await place.until_messages(ada, {"news": None, "Hello": "SENT"})
    [mail] = await place.smtp.received()
    assert (mail.user, mail.recipients) == (ADDRESS, [ADA])


async def test_a_token_that_has_ended_is_renewed_for_what_is_sent(place: Place) -> None:
    """By the provider's word, that is, before the time that was said."""
    brand = place.brand
    ada = (await brand.influencer("Ada", emails=[ADA]))["thread"]
    await place.come_back(await visit(await place.begin("SEND_ONLY"), ADDRESS))
    [mailbox] = (await brand.member.run("{ mailboxes { id } }"))["mailboxes"]
    held = await credentials.load(place.store, brand.workspace, mailbox["id"])
    assert held is not None
    ended = replace(held, access_token="a-token-that-has-ended")
    await credentials.save(place.store, brand.workspace, mailbox["id"], ended)
    await brand.send(ada, "Hello", channel="EMAIL", subject="Hello")
    await place.until_messages(ada, {"Hello": "SENT"})
    assert (await place.oidc.asked("refresh_token")) == [None]


async def test_somebody_elses_account_is_not_connected(place: Place) -> None:
    """Who agrees at the provider with another account than the mailbox's has the mail servers say no."""
    page = await place.come_back(await visit(await place.begin(), "other@example.com"))
    assert (page.status_code, "Was it the account of this very mailbox" in page.text) == (403, True)
    assert (await place.brand.member.run("{ mailboxes { id } }"))["mailboxes"] == []


async def test_an_admin_connects_a_members_mailbox_anew(place: Place) -> None:
    """Which stays that member's, and is read on."""
    brand = place.brand
    ada = (await brand.influencer("Ada", emails=[ADA]))["thread"]
    await place.come_back(await visit(await place.begin(), ADDRESS))
    [before] = (await brand.member.run(OWNED))["mailboxes"]
    operator = operator_of(brand.workspace)
    await set_state(place.store, operator, before["id"], MailboxState.NEEDS_RECONNECT, "the permission has ended")
    await place.come_back(await visit(await place.begin(by=brand.admin), ADDRESS))
    [after] = (await brand.member.run(OWNED))["mailboxes"]
    assert after == {**before, "state": "CONNECTED"}
    place.dovecot.deliver(ADDRESS, a_mail(text="news").as_bytes())
    await place.until_messages(ada, {"news": None})
