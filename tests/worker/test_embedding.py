"""Vectors of an embedder that is not asked inside a write, on PostgreSQL: jobs bring them."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest

from databases import Cluster
from dialoguedb.embed import Embedder, open_embedder
from dialoguedb.engine import projects
from dialoguedb.search.entries import MESSAGE
from dialoguedb.store import backlog
from dialoguedb.store.opening import open_store
from dialoguedb.store.postgres.pool import Address, connect
from dialoguedb.store.postgres.session import BEGIN_WRITE, Session
from dialoguedb.store.protocol import Store
from dialoguedb.worker.kinds import Kinds, kinds_of
from dialoguedb.worker.working import Pace, Worker
from embed.endpoint import Endpoint, answer_to
from harness import cli
from worker.working import do, say_texts, states, until, work

SETTING = "openai:hash"
#: What is there of kinds that are done again and again.
REST = {"forget:": "later", "look:": "later"}
QUICK = Pace(idle_s=0.005, first_pause_s=0.01, attempts=3)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    running = Endpoint()
    yield running
    running.close()


@pytest.fixture
def address(cluster: Cluster) -> Iterator[str]:
    made = cluster.new_database("bare")
    yield made
    cluster.drop(made)


@pytest.fixture
def open_one(address: str, endpoint: Endpoint) -> Iterator[Callable[[], Store]]:
    """Open the database with the embedder behind the endpoint."""
    made: list[Embedder] = []

    def open_it(setting: str) -> Embedder:
        made.append(open_embedder(setting, url=endpoint.url, timeout_s=2))
        return made[-1]

    yield lambda: open_store(address, embedder=SETTING, open_embedder=open_it)
    for embedder in made:
        embedder.close()


@pytest.fixture
def far(open_one: Callable[[], Store]) -> Iterator[Store]:
    with closing(open_one()) as store:
        yield store


@pytest.fixture
def owner(far: Store) -> str:
    return projects.create(far, "one").id


def asked(address: str, statement: str) -> list[tuple[Any, ...]]:
    """Ask the database itself."""
    with psycopg.connect(address, options="-c search_path=dialoguedb", autocommit=True) as there:
        return there.execute(statement.encode()).fetchall()


def vectors(address: str) -> list[tuple[Any, ...]]:
    """How many vectors each resource has."""
    return asked(
        address, "SELECT owner, sequence, COUNT(*) FROM vectors GROUP BY 1, 2 ORDER BY 1, 2"
    )


@contextmanager
def working(store: Store, kinds: Kinds | None = None) -> Iterator[None]:
    """Have a worker work meanwhile."""
    worker = Worker(store, kinds=kinds, pace=QUICK)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join()


def test_texts_get_their_vectors_by_one_job_for_each_space(
    far: Store, owner: str, address: str
) -> None:
    """However many writes there were; a message that is gone waits no more."""
    say_texts(far, owner, [f"text {number}" for number in range(25)])
    for dialogue in ("e", "f"):
        say_texts(far, owner, ["again"], dialogue=dialogue)
    say_texts(far, owner, ["elsewhere"], dialogue="g", namespace="n")
    do(far, owner, "dialogues.delete", {"id": "f", "cascade": True})
    assert list(states(far).values()) == ["due", "due"]
    assert work(far, "embed") == 2
    assert far.search_standing().lag == 0
    assert states(far) == {}
    expected = [("d", number, 1) for number in range(1, 26)]
    assert vectors(address) == [*expected, ("e", 1, 1), ("g", 1, 1)]


def test_a_text_that_changes_meanwhile_waits_on(
    far: Store, owner: str, address: str, endpoint: Endpoint
) -> None:
    """The vector of the old text is not stored; that of the new one is."""
    do(far, owner, "dialogues.create", {"id": "d", "label": "old"})
    texts: list[str] = []

    def respond(request: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        if not texts:
            do(far, owner, "dialogues.update", {"id": "d", "label": "new"})
        texts.extend(request["input"])
        return 200, {}, answer_to(request)

    endpoint.respond = respond
    assert work(far, "embed") == 1
    assert texts[-2:] == ["old", "new"]
    stored = [asked(address, "SELECT CAST(vector AS text) FROM vectors")]
    assert work(far) == 2
    do(far, owner, "dialogues.create", {"id": "same", "label": "new"})
    assert work(far, "embed") == 1
    stored.append(asked(address, "SELECT CAST(vector AS text) FROM vectors WHERE owner = 'same'"))
    assert stored[0] == stored[1]


def test_a_refused_text_is_not_sent_again(
    far: Store, owner: str, address: str, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    """The others of its request get their vectors; it counts as one without."""

    def respond(request: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        if any("bad" in text for text in request["input"]):
            return 400, {}, {"error": {"message": "too odd"}}
        return 200, {}, answer_to(request)

    endpoint.respond = respond
    say_texts(far, owner, ["good", "bad", "good too"])
    assert work(far, "embed") == 1
    assert far.search_standing().lag == 1
    assert states(far) == {}
    assert work(far, "look") == 1
    assert list(states(far)) == ["look:"]
    assert vectors(address) == [("d", 1, 1), ("d", 3, 1)]
    assert "found by its words alone" in caplog.text
    before = len(endpoint.requests)
    say_texts(far, owner, ["new"], dialogue="e")
    assert work(far, "embed") == 1
    assert far.search_standing().lag == 1
    assert len(endpoint.requests) == before + 1


def test_an_endpoint_that_is_away_is_tried_again(
    far: Store, owner: str, endpoint: Endpoint
) -> None:
    """More often than what fails for another reason."""
    endpoint.respond = lambda request: (503, {}, {"error": {"message": "busy"}})
    say_texts(far, owner, ["text"])
    with working(far):
        until(lambda: len(endpoint.requests) > QUICK.attempts + 2, "it is tried again")
        endpoint.respond = None
        until(lambda: far.search_standing().lag == 0, "the lag is gone")
        until(lambda: states(far) == REST, "the job is gone")


def test_a_key_that_is_refused_is_left_for_a_person(
    far: Store, owner: str, address: str, endpoint: Endpoint
) -> None:
    """The command line shows the reason, and has it tried again."""
    endpoint.respond = lambda request: (401, {}, {"error": {"message": "no such key"}})
    say_texts(far, owner, ["text"])
    with working(far):
        until(lambda: "failed" in states(far).values(), "it is given up")
    listed = cli("work", "--db", address, "--list")
    (failed,) = [one for one in json.loads(listed.stdout) if one["state"] == "failed"]
    assert SETTING in failed["reason"]
    assert failed["projectId"] == owner
    assert failed["attempts"] == QUICK.attempts
    endpoint.respond = None
    assert cli("work", "--db", address, "--retry", failed["job"]).returncode == 0
    assert work(far, "embed") == 1
    assert far.search_standing().lag == 0


def test_when_the_job_is_gone_no_text_waits(
    far: Store, owner: str, open_one: Callable[[], Store], address: str
) -> None:
    """Also for a text that comes while the job ends: it finds it there, or makes another."""

    def write(store: Store, name: str) -> None:
        for number in range(40):
            say_texts(store, owner, [f"{name} {number}"], dialogue=f"{name}{number}")

    with closing(open_one()) as again, working(far, {"embed": kinds_of(far)["embed"]}):
        writers = [
            threading.Thread(target=write, args=pair)
            for pair in ((far, "a"), (again, "b"), (far, "c"))
        ]
        for thread in writers:
            thread.start()
        for thread in writers:
            thread.join()
        until(lambda: not states(far), "the job is done")
        assert far.search_standing().lag == 0
    assert len(vectors(address)) == 120


def test_a_job_does_not_end_before_those_who_rely_on_it(
    far: Store, owner: str, address: str
) -> None:
    """A write that has found the job there, and is not committed yet, is waited for."""
    say_texts(far, owner, ["text"])
    ((space_id, generation, created),) = asked(
        address, "DELETE FROM waiting RETURNING space_id, generation, created"
    )
    session = Session(connect(Address.of(address)))
    with closing(session):
        session.begin(BEGIN_WRITE)
        one = {"space": space_id, "generation": generation, "kind": MESSAGE, "created": created}
        session.queue("waiting_put", one | {"owner": "d", "sequence": 1})
        backlog.expect(session, owner, space_id, generation)
        session.flush()
        thread = threading.Thread(target=work, args=(far, "embed"))
        thread.start()
        held = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        until(lambda: asked(address, held) or not thread.is_alive(), "it waits")
        session.commit(tell_position=False)
        thread.join()
    assert (far.search_standing().lag, states(far)) == (0, {})


def test_a_look_finds_what_waits_without_a_job(far: Store, owner: str, address: str) -> None:
    """As after a move to another embedder."""
    say_texts(far, owner, ["text"])
    assert len(asked(address, "DELETE FROM jobs RETURNING key")) == 1
    assert work(far, "embed") == 0
    assert far.search_standing().lag == 1
    assert work(far) == 3
    assert far.search_standing().lag == 0


def test_a_project_in_deletion_is_left_alone(far: Store, owner: str, endpoint: Endpoint) -> None:
    """Its texts go nowhere any more."""
    say_texts(far, owner, ["text"])
    deletion = projects.delete(far, owner)
    next(deletion)
    assert work(far, "embed") == 1
    assert endpoint.requests == []
    assert work(far, "look") == 1
    assert list(states(far)) == [f"erase:{owner}", "look:"]
