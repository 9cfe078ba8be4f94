"""Blocks: what of many resources is indexed, as columns.

A run of entries comes to a block: `pack`, and `unpack` for the way back.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from dialoguedb.search.entries import (
    DELETE,
    DIALOGUE,
    KEPT,
    MEMORY,
    MESSAGE,
    PENDING,
    PRESENT,
    PUT,
    VECTORS,
    Entry,
    Key,
    Log,
)


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


IMAGE = 0x10


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
        states=bytes(entry.state | (IMAGE if entry.has_image else 0) for entry in kept),
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
    times = column(block.times, np.int64).reshape(-1, 4).tolist()
    owner_of = column(block.owner_of, np.uint32).tolist()
    space_of = column(block.space_of, np.uint32).tolist()
    parents = dict(block.parents)
    terms, facets = _words_of(block.terms), _words_of(block.facets)
    pieces: dict[int, list[bytes]] = {}
    size = block.dimension
    for row, place in enumerate(column(block.piece_of, np.uint32).tolist()):
        pieces.setdefault(place, []).append(block.pieces[row * size : (row + 1) * size])
    row = 0
    for place in range(block.count):
        state = block.states[place] & ~IMAGE
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
                has_image=bool(block.states[place] & IMAGE),
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


def _words_of(lists: Lists) -> Iterator[tuple[list[str], bytes]]:
    places = column(lists.numbers, np.uint32).tolist()
    start = 0
    for end in column(lists.ends, np.uint32).tolist():
        yield [lists.words[place] for place in places[start:end]], lists.counts[start:end]
        start = end


_block_decoder = msgspec.msgpack.Decoder(Block)


def encode_block(block: Block) -> bytes:
    """Write a block for the disk."""
    return msgspec.msgpack.encode(block)


def decode_block(data: bytes) -> Block:
    """Read a block from the disk."""
    return _block_decoder.decode(data)


def column(data: bytes, kind: type[np.generic]) -> NDArray[Any]:
    """Read a column."""
    return np.frombuffer(data, kind)


def images_of(block: Block) -> NDArray[np.bool_]:
    """Tell of each resource of a block whether it has an image."""
    found: NDArray[np.bool_] = (column(block.states, np.uint8) & IMAGE) != 0
    return found


def states_of(block: Block) -> NDArray[np.uint8]:
    """Give how the vectors of each resource of a block stand."""
    found: NDArray[np.uint8] = column(block.states, np.uint8) & np.uint8(0x0F)
    return found
