"""The ASGI app: /graphql, by POST, by GET, as a stream of events, as a WebSocket; files; and what operators ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from connect_inbox import logs, oauth
from connect_inbox.auth import open_gate
from connect_inbox.files import Files
from connect_inbox.graphql.groups import Groups
from connect_inbox.graphql.http import PREFLIGHT, Endpoint
from connect_inbox.graphql.intake import Intake
from connect_inbox.graphql.websocket import Sockets
from connect_inbox.health import Health, open_health
from connect_inbox.metrics import Metrics, Sources, open_metrics
from connect_inbox.settings import Settings
from connect_inbox.timings import Timings
from storage import attachments
from storage.store import Store
from sync.mail_access import MailAccess
from sync.mail_counters import MailCounters

PATH = "/graphql"


def create_app(
    settings: Settings,
    store: Store,
    mail: MailAccess | None = None,
    callback: oauth.Callback | None = None,
    counters: MailCounters | None = None,
) -> Starlette:
    """The app on an open store. What it holds itself is opened and closed by its lifespan.

    `counters` are of who reads and sends mail beside it, if this process does.
    """
    logs.quieten_server()
    answered: logs.Answered = Counter()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_gate(store) as gate, open_health(store) as health:
            app.state.health = health
            groups, intake, origins = Groups(store), Intake(settings, mail), settings.allowed_origins
            app.state.intake = intake
            app.state.endpoint = Endpoint(store, gate, groups, intake, origins, settings.max_body_size)
            app.state.sockets = Sockets(store, gate, groups, intake, origins, settings.init_timeout)
            app.state.files = Files(store, gate, intake, origins, settings.max_attachment_size)
            counted = Sources(
                store, groups, intake, app.state.endpoint, app.state.sockets, answered, counters or MailCounters(),
                loop_lag=Timings(),
            )  # fmt: skip
            async with open_metrics(counted) as app.state.metrics:
                yield

    files = [
        Route(attachments.PATH, upload, methods=["POST"]),
        Route(f"{attachments.PATH}/{{id}}/{{name}}", download, methods=["GET"]),  # and HEAD
    ]

    async def come_back(request: Request) -> Response:
        assert callback is not None, "it is asked only where there is one"
        return await callback.answer(request, request.app.state.intake)

    oauths = [Route(oauth.PATH, come_back, methods=oauth.METHODS)] if callback else []
    operators = [Route("/healthz", alive), Route("/readyz", ready)]
    if settings.metrics:
        operators.append(Route("/metrics", metrics))
    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.allowed_origins,
        allow_methods=["GET", "POST"],
        allow_headers=["authorization", "content-type", "x-request-id", PREFLIGHT],
        expose_headers=["x-request-id", "retry-after"],
    )
    return App(
        routes=[Route(PATH, graphql, methods=["GET", "POST"]), *files, *oauths, *operators],
        middleware=[Middleware(logs.Requests, answered=answered), cors],
        lifespan=lifespan,
    )


class App(Starlette):
    """Sockets pass no middleware, each of which would hold a few kilobytes for as long as a socket is open."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket" or scope["path"] != PATH:
            return await super().__call__(scope, receive, send)
        sockets: Sockets = self.state.sockets
        await sockets(WebSocket(scope, receive, send))


async def graphql(request: Request) -> Response:
    endpoint: Endpoint = request.app.state.endpoint
    return await endpoint(request)


async def upload(request: Request) -> Response:
    files: Files = request.app.state.files
    return await files.upload(request)


async def download(request: Request) -> Response:
    files: Files = request.app.state.files
    return await files.download(request)


async def alive(request: Request) -> Response:
    health: Health = request.app.state.health
    return await health.alive(request)


async def ready(request: Request) -> Response:
    health: Health = request.app.state.health
    return await health.ready(request)


async def metrics(request: Request) -> Response:
    counted: Metrics = request.app.state.metrics
    return await counted(request)
