"""From a resource to its entry in the index: its words, its facets and its vectors."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dialoguedb.search import analyser, facets, texts
from dialoguedb.search.entries import (
    KEPT,
    MEMORY,
    MESSAGE,
    MOST_REPEATS,
    NO_TEXT,
    PENDING,
    PRESENT,
    PUT,
    Entry,
)

#: Texts to int8 vectors, one row for each.
Embed = Callable[[Sequence[str]], NDArray[np.int8]]


class Words(NamedTuple):
    """What a text comes to.

    Attributes:
        terms: its distinct words.
        counts: how often each occurs, a byte each.
        pieces: what of it gets a vector each.
    """

    terms: list[str]
    counts: bytes
    pieces: list[str]


def words_of(text: texts.Text) -> Words:
    """Analyse a text; up to a second for a megabyte."""
    terms = analyser.terms(text.words)
    counted = Counter(terms)
    if len(terms) <= MOST_REPEATS:
        counts = bytes(counted.values())
    else:
        counts = bytes(min(count, MOST_REPEATS) for count in counted.values())
    return Words(list(counted), counts, texts.pieces(text.embedded))


class Note(NamedTuple):
    """What has happened to a resource, with all that its entry is made of.

    Attributes:
        what: PUT, DELETE or VECTORS.
        kind: MESSAGE, DIALOGUE or MEMORY.
        id: the resource's id.
        at: when, milliseconds UTC.
        dialogue_id: a message's dialogue.
        sequence: a message's number.
        created: milliseconds UTC.
        modified: milliseconds UTC.
        text: a message's content or a memory's value as JSON; a dialogue's label.
        name: a message's speaker or a memory's label.
        description: a memory's.
        tags: as JSON.
        metadata: as JSON.
        parent: the dialogue that a thread belongs to.
        same_text: whether it has been indexed before with the same text.
        vectors: those that have come, see `Entry`.
        words: what the text comes to, if that is known; a long text is analysed outside the
            transaction.
    """

    what: int
    kind: int
    id: str
    at: int = 0
    dialogue_id: str = ""
    sequence: int = 0
    created: int = 0
    modified: int = 0
    text: str = ""
    name: str | None = None
    description: str | None = None
    tags: str = "[]"
    metadata: str = "{}"
    parent: str = ""
    same_text: bool = False
    vectors: bytes = b""
    words: Words | None = None


class Indexer:
    """Makes entries; safe from several threads."""

    def __init__(self, embed: Embed | None) -> None:
        """Make one.

        Args:
            embed: makes vectors at once; None where they come later.
        """
        self._embed = embed

    def entries(self, notes: Sequence[Note]) -> list[Entry]:
        """Make the entries of notes; the texts of all are embedded together."""
        made: list[Entry] = []
        pieces: list[str] = []
        owners: list[int] = []
        for note in notes:
            entry, text = _entry(note)
            made.append(entry)
            if entry.state == NO_TEXT:
                continue
            if self._embed is None:
                entry.state = KEPT if note.same_text else PENDING
                continue
            pieces += text
            owners += [len(made) - 1] * len(text)
        if pieces and self._embed is not None:
            vectors = self._embed(pieces)
            for owner, vector in zip(owners, vectors, strict=True):
                made[owner].state = PRESENT
                made[owner].vectors += vector.tobytes()
        return made


def _entry(note: Note) -> tuple[Entry, list[str]]:
    """Make an entry without vectors, and the pieces of text that get one each."""
    entry = Entry(
        note.what,
        note.kind,
        note.id,
        dialogue_id=note.dialogue_id,
        sequence=note.sequence,
        created=note.created,
        modified=note.modified,
        at=note.at,
        parent=note.parent,
        vectors=note.vectors,
    )
    if note.what != PUT:
        return entry, []
    words = note.words or words_of(text_of(note))
    entry.terms, entry.counts = words.terms, words.counts
    entry.facets = facets.of_resource(note.tags, note.metadata)
    if note.kind == MESSAGE:
        if note.name:
            entry.facets += _speaker(note.name)
        entry.has_image = texts.has_image(note.text)
    entry.state = PENDING if words.pieces else NO_TEXT
    return entry, words.pieces


@lru_cache(maxsize=4096)
def _speaker(name: str) -> tuple[str, ...]:
    """Give the facets of a speaker's name: one for each of its words."""
    terms = dict.fromkeys(analyser.terms(name))
    return tuple(facets.facet(facets.SPEAKER, term) for term in terms)


def pieces_of(note: Note) -> list[str]:
    """Give the pieces of a resource's text that get a vector each."""
    return texts.pieces(text_of(note).embedded)


def text_of(note: Note) -> texts.Text:
    """Give the text of a resource that is searched (contract 8.7)."""
    if note.kind == MESSAGE:
        return texts.of_message(note.text, note.name)
    if note.kind == MEMORY:
        return texts.of_memory(note.text, note.name, note.description)
    return texts.of_dialogue(note.text or None)
