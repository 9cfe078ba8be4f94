"""Vectors that are still to come, on PostgreSQL: made outside any write, by a background job."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dialoguedb.embed import Embedder
from dialoguedb.errors import AdminError
from dialoguedb.search.entries import VECTORS, Key
from dialoguedb.search.indexer import Note, pieces_of
from dialoguedb.store import backlog
from dialoguedb.store.asking import of_dimension
from dialoguedb.store.postgres.index import Generation
from dialoguedb.store.postgres.store import PostgresStore
from dialoguedb.store.protocol import Param, ReadTx, Scope, Store, WriteTx
from dialoguedb.store.refusing import without_refused
from dialoguedb.store.sqlite.waiting import BATCH
from dialoguedb.store.walking import note_of

log = logging.getLogger("dialoguedb.store")


class _Text(NamedTuple):
    """What waits: a resource, when it was created, and the pieces of its text."""

    key: Key
    created_ms: int
    pieces: Sequence[str]


class _Embedding(NamedTuple):
    """Embeds texts of one space for one index."""

    store: PostgresStore
    scope: Scope
    generation: int
    embedder: Embedder
    dimension: int

    def embed(self, some: Sequence[_Text]) -> list[None]:
        """Make vectors, and store them where the texts are still the same.

        Raises:
            EmbedderUnavailable, EmbedderRefused: nothing has been stored.
        """
        pieces = [piece for text in some for piece in text.pieces]
        rows: Iterator[NDArray[np.int8]] = iter(())
        if pieces:
            made = self.embedder.embed(pieces)
            rows = iter(of_dimension(made, self.embedder.name, self.dimension))
        vectors = [b"".join(next(rows).tobytes() for _ in text.pieces) for text in some]

        def work(tx: WriteTx) -> None:
            if backlog.is_used(tx, self.generation):
                for text, own in zip(some, vectors, strict=True):
                    self._put(tx, text, own)

        self.store.write(self.scope, work)
        return []

    def _put(self, tx: WriteTx, text: _Text, vectors: bytes) -> None:
        note = note_of(tx, text.key, text.created_ms)
        if note is None or not pieces_of(note):
            tx.all("waiting_fill", **self._where(text))
        elif pieces_of(note) == text.pieces:
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

    def refuse(self, text: _Text) -> None:
        """Have a text not tried again as long as it stays the same."""
        log.error("%s refuses a text; it is found by its words alone", self.embedder.name)

        def work(tx: WriteTx) -> None:
            note = note_of(tx, text.key, text.created_ms)
            if note is not None and pieces_of(note) == text.pieces:
                tx.all("waiting_refuse", **self._where(text))

        self.store.write(self.scope, work)

    def _where(self, text: _Text) -> dict[str, Param]:
        _, kind, owner, sequence = text.key
        return {
            "generation": self.generation,
            "kind": kind,
            "owner": owner,
            "sequence": sequence,
        }


def fill(store: Store, scope: Scope, generation: int) -> int:
    """Give up to `BATCH` texts of a space the vectors that they wait for.

    Args:
        store: the database.
        scope: the space.
        generation: the index; nothing is done unless it is the one in use.
    Returns: how many texts it was about.
    Raises:
        EmbedderUnavailable: it can be tried again.
        EmbedderRefused: so it is with every text.
        AdminError: there is no embedder here that the index could go on with.
    """
    assert isinstance(store, PostgresStore)
    index = store.read(None, _index(generation))
    some = [] if index is None else store.read(scope, _waiting(generation))
    if index is None or not some:
        return 0
    embedder = store.index.embedder(index)
    if embedder is None:
        raise AdminError(
            f"the search index is by {index.embedder}, which cannot be had here; give the worker "
            "the settings that the servers have, or run `dialoguedb reindex`"
        )
    dimension = index.dimension or _measured(store, index, embedder)
    embedding = _Embedding(store, scope, generation, embedder, dimension)
    without_refused(some, embedding.embed, embedding.refuse)
    return len(some)


def _index(generation: int) -> Callable[[ReadTx], Generation | None]:
    def work(tx: ReadTx) -> Generation | None:
        row = tx.one("index_active")
        return None if row is None or row[0] != generation else Generation._make(row)

    return work


def _waiting(generation: int) -> Callable[[ReadTx], list[_Text]]:
    def work(tx: ReadTx) -> list[_Text]:
        found = []
        for row in tx.all("waiting_some", generation=generation, limit=BATCH):
            space_id, kind, owner, created_ms, sequence = row
            key = Key(space_id, kind, owner, sequence)
            note = note_of(tx, key, created_ms)
            found.append(_Text(key, created_ms, [] if note is None else pieces_of(note)))
        return found

    return work


def _measured(store: PostgresStore, index: Generation, embedder: Embedder) -> int:
    """Learn how large the vectors of an embedder are; the index keeps it, and gets its graph."""
    dimension = int(embedder.embed(["dimension"]).shape[1])

    def work(tx: WriteTx) -> None:
        tx.run("index_measure", generation=index.number, dimension=dimension)

    store.write(None, work)
    store.make_graph()
    return dimension
