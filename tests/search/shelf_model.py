"""A shelf in plain Python: what happened to some spaces, and what an index must hold of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dialoguedb.search.entries import (
    DELETE,
    DIALOGUE,
    KEPT,
    MEMORY,
    MESSAGE,
    NO_TEXT,
    PENDING,
    PRESENT,
    PUT,
    VECTORS,
    Entry,
    Key,
)

DIMENSION = 8
#: Spaces and their namespaces.
SPACES = {11: "", 4: "north", 7: "south"}


class Change(NamedTuple):
    """One thing that happens; what it means depends on `what`, and numbers are taken modulo.

    Attributes:
        what: a name of `Model.happen`.
        space: which of `SPACES`.
        owner: which dialogue, parent or memory.
        pick: which of the resources that can be chosen.
        created: a time of creation, near to others, or a time to let pass.
        words: with how often each occurs.
        facets: tags and metadata.
        state: how vectors stand.
        pieces: of the text.
    """

    what: str
    space: int
    owner: int
    pick: int
    created: int
    words: Mapping[str, int]
    facets: Sequence[str]
    state: int
    pieces: int


@dataclass
class Held:
    """A living resource, as the last of its entries said."""

    entry: Entry
    state: int
    vectors: bytes
    text: int
    order: int


@dataclass
class Model:
    """Turns changes into entries of a log, and keeps what they come to."""

    there: dict[Key, Held] = field(default_factory=dict)
    modified: dict[Key, int] = field(default_factory=dict)
    last: dict[Key, int] = field(default_factory=dict)
    clock: int = 1000
    texts: int = 0

    def living(self, *kinds: int) -> list[Key]:
        return [key for key in self.there if key.kind in kinds]

    def messages(self, dialogue: Key) -> list[Key]:
        """A dialogue's messages in their order."""
        found = [k for k in self.living(MESSAGE) if k[0::2] == dialogue[0::2]]
        return sorted(found, key=lambda key: (self.there[key].entry.created, key.sequence))

    def happen(self, change: Change) -> Iterator[tuple[int, Entry]]:
        """Let something happen; give what is logged of it."""
        space_id = list(SPACES)[change.space % len(SPACES)]
        name = "abc"[change.owner % 3]
        if change.what == "say":
            dialogue = Key(space_id, DIALOGUE, name, 0)
            self.last[dialogue] = self.last.get(dialogue, 0) + 1
            key = Key(space_id, MESSAGE, name, self.last[dialogue])
            yield self._put(key, change, at=self.clock)
        elif change.what in ("open", "remember"):
            kind = DIALOGUE if change.what == "open" else MEMORY
            yield self._put(Key(space_id, kind, name, 0), change)
        elif change.what == "tag":
            if there := self.living(MESSAGE, DIALOGUE, MEMORY):
                yield self._tag(there[change.pick % len(there)], change)
        elif change.what == "forget":
            if there := self.living(MESSAGE, DIALOGUE, MEMORY):
                yield self._forget(there[change.pick % len(there)])
        elif change.what == "cascade":
            dialogue = Key(space_id, DIALOGUE, name, 0)
            for key in [dialogue, *self.messages(dialogue)]:
                yield self._forget(key)
        elif change.what == "vectors":
            if there := self.living(MESSAGE, DIALOGUE, MEMORY):
                yield self._vectors(there[change.pick % len(there)])
        else:
            self.clock += change.created

    def _put(self, key: Key, change: Change, at: int = 0) -> tuple[int, Entry]:
        self.texts += 1
        state = change.state if change.state != KEPT else PENDING
        entry = Entry(
            PUT,
            key.kind,
            f"m{self.texts}" if key.kind == MESSAGE else key.owner,
            dialogue_id=key.owner if key.kind == MESSAGE else "",
            sequence=key.sequence,
            created=change.created,
            modified=self.clock,
            at=at,
            has_image=key.kind == MESSAGE and change.pick % 3 == 0,
            parent="abcz"[change.pick % 4] if key.kind == DIALOGUE and change.pick % 5 else "",
            terms=list(change.words),
            counts=bytes(change.words.values()),
            facets=list(change.facets),
            state=state,
            vectors=vectors(self.texts, change.pieces) if state == PRESENT else b"",
        )
        self.there.pop(key, None)
        self.there[key] = Held(entry, state, entry.vectors, self.texts, self.texts)
        self._modify(key, entry)
        return key.space_id, entry

    def _tag(self, key: Key, change: Change) -> tuple[int, Entry]:
        """Give other facets to what is there; its vectors are made anew, or kept."""
        held = self.there.pop(key)
        state = held.state if change.pick % 2 and held.state != PENDING else KEPT
        entry = Entry(
            PUT,
            key.kind,
            held.entry.id,
            dialogue_id=held.entry.dialogue_id,
            sequence=key.sequence,
            created=held.entry.created,
            modified=self.clock,
            has_image=held.entry.has_image,
            parent=held.entry.parent,
            terms=held.entry.terms,
            counts=held.entry.counts,
            facets=list(change.facets),
            state=state,
            vectors=held.vectors if state == PRESENT else b"",
        )
        self.texts += 1
        self.there[key] = Held(entry, held.state, held.vectors, held.text, self.texts)
        self._modify(key, entry)
        return key.space_id, entry

    def _forget(self, key: Key) -> tuple[int, Entry]:
        held = self.there.pop(key, None)
        at = self.clock if key.kind == MESSAGE else 0
        name = key.owner if held is None else held.entry.id
        owner = key.owner if key.kind == MESSAGE else ""
        entry = Entry(DELETE, key.kind, name, owner, key.sequence, at=at)
        if key.kind == DIALOGUE:
            self.modified.pop(key, None)
        self._modify(key, entry)
        return key.space_id, entry

    def _vectors(self, key: Key) -> tuple[int, Entry]:
        """Bring the vectors of a text; nothing changes where they are not waited for."""
        held = self.there[key]
        owner = key.owner if key.kind == MESSAGE else ""
        found = vectors(held.text, 1 + held.text % 3)
        if held.state == PENDING:
            held.state, held.vectors = PRESENT, found
        return key.space_id, Entry(
            VECTORS, key.kind, held.entry.id, owner, key.sequence, vectors=found
        )

    def _modify(self, key: Key, entry: Entry) -> None:
        """Note when a dialogue was modified last."""
        dialogue = Key(key.space_id, DIALOGUE, key.owner, 0)
        if entry.what == PUT and key.kind == DIALOGUE:
            self.modified[key] = entry.modified
        elif key.kind == MESSAGE and dialogue in self.modified:
            self.modified[dialogue] = max(self.modified[dialogue], entry.at)


def vectors(text: int, pieces: int) -> bytes:
    """Vectors of a text's pieces: any, but the same for the same text."""
    return bytes((text * 37 + place * 11) % 255 for place in range(DIMENSION * pieces))


STATES = (NO_TEXT, PRESENT, PENDING)
