"""Counting tokens, against the counts of tiktoken's encodings.

`token_counts.json` holds texts with the counts of tiktoken 0.14 for them, with the data of its
encodings, so that no test needs that data. Where it is on the disk, the counts are taken again.
"""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialoguedb.settings import tiktoken_folder
from dialoguedb.tokens import Estimate, open_tokenizer, tokenizer_of

TEXTS = json.loads((Path(__file__).parent / "token_counts.json").read_text(encoding="utf-8"))
#: The one text on which cl100k_base needs far more tokens than any newer encoding.
BESIDE = {("Chinese: traditional", "cl100k_base")}
#: The names under which tiktoken keeps the data of o200k_base and of cl100k_base.
KEPT = {
    "o200k_base": "fb374d419588a4632f3f557e76b4b70aebbca790",
    "cl100k_base": "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
}


@pytest.mark.parametrize("encoding", KEPT)
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text["name"])
def test_an_estimate_is_never_more_than_5_percent_too_low(
    text: dict[str, Any], encoding: str
) -> None:
    """English, code, Chinese and emoji."""
    if (text["name"], encoding) in BESIDE:
        return
    assert Estimate().count(text["text"]) >= 0.95 * text[encoding]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text["name"])
def test_an_estimate_is_not_far_too_high(text: dict[str, Any]) -> None:
    """What is counted too much is budget that is not used: little of it, where texts are common."""
    most = 1.2 if text["name"].startswith(("English", "code")) else 1.8
    assert Estimate().count(text["text"]) <= most * text["o200k_base"]


@given(st.text(), st.text())
def test_a_text_is_estimated_by_its_parts(one: str, other: str) -> None:
    """Nothing costs less than nothing, and what is joined costs hardly more than its parts."""
    tokenizer = Estimate()
    apart = tokenizer.count(one) + tokenizer.count(other)
    assert tokenizer.count("") == 0
    assert bool(tokenizer.count(one)) == bool(one)
    assert tokenizer.count(one + other) <= apart + 3


def test_a_long_text_is_counted_like_a_short_one() -> None:
    line = "one more line of a log\n"
    tokenizer = Estimate()
    assert tokenizer.count(line * 1000) == 1000 * tokenizer.count(line)


def test_a_count_is_remembered_and_the_text_is_not() -> None:
    """Texts of all users would stay in memory as long as the process lives."""
    tokenizer = Estimate()
    tracemalloc.start()
    try:
        counts = [tokenizer.count(f"{n} " * 200) for n in range(10_000, 13_000)]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1_000_000  # of 3.6 MB
    assert counts == [tokenizer.count(f"{n} " * 200) for n in range(10_000, 13_000)]


def test_counts_stay_right_where_there_are_too_many_to_remember() -> None:
    tokenizer = Estimate()
    for _ in range(2):
        assert all(tokenizer.count(" a" * (n % 7)) == n % 7 for n in range(1_000))
        for n in range(60_000):
            tokenizer.count(str(n))


@pytest.mark.parametrize("run", [" ", "\t", "\n", " \n", "\r\n", "\u00a0", "\u3000", " \t"])
def test_a_long_run_of_white_space_is_not_one_token(run: str) -> None:
    """No encoding has a token for more than 128 of any; megabytes of it would fit any budget."""
    assert Estimate().count(run * 10_000) >= 10_000 * len(run) / 128


def test_an_estimate_says_so() -> None:
    """Its name and that it is not exact are part of every answer."""
    tokenizer = tokenizer_of(None)
    assert (tokenizer.name, tokenizer.exact) == ("estimate", False)


def test_without_its_data_tiktoken_is_not_used(tmp_path: Path) -> None:
    """It would fetch what it has not; what is broken stays where it is."""
    assert isinstance(tokenizer_of(tmp_path), Estimate)
    for name in KEPT.values():
        (tmp_path / name).write_bytes(b"aGVsbG8= 0\n")
    assert isinstance(tokenizer_of(tmp_path), Estimate)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(KEPT.values())
    assert isinstance(tokenizer_of(tmp_path / "absent"), Estimate)


@pytest.mark.parametrize("encoding", KEPT)
def test_with_its_data_counts_are_exact(encoding: str, tmp_path: Path) -> None:
    """Of two encodings that are there, the newer one is taken."""
    pytest.importorskip("tiktoken")
    folder = tiktoken_folder()
    if folder is None or not (folder / KEPT[encoding]).exists():
        pytest.skip("tiktoken's data is not on this disk")
    (tmp_path / KEPT[encoding]).symlink_to(folder / KEPT[encoding])
    tokenizer = tokenizer_of(tmp_path)
    assert (tokenizer.name, tokenizer.exact) == (f"tiktoken:{encoding}", True)
    for text in TEXTS:
        assert tokenizer.count(text["text"]) == text[encoding], text["name"]
    assert tokenizer.count("<|endoftext|>") > 1
    assert tokenizer.count("\ud800") > 0


def test_a_process_opens_one_tokenizer() -> None:
    """Its data takes a moment to read, and what it has counted is remembered."""
    assert open_tokenizer() is open_tokenizer()
