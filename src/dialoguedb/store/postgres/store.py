"""PostgreSQL: writer threads that group works into commits, and readers on snapshots.

Any number of processes work on one database. None relies on a lock of its own: each transaction
sees one state of the database (REPEATABLE READ), and one that would change what another has changed
meanwhile is run again.
"""

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress

import psycopg

from dialoguedb.embed import open_embedder
from dialoguedb.errors import ServiceUnavailable, StoreError
from dialoguedb.models.positions import newest
from dialoguedb.runtime import Runtime
from dialoguedb.store.embedders import Embedders, OpenEmbedder
from dialoguedb.store.postgres.failing import SilentError, is_gone, translated, unopened
from dialoguedb.store.postgres.index import EntryIndex, active
from dialoguedb.store.postgres.pool import Address, Pool, connection_of
from dialoguedb.store.postgres.replica import ElsewhereError, Replica
from dialoguedb.store.postgres.session import BEGIN_READ, Session
from dialoguedb.store.postgres.settling import settle
from dialoguedb.store.postgres.tx import PostgresTx
from dialoguedb.store.postgres.writer import Writer
from dialoguedb.store.protocol import (
    Job,
    Reach,
    ReadWork,
    Scope,
    SearchStanding,
    T,
    WaitFor,
    WriteWork,
)
from dialoguedb.store.slot import Slot, tell_slots
from dialoguedb.store.upkeep.distributing import is_distributed
from dialoguedb.store.upkeep.migrating import administered, ensure_graphs, has_graph, prepare

log = logging.getLogger("dialoguedb.store")

#: Connections of one process unless a setting says otherwise, and of them those that write.
CONNECTIONS = 8
_WRITERS = 3
#: How long a request may wait for the database, seconds.
TIMEOUT_S = 10.0
#: How long older transactions may take, seconds.
_SETTLED_S = 60.0
#: Spaces whose numbers are remembered; a number never becomes another space's.
_SPACES = 100_000


class _Snapshot:
    """One state of the database, for any number of reads in one thread. See `protocol.Snapshot`."""

    __slots__ = ("_most_bytes", "_pool", "_session", "_store")

    def __init__(
        self,
        store: "PostgresStore",
        pool: Pool,
        most_bytes: int | None = None,
        session: Session | None = None,
    ) -> None:
        """Take it.

        Args:
            store: whose.
            pool: where its connection comes from, and goes to when it is closed.
            most_bytes: see `protocol.Store.snapshot`.
            session: the connection, if it has been taken.
        """
        self._store = store
        self._pool = pool
        self._most_bytes = most_bytes
        self._session: Session = session or pool.take()
        self._session.begin(BEGIN_READ)

    def read(self, scope: Reach, work: ReadWork[T]) -> T:
        """See `protocol.Snapshot`."""
        store = self._store
        tx = PostgresTx(self._session, scope, store.runtime, store.index, self._most_bytes)
        if isinstance(scope, Scope) and tx.find_space(store.spaces):
            tx.remember_space(store.spaces)
        return work(tx)

    def side_by_side(self, acts: Sequence[Callable[[], T]]) -> list[T]:
        """See `protocol.Snapshot`."""
        return self._session.side_by_side(acts)

    def close(self) -> None:
        """See `protocol.Snapshot`."""
        try:
            self._session.undo()
        except psycopg.Error:
            self._session.close()
        connection_of(self._session).waiting = None
        self._pool.give_back(self._session)


