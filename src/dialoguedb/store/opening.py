"""Open the store that an address names."""

from pathlib import Path

from dialoguedb.embed import open_embedder
from dialoguedb.errors import StoreError
from dialoguedb.runtime import Runtime
from dialoguedb.store.files import SqliteFile, read_key
from dialoguedb.store.index import OpenEmbedder
from dialoguedb.store.sqlite import SqliteStore

_SQLITE = "sqlite:///"


def open_store(
    db: str,
    *,
    key_file: str | None = None,
    runtime: Runtime | None = None,
    make: bool = True,
    embedder: str = "static",
    open_embedder: OpenEmbedder = open_embedder,
) -> SqliteStore:
    """Open a database.

    Args:
        db: a file's path, or `sqlite:///` and a path (a fourth slash makes it absolute).
        key_file: a file with the key that the database is encrypted with.
        runtime: clock and ids; the system's if None.
        make: whether to make it if it is not there.
        embedder: the setting of that name, for a database that is new.
        open_embedder: opens an embedder by its setting.
    Raises:
        StoreError: it cannot be opened; the message says why and what to do.
    """
    path = db.removeprefix(_SQLITE)
    if "://" in path or path in ("", ":memory:"):
        raise StoreError(
            f"the database {db!r} is not a file: use a path, or sqlite:///chat.db "
            "(sqlite:////data/chat.db for an absolute one)"
        )
    if not make and not Path(path).exists():
        raise StoreError(f"there is no database {path}; name the one that the server uses (--db)")
    key = None if key_file is None else read_key(Path(key_file))
    return SqliteStore(
        SqliteFile(Path(path).absolute(), key),
        runtime or Runtime(),
        open_embedder=open_embedder,
        embedder=embedder,
    )
