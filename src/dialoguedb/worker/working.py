"""A worker: it takes jobs, does them, and says how each has ended."""

import logging
import threading
from typing import NamedTuple

from dialoguedb.embed import EmbedderUnavailable
from dialoguedb.errors import DialogueDBError
from dialoguedb.runtime import chance
from dialoguedb.store import jobs
from dialoguedb.store.jobs import Job, LeaseLost
from dialoguedb.store.protocol import Store, WriteTx, WriteWork
from dialoguedb.worker.kinds import Kind, Kinds, kinds_of
from dialoguedb.worker.task import Again, Task

log = logging.getLogger("dialoguedb.worker")

#: Statuses of failures that pass: no answer, asked too often, away for now.
_PASSING = frozenset({0, 408, 429, 503})


class Pace(NamedTuple):
    """How a worker goes about it; times in seconds.

    Attributes:
        lease_s: how long a job is held; it is renewed each third of that.
        idle_s: how long to wait when there is nothing to do.
        slice_s: how long a job may go on before others have their turn.
        first_pause_s: how long a job that has failed waits; it doubles with each failure.
        longest_pause_s: how long it waits at most.
        longest_passing_s: the same for a failure that will pass.
        attempts: after so many a job is left as failed.
    """

    lease_s: float = 30.0
    idle_s: float = 0.5
    slice_s: float = 10.0
    first_pause_s: float = 1.0
    longest_pause_s: float = 600.0
    longest_passing_s: float = 60.0
    attempts: int = 10


