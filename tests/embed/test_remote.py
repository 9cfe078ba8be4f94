"""The embedder behind an endpoint, against a real one: what it sends and makes of answers."""

import logging
import socket
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import numpy as np
import pytest

from dialoguedb.embed import EmbedderRefused, EmbedderUnavailable, open_embedder
from dialoguedb.embed.protocol import Embedder
from dialoguedb.embed.remote import BATCH_TEXTS, retry_after_s
from dialoguedb.errors import AdminError
from dialoguedb.runtime import system_clock
from embed.endpoint import KEY, Endpoint, answer_to, vector_of

Open = Callable[..., Embedder]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    running = Endpoint()
    yield running
    running.close()


@pytest.fixture
def connect(endpoint: Endpoint) -> Iterator[Open]:
    """Open embedders on the endpoint; closed before it is, so that its threads can end."""
    opened: list[Embedder] = []

    def connect(model: str = "small", **options: Any) -> Embedder:
        defaults = {"url": endpoint.url, "key": KEY, "timeout_s": 5.0}
        opened.append(open_embedder(f"openai:{model}", **defaults | options))
        return opened[-1]

    yield connect
    for embedder in opened:
        embedder.close()


def units(texts: list[str]) -> np.ndarray:
    vectors = np.array([vector_of(text) for text in texts])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_texts_become_unit_vectors(endpoint: Endpoint, connect: Open) -> None:
    """Whatever the length of what the endpoint gives."""
    embedder = connect()
    assert (embedder.name, embedder.inline, embedder.dimension) == ("openai:small", False, None)
    texts = ["a bent wheel", "東京", "x" * 5000]
    vectors = embedder.embed(texts)
    assert vectors.dtype == np.int8
    assert np.abs(vectors / 127 - units(texts)).max() <= 0.5 / 127 + 1e-6
    assert embedder.dimension == 8
    ((path, headers, body),) = endpoint.requests
    assert path == "/v1/embeddings"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body == {"model": "small", "input": texts}


def test_without_a_key_none_is_sent(endpoint: Endpoint, connect: Open) -> None:
    connect(key=None, url=endpoint.url + "/").embed(["a"])
    ((path, headers, _),) = endpoint.requests
    assert path == "/v1/embeddings"
    assert "Authorization" not in headers


def test_many_texts_are_sent_in_parts_and_keep_their_order(
    endpoint: Endpoint, connect: Open
) -> None:
    texts = [f"text {i}" for i in range(2 * BATCH_TEXTS + 1)]
    assert np.abs(connect().embed(texts) / 127 - units(texts)).max() <= 0.5 / 127 + 1e-6
    assert [len(body["input"]) for _, _, body in endpoint.requests] == [BATCH_TEXTS, BATCH_TEXTS, 1]


