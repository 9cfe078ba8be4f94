"""The ranking formula: exact small cases, and what holds for any numbers."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dialoguedb.search import ranking
from dialoguedb.search.ranking import (
    FAR,
    LENGTH_SHARE,
    LONGEST,
    MEANING,
    NEAR,
    SATURATION,
    SPEAKER,
    WORDS,
    Floats,
    Rows,
)

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=150)
#: float32 keeps about seven digits; sums of a few numbers lose one of them.
CLOSE = 1e-5


class Case(NamedTuple):
    """Rows of some dialogues, and what the terms of a query come to in them."""

    counts: Floats
    lengths: Floats
    previous: Rows
    following: Rows
    weights: Floats
    mean_length: float


def chain(sizes: list[int]) -> tuple[Rows, Rows]:
    """Neighbours of rows that stand one after the other in dialogues of these sizes."""
    previous: list[int] = []
    following: list[int] = []
    for size in sizes:
        start = len(previous)
        previous += [row - 1 if row > start else -1 for row in range(start, start + size)]
        following += [
            row + 1 if row < start + size - 1 else -1 for row in range(start, start + size)
        ]
    return np.array(previous, np.int32), np.array(following, np.int32)


def matrix(rows: Sequence[Sequence[float]]) -> Floats:
    return np.array(rows, np.float32)


@st.composite
def cases(draw: st.DrawFn, most_terms: int = 4) -> Case:
    sizes = draw(st.lists(st.integers(1, 7), min_size=1, max_size=4))
    rows, terms = sum(sizes), draw(st.integers(1, most_terms))
    counts = draw(
        st.lists(
            st.lists(st.integers(0, 255), min_size=rows, max_size=rows),
            min_size=terms,
            max_size=terms,
        )
    )
    lengths = draw(st.lists(st.integers(0, 100_000), min_size=rows, max_size=rows))
    weights = draw(st.lists(st.floats(2**-13, 15, width=32), min_size=terms, max_size=terms))
    mean = draw(st.floats(0, 10_000))
    held = matrix(counts)
    total = np.maximum(np.array(lengths, np.float32), held.sum(0))
    return Case(held, total, *chain(sizes), np.array(weights, np.float32), mean)


def score(case: Case, **changed: Any) -> Floats:
    case = case._replace(**changed)
    return ranking.words(
        case.counts,
        case.lengths,
        case.previous,
        case.following,
        weights=case.weights,
        mean_length=case.mean_length,
    )


def plainly(case: Case) -> list[float]:
    """The same formula, row by row, in plain Python."""

    def window(row: int) -> list[tuple[int, float]]:
        found = [(row, 1.0)]
        for towards in (case.previous, case.following):
            near = int(towards[row])
            far = int(towards[near]) if near >= 0 else -1
            found += [(at, share) for at, share in ((near, NEAR), (far, FAR)) if at >= 0]
        return found

    scores = []
    for row in range(len(case.lengths)):
        around = window(row)
        mean = max(case.mean_length, 1.0)
        length = sum(share * min(float(case.lengths[at]), LONGEST * mean) for at, share in around)
        average = sum(share for _, share in around) * mean
        damping = SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * length / average)
        total = 0.0
        for term, weight in enumerate(case.weights.tolist()):
            held = sum(share * float(case.counts[term, at]) for at, share in around)
            total += weight * held / (held + damping)
        scores.append(total / sum(case.weights.tolist()))
    return scores


# ── rarity ───────────────────────────────────────────────────────────────────────────────────


def test_rarity_is_the_logarithm_of_bm25() -> None:
    got = ranking.rarity(np.array([0, 1, 5, 10]), 10)
    assert got.dtype == np.float32
    expected = [math.log(1 + (10 - held + 0.5) / (held + 0.5)) for held in (0, 1, 5, 10)]
    assert got.tolist() == pytest.approx(expected, rel=1e-6)


@FIXED
@given(st.integers(1, 10_000_000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))))
def test_a_term_in_more_texts_weighs_less_and_none_weighs_nothing(numbers: tuple[int, int]) -> None:
    texts, held = numbers
    rarer, commoner = ranking.rarity(np.array([held, held + 1]), texts).tolist()
    assert rarer >= commoner > 0
    if held < 1000:
        assert rarer > commoner


# ── words ────────────────────────────────────────────────────────────────────────────────────


def test_a_row_alone_gets_plain_bm25_as_a_share_of_its_bound() -> None:
    none = np.array([-1, -1], np.int32)
    got = ranking.words(
        matrix([[1, 0], [2, 0]]),
        np.array([10, 10], np.float32),
        none,
        none,
        weights=np.array([3, 1], np.float32),
        mean_length=5,
    )
    damping = SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * 2)
    assert got.tolist() == pytest.approx([(3 / (1 + damping) + 2 / (2 + damping)) / 4, 0])


def test_words_of_neighbours_count_near_and_far_on_both_sides_and_no_further() -> None:
    previous, following = chain([7])
    got = ranking.words(
        matrix([[0, 0, 0, 1, 0, 0, 0]]),
        np.full(7, 4, np.float32),
        previous,
        following,
        weights=np.array([2], np.float32),
        mean_length=4,
    )
    expected = [held / (held + SATURATION) for held in (0, FAR, NEAR, 1, NEAR, FAR, 0)]
    assert got.tolist() == pytest.approx(expected)


def test_words_do_not_reach_into_another_dialogue() -> None:
    previous, following = chain([2, 2])
    case = Case(
        matrix([[0, 3, 0, 0]]),
        np.full(4, 5, np.float32),
        previous,
        following,
        np.ones(1, np.float32),
        5.0,
    )
    before, own, *beyond = score(case).tolist()
    assert own > before > 0
    assert beyond == [0, 0]


def test_two_words_in_two_rows_count_more_than_one_word_in_both() -> None:
    previous, following = chain([2])
    case = Case(
        matrix([[1, 0], [0, 1]]),
        np.full(2, 5, np.float32),
        previous,
        following,
        np.ones(2, np.float32),
        5.0,
    )
    both = score(case)
    repeated = score(case, counts=matrix([[1, 1], [0, 0]]))
    assert (both > repeated).all()


def test_words_of_a_long_text_and_of_its_neighbours_still_count() -> None:
    previous, following = chain([2])
    long = Case(
        matrix([[1, 0]]),
        np.array([75_000, 5], np.float32),
        previous,
        following,
        np.ones(1, np.float32),
        15.0,
    )
    assert score(long)[0] > 0.3
    assert score(long, counts=matrix([[0, 1]]))[1] > 0.3
    assert score(long)[0] < score(long, lengths=np.array([30, 5], np.float32))[0]


def test_a_term_that_no_text_holds_keeps_the_others_from_answering_in_full() -> None:
    lone = np.array([-1], np.int32)
    case = Case(matrix([[9]]), np.array([9], np.float32), lone, lone, np.ones(1, np.float32), 9.0)
    asked = score(case, counts=matrix([[9], [0]]), weights=np.ones(2, np.float32))
    assert asked[0] == pytest.approx(score(case)[0] / 2)


@pytest.mark.parametrize("terms, rows", [(0, 3), (2, 0), (0, 0)])
def test_without_terms_or_rows_nothing_is_scored(terms: int, rows: int) -> None:
    previous, following = chain([rows] if rows else [])
    got = ranking.words(
        np.zeros((terms, rows), np.float32),
        np.ones(rows, np.float32),
        previous,
        following,
        weights=np.ones(terms, np.float32),
        mean_length=1,
    )
    assert got.dtype == np.float32
    assert got.tolist() == [0] * rows


@FIXED
@given(cases())
def test_words_are_what_the_plain_formula_gives_within_0_and_1(case: Case) -> None:
    got = score(case)
    assert got.dtype == np.float32
    assert got.tolist() == pytest.approx(plainly(case), abs=CLOSE)
    assert ((got >= 0) & (got <= 1)).all()


@FIXED
@given(cases(), st.data())
def test_holding_a_word_once_more_lowers_no_row_and_raises_its_own(
    case: Case, data: st.DataObject
) -> None:
    terms, rows = case.counts.shape
    term, row = data.draw(st.integers(0, terms - 1)), data.draw(st.integers(0, rows - 1))
    more = case.counts.copy()
    more[term, row] += 1
    before, after = score(case), score(case, counts=more)
    assert (after >= before - CLOSE).all()
    exact = plainly(case._replace(counts=more))[row]
    assert exact > plainly(case)[row]


@FIXED
@given(cases())
def test_the_way_a_dialogue_runs_does_not_matter(case: Case) -> None:
    turned = score(case, previous=case.following, following=case.previous)
    assert turned.tolist() == pytest.approx(score(case).tolist(), abs=CLOSE)


@FIXED
@given(cases(), st.randoms(use_true_random=False))
def test_how_rows_and_terms_are_numbered_does_not_matter(case: Case, chance: Any) -> None:
    terms, rows = case.counts.shape
    order: list[int] = list(range(rows))
    asked: list[int] = list(range(terms))
    chance.shuffle(order)
    chance.shuffle(asked)
    place = np.append(np.argsort(order), -1).astype(np.int32)
    got = score(
        case,
        counts=case.counts[asked][:, order],
        lengths=case.lengths[order],
        previous=place[case.previous[order]],
        following=place[case.following[order]],
        weights=case.weights[asked],
    )
    assert got.tolist() == pytest.approx(score(case)[order].tolist(), abs=CLOSE)


@FIXED
@given(cases(), cases(most_terms=1))
def test_rows_of_another_dialogue_change_nothing(case: Case, other: Case) -> None:
    rows, more = len(case.lengths), len(other.lengths)
    foreign = np.zeros((len(case.weights), more), np.float32) + other.counts[0]

    def behind(theirs: Rows) -> Rows:
        return np.where(theirs < 0, -1, theirs + rows).astype(np.int32)

    together = score(
        case,
        counts=np.concatenate([case.counts, foreign], axis=1),
        lengths=np.concatenate([case.lengths, other.lengths]),
        previous=np.concatenate([case.previous, behind(other.previous)]),
        following=np.concatenate([case.following, behind(other.following)]),
    )
    assert together[:rows].tolist() == pytest.approx(score(case).tolist(), abs=CLOSE)


def test_what_is_handed_in_is_not_changed() -> None:
    previous, following = chain([3])
    counts, lengths = matrix([[1, 2, 3]]), np.array([4, 5, 6], np.float32)
    weights = np.ones(1, np.float32)
    given_in: tuple[NDArray[Any], ...] = (counts, lengths, previous, following, weights)
    before = [array.copy() for array in given_in]
    ranking.words(counts, lengths, previous, following, weights=weights, mean_length=5)
    for array, copy in zip(given_in, before, strict=True):
        assert array.tolist() == copy.tolist()


# ── the parts together ───────────────────────────────────────────────────────────────────────


def test_the_weights_add_up_to_1() -> None:
    assert pytest.approx(1) == WORDS + MEANING + SPEAKER


def test_parts_are_weighed_and_opposite_meaning_counts_as_none() -> None:
    got = ranking.combine(
        np.array([0.5, 0, 1, 0], np.float32),
        np.array([0.25, -1, 1.01, 0], np.float32),
        np.array([False, True, True, False]),
    )
    assert got.relevance.tolist() == pytest.approx(
        [WORDS * 0.5 + MEANING * 0.25, SPEAKER, 1, 0], abs=1e-6
    )
    assert got.words.tolist() == pytest.approx([WORDS * 0.5, 0, WORDS, 0])
    assert got.meaning.tolist() == pytest.approx([MEANING * 0.25, 0, MEANING, 0])
    assert got.speaker.tolist() == pytest.approx([0, SPEAKER, SPEAKER, 0])


PART = st.floats(0, 1, width=32)
COSINE = st.floats(-1, 1, width=32)


@FIXED
@given(st.lists(st.tuples(PART, COSINE, st.booleans()), min_size=1, max_size=20))
def test_relevance_is_the_sum_of_its_parts_within_0_and_1(
    rows: list[tuple[float, float, bool]],
) -> None:
    words, meaning, speaker = (np.array(column) for column in zip(*rows, strict=True))
    got = ranking.combine(words.astype(np.float32), meaning.astype(np.float32), speaker)
    assert all(part.dtype == np.float32 for part in got)
    assert ((got.relevance >= 0) & (got.relevance <= 1)).all()
    assert got.relevance.tolist() == pytest.approx(
        (got.words + got.meaning + got.speaker).tolist(), abs=1e-6
    )


@FIXED
@given(PART, COSINE, st.booleans(), PART, COSINE)
def test_more_of_any_part_never_lowers_relevance(
    words: float, meaning: float, speaker: bool, other_words: float, other_meaning: float
) -> None:
    more = (max(words, other_words), max(meaning, other_meaning))
    got = ranking.combine(
        np.array([words, more[0], words, words], np.float32),
        np.array([meaning, meaning, more[1], meaning], np.float32),
        np.array([speaker, speaker, speaker, True]),
    )
    assert (got.relevance[1:] >= got.relevance[0]).all()
