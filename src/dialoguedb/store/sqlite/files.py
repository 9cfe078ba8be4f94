"""SQLite files: where they are, how they are opened, and what a person is told when they cannot be.

Nothing is changed in a file that is not ours, that a newer release wrote, or whose key is wrong.
"""

import os
import re
import time
from pathlib import Path
from typing import NamedTuple

import apsw

from dialoguedb.errors import StoreError
from dialoguedb.runtime import Runtime, monotonic_s
from dialoguedb.store import ledger

#: "DDB1": says in the file's header whose it is.
APPLICATION_ID = 0x44444231
BUSY_TIMEOUT_MS = 10_000
_RETRY_S = 0.01
CACHE_KIB = 16 * 1024
KEY_BYTES = 32
#: Of SQLite's write-ahead log (its file format, section 4.1).
_LOG_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_PLAIN_HEADER = b"SQLite format 3\0"
#: How long to wait before looking again whether another process has done with its write. SQLite's
#: own waits grow to 100 ms, and meet the gap between two commits of a busy writer by luck only.
_POLL_S = 0.001
#: The files that are open, by device and number: in which process, and how often. A fork copies it
#: with SQLite's own list of them, by which a child would take the parent's locks for its own.
_open_files: dict[tuple[int, int], tuple[int, int]] = {}


def be_patient(connection: apsw.Connection) -> None:
    """Let a connection wait for other processes that write, up to `BUSY_TIMEOUT_MS` each time."""
    began_s = 0.0

    def wait(calls_before: int) -> bool:
        nonlocal began_s
        if calls_before == 0:
            began_s = monotonic_s()
        time.sleep(_POLL_S)
        return (monotonic_s() - began_s) * 1000 < BUSY_TIMEOUT_MS

    connection.set_busy_handler(wait)


