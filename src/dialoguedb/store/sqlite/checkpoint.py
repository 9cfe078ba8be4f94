"""Checkpoints: what the log holds goes into the file beside the writer, not in its way.

SQLite would do it inside a commit, every 1,000 pages, and that commit's callers would wait for all
of it. Here a thread with a connection of its own copies while commits go on. When the log does not
come to an end that way, because commits never pause, one of them does the rest itself.
"""

import logging
import threading

import apsw

from dialoguedb.errors import StoreError
from dialoguedb.store.slot import Bell
from dialoguedb.store.sqlite.files import SqliteFile, be_patient
from dialoguedb.store.sqlite.room import Room

log = logging.getLogger("dialoguedb.store")

#: Pages in the log (64 and 256 MiB) at which the thread begins, and a commit waits for the rest.
#: The ends of busy dialogues are written with each commit and copied once: the longer the log, the
#: less is copied. At 1,000 pages an append cost 10 µs more.
BEGIN_PAGES = 16_000
WAIT_PAGES = 64_000
RESTART_TIMEOUT_MS = 100


class Checkpointer:
    """Copies the log of a file into it, for the connection that it watches."""

    def __init__(self, file: SqliteFile, writer: apsw.Connection, room: Room) -> None:
        """Begin to watch a writer's commits in place of SQLite's own checkpoints."""
        self._file = file
        self._room = room
        self._due = Bell()
        self._closing = False
        self._wait_pages = WAIT_PAGES
        self._thread = threading.Thread(
            target=self._run, name="dialoguedb-checkpoints", daemon=True
        )
        self._thread.start()
        writer.set_wal_hook(self._committed)

    def _committed(self, writer: apsw.Connection, name: str, pages: int) -> int:
        """Take note of a commit: the log has so many pages now."""
        self._room.committed(pages)
        if pages >= self._wait_pages:
            self._restart_log(writer, name, pages)
        elif pages >= BEGIN_PAGES:
            self._due.ring()
        return apsw.SQLITE_OK

    def _restart_log(self, writer: apsw.Connection, name: str, pages: int) -> None:
        """Copy the rest, and wait a little for readers to leave the log, so that it begins anew."""
        writer.set_busy_timeout(RESTART_TIMEOUT_MS)
        try:
            writer.wal_checkpoint(name, apsw.SQLITE_CHECKPOINT_RESTART)
            self._wait_pages = WAIT_PAGES
        except apsw.BusyError:  # somebody reads for long: not every commit shall wait for him
            self._wait_pages = pages + BEGIN_PAGES
        except apsw.Error as error:
            log.warning("the log could not be copied: %s", error)
        finally:
            be_patient(writer)

    def _run(self) -> None:
        connection: apsw.Connection | None = None
        while True:
            self._due.wait()
            if self._closing:
                break
            try:
                connection = connection or self._file.open_copier()
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            except apsw.BusyError:
                continue  # another process is copying it
            except (apsw.Error, StoreError) as error:  # the next commit makes it due again
                log.warning("the log could not be copied: %s", error)
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """End the thread; the writer's connection copies the rest when it is closed."""
        self._closing = True
        self._due.ring()
        self._thread.join()
