"""Run the server: open the store, listen, say where, and stop without losing anything."""

import errno
import ipaddress
import socket
from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple
from urllib.parse import urlsplit

from dialoguedb.engine import projects
from dialoguedb.errors import AdminError
from dialoguedb.server import logs
from dialoguedb.server.serving import door_of, pair_of, serve
from dialoguedb.server.worker import opened
from dialoguedb.server.workers import supervise
from dialoguedb.settings import Settings, is_file
from dialoguedb.store.protocol import Store
from dialoguedb.store.sqlite.waiting import filled
from dialoguedb.worker.beside import alongside

_BACKLOG = 2048
_BIND_HINTS = {
    errno.EADDRINUSE: "another program holds it; choose another with --port",
    errno.EADDRNOTAVAIL: "this machine does not have that address; choose another with --host",
    errno.EACCES: "this user may not take that port; choose one from 1024 up with --port",
}


class Listening(NamedTuple):
    """What there is to tell when the server listens.

    Attributes:
        url: its address.
        db: the database: a file, or an address.
        encrypted: whether it lies encrypted on the disk.
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
    with closing(_bound(settings)) as listener, closing(opened(settings)) as store:

        def tell() -> None:
            announce(_told(settings, store, listener))

        if settings.workers == 1:
            with filled(store), alongside(settings, store):
                serve(settings, store, listener, tell)
            return
        pair_of(settings, store)  # what is still to be made is made once
        door_of(settings, store)

        def tell_and_close() -> None:
            tell()
            store.close()  # it has connections of its own

        supervise(settings, listener, tell_and_close)


def _check(settings: Settings) -> None:
    """Refuse settings that would be unsafe or cannot work."""
    if is_file(settings.db):
        _check_file(settings)
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


def _check_file(settings: Settings) -> None:
    """Refuse what only PostgreSQL has."""
    if settings.workers > 1:
        raise AdminError(
            f"--workers {settings.workers} needs PostgreSQL (--db postgresql://…): a file has one "
            "writer, and one process serves it best"
        )
    if settings.replica is not None:
        raise AdminError("--replica is for PostgreSQL (--db postgresql://…): a file has none")


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


def _told(settings: Settings, store: Store, listener: socket.socket) -> Listening:
    """Gather what there is to tell; a store without a project gets one, with a key."""
    pair = pair_of(settings, store)
    port = listener.getsockname()[1]
    key = _first_key(store)
    scheme = "http" if pair is None else "https"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return Listening(
        url=f"{scheme}://{host}:{port}",
        db=store.name,
        encrypted=store.encrypted,
        key=key,
        keyless=not settings.api_key and not projects.any_key(store),
        cert=str(pair.cert) if pair and settings.tls_self_signed else None,
    )


def _first_key(store: Store) -> str | None:
    """Make a project and a key in a store that has no project yet; else give none."""
    if not projects.is_empty(store):
        return None
    project, _ = projects.ensure_default(store)
    return str(projects.create_key(store, project.id, "first").key)
