"""Reads from a standby: what a reader may rely on, and what happens when the standby fails."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

import dialoguedb
from databases import Cluster
from dialoguedb.engine import projects
from dialoguedb.store.opening import Service, open_store
from dialoguedb.store.postgres.store import PostgresStore
from harness import Server

WAIT_S = 20
TIMEOUT_S = 2.0
HEADER = "X-DialogueDB-Position"


@pytest.fixture(scope="module")
def primary() -> Iterator[Cluster]:
    """A cluster whose standby the tests here pause, freeze and stop."""
    with Cluster() as made:
        yield made


@pytest.fixture(scope="module")
def standby(primary: Cluster) -> Iterator[Cluster]:
    with primary.standby(synchronous=False) as made:
        yield made


@pytest.fixture(scope="module")
def db(primary: Cluster) -> str:
    return primary.new_database("empty")


@pytest.fixture(scope="module")
def replica(db: str, standby: Cluster) -> str:
    """The address of the same database on the standby."""
    return standby.address(urlsplit(db).path.lstrip("/"))


@pytest.fixture
def store(db: str, replica: str) -> Iterator[PostgresStore]:
    service = Service(timeout_s=TIMEOUT_S, replica=replica)
    with closing(open_store(db, service=service)) as made:
        assert isinstance(made, PostgresStore)
        yield made


@pytest.fixture
def server(db: str, replica: str) -> Iterator[Server]:
    made = Server(db, "--db-timeout-seconds", "2", env={"DIALOGUEDB_REPLICA": replica})
    yield made
    made.stop()


@contextmanager
def paused(standby: Cluster) -> Iterator[None]:
    """Keep the standby from taking in what it is sent."""
    standby.run("SELECT pg_wal_replay_pause()")
    state = "SELECT pg_get_wal_replay_pause_state() = 'paused'"
    until(lambda: bool(standby.run(state)[0][0]), "the replay pauses")
    try:
        yield
    finally:
        standby.run("SELECT pg_wal_replay_resume()")


@contextmanager
def frozen(standby: Cluster) -> Iterator[None]:
    first = standby.first_process()
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    every = [first, *map(int, children)]
    for pid in every:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in every:
            os.kill(pid, signal.SIGCONT)


def until(true: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, f"not within {WAIT_S} s: {what}"
        time.sleep(0.01)


def names(store: PostgresStore, after: str | None = None) -> set[str]:
    """The names of the projects, as a read sees them."""
    work = projects.stored.every
    return {one.name for one in store.read(None, work, after=after)}


def where(store: PostgresStore, after: str | None = None) -> str:
    """Where a read is carried out: the standby or the primary."""
    seen: list[Any] = []

    def work(tx: Any) -> None:
        seen.extend(tx._rows("SELECT pg_is_in_recovery()", {}))

    store.read(None, work, after=after)
    return "standby" if seen[0][0] else "primary"


def caught_up(store: PostgresStore) -> None:
    until(lambda: where(store, store.position()) == "standby", "the standby has it all")


def test_reads_go_to_the_standby_and_writes_to_the_primary(store: PostgresStore) -> None:
    projects.create(store, "one")
    caught_up(store)
    assert where(store) == "standby"
    assert "one" in names(store, store.position())
    # A snapshot is for keys, and for what must be as new as can be.
    with closing(store.snapshot()) as snapshot:
        assert snapshot.read(None, lambda tx: tx._rows("SELECT pg_is_in_recovery()", {})) == [  # type: ignore[attr-defined]
            (False,)
        ]


def test_whoever_says_what_they_have_written_reads_it(
    store: PostgresStore, standby: Cluster
) -> None:
    """The others may read what was before, for as long as the standby is behind."""
    caught_up(store)
    with paused(standby):
        for number in range(5):
            projects.create(store, f"paused-{number}")
            assert f"paused-{number}" in names(store, store.position())
            assert where(store, store.position()) == "primary"
        assert not any(name.startswith("paused") for name in names(store))
        assert where(store) == "standby"
    caught_up(store)
    assert "paused-4" in names(store)


def test_and_always_while_it_catches_up(store: PostgresStore, standby: Cluster) -> None:
    """Written and read at once, again and again, with a replay that stops and goes on."""
    ending = threading.Event()

    def pause_and_resume() -> None:
        while not ending.is_set():
            standby.run("SELECT pg_wal_replay_pause()")
            standby.run("SELECT pg_wal_replay_resume()")

    disturbing = threading.Thread(target=pause_and_resume)
    disturbing.start()
    try:
        for number in range(150):
            projects.create(store, f"written-{number}")
            assert f"written-{number}" in names(store, store.position()), number
    finally:
        ending.set()
        disturbing.join()


def test_a_standby_that_is_stopped_is_done_without_and_comes_back(
    store: PostgresStore, standby: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    projects.create(store, "kept")
    caught_up(store)
    caplog.set_level(logging.WARNING, "dialoguedb.store")
    standby.stop("fast")
    try:
        for number in range(20):
            assert "kept" in names(store, store.position() if number % 2 else None)
        told = [one for one in caplog.records if "replica" in one.getMessage()]
        assert len(told) == 1
    finally:
        standby.start()
    until(lambda: where(store) == "standby", "the standby is used again")


def test_a_standby_that_is_frozen_costs_a_read_some_time_and_no_error(
    store: PostgresStore, standby: Cluster
) -> None:
    projects.create(store, "frozen")
    caught_up(store)
    with frozen(standby):
        began = time.monotonic()
        assert "frozen" in names(store)
        assert time.monotonic() - began < TIMEOUT_S + 1
        began = time.monotonic()
        for _ in range(20):
            assert "frozen" in names(store)
        assert time.monotonic() - began < TIMEOUT_S
    until(lambda: where(store) == "standby", "the standby is used again")


def test_a_read_that_the_standby_cancels_is_done_at_the_primary(
    store: PostgresStore, primary: Cluster, standby: Cluster, db: str
) -> None:
    """It takes in a change that removes what the read looks at."""
    name = urlsplit(db).path.lstrip("/")
    standby.configure(max_standby_streaming_delay="0")
    projects.create(store, "cancelled")
    caught_up(store)
    seen: list[str] = []

    def work(tx: Any) -> set[str]:
        found = {one.name for one in projects.stored.every(tx)}
        seen.append("standby" if tx._rows("SELECT pg_is_in_recovery()", {})[0][0] else "primary")
        if len(seen) == 1:
            primary.run("VACUUM FULL dialoguedb.projects", name)
            end = primary.run("SELECT pg_current_wal_lsn()")[0][0]
            reached = f"SELECT pg_last_wal_replay_lsn() >= '{end}'"
            until(lambda: bool(standby.run(reached)[0][0]), "it has come to the change")
        return found | {one.name for one in projects.stored.every(tx)}

    assert "cancelled" in store.read(None, work)
    assert seen == ["standby", "primary"]


def test_a_client_in_process_makes_its_summaries_of_what_the_primary_has(
    db: str, replica: str, standby: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its jobs are done on the store that reads of the standby."""
    monkeypatch.setenv("DIALOGUEDB_REPLICA", replica)
    with dialoguedb.open(db) as client, paused(standby):
        dialogue = client.create_dialogue(id="inside", namespace="fresh")
        for number in range(3):
            dialogue.save_message(role="user", content=f"Wheel {number} is bent.")
        summary = dialogue.summarize(timeout_s=WAIT_S)
        assert (summary.status, summary.message_count, summary.stale) == ("completed", 3, False)


