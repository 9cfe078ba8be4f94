"""The server's own operations, which need no key: health, readiness, figures, documents."""

import ipaddress
import logging

from dialoguedb import __version__
from dialoguedb.engine import Task, projects
from dialoguedb.errors import DialogueDBError, Forbidden, ServiceUnavailable
from dialoguedb.models.service import Health, Readiness, SearchReadiness
from dialoguedb.operation import Operation
from dialoguedb.server import openapi, reference
from dialoguedb.server.answers import Answer, encode
from dialoguedb.server.carrier import Carrier
from dialoguedb.server.metrics import Metrics
from dialoguedb.server.requests import Scope

#: A proxy on this machine calls from loopback, for callers who are not on it.
_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"})

log = logging.getLogger("dialoguedb.server")


class Service:
    """Answers the operations `service.*`."""

    def __init__(self, carrier: Carrier, metrics: Metrics, *, metrics_public: bool) -> None:
        self._carrier = carrier
        self._metrics = metrics
        self._metrics_public = metrics_public
        self._document: bytes | None = None
        self._page: bytes | None = None

    async def answer(self, operation: Operation, scope: Scope) -> Answer:
        """Answer one of them."""
        match operation.name:
            case "service.health":
                return Answer(200, encode(Health("ok", __version__)))
            case "service.ready":
                return await self._ready()
            case "service.metrics":
                return await self._figures(scope)
            case "service.openapi":
                self._document = self._document or encode(openapi.document())
                return Answer(200, self._document)
            case _:
                self._page = self._page or reference.page_of(openapi.document())
                return Answer(200, self._page, b"text/html; charset=utf-8")

    async def _ready(self) -> Answer:
        """Read and write the store for real: an open file can still be a full disk."""
        try:
            await self._carrier.ask(self._carrier.store.check)
            await self._carrier.read(Task(None, projects.glance))
            await self._carrier.write(Task(None, projects.touch))
            standing = await self._carrier.ask(self._carrier.store.search_standing)
        except DialogueDBError as error:
            log.warning("not ready: %s", error.message)
            raise ServiceUnavailable(f"The store cannot be written: {error.message}") from None
        search = SearchReadiness(embedder=standing.embedder, lag=standing.lag)
        return Answer(200, encode(Readiness("ready", __version__, search)))

    async def _figures(self, scope: Scope) -> Answer:
        client = scope.get("client")
        near = client is not None and _is_loopback(client[0])
        forwarded = any(name in _FORWARDED for name, _ in scope["headers"])
        if not self._metrics_public and (forwarded or not near):
            raise Forbidden(
                "Figures are answered on loopback only; the setting metrics_public opens them"
            )
        try:
            standing = await self._carrier.ask(self._carrier.store.search_standing)
        except DialogueDBError:
            standing = None  # the other figures are wanted most while the database is away
        text = self._metrics.text(standing)
        return Answer(200, text, b"text/plain; version=0.0.4; charset=utf-8")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
