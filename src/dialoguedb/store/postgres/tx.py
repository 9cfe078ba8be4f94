"""Transactions on PostgreSQL."""

from collections.abc import Generator, Mapping, Sequence
from functools import cache
from typing import Self

from dialoguedb.runtime import Runtime
from dialoguedb.search.entries import DIALOGUE, MESSAGE
from dialoguedb.search.results import Hit
from dialoguedb.store import statements
from dialoguedb.store.postgres.index import EntryIndex
from dialoguedb.store.postgres.search import Searching
from dialoguedb.store.postgres.session import Session
from dialoguedb.store.protocol import Param, Query, Reach, Row, Scope
from dialoguedb.store.statements import ERASING
from dialoguedb.store.tx import NO_SPACE, Bounds, BoundTx

#: Results of a search that are read at once, before they are asked for one by one.
_AHEAD = 16

#: How statements begin that tell how many rows they have changed.
_PLAIN = ("INSERT", "UPDATE", "DELETE")
#: A statement and its parameters.
_Asked = tuple[str, frozenset[tuple[str, Param]]]


class PostgresTx(BoundTx):
    """A transaction on a connection to PostgreSQL."""

    dialect = "postgres"
    index_tables = ("entries", "vectors", "waiting", "figures")

    def __init__(
        self,
        session: Session,
        scope: Reach,
        runtime: Runtime,
        index: EntryIndex,
        most_bytes: int | None = None,
    ) -> None:
        super().__init__(scope, runtime, most_bytes)
        self._session = session
        self._index = index
        #: Whether it has changed anything, or may have.
        self.wrote = False
        self._confined_to: int | None = None
        #: What a search has found: the namespaces it looked into, and answers to what comes next.
        self._namespaces: Mapping[int, str] = {}
        self._ahead: dict[_Asked, list[Row]] = {}
        if self._project is not None:
            session.confine_to_project(self._project.project_id)

    def find_space(self, known: dict[Scope, int]) -> bool:
        """See `BoundTx`."""
        found = super().find_space(known)
        self._confine()
        return found

    def make_space(self, known: dict[Scope, int]) -> None:
        """See `BoundTx`."""
        super().make_space(known)
        self._confine()

    def _confine(self) -> None:
        if self._confined_to != self._space:
            self._confined_to = self._space
            self._session.confine([self._space], self.scope.project_id)

    def all(self, statement: str, **params: Param) -> list[Row]:
        """See `protocol.ReadTx`."""
        if self._session.secured is None:  # each read comes here: it need not even be asked
            return super().all(statement, **params)
        with self._session.looking_after(self._statements[statement]):
            return super().all(statement, **params)

    def _rows(self, sql: str, params: Mapping[str, Param]) -> list[Row]:
        known = self._foreseen(sql, params)
        if known is not None:
            return known
        rows, count = self._session.changed(sql, params)
        if not sql.startswith("SELECT"):
            # One that is plain and has met no row has changed nothing.
            self.wrote = self.wrote or count > 0 or not sql.startswith(_PLAIN)
        return rows

    def foresee(self, asked: Sequence[tuple[str, dict[str, Param]]]) -> None:
        """See `protocol.ReadTx`."""
        if self._session.secured is not None:
            return  # it is told the space statement by statement
        bound = []
        for name, params in asked:
            named = self._statements[name]
            self._bind(named, params)
            bound.append((named, params))
        answers = self._session.ask_all([(named.name, params) for named, params in bound])
        for (named, params), rows in zip(bound, answers, strict=True):
            self._ahead[_asked(named.sql, params)] = rows

    def _foreseen(self, sql: str, params: Mapping[str, Param]) -> list[Row] | None:
        """Give the rows of a statement that has been asked ahead, once; None if it has not."""
        return self._ahead.pop(_asked(sql, params), None) if self._ahead else None

    def _rows_of_many(self, sql: str, sets: Sequence[Mapping[str, Param]]) -> list[Row]:
        self.wrote = True
        return self._session.many(sql, sets)

    def _insert(self, sql: str, rows: Sequence[Row]) -> None:
        self.wrote = True
        for row in rows:
            self._session.later(sql, row)

    def many(self, statement: str, rows: Sequence[dict[str, Param]]) -> list[Row]:
        """See `protocol.WriteTx`."""
        if statement == "claims_take":
            self.put("claims_hold", rows)
        return super().many(statement, rows)

    def put(self, statement: str, sets: Sequence[dict[str, Param]]) -> None:
        """See `protocol.WriteTx`."""
        self.wrote = True
        for params in sets:
            self._session.queue(statement, params)

    def _stream(
        self, sql: str, params: Mapping[str, Param], bounds: Bounds
    ) -> Generator[Row, None, None]:
        known = self._foreseen(sql, params)
        if known is None:
            params = {**params, "most_bytes": bounds.most_bytes}
            rows = self._session.all(_bounded(sql, bounds.texts), params)
            known = [row[:-1] for row in rows]
        yield from known

    def run(self, statement: str, **params: Param) -> int:
        """See `protocol.WriteTx`."""
        self.wrote = True
        named = self._statements[statement]
        space = self._bind(named, params) if named.scoped else NO_SPACE
        if statement.startswith(ERASING):
            self._session.confine_to_project(str(params["project_id"]))
        with self._session.looking_after(named):
            rows, count = self._session.changed(named.sql, params)
        if named.scoped:
            self._checked(rows, named, space)
        return count

    def search(self, query: Query) -> list[Hit]:
        """See `protocol.ReadTx`."""
        if self._catalogue_only or (self._project is None and self._space == NO_SPACE):
            return []
        project_id = (self._project or self.scope).project_id
        space = None if self._project else self._space
        searching = Searching(self._session, self._index, project_id, space)
        hits = searching.find(query)
        self._namespaces = searching.namespaces
        self._read_ahead(searching, hits[:_AHEAD])
        return hits

    def _read_ahead(self, searching: Searching, hits: Sequence[Hit]) -> None:
        """Read what hits name, at once; who has searched asks for it next, one by one."""
        self._ahead.clear()
        places = [place for hit in hits for place in (hit.place, *(m.place for m in hit.matches))]
        said = [place for place in places if place.kind == MESSAGE]
        if said:
            sql = self._statements["messages_at"].sql
            for row in searching.messages(said):
                space_id, dialogue_id, created, sequence, *_ = row
                at = {"dialogue_id": dialogue_id, "created": created, "sequence": sequence}
                self._ahead[_asked(sql, at | {"space": space_id})] = [row]
        others: list[tuple[str, dict[str, Param]]] = [
            (
                "dialogues_get" if place.kind == DIALOGUE else "memories_get",
                {"id": place.owner, "space": place.space_id},
            )
            for place in places
            if place.kind != MESSAGE
        ]
        if others:
            for (name, params), rows in zip(others, self._session.ask_all(others), strict=True):
                self._ahead[_asked(self._statements[name].sql, params)] = rows

    def within(self, space_id: int) -> Self | None:
        """See `protocol.ReadTx`; a search has looked the spaces up, in this snapshot."""
        if space_id not in self._namespaces:
            return super().within(space_id)
        project_id = (self._project or self.scope).project_id
        tx = self._beside(Scope(project_id, self._namespaces[space_id]))
        tx._space = space_id
        tx._ahead = self._ahead
        return tx

    def _beside(self, scope: Scope) -> Self:
        return type(self)(self._session, scope, self.runtime, self._index, self._most_bytes)


@cache
def _bounded(sql: str, texts: tuple[int, int]) -> str:
    """Have a statement give what a page takes of it, by `page_bounded`; a column comes last."""
    names = [f"c{number}" for number in range(max(texts) + 1)]
    size = " + ".join(f"COALESCE(octet_length({names[column]}), 0)" for column in texts)
    found = statements.load("postgres")["page_bounded"].sql
    found = found.replace("0 /* size */", f"({size})").replace("c0 /* names */", ", ".join(names))
    return found.replace("(SELECT 0 /* statement */)", f"({sql})")


def _asked(sql: str, params: Mapping[str, Param]) -> _Asked:
    return sql, frozenset(params.items())
