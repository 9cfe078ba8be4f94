"""What the engine knows of a database: transactions that are bound to a space."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from dialoguedb.runtime import Runtime
from dialoguedb.search.conditions import Conditions
from dialoguedb.search.indexer import Note
from dialoguedb.search.results import Hit

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Param = str | bytes | int | None
Row = tuple[Any, ...]


class Scope(NamedTuple):
    """Where a transaction may look: one namespace of one project; "" is the un-named one."""

    project_id: str
    namespace: str


class WholeProject(NamedTuple):
    """A transaction for a search over all spaces of a project."""

    project_id: str


#: What a transaction is bound to: a space, for a search a project, or the catalogue.
Reach = Scope | WholeProject | None


class Query(NamedTuple):
    """A search.

    Attributes:
        kind: what is sought: MESSAGE, DIALOGUE or MEMORY of `search/entries.py`.
        text: in plain words.
        terms: the words of it, as the analyser gives them.
        conditions: what results must be.
        limit: results at most.
    """

    kind: int
    text: str
    terms: Sequence[str]
    conditions: Conditions
    limit: int


class ReadTx(Protocol):
    """A snapshot. Statements are named (`store/sql`); the space is bound by the store."""

    scope: Scope
    runtime: Runtime

    def one(self, statement: str, **params: Param) -> Row | None:
        """Give the first row, or None."""

    def all(self, statement: str, **params: Param) -> list[Row]:
        """Give all rows; for what is known to be few."""

    def page(
        self, statement: str, *, limit: int, texts: tuple[int, int], **params: Param
    ) -> tuple[list[Row], bool]:
        """Give the rows of a page, and whether there are more.

        A page ends at `limit` rows, or before the row with which it would pass 8 MiB; it holds
        at least one row if there is one (contract 1.5).

        Args:
            statement: one that binds `:limit`.
            limit: rows at most.
            texts: the two columns that can be long.
            params: the other parameters.
        Raises:
            ReadTooLong: the page passes the bytes that this read was allowed.
        """

    def foresee(self, asked: Sequence[tuple[str, dict[str, Param]]]) -> None:
        """Say what will be asked next; where statements wait for a network, it is asked at once.

        Args:
            asked: statements over user data, with the parameters that they will have; of a page
                `limit` is one more than its items.
        """

    def search(self, query: Query) -> list[Hit]:
        """Find resources of the space, or of the project, the best first.

        Fewer than `limit` come only when no more pass the conditions. The index may be ahead of
        this snapshot: what it names may not be found, or not pass.
        """

    def within(self, space_id: int) -> "ReadTx | None":
        """Read in one space of the project, as a search has named it; None when it is gone."""


class WriteTx(ReadTx, Protocol):
    """A transaction that can write. All of it happens, or nothing of it."""

    @property
    def space_id(self) -> int:
        """The number of the space."""

    @property
    def index_tables(self) -> Sequence[str]:
        """The names of the search index's tables that rows of a project are erased from."""

    def insert(self, statement: str, rows: Sequence[Row]) -> None:
        """Store rows; the first value of each is the space, the others as the statement names."""

    def put(self, statement: str, sets: Sequence[dict[str, Param]]) -> None:
        """Store rows of the catalogue, which are new; one that is not fails the work by the end.

        Where statements wait for a network, these do not.
        """

    def run(self, statement: str, **params: Param) -> int:
        """Run a statement that returns no rows; give the number of rows it changed."""

    def many(self, statement: str, rows: Sequence[dict[str, Param]]) -> list[Row]:
        """Run a statement once for each set of parameters; give all rows that come of it."""

    def note(self, note: Note) -> None:
        """Have a change logged and indexed, in this transaction."""

    def after_commit(self, act: Callable[[], None]) -> None:
        """Do something once this is on disk, in the order of commits; not at all if it fails."""


ReadWork = Callable[[ReadTx], T]
#: Waits until a file descriptor can be read (1), written (2) or either (3), or so many seconds have
#: passed; gives what it is ready for, 0 for nothing. It may let other code run meanwhile.
WaitFor = Callable[[int, int, float], int]
WriteWork = Callable[[WriteTx], T]


class Outcome(NamedTuple):
    """How a submitted work ended: with a result or with an error."""

    token: Any
    result: Any
    error: BaseException | None


