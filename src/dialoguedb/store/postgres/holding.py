"""Who uses a database, and keeping others from writing to it while the last of it is copied."""

from collections.abc import Callable

import psycopg

from dialoguedb.errors import StoreError
from dialoguedb.store import statements
from dialoguedb.store.postgres.pool import Address, connect
from dialoguedb.store.upkeep.migrating import administered, role_of

#: How long a write that is under way is waited for.
_WRITE_MS = 5_000


def known_as(db: str) -> str:
    """Say what a database is known as, without the password."""
    return Address.of(db).shown


def check_there(db: str) -> None:
    """See that there is a database of ours: opening it would make one.

    Raises:
        StoreError: there is none, or it cannot be reached.
    """
    address = Address.of(db)
    with administered(address) as connection:
        if connection.execute(_named("copy_schema")).fetchone() != (1,):
            raise StoreError(
                f"there is no DialogueDB database at {address.shown}; mend the address"
            )


def is_used(db: str, _key_file: str | None) -> bool:
    """Tell whether others are connected who may write."""
    with administered(Address.of(db)) as connection:
        return connection.execute(_named("copy_others")).fetchone() != (0,)


def hold(db: str, _key_file: str | None) -> Callable[[], bool]:
    """Let nobody write from here on; what is given ends that, and tells if it held.

    Raises:
        StoreError: somebody is writing.
    """
    address = Address.of(db)
    with administered(address) as owner:
        role = role_of(owner)
    connection = connect(address, role=role)
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


def _named(statement: str) -> bytes:
    return statements.load("postgres")[statement].sql.encode()
