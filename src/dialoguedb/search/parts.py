"""What one work has changed: a row of the change log.

A few entries are written as they are, and many as a block, which is read many times faster.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from dialoguedb.search.blocks import IMAGE, Block, decode_block, encode_block, pack, unpack
from dialoguedb.search.entries import (
    KEPT,
    PENDING,
    PRESENT,
    VECTORS,
    Entry,
    decode,
    encode,
)

#: Entries of one work from which on the log has them as a block: it is read many times faster.
MANY = 32
#: So many times.
_FASTER = 16
#: What one work has changed in its space.
Part = Sequence[Entry] | Block
_NOT_PRESENT = bytes.maketrans(
    bytes((PRESENT, KEPT, PRESENT | IMAGE, KEPT | IMAGE)),
    bytes((PENDING, PENDING, PENDING | IMAGE, PENDING | IMAGE)),
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


def burden_of(part: Part) -> int:
    """Tell how long a work takes to read, in entries that are read one by one."""
    return size_of(part) // _FASTER if isinstance(part, Block) else len(part)


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
