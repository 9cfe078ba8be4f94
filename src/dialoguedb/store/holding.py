"""Keeping others from writing to a database while the last of it is copied."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from dialoguedb.errors import StoreError
from dialoguedb.runtime import monotonic_s
from dialoguedb.store import statements
from dialoguedb.store.files import SqliteFile, read_key
from dialoguedb.store.opening import is_service

#: How long a server that is just ending is waited for, seconds, and how often one looks.
_ENDING_S = 3.0
_LOOK_S = 0.1
#: How long a write that is under way is waited for.
_WRITE_MS = 5_000


def known_as(db: str) -> str:
    """Say what a database is known as, however its address is written; without the password."""
    if not is_service(db):
        return str(_path_of(db).resolve())
    from dialoguedb.store.postgres_pool import Address  # noqa: PLC0415 - an extra

    return Address.of(db).shown


def check_there(db: str) -> None:
    """See that a database service holds a database of ours: opening it would make one.

    Raises:
        StoreError: it does not, or cannot be reached.
    """
    if not is_service(db):
        return
    from dialoguedb.store.migrating import administered  # noqa: PLC0415 - an extra
    from dialoguedb.store.postgres_pool import Address  # noqa: PLC0415

    address = Address.of(db)
    with administered(address) as connection:
        if connection.execute(_named("copy_schema")).fetchone() != (1,):
            raise StoreError(
                f"there is no DialogueDB database at {address.shown}; mend the address"
            )


def check_unused(db: str, key_file: str | None) -> None:
    """See that nobody has a database open who could write to it. Call it before opening it.

    Raises:
        StoreError: somebody has, such as a server.
    """
    used = _used_service if is_service(db) else _used_file
    until_s = monotonic_s() + _ENDING_S
    while used(db, key_file):
        if monotonic_s() > until_s:
            raise StoreError(
                f"{known_as(db)} is in use; stop its server, and whatever else has it open, for "
                "the last step, and start the server on the copy then"
            )
        time.sleep(_LOOK_S)


def _used_file(db: str, key_file: str | None) -> bool:
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


def _used_service(db: str, _key_file: str | None) -> bool:
    from dialoguedb.store.migrating import administered  # noqa: PLC0415 - an extra
    from dialoguedb.store.postgres_pool import Address  # noqa: PLC0415

    with administered(Address.of(db)) as connection:
        return connection.execute(_named("copy_others")).fetchone() != (0,)


@contextmanager
def held(db: str, key_file: str | None) -> Iterator[None]:
    """Let nobody write to a database while this lasts; reading goes on.

    Raises:
        StoreError: somebody is writing, or it could not be held until the end.
    """
    hold = _held_service if is_service(db) else _held_file
    release = hold(db, key_file)
    try:
        yield
    finally:
        whole = release()
    if not whole:
        raise StoreError(f"{known_as(db)} was lost meanwhile; run the same command again")


def _held_file(db: str, key_file: str | None) -> Callable[[], bool]:
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


def _held_service(db: str, _key_file: str | None) -> Callable[[], bool]:
    import psycopg  # noqa: PLC0415 - an extra

    from dialoguedb.store.migrating import ROLE  # noqa: PLC0415
    from dialoguedb.store.postgres_pool import Address, connect  # noqa: PLC0415

    address = Address.of(db)
    connection = connect(address, role=ROLE)
    try:
        connection.execute("BEGIN")
        connection.execute(f"SET LOCAL lock_timeout = {_WRITE_MS}")
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        connection.execute(_named("copy_hold"))
    except psycopg.errors.LockNotAvailable:
        connection.close()
        raise StoreError(f"somebody is writing to {address.shown}; stop its server") from None

    def release() -> bool:
        try:
            connection.execute("COMMIT")
        except psycopg.Error:
            return False
        finally:
            connection.close()
        return True

    return release


def _path_of(db: str) -> Path:
    return Path(db.removeprefix("sqlite:///"))


def _named(statement: str) -> bytes:
    return statements.load("postgres")[statement].sql.encode()
