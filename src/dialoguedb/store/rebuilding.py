"""Building an index anew beside the one in use, from the rows: by another embedder, or to repair.

Until the cut-over searches use the old index alone. What changes meanwhile stands in the log, which
is not packed as long as an index is being built; at the end it is caught up with. Each step is
written with how far it got, so that a build that was killed goes on where it was.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from dialoguedb.embed import Embedder
from dialoguedb.search import analyser, entries
from dialoguedb.search.entries import DELETE, MESSAGE, Entry, Key
from dialoguedb.search.indexer import Indexer, Note
from dialoguedb.store import statements
from dialoguedb.store.protocol import Param, ReadTx, Row, Scope, Store, WriteTx
from dialoguedb.store.session import Session
from dialoguedb.store.walking import Position, note_of, walk

#: Changes that may be left at the cut-over: their vectors come a moment later.
_FEW = 256
#: Rows of an old index that go in one step.
_DROPPED_AT_ONCE = 64
_SQL = {name: one.sql for name, one in statements.load("sqlite").items()}

Progress = Callable[[int], None]


class _Building(NamedTuple):
    """The index that is being built: see `Generation`; and how far it is."""

    number: int
    embedder: str
    dimension: int
    analyser: int
    since: int
    progress: str


class _Reached(msgspec.Struct, array_like=True):
    """How far a build is: the space, the place in it, and the block to come."""

    space_id: int = 0
    at: Position = Position()
    block: int = 1


def rebuild(
    store: Store, session: Session, embedder: Embedder, *, done: Progress, afresh: bool = False
) -> None:
    """Build an index by an embedder, and use it from then on.

    Args:
        store: the store.
        session: to read the catalogue of indexes with, in no transaction.
        embedder: makes the vectors; a build by the same that was killed goes on.
        done: told how many resources have been indexed in a step.
        afresh: begin again even so.
    Raises:
        EmbedderUnavailable, EmbedderRefused: it stops there, and can be called again.
    """
    dimension = embedder.dimension or embedder.embed(["dimension"]).shape[1]
    building = _begin(store, session, embedder.name, dimension, afresh=afresh)
    indexer = Indexer(embedder.embed)
    reached = _Reached()
    if building.progress:
        reached = msgspec.json.decode(building.progress, type=_Reached)
    for space_id, scope in _spaces(session, reached.space_id):
        start = reached.at if space_id == reached.space_id else Position()
        number = reached.block if space_id == reached.space_id else 1
        for notes, at in walk(store, scope, start):
            made = [(space_id, entry) for entry in indexer.entries(notes)]
            number += 1
            _put(store, building, space_id, number - 1, made, _Reached(space_id, at, number))
            done(len(notes))
    while _catch_up(store, session, building, indexer) > _FEW:
        pass
    _activate(store, building)
    _drop_old(store, session)


def _begin(store: Store, session: Session, name: str, dimension: int, *, afresh: bool) -> _Building:
    """Find the build that goes on, or begin one; others that were begun are given up."""
    wanted = (name, dimension, analyser.VERSION)
    rows = session.all(_SQL["index_building"], {})
    for row in rows:
        found = _Building._make(row)
        if not afresh and found[1:4] == wanted:
            return found
        _run(store, "index_give_up", generation=found.number)
    _drop_old(store, session)

    def work(tx: WriteTx) -> None:
        last = tx.one("index_last_change")
        active = tx.one("index_active")
        since = max(last[0] or 0 if last else 0, active[4] if active else 0)
        tx.run(
            "index_begin",
            embedder=name,
            dimension=dimension,
            analyser=analyser.VERSION,
            active=0,
            since=since,
        )

    store.write(None, work)
    return _Building._make(session.all(_SQL["index_building"], {})[0])


def _spaces(session: Session, first: int) -> Iterator[tuple[int, Scope]]:
    """Give the spaces in the order of their numbers, also those that are made meanwhile."""
    last = first - 1
    while found := [row for row in session.all(_SQL["index_spaces"], {}) if row[0] > last]:
        for space_id, project_id, namespace in sorted(found):
            yield space_id, Scope(project_id, namespace)
            last = space_id


def _put(
    store: Store,
    building: _Building,
    space_id: int,
    number: int,
    made: Iterable[tuple[int, Entry]],
    reached: _Reached,
) -> None:
    block = entries.pack(made, building.dimension)

    def work(tx: WriteTx) -> None:
        if not tx.all("index_space", space_id=space_id):
            return  # its project has been deleted meanwhile
        tx.run(
            "index_block_put",
            space_id=space_id,
            generation=building.number,
            number=number,
            size=block.count,
            data=entries.encode_block(block),
        )
        tx.run(
            "index_progress",
            generation=building.number,
            progress=msgspec.json.encode(reached).decode(),
        )

    store.write(None, work)


def _catch_up(store: Store, session: Session, building: _Building, indexer: Indexer) -> int:
    """Index again what has changed since the build began or was last caught up.

    Returns: how many changes there were.
    """
    since = _since(session, building)
    changed: dict[int, dict[Key, int]] = {}
    upto, count = since, 0
    for number, space_id, _, data in session.all(
        _SQL["index_changes"], {"after": since, "most": 4096}
    ):
        upto, count = number, count + 1
        for entry in entries.decode(data):
            changed.setdefault(space_id, {})[entry.key(space_id)] = entry.created
    if not count:
        return 0
    scopes = dict(_spaces(session, 0))
    blocks: list[tuple[int, int, entries.Block]] = []
    for space_id, keys in changed.items():
        if space_id not in scopes:
            continue
        notes = store.read(scopes[space_id], _noting(keys))
        made = [(space_id, entry) for entry in indexer.entries(notes)]
        number = session.all(
            _SQL["index_blocks_last"], {"space_id": space_id, "generation": building.number}
        )
        blocks.append(
            (space_id, number[0][0] + 1 if number else 1, entries.pack(made, building.dimension))
        )

    def work(tx: WriteTx) -> None:
        for space_id, number, block in blocks:
            if tx.all("index_space", space_id=space_id):
                tx.run(
                    "index_block_put",
                    space_id=space_id,
                    generation=building.number,
                    number=number,
                    size=block.count,
                    data=entries.encode_block(block),
                )
        tx.run("index_reach", generation=building.number, since=upto)

    store.write(None, work)
    return count


def _since(session: Session, building: _Building) -> int:
    rows = session.all(_SQL["index_building"], {})
    found: int = next(row[4] for row in rows if row[0] == building.number)
    return found


def _noting(keys: dict[Key, int]) -> Callable[[ReadTx], list[Note]]:
    """Note changed resources as they are now."""

    def work(tx: ReadTx) -> list[Note]:
        notes = []
        for key, created_ms in keys.items():
            note = note_of(tx, key, created_ms)
            if note is not None:
                notes.append(note)
            elif key.kind == MESSAGE:
                notes.append(Note(DELETE, MESSAGE, "", 0, key.owner, key.sequence))
            else:
                notes.append(Note(DELETE, key.kind, key.owner))
        return notes

    return work


def _activate(store: Store, building: _Building) -> None:
    _run(store, "index_activate", generation=building.number)
    store.look_again()


def _drop_old(store: Store, session: Session) -> None:
    """Drop the blocks of indexes that are not used any more, some at a time."""
    old: list[Row] = session.all(_SQL["index_old"], {})
    for (number,) in old:
        while _run(store, "index_old_blocks_drop", generation=number, most=_DROPPED_AT_ONCE):
            pass
        _run(store, "index_drop", generation=number)


def _run(store: Store, statement: str, **params: Param) -> int:
    """Run one statement in a commit of its own; give how many rows it changed."""
    return store.write(None, lambda tx: tx.run(statement, **params))
