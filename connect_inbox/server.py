"""A server: the database, the upkeep and the API, begun in this order and ended in the opposite one."""

from __future__ import annotations

import asyncio
import contextlib
import re
import resource
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import uvicorn
from starlette.applications import Starlette

from connect_inbox.app import PATH, create_app
from connect_inbox.oauth import Callback, redirect_uri
from connect_inbox.protocols import PING_INTERVAL, PING_TIMEOUT, RequestProtocol, SocketProtocol
from connect_inbox.settings import Settings, WrongSetting
from storage.credentials import check_keys
from storage.database import DatabaseError, WrongAddress
from storage.embedded import EmbeddedEngineError, embedded_engine
from storage.formats import UnknownFormat
from storage.keys import KeyFileError, WrongSeal, keys_in
from storage.store import Store, open_store
from sync.mail_access import MailAccess
from sync.mail_counters import MailCounters
from sync.mail_service import mail_service
from sync.mailbox_connecting import connect_with_tokens
from sync.oauth_providers import open_providers
from sync.upkeep import run_upkeep

GRACE = 5  # seconds that requests have to end in
BACKLOG = 2048
# Seconds that a connection is kept between two requests: longer than proxies keep theirs (nginx 60 seconds), which
# would send a request into one that is being closed.
KEEP_ALIVE = 75


class CannotStart(Exception):
    """The server cannot start. The message says why."""


