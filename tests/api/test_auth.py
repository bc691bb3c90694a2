"""Who is let in, and for how long: at the door, at each operation, and at each delivery."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from connect_inbox import auth
from storage.store import Store
from storage.tokens import PREFIX, hash_of
from tests.api.conftest import Brand
from tests.client import Api, ApiFailed, Json, Server, open_socket
from tests.sse import EVENTS, open_stream

VIEWER = "{ viewer { id } }"
MESSAGES = "subscription($since: String) { messageAdded(since: $since) { message { text } } }"
WITHIN = 5.0  # seconds in which the streams of a token end that is no longer good
SLACK = 1.0  # for a busy machine

pytestmark = pytest.mark.usefixtures("quiet")

NO_TOKENS: dict[str, bytes | None] = {
    "missing": None,
    "empty": b"",
    "scheme alone": b"Bearer",
    "scheme and a tab": b"Bearer\t.",
    "token alone": b"ci_abc",
    "another scheme": b"Basic Y2k6YWJj",
    "unknown": b"Bearer ci_" + b"x" * 43,
    "not ours": b"Bearer eyJhbGciOiJub25lIn0.e30.",
    "long": b"Bearer " + b"x" * 10_000,
    "non-ASCII": b"Bearer \xff\xfe\xe9",
    "UTF-8": "Bearer ci_é\u20ac".encode(),
    "two": b"Bearer a, Bearer b",
    "injection": b'Bearer {"$ne":null}',
}


async def ask(server: Server, authorization: bytes | None, accept: str = "application/json") -> tuple[int, Json, str]:
    headers = {b"accept": accept.encode()}
    if authorization is not None:
        headers[b"authorization"] = authorization
    response = await server.http.post(server.url, headers=headers, json={"query": VIEWER})
    return response.status_code, response.json(), response.headers.get("www-authenticate", "")


@pytest.mark.parametrize("authorization", NO_TOKENS.values(), ids=NO_TOKENS)
async def test_a_token_that_is_none(brand: Brand, authorization: bytes | None) -> None:
    for accept in ("application/json", "application/graphql-response+json", EVENTS):
        status, answer, challenge = await ask(brand.server, authorization, accept)
        assert (status, challenge) == (401, "Bearer"), accept
        assert [error["extensions"] for error in answer["errors"]] == [{"code": "UNAUTHENTICATED"}]
        assert "data" not in answer
    async with open_socket(brand.server) as socket:
        text = None if authorization is None else authorization.decode("latin-1")
        await socket.send(type="connection_init", payload={} if text is None else {"Authorization": text})
        assert (await socket.closed())[0] == 4401


@pytest.mark.parametrize("payload", [None, {}, {"Authorization": None}, {"Authorization": 5}, {"Authorization": []},
                                     {"token": "x"}, {"headers": {}}, {"Authorization": "\0"}], ids=str)  # fmt: skip
async def test_a_beginning_without_a_token(brand: Brand, payload: Any) -> None:
    async with open_socket(brand.server) as socket:
        await socket.send(type="connection_init", payload=payload)
        assert (await socket.closed())[0] == 4401


async def test_the_scheme_and_the_key_may_be_written_in_any_case(brand: Brand) -> None:
    token = brand.member.token
    for authorization in (f"bearer {token}", f"BEARER {token}", f"Bearer   {token}"):
        assert (await ask(brand.server, authorization.encode()))[0] == 200, authorization
    for payload in ({"authorization": f"bearer {token}"}, {"Authorization": f"Bearer {token}"}):
        async with open_socket(brand.server) as socket:
            await socket.send(type="connection_init", payload=payload)
            assert (await socket.receive())["type"] == "connection_ack"


async def revoke(brand: Brand, api: Api) -> None:
    label = f"of {api.token[-8:]}"
    listed = (await brand.admin.run("{ tokens { id label revokedAt } }"))["tokens"]
    [id] = [each["id"] for each in listed if each["label"] == label]
    payload = await brand.admin.mutate("revokeToken", "token { revokedAt } userErrors { code }", tokenId=id)
    assert payload["token"]["revokedAt"] and payload["userErrors"] == []


async def another(brand: Brand, **options: object) -> Api:
    """A partner who may read, with a token of its own, as the API makes it."""
    payload = await brand.admin.mutate(
        "createToken", "secret token { id }", label="new", partner="Partner", scopes=["inbox:read"], **options
    )
    api = brand.server.api(payload["secret"])
    await brand.store.database.set("tokens", hash_of(api.token), {"label": f"of {api.token[-8:]}"})
    return api


async def expire(brand: Brand, api: Api) -> None:
    """A token's expiry comes to lie a moment ahead, as time would bring it."""
    soon = int(time.time() * 1000) + 300
    assert await brand.store.database.set("tokens", hash_of(api.token), {"expires_at": soon})


async def remove(brand: Brand, api: Api) -> None:
    id = (await api.run(VIEWER))["viewer"]["id"]
    assert (await brand.admin.mutate("removeMember", "userErrors { code }", memberId=id))["userErrors"] == []


