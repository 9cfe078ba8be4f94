"""What the tests of an index that is built anew on PostgreSQL share."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dialoguedb.embed import Embedder
from dialoguedb.store.differing import Report
from dialoguedb.store.embedders import Embedders
from dialoguedb.store.index_tools import IndexTools, Progress, tools_of
from dialoguedb.store.opening import open_store
from dialoguedb.store.postgres.index import EntryIndex
from dialoguedb.store.postgres.pool import connect
from dialoguedb.store.postgres.store import PostgresStore
from dialoguedb.store.postgres.verifying import verify
from searching import Hashing, Tenant, opening

OLD, NEW = ("hash:16", 16), ("hash:32", 32)
TESTS = str(Path(__file__).parent)


class Acting(Hashing):
    """A model that lets something happen each time it is asked."""

    def __init__(self, *what: Any, act: Callable[[], object]) -> None:
        super().__init__(*what)
        self.act = act

    def embed(self, texts: Sequence[str]) -> NDArray[np.int8]:
        """See `Embedder`."""
        self.act()
        return super().embed(texts)


@contextmanager
def opened(db: str, model: Embedder, *others: Embedder) -> Iterator[PostgresStore]:
    """Open a store whose index is by a model if it is new, and that knows others too."""
    store = open_store(db, embedder=model.name, open_embedder=opening(model, *others))
    assert isinstance(store, PostgresStore)
    with closing(store):
        yield store


@contextmanager
def tools(store: PostgresStore) -> Iterator[IndexTools]:
    with closing(tools_of(store, opening())) as made:
        yield made


def move(store: PostgresStore, model: Embedder, done: Progress | None = None) -> int:
    """Rebuild by a model; give how many resources were indexed on the way."""
    steps: list[int] = []
    with tools(store) as made:
        made.rebuild(model, done=done or steps.append)
    return sum(steps)


def fill(store: PostgresStore) -> int:
    """Give all their vectors; give how many were refused."""
    with tools(store) as made:
        filling = made.filling()
        while filling.step():
            pass
        return filling.refused


def checked(store: PostgresStore) -> Report:
    """Compare rows and index, the vectors too: as if the models were asked inside writes."""
    models = [Hashing(*what, inline=True) for what in (OLD, NEW)]
    return verify(store, EntryIndex(Embedders(opening(*models))), done=lambda count: None)


def settled(store: PostgresStore) -> None:
    """Index and rows are equal, and nothing waits."""
    report = checked(store)
    assert report.equal, report
    assert report.waiting == 0


def in_use(store: PostgresStore) -> str:
    with tools(store) as made:
        found = made.in_use()
    assert found is not None
    return found.embedder


def built(store: PostgresStore) -> int:
    with tools(store) as made:
        return made.standing(NEW[0]).built


def rows(store: PostgresStore, query: str) -> list[Any]:
    with connect(store.address) as connection:
        return connection.execute(query.encode()).fetchall()


def written(tenant: Tenant, count: int = 30) -> None:
    """Some dialogues with messages, and a memory."""
    for name in "abc":
        tenant.call("dialogues.create", id=name, label=f"about {name}", tags=["x"])
    for number in range(count):
        tenant.say("abc"[number % 3], f"wheel number {number} is bent", name="Ada")
    tenant.call("memories.create", id="m", value={"likes": "trains"}, label="Travel")
