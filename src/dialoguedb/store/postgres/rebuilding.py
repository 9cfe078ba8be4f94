"""Building an index anew beside the one in use, on PostgreSQL.

All resources are made to wait for their vectors in the new index, and those that writers change
meanwhile are made so by them. Then they are filled, space by space, and when few are left the new
index is the one in use. Searches go by one or the other, as their snapshot says. What still waits
says how far a build is, so one that was killed goes on.

Words and figures are not kept twice. Where they are made anew too, what differs is mended in place.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgspec

from dialoguedb.embed import Embedder
from dialoguedb.errors import AdminError
from dialoguedb.runtime import Runtime
from dialoguedb.search import analyser
from dialoguedb.store import backlog
from dialoguedb.store.index_tools import InUse, Progress, Standing
from dialoguedb.store.postgres.filling import BATCH, Filler, Notes, Space, keyed, run
from dialoguedb.store.postgres.index import EntryIndex, Generation, active
from dialoguedb.store.postgres.pool import Address
from dialoguedb.store.postgres.session import BEGIN_WRITE, Session
from dialoguedb.store.postgres.settling import settle
from dialoguedb.store.protocol import ReadTx, Scope
from dialoguedb.store.upkeep.migrating import administered, drop_graph, ensure_graphs
from dialoguedb.store.walking import KINDS, Position, reading

#: Dimensions that the graph takes at most (pgvector's, of half precision).
_DIMENSIONS = 4_000
#: Vectors that are dropped or marked in one step.
_AT_ONCE = 5_000
#: How long older transactions are waited for, seconds: they may be a backup's.
_OLDER_S = 600.0
#: Of all locks that are known by a number only, this is ours ("reindex").
_LOCK = 0x7265696E646578


class _Building(NamedTuple):
    """The index that is being built, and how far it is."""

    generation: Generation
    progress: str


class _Reached(msgspec.Struct, array_like=True):
    """How far a build is: the space and the place in it.

    Attributes:
        waits: whether all resources have been made to wait; until then they are.
        space_id: the last space.
        at: where the walk through it stands.
    """

    waits: bool = False
    space_id: int = 0
    at: Position = Position()


def standing(session: Session, embedder: str) -> Standing:
    """Tell how many resources there are, and how many a build by this embedder holds already."""
    built = 0
    total = session.ask("index_total")[0][0]
    for found in _builds(session):
        is_it = (found.generation.embedder, found.generation.analyser) == (
            embedder,
            analyser.VERSION,
        )
        if is_it and _reached(found).waits:
            number = found.generation.number
            left = session.ask("index_waiting_count", generation=number)[0][0]
            built = max(0, total - left)
    return Standing(total, built)


class Rebuilding:
    """One call of `rebuild` or `give_up`; for one thread."""

    def __init__(
        self, session: Session, address: Address, index: EntryIndex, runtime: Runtime
    ) -> None:
        """Prepare it; see `rebuilding`."""
        self._session = session
        self._address = address
        self._index = index
        self._runtime = runtime

    def give_up(self) -> bool:
        """Drop what has been built of another index; tell whether there was any."""
        builds = _builds(self._session)
        for found in builds:
            self._run("index_give_up", generation=found.generation.number)
        self._drop_old()
        return bool(builds)

    def rebuild(self, embedder: Embedder, *, done: Progress) -> None:
        """See `index_tools.IndexTools`."""
        current = active(self._session)
        if current is None:
            raise AdminError("the database has no search index; a server makes one when it starts")
        building = self._begin(embedder)
        # Words are made anew where those that there are cannot be trusted: another analyser's, or
        # all of an index that is to be mended.
        in_use = InUse(current.embedder, current.analyser)
        with_words = current.analyser != analyser.VERSION or in_use.is_by(embedder.name)
        filler = Filler(
            self._session,
            self._index,
            self._runtime,
            building.generation,
            embedder,
            with_entries=with_words,
        )
        reached = _reached(building)
        if not reached.waits:
            reached = self._have_wait(building.generation, reached, entries=with_words)
        settle(self._session, most_s=_OLDER_S)  # who deletes a resource sees that it waits
        self._walk(filler, reached, done)
        self._catch_up(filler)
        if with_words:
            self._mend()
        self._grow(building.generation)
        self._catch_up(filler)
        self._activate(building.generation)
        self._drop_old()

    # ── beginning ────────────────────────────────────────────────────────────────────────────

    def _begin(self, embedder: Embedder) -> _Building:
        """Find the build that goes on, or begin one; others that were begun are given up."""
        dimension = embedder.dimension or embedder.embed(["dimension"]).shape[1]
        if dimension > _DIMENSIONS:
            raise AdminError(
                f"{embedder.name} has {dimension} dimensions, and PostgreSQL finds vectors of up "
                f"to {_DIMENSIONS}; choose a smaller one"
            )
        wanted = (embedder.name, dimension, analyser.VERSION)
        for found in _builds(self._session):
            if found.generation[1:] == wanted:
                return found
            self._run("index_give_up", generation=found.generation.number)
        self._drop_old()
        self._run(
            "index_begin",
            embedder=embedder.name,
            dimension=dimension,
            analyser=analyser.VERSION,
            active=0,
        )
        return _builds(self._session)[0]

    def _have_wait(self, generation: Generation, reached: _Reached, *, entries: bool) -> _Reached:
        """Have all resources wait for their vectors in an index."""
        settle(self._session, most_s=_OLDER_S)  # whoever writes from here on knows of the index
        kinds = ["messages", "dialogues", "memories"] + ["entries"] * entries
        for space in self._spaces():
            if space.number > reached.space_id:
                for kind in kinds:
                    where = {"space": space.number, "generation": generation.number}
                    self._run(f"index_wait_{kind}", **where)
                self._note(generation, _Reached(False, space.number))
        reached = _Reached(True)
        self._note(generation, reached)
        return reached

    # ── filling ──────────────────────────────────────────────────────────────────────────────

    def _walk(self, filler: Filler, reached: _Reached, done: Progress) -> None:
        """Fill the spaces one after the other, in steps."""
        for space in self._spaces():
            if space.number < reached.space_id:
                continue
            at = reached.at if space.number == reached.space_id else Position()
            while at.kind < len(KINDS):
                step = _Step(space, at)
                count = filler.fill(space, step.read)
                at = step.end
                self._note(filler.generation, _Reached(True, space.number, at))
                done(count)

    def _catch_up(self, filler: Filler) -> None:
        """Fill what writers have made wait, until few are left."""
        while filler.step() == BATCH:
            pass

    def _grow(self, generation: Generation) -> None:
        """Have the graph of the index, with the vectors of large projects in it.

        It is made when they are there, which is quicker than to have them enter it one by one.
        """
        where = {"generation": generation.number}
        for (project_id,) in self._session.ask("index_large", least=backlog.LARGE):
            beside = where | {"project_id": project_id, "most": 1}
            while rows := self._session.ask("index_beside", **beside):
                self._run("index_vectors_grow", space=rows[0][0], most=_AT_ONCE, **where)
        ensure_graphs(self._session.connection, self._address)

    def _mend(self) -> None:
        """Bring figures to what the entries say, and drop what is of no space and of no index."""
        for space in self._spaces():
            self._run("index_figures_mend", space=space.number)
        for table in ("entries", "figures", "vectors", "waiting"):
            self._run(f"index_stray_{table}")

    # ── the end ──────────────────────────────────────────────────────────────────────────────

    def _activate(self, generation: Generation) -> None:
        """Cut over: whoever reads or writes after this commit uses the new index."""
        self._session.begin(BEGIN_WRITE)
        self._session.ask("index_building")
        self._session.queue("index_retire", {})
        if not self._session.ask("index_activate", generation=generation.number):
            self._session.undo()
            raise AdminError("the index that was being built is gone; run this again")
        self._session.commit(tell_position=False)

    def _drop_old(self) -> None:
        """Drop indexes that are not used any more, in steps."""
        old = [row[0] for row in self._session.ask("index_old")]
        if old:
            settle(self._session, most_s=_OLDER_S)  # whoever writes from here on uses none of them
        for number in old:
            for space in self._spaces():
                where = {"space": space.number, "generation": number}
                self._run("index_waiting_drop", **where)
                while self._run("index_vectors_drop", **where, most=_AT_ONCE):
                    pass
            drop_graph(self._session.connection, number)
            self._run("index_drop", generation=number)

    def _spaces(self) -> Iterator[Space]:
        for space_id, project_id, namespace in sorted(self._session.ask("index_spaces")):
            yield Space(space_id, Scope(project_id, namespace))

    def _note(self, generation: Generation, reached: _Reached) -> None:
        progress = msgspec.json.encode(reached).decode()
        self._run("index_progress", generation=generation.number, progress=progress)

    def _run(self, statement: str, **params: str | int) -> int:
        """Run one statement in a commit of its own; give how many rows it changed."""
        return run(self._session, statement, **params)


class _Step:
    """One step of a walk; it can be read again."""

    def __init__(self, space: Space, at: Position) -> None:
        self._space = space
        self._read = reading(at)
        self._is_read = False
        #: Where the step ended when it was read first.
        self.end = at

    def read(self, tx: ReadTx) -> Notes:
        """Read the resources of the step; see `postgres_filling.Reading`."""
        notes, end = self._read(tx)
        if not self._is_read:
            self.end, self._is_read = end, True
        return keyed(self._space, notes)


@contextmanager
def rebuilding(address: Address, index: EntryIndex, runtime: Runtime) -> Iterator[Rebuilding]:
    """Connect as the owner, for as long as nobody else builds.

    Args:
        address: of the database.
        index: what is known of the index besides the database.
        runtime: the clock and ids.
    Raises:
        AdminError: somebody else is building, or the login is not the owner.
    """
    with administered(address) as connection:
        session = Session(connection)
        if not session.ask("index_owner")[0][0]:
            raise AdminError(
                f"{connection.info.user} does not own the tables of {address.shown} and may not "
                "make an index; run `dialoguedb reindex --db postgresql://OWNER@…`"
            )
        if not session.ask("index_lock", number=_LOCK)[0][0]:
            raise AdminError("another `dialoguedb reindex` is at work on this database")
        yield Rebuilding(session, address, index, runtime)


def _builds(session: Session) -> list[_Building]:
    return [_Building(Generation._make(row[:4]), row[4]) for row in session.ask("index_building")]


def _reached(building: _Building) -> _Reached:
    if not building.progress:
        return _Reached()
    return msgspec.json.decode(building.progress, type=_Reached)
