"""Room at the end of the log, made before it is needed.

A commit that makes the log's file longer waits for the file system's own journal besides its data:
one page takes twice as long to reach the disk as in a file that is long enough (decision 0011).
SQLite's log is as long as it has ever been, so only the first 64 MiB after each opening would be
slow; but that is all there is of a program that opens a file and writes a few messages.
"""

import os
from pathlib import Path

#: Zeros are written in pieces of this size, and when less than a large commit is left.
PIECE_BYTES = 1024 * 1024
RESERVE_BYTES = 256 * 1024
#: As in SQLite's file format, section 4.1: of the log, and of each page in it.
HEADER_BYTES = 32
FRAME_BYTES = 24 + 4096


class Room:
    """Keeps the log's file longer than the log."""

    def __init__(self, path: Path) -> None:
        """Make it for the log of a database file."""
        self._log = f"{path}-wal"
        self._used = 0
        self._size = 0

    def committed(self, pages: int) -> None:
        """Take note of a commit: the log has so many pages now."""
        used = HEADER_BYTES + pages * FRAME_BYTES
        if used < self._used:
            self._size = 0  # it has begun anew, and may have been cut
        self._used = used

    def make(self) -> None:
        """Make room if little is left. Only inside a write transaction: nobody else writes then.

        Zeros are no frames: whoever reads the log ends before them. Without room a commit takes
        longer, so what cannot be had is done without.
        """
        if self._used + RESERVE_BYTES <= self._size:
            return
        try:
            log = os.open(self._log, os.O_WRONLY)
        except OSError:
            return
        try:
            self._size = os.fstat(log).st_size
            while self._used + RESERVE_BYTES > self._size:
                self._size += os.pwrite(log, bytes(PIECE_BYTES), self._size)
        except OSError:
            self._size = 2**63  # the disk is full: not every commit shall try
        finally:
            os.close(log)