@pytest.mark.parametrize("end, code, message", [
    (revoke, 4401, "the token was revoked"), (expire, 4403, "the token has expired"),
    (remove, 4401, "the token was revoked"),
], ids=["revoked", "expired", "removed"])  # fmt: skip
async def test_streams_end_with_their_token(brand: Brand, end: Any, code: int, message: str) -> None:
    """Although nothing is delivered, and whatever the transport; a token of the same caller's lives on."""
    api, since = brand.member if end is remove else await another(brand), await brand.position()
    async with (
        api.socket() as idle,
        api.subscription(MESSAGES, since=since) as subscribed,
        open_stream(api, MESSAGES, since=since) as stream,
        brand.viewer.subscription(MESSAGES, since=since) as living,
    ):
        assert await stream.block() == [":"]
        await end(brand, api)
        ended = time.monotonic()
        closed = await asyncio.gather(idle.closed(), subscribed.socket.closed())
        [error] = await stream.error()
        assert time.monotonic() - ended < WITHIN + SLACK
        assert list(closed) == [(code, message)] * 2
        assert (error["message"], error["extensions"]) == (message, {"code": "UNAUTHENTICATED"})
        assert await stream.ended()
        status, answer, _ = await ask(brand.server, f"Bearer {api.token}".encode())
        assert (status, answer["errors"][0]["message"]) == (401, message)
        thread = (await brand.influencer())["thread"]
        await brand.receive(thread, "Still there")
        assert (await living.data())["message"]["text"] == "Still there"
    async with open_socket(brand.server) as socket:
        await socket.send(type="connection_init", payload={"Authorization": f"Bearer {api.token}"})
        assert (await socket.closed()) == (code, message)


async def test_nothing_is_delivered_once_a_token_is_known_to_be_revoked(
    brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look before each delivery alone, where the one every two seconds would come too late."""
    api, thread = await another(brand), (await brand.influencer())["thread"]
    since = await brand.position()
    async with (
        api.subscription(MESSAGES, since=since) as socket_events,
        open_stream(api, MESSAGES, since=since) as stream_events,
    ):
        await brand.receive(thread, "Before")
        assert (await socket_events.data())["message"]["text"] == "Before"
        assert (await stream_events.data())["message"]["text"] == "Before"
        monkeypatch.setattr(auth, "OLDEST", -1.0)  # as if what is known were always too old
        await revoke(brand, api)
        await asyncio.gather(*[brand.receive(thread, f"After {n}") for n in range(10)])
        code, _ = await close_without_data(socket_events.socket.connection)
        assert code == 4401
        [error] = await stream_events.error()
        assert error["extensions"] == {"code": "UNAUTHENTICATED"}


async def close_without_data(connection: Any) -> tuple[int, str]:
    """The code that the socket is closed with, and that nothing came before."""
    with pytest.raises(ConnectionClosed) as closed:
        async with asyncio.timeout(WITHIN + SLACK):
            raise AssertionError(await connection.recv())
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


async def test_a_socket_does_what_its_caller_may_now(brand: Brand) -> None:
    """A member who becomes a VIEWER writes no more, on the socket that was opened before, and reads on."""
    write = 'mutation { createCampaign(input: {name: "%s"}) { userErrors { code } } }'
    id = (await brand.member.run(VIEWER))["viewer"]["id"]
    async with brand.member.socket() as socket:
        made = await socket.subscribe(write % "One")
        assert (await made.data())["userErrors"] == []
        assert (await socket.receive())["type"] == "complete"
        await brand.admin.mutate("updateMember", "position", memberId=id, role="VIEWER")
        changed = time.monotonic()
        for n in range(10_000):
            await asyncio.sleep(0.05)
            refused = await socket.subscribe(write % f"Two {n}")
            result = await refused.next()
            assert (await socket.receive())["type"] == "complete"
            if result.get("errors"):
                break
            assert time.monotonic() - changed < WITHIN + SLACK
        assert result["errors"][0]["extensions"] == {"code": "FORBIDDEN"}
        role = await socket.subscribe("{ viewer { role } }")
        assert (await role.data())["role"] == "VIEWER"


async def test_no_document_holds_a_token(brand: Brand, store: Store) -> None:
    """Neither in the tokens nor in the log: what is stolen from the database opens nothing."""
    api = await another(brand, expiresInDays=7)
    assert api.token.startswith(PREFIX) and len(api.token) >= len(PREFIX) + 43  # 256 bits
    secrets = {each.token for each in (api, brand.admin, brand.member, brand.partner)}
    for collection in ("tokens", "entries", "members", "partners", "claims", "workspaces"):
        documents = await store.database.find(collection, {"workspace": brand.workspace})
        found = str(documents)
        assert documents and not [secret for secret in secrets if secret in found or secret[len(PREFIX) :] in found]
    listed = await brand.admin.run("{ tokens { id label scopes createdAt expiresAt revokedAt owner { id name } } }")
    assert not [secret for secret in secrets if secret in str(listed)]


async def test_a_token_of_nobodys_making_is_not_made(brand: Brand) -> None:
    for input in ({"label": "a"}, {"label": "a", "memberId": None}, {"label": "a", "partner": "b", "memberId": "c"}):
        with pytest.raises(ApiFailed) as refused:
            await brand.admin.mutate("createToken", "secret", **input)
        assert refused.value.codes == ["BAD_USER_INPUT"]
