"""Rate limits: three headers on every answer, and 429 when they are switched on (contract 11)."""

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from harness import Database, Server, new_project

NAMES = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
ANSWERS: dict[str, tuple[str, str, dict[str, Any], int]] = {
    "create": ("POST", "/dialogue", {"json": {}}, 200),
    "list": ("GET", "/dialogue", {}, 200),
    "v1": ("GET", "/api/v1/memory", {}, 200),
    "bad parameter": ("GET", "/dialogue?limit=0", {}, 400),
    "bad JSON": ("POST", "/memory", {"content": b"{"}, 400),
    "no key": ("GET", "/dialogue", {"headers": {"Authorization": ""}}, 401),
    "wrong key": ("GET", "/dialogue", {"headers": {"Authorization": "Bearer wrong"}}, 401),
    "no resource": ("GET", "/memory/none", {}, 404),
    "no route": ("GET", "/nowhere", {}, 404),
    "no method": ("PATCH", "/dialogue", {}, 405),
    "too large": ("POST", "/memory", {"json": {"value": "x" * 1024 * 1024}}, 413),
    "health": ("GET", "/health", {}, 200),
    "ready": ("GET", "/ready", {}, 200),
    "metrics": ("GET", "/metrics", {}, 200),
    "description": ("GET", "/openapi.json", {}, 200),
    "documents": ("GET", "/docs", {}, 200),
}
answers = pytest.mark.parametrize(
    ("method", "path", "rest", "status"), ANSWERS.values(), ids=ANSWERS
)


@pytest.fixture(scope="module")
def limited(new_db: Callable[..., Database]) -> Any:
    """A server that lets five requests a second pass, five at once."""
    running = Server(new_db(), "--rate-limit", "5", "--rate-burst", "5")
    yield running
    running.stop()


@pytest.fixture
def client(limited: Server) -> Any:
    """A client with a key, and so a bucket, of its own."""
    with limited.client(new_project(limited.db).key) as made:
        yield made


def exhaust(client: httpx.Client) -> httpx.Response:
    """Send requests until one is refused; no more than ten seconds' worth."""
    for _ in range(100):
        answer = client.get("/dialogue")
        if answer.status_code == 429:
            return answer
    raise AssertionError("a hundred requests passed")


# Off, as it is by default


@answers
def test_every_answer_carries_the_three_headers(
    api: httpx.Client, method: str, path: str, rest: dict[str, Any], status: int
) -> None:
    """Contract 11: limit, remaining and reset are on every answer, errors included."""
    answer = api.request(method, path, **rest)
    assert answer.status_code == status
    assert [answer.headers.get(name, "").isdigit() for name in NAMES] == [True, True, True]


@answers
def test_without_a_limit_the_headers_say_a_million(
    api: httpx.Client, method: str, path: str, rest: dict[str, Any], status: int
) -> None:
    """Contract 11: by default limiting is off; Limit and Remaining are 1000000."""
    answer = api.request(method, path, **rest)
    assert answer.status_code == status
    assert [answer.headers[name] for name in NAMES[:2]] == ["1000000", "1000000"]


def test_without_a_limit_reset_is_the_next_second(api: httpx.Client) -> None:
    """Contract 11: Reset is now + 1 in Unix seconds."""
    earliest = int(time.time()) + 1
    reset = int(api.get("/dialogue").headers["X-RateLimit-Reset"])
    assert earliest <= reset <= time.time() + 2


def test_by_default_nothing_is_limited(api: httpx.Client) -> None:
    """Contract 11: the limit is off by default."""
    assert {api.get("/dialogue").status_code for _ in range(300)} == {200}


# On


def test_the_first_requests_up_to_the_burst_pass(client: httpx.Client) -> None:
    """Contract 11: a full bucket holds the burst."""
    assert [client.get("/dialogue").status_code for _ in range(5)] == [200] * 5


def test_a_caller_over_the_limit_is_refused(client: httpx.Client) -> None:
    """Contract 11, 10.3: 429 `RATE_LIMIT_EXCEEDED` of type `rate_limit_exceeded`."""
    error = exhaust(client).json()["error"]
    assert (error["code"], error["type"]) == ("RATE_LIMIT_EXCEEDED", "rate_limit_exceeded")


