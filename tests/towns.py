"""Databases that are copied: worlds of several projects in them, and all that is in them.

What is read here is read without the store, so that nothing of what is tested takes part.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest

from databases import Cluster
from dialoguedb.engine import projects
from dialoguedb.runtime import Runtime
from dialoguedb.store.opening import open_store
from dialoguedb.store.protocol import Store
from transferring import Clock, Here, Step, live

OF_SPACES = (
    "dialogues", "dialogue_documents", "tombstones", "messages", "memories", "summaries", "replies",
)  # fmt: skip
CATALOGUE = ("projects", "keys", "claims")


#: Makes an empty database and gives its address.
NewTarget = Callable[[], str]


def targets(request: pytest.FixtureRequest, folder: Path) -> Iterator[NewTarget]:
    """Be a fixture with the parameter `sqlite` or `postgres`: make empty databases of it."""
    if request.param == "sqlite":
        numbers = itertools.count()
        yield lambda: str(folder / f"target-{next(numbers)}.db")
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    made: list[str] = []

    def make() -> str:
        made.append(cluster.new_database())
        return made[-1]

    yield make
    for address in made:
        cluster.drop(address)


def asked(db: str, sql: str) -> list[tuple[Any, ...]]:
    """Run a statement without the store: nothing of what is tested takes part."""
    if "://" in db:
        with psycopg.connect(db, options="-c search_path=dialoguedb,public") as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []
    with closing(apsw.Connection(db)) as file:
        return file.execute(sql).fetchall()


def dump(db: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, each with project and namespace instead of its space's number."""
    found = {
        name: asked(db, f"SELECT s.project_id, s.namespace, t.* FROM {name} AS t "
                    "LEFT JOIN spaces AS s ON s.id = t.space_id")
        for name in OF_SPACES
    }  # fmt: skip
    rows = {name: [(*row[:2], *row[3:]) for row in of] for name, of in found.items()}
    rows |= {name: asked(db, f"SELECT * FROM {name}") for name in CATALOGUE}
    rows["spaces"] = asked(db, "SELECT project_id, namespace FROM spaces")
    return {name: sorted(of, key=repr) for name, of in rows.items()}


def change(db: str, sql: str) -> None:
    """Change a database behind its store's back."""
    if "://" in db:
        with psycopg.connect(db, options="-c search_path=dialoguedb,public") as connection:
            assert connection.execute(sql.encode()).rowcount > 0
        return
    with closing(apsw.Connection(db)) as file:
        file.execute(sql)
        assert file.changes() > 0


@contextmanager
def opened(*dbs: str, clock: Clock | None = None) -> Iterator[list[Store]]:
    """The stores of databases, with a clock that stands."""
    with ExitStack() as stack:
        runtime = Runtime(clock or Clock())
        yield [stack.enter_context(closing(open_store(db, runtime=runtime))) for db in dbs]


class Town:
    """A database with two projects, each living a world of its own."""

    def __init__(self, db: str) -> None:
        self.db = db
        self.clock = Clock()
        self._turn = 0
        with opened(db) as (store,):
            self.ids = [projects.create(store, name).id for name in ("one", "two")]
            for project in self.ids:
                projects.create_key(store, project, "first", admin=project == self.ids[0])

    def elsewhere(self, db: str) -> "Town":
        """The same town in another database, with a clock of its own."""
        other = copy(self)
        other.db, other.clock = db, Clock()
        other.clock.now_ms = self.clock.now_ms
        return other

    @contextmanager
    def places(self) -> Iterator[list[Here]]:
        """Both projects, with what they are called through."""
        with opened(self.db, clock=self.clock) as (store,):
            found = [Here(store, self.clock) for _ in self.ids]  # type: ignore[arg-type]
            for place, project in zip(found, self.ids, strict=True):
                place.id = project
            yield found

    def live(self, *worlds: list[Step]) -> None:
        """Let something happen in each of the projects."""
        self._turn += 1
        with self.places() as places:
            for place, steps in zip(places, worlds, strict=False):
                live(place, steps, named=f"{self._turn} {place.id}")
            keyed = {"id": f"keyed {self._turn}".replace(" ", "-")}
            places[0].call("dialogues.create", keyed, key=f"key {self._turn}", request_id="r")
