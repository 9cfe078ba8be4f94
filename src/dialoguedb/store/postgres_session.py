"""A connection to PostgreSQL that is used again and again."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import RawCursor
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Dumper
from psycopg.pq import Format, TransactionStatus
from psycopg.types.numeric import Int8Dumper

from dialoguedb.store import statements
from dialoguedb.store.protocol import Param, Row

#: A write sees one state, and fails when what it changes has changed since: it is run again.
BEGIN_WRITE = "BEGIN ISOLATION LEVEL REPEATABLE READ"
BEGIN_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class Binary:
    """A parameter in the form in which PostgreSQL itself sends its type."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class _BinaryDumper(Dumper):
    """Sends it as it is; the statement says its type."""

    format = Format.BINARY

    def dump(self, obj: Binary) -> Buffer:
        """Give the bytes."""
        return obj.data


def adapters() -> AdaptersMap:
    """Say how values are sent: integers of any size as one type, else each is another statement."""
    found = AdaptersMap(psycopg.adapters)
    found.register_dumper(int, Int8Dumper)
    found.register_dumper(Binary, _BinaryDumper)
    return found


class Session:
    """A connection, and statements that wait to travel with the next one that is waited for.

    Each wait for the network costs as much as several statements do. So what gives no answer that
    somebody needs now goes with what does.
    """

    __slots__ = ("_later", "connection")

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self.connection = connection
        self._later: list[tuple[str, Sequence[Any]]] = []

    def later(self, sql: str, params: Sequence[Any] = ()) -> None:
        """Have a statement run before the next one; an error comes up with that."""
        self._later.append((sql, params))

    def queue(self, statement: str, params: Mapping[str, Any]) -> None:
        """Have a named statement run before the next one; an error comes up with that."""
        found = statements.numbered(statements.load("postgres")[statement].sql)
        self._later.append((found.sql, [params[name] for name in found.names]))

    def all(self, sql: str, params: Mapping[str, Any]) -> list[Row]:
        """Run a statement and give all its rows."""
        found = statements.numbered(sql)
        return self._fetched(found.sql, [params[name] for name in found.names]).fetchall()

    def search(self, sql: str, params: Mapping[str, Any]) -> list[Row]:
        """Run a statement that is planned for these values only, and give all its rows."""
        self.flush()
        found = statements.numbered(sql)
        cursor: RawCursor[Row] = RawCursor(self.connection)
        cursor.execute(
            found.sql, [params[name] for name in found.names], prepare=False, binary=True
        )
        return cursor.fetchall()

    def changed(self, sql: str, params: Mapping[str, Any]) -> tuple[list[Row], int]:
        """Run a statement; give the rows that it returns, if it does, and how many it was about."""
        found = statements.numbered(sql)
        cursor = self._fetched(found.sql, [params[name] for name in found.names])
        rows = [] if cursor.description is None else cursor.fetchall()
        return rows, cursor.rowcount

    def _fetched(self, sql: str, params: Sequence[Any]) -> "RawCursor[Row]":
        if not self._later:
            cursor: RawCursor[Row] = RawCursor(self.connection)
            cursor.execute(sql, params, prepare=True, binary=True)
            return cursor
        return self._together([(sql, params)])[-1]

    def _together(self, further: Sequence[tuple[str, Sequence[Any]]]) -> "list[RawCursor[Row]]":
        """Send what waits and more at once; give the cursors of all."""
        sent = [*self._later, *further]
        self._later.clear()
        cursors: list[RawCursor[Row]] = []
        with self.connection.pipeline():
            for sql, params in sent:
                cursor: RawCursor[Row] = RawCursor(self.connection)
                cursor.execute(sql, params, prepare=bool(params), binary=True)
                cursors.append(cursor)
        return cursors

    def ask(self, statement: str, **params: Any) -> list[Row]:
        """Run a named statement of the store's own, that is of no space, and give all its rows."""
        return self.all(statements.load("postgres")[statement].sql, params)

    def many(self, sql: str, sets: Sequence[Mapping[str, Any]]) -> list[Row]:
        """Run a statement once for each set of parameters and give all its rows."""
        found = statements.numbered(sql)
        sent = [(found.sql, [params[name] for name in found.names]) for params in sets]
        before = len(self._later)
        cursors = self._together(sent)[before:]
        return [row for cursor in cursors if cursor.description for row in cursor.fetchall()]

    def stream(
        self, sql: str, params: Mapping[str, Param], *, many: bool
    ) -> Generator[Row, None, None]:
        """Run a statement and give its rows; of `many`, one by one: most may not be wanted.

        Whoever stops before the end closes it.
        """
        found = statements.numbered(sql)
        values = [params[name] for name in found.names]
        if not many:
            yield from self._fetched(found.sql, values).fetchall()
            return
        self.flush()
        cursor: RawCursor[Row] = RawCursor(self.connection)
        yield from cursor.stream(found.sql, values, binary=True)

    def flush(self) -> None:
        """Run what waits."""
        if self._later:
            self._together(())

    def begin(self, how: str) -> None:
        """Begin a transaction: it travels with its first statement."""
        self.later(how)

    def commit(self, *, tell_position: bool) -> str | None:
        """Commit; give where the log of writes ends then, if that is asked for.

        Raises:
            psycopg.Error: it has not been committed, or nobody can say.
        """
        self.later("COMMIT")
        further = []
        if tell_position:
            further = [(statements.load("postgres")["position_now"].sql, ())]
        cursors = self._together(further)
        ended = cursors[-1 - len(further)].statusmessage
        if ended != "COMMIT":
            raise psycopg.errors.InFailedSqlTransaction(f"the commit ended with {ended}")
        if not tell_position:
            return None
        found = cursors[-1].fetchone()
        return str(found[0]) if found else None

    def undo(self) -> None:
        """Take back what has been done; the connection is of no use if that fails."""
        self._later.clear()
        if self.connection.info.transaction_status != TransactionStatus.IDLE:
            self.connection.execute("ROLLBACK")

    @property
    def usable(self) -> bool:
        """Whether it is open and in no transaction."""
        idle = self.connection.info.transaction_status == TransactionStatus.IDLE
        return not self.connection.closed and idle

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
