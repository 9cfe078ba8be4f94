"""How far a search by the graph of vectors looks: a larger one further, in its transaction only."""

from contextlib import closing

import pytest

from databases import Cluster
from dialoguedb.engine import projects
from dialoguedb.store.opening import open_store
from dialoguedb.store.postgres import search
from dialoguedb.store.postgres.pool import Address, connect
from dialoguedb.store.postgres.search import Searching
from dialoguedb.store.postgres.session import BEGIN_READ, Session
from searching import Tenant


@pytest.mark.parametrize(
    ("there", "reach"),
    [(0, 400), (500_000, 400), (750_000, 600), (1_000_000, 800), (10**9, 1_000)],
)
@pytest.mark.parametrize("apart", [False, True])
def test_of_a_larger_graph_more_is_looked_at(
    cluster: Cluster, there: int, reach: int, apart: bool
) -> None:
    """On Citus a node has a part of it, and a setting of the transaction would not reach it."""
    address = cluster.new_database()
    with closing(open_store(address)) as store, connect(Address.of(address)) as connection:
        index = store.index  # type: ignore[attr-defined]
        index.apart = apart
        session = Session(connection)
        session.begin(BEGIN_READ)
        searching = Searching(session, index, projects.create(store, "a").id, None)
        searching._look_at(there)
        assert session.all("SHOW hnsw.ef_search", {}) == [(str(400 if apart else reach),)]
        session.undo()
        assert session.all("SHOW hnsw.ef_search", {}) == [("400",)]
    cluster.drop(address)


def test_what_is_found_stays_the_same(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """All there is is within the least reach; here with a reach of its own for each search."""
    with closing(open_store(cluster.new_database())) as store:
        tenant = Tenant(store)  # type: ignore[arg-type]
        tenant.call("dialogues.create", id="d")
        for number in range(30):
            tenant.say("d", f"wheel number {number} of the train")
        for name, value in {"EVERY": 0, "EXACT": 0, "BY_GRAPH": 0}.items():
            monkeypatch.setattr(search, name, value)
        asked = {"query": "the wheel of a train", "object": "message", "limit": 20}
        before = tenant.call("search.find", **asked)
        monkeypatch.setattr(search, "REACH", 0)
        monkeypatch.setattr(search, "OF_GRAPH", 1)
        assert tenant.call("search.find", **asked).results == before.results
        assert before.results
