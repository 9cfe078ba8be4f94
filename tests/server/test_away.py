"""A database that is away, does not answer, and comes back, under a server that stays up."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from databases import Cluster, frozen
from harness import TLS, Server

TIMEOUT_S = 2
#: What a request may take beyond the time-out: a write waits for the store's own word of it.
GRACE_S = 4
#: A request of each kind: it reads, writes, lists, searches, asks whether the server is ready.
KINDS: tuple[tuple[str, str, Any], ...] = (
    ("GET", "/memory/m", None),
    ("GET", "/memory", None),
    ("POST", "/memory", {"value": 1}),
    ("POST", "/search", {"query": "wheel", "object": "message"}),
    ("DELETE", "/memory/none", None),
    ("GET", "/ready", None),
)


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    """A cluster that the tests here stop, kill and freeze."""
    with Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module", params=["1", "2"], ids=["one process", "two workers"])
def server(own_cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server on it; it is never started anew."""
    flags = ("--workers", request.param, "--db-timeout-seconds", str(TIMEOUT_S))
    running = Server(own_cluster.new_database("empty"), *flags)
    with running.client() as client:
        client.post("/memory", json={"id": "m", "value": "kept"}).raise_for_status()
    yield running
    running.stop()


def until(true: Callable[[], Any], what: str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def asked(server: Server, times: int = 1) -> list[tuple[httpx.Response, float]]:
    """Send a request of each kind at once, and measure how long each takes."""

    def one(kind: tuple[str, str, Any]) -> tuple[httpx.Response, float]:
        method, path, body = kind
        with server.client() as client:
            began = time.monotonic()
            answer = client.request(method, path, json=body)
            return answer, time.monotonic() - began

    with ThreadPoolExecutor(len(KINDS) * times) as pool:
        return list(pool.map(one, KINDS * times))


def serves_again(server: Server) -> None:
    """All kinds are answered, with what was stored before, and go on to be."""
    until(lambda: httpx.get(f"{server.url}/ready", verify=TLS).status_code == 200, "it is ready")
    for _ in range(3):
        assert {answer.status_code for answer, _ in asked(server)} == {200, 404}
    with server.client() as client:
        assert client.get("/memory/m").json()["value"] == "kept"


def assert_unavailable(answers: list[tuple[httpx.Response, float]]) -> None:
    for answer, seconds in answers:
        assert answer.status_code == 503, answer.text
        assert answer.json()["error"]["code"] == "SERVICE_UNAVAILABLE"
        assert int(answer.headers["retry-after"]) >= 1
        assert "owner" not in answer.text  # the password
        assert seconds < TIMEOUT_S + GRACE_S


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_while_the_database_is_away_requests_get_503_and_then_service_returns(
    own_cluster: Cluster, server: Server, how: Any
) -> None:
    """By itself; what needs no database is answered throughout (contract 10.1)."""
    own_cluster.stop(how)
    try:
        assert_unavailable(asked(server, times=2))
        assert httpx.get(f"{server.url}/health", verify=TLS).status_code == 200
        figures = httpx.get(f"{server.url}/metrics", verify=TLS)
        assert figures.status_code == 200
        assert "dialoguedb_requests_total" in figures.text
    finally:
        own_cluster.start()
    serves_again(server)


def test_a_database_that_does_not_answer_keeps_nobody_beyond_the_time_out(
    own_cluster: Cluster, server: Server
) -> None:
    """More requests than there are connections; and it heals when the database goes on."""
    with frozen(own_cluster):
        assert_unavailable(asked(server, times=4))
        assert httpx.get(f"{server.url}/health", verify=TLS).status_code == 200
        assert httpx.get(f"{server.url}/metrics", verify=TLS).status_code == 200
    serves_again(server)


def test_idle_connections_that_are_cut_cost_no_request(
    own_cluster: Cluster, server: Server
) -> None:
    """As after a restart or by a firewall: whoever reads next gets a new one, and no error."""
    asked(server, times=4)
    own_cluster.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'dialoguedb'"
    )
    answers = asked(server, times=4)
    reads = [answer for answer, _ in answers if answer.request.method == "GET"]
    assert {answer.status_code for answer in reads} == {200}
