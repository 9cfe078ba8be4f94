"""Threads that read for an event loop: as many requests as wait, on one snapshot."""

import asyncio
import queue
import threading
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from dialoguedb.errors import DialogueDBError, ServiceUnavailable
from dialoguedb.server.carrier import Question, settle
from dialoguedb.store.protocol import Outcome, Snapshot, Store, T

#: Requests that share a snapshot at most: the last of them waits for all before.
MAX_SHARED = 16


class Sight:
    """What one thread sees of the store: a snapshot, taken when something is first asked of it."""

    __slots__ = ("_known", "_snapshot", "_store")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._snapshot: Snapshot | None = None
        self._known: dict[Hashable, Any] = {}

    def snapshot(self) -> Snapshot:
        """Give the snapshot; it holds all that had been answered before it was first asked for."""
        if self._snapshot is None:
            self._snapshot = self._store.snapshot()
        return self._snapshot

    def answer(self, question: Question[T]) -> T:
        """Answer a question, once for a key.

        It is the first thing that is read, so it is what meets a connection that has been lost
        while nobody used it. Then it is asked again: the next connection is a new one.
        """
        if question.key not in self._known:
            try:
                found = self.snapshot().read(None, question.work)
            except ServiceUnavailable:
                self.close()
                found = self.snapshot().read(None, question.work)
            self._known[question.key] = found
        known: T = self._known[question.key]
        return known

    def close(self) -> None:
        """Let go of it; the next thing asked of it is seen on another snapshot."""
        snapshot, self._snapshot = self._snapshot, None
        self._known.clear()
        if snapshot is not None:
            snapshot.close()


Act = Callable[[Sight], T]


class _Waiting(NamedTuple):
    """Something that is to be read, and who waits for it."""

    act: Act[Any]
    future: "asyncio.Future[Any]"


class Readers:
    """So many threads. Each takes what waits, its share of it, and tells the loop once.

    So a busy server asks the database for fewer snapshots and keys than it answers requests, and
    an idle one answers each at once.
    """

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop, threads: int) -> None:
        self._store = store
        self._loop = loop
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"dialoguedb-reader-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, act: Act[T]) -> "asyncio.Future[T]":
        """Have something read; for the loop's thread."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.put(_Waiting(act, future))
        return future

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            outcomes = self._read([first, *self._share()])
            self._loop.call_soon_threadsafe(settle, outcomes)

    def _share(self) -> list[_Waiting]:
        """Take a thread's share of what waits, so that the others have theirs."""
        taken: list[_Waiting] = []
        share = min(self._waiting.qsize() // len(self._threads), MAX_SHARED - 1)
        for _ in range(share):
            try:
                one = self._waiting.get_nowait()
            except queue.Empty:
                break
            if one is None:  # the end, and for one of the others
                self._waiting.put(None)
                break
            taken.append(one)
        return taken

    def _read(self, taken: list[_Waiting]) -> list[Outcome]:
        sight = Sight(self._store)
        outcomes = []
        for act, future in taken:
            if future.done():
                continue  # nobody waits any more
            try:
                outcomes.append(Outcome(future, act(sight), None))
            except Exception as error:  # noqa: BLE001 - it belongs to those who wait for an answer
                outcomes.append(Outcome(future, None, error))
                if not isinstance(error, DialogueDBError) or error.status >= 500:
                    sight.close()  # what has failed there may fail whoever comes next
        sight.close()
        return outcomes

    def close(self, wait_s: float) -> None:
        """End the threads when they have done what waits; one that hangs is not waited for."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join(wait_s)
