"""Lose answers on the way back: a client that retries with one key neither doubles nor loses."""

import http.client
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import urlsplit

import httpx
import pytest

from harness import TLS, Server, new_project

LOSS = 0.3
CLIENTS = 4
ATTEMPTS = 60
SEED = 20260203


class LossyProxy(ThreadingHTTPServer):
    """Forward each request and lose some answers after the server has given them."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.upstream = urlsplit(upstream).netloc
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.losses: Counter[str] = Counter()
        self._chance = random.Random(SEED)
        self._lock = threading.Lock()

    def fate(self) -> str:
        """Decide what becomes of an answer: passed on, cut in the middle, or dropped."""
        with self._lock:
            number = self._chance.random()
            fate = "pass" if number >= LOSS else "cut" if number < LOSS / 3 else "drop"
            self.losses[fate] += 1
            return fate


class _Forward(BaseHTTPRequestHandler):
    """One connection of a client: each request goes on to the server over a new connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    _DROPPED: ClassVar[set[str]] = {"connection", "transfer-encoding", "content-length"}

    def do_POST(self) -> None:
        """Forward a POST, read the whole answer, then pass it on, cut it, or drop it."""
        proxy = self.server
        assert isinstance(proxy, LossyProxy)
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        kept = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
        upstream = http.client.HTTPConnection(proxy.upstream, timeout=30)
        try:
            upstream.request("POST", self.path, body, kept)
            answer = upstream.getresponse()
            content = answer.read()
        finally:
            upstream.close()
        fate = proxy.fate()
        self.close_connection = fate != "pass"
        if fate == "drop":
            return
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in self._DROPPED:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content if fate == "pass" else content[: len(content) // 2])

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@contextmanager
def lossy(server: Server) -> Iterator[LossyProxy]:
    """Run a lossy proxy before the server."""
    with LossyProxy(server.url) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()


def post_until_answered(
    client: httpx.Client, where: str, body: Any, key: str, query: dict[str, str] | None = None
) -> Any:
    """POST with one idempotency key until an answer arrives whole; return its body."""
    for attempt in range(ATTEMPTS):
        try:
            headers = {"Idempotency-Key": key}
            answer = client.post(where, params=query or {}, json=body, headers=headers)
        except httpx.TransportError:
            continue
        assert answer.status_code == 200, answer.text
        replayed = answer.headers.get("idempotent-replayed")
        assert replayed == ("true" if attempt else None), (attempt, replayed)
        return answer.json()
    raise AssertionError(f"no answer in {ATTEMPTS} attempts")


def listed(client: httpx.Client, where: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    """Read a whole list, page by page."""
    rows: list[dict[str, Any]] = []
    while True:
        page = client.get(where, params=query).raise_for_status().json()
        rows += page["items"]
        if page["next"] is None:
            return rows
        query = query | {"next": page["next"]}


class Lost:
    """A fresh project, reached directly and through the lossy proxy."""

    def __init__(self, server: Server, proxy: LossyProxy) -> None:
        key = new_project(server.db).key
        self.direct = server.client(key)
        self.proxy = proxy
        headers = {"Authorization": f"Bearer {key}"}
        self._through = httpx.Client(base_url=proxy.url, headers=headers, timeout=30, verify=TLS)

    def run(self, send: Callable[[httpx.Client, int], Any], count: int) -> list[Any]:
        """Run `send` for 0..count-1 from several threads; return the answers in that order."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            answers = list(pool.map(lambda number: send(self._through, number), range(count)))
        assert self.proxy.losses["drop"] and self.proxy.losses["cut"], "nothing was lost"
        return answers

    def close(self) -> None:
        """Close both clients."""
        self.direct.close()
        self._through.close()


@pytest.fixture
def lost(server: Server) -> Iterator[Lost]:
    """A fresh project behind a proxy that loses answers."""
    with lossy(server) as proxy:
        project = Lost(server, proxy)
        yield project
        project.close()


@pytest.fixture
def count(long_round: bool) -> int:
    """How many requests each test sends."""
    return 400 if long_round else 80


def test_dialogues_are_made_once_though_answers_are_lost(lost: Lost, count: int) -> None:
    def create(client: httpx.Client, number: int) -> Any:
        message = {"role": "user", "content": f"first of {number}"}
        body = {"label": f"label {number}", "message": message}
        return post_until_answered(client, "/dialogue", body, f"dialogue-{number}")

    answers = lost.run(create, count)
    rows = listed(lost.direct, "/dialogue", {"limit": 50})
    assert sorted(row["id"] for row in rows) == sorted(answer["id"] for answer in answers)
    assert sorted(row["label"] for row in rows) == sorted(f"label {n}" for n in range(count))
    assert all(row["totalMessages"] == 1 for row in rows)
    assert all(len(answer["messages"]) == 1 for answer in answers)


def test_single_messages_are_stored_once_though_answers_are_lost(lost: Lost, count: int) -> None:
    into = lost.direct.post("/dialogue").json()["id"]

    def append(client: httpx.Client, number: int) -> Any:
        body = {"role": "user", "content": f"message {number}"}
        query = {"dialogueId": into}
        return post_until_answered(client, "/message", body, f"message-{number}", query)

    answers = lost.run(append, count)
    assert [answer["content"] for answer in answers] == [f"message {n}" for n in range(count)]
    check_messages(lost, into, answers)


def test_batches_are_stored_once_and_whole_though_answers_are_lost(lost: Lost, count: int) -> None:
    into = lost.direct.post("/dialogue").json()["id"]

    def append(client: httpx.Client, number: int) -> Any:
        body = [{"role": "user", "content": f"{number}/{part}"} for part in range(1 + number % 5)]
        query = {"dialogueId": into}
        return post_until_answered(client, "/messages", body, f"batch-{number}", query)

    batches = lost.run(append, count)
    for number, batch in enumerate(batches):
        assert [row["content"] for row in batch] == [f"{number}/{n}" for n in range(1 + number % 5)]
        numbers = [row["sequence"] for row in batch]
        assert numbers == list(range(numbers[0], numbers[0] + len(batch))), "a batch was split"
    check_messages(lost, into, [row for batch in batches for row in batch])


def check_messages(lost: Lost, into: str, answers: list[dict[str, Any]]) -> None:
    """Check that the dialogue holds exactly the answered messages, and counts them."""
    rows = listed(lost.direct, "/messages", {"dialogueId": into, "limit": 50})
    assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
    assert sorted(rows, key=lambda row: row["id"]) == sorted(answers, key=lambda row: row["id"])
    shown = lost.direct.get(f"/dialogue/{into}").json()
    assert shown["totalMessages"] == len(answers)


def test_memories_are_made_once_though_answers_are_lost(lost: Lost, count: int) -> None:
    def create(client: httpx.Client, number: int) -> Any:
        return post_until_answered(client, "/memory", {"value": number}, f"memory-{number}")

    answers = lost.run(create, count)
    assert [answer["value"] for answer in answers] == list(range(count))
    rows = listed(lost.direct, "/memory", {"limit": 50})
    by_id = sorted(rows, key=lambda row: row["id"])
    assert by_id == sorted(answers, key=lambda row: row["id"])


def test_one_key_sent_by_many_at_once_writes_once(server: Server) -> None:
    callers = 16
    key = new_project(server.db).key
    with server.client(key) as client, ThreadPoolExecutor(callers) as pool:
        into = client.post("/dialogue").json()["id"]
        for turn in range(20):
            start = threading.Barrier(callers)

            def append(_: int, *, turn: int = turn, start: threading.Barrier = start) -> Any:
                start.wait(30)
                body, query = {"role": "user", "content": f"{turn}"}, {"dialogueId": into}
                headers = {"Idempotency-Key": f"turn-{turn}"}
                answer = client.post("/message", params=query, json=body, headers=headers)
                assert answer.status_code == 200, answer.text
                return answer.headers.get("idempotent-replayed"), answer.json()

            answers = list(pool.map(append, range(callers)))
            assert Counter(replayed for replayed, _ in answers) == {None: 1, "true": callers - 1}
            assert all(body == answers[0][1] for _, body in answers)
        rows = listed(client, "/messages", {"dialogueId": into})
        assert [row["content"] for row in rows] == [str(turn) for turn in range(20)]
