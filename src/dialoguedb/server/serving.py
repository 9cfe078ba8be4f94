"""Serve an open store on a socket, until a signal ends it."""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import uvicorn

from dialoguedb.engine import projects
from dialoguedb.errors import AdminError
from dialoguedb.server import tls
from dialoguedb.server.app import make_app
from dialoguedb.server.board import Board
from dialoguedb.server.dispatch import OpenDoor
from dialoguedb.server.protocol import Protocol
from dialoguedb.settings import Settings, is_file, path_of, state_folder
from dialoguedb.store.protocol import Store

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Server(uvicorn.Server):
    """A uvicorn server that tells when it listens, and leaves signals to us."""

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], None], lifeline: int | None
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._lifeline = lifeline

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM ask for a stop; uvicorn's own way would end the process by them.

        The store is still to be closed then, and an orderly stop ends with exit code 0.
        """
        before = {one: signal.signal(one, self.handle_exit) for one in STOP_SIGNALS}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._lifeline is not None:
            asyncio.get_running_loop().add_reader(self._lifeline, self._look, self._lifeline)
        if self.started:
            self._ready()

    def _look(self, lifeline: int) -> None:
        """Stop when whoever holds the other end of the lifeline is gone."""
        if not os.read(lifeline, 1):
            asyncio.get_running_loop().remove_reader(lifeline)
            self.should_exit = True


def pair_of(settings: Settings, store: Store) -> tls.Pair | None:
    """Give the certificate that the settings ask for; None for plain HTTP.

    Raises:
        AdminError: it cannot be used, or not be made.
    """
    if settings.tls_cert and settings.tls_key:
        return tls.given(settings.tls_cert, settings.tls_key)
    if not settings.tls_self_signed:
        return None
    beside = path_of(settings.db).absolute()
    if not is_file(settings.db):
        folder = state_folder()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise AdminError(
                f"the folder {folder} for the certificate cannot be made: {error.strerror}; set "
                "XDG_STATE_HOME to another one, or give --tls-cert and --tls-key"
            ) from None
        beside = folder / "server"
    return tls.self_signed(beside, settings.host, store.runtime.now())


def door_of(settings: Settings, store: Store) -> OpenDoor | None:
    """Give what the key of the environment opens, the default project; None without such a key."""
    if not settings.api_key:
        return None
    project, _ = projects.ensure_default(store)
    return OpenDoor(projects.hash_of(settings.api_key.encode()), project.id)


def serve(
    settings: Settings,
    store: Store,
    listener: socket.socket,
    ready: Callable[[], None],
    *,
    board: Board | None = None,
    lifeline: int | None = None,
) -> None:
    """Serve until a signal ends it; what has been accepted is finished first.

    Args:
        settings: the server's.
        store: an open store; the caller closes it.
        listener: where to take connections.
        ready: called when they are taken.
        board: for the figures of several workers.
        lifeline: a file descriptor; when its other end is closed, this ends too.
    Raises:
        AdminError: it cannot start; the message says why and what to do.
    """
    pair = pair_of(settings, store)
    config = uvicorn.Config(
        make_app(settings, store, door_of(settings, store), board),
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

    def tuned() -> None:
        # What has been loaded stays: the collector need not walk it, nor run every 700 objects.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        # The writer thread waits for the interpreter no longer than this, its callers with it.
        sys.setswitchinterval(0.0005)
        ready()

    server = _Server(config, tuned, lifeline)
    loops = config.get_loop_factory()
    with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=loops) as runner:
        runner.run(server.serve([listener]))
    if not server.started:
        raise AdminError("the server did not start; its log above says why")
