"""Open the store that an address names."""

from pathlib import Path

from dialoguedb.errors import StoreError
from dialoguedb.runtime import Runtime
from dialoguedb.store.files import SqliteFile, read_key
from dialoguedb.store.sqlite import SqliteStore

_SQLITE = "sqlite:///"


def open_store(
    db: str, *, key_file: str | None = None, runtime: Runtime | None = None
) -> SqliteStore:
    """Open a database, and make it if it is not there.

    Args:
        db: a file's path, or `sqlite:///` and a path (a fourth slash makes it absolute).
        key_file: a file with the key that the database is encrypted with.
        runtime: clock and ids; the system's if None.
    Raises:
        StoreError: it cannot be opened; the message says why and what to do.
    """
    path = db.removeprefix(_SQLITE)
    if "://" in path or path in ("", ":memory:"):
        raise StoreError(
            f"the database {db!r} is not a file: use a path, or sqlite:///chat.db "
            "(sqlite:////data/chat.db for an absolute one)"
        )
    key = None if key_file is None else read_key(Path(key_file))
    return SqliteStore(SqliteFile(Path(path).absolute(), key), runtime or Runtime())
