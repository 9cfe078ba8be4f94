"""Copying a database into another one, whatever engine each has.

Both are read in the order of their keys, a stretch at a time, and what differs is stored in the
target, one transaction for each stretch. So how far a copy is, is told by the rows of the target
themselves: one that was stopped, or whose source has changed since, is gone through again, and only
what differs is written. Spaces have numbers of their own on each side; they are known by project
and namespace.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import NamedTuple

from dialoguedb.errors import AdminError
from dialoguedb.store import projects, transfer
from dialoguedb.store.moving.comparing import Comparison, Territory
from dialoguedb.store.moving.copied import CLAIMS, KEYS, OF_SPACE, Change, Place, Table
from dialoguedb.store.projects import Project
from dialoguedb.store.protocol import Job, Param, ReadTx, Row, Scope, Store, WriteTx
from dialoguedb.store.slot import Slot, tell_slots

#: Rows of a stretch at most; its long texts come to 8 MiB for each table at most.
STEP = 500
#: Transactions that are under way while the next stretch is read.
_AHEAD = 2
_ERASE_STEP = 2_000
#: New spaces that are sorted at once.
_SORTED = 50_000
#: Names in a message.
_SOME = 3
#: Told of rows that have been gone through.
Done = Callable[[int], None]


class Piece(NamedTuple):
    """A part of a table, with what the source has there: up to `upto`, or None for its end."""

    table: Table
    after: Place
    rows: list[Row]
    upto: Place | None


class Where(NamedTuple):
    """Where a stretch begins: the number of a table, and the place in it."""

    table: int
    after: Place


class Difference(NamedTuple):
    """What a part of the target lacks, and what it has and should not."""

    table: Table
    put: list[Change]
    drop: list[Row]


class Outcome(NamedTuple):
    """What a copy has done.

    Attributes:
        rows: that the source has and that were gone through.
        stored: of them, that were new to the target or had changed.
        removed: rows and projects that the source has no more.
        comparison: of both sides at the end; None where nobody was kept from writing.
    """

    rows: int
    stored: int
    removed: int
    comparison: Comparison | None


# ── before and after ─────────────────────────────────────────────────────────────────────────


def begin(source: Store, target: Store, known_as: str) -> bool:
    """Make the target the copy of a source, if it is empty or that already.

    Args:
        source: the one.
        target: the other.
        known_as: what the source is known as in the target from now on.
    Returns: whether the copy has been finished before: then the target is a database of its own.
    Raises:
        AdminError: the target holds something else, or is the source itself.
    """
    theirs, origins = source.read(None, lambda tx: (projects.every(tx), tx.all("copies_find")))
    if any(finished is None for _, _, finished in origins):
        raise AdminError(
            f"{source.name} is a copy itself that is not finished; finish that one first"
        )

    def work(tx: WriteTx) -> tuple[bool, bool]:
        found = tx.all("copies_find")
        if found:
            origin, _, finished = found[0]
            if origin != known_as:
                raise AdminError(
                    f"{target.name} is a copy of {origin}, and can be a copy of one database only; "
                    "name an empty one"
                )
            return False, finished is not None
        _refuse_others(target.name, projects.every(tx), theirs)
        tx.run("copies_begin", source=known_as, now=tx.runtime.now())
        return True, False

    new, finished = target.write(None, work)
    if new and source.read(None, lambda tx: tx.all("copies_find")) != origins:
        target.write(None, lambda tx: tx.run("copies_drop", source=known_as))
        raise AdminError(f"source and target are the same database: {target.name}")
    return finished


def _refuse_others(name: str, there: Sequence[Project], theirs: Sequence[Project]) -> None:
    if not there:
        return
    shown = ", ".join(repr(one.name) for one in there[:_SOME])
    more = f" and {len(there) - _SOME} more" if len(there) > _SOME else ""
    same = {one.id for one in there} & {one.id for one in theirs}
    hint = "; is it the source under another name?" if same else ""
    raise AdminError(
        f"{name} holds projects that are not of this copy ({shown}{more}){hint}. "
        "Nothing was changed: name an empty database"
    )


def finish(target: Store, known_as: str) -> None:
    """Put down that the copy is complete: from now on the target goes its own way."""
    target.write(None, lambda tx: tx.run("copies_finish", source=known_as, now=tx.runtime.now()))


# ── copying ──────────────────────────────────────────────────────────────────────────────────


def catch_up(source: Store, target: Store, done: Done = lambda rows: None) -> Outcome:
    """Bring over all that the target lacks; others may write to the source meanwhile.

    Keys are left out: before the last step nobody is to work on the target.

    Raises:
        DialogueDBError: a database cannot be read or written; called again, it goes on.
    """
    return _Copy(source, target, done, last=False, writes=True).run()


def complete(source: Store, target: Store, done: Done = lambda rows: None) -> Outcome:
    """Bring over the rest, with keys, while nobody writes to the source; compare both at the end.

    Raises:
        AdminError: a project of the source is being deleted.
        DialogueDBError: as of `catch_up`.
    """
    return _Copy(source, target, done, last=True, writes=True).run()


def compare(source: Store, target: Store, done: Done = lambda rows: None) -> Outcome:
    """Compare both without changing anything."""
    return _Copy(source, target, done, last=True, writes=False).run()


class _Copy:
    """One run through both databases."""

    def __init__(
        self, source: Store, target: Store, done: Done, *, last: bool, writes: bool
    ) -> None:
        self._source = source
        self._target = target
        self._done = done
        self._writes = writes
        self._comparison = Comparison() if last else None
        self._under_way: list[Slot] = []
        self._rows = self._stored = self._removed = 0

    def run(self) -> Outcome:
        """Go through all projects."""
        for project_id in self._projects():
            if self._writes:
                self._make_spaces(project_id)
            for namespace, numbers in self._spaces(project_id):
                if self._comparison is not None:
                    self._comparison.space(project_id, namespace, numbers)
                self._territory(Territory(Scope(project_id, namespace), project_id, OF_SPACE))
            tables = (CLAIMS,) if self._comparison is None else (CLAIMS, KEYS)
            self._territory(Territory(None, project_id, tables))
        self._wait_for(0)
        return Outcome(self._rows, self._stored, self._removed, self._comparison)

    def _projects(self) -> Sequence[str]:
        """Bring the projects over and give their ids; those that are being deleted are gone."""
        theirs = self._source.read(None, projects.every)
        ours = self._target.read(None, projects.every)
        if self._comparison is not None and self._writes:
            for going in (one for one in theirs if one.deleting is not None):
                raise AdminError(
                    f"project {going.id} is being deleted; `dialoguedb project delete {going.id}` "
                    f"on {self._source.name} goes on with that"
                )
        live = {one.id: one for one in theirs if one.deleting is None}
        if self._writes:
            for one in ours:
                if one.id not in live or one.deleting is not None:
                    self._erase(one)
            there = {one.id: one for one in ours if one.deleting is None}
            new = [one for one in live.values() if there.get(one.id) != one]
            if new:
                self._target.write(None, partial(_put_projects, new))
            ours = self._target.read(None, projects.every)
        if self._comparison is not None:
            self._comparison.projects(list(live.values()), ours)
        return sorted(live)

    def _erase(self, project: Project) -> None:
        """Erase a project that the source has no more."""
        store = self._target
        store.write(None, lambda tx: projects.mark_deleting(tx, project.id, tx.runtime.now()))
        store.settle()
        while store.write(None, lambda tx: projects.erase_some(tx, project.id, _ERASE_STEP)):
            pass
        store.write(None, lambda tx: projects.erase_last(tx, project.id))
        store.look_again()
        self._removed += 1

    def _make_spaces(self, project_id: str) -> None:
        """Make the spaces that the target lacks, in the order in which those of the source are.

        Results of a search over the project that are equally good come in that order.
        """
        missing: list[tuple[int, str]] = []
        for name, numbers in self._spaces(project_id):
            if numbers[1] is None:
                missing.append((numbers[0] or 0, name))
            if len(missing) == _SORTED:
                self._insert_spaces(project_id, missing)
                missing.clear()
        self._insert_spaces(project_id, missing)

    def _insert_spaces(self, project_id: str, missing: Sequence[tuple[int, str]]) -> None:
        names = [name for _, name in sorted(missing)]
        for start in range(0, len(names), STEP):
            some: list[dict[str, Param]] = [
                {"project_id": project_id, "namespace": name} for name in names[start:][:STEP]
            ]
            self._target.write(None, lambda tx, some=some: tx.many("spaces_insert", some))  # type: ignore[misc]

    def _spaces(self, project_id: str) -> Iterator[tuple[str, list[int | None]]]:
        """Give the namespaces of a project, and the numbers that they have on both sides."""
        both = heapq.merge(
            ((name, 0, number) for name, number in _namespaces(self._source, project_id)),
            ((name, 1, number) for name, number in _namespaces(self._target, project_id)),
        )
        for name, found in groupby(both, key=lambda one: one[0]):
            numbers: list[int | None] = [None, None]
            for _, side, number in found:
                numbers[side] = number
            yield name, numbers

    def _territory(self, of: Territory) -> None:
        """Go through the tables of a space or a project."""
        at: Where | None = Where(0, of.tables[0].first)
        while at is not None:
            pieces, at = self._source.read(of.scope, partial(_stretch, of, at))
            pairs, at = self._target.read(of.scope, partial(_beside, of, pieces, at))
            differing = [one for one in map(_difference, *zip(*pairs, strict=True)) if one]
            if differing and self._writes:
                self._store(of, differing)
                pairs = self._as_stored(of, pairs)
            if self._comparison is not None:
                for piece, rows in pairs:
                    self._comparison.add(of, piece.table, piece.rows, rows)
            count = sum(len(piece.rows) for piece, _ in pairs)
            self._rows += count
            self._done(count if of.scope else 0)
        if self._comparison is not None:
            self._comparison.end(of)

    def _store(self, of: Territory, differing: Sequence[Difference]) -> None:
        self._stored += sum(len(one.put) for one in differing)
        self._removed += sum(len(one.drop) for one in differing)
        self._wait_for(_AHEAD - 1)
        slot = Slot()
        self._under_way.append(slot)
        self._target.submit([Job(of.scope, partial(_write, differing), slot, tell_slots)])

    def _as_stored(
        self, of: Territory, pairs: "list[tuple[Piece, list[Row]]]"
    ) -> "list[tuple[Piece, list[Row]]]":
        """Read again what has just been stored, if it is to be compared."""
        if self._comparison is None:
            return pairs
        self._wait_for(0)
        pieces = [piece for piece, _ in pairs]
        found, more = self._target.read(of.scope, partial(_beside, of, pieces, None))
        if more is not None:
            raise AdminError(f"others write to {self._target.name} meanwhile; stop them first")
        return found

    def _wait_for(self, most: int) -> None:
        """Wait until so many transactions are under way at most.

        Raises:
            DialogueDBError: one has failed.
        """
        while len(self._under_way) > most:
            self._under_way.pop(0).result()


def _put_projects(new: Sequence[Project], tx: WriteTx) -> None:
    for one in new:
        values = one._asdict()
        del values["deleting"]
        tx.run("copy_projects_put", **values)


def _namespaces(store: Store, project_id: str) -> Iterator[tuple[str, int]]:
    """Give the spaces of a project by their names; the last one of a page is read again."""
    last: str | None = None
    while True:
        read = partial(transfer.spaces, project_id=project_id, start=last or "", limit=STEP + 1)
        found = [(name, number) for number, name in store.read(None, read) if name != last]
        yield from found
        if len(found) < STEP:
            return
        last = found[-1][0]


def _stretch(of: Territory, at: Where, tx: ReadTx) -> tuple[list[Piece], Where | None]:
    """Read a stretch of the source, and tell where the next one begins; None at the end."""
    pieces: list[Piece] = []
    left, after = STEP, at.after
    for number in range(at.table, len(of.tables)):
        table = of.tables[number]
        rows, more = table.read(tx, of.project_id, after, left)
        if more:
            last = table.place(rows[-1])
            return [*pieces, Piece(table, after, rows, last)], Where(number, last)
        pieces.append(Piece(table, after, rows, None))
        left -= len(rows)
        after = of.tables[(number + 1) % len(of.tables)].first
        if not left and number + 1 < len(of.tables):
            return pieces, Where(number + 1, after)
    return pieces, None


def _beside(
    of: Territory, pieces: Sequence[Piece], following: Where | None, tx: ReadTx
) -> tuple[list[tuple[Piece, list[Row]]], Where | None]:
    """Read the same stretch of the target; where it has much more, the stretch becomes shorter."""
    pairs: list[tuple[Piece, list[Row]]] = []
    for piece in pieces:
        table, upto = piece.table, piece.upto
        limit = STEP if upto is None else len(piece.rows) + 1
        rows, more = table.read(tx, of.project_id, piece.after, limit)
        inside = rows if upto is None else [row for row in rows if table.place(row) <= upto]
        last = table.place(inside[-1]) if inside else None
        if more and len(inside) == len(rows) and last is not None and last != upto:
            kept = [row for row in piece.rows if table.place(row) <= last]
            pairs.append((piece._replace(rows=kept, upto=last), inside))
            return pairs, Where(of.tables.index(table), last)
        pairs.append((piece, inside))
    return pairs, following


def _difference(piece: Piece, there: list[Row]) -> Difference | None:
    """Compare a part of both sides; None when they are equal."""
    place = piece.table.place
    if [row[1:] for row in piece.rows] == [row[1:] for row in there]:
        return None
    old = {place(row): row for row in there}
    put: list[Change] = []
    for new in piece.rows:
        before = old.pop(place(new), None)
        if before is None or before[1:] != new[1:]:
            put.append((before, new))
    return Difference(piece.table, put, list(old.values()))


def _write(differing: Sequence[Difference], tx: WriteTx) -> None:
    """Store what differs: a work."""
    for one in differing:
        if one.drop:
            one.table.drop(tx, one.drop)
    for one in differing:
        if one.put:
            one.table.put(tx, one.put)
