"""Transactions: statements run by name, bound to a space, checked on the way out."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import ClassVar, NamedTuple, Self

from dialoguedb.errors import Unauthorized
from dialoguedb.models.limits import MAX_PAGE_BYTES
from dialoguedb.runtime import Runtime
from dialoguedb.search.indexer import Note
from dialoguedb.search.results import Hit
from dialoguedb.store import statements
from dialoguedb.store.protocol import (
    Param,
    Query,
    Reach,
    ReadTooLong,
    Row,
    Scope,
    WallBroken,
    WholeProject,
)

log = logging.getLogger("dialoguedb.store")

#: No space has this number: what is looked for in it is not found.
NO_SPACE = 0
#: Spaces whose numbers are remembered; then all are forgotten.
MAX_SPACES = 100_000


class Bounds(NamedTuple):
    """How much of a statement's rows is taken: what passes a bound tells that there is more.

    Attributes:
        limit: rows at most.
        texts: the two columns that can be long.
        most_bytes: what these may have in all; the first row is taken whatever it has.
    """

    limit: int
    texts: tuple[int, int]
    most_bytes: int


class BoundTx(ABC):
    """A transaction on one connection, bound to one space, or for a search to one project.

    What is here is the same on every engine: the walls between spaces.
    """

    #: Whose statements.
    dialect: ClassVar[str]
    #: What a project's rows of the search index are erased from.
    index_tables: ClassVar[Sequence[str]]

    def __init__(self, scope: Reach, runtime: Runtime, most_bytes: int | None = None) -> None:
        self._statements = statements.load(self.dialect)
        self._catalogue_only = scope is None
        self._project = scope if isinstance(scope, WholeProject) else None
        self._space = NO_SPACE
        self._most_bytes = most_bytes
        self._acts: list[Callable[[], None]] = []
        self.notes: list[Note] = []
        self.scope = scope if isinstance(scope, Scope) else Scope("", "")
        self.runtime = runtime

    # ── what an engine does ──────────────────────────────────────────────────────────────────

    @abstractmethod
    def _rows(self, sql: str, params: Mapping[str, Param]) -> list[Row]:
        """Run a statement and give all its rows."""

    @abstractmethod
    def _rows_of_many(self, sql: str, sets: Sequence[Mapping[str, Param]]) -> list[Row]:
        """Run a statement once for each set of parameters and give all its rows."""

    @abstractmethod
    def _insert(self, sql: str, rows: Sequence[Row]) -> None:
        """Run a statement that gives nothing once for each row; values in the order of names."""

    @abstractmethod
    def put(self, statement: str, sets: Sequence[dict[str, Param]]) -> None:
        """See `protocol.WriteTx`."""

    @abstractmethod
    def _stream(
        self, sql: str, params: Mapping[str, Param], bounds: Bounds
    ) -> Generator[Row, None, None]:
        """Run a statement that binds `:limit` and give its rows one by one; it is closed early.

        Args:
            sql: the statement.
            params: its parameters.
            bounds: what will be taken of the rows; those behind need not come.
        """

    @abstractmethod
    def run(self, statement: str, **params: Param) -> int:
        """See `protocol.WriteTx`."""

    @abstractmethod
    def foresee(self, asked: Sequence[tuple[str, dict[str, Param]]]) -> None:
        """See `protocol.ReadTx`."""

    @abstractmethod
    def search(self, query: Query) -> list[Hit]:
        """See `protocol.ReadTx`."""

    @abstractmethod
    def _beside(self, scope: Scope) -> Self:
        """Give a transaction on the same snapshot for another scope."""

    # ── what all do ──────────────────────────────────────────────────────────────────────────

    @property
    def space_id(self) -> int:
        """The number of the space, NO_SPACE where there is none yet."""
        return self._space

    def find_space(self, known: dict[Scope, int]) -> bool:
        """Bind the space if there is one; `known` holds numbers that are on disk, only those."""
        self._space = known.get(self.scope, NO_SPACE)
        if self._space == NO_SPACE:
            found = self._rows(self._statements["spaces_find"].sql, self.scope._asdict())
            self._space = found[0][0] if found else NO_SPACE
        return self._space != NO_SPACE

    def make_space(self, known: dict[Scope, int]) -> None:
        """Bind the space; a write makes it if it has to."""
        if not self.find_space(known):
            made = self._rows(self._statements["spaces_insert"].sql, self.scope._asdict())
            if not made:
                raise Unauthorized("The project of this key has been deleted")
            self._space = made[0][0]
        if self.scope not in known:
            self.after_commit(lambda: self.remember_space(known))

    def remember_space(self, known: dict[Scope, int]) -> None:
        """Keep the number for those who come later.

        Only for what is on disk: a number that is rolled back goes to another space next.
        """
        if self._space != NO_SPACE:
            if len(known) >= MAX_SPACES:
                known.clear()
            known[self.scope] = self._space

    def one(self, statement: str, **params: Param) -> Row | None:
        """See `protocol.ReadTx`."""
        rows = self.all(statement, **params)
        return rows[0] if rows else None

    def all(self, statement: str, **params: Param) -> list[Row]:
        """See `protocol.ReadTx`."""
        named = self._statements[statement]
        if not named.scoped:
            return self._rows(named.sql, params)
        space = self._bind(named, params)
        return self._checked(self._rows(named.sql, params), named, space)

    def insert(self, statement: str, rows: Sequence[Row]) -> None:
        """See `protocol.WriteTx`."""
        named = self._statements[statement]
        for row in rows:
            if row[0] != self._space or self._space == NO_SPACE:
                raise WallBroken(f"{statement} was to store a row of another space")
        self._insert(named.sql, rows)

    def many(self, statement: str, rows: Sequence[dict[str, Param]]) -> list[Row]:
        """See `protocol.WriteTx`."""
        named = self._statements[statement]
        if not named.scoped:
            return self._rows_of_many(named.sql, rows)
        space = NO_SPACE
        for params in rows:
            space = self._bind(named, params)
        return self._checked(self._rows_of_many(named.sql, rows), named, space)

    def _checked(self, rows: list[Row], named: statements.Statement, space: int) -> list[Row]:
        for row in rows:
            if row[0] != space:
                raise WallBroken(f"{named.name} gave or changed a row of another space")
        return rows

    def page(
        self, statement: str, *, limit: int, texts: tuple[int, int], **params: Param
    ) -> tuple[list[Row], bool]:
        """See `protocol.ReadTx`."""
        named = self._statements[statement]
        space = self._bind(named, params)
        one, other = texts
        most = MAX_PAGE_BYTES if self._most_bytes is None else self._most_bytes
        page: list[Row] = []
        size = 0
        params["limit"] = limit + 1
        rows = self._stream(named.sql, params, Bounds(limit, texts, most))
        try:
            for row in rows:
                if row[0] != space:
                    raise WallBroken(f"{statement} gave a row of another space")
                text, rare = row[one], row[other]
                if text is not None:
                    size += len(text) if text.isascii() else len(text.encode())
                if rare is not None:
                    size += len(rare) if rare.isascii() else len(rare.encode())
                if len(page) == limit:
                    return page, True
                if size > most:
                    if self._most_bytes is not None:
                        raise ReadTooLong
                    if page:
                        return page, True
                page.append(row)
        finally:
            rows.close()
        return page, False

    def _bind(self, named: statements.Statement, params: dict[str, Param]) -> int:
        if self._catalogue_only:
            raise WallBroken(f"{named.name} is over user data and the transaction has no space")
        params["space"] = self._space
        return self._space

    def within(self, space_id: int) -> Self | None:
        """See `protocol.ReadTx`."""
        project_id = (self._project or self.scope).project_id
        found = self._rows(self._statements["index_space"].sql, {"space_id": space_id})
        if not found:
            return None
        if found[0][1] != project_id:
            raise WallBroken(f"a search of project {project_id} gave a row of space {space_id}")
        tx = self._beside(Scope(project_id, found[0][2]))
        tx._space = space_id
        return tx

    def note(self, note: Note) -> None:
        """See `protocol.WriteTx`."""
        self.notes.append(note)

    def after_commit(self, act: Callable[[], None]) -> None:
        """See `protocol.WriteTx`."""
        self._acts.append(act)

    def committed(self) -> None:
        """Do what was to be done after the commit."""
        for act in self._acts:
            try:
                act()
            except Exception:  # it is on disk all the same
                log.exception("what was to follow a commit failed")
