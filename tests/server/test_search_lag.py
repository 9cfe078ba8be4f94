"""A remote embedder: found by words at once and by meaning later, whatever becomes of it."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from embed.endpoint import Endpoint
from harness import Server
from searching import answers

Serve = Callable[..., Server]
SETTING = "openai:hash"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    running = Endpoint()
    running.respond = answers()
    yield running
    running.close()


@pytest.fixture
def start(endpoint: Endpoint, serve: Serve) -> Callable[[], Server]:
    """Start a server whose index is by the endpoint's model, on one file."""
    flags = ("--embedder", SETTING, "--embedder-url", endpoint.url)
    return lambda: serve(*flags, "--embedder-timeout-seconds", "2")


def until(true: Callable[[], Any], what: str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def lag(client: httpx.Client) -> int:
    """What /ready says waits; /metrics says the same."""
    ready = client.get("/ready").raise_for_status().json()["search"]
    assert ready["embedder"] == SETTING
    figures = client.get("/metrics").text
    (shown,) = re.findall(r'^dialoguedb_search_lag\{embedder="openai:hash"\} (\d+)', figures, re.M)
    return int(float(shown)) if int(float(shown)) == ready["lag"] else -1


def caught_up(client: httpx.Client, seconds: float = 15) -> None:
    until(lambda: lag(client) == 0, "the lag is gone", seconds)


def say(client: httpx.Client, text: str) -> None:
    said = {"dialogueId": "d", "role": "user", "content": text}
    client.post("/message", json=said).raise_for_status()


def found(client: httpx.Client, query: str) -> dict[str, tuple[float, float]]:
    """By text: what words and meaning gave."""
    ask = {"query": query, "object": "message", "explain": True, "limit": 50}
    results = client.post("/search", json=ask).raise_for_status().json()["results"]
    parts = [(one["item"]["content"], one["explain"]) for one in results]
    return {text: (explain["words"], explain["meaning"]) for text, explain in parts}


def began(client: httpx.Client) -> None:
    client.post("/dialogue", json={"id": "d"}).raise_for_status()


def test_a_message_is_found_by_its_words_at_once_and_by_meaning_later(
    endpoint: Endpoint, start: Callable[[], Server]
) -> None:
    """The lag is shown while it lasts; a search does not wait for the endpoint for long."""
    server = start()
    released = threading.Event()
    right = answers()

    def slowly(request: dict[str, Any]) -> Any:
        if any("wheel" in text for text in request["input"]):
            released.wait(30)
        return right(request)

    with server.client() as client:
        began(client)
        say(client, "hello")
        caught_up(client)
        endpoint.respond = slowly
        say(client, "my wheel is bent")
        began_s = time.monotonic()
        words, meaning = found(client, "wheel")["my wheel is bent"]
        assert words > 0
        assert meaning == 0
        for _ in range(5):  # the endpoint is left alone for a while
            found(client, "wheel")
        assert time.monotonic() - began_s < 4
        assert lag(client) == 1
        released.set()
        endpoint.respond = right
        caught_up(client)
        until(lambda: found(client, "wheel")["my wheel is bent"][1] > 0, "meaning counts")
        assert server.stop() == 0


def test_writes_and_searches_go_on_while_there_is_no_endpoint(
    endpoint: Endpoint, start: Callable[[], Server]
) -> None:
    """From the first start, when not even the size of a vector is known."""
    endpoint.respond = lambda request: (503, {}, {})
    server = start()
    with server.client() as client:
        began(client)
        for number in range(5):
            say(client, f"wheel {number}")
        assert len(found(client, "wheel")) == 5
        assert lag(client) == 6 - 1  # the dialogue has no label, so no text
        until(lambda: endpoint.requests, "it is asked")
        endpoint.respond = answers()
        caught_up(client)
        until(lambda: found(client, "wheel 3")["wheel 3"][1] > 0, "meaning counts")
    assert "answered 503" in server.output()


def test_an_endpoint_is_left_alone_for_as_long_as_it_says(
    endpoint: Endpoint, start: Callable[[], Server]
) -> None:
    """429 with Retry-After."""
    asked_s: list[float] = []
    right = answers()

    def respond(request: dict[str, Any]) -> Any:
        asked_s.append(time.monotonic())
        return (429, {"Retry-After": "2"}, {}) if len(asked_s) == 1 else right(request)

    endpoint.respond = respond
    with start().client() as client:
        began(client)
        say(client, "wheel")
        caught_up(client)
    assert asked_s[1] - asked_s[0] >= 2


def test_vectors_of_another_size_are_refused(
    endpoint: Endpoint, start: Callable[[], Server]
) -> None:
    """By a server that has seen the right ones, and by one that has just started."""
    server = start()
    with server.client() as client:
        began(client)
        say(client, "a first wheel")
        caught_up(client)
        endpoint.respond = answers(dimension=64)
        say(client, "a second wheel")
        until(lambda: "dimensions" in server.output(), "it is logged")
        assert found(client, "wheel").keys() == {"a first wheel", "a second wheel"}
        assert lag(client) == 1
    server.stop()
    server = start()
    with server.client() as client:
        until(lambda: "gives 64 dimensions, and its index has 32" in server.output(), "logged")
        say(client, "a third wheel")
        assert {meaning for _, meaning in found(client, "wheel").values()} == {0}
        assert lag(client) == 2
    server.stop()
    endpoint.respond = answers()
    with start().client() as client:
        caught_up(client)


def test_a_text_that_is_refused_holds_no_other_up(
    endpoint: Endpoint, start: Callable[[], Server]
) -> None:
    """It is found by its words; the log says so, without the text."""
    right = answers()

    def respond(request: dict[str, Any]) -> Any:
        if any("zanzibar" in text for text in request["input"]):
            return 400, {}, {"error": "zanzibar"}
        return right(request)

    endpoint.respond = respond
    server = start()
    with server.client() as client:
        began(client)
        for text in ("wheel one", "zanzibar wheel", "wheel two"):
            say(client, text)
        until(lambda: lag(client) == 1, "the others have theirs")
        say(client, "wheel three")
        until(lambda: lag(client) == 1, "this one too")
        parts = found(client, "wheel")
        assert parts["zanzibar wheel"][1] == 0
        assert min(parts[text][1] for text in ("wheel one", "wheel two", "wheel three")) > 0
        assert "zanzibar wheel" in found(client, "zanzibar")
    assert "found by its words alone" in server.output()
    assert "zanzibar" not in server.output()


def test_what_waits_is_not_lost_by_a_kill(endpoint: Endpoint, start: Callable[[], Server]) -> None:
    """A server that starts again goes on."""
    endpoint.respond = lambda request: (503, {}, {})
    server = start()
    with server.client() as client:
        began(client)
        for number in range(100):
            say(client, f"wheel {number}")
    server.kill()
    endpoint.respond = answers()
    with start().client() as client:
        until(
            lambda: min(both[1] for both in found(client, "wheel").values()) > 0, "meaning counts"
        )
        caught_up(client)
    asked = sum(len(body["input"]) for _, _, body in endpoint.requests)
    assert asked < 400


def test_a_text_that_changes_while_it_is_embedded_gets_the_new_texts_vector(
    endpoint: Endpoint, start: Callable[[], Server]
) -> None:
    """What comes for the old one is thrown away."""
    right = answers()
    released = threading.Event()

    def respond(request: dict[str, Any]) -> Any:
        if any("old" in text for text in request["input"]):
            released.wait(10)
        return right(request)

    with start().client() as client:
        client.post("/dialogue", json={"id": "d", "label": "first"}).raise_for_status()
        caught_up(client)
        endpoint.respond = respond
        before = len(endpoint.requests)
        client.put("/dialogue/d", json={"id": "d", "label": "old label"}).raise_for_status()
        until(lambda: len(endpoint.requests) > before, "the old label is under way")
        client.put("/dialogue/d", json={"id": "d", "label": "new label"}).raise_for_status()
        released.set()
        caught_up(client)
        ask = {"query": "new label", "object": "dialogue", "explain": True}
        (one,) = client.post("/search", json=ask).json()["results"]
        assert one["explain"]["meaning"] == pytest.approx(0.3, abs=0.01)
