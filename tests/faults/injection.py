"""Faults for the disk and for statements: the n-th of them fails, once or from then on."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apsw

NAME = "dialoguedb-faults"
#: The disk that SQLite uses without us.
REAL = apsw.vfs_names()[0]


class Plan:
    """Counts calls while it is armed, and says which of them fail.

    Attributes: `calls` so far, `fails_at` (from 1; None never), `lasting` (all later ones too).
    """

    def __init__(self) -> None:
        self.calls = 0
        self.fails_at: int | None = None
        self.lasting = False
        self._lock = threading.Lock()

    def arm(self, fails_at: int, *, lasting: bool) -> None:
        """Begin to count; the call number `fails_at` fails."""
        self.calls, self.fails_at, self.lasting = 0, fails_at, lasting

    def disarm(self) -> None:
        """Let everything succeed from now on."""
        self.fails_at = None

    def due(self) -> bool:
        """Count one call, and say whether it is to fail."""
        if self.fails_at is None:
            return False
        with self._lock:
            self.calls += 1
            return self.calls == self.fails_at or (self.lasting and self.calls > self.fails_at)

    @property
    def struck(self) -> bool:
        """Whether a call has failed."""
        return self.fails_at is not None and self.calls >= self.fails_at


class _File(apsw.VFSFile):
    def __init__(self, plan: Plan, error: type[apsw.Error], name: Any, flags: list[int]) -> None:
        self._plan = plan
        self._error = error
        super().__init__(REAL, name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        if self._plan.due():
            raise self._error("injected write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        # The data has been written; only the promise that it stays is broken.
        if self._plan.due():
            raise apsw.IOError("injected sync")
        super().xSync(flags)


class _Disk(apsw.VFS):
    def __init__(self, plan: Plan, error: type[apsw.Error]) -> None:
        self._plan = plan
        self._error = error
        super().__init__(NAME, REAL, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _File(self._plan, self._error, name, flags)


@contextmanager
def failing_disk(plan: Plan, error: type[apsw.Error]) -> Iterator[None]:
    """Put a disk under SQLite that fails as the plan says, for files opened inside."""
    disk = _Disk(plan, error)
    try:
        yield
    finally:
        disk.unregister()
