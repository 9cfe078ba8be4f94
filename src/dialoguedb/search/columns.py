"""Columns that grow, and are read while they do.

One thread adds at a time; any number read. A reader takes the size first and looks at nothing
beyond it; what lies before it does not move, since a column that grows takes a new array.
"""

from typing import Any

import numpy as np
import simsimd
from numpy.typing import NDArray

#: Rows of one array of vectors, and of one sorted segment of words: a power of two, 2**16 at most.
SEGMENT = 65_536
_FIRST = 64


class Column:
    """Numbers one after the other."""

    __slots__ = ("array", "size")

    def __init__(self, kind: Any, room: int = _FIRST) -> None:
        self.array: NDArray[Any] = np.zeros(room, kind)
        self.size = 0

    def append(self, value: int) -> None:
        """Add one value."""
        if self.size == len(self.array):
            self._grow(self.size + 1)
        self.array[self.size] = value
        self.size += 1

    def extend(self, values: NDArray[Any]) -> None:
        """Add values behind those there are."""
        end = self.size + len(values)
        if end > len(self.array):
            self._grow(end)
        self.array[self.size : end] = values
        self.size = end

    def _grow(self, least: int) -> None:
        grown = np.zeros(max(least, len(self.array) * 2), self.array.dtype)
        grown[: self.size] = self.array[: self.size]
        self.array = grown

    def first(self, count: int) -> NDArray[Any]:
        """Look at the first `count` values."""
        return self.array[:count]


