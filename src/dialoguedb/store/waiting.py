"""Vectors that are still to come: made by a remote embedder outside any write.

The index itself is the queue: what is there with text and without a vector waits. So nothing is
lost by a restart, and two servers that do the same work do it twice, not wrong.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from dialoguedb.embed import Embedder, EmbedderRefused, EmbedderUnavailable
from dialoguedb.errors import DialogueDBError
from dialoguedb.search.entries import VECTORS, Key
from dialoguedb.search.indexer import Note, pieces_of
from dialoguedb.store.index import Waiting
from dialoguedb.store.protocol import ReadTx, Store, WriteTx
from dialoguedb.store.sqlite import SqliteStore
from dialoguedb.store.walking import note_of

log = logging.getLogger("dialoguedb.store")

#: Resources whose texts are embedded together.
BATCH = 64
#: How long to wait when nothing waits, and when the embedder does not answer: it doubles.
IDLE_S, FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 1.0, 60.0


class _Texts(NamedTuple):
    note: Note
    pieces: Sequence[str]


def embed_some(store: Store, embedder: Embedder, some: Sequence[Waiting]) -> None:
    """Make the vectors of resources, and store them where the texts are still the same.

    Raises:
        EmbedderUnavailable, EmbedderRefused: nothing has been stored.
    """
    found = [(one, _texts(store, one)) for one in some]
    there = [(one, texts) for one, texts in found if texts is not None and texts.pieces]
    if not there:
        return
    vectors = iter(embedder.embed([piece for _, texts in there for piece in texts.pieces]))
    for one, texts in there:
        made = b"".join(next(vectors).tobytes() for _ in texts.pieces)
        store.write(one.scope, _storing(one, texts, made))


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


class Filler:
    """A thread that gives resources their vectors, for as long as a server runs."""

    def __init__(self, store: SqliteStore) -> None:
        """Begin, with the search index brought into memory."""
        self._store = store
        self._closing = threading.Event()
        #: Resources that the embedder refuses, for as long as this runs.
        self._refused: set[Key] = set()
        self._thread = threading.Thread(target=self._run, name="dialoguedb-filler", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._closing.is_set():
            try:
                worked = self._fill()
                pause_s = FIRST_PAUSE_S
                wait_s = 0.0 if worked else IDLE_S
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

    def _fill(self) -> bool:
        embedder, found = self._store.waiting(BATCH + len(self._refused))
        some = [one for one in found if one.key not in self._refused][:BATCH]
        if embedder is None or not some:
            return False
        try:
            embed_some(self._store, embedder, some)
        except EmbedderRefused as error:
            if not error.because_of_texts:
                raise
            self._one_by_one(embedder, some)
        return True

    def _one_by_one(self, embedder: Embedder, some: Sequence[Waiting]) -> None:
        """Find the text that is refused; the others get their vectors."""
        for one in some:
            try:
                embed_some(self._store, embedder, [one])
            except EmbedderRefused as error:
                if not error.because_of_texts:
                    raise
                log.error("a text of %s is found by its words alone: %s", one.key.owner, error)
                self._refused.add(one.key)

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._thread.join()