# ── over HTTP ────────────────────────────────────────────────────────────────────────────────


def test_a_client_that_sends_its_position_back_reads_its_own_writes(
    server: Server, standby: Cluster
) -> None:
    with server.client() as client, paused(standby):
        for number in range(5):
            made = client.post("/memory", json={"id": f"m-{number}", "value": number})
            position = made.raise_for_status().headers[HEADER]
            for path in (f"/memory/m-{number}", "/memory"):
                shown = client.get(path, headers={HEADER: position})
                assert shown.status_code == 200, shown.text
            assert f"m-{number}" in {row["id"] for row in shown.json()["items"]}
        assert client.get("/memory/m-4").status_code == 404  # without it: as it was
    with server.client() as client:
        until(lambda: client.get("/memory/m-4").status_code == 200, "the standby has it")


def test_keys_are_looked_up_at_the_primary(server: Server, standby: Cluster) -> None:
    """A new one opens at once, a revoked one nothing any more, however old the standby is."""
    with paused(standby):
        made = server.cli("key", "create", "--output", "json")
        assert made.returncode == 0, made.stderr
        key = httpx.Response(200, content=made.stdout).json()
        with server.client(key["key"]) as client:
            assert client.get("/memory").status_code == 200
            assert server.cli("key", "revoke", key["id"]).returncode == 0
            assert client.get("/memory").status_code == 401


def test_many_reads_that_the_standby_cannot_answer_fit_into_few_connections(
    db: str, replica: str, standby: Cluster
) -> None:
    """One that goes to the primary after all holds nothing there while it waits for its turn."""
    small = ("--db-connections", "2", "--db-timeout-seconds", "4")
    server = Server(db, *small, env={"DIALOGUEDB_REPLICA": replica})
    try:
        with server.client() as client, paused(standby), ThreadPoolExecutor(12) as pool:
            made = client.post("/memory", json={"id": "crowded", "value": 1}).raise_for_status()
            headers = {HEADER: made.headers[HEADER]}
            asked = pool.map(lambda _: client.get("/memory/crowded", headers=headers), range(24))
            assert [answer.status_code for answer in asked] == [200] * 24
            assert client.get("/ready").status_code == 200
    finally:
        server.stop()


def test_the_server_goes_on_without_the_standby(server: Server, standby: Cluster) -> None:
    with server.client() as client:
        client.post("/memory", json={"id": "away", "value": 1}).raise_for_status()
        standby.stop("immediate")
        try:
            for _ in range(10):
                assert client.get("/memory/away").status_code == 200
            assert client.get("/ready").status_code == 200
        finally:
            standby.start()


# ── when the primary is replaced: it is done last ────────────────────────────────────────────


def test_a_position_of_a_primary_that_was_replaced_is_never_taken_for_reached(
    primary: Cluster, db: str
) -> None:
    """A standby that follows nobody may have come as far, along another history."""
    name = urlsplit(db).path.lstrip("/")
    with primary.standby(synchronous=False) as left:
        service = Service(timeout_s=TIMEOUT_S, replica=left.address(name))
        with closing(open_store(db, service=service)) as store:
            assert isinstance(store, PostgresStore)
            projects.create(store, "before")
            caught_up(store)
            position = store.position()
            left.configure(primary_conninfo="host=127.0.0.1 port=1")
            left.stop("fast")
            left.start()
            until(lambda: where(store) == "standby", "the replica is used again")
            assert where(store, position) == "primary"
