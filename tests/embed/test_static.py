"""The bundled model: the same vectors as model2vec's, only sooner, and nothing else is touched."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from model2vec import StaticModel

from dialoguedb.embed import static
from dialoguedb.embed.protocol import SCALE, quantised

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=150)
PIECES = [
    "hello", "Hello,", "world.", "unbelievable", "3.14", "it's", "ada@example.org", "naïve", "İ",
    "世界", "東京タワー", "ข้าวผัด", "مرحبا", "Привет", "한국어", "🍕", "👩‍👩‍👧", "e\u0301", "\u0301",
    "ﬁne", "[UNK]", "[PAD]", "[CLS]", "##ing", "-", "", "x" * 33, "x" * 101, "\u200b", "\ufeff",
]  # fmt: skip
GAPS = [" ", "  ", "\n", "\t", "\r\n", "\x0b", "\x0c", "\x1c", "\x1f", "\x85", "\xa0", "\u2028",
        "\u3000", "\0", ""]  # fmt: skip
WORDS = ["the", "a", "red", "green", "blue", "cat", "dog", "bird", "sings", "runs", "sleeps",
         "under", "over", "near", "tree", "house", "pond", "garden"]  # fmt: skip
TEXTS = st.one_of(
    st.text(),
    st.lists(st.sampled_from(PIECES + GAPS), max_size=40).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=400).map(" ".join),
)


@cache
def embedder() -> static.StaticEmbedder:
    return static.StaticEmbedder()


@cache
def reference() -> StaticModel:
    """The model as model2vec itself loads and runs it."""
    return StaticModel.from_pretrained(static.FOLDER)


def exact(texts: list[str]) -> np.ndarray:
    """What model2vec says, in float."""
    return reference().encode(texts, max_length=static.MAX_TOKENS)


def within_rounding(vectors: np.ndarray, texts: list[str]) -> bool:
    return bool(np.abs(vectors - SCALE * exact(texts)).max(initial=0) < 0.5 + 1e-3)


@FIXED
@given(st.lists(TEXTS, max_size=4))
def test_the_vectors_are_those_of_model2vec_but_for_the_rounding(texts: list[str]) -> None:
    """Whatever the text, and whether its words were met before or not."""
    vectors = embedder().embed(texts)
    assert vectors.dtype == np.int8
    assert vectors.shape == (len(texts), static.DIMENSION)
    assert not texts or within_rounding(vectors, texts)
    assert np.array_equal(embedder().embed(texts), vectors)


@FIXED
@given(st.lists(TEXTS, min_size=2, max_size=5))
def test_a_vector_does_not_depend_on_the_other_texts(texts: list[str]) -> None:
    together = embedder().embed(texts)
    alone = np.concatenate([embedder().embed([text]) for text in texts])
    assert np.array_equal(alone, together)


@FIXED
@given(
    arrays(np.float32, (3, 16), elements=st.floats(width=32, allow_nan=False, allow_infinity=False))
)
def test_rounding_is_bounded_and_keeps_zeros(vectors: np.ndarray) -> None:
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    units = np.divide(vectors, lengths, out=np.zeros((3, 16)), where=lengths > 0)
    stored = quantised(vectors.copy())
    assert np.abs(stored / SCALE - units).max() <= 0.5 / SCALE + 1e-6
    assert not stored[lengths[:, 0] == 0].any()


@pytest.mark.parametrize("text", ["", " ", "\n\n", "🍕", "🍕 🍕", "\u200b", "\0", "x" * 101])
def test_a_text_without_a_known_token_is_zeros(text: str) -> None:
    assert not embedder().embed([text]).any()
    assert embedder().embed([text + " pizza"]).any()


def test_no_texts_give_no_vectors() -> None:
    assert embedder().embed([]).shape == (0, static.DIMENSION)


def test_a_lone_surrogate_is_read_as_a_question_mark() -> None:
    """It has no place in a database, but must not stop a write."""
    torn, whole = embedder().embed(["half \ud83c a pizza", "half ? a pizza"])
    assert np.array_equal(torn, whole)


@pytest.mark.parametrize("word", ["pizza", "one-two-three-four-five", "한국어", "a" * 40])
def test_tokens_beyond_256_are_not_read(word: str) -> None:
    """Also where the words alone would not show how many they are."""
    text = " ".join([word] * 300) + " submarine"
    assert within_rounding(embedder().embed([text]), [text])
    short = embedder().embed([" ".join([word] * 3)])
    assert not np.array_equal(short, embedder().embed([" ".join([word] * 3) + " submarine"]))


def test_a_huge_text_costs_no_more_than_its_beginning() -> None:
    """Only so many characters reach the tokenizer: 8 MB would take it seconds."""
    text = "pizza and pasta " * 500_000
    assert np.array_equal(embedder().embed([text]), embedder().embed([text[:2000]]))
    assert all(len(word) <= 32 for word in embedder()._words.rows)


def test_what_is_alike_lies_near() -> None:
    """In English; the words are not the same."""
    query, near, far = (
        embedder()
        .embed(["I love pizza", "my favourite food is italian", "the server crashed at night"])
        .astype(int)
    )
    assert query @ near > 0.4 * SCALE**2
    assert query @ far < 0.1 * SCALE**2


@pytest.fixture
def few_words(monkeypatch: pytest.MonkeyPatch) -> static.StaticEmbedder:
    """An embedder that keeps less words than there are, and often others."""
    monkeypatch.setattr(static, "KEPT_WORDS", 12)
    monkeypatch.setattr(static, "MISSED_WORDS", 4)
    return static.StaticEmbedder()


def sentences(count: int) -> list[str]:
    return [" ".join(WORDS[(i * k) % len(WORDS)] for k in range(1, 6)) for i in range(count)]


def test_words_beyond_those_that_are_kept_count_as_much(few_words: static.StaticEmbedder) -> None:
    texts = sentences(200)
    seen = set()
    for text in texts:
        assert within_rounding(few_words.embed([text]), [text])
        assert len(few_words._words.rows) <= 12
        seen |= few_words._words.rows.keys()
    assert len(seen) > 12


@pytest.fixture
def eager_switches() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager_switches")
def test_threads_do_not_disturb_each_other(few_words: static.StaticEmbedder) -> None:
    """Each gets its own texts' vectors, while the words are learnt and forgotten by all."""
    texts = sentences(120)
    expected = embedder().embed(texts)
    wrong: list[object] = []
    start = threading.Barrier(6)

    def run(step: int) -> None:
        start.wait()
        for i in range(6 * len(texts)):
            at = i * step % len(texts)
            try:
                if not np.array_equal(few_words.embed([texts[at]])[0], expected[at]):
                    wrong.append(at)
            except KeyError as error:
                wrong.append(error)

    threads = [threading.Thread(target=run, args=(step,)) for step in (1, 7, 11, 13, 17, 19)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def run_alone(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_model_is_loaded_without_a_network_or_a_client_for_one() -> None:
    """In a process where a socket cannot be made; no hub's client is even imported."""
    told = run_alone(
        "import socket, sys\n"
        "def refuse(*args, **kwargs): raise AssertionError('a socket')\n"
        "class Socket(socket.socket): __init__ = refuse\n"
        "socket.socket = Socket\n"
        "socket.getaddrinfo = socket.create_connection = refuse\n"
        "from dialoguedb.embed import open_embedder\n"
        "print(open_embedder('static').embed(['pizza']).any())\n"
        "print(*{name.partition('.')[0] for name in sys.modules})\n"
    )
    assert told[0] == "True"
    assert not {"huggingface_hub", "httpx", "requests", "torch", "transformers"} & set(told[1:])


def test_the_command_line_does_not_load_it() -> None:
    told = run_alone("import sys, dialoguedb.cli.main\nprint(*sys.modules)")
    assert "dialoguedb.cli.main" in told
    assert not {"model2vec", "tokenizers", "dialoguedb.embed.static"} & set(told)
