"""A body that comes too slowly, or not at all, holds no connection for ever."""

from __future__ import annotations

import asyncio

import pytest

from connect_inbox.graphql import http
from tests.api.conftest import Brand
from tests.api.raw import JSON
from tests.client import DEADLINE

pytestmark = pytest.mark.usefixtures("quiet")


async def test_a_body_that_does_not_come_in_time(brand: Brand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BODY_WAIT", 0.2)
    host, port = brand.server.url.removeprefix("http://").removesuffix("/graphql").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = [
        "POST /graphql HTTP/1.1", f"host: {host}:{port}", f"content-type: {JSON}", "content-length: 1000",
        f"authorization: Bearer {brand.member.token}", "", "{",
    ]  # fmt: skip
    writer.write("\r\n".join(head).encode())
    async with asyncio.timeout(DEADLINE):
        answered = await reader.read()
    assert answered.startswith(b"HTTP/1.1 408 ")
    assert b'"message":"a body comes within 0.2 s"' in answered and b'"BAD_USER_INPUT"' in answered
    writer.close()
    await writer.wait_closed()
