"""The primary is lost under load and a standby takes over: nothing that was answered is lost."""

import os
import signal
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
