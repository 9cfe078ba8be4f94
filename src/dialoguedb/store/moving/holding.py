"""Keeping others from writing to a database while the last of it is copied."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, cast

from dialoguedb.errors import StoreError
from dialoguedb.runtime import monotonic_s
from dialoguedb.store.opening import is_service

#: How long a server that is just ending is waited for, seconds, and how often one looks.
_ENDING_S = 3.0
_LOOK_S = 0.1


class _Room(Protocol):
    """What each engine knows of it: `sqlite/holding.py`, `postgres/holding.py`."""

    def known_as(self, db: str) -> str: ...

    def check_there(self, db: str) -> None: ...

    def is_used(self, db: str, key_file: str | None) -> bool: ...

    def hold(self, db: str, key_file: str | None) -> Callable[[], bool]: ...


def _of(db: str) -> _Room:
    # Each needs its driver, and that of PostgreSQL is an extra.
    if is_service(db):
        from dialoguedb.store.postgres import holding as service  # noqa: PLC0415

        return cast(_Room, service)
    from dialoguedb.store.sqlite import holding as file  # noqa: PLC0415

    return cast(_Room, file)


def known_as(db: str) -> str:
    """Say what a database is known as, however its address is written; without the password."""
    return _of(db).known_as(db)


def check_there(db: str) -> None:
    """See that a database service holds a database of ours: opening it would make one.

    Raises:
        StoreError: it does not, or cannot be reached.
    """
    _of(db).check_there(db)


def check_unused(db: str, key_file: str | None) -> None:
    """See that nobody has a database open who could write to it. Call it before opening it.

    Raises:
        StoreError: somebody has, such as a server.
    """
    until_s = monotonic_s() + _ENDING_S
    while _of(db).is_used(db, key_file):
        if monotonic_s() > until_s:
            raise StoreError(
                f"{known_as(db)} is in use; stop its server, and whatever else has it open, for "
                "the last step, and start the server on the copy then"
            )
        time.sleep(_LOOK_S)


@contextmanager
def held(db: str, key_file: str | None) -> Iterator[None]:
    """Let nobody write to a database while this lasts; reading goes on.

    Raises:
        StoreError: somebody is writing, or it could not be held until the end.
    """
    release = _of(db).hold(db, key_file)
    try:
        yield
    finally:
        whole = release()
    if not whole:
        raise StoreError(f"{known_as(db)} was lost meanwhile; run the same command again")