class Worker:
    """Does one job at a time, in the thread that calls `run`. Other workers may be anywhere."""

    def __init__(self, store: Store, *, kinds: Kinds | None = None, pace: Pace | None = None):
        """Make it; nothing is done yet.

        Args:
            store: the database. Steps of jobs take long: a server's own requests need another one.
            kinds: what it can do; all that the database has if None.
            pace: see there.
        """
        self._store = store
        self._kinds = kinds_of(store) if kinds is None else kinds
        self._pace = pace or Pace()
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._ended = threading.Event()
        self._task: Task | None = None

    def run(self, *, once: bool = False) -> int:
        """Do jobs until `stop` is called; with `once`, until none is due.

        Returns: how many times a job was taken.
        Raises:
            DialogueDBError: with `once`, the database is away.
        """
        beat = threading.Thread(target=self._beat, name="dialoguedb-lease", daemon=True)
        beat.start()
        try:
            return self._run(once=once)
        finally:
            self._ended.set()
            beat.join()

    def stop(self) -> None:
        """Have it end when the job at hand comes to the end of a step."""
        self._stopping.set()
        self._woken.set()

    def wake(self) -> None:
        """Have it look for jobs at once: there is one."""
        self._woken.set()

    def release(self) -> None:
        """Let go of the job at hand, which takes too long to end: somebody else may have it now.

        Raises:
            DialogueDBError: the database is away; the job is free when the lease ends.
        """
        task = self._task
        if task is not None:
            task.lost = True
            before = task.job.attempts - 1  # it has not failed
            self._end(lambda tx: jobs.put_back(tx, task.job, wait_ms=0, attempts=before))

    def _run(self, *, once: bool) -> int:
        taken, planted, failures = 0, False, 0
        while not self._stopping.is_set():
            wait_s = 0.0
            try:
                if not planted:
                    self._store.write(None, self._plant)
                    planted = True
                if self._step():
                    taken += 1
                elif once:
                    break
                else:
                    wait_s = self._pace.idle_s
                failures = 0
            except Exception as error:  # the thread's edge: it must live on
                if once:
                    raise
                failures += 1
                wait_s = self._pause_s(failures, self._pace.longest_passing_s)
                _tell("background jobs wait", error)
            self._woken.wait(wait_s)
            if not self._stopping.is_set():
                self._woken.clear()
        return taken

    def _plant(self, tx: WriteTx) -> None:
        """See that there is a job of each kind that is done again and again."""
        for name, kind in self._kinds.items():
            if kind.each_s is not None:
                jobs.add(tx, name, "")

    def _step(self) -> bool:
        """Take a job and do it; False when none is due."""
        pace, names = self._pace, tuple(self._kinds)
        lease_ms = int(pace.lease_s * 1000)
        if not jobs.may_be_due(self._store, names):
            return False
        job = jobs.on_newest(self._store, None, lambda tx: jobs.claim(tx, names, lease_ms))
        if job is None:
            return False
        self._task = task = Task(
            self._store,
            job,
            slice_s=pace.slice_s,
            lease_ms=lease_ms,
            stopping=self._stopping.is_set,
        )
        try:
            self._do(task, self._kinds[job.kind])
        finally:
            self._task = None
        return True

    def _do(self, task: Task, kind: Kind) -> None:
        """Do a job, and write down how that ended."""
        job = task.job
        if job.attempts > self._pace.attempts and kind.each_s is None:
            self._give_up(
                job,
                f"its worker has ended {job.attempts - 1} times while it did this, perhaps for "
                "want of memory; see the worker's log",
            )
            return
        try:
            again = kind.run(task)
        except LeaseLost:
            task.lost = True
        except Exception as error:  # noqa: BLE001 - it is how the job ended
            if not task.lost:
                self._failed(task, kind, error)
        else:
            if not task.done and not task.lost:
                self._settle(task, kind, again)
        if task.lost:
            log.warning("a job of kind %s was taken over by another worker, or is gone", job.kind)

    def _settle(self, task: Task, kind: Kind, again: Again | None) -> None:
        """End a job that is done, or have it taken again."""
        job = task.job
        if again is None and kind.each_s is not None:
            again = Again(kind.each_s)
        if again is None:
            self._end(lambda tx: jobs.finish(tx, job))
            return
        wait_ms, attempts = int(again.wait_s * 1000), job.attempts if again.counted else 0
        self._end(lambda tx: jobs.put_back(tx, job, wait_ms=wait_ms, attempts=attempts))

    def _failed(self, task: Task, kind: Kind, error: Exception) -> None:
        """Have a job tried again later, or leave it as failed."""
        job, pace = task.job, self._pace
        passing = isinstance(error, DialogueDBError) and error.status in _PASSING
        _tell(f"a job of kind {job.kind} has failed at attempt {job.attempts}", error)
        if job.attempts >= pace.attempts and not passing and kind.each_s is None:
            self._give_up(job, _reason(error))
            return
        longest_s = pace.longest_passing_s if passing else pace.longest_pause_s
        wait_s = self._pause_s(job.attempts, longest_s)
        if isinstance(error, EmbedderUnavailable):
            wait_s = max(wait_s, error.retry_after_s or 0)
        # A failure that passes leaves room for others.
        counted = min(job.attempts, pace.attempts // 2 + 1) if passing else job.attempts
        wait_ms = int(wait_s * 1000)
        self._end(lambda tx: jobs.put_back(tx, job, wait_ms=wait_ms, attempts=counted))

    def _give_up(self, job: Job, reason: str) -> None:
        log.error("a job of kind %s is given up; see `dialoguedb work --list`", job.kind)
        self._end(lambda tx: jobs.give_up(tx, job, reason))

    def _pause_s(self, failures: int, longest_s: float) -> float:
        """Choose how long to wait after so many failures: not all at the same time."""
        doubled = self._pace.first_pause_s * 2.0 ** min(failures - 1, 30)
        return min(doubled, longest_s) * (0.5 + chance() / 2)

    def _end(self, work: WriteWork[bool]) -> None:
        """Write down how a job ended, if it is still this worker's."""
        if not jobs.on_newest(self._store, None, work):
            log.debug("a job that has ended was not this worker's any more")

    def _beat(self) -> None:
        """Renew the lease of the job at hand, again and again."""
        lease_ms = int(self._pace.lease_s * 1000)
        while not self._ended.wait(self._pace.lease_s / 3):
            task = self._task
            if task is None or task.lost:
                continue
            job = task.job
            try:
                held = jobs.on_newest(self._store, None, lambda tx: jobs.renew(tx, job, lease_ms))  # noqa: B023
            except Exception as error:  # noqa: BLE001 - it may be back at the next beat
                _tell("a lease was not renewed", error)
                continue
            task.lost = task.lost or not (held or task.done)


def _tell(what: str, error: Exception) -> None:
    if isinstance(error, DialogueDBError):
        log.warning("%s: %s", what, error.message)
    else:
        log.error("%s", what, exc_info=error)


def _reason(error: Exception) -> str:
    """Say why a job failed, for a person."""
    if isinstance(error, DialogueDBError):
        return error.message
    return f"a defect ({type(error).__name__}); the worker's log shows where"
