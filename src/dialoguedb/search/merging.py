"""Blocks put together by whole columns, without a look at each resource."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from dialoguedb.search.blocks import Block, Lists, column, pack, states_of, unpack
from dialoguedb.search.entries import (
    KEPT,
    MEMORY,
    PRESENT,
)


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
    return not apart and not (states_of(block) == KEPT).any()


def _is_distinct(block: Block) -> bool:
    """Tell whether no resource is twice in a condensed block."""
    keys = np.empty((block.count, 3), np.int64)
    keys[:, 0] = column(block.owner_of, np.uint32)
    keys[:, 1] = column(block.kinds, np.uint8)
    keys[:, 2] = column(block.times, np.int64).reshape(-1, 4)[:, 0]
    keys = keys[np.lexsort(keys.T)]
    return not (keys[1:] == keys[:-1]).all(axis=1).any()


def _condensed(block: Block) -> Block:
    """Give a joined block in which spaces, owners and words occur once."""
    owner_of = column(block.owner_of, np.uint32)
    is_memory = np.zeros(len(block.owners), np.bool_)
    is_memory[owner_of[column(block.kinds, np.uint8) == MEMORY]] = True
    spaces: dict[int, int] = {}
    owners: dict[tuple[int, bool, str], int] = {}
    own = []
    for space, memory, name in zip(
        column(block.space_of, np.uint32).tolist(), is_memory.tolist(), block.owners, strict=True
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
    renumbered = np.array(own, np.uint32)[column(lists.numbers, np.uint32)]
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
        column(own, np.uint32) + np.uint32(start)
        for own, start in zip(columns, np.cumsum([0, *sizes]).tolist(), strict=False)
    ]
    return np.concatenate(moved).tobytes()


def select(block: Block, kept: NDArray[np.bool_]) -> Block:
    """Give a block with some of its resources; words and owners of the others are not in it.

    Args:
        block: the block; what is gone or late stays as it is.
        kept: bool of its resources.
    """
    present = states_of(block) == PRESENT
    vectors = column(block.vectors, np.int8).reshape(int(present.sum()), block.dimension)
    pieces = column(block.pieces, np.int8).reshape(-1, max(block.dimension, 1))
    piece_of = column(block.piece_of, np.uint32)
    places = np.cumsum(kept) - 1
    owner_of, used = _only_used(column(block.owner_of, np.uint32)[kept], len(block.owners))
    return msgspec.structs.replace(
        block,
        count=int(kept.sum()),
        kinds=column(block.kinds, np.uint8)[kept].tobytes(),
        states=column(block.states, np.uint8)[kept].tobytes(),
        owners=[block.owners[number] for number in used.tolist()],
        space_of=column(block.space_of, np.uint32)[used].tobytes(),
        owner_of=owner_of.tobytes(),
        times=column(block.times, np.int64).reshape(-1, 4)[kept].tobytes(),
        parents=[(int(places[place]), parent) for place, parent in block.parents if kept[place]],
        terms=_selected(block.terms, kept),
        facets=_selected(block.facets, kept),
        vectors=vectors[kept[present]].tobytes(),
        pieces=pieces[kept[piece_of]].tobytes(),
        piece_of=places[piece_of[kept[piece_of]]].astype(np.uint32).tobytes(),
    )


def _selected(lists: Lists, kept: NDArray[np.bool_]) -> Lists:
    ends = column(lists.ends, np.uint32)
    sizes = np.diff(ends, prepend=np.uint32(0))
    inside = np.repeat(kept, sizes)
    numbers, used = _only_used(column(lists.numbers, np.uint32)[inside], len(lists.words))
    return Lists(
        words=[lists.words[number] for number in used.tolist()],
        numbers=numbers.tobytes(),
        counts=column(lists.counts, np.uint8)[inside].tobytes(),
        ends=np.cumsum(sizes[kept]).astype(np.uint32).tobytes(),
    )


def _only_used(
    numbers: NDArray[np.uint32], count: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Number things anew of which some are not used; give the numbers and what is used."""
    marked = np.zeros(count, np.bool_)
    marked[numbers] = True
    renumbered = (np.cumsum(marked) - 1).astype(np.uint32)
    return renumbered[numbers], np.flatnonzero(marked)
