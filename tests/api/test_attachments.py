"""Files over HTTP: who may upload what, what is left of it, and what a browser may do with what it fetches."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qs, quote, urljoin, urlsplit

import httpx2
import pytest

from connect_inbox import files
from connect_inbox.server import background, serve
from connect_inbox.settings import Settings
from schema.types.context import Role
from schema.types.node import new_id
from storage import attachments, quarantine
from storage.documents import Document, to_value
from storage.file_types import safe_name
from storage.files import CHUNK, store_bytes, whole
from storage.mail_in import take_in
from storage.store import Store, open_store
from storage.workspaces import add_member, add_partner, create_workspace, operator_of
from tests.api.conftest import Brand, create_brand, token_for
from tests.api.raw import is_told
from tests.client import DEADLINE, Api, Json, Server
from tests.mailboxes import connected, found_mail
from tests.raw_socket import Reader
from tests.server import running

pytestmark = pytest.mark.usefixtures("quiet")

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
HTML = b"<!DOCTYPE html><html><script>alert(1)</script></html>"
Body = bytes | AsyncIterator[bytes]


@pytest.fixture(scope="module")
async def brand(store: Store, server: Server) -> Brand:
    return await create_brand(store, server)


async def post(api: Api, name: str | None, body: Body, **headers: str) -> httpx2.Response:
    given = {"authorization": f"Bearer {api.token}", **{key.replace("_", "-"): value for key, value in headers.items()}}
    address = urljoin(api.server.url, attachments.PATH) + ("" if name is None else f"?name={quote(name, safe='')}")
    return await api.server.http.post(address, content=body, headers=given)


async def uploaded(api: Api, name: str, body: Body) -> Json:
    response = await post(api, name, body)
    assert response.status_code == 201, response.text
    told: Json = response.json()
    return told


async def get(server: Server, url: str, method: str = "GET", **headers: str) -> httpx2.Response:
    given = {key.replace("_", "-"): value for key, value in headers.items()}
    return await server.http.request(method, urljoin(server.url, url), headers=given)


async def test_what_is_uploaded_is_fetched(brand: Brand) -> None:
    content = random.randbytes(2 * CHUNK + 7)
    for api in (brand.member, brand.admin, brand.partner):
        told = await uploaded(api, "a/Brief ü.bin", content)
        size, kind = len(content), "application/octet-stream"
        assert told == {**told, "name": "Brief ü.bin", "contentType": kind, "size": size}
        response = await get(brand.server, told["url"])
        assert (response.status_code, response.content) == (200, content)
        headers = response.headers
        assert headers["content-length"] == str(len(content)) and "transfer-encoding" not in headers
        assert headers["content-type"] == "application/octet-stream"
        assert headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'


async def test_only_who_may_send_may_upload(brand: Brand) -> None:
    reader = (await add_partner(brand.store, operator_of(brand.workspace), "Reader")).result.id
    scoped = brand.server.api(await token_for(brand.store, brand.workspace, reader, ["inbox:read", "messages:ingest"]))
    old = brand.server.api(await token_for(brand.store, brand.workspace, reader, ["messages:send"], days=-1))
    for api, status, code in [
        (brand.viewer, 403, "FORBIDDEN"),
        (scoped, 403, "FORBIDDEN"),
        (old, 401, "UNAUTHENTICATED"),
        (brand.server.api("ci_nobody"), 401, "UNAUTHENTICATED"),
    ]:
        response = await post(api, "a.txt", b"text")
        assert response.status_code == status and is_told(response.json(), code)
        assert ("www-authenticate" in response.headers) == (status == 401)
    response = await post(brand.member, "a.txt", b"text", origin="https://evil.example")
    assert response.status_code == 403 and is_told(response.json(), "FORBIDDEN")
    address = urljoin(brand.server.url, f"{attachments.PATH}?name=a.txt")
    response = await brand.server.http.post(address, content=b"text")
    assert response.status_code == 401 and is_told(response.json(), "UNAUTHENTICATED")


async def test_a_page_of_an_allowed_origin_may_upload(store: Store, brand: Brand) -> None:
    origin = "https://app.brand.example"
    async with running(store, Settings(allowed_origins=(origin,))) as server:
        response = await post(server.api(brand.member.token), "a.txt", b"text", origin=origin)
        assert (response.status_code, response.headers["access-control-allow-origin"]) == (201, origin)


@pytest.mark.parametrize(
    ("name", "body", "headers", "status"),
    [
        (None, b"text", {}, 400),
        ("", b"text", {}, 400),
        ("  ", b"text", {}, 400),
        ("setup.exe", b"text", {}, 415),
        ("brief.pdf", b"MZ\x90\0" + bytes(100), {}, 415),
        ("a.txt", b"--x\r\n", {"content_type": "multipart/form-data; boundary=x"}, 415),
    ],
)
async def test_what_is_no_file_of_a_message_is_refused(
    brand: Brand, name: str | None, body: bytes, headers: dict[str, str], status: int
) -> None:
    response = await post(brand.member, name, body, **headers)
    assert response.status_code == status and is_told(response.json())


async def test_a_program_is_known_however_slowly_it_comes(brand: Brand) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        for byte in b"MZ\x90\0" + bytes(100):
            yield bytes([byte])

    assert (await post(brand.member, "a.pdf", slowly())).status_code == 415


@pytest.mark.parametrize("is_announced", [True, False])
async def test_what_is_too_large_is_refused(store: Store, brand: Brand, is_announced: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(1000)

    async with running(store, Settings(max_attachment_size=19_999)) as server:
        member = server.api(brand.member.token)
        response = await post(member, "a.bin", bytes(20_000) if is_announced else pieces())
        assert response.status_code == 413 and is_told(response.json())
        assert (await post(member, "a.bin", bytes(19_999))).status_code == 201


async def test_who_uploads_too_much_is_told_when_to_come_back(store: Store, brand: Brand) -> None:
    async with running(store, Settings(rate_per_token=100, rate_per_address=0)) as server:
        member = server.api(brand.member.token)
        assert (await post(member, "a.bin", bytes(200_000))).status_code == 201
        response = await post(member, "a.bin", b"more")
        assert response.status_code == 429 and int(response.headers["retry-after"]) > 1
        assert [error["extensions"]["code"] for error in response.json()["errors"]] == ["RATE_LIMITED"]


async def uploads_of(brand: Brand) -> list[Document]:
    """What goes on, of files that are not small."""
    return await brand.store.database.find("uploads", {"workspace": brand.workspace})


async def test_uploads_are_held_like_streams(store: Store, brand: Brand) -> None:
    done = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield random.randbytes(2 * CHUNK)
        await done.wait()

    async with running(store, Settings(streams_per_token=1)) as server:
        member = server.api(brand.member.token)
        first = asyncio.create_task(post(member, "a.bin", slow()))
        async with asyncio.timeout(DEADLINE):
            while not await uploads_of(brand):
                await asyncio.sleep(0.01)
        assert (await post(member, "b.txt", b"text")).status_code == 429
        done.set()
        assert (await first).status_code == 201
        assert (await post(member, "b.txt", b"text")).status_code == 201


async def test_an_upload_that_does_not_go_on_is_ended(brand: Brand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "UPLOAD_TIME", 0.1)
    client = await begun_upload(brand, 1000)
    async with asyncio.timeout(DEADLINE):
        while b"\r\n\r\n" not in client.received:
            await asyncio.sleep(0.01)
    client.transport.abort()
    assert client.received.startswith(b"HTTP/1.1 408 ") and b"TIMED_OUT" in client.received


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "a\r\nSet-Cookie: x=y.txt", 'quote".txt', "back\\slash", "ü\N{GRINNING FACE}.txt",
     "\u202etxt.a", "%2e%2e%2f", "a;filename=b.html", "?", "#", "&expires=1", "x" * 3000, "nul\0.txt", "."],
)  # fmt: skip
async def test_a_hostile_name_harms_nobody(brand: Brand, name: str) -> None:
    told = await uploaded(brand.member, name, b"text")
    assert told["name"] == safe_name(name) and "/" not in told["name"]
    response = await get(brand.server, told["url"])
    assert (response.status_code, response.content) == (200, b"text")
    assert "set-cookie" not in response.headers
    given = response.headers["content-disposition"]
    plain, _, encoded = given.removeprefix('attachment; filename="').partition("\"; filename*=UTF-8''")
    assert encoded == quote(told["name"], safe="") and plain.isascii() and '"' not in plain


@pytest.mark.parametrize(
    ("name", "body", "kind"),
    [
        ("a.png", PNG + HTML, "image/png"),
        ("a.html", PNG + HTML, "image/png"),
        ("a.gif", b"GIF89a" + HTML, "image/gif"),
    ],
)
async def test_an_image_is_shown(brand: Brand, name: str, body: bytes, kind: str) -> None:
    response = await get(brand.server, (await uploaded(brand.member, name, body))["url"])
    assert response.headers["content-type"] == kind
    assert response.headers["content-disposition"].startswith("inline;")
    assert is_locked_up(response)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("a.html", HTML),
        ("a.png", HTML),
        ("a.jpg", HTML + b"\xff\xd9"),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"),
        ("a.xhtml", b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'/>"),
        ("a.pdf", b"%PDF-1.7"),
        ("a.txt", b"text"),
        ("a.js.txt", b"alert(1)"),
        ("a.png", b""),
    ],
)
async def test_nothing_else_is_shown(brand: Brand, name: str, body: bytes) -> None:
    response = await get(brand.server, (await uploaded(brand.member, name, body))["url"])
    assert response.headers["content-disposition"].startswith("attachment;")
    assert is_locked_up(response)


def is_locked_up(response: httpx2.Response) -> bool:
    headers = response.headers
    return (
        headers["x-content-type-options"] == "nosniff"
        and headers["content-security-policy"] == "sandbox; default-src 'none'"
        and headers["cache-control"].startswith("private, max-age=")
    )


async def test_an_empty_file_is_one(brand: Brand) -> None:
    told = await uploaded(brand.member, "empty.txt", b"")
    assert told["size"] == 0
    response = await get(brand.server, told["url"])
    assert (response.status_code, response.content, response.headers["content-length"]) == (200, b"", "0")


async def test_a_part_or_only_the_headers_are_given(brand: Brand) -> None:
    content = random.randbytes(2 * CHUNK)
    url = (await uploaded(brand.member, "a.bin", content))["url"]
    asked = await get(brand.server, url, "HEAD")
    assert (asked.status_code, asked.content, asked.headers["content-length"]) == (200, b"", str(len(content)))
    etag, size = asked.headers["etag"], len(content)
    assert (await get(brand.server, url, if_none_match=f'"other", {etag}')).status_code == 304
    for header, first, end in [
        (f"bytes={CHUNK - 5}-{CHUNK + 5}", CHUNK - 5, CHUNK + 6),
        (f"bytes={size - 3}-", size - 3, size),
        ("bytes=-10", size - 10, size),
        (f"bytes={size - 3}-{size + 1000}", size - 3, size),
    ]:
        response = await get(brand.server, url, range=header, if_range=etag)
        assert (response.status_code, response.content) == (206, content[first:end]), header
        assert response.headers["content-range"] == f"bytes {first}-{end - 1}/{size}"
    for header in ("bytes=5-4", "bytes=0-1,3-4", "bytes=-", "lines=1-2", "bytes=a-b", "bytes=" + "9" * 50 + "-"):
        assert (await get(brand.server, url, range=header)).content == content, header
    assert (await get(brand.server, url, range="bytes=0-1", if_range='"other"')).content == content
    for header in (f"bytes={size}-", "bytes=-0"):
        assert (await get(brand.server, url, range=header)).status_code == 416, header


@dataclass(frozen=True)
class Signed:
    """A signed address, in parts."""

    id: str
    name: str
    expires: str
    signature: str

    @property
    def url(self) -> str:
        return f"/attachments/{self.id}/{quote(self.name, safe='')}?expires={self.expires}&signature={self.signature}"


def parts_of(url: str) -> Signed:
    parts = urlsplit(url)
    asked = parse_qs(parts.query)
    _, _, id, name = parts.path.split("/")
    return Signed(id, name, asked["expires"][0], asked["signature"][0])


async def test_an_address_that_we_did_not_give_is_refused(brand: Brand) -> None:
    told = await uploaded(brand.member, "a.txt", b"text")
    other = parts_of((await uploaded(brand.stranger, "a.txt", b"secret"))["url"])
    second = parts_of((await uploaded(brand.member, "a.txt", b"second"))["url"])
    ours = parts_of(told["url"])
    assert ours.url == told["url"] and 3600 <= int(ours.expires) - time.time() <= 7200
    store, past, absent = brand.store, int(time.time()) // 3600 * 3600, new_id("attachment")

    def signed(workspace: str, id: str, name: str, expires: int) -> Signed:
        text = attachments.signed_text(workspace, id, name, expires)
        return Signed(id, name, str(expires), store.keys.sign(text))

    last = "A" if ours.signature[-5] != "A" else "B"
    wrong = {
        "another name": Signed(ours.id, "b.txt", ours.expires, ours.signature),
        "another time": Signed(ours.id, "a.txt", str(int(ours.expires) + 3600), ours.signature),
        "another file": Signed(second.id, "a.txt", ours.expires, ours.signature),
        "another workspace's file": Signed(other.id, "a.txt", ours.expires, ours.signature),
        "another signature": Signed(ours.id, "a.txt", ours.expires, other.signature),
        "a changed signature": Signed(ours.id, "a.txt", ours.expires, ours.signature[:-5] + last + ours.signature[-4:]),
        "a short signature": Signed(ours.id, "a.txt", ours.expires, ours.signature[:-1]),
        "no signature": Signed(ours.id, "a.txt", ours.expires, ""),
        "an old one": signed(brand.workspace, ours.id, "a.txt", past),
        "of our workspace": signed(brand.workspace, other.id, "a.txt", int(other.expires)),
        "of no workspace": signed("", absent, "a.txt", int(ours.expires)),
        "of what is not there": signed(brand.workspace, absent, "a.txt", int(ours.expires)),
        "no id": Signed("attachment_%00", "a.txt", ours.expires, ours.signature),
        "no time": Signed(ours.id, "a.txt", "soon", ours.signature),
        "a strange time": Signed(ours.id, "a.txt", quote("٣"), ours.signature),
        "a signature of strange characters": Signed(ours.id, "a.txt", ours.expires, "%ff%00"),
    }
    answers = set()
    for what, address in wrong.items():
        response = await get(brand.server, address.url)
        assert response.status_code == 403, what
        assert is_told(response.json(), "FORBIDDEN")
        answers.add(response.text)
    assert len(answers) == 1
    assert (await get(brand.server, ours.url)).content == b"text"
    assert (await get(brand.server, signed(brand.workspace, ours.id, "a.txt", past + 7200).url)).content == b"text"


async def test_fetching_is_limited_too(store: Store, brand: Brand) -> None:
    url = (await uploaded(brand.member, "a.txt", b"text"))["url"]
    async with running(store, Settings(rate_per_address=60)) as server:
        found = [(await get(server, url)).status_code for _ in range(8)]
    assert found[0] == 200 and found[-1] == 429


async def test_a_message_tells_where_its_files_are(store: Store, brand: Brand) -> None:
    content = PNG + random.randbytes(10)
    blob = await store_bytes(store, brand.workspace, whole(content), 1000)
    made = await attachments.add(
        store, brand.workspace, brand.workspace, "a.png", blob, content, content_id="img@x", is_inline=True
    )
    message = await brand.receive((await brand.influencer())["thread"])
    await store.database.set("messages", message["id"], {"attachments": to_value([made])})
    fields = "id name contentType size contentId isInline url"
    query = f"query($id: ID!) {{ node(id: $id) {{ ... on Message {{ attachments {{ {fields} }} }} }} }}"
    [told] = (await brand.viewer.run(query, id=message["id"]))["node"]["attachments"]
    assert told == {
        "id": made.id, "name": "a.png", "contentType": "image/png", "size": len(content), "contentId": "img@x",
        "isInline": True, "url": told["url"],
    }  # fmt: skip
    assert (await get(brand.server, told["url"])).content == content


async def test_a_mail_is_fetched_as_it_came(store: Store, brand: Brand) -> None:
    operator, raw = operator_of(brand.workspace), b"From: ada@x.example\r\n\r\n<script>alert(1)</script>"
    blob = await store_bytes(store, brand.workspace, whole(raw), 1000)
    owner = (await brand.member.run("{ viewer { id } }"))["viewer"]["id"]
    mailbox = await connected(store, brand.workspace, owner)
    held = (await quarantine.hold(store, operator, mailbox, False, None, len(raw), blob.id, "it has no end")).result
    thread = (await brand.influencer(emails=["ada@x.example"]))["thread"]
    mail = replace(found_mail(mailbox, "ada@x.example", ["team@brand.example"]), raw_id=blob.id)
    [message] = (await take_in(store, operator, mail)).result.message_ids
    written = (await brand.send(thread))["id"]
    fields = "... on Message { url: rawUrl } ... on QuarantinedMail { rawUrl }"
    query = f"query($ids: [ID!]!) {{ nodes(ids: $ids) {{ {fields} }} }}"
    found = (await brand.viewer.run(query, ids=[held, message, written]))["nodes"]
    assert found[2] == {"url": None}
    for url in (found[0]["rawUrl"], found[1]["url"]):
        response = await get(brand.server, url)
        assert (response.status_code, response.content) == (200, raw)
        assert response.headers["content-type"] == "message/rfc822"
        assert response.headers["content-disposition"].startswith("attachment;")
        assert response.headers["x-content-type-options"] == "nosniff"
        assert (await get(brand.server, url.replace(held, message) if held in url else url + "x")).status_code == 403
    nowhere = attachments.url_of(store, brand.workspace, written, attachments.raw_name(written))
    assert (await get(brand.server, nowhere)).status_code in (400, 404)


async def begun_upload(brand: Brand, size: int, body: bytes = b"") -> Reader:
    """A client that has announced a body of this size, and sent the beginning of it."""
    address = urlsplit(brand.server.url)
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(Reader, address.hostname or "", address.port or 0)
    head = f"POST /attachments?name=a.bin HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {size}\r\n"
    client.transport.write(f"{head}Authorization: Bearer {brand.member.token}\r\n\r\n".encode() + body)
    return client


async def test_nothing_is_left_of_an_upload_whose_client_goes_away(brand: Brand) -> None:
    client = await begun_upload(brand, 1_000_000, random.randbytes(500_000))

    async with asyncio.timeout(DEADLINE):
        while not (begun := await uploads_of(brand)):
            await asyncio.sleep(0.01)
        while not await brand.store.database.find("fs.chunks", {"files_id": begun[0]["_id"], "n": 0}):
            await asyncio.sleep(0.01)
        client.transport.abort()
        while await uploads_of(brand):
            await asyncio.sleep(0.01)
    assert not await brand.store.database.find("fs.chunks", {"files_id": begun[0]["_id"]})


async def test_a_large_file_is_never_held_as_a_whole(brand: Brand) -> None:
    """Measured in a process that is the client as well, which holds no more than a piece either."""
    size, digest = 24 * 1024 * 1024, hashlib.sha256()

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(size // 65536):
            yield number.to_bytes(4) * 16384

    tracemalloc.start()
    try:
        told = await uploaded(brand.member, "large.bin", pieces())
        async with brand.server.http.stream("GET", urljoin(brand.server.url, told["url"])) as response:
            async for piece in response.aiter_bytes():
                digest.update(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert told["size"] == size and response.headers["etag"] == f'"{digest.hexdigest()}"'
    assert peak < 4 * 1024 * 1024


async def test_a_server_gives_addresses_at_which_it_can_be_reached(
    database_uri: str, own_database: str, tmp_path: Path
) -> None:
    settings = Settings(bind=("127.0.0.1", 0), data=tmp_path, mongodb_uri=database_uri, mongodb_database=own_database)
    async with open_store(database_uri, own_database) as store:
        workspace = await create_workspace(store, "Brand")
        owner = (await add_member(store, operator_of(workspace), "Ada", "ada@brand.test", Role.MEMBER)).result.id
        token = await token_for(store, workspace, owner)
    ready = asyncio.get_running_loop().create_future()
    async with background(serve(settings, ready.set_result)), httpx2.AsyncClient(timeout=DEADLINE) as http:
        async with asyncio.timeout(DEADLINE):
            server = Server(await ready, http)
        told = await uploaded(server.api(token), "a.txt", b"text")
        assert told["url"].startswith(server.url.replace("/graphql", "/attachments/"))
        assert (await http.get(told["url"])).content == b"text"
