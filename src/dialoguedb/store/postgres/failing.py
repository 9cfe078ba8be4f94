"""What the failures of PostgreSQL mean to a caller."""

import logging

import psycopg
from psycopg import errors

from dialoguedb.errors import (
    DialogueDBError,
    InternalError,
    ServiceUnavailable,
    StorageFull,
    StorageReadOnly,
    StoreError,
)
from dialoguedb.runtime import monotonic_s
from dialoguedb.store.protocol import WallBroken

log = logging.getLogger("dialoguedb.store")

#: Somebody else has changed the same: run again, the work sees it and decides anew.
AGAIN = (errors.SerializationFailure, errors.DeadlockDetected, errors.UniqueViolation)
#: An outage has a line in the log once in so many seconds.
_EACH_S = 5.0
#: Classes of errors that are the database server's own trouble: short of something, broken disks.
_TROUBLE = ("53", "57", "58")


class SilentError(psycopg.OperationalError):
    """The server has not answered in time; the connection has been closed."""


class Seldom:
    """Logs warnings, one in a while: an outage meets every request."""

    def __init__(self) -> None:
        """Make it; the first warning is logged."""
        self._again_s = 0.0

    def warning(self, text: str, *values: object) -> None:
        """Log a warning, unless there has just been one."""
        if monotonic_s() >= self._again_s:
            self._again_s = monotonic_s() + _EACH_S
            log.warning(text, *values)


_away = Seldom()


def is_gone(error: BaseException) -> bool:
    """Tell whether a failure is the connection's: the database is away, or is being stopped.

    Not by the classes of psycopg: to them a conflict of two transactions is operational, too.
    """
    if not isinstance(error, psycopg.Error):
        return False
    if error.diag.severity_nonlocalized in ("FATAL", "PANIC"):
        return True
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return state.startswith("08")


def translated(error: BaseException) -> BaseException:
    """Say what a failure of PostgreSQL means to the caller; other errors stay as they are."""
    if isinstance(error, DialogueDBError):
        return error
    if isinstance(error, errors.DiskFull):
        return StorageFull()
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return StorageReadOnly("The database is read-only, such as a standby; name the primary")
    if isinstance(error, errors.QueryCanceled | errors.LockNotAvailable):
        return ServiceUnavailable("The database took too long; try again")
    if isinstance(error, AGAIN):
        return ServiceUnavailable("Others keep changing the same; try again")
    if isinstance(error, SilentError):
        _away.warning("the database does not answer")
        return ServiceUnavailable("The database did not answer in time; try again")
    if is_gone(error):
        _away.warning("the database is away: %s", one_line(error))
        return ServiceUnavailable("The database cannot be reached; try again")
    if isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith(_TROUBLE):
        _away.warning("the database is in trouble: %s", one_line(error))
        return ServiceUnavailable("The database has trouble of its own; try again")
    if isinstance(error, errors.UndefinedTable | errors.InsufficientPrivilege):
        log.critical("the schema is not as it was: %s", one_line(error))
        return ServiceUnavailable("The database's schema is damaged; run `dialoguedb doctor`")
    if isinstance(error, WallBroken | errors.DivisionByZero):  # see `statements.guarded`
        log.critical("a wall between spaces held: %s", error)
    log.error("a work failed", exc_info=error)
    return InternalError()


def one_line(error: BaseException) -> str:
    """Give what PostgreSQL says in one line, without the values that were sent."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return error.diag.message_primary
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def unopened(error: psycopg.Error, shown: str) -> StoreError:
    """Say in one line why a database cannot be opened and what to do.

    Args:
        error: what has happened.
        shown: the address, without the password.
    """
    text = str(error)
    for sign, say in (
        (
            "password authentication failed",
            "the password is wrong; give the right one in --db or PGPASSWORD",
        ),
        ("no password supplied", "it wants a password; give it in --db or PGPASSWORD"),
        ("Connection refused", "nobody listens there; start PostgreSQL, or mend host and port"),
        ("could not translate host name", "the host is not known; mend it"),
        ("Name or service not known", "the host is not known; mend it"),
        ("timeout expired", "the host does not answer; mend host and port, or the firewall"),
        ("session is read-only", "it is a read-only standby; name the primary"),
        ("the database system is starting up", "it is starting up; try again in a moment"),
    ):
        if sign in text:
            return StoreError(f"the database {shown} cannot be opened: {say}")
    said = one_line(error).rpartition("FATAL:")[2].strip()
    if "does not exist" in text and "database" in text:
        return StoreError(f"the database {shown} cannot be opened: {said}; make it with createdb")
    return StoreError(f"the database {shown} cannot be opened: {said}")
