"""The ASGI app: /graphql, by POST, as a stream of events, and as a WebSocket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from connect_inbox.auth import open_gate
from connect_inbox.graphql.http import Endpoint
from connect_inbox.graphql.websocket import Sockets
from connect_inbox.settings import Settings
from storage.store import Store

PATH = "/graphql"


def create_app(settings: Settings, store: Store) -> Starlette:
    """The app on an open store. What it holds itself is opened and closed by its lifespan."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_gate(store) as gate:
            app.state.endpoint = Endpoint(store, gate, settings.allowed_origins, settings.max_body_size)
            app.state.sockets = Sockets(store, gate, settings.allowed_origins, settings.init_timeout)
            yield

    async def graphql(request: Request) -> Response:
        endpoint: Endpoint = request.app.state.endpoint
        return await endpoint(request)

    async def graphql_socket(socket: WebSocket) -> None:
        sockets: Sockets = socket.app.state.sockets
        await sockets(socket)

    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.allowed_origins,
        allow_methods=["POST"],
        allow_headers=["authorization", "content-type"],
    )
    return Starlette(
        routes=[
            Route(PATH, graphql, methods=["POST"]),
            WebSocketRoute(PATH, graphql_socket),
        ],
        middleware=[cors],
        lifespan=lifespan,
    )
