"""Which sentences of a conversation say most: by words, meaning, place and form."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dialoguedb.embed import Embedder
from dialoguedb.search import analyser
from dialoguedb.summarize import cues, sentences
from dialoguedb.summarize.lines import speaker_of
from dialoguedb.summarize.protocol import Turn, check
from dialoguedb.tokens import Tokenizer

#: Sentences that are worked on between two questions whether to go on: some 10 ms.
_STEP: Final = 256
#: A sentence can stand for what is said around it: so many sentences before and after.
_AROUND: Final = 12
#: Sentences whose sums are taken in one go.
_BLOCK: Final = 1024
#: What is added to the factor 1 of a sentence that means all that is said around it.
_CENTRAL: Final = 1.0
#: The worth of a word grows with this power of how often it comes.
_TOPIC: Final = 0.4
#: An answer to a question is worth more, and so are the first and the last turns.
_ANSWER: Final = 1.4
_EDGE: Final = 1.3
_EDGE_TURNS: Final = 2
#: An answer of fewer terms is not understood without its question.
_ALONE_TERMS: Final = 5


class Sentence(NamedTuple):
    """A sentence that could stand in a summary.

    Attributes:
        turn: the number of its turn.
        text: on one line.
        terms: its distinct terms that say what it is about.
        tokens: what it costs.
        weight: what the worth of its words is multiplied with.
        asks: whether it is a question.
        leans_on: the number of the sentence that it follows up: a question that it answers, or
            the one before it in its turn; None if there is none.
        alone: whether it can be understood without that.
    """

    turn: int
    text: str
    terms: frozenset[str]
    tokens: int
    weight: float
    asks: bool
    leans_on: int | None
    alone: bool


class Material(NamedTuple):
    """The sentences of a conversation in their order.

    Attributes:
        sentences: of all turns.
        vectors: their vectors, a row of length 1 each, or of zeros.
        words: what each term is worth.
    """

    sentences: list[Sentence]
    vectors: NDArray[np.float32]
    words: dict[str, float]


def weigh(
    turns: Sequence[Turn], embedder: Embedder, tokenizer: Tokenizer, going: Callable[[], bool]
) -> Material:
    """Cut turns into sentences, and weigh sentences and words.

    Raises:
        Interrupted: `going` said no.
    """
    weigher = _Weigher(turns, tokenizer)
    for start in range(0, len(turns), _STEP):
        check(going)
        weigher.cut(range(start, min(start + _STEP, len(turns))))
    vectors = np.zeros((len(weigher.texts), embedder.dimension or 0), np.float32)
    for start in range(0, len(vectors), _STEP):
        check(going)
        vectors[start : start + _STEP] = embedder.embed(weigher.texts[start : start + _STEP])
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1)
    centrality = _centrality(vectors).tolist()
    for start in range(0, len(vectors), _STEP):
        check(going)
        weigher.weigh(range(start, min(start + _STEP, len(vectors))), centrality)
    return Material(weigher.made, vectors, _words(weigher.made))


class _Weigher:
    """Goes through a conversation once, from the first sentence to the last."""

    def __init__(self, turns: Sequence[Turn], tokenizer: Tokenizer) -> None:
        self.texts: list[str] = []
        self.made: list[Sentence] = []
        self._turn_of: list[int] = []
        self._turns = turns
        self._tokenizer = tokenizer
        #: The last turn that asks something.
        self._asking = -1
        #: Whether the turn at hand follows one of another speaker that asks.
        self._replies = False
        #: The question that such a turn ended with, until a sentence has answered it.
        self._open: int | None = None
        # Whom they talk to is said again and again.
        names = " ".join({turn.name for turn in turns if turn.name})
        self._left_out = frozenset(analyser.terms(names))

    def cut(self, numbers: range) -> None:
        """Cut some turns into sentences."""
        for number in numbers:
            found = sentences.split(self._turns[number].text)
            self.texts += found
            self._turn_of += [number] * len(found)

    def weigh(self, numbers: range, centrality: Sequence[float]) -> None:
        """Weigh some sentences; the ones before them have been."""
        for i in numbers:
            self.made.append(self._sentence(i, centrality[i]))

    def _sentence(self, i: int, central: float) -> Sentence:
        text, number = self.texts[i], self._turn_of[i]
        terms = terms_of(text) - self._left_out
        asks = sentences.is_question(text)
        if self.made and self.made[-1].turn != number:
            self._begin(number)
        leans_on, alone = self._leaning(text, number, len(terms))
        weight = 1 + _CENTRAL * central
        weight *= cues.worth(text, self._turns[number].role, len(terms), asks=asks)
        if self._replies:
            weight *= _ANSWER
        if asks:
            self._asking = number
        # Greetings are at the edges too.
        is_full = len(terms) >= cues.FULL_TERMS
        if is_full and min(number, len(self._turns) - 1 - number) < _EDGE_TURNS:
            weight *= _EDGE
        tokens = self._tokenizer.count(text) + 1
        return Sentence(number, text, terms, tokens, weight, asks, leans_on, alone)

    def _begin(self, number: int) -> None:
        """Look at what a turn follows."""
        last = len(self.made) - 1
        speakers = {speaker_of(self._turns[at]) for at in (number - 1, number)}
        self._replies = self._asking == number - 1 and len(speakers) == 2
        self._open = last if self._replies and self.made[last].asks else None

    def _leaning(self, text: str, number: int, terms: int) -> tuple[int | None, bool]:
        """Give what a sentence follows up, and whether it can stand without."""
        if self._open is not None and terms and not sentences.is_question(text):
            asked, self._open = self._open, None
            return asked, terms >= _ALONE_TERMS and not cues.leans(text)
        before = self.made[-1] if self.made else None
        if before and before.turn == number and before.terms and cues.leans(text):
            return len(self.made) - 1, False
        return None, True


def terms_of(text: str) -> frozenset[str]:
    """Give the distinct terms of a text that say what it is about.

    An identifier or an address is one term and not its parts besides: it would be worth as much
    as a whole sentence.
    """
    found: set[str] = set()
    for chunk in text.split():
        terms = analyser.terms(chunk)
        if len(terms) > 1 and chunk.isascii():
            terms = [max(terms, key=len)]
        found.update(terms)
    return frozenset(found) - analyser.STOP_TERMS


def _centrality(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give how near each sentence is to the mean of those around it, 0..1."""
    found = np.empty(len(vectors), np.float32)
    # Block by block: the sums of many thousand rows would no longer be exact enough.
    for start in range(0, len(vectors), _BLOCK):
        end = min(start + _BLOCK, len(vectors))
        first, last = max(start - _AROUND, 0), min(end + _AROUND, len(vectors))
        sums = np.zeros((last - first + 1, vectors.shape[1]), np.float32)
        np.cumsum(vectors[first:last], axis=0, out=sums[1:])
        at = np.arange(start, end)
        upper = np.minimum(at + _AROUND + 1, last) - first
        lower = np.maximum(at - _AROUND, first) - first
        around = sums[upper] - sums[lower]
        lengths = np.maximum(np.linalg.norm(around, axis=1), 1e-9)
        cosines = np.einsum("ij,ij->i", around, vectors[start:end]) / lengths
        found[start:end] = np.clip(cosines, 0, 1)
    return found


def _words(said: Sequence[Sentence]) -> dict[str, float]:
    """Give the worth of each term: what comes again is a topic, if not as often as it comes."""
    counts = Counter(term for sentence in said for term in sentence.terms)
    return {term: count**_TOPIC for term, count in counts.items()}
