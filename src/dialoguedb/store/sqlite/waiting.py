"""Vectors that are still to come: made by a remote embedder outside any write.

The index itself is the queue: what is there with text and without a vector waits. So nothing is
lost by a restart, and two servers that do the same work do it twice, not wrong.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import NamedTuple

from dialoguedb.embed import Embedder, EmbedderRefused, EmbedderUnavailable
from dialoguedb.errors import DialogueDBError
from dialoguedb.search.entries import VECTORS, Key
from dialoguedb.search.indexer import Note, pieces_of
from dialoguedb.store.asking import of_dimension
from dialoguedb.store.protocol import ReadTx, Store, WriteTx
from dialoguedb.store.sqlite.index import Waiting
from dialoguedb.store.sqlite.store import SqliteStore
from dialoguedb.store.walking import note_of

log = logging.getLogger("dialoguedb.store")

#: Resources whose texts are embedded together.
BATCH = 64
#: How long to wait when nothing waits, and when the embedder does not answer: it doubles.
IDLE_S, FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 1.0, 60.0
#: Idle rounds after which it is looked for projects that have been erased: a minute's.
_TIDY_EACH = 120


class _Texts(NamedTuple):
    note: Note
    pieces: Sequence[str]


def embed_some(store: Store, embedder: Embedder, dimension: int, some: Sequence[Waiting]) -> int:
    """Make the vectors of resources, and store them where the texts are still the same.

    Args:
        store: where they are.
        embedder: the index's.
        dimension: of the index's vectors.
        some: the resources.
    Returns: how many of them are there.
    Raises:
        EmbedderUnavailable, EmbedderRefused: nothing has been stored.
    """
    found = [(one, _texts(store, one)) for one in some]
    there = [(one, texts) for one, texts in found if texts is not None and texts.pieces]
    if not there:
        return 0
    made = embedder.embed([piece for _, texts in there for piece in texts.pieces])
    vectors = iter(of_dimension(made, embedder.name, dimension))
    for one, texts in there:
        own = b"".join(next(vectors).tobytes() for _ in texts.pieces)
        store.write(one.scope, _storing(one, texts, own))
    return len(there)


def _texts(store: Store, one: Waiting) -> _Texts | None:
    def work(tx: ReadTx) -> _Texts | None:
        note = note_of(tx, one.key, one.place.created)
        return None if note is None else _Texts(note, pieces_of(note))

    return store.read(one.scope, work)


def _storing(one: Waiting, texts: _Texts, vectors: bytes) -> Callable[[WriteTx], None]:
    def work(tx: WriteTx) -> None:
        note = note_of(tx, one.key, one.place.created)
        if note is not None and pieces_of(note) == texts.pieces:
            tx.note(
                Note(
                    VECTORS,
                    note.kind,
                    note.id,
                    dialogue_id=note.dialogue_id,
                    sequence=note.sequence,
                    vectors=vectors,
                )
            )

    return work


class Filling:
    """Gives resources the vectors that they wait for, some at a time. For one thread."""

    def __init__(self, store: SqliteStore) -> None:
        """Make it; nothing is done yet."""
        self._store = store
        #: Resources that the embedder has refused, for as long as this lives.
        self.refused: set[Key] = set()

    def step(self) -> int:
        """Give up to `BATCH` resources their vectors.

        Returns: how many it was about; 0 when nothing waits but what has been refused, or the
            embedder cannot be had.
        Raises:
            EmbedderUnavailable: it can be tried again.
            EmbedderRefused: it is not for a text that the embedder refuses.
        """
        embedder, dimension, found = self._store.waiting(BATCH + len(self.refused))
        some = [one for one in found if one.key not in self.refused][:BATCH]
        if embedder is None or not some:
            return 0
        try:
            there = embed_some(self._store, embedder, dimension, some)
        except EmbedderRefused as error:
            if not error.because_of_texts:
                raise
            there = self._one_by_one(embedder, dimension, some)
        if there < len(some):
            self._store.forget_erased()
        return len(some)

    def _one_by_one(self, embedder: Embedder, dimension: int, some: Sequence[Waiting]) -> int:
        """Find the text that is refused; the others get their vectors."""
        there = 0
        for one in some:
            try:
                there += embed_some(self._store, embedder, dimension, [one])
            except EmbedderRefused as error:
                if not error.because_of_texts:
                    raise
                log.error("a text is refused, and found by its words alone: %s", error.message)
                self.refused.add(one.key)
                there += 1
        return there


@contextmanager
def filled(store: Store) -> Iterator[None]:
    """Give resources their vectors meanwhile, where it is the part of each process that has one."""
    if not isinstance(store, SqliteStore):
        yield
        return
    with closing(Filler(store)):
        yield


class Filler:
    """A thread that gives resources their vectors, for as long as a server runs."""

    def __init__(self, store: SqliteStore) -> None:
        """Begin, with the search index brought into memory."""
        self._store = store
        self._filling = Filling(store)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dialoguedb-filler", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        idle = 0
        loaded = False
        while not self._closing.is_set():
            try:
                if not loaded:
                    self._store.load_index()
                    loaded = True
                worked = self._filling.step()
                pause_s = FIRST_PAUSE_S
                wait_s = 0.0 if worked else IDLE_S
                idle = 0 if worked else idle + 1
                if idle % _TIDY_EACH == 1:
                    self._store.forget_erased()
            except EmbedderUnavailable as error:
                log.warning("vectors wait: %s", error.message)
                wait_s = error.retry_after_s or pause_s
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            except DialogueDBError as error:
                log.error("vectors wait: %s", error.message)
                wait_s = LONGEST_PAUSE_S
            except Exception:  # the thread's edge: it must live on
                log.exception("vectors wait")
                wait_s = LONGEST_PAUSE_S
            self._closing.wait(wait_s)

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._thread.join()
