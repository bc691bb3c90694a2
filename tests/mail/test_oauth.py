"""Tokens of a real authorization server: one refresh at a time, none lost, and troubles told apart."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from connect_inbox.demo.certificates import make_certificate
from schema.types.scalars import now
from storage import credentials, oauth_flows
from storage.credentials import Credentials
from storage.database import ConnectionLost
from storage.documents import Document, to_milliseconds
from storage.keys import KeyRing
from storage.oauth_flows import Flow, FlowUnfit, Unfit
from storage.store import Store, open_store
from sync import oauth, oauth_tokens
from sync.mail_server import Failure, MailServerFailed
from sync.oauth import NoSuchProvider, ReconnectNeeded, begin, finish, fresh_token
from sync.oauth_providers import Provider, Providers, google, microsoft, open_providers
from sync.oauth_tokens import GrantEnded
from tests.npm_client import needs_node
from tests.oidc import REDIRECT_URI, Oidc, oidc_server, visit

WORKSPACE = "workspace_oauth"
ADDRESS = "brand@example.com"
FLOW = Flow(WORKSPACE, "member_1", "oidc", ADDRESS, "FULL")


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Oidc]:
    needs_node()
    async with oidc_server() as server:
        yield server


@pytest.fixture
async def oidc(server: Oidc) -> Oidc:
    server.events.clear()
    return server


@pytest.fixture
async def providers(oidc: Oidc) -> AsyncIterator[Providers]:
    async with open_providers([oidc.provider()], REDIRECT_URI) as providers:
        yield providers


async def granted(store: Store, providers: Providers) -> Credentials:
    """What the provider gives for somebody who lets us in."""
    returned = await visit(await begin(store, providers, FLOW), ADDRESS)
    flow, verifier = await oauth_flows.take(store, returned["state"])
    return await finish(store, providers, flow, verifier, returned["code"])


def aged(given: Credentials, expired: bool = False) -> Credentials:
    """The same after 80 % of its access token's lifetime, or all of it."""
    at = to_milliseconds(now())
    return dataclasses.replace(given, refresh_at=at - 1, expires_at=at - 1 if expired else at + 60_000)


async def connected(
    store: Store, providers: Providers, mailbox: str, expired: bool = False, due: bool = True
) -> Credentials:
    """A mailbox whose access token is to be renewed."""
    given = await granted(store, providers)
    await credentials.save(store, WORKSPACE, mailbox, aged(given, expired) if due else given)
    return given


# The flow


async def test_somebody_who_agrees_gives_us_tokens(store: Store, providers: Providers, oidc: Oidc) -> None:
    before = to_milliseconds(now())
    given = await granted(store, providers)
    assert given.provider == "oidc" and given.access_token and given.refresh_token and given.password is None
    assert given.refresh_at is not None and given.expires_at is not None
    assert before + 3600_000 <= given.expires_at <= to_milliseconds(now()) + 3600_000
    assert given.expires_at - given.refresh_at == 720_000
    assert await oidc.asked("authorization_code") == [None]


async def test_an_address_asks_for_what_is_needed_and_shows_no_secret(store: Store, providers: Providers) -> None:
    addresses = [await begin(store, providers, FLOW) for _ in range(2)]
    queries = [{name: value for name, [value] in parse_qs(urlsplit(each).query).items()} for each in addresses]
    assert queries[0]["state"] != queries[1]["state"] and queries[0]["code_challenge"] != queries[1]["code_challenge"]
    provider = providers.get("oidc")
    assert provider is not None and provider.client_secret not in addresses[0]
    del queries[0]["state"], queries[0]["code_challenge"]
    assert queries[0] == {
        "response_type": "code", "client_id": provider.client_id, "redirect_uri": REDIRECT_URI,
        "scope": "openid offline_access mail", "code_challenge_method": "S256", "login_hint": ADDRESS,
        "prompt": "consent",
    }  # fmt: skip


async def test_the_verifier_is_checked(store: Store, providers: Providers, oidc: Oidc) -> None:
    returned = await visit(await begin(store, providers, FLOW), ADDRESS)
    flow, verifier = await oauth_flows.take(store, returned["state"])
    with pytest.raises(GrantEnded):
        await finish(store, providers, flow, verifier[::-1], returned["code"])
    assert await oidc.asked("authorization_code") == ["invalid_grant"]


