"""How far a search by the graph of vectors looks: a larger one further, in its transaction only."""

from contextlib import closing

import pytest

from databases import Cluster
from dialoguedb.engine import projects
from dialoguedb.search.analyser import query_terms
from dialoguedb.search.conditions import Conditions
from dialoguedb.search.entries import MESSAGE
from dialoguedb.store.opening import open_store
from dialoguedb.store.postgres import search
from dialoguedb.store.postgres.pool import Address, connect
from dialoguedb.store.postgres.search import Searching
from dialoguedb.store.postgres.session import BEGIN_READ, Session
from dialoguedb.store.protocol import Query, ReadTx, WholeProject
from searching import Tenant

SHOW = "SHOW hnsw.ef_search"
REACHES = {0: 400, 500_000: 400, 750_000: 600, 1_000_000: 800, 10**9: 1_000}
TEXTS = 30


@pytest.mark.parametrize("apart", [False, True])
def test_of_a_larger_graph_more_is_looked_at(cluster: Cluster, apart: bool) -> None:
    """On Citus a node has a part of it, and a setting of the transaction would not reach it."""
    address = cluster.new_database()
    with closing(open_store(address)) as store, connect(Address.of(address)) as connection:
        index = store.index  # type: ignore[attr-defined]
        index.apart = apart
        session = Session(connection)
        project_id = projects.create(store, "a").id
        for there, reach in REACHES.items():
            session.begin(BEGIN_READ)
            Searching(session, index, project_id, None)._look_at(there)
            assert session.all(SHOW, {}) == [(str(400 if apart else reach),)]
            session.undo()
            assert session.all(SHOW, {}) == [("400",)]
            session.undo()


def test_a_search_looks_as_far_as_its_graph_asks_for(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And finds the same where all there is is within the least."""
    with closing(open_store(cluster.new_database())) as store:
        tenant = Tenant(store)  # type: ignore[arg-type]
        tenant.call("dialogues.create", id="d")
        for number in range(TEXTS):
            tenant.say("d", f"wheel number {number} of the train")
        text = "the wheel of a train"
        query = Query(MESSAGE, text, query_terms(text), Conditions(), 20)

        def found(tx: ReadTx) -> tuple[list[str], str]:
            hits = [str(hit.place) for hit in tx.search(query)]
            return hits, tx._rows(SHOW, {})[0][0]  # type: ignore[attr-defined]

        scope = WholeProject(tenant.id)
        for name, value in {"EVERY": 0, "EXACT": 0, "BY_GRAPH": 0}.items():
            monkeypatch.setattr(search, name, value)
        before, least = store.read(scope, found)
        assert (len(before), least) == (20, "400")
        monkeypatch.setattr(search, "REACH", 0)
        monkeypatch.setattr(search, "OF_GRAPH", 1)
        assert store.read(scope, found) == (before, str(TEXTS))