async def serve(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serves until it is cancelled. `on_ready` gets the API's address once it answers there. Raises `CannotStart`."""
    raise_file_limit()
    with listener(settings) as bound:
        address = public_address(settings, bound)
        opening = open_database(settings, address, with_keys=True)
        async with opening as store, serving(settings, store, bound) as server:
            if not server.done():
                on_ready(public_url(settings, bound))
            await asyncio.shield(server)


def raise_file_limit() -> None:
    """As many open files as are allowed, of which each connection is one: what is set is often 1,024 of them."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS allows any number, and sets none that is as large
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def sync(settings: Settings, on_ready: Callable[[], None]) -> None:
    """Reads mailboxes and sends mail, without the API, until it is cancelled. Raises `CannotStart`."""
    async with open_database(settings, settings.public_url or "", with_keys=True) as store:
        async with open_mail(settings, store.address) as mail, mail_service(store, mail):
            on_ready()
            await asyncio.Event().wait()


@asynccontextmanager
async def open_database(settings: Settings, address: str = "", with_keys: bool = False) -> AsyncIterator[Store]:
    """The store on the database that the settings name, or the embedded one, of the server with this address.

    Without the keys of the settings, credentials can be neither saved nor read. Raises `CannotStart`, `WrongSetting`.
    """
    async with AsyncExitStack() as stack:
        try:
            uri = settings.mongodb_uri
            if uri is None:
                uri = await stack.enter_async_context(embedded_engine(settings.data))
            keys = (settings.secret_keys or keys_in(settings.data)) if with_keys else None
            opening = open_store(uri, settings.mongodb_database, settings.broadcast_url, keys, address)
            store = await stack.enter_async_context(opening)
            if with_keys:
                await check_keys(store)
        except (EmbeddedEngineError, UnknownFormat, KeyFileError) as error:
            raise CannotStart(str(error)) from error
        except WrongSeal as error:
            told = "the secrets in the database cannot be opened with the keys that are given, or in the data folder"
            raise CannotStart(f"{told}: {error}") from error
        except WrongAddress as error:
            told = reason_of(error).partition("'")[0].rstrip(": ")  # what it quotes may be a part of the password
            raise WrongSetting(f"MONGODB_URI cannot be used: {told}") from error
        except DatabaseError as error:
            where = f"at {address_of(settings.mongodb_uri)} " if settings.mongodb_uri else ""
            raise CannotStart(f"the database {where}cannot be used: {reason_of(error)}") from error
        yield store


def address_of(uri: str) -> str:
    """The servers that a MongoDB URI names, without credentials."""
    return re.split(r"[/?]", uri.partition("://")[2].rpartition("@")[2])[0]


def reason_of(error: DatabaseError) -> str:
    """What the driver or the database says, as one short line."""
    details = getattr(error, "details", None) or {}
    told = str(details.get("errmsg") or error).partition("(configured timeouts")[0].partition(", Timeout:")[0]
    return " ".join(told.split())[:200] or type(error).__name__


@contextmanager
def listener(settings: Settings) -> Iterator[socket.socket]:
    """A socket bound to the address of the settings, which accepts nobody yet. Raises `CannotStart`."""
    host, port = settings.bind
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotStart(f"cannot listen at {at(host, port)}: {error.strerror}") from error
    with contextlib.closing(bound):
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind(address)
            bound.listen(BACKLOG)
        except OSError as error:
            raise CannotStart(f"cannot listen at {at(host, port)}: {error.strerror}") from error
        yield bound


def at(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def local_address(bound: socket.socket) -> str:
    """The server's address for somebody on this machine."""
    host, port = bound.getsockname()[:2]
    return f"http://{at({'0.0.0.0': '127.0.0.1', '::': '::1'}.get(host, host), port)}"


def public_address(settings: Settings, bound: socket.socket) -> str:
    return settings.public_url or local_address(bound)


def local_url(bound: socket.socket) -> str:
    """The API's address for somebody on this machine."""
    return f"{local_address(bound)}{PATH}"


def public_url(settings: Settings, bound: socket.socket) -> str:
    return f"{public_address(settings, bound)}{PATH}"


class Server(uvicorn.Server):
    """uvicorn, which says when it has started, and leaves signals to the command line."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            raise CannotStart("the API could not be started; the lines above say why") from None
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        app = self.config.app
        assert isinstance(app, Starlette)  # it is `create_app`'s
        app.state.health.stop()
        app.state.endpoint.stop()
        await app.state.sockets.finish(GRACE / 2)
        await super().shutdown(sockets)


def uvicorn_config(
    settings: Settings,
    store: Store,
    mail: MailAccess | None = None,
    callback: Callback | None = None,
    counters: MailCounters | None = None,
) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(settings, store, mail, callback, counters),
        http=RequestProtocol,
        ws=SocketProtocol,
        ws_ping_interval=PING_INTERVAL,
        ws_ping_timeout=PING_TIMEOUT,
        ws_max_size=settings.max_frame_size,
        ws_per_message_deflate=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
        lifespan="on",
        access_log=False,
        proxy_headers=False,  # whom a proxy may speak for is our own setting's to say
        log_config=None,
        server_header=False,
    )


@asynccontextmanager
async def serving(settings: Settings, store: Store, bound: socket.socket) -> AsyncIterator[asyncio.Task[None]]:
    """The API on a bound socket, with upkeep and mail beside it; the task ends when the server does."""
    async with AsyncExitStack() as stack:
        mail = await stack.enter_async_context(open_mail(settings, store.address))
        callback = (
            Callback(store, mail.providers, partial(connect_with_tokens, store, mail)) if mail.providers else None
        )
        counters = MailCounters()
        server = Server(uvicorn_config(settings, store, mail, callback, counters))
        await stack.enter_async_context(background(run_upkeep(store, settings.upkeep_interval, settings.log_days)))
        if settings.sync:
            await stack.enter_async_context(mail_service(store, mail, counters=counters))
        running = asyncio.create_task(server.serve(sockets=[bound]))
        try:
            async with background(server.listening.wait()) as listening:
                await asyncio.wait([listening, running], return_when=asyncio.FIRST_COMPLETED)
            yield running
        finally:
            server.should_exit = True
            await running


@asynccontextmanager
async def open_mail(settings: Settings, address: str) -> AsyncIterator[MailAccess]:
    """How mailboxes are got at, with the OAuth providers of the settings."""
    async with open_providers(settings.providers, redirect_uri(address)) as providers:
        yield MailAccess(providers, frozenset(settings.mail_hosts), settings.mail_ca)


@asynccontextmanager
async def background(work: Coroutine[Any, Any, Any]) -> AsyncIterator[asyncio.Task[Any]]:
    """A task that is cancelled, and waited for, at the end."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
