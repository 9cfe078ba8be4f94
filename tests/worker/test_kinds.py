"""Jobs of deletions, of replies and of the graph: each ends, and leaves what it should."""

from collections.abc import Callable
from contextlib import closing

import psycopg
import pytest

from dialoguedb.engine import projects
from dialoguedb.runtime import Runtime, system_clock
from dialoguedb.store import backlog, jobs
from dialoguedb.store.opening import open_store
from dialoguedb.store.protocol import Scope, Store
from dialoguedb.worker import forget, grow
from worker.working import do, say_texts, states, work

HOUR_MS = 3_600_000


# ── erase ────────────────────────────────────────────────────────────────────────────────────


def test_an_interrupted_deletion_is_ended(
    store: Store, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a minute; the job goes with the project, and another project stays."""
    monkeypatch.setattr(projects, "ERASE_STEP", 2)
    other = projects.create(store, "other").id
    for one in (project, other):
        say_texts(store, one, [f"text {number}" for number in range(10)])
    assert next(projects.delete(store, project)) > 0
    assert states(store) == {f"erase:{project}": "later"}
    assert work(store, "erase") == 0
    # A minute later.
    store.write(None, lambda tx: tx.run("jobs_of_project", project_id=project))
    store.write(None, lambda tx: jobs.add(tx, "erase", project))
    assert work(store, "erase") == 1
    assert [one.id for one in projects.every(store)] == [other]
    assert states(store) == {}


def test_a_deletion_that_comes_to_its_end_leaves_no_job(store: Store, project: str) -> None:
    """Neither its own nor one of the project's; those of others stay."""
    other = projects.create(store, "other").id
    for one in (project, other):
        store.write(Scope(one, ""), asking("summary", one))
    for _ in projects.delete(store, project):
        pass
    assert states(store) == {f"summary:{other}": "due"}


def asking(kind: str, key: str) -> Callable[..., bool]:
    return lambda tx: jobs.add(tx, kind, key)


def test_a_job_of_a_deletion_that_others_have_ended_is_done(store: Store, project: str) -> None:
    """There is nothing left to do, and that is no failure."""
    store.write(None, asking("erase", "unknown"))
    assert work(store, "erase") == 1
    assert states(store) == {}
    assert [one.id for one in projects.every(store)] == [project]


# ── forget ───────────────────────────────────────────────────────────────────────────────────


def test_old_replies_are_forgotten_in_every_space(
    db: str, store: Store, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In small steps; those of the last day still answer."""
    monkeypatch.setattr(forget, "_STEP", 2)
    before = Runtime(lambda: system_clock() - 26 * HOUR_MS)
    keys = [f"k{number}" for number in range(5)]
    with closing(open_store(db, runtime=before)) as earlier:
        for namespace in ("", "n"):
            for key in keys:
                remember(earlier, project, namespace, key)
                assert remembered(store, project, namespace, key)
    remember(store, project, "", "new")
    assert work(store, "forget") == 1
    assert states(store) == {"forget:": "later"}
    for namespace in ("", "n"):
        for key in keys:
            assert not remembered(store, project, namespace, key)
    assert remembered(store, project, "", "new")


def remember(store: Store, project_id: str, namespace: str, key: str) -> None:
    body = {"value": key} | ({"namespace": namespace} if namespace else {})
    do(store, project_id, "memories.create", body, idempotency_key=key)


def remembered(store: Store, project_id: str, namespace: str, key: str) -> bool:
    scope = Scope(project_id, namespace)
    return store.read(scope, lambda tx: tx.one("replies_find", key=key, since=0)) is not None


# ── grow ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.postgres_only
def test_the_vectors_of_a_large_project_enter_the_graph(
    db: str, store: Store, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all its spaces, also where few texts are; a small project's stay beside it."""
    monkeypatch.setattr(backlog, "LARGE", 20)
    monkeypatch.setattr(grow, "_MOST", 10)
    monkeypatch.setattr(grow, "_FIRST", 10)
    small = projects.create(store, "small").id
    say_texts(store, project, [f"a text of number {number}" for number in range(25)])
    say_texts(store, project, ["one more"], dialogue="e", namespace="n")
    say_texts(store, small, ["a text"])
    assert work(store) == 4  # forget, look, and two spaces
    assert states(store) == {"forget:": "later", "look:": "later"}
    with psycopg.connect(db, options="-c search_path=dialoguedb") as there:
        left = there.execute(
            "SELECT s.project_id, COUNT(*) FROM vectors AS v JOIN spaces AS s ON s.id = v.space_id "
            "WHERE NOT v.grown GROUP BY 1"
        ).fetchall()
        grown = there.execute("SELECT COUNT(*) FROM vectors WHERE grown").fetchall()
    assert (left, grown) == ([(small, 1)], [(26,)])
