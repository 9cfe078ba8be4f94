"""Statements that travel to PostgreSQL together, each prepared once for a connection.

They are sent as one pipeline of the protocol, and all their answers are waited for once. psycopg
does the conversation with the server and the values; its cursors are left out: they cost as much
for each statement as the server does.
"""

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, NamedTuple

import psycopg
from psycopg import generators
from psycopg.abc import Transformer
from psycopg.adapt import PyFormat
from psycopg.adapt import Transformer as NewTransformer
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult

from dialoguedb.store.protocol import Row

_FAILED = (ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE)
#: A statement that has been prepared is there no more, or would give rows of other types.
_UNKNOWN = (psycopg.errors.InvalidSqlStatementName, psycopg.errors.FeatureNotSupported)
_BINARY = Format.BINARY
#: The type of a value that says nothing of its type, such as None.
_ANY = 0


class Sent(NamedTuple):
    """A statement that is to be run.

    Attributes:
        sql: with `$1`.
        params: its parameters.
        prepared: whether the server keeps it; else it is planned for these values alone.
    """

    sql: str
    params: Sequence[Any] = ()
    prepared: bool = True


class Answer(NamedTuple):
    """What a statement gave.

    Attributes:
        rows: its rows; none if it is not one that returns rows.
        changed: how many rows it was about.
        status: the server's word for what it did, such as COMMIT.
    """

    rows: list[Row]
    changed: int
    status: str


class _Prepared(NamedTuple):
    """A statement that the server knows by a name.

    Attributes:
        name: the name.
        types: of its parameters; `_ANY` where the server had to find out.
    """

    name: bytes
    types: tuple[int, ...]


class _Command(NamedTuple):
    """What is told libpq.

    Attributes:
        send: tells it.
        place: that of the statement it is for.
        prepares: what the server knows when it has answered; None for what is run.
    """

    send: Callable[[], None]
    place: int
    prepares: tuple[str, _Prepared] | None


class Pipeline:
    """The statements of one connection. For one thread at a time."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        """Make it, with nothing prepared."""
        self._connection = connection
        self._transformer: Transformer = NewTransformer(connection)
        self._prepared: dict[str, _Prepared] = {}
        self._names = 0
        #: Which of the statements that were run last has failed; None for none of them.
        self.failed: int | None = None

    def run(self, sent: Sequence[Sent]) -> list[Answer]:
        """Run statements in their order and give what each of them gave.

        Args:
            sent: the statements. One of them that fails ends it: those after it are not run.
        Raises:
            psycopg.Error: one of them has failed, or the connection is lost.
        """
        self.failed = None
        # Fails as psycopg does where the connection has been closed.
        self._connection._check_connection_ok()
        commands: list[_Command] = []
        new: dict[str, _Prepared] = {}
        for place, one in enumerate(sent):
            commands += self._commands(place, one, new)
        try:
            answers = self._answers(commands, self._exchange(commands))
        except _UNKNOWN as error:
            # Somebody has taken them away, or a table is another one. A new connection knows.
            self._connection.close()
            raise psycopg.OperationalError("the server has other statements by now") from error
        self.failed = None
        return answers

    def _answers(
        self, commands: Sequence[_Command], found: Sequence[Sequence[PGresult]]
    ) -> list[Answer]:
        """Read what commands gave, up to the first that has failed."""
        answers = []
        for command, results in zip(commands, found, strict=True):
            self.failed = command.place
            answer = self._answer(results)
            if command.prepares is None:
                answers.append(answer)
            else:
                sql, there = command.prepares
                self._prepared[sql] = there
        return answers

    def _commands(
        self, place: int, sent: Sent, new: dict[str, _Prepared]
    ) -> Generator[_Command, None, None]:
        """Give what is to be told libpq for a statement; `new` is to hold what it prepares."""
        sql, params, prepared = sent
        transformer, pgconn = self._transformer, self._connection.pgconn
        values = transformer.dump_sequence(params, [PyFormat.AUTO] * len(params))
        types, formats = transformer.types or (), transformer.formats
        if not params:
            types, formats = (), None
        if not prepared:
            query = sql.encode()
            sending = partial(pgconn.send_query_params, query, values, types, formats, _BINARY)
            yield _Command(sending, place, None)
            return
        there = new.get(sql) or self._prepared.get(sql)
        if there is None or not _fit(types, there.types):
            self._names += 1
            there = new[sql] = _Prepared(b"dialoguedb_%d" % self._names, _merged(types, there))
            preparing = partial(pgconn.send_prepare, there.name, sql.encode(), there.types)
            yield _Command(preparing, place, (sql, there))
        sending = partial(pgconn.send_query_prepared, there.name, values, formats, _BINARY)
        yield _Command(sending, place, None)

    def _exchange(self, commands: Sequence[_Command]) -> list[list[PGresult]]:
        """Send it all, and give the results of each command."""
        connection = self._connection
        pgconn = connection.pgconn
        pgconn.enter_pipeline_mode()
        try:
            results = connection.wait(_conversation(pgconn, commands))
        except BaseException:
            # What is still under way would be taken for the answers of what comes next.
            connection.close()
            raise
        pgconn.exit_pipeline_mode()
        return results

    def _answer(self, results: Sequence[PGresult]) -> Answer:
        """Read what a command gave.

        Raises:
            psycopg.Error: it is that of a failure, or there is none: the connection is lost.
        """
        if not results:
            raise psycopg.OperationalError("the connection was lost before the answer came")
        result = results[-1]
        if result.status in _FAILED:
            raise psycopg.errors.error_from_result(result, self._transformer.encoding)
        rows: list[Row] = []
        if result.status == ExecStatus.TUPLES_OK:
            self._transformer.set_pgresult(result)
            rows = self._transformer.load_rows(0, result.ntuples, tuple)
        said = result.command_status
        return Answer(rows, result.command_tuples or 0, said.decode() if said else "")


def _conversation(
    pgconn: PGconn, commands: Sequence[_Command]
) -> Generator[Any, Any, list[list[PGresult]]]:
    """Send commands, and wait until each of them has been answered."""
    for command in commands:  # libpq keeps what the network does not take yet
        command.send()
    pgconn.pipeline_sync()
    yield from generators.send(pgconn)
    results = []
    for _ in commands:
        results.append((yield from generators.fetch_many(pgconn)))
    yield from generators.fetch_many(pgconn)  # that of the end
    return results


def _fit(types: Sequence[int], prepared: Sequence[int]) -> bool:
    """Tell whether values of some types can be sent to a statement that has been prepared."""
    if types == prepared:
        return True
    return all(one in (_ANY, other) for one, other in zip(types, prepared, strict=True))


def _merged(types: Sequence[int], there: _Prepared | None) -> tuple[int, ...]:
    """Give the types for a statement that both these values and those before can be sent to."""
    if there is None:
        return tuple(types)
    return tuple(one or other for one, other in zip(types, there.types, strict=True))