def test_an_answer_may_come_in_another_order(endpoint: Endpoint, connect: Open) -> None:
    """Its `index` says what belongs to what."""

    def shuffled(request: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        answer = answer_to(request)
        answer["data"] = answer["data"][2:] + answer["data"][:2]
        return 200, {}, answer

    endpoint.respond = shuffled
    texts = ["one", "two", "three", "four", "five"]
    assert np.abs(connect().embed(texts) / 127 - units(texts)).max() <= 0.5 / 127 + 1e-6


def test_blank_texts_are_zeros_and_are_not_sent(endpoint: Endpoint, connect: Open) -> None:
    """OpenAI refuses them."""
    vectors = connect().embed(["", "pizza", " \n"])
    assert vectors.any(axis=1).tolist() == [False, True, False]
    assert [body["input"] for _, _, body in endpoint.requests] == [["pizza"]]


def test_the_dimension_is_asked_for_when_only_blank_texts_come(connect: Open) -> None:
    embedder = connect()
    assert embedder.embed([""]).tolist() == [[0] * 8]
    assert embedder.dimension == 8


@pytest.mark.parametrize(
    ("status", "value", "wait_s"),
    [(429, "7", 7), (503, "0", 0), (500, None, None), (502, "soon", None), (408, None, None)],
)
def test_what_passes_can_be_retried(
    endpoint: Endpoint, connect: Open, status: int, value: str | None, wait_s: float | None
) -> None:
    endpoint.respond = lambda _: (status, {"Retry-After": value} if value else {}, b"busy")
    with pytest.raises(EmbedderUnavailable, match=str(status)) as caught:
        connect().embed(["a"])
    assert caught.value.retry_after_s == wait_s


@pytest.mark.parametrize(
    ("status", "said", "because_of_texts"),
    [
        (401, "key", False),
        (403, "key", False),
        (404, "model", False),
        (302, "302", False),
        (405, "405", False),
        (400, "400", True),
        (413, "413", True),
        (422, "422", True),
    ],
)
def test_what_does_not_pass_is_refused(
    endpoint: Endpoint, connect: Open, status: int, said: str, because_of_texts: bool
) -> None:
    """A redirection too: the key is for this address and no other."""
    endpoint.respond = lambda _: (status, {"Location": "/v2"}, {"error": {"message": KEY}})
    with pytest.raises(EmbedderRefused, match=said) as caught:
        connect().embed(["a"])
    assert caught.value.because_of_texts == because_of_texts
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("known", [None, 8])
def test_another_dimension_is_refused(endpoint: Endpoint, connect: Open, known: int | None) -> None:
    """Whether it was learnt from the first answer or handed in."""
    embedder = connect(dimension=known)
    if known is None:
        embedder.embed(["a"])
    endpoint.respond = lambda request: (200, {}, answer_to(request, 6))
    with pytest.raises(EmbedderRefused, match="6 dimensions, not 8"):
        embedder.embed(["b"])
    endpoint.respond = None
    assert embedder.embed(["c"]).shape == (1, 8)


def broken(kind: str) -> Callable[[dict[str, Any]], tuple[int, dict[str, str], Any]]:
    """Answers with status 200 that are none."""

    def respond(request: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        answer = answer_to(request)
        data = answer["data"]
        match kind:
            case "too few":
                data.pop()
            case "too many":
                data.append(data[0] | {"index": len(data)})
            case "one twice":
                data[1]["index"] = 0
            case "no number":
                data[1]["embedding"][3] = "x"
            case "empty":
                data.clear()
            case "beyond float":
                data[1]["embedding"][3] = 1e300
            case "no json":
                return 200, {}, b"<html>"
            case "error":
                return 200, {}, {"error": {"message": "overloaded"}}
        return 200, {}, answer

    return respond


@pytest.mark.parametrize(
    "kind",
    ["too few", "too many", "one twice", "no number", "empty", "beyond float", "no json", "error"],
)
def test_an_answer_that_is_none_is_no_vector(endpoint: Endpoint, connect: Open, kind: str) -> None:
    endpoint.respond = broken(kind)
    embedder = connect()
    with pytest.raises(EmbedderUnavailable, match="the answer"):
        embedder.embed(["a", "b", "c"])
    endpoint.respond = None
    assert embedder.embed(["a", "b", "c"]).shape == (3, 8)


def test_vectors_of_several_dimensions_in_one_answer_are_refused(
    endpoint: Endpoint, connect: Open
) -> None:
    def respond(request: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        answer = answer_to(request)
        answer["data"][1]["embedding"].pop()
        return 200, {}, answer

    endpoint.respond = respond
    with pytest.raises(EmbedderRefused, match="dimensions"):
        connect().embed(["a", "b"])


def test_an_endpoint_that_is_silent_is_left(endpoint: Endpoint, connect: Open) -> None:
    """After the time that the setting gives."""

    def respond(request: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        endpoint.gone.wait(5)
        return 200, {}, answer_to(request)

    endpoint.respond = respond
    with pytest.raises(EmbedderUnavailable, match=r"no answer in 0\.1 s"):
        connect(timeout_s=0.1).embed(["a"])


def test_an_endpoint_that_drips_is_left_too(endpoint: Endpoint, connect: Open) -> None:
    """Each byte comes in time, the whole does not."""
    endpoint.drip_s = 0.01
    with pytest.raises(EmbedderUnavailable, match=r"no answer in 0\.2 s"):
        connect(timeout_s=0.2).embed([f"text {i}" for i in range(4)])


def test_an_endpoint_that_is_not_there_can_be_tried_again(connect: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(EmbedderUnavailable, match="ConnectError"):
        connect(url=f"http://127.0.0.1:{port}").embed(["a"])


def test_the_environment_is_not_asked(
    endpoint: Endpoint, connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither for a proxy: nothing goes anywhere but to the endpoint."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert connect().embed(["a"]).any()


def test_the_key_and_the_texts_are_in_no_message_log_or_repr(
    endpoint: Endpoint, connect: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where the endpoint quotes them."""
    caplog.set_level(logging.DEBUG)
    embedder = connect()
    said = [repr(embedder), str(vars(embedder))]
    for status in (200, 400, 401, 404, 429, 500):
        endpoint.respond = lambda _, status=status: (status, {}, f"{KEY}: my diary".encode())
        with pytest.raises((EmbedderRefused, EmbedderUnavailable)) as caught:
            embedder.embed(["my diary"])
        error = caught.value
        assert error.__cause__ is None
        assert error.__suppress_context__ or error.__context__ is None
        said += [repr(error), str(error), str(vars(error))]
    said.append(caplog.text)
    assert "POST" in caplog.text
    assert not [text for text in said if KEY in text or "diary" in text]


@pytest.mark.parametrize("key", ["sk a", "sk-\n", "schlüssel", "\x7f"])
def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(connect: Open, key: str) -> None:
    with pytest.raises(AdminError, match="key") as caught:
        connect(key=key)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "host/v1", "ftp://host", "http://", "https://u:pw@host/v1", "https://host?k=pw"]
)
def test_a_url_that_cannot_be_used_is_refused(connect: Open, url: str) -> None:
    if url == "":
        url = "http:///v1"
    with pytest.raises(AdminError, match="URL") as caught:
        connect(url=url)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [(None, None), ("5", 5), (" 5 ", 5), ("999999999999", 3600), ("-1", None), ("", None),
     ("nan", None), ("\u0665", 5),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Wed, 99 Oct 2015", None)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(value: str | None, wait_s: float | None) -> None:
    assert retry_after_s(value) == wait_s


def test_a_date_of_retry_after_is_read_against_the_clock() -> None:
    wait_s = retry_after_s(formatdate(system_clock() / 1000 + 60, usegmt=True))
    assert wait_s is not None
    assert 50 < wait_s <= 60
