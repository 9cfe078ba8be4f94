"""What of a resource is indexed: entries one by one, blocks of many.

A change log row holds entries, a block what a run of them comes to. Both are written with the
database and read when it is opened, so their form is versioned by `FORMAT`.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

#: The form of entries and blocks on disk.
FORMAT = 1

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


class Lists(msgspec.Struct, array_like=True):
    """A list of numbered words for each of n resources.

    Attributes:
        words: the distinct words of all.
        numbers: uint32, the places in `words`, resource after resource.
        counts: uint8, beside the numbers.
        ends: uint32 of n, where each resource's part ends.
    """

    words: list[str]
    numbers: bytes
    counts: bytes
    ends: bytes


class Block(msgspec.Struct, array_like=True):
    """Entries as columns; what is gone or late stands beside them.

    On disk a block is of one space; in memory those of several are taken in together.

    Attributes:
        dimension: of the vectors.
        count: how many resources, n.
        kinds: uint8 of n.
        states: uint8 of n, as `Entry.state`; bit 4 is `has_image`.
        spaces: the spaces that occur.
        owners: the ids of dialogues and memories that occur.
        space_of: uint32 of the owners, a place in `spaces`.
        owner_of: uint32 of n, a place in `owners`: a message's dialogue, else itself.
        times: int64 of n x 4: sequence, created, modified, at.
        parents: (resource, the dialogue that it is a thread of).
        terms: the words.
        facets: the tags and metadata.
        vectors: int8 of (resources whose vectors are here) x dimension: of the first piece.
        pieces: int8 of further pieces x dimension.
        piece_of: uint32, the resource of each further piece.
        gone: keys of those that are no more, with the time of it.
        late: those whose vectors have come, with their spaces.
    """

    dimension: int
    count: int
    kinds: bytes
    states: bytes
    spaces: list[int]
    owners: list[str]
    space_of: bytes
    owner_of: bytes
    times: bytes
    parents: list[tuple[int, str]]
    terms: Lists
    facets: Lists
    vectors: bytes
    pieces: bytes
    piece_of: bytes
    gone: list[tuple[Key, int]]
    late: list[tuple[int, Entry]]


_IMAGE = 0x10


class _Merged(NamedTuple):
    puts: dict[Key, Entry]
    gone: dict[Key, int]
    late: dict[Key, Entry]


def _merged(log: Log, dimension: int) -> _Merged:
    """Bring entries to what they come to; what may lie further back is in `gone` and `late`."""
    puts: dict[Key, Entry] = {}
    gone: dict[Key, int] = {}
    late: dict[Key, Entry] = {}
    for space_id, entry in log:
        key = entry.key(space_id)
        if entry.what == VECTORS:
            if fit(entry.vectors, dimension):
                _take_vectors(key, entry, puts, gone, late)
            continue
        before = puts.pop(key, None)
        if entry.what == PUT:
            puts[key] = _after(entry, before, dimension)
        else:
            gone[key] = entry.at
        if entry.what == DELETE or entry.state != KEPT:
            late.pop(key, None)  # they were the earlier text's
        if entry.at:
            _touch(puts, Key(space_id, DIALOGUE, entry.dialogue_id, 0), entry.at)
    return _Merged(puts, gone, late)


def fit(vectors: bytes, dimension: int) -> bool:
    """Tell whether these are vectors of a dimension; another model's may be of another one."""
    return dimension > 0 and len(vectors) > 0 and len(vectors) % dimension == 0


def _after(entry: Entry, before: Entry | None, dimension: int) -> Entry:
    """Give what a PUT comes to after an earlier one of the same resource."""
    state, vectors, at = entry.state, entry.vectors, entry.at
    if before is not None:
        at = max(at, before.at)
        if state == KEPT:
            state, vectors = before.state, before.vectors
    if state == PRESENT and not fit(vectors, dimension):
        state, vectors = PENDING, b""
    if (state, at) == (entry.state, entry.at):
        return entry
    return msgspec.structs.replace(entry, state=state, vectors=vectors, at=at)


def _take_vectors(
    key: Key, entry: Entry, puts: dict[Key, Entry], gone: dict[Key, int], late: dict[Key, Entry]
) -> None:
    """Give a resource the vectors that have come, if it waits for them."""
    before = puts.get(key)
    if before is not None and before.state == PENDING:
        puts[key] = msgspec.structs.replace(before, state=PRESENT, vectors=entry.vectors)
    elif before.state == KEPT if before is not None else key not in gone:
        late.setdefault(key, entry)  # what lies further back may wait for them


