"""The primary is lost under load and a standby takes over: nothing that was answered is lost."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from benchmarks.outages import Crowd, Figures, failover

from databases import Cluster
from harness import KEY, Server

DIALOGUES = ["d-0", "d-1", "d-2", "d-3"]
TIMEOUT_S = 4
#: What a request may take beyond the time-out: a write waits for the store's own word of it.
GRACE_S = 3


def shown(number: int, figures: Figures) -> str:
    return (
        f"\nfailover {number}: {figures.acknowledged} acknowledged writes, all there once; "
        f"{figures.refused} requests refused, {figures.unknown} writes of unknown outcome; "
        f"writes again {figures.away_s:.2f} s after the loss, {figures.recovered_s:.2f} s after "
        f"the promotion; longest request {figures.longest_s:.2f} s"
    )


@contextmanager
def served(primary: Cluster, standby: Cluster, db: str, *flags: str) -> Iterator[Server]:
    """A server that knows both; the primary first, as before it was lost."""
    where = primary.address(urlsplit(db).path.lstrip("/"), standby)
    server = Server(where, "--db-timeout-seconds", str(TIMEOUT_S), *flags)
    try:
        yield server
    finally:
        assert server.stop() == 0


def test_a_standby_takes_over_and_no_acknowledged_write_is_lost(
    long_round: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server finds it by itself; meanwhile it refuses at once and says when to come again."""
    rounds = 10 if long_round else 1
    primary = Cluster(fsync=True)
    others: list[Cluster] = []
    try:
        db = primary.new_database("empty")
        for number in range(rounds):
            others.append(standby := primary.standby())
            names = [f"round-{number}-{name}" for name in DIALOGUES]
            with served(primary, standby, db) as server:
                crowd = Crowd(server.url, KEY, names, name=f"r{number}-c")
                lose = primary.kill if number % 2 == 0 else partial(primary.stop, "immediate")
                figures = failover(crowd, lose, standby.promote)
            assert figures.acknowledged > 100, "the load was too small to prove anything"
            assert figures.refused > 0
            assert figures.longest_s < TIMEOUT_S + GRACE_S
            with capsys.disabled():
                print(shown(number + 1, figures))
            primary.close()
            primary = standby
    finally:
        primary.close()
        for one in others:
            one.close()


@contextmanager
def frozen(cluster: Cluster) -> Iterator[None]:
    """Keep a cluster from running: it takes connections, and says nothing."""
    first = cluster.first_process()
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    every = [first, *map(int, children)]
    for pid in every:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in every:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.long
def test_a_primary_that_is_frozen_is_left_and_what_it_did_not_answer_is_not_taken_for_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also by a commit that waits there; and what it commits when it goes on, it cannot answer."""
    with Cluster(fsync=True) as primary, primary.standby() as standby:
        db = primary.new_database("empty")
        with served(primary, standby, db) as server:
            crowd = Crowd(server.url, KEY, DIALOGUES)
            holding = frozen(primary)
            try:
                figures = failover(crowd, holding.__enter__, standby.promote)
            finally:
                holding.__exit__(None, None, None)
            assert figures.longest_s < TIMEOUT_S + GRACE_S
            crowd.check()  # again, now that the old primary runs
            with capsys.disabled():
                print(shown(1, figures))


def test_the_old_primary_comes_back_as_a_standby() -> None:
    """As the how-to says: rewound to where the new one began, then it follows."""
    settings = {"wal_log_hints": "on", "wal_keep_size": "64MB"}
    with Cluster(fsync=True, settings=settings) as old, old.standby() as new:
        db = old.new_database("empty")
        name = urlsplit(db).path.lstrip("/")
        with served(old, new, db) as server, server.client() as client:
            client.post("/memory", json={"id": "before", "value": 1}).raise_for_status()
            old.stop("immediate")
            new.promote()
            deadline_s = time.monotonic() + 2 * TIMEOUT_S
            while client.post("/memory", json={"id": "after", "value": 1}).status_code == 503:
                assert time.monotonic() < deadline_s
                time.sleep(0.05)
            source = f"host={new.folder} port={new.port} user=postgres dbname=postgres"
            old._must("pg_rewind", "--source-server", source, "--write-recovery-conf", "--no-sync")
            old.start()
            new.configure(synchronous_standby_names="*")
            state = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
            while not new.run(state):
                assert time.monotonic() < deadline_s + 20
                time.sleep(0.05)
            client.post("/memory", json={"id": "both", "value": 1}).raise_for_status()
            count = "SELECT count(*), pg_is_in_recovery() FROM dialoguedb.memories"
            assert old.run(count, name) == [(3, True)]
