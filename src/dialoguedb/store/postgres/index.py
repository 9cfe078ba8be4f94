"""The search index on PostgreSQL: a row for each resource, and one for each vector.

Both are written in the transaction that changes the resource, so whoever reads a row finds it by
search in the same snapshot. Nothing of it is in memory.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dialoguedb.embed import Embedder
from dialoguedb.runtime import chance
from dialoguedb.search import analyser
from dialoguedb.search.entries import (
    DELETE,
    MESSAGE,
    NO_TEXT,
    PENDING,
    PRESENT,
    PUT,
    Entry,
)
from dialoguedb.search.indexer import Indexer, Note
from dialoguedb.store import backlog
from dialoguedb.store.asking import Asker
from dialoguedb.store.embedders import Embedders
from dialoguedb.store.postgres.session import Binary, Session
from dialoguedb.store.postgres.tokens import (
    array_of,
    halves_of,
    in_both,
    of_facets,
    of_samples,
    of_words,
)
from dialoguedb.store.protocol import Row, Scope

#: Rows of figures that the writers of a space share; each has its own, as far as they are few.
SLOTS = 16
#: Between the parts of a facet; PostgreSQL's text cannot hold the mark that memory uses.
_MARK, _ESCAPE = "\x01\x01", "\x01\x02"


#: By space and kind: texts and words that have come.
Figures = dict[tuple[int, int], list[int]]
#: The key of an entry, as parameters.
Where = dict[str, Any]


class Generation(NamedTuple):
    """An index: whose vectors it holds, and whose words."""

    number: int
    embedder: str
    dimension: int
    analyser: int


class Used(NamedTuple):
    """The indexes that are written: the one in use, and one that is being built."""

    current: Generation
    building: Generation | None


class EntryIndex:
    """What is known of the index besides the database. Safe from several threads.

    Attributes:
        embedders: opens embedders and remembers them.
        apart: whether the spaces are on several nodes.
    """

    def __init__(self, embedders: Embedders) -> None:
        """Make it.

        Args:
            embedders: opens embedders and remembers them.
        """
        self.embedders = embedders
        self.apart = False
        self._asker = Asker()
        self.move()

    def move(self) -> None:
        """Count in another row of the figures: somebody else may use this one, too."""
        self._slot = int(chance() * SLOTS)

    def begin(self, session: Session, wanted: str) -> Generation:
        """Learn which index is in use; a new database gets one. In a transaction that writes."""
        current = active(session)
        if current is None:
            embedder = self.embedders.opened(wanted)
            session.ask(
                "index_begin",
                embedder=embedder.name,
                dimension=embedder.dimension or 0,
                analyser=analyser.VERSION,
                active=1,
            )
            current = active(session)
        assert current is not None
        return current

    def vector(self, generation: Generation, query: str) -> NDArray[np.int8] | None:
        """Embed a query by the model of an index; None where words alone must do."""
        embedder = self.embedder(generation)
        if embedder is None or not generation.dimension:
            return None
        return self._asker.vector(embedder, generation.dimension, query)

    def embedder(self, generation: Generation) -> Embedder | None:
        """Give the embedder of an index; None if it cannot be had."""
        return self.embedders.named(generation.embedder)

    def write(
        self,
        session: Session,
        used: "Used",
        works: Sequence[tuple[Scope, int, Sequence[Note]]],
        *,
        writer: int = 0,
    ) -> None:
        """Have the entries of works written, with the next statement that is waited for.

        Args:
            session: with the transaction of the works.
            used: the indexes to write into.
            works: the scope and space of each, and what it has noted.
            writer: which of the process's writers this is: each counts in a row of its own.
        """
        noted = [note for _, _, notes in works for note in notes]
        if not noted:
            return
        generation = used.current
        embedder = self.embedder(generation)
        inline = embedder is not None and embedder.inline and generation.dimension > 0
        made = iter(Indexer(embedder.embed if embedder and inline else None).entries(noted))
        slot = (self._slot + writer) % SLOTS
        figures: Figures = {}
        behind: set[tuple[int, str]] = set()
        for scope, space_id, notes in works:
            writing = _Writing(session, used, scope.project_id, space_id, figures, behind, slot)
            for note in notes:
                writing.write(note, next(made))
        for (space_id, kind), (texts, words) in sorted(figures.items()):
            where = {"space": space_id, "kind": kind, "slot": slot}
            session.queue("figures_add", {**where, "texts": texts, "words": words})
        for space_id, project_id in sorted(behind):
            backlog.expect(session, project_id, space_id, generation.number)


class _Writing(NamedTuple):
    """Writes what one work has changed."""

    session: Session
    used: "Used"
    project_id: str
    space_id: int
    figures: Figures
    behind: set[tuple[int, str]]
    slot: int

    def write(self, note: Note, entry: Entry) -> None:
        """Write an entry: a resource is as follows, or is gone, or its vectors have come."""
        key = entry.key(self.space_id)
        where: Where = {
            "space": self.space_id,
            "kind": entry.kind,
            "owner": key.owner,
            "sequence": key.sequence,
        }
        if note.what == PUT:
            self._put(note, entry, where)
            return
        if note.what == DELETE:
            self._forget_vectors(where)
            self.session.queue("figures_subtract", where | {"slot": self.slot})
            self.session.queue("entries_delete", where)
        else:
            current = {"generation": self.used.current.number}
            self.session.queue("waiting_fill", where | current)
            self._put_vectors(where, entry.vectors)

    def _put(self, note: Note, entry: Entry, where: Where) -> None:
        if entry.kind != MESSAGE or note.same_text:  # it may be there
            self.session.queue("figures_subtract", where | {"slot": self.slot})
            if not note.same_text:
                self._forget_vectors(where)
        row = row_of(entry, self.project_id, self.space_id)
        self.session.queue("entries_put", where | row)
        total = self.figures.setdefault((self.space_id, entry.kind), [0, 0])
        total[0] += 1
        total[1] += row["length"]
        if note.same_text:
            return
        if entry.state == PRESENT:
            self._put_vectors(where, entry.vectors)
        elif entry.state == PENDING:
            self._wait(where, self.used.current, entry)
            self.behind.add((self.space_id, self.project_id))
        if entry.state != NO_TEXT and self.used.building is not None:
            self._wait(where, self.used.building, entry)

    def _wait(self, where: Where, generation: Generation, entry: Entry) -> None:
        row = {"generation": generation.number, "created": entry.created}
        self.session.queue("waiting_put", where | row)

    def _forget_vectors(self, where: Where) -> None:
        self.session.queue("vectors_delete", where)
        self.session.queue("waiting_delete", where)

    def _put_vectors(self, where: Where, vectors: bytes) -> None:
        put_vectors(self.session, self.used.current, where, vectors)


def tokens_of(entry: Entry, project_id: str, space_id: int) -> NDArray[np.int64]:
    """Give the tokens of an entry: of each word two in two rows, then of each facet likewise."""
    key = entry.key(space_id)
    kinds = [
        of_words(entry.terms),
        of_facets(entry.facets),
        of_samples(key.owner, key.sequence),
    ]
    return in_both(kinds, space_id, project_id)


def row_of(entry: Entry, project_id: str, space_id: int) -> dict[str, Any]:
    """Give the columns of an entry besides its key."""
    tokens = tokens_of(entry, project_id, space_id)
    return {
        "created": entry.created,
        "modified": entry.modified,
        "image": int(entry.has_image),
        "length": sum(entry.counts),
        "counts": entry.counts,
        "tokens": Binary(array_of(tokens)),
        "facets": [written(facet) for facet in entry.facets],
    }


def put_vectors(session: Session, generation: Generation, where: Where, vectors: bytes) -> None:
    """Have the vectors of a resource written; see `Entry.vectors`."""
    pieces = np.frombuffer(vectors, np.int8).reshape(-1, generation.dimension)
    row = where | {"generation": generation.number}
    for number, piece in enumerate(pieces):
        session.queue("vectors_put", row | {"piece": number, "vector": Binary(halves_of(piece))})


def written(facet: str) -> str:
    """Write a facet as PostgreSQL's text can hold it."""
    return facet.replace("\x01", _ESCAPE).replace("\0", _MARK)


def active(session: Session) -> Generation | None:
    """Give the index in use, None in a new database."""
    rows = session.ask("index_active")
    return Generation._make(rows[0]) if rows else None


def used(rows: Sequence[Row]) -> Used | None:
    """Read the rows of `index_used`; None in a new database."""
    found = {row[4]: Generation._make(row[:4]) for row in rows}
    return Used(found[1], found.get(0)) if 1 in found else None
