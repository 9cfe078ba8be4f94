"""Giving texts the vectors that they wait for, as the owner of a PostgreSQL database.

A text waits by a row of its own, for each index. Vectors are made outside transactions, and stored
in one that takes the row away and sees that the text is still the same. Who changes the text
touches that row too, so of two who meet one runs again and sees what the other has done.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from dialoguedb.embed import Embedder
from dialoguedb.runtime import Runtime
from dialoguedb.search.entries import MESSAGE, Key
from dialoguedb.search.indexer import Indexer, Note, Words, pieces_of, text_of, words_of
from dialoguedb.store import statements
from dialoguedb.store.asking import of_dimension
from dialoguedb.store.postgres.failing import AGAIN
from dialoguedb.store.postgres.index import EntryIndex, Generation, put_vectors, row_of
from dialoguedb.store.postgres.session import BEGIN_READ, BEGIN_WRITE, Session
from dialoguedb.store.postgres.tx import PostgresTx
from dialoguedb.store.protocol import ReadTx, Scope
from dialoguedb.store.refusing import without_refused
from dialoguedb.store.walking import note_of

#: Resources that are embedded together when they are found by what waits.
BATCH = 256

Notes = dict[Key, Note]
#: Reads resources of a space on one snapshot.
Reading = Callable[[ReadTx], Notes]


class Space(NamedTuple):
    """A space of the database."""

    number: int
    scope: Scope


class _Waiting(NamedTuple):
    """A row of `index_waiting`."""

    space_id: int
    kind: int
    owner: str
    sequence: int
    created: int

    @property
    def key(self) -> Key:
        return Key(*self[:4])


class _Made(NamedTuple):
    """What a resource's text comes to.

    Attributes:
        note: of which it was made.
        vectors: as of `Entry`; None where the embedder refuses the text.
        words: of the text, where entries are made too.
    """

    note: Note
    vectors: bytes | None
    words: Words | None


class Filler:
    """Fills one index; for one thread."""

    def __init__(
        self,
        session: Session,
        index: EntryIndex,
        runtime: Runtime,
        generation: Generation,
        embedder: Embedder,
        *,
        with_entries: bool,
    ) -> None:
        """Make it; nothing is done yet.

        Args:
            session: as the owner, in no transaction.
            index: what is known of the index besides the database.
            runtime: the clock and ids.
            generation: the index to fill.
            embedder: makes its vectors.
            with_entries: whether entries are made too, and those of what is no more dropped.
        """
        self.session = session
        self.generation = generation
        #: Resources whose texts the embedder has refused.
        self.refused: set[Key] = set()
        self._index = index
        self._runtime = runtime
        self._embedder = embedder
        self._with_entries = with_entries

    # ── what waits ───────────────────────────────────────────────────────────────────────────

    def waiting(self, most: int) -> list[_Waiting]:
        """Give up to `most` resources that wait, but those whose texts are refused."""
        found: list[_Waiting] = []
        after = _Waiting(0, 0, "", 0, 0)
        while len(found) < most:
            rows = [
                _Waiting._make(row)
                for row in self.session.ask(
                    "index_waiting",
                    generation=self.generation.number,
                    after_space=after.space_id,
                    after_kind=after.kind,
                    after_owner=after.owner,
                    after_sequence=after.sequence,
                    most=most,
                )
            ]
            found += [row for row in rows if row.key not in self.refused]
            if len(rows) < most:
                break
            after = rows[-1]
        return found[:most]

    def step(self) -> int:
        """Give up to `BATCH` resources their vectors.

        Returns: how many it was about; 0 when nothing waits but what has been refused.
        Raises:
            EmbedderUnavailable, EmbedderRefused: it is not for a text that is refused.
        """
        some = self.waiting(BATCH)
        names = {row[0]: Scope(row[1], row[2]) for row in self.session.ask("index_spaces")}
        for space_id, rows in groupby(some, key=lambda row: row.space_id):
            if space_id not in names:  # nothing can be left of it
                number = self.generation.number
                run(self.session, "index_waiting_drop", space=space_id, generation=number)
                continue
            created = {row.key: row.created for row in rows}
            self.fill(Space(space_id, names[space_id]), _noting(created), list(created))
        return len(some)

    # ── filling ──────────────────────────────────────────────────────────────────────────────

    def fill(self, space: Space, read: Reading, keys: Sequence[Key] | None = None) -> int:
        """Give those resources their vectors that wait for them.

        Args:
            space: theirs.
            read: gives them, as they are when it is called.
            keys: which; None for all that are read. One that is no more waits no longer.
        Returns: how many of them waited.
        """
        self.session.begin(BEGIN_READ)
        try:
            notes = read(self._tx(space))
            waiting = self._among(space, list(notes) if keys is None else keys)
        finally:
            self.session.undo()
        made = self._made({key: notes[key] for key in waiting if key in notes})
        self._store(space, read, waiting, made)
        return len(waiting)

    def _tx(self, space: Space) -> PostgresTx:
        tx = PostgresTx(self.session, space.scope, self._runtime, self._index)
        tx.find_space({})
        return tx

    def _among(self, space: Space, keys: Sequence[Key]) -> list[Key]:
        """Give those of some resources that wait."""
        rows = self.session.ask(
            "waiting_at",
            space=space.number,
            generation=self.generation.number,
            **columns(keys),
        )
        return [key for row in rows if (key := Key._make(row)) not in self.refused]

    def _made(self, notes: Notes) -> dict[Key, _Made]:
        """Make the vectors of resources, and the words; the embedder is asked for all together."""
        pieces = {key: pieces_of(note) for key, note in notes.items()}

        def embedded(keys: Sequence[Key]) -> list[bytes | None]:
            texts = [piece for key in keys for piece in pieces[key]]
            if not texts:
                return [b""] * len(keys)
            name, dimension = self._embedder.name, self.generation.dimension
            vectors = of_dimension(self._embedder.embed(texts), name, dimension)
            ends = np.cumsum([len(pieces[key]) for key in keys])[:-1]
            return [part.tobytes() for part in np.split(vectors, ends)]

        def refused(key: Key) -> None:
            self.refused.add(key)

        vectors = without_refused(list(notes), embedded, refused) if notes else []
        return {
            key: _Made(notes[key], of_it, self._words(notes[key]))
            for key, of_it in zip(notes, vectors, strict=True)
        }

    def _words(self, note: Note) -> Words | None:
        return words_of(text_of(note)) if self._with_entries else None

    def _store(
        self, space: Space, read: Reading, keys: Sequence[Key], made: Mapping[Key, _Made]
    ) -> None:
        """Store what has been made; of what others keep changing, what can be: the rest waits."""
        if not keys:
            return
        try:
            self._attempt(space, read, keys, made)
        except AGAIN:
            self.session.undo()
            if len(keys) > 1:
                half = len(keys) // 2
                self._store(space, read, keys[:half], made)
                self._store(space, read, keys[half:], made)
        finally:
            self.session.undo()

    def _attempt(
        self, space: Space, read: Reading, keys: Sequence[Key], made: Mapping[Key, _Made]
    ) -> None:
        """Store what has been made of resources, in one transaction."""
        self.session.begin(BEGIN_WRITE)
        now = read(self._tx(space))
        taken = self._take(space, [key for key in keys if _is_settled(key, now, made)])
        for key in keys:
            one = made.get(key)
            if one is not None and key in now and _same_text(one.note, now[key]):
                self._put(space, key, now[key], one, with_vectors=key in taken)
            elif key in taken and self._with_entries:
                self.session.queue("entries_delete", _where(key))
        self.session.commit(tell_position=False)

    def _take(self, space: Space, keys: Sequence[Key]) -> set[Key]:
        """Take those of some resources that still wait from those that do."""
        rows = self.session.ask(
            "index_waiting_take",
            space=space.number,
            generation=self.generation.number,
            **columns(keys),
        )
        return {Key(space.number, *row) for row in rows}

    def _put(self, space: Space, key: Key, note: Note, made: _Made, *, with_vectors: bool) -> None:
        where = _where(key)
        if self._with_entries:
            entry = Indexer(None).entries([note._replace(words=made.words)])[0]
            row = row_of(entry, space.scope.project_id, space.number)
            self.session.queue("index_entry_mend", where | row)
        if with_vectors and made.vectors:
            put_vectors(self.session, self.generation, where, made.vectors)


def run(session: Session, statement: str, **params: str | int) -> int:
    """Run a named statement of the store's own; give how many rows it changed."""
    return session.changed(statements.load("postgres")[statement].sql, params)[1]


