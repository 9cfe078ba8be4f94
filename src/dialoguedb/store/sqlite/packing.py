"""Packing: the change log becomes blocks by space, so that a file is opened quickly.

It runs when nobody writes, or when the log has grown long, in a thread of its own and in steps.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import closing

from dialoguedb.errors import DialogueDBError
from dialoguedb.search.blocks import decode_block, encode_block
from dialoguedb.search.merging import merge
from dialoguedb.search.parts import Part, blocks_of, decode_part, size_of, without_vectors
from dialoguedb.store.protocol import Store, WriteTx
from dialoguedb.store.slot import Bell
from dialoguedb.store.sqlite.index import Generation, SearchIndex, active
from dialoguedb.store.sqlite.session import Session
from dialoguedb.store.sqlite.sweeping import sweep

log = logging.getLogger("dialoguedb.store")

#: Resources in a block: large enough to be read fast, small enough to be written again.
MOST_IN_BLOCK = 8_192
#: Entries packed in one step, or a few more; other writers wait no longer than its last part takes.
STEP = 4_096
#: Entries after which packing is worth it when nobody writes, and after which it does not wait
#: any longer: reading so many row by row takes about a second when a file is opened.
WORTH, OVERDUE = 1_000, 100_000
#: How long nobody has written, seconds.
_QUIET_S = 1.0


class _Overtaken(DialogueDBError):
    """Somebody else has packed, or erased a project, meanwhile."""


def pack(store: Store, session: Session) -> int:
    """Pack one step of the log.

    Args:
        store: to write.
        session: to read with, in no transaction.
    Returns: how many entries were packed; 0 when there are none, or while an index is being built,
        which needs the log.
    """
    session.control("BEGIN")
    try:
        current = active(session)
        if current is None or session.ask("index_building"):
            return 0
        upto, count, size = current.since, 0, 0
        by_space: dict[int, list[tuple[int, Part]]] = {}
        params = {"after": current.since, "most": STEP}
        with closing(session.stream("index_changes", **params)) as changes:
            for number, space_id, generation, packed, data in changes:
                upto, count = number, count + 1
                part = decode_part(data, packed=packed)
                size += size_of(part)
                of_this = generation == current.number
                by_space.setdefault(space_id, []).append(
                    (space_id, part if of_this else without_vectors(part))
                )
                if size >= STEP:
                    break
        blocks = [_block(session, current, space_id, part) for space_id, part in by_space.items()]
    finally:
        session.control("COMMIT")
    if not count:
        return 0

    def work(tx: WriteTx) -> None:
        now = tx.one("index_active")
        if now is None or Generation._make(now) != current:
            raise _Overtaken
        if tx.run("index_trim", after=current.since, upto=upto) != count:
            raise _Overtaken
        tx.run("index_trim_old", upto=current.since, most=STEP)
        for space_id, number, size, data in blocks:
            where = {"space_id": space_id, "generation": current.number, "number": number}
            tx.run("index_blocks_drop", **where)
            if size:
                tx.run("index_block_put", **where, size=size, data=data)
        tx.run("index_reach", generation=current.number, since=upto)

    try:
        store.write(None, work)
    except _Overtaken:
        return 0
    return size


def _block(
    session: Session, current: Generation, space_id: int, parts: list[tuple[int, Part]]
) -> tuple[int, int, int, bytes]:
    """Pack changes of a space, with its last blocks where these are not much larger.

    So a resource is written again as often as its space has doubled, and no more.

    Returns: the space, the block's number, its size and itself.
    """
    where = {"space_id": space_id, "generation": current.number}
    found: list[tuple[int, int]] = session.ask("index_blocks_last", **where)
    number = found[0][0] + 1 if found else 1
    blocks = list(blocks_of(parts, current.dimension))
    size = sum(block.count for block in blocks)
    for last, last_size in found:
        if last_size > 2 * size or last_size + size > MOST_IN_BLOCK:
            break
        data: bytes = session.ask("index_block", **where, number=last)[0][0]
        blocks.insert(0, decode_block(data))
        size += last_size
        number = last
    block = merge(blocks, current.dimension)
    if number == 1:  # nothing lies further back that they could be about
        block.gone, block.late = [], []
    size = block.count + len(block.gone) + len(block.late)
    return space_id, number, size, encode_block(block)


class Packer:
    """A thread that packs a store's log in time."""

    def __init__(
        self, store: Store, index: SearchIndex, open_session: Callable[[], Session]
    ) -> None:
        """Begin to wait for changes.

        Args:
            store: the store.
            index: its index in memory.
            open_session: opens a connection to read with.
        """
        self._store = store
        self._index = index
        self._open = open_session
        self._changed = Bell()
        self._closing = threading.Event()
        self._changed.ring()  # for what was left by those who were here before
        self._count = 0
        self._thread = threading.Thread(target=self._run, name="dialoguedb-packer", daemon=True)
        self._thread.start()

    def count(self, burden: int) -> None:
        """Count what has been logged, see `parts.burden_of`."""
        self._count += burden
        if self._count >= WORTH:
            self._changed.ring()

    def _run(self) -> None:
        session: Session | None = None
        while not self._closing.is_set():
            self._changed.wait()
            before = -1
            while before != self._count < OVERDUE and not self._closing.is_set():
                before = self._count
                self._closing.wait(_QUIET_S)
            if self._closing.is_set():
                break
            self._count = 0
            try:
                session = session or self._open()
                while not self._closing.is_set() and pack(self._store, session) >= STEP:
                    self._closing.wait(0.01)
                self._sweep(session)
            except Exception as error:  # noqa: BLE001 - the thread's edge; the next changes try again
                log.warning("the change log was not packed: %s", error)
        if session is not None:
            session.close()

    def _sweep(self, session: Session) -> None:
        """Sweep what is mostly made of what is no more, and have it read again."""
        spaces = self._index.wasteful()
        for space_id in spaces:
            if self._closing.is_set():
                return
            sweep(self._store, session, space_id)
        if spaces:
            self._index.read_again()

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._changed.ring()
        self._thread.join()
