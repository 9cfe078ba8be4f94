"""Transactions on SQLite: statements run by name, bound to a space, checked on the way out."""

import logging
from collections.abc import Callable, Mapping, Sequence

import apsw

from dialoguedb.errors import Unauthorized
from dialoguedb.models.limits import MAX_PAGE_BYTES
from dialoguedb.runtime import Runtime
from dialoguedb.store import statements
from dialoguedb.store.protocol import Param, ReadTooLong, Row, Scope, WallBroken

log = logging.getLogger("dialoguedb.store")

#: Spaces whose numbers are remembered; then all are forgotten.
MAX_SPACES = 100_000
#: No space has this number: what is looked for in it is not found.
NO_SPACE = 0


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

    def many(self, sql: str, sets: Sequence[Mapping[str, Param]]) -> list[Row]:
        """Run a statement once for each set of parameters and give all its rows."""
        cursor = self.take()
        try:
            rows: list[Row] = cursor.executemany(sql, sets).fetchall()
        finally:
            self._free.append(cursor)
        return rows

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


class Tx:
    """A transaction on one connection, bound to one space."""

    def __init__(
        self,
        session: Session,
        scope: Scope | None,
        runtime: Runtime,
        most_bytes: int | None = None,
    ) -> None:
        self._session = session
        self._statements = statements.load("sqlite")
        self._catalogue_only = scope is None
        self._space = NO_SPACE
        self._most_bytes = most_bytes
        self._acts: list[Callable[[], None]] = []
        self.left: list[tuple[str, dict[str, Param]]] = []
        self.scope = scope or Scope("", "")
        self.runtime = runtime

    def find_space(self, known: dict[Scope, int]) -> bool:
        """Bind the space if there is one; `known` holds numbers that are on disk, only those."""
        self._space = known.get(self.scope, NO_SPACE)
        if self._space == NO_SPACE:
            sql = self._statements["spaces_find"].sql
            found = self._session.all(sql, self.scope._asdict())
            self._space = found[0][0] if found else NO_SPACE
        return self._space != NO_SPACE

    def make_space(self, known: dict[Scope, int]) -> None:
        """Bind the space; a write makes it if it has to."""
        if not self.find_space(known):
            sql = self._statements["spaces_insert"].sql
            made = self._session.all(sql, self.scope._asdict())
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
            return self._session.all(named.sql, params)
        space = self._bind(named, params)
        return self._checked(self._session.all(named.sql, params), named, space)

    def many(self, statement: str, rows: Sequence[dict[str, Param]]) -> list[Row]:
        """See `protocol.WriteTx`."""
        named = self._statements[statement]
        if not named.scoped:
            return self._session.many(named.sql, rows)
        space = NO_SPACE
        for params in rows:
            space = self._bind(named, params)
        return self._checked(self._session.many(named.sql, rows), named, space)

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
        cursor = self._session.take()
        try:
            for row in cursor.execute(named.sql, params):
                if row[0] != space:
                    raise WallBroken(f"{statement} gave a row of another space")
                size += _bytes_of(row[one]) + _bytes_of(row[other])
                if len(page) == limit:
                    return page, True
                if size > most:
                    if self._most_bytes is not None:
                        raise ReadTooLong
                    if page:
                        return page, True
                page.append(row)
        finally:
            self._session.put_back(cursor)
        return page, False

    def _bind(self, named: statements.Statement, params: dict[str, Param]) -> int:
        if self._catalogue_only:
            raise WallBroken(f"{named.name} is over user data and the transaction has no space")
        params["space"] = self._space
        return self._space

    def run(self, statement: str, **params: Param) -> int:
        """See `protocol.WriteTx`."""
        self.all(statement, **params)
        return self._session.connection.changes()

    def later(self, statement: str, **params: Param) -> None:
        """See `protocol.WriteTx`."""
        named = self._statements[statement]
        if named.scoped:
            self._bind(named, params)
        self.left.append((named.sql, params))

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


def _bytes_of(text: str | None) -> int:
    if text is None:
        return 0
    return len(text) if text.isascii() else len(text.encode())
