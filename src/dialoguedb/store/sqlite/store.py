"""SQLite: one writer thread that groups works into commits, and readers on snapshots.

An answer to a write means that it is on disk: a group of works is one transaction, a savepoint
each, committed with `synchronous=FULL`, and only then are the outcomes told.
"""

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from copy import copy
from typing import NamedTuple

import apsw

from dialoguedb.embed import Embedder, open_embedder
from dialoguedb.errors import ServiceUnavailable
from dialoguedb.runtime import Runtime
from dialoguedb.search.parts import burden_of
from dialoguedb.store.embedders import OpenEmbedder
from dialoguedb.store.protocol import (
    Job,
    Outcome,
    Reach,
    ReadWork,
    Resolver,
    Scope,
    SearchStanding,
    T,
    WaitFor,
    WriteWork,
)
from dialoguedb.store.slot import Slot, tell_slots
from dialoguedb.store.sqlite.checkpoint import Checkpointer
from dialoguedb.store.sqlite.failing import translated
from dialoguedb.store.sqlite.files import SqliteFile, be_patient
from dialoguedb.store.sqlite.index import SearchIndex, Waiting, Written, active
from dialoguedb.store.sqlite.packing import Packer
from dialoguedb.store.sqlite.room import Room
from dialoguedb.store.sqlite.session import Session
from dialoguedb.store.sqlite.tx import Tx

log = logging.getLogger("dialoguedb.store")

#: Characters of a group's texts up to which they are indexed in the thread that runs the works; it
#: costs a fifth of an append less there than in the writer thread, which takes turns with it.
INDEXED_HERE = 65_536
#: Works in one commit at most: bounds how long the first of them waits for the others.
MAX_GROUP = 128
#: How often what a failed commit left is tried to be taken away; each waits for other writers.
_BURIALS = 3


class _Snapshot:
    """One state of the file, for any number of reads in one thread. See `protocol.Snapshot`."""

    __slots__ = ("_most_bytes", "_store", "session")

    def __init__(self, store: "SqliteStore", session: Session, most_bytes: int | None) -> None:
        self._store = store
        self.session = session
        self._most_bytes = most_bytes

    def read(self, scope: Reach, work: ReadWork[T]) -> T:
        """See `protocol.Snapshot`."""
        store = self._store
        tx = Tx(self.session, scope, store.runtime, store.index, self._most_bytes)
        try:
            if isinstance(scope, Scope) and tx.find_space(self._store.spaces):
                tx.remember_space(self._store.spaces)
            return work(tx)
        except apsw.Error as error:
            raise translated(error) from error

    def side_by_side(self, acts: Sequence[Callable[[], T]]) -> list[T]:
        """See `protocol.Snapshot`; no statement waits."""
        return [act() for act in acts]

    def close(self) -> None:
        """See `protocol.Snapshot`."""
        self._store.give_back(self.session)


class _Done(NamedTuple):
    """Works that have been run in the transaction that is open, and what it has logged of them.

    `written` is None when that is still to be done.
    """

    works: list[tuple[Tx, Outcome]]
    written: list[Written] | None


class _Group(NamedTuple):
    """Works for one commit; `done` when they have been run."""

    jobs: Sequence[Job]
    done: _Done | None = None


class _NotBegunError(Exception):
    """No transaction could be begun, so nothing has happened."""

    def __init__(self, reason: apsw.Error) -> None:
        super().__init__(str(reason))
        self.reason = reason