class Vectors:
    """int8 vectors of one dimension, row by row; a row of zeros stands for no text."""

    __slots__ = ("_chunks", "dimension", "size")

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.size = 0
        self._chunks: list[NDArray[np.int8]] = []

    def extend(self, rows: NDArray[np.int8]) -> None:
        """Add rows, int8 of n x dimension."""
        taken = 0
        while taken < len(rows):
            at = self.size % SEGMENT
            if at == 0:
                # What fills one array will fill another: it need not grow step by step.
                first = SEGMENT if self._chunks else min(_FIRST, SEGMENT)
                self._chunks.append(np.empty((first, self.dimension), np.int8))
            chunk = self._chunks[-1]
            here = min(len(rows) - taken, SEGMENT - at)
            if at + here > len(chunk):
                grown = np.empty(
                    (min(SEGMENT, max(at + here, 2 * len(chunk))), self.dimension), np.int8
                )
                grown[:at] = chunk[:at]
                self._chunks[-1] = chunk = grown
            chunk[at : at + here] = rows[taken : taken + here]
            taken += here
            self.size += here

    def set(self, row: int, vector: NDArray[np.int8]) -> None:
        """Replace a row."""
        self._chunks[row // SEGMENT][row % SEGMENT] = vector

    def row(self, row: int) -> NDArray[np.int8]:
        """Look at a row."""
        found: NDArray[np.int8] = self._chunks[row // SEGMENT][row % SEGMENT]
        return found

    def against(self, vector: NDArray[np.int8], count: int) -> NDArray[np.float32]:
        """Give the inner products of the first `count` rows with a vector, as float32."""
        found = np.empty(count, np.float32)
        for number in range(-(-count // SEGMENT)):
            start = number * SEGMENT
            chunk = self._chunks[number][: count - start]
            found[start : start + len(chunk)] = _inner(vector, chunk)
        return found

    def rows_against(
        self, vector: NDArray[np.int8], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Do the same for some rows, in ascending order."""
        found = np.empty(len(rows), np.float32)
        if not len(rows):
            return found
        for number in range(int(rows[0]) // SEGMENT, int(rows[-1]) // SEGMENT + 1):
            start = number * SEGMENT
            low, high = np.searchsorted(rows, (start, start + SEGMENT))
            if low < high:
                here = rows[low:high] - start
                chunk = self._chunks[number]
                together = here[-1] - here[0] + 1 == len(here)
                part = chunk[here[0] : here[-1] + 1] if together else chunk[here]
                found[low:high] = _inner(vector, part)
        return found


def _inner(vector: NDArray[np.int8], rows: NDArray[np.int8]) -> NDArray[np.float32]:
    if not len(rows):
        return np.empty(0, np.float32)
    found = simsimd.cdist(vector.reshape(1, -1), rows, "dot", out_dtype="float32")
    given: NDArray[np.float32] = np.asarray(found).reshape(-1)
    return given


class Found:
    """Words that were found: where, which, and how often."""

    __slots__ = ("counts", "rows", "which")

    def __init__(self, rows: NDArray[Any], which: NDArray[Any], counts: NDArray[np.uint8]) -> None:
        self.rows = rows
        self.which = which
        self.counts = counts


class WordLists:
    """A list of numbered words for each row, and for full segments of rows the reverse of it."""

    __slots__ = ("_counts", "_ends", "_numbers", "_segments")

    def __init__(self) -> None:
        self._numbers = Column(np.uint32)
        self._counts = Column(np.uint8)
        self._ends = Column(np.int64)
        #: Of each segment, sorted: word, row in the segment, count, in the bits of one number.
        self._segments: list[NDArray[np.uint64]] = []

    def extend(self, numbers: NDArray[Any], counts: NDArray[np.uint8], ends: NDArray[Any]) -> None:
        """Add rows; `ends` are the ends of their parts in `numbers`."""
        start = self._numbers.size
        self._numbers.extend(numbers)
        self._counts.extend(counts)
        self._ends.extend(ends.astype(np.int64) + start)
        while self._ends.size - len(self._segments) * SEGMENT >= SEGMENT:
            self._segments.append(self._sorted(len(self._segments) * SEGMENT))

    def _sorted(self, first: int) -> NDArray[np.uint64]:
        starts, ends = self._parts(np.arange(first, first + SEGMENT))
        start, end = int(starts[0]), int(ends[-1])
        rows = np.repeat(np.arange(SEGMENT, dtype=np.uint64), ends - starts)
        packed = self._numbers.array[start:end].astype(np.uint64) << np.uint64(24)
        packed |= rows << np.uint64(8)
        packed |= self._counts.array[start:end]
        packed.sort()
        return packed

    def _parts(self, rows: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        all_ends = self._ends.array
        ends = all_ends[rows]
        starts = np.where(rows > 0, all_ends[rows - 1], 0)
        return starts, ends

    def among(self, wanted: NDArray[np.uint8], rows: NDArray[Any]) -> Found:
        """Find words in some rows, by reading those rows.

        Args:
            wanted: by word number: 0, or 1 + what is given as `which`.
            rows: in ascending order.
        Returns: `rows` are places in the `rows` that were given.
        """
        starts, ends = self._parts(rows)
        sizes = ends - starts
        total = int(sizes.sum())
        if not total:
            nothing = np.empty(0, np.int64)
            return Found(nothing, nothing, np.empty(0, np.uint8))
        if int(ends[-1] - starts[0]) == total:  # side by side
            places: Any = slice(int(starts[0]), int(ends[-1]))
        else:
            before = np.cumsum(sizes) - sizes
            places = np.repeat(starts - before, sizes) + np.arange(total)
        which = wanted[self._numbers.array[places]]
        hits = np.flatnonzero(which)
        found_rows = np.searchsorted(np.cumsum(sizes), hits, side="right")
        counts = self._counts.array[places][hits]
        return Found(found_rows, which[hits].astype(np.int64) - 1, counts)

    def everywhere(self, words: NDArray[np.int64], wanted: NDArray[np.uint8], count: int) -> Found:
        """Find words in the first `count` rows.

        Args:
            words: their numbers; `which` is a place in it.
            wanted: see `among`.
            count: of rows.
        """
        rows: list[NDArray[Any]] = []
        which: list[NDArray[Any]] = []
        counts: list[NDArray[np.uint8]] = []
        segments = min(len(self._segments), count // SEGMENT)
        for number, segment in enumerate(self._segments[:segments]):
            low = np.searchsorted(segment, words.astype(np.uint64) << np.uint64(24))
            high = np.searchsorted(segment, (words + 1).astype(np.uint64) << np.uint64(24))
            for place in np.flatnonzero(high > low).tolist():
                part = segment[low[place] : high[place]]
                here = (part >> np.uint64(8)).astype(np.int64) & (SEGMENT - 1)
                rows.append(here + number * SEGMENT)
                which.append(np.full(len(part), place, np.int64))
                counts.append(part.astype(np.uint8))
        rest = self.among(wanted, np.arange(segments * SEGMENT, count))
        rows.append(rest.rows + segments * SEGMENT)
        which.append(rest.which)
        counts.append(rest.counts)
        return Found(np.concatenate(rows), np.concatenate(which), np.concatenate(counts))

    def of_row(self, row: int) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
        """Give the words of one row, and how often each occurs."""
        start = int(self._ends.array[row - 1]) if row else 0
        end = int(self._ends.array[row])
        return self._numbers.array[start:end], self._counts.array[start:end]
