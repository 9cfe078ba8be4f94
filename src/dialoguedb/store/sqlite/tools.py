"""The tools for the search index of a SQLite file. See `index_tools`."""

from dialoguedb.embed import Embedder
from dialoguedb.store.differing import Report
from dialoguedb.store.embedders import OpenEmbedder
from dialoguedb.store.index_tools import InUse, Progress, Standing
from dialoguedb.store.sqlite import rebuilding, verifying
from dialoguedb.store.sqlite.index import SearchIndex, active
from dialoguedb.store.sqlite.session import Session
from dialoguedb.store.sqlite.store import SqliteStore
from dialoguedb.store.sqlite.waiting import Filling


class SqliteFilling:
    """See `index_tools.Filling`."""

    def __init__(self, store: SqliteStore) -> None:
        """Make it; nothing is done yet."""
        self._store = store
        self._filling = Filling(store)
        self.step = self._filling.step

    @property
    def refused(self) -> int:
        """See `index_tools.Filling`."""
        return len(self._filling.refused)

    def waiting(self) -> int:
        """See `index_tools.Filling`."""
        index = self._store.index
        return self._store.with_session(lambda session: len(index.waiting(session, 2**31)))


class SqliteTools:
    """See `index_tools.IndexTools`."""

    def __init__(self, store: SqliteStore, open_embedder: OpenEmbedder) -> None:
        """Make them, with a connection that reads in no transaction."""
        self._store = store
        self._open_embedder = open_embedder
        self._session = Session(store.file.open_reader())

    def in_use(self) -> InUse | None:
        """See `index_tools.IndexTools`."""
        found = active(self._session)
        return None if found is None else InUse(found.embedder, found.analyser)

    def standing(self, embedder: str) -> Standing:
        """See `index_tools.IndexTools`."""
        return rebuilding.standing(self._session, embedder)

    def verify(self, *, done: Progress) -> Report:
        """See `index_tools.IndexTools`."""
        # One that has read nothing yet: what is on disk is compared.
        index = SearchIndex(self._open_embedder, self._store.index.writing.embedder)
        return verifying.verify(self._store, index, done=done)

    def rebuild(self, embedder: Embedder, *, done: Progress) -> None:
        """See `index_tools.IndexTools`."""
        rebuilding.rebuild(self._store, self._session, embedder, done=done)

    def give_up(self) -> bool:
        """See `index_tools.IndexTools`."""
        return rebuilding.give_up(self._store, self._session)

    def filling(self) -> SqliteFilling:
        """See `index_tools.IndexTools`."""
        return SqliteFilling(self._store)

    def close(self) -> None:
        """See `index_tools.IndexTools`."""
        self._session.close()