def columns(keys: Sequence[Key]) -> dict[str, Any]:
    """Give the keys of resources as the statements take them."""
    return {
        "kinds": [key.kind for key in keys],
        "owners": [key.owner for key in keys],
        "sequences": [key.sequence for key in keys],
    }


def keyed(space: Space, notes: Sequence[Note]) -> Notes:
    """Give notes by the keys of their resources."""
    return {
        Key(space.number, MESSAGE, note.dialogue_id, note.sequence)
        if note.kind == MESSAGE
        else Key(space.number, note.kind, note.id, 0): note
        for note in notes
    }


def _noting(created: Mapping[Key, int]) -> Reading:
    def work(tx: ReadTx) -> Notes:
        found = {key: note_of(tx, key, created_ms) for key, created_ms in created.items()}
        return {key: note for key, note in found.items() if note is not None}

    return work


def _is_settled(key: Key, now: Notes, made: Mapping[Key, _Made]) -> bool:
    """Tell whether a resource waits no longer: its vectors are made, or it is gone."""
    if key not in now:
        return key not in made
    one = made.get(key)
    return one is not None and one.vectors is not None and _same_text(one.note, now[key])


def _same_text(one: Note, other: Note) -> bool:
    return (one.text, one.name, one.description) == (other.text, other.name, other.description)


def _where(key: Key) -> dict[str, Any]:
    space_id, kind, owner, sequence = key
    return {"space": space_id, "kind": kind, "owner": owner, "sequence": sequence}
