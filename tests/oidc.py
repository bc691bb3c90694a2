"""A real authorization server in Node, `npm/oidc.mjs`, and somebody with a browser who lets us in there."""

from __future__ import annotations

import asyncio
import json
import re
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2

from sync.oauth_providers import MailHost, Provider
from tests.client import Json
from tests.npm_client import NPM

DEADLINE = 20.0  # seconds
CLIENT_ID = "connect-inbox"
CLIENT_SECRET = "the-secret-of-the-client-at-the-provider"
REDIRECT_URI = "http://127.0.0.1:9/oauth/callback"  # where nobody listens: the test is the browser
MOST_STEPS = 20
_FORM = re.compile(r'<form[^>]* action="([^"]+)" method="post">.*?name="prompt" value="(login|consent)"', re.DOTALL)
_ABORT = re.compile(r'href="([^"]+/abort)"')


class Oidc:
    """The server; what it tells is kept."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.url = ""
        self.events: list[Json] = []

    async def read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.events.append(json.loads(line))

    async def tell(self, word: str) -> None:
        """Has it hold or release its answers, break or mend, or tell all: see there."""
        assert self._process.stdin is not None
        before = len(self.events)
        self._process.stdin.write(f"{word}\n".encode())
        await self._process.stdin.drain()
        await self.until(lambda: {"event": word} in self.events[before:])

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                assert self._process.returncode is None, "it has ended"
                await asyncio.sleep(0.01)

    async def asked(self, grant: str) -> list[str | None]:
        """How the requests for tokens of a kind have ended: None, or the error."""
        await self.tell("tell")
        return self.heard(grant)

    def heard(self, grant: str) -> list[str | None]:
        """The same, as far as it is known here by now."""
        return [each.get("error") for each in self.events if each.get("grant") == grant]

    def provider(self, name: str = "oidc", **changed: object) -> Provider:
        given: dict[str, object] = {
            "name": name, "authorize_url": f"{self.url}/auth", "token_url": f"{self.url}/token",
            "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "scopes": ("openid", "offline_access", "mail"),
            "imap": MailHost("127.0.0.1", 143, "none"), "smtp": MailHost("127.0.0.1", 25, "none"),
            "parameters": {"prompt": "consent"},
        }  # fmt: skip
        return Provider(**{**given, **changed})  # type: ignore[arg-type]


@asynccontextmanager
async def oidc_server(redirect_uri: str = REDIRECT_URI, lifetime: float = 3600) -> AsyncIterator[Oidc]:
    """A server that has ended when the context has. An access token of its is good for `lifetime` seconds."""
    settings = {
        "redirectUri": redirect_uri, "clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET, "lifetime": lifetime,
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        "node", str(NPM / "oidc.mjs"), json.dumps(settings), stdin=PIPE, stdout=PIPE, stderr=DEVNULL
    )
    server = Oidc(process)
    reading = asyncio.create_task(server.read())
    try:
        await server.until(lambda: bool(server.events))
        server.url = server.events[0]["url"]
        yield server
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


async def visit(address: str, login: str = "brand@example.com", agree: bool = True) -> dict[str, str]:
    """Somebody visits the provider, logs in, and agrees or not: the query that the browser is sent back to us with."""
    async with httpx2.AsyncClient(timeout=DEADLINE) as browser:
        answer = await browser.get(address)
        for _ in range(MOST_STEPS):
            if answer.is_redirect:
                address = urljoin(str(answer.url), answer.headers["location"])
                if "/oauth/callback?" in address:
                    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
                answer = await browser.get(address)
                continue
            form, abort = _FORM.search(answer.text), _ABORT.search(answer.text)
            assert form is not None, answer.text
            if form[2] == "consent" and not agree:
                assert abort is not None, answer.text
                answer = await browser.get(abort[1])
            else:
                answer = await browser.post(form[1], data={"prompt": form[2], "login": login, "password": "any"})
    raise AssertionError("the provider sends nobody back")
