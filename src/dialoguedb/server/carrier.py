"""Carry tasks from the event loop to the store and answers back."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from dialoguedb.engine import Task
from dialoguedb.store.protocol import (
    Outcome,
    ReadTooLong,
    ReadWork,
    Scope,
    Snapshot,
    Store,
    T,
)

#: Bodies and reads beyond this leave the loop: it must serve others meanwhile.
INLINE_BYTES = 256 * 1024
POOL_THREADS = 4


class Carrier:
    """Runs tasks for one event loop.

    A short read runs in the loop itself, which costs less than a hop to a thread and back; one
    that grows long is begun again in a pool. The store's writer begins and commits, and waits for
    the disk; the statements of short works it sends here, as one group: two threads that take
    turns at the interpreter with every statement cost several times what the statements do
    (decision 0001). The outcomes of one commit come back in one wake-up of the loop.
    """

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self.store = store
        self._loop = loop
        self._runner = self._run_here
        self._snapshot: Snapshot | None = None
        self._pool = ThreadPoolExecutor(POOL_THREADS, thread_name_prefix="dialoguedb-pool")

    async def apart(self, act: Callable[..., T], *args: Any) -> T:
        """Run something that takes long in the pool."""
        return await self._loop.run_in_executor(self._pool, act, *args)

    async def read(self, task: Task[T]) -> T:
        """Run a reading task."""
        try:
            return self.glance(task.scope, task.work)
        except ReadTooLong:
            return await self.apart(self.store.read, task.scope, task.work)

    def glance(self, scope: Scope | None, work: ReadWork[T]) -> T:
        """Read something short at once, in the loop.

        All reads of one turn of the loop share a snapshot. What was answered or revoked before a
        request was sent is in it: the request is read from its socket between two turns, and the
        snapshot of the one before is closed by then.

        Raises:
            ReadTooLong: it is not short.
        """
        if self._snapshot is None:
            self._snapshot = self.store.snapshot(most_bytes=INLINE_BYTES)
            self._loop.call_soon(self._end_turn)
        return self._snapshot.read(scope, work)

    def _end_turn(self) -> None:
        if self._snapshot is not None:
            self._snapshot.close()
            self._snapshot = None

    async def write(self, task: Task[T], *, short: bool = True) -> T:
        """Run a writing task; done when it is on disk. One that is not short leaves the loop."""
        future: asyncio.Future[T] = self._loop.create_future()
        runner = self._runner if short and task.short else None
        self.store.submit(task.scope, task.work, future, self._resolve, runner)
        return await future

    def _run_here(self, act: Callable[[], Any]) -> Any:
        """Run a function in the loop, called from another thread, and wait for it there."""
        done: Future[Any] = Future()
        self._loop.call_soon_threadsafe(_run_into, done, act)
        return done.result()

    def _resolve(self, outcomes: Sequence[Outcome]) -> None:
        self._loop.call_soon_threadsafe(_settle, outcomes)

    def close(self) -> None:
        """Wait for what runs in the pool, and let go of the store."""
        self._end_turn()
        self._pool.shutdown()


def _run_into(done: Future[Any], act: Callable[[], Any]) -> None:
    try:
        done.set_result(act())
    except BaseException as error:  # noqa: BLE001 - it belongs to the thread that waits
        done.set_exception(error)


def _settle(outcomes: Sequence[Outcome]) -> None:
    for future, result, error in outcomes:
        if future.cancelled():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