def _touch(puts: dict[Key, Entry], dialogue: Key, at: int) -> None:
    """Note when a dialogue was modified through a message, which may not be there at the end."""
    entry = puts.get(dialogue)
    if entry is not None and entry.modified < at:
        puts[dialogue] = msgspec.structs.replace(entry, modified=at)


def pack(log: Log, dimension: int) -> Block:
    """Pack entries.

    Args:
        log: the entries with their spaces, in the order of commits.
        dimension: of their vectors.
    """
    puts, gone, late = _merged(log, dimension)
    spaces: dict[int, int] = {}
    owners: dict[tuple[int, bool, str], int] = {}
    space_of: list[int] = []
    owner_of: list[int] = []
    for key in puts:
        owner = (key.space_id, key.kind == MEMORY, key.owner)
        if owner not in owners:
            owners[owner] = len(owners)
            space_of.append(spaces.setdefault(key.space_id, len(spaces)))
        owner_of.append(owners[owner])
    kept = list(puts.values())
    first: list[bytes] = []
    pieces: list[bytes] = []
    piece_of: list[int] = []
    for place, entry in enumerate(kept):
        if entry.state == PRESENT:
            first.append(entry.vectors[:dimension])
            for start in range(dimension, len(entry.vectors), dimension):
                pieces.append(entry.vectors[start : start + dimension])
                piece_of.append(place)
    times = [(e.sequence, e.created, e.modified, e.at) for e in kept]
    return Block(
        dimension=dimension,
        count=len(kept),
        kinds=bytes(entry.kind for entry in kept),
        states=bytes(entry.state | (_IMAGE if entry.has_image else 0) for entry in kept),
        spaces=list(spaces),
        owners=[name for _, _, name in owners],
        space_of=np.array(space_of, np.uint32).tobytes(),
        owner_of=np.array(owner_of, np.uint32).tobytes(),
        times=np.array(times, np.int64).tobytes(),
        parents=[(place, entry.parent) for place, entry in enumerate(kept) if entry.parent],
        terms=_lists([(entry.terms, entry.counts) for entry in kept]),
        facets=_lists([(entry.facets, b"\1" * len(entry.facets)) for entry in kept]),
        vectors=b"".join(first),
        pieces=b"".join(pieces),
        piece_of=np.array(piece_of, np.uint32).tobytes(),
        gone=list(gone.items()),
        late=[(key.space_id, entry) for key, entry in late.items()],
    )


def _lists(words: Sequence[tuple[list[str], bytes]]) -> Lists:
    known: dict[str, int] = {}
    numbers: list[int] = []
    ends: list[int] = []
    for terms, _ in words:
        numbers += [known.setdefault(term, len(known)) for term in terms]
        ends.append(len(numbers))
    return Lists(
        words=list(known),
        numbers=np.array(numbers, np.uint32).tobytes(),
        counts=b"".join(counts for _, counts in words),
        ends=np.array(ends, np.uint32).tobytes(),
    )


def unpack(block: Block) -> Iterator[tuple[int, Entry]]:
    """Give the entries of a block again: those that are gone, those that are there, late ones.

    A message's id is not in a block; the entry has an empty one.
    """
    for key, at in block.gone:
        yield key.space_id, _entry(DELETE, key, at=at)
    times = numbers(block.times, np.int64).reshape(-1, 4).tolist()
    owner_of = numbers(block.owner_of, np.uint32).tolist()
    space_of = numbers(block.space_of, np.uint32).tolist()
    parents = dict(block.parents)
    terms, facets = _words_of(block.terms), _words_of(block.facets)
    pieces: dict[int, list[bytes]] = {}
    size = block.dimension
    for row, place in enumerate(numbers(block.piece_of, np.uint32).tolist()):
        pieces.setdefault(place, []).append(block.pieces[row * size : (row + 1) * size])
    row = 0
    for place in range(block.count):
        state = block.states[place] & ~_IMAGE
        vectors = b""
        if state == PRESENT:
            vectors = block.vectors[row * size : (row + 1) * size]
            vectors += b"".join(pieces.get(place, ()))
            row += 1
        sequence, created, modified, at = times[place]
        found, counts = next(terms)
        space_id = block.spaces[space_of[owner_of[place]]]
        yield (
            space_id,
            _entry(
                PUT,
                Key(space_id, block.kinds[place], block.owners[owner_of[place]], sequence),
                created=created,
                modified=modified,
                at=at,
                has_image=bool(block.states[place] & _IMAGE),
                parent=parents.get(place, ""),
                terms=found,
                counts=counts,
                facets=next(facets)[0],
                state=state,
                vectors=vectors,
            ),
        )
    yield from block.late


