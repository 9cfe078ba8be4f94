"""The tools for the search index of a PostgreSQL database. See `index_tools`."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from dialoguedb.embed import Embedder
from dialoguedb.store.differing import Report
from dialoguedb.store.index_tools import InUse, Progress, Standing
from dialoguedb.store.postgres.failing import translated
from dialoguedb.store.postgres.filling import Filler, run
from dialoguedb.store.postgres.index import active
from dialoguedb.store.postgres.pool import connect
from dialoguedb.store.postgres.rebuilding import rebuilding, standing
from dialoguedb.store.postgres.session import Session
from dialoguedb.store.postgres.store import PostgresStore
from dialoguedb.store.postgres.verifying import verify


class PostgresFilling:
    """See `index_tools.Filling`."""

    def __init__(self, store: PostgresStore, session: Session) -> None:
        """Make it; nothing is done yet."""
        self._store = store
        self._session = session
        self._filler: Filler | None = None

    @property
    def refused(self) -> int:
        """See `index_tools.Filling`."""
        return 0 if self._filler is None else len(self._filler.refused)

    def waiting(self) -> int:
        """See `index_tools.Filling`."""
        with _told():
            return int(self._session.ask("index_lag")[0][0])

    def step(self) -> int:
        """See `index_tools.Filling`."""
        with _told():
            self._filler = self._filler or self._new()
            return 0 if self._filler is None else self._filler.step()

    def _new(self) -> Filler | None:
        generation = active(self._session)
        embedder = None if generation is None else self._store.index.embedder(generation)
        if generation is None or embedder is None:
            return None
        if not generation.dimension:
            generation = generation._replace(dimension=embedder.embed(["dimension"]).shape[1])
            size = {"generation": generation.number, "dimension": generation.dimension}
            run(self._session, "index_measure", **size)
        return Filler(
            self._session,
            self._store.index,
            self._store.runtime,
            generation,
            embedder,
            with_entries=False,
        )


class PostgresTools:
    """See `index_tools.IndexTools`."""

    def __init__(self, store: PostgresStore) -> None:
        """Make them, with a connection as the login itself."""
        self._store = store
        with _told():
            self._session = Session(connect(store.address))

    def in_use(self) -> InUse | None:
        """See `index_tools.IndexTools`."""
        with _told():
            found = active(self._session)
        return None if found is None else InUse(found.embedder, found.analyser)

    def standing(self, embedder: str) -> Standing:
        """See `index_tools.IndexTools`."""
        with _told():
            return standing(self._session, embedder)

    def verify(self, *, done: Progress) -> Report:
        """See `index_tools.IndexTools`."""
        return verify(self._store, self._store.index, done=done)

    def rebuild(self, embedder: Embedder, *, done: Progress) -> None:
        """See `index_tools.IndexTools`."""
        store = self._store
        with _told(), rebuilding(store.address, store.index, store.runtime) as building:
            building.rebuild(embedder, done=done)
        store.look_again()

    def give_up(self) -> bool:
        """See `index_tools.IndexTools`."""
        with _told():
            if not self._session.ask("index_building") and not self._session.ask("index_old"):
                return False
            store = self._store
            with rebuilding(store.address, store.index, store.runtime) as building:
                return building.give_up()

    def filling(self) -> PostgresFilling:
        """See `index_tools.IndexTools`."""
        return PostgresFilling(self._store, self._session)

    def close(self) -> None:
        """See `index_tools.IndexTools`."""
        self._session.close()


@contextmanager
def _told() -> Iterator[None]:
    """Tell failures of the database as the store's."""
    try:
        yield
    except psycopg.Error as error:
        raise translated(error) from error
