"""What reads for an event loop: as many requests as wait, side by side on one snapshot.

It is done in the loop itself where a connection is at hand: what waits for the database is put
aside meanwhile (a greenlet), and no thread is woken. Whatever does not go smoothly there is done
again by threads, which may wait: for a connection, or for a database that is away.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from greenlet import getcurrent, greenlet

from dialoguedb.errors import DialogueDBError, ServiceUnavailable
from dialoguedb.server.carrier import INLINE_BYTES, Question, settle
from dialoguedb.store.protocol import Outcome, Snapshot, Store, T

#: Requests that share a snapshot at most: the last of them waits for all before.
MAX_SHARED = 32
#: Snapshots that the loop reads on at once.
MAX_LANES = 2
#: As `protocol.WaitFor` has them.
_READ, _WRITE = 1, 2
#: Answers that are remembered as guesses; then all are forgotten.
MAX_GUESSES = 10_000


class Sight:
    """What one thread sees of the store: a snapshot, taken when something is first asked of it.

    Attributes:
        known: answers to questions, by their keys.
    """

    __slots__ = ("_snapshot", "_take", "known")

    def __init__(self, take: Callable[[], Snapshot]) -> None:
        self._take = take
        self._snapshot: Snapshot | None = None
        self.known: dict[Hashable, Any] = {}

    def snapshot(self) -> Snapshot:
        """Give the snapshot; it holds all that had been answered before it was first asked for."""
        if self._snapshot is None:
            self._snapshot = self._take()
        return self._snapshot

    def learn(self, questions: Mapping[Hashable, Question[Any]]) -> None:
        """Answer questions; `questions`: by their keys.

        They are the first thing that is read, so they are what meets a connection that has been
        lost while nobody used it. Then they are asked again: the next connection is a new one.
        """
        if not questions:
            return
        try:
            self.known = self._answers(questions)
        except ServiceUnavailable:
            self.close()
            self.known = self._answers(questions)

    def _answers(self, questions: Mapping[Hashable, Question[Any]]) -> dict[Hashable, Any]:
        found = self.snapshot().side_by_side(self.asking(questions))
        return dict(zip(questions, found, strict=True))

    def asking(self, questions: Mapping[Hashable, Question[Any]]) -> list[Callable[[], Any]]:
        """Give acts that answer questions."""
        return [partial(self.snapshot().read, None, one.work) for one in questions.values()]

    def answer(self, question: Question[T]) -> T:
        """Give the answer to a question that has been learnt."""
        known: T = self.known[question.key]
        return known

    def close(self) -> None:
        """Let go of it; the next thing asked of it is seen on another snapshot."""
        snapshot, self._snapshot = self._snapshot, None
        self.known = {}
        if snapshot is not None:
            snapshot.close()


Act = Callable[[Sight], T]


class _Waiting(NamedTuple):
    """Something that is to be read, what is to be known for it, and who waits for it."""

    act: Act[Any]
    questions: Sequence[Question[Any]]
    future: "asyncio.Future[Any]"


class Readers:
    """See the module. What has come in a turn of the loop is read together."""

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop, threads: int) -> None:
        """Make it, with so many threads; for the loop's thread, as is all else."""
        self._store = store
        self._loop = loop
        self._hub = getcurrent()
        self._come: list[_Waiting] = []
        self._lanes = 0
        #: The loop itself holds its tasks only weakly.
        self._running: set[asyncio.Task[None]] = set()
        #: What questions have been answered with last: a guess, never more.
        self._guesses: dict[Hashable, Any] = {}
        #: What threads are to do; each gives what comes of it.
        self._waiting: queue.SimpleQueue[Callable[[], list[Outcome]] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"dialoguedb-reader-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, act: Act[T], questions: Sequence[Question[Any]] = ()) -> "asyncio.Future[T]":
        """Have something read.

        Args:
            act: reads it. It may be broken off and be run again.
            questions: what the act asks its sight for.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        if not self._come:
            self._loop.call_soon(self._hand_over)
        self._come.append(_Waiting(act, questions, future))
        return future

    def submit_apart(self, act: Callable[[], T]) -> "asyncio.Future[T]":
        """Have something done in a thread: it takes of the store what it needs by itself."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.put(partial(_apart, act, future))
        return future

    def _hand_over(self) -> None:
        """Begin to read what has come, unless enough is being read: then more comes meanwhile."""
        while self._come and self._lanes < MAX_LANES:
            taken, self._come = self._come[:MAX_SHARED], self._come[MAX_SHARED:]
            taken = [one for one in taken if not one.future.done()]  # else nobody waits any more
            if not taken:
                continue
            snapshot = self._store.snapshot_at_once(self._wait, most_bytes=INLINE_BYTES)
            if snapshot is None:
                self._waiting.put(partial(self._read, taken))
            else:
                self._lanes += 1
                lane = self._loop.create_task(self._lane(taken, snapshot))
                self._running.add(lane)
                lane.add_done_callback(self._running.discard)

    # ── in the loop ──────────────────────────────────────────────────────────────────────────

    async def _lane(self, taken: Sequence[_Waiting], snapshot: Snapshot) -> None:
        """Read in the loop, on a snapshot that has been taken.

        Only this coroutine speaks to the loop: the stack of a greenlet lies where that of the loop
        would be, which is put away meanwhile.
        """
        lane = greenlet(self._read_in_loop)
        try:
            said = lane.switch(taken, snapshot)
            while not lane.dead:
                waiter, *wait = said
                try:
                    ready = await self._ready(*wait)
                except BaseException as error:  # noqa: BLE001 - it is the one who waits who is told
                    said = waiter.throw(error)
                else:
                    said = waiter.switch(ready)
            settle(said)
        except Exception:  # noqa: BLE001 - threads find out what it was, and tell
            self._waiting.put(partial(self._read, taken))
        finally:
            self._lanes -= 1
        self._hand_over()

    def _read_in_loop(self, taken: Sequence[_Waiting], snapshot: Snapshot) -> list[Outcome]:
        snapshots = iter((snapshot,))
        sight = Sight(lambda: next(snapshots))
        try:
            return self._side_by_side(taken, sight)
        finally:
            sight.close()

    def _wait(self, fd: int, wanted: int, timeout_s: float) -> int:
        """Put the greenlet that runs aside until a connection is ready; see `protocol.WaitFor`."""
        found: int = self._hub.switch(getcurrent(), fd, wanted, timeout_s)
        return found

    async def _ready(self, fd: int, wanted: int, timeout_s: float) -> int:
        """Wait for a connection, as `_wait` is to."""
        loop = self._loop
        future: asyncio.Future[int] = loop.create_future()

        def ready(what: int) -> None:
            if not future.done():
                future.set_result(what)

        if wanted & _READ:
            loop.add_reader(fd, ready, _READ)
        if wanted & _WRITE:
            loop.add_writer(fd, ready, _WRITE)
        timer = loop.call_later(timeout_s, ready, 0)
        try:
            return await future
        finally:
            timer.cancel()
            loop.remove_reader(fd)
            loop.remove_writer(fd)

    # ── in threads ───────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        while (act := self._waiting.get()) is not None:
            self._loop.call_soon_threadsafe(settle, act())

    def _read(self, taken: Sequence[_Waiting]) -> list[Outcome]:
        """Read on one snapshot; when that fails, each on its own: one may have failed for all."""
        taken = [one for one in taken if not one.future.done()]  # else nobody waits any more
        if not taken:
            return []
        sight = Sight(self._store.snapshot)
        try:
            return self._side_by_side(taken, sight)
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait for an answer
            if len(taken) == 1:
                return [Outcome(taken[0].future, None, error)]
        finally:
            sight.close()
        return [outcome for one in taken for outcome in self._read([one])]

    # ── in either ────────────────────────────────────────────────────────────────────────────

    def _side_by_side(self, taken: Sequence[_Waiting], sight: Sight) -> list[Outcome]:
        """Read on one snapshot, at first as if questions had the answers that they had last.

        They are asked at the same time. Mostly the guess was right, and a wait has been saved.
        """
        questions = {question.key: question for one in taken for question in one.questions}
        guessed = {key: self._guesses[key] for key in questions if key in self._guesses}
        if questions and len(guessed) == len(questions):
            sight.known = guessed
            acts: list[Callable[[], Any]] = sight.asking(questions)
            acts += [partial(_outcome, one, sight) for one in taken]
            try:
                found = sight.snapshot().side_by_side(acts)
            except ServiceUnavailable:
                sight.close()  # as in `learn`: the connection may have been lost before
            else:
                if found[: len(questions)] == list(guessed.values()):
                    return found[len(questions) :]
        sight.learn(questions)
        self._remember(sight.known)
        return sight.snapshot().side_by_side([partial(_outcome, one, sight) for one in taken])

    def _remember(self, answers: Mapping[Hashable, Any]) -> None:
        if len(self._guesses) >= MAX_GUESSES:
            self._guesses.clear()
        self._guesses |= answers

    def close(self, wait_s: float) -> None:
        """End the threads when they have done what waits; one that hangs is not waited for."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join(wait_s)


def _apart(act: Callable[[], Any], future: "asyncio.Future[Any]") -> list[Outcome]:
    try:
        return [Outcome(future, act(), None)]
    except Exception as error:  # noqa: BLE001 - it belongs to who waits for an answer
        return [Outcome(future, None, error)]


def _outcome(one: _Waiting, sight: Sight) -> Outcome:
    """Read something.

    Raises:
        Exception: it has failed in a way that may be the snapshot's.
    """
    try:
        return Outcome(one.future, one.act(sight), None)
    except DialogueDBError as error:
        if error.status >= 500:
            raise
        return Outcome(one.future, None, error)
