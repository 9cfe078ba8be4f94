"""The search index of a SQLite file: in memory while the process runs, on disk to begin again.

Each work that changes resources writes a row into the change log, in its own transaction, with what
of them is indexed. After the commit the same is taken into memory; what another process has
committed is read from the log before a search. Blocks are the log packed by space (`packing.py`),
so that opening a file does not read it row by row.
"""

import logging
import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dialoguedb.embed import Embedder
from dialoguedb.search import analyser
from dialoguedb.search.blocks import Block, decode_block, pack
from dialoguedb.search.entries import Key
from dialoguedb.search.indexer import Indexer, Note
from dialoguedb.search.merging import joined
from dialoguedb.search.parts import (
    MANY,
    Part,
    blocks_of,
    decode_part,
    encode_part,
    size_of,
    without_vectors,
)
from dialoguedb.search.shelf import Place, Shelf
from dialoguedb.store import statements
from dialoguedb.store.asking import Asker
from dialoguedb.store.embedders import Embedders, OpenEmbedder
from dialoguedb.store.protocol import Param, Row, Scope
from dialoguedb.store.sqlite.session import Session

log = logging.getLogger("dialoguedb.store")

#: Entries that wait in memory to be taken into the shelves together.
MOST_PENDING = 2048
#: Dead rows of a project that are not worth sweeping.
MOST_DEAD = 10_000
#: Small blocks that are taken in together when a file is read, and what is not small.
_TOGETHER = 64
_LARGE = 1_024


class Generation(NamedTuple):
    """An index on disk: whose vectors it holds, and how far its blocks reach in the log."""

    number: int
    embedder: str
    dimension: int
    analyser: int
    since: int


class Waiting(NamedTuple):
    """A resource whose vectors are to come."""

    scope: Scope
    place: Place

    @property
    def key(self) -> Key:
        """What tells it from others."""
        place = self.place
        return Key(place.space_id, place.kind, place.owner, place.sequence)


class Written(NamedTuple):
    """What a work has written into the log: in memory, if it is committed."""

    scope: Scope
    space_id: int
    number: int
    part: Part
    generation: int


