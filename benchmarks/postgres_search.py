"""Measure search on PostgreSQL: how long it takes, how well its graph names what is nearest, and
how much room a message takes. A part of `benchmarks.postgres`.
"""

import time
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import psycopg
from benchmarks import filling
from benchmarks.clusters import Cluster
from benchmarks.common import DIALOGUEDB, KEY, Figure, Json, progress_of, running, seconds, spread
from benchmarks.corpus import Corpus, namespace_name
from benchmarks.search import ASKED, QUERIES, WARM_UP

from dialoguedb.engine import Caller, search
from dialoguedb.models.search import Search
from dialoguedb.search import analyser
from dialoguedb.search.conditions import Conditions
from dialoguedb.search.entries import MESSAGE
from dialoguedb.store.opening import open_store
from dialoguedb.store.postgres.index import EntryIndex
from dialoguedb.store.postgres.pool import Address, connect
from dialoguedb.store.postgres.search import CANDIDATES, Searching
from dialoguedb.store.postgres.session import BEGIN_READ, Session
from dialoguedb.store.protocol import Query, Store

#: Queries whose nearest ten are looked for by the graph and exactly.
RECALLED, NEAREST = 200, 10
#: Tables that take less of a message are not told.
LEAST_BYTES = 20
#: Scopes with fewer texts are not searched by the graph.
GRAPH_FROM = 20_000


class Searched(NamedTuple):
    """A database that is searched.

    Attributes:
        name: of the database.
        address: for its owner.
        size: messages.
        filled: its project and spaces.
    """

    name: str
    address: str
    size: int
    filled: filling.Filled


def built(cluster: Cluster, name: str, address: str, size: int) -> tuple[Searched, list[Figure]]:
    """Fill a database, and tell how much room its tables take."""
    began = time.perf_counter()
    filled = filling.fill(address, size)
    took_s = time.perf_counter() - began
    filling.settle(cluster.superuser(name))
    with psycopg.connect(cluster.superuser(name)) as connection:
        rows = connection.execute(
            "SELECT c.relname, pg_table_size(c.oid), pg_indexes_size(c.oid) FROM pg_class AS c "
            "WHERE c.relnamespace = 'dialoguedb'::regnamespace AND c.relkind = 'r'"
        ).fetchall()
        graph = connection.execute(
            "SELECT SUM(pg_relation_size(oid)) FROM pg_class WHERE relname LIKE 'vectors_graph_%'"
        ).fetchone()
    figures = [
        Figure("filled by COPY, indexes made last", size, round(size / took_s), "messages/s")
    ]
    for table, rows_bytes, index_bytes in sorted(rows, key=lambda row: -row[1] - row[2]):
        if rows_bytes + index_bytes >= LEAST_BYTES * size:
            name = f"a message in {table}: rows"
            figures.append(Figure(name, size, round(rows_bytes / size), "bytes"))
            name = f"a message in {table}: indexes"
            figures.append(Figure(name, size, round(index_bytes / size), "bytes"))
    total = sum(row[1] + row[2] for row in rows)
    figures.append(Figure("a message, all tables and indexes", size, round(total / size), "bytes"))
    if graph and graph[0]:
        figures.append(Figure("a message in the graph", size, round(graph[0] / size), "bytes"))
    return Searched(name, address, size, filled), figures


def looked(searched: Searched, room: Path) -> Iterator[Figure]:
    """Search a space of 10,000 and all of a project, in-process and over HTTP."""
    corpus = Corpus()
    queries = corpus.queries(corpus.namespace(0), QUERIES + WARM_UP)
    store = open_store(searched.address)
    caller = Caller(project_id=searched.filled.project_id, request_id="")
    reaches: dict[str, Json] = {"space of 10,000": {"namespace": namespace_name(0)}, "project": {}}
    for reach, where in reaches.items():
        plain = 0.0
        for name, filters in ASKED.items():
            found = spread(list(_asked(store, caller, queries, where | filters)))
            plain = plain or found["p50_ms"]
            title = _title(reach, name)
            yield from _times(title, searched.size, found)
            if name in ("tag", "metadata"):
                ratio = round(found["p50_ms"] / plain, 2)
                yield Figure(f"{title}, p50 of without", searched.size, ratio, "")
    store.close()
    yield from _over_http(searched, queries, reaches, room)
    if searched.size >= GRAPH_FROM:
        yield from recalled(searched, queries[:RECALLED])