class SqliteStore:
    """A store in one SQLite file. See `protocol.Store`."""

    def __init__(
        self,
        file: SqliteFile,
        runtime: Runtime,
        *,
        open_embedder: OpenEmbedder = open_embedder,
        embedder: str = "static",
    ) -> None:
        """Open the file and bring its schema up to date.

        Args:
            file: where it is and how it is opened.
            runtime: the clock and ids for the works.
            open_embedder: opens the embedder of a setting.
            embedder: the setting for a file that has no search index yet.
        Raises:
            StoreError: it cannot be opened; the message says why and what to do.
        """
        self.file = file
        self.runtime = runtime
        self._session = Session(file.open_writer(runtime))
        self._identity = file.identity()
        self.index = SearchIndex(open_embedder, embedder)
        self._begin_index()
        self._room = Room(file.path)
        self._checkpointer = Checkpointer(file, self._session.connection, self._room)
        self._readers: deque[Session] = deque()
        self.spaces: dict[Scope, int] = {}
        self._seen = 0  # the state of the file that `spaces` were read from
        #: Guards the five below: who writes, and what waits. A signal handler may come again.
        self._turn = threading.RLock()
        self._waiting: deque[_Group] = deque()
        self._begun: _Group | None = None
        self._writing: _Group | None = None
        self._holder = 0  # the thread that writes, if it is a caller's
        self._closed = False
        #: Wakes the writer thread; cheaper by half an append than a condition.
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._run, name="dialoguedb-writer", daemon=True)
        self._writer.start()
        self._packer = Packer(self, self.index, lambda: Session(file.open_reader()))

    def _begin_index(self) -> None:
        """Learn which search index is in use; a new file gets one."""
        try:
            self._session.control("BEGIN IMMEDIATE")
            self.index.begin(self._session)
            self._session.control("COMMIT")
        except apsw.Error as error:
            raise translated(error) from error
        finally:
            self._undo()

    # ── reads ────────────────────────────────────────────────────────────────────────────────

    #: A statement waits for no network.
    inline = True

    @property
    def name(self) -> str:
        """See `protocol.Store`."""
        return str(self.file.path)

    @property
    def encrypted(self) -> bool:
        """See `protocol.Store`."""
        return self.file.key is not None

    def position(self) -> str | None:
        """See `protocol.Store`: one file has no replicas."""
        return None

    def read(self, scope: Reach, work: ReadWork[T], *, after: str | None = None) -> T:
        """See `protocol.Store`."""
        snapshot = self.snapshot()
        try:
            return snapshot.read(scope, work)
        finally:
            snapshot.close()

    def snapshot(self, *, most_bytes: int | None = None) -> "_Snapshot":
        """See `protocol.Store`."""
        if self._closed:
            raise ServiceUnavailable("The server is shutting down")
        try:
            session = self._readers.pop() if self._readers else Session(self.file.open_reader())
            session.control("BEGIN")
        except apsw.Error as error:
            raise translated(error) from error
        return _Snapshot(self, session, most_bytes)

    def give_back(self, session: Session) -> None:
        """Take back the connection of a snapshot; one that has failed is not used again."""
        try:
            session.control("COMMIT")
        except apsw.Error as error:
            log.warning("a connection is given up: %s", error)
            session.close()
            return
        if self._closed:
            session.close()
        else:
            self._readers.append(session)

    # ── writes ───────────────────────────────────────────────────────────────────────────────

    def submit(self, jobs: Sequence[Job], *, here: bool = False) -> None:
        """See `protocol.Store`."""
        begun = group = _Group(jobs)
        try:
            if self._take_turn(group, here=here):
                begun = self._begin_here(jobs)
        finally:
            with self._turn:
                if self._writing is group:
                    self._begun, self._holder = begun, 0
            self._wake.put(None)

    def snapshot_at_once(self, wait: WaitFor, *, most_bytes: int) -> _Snapshot:
        """See `protocol.Store`: no statement waits."""
        return self.snapshot(most_bytes=most_bytes)

    def write(self, scope: Reach, work: WriteWork[T]) -> T:
        """See `protocol.Store`.

        The calling thread is the writer where nobody else writes: it has to wait anyway, and two
        changes of threads cost as much as a work. What comes meanwhile is one group for the
        writer thread.
        """
        slot = Slot()
        group = _Group([Job(scope, work, slot, tell_slots)])
        try:
            if self._take_turn(group, here=True):
                self._carry_out(group)
            else:
                self._wake.put(None)
            result: T = slot.result()
            return result
        except BaseException:
            if slot.outcome is None:  # a signal handler has raised
                self._give_up(group)
            raise

    def _take_turn(self, group: _Group, *, here: bool) -> bool:
        """Take the turn for a group if nobody writes, else put it with those that wait.

        Raises:
            ServiceUnavailable: the store is closed, or this thread is in a write already.
        """
        with self._turn:
            self._refuse_inside()
            if self._closed:
                raise ServiceUnavailable("The server is shutting down")
            if here and self._writing is None and not self._waiting:
                self._writing, self._holder = group, threading.get_ident()
                return True
            self._waiting.append(group)
            return False

    def _refuse_inside(self) -> None:
        """Refuse what would wait for the write that it has interrupted, for ever.

        Raises:
            ServiceUnavailable: this thread is in a write.
        """
        if self._writing is not None and self._holder == threading.get_ident():
            raise ServiceUnavailable(
                "A signal handler has interrupted a write of its thread, and can neither write nor "
                "close; raise an exception, or set a flag and do it later"
            )

    def _give_up(self, group: _Group) -> None:
        """Give the turn back after an exception that was not the write's own."""
        with self._turn:
            if self._writing is group:
                self._undo()
                self.look_again()
                self._writing = None
        self._wake.put(None)

    def close(self) -> None:
        """See `protocol.Store`."""
        with self._turn:
            if self._closed:
                return
            self._refuse_inside()
        self._packer.close()
        with self._turn:
            self._closed = True
        self._wake.put(None)
        self._writer.join()
        self._checkpointer.close()
        while self._readers:
            self._readers.pop().close()
        self._session.close()
        self.file.closed(self._identity)

    # ── the search index ─────────────────────────────────────────────────────────────────────

    def load_index(self) -> None:
        """Bring the search index into memory, so that neither write nor search waits for it."""
        current = self.with_session(active)
        if current is not None:
            self.index.embedder(current)
        self.with_session(lambda session: self.index.waiting(session, 0))

    def search_standing(self) -> SearchStanding:
        """See `protocol.Store`."""
        return SearchStanding(self.index.writing.embedder, self.index.lag())

    def forget_erased(self) -> None:
        """Let go of what memory holds of projects that have been erased, also by others."""
        known = self.index.projects()  # first: whatever is in memory is in a later snapshot
        there = {row[1] for row in self.with_session(lambda session: session.ask("index_spaces"))}
        for project_id in known:
            if project_id not in there:
                self.index.forget(project_id)

    def waiting(self, most: int) -> tuple[Embedder | None, int, Sequence[Waiting]]:
        """Give the embedder of the index, its dimension, and what waits for it, `most` at most.

        Raises:
            EmbedderUnavailable, EmbedderRefused: it cannot even tell the size of its vectors.
        """
        current = self.with_session(active)
        found = self.with_session(lambda session: self.index.waiting(session, most))
        embedder = None if current is None else self.index.embedder(current)
        if current is None or embedder is None or not found:
            return None, 0, ()
        if current.dimension:
            return embedder, current.dimension, found
        dimension = embedder.embed(["dimension"]).shape[1]
        self.write(
            None,
            lambda tx: tx.run("index_measure", generation=current.number, dimension=dimension),
        )
        self.look_again()
        return embedder, dimension, found

    def with_session(self, act: Callable[[Session], T]) -> T:
        """Do something on a snapshot with the index's own statements."""
        snapshot = self.snapshot()
        try:
            return act(snapshot.session)
        finally:
            snapshot.close()

    def look_again(self) -> None:
        """See `protocol.Store`."""
        self._seen = -1

    def settle(self) -> None:
        """See `protocol.Store`: one writes at a time, and none has read before it began."""

    def check(self) -> None:
        """See `protocol.Store`."""
        if self.file.identity() != self._identity:
            raise ServiceUnavailable(
                "The database file has been removed or replaced under the server; restart it"
            )

    def check_not_forked(self) -> None:
        """See `protocol.Store`."""
        self.file.check_not_forked()

    def _run(self) -> None:
        """Be the writer thread: take what has come, commit it together, tell the outcomes."""
        while (group := self._next()) is not None:
            self._carry_out(group)

    def _carry_out(self, group: "_Group") -> None:
        """Commit a group and tell its outcomes; whoever does it has the turn, and gives it back."""
        told = [group]
        try:
            outcomes = self._commit(group)
        except _NotBegunError as error:
            # Somebody else writes, and has for as long as one waits: those behind know enough.
            told += self._take_waiting()
            outcomes = _all_failed(told, error.reason)
        except BaseException as error:  # the writer thread must live on
            self._undo()
            if threading.current_thread() is not self._writer and not isinstance(error, Exception):
                raise  # Ctrl-C, or an exit: the caller's
            outcomes = _all_failed(told, error)
        with self._turn:
            self._writing = None
            behind = bool(self._waiting) or self._closed
        if behind and threading.current_thread() is not self._writer:
            self._wake.put(None)
        _tell([job for one in told for job in one.jobs], outcomes)

    def _take_waiting(self) -> "list[_Group]":
        with self._turn:
            waiting = list(self._waiting)
            self._waiting.clear()
        return waiting

    def _next(self) -> "_Group | None":
        """Wait for a group: one that has been begun, else the first that waits; None at the end."""
        while True:
            with self._turn:
                if self._begun is not None:
                    group, self._begun = self._begun, None
                    return group
                if self._waiting and self._writing is None:
                    self._writing, self._holder = self._gathered(), 0
                    return self._writing
                if self._closed and self._writing is None and not self._waiting:
                    return None
            self._wake.get()

    def _gathered(self) -> "_Group":
        """Take what waits, as one group: callers in threads of their own come one by one."""
        jobs = list(self._waiting.popleft().jobs)
        while self._waiting and len(jobs) + len(self._waiting[0].jobs) <= MAX_GROUP:
            jobs += self._waiting.popleft().jobs
        return _Group(jobs)

    def _commit(self, group: "_Group") -> list[Outcome]:
        """Commit works together; should that fail as a whole, each by itself.

        Raises:
            _NotBegunError: nothing has been tried.
        """
        outcomes = self._attempt(group)
        if outcomes is not None:
            return outcomes
        # SQLite has undone the whole group for one work's sake (a full disk, an I/O error).
        singles: list[Outcome] = []
        for number, job in enumerate(group.jobs):
            try:
                singles += self._attempt(_Group([job]), last=True) or []
            except _NotBegunError as error:
                singles += _all_failed([_Group(group.jobs[number:])], error.reason)
                break
        return singles

    def _attempt(self, group: "_Group", *, last: bool = False) -> list[Outcome] | None:
        """Run works in one transaction, if they have not been run yet, and commit it.

        Returns: their outcomes; None when nothing of the transaction has happened, unless this
            is the last attempt: then the outcomes carry the error.
        Raises:
            _NotBegunError: there could be no transaction.
        """
        try:
            done = self._begin(group.jobs) if group.done is None else group.done
            written = self._log(done.works) if done.written is None else done.written
        except _NotBegunError:
            raise
        except Exception as error:  # noqa: BLE001 - it is the outcome of those it befell
            self._undo()
            return _all_failed([group], error) if last else None
        try:
            self._session.control("COMMIT")
        except apsw.Error as error:
            self._undo()
            self._bury()
            return _all_failed([group], error) if last else None
        self.index.committed(written)
        self._packer.count(sum(burden_of(one.part) for one in written))
        for tx, outcome in done.works:
            if outcome.error is None:
                tx.committed()
        return [outcome for _, outcome in done.works]

    def _begin_here(self, jobs: Sequence[Job]) -> "_Group":
        """Begin a transaction in the calling thread and run works in it, without waiting.

        Whatever goes wrong is left to the writer thread, which may wait and try again.
        """
        connection = self._session.connection
        connection.set_busy_timeout(0)
        try:
            done = self._begin(jobs)
            texts = sum(len(note.text) for tx, _ in done.works for note in tx.notes)
            if texts <= INDEXED_HERE:
                done = done._replace(written=self._log(done.works))
            return _Group(jobs, done)
        except BaseException as error:  # the writer thread meets it again, and tells it
            self._undo()
            if not isinstance(error, Exception):
                raise
            return _Group(jobs)
        finally:
            be_patient(connection)

    def _begin(self, jobs: Sequence[Job]) -> _Done:
        try:
            self._session.control("BEGIN IMMEDIATE")
        except apsw.Error as error:
            raise _NotBegunError(error) from error
        self._room.make()
        self._forget_spaces_if_changed()
        return _Done([self._work(job) for job in jobs], None)

    def _log(self, works: Sequence[tuple[Tx, Outcome]]) -> list[Written]:
        """Write down what works have changed, the texts of all embedded together."""
        noted = [
            (tx.scope, tx.space_id, tx.notes)
            for tx, outcome in works
            if outcome.error is None and tx.notes
        ]
        return self.index.write(self._session, noted)

    def _forget_spaces_if_changed(self) -> None:
        """Look again when another process has written: a project or the index may be another."""
        ((seen,),) = self._session.all("PRAGMA data_version", {})
        if seen != self._seen:
            self._seen = seen
            self.spaces.clear()
            self.index.begin(self._session)

    def _work(self, job: Job) -> tuple[Tx, Outcome]:
        """Run one work inside the open transaction, in a savepoint of its own.

        Raises:
            Exception: the transaction is gone, and with it every work of the group.
        """
        control = self._session.control
        tx = Tx(self._session, job.scope, self.runtime, self.index)
        control("SAVEPOINT work")
        try:
            if isinstance(job.scope, Scope):
                tx.make_space(self.spaces)
            result = job.work(tx)
        except Exception as error:
            if not self._session.connection.in_transaction:
                raise
            control("ROLLBACK TO work")
            control("RELEASE work")
            if isinstance(error, apsw.Error) and not isinstance(error, apsw.ConstraintError):
                raise  # the disk, not the work: nothing more is tried in this transaction
            return tx, Outcome(job.token, None, translated(error))
        control("RELEASE work")
        return tx, Outcome(job.token, result, None)

    def _undo(self) -> None:
        if self._session.connection.in_transaction:
            try:
                self._session.control("ROLLBACK")
            except apsw.Error:
                log.exception("a transaction could not be rolled back")

    def _bury(self) -> None:
        """Take away what a failed commit may have left in the log on disk.

        A commit can fail after its frames have reached the file; nobody sees them, but a start
        after a crash would find them whole, and what was answered with an error would be stored.
        The next commit writes over them, so one is made before the error is told; and where the
        disk does not even take that, the log is cut behind what has been committed.
        """
        for attempt in range(_BURIALS):
            try:
                version = self._session.connection.pragma("user_version")
                self._session.control(f"BEGIN IMMEDIATE; PRAGMA user_version = {version}; COMMIT")
                return
            except apsw.Error:
                self._undo()
            try:
                self._session.control("BEGIN IMMEDIATE")  # nobody else writes while it is cut
                self.file.cut_log()
                return
            except (apsw.Error, OSError) as failure:
                if attempt == _BURIALS - 1:
                    log.critical("the disk holds what a failed commit left: %s", failure)
            finally:
                self._undo()


def _all_failed(groups: Sequence[_Group], error: BaseException) -> list[Outcome]:
    told = translated(error)  # one for each: its caller adds the request that met it
    return [Outcome(job.token, None, copy(told)) for group in groups for job in group.jobs]


def _tell(group: Sequence[Job], outcomes: Sequence[Outcome]) -> None:
    """Tell each resolver of its works, once."""
    by_resolver: dict[Resolver, list[Outcome]] = {}
    for job, outcome in zip(group, outcomes, strict=True):
        by_resolver.setdefault(job.resolver, []).append(outcome)
    for resolver, its_own in by_resolver.items():
        try:
            resolver(its_own)
        except Exception:  # the edge of the writer thread: it must live on
            if resolver is tell_slots:
                raise  # it does not fail by itself: a signal handler has raised
            log.exception("an outcome could not be told")
