"""Open the store that an address names."""

from pathlib import Path
from typing import NamedTuple

from dialoguedb.embed import Embedder, open_embedder
from dialoguedb.errors import AdminError, StoreError
from dialoguedb.runtime import Runtime
from dialoguedb.settings import Settings
from dialoguedb.store.embedders import OpenEmbedder
from dialoguedb.store.protocol import Store
from dialoguedb.store.sqlite.files import SqliteFile, read_key
from dialoguedb.store.sqlite.store import SqliteStore

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")


class Service(NamedTuple):
    """What a database that is a service of its own is used with; a file needs none of it.

    Attributes:
        connections: of this process.
        timeout_s: how long a request may wait for the database, seconds.
        replica: the address of a standby that reads may go to.
    """

    connections: int = 8
    timeout_s: float = 10.0
    replica: str | None = None


def is_service(db: str) -> bool:
    """Tell whether an address is that of a database service, not of a file."""
    return db.startswith(_POSTGRES)


def open_store(
    db: str,
    *,
    key_file: str | None = None,
    runtime: Runtime | None = None,
    make: bool = True,
    embedder: str = "static",
    open_embedder: OpenEmbedder = open_embedder,
    service: Service | None = None,
) -> Store:
    """Open a database.

    Args:
        db: a file's path, or `sqlite:///` and a path (a fourth slash makes it absolute), or
            `postgresql://USER:PASSWORD@HOST:PORT/NAME`.
        key_file: a file with the key that the database is encrypted with.
        runtime: clock and ids; the system's if None.
        make: whether to make it if it is not there.
        embedder: the setting of that name, for a database that is new.
        open_embedder: opens an embedder by its setting.
        service: how a service is used.
    Raises:
        StoreError: it cannot be opened; the message says why and what to do.
    """
    if is_service(db):
        if key_file is not None:
            raise StoreError(
                "a key file is for a database that is a file; PostgreSQL's disks are encrypted by "
                "the system that it runs on"
            )
        return _open_service(db, runtime, embedder, open_embedder, service or Service())
    path = db.removeprefix(_SQLITE)
    if "://" in path or path in ("", ":memory:"):
        raise StoreError(
            f"the database {db!r} is no address: use a file's path, sqlite:///chat.db "
            "(sqlite:////data/chat.db for an absolute one), or postgresql://HOST/NAME"
        )
    if not _is_text(path):
        raise StoreError(f"the database {db!r} has a name that is no UTF-8; give it another one")
    if not make and not Path(path).exists():
        raise StoreError(f"there is no database {path}; name the one that the server uses (--db)")
    key = None if key_file is None else read_key(Path(key_file))
    return SqliteStore(
        SqliteFile(Path(path).absolute(), key),
        runtime or Runtime(),
        open_embedder=open_embedder,
        embedder=embedder,
    )


def _open_service(
    db: str,
    runtime: Runtime | None,
    embedder: str,
    open_embedder: OpenEmbedder,
    service: Service,
) -> Store:
    # The driver is an extra, and who works on a file does without it.
    try:
        from dialoguedb.store.postgres.pool import Address  # noqa: PLC0415
        from dialoguedb.store.postgres.store import PostgresStore  # noqa: PLC0415
    except ImportError as error:
        raise StoreError(
            f"PostgreSQL needs its driver ({error}); install it: pip install 'dialoguedb[postgres]'"
        ) from None
    return PostgresStore(
        Address.of(db),
        runtime or Runtime(),
        open_embedder=open_embedder,
        embedder=embedder,
        connections=service.connections,
        timeout_s=service.timeout_s,
        replica=None if service.replica is None else Address.of(service.replica),
    )


def _is_text(path: str) -> bool:
    """Tell whether SQLite can take a path; of a name that is no UTF-8, Python keeps the bytes."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def opener(settings: Settings) -> OpenEmbedder:
    """Make what opens embedders with the settings' address and key.

    A file can name an embedder behind an endpoint that these settings do not know of. It is not
    opened: texts would go where nobody has sent them.
    """

    def open_one(setting: str) -> Embedder:
        told = settings.embedder == setting or settings.embedder_url or settings.embedder_key
        if setting.startswith("openai:") and not told:
            raise AdminError(
                f"the search index is by {setting}, which the settings do not name: set embedder "
                "to it, and embedder_url and embedder_key as it needs them"
            )
        return open_embedder(
            setting,
            url=settings.embedder_url,
            key=settings.embedder_key,
            timeout_s=settings.embedder_timeout_seconds,
        )

    return open_one
