"""A connection to PostgreSQL that is used again and again."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import RawCursor
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Dumper
from psycopg.pq import Format, TransactionStatus
from psycopg.types.numeric import Int8Dumper

from dialoguedb.store import statements
from dialoguedb.store.postgres.queue import Queue
from dialoguedb.store.protocol import Param, Row

#: A write sees one state, and fails when what it changes has changed since: it is run again.
BEGIN_WRITE = "BEGIN ISOLATION LEVEL REPEATABLE READ"
BEGIN_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
#: How the name of the role ends that may look after all spaces.
UPKEEP = "_upkeep"


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
    """A connection, and statements that wait to travel together.

    Each wait for the network costs as much as several statements do. So what gives no answer that
    somebody needs now goes with what does.
    """

    __slots__ = ("_begin", "_queue", "_streamed", "connection", "secured")

    def __init__(
        self, connection: "psycopg.Connection[Any]", *, secured: str | None = None
    ) -> None:
        """Make it.

        Args:
            connection: in no transaction.
            secured: the role it works as, if row-level security holds that to its spaces.
        """
        self.connection = connection
        self.secured = secured
        self._begin: str | None = None
        self._queue = Queue()
        self._streamed = False

    # ── what waits ───────────────────────────────────────────────────────────────────────────

    def queue(self, statement: str, params: Mapping[str, Any]) -> None:
        """Have a named statement run before whatever looks at its tables; errors come up then."""
        sql = statements.guarded(statements.load("postgres")[statement].sql)
        found = statements.numbered(sql)
        self._queue.add(found, [params[name] for name in found.names])

    def later(self, sql: str, params: Sequence[Any]) -> None:
        """Do the same with a statement `sql` as it is stored, and parameters in their order."""
        self._queue.add(statements.numbered(sql), params)

    def always(self, sql: str, params: Sequence[Any] = ()) -> None:
        """Have a statement run after all that wait, and before whatever follows."""
        self._queue.add_barrier(sql, params)

    def flush(self) -> None:
        """Run what waits."""
        if self._queue or self._begin:
            self._together(())

    # ── row-level security ───────────────────────────────────────────────────────────────────

    def confine(self, spaces: Sequence[int], project_id: str) -> None:
        """Say which spaces of which project what follows in the transaction is about."""
        if self.secured is not None:
            shown = "{" + ",".join(map(str, spaces)) + "}"
            self._confine("confine_spaces", spaces=shown, project_id=project_id)

    def confine_to_project(self, project_id: str) -> None:
        """Say that it is about all spaces of a project."""
        if self.secured is not None:
            self._confine("confine_project", project_id=project_id)

    def _confine(self, statement: str, **params: str) -> None:
        found = statements.numbered(statements.load("postgres")[statement].sql)
        self.always(found.sql, [params[name] for name in found.names])

    @contextmanager
    def looking_after(self, named: statements.Statement) -> Iterator[None]:
        """Run a statement that may be over all spaces, as the role for that."""
        if self.secured is None or not statements.over_all_spaces(named):
            yield
            return
        if (
            self._begin is None
            and self.connection.info.transaction_status == TransactionStatus.IDLE
        ):
            self.begin(BEGIN_READ)
        self._confine("confine_role", role=f"{self.secured}{UPKEEP}")
        yield
        self._confine("confine_role", role=self.secured)

    # ── what is waited for ───────────────────────────────────────────────────────────────────

    def all(self, sql: str, params: Mapping[str, Any]) -> list[Row]:
        """Run a statement and give all its rows."""
        found = statements.numbered(sql)
        return self._run(found, params).fetchall()

    def changed(self, sql: str, params: Mapping[str, Any]) -> tuple[list[Row], int]:
        """Run a statement; give the rows that it returns, if it does, and how many it was about."""
        cursor = self._run(statements.numbered(sql), params)
        rows = [] if cursor.description is None else cursor.fetchall()
        return rows, cursor.rowcount

    def ask(self, statement: str, **params: Any) -> list[Row]:
        """Run a named statement of the store's own, that is of no space, and give all its rows."""
        named = statements.load("postgres")[statement]
        with self.looking_after(named):
            return self.all(named.sql, params)

    def ask_all(self, asked: Sequence[tuple[str, Mapping[str, Any]]]) -> list[list[Row]]:
        """Run several named statements of the store's own at once; give the rows of each."""
        sent = []
        for statement, params in asked:
            found = statements.numbered(statements.load("postgres")[statement].sql)
            sent.append((found.sql, [params[name] for name in found.names]))
        return [cursor.fetchall() for cursor in self._together(sent)]

    def many(self, sql: str, sets: Sequence[Mapping[str, Any]]) -> list[Row]:
        """Run a statement once for each set of parameters and give all its rows."""
        found = statements.numbered(sql)
        sent = [(found.sql, [params[name] for name in found.names]) for params in sets]
        cursors = self._together(sent)
        return [row for cursor in cursors if cursor.description for row in cursor.fetchall()]

    def search_all(self, asked: Sequence[tuple[str, Mapping[str, Any]]]) -> list[list[Row]]:
        """Run statements that are planned for these values only, at once; give the rows of each."""
        self.flush()
        sent = []
        for sql, params in asked:
            found = statements.numbered(sql)
            sent.append((found.sql, [params[name] for name in found.names]))
        return [cursor.fetchall() for cursor in self._together(sent, prepared=False)]

    def _run(self, found: statements.Numbered, params: Mapping[str, Any]) -> "RawCursor[Row]":
        values = [params[name] for name in found.names]
        overtakes = not self._queue.touches(found.tables)
        if overtakes and self._begin is None:
            return self._cursor().execute(found.sql, values, prepare=True, binary=True)
        return self._together([(found.sql, values)], overtaking=overtakes)[-1]

    def _together(
        self,
        asked: Sequence[tuple[str, Sequence[Any]]],
        *,
        overtaking: bool = False,
        prepared: bool = True,
    ) -> "list[RawCursor[Row]]":
        """Send what waits and what is asked at once; give the cursors of what is asked."""
        if self._streamed:  # libpq would go on row by row in the pipeline, which cannot be
            self._streamed = False
            self._cursor().execute("")
        sent: list[tuple[str, Sequence[Any]]] = [] if self._begin is None else [(self._begin, ())]
        self._begin = None
        if not overtaking:
            sent += self._queue.take()
        cursors = []
        with self.connection.pipeline():
            for sql, params in (*sent, *asked):
                cursor = self._cursor()
                cursor.execute(sql, params, prepare=prepared and bool(params), binary=True)
                cursors.append(cursor)
        return cursors[len(sent) :]

    def _cursor(self) -> "RawCursor[Row]":
        return RawCursor(self.connection)

    def stream(
        self, sql: str, params: Mapping[str, Param], *, many: bool
    ) -> Generator[Row, None, None]:
        """Run a statement and give its rows; of `many`, one by one: most may not be wanted.

        Whoever stops before the end closes it.
        """
        found = statements.numbered(sql)
        if not many:
            yield from self._run(found, params).fetchall()
            return
        self.flush()
        values = [params[name] for name in found.names]
        self._streamed = True
        yield from self._cursor().stream(found.sql, values, binary=True)

    # ── transactions ─────────────────────────────────────────────────────────────────────────

    def begin(self, how: str) -> None:
        """Begin a transaction: it travels with its first statement."""
        self._begin = how

    def commit(self, *, tell_position: bool) -> str | None:
        """Commit; give where the log of writes ends then, if that is asked for.

        Raises:
            psycopg.Error: it has not been committed, or nobody can say.
        """
        asked: list[tuple[str, Sequence[Any]]] = [("COMMIT", ())]
        if tell_position:
            asked.append((statements.load("postgres")["position_now"].sql, ()))
        committed, *told = self._together(asked)
        if committed.statusmessage != "COMMIT":
            raise psycopg.errors.InFailedSqlTransaction(
                f"the commit ended with {committed.statusmessage}"
            )
        found = told[0].fetchone() if told else None
        return str(found[0]) if found else None

    def undo(self) -> None:
        """Take back what has been done; the connection is of no use if that fails."""
        self._begin = None
        self._queue.take()
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
