"""Comparing the search index with the rows: what a process would read of it now, and what it
would be if it were made anew.

Rows change while this runs. So what differs is looked at once more, rows and index in one snapshot.
"""

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import msgspec

from dialoguedb.errors import AdminError
from dialoguedb.search import analyser
from dialoguedb.search.entries import (
    PENDING,
    Entry,
    Key,
)
from dialoguedb.search.indexer import Indexer, Note, pieces_of
from dialoguedb.store.differing import (
    MOST_TOLD,
    NAMES,
    Difference,
    Report,
    Vectors,
    vectors_differ,
)
from dialoguedb.store.protocol import ReadTx, Scope
from dialoguedb.store.sqlite.index import Generation, SearchIndex
from dialoguedb.store.sqlite.session import Session
from dialoguedb.store.sqlite.store import SqliteStore
from dialoguedb.store.walking import note_of, walk


class _Held(NamedTuple):
    """What is kept of an entry: a digest of what must be equal, and its vectors."""

    digest: bytes
    vectors: Vectors


class _Space(NamedTuple):
    number: int
    scope: Scope


def verify(store: SqliteStore, index: SearchIndex, *, done: Callable[[int], None]) -> Report:
    """Compare the search index with the rows, space by space.

    Args:
        store: the database; others may write to it meanwhile.
        index: one that has read nothing yet: what is on disk is compared.
        done: told how many resources have been compared in a step.
    Raises:
        AdminError: the words of the index are another release's; all of it would differ.
    """
    checked = waiting = differing = 0
    first: list[Difference] = []
    for space in _spaces(store):
        generation, held = store.with_session(partial(_held, index, space))
        if generation.analyser != analyser.VERSION:
            raise AdminError(
                "the search index was made by another release; run `dialoguedb reindex`"
            )
        indexer, with_vectors = _indexer(index, generation)
        suspects: dict[Key, set[int]] = {}
        for notes, _ in walk(store, space.scope):
            for note, entry in zip(notes, indexer.entries(notes), strict=True):
                key = entry.key(space.number)
                mine, kept = _kept(entry), held.pop(key, None)
                if kept is None or _unlike(mine, kept, _pieces(note, with_vectors)):
                    suspects.setdefault(key, set()).add(entry.created)
                waiting += kept is not None and kept.vectors.state == PENDING
            checked += len(notes)
            done(len(notes))
        for key in held:
            suspects.setdefault(key, set())
        for found in _confirmed(store, index, space, suspects):
            differing += 1
            first += [found] if len(first) < MOST_TOLD else []
    strays: int = store.with_session(lambda session: session.ask("index_strays"))[0][0]
    return Report(checked, waiting, differing, strays, first)


def _spaces(store: SqliteStore) -> Iterator[_Space]:
    rows = store.with_session(lambda session: session.ask("index_spaces"))
    for space_id, project_id, namespace in sorted(rows):
        yield _Space(space_id, Scope(project_id, namespace))


def _entries(
    index: SearchIndex, session: Session, space: _Space
) -> tuple[Generation, Iterator[Entry]]:
    shelf, generation = index.shelf(session, space.scope.project_id)
    return generation, iter(() if shelf is None else shelf.entries(space.number))


def _held(
    index: SearchIndex, space: _Space, session: Session
) -> tuple[Generation, dict[Key, _Held]]:
    generation, found = _entries(index, session, space)
    return generation, {entry.key(space.number): _kept(entry) for entry in found}


def _indexer(index: SearchIndex, generation: Generation) -> tuple[Indexer, bool]:
    """Give what makes entries anew, and whether with vectors: a remote model is not asked again."""
    embedder = index.embedder(generation)
    if embedder is not None and embedder.inline:
        return Indexer(embedder.embed), True
    return Indexer(None), False


def _kept(entry: Entry) -> _Held:
    parts = msgspec.msgpack.encode(
        (
            entry.created,
            entry.modified,
            entry.has_image,
            entry.parent,
            sorted(zip(entry.terms, entry.counts, strict=True)),
            sorted(entry.facets),
        )
    )
    digest = hashlib.blake2b(parts, digest_size=16).digest()
    return _Held(digest, Vectors(entry.state, entry.vectors))


def _pieces(note: Note, with_vectors: bool) -> int:
    """Count the vectors that a resource has; 0 where the vectors themselves are compared."""
    return 0 if with_vectors else len(pieces_of(note))


def _unlike(made: _Held, kept: _Held, pieces: int) -> bool:
    return made.digest != kept.digest or vectors_differ(made.vectors, kept.vectors, pieces)


def _confirmed(
    store: SqliteStore, index: SearchIndex, space: _Space, suspects: dict[Key, set[int]]
) -> Iterator[Difference]:
    """Compare once more what differed, rows and index in one snapshot."""
    if not suspects:
        return
    snapshot = store.snapshot()
    try:
        generation, found = _entries(index, snapshot.session, space)
        kept = {key: one for one in found if (key := one.key(space.number)) in suspects}
        for key, entry in kept.items():
            suspects[key].add(entry.created)
        notes = snapshot.read(space.scope, _noting(suspects))
    finally:
        snapshot.close()
    indexer, with_vectors = _indexer(index, generation)
    made = dict(zip(notes, indexer.entries(list(notes.values())), strict=True))
    for key in suspects:
        pieces = _pieces(notes[key], with_vectors) if key in notes else 0
        what = _differences(made.get(key), kept.get(key), pieces)
        if what:
            yield Difference(space.scope, NAMES[key.kind], key.owner, key.sequence, what)


def _noting(suspects: dict[Key, set[int]]) -> Callable[[ReadTx], dict[Key, Note]]:
    def work(tx: ReadTx) -> dict[Key, Note]:
        found: dict[Key, Note] = {}
        for key, times in suspects.items():
            for created_ms in times or {0}:
                note = note_of(tx, key, created_ms)
                if note is not None:
                    found[key] = note
        return found

    return work


def _differences(made: Entry | None, kept: Entry | None, pieces: int) -> tuple[str, ...]:
    if made is None:
        return () if kept is None else ("left over",)
    if kept is None:
        return ("missing",)
    pairs = {
        "created": made.created == kept.created,
        "modified": made.modified == kept.modified,
        "image": made.has_image == kept.has_image,
        "thread": made.parent == kept.parent,
        "words": _counts(made) == _counts(kept),
        "tags and metadata": sorted(made.facets) == sorted(kept.facets),
        "vectors": not vectors_differ(_kept(made).vectors, _kept(kept).vectors, pieces),
    }
    return tuple(name for name, same in pairs.items() if not same)


def _counts(entry: Entry) -> dict[str, int]:
    return dict(zip(entry.terms, entry.counts, strict=True))