def _entry(what: int, key: Key, **rest: Any) -> Entry:
    if key.kind == MESSAGE:
        return Entry(what, MESSAGE, "", key.owner, key.sequence, **rest)
    return Entry(what, key.kind, key.owner, **rest)


def merge(blocks: Sequence[Block], dimension: int) -> Block:
    """Make one block of several of one space, in the order of commits.

    Where each resource is in one of them only, columns are put together and nothing is unpacked.
    """
    if len(blocks) == 1 and blocks[0].dimension == dimension:
        return blocks[0]
    if all(_is_plain(block, dimension) for block in blocks):
        block = _condensed(joined(blocks))
        if _is_distinct(block):
            return block
    return pack((one for block in blocks for one in unpack(block)), dimension)


def _is_plain(block: Block, dimension: int) -> bool:
    """Tell whether a block says nothing of what may be in another one."""
    apart = block.gone or block.late or block.dimension != dimension
    return not apart and not (states(block) == KEPT).any()


def _is_distinct(block: Block) -> bool:
    """Tell whether no resource is twice in a condensed block."""
    keys = np.empty((block.count, 3), np.int64)
    keys[:, 0] = numbers(block.owner_of, np.uint32)
    keys[:, 1] = numbers(block.kinds, np.uint8)
    keys[:, 2] = numbers(block.times, np.int64).reshape(-1, 4)[:, 0]
    keys = keys[np.lexsort(keys.T)]
    return not (keys[1:] == keys[:-1]).all(axis=1).any()


def _condensed(block: Block) -> Block:
    """Give a joined block in which spaces, owners and words occur once."""
    owner_of = numbers(block.owner_of, np.uint32)
    is_memory = np.zeros(len(block.owners), np.bool_)
    is_memory[owner_of[numbers(block.kinds, np.uint8) == MEMORY]] = True
    spaces: dict[int, int] = {}
    owners: dict[tuple[int, bool, str], int] = {}
    own = []
    for space, memory, name in zip(
        numbers(block.space_of, np.uint32).tolist(), is_memory.tolist(), block.owners, strict=True
    ):
        space_id = block.spaces[space]
        spaces.setdefault(space_id, len(spaces))
        own.append(owners.setdefault((space_id, memory, name), len(owners)))
    return msgspec.structs.replace(
        block,
        spaces=list(spaces),
        owners=[name for _, _, name in owners],
        space_of=np.array([spaces[one[0]] for one in owners], np.uint32).tobytes(),
        owner_of=np.array(own, np.uint32)[owner_of].tobytes(),
        terms=_condensed_lists(block.terms),
        facets=_condensed_lists(block.facets),
    )


def _condensed_lists(lists: Lists) -> Lists:
    known: dict[str, int] = {}
    own = [known.setdefault(word, len(known)) for word in lists.words]
    renumbered = np.array(own, np.uint32)[numbers(lists.numbers, np.uint32)]
    return msgspec.structs.replace(lists, words=list(known), numbers=renumbered.tobytes())


def joined(blocks: Sequence[Block]) -> Block:
    """Make one block of several that are of different spaces.

    They are of one dimension, or of none: while a model's was not known there were no vectors.
    """
    if len(blocks) == 1:
        return blocks[0]
    counts = [block.count for block in blocks]
    before = np.cumsum([0, *counts]).tolist()
    return Block(
        dimension=max(block.dimension for block in blocks),
        count=sum(counts),
        kinds=b"".join(block.kinds for block in blocks),
        states=b"".join(block.states for block in blocks),
        spaces=[space for block in blocks for space in block.spaces],
        owners=[owner for block in blocks for owner in block.owners],
        space_of=_moved(
            [block.space_of for block in blocks], [len(block.spaces) for block in blocks]
        ),
        owner_of=_moved(
            [block.owner_of for block in blocks], [len(block.owners) for block in blocks]
        ),
        times=b"".join(block.times for block in blocks),
        parents=[
            (start + place, parent)
            for start, block in zip(before, blocks, strict=False)
            for place, parent in block.parents
        ],
        terms=_joined_lists([block.terms for block in blocks]),
        facets=_joined_lists([block.facets for block in blocks]),
        vectors=b"".join(block.vectors for block in blocks),
        pieces=b"".join(block.pieces for block in blocks),
        piece_of=_moved([block.piece_of for block in blocks], counts),
        gone=[one for block in blocks for one in block.gone],
        late=[one for block in blocks for one in block.late],
    )