class SqliteFile(NamedTuple):
    """A database file.

    Attributes:
        path: where it is.
        key: 32 bytes for encryption at rest; None for a plain file.
    """

    path: Path
    key: bytes | None = None

    def open_writer(self, runtime: Runtime) -> apsw.Connection:
        """Open the file for writing, make it if it is not there, and migrate its schema.

        Raises:
            StoreError: with what is wrong and what to do.
        """
        self._check_place()
        self.check_not_forked()
        new = not self.path.exists() or self.path.stat().st_size == 0
        try:
            if new:  # it will hold conversations: for this user only, and so its log beside it
                os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
        except OSError as error:
            raise StoreError(f"{self.path} cannot be made: {error.strerror}") from None
        try:
            connection = self._open(apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
            self._migrate(connection, runtime)
        except apsw.Error as error:
            raise self._explained(error) from error
        if self.key is not None and new:
            self._check_encrypted()
        self._count(1)
        return connection

    def closed(self, identity: tuple[int, int] | None) -> None:
        """Take note that all connections of one who wrote are closed."""
        self._count(-1, identity)

    def _count(self, change: int, identity: tuple[int, int] | None = None) -> None:
        identity = identity or self.identity()
        if identity is not None:
            _, count = _open_files.get(identity, (0, 0))
            _open_files[identity] = (os.getpid(), count + change)
            if count + change < 1:
                del _open_files[identity]

    def check_not_forked(self) -> None:
        """Refuse a file that is open in the process from which this one was forked.

        Raises:
            StoreError: it is: SQLite cannot be used on both sides, also not by opening it again.
        """
        process, count = _open_files.get(self.identity() or (0, 0), (os.getpid(), 0))
        if count and process != os.getpid():
            raise StoreError(
                f"this process was forked from one that has {self.path} open, and SQLite cannot be "
                "used on both sides of a fork: open it after the fork only, or start processes "
                "anew (multiprocessing: spawn), or let all of them use a server"
            )

    def identity(self) -> tuple[int, int] | None:
        """Give device and number of the file at the path; None when there is none."""
        try:
            there = self.path.stat()
        except OSError:
            return None
        return there.st_dev, there.st_ino

    def open_reader(self) -> apsw.Connection:
        """Open the file for reading only; it must have been opened for writing before."""
        return self._open(apsw.SQLITE_OPEN_READONLY)

    def open_copier(self) -> apsw.Connection:
        """Open the file for copying its log into it; a writer must have opened it before."""
        return self._open(apsw.SQLITE_OPEN_READWRITE)

    def cut_log(self) -> None:
        """Cut the log behind its last commit; the caller holds the write lock.

        Raises:
            apsw.Error, OSError: the disk does not let us.
        """
        reader = self.open_reader()
        try:
            ((_, frames, _),) = reader.execute("PRAGMA wal_checkpoint(NOOP)").fetchall()
            page_bytes = reader.pragma("page_size")
        finally:
            reader.close()
        end = _LOG_HEADER_BYTES + frames * (_FRAME_HEADER_BYTES + page_bytes) if frames else 0
        os.truncate(f"{self.path}-wal", end)

    def _open(self, flags: int) -> apsw.Connection:
        connection = apsw.Connection(str(self.path), flags=flags, statementcachesize=200)
        try:
            if self.key is not None:
                connection.pragma("key", f"raw:{self.key.hex()}")
            be_patient(connection)
            connection.pragma("cache_size", -CACHE_KIB)
            # Without this a statement is compiled anew for each set of values (SQLite is built
            # with STAT4 here): 13 µs instead of 2 for a dialogue (decision 0003).
            connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
            if not flags & apsw.SQLITE_OPEN_READONLY:
                if connection.readonly("main"):
                    raise apsw.ReadOnlyError("the file opens for reading only")
                self._check_owner(connection)
                self._keep_a_log(connection)
                connection.pragma("synchronous", 2)
                connection.pragma("foreign_keys", 1)
                connection.pragma("journal_size_limit", 64 * 1024 * 1024)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_place(self) -> None:
        if self.path.is_dir():
            raise StoreError(f"{self.path} is a directory; name a file")
        if not self.path.parent.is_dir():
            raise StoreError(
                f"the directory {self.path.parent} does not exist; make it, or name another file"
            )
        if self.key is not None and not hasattr(apsw, "mc_version"):
            raise StoreError(
                "encryption needs the package apsw-sqlite3mc, and plain apsw has taken its place; "
                "uninstall apsw and install apsw-sqlite3mc again"
            )

    def _check_owner(self, connection: apsw.Connection) -> None:
        """Refuse a file of another program or of a newer release before anything is written."""
        connection.execute("BEGIN").close()  # one state: another process may be making the file
        try:
            owner = connection.pragma("application_id")
            ((tables,),) = connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchall()
            version = connection.pragma("user_version")
        finally:
            connection.execute("COMMIT").close()
        if owner != APPLICATION_ID and tables:
            raise StoreError(
                f"{self.path} is an SQLite database of another program; name another file"
            )
        newest = ledger.migrations("sqlite")[-1].number
        if version > newest:
            raise StoreError(
                f"{self.path} has schema {version} and this release knows schema {newest}: a newer "
                "release wrote it. Run that release or a later one; nothing was changed"
            )

    def _keep_a_log(self, connection: apsw.Connection) -> None:
        """Turn the log on; SQLite does not wait for another process that does the same."""
        until_s = monotonic_s() + BUSY_TIMEOUT_MS / 1000
        while connection.pragma("journal_mode") != "wal":
            try:
                connection.pragma("journal_mode", "wal")
            except apsw.BusyError:
                if monotonic_s() > until_s:
                    raise
                time.sleep(_RETRY_S)

    def _migrate(self, connection: apsw.Connection, runtime: Runtime) -> None:
        """Apply the migrations that the file has not had, each in a transaction of its own."""
        for step in ledger.migrations("sqlite"):
            connection.execute("BEGIN IMMEDIATE").close()
            try:
                self._apply(connection, step, runtime)
                connection.execute("COMMIT").close()
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK").close()

    def _apply(self, connection: apsw.Connection, step: ledger.Migration, runtime: Runtime) -> None:
        """Apply one migration; inside the transaction, for another process may have just done it.

        Raises:
            StoreError: the file has had a migration of that number, and it was another one.
        """
        if connection.pragma("user_version") < step.number:
            connection.execute(step.sql)
            connection.execute(
                "INSERT INTO migrations (number, name, hash, applied) VALUES (?, ?, ?, ?)",
                (step.number, step.name, step.hash, runtime.now()),
            )
            connection.pragma("user_version", step.number)
            connection.pragma("application_id", APPLICATION_ID)
            return
        known = connection.execute(
            "SELECT hash FROM migrations WHERE number = ?", (step.number,)
        ).fetchone()
        if known != (step.hash,):
            raise StoreError(
                f"migration {step.number} of {self.path} is not the one that this release knows; "
                "the file was made by a changed copy of DialogueDB"
            )

    def _is_plain(self) -> bool:
        with self.path.open("rb") as file:
            return file.read(len(_PLAIN_HEADER)) == _PLAIN_HEADER

    def _check_encrypted(self) -> None:
        if self._is_plain():
            raise StoreError(f"{self.path} was to be encrypted and is not; do not use it")

    def _explained(self, error: apsw.Error) -> StoreError:
        if isinstance(error, apsw.NotADBError | apsw.CorruptError):
            if self.key is not None and self._is_plain():
                return StoreError(
                    f"{self.path} is not encrypted; leave out --db-key-file, or name another file"
                )
            return StoreError(
                f"{self.path} cannot be read: the key is wrong (--db-key-file), the file is "
                "encrypted and no key was given, or it is no DialogueDB database. Nothing was "
                "changed"
            )
        if isinstance(error, apsw.ReadOnlyError | apsw.PermissionsError | apsw.CantOpenError):
            return StoreError(
                f"{self.path} cannot be written: make the file and its directory "
                f"{self.path.parent} writable for this user"
            )
        if isinstance(error, apsw.FullError):
            return StoreError(f"the disk of {self.path} is full; free some space and start again")
        if isinstance(error, apsw.BusyError):
            return StoreError(f"another process holds {self.path}; stop it or try again")
        return StoreError(f"{self.path} cannot be opened: {error}")


def read_key(path: Path) -> bytes:
    """Read a key file: 32 raw bytes or 64 hex digits.

    Raises:
        StoreError: it cannot be read or holds something else.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError(f"the key file {path} cannot be read: {error.strerror}") from None
    if re.fullmatch(rb"\s*[0-9a-fA-F]{64}\s*", data):
        return bytes.fromhex(data.decode())
    if len(data) == KEY_BYTES:
        return data
    raise StoreError(
        f"the key file {path} must hold 32 raw bytes or 64 hex digits; make one with "
        f"`openssl rand -hex 32 > {path}`"
    )