def test_a_refusal_has_the_whole_envelope(client: httpx.Client) -> None:
    """Contract 10.1: 429 is answered like every other error."""
    answer = exhaust(client)
    assert set(answer.json()["error"]) == {
        "code", "message", "type", "details", "requestId", "timestamp",
    }  # fmt: skip
    assert answer.json()["error"]["requestId"] == answer.headers["X-Request-Id"]


def test_a_refusal_tells_when_to_come_back(client: httpx.Client) -> None:
    """Contract 11: `Retry-After` in whole seconds, at least one."""
    assert 1 <= int(exhaust(client).headers["Retry-After"]) <= 5


def test_only_a_refusal_tells_when_to_come_back(client: httpx.Client) -> None:
    """Contract 11: `Retry-After` belongs to 429."""
    assert "Retry-After" not in client.get("/dialogue").headers


def test_a_refusal_shows_nothing_remaining(client: httpx.Client) -> None:
    """Contract 17: on 429 the bucket is shown empty."""
    answer = exhaust(client)
    assert [answer.headers[name] for name in NAMES[:2]] == ["5", "0"]


def test_the_headers_show_the_bucket(client: httpx.Client) -> None:
    """Contract 11: the limit, what is left of it, and when it is full again."""
    answer = client.get("/dialogue")
    assert [answer.headers[name] for name in NAMES[:2]] == ["5", "4"]
    assert time.time() - 1 <= int(answer.headers["X-RateLimit-Reset"]) <= time.time() + 5


@answers
def test_with_a_limit_every_answer_carries_the_headers_too(
    limited: Server, method: str, path: str, rest: dict[str, Any], status: int
) -> None:
    """Contract 11: the three headers are sent in both cases."""
    with limited.client(new_project(limited.db).key) as client:
        answer = client.request(method, path, **rest)
    assert answer.status_code == status
    assert [answer.headers.get(name, "").isdigit() for name in NAMES] == [True, True, True]


def test_the_bucket_fills_again(client: httpx.Client) -> None:
    """Contract 11: after `Retry-After` a request passes."""
    deadline = time.monotonic() + int(exhaust(client).headers["Retry-After"]) + 1
    while client.get("/dialogue").status_code == 429:
        assert time.monotonic() < deadline, "still refused"
        time.sleep(0.05)


def test_a_refused_write_is_not_stored(client: httpx.Client) -> None:
    """Contract 10.3: the rate is checked before anything is done."""
    exhaust(client)
    answer = client.post("/memory", json={"id": "late", "value": 1})
    deadline = time.monotonic() + 10
    read = client.get("/memory/late")
    while read.status_code == 429:
        assert time.monotonic() < deadline, "still refused"
        time.sleep(0.05)
        read = client.get("/memory/late")
    assert (answer.status_code, read.status_code) in {(429, 404), (200, 200)}


def test_the_limit_counts_each_key_alone(limited: Server, client: httpx.Client) -> None:
    """Contract 11: one bucket per key, so another project's caller is not slowed."""
    exhaust(client)
    with limited.client(new_project(limited.db).key) as other:
        assert [other.get("/dialogue").status_code for _ in range(5)] == [200] * 5


def test_two_keys_of_a_project_have_two_buckets(limited: Server) -> None:
    """Contract 11: the bucket is the key's, not the project's."""
    project = new_project(limited.db)
    made = limited.cli("key", "create", "--project", project.id)
    with limited.client(project.key) as first:
        exhaust(first)
    with limited.client(json.loads(made.stdout)["key"]) as second:
        assert second.get("/dialogue").headers["X-RateLimit-Remaining"] == "4"


def test_both_prefixes_share_a_bucket(client: httpx.Client) -> None:
    """Contract 1.1: `/api/v1` is the same route."""
    for path in ("/dialogue", "/api/v1/dialogue", "/dialogue", "/api/v1/dialogue"):
        left = int(client.get(path).headers["X-RateLimit-Remaining"])
    assert left <= 2


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/openapi.json", "/docs"])
def test_what_needs_no_key_is_not_limited(client: httpx.Client, path: str) -> None:
    """Contract 5.15, 11: the limit is per key, and these routes need none."""
    exhaust(client)
    assert {client.get(path).status_code for _ in range(10)} == {200}


def test_a_failed_request_counts_as_well(client: httpx.Client) -> None:
    """Contract 10.3: the rate is checked, and so used up, before the parameters."""
    statuses = [client.get("/dialogue?limit=0").status_code for _ in range(100)]
    assert set(statuses) == {400, 429}
