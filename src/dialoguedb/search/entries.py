"""What of a resource is indexed: an entry.

Entries, and blocks of them (`blocks.py`), are written with the database and read when it is opened;
to change their form takes a migration.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

MESSAGE, DIALOGUE, MEMORY = 0, 1, 2
#: What an entry says: the resource is as follows; it is gone; its vectors have come.
PUT, DELETE, VECTORS = 0, 1, 2
#: How a resource's vectors stand: it has no text, they are here, they are to come, or they are
#: those that it had (its text has not changed).
NO_TEXT, PRESENT, PENDING, KEPT = 0, 1, 2, 3
#: Repeats of a word in one text that are counted; more say nothing.
MOST_REPEATS = 255


class Key(NamedTuple):
    """What tells a resource from all others of its project."""

    space_id: int
    kind: int
    owner: str
    sequence: int


class Entry(msgspec.Struct, array_like=True, gc=False):
    """One resource's part of the index.

    Attributes:
        what: PUT, DELETE or VECTORS.
        kind: MESSAGE, DIALOGUE or MEMORY.
        id: the resource's id.
        dialogue_id: a message's dialogue.
        sequence: a message's number in its dialogue; 0 for the others.
        created: milliseconds UTC.
        modified: milliseconds UTC.
        at: when this was written, milliseconds UTC; a message's dialogue was modified then.
        has_image: whether the content has an image part.
        parent: the dialogue that a thread belongs to.
        terms: its distinct words, as the analyser gives them.
        counts: how often each occurs, a byte each.
        facets: its tags and metadata, see `facets.py`.
        state: how its vectors stand.
        vectors: one for each piece of its text, one after the other, a byte for each dimension.
    """

    what: int
    kind: int
    id: str
    dialogue_id: str = ""
    sequence: int = 0
    created: int = 0
    modified: int = 0
    at: int = 0
    has_image: bool = False
    parent: str = ""
    terms: list[str] = []
    counts: bytes = b""
    facets: list[str] = []
    state: int = NO_TEXT
    vectors: bytes = b""

    def key(self, space_id: int) -> Key:
        """Give what tells it from all others."""
        if self.kind == MESSAGE:
            return Key(space_id, MESSAGE, self.dialogue_id, self.sequence)
        return Key(space_id, self.kind, self.id, 0)


#: Entries with their spaces, in the order of commits.
Log = Iterable[tuple[int, Entry]]


_entries_decoder = msgspec.msgpack.Decoder(list[Entry])


def encode(entries: Sequence[Entry]) -> bytes:
    """Write a few entries for the change log."""
    return msgspec.msgpack.encode(entries)


def decode(data: bytes) -> list[Entry]:
    """Read a few entries of the change log."""
    return _entries_decoder.decode(data)
