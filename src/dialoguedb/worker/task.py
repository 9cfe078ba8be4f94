"""A job that is being done, as the function of its kind sees it."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from dialoguedb.runtime import monotonic_s
from dialoguedb.store import jobs
from dialoguedb.store.jobs import Job, LeaseLost
from dialoguedb.store.protocol import Reach, ReadWork, Scope, Store, T, WriteTx, WriteWork


class Again(NamedTuple):
    """What a kind returns when its job is not done.

    Attributes:
        wait_s: after so many seconds it is taken again.
        counted: whether this was an attempt that failed; else `Job.attempts` begins anew.
    """

    wait_s: float = 0.0
    counted: bool = False


class Task:
    """A job, and what may be done about it.

    Attributes:
        store: the database. A write that does not go through this task may happen twice.
        job: the row.
        lost: whether another worker has the job by now.
        done: whether the job has been finished.
    """

    def __init__(
        self, store: Store, job: Job, *, slice_s: float, lease_ms: int, stopping: Callable[[], bool]
    ) -> None:
        """Make it for a job that has just been taken.

        Args:
            store: the database.
            job: the row.
            slice_s: how long it may go on before others have their turn.
            lease_ms: how long it is held with each write.
            stopping: whether the worker is to stop.
        """
        self.store = store
        self.job = job
        self.lost = False
        self.done = False
        self._until_s = monotonic_s() + slice_s
        self._lease_ms = lease_ms
        self._stopping = stopping

    @property
    def going(self) -> bool:
        """Whether to go on with the next step; else return `Again()` soon."""
        return self.held and monotonic_s() < self._until_s

    @property
    def held(self) -> bool:
        """Whether to go on with what cannot be done in parts; else return `Again()` soon."""
        return not self.lost and not self._stopping()

    @property
    def payload(self) -> Any:
        """What else the job says, from its JSON."""
        return json.loads(self.job.payload)

    def scope(self) -> Scope | None:
        """Give the space that the job is about; None when it has none, or its project is gone."""
        space_id = self.job.space_id
        if space_id is None:
            return None
        return self.read(None, lambda tx: jobs.scope_of(tx, space_id))

    def read(self, scope: Reach, work: ReadWork[T]) -> T:
        """Read what is there: all that was when the job was taken, also where a replica is read."""
        return self.store.read(scope, work, after=self.store.position())

    def write(self, scope: Reach, work: WriteWork[T]) -> T:
        """Run a work in a transaction that commits only if the job is still this worker's.

        Raises:
            LeaseLost: it is not; nothing was stored. It is the worker's to catch.
        """

        def held(tx: WriteTx) -> T:
            result = work(tx)
            if not jobs.renew(tx, self.job, self._lease_ms):
                raise LeaseLost
            return result

        return self.store.write(scope, held)

    def finish(self, scope: Reach, work: WriteWork[T]) -> T:
        """Run a work in the transaction that ends the job: both happen once, or neither.

        Raises:
            LeaseLost: the job is not this worker's any more; nothing was stored.
        """

        def last(tx: WriteTx) -> T:
            result = work(tx)
            if not jobs.finish(tx, self.job):
                raise LeaseLost
            return result

        result = self.store.write(scope, last)
        self.done = True
        return result

    def finish_if(self, scope: Reach, nothing_left: Callable[[WriteTx], bool]) -> bool:
        """End the job if that is so, by what has been committed at this moment.

        Returns: whether it has ended.
        Raises:
            LeaseLost: the job is not this worker's any more.
        """

        def last(tx: WriteTx) -> bool:
            if not nothing_left(tx):
                return False
            if not jobs.finish(tx, self.job):
                raise LeaseLost
            return True

        self.done = jobs.on_newest(self.store, scope, last)
        return self.done
