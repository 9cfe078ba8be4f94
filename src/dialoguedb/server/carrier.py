"""Carry tasks from the event loop to the store and answers back."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, Protocol

from dialoguedb.engine import Task
from dialoguedb.store.protocol import (
    Job,
    Outcome,
    Reach,
    ReadTooLong,
    ReadWork,
    Snapshot,
    Store,
    T,
)

#: Bodies and reads beyond this leave the loop: it must serve others meanwhile.
INLINE_BYTES = 256 * 1024
POOL_THREADS = 4
#: Writes in one commit at most: bounds how long the loop is busy with them.
MAX_GROUP = 128


class Question(NamedTuple, Generic[T]):
    """A short read of the catalogue that many requests have in common.

    Attributes:
        key: two questions with the same one have the same answer.
        work: gives the answer.
    """

    key: Hashable
    work: ReadWork[T]


class Carrier(Protocol):
    """Runs tasks for one event loop."""

    store: Store

    async def apart(self, act: Callable[..., T], *args: Any) -> T:
        """Run something that takes long where it keeps nobody waiting."""

    async def ask(self, act: Callable[[], T]) -> T:
        """Run something short that asks the store."""

    async def look_up(self, question: Question[T]) -> T:
        """Answer a question as it is now: never older than this call."""

    async def read(self, task: Task[T], *, after: str | None = None) -> T:
        """Run a reading task; `after` as in `Store.read`."""

    async def look_up_and_read(
        self,
        question: Question[Any],
        prepare: Callable[..., Task[T]],
        *given: Any,
        after: str | None = None,
    ) -> T:
        """Answer a question, make a reading task of the answer, and run it.

        Args:
            question: what is to be known first.
            prepare: makes the task, of what is given and the answer; maybe in another thread.
            given: the first arguments of `prepare`.
            after: as in `Store.read`, for the task.
        """

    async def write(self, task: Task[T], *, short: bool = True) -> T:
        """Run a writing task; done when it is on disk.

        Args:
            task: what to do.
            short: whether the request was short too.
        """

    def close(self) -> None:
        """Wait for what runs, and let go of the store."""


class InlineCarrier:
    """Runs short tasks in the loop itself. See `Carrier`; for a store that is `inline`.

    A short read runs in the loop itself, which costs less than a hop to a thread and back; one
    that grows long is begun again in a pool. Short writes run here too, all that have come while
    the disk was busy as one group, and the store's own thread waits for the disk: two threads that
    take turns at the interpreter with every statement cost several times what the statements do
    (decision 0001). The outcomes of one commit come back in one wake-up of the loop.
    """

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self.store = store
        self._loop = loop
        self._snapshot: Snapshot | None = None
        self._seen: dict[Hashable, Any] = {}
        self._in_turn = False
        self._writes: list[Job] = []
        self._committing = False
        self._pool = ThreadPoolExecutor(POOL_THREADS, thread_name_prefix="dialoguedb-pool")

    async def apart(self, act: Callable[..., T], *args: Any) -> T:
        """See `Carrier`."""
        return await self._loop.run_in_executor(self._pool, act, *args)

    async def ask(self, act: Callable[[], T]) -> T:
        """See `Carrier`."""
        return act()

    async def look_up(self, question: Question[T]) -> T:
        """See `Carrier`; once for a key and a turn: its snapshot can say nothing else."""
        return self._known(question)

    async def read(self, task: Task[T], *, after: str | None = None) -> T:
        """See `Carrier`; one that is not short leaves the loop."""
        try:
            return self._at_once(task)
        except ReadTooLong:
            return await self.apart(self.store.read, task.scope, task.work)

    async def look_up_and_read(
        self,
        question: Question[Any],
        prepare: Callable[..., Task[T]],
        *given: Any,
        after: str | None = None,
    ) -> T:
        """See `Carrier`."""
        return await self.read(prepare(*given, self._known(question)), after=after)

    def _at_once(self, task: Task[T]) -> T:
        """Run a reading task in the loop.

        Raises:
            ReadTooLong: it is not short.
        """
        if not task.short:
            raise ReadTooLong
        return self._glance(task.scope, task.work)

    def _known(self, question: Question[T]) -> T:
        key = question.key
        if key not in self._seen:
            self._seen[key] = self._glance(None, question.work)
        found: T = self._seen[key]
        return found

    def _glance(self, scope: Reach, work: ReadWork[T]) -> T:
        """Read something short at once, in the loop.

        All reads of one turn of the loop share a snapshot. What was answered or revoked before a
        request was sent is in it: the request is read from its socket between two turns, and the
        snapshot of the one before is closed by then.

        Raises:
            ReadTooLong: it is not short.
        """
        if self._snapshot is None:
            self._snapshot = self.store.snapshot(most_bytes=INLINE_BYTES)
            self._begin_turn()
        return self._snapshot.read(scope, work)

    def _begin_turn(self) -> None:
        if not self._in_turn:
            self._in_turn = True
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        """Let go of the turn's snapshot, and commit the writes that have come."""
        self._in_turn = False
        if self._snapshot is not None:
            snapshot, self._snapshot = self._snapshot, None
            self._seen.clear()
            snapshot.close()
        self._commit()

    async def write(self, task: Task[T], *, short: bool = True) -> T:
        """See `Carrier`; one that is not short leaves the loop."""
        future: asyncio.Future[T] = self._loop.create_future()
        if short and task.short:
            self._writes.append(Job(task.scope, task.work, future, self._group_done))
            self._begin_turn()
        else:
            self.store.submit([Job(task.scope, task.work, future, self._one_done)])
        return await future

    def _commit(self) -> None:
        """Hand the writes that have come to the store, if it is not busy with those before."""
        if self._committing or not self._writes:
            return
        writes, self._writes = self._writes[:MAX_GROUP], self._writes[MAX_GROUP:]
        self._committing = True
        try:
            self.store.submit(writes, here=True)
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait for an answer
            self._settle_group([Outcome(job.token, None, error) for job in writes])

    def _one_done(self, outcomes: Sequence[Outcome]) -> None:
        self._loop.call_soon_threadsafe(settle, outcomes)

    def _group_done(self, outcomes: Sequence[Outcome]) -> None:
        self._loop.call_soon_threadsafe(self._settle_group, outcomes)

    def _settle_group(self, outcomes: Sequence[Outcome]) -> None:
        """Tell the outcomes of a commit, and begin the next one with this turn."""
        self._committing = False
        settle(outcomes)
        if self._writes:
            self._begin_turn()

    def close(self) -> None:
        """See `Carrier`."""
        self._end_turn()
        self._pool.shutdown()


def settle(outcomes: Sequence[Outcome]) -> None:
    """Tell outcomes to those who wait for them: their tokens are futures of this loop."""
    for future, result, error in outcomes:
        if future.done():
            continue  # nobody waits any more
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
