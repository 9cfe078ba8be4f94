"""Building an index anew beside the one in use, from the rows: by another embedder, or to repair.

Until the cut-over searches use the old index alone. What changes meanwhile stands in the log, which
is not packed as long as an index is being built; at the end it is caught up with. Each step is
written with how far it got, so that a build that was killed goes on where it was.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from dialoguedb.embed import Embedder
from dialoguedb.errors import AdminError
from dialoguedb.search import analyser
from dialoguedb.search.blocks import Block, encode_block, pack
from dialoguedb.search.entries import DELETE, MESSAGE, VECTORS, Entry, Key
from dialoguedb.search.indexer import Indexer, Note
from dialoguedb.search.parts import decode_part, log_of
from dialoguedb.store.index_tools import Progress, Standing
from dialoguedb.store.protocol import Param, ReadTx, Scope, Store, WriteTx
from dialoguedb.store.refusing import without_refused
from dialoguedb.store.sqlite.packing import STEP
from dialoguedb.store.sqlite.session import Session
from dialoguedb.store.walking import Position, note_of, walk

#: Changes that may be left at the cut-over: their vectors come a moment later.
_FEW = 256
#: Blocks of an old index that go in one step.
_DROPPED_AT_ONCE = 16


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


def standing(session: Session, embedder: str) -> Standing:
    """Tell how many resources there are, and how many a build by this embedder holds already."""
    built = 0
    for found in _builds(session):
        if (found.embedder, found.analyser) == (embedder, analyser.VERSION):
            built = session.ask("index_built", generation=found.number)[0][0]
    return Standing(session.ask("index_total")[0][0], built)


def give_up(store: Store, session: Session) -> bool:
    """Drop what has been built of another index; tell whether there was any."""
    builds = _builds(session)
    for found in builds:
        _run(store, "index_give_up", generation=found.number)
    _drop_old(store, session)
    return bool(builds)


def rebuild(store: Store, session: Session, embedder: Embedder, *, done: Progress) -> None:
    """Build an index by an embedder, and use it from then on.

    Args:
        store: the store.
        session: to read the catalogue of indexes with, in no transaction.
        embedder: makes the vectors; a build by the same that was killed goes on.
        done: told how many resources have been indexed in a step.
    Raises:
        EmbedderUnavailable, EmbedderRefused: it stops there, and can be called again.
        AdminError: somebody else is building too.
    """
    dimension = embedder.dimension or embedder.embed(["dimension"]).shape[1]
    building = _begin(store, session, embedder.name, dimension)
    indexer = Indexer(embedder.embed)
    reached = _Reached()
    if building.progress:
        reached = msgspec.json.decode(building.progress, type=_Reached)
    for space_id, scope in _spaces(session, reached.space_id):
        start = reached.at if space_id == reached.space_id else Position()
        number = reached.block if space_id == reached.space_id else 1
        for notes, at in walk(store, scope, start):
            made = [(space_id, entry) for entry in _made(indexer, notes)]
            number += 1
            block = pack(made, dimension)
            building = _advance(
                store, building, [(space_id, number - 1, block)], _Reached(space_id, at, number)
            )
            done(len(notes))
    count = STEP
    while count > _FEW:
        building, count = _catch_up(store, session, building, indexer)
    _activate(store, building)
    _drop_old(store, session)


def _made(indexer: Indexer, notes: Sequence[Note]) -> list[Entry]:
    """Make entries; a resource whose text the embedder refuses is found by its words alone."""
    return without_refused(notes, indexer.entries, lambda note: Indexer(None).entries([note])[0])


def _builds(session: Session) -> list[_Building]:
    return [_Building._make(row) for row in session.ask("index_building")]


def _begin(store: Store, session: Session, name: str, dimension: int) -> _Building:
    """Find the build that goes on, or begin one; others that were begun are given up."""
    wanted = (name, dimension, analyser.VERSION)
    for found in _builds(session):
        if found[1:4] == wanted:
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
    return _builds(session)[0]


def _spaces(session: Session, first: int) -> Iterator[tuple[int, Scope]]:
    """Give the spaces in the order of their numbers, also those that are made meanwhile."""
    last = first - 1
    while found := [row for row in session.ask("index_spaces") if row[0] > last]:
        for space_id, project_id, namespace in sorted(found):
            yield space_id, Scope(project_id, namespace)
            last = space_id


def _advance(
    store: Store,
    building: _Building,
    blocks: Sequence[tuple[int, int, Block]],
    reached: _Reached | None = None,
    *,
    since: int | None = None,
) -> _Building:
    """Store blocks, and how far the build is with them, in one commit.

    Args:
        store: to write.
        building: how far it was.
        blocks: each with its space and its number there.
        reached: the place in the walk; None where that is over.
        since: the last change of the log that has been caught up with; None for no later one.
    Raises:
        AdminError: somebody else has gone on with this build, or has given it up.
    """
    progress = building.progress
    if reached is not None:
        progress = msgspec.json.encode(reached).decode()
    following = building._replace(progress=progress, since=since or building.since)

    def work(tx: WriteTx) -> None:
        taken = tx.all(
            "index_advance",
            generation=building.number,
            progress=following.progress,
            since=following.since,
            progress_before=building.progress,
            since_before=building.since,
        )
        if not taken:
            raise AdminError("another `dialoguedb reindex` is at work on this database")
        for space_id, number, block in blocks:
            if tx.all("index_space", space_id=space_id):  # else its project has been erased
                tx.run(
                    "index_block_put",
                    space_id=space_id,
                    generation=building.number,
                    number=number,
                    size=block.count,
                    data=encode_block(block),
                )

    store.write(None, work)
    return following


def _catch_up(
    store: Store, session: Session, building: _Building, indexer: Indexer
) -> tuple[_Building, int]:
    """Index again what has changed since the build began or was last caught up.

    Returns: how far the build is now, and how many changes there were.
    """
    changed: dict[int, dict[Key, Entry]] = {}
    upto, count = building.since, 0
    for number, space_id, _, packed, data in session.ask(
        "index_changes", after=building.since, most=STEP
    ):
        upto, count = number, count + 1
        part = decode_part(data, packed=packed)
        for _, entry in log_of(space_id, part):
            if entry.what == VECTORS:
                continue  # they are another model's, and the text is as it was
            known = changed.setdefault(space_id, {})
            before = known.get(entry.key(space_id))
            entry.at = max(entry.at, before.at if before else 0)
            known[entry.key(space_id)] = entry
    if not count:
        return building, 0
    scopes = dict(_spaces(session, 0))
    blocks: list[tuple[int, int, Block]] = []
    for space_id, known in changed.items():
        if space_id not in scopes:
            continue
        notes = store.read(scopes[space_id], _noting(known))
        made = [(space_id, entry) for entry in _made(indexer, notes)]
        where = {"space_id": space_id, "generation": building.number}
        last = session.ask("index_blocks_last", **where)
        number = last[0][0] + 1 if last else 1
        blocks.append((space_id, number, pack(made, building.dimension)))
    return _advance(store, building, blocks, since=upto), count


def _noting(changed: dict[Key, Entry]) -> Callable[[ReadTx], list[Note]]:
    """Note changed resources as they are now, and when their dialogues were modified by it."""

    def work(tx: ReadTx) -> list[Note]:
        notes = []
        for key, entry in changed.items():
            note = note_of(tx, key, entry.created)
            if note is not None:
                notes.append(note._replace(at=entry.at))
            elif key.kind == MESSAGE:
                notes.append(Note(DELETE, MESSAGE, "", entry.at, key.owner, key.sequence))
            else:
                notes.append(Note(DELETE, key.kind, key.owner, entry.at))
        return notes

    return work


def _activate(store: Store, building: _Building) -> None:
    """Cut over: whoever reads or writes the file after this commit uses the new index."""

    def work(tx: WriteTx) -> None:
        if building.number not in [row[0] for row in tx.all("index_building")]:
            raise AdminError("another `dialoguedb reindex` is at work on this database")
        tx.run("index_activate", generation=building.number)

    store.write(None, work)
    store.look_again()


def _drop_old(store: Store, session: Session) -> None:
    """Drop indexes that are not used any more and what the log holds for them, in steps."""
    for (number,) in session.ask("index_old"):
        while _run(store, "index_old_blocks_drop", generation=number, most=_DROPPED_AT_ONCE):
            pass
        _run(store, "index_drop", generation=number)
    since = session.ask("index_active")[0][4]
    while _run(store, "index_trim_old", upto=since, most=STEP):
        pass


def _run(store: Store, statement: str, **params: Param) -> int:
    """Run one statement in a commit of its own; give how many rows it changed."""
    return store.write(None, lambda tx: tx.run(statement, **params))
