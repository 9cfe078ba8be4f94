"""What row-level security costs: the same database with it and without, by turns.

Appends are those of many callers in namespaces of their own, in-process; searches are in a
namespace of 10,000 messages and over all of the project, first as `migrate --row-level-security`
leaves the database, then with the operators of words marked as LEAKPROOF.
"""

import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import msgspec
from benchmarks import filling
from benchmarks.clusters import OWNER, Cluster
from benchmarks.common import Figure, seconds
from benchmarks.corpus import Corpus, namespace_name

from dialoguedb.engine import Caller, handlers
from dialoguedb.models.dialogues import CreateDialogue
from dialoguedb.models.messages import CreateMessage
from dialoguedb.models.search import Search
from dialoguedb.store.opening import open_store
from dialoguedb.store.protocol import Store
from dialoguedb.store.upkeep import row_security
from dialoguedb.store.upkeep.migrating import migrate

MESSAGES = 50_000
CALLERS = 32
QUERIES = 100
ROUNDS, ROUND_S = 4, 2.0
_PLAIN, _SECURED = "without_row_security", "with_row_security"


def figures(cluster: Cluster, messages: int = MESSAGES) -> Iterator[Figure]:
    """Measure appends and searches with and without; the databases are dropped at the end.

    Args:
        cluster: an empty PostgreSQL.
        messages: in the databases; a multiple of 10,000.
    """
    cluster.run(f"CREATE DATABASE {_PLAIN} OWNER {OWNER}")
    cluster.run("CREATE EXTENSION vector", _PLAIN)
    project_id = filling.fill(cluster.address(_PLAIN), messages).project_id
    cluster.run(f"CREATE DATABASE {_SECURED} TEMPLATE {_PLAIN} OWNER {OWNER}")
    try:
        migrate(cluster.address(_SECURED), row_level_security=True)
        for name in (_PLAIN, _SECURED):
            filling.settle(cluster.superuser(name))
        with (
            closing(open_store(cluster.address(_PLAIN))) as plain,
            closing(open_store(cluster.address(_SECURED))) as secured,
        ):
            yield from _appends([plain, secured], project_id)
            yield from _searches(plain, secured, project_id, messages, "")
            for function in row_security.SEARCHED:
                cluster.run(f"ALTER FUNCTION pg_catalog.{function} LEAKPROOF", _SECURED)
            yield from _searches(plain, secured, project_id, messages, ", LEAKPROOF")
    finally:
        for name in (_PLAIN, _SECURED):
            cluster.run(f"DROP DATABASE {name} WITH (FORCE)")


def _appends(stores: Sequence[Store], project_id: str) -> Iterator[Figure]:
    for store in stores:
        for number in range(CALLERS):
            request = CreateDialogue(id=f"append-{number}", namespace=f"append-{number}")
            _do(store, "dialogues.create", project_id, request)
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for store, its_own in zip(stores, rates, strict=True):
            its_own.append(_rate(store, project_id))
    plain, secured = map(statistics.median, rates)
    yield Figure("append, 32 callers", 0, round(plain), "messages/s")
    yield Figure("append, 32 callers, row-level security", 0, round(secured), "messages/s")
    yield Figure("append, row-level security against none", 0, round(secured / plain, 2), "x")


def _rate(store: Store, project_id: str) -> float:
    """Give the appends a second of many callers, each waiting for its own."""
    done: list[int] = []
    until_s = time.perf_counter() + ROUND_S

    def call(number: int) -> None:
        content = msgspec.Raw(b'"The front wheel is bent, and the brake rubs on the rim."')
        request = CreateMessage(
            dialogue_id=f"append-{number}",
            namespace=f"append-{number}",
            role="user",
            content=content,
        )
        count = 0
        while time.perf_counter() < until_s:
            _do(store, "messages.create", project_id, request)
            count += 1
        done.append(count)

    callers = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)]
    took_s = seconds(lambda: [one.start() for one in callers] + [one.join() for one in callers])
    return sum(done) / took_s


def _searches(
    plain: Store, secured: Store, project_id: str, messages: int, how: str
) -> Iterator[Figure]:
    corpus = Corpus()
    queries = corpus.queries(corpus.namespace(0), QUERIES)
    for where, namespace, size in (
        ("a space", namespace_name(0), 10_000),
        ("the project", msgspec.UNSET, messages),
    ):
        times: tuple[list[float], list[float]] = ([], [])
        for query in queries:
            request = Search(query=query, object="message", namespace=namespace)
            for store, its_own in zip((plain, secured), times, strict=True):
                its_own.append(1000 * seconds(_do, store, "search.find", project_id, request))
        without, with_it = map(statistics.median, times)
        name = f"search in {where}, p50"
        yield Figure(name, size, round(without, 1), "ms")
        yield Figure(f"{name}, row-level security{how}", size, round(with_it, 1), "ms")


def _do(store: Store, name: str, project_id: str, request: Any) -> None:
    task = handlers()[name](Caller(project_id=project_id, request_id=""), request)
    if name == "search.find":
        store.read(task.scope, task.work)
    else:
        store.write(task.scope, task.work)