#: Told of all works of one commit that were submitted with it, by the store's own thread.
Resolver = Callable[[Sequence[Outcome]], None]


class Job(NamedTuple):
    """A work that is submitted.

    Attributes:
        scope: its space; None for the catalogue.
        work: a function of the transaction. It may be run again, so it must have no effect but
            its transaction.
        token: comes back with the outcome.
        resolver: told the outcome, with those of the same commit.
        apart: names of all that it looks at or changes in its space, such as a dialogue. Works
            that share none may run side by side; one that names nothing is run before or after all
            others of its space.
        long: whether it may take long; others are not kept waiting for its end, if that can be.
    """

    scope: Reach
    work: WriteWork[Any]
    token: Any
    resolver: Resolver
    apart: tuple[str, ...] = ()
    long: bool = False


class SearchStanding(NamedTuple):
    """How search stands: by which embedder, and how many resources wait for their vectors."""

    embedder: str
    lag: int


class Snapshot(Protocol):
    """One state of the database, for several reads in one thread. Close it soon."""

    def read(self, scope: Reach, work: ReadWork[T]) -> T:
        """Run a work on it; see `Store.read`."""

    def side_by_side(self, acts: Sequence[Callable[[], T]]) -> list[T]:
        """Run acts that read from it; where statements wait for a network, they wait together.

        Args:
            acts: independent of each other. Each may be broken off, and be run again alone.
        Raises:
            Exception: what the first of them that fails raises; the others are broken off.
        """

    def close(self) -> None:
        """Let go of it."""


class Store(Protocol):
    """A database. Work travels to it; only it begins, commits and rolls back.

    Attributes:
        runtime: the clock and ids for the works.
    """

    runtime: Runtime

    @property
    def name(self) -> str:
        """What a person is shown of its address: the file's path, or a URL without its password."""

    @property
    def encrypted(self) -> bool:
        """Whether it lies encrypted on the disk."""

    @property
    def inline(self) -> bool:
        """Whether a short read may run where nobody may wait: no statement waits for a network."""

    def read(self, scope: Reach, work: ReadWork[T], *, after: str | None = None) -> T:
        """Run a work on a snapshot of its own, in the calling thread.

        Args:
            scope: its space, or a project to search in; None for the catalogue.
            work: a function of the transaction.
            after: a position that the snapshot must hold; see `position`.
        """

    def position(self) -> str | None:
        """Give a position that holds all that this process has committed; None if there is none.

        Where reads may come from a replica, one that is told a position holds all before it.
        """

    def snapshot(self, *, most_bytes: int | None = None) -> Snapshot:
        """Take a snapshot; it holds all that had been answered before.

        Args:
            most_bytes: a page that grows beyond this ends its read with `ReadTooLong`.
        """

    def snapshot_at_once(self, wait: WaitFor, *, most_bytes: int) -> Snapshot | None:
        """Take a snapshot where nobody may wait; None if it cannot be had without.

        Args:
            wait: how its reads wait for the network.
            most_bytes: as for `snapshot`.
        """

    def write(self, scope: Reach, work: WriteWork[T]) -> T:
        """Run a work in a transaction and wait until it is on disk."""

    def submit(self, jobs: Sequence[Job], *, here: bool = False) -> None:
        """Have works run, together if that can be; their outcomes are told when on disk.

        Args:
            jobs: the works.
            here: run them now, in the calling thread, if the store is free; only the disk is
                waited for elsewhere. For short works and a thread that must not wait.
        """

    def settle(self) -> None:
        """Wait until all transactions that are under way now, in any process, have ended.

        Raises:
            ServiceUnavailable: one of them takes too long.
        """

    def search_standing(self) -> SearchStanding:
        """Tell how search stands."""

    def look_again(self) -> None:
        """Forget what was remembered of the database: something of it is another now."""

    def check(self) -> None:
        """See whether the database is still where it was opened.

        Raises:
            ServiceUnavailable: it is not.
        """

    def check_not_forked(self) -> None:
        """See whether this is still the process that opened the database.

        Raises:
            StoreError: it was forked from that one, and cannot use what is open there.
        """

    def close(self) -> None:
        """Finish what was submitted, then close the database."""


class ReadTooLong(Exception):
    """A read passed the bytes it was allowed; run it again where it may take longer."""


class WallBroken(Exception):
    """A statement returned a row of another space. It never leaves the store."""
