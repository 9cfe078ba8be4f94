"""A thread that writes: it takes what waits as one group, one transaction, one commit.

A group has no savepoints: they would cost each work two statements. A work that fails before it has
changed anything has its error and the others go on; if it fails later, or somebody else changes the
same meanwhile, the whole group is taken back and its works run one by one.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import psycopg

from dialoguedb.errors import ServiceUnavailable
from dialoguedb.runtime import chance
from dialoguedb.store.postgres_failing import AGAIN, is_gone, translated
from dialoguedb.store.postgres_index import Used, used
from dialoguedb.store.postgres_pool import Pool
from dialoguedb.store.postgres_session import BEGIN_WRITE, Session
from dialoguedb.store.postgres_tx import PostgresTx
from dialoguedb.store.protocol import Job, Outcome, Resolver, Scope
from dialoguedb.store.slot import Bell, tell_slots

if TYPE_CHECKING:
    from dialoguedb.store.postgres import PostgresStore

log = logging.getLogger("dialoguedb.store")

#: Works in one commit at most: bounds how long the first of them waits for the others.
MAX_GROUP = 128
#: How often a work that meets others is run again; between two, up to so many seconds pass.
ATTEMPTS = 20
LOST = ServiceUnavailable(
    "The database was lost while it stored this: it may be stored or not. Send it again with the "
    "same Idempotency-Key or ids"
)
_PAUSE_S = 0.02


class _AgainError(Exception):
    """The group has been taken back; its works are to run one by one."""


class _LostError(Exception):
    """The connection was lost in the commit: nobody knows whether it has happened."""


class Writer:
    """See the module. Works are given from any thread; its own carries them out."""

    def __init__(self, number: int, pool: Pool, store: "PostgresStore") -> None:
        """Begin, without connecting."""
        self._pool = pool
        self._store = store
        self._waiting: deque[Sequence[Job]] = deque()
        self._bell = Bell()
        self._closed = False
        #: Where the log of writes ended after its last commit.
        self.position: str | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"dialoguedb-writer-{number}", daemon=True
        )
        self._thread.start()

    def take(self, jobs: Sequence[Job]) -> None:
        """Have works run; returns at once."""
        self._waiting.append(jobs)
        self._bell.ring()

    def close(self) -> None:
        """Finish what has been given, then end."""
        self._closed = True
        self._bell.ring()
        self._thread.join()
        self._pool.close()

    def _run(self) -> None:
        while True:
            while self._waiting:
                self._carry_out(self._gathered())
            if self._closed:
                return
            self._bell.wait()

    def _gathered(self) -> Sequence[Job]:
        """Take what waits as one group."""
        jobs = self._waiting.popleft()
        if not self._waiting:
            return jobs
        together = list(jobs)
        while self._waiting and len(together) + len(self._waiting[0]) <= MAX_GROUP:
            together += self._waiting.popleft()
        return together

    def _carry_out(self, jobs: Sequence[Job]) -> None:
        """Commit a group and tell its outcomes."""
        outcomes: list[Outcome] = []
        try:
            self._commit(jobs, outcomes)
        except BaseException as error:  # noqa: BLE001 - the writer thread must live on
            told = LOST if isinstance(error, _LostError) else translated(error)
            outcomes += [Outcome(job.token, None, copy(told)) for job in jobs[len(outcomes) :]]
        _tell(jobs, outcomes)

    def _commit(self, jobs: Sequence[Job], outcomes: list[Outcome]) -> None:
        """Commit works together, else one by one; `outcomes` grows as they are known."""
        session = self._pool.take()
        try:
            try:
                outcomes += self._attempt(session, jobs)
                return
            except _AgainError:
                pass
            except psycopg.Error as error:
                if is_gone(error):  # an old connection whose database was restarted
                    session = self._renewed(session)
                elif len(jobs) == 1 and not isinstance(error, AGAIN):
                    raise
            for job in jobs:
                outcomes.append(self._alone(session, job))
        finally:
            try:
                session.undo()
            except psycopg.Error:
                session.close()
            self._pool.give_back(session)

    def _renewed(self, session: Session) -> Session:
        self._pool.give_back(session)
        return self._pool.take()

    def _alone(self, session: Session, job: Job) -> Outcome:
        """Run one work in a transaction of its own, again if it meets others."""
        for attempt in range(ATTEMPTS):
            try:
                return self._attempt(session, [job])[0]
            except AGAIN as error:
                failure: BaseException = error
                session.undo()
                time.sleep(_PAUSE_S * chance() * attempt)
            except psycopg.Error as error:
                if is_gone(error):
                    raise
                session.undo()
                return Outcome(job.token, None, translated(error))
        return Outcome(job.token, None, translated(failure))

    def _attempt(self, session: Session, jobs: Sequence[Job]) -> list[Outcome]:
        """Run works in one transaction and commit it.

        Raises:
            _AgainError: nothing of it has happened; the works are to run one by one.
            psycopg.Error: likewise.
            _LostError: it may have happened.
        """
        session.begin(BEGIN_WRITE)
        indexes, spaces = _known(session, jobs)
        works = [self._work(session, job, spaces, alone=len(jobs) == 1) for job in jobs]
        noted = [
            (tx.scope, tx.space_id, tx.notes)
            for tx, outcome in works
            if outcome.error is None and tx.notes
        ]
        if noted:
            if indexes is None:
                raise ServiceUnavailable("The database has no search index; restart the server")
            self._store.index.write(session, indexes, noted)
        try:
            self.position = session.commit(tell_position=True)
        except psycopg.Error as error:
            if is_gone(error):
                raise _LostError from error
            raise
        for tx, outcome in works:
            if outcome.error is None:
                tx.committed()
        return [outcome for _, outcome in works]

    def _work(
        self, session: Session, job: Job, spaces: dict[Scope, int], *, alone: bool
    ) -> tuple[PostgresTx, Outcome]:
        """Run one work inside the open transaction.

        Args:
            session: with the transaction.
            job: the work.
            spaces: their numbers, as this transaction has found them.
            alone: whether there is no other work in it.
        """
        tx = PostgresTx(session, job.scope, self._store.runtime, self._store.index)
        try:
            if isinstance(job.scope, Scope):
                tx.make_space(spaces)
                spaces[job.scope] = tx.space_id
            result = job.work(tx)
        except psycopg.Error:
            if alone:
                raise
            session.undo()
            raise _AgainError from None
        except Exception as error:  # noqa: BLE001 - it is the work's outcome
            if tx.wrote and not alone:
                session.undo()
                raise _AgainError from None
            if tx.wrote:
                session.undo()
                session.begin(BEGIN_WRITE)
            return tx, Outcome(job.token, None, translated(error))
        return tx, Outcome(job.token, result, None)


def _known(session: Session, jobs: Sequence[Job]) -> tuple[Used | None, dict[Scope, int]]:
    """Look up at once what works need: the indexes that are written, and the spaces that there are.

    They are looked up in each transaction: a number that is remembered for longer could be of a
    project that is being deleted.
    """
    scopes = list(dict.fromkeys(job.scope for job in jobs if isinstance(job.scope, Scope)))
    asked: list[tuple[str, Mapping[str, Any]]] = [("index_used", {})]
    asked += [("spaces_find", scope._asdict()) for scope in scopes]
    indexes, *found = session.ask_all(asked)
    spaces = {scope: rows[0][0] for scope, rows in zip(scopes, found, strict=True) if rows}
    return used(indexes), spaces


def _tell(jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> None:
    """Tell each resolver of its works, once."""
    by_resolver: dict[Resolver, list[Outcome]] = {}
    for job, outcome in zip(jobs, outcomes, strict=True):
        by_resolver.setdefault(job.resolver, []).append(outcome)
    for resolver, its_own in by_resolver.items():
        try:
            resolver(its_own)
        except Exception:  # the edge of the writer thread: it must live on
            if resolver is tell_slots:
                raise
            log.exception("an outcome could not be told")
