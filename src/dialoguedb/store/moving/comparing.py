"""Two databases compared: how many rows each has, table by table and space by space, and hashes."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from dialoguedb.store.moving.copied import Table
from dialoguedb.store.projects import Project
from dialoguedb.store.protocol import Row, Scope

#: Spaces that are told one by one, and rows that differ.
MOST_SPACES = 1_000
MOST_ROWS = 20
_DIGEST_BYTES = 16


class Territory(NamedTuple):
    """What is copied together: the tables of a space, or those of a project besides."""

    scope: Scope | None
    project_id: str
    tables: tuple[Table, ...]


class Sum(NamedTuple):
    """How many rows, and a hash of all that is in them, as hexadecimal digits."""

    rows: int
    hash: str


class Both(NamedTuple):
    """The same of source and target."""

    source: Sum
    target: Sum

    @property
    def equal(self) -> bool:
        """Whether they are."""
        return self.source == self.target


class Differing(NamedTuple):
    """A row that is not the same on both sides.

    Attributes:
        table: its table.
        project_id: whose.
        namespace: where; None for what is of no space.
        key: what it is called.
        how: `missing` or `left over` in the target, or `different`.
    """

    table: str
    project_id: str
    namespace: str | None
    key: str
    how: str


class _Side:
    """Rows of one side as they are counted."""

    def __init__(self) -> None:
        self.rows = 0
        self._hash = hashlib.blake2b(digest_size=_DIGEST_BYTES)

    def add(self, rows: Sequence[Row]) -> None:
        encode = msgspec.msgpack.encode
        self.rows += len(rows)
        # Without the first column: a space has a number of its own on each side.
        self._hash.update(b"".join([encode(row[1:]) for row in rows]))

    def add_sum(self, rows: int, digest: bytes) -> None:
        self.rows += rows
        self._hash.update(digest)

    def sum(self) -> Sum:
        return Sum(self.rows, self._hash.hexdigest())

    def digest(self) -> bytes:
        return self._hash.digest()


class Comparison:
    """What both sides come to. It is given all rows in the order of their keys.

    Attributes:
        spaces: of each space what its tables come to, of the first so many and all that differ.
        all_spaces: how many spaces there are.
        differing: the first rows that differ.
        count: how many differ.
    """

    def __init__(self) -> None:
        self.spaces: list[tuple[Scope, Both]] = []
        self.all_spaces = 0
        self.differing: list[Differing] = []
        self.count = 0
        self._tables: dict[str, tuple[_Side, _Side]] = {}
        self._here: dict[str, tuple[_Side, _Side]] = {}

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.count and all(both.equal for both in self.tables().values())

    def tables(self) -> dict[str, Both]:
        """Give what each table comes to over all spaces and projects."""
        return {name: _both(sides) for name, sides in self._tables.items()}

    def projects(self, source: Sequence[Project], target: Sequence[Project]) -> None:
        """Compare the projects themselves."""
        sides = (_Side(), _Side())
        for side, found in zip(sides, (source, target), strict=True):
            side.add([(None, *one) for one in sorted(found)])
        self._tables["projects"] = sides
        one, other = ({row.id: row for row in rows} for rows in (source, target))
        for project_id in sorted(one.keys() | other.keys()):
            self._note("projects", project_id, None, project_id, one, other)

    def space(self, project_id: str, name: str, numbers: Sequence[int | None]) -> None:
        """Compare a space itself, by the numbers that it has on both sides; None is not there.

        One that only the target has is as good as none when it is empty; its rows are compared.
        """
        if numbers[0] is None:
            return
        sides = self._tables.setdefault("spaces", (_Side(), _Side()))
        there = [number is not None for number in numbers]
        for side, has in zip(sides, there, strict=True):
            side.add([(None, project_id, name)] if has else [])
        self._note("spaces", project_id, name, name, {name: True}, {name: True} if there[1] else {})

    def add(self, of: Territory, table: Table, source: list[Row], target: list[Row]) -> None:
        """Add a part of a table as it is on both sides."""
        sides = self._here.setdefault(table.name, (_Side(), _Side()))
        for side, rows in zip(sides, (source, target), strict=True):
            side.add(rows)
        if [row[1:] for row in source] == [row[1:] for row in target]:
            return
        one, other = ({table.place(row): row[1:] for row in rows} for rows in (source, target))
        namespace = None if of.scope is None else of.scope.namespace
        for key in sorted(one.keys() | other.keys()):
            self._note(table.name, of.project_id, namespace, key, one, other)

    def _note(
        self,
        table: str,
        project_id: str,
        namespace: str | None,
        key: Any,
        source: dict[Any, Any],
        target: dict[Any, Any],
    ) -> None:
        if source.get(key) == target.get(key):
            return
        self.count += 1
        if len(self.differing) < MOST_ROWS:
            there = key in source and key in target
            how = "different" if there else "missing" if key in source else "left over"
            shown = " ".join(map(str, key)) if isinstance(key, tuple) else str(key)
            self.differing.append(Differing(table, project_id, namespace, shown, how))

    def end(self, of: Territory) -> None:
        """Take note that a territory has been given whole."""
        whole = (_Side(), _Side())
        for name, sides in self._here.items():
            total = self._tables.setdefault(name, (_Side(), _Side()))
            for number, side in enumerate(sides):
                total[number].add_sum(side.rows, side.digest())
                whole[number].add_sum(side.rows, side.digest())
        self._here.clear()
        if of.scope is not None:
            self.all_spaces += 1
            both = _both(whole)
            if len(self.spaces) < MOST_SPACES or not both.equal:
                self.spaces.append((of.scope, both))


def _both(sides: tuple[_Side, _Side]) -> Both:
    return Both(sides[0].sum(), sides[1].sum())
