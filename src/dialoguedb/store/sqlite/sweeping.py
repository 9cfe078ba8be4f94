"""Sweeping: what was deleted or replaced leaves the blocks of the search index.

A change is logged behind what it replaces, so blocks fill with what is no more. Memory knows how
much that is; when it is more than what lives, the blocks of a project are swept and read again.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dialoguedb.search.blocks import Block, column, decode_block, encode_block, states_of
from dialoguedb.search.entries import DIALOGUE, KEPT, MEMORY, MESSAGE
from dialoguedb.search.merging import select
from dialoguedb.store.protocol import Store, WriteTx
from dialoguedb.store.sqlite.index import Generation, active
from dialoguedb.store.sqlite.session import Session


class _Seen(NamedTuple):
    """What later blocks of a space speak of: the resources that they hold, or say are gone.

    `touched`: when dialogues were modified through messages that leave, milliseconds UTC.
    """

    owners: dict[tuple[bool, str], int]
    keys: set[tuple[int, int]]
    touched: dict[str, int]

    def key(self, kind: int, owner: str, sequence: int) -> tuple[int, int]:
        """Give a small key of a resource."""
        number = self.owners.setdefault((kind == MEMORY, owner), len(self.owners))
        return number, sequence if kind == MESSAGE else -1


def sweep(store: Store, session: Session, space_id: int) -> int:
    """Sweep the blocks of a space, from the last to the first.

    Args:
        store: to write.
        session: to read with, in no transaction.
        space_id: the space.
    Returns: how many resources left; 0 also when somebody else packs or builds meanwhile.
    """
    current = active(session)
    if current is None or session.ask("index_building"):
        return 0
    where = {"space_id": space_id, "generation": current.number}
    numbers = [row[0] for row in session.ask("index_block_numbers", **where)]
    seen = _Seen({}, set(), {})
    swept = 0
    for number in reversed(numbers):
        block = _read(session, current, space_id, number)
        if block is None:
            return 0
        kept = _kept(block, seen)
        if not kept.all():
            swept += block.count - int(kept.sum())
            if not _replace(store, current, space_id, number, select(block, kept)):
                return 0
    for number in numbers:
        block = _read(session, current, space_id, number)
        if block is None:
            return swept
        touched = _touch(block, seen.touched)
        if block.gone or touched:
            block.gone = []  # it lies in no block now
            if not _replace(store, current, space_id, number, block):
                return swept
    return swept


def _read(session: Session, current: Generation, space_id: int, number: int) -> Block | None:
    """Read a block; None when somebody else has packed it with others meanwhile."""
    where = {"space_id": space_id, "generation": current.number, "number": number}
    found = session.ask("index_block", **where)
    return decode_block(found[0][0]) if found else None


def _kept(block: Block, seen: _Seen) -> NDArray[np.bool_]:
    """Tell which resources of a block no later one speaks of; from here on this one does, too."""
    owners = column(block.owner_of, np.uint32).tolist()
    times = column(block.times, np.int64).reshape(-1, 4)
    sequences, at = times[:, 0].tolist(), times[:, 3].tolist()
    kept = np.ones(block.count, np.bool_)
    own: set[tuple[int, int]] = set()
    keeps = (states_of(block) == KEPT).tolist()
    for place, (kind, owner) in enumerate(zip(block.kinds, owners, strict=True)):
        key = seen.key(kind, block.owners[owner], sequences[place])
        kept[place] = key not in seen.keys
        if not kept[place] and kind == MESSAGE:
            _later(seen.touched, block.owners[owner], at[place])
        if not keeps[place]:  # else its vectors lie further back
            own.add(key)
    for gone, when in block.gone:
        own.add(seen.key(gone.kind, gone.owner, gone.sequence))
        if gone.kind == MESSAGE:
            _later(seen.touched, gone.owner, when)
    seen.keys.update(own)
    return kept


def _later(touched: dict[str, int], dialogue_id: str, at: int) -> None:
    touched[dialogue_id] = max(touched.get(dialogue_id, 0), at)


def _touch(block: Block, touched: dict[str, int]) -> bool:
    """Tell the dialogues of a block when messages that have left modified them."""
    times = column(block.times, np.int64).reshape(-1, 4).copy()
    owners = column(block.owner_of, np.uint32)
    changed = False
    for place in np.flatnonzero(column(block.kinds, np.uint8) == DIALOGUE).tolist():
        at = touched.get(block.owners[owners[place]], 0)
        if at > times[place, 2]:
            times[place, 2] = at
            changed = True
    block.times = times.tobytes()
    return changed


def _replace(store: Store, current: Generation, space_id: int, number: int, block: Block) -> bool:
    """Put a block in the place of another; not if the index has moved on meanwhile."""

    def work(tx: WriteTx) -> bool:
        now = tx.one("index_active")
        if now is None or Generation._make(now) != current:
            return False
        return (
            tx.run(
                "index_block_replace",
                space_id=space_id,
                generation=current.number,
                number=number,
                size=block.count + len(block.gone) + len(block.late),
                data=encode_block(block),
            )
            > 0
        )

    return store.write(None, work)
