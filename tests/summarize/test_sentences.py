"""Cutting texts into sentences."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialoguedb.summarize.sentences import MAX_CHARACTERS, is_question, split


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        (" \n\t ", []),
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("It costs 3.50 euros at shop.example.org today.", 1),
        ("Dr. Okafor, Mr. Hale and J. Smith came, i.e. all.", 1),
        ('He said "No." Then he left.', ['He said "No."', "Then he left."]),
        ("Really?! Yes...  Well", ["Really?!", "Yes...", "Well"]),
        ("a list\n- one\n- two", ["a list", "- one", "- two"]),
        ("会议改到星期五。你来吗\uff1f好\uff01", ["会议改到星期五。", "你来吗\uff1f", "好\uff01"]),
        ("white   space\u00a0and\ttabs.", ["white space and tabs."]),
        ("See:\n```\nx = 1\ny = 2\n```\nDone.", ["See:", "[2 lines of code: x = 1 …]", "Done."]),
        ("```js\nalert(1)", ["[1 line of js: alert(1) …]"]),
        ("```\n\n```", []),
        ("an inline `x` and ``` alone", ["an inline `x` and ``` alone"]),
    ],
)
def test_texts_are_cut_at_the_ends_of_sentences(text: str, parts: list[str] | int) -> None:
    assert split(text) == ([text] if parts == 1 else parts)


def test_what_is_too_long_is_cut_at_a_clause_else_at_a_space() -> None:
    clauses = ", ".join(f"the item number {i}" for i in range(40))
    assert all(part.endswith((", …", "39")) or part[-3:] == ", …" for part in split(clauses))
    words = "word " * 200
    assert [part.removesuffix(" …")[-4:] for part in split(words)] == ["word"] * len(split(words))
    assert "".join(part.removesuffix(" …") for part in split("x" * 1000)) == "x" * 1000


@pytest.mark.parametrize(
    ("text", "asks"),
    [("Why?", True), ("Why?)", True), ("你来吗\uff1f", True), ("Why.", False), ("a?b", False)],
)
def test_a_question_ends_with_its_mark(text: str, asks: bool) -> None:
    assert is_question(text) == asks


@given(st.text(max_size=2000))
def test_no_sentence_is_empty_or_long_or_of_two_lines(text: str) -> None:
    for sentence in split(text):
        assert sentence == " ".join(sentence.split())
        assert 0 < len(sentence) <= MAX_CHARACTERS + 100


@pytest.mark.parametrize(
    "unit", ["!", "`", "```", "```\n", "```x\n", ". ", "A.", "\n", "(", "。", "a;"]
)
def test_no_text_takes_long(unit: str) -> None:
    """Not even one that is made for it."""
    began = time.process_time()
    split(unit * (200_000 // len(unit)))
    assert time.process_time() - began < 5
