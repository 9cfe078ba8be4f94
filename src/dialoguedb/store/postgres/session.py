"""A connection to PostgreSQL that is used again and again."""

import bisect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Dumper
from psycopg.pq import Format, TransactionStatus
from psycopg.types.numeric import Int8Dumper

from dialoguedb.store import statements
from dialoguedb.store.postgres.pipeline import Answer, Pipeline, Sent
from dialoguedb.store.postgres.queue import Queue
from dialoguedb.store.postgres.together import Asked, FailedError, Together
from dialoguedb.store.protocol import Row

T = TypeVar("T")

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

    __slots__ = ("_begin", "_pipeline", "_queue", "_together", "connection", "secured")

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
        self._pipeline = Pipeline(connection)
        self._together: Together | None = None

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

    def set(self, statement: str, **params: str) -> None:
        """Have a named statement change settings of the transaction before whatever follows."""
        found = statements.numbered(statements.load("postgres")[statement].sql)
        self.always(found.sql, [params[name] for name in found.names])

    def flush(self) -> None:
        """Run what waits."""
        if self._queue or self._begin:
            self._ask(())

    # ── row-level security ───────────────────────────────────────────────────────────────────

    def confine(self, spaces: Sequence[int], project_id: str) -> None:
        """Say which spaces of which project what follows in the transaction is about."""
        if self.secured is not None:
            shown = "{" + ",".join(map(str, spaces)) + "}"
            self.set("confine_spaces", spaces=shown, project_id=project_id)

    def confine_to_project(self, project_id: str) -> None:
        """Say that it is about all spaces of a project."""
        if self.secured is not None:
            self.set("confine_project", project_id=project_id)

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
        self.set("confine_role", role=f"{self.secured}{UPKEEP}")
        yield
        self.set("confine_role", role=self.secured)

    # ── what is waited for ───────────────────────────────────────────────────────────────────

    def all(self, sql: str, params: Mapping[str, Any]) -> list[Row]:
        """Run a statement and give all its rows."""
        found = statements.numbered(sql)
        return self._run(found, params).rows

    def changed(self, sql: str, params: Mapping[str, Any]) -> tuple[list[Row], int]:
        """Run a statement; give the rows that it returns, if it does, and how many it was about."""
        answer = self._run(statements.numbered(sql), params)
        return answer.rows, answer.changed

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
            sent.append(Sent(found.sql, [params[name] for name in found.names]))
        return [answer.rows for answer in self._ask(sent)]

    def many(self, sql: str, sets: Sequence[Mapping[str, Any]]) -> list[Row]:
        """Run a statement once for each set of parameters and give all its rows."""
        found = statements.numbered(sql)
        sent = [Sent(found.sql, [params[name] for name in found.names]) for params in sets]
        return [row for answer in self._ask(sent) for row in answer.rows]

    def search_all(self, asked: Sequence[tuple[str, Mapping[str, Any]]]) -> list[list[Row]]:
        """Run statements that are planned for these values only, at once; give the rows of each."""
        self.flush()
        sent = []
        for sql, params in asked:
            found = statements.numbered(sql)
            sent.append(Sent(found.sql, [params[name] for name in found.names], prepared=False))
        return [answer.rows for answer in self._ask(sent)]

    def _run(self, found: statements.Numbered, params: Mapping[str, Any]) -> Answer:
        sent = Sent(found.sql, [params[name] for name in found.names])
        return self._ask([sent], overtaking=not self._queue.touches(found.tables))[-1]

    def _ask(self, sent: Sequence[Sent], *, overtaking: bool = False) -> list[Answer]:
        """Send what waits and what is asked at once; give the answers to what is asked."""
        asked = Asked(sent, overtaking)
        if self._together is not None and self._together.is_act:
            return self._together.ask(asked)
        try:
            return self._send([asked])[0]
        except FailedError as failed:
            assert failed.__cause__ is not None
            raise failed.__cause__ from None

    def _send(self, asked: Sequence[Asked]) -> list[list[Answer]]:
        """Send what waits and what several ask for at once; give the answers to each.

        Raises:
            FailedError: a statement has failed.
        """
        sent: list[Sent] = [] if self._begin is None else [Sent(self._begin)]
        self._begin = None
        if not all(one.overtaking for one in asked):
            sent += self._queue.take()
        starts = [len(sent)]
        for one in asked:
            sent += one.sent
            starts.append(len(sent))
        try:
            answers = self._pipeline.run(sent)
        except psycopg.Error as error:
            raise FailedError(_asker(self._pipeline.failed, starts)) from error
        return [answers[start:end] for start, end in itertools.pairwise(starts)]

    def side_by_side(self, acts: Sequence[Callable[[], T]]) -> list[T]:
        """Run acts that read and write by this session; what they ask for travels together.

        An act must not rely on another one: each goes on whenever its answers are there. Row-level
        security is told one space at a time; then they run one after the other.

        Raises:
            Exception: what the first that fails raises; the others may be half done.
        """
        if len(acts) == 1 or self.secured is not None:
            return [act() for act in acts]
        self._together = Together(self._send)
        try:
            return self._together.run(acts)
        finally:
            self._together = None

    # ── transactions ─────────────────────────────────────────────────────────────────────────

    def begin(self, how: str) -> None:
        """Begin a transaction: it travels with its first statement."""
        self._begin = how

    def commit(self, *, tell_position: bool) -> str | None:
        """Commit; give where the log of writes ends then, if that is asked for.

        Raises:
            psycopg.Error: it has not been committed, or nobody can say.
        """
        asked = [Sent("COMMIT")]
        if tell_position:
            asked.append(Sent(statements.load("postgres")["position_now"].sql))
        committed, *told = self._ask(asked)
        if committed.status != "COMMIT":
            raise psycopg.errors.InFailedSqlTransaction(f"the commit ended with {committed.status}")
        return str(told[0].rows[0][0]) if told else None

    def undo(self) -> None:
        """Take back what has been done; the connection is of no use if that fails."""
        self._begin = None
        self._queue.take()
        if self.connection.info.transaction_status != TransactionStatus.IDLE:
            self._pipeline.run([Sent("ROLLBACK")])

    @property
    def usable(self) -> bool:
        """Whether it is open and in no transaction."""
        idle = self.connection.info.transaction_status == TransactionStatus.IDLE
        return not self.connection.closed and idle

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def _asker(failed: int | None, starts: Sequence[int]) -> int | None:
    """Tell whose statement has failed; `starts`: where those of each begin, and the end."""
    if failed is None or failed < starts[0]:
        return None
    return bisect.bisect_right(starts, failed) - 1
