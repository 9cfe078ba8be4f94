"""Statements that wait, brought together: rows for one table become one statement.

A statement may pass another that names none of its tables: neither can see what the other does.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from dialoguedb.store.postgres.pipeline import Sent
from dialoguedb.store.statements import Numbered, with_rows

#: Rows of one statement: powers of two, so that few statements are kept prepared.
_SIZES = (32, 16, 8, 4, 2, 1)


class _Batch(NamedTuple):
    """One statement and the parameters of each time that it is to run."""

    statement: Numbered
    sets: list[Sequence[Any]]


class Queue:
    """See the module. Whoever looks at a table runs what waits for it first."""

    def __init__(self) -> None:
        self._batches: list[_Batch] = []
        self._tables: set[str] = set()
        self._barred = False

    def __bool__(self) -> bool:
        return bool(self._batches)

    def add(self, statement: Numbered, params: Sequence[Any]) -> None:
        """Have a statement run, with others of its kind if nothing between them forbids it."""
        self._tables |= statement.tables
        for batch in reversed(self._batches):
            if batch.statement is statement and statement.values is not None:
                batch.sets.append(params)
                return
            if not batch.statement.tables.isdisjoint(statement.tables) or not batch.statement.names:
                break
        self._batches.append(_Batch(statement, [params]))

    def add_barrier(self, sql: str, params: Sequence[Any] = ()) -> None:
        """Have a statement run that nothing passes."""
        self._batches.append(_Batch(Numbered(sql, (), frozenset()), [params]))
        self._barred = True

    def touches(self, tables: frozenset[str]) -> bool:
        """Tell whether what waits must run before a statement over some tables."""
        return self._barred or not self._tables.isdisjoint(tables)

    def take(self) -> list[Sent]:
        """Take all that wait, as statements in the order in which they are to run."""
        taken = self._batches
        self._batches, self._tables, self._barred = [], set(), False
        return [sent for batch in taken for sent in _statements(batch)]


def _statements(batch: _Batch) -> list[Sent]:
    if batch.statement.values is None or len(batch.sets) == 1:
        return [Sent(batch.statement.sql, params) for params in batch.sets]
    sent: list[Sent] = []
    start = 0
    for size in _SIZES:
        while len(batch.sets) - start >= size:
            rows = batch.sets[start : start + size]
            flat = [value for row in rows for value in row]
            sent.append(Sent(with_rows(batch.statement, size), flat))
            start += size
    return sent