def _joined_lists(lists: Sequence[Lists]) -> Lists:
    return Lists(
        words=[word for one in lists for word in one.words],
        numbers=_moved([one.numbers for one in lists], [len(one.words) for one in lists]),
        counts=b"".join(one.counts for one in lists),
        ends=_moved([one.ends for one in lists], [len(one.counts) for one in lists]),
    )


def _moved(columns: Sequence[bytes], sizes: Sequence[int]) -> bytes:
    """Join columns of places, each moved by the sizes of those before it."""
    moved = [
        numbers(column, np.uint32) + np.uint32(start)
        for column, start in zip(columns, np.cumsum([0, *sizes]).tolist(), strict=False)
    ]
    return np.concatenate(moved).tobytes()


def _words_of(lists: Lists) -> Iterator[tuple[list[str], bytes]]:
    places = numbers(lists.numbers, np.uint32).tolist()
    start = 0
    for end in numbers(lists.ends, np.uint32).tolist():
        yield [lists.words[place] for place in places[start:end]], lists.counts[start:end]
        start = end


_block_decoder = msgspec.msgpack.Decoder(Block)


def encode_block(block: Block) -> bytes:
    """Write a block for the disk."""
    return msgspec.msgpack.encode(block)


def decode_block(data: bytes) -> Block:
    """Read a block from the disk."""
    return _block_decoder.decode(data)


#: Entries of one work from which on the log has them as a block: it is read many times faster.
MANY = 32
#: What one work has changed in its space.
Part = Sequence[Entry] | Block
_NOT_PRESENT = bytes.maketrans(
    bytes((PRESENT, KEPT, PRESENT | _IMAGE, KEPT | _IMAGE)),
    bytes((PENDING, PENDING, PENDING | _IMAGE, PENDING | _IMAGE)),
)


def encode_part(part: Part) -> bytes:
    """Write what a work has changed for the change log."""
    return encode_block(part) if isinstance(part, Block) else encode(part)


def decode_part(data: bytes, *, packed: bool) -> Part:
    """Read what a work has changed from the change log."""
    return decode_block(data) if packed else decode(data)


def size_of(part: Part) -> int:
    """Count the entries of a work."""
    if isinstance(part, Block):
        return part.count + len(part.gone) + len(part.late)
    return len(part)


def log_of(space_id: int, part: Part) -> Iterator[tuple[int, Entry]]:
    """Give the entries of a work one by one."""
    if isinstance(part, Block):
        yield from unpack(part)
    else:
        for entry in part:
            yield space_id, entry


def blocks_of(parts: Iterable[tuple[int, Part]], dimension: int) -> Iterator[Block]:
    """Pack what works have changed, in the order of commits: runs of few entries together."""
    few: list[tuple[int, Entry]] = []
    for space_id, part in parts:
        if not isinstance(part, Block):
            few += [(space_id, entry) for entry in part]
            continue
        if few:
            yield pack(few, dimension)
            few = []
        yield part
    if few:
        yield pack(few, dimension)


def without_vectors(part: Part) -> Part:
    """Give what a work has changed, with vectors to come: those there are another model's."""
    if not isinstance(part, Block):
        return [_without_vectors(entry) for entry in part]
    return msgspec.structs.replace(
        part,
        states=part.states.translate(_NOT_PRESENT),
        vectors=b"",
        pieces=b"",
        piece_of=b"",
        late=[],
    )


def _without_vectors(entry: Entry) -> Entry:
    if entry.what == VECTORS:
        return msgspec.structs.replace(entry, vectors=b"")
    if entry.state in (PRESENT, KEPT):
        return msgspec.structs.replace(entry, state=PENDING, vectors=b"")
    return entry


def numbers(data: bytes, kind: type[np.generic]) -> NDArray[Any]:
    """Read a column."""
    return np.frombuffer(data, kind)


def images(block: Block) -> NDArray[np.bool_]:
    """Tell of each resource of a block whether it has an image."""
    found: NDArray[np.bool_] = (numbers(block.states, np.uint8) & _IMAGE) != 0
    return found


def states(block: Block) -> NDArray[np.uint8]:
    """Give how the vectors of each resource of a block stand."""
    found: NDArray[np.uint8] = numbers(block.states, np.uint8) & np.uint8(0x0F)
    return found
