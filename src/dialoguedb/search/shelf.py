"""The index of one project, in memory: rows of messages, dialogues and memories in the order in
which they came. Nothing of another project is in it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dialoguedb.search import entries, facets
from dialoguedb.search.blocks import Block, Lists, column, fit, images_of, states_of
from dialoguedb.search.columns import Column, Vectors, WordLists
from dialoguedb.search.entries import DIALOGUE, KEPT, MEMORY, MESSAGE, PENDING, PRESENT, Entry, Key

Rows = NDArray[np.int64]
_KINDS = 3
NONE = -1
#: When a row dies that lives.
NEVER = np.iinfo(np.int32).max


class Space:
    """One namespace's part of a shelf.

    Attributes:
        namespace: its name; "" is the un-named one.
        rows: its rows, in ascending order.
        owners: by (kind, id): the number of a dialogue or memory.
        words: words of the texts of its living resources, by kind.
    """

    __slots__ = ("namespace", "owners", "rows", "words")

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.rows = Column(np.int64, 8)
        self.owners: dict[tuple[int, str], int] = {}
        self.words = [0] * _KINDS


class Place(NamedTuple):
    """Where the store finds a row's resource.

    Attributes:
        space_id: its space.
        kind: MESSAGE, DIALOGUE or MEMORY.
        owner: the id of the message's dialogue, else its own.
        created: milliseconds UTC.
        sequence: a message's number.
    """

    space_id: int
    kind: int
    owner: str
    created: int
    sequence: int


class Shelf:
    """See the module. One thread changes it at a time; any number read.

    Attributes:
        size: rows that readers may look at; take it once, before anything else.
        space, kind, owner, sequence, created, modified, image, state, died, length, previous,
            following: columns of the rows. `previous` and `following` are the neighbours of a
            message in its dialogue by (created, sequence), NONE at its ends. `died` is the size
            from which on a row is no more, so that a reader sees it until it sees what took its
            place.
        words, tags: the terms and facets of each row.
        vectors: of each row's text, the first piece; zeros where there is none.
        pieces, piece_row: vectors of further pieces, and the row that each belongs to.
        own_row, tail, highest, parent, touched: columns of the owners: the row of the dialogue or
            memory itself, a dialogue's last message, the highest number of its messages, the
            dialogue that it is a thread of, and when it was last modified.
    """

    def __init__(self, dimension: int) -> None:
        self.size = 0
        self.dimension = dimension
        self.space, self.kind = Column(np.int32), Column(np.uint8)
        self.owner, self.sequence = Column(np.int32), Column(np.int64)
        self.created, self.modified = Column(np.int64), Column(np.int64)
        self.image, self.state = Column(np.bool_), Column(np.uint8)
        self.died, self.length = Column(np.int32), Column(np.int32)
        self.previous, self.following = Column(np.int32), Column(np.int32)
        self.words, self.tags = WordLists(), WordLists()
        self.vectors = Vectors(dimension)
        self.pieces, self.piece_row = Vectors(dimension), Column(np.int64)
        self.terms: dict[str, int] = {}
        self.facets: dict[str, int] = {}
        self.facet_keys: dict[str, list[int]] = {}
        self.facet_values: list[facets.Scalar | None] = []
        self.spaces: dict[int, Space] = {}
        self.owner_names: list[str] = []
        self.own_row, self.tail = Column(np.int32), Column(np.int32)
        self.highest = Column(np.int64)
        self.parent, self.touched = Column(np.int32), Column(np.int64)
        self.length_total = [0] * _KINDS
        self.dead = 0
        self._size_after = 0

    # ── what is asked ────────────────────────────────────────────────────────────────────────

    def place(self, row: int) -> Place:
        """Say where the store finds a row's resource."""
        return Place(
            int(self.space.array[row]),
            int(self.kind.array[row]),
            self.owner_names[int(self.owner.array[row])],
            int(self.created.array[row]),
            int(self.sequence.array[row]),
        )

    def owner_number(self, space_id: int, kind: int, name: str) -> int:
        """Give the number of a dialogue (also a message's) or memory, NONE when it has none."""
        space = self.spaces.get(space_id)
        group = MEMORY if kind == MEMORY else DIALOGUE
        return NONE if space is None else space.owners.get((group, name), NONE)

    def waiting(self) -> Rows:
        """Give the rows whose vectors are to come."""
        count = self.size
        return np.flatnonzero(
            (self.died.first(count) == NEVER) & (self.state.first(count) == PENDING)
        )

    def entries(self, space_id: int) -> Iterable[Entry]:
        """Give what the index holds of a space, for comparing; words come in their own order."""
        space = self.spaces.get(space_id)
        if space is None:
            return
        words, names = list(self.terms), list(self.facets)
        further: dict[int, list[bytes]] = {}
        for piece, row in enumerate(self.piece_row.first(self.piece_row.size).tolist()):
            further.setdefault(row, []).append(self.pieces.row(piece).tobytes())
        for row in space.rows.first(space.rows.size).tolist():
            if self.died.array[row] != NEVER:
                continue
            place = self.place(row)
            found, counts = self.words.of_row(row)
            state = int(self.state.array[row])
            vectors = self.vectors.row(row).tobytes() + b"".join(further.get(row, ()))
            owner = self.owner.array[row]
            parent = int(self.parent.array[owner])
            threaded = place.kind == DIALOGUE and parent != NONE
            times = self.touched if place.kind == DIALOGUE else self.modified
            yield Entry(
                entries.PUT,
                place.kind,
                "" if place.kind == MESSAGE else place.owner,
                dialogue_id=place.owner if place.kind == MESSAGE else "",
                sequence=place.sequence,
                created=place.created,
                modified=int(times.array[owner if place.kind == DIALOGUE else row]),
                has_image=bool(self.image.array[row]),
                parent=self.owner_names[parent] if threaded else "",
                terms=[words[number] for number in found],
                counts=counts.tobytes(),
                facets=[names[number] for number in self.tags.of_row(row)[0]],
                state=state,
                vectors=vectors if state == PRESENT else b"",
            )

    # ── what changes ─────────────────────────────────────────────────────────────────────────

    def add(self, block: Block, namespaces: Mapping[int, str]) -> None:
        """Take a block in.

        Args:
            block: what has changed since what was taken in before; no resource in it twice.
            namespaces: the names of its spaces.
        """
        for space_id in block.spaces:
            if space_id not in self.spaces:
                self.spaces[space_id] = Space(namespaces[space_id])
        self._size_after = self.space.size + block.count
        self._remove(block.gone)
        if block.count:
            self._append(block)
        for space_id, entry in block.late:
            self._set_vectors(entry.key(space_id), entry)
        self.size = self.space.size

    def _append(self, block: Block) -> None:
        first = self.space.size
        rows = np.arange(first, first + block.count)
        kinds = column(block.kinds, np.uint8)
        times = column(block.times, np.int64).reshape(-1, 4)
        owner_of = column(block.owner_of, np.uint32)
        space_of = column(block.space_of, np.uint32)
        spaces = np.array(block.spaces, np.int64)[space_of[owner_of]]
        owner = self._owners(block, kinds)
        states = states_of(block).copy()
        vectors = self._vectors_of(block, states)
        replaced = self._replaced(kinds, spaces, owner, times[:, 0])
        for place, row in replaced.items():
            if states[place] == KEPT:
                vectors[place] = self.vectors.row(row)
                states[place] = self.state.array[row]
                self._move_pieces(row, first + place)
        states[states == KEPT] = PENDING
        self._kill(replaced.values())
        ends = column(block.terms.ends, np.uint32)
        counts = column(block.terms.counts, np.uint8)
        lengths = totals(ends, counts)
        self.words.extend(_renumbered(block.terms, self.terms), counts, ends)
        self._add_facets(block)
        self.vectors.extend(vectors)
        if self.dimension == block.dimension and block.pieces:
            self.pieces.extend(column(block.pieces, np.int8).reshape(-1, self.dimension))
            self.piece_row.extend(column(block.piece_of, np.uint32).astype(np.int64) + first)
        for values_of, values in (
            (self.kind, kinds),
            (self.owner, owner),
            (self.sequence, times[:, 0]),
            (self.created, times[:, 1]),
            (self.modified, times[:, 2]),
            (self.image, images_of(block)),
            (self.state, states),
            (self.died, np.full(block.count, NEVER)),
            (self.length, lengths),
            (self.previous, np.full(block.count, NONE)),
            (self.following, np.full(block.count, NONE)),
            (self.space, spaces),
        ):
            values_of.extend(values)
        for space_id in block.spaces:
            space = self.spaces[space_id]
            mine = spaces == space_id if len(block.spaces) > 1 else slice(None)
            space.rows.extend(rows[mine])
            self._count(space, kinds[mine], lengths[mine], 1)
        self._know_owners(block, kinds, owner, times, rows)
        self._link(rows[kinds == MESSAGE])

    def _vectors_of(self, block: Block, states: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Give a row for each resource; vectors of another model are still to come."""
        here = states == PRESENT
        if block.dimension == self.dimension:
            found = column(block.vectors, np.int8)
            found = found.reshape(int(here.sum()), self.dimension)
            if len(found) == block.count:
                return found
        vectors = np.zeros((block.count, self.dimension), np.int8)
        if block.dimension == self.dimension:
            vectors[here] = found
        else:
            states[here] = PENDING
        return vectors

    def _owners(self, block: Block, kinds: NDArray[np.uint8]) -> Rows:
        """Number the dialogues and memories of a block."""
        owner_of = column(block.owner_of, np.uint32)
        space_of = column(block.space_of, np.uint32).tolist()
        group = np.full(len(block.owners), DIALOGUE)
        group[owner_of[kinds == MEMORY]] = MEMORY
        given = [
            self._owner(self.spaces[block.spaces[space]], kind, name)
            for space, kind, name in zip(space_of, group.tolist(), block.owners, strict=True)
        ]
        found: Rows = np.array(given, np.int64)[owner_of]
        return found

    def _owner(self, space: Space, kind: int, name: str) -> int:
        known = space.owners.get((kind, name))
        if known is not None:
            return known
        number = len(self.owner_names)
        self.owner_names.append(name)
        self.own_row.append(NONE)
        self.tail.append(NONE)
        self.highest.append(0)
        self.parent.append(NONE)
        self.touched.append(0)
        space.owners[kind, name] = number
        return number

    def _replaced(
        self, kinds: NDArray[np.uint8], spaces: Rows, owner: Rows, sequence: NDArray[np.int64]
    ) -> dict[int, int]:
        """Find the rows that stood for resources which come again: by place in the block."""
        found: dict[int, int] = {}
        named = np.flatnonzero(kinds != MESSAGE)
        own = self.own_row.array[owner[named]]
        for place, row in zip(named.tolist(), own.tolist(), strict=True):
            if row != NONE:
                found[place] = row
        said = np.flatnonzero(kinds == MESSAGE)
        # Numbers rise; the last message need not have the highest, since times can be custom.
        for place in said[sequence[said] <= self.highest.array[owner[said]]].tolist():
            space = self.spaces[int(spaces[place])]
            row = self._message_row(space, int(owner[place]), int(sequence[place]))
            if row != NONE:
                found[place] = row
        return found

    def _messages_of(self, space: Space, owner: int) -> Rows:
        """Give the living rows of a dialogue's messages."""
        rows = space.rows.first(space.rows.size)
        mine = (self.owner.array[rows] == owner) & (self.kind.array[rows] == MESSAGE)
        found: Rows = rows[mine & (self.died.array[rows] == NEVER)]
        return found

    def _message_row(self, space: Space, owner: int, sequence: int) -> int:
        """Find a message's row."""
        rows = self._messages_of(space, owner)
        found = rows[self.sequence.array[rows] == sequence]
        return int(found[0]) if len(found) else NONE

    def _add_facets(self, block: Block) -> None:
        for text in block.facets.words:
            if text not in self.facets:
                key, value = facets.parts(text)
                self.facet_keys.setdefault(key, []).append(len(self.facets))
                self.facet_values.append(value)
                self.facets[text] = len(self.facets)
        self.tags.extend(
            _renumbered(block.facets, self.facets),
            column(block.facets.counts, np.uint8),
            column(block.facets.ends, np.uint32),
        )

    def _know_owners(
        self,
        block: Block,
        kinds: NDArray[np.uint8],
        owner: Rows,
        times: NDArray[np.int64],
        rows: Rows,
    ) -> None:
        own = kinds != MESSAGE
        self.own_row.array[owner[own]] = rows[own]
        self.touched.array[owner[own]] = times[own, 2]
        np.maximum.at(self.touched.array, owner[~own], times[~own, 3])
        np.maximum.at(self.highest.array, owner[~own], times[~own, 0])
        self.parent.array[owner[kinds == DIALOGUE]] = NONE
        for place, parent in block.parents:
            space = self.spaces[int(self.space.array[rows[place]])]
            number = self._owner(space, DIALOGUE, parent)
            self.parent.array[owner[place]] = number

    def _link(self, rows: Rows) -> None:
        """Make new messages neighbours of those before and after them."""
        if not len(rows):
            return
        owner = self.owner.array[rows]
        order = np.lexsort((self.sequence.array[rows], self.created.array[rows], owner))
        rows, owner = rows[order], owner[order]
        same = owner[1:] == owner[:-1]
        self.previous.array[rows[1:][same]] = rows[:-1][same]
        self.following.array[rows[:-1][same]] = rows[1:][same]
        heads = rows[np.concatenate(([True], ~same))]
        ends = rows[np.concatenate((~same, [True]))]
        numbers = self.owner.array[heads]
        tails = self.tail.array[numbers]
        later = self._before(tails, heads)
        after = (tails != NONE) & later
        self.previous.array[heads[after]] = tails[after]
        self.following.array[tails[after]] = heads[after]
        fine = (tails == NONE) | later
        self.tail.array[numbers[fine]] = ends[fine]
        for head in heads[~fine].tolist():
            number = int(self.owner.array[head])
            space = self.spaces[int(self.space.array[head])]
            self._relink(self._messages_of(space, number), number)

    def _before(self, rows: Rows, others: Rows) -> NDArray[np.bool_]:
        """Tell which messages come before others in their dialogue."""
        created, other_created = self.created.array[rows], self.created.array[others]
        earlier = self.sequence.array[rows] < self.sequence.array[others]
        found: NDArray[np.bool_] = (created < other_created) | (
            (created == other_created) & earlier
        )
        return found

    def _relink(self, rows: Rows, owner: int) -> None:
        """Order all messages of a dialogue anew."""
        rows = rows[np.lexsort((self.sequence.array[rows], self.created.array[rows]))]
        self.previous.array[rows] = np.concatenate(([NONE], rows[:-1]))
        self.following.array[rows] = np.concatenate((rows[1:], [NONE]))
        self.tail.array[owner] = rows[-1] if len(rows) else NONE

    def _remove(self, gone: Sequence[tuple[Key, int]]) -> None:
        by_owner: dict[tuple[int, int], set[int]] = {}
        rows: list[int] = []
        for key, at in gone:
            number = self.owner_number(key.space_id, key.kind, key.owner)
            if number == NONE:
                continue
            if key.kind == MESSAGE:
                by_owner.setdefault((key.space_id, number), set()).add(key.sequence)
                self.touched.array[number] = max(int(self.touched.array[number]), at)
                continue
            rows.append(int(self.own_row.array[number]))
            self.own_row.array[number] = NONE
            self.parent.array[number] = NONE
        for (space_id, number), sequences in by_owner.items():
            mine = self._messages_of(self.spaces[space_id], number)
            rows += mine[np.isin(self.sequence.array[mine], list(sequences))].tolist()
        self._kill(row for row in rows if row != NONE)

    def _kill(self, rows: Iterable[int]) -> None:
        """Take rows out: readers pass over them, their neighbours meet."""
        for row in rows:
            if self.died.array[row] != NEVER:
                continue
            self.died.array[row] = self._size_after
            self.dead += 1
            space = self.spaces[int(self.space.array[row])]
            one = slice(row, row + 1)
            self._count(space, self.kind.array[one], self.length.array[one], -1)
            if self.kind.array[row] != MESSAGE:
                continue
            before, after = int(self.previous.array[row]), int(self.following.array[row])
            if before != NONE:
                self.following.array[before] = after
            if after != NONE:
                self.previous.array[after] = before
            elif self.tail.array[self.owner.array[row]] == row:
                self.tail.array[self.owner.array[row]] = before

    def _count(
        self, space: Space, kinds: NDArray[np.uint8], lengths: NDArray[Any], sign: int
    ) -> None:
        for kind in range(_KINDS):
            words = sign * int(lengths[kinds == kind].sum())
            space.words[kind] += words
            self.length_total[kind] += words

    def _move_pieces(self, row: int, to: int) -> None:
        mine = np.flatnonzero(self.piece_row.first(self.piece_row.size) == row)
        self.piece_row.array[mine] = to

    def _set_vectors(self, key: Key, entry: Entry) -> None:
        """Take in vectors that were to come, if their resource is still there."""
        number = self.owner_number(key.space_id, key.kind, key.owner)
        if number == NONE or not fit(entry.vectors, self.dimension):
            return
        if key.kind == MESSAGE:
            row = self._message_row(self.spaces[key.space_id], number, key.sequence)
        else:
            row = int(self.own_row.array[number])
        if row == NONE or self.state.array[row] != PENDING:
            return
        vectors = np.frombuffer(entry.vectors, np.int8).reshape(-1, self.dimension)
        self.vectors.set(row, vectors[0])
        self.pieces.extend(vectors[1:])
        self.piece_row.extend(np.full(len(vectors) - 1, row))
        self.state.array[row] = PRESENT


def totals(ends: NDArray[Any], counts: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Give the sum of each part of `counts`; `ends` is where the parts end."""
    sums = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
    found: NDArray[np.int64] = np.diff(sums[np.concatenate(([0], ends)).astype(np.int64)])
    return found


def _renumbered(lists: Lists, known: dict[str, int]) -> NDArray[np.int64]:
    """Give the numbers of a block's words in the shelf; new ones get the next."""
    own = list(map(known.get, lists.words))
    for place in [place for place, number in enumerate(own) if number is None]:
        own[place] = known.setdefault(lists.words[place], len(known))
    found: NDArray[np.int64] = np.array(own, np.int64)[column(lists.numbers, np.uint32)]
    return found