def _title(reach: str, name: str) -> str:
    if name in ("tag", "metadata"):
        return f"{reach}, a {name} filter keeps 1%"
    return reach if name == "plain" else f"{reach}, for {name}"


def _times(name: str, size: int, found: Json) -> Iterator[Figure]:
    yield Figure(f"{name}, p50", size, found["p50_ms"], "ms")
    yield Figure(f"{name}, p99", size, found["p99_ms"], "ms")


def _asked(store: Store, caller: Caller, queries: Sequence[str], asked: Json) -> Iterator[float]:
    """Search in this process; give the seconds of each."""
    bar, task = progress_of("searching", len(queries))
    with bar:
        for turn, query in enumerate(queries):
            request = Search(query=query, **({"object": "message"} | asked))
            finding = search.find(caller, request)
            took_s = seconds(store.read, finding.scope, finding.work)
            if turn >= WARM_UP:
                yield took_s
            bar.advance(task)


def _over_http(
    searched: Searched, queries: Sequence[str], reaches: dict[str, Json], room: Path
) -> Iterator[Figure]:
    """Search through the server."""
    command = [str(DIALOGUEDB), "serve", "--db", searched.address, "--port", "0", "--no-jobs"]
    with running(command, room / "search.log") as server:
        address = urlsplit(server.url)
        connection = HTTPConnection(str(address.hostname), address.port)
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        for reach, where in reaches.items():
            times = []
            for turn, query in enumerate(queries):
                body = msgspec.json.encode({"query": query, "object": "message"} | where)
                began = time.perf_counter()
                connection.request("POST", "/api/v1/search", body, headers)
                answer = connection.getresponse()
                text = answer.read()
                if turn >= WARM_UP:
                    times.append(time.perf_counter() - began)
                if answer.status != 200 or not msgspec.json.decode(text)["results"]:
                    raise SystemExit(f"{query!r} was answered with {answer.status}: {text[:300]!r}")
            yield from _times(f"{reach}, over HTTP", searched.size, spread(times))
        connection.close()


def recalled(searched: Searched, queries: Sequence[str]) -> Iterator[Figure]:
    """Hold the graph's nearest ten against the nearest ten of all."""
    store = open_store(searched.address)
    index: Any = store.index  # type: ignore[attr-defined]
    assert isinstance(index, EntryIndex)
    found, times = 0, {True: [0.0][:0], False: [0.0][:0]}
    with connect(Address.of(searched.address)) as connection:
        session = Session(connection)
        session.begin(BEGIN_READ)
        searching = Searching(session, index, searched.filled.project_id, None)
        bar, task = progress_of("comparing with all", len(queries))
        with bar:
            for query in queries:
                asked = Query(MESSAGE, query, analyser.query_terms(query), Conditions(), NEAREST)
                nearest = {}
                for by_graph, taken in times.items():
                    began = time.perf_counter()
                    nearest[by_graph] = searching.nearest(asked, CANDIDATES, by_graph=by_graph)
                    taken.append(time.perf_counter() - began)
                # Of those that are as near as the tenth, any may be among ten.
                least = nearest[False][NEAREST - 1][1]
                named = [one for one in nearest[True][:NEAREST] if one[1] >= least]
                found += len(named)
                bar.advance(task)
    store.close()
    size = searched.size
    recall = round(found / (NEAREST * len(queries)), 4)
    yield Figure(f"recall@{NEAREST} of the graph", size, recall, "", 0.98, least=True)
    for by_graph, name in ((True, "by the graph"), (False, "exactly")):
        yield from _times(f"nearest {CANDIDATES} {name}", size, spread(times[by_graph]))
