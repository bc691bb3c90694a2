"""Whatever comes over HTTP gets a clear answer: never a 5xx, never a traceback in the log."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import strategies as st

from connect_inbox.settings import Settings
from storage.store import Store
from tests.api.conftest import Brand, create_brand
from tests.api.raw import JSON, JSONS, OK, RESPONSE, collected, is_told, send
from tests.client import Server
from tests.server import running

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(scope="module")
async def brand(store: Store, server: Server) -> Brand:
    """One for all of these: none of them is hurt by another."""
    return await create_brand(store, server)


BODIES: dict[str, str | bytes] = {
    "string": '"abc"',
    "null": "null",
    "number": "5",
    "true": "true",
    "array": "[]",
    "array of null": "[null]",
    "batch": f"[{OK},{OK}]",
    "object": "{}",
    "empty": "",
    "spaces": "   ",
    "not JSON": "query { viewer { id } }",
    "truncated": OK[:-4],
    "twice": OK + OK,
    "NaN": '{"query": NaN}',
    "invalid UTF-8": b'{"query":"\xff\xfe"}',
    "overlong UTF-8": b'{"query":"\xc0\xaf"}',
    "UTF-8 surrogate": b'{"query":"\xed\xa0\x80"}',
    "UTF-16": OK.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + OK.encode(),
    "NUL": b"\0" * 10,
    "100k deep": "[" * 100_000,
    "100k deep object": '{"query":' * 20_000,
    "deep variables": '{"query":"{ viewer { id } }","variables":{"a":' + "[" * 5000 + "]" * 5000 + "}}",
    "lone surrogate": '{"query":"{ viewer { id } }","variables":{"a":"\\ud800"}}',
    "lone low surrogate": '{"query":"\\udc00"}',
    "5000 digits": '{"query":"{ viewer { id } }","variables":{"a":' + "9" * 5000 + "}}",
    "query missing": '{"variables":{}}',
    "query null": '{"query":null}',
    "query number": '{"query":5}',
    "query array": '{"query":["{ viewer { id } }"]}',
    "query object": '{"query":{}}',
    "query empty": '{"query":""}',
    "query blank": '{"query":" \\n\\t "}',
    "variables string": '{"query":"{ viewer { id } }","variables":"{}"}',
    "variables array": '{"query":"{ viewer { id } }","variables":[]}',
    "variables number": '{"query":"{ viewer { id } }","variables":5}',
    "extensions array": '{"query":"{ viewer { id } }","extensions":[]}',
    "extensions string": '{"query":"{ viewer { id } }","extensions":"x"}',
    "operationName number": '{"query":"{ viewer { id } }","operationName":5}',
    "operationName array": '{"query":"{ viewer { id } }","operationName":["a"]}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_a_body_that_is_no_request(brand: Brand, body: str | bytes) -> None:
    status, answer = await send(brand, body)
    assert status == 400 and is_told(answer)


async def test_what_a_body_may_leave_out_or_hold(brand: Brand) -> None:
    for more in ('"variables":null', '"operationName":null', '"extensions":null', '"extensions":{"a":1}', '"other":5'):
        status, answer = await send(brand, OK[:-1] + "," + more + "}")
        assert (status, "errors" in answer) == (200, False), more


async def test_a_content_type_that_is_not_json(brand: Brand) -> None:
    for type in (None, "", "text/plain", "application/graphql", "multipart/form-data; boundary=a", "x", b"x/\xe9",
                 "application/x-www-form-urlencoded"):  # fmt: skip
        status, answer = await send(brand, OK, content_type=type)
        assert status == 415 and is_told(answer), type
    for type in ("application/json; charset=utf-8", "APPLICATION/JSON"):
        status, answer = await send(brand, OK, content_type=type)
        assert (status, "errors" in answer) == (200, False), type


async def test_what_is_accepted_decides_what_is_answered(brand: Brand) -> None:
    for accept, media in {
        "*/*": JSON, "application/*": JSON, "": JSON, f"{RESPONSE}, {JSON};q=0.9": RESPONSE, "text/html, */*": JSON,
    }.items():  # fmt: skip
        response = await brand.server.http.post(
            brand.server.url, content=OK, headers={"accept": accept, "content-type": JSON, "authorization":
                                                   f"Bearer {brand.member.token}"})  # fmt: skip
        assert (response.status_code, response.headers["content-type"]) == (200, f"{media}; charset=utf-8"), accept
    for accept in ("text/html", "image/png", "application/xml"):
        status, answer = await send(brand, OK, accept=accept)
        assert status == 406 and is_told(answer), accept


async def test_a_body_that_is_too_large(brand: Brand) -> None:
    large = json.dumps({"query": "{ viewer { id } }", "variables": {"a": "x" * (Settings().max_body_size + 1)}})
    status, answer = await send(brand, large)
    assert status == 413 and is_told(answer)

    async def pieces() -> Any:
        for start in range(0, len(large), 10_000):
            yield large[start : start + 10_000].encode()

    response = await brand.server.http.post(
        brand.server.url, content=pieces(),
        headers={"content-type": JSON, "authorization": f"Bearer {brand.member.token}"},
    )  # fmt: skip
    assert response.status_code == 413 and is_told(response.json())
    just = json.dumps({"query": "{ viewer { id } }", "variables": {"a": "x" * (Settings().max_body_size - 100)}})
    assert (await send(brand, just))[0] == 200


async def test_another_method(brand: Brand) -> None:
    """GET and HEAD are two with a header that is missing here."""
    for method in ("GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"):
        response = await brand.server.http.request(
            method, brand.server.url, params={"query": "{ viewer { id } }"},
            headers={"authorization": f"Bearer {brand.member.token}"},
        )  # fmt: skip
        assert response.status_code == 405, method
        allowed = {"POST"} if method in ("GET", "HEAD") else {"GET", "HEAD", "POST"}
        assert set(response.headers["allow"].split(", ")) == allowed, method
    response = await brand.server.http.post(brand.server.url.replace("/graphql", "/nothing"), content=OK)
    assert response.status_code == 404


async def test_a_client_that_goes_before_its_body_has_come(brand: Brand) -> None:
    host, port = brand.server.url.removeprefix("http://").removesuffix("/graphql").split(":")
    for start in ("", "{", OK):
        _, writer = await asyncio.open_connection(host, int(port))
        head = [
            "POST /graphql HTTP/1.1", f"host: {host}:{port}", f"content-type: {JSON}", "content-length: 1000",
            f"authorization: Bearer {brand.member.token}", "", start,
        ]  # fmt: skip
        writer.write("\r\n".join(head).encode())
        await writer.drain()
        assert (await send(brand, OK))[0] == 200  # by now the server has begun to read it
        writer.close()
        await writer.wait_closed()
        assert (await send(brand, OK))[0] == 200


async def test_a_faulty_answer_tells_nothing_of_the_fault(
    store: Store, brand: Brand, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one thing that is logged as an error is a fault of ours, with an id that the client gets too."""

    async def fail(*arguments: object) -> None:
        raise RuntimeError("planted secret")

    async with running(store, Settings()) as server:
        headers = {"authorization": f"Bearer {brand.member.token}"}
        with monkeypatch.context() as patch:
            patch.setattr(type(store.log), "position", fail)
            response = await server.http.post(server.url, json={"query": "{ viewer { id } }"}, headers=headers)
        answer = response.json()
        [error] = answer["errors"]
        assert response.status_code == 500 and error["extensions"]["code"] == "INTERNAL"
        assert "planted secret" not in response.text
        assert [each for each in caplog.records if error["extensions"]["requestId"] in each.getMessage()]
    caplog.clear()  # as it is meant to be there


NAMES = st.sampled_from(["query", "variables", "operationName", "extensions"])
REQUESTS = st.dictionaries(NAMES, JSONS, max_size=4).map(lambda it: json.dumps(it).encode())
TOKENS = st.sampled_from(
    [*"{}()[]:!$@=|&", "...", "query", "viewer", "node", "id", "$a", '"', '"a"', "1", "\\", "#", "on"]
)
QUERIES = st.lists(TOKENS, max_size=20).map(lambda it: json.dumps({"query": " ".join(it)}).encode())
BYTES = st.one_of(st.binary(max_size=60), JSONS.map(lambda it: json.dumps(it).encode()), REQUESTS, QUERIES)


async def test_whatever_the_body_there_is_a_clear_answer(brand: Brand) -> None:
    bodies = collected(BYTES, 200)
    for start in range(0, len(bodies), 20):
        answers = await asyncio.gather(*[send(brand, body) for body in bodies[start : start + 20]])
        for body, (status, answer) in zip(bodies[start:], answers, strict=False):
            assert status in (200, 400), (body, status)
            codes = [error["extensions"]["code"] for error in answer.get("errors", [])]
            assert set(codes) <= {"BAD_USER_INPUT", "NOT_FOUND"}, (body, answer)
