"""What the failures of SQLite mean to a caller."""

import logging

import apsw

from dialoguedb.errors import (
    DialogueDBError,
    InternalError,
    ServiceUnavailable,
    StorageFull,
    StorageReadOnly,
)
from dialoguedb.store.protocol import WallBroken

log = logging.getLogger("dialoguedb.store")


def translated(error: BaseException) -> BaseException:
    """Say what a failure of SQLite means to the caller; other errors stay as they are."""
    if isinstance(error, apsw.FullError):
        return StorageFull()
    if isinstance(error, apsw.ReadOnlyError | apsw.PermissionsError):
        return StorageReadOnly()
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return ServiceUnavailable("Another process is writing to the database; try again")
    if isinstance(error, apsw.IOError | apsw.CantOpenError):
        log.error("the disk failed: %s", error)
        return ServiceUnavailable("The disk did not take or give the data; nothing was stored")
    emptied = isinstance(error, apsw.SQLError) and "no such table" in str(error)
    if emptied or isinstance(error, apsw.CorruptError | apsw.NotADBError):
        log.critical("the database file is damaged: %s", error)
        return ServiceUnavailable("The database file is damaged; restore a backup")
    if isinstance(error, DialogueDBError):
        return error
    if isinstance(error, WallBroken):
        log.critical("a wall between spaces held: %s", error)
    log.error("a work failed", exc_info=error)
    return InternalError()
