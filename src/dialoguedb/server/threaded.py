"""Carry tasks to a store that is reached over a network: nothing of it runs in the loop."""

import asyncio
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from dialoguedb.engine import Task
from dialoguedb.errors import ServiceUnavailable
from dialoguedb.server.carrier import POOL_THREADS, Question, settle
from dialoguedb.server.readers import Act, Readers, Sight
from dialoguedb.store.protocol import Job, Outcome, Store, T

#: How much longer a write is waited for than the store itself waits: what the store says of it is
#: more exact, and only a store that says nothing is not waited for.
_GRACE_S = 2.0
#: What is told of a read, and of a write, that takes longer.
_NOT_READ = "The database did not answer in time; try again"
_NOT_WRITTEN = (
    "The database did not answer in time. What was sent may have been stored or not; send it again "
    "with the same Idempotency-Key or id"
)
Asked = tuple[Question[Any], "asyncio.Future[Any]"]


class ThreadedCarrier:
    """Runs tasks in threads. See `Carrier`.

    A hop to a thread and back costs as much as a statement, so a request that only reads makes one
    hop: the thread looks its key up, reads, and both on one snapshot. What other requests have to
    know of their keys is looked up together, once for all that come in one turn of the loop.
    Writes go to the store as they come; it groups them, and runs several groups at once.

    Where a database does not answer, a request ends with 503 after the time-out. Its thread goes
    on to wait, for as long as the store lets it.
    """

    def __init__(
        self,
        store: Store,
        loop: asyncio.AbstractEventLoop,
        *,
        threads: int,
        timeout_s: float,
        replica: bool = False,
    ) -> None:
        """Make it.

        Args:
            store: the store.
            loop: whose tasks these are.
            threads: for short reads.
            timeout_s: how long a short task may take.
            replica: whether reads may come from a replica; keys never do.
        """
        self.store = store
        self._loop = loop
        self._timeout_s = timeout_s
        self._replica = replica
        self._in_turn = False
        self._writes: list[Job] = []
        self._asked: dict[Hashable, Asked] = {}
        #: What answers questions; the loop itself holds its tasks only weakly.
        self._answering: set[asyncio.Task[None]] = set()
        self._readers = Readers(store, loop, threads)
        self._pool = ThreadPoolExecutor(POOL_THREADS, thread_name_prefix="dialoguedb-pool")

    async def apart(self, act: Callable[..., T], *args: Any) -> T:
        """See `Carrier`; it takes as long as it takes."""
        return await self._loop.run_in_executor(self._pool, act, *args)

    async def ask(self, act: Callable[[], T]) -> T:
        """See `Carrier`."""
        return await self._in_time(self._readers.submit_apart(act), self._timeout_s, _NOT_READ)

    async def _hop(self, act: Act[T], questions: Sequence[Question[Any]] = ()) -> T:
        """Run something short that reads by its sight; `questions`: what it asks that for."""
        future = self._readers.submit(act, questions)
        return await self._in_time(future, self._timeout_s, _NOT_READ)

    async def _in_time(self, future: "asyncio.Future[T]", limit_s: float, told: str) -> T:
        """Wait for something short; `asyncio.timeout` costs several times what this timer does.

        Raises:
            ServiceUnavailable: it takes longer than it may; `told` is the message.
        """
        timer = self._loop.call_later(limit_s, _late, future, told)
        try:
            return await future
        finally:
            timer.cancel()

    async def look_up(self, question: Question[T]) -> T:
        """See `Carrier`; those of one turn of the loop share a hop and a snapshot."""
        if question.key in self._asked:
            _, future = self._asked[question.key]
        else:
            future = self._loop.create_future()
            self._asked[question.key] = question, future
            self._begin_turn()
        # Many may wait for it: that one of them leaves must not end it for the others.
        found: T = await asyncio.shield(future)
        return found

    async def read(self, task: Task[T], *, after: str | None = None) -> T:
        """See `Carrier`; one that is not short takes as long as it takes."""
        if not task.short:
            return await self.apart(self._read, task, after)
        if self._replica:
            return await self.ask(partial(self._read, task, after))
        return await self._hop(lambda sight: sight.snapshot().read(task.scope, task.work))

    def _read(self, task: Task[T], after: str | None) -> T:
        return self.store.read(task.scope, task.work, after=after)

    async def look_up_and_read(
        self,
        question: Question[Any],
        prepare: Callable[..., Task[T]],
        *given: Any,
        after: str | None = None,
    ) -> T:
        """See `Carrier`; one hop does all, if the task is short and the primary's."""
        task, found = await self._hop(
            partial(self._look_up_and_read, question, prepare, given), [question]
        )
        return found if task is None else await self.read(task, after=after)

    def _look_up_and_read(
        self,
        question: Question[Any],
        prepare: Callable[..., Task[T]],
        given: tuple[Any, ...],
        sight: Sight,
    ) -> tuple[Task[T] | None, Any]:
        """Give what the task has read; the task if that is to be done elsewhere."""
        task = prepare(*given, sight.answer(question))
        if self._replica or not task.short:
            return task, None
        return None, sight.snapshot().read(task.scope, task.work)

    async def write(self, task: Task[T], *, short: bool = True) -> T:
        """See `Carrier`."""
        future: asyncio.Future[T] = self._loop.create_future()
        long = not (short and task.short)
        self._writes.append(Job(task.scope, task.work, future, self._done, task.apart, long))
        self._begin_turn()
        if long:
            return await future
        return await self._in_time(future, self._timeout_s + _GRACE_S, _NOT_WRITTEN)

    def _begin_turn(self) -> None:
        if not self._in_turn:
            self._in_turn = True
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        """Hand over what has come in this turn."""
        self._in_turn = False
        if self._writes:
            writes, self._writes = self._writes, []
            try:
                self.store.submit(writes)
            except Exception as error:  # noqa: BLE001 - it belongs to those who wait for an answer
                settle([Outcome(job.token, None, error) for job in writes])
        if self._asked:
            asked, self._asked = self._asked, {}
            answering = self._loop.create_task(self._answer(asked))
            self._answering.add(answering)
            answering.add_done_callback(self._answering.discard)

    async def _answer(self, asked: Mapping[Hashable, Asked]) -> None:
        """Answer the questions of one turn."""
        questions = [question for question, _ in asked.values()]
        futures = [future for _, future in asked.values()]
        try:
            found = await self._hop(
                lambda sight: [sight.answer(one) for one in questions], questions
            )
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait for an answer
            settle([Outcome(future, None, error) for future in futures])
        else:
            settle([Outcome(*each, None) for each in zip(futures, found, strict=True)])

    def _done(self, outcomes: Sequence[Outcome]) -> None:
        self._loop.call_soon_threadsafe(settle, outcomes)

    def close(self) -> None:
        """See `Carrier`."""
        self._end_turn()
        self._readers.close(self._timeout_s)
        self._pool.shutdown()


def _late(future: "asyncio.Future[Any]", told: str) -> None:
    if not future.done():
        future.set_exception(ServiceUnavailable(told))
