"""Made-up conversations with the word statistics of real ones, the same for the same seed.

The commonest words are English function words, as they are in speech; behind them stands a
vocabulary of composed words. Frequencies fall by Zipf's law in Mandelbrot's form, and faster from
some rank on, as they do in large collections: 10,000 messages hold some 15,000 distinct words,
1,000,000 some 105,000.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SEED = 20_260_203
VOCABULARY = 150_000
#: The word of rank r is as frequent as 1 / (r + SHIFT) ** STEEPNESS; beyond the common words
#: frequencies fall with TAIL. The first hundreds of ranks are within a third of LoCoMo's.
SHIFT, STEEPNESS = 8, 1.1
COMMON, TAIL = 5_000, 2.0
SHORTEST, TYPICAL, LONGEST = 5, 13, 40
#: Messages of a namespace and of a dialogue.
IN_NAMESPACE, IN_DIALOGUE = 10_000, 50
#: Each message has one tag and one customer of so many: a filter by either keeps 1%.
SHARES = 100
SPEAKERS = ("Ada", "Bruno", "Chen", "Dilek", "Emeka", "Freya", "Goran", "Hana")


def _list(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FUNCTION_WORDS = _list(
    "the i to and a you it of that in is for on my was have with so this be but we do are just me "
    "at not like what your they can all up about if out how get there as or one he she had them "
    "when from know some her his been who more would will then were did could our has time no its "
    "now an him by because go think very good really see going want too here only over back after "
    "than make way much where well right which us also work day even any last new still need off"
)
_ONSETS = _list(
    "b bl br c ch cl cr d dr f fl fr g gl gr h j k l m n p pl pr qu r s sc sh sk sl sn sp st str t "
    "th tr v w y z"
)
_VOWELS = _list("a e i o u ai ea ee ie oa oo ou")
_CODAS = _list("b ck d ft g l ll m mp n nd ng nk nt p r rd rk rm rn rt s sh sk ss st t th x")


class Message(NamedTuple):
    """A message of the corpus.

    Attributes:
        namespace: its namespace.
        dialogue_id: its dialogue.
        speaker: its `name`.
        text: its content.
        tag: one of `SHARES`.
        customer: the number in its metadata, below `SHARES`.
    """

    namespace: str
    dialogue_id: str
    speaker: str
    text: str
    tag: str
    customer: int

    def body(self) -> dict[str, Any]:
        """Give it as a client sends it in a batch."""
        return {
            "role": "user",
            "name": self.speaker,
            "content": self.text,
            "tags": [self.tag],
            "metadata": {"customer": self.customer},
        }


class Corpus:
    """Messages by number and queries about them. Any part can be made without what is before."""

    def __init__(self) -> None:
        self.words = _vocabulary(np.random.default_rng(SEED))
        ranks = np.arange(1, VOCABULARY + 1)
        weights = 1 / (np.minimum(ranks, COMMON) + SHIFT) ** STEEPNESS
        weights *= (COMMON / np.maximum(ranks, COMMON)) ** TAIL
        self._ladder = np.cumsum(weights / weights.sum())

    def namespace(self, number: int) -> list[Message]:
        """Make the 10,000 messages of a namespace, dialogue after dialogue."""
        random = np.random.default_rng((SEED, 1, number))
        lengths = np.exp(random.normal(np.log(TYPICAL), 0.55, IN_NAMESPACE))
        lengths = np.clip(lengths, SHORTEST, LONGEST).astype(np.int64)
        ranks = self._draw(random, int(lengths.sum())).tolist()
        shares = random.integers(0, SHARES, (IN_NAMESPACE, 2)).tolist()
        speakers = random.integers(0, len(SPEAKERS), (IN_NAMESPACE // IN_DIALOGUE, 2)).tolist()
        made = []
        start = 0
        for place, length in enumerate(lengths.tolist()):
            dialogue = place // IN_DIALOGUE
            text = _sentences([self.words[rank] for rank in ranks[start : start + length]])
            start += length
            speaker = SPEAKERS[speakers[dialogue][place % 2]]
            tag, customer = shares[place]
            dialogue_id = f"{namespace_name(number)}-{dialogue}"
            made.append(
                Message(namespace_name(number), dialogue_id, speaker, text, f"t{tag}", customer)
            )
        return made

    def queries(self, messages: Sequence[Message], count: int) -> list[str]:
        """Make queries of 3 to 8 words, each of the words of one message, rare ones and common."""
        random = np.random.default_rng((SEED, 2))
        made = []
        for place in random.integers(0, len(messages), count).tolist():
            words = messages[place].text.lower().replace(".", "").replace(",", "").split()
            length = min(int(random.integers(3, 9)), len(words))
            chosen = sorted(random.permutation(len(words))[:length].tolist())
            made.append(" ".join(words[one] for one in chosen))
        return made

    def _draw(self, random: np.random.Generator, count: int) -> NDArray[np.int64]:
        found: NDArray[np.int64] = np.searchsorted(self._ladder, random.random(count))
        return np.minimum(found, VOCABULARY - 1)


def namespace_name(number: int) -> str:
    """Give the name of a namespace."""
    return f"space-{number:04d}"


def batches(messages: Sequence[Message], most: int) -> Iterator[Sequence[Message]]:
    """Cut messages into batches of one dialogue each, of at most `most`, a divisor of 50."""
    for start in range(0, len(messages), most):
        yield messages[start : start + most]


def _vocabulary(random: np.random.Generator) -> list[str]:
    """Compose words, the short ones mostly in front, where the frequent ones stand."""
    known = dict.fromkeys(FUNCTION_WORDS)
    while len(known) < VOCABULARY:
        syllables = 1 if len(known) < 2_000 else 2 if len(known) < 60_000 else 3
        onsets = random.integers(0, len(_ONSETS), syllables).tolist()
        vowels = random.integers(0, len(_VOWELS), syllables).tolist()
        coda = _CODAS[int(random.integers(0, len(_CODAS)))]
        pairs = zip(onsets, vowels, strict=True)
        known["".join(_ONSETS[one] + _VOWELS[other] for one, other in pairs) + coda] = None
    return list(known)


def _sentences(words: list[str]) -> str:
    """Write words as a sentence or two."""
    words[0] = words[0].capitalize()
    if len(words) > 12:
        half = len(words) // 2
        words[half - 1] += "."
        words[half] = words[half].capitalize()
    elif len(words) > 7:
        words[3] += ","
    return " ".join(words) + "."
