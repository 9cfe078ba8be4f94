"""The application: Starlette around the one endpoint."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from dialoguedb.models import positions
from dialoguedb.runtime import Runtime
from dialoguedb.server.board import Board
from dialoguedb.server.carrier import Carrier, InlineCarrier
from dialoguedb.server.dispatch import Dispatch, OpenDoor
from dialoguedb.server.logs import AccessLog
from dialoguedb.server.metrics import Metrics
from dialoguedb.server.service import Service
from dialoguedb.settings import Settings
from dialoguedb.store.protocol import Store

_SHOWN_HEADERS = (
    "X-Request-Id",
    "ETag",
    positions.HEADER,
    "Idempotent-Replayed",
    "Retry-After",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
)


#: How old what a worker tells of another one's requests can be.
_PUBLISH_S = 1.0


class Cors(CORSMiddleware):
    """CORS whose preflights have no body (contract 1.4)."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a preflight: 204, or 400 for another origin."""
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            headers = {k: v for k, v in response.headers.items() if not k.startswith("content-")}
            return Response(status_code=204, headers=headers)
        return response


async def _publish(metrics: Metrics) -> None:
    while True:
        metrics.publish()
        await asyncio.sleep(_PUBLISH_S)


def _carrier(settings: Settings, store: Store, loop: asyncio.AbstractEventLoop) -> Carrier:
    if store.inline:
        return InlineCarrier(store, loop)
    # What it needs comes with an extra, and a database that is a file does without.
    from dialoguedb.server.threaded import ThreadedCarrier  # noqa: PLC0415

    return ThreadedCarrier(
        store,
        loop,
        # For what the loop cannot read itself; more would only wait for each other's connections.
        threads=settings.db_connections // 2 + 1,
        timeout_s=settings.db_timeout_seconds,
        replica=settings.replica is not None,
    )


def make_app(
    settings: Settings, store: Store, door: OpenDoor | None = None, board: Board | None = None
) -> ASGIApp:
    """Make the ASGI application.

    Args:
        settings: the server's.
        store: an open store; the caller closes it after the application has stopped.
        door: the key of the environment, if there is one.
        board: where several workers put their figures together.
    """
    holder: dict[str, Dispatch] = {}

    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        carrier = _carrier(settings, store, loop)
        metrics = Metrics(os.getpid(), board)
        access_log = AccessLog(loop) if settings.access_log else None
        service = Service(carrier, metrics, metrics_public=settings.metrics_public)
        holder["dispatch"] = Dispatch(
            settings, carrier, Runtime(), service, metrics, access_log, door
        )
        publishing = loop.create_task(_publish(metrics)) if board is not None else None
        yield
        if publishing is not None:
            publishing.cancel()
            metrics.publish()
        carrier.close()
        if access_log is not None:
            access_log.flush()

    router = Router(lifespan=lifespan)

    def app(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # The table of operations does the routing, and the endpoint answers for its own errors:
        # Starlette's router is for what is no request, and its application for nothing here.
        serve = holder["dispatch"] if scope["type"] == "http" else router
        return serve(scope, receive, send)

    if not settings.cors_origin:
        return app
    return Cors(
        app,
        allow_origins=settings.cors_origin,
        allow_methods=("GET", "POST", "PUT", "DELETE"),
        allow_headers=(
            "Authorization",
            "Content-Type",
            "If-Match",
            "Idempotency-Key",
            positions.HEADER,
        ),
        expose_headers=_SHOWN_HEADERS,
        max_age=600,
    )