class SearchIndex:
    """See the module. Safe from several threads."""

    def __init__(self, open_embedder: OpenEmbedder, wanted: str) -> None:
        """Make it, without reading anything.

        Args:
            open_embedder: opens an embedder by its setting; raises AdminError if it cannot.
            wanted: the setting for a file that has no index yet.
        """
        self._wanted = wanted
        self._embedders = Embedders(open_embedder)
        self._asker = Asker()
        #: Guards what follows. The writer never waits for it: what it leaves is in the log.
        self._lock = threading.RLock()
        self._shelves: dict[str, Shelf] = {}
        self._names: dict[int, Scope] = {}
        self._loaded: Generation | None = None
        self._applied = 0
        self._pending: list[tuple[int, Part]] = []
        self._pending_size = 0
        #: What the writer has handed over and nobody has looked at yet.
        self._arrived: deque[Sequence[Written]] = deque()
        #: What writes are indexed with; the writer's own, like the two below.
        self.writing = Generation(0, "", 0, 0, 0)
        self._indexer: Indexer | None = None

    # ── the writer ───────────────────────────────────────────────────────────────────────────

    def begin(self, session: Session) -> None:
        """Learn which index is in use, in a transaction that writes; a new file gets one."""
        current = active(session)
        if current is None:
            embedder = self._embedders.opened(self._wanted)
            dimension = embedder.dimension or 0
            session.ask(
                "index_begin",
                embedder=embedder.name,
                dimension=dimension,
                analyser=analyser.VERSION,
                active=1,
                since=last_change(session),
            )
            current = active(session)
        if current is None or current[:4] == self.writing[:4]:
            return
        self.writing = current
        self._indexer = None

    def write(
        self, session: Session, works: Sequence[tuple[Scope, int, Sequence[Note]]]
    ) -> list[Written]:
        """Write the entries of works into the log, a row for each work.

        Args:
            session: with the transaction of the works.
            works: the scope and space of each, and what it has noted.
        """
        noted = [note for _, _, notes in works for note in notes]
        if not noted:
            return []
        if self._indexer is None:
            embedder = self.embedder(self.writing)
            inline = embedder is not None and embedder.inline
            self._indexer = Indexer(embedder.embed if embedder is not None and inline else None)
        made = self._indexer.entries(noted)
        rows: list[dict[str, Param]] = []
        parts: list[Part] = []
        start = 0
        for _, space_id, notes in works:
            own = made[start : start + len(notes)]
            start += len(notes)
            packed = len(own) >= MANY
            parts.append(
                pack(((space_id, one) for one in own), self.writing.dimension) if packed else own
            )
            rows.append(
                {
                    "space": space_id,
                    "generation": self.writing.number,
                    "packed": int(packed),
                    "entries": encode_part(parts[-1]),
                }
            )
        given = session.many(statements.load("sqlite")["changes_add"].sql, rows)
        return [
            Written(scope, space_id, number, part, self.writing.number)
            for (scope, space_id, _), (_, number), part in zip(works, given, parts, strict=True)
        ]

    def committed(self, written: Sequence[Written]) -> None:
        """Take in what is on disk now; whoever reads at the moment does it when done."""
        if not written or self._loaded is None:
            return
        self._arrived.append(written)
        if self._lock.acquire(blocking=False):
            try:
                self._take_arrived()
            except Exception:  # it is on disk all the same
                log.exception("memory has lost the search index, which is read anew")
                self._loaded = None
            finally:
                self._lock.release()

    def _take_arrived(self) -> None:
        while self._arrived:
            written = self._arrived.popleft()
            first = written[0]
            known = self._loaded is not None and first.generation == self._loaded.number
            if not known or first.number != self._applied + 1:
                # Read already, or another process has written, or it is another model's, and
                # memory is still to be read anew: the log has it.
                continue
            for scope, space_id, number, part, _ in written:
                self._names[space_id] = scope
                self._pend(space_id, part)
                self._applied = number
            if self._pending_size >= MOST_PENDING:
                self._take_pending()

    def projects(self) -> list[str]:
        """Give the projects that have something in memory; all of it is on disk, or was."""
        return list(self._shelves)

    def forget(self, project_id: str) -> None:
        """Drop a project that has been erased."""
        with self._lock:
            self._shelves.pop(project_id, None)
            gone = {space for space, scope in self._names.items() if scope[0] == project_id}
            self._pending = [one for one in self._pending if one[0] not in gone]
            self._pending_size = sum(size_of(part) for _, part in self._pending)
            for space in gone:
                del self._names[space]

    def wasteful(self) -> list[int]:
        """Give the spaces of the projects of which memory holds more dead rows than living."""
        return [
            space_id
            for shelf in list(self._shelves.values())
            if shelf.dead > max(MOST_DEAD, shelf.size // 2)
            for space_id in list(shelf.spaces)
        ]

    def read_again(self) -> None:
        """Have the next search read the index from the disk."""
        with self._lock:
            self._loaded = None

    # ── searches ─────────────────────────────────────────────────────────────────────────────

    def shelf(self, session: Session, project_id: str) -> tuple[Shelf | None, Generation]:
        """Give a project's shelf with all that the session's snapshot holds, and whose it is.

        Returns: no shelf where the project has nothing.
        """
        with self._lock:
            self._catch_up(session)
            return self._shelves.get(project_id), self._loaded or self.writing

    def vector(self, generation: Generation, query: str) -> NDArray[np.int8] | None:
        """Embed a query by the model of an index.

        Returns: None where that model cannot be had now: words alone must do.
        """
        embedder = self.embedder(generation)
        if embedder is None or not generation.dimension:
            return None
        return self._asker.vector(embedder, generation.dimension, query)

    def embedder(self, generation: Generation) -> Embedder | None:
        """Give the embedder of a generation; None, and a line in the log, if it cannot be had."""
        return self._embedders.named(generation.embedder)

    def waiting(self, session: Session, most: int) -> list[Waiting]:
        """Give up to `most` resources whose vectors are to come."""
        with self._lock:
            self._catch_up(session)
            found: list[Waiting] = []
            for shelf in self._shelves.values():
                for row in shelf.waiting()[: most - len(found)].tolist():
                    place = shelf.place(row)
                    found.append(Waiting(self._names[place.space_id], place))
            return found

    def lag(self) -> int:
        """Count the resources whose vectors are to come, as far as memory knows."""
        if (self._arrived or self._pending) and self._lock.acquire(blocking=False):
            try:
                self._take_arrived()
                self._take_pending()
            finally:
                self._lock.release()
        return sum(len(shelf.waiting()) for shelf in list(self._shelves.values()))

    def _catch_up(self, session: Session) -> None:
        """Bring memory to the state of the session's snapshot, or beyond."""
        try:
            self._follow(session)
        except BaseException:
            self._loaded = None  # something may be missing: it is read anew
            raise

    def _follow(self, session: Session) -> None:
        current = active(session)
        if current is None:
            return
        behind = self._loaded is None or self._applied < current.since
        if behind or current[:4] != self._loaded[:4]:  # type: ignore[index]
            self._load(session, current)
        self._loaded = current
        self._take_arrived()
        if last_change(session) > self._applied:
            self._take_pending()
            self._read_log(session, current)
        self._take_pending()

    def _load(self, session: Session, current: Generation) -> None:
        """Read the whole index."""
        self._shelves.clear()
        self._pending, self._pending_size = [], 0
        self._names = {row[0]: Scope(row[1], row[2]) for row in session.ask("index_spaces")}
        waiting: dict[str, list[Block]] = {}
        last_space = 0
        for space_id, data in session.stream("index_blocks_all", generation=current.number):
            if space_id not in self._names:
                continue
            project_id = self._names[space_id].project_id
            blocks = waiting.get(project_id)
            # A block may speak of what an earlier one of its space holds.
            if blocks and (space_id == last_space or len(blocks) >= _TOGETHER):
                self._take_blocks(project_id, waiting.pop(project_id), current)
            block = decode_block(data)
            if block.count >= _LARGE:
                self._take_blocks(project_id, [block], current)
            else:
                waiting.setdefault(project_id, []).append(block)
            last_space = space_id
        for project_id, blocks in waiting.items():
            self._take_blocks(project_id, blocks, current)
        self._applied = current.since

    def _take_blocks(self, project_id: str, blocks: list[Block], current: Generation) -> None:
        block = joined(blocks)
        self._shelf_of(project_id, current).add(block, self._namespaces(block.spaces))

    def _read_log(self, session: Session, current: Generation) -> None:
        rows = session.stream("index_changes", after=self._applied, most=-1)
        for number, space_id, generation, packed, data in rows:
            self._applied = number
            if space_id not in self._names and not self._learn(session, space_id):
                continue  # its project has been deleted
            part = decode_part(data, packed=packed)
            of_this = generation == current.number
            self._pend(space_id, part if of_this else without_vectors(part))
            if self._pending_size >= MOST_PENDING * 16:
                self._take_pending()

    def _pend(self, space_id: int, part: Part) -> None:
        self._pending.append((space_id, part))
        self._pending_size += size_of(part)

    def _learn(self, session: Session, space_id: int) -> bool:
        found = session.ask("index_space", space_id=space_id)
        if found:
            self._names[space_id] = Scope(found[0][1], found[0][2])
        return bool(found)

    def _take_pending(self) -> None:
        """Take what has been applied into the shelves."""
        if not self._pending or self._loaded is None:
            return
        by_project: dict[str, list[tuple[int, Part]]] = {}
        for space_id, part in self._pending:
            by_project.setdefault(self._names[space_id].project_id, []).append((space_id, part))
        self._pending, self._pending_size = [], 0
        for project_id, parts in by_project.items():
            shelf = self._shelf_of(project_id, self._loaded)
            for block in blocks_of(parts, self._loaded.dimension):
                shelf.add(block, self._namespaces(block.spaces))

    def _shelf_of(self, project_id: str, current: Generation) -> Shelf:
        if project_id not in self._shelves:
            self._shelves[project_id] = Shelf(current.dimension)
        return self._shelves[project_id]

    def _namespaces(self, spaces: Sequence[int]) -> dict[int, str]:
        return {space_id: self._names[space_id].namespace for space_id in spaces}


def active(session: Session) -> Generation | None:
    """Read which index is in use."""
    found: list[Row] = session.ask("index_active")
    return Generation._make(found[0]) if found else None


def last_change(session: Session) -> int:
    """Read the number of the last change, 0 where the log is empty."""
    number: int | None = session.ask("index_last_change")[0][0]
    return number or 0
