"""The page that a browser comes back to: what it says, what it never shows, and that no secret gets anywhere."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from html import escape
from ipaddress import ip_network
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import urlopen

import httpx2
import pytest

from connect_inbox.oauth import PATH, Callback, redirect_uri
from connect_inbox.server import Server, listener, local_address, uvicorn_config
from connect_inbox.settings import Settings
from schema.types.errors import Refused, UserErrorCode, forbidden
from storage import credentials, oauth_flows
from storage.credentials import Credentials
from storage.oauth_flows import Flow
from storage.store import Store, open_store
from sync.mail_server import Failure, MailServerFailed
from sync.oauth import ReconnectNeeded, begin, fresh_token
from sync.oauth_providers import Providers, open_providers
from tests.databases import database_of_its_own
from tests.npm_client import needs_node
from tests.oidc import CLIENT_SECRET, DEADLINE, Oidc, oidc_server, visit
from tests.team import Team, create_team

ADDRESS = "brand@example.com"
NASTY = "<script>alert(1)</script>"
QUESTION = "Connect this mailbox?"


@dataclass
class Place:
    """A server that mailboxes are connected at, and what it was told to store."""

    store: Store
    oidc: Oidc
    providers: Providers
    http: httpx2.AsyncClient
    team: Team
    connected: list[tuple[Flow, Credentials]] = field(default_factory=list)
    trouble: Exception | None = None

    async def connect(self, flow: Flow, given: Credentials) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.connected.append((flow, given))
        await credentials.save(self.store, flow.workspace, f"of {flow.address}", given)

    @property
    def flow(self) -> Flow:
        return Flow(self.team.id, self.team.member.id, "oidc", ADDRESS, "SEND_ONLY")

    async def begin(self, **changed: str) -> str:
        return await begin(self.store, self.providers, replace(self.flow, **changed))

    async def come_back(self, **query: str) -> httpx2.Response:
        """A browser comes back, and whoever sits there goes on where they are asked."""
        answer = await self.http.get(PATH, params=query)
        return await self.http.post(PATH, params=query) if QUESTION in answer.text else answer

    async def refused(self, status: int, words: str, **query: str) -> None:
        """It is told on a page, which shows nothing of what it was asked with."""
        answer = await self.come_back(**query)
        assert (answer.status_code, words in answer.text) == (status, True), answer.text
        is_page(answer)
        assert not [value for value in query.values() if value and value in answer.text]
        assert self.connected == []


def is_page(answer: httpx2.Response) -> None:
    """Plain, and nothing that it holds could do anything."""
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert (answer.headers["referrer-policy"], answer.headers["cache-control"]) == ("no-referrer", "no-store")
    assert answer.headers["x-content-type-options"] == "nosniff"
    for each in ("<script", "<img", "<link", "<a ", "style", "Traceback", "Error"):
        assert each not in answer.text


@asynccontextmanager
async def place_at(store: Store, **more: Any) -> AsyncIterator[Place]:
    settings = Settings(bind=("127.0.0.1", 0), **more)
    with listener(settings) as bound:
        address = local_address(bound)
        async with (
            oidc_server(redirect_uri(address)) as oidc,
            open_providers([oidc.provider()], redirect_uri(address)) as providers,
            httpx2.AsyncClient(base_url=address, timeout=DEADLINE) as http,
        ):
            place = Place(store, oidc, providers, http, await create_team(store, NASTY))
            server = Server(uvicorn_config(settings, store, callback=Callback(store, providers, place.connect)))
            serving = asyncio.create_task(server.serve(sockets=[bound]))
            async with asyncio.timeout(DEADLINE):
                await server.listening.wait()
            yield place
            server.should_exit = True
            await serving


@pytest.fixture(scope="module")
async def shared(database_uri: str) -> AsyncIterator[Place]:
    """On a database of its own, all of which is looked through for secrets."""
    needs_node()
    async with database_of_its_own(database_uri) as name, open_store(database_uri, name) as store:
        async with place_at(store) as place:
            yield place


@pytest.fixture
async def place(shared: Place) -> Place:
    shared.connected.clear()
    shared.trouble = None
    return shared


def state_of(address: str) -> str:
    return parse_qs(urlsplit(address).query)["state"][0]


async def test_a_mailbox_is_connected(place: Place) -> None:
    returned = await visit(await place.begin())
    answer = await place.come_back(**returned)
    assert (answer.status_code, "The mailbox is connected" in answer.text) == (200, True)
    is_page(answer)
    [(flow, given)] = place.connected
    assert flow == place.flow and given.refresh_token
    place.connected.clear()
    await place.refused(409, "used before", **returned)


@pytest.mark.parametrize(("access", "may"), [("FULL", "then read what"), ("SEND_ONLY", "then send mail from it")])
async def test_whoever_agreed_is_shown_who_will_have_the_mailbox(place: Place, access: str, may: str) -> None:
    """As often as they look; nothing is connected until they say so, and then once."""
    returned = await visit(await place.begin(access=access))
    for _ in range(2):
        answer = await place.http.get(PATH, params=returned)
        assert (answer.status_code, QUESTION in answer.text, may in answer.text) == (200, True, True)
        assert f"{ADDRESS} will be connected to the workspace {escape(NASTY)}, for Ben." in answer.text
        assert '<form method="post"><button>' in answer.text
        assert returned["code"] not in answer.text and returned["state"] not in answer.text
        is_page(answer)
    assert place.connected == []
    answers = await asyncio.gather(*(place.http.post(PATH, params=returned) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    assert len(place.connected) == 1


async def test_one_who_may_not_connect_mailboxes_any_more_is_told_before_anything_is_asked(place: Place) -> None:
    returned = await visit(await place.begin(member_id=place.team.viewer.id))
    await place.refused(403, "you may not connect mailboxes any more", **returned)


async def test_somebody_who_does_not_agree_connects_nothing(place: Place) -> None:
    returned = await visit(await place.begin(), agree=False)
    assert returned["error"] == "access_denied"
    await place.refused(403, "did not allow it", **returned)
    await place.refused(409, "used before", **returned)


async def test_who_tries_many_states_has_to_wait_and_nobody_else(store: Store) -> None:
    needs_node()
    async with place_at(store, rate_per_address=30, trusted_proxies=(ip_network("127.0.0.0/8"),)) as place:
        returned = await visit(await place.begin())
        for _ in range(3):
            await place.refused(400, "does not belong to anything", state="A" * 43, code="A")
        answer = await place.come_back(**returned)
        assert (answer.status_code, "too much" in answer.text) == (429, True)
        assert f"again in {answer.headers['retry-after']} seconds" in answer.text
        is_page(answer)
        place.http.headers["x-forwarded-for"] = "192.0.2.7"
        assert (await place.come_back(**returned)).status_code == 200, "it was not used up"


@pytest.mark.parametrize("state", ["", "A" * 43, NASTY, "x" * 5000, "\U0001f600"])
async def test_a_state_that_nobody_was_given_is_refused(place: Place, state: str) -> None:
    await place.refused(400, "does not belong to anything", state=state, code="A" * 43)


async def test_a_state_of_long_ago_is_refused(place: Place) -> None:
    returned = await visit(await place.begin())
    await place.store.database.set("oauth_flows", oauth_flows.hash_of(returned["state"]), {"expires_at": 1})
    await place.refused(410, "ten minutes", **returned)


async def test_a_code_of_somebody_elses_flow_is_refused(place: Place) -> None:
    """As if an attacker had a victim's browser come back with the attacker's code: the verifier is another one."""
    mine, theirs = await visit(await place.begin()), await visit(await place.begin())
    await place.refused(400, "does not stand by", state=mine["state"], code=theirs["code"])


@pytest.mark.parametrize(
    "query",
    [{"error": NASTY, "error_description": NASTY}, {"code": NASTY}, {"code": ""}, {}, {"error": "server_error"}],
)
async def test_whatever_a_browser_comes_back_with_is_not_shown(place: Place, query: dict[str, str]) -> None:
    await place.refused(400, "does not stand by", state=state_of(await place.begin()), **query)


async def test_one_that_only_looks_does_not_use_the_state_up(place: Place) -> None:
    returned = await visit(await place.begin())
    for method in ("HEAD", "PUT", "OPTIONS"):
        assert (await place.http.request(method, PATH, params=returned)).status_code == 405
    assert (await place.come_back(**returned)).status_code == 200


@pytest.mark.parametrize("failure", list(Failure))
async def test_what_is_wrong_with_the_mailbox_is_said(place: Place, failure: Failure) -> None:
    place.trouble = MailServerFailed(failure, f"the server said {NASTY}")
    answer = await place.come_back(**await visit(await place.begin()))
    assert answer.status_code in (403, 502, 503)
    assert "Not connected" in answer.text and "script" not in answer.text and "anew" in answer.text
    is_page(answer)


@pytest.mark.parametrize("refusal", [Refused(UserErrorCode.INVALID, f"no {NASTY}"), forbidden(f"no {NASTY}")])
async def test_a_refusal_of_ours_is_said(place: Place, refusal: Exception) -> None:
    place.trouble = refusal
    answer = await place.come_back(**await visit(await place.begin()))
    assert (answer.status_code, "no &lt;script&gt;" in answer.text) == (403, True)
    is_page(answer)


async def test_a_fault_of_ours_is_a_page_too(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.trouble = RuntimeError("a fault")
    answer = await place.come_back(**await visit(await place.begin()))
    assert (answer.status_code, "on our side" in answer.text) == (500, True)
    is_page(answer)
    assert "a mailbox could not be connected" in caplog.text


async def test_a_provider_out_of_order_is_said(place: Place) -> None:
    returned = await visit(await place.begin())
    await place.oidc.tell("break")
    try:
        await place.refused(503, "come back later", **returned)
    finally:
        await place.oidc.tell("mend")


async def dump(store: Store) -> str:
    """Everything that the database holds."""
    names = await store.database._database.list_collection_names()
    found = {name: [each async for each in store.database.stream(name, {})] for name in names}
    return json.dumps(found, default=str)


async def test_no_secret_gets_anywhere(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Through a whole life: begun, connected, renewed, refused, and failing."""
    for name in (None, "httpx2", "httpcore2", "asyncio", "uvicorn.error", "connect_inbox", "pymongo"):
        caplog.set_level(logging.DEBUG, name)
    address = await place.begin()
    secrets = [CLIENT_SECRET, state_of(address), await verifier_of(place.store, state_of(address))]
    logs = shown(caplog)
    returned = await visit(address)  # by a browser that is the test's own, and logs what it likes
    caplog.clear()
    pages = await read_page(place, returned)
    mailbox, first = f"of {ADDRESS}", place.connected[0][1]
    for refused in (first.access_token, None):
        await fresh_token(place.store, place.providers, place.team.id, mailbox, refused)
    second = await credentials.load(place.store, place.team.id, mailbox)
    assert second is not None
    await credentials.save(place.store, place.team.id, mailbox, first)
    with pytest.raises(ReconnectNeeded) as needed:
        await fresh_token(place.store, place.providers, place.team.id, mailbox, first.access_token)
    logs += shown(caplog)
    returned_again = await visit(await place.begin())
    caplog.clear()
    place.trouble = RuntimeError("a fault")
    pages += await read_page(place, returned_again)
    logs += shown(caplog)
    secrets += [returned["code"], returned_again["code"], returned_again["state"]]
    secrets += [each or "" for given in (first, second) for each in (given.access_token, given.refresh_token)]
    texts = {"logs": logs, "database": await dump(place.store), "pages": pages, "error": repr(needed.value)}
    assert "oauth_flows" in texts["database"] and "a fault" in logs and "httpcore2" in logs and "Connected" in pages
    assert len({*secrets}) == 10 and min(map(len, secrets)) > 20
    assert [(where, secret) for where, text in texts.items() for secret in secrets if secret in text] == []


async def verifier_of(store: Store, state: str) -> str:
    id = oauth_flows.hash_of(state)
    document = await store.database.get("oauth_flows", id)
    assert document is not None
    return store.keys.open(document["verifier"], f"oauth_flows {id}").decode()


def shown(caplog: pytest.LogCaptureFixture) -> str:
    """What was logged. The server's access log is off, and kept by pytest alone."""
    assert not logging.getLogger("uvicorn.access").propagate
    records = [record for record in caplog.records if record.name != "uvicorn.access"]
    return "".join(f"{record.name} {caplog.handler.format(record)}\n" for record in records)


async def read_page(place: Place, query: dict[str, str]) -> str:
    """As `come_back`, by a client that logs nothing."""

    def read(data: bytes | None = None) -> str:
        try:
            with urlopen(f"{place.http.base_url.join(PATH)}?{urlencode(query)}", data) as answer:
                return f"{answer.headers}{answer.read().decode()}"
        except HTTPError as error:
            with error:
                return f"{error.headers}{error.read().decode()}"

    return await asyncio.to_thread(read) + await asyncio.to_thread(read, b"")
