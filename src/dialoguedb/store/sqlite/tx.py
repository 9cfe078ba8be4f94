"""Transactions on SQLite."""

from collections.abc import Generator, Mapping, Sequence
from typing import Self

from dialoguedb.runtime import Runtime
from dialoguedb.search.finding import Probe, find
from dialoguedb.search.results import Hit
from dialoguedb.store.protocol import Param, Query, Reach, Row, Scope
from dialoguedb.store.sqlite.index import SearchIndex
from dialoguedb.store.sqlite.session import Session
from dialoguedb.store.tx import NO_SPACE, Bounds, BoundTx


class Tx(BoundTx):
    """A transaction on a connection to SQLite."""

    dialect = "sqlite"
    index_tables = ("blocks", "changes")

    def __init__(
        self,
        session: Session,
        scope: Reach,
        runtime: Runtime,
        index: SearchIndex,
        most_bytes: int | None = None,
    ) -> None:
        super().__init__(scope, runtime, most_bytes)
        self._session = session
        self._index = index

    def _rows(self, sql: str, params: Mapping[str, Param]) -> list[Row]:
        return self._session.all(sql, params)

    def _rows_of_many(self, sql: str, sets: Sequence[Mapping[str, Param]]) -> list[Row]:
        return self._session.many(sql, sets)

    def _insert(self, sql: str, rows: Sequence[Row]) -> None:
        self._session.insert(sql, rows)

    def put(self, statement: str, sets: Sequence[dict[str, Param]]) -> None:
        """See `protocol.WriteTx`."""
        self._session.many(self._statements[statement].sql, sets)

    def _stream(
        self, sql: str, params: Mapping[str, Param], bounds: Bounds
    ) -> Generator[Row, None, None]:
        return self._session.rows(sql, params)

    def run(self, statement: str, **params: Param) -> int:
        """See `protocol.WriteTx`."""
        self.all(statement, **params)
        return self._session.connection.changes()

    def foresee(self, asked: Sequence[tuple[str, dict[str, Param]]]) -> None:
        """See `protocol.ReadTx`: no statement waits."""

    def search(self, query: Query) -> list[Hit]:
        """See `protocol.ReadTx`."""
        if self._catalogue_only or (self._project is None and self._space == NO_SPACE):
            return []
        project_id = (self._project or self.scope).project_id
        shelf, generation = self._index.shelf(self._session, project_id)
        if shelf is None:
            return []
        probe = Probe(
            query.kind,
            query.terms,
            self._index.vector(generation, query.text),
            query.conditions,
            None if self._project else self._space,
            query.limit,
        )
        return find(shelf, probe)

    def _beside(self, scope: Scope) -> Self:
        return type(self)(self._session, scope, self.runtime, self._index, self._most_bytes)
