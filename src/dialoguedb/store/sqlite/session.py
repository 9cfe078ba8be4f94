"""A connection to SQLite that is used again and again."""

from collections.abc import Generator, Mapping, Sequence

import apsw

from dialoguedb.store import statements
from dialoguedb.store.protocol import Param, Row


class Session:
    """A connection, and cursors that are used again and again.

    A cursor that is left with rows pins an old snapshot; one that is dropped stays in a list of
    the connection's that each later statement walks through; and one that is closed is never freed
    (APSW 3.54). So there are a few, each emptied after use.
    """

    __slots__ = ("_free", "connection", "control")

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        #: Runs what begins and ends transactions.
        self.control = connection.cursor().execute
        self._free: list[apsw.Cursor] = []

    def take(self) -> apsw.Cursor:
        """Take a cursor; it must be put back."""
        return self._free.pop() if self._free else self.connection.cursor()

    def put_back(self, cursor: apsw.Cursor) -> None:
        """Empty a cursor and keep it for the next statement."""
        cursor.execute("")
        self._free.append(cursor)

    def all(self, sql: str, params: Mapping[str, Param]) -> list[Row]:
        """Run a statement and give all its rows."""
        cursor = self.take()
        try:
            rows: list[Row] = cursor.execute(sql, params).fetchall()
        finally:
            self._free.append(cursor)  # it has nothing left
        return rows

    def ask(self, statement: str, **params: Param) -> list[Row]:
        """Run a named statement of the store's own, that is of no space, and give all its rows."""
        return self.all(statements.load("sqlite")[statement].sql, params)

    def many(self, sql: str, sets: Sequence[Mapping[str, Param]]) -> list[Row]:
        """Run a statement once for each set of parameters and give all its rows."""
        cursor = self.take()
        try:
            rows: list[Row] = cursor.executemany(sql, sets).fetchall()
        finally:
            self._free.append(cursor)
        return rows

    def insert(self, sql: str, rows: Sequence[Row]) -> None:
        """Run a statement that gives nothing once for each row; values in the order of names."""
        cursor = self.take()
        try:
            cursor.executemany(sql, rows)
        finally:
            self._free.append(cursor)

    def stream(self, statement: str, **params: Param) -> Generator[Row, None, None]:
        """Run a named statement and give its rows one by one; for what can be many.

        Whoever stops before the end closes it.
        """
        return self.rows(statements.load("sqlite")[statement].sql, params)

    def rows(self, sql: str, params: Mapping[str, Param]) -> Generator[Row, None, None]:
        """Run a statement and give its rows one by one; whoever stops before the end closes it."""
        cursor = self.take()
        try:
            # `yield from` would close the cursor too.
            for row in cursor.execute(sql, params):  # noqa: UP028
                yield row
        finally:
            self.put_back(cursor)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
