"""Who uses a file, and keeping others from writing to it while the last of it is copied."""

from collections.abc import Callable
from pathlib import Path

import apsw

from dialoguedb.errors import StoreError
from dialoguedb.store.sqlite.files import SqliteFile, read_key


def known_as(db: str) -> str:
    """Say what a file is known as, however its address is written."""
    return str(_path_of(db).resolve())


def check_there(db: str) -> None:
    """Do nothing: whether a file is there is told when it is opened."""


def is_used(db: str, key_file: str | None) -> bool:
    """Try to have the file for oneself. Whoever has it open holds a lock on it that all share."""
    path = _path_of(db)
    if not path.is_file():
        return False
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        if key_file is not None:
            connection.pragma("key", f"raw:{read_key(Path(key_file)).hex()}")
        connection.pragma("locking_mode", "exclusive")
        connection.execute("BEGIN IMMEDIATE").close()
        connection.execute("ROLLBACK").close()
    except apsw.BusyError:
        return True
    except apsw.Error:
        return False  # whatever it is, opening tells it
    finally:
        connection.close()
    return False


def hold(db: str, key_file: str | None) -> Callable[[], bool]:
    """Let nobody write to a file from here on; what is given ends that, and tells if it held.

    Raises:
        StoreError: somebody is writing.
    """
    file = SqliteFile(
        _path_of(db).absolute(), None if key_file is None else read_key(Path(key_file))
    )
    connection = file.open_copier()
    try:
        connection.execute("BEGIN IMMEDIATE").close()
    except apsw.BusyError:
        connection.close()
        raise StoreError(f"somebody is writing to {file.path}; stop its server first") from None

    def release() -> bool:
        whole = connection.in_transaction
        connection.close()
        return whole

    return release


def _path_of(db: str) -> Path:
    return Path(db.removeprefix("sqlite:///"))