async def test_a_state_is_good_once_and_for_what_it_was_begun_for(store: Store, providers: Providers) -> None:
    state = parse_qs(urlsplit(await begin(store, providers, FLOW)).query)["state"][0]
    taken = await asyncio.gather(*(oauth_flows.take(store, state) for _ in range(10)), return_exceptions=True)
    [(flow, _)] = [each for each in taken if not isinstance(each, BaseException)]
    assert flow == FLOW
    assert [each.why for each in taken if isinstance(each, FlowUnfit)] == [Unfit.USED] * 9
    with pytest.raises(FlowUnfit) as unfit:
        await oauth_flows.take(store, state[::-1])
    assert unfit.value.why is Unfit.UNKNOWN


async def test_a_state_ends_after_ten_minutes(
    store: Store, providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = parse_qs(urlsplit(await begin(store, providers, FLOW)).query)["state"][0]
    document = await flow_of(store, state)
    left = document["expires_at"] - to_milliseconds(now())
    assert 590_000 < left <= 600_000
    await store.database.set("oauth_flows", document["_id"], {"expires_at": document["expires_at"] - left})
    with pytest.raises(FlowUnfit) as unfit:
        await oauth_flows.take(store, state)
    assert unfit.value.why is Unfit.EXPIRED
    await store.database.set("oauth_flows", document["_id"], {"expires_at": 1})
    await begin(store, providers, FLOW)
    assert await store.database.get("oauth_flows", document["_id"]) is None, "old ones are cleared away"


async def flow_of(store: Store, state: str) -> Document:
    document = await store.database.get("oauth_flows", oauth_flows.hash_of(state))
    assert document is not None
    return document


async def test_what_is_stored_of_a_flow_is_no_use_to_a_thief(store: Store, providers: Providers) -> None:
    first, second = [parse_qs(urlsplit(await begin(store, providers, FLOW)).query)["state"][0] for _ in range(2)]
    stored = await flow_of(store, first)
    assert first not in str(stored)
    await store.database.set("oauth_flows", stored["_id"], {"verifier": (await flow_of(store, second))["verifier"]})
    with pytest.raises(FlowUnfit):
        await oauth_flows.take(store, first)
    _, verifier = await oauth_flows.take(store, second)
    assert verifier not in str(await flow_of(store, second))


async def test_a_provider_that_gives_no_refresh_token_is_no_good(store: Store, oidc: Oidc) -> None:
    forgetful = oidc.provider(scopes=("openid", "mail"))
    async with open_providers([forgetful], REDIRECT_URI) as providers:
        with pytest.raises(MailServerFailed, match="no refresh token") as failed:
            await granted(store, providers)
    assert failed.value.failure is Failure.PERMISSION


async def test_a_provider_that_is_not_configured_is_refused(store: Store, providers: Providers) -> None:
    with pytest.raises(NoSuchProvider, match="google is not configured"):
        await begin(store, providers, dataclasses.replace(FLOW, provider="google"))
    assert providers.names == ["oidc"]


@pytest.mark.parametrize("provider", [google("an-id", "a-secret"), microsoft("an-id", "a-secret")])
async def test_those_that_are_built_in_are_asked_for_mail(store: Store, provider: Provider) -> None:
    async with open_providers([provider], REDIRECT_URI) as providers:
        address = await begin(store, providers, dataclasses.replace(FLOW, provider=provider.name))
    query = parse_qs(urlsplit(address).query)
    assert set(query["scope"][0].split()) == set(provider.scopes)
    assert query["code_challenge_method"] == ["S256"]
    assert {*provider.parameters} <= {*query}
    assert "a-secret" not in f"{address} {provider!r}"


# Refreshing


async def test_a_token_is_renewed_after_80_percent_of_its_lifetime(store: Store, providers: Providers) -> None:
    async with oidc_server(lifetime=2) as server, open_providers([server.provider()], REDIRECT_URI) as own:
        given = await connected(store, own, "m1", due=False)
        assert given.expires_at is not None and given.refresh_at is not None
        assert given.expires_at - given.refresh_at == 400
        asked, token = 0, given.access_token
        async with asyncio.timeout(10):
            while token == given.access_token:
                assert asked < given.refresh_at
                await asyncio.sleep(0.02)
                asked = to_milliseconds(now())
                token = await fresh_token(store, own, WORKSPACE, "m1")
        assert to_milliseconds(now()) >= given.refresh_at
        after = await credentials.load(store, WORKSPACE, "m1")
        assert after is not None and after.access_token == token and after.refresh_token != given.refresh_token
        assert await server.asked("refresh_token") == [None]


async def test_a_young_token_is_renewed_where_it_was_refused(store: Store, providers: Providers, oidc: Oidc) -> None:
    given = await connected(store, providers, "m2", due=False)
    assert await fresh_token(store, providers, WORKSPACE, "m2") == given.access_token
    assert await fresh_token(store, providers, WORKSPACE, "m2", refused="another") == given.access_token
    renewed = await fresh_token(store, providers, WORKSPACE, "m2", refused=given.access_token)
    assert renewed != given.access_token
    assert await fresh_token(store, providers, WORKSPACE, "m2", refused=given.access_token) == renewed
    assert await oidc.asked("refresh_token") == [None]


@asynccontextmanager
async def two_stores(uri: str, database: str) -> AsyncIterator[list[Store]]:
    """As two processes have them."""
    keys = KeyRing.random()
    async with open_store(uri, database, keys=keys) as one, open_store(uri, database, keys=keys) as other:
        yield [one, other]


@pytest.mark.parametrize("expired", [False, True])
async def test_two_processes_refresh_once(
    database_uri: str, own_database: str, providers: Providers, oidc: Oidc, expired: bool
) -> None:
    async with two_stores(database_uri, own_database) as stores:
        for number in range(3):
            given = await connected(stores[0], providers, f"m{number}", expired)
            asking = (fresh_token(each, providers, WORKSPACE, f"m{number}") for each in stores * 8)
            tokens = set(await asyncio.gather(*asking))
            after = await credentials.load(stores[1], WORKSPACE, f"m{number}")
            assert after is not None
            assert tokens <= {after.access_token, *([] if expired else [given.access_token])}
            assert after.access_token in tokens and after.refresh_token != given.refresh_token
            assert await fresh_token(stores[1], providers, WORKSPACE, f"m{number}") == after.access_token
    assert await oidc.asked("refresh_token") == [None] * 3


async def test_nobody_waits_for_a_renewal_while_the_token_is_good(
    store: Store, providers: Providers, oidc: Oidc
) -> None:
    given = await connected(store, providers, "m3")
    await oidc.tell("hold")
    renewing = asyncio.create_task(fresh_token(store, providers, WORKSPACE, "m3"))
    await oidc.until(lambda: oidc.heard("refresh_token") == [None])
    assert await fresh_token(store, providers, WORKSPACE, "m3") == given.access_token
    await oidc.tell("release")
    assert await renewing == await fresh_token(store, providers, WORKSPACE, "m3") != given.access_token


async def test_a_rotated_token_is_written_though_whoever_asked_is_gone(
    store: Store, providers: Providers, oidc: Oidc
) -> None:
    given = await connected(store, providers, "m4", expired=True)
    await oidc.tell("hold")
    asking = asyncio.create_task(fresh_token(store, providers, WORKSPACE, "m4"))
    await oidc.until(lambda: oidc.heard("refresh_token") == [None])
    asking.cancel()
    await oidc.tell("release")
    with pytest.raises(asyncio.CancelledError):
        await asking
    after = await credentials.load(store, WORKSPACE, "m4")
    assert after is not None and after.refresh_token != given.refresh_token
    assert await fresh_token(store, providers, WORKSPACE, "m4", refused=after.access_token) not in (
        None,
        after.access_token,
    )


async def test_a_rotated_token_is_written_though_the_database_fails_at_first(
    store: Store, providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = await connected(store, providers, "m5", expired=True)
    real, failures = store.database.set, iter([ConnectionLost("gone")] * 3)

    async def failing(collection: str, id: str, fields: Document, *, where: Document | None = None) -> bool:
        for failure in failures if "sealed" in fields else ():
            raise failure
        return await real(collection, id, fields, where=where)

    monkeypatch.setattr(store.database, "set", failing)
    token = await fresh_token(store, providers, WORKSPACE, "m5")
    after = await credentials.load(store, WORKSPACE, "m5")
    assert next(failures, None) is None
    assert after is not None and after.access_token == token and after.refresh_token != given.refresh_token


async def test_a_mailbox_that_is_connected_anew_meanwhile_keeps_its_new_tokens(
    store: Store, providers: Providers, oidc: Oidc
) -> None:
    await connected(store, providers, "m6", expired=True)
    anew = await granted(store, providers)
    await oidc.tell("hold")
    asking = asyncio.create_task(fresh_token(store, providers, WORKSPACE, "m6"))
    await oidc.until(lambda: oidc.heard("refresh_token") == [None])
    await credentials.save(store, WORKSPACE, "m6", anew)
    await oidc.tell("release")
    assert await asking == anew.access_token
    assert await credentials.load(store, WORKSPACE, "m6") == anew


# Troubles


async def test_a_grant_that_has_ended_needs_a_member(store: Store, providers: Providers, oidc: Oidc) -> None:
    given = await connected(store, providers, "m7", expired=True)
    await fresh_token(store, providers, WORKSPACE, "m7")
    await credentials.save(store, WORKSPACE, "m7", aged(given))  # with a refresh token that was used
    with pytest.raises(ReconnectNeeded, match="oidc answered invalid_grant") as needed:
        await fresh_token(store, providers, WORKSPACE, "m7")
    assert given.refresh_token and given.refresh_token not in str(needed.value)
    assert await oidc.asked("refresh_token") == [None, "invalid_grant"]


async def test_a_refusal_of_a_token_that_was_replaced_meanwhile_is_none(
    store: Store, providers: Providers, oidc: Oidc
) -> None:
    """Somebody whose lease has ended may have used the refresh token, and written what it got."""
    given = await connected(store, providers, "m8", expired=True)
    await fresh_token(store, providers, WORKSPACE, "m8")
    anew = await granted(store, providers)
    await credentials.save(store, WORKSPACE, "m8", aged(given, expired=True))
    await oidc.tell("hold")
    asking = asyncio.create_task(fresh_token(store, providers, WORKSPACE, "m8"))
    await oidc.until(lambda: oidc.heard("refresh_token") == [None, "invalid_grant"])
    await credentials.save(store, WORKSPACE, "m8", anew)
    await oidc.tell("release")
    assert await asking == anew.access_token


@pytest.mark.parametrize(
    "stored", [None, Credentials(password="secret"), Credentials(provider="gone", refresh_token="secret")]
)
async def test_what_cannot_be_renewed_needs_a_member(
    store: Store, providers: Providers, stored: Credentials | None
) -> None:
    await credentials.forget(store, WORKSPACE, "m9")
    if stored is not None:
        await credentials.save(store, WORKSPACE, "m9", stored)
    with pytest.raises(ReconnectNeeded) as needed:
        await fresh_token(store, providers, WORKSPACE, "m9")
    assert "secret" not in needed.value.reason


async def test_credentials_whose_key_is_gone_need_a_member(
    store: Store, database_uri: str, database_name: str, providers: Providers
) -> None:
    await credentials.save(store, WORKSPACE, "m10", Credentials(password="secret"))
    async with open_store(database_uri, database_name) as other:
        with pytest.raises(ReconnectNeeded, match="cannot be opened"):
            await fresh_token(other, providers, WORKSPACE, "m10")


async def test_while_the_provider_is_out_of_order_a_good_token_goes_on(
    store: Store, providers: Providers, oidc: Oidc
) -> None:
    given = await connected(store, providers, "m11")
    await oidc.tell("break")
    try:
        assert await fresh_token(store, providers, WORKSPACE, "m11") == given.access_token
        await credentials.save(store, WORKSPACE, "m11", aged(given, expired=True))
        with pytest.raises(MailServerFailed, match="answered with 503") as failed:
            await fresh_token(store, providers, WORKSPACE, "m11")
        assert failed.value.failure is Failure.BUSY
    finally:
        await oidc.tell("mend")
    assert await fresh_token(store, providers, WORKSPACE, "m11") != given.access_token, "the lease was let go of"


async def failure_at(store: Store, token_url: str, mailbox: str) -> Failure:
    """How a refresh fails there."""
    at = to_milliseconds(now())
    stored = Credentials(provider="oidc", access_token="a", refresh_at=at, expires_at=at, refresh_token="secret")
    await credentials.save(store, WORKSPACE, mailbox, stored)
    provider = dataclasses.replace(google("id", "secret"), name="oidc", token_url=token_url)
    async with open_providers([provider], REDIRECT_URI) as providers:
        with pytest.raises(MailServerFailed) as failed:
            await fresh_token(store, providers, WORKSPACE, mailbox)
    assert "secret" not in str(failed.value)
    assert await credentials.load(store, WORKSPACE, mailbox) == stored
    return failed.value.failure


@asynccontextmanager
async def answering(answer: bytes | None, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The address of a server that answers so; without an answer, it goes on and on with a header."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nx: " if answer is None else answer)
        while answer is None and not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.02)
        writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0, ssl=tls)
    async with server:
        scheme = "https" if tls else "http"
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/token"


