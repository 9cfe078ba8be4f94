"""The search index as the one who runs the database sees it: compared, and made anew."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from dialoguedb.embed import Embedder
from dialoguedb.search import analyser
from dialoguedb.store.differing import Report
from dialoguedb.store.embedders import OpenEmbedder
from dialoguedb.store.protocol import Store
from dialoguedb.store.sqlite.store import SqliteStore

#: Told how many resources a step was about.
Progress = Callable[[int], None]


class Standing(NamedTuple):
    """What there is to do, and what has been done.

    Attributes:
        total: resources in the store when it was asked.
        built: how many an index that is being built holds.
    """

    total: int
    built: int


class InUse(NamedTuple):
    """The index that searches go by: whose vectors it holds, and whose words."""

    embedder: str
    analyser: int

    @property
    def setting(self) -> str:
        """Give the setting that opens its embedder."""
        return "static" if self.embedder.startswith("static:") else self.embedder

    def is_by(self, embedder: str) -> bool:
        """Tell whether it is by an embedder, and its words by the analyser of this release."""
        return self == (embedder, analyser.VERSION)


class Filling(Protocol):
    """Gives resources the vectors that they wait for, some at a time. For one thread."""

    @property
    def refused(self) -> int:
        """How many resources the embedder has refused until now."""

    def waiting(self) -> int:
        """Count the resources that wait."""

    def step(self) -> int:
        """Give some of them their vectors.

        Returns: how many it was about; 0 when nothing waits but what has been refused, or the
            embedder cannot be had.
        Raises:
            EmbedderUnavailable: it can be tried again.
            EmbedderRefused: it is not for a text that the embedder refuses.
        """


class IndexTools(Protocol):
    """The search index of a store. For one thread."""

    def in_use(self) -> InUse | None:
        """Tell what the index in use is by; None where there is none."""

    def standing(self, embedder: str) -> Standing:
        """Tell how many resources there are, and how many a build by this embedder holds."""

    def verify(self, *, done: Progress) -> Report:
        """Compare the index with the rows; others may write meanwhile.

        Raises:
            AdminError: the words of the index are another release's; all of it would differ.
        """

    def rebuild(self, embedder: Embedder, *, done: Progress) -> None:
        """Build an index by an embedder beside the one in use, and use it from then on.

        A build by the same embedder that was killed goes on.

        Raises:
            EmbedderUnavailable, EmbedderRefused: it stops there, and can be called again.
            AdminError: somebody else is building too, or this login may not.
        """

    def give_up(self) -> bool:
        """Drop what has been built of another index; tell whether there was any."""

    def filling(self) -> Filling:
        """Give what makes the vectors that are still to come."""

    def close(self) -> None:
        """Let go of connections; the store stays open."""


def tools_of(store: Store, open_embedder: OpenEmbedder) -> IndexTools:
    """Give the tools for the index of a store.

    Args:
        store: open.
        open_embedder: opens the embedder of a setting.
    """
    if isinstance(store, SqliteStore):
        from dialoguedb.store.sqlite.tools import SqliteTools  # noqa: PLC0415 - it needs this

        return SqliteTools(store, open_embedder)
    # The driver is an extra.
    from dialoguedb.store.postgres.store import PostgresStore  # noqa: PLC0415
    from dialoguedb.store.postgres.tools import PostgresTools  # noqa: PLC0415

    assert isinstance(store, PostgresStore)
    return PostgresTools(store)
