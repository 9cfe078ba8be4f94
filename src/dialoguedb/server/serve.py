"""Run the server: open the store, listen, say where, and stop without losing anything."""

import asyncio
import gc
import ipaddress
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import uvicorn

from dialoguedb.engine import projects
from dialoguedb.errors import AdminError
from dialoguedb.server import logs, tls
from dialoguedb.server.app import make_app
from dialoguedb.server.dispatch import OpenDoor
from dialoguedb.server.protocol import Protocol
from dialoguedb.settings import Settings
from dialoguedb.store.opening import open_store
from dialoguedb.store.sqlite import SqliteStore

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Listening(NamedTuple):
    """What there is to tell when the server listens.

    Attributes:
        url: its address.
        db: the database's file.
        encrypted: whether that is encrypted.
        key: the first key of a new store, shown this once; None otherwise.
        cert: the self-signed certificate that clients have to trust; None otherwise.
    """

    url: str
    db: str
    encrypted: bool
    key: str | None
    cert: str | None


class _Server(uvicorn.Server):
    """A uvicorn server that tells when it listens."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[int], None]) -> None:
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
            self._announce(self.servers[0].sockets[0].getsockname()[1])


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
    store = open_store(settings.db, key_file=settings.db_key_file)
    try:
        _serve(settings, store, announce)
    finally:
        store.close()


def _check(settings: Settings) -> None:
    """Refuse settings that would be unsafe or cannot work."""
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise AdminError("--tls-cert and --tls-key go together")
    if settings.tls_cert and settings.tls_self_signed:
        raise AdminError("give either --tls-cert and --tls-key or --tls-self-signed")
    with_tls = settings.tls_cert is not None or settings.tls_self_signed
    if not with_tls and not settings.insecure_no_tls and not is_loopback(settings.host):
        raise AdminError(
            f"{settings.host} is beyond loopback, and keys and messages would cross the network in "
            "the open. Give --tls-cert and --tls-key or --tls-self-signed, or behind a proxy that "
            "speaks TLS --insecure-no-tls"
        )


def is_loopback(host: str) -> bool:
    """Tell whether an address to listen on can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _serve(settings: Settings, store: SqliteStore, announce: Callable[[Listening], None]) -> None:
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
        host=settings.host,
        port=settings.port,
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
        backlog=2048,
    )

    def tell(port: int) -> None:
        # What has been loaded stays: the collector need not walk it, nor run every 700 objects.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        scheme = "http" if pair is None else "https"
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        announce(
            Listening(
                url=f"{scheme}://{host}:{port}",
                db=str(store.file.path),
                encrypted=store.file.key is not None,
                key=_first_key(store),
                cert=str(pair.cert) if pair and settings.tls_self_signed else None,
            )
        )

    _listen(_Server(config, tell), settings)


def _first_key(store: SqliteStore) -> str | None:
    """Make a project and a key in a store that has no project yet; else give none."""
    if not projects.is_empty(store):
        return None
    project, _ = projects.ensure_default(store)
    return str(projects.create_key(store, project.id, "first").key)


def _listen(server: _Server, settings: Settings) -> None:
    try:
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            runner.run(server.serve())
    except KeyboardInterrupt:
        return
    except OSError as error:
        raise AdminError(_no_address(settings, error)) from None
    except SystemExit:
        raise AdminError(_no_address(settings, None)) from None
    if not server.started:
        raise AdminError(_no_address(settings, None))


def _no_address(settings: Settings, error: OSError | None) -> str:
    reason = f" ({error.strerror})" if error is not None else ""
    return (
        f"cannot listen on {settings.host} port {settings.port}{reason}: another program may hold "
        "it; choose another with --port"
    )
