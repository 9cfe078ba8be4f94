"""Run the server: open the store, listen, say where, and stop without losing anything."""

import asyncio
import errno
import gc
import ipaddress
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import NamedTuple
from urllib.parse import urlsplit

import uvicorn

from dialoguedb.engine import projects
from dialoguedb.errors import AdminError
from dialoguedb.server import logs, tls
from dialoguedb.server.app import make_app
from dialoguedb.server.dispatch import OpenDoor
from dialoguedb.server.protocol import Protocol
from dialoguedb.settings import Settings
from dialoguedb.store.opening import open_store, opener
from dialoguedb.store.sqlite import SqliteStore
from dialoguedb.store.waiting import Filler

_BACKLOG = 2048
_BIND_HINTS = {
    errno.EADDRINUSE: "another program holds it; choose another with --port",
    errno.EADDRNOTAVAIL: "this machine does not have that address; choose another with --host",
    errno.EACCES: "this user may not take that port; choose one from 1024 up with --port",
}
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Listening(NamedTuple):
    """What there is to tell when the server listens.

    Attributes:
        url: its address.
        db: the database's file.
        encrypted: whether that is encrypted.
        key: the first key of a new store, shown this once; None otherwise.
        keyless: whether there is no key that could be used.
        cert: the self-signed certificate that clients have to trust; None otherwise.
    """

    url: str
    db: str
    encrypted: bool
    key: str | None
    keyless: bool
    cert: str | None


class _Server(uvicorn.Server):
    """A uvicorn server that tells when it listens, and leaves signals to us."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM ask for a stop; uvicorn's own way would end the process by them.

        The store is still to be closed then, and an orderly stop ends with exit code 0.
        """
        before = {one: signal.signal(one, self.handle_exit) for one in _STOP_SIGNALS}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()


def run(settings: Settings, announce: Callable[[Listening], None]) -> None:
    """Serve until a signal ends it; what has been accepted is finished first.

    Args:
        settings: the server's.
        announce: told when it listens.
    Raises:
        AdminError, StoreError: it cannot start; the message says why and what to do.
    """
    _check(settings)
    logs.configure(settings.log_level)
    with (
        closing(_bound(settings)) as listener,
        closing(
            open_store(
                settings.db,
                key_file=settings.db_key_file,
                embedder=settings.embedder,
                open_embedder=opener(settings),
            )
        ) as store,
        closing(Filler(store)),
    ):
        _serve(settings, store, listener, announce)


def _check(settings: Settings) -> None:
    """Refuse settings that would be unsafe or cannot work."""
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise AdminError("--tls-cert and --tls-key go together")
    if settings.tls_cert and settings.tls_self_signed:
        raise AdminError("give either --tls-cert and --tls-key or --tls-self-signed")
    for origin in settings.cors_origin:
        if not _is_origin(origin):
            raise AdminError(
                f"--cors-origin {origin} is no origin; use one such as https://app.example or *"
            )
    with_tls = settings.tls_cert is not None or settings.tls_self_signed
    if not with_tls and not settings.insecure_no_tls and not is_loopback(settings.host):
        raise AdminError(
            f"{settings.host} is beyond loopback, and keys and messages would cross the network in "
            "the open. Give --tls-cert and --tls-key or --tls-self-signed, or behind a proxy that "
            "speaks TLS --insecure-no-tls"
        )


def _is_origin(text: str) -> bool:
    parts = urlsplit(text)
    return text == "*" or f"{parts.scheme}://{parts.netloc}" == text


def is_loopback(host: str) -> bool:
    """Tell whether an address to listen on can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bound(settings: Settings) -> socket.socket:
    """Take the address before anything else is touched.

    Raises:
        AdminError: it cannot be had; the message says why.
    """
    where = f"cannot listen on {settings.host} port {settings.port}"
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise AdminError(f"{where}: the host is not known ({error.strerror})") from None
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        hint = _BIND_HINTS.get(error.errno or 0, error.strerror)
        raise AdminError(f"{where}: {hint}") from None
    return listener


def _serve(
    settings: Settings,
    store: SqliteStore,
    listener: socket.socket,
    announce: Callable[[Listening], None],
) -> None:
    pair = None
    if settings.tls_self_signed:
        pair = tls.self_signed(store.file.path, settings.host, store.runtime.now())
    elif settings.tls_cert and settings.tls_key:
        pair = tls.given(settings.tls_cert, settings.tls_key)
    door = None
    if settings.api_key:
        project, _ = projects.ensure_default(store)
        door = OpenDoor(projects.hash_of(settings.api_key.encode()), project.id)
    config = uvicorn.Config(
        make_app(settings, store, door),
        loop="uvloop",
        http=Protocol,
        interface="asgi3",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here is decided by what a proxy says of its caller
        ssl_certfile=None if pair is None else str(pair.cert),
        ssl_keyfile=None if pair is None else str(pair.key),
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )

    def tell() -> None:
        # What has been loaded stays: the collector need not walk it, nor run every 700 objects.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        # The writer thread waits for the interpreter no longer than this, its callers with it.
        sys.setswitchinterval(0.0005)
        port = listener.getsockname()[1]
        key = _first_key(store)
        scheme = "http" if pair is None else "https"
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        announce(
            Listening(
                url=f"{scheme}://{host}:{port}",
                db=str(store.file.path),
                encrypted=store.file.key is not None,
                key=key,
                keyless=not settings.api_key and not projects.any_key(store),
                cert=str(pair.cert) if pair and settings.tls_self_signed else None,
            )
        )

    server = _Server(config, tell)
    loops = config.get_loop_factory()
    with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=loops) as runner:
        runner.run(server.serve([listener]))
    if not server.started:
        raise AdminError("the server did not start; its log above says why")


def _first_key(store: SqliteStore) -> str | None:
    """Make a project and a key in a store that has no project yet; else give none."""
    if not projects.is_empty(store):
        return None
    project, _ = projects.ensure_default(store)
    return str(projects.create_key(store, project.id, "first").key)
