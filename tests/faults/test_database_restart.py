"""The database is stopped and started under a server that is loaded: it heals by itself."""

import time
from collections.abc import Callable, Iterator
from functools import partial

import httpx
import pytest
from benchmarks.outages import Crowd, until_served

from databases import Cluster
from harness import KEY, TLS, Server

DIALOGUES = ["d-0", "d-1", "d-2", "d-3"]
TIMEOUT_S = 4
#: What a request may take beyond the time-out: a write waits for the store's own word of it.
GRACE_S = 3
#: How long it may take until writes are answered again when the database takes connections.
RETURN_S = 2


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    """A cluster that is stopped; what it has answered is on its disk."""
    with Cluster(fsync=True) as cluster:
        yield cluster


@pytest.mark.parametrize("workers", [pytest.param("1", marks=pytest.mark.long), "2"])
def test_the_database_is_restarted_under_load(
    own_cluster: Cluster, workers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three times: nothing answered is lost, nothing doubled, and nobody does anything for it."""
    db = own_cluster.new_database("empty")
    flags = ("--workers", workers, "--db-timeout-seconds", str(TIMEOUT_S))
    server = Server(db, *flags)
    ways: list[Callable[[], object]] = [
        partial(own_cluster.stop, "fast"),
        partial(own_cluster.stop, "immediate"),
        own_cluster.kill,
    ]
    try:
        crowd = Crowd(server.url, KEY, DIALOGUES)
        with crowd.http() as http:
            for dialogue in DIALOGUES:
                http.post("/dialogue", json={"id": dialogue}).raise_for_status()
        returned = []
        with crowd.running():
            for stop in ways:
                time.sleep(0.7)
                stop()
                refused_at_once(server)
                own_cluster.start()
                back_s = time.monotonic()
                until_served(crowd, back_s)
                returned.append(crowd.first_after(back_s) - back_s)
        crowd.check()
        figures = crowd.figures(0, 0)
        assert figures.longest_s < TIMEOUT_S + GRACE_S
        assert figures.acknowledged > 100, "the load was too small to prove anything"
        assert figures.refused > 0
        assert max(returned) < RETURN_S
        with capsys.disabled():
            print(
                f"\nrestarts, {workers} workers: {figures.acknowledged} acknowledged writes, all "
                f"there once; {figures.refused} refused, {figures.unknown} of unknown outcome; "
                f"service after {', '.join(f'{one:.2f}' for one in returned)} s"
            )
        assert httpx.get(f"{server.url}/ready", verify=TLS).status_code == 200
    finally:
        assert server.stop() == 0


def refused_at_once(server: Server) -> None:
    """While nobody listens: alive, not ready, and no request waits for the time-out."""
    with server.client() as client:
        assert client.get("/health").status_code == 200
        for path in ("/ready", "/memory"):
            began_s = time.monotonic()
            answer = client.get(path)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
            assert time.monotonic() - began_s < TIMEOUT_S / 2


def test_a_server_whose_database_is_gone_for_good_can_still_be_ended(own_cluster: Cluster) -> None:
    """SIGTERM ends it, with exit code 0 and no traceback."""
    db = own_cluster.new_database("empty")
    server = Server(db, "--db-timeout-seconds", str(TIMEOUT_S))
    own_cluster.stop("immediate")
    try:
        with server.client() as client:
            assert client.post("/memory", json={"value": 1}).status_code == 503
        assert server.stop() == 0
        assert "Traceback" not in server.output()
    finally:
        own_cluster.start()
