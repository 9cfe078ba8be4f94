"""Comparing the search index on PostgreSQL with the rows, and with what they would give anew.

Each step reads rows and index on one snapshot. Both are written in one transaction, so what others
write meanwhile makes no difference between them.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from dialoguedb.errors import AdminError
from dialoguedb.search import analyser
from dialoguedb.search.entries import (
    DIALOGUE,
    NO_TEXT,
    PENDING,
    PRESENT,
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
from dialoguedb.store.index_tools import Progress
from dialoguedb.store.postgres.filling import Notes, Space, columns, keyed
from dialoguedb.store.postgres.index import EntryIndex, Generation, tokens_of, written
from dialoguedb.store.protocol import ReadTx, Row, Scope, Store
from dialoguedb.store.walking import KINDS, Position, reading

Different = tuple[str, ...]
_PLURALS = {"message": "messages", "dialogue": "dialogues", "memory": "memories"}


class Columns(NamedTuple):
    """The columns of an entry besides its key."""

    created: int
    modified: int
    image: bool
    length: int
    counts: bytes
    tokens: list[int]
    facets: list[str]


class _Kept(NamedTuple):
    """What the index holds of a resource: its entry, its vectors, and whether they are to come."""

    entry: Columns | None
    vectors: list[bytes]
    waits: bool


class _Snapshot(NamedTuple):
    """A step of a walk, and what the index holds of it."""

    generation: Generation
    notes: Notes
    kept: dict[Key, _Kept]
    end: Position


class _Found:
    """What a comparison has found until now."""

    def __init__(self) -> None:
        self.checked = self.waiting = self.differing = 0
        self.first: list[Difference] = []

    def tell(self, difference: Difference) -> None:
        self.differing += 1
        if len(self.first) < MOST_TOLD:
            self.first.append(difference)


def verify(store: Store, index: EntryIndex, *, done: Progress) -> Report:
    """Compare the search index with the rows, space by space.

    Args:
        store: the database; others may write to it meanwhile.
        index: what is known of the index besides the database.
        done: told how many resources have been compared in a step.
    Raises:
        AdminError: the words of the index are another release's; all of it would differ.
    """
    found = _Found()
    spaces = store.read(None, lambda tx: tx.all("index_spaces"))
    for space_id, project_id, namespace in sorted(spaces):
        space = Space(space_id, Scope(project_id, namespace))
        told = _compare(store, index, space, found, done)
        _find_left(store, space, found, told)
    strays = store.read(None, lambda tx: tx.all("index_strays"))[0][0]
    return Report(found.checked, found.waiting, found.differing, strays, found.first)


def _compare(
    store: Store, index: EntryIndex, space: Space, found: _Found, done: Progress
) -> set[Key]:
    """Compare the resources of a space with their entries; give those that differ."""
    told: set[Key] = set()
    at = Position()
    while at.kind < len(KINDS):
        step = store.read(space.scope, lambda tx, at=at: _snapshot(tx, space, at))  # type: ignore[misc]
        at = step.end
        for key, what in _different(index, space, step):
            found.tell(_difference(space, key, what))
            told.add(key)
        found.checked += len(step.notes)
        found.waiting += sum(kept.waits for kept in step.kept.values())
        done(len(step.notes))
    return told


def _snapshot(tx: ReadTx, space: Space, at: Position) -> _Snapshot:
    generation = Generation._make(tx.all("index_active")[0])
    if generation.analyser != analyser.VERSION:
        raise AdminError("the search index was made by another release; run `dialoguedb reindex`")
    notes, end = reading(at)(tx)
    by_key = keyed(space, notes)
    return _Snapshot(generation, by_key, _kept(tx, list(by_key), generation), end)


def _kept(tx: ReadTx, keys: Sequence[Key], generation: Generation) -> dict[Key, _Kept]:
    """Read what the index holds of some resources."""
    if not keys:
        return {}
    which = columns(keys)
    in_index = which | {"generation": generation.number}
    entries = {Key._make(row[:4]): Columns._make(row[4:]) for row in tx.all("entries_at", **which)}
    vectors: dict[Key, list[bytes]] = {}
    for row in tx.all("vectors_at", **in_index):
        vectors.setdefault(Key._make(row[:4]), []).append(row[4])
    waits = {Key._make(row) for row in tx.all("waiting_at", **in_index)}
    return {key: _Kept(entries.get(key), vectors.get(key, []), key in waits) for key in keys}


def _different(index: EntryIndex, space: Space, step: _Snapshot) -> Iterator[tuple[Key, Different]]:
    embedder = index.embedder(step.generation)
    inline = embedder is not None and embedder.inline
    indexer = Indexer(embedder.embed if inline and embedder is not None else None)
    entries = indexer.entries(list(step.notes.values()))
    for (key, note), entry in zip(step.notes.items(), entries, strict=True):
        kept = step.kept[key]
        if kept.entry is None:
            yield key, ("missing",)
        elif what := _parts(space, entry, kept.entry) + _vectors(note, entry, kept):
            yield key, what


def _parts(space: Space, entry: Entry, kept: Columns) -> Different:
    """Give the parts of an entry that are not what they are to be."""
    made = tokens_of(entry, space.scope.project_id, space.number).tolist()
    words, kept_words = 2 * len(entry.counts), 2 * len(kept.counts)
    same = {
        "created": entry.created == kept.created,
        # A message that comes or goes modifies its dialogue, and not the entry of that.
        "modified": entry.modified == kept.modified or entry.kind == DIALOGUE,
        "image": entry.has_image == kept.image,
        "words": (made[:words], entry.counts, sum(entry.counts))
        == (kept.tokens[:kept_words], kept.counts, kept.length),
        "tags and metadata": (made[words:], [written(facet) for facet in entry.facets])
        == (kept.tokens[kept_words:], kept.facets),
    }
    return tuple(name for name, is_same in same.items() if not is_same)


def _vectors(note: Note, entry: Entry, kept: _Kept) -> Different:
    """Tell whether the vectors differ; those that are to come do not, if the text has any."""
    if kept.waits:
        return () if entry.state != NO_TEXT else ("vectors",)
    if entry.state == PENDING:
        return () if len(kept.vectors) == len(pieces_of(note)) else ("vectors",)
    state = PRESENT if kept.vectors else NO_TEXT
    held = Vectors(state, b"".join(_of_bytes(vector) for vector in kept.vectors))
    differ = vectors_differ(Vectors(entry.state, entry.vectors), held, 0)
    return ("vectors",) if differ else ()


def _of_bytes(halves: bytes) -> bytes:
    """Give a vector as an entry has it; `halves` as PostgreSQL sends it, see `halves_of`."""
    return np.frombuffer(halves, ">f2", offset=4).astype(np.int8).tobytes()


def _find_left(store: Store, space: Space, found: _Found, told: set[Key]) -> None:
    """Find what is left of resources that are no more, and figures that are wrong."""

    def work(tx: ReadTx) -> tuple[set[Key], list[Row], list[Row]]:
        rows = [row for kind in NAMES.values() for row in tx.all(f"entries_left_{_PLURALS[kind]}")]
        generation = tx.all("index_active")[0][0]
        rows += tx.all("vectors_left", generation=generation)
        return (
            {Key._make(row) for row in rows},
            tx.all("figures_kept"),
            tx.all("figures_counted"),
        )

    left, kept, counted = store.read(space.scope, work)
    for key in sorted(left - told):
        found.tell(_difference(space, key, ("left over",)))
    sums = {row[1]: row[2:] for row in kept if row[2:] != (0, 0)}
    right = {row[1]: row[2:] for row in counted}
    for kind in sorted(sums.keys() | right.keys()):
        if sums.get(kind) != right.get(kind):
            what = f"of {_PLURALS[NAMES[kind]]}"
            found.tell(Difference(space.scope, "figures", what, 0, ("counts",)))


def _difference(space: Space, key: Key, what: Different) -> Difference:
    return Difference(space.scope, NAMES[key.kind], key.owner, key.sequence, what)
