"""Figures of several workers, put where each of them can read those of all."""

import os
import struct
import tempfile
import zlib

#: What one worker may put: a thousand times the figures of an operation.
SLOT_BYTES = 1024 * 1024
_HEAD = struct.Struct("<II")
#: Whoever reads while another writes finds half of it; the next look finds it whole.
_LOOKS = 100


class Board:
    """A file without a name, a slot of it for each worker. It is gone when the last one is.

    Only the worker whose slot it is writes to it. There is no lock that one who is killed could
    leave behind: a check sum tells whether what was read is whole.
    """

    def __init__(self, fd: int, number: int, workers: int) -> None:
        """Take part.

        Args:
            fd: the file, see `make_board`.
            number: which worker this is, from 0.
            workers: how many there are.
        """
        self._fd = fd
        self._number = number
        self._last = [b""] * workers

    def put(self, data: bytes) -> None:
        """Replace what this worker has put; what is too long for a slot is left out."""
        if len(data) <= SLOT_BYTES - _HEAD.size:
            slot = _HEAD.pack(len(data), zlib.crc32(data)) + data
            os.pwrite(self._fd, slot, self._number * SLOT_BYTES)

    def own(self) -> bytes:
        """Give what this worker has put, or the one that had its number before; b"" is nothing."""
        return self._at(self._number)

    def all(self) -> list[bytes]:
        """Give what each worker has put, by their numbers."""
        return [self._at(number) for number in range(len(self._last))]

    def _at(self, number: int) -> bytes:
        for _ in range(_LOOKS):
            data = self._look(number)
            if data is not None:
                self._last[number] = data
                break
        return self._last[number]

    def _look(self, number: int) -> bytes | None:
        """Read a slot; None where somebody is writing it."""
        start = number * SLOT_BYTES
        head = os.pread(self._fd, _HEAD.size, start)
        if len(head) < _HEAD.size:
            return b""
        length, sum_ = _HEAD.unpack(head)
        data = os.pread(self._fd, min(length, SLOT_BYTES), start + _HEAD.size)
        return data if len(data) == length and zlib.crc32(data) == sum_ else None


def make_board() -> int:
    """Make the file of a board; the caller closes it."""
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