class _Told:
    """A snapshot whose failures are told as the store's."""

    __slots__ = ("_inner", "_pool")

    def __init__(self, inner: _Snapshot, pool: Pool) -> None:
        self._inner = inner
        self._pool = pool

    def read(self, scope: Reach, work: ReadWork[T]) -> T:
        """See `protocol.Snapshot`."""
        try:
            return self._inner.read(scope, work)
        except psycopg.Error as error:
            raise self._told(error) from error

    def side_by_side(self, acts: Sequence[Callable[[], T]]) -> list[T]:
        """See `protocol.Snapshot`; a connection that is lost is the failure of no act."""
        try:
            return self._inner.side_by_side(acts)
        except psycopg.Error as error:
            raise self._told(error) from error

    def _told(self, error: psycopg.Error) -> BaseException:
        if is_gone(error):
            self._pool.forget()
        return translated(error)

    def close(self) -> None:
        """See `protocol.Snapshot`."""
        self._inner.close()


class PostgresStore:
    """A store on PostgreSQL. See `protocol.Store`."""

    #: Each statement waits for the network.
    inline = False
    #: Disks are the database server's own affair.
    encrypted = False

    def __init__(
        self,
        address: Address,
        runtime: Runtime,
        *,
        open_embedder: OpenEmbedder = open_embedder,
        embedder: str = "static",
        connections: int = CONNECTIONS,
        timeout_s: float = TIMEOUT_S,
        replica: Address | None = None,
    ) -> None:
        """Open the database and bring its schema up to date, if that is allowed.

        Args:
            address: where it is.
            runtime: the clock and ids for the works.
            open_embedder: opens the embedder of a setting.
            embedder: the setting for a database that has no search index yet.
            connections: of this process, 2 at least; with a replica so many to it again.
            timeout_s: how long a request may wait for the database.
            replica: a standby that reads may go to.
        Raises:
            StoreError: it cannot be opened; the message says why and what to do.
        """
        self.address = address
        self.runtime = runtime
        role = prepare(address, runtime)
        self.index = EntryIndex(Embedders(open_embedder))
        self.spaces: dict[Scope, int] = {}
        self.writers: list[Writer] = []
        writers = max(1, min(_WRITERS, connections // 2))
        self._pool = Pool(address, role=role, size=max(1, connections - writers), wait_s=timeout_s)
        # What the replica is too slow for, the primary has time for in the same request.
        self._replica = (
            None
            if replica is None
            else Replica(Pool(replica, role=role, size=connections, wait_s=timeout_s / 2))
        )
        self._closed = False
        self._owner = os.getpid()
        try:
            self.writers = [
                Writer(number, _writing_pool(address, role, timeout_s), self)
                for number in range(writers)
            ]
            self.write(None, lambda tx: None)
            with self._pool.session() as session:
                self.generation = self.index.begin(session, embedder)
                graph = has_graph(session.connection, self.generation.number)
                self.index.apart = is_distributed(session.connection)
            if not graph and self.generation.dimension:
                self.make_graph()
        except psycopg.Error as error:
            self.close()
            raise unopened(error, address.shown) from error
        except BaseException:
            self.close()
            raise

    def make_graph(self) -> None:
        """Make the graph of the vectors, if the login may; without it all are compared."""
        with administered(self.address) as connection:
            try:
                ensure_graphs(connection, self.address)
            except psycopg.errors.InsufficientPrivilege:
                log.warning(
                    "the vectors have no graph, and large spaces are searched slowly; run "
                    "`dialoguedb migrate` as the owner"
                )

    @property
    def name(self) -> str:
        """See `protocol.Store`."""
        return self.address.shown

    # ── reads ────────────────────────────────────────────────────────────────────────────────

    def read(self, scope: Reach, work: ReadWork[T], *, after: str | None = None) -> T:
        """See `protocol.Store`."""
        if self._replica is not None:
            with suppress(ElsewhereError):
                return self._read_replica(self._replica, scope, work, after)
        for attempt in (1, 2):
            snapshot = self._snapshot(None)
            try:
                return snapshot.read(scope, work)
            except psycopg.Error as error:
                if is_gone(error):
                    self._pool.forget()  # the others are as old: the database may be back already
                    if attempt == 1 and not isinstance(error, SilentError):
                        continue
                raise translated(error) from error
            finally:
                snapshot.close()
        raise AssertionError

    def _read_replica(
        self, replica: Replica, scope: Reach, work: ReadWork[T], after: str | None
    ) -> T:
        session = replica.take(after)
        snapshot = _Snapshot(self, replica.pool, session=session)
        try:
            return snapshot.read(scope, work)
        except psycopg.Error as error:
            replica.failed(error)
            raise ElsewhereError from error
        finally:
            snapshot.close()

    def snapshot(self, *, most_bytes: int | None = None) -> _Told:
        """See `protocol.Store`."""
        return _Told(self._snapshot(most_bytes), self._pool)

    def snapshot_at_once(self, wait: WaitFor, *, most_bytes: int) -> _Told | None:
        """See `protocol.Store`."""
        if self._closed or self._replica is not None:
            return None
        session = self._pool.take_idle()
        if session is None:
            return None
        connection_of(session).waiting = wait
        return _Told(_Snapshot(self, self._pool, most_bytes, session), self._pool)

    def _snapshot(self, most_bytes: int | None) -> _Snapshot:
        if self._closed:
            raise ServiceUnavailable("The server is shutting down")
        try:
            return _Snapshot(self, self._pool, most_bytes)
        except psycopg.Error as error:
            raise translated(error) from error

    # ── writes ───────────────────────────────────────────────────────────────────────────────

    def write(self, scope: Reach, work: WriteWork[T]) -> T:
        """See `protocol.Store`."""
        slot = Slot()
        self.submit([Job(scope, work, slot, tell_slots)])
        result: T = slot.result()
        return result

    def submit(self, jobs: Sequence[Job], *, here: bool = False) -> None:
        """See `protocol.Store`.

        All go to one writer: the larger its groups, the less each work costs. Only when something
        long holds it up, the others take what comes, each some spaces: it waits for their locks
        alone.
        """
        if self._closed:
            raise ServiceUnavailable("The server is shutting down")
        free = next((writer for writer in self.writers if not writer.held_up), None)
        if free is not None:
            free.take(jobs)
            return
        by_writer: dict[int, list[Job]] = {}
        for job in jobs:
            by_writer.setdefault(hash(job.scope) % len(self.writers), []).append(job)
        for number, its_own in by_writer.items():
            self.writers[number].take(its_own)

    def position(self) -> str | None:
        """See `protocol.Store`."""
        return newest(*(writer.position for writer in self.writers))

    def settle(self) -> None:
        """See `protocol.Store`."""
        try:
            with self._pool.session() as session:
                settle(session, most_s=_SETTLED_S)
        except psycopg.Error as error:
            raise translated(error) from error

    # ── the search index ─────────────────────────────────────────────────────────────────────

    def search_standing(self) -> SearchStanding:
        """See `protocol.Store`; another process may have moved to another index."""
        try:
            with self._pool.session() as session:
                ((lag,),) = session.ask("index_lag")
                current = active(session) or self.generation
        except psycopg.Error as error:
            raise translated(error) from error
        return SearchStanding(current.embedder, lag)

    def look_again(self) -> None:
        """See `protocol.Store`: nothing is remembered that could have become another."""

    def check(self) -> None:
        """See `protocol.Store`: a read tells it."""

    def check_not_forked(self) -> None:
        """See `protocol.Store`."""
        if os.getpid() != self._owner:
            raise StoreError(
                f"the connections to {self.name} are those of the process from which this one was "
                "forked; open the database in this process"
            )

    def close(self) -> None:
        """See `protocol.Store`."""
        if self._closed:
            return
        self._closed = True
        for writer in self.writers:
            writer.close()
        self._pool.close()
        if self._replica is not None:
            self._replica.close()


def _writing_pool(address: Address, role: str, timeout_s: float) -> Pool:
    """Make the pool of a writer: what it holds while it says nothing, others wait for."""
    return Pool(address, role=role, size=1, wait_s=timeout_s, idle_s=2 * timeout_s)
