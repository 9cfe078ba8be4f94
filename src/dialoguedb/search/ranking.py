"""The ranking formula: how relevant a row is to a query, from numbers that any engine can gather.

A relevance is a weighted sum of three parts, each in 0..1 and none measured against the other
rows, so that it means the same in another query:

- words: BM25 of the row and its neighbours read as one text, as a share of what a text could
  reach that holds nothing but the query's words;
- meaning: the cosine of the vectors of query and row, 0 where it is negative;
- speaker: whether the query names who speaks.

A dialogue is what makes the first part. "Where did you go?" - "To Lisbon, in May": the answer
stands next to the words that a question about it shares with the dialogue. So a word of a
neighbour counts for a row too, but less than its own. Meaning is the row's own: the vectors of
neighbours made no answer better.

Arrays are numbered alike: rows 0..n-1, which are the candidates and their neighbours, and terms
0..t-1, which are the distinct terms of the query.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rows = NDArray[np.int32]

# ── the weights, all of them ─────────────────────────────────────────────────────────────────
# Chosen coarsely, not by search; the decision note on ranking has the table of all that was tried.
# "Recall" is evidence recall@10 on the five LoCoMo conversations, 0.78 with what stands here;
# "look-ups" are messages asked for by half of their own words, 0.93 of them come first.

#: What the parts weigh; they add up to 1. With meaning 0.2 recall is the same, but fewer
#: paraphrases come first; with 0.4 it is 0.77. Without the speaker it is 0.74; with twice as
#: much, 0.78 of the look-ups come first.
WORDS, MEANING, SPEAKER = 0.6, 0.3, 0.1
#: How much a word of the previous or following row counts, and of the rows behind those: each step
#: halves it. Without neighbours recall is 0.69, with half as much 0.76. With one and a half times
#: as much it is 0.78 still, but 0.86 of the look-ups come first: a row drowns in its neighbours.
NEAR, FAR = 0.5, 0.25
#: BM25's k1: how soon repeating a word ceases to count. A usual value for short texts; recall
#: stays within 0.01 from 0.3 to 1.2.
SATURATION = 0.9
#: BM25's b: how much length counts against a text. A usual value for short texts; recall stays
#: within 0.01 from 0 to 0.75.
LENGTH_SHARE = 0.4
#: A text counts as no longer than so many average ones: else the words of a document of 300 KB, and
#: of the short turns beside it, come to nothing. Recall is the same with 4, 8 and without this,
#: lower with 2.
LONGEST = 4


class Shares(NamedTuple):
    """What the parts of a relevance weigh, each 0..1; they add up to 1."""

    words: float
    meaning: float
    speaker: float


#: What searches are ranked by; the benchmark holds other shares against it.
SHIPPED = Shares(WORDS, MEANING, SPEAKER)


class Parts(NamedTuple):
    """What rows score; the last three add up to the first (`explain`).

    Attributes:
        relevance: float32[n], 0..1.
        words: float32[n], 0 to its share.
        meaning: float32[n], 0 to its share.
        speaker: float32[n], 0 or its share.
    """

    relevance: Floats
    words: Floats
    meaning: Floats
    speaker: Floats


def rarity(holders: NDArray[np.int64], texts: int) -> Floats:
    """Weigh terms by how few texts hold them (BM25's idf, in the form that is never negative).

    Args:
        holders: int64[t], how many of the texts hold each term, 0..texts.
        texts: how many texts there are where the asker may look; at least 1.

    Returns:
        float32[t], above 0. A term that no text holds weighs most: a query that asks for it is
        not answered in full by its other words.
    """
    share = (texts - holders + 0.5) / (holders + 0.5)
    return np.log1p(share).astype(np.float32)


def words(
    counts: Floats,
    lengths: Floats,
    previous: Rows,
    following: Rows,
    *,
    weights: Floats,
    mean_length: float,
) -> Floats:
    """Score rows by the words that they and their neighbours share with the query.

    The neighbours' counts are added to a row's own before BM25 is taken of them, not their scores
    after it: so two words of the query in two rows count more than the same word in both.

    Args:
        counts: float32[t, n], how often each row holds each term.
        lengths: float32[n], how many words each row has.
        previous: int32[n], the row before each in its dialogue; -1 where there is none.
        following: int32[n], the row after each in its dialogue; -1 where there is none.
        weights: float32[t], the terms' `rarity`.
        mean_length: words of an average text where the asker may look.

    Returns:
        float32[n], 0..1: BM25 as a share of its bound. A row without neighbours gets plain BM25.
    """
    bound = float(weights.sum())
    if bound <= 0 or not counts.shape[1]:
        return np.zeros(counts.shape[1], np.float32)
    held = _with_neighbours(counts, previous, following)
    average = np.float32(max(mean_length, 1.0))
    counted = np.minimum(lengths, np.float32(LONGEST) * average)
    length = _with_neighbours(counted, previous, following)
    # A window is compared with a text of as many rows; at the end of a dialogue it is narrower.
    span = _with_neighbours(np.ones_like(lengths), previous, following)
    relative = length / (span * average)
    damping = SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * relative)
    held /= held + damping.astype(np.float32)
    # The sum may pass its bound by a rounding.
    return np.minimum((weights / np.float32(bound)) @ held, np.float32(1))


def combine(
    words: Floats, meaning: Floats, speaker: NDArray[np.bool_], shares: Shares = SHIPPED
) -> Parts:
    """Weigh the parts of a relevance.

    Args:
        words: float32[n], 0..1, from `words`.
        meaning: float32[n], cosines of query and row, -1..1; 0 where a vector is missing.
        speaker: bool[n], whether the query names the one who speaks.
        shares: what each part weighs.
    """
    by_words = np.float32(shares.words) * words
    by_meaning = np.float32(shares.meaning) * np.clip(meaning, 0, 1)
    by_speaker = np.float32(shares.speaker) * speaker
    relevance = np.minimum(by_words + by_meaning + by_speaker, np.float32(1))
    return Parts(relevance, by_words, by_meaning, by_speaker)


def _with_neighbours(values: Floats, previous: Rows, following: Rows) -> Floats:
    """Add to each row's values (last axis: n) those of its neighbours, weighed by distance."""
    # One more place at the end: -1, for "none", points to it, and it is 0 or "none" again.
    padded = np.concatenate([values, np.zeros_like(values[..., :1])], axis=-1)
    total = values.copy()
    for towards in (previous, following):
        beyond = np.append(towards, np.int32(-1))[towards]
        total += np.float32(NEAR) * np.take(padded, towards, axis=-1, mode="wrap")
        total += np.float32(FAR) * np.take(padded, beyond, axis=-1, mode="wrap")
    return total