async def test_a_provider_that_cannot_be_reached_is_told_apart(store: Store) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # where nobody listens
        assert await failure_at(store, f"http://127.0.0.1:{bound.getsockname()[1]}/", "m12") is Failure.HOST
    assert await failure_at(store, "https://nowhere.invalid/", "m12") is Failure.HOST


async def test_a_provider_that_does_not_answer_is_told_apart(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oauth_tokens, "ANSWER_TIME", 0.3)
    for answer in (None, b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"):
        async with answering(answer) as url:
            assert await failure_at(store, url, "m13") is Failure.LOST


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize(
    "answer",
    [
        ok(b"<html>"),
        ok(b"[]"),
        ok(b'{"access_token": ""}'),
        ok(b'{"access_token": "a\\u0001b"}'),
        ok(b'{"access_token": "a b"}'),
        ok(b'{"access_token": "a", "token_type": "mac"}'),
        ok(b'{"access_token": "a", "refresh_token": 7}'),
        ok(b'{"access_token": "a"}' + b" " * oauth_tokens.LARGEST),
        b"HTTP/1.1 400 Bad\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
    ],
)
async def test_an_answer_without_a_token_is_told_apart(store: Store, answer: bytes) -> None:
    async with answering(answer) as url:
        assert await failure_at(store, url, "m14") is Failure.PROTOCOL


async def test_certificates_are_checked(store: Store, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate_file, certificate.key_file)
    async with answering(ok(b'{"access_token": "a"}'), context) as url:
        assert await failure_at(store, url, "m15") is Failure.TLS


async def test_a_client_that_the_provider_does_not_know_is_told_apart(store: Store, oidc: Oidc) -> None:
    async with open_providers([oidc.provider()], REDIRECT_URI) as providers:
        given = await connected(store, providers, "m16", expired=True)
    async with open_providers([oidc.provider(client_secret="wrong")], REDIRECT_URI) as wrong:
        with pytest.raises(MailServerFailed, match="client id and secret") as failed:
            await fresh_token(store, wrong, WORKSPACE, "m16")
    assert failed.value.failure is Failure.PERMISSION
    after = await credentials.load(store, WORKSPACE, "m16")
    assert after is not None and after.refresh_token == given.refresh_token


async def test_who_waits_for_another_process_does_not_wait_for_ever(
    store: Store, providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connected(store, providers, "m17", expired=True)
    held = await credentials.hold(store, WORKSPACE, "m17")
    assert held is not None and await credentials.take_lease(store, WORKSPACE, "m17", held.version, 60) is not None
    monkeypatch.setattr(oauth, "WAIT", 0.2)
    with pytest.raises(MailServerFailed, match="another process") as failed:
        await fresh_token(store, providers, WORKSPACE, "m17")
    assert failed.value.failure is Failure.BUSY
