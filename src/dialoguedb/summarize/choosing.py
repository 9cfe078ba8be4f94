"""Which sentences to take, until the room is used up."""

import heapq
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dialoguedb.summarize import cues
from dialoguedb.summarize.protocol import check
from dialoguedb.summarize.salience import Material

#: How much its length counts against a sentence: 1 is in full, and 0 not at all.
_THRIFT: Final = 0.9
#: Sentences whose vectors have this cosine say the same.
_SAME: Final = 0.9
#: What differs in a number only is another fact all the same, such as an entry of a list: it loses
#: this part of its worth at most.
_OTHER_NUMBER: Final = 0.85
#: A sentence of fewer terms, and no number, is not taken alone where there is no room for all, and
#: others have more: it says hardly anything, and would fill whatever room is left.
_ENOUGH_TERMS: Final = 3
#: Candidates that are looked at between two questions whether to go on: some ms.
_STEP: Final = 64

#: The numbers of sentences that are taken together: one, or one after what it follows up.
Candidate = tuple[int, ...]


class Costs(NamedTuple):
    """What sentences cost besides themselves.

    Attributes:
        speaker: of each turn, the name in front of its line.
        day: of each turn, the line of its day.
        day_of: of each turn, its day.
        day_shown: the day that needs no line, or None.
    """

    speaker: Sequence[int]
    day: Sequence[int]
    day_of: Sequence[int]
    day_shown: int | None


def choose(
    material: Material,
    costs: Costs,
    covered: frozenset[str],
    room: int,
    going: Callable[[], bool],
) -> list[int]:
    """Take the sentences that say most in so many tokens.

    Args:
        material: the conversation.
        costs: of what stands around the sentences.
        covered: terms that have been said already, in an earlier summary.
        room: tokens that there are.
        going: asked now and then.
    Returns: their numbers, in the order in which they were taken.
    Raises:
        Interrupted: `going` said no.
    """
    chosen = _Chosen(material, costs, covered)
    queue = [(-chosen.worth(one), one) for one in chosen.candidates(_enough(material, room))]
    heapq.heapify(queue)
    for step in count():
        if not queue:
            break
        if step % _STEP == 0:
            check(going)
        old, one = heapq.heappop(queue)
        cost = chosen.cost(one)
        if not old or not cost or cost > room:
            continue
        worth = -chosen.worth(one)
        if worth > old:
            # Others have said some of it since; it has to wait for its turn again.
            heapq.heappush(queue, (worth, one))
            continue
        room -= cost
        for cheaper in chosen.take(one):
            heapq.heappush(queue, (-chosen.worth(cheaper), cheaper))
    return chosen.order


def _enough(material: Material, room: int) -> int:
    """Give how many terms a sentence must have to be taken alone."""
    if sum(sentence.tokens for sentence in material.sentences) <= room:
        return 1
    return min(_ENOUGH_TERMS, max(len(sentence.terms) for sentence in material.sentences))


class _Chosen:
    """What has been taken, and what others are worth beside it.

    The worth of a candidate is that of its words that nobody has said, for its length, and the
    less the nearer it is in meaning to what was taken. As more is taken it only shrinks, but for
    what shares a line or a day with it. So whatever was worth less before need not be looked at.
    """

    def __init__(self, material: Material, costs: Costs, covered: frozenset[str]) -> None:
        self.order: list[int] = []
        self._said = material.sentences
        self._vectors = material.vectors
        self._words = material.words
        self._costs = costs
        self._covered = set(covered)
        self._taken: set[int] = set()
        self._turns: set[int] = set()
        self._days: set[int | None] = {costs.day_shown}
        self._rows = np.zeros((16, material.vectors.shape[1]), np.float32)
        #: Of a sentence: how many that were taken it was compared with, and the nearest.
        self._near: dict[int, tuple[int, float]] = {}
        self._by_turn: dict[int, list[Candidate]] = {}
        self._by_day: dict[int, list[Candidate]] = {}

    def candidates(self, enough: int) -> list[Candidate]:
        """Give what can be taken: sentences of `enough` terms, or with what they follow up."""
        found: list[Candidate] = []
        for i, sentence in enumerate(self._said):
            if not sentence.terms:
                continue
            if sentence.leans_on is not None:
                found.append((sentence.leans_on, i))
            is_enough = len(sentence.terms) >= enough or cues.has_number(sentence.text)
            if sentence.alone and is_enough:
                found.append((i,))
        for one in found:
            for turn in {self._said[number].turn for number in one}:
                self._by_turn.setdefault(turn, []).append(one)
                self._by_day.setdefault(self._costs.day_of[turn], []).append(one)
        return found

    def worth(self, one: Candidate) -> float:
        """Give what a candidate adds for what it costs, 0 or more."""
        new = [self._said[i].terms for i in one if i not in self._taken]
        terms = frozenset[str]().union(*new) - self._covered
        if not terms:
            return 0.0
        # Sorted: the sum of the same numbers must be the same to the last bit.
        gain = sum(sorted(self._words[term] for term in terms)) * self._said[one[-1]].weight
        near = self._nearness(one[-1]) / _SAME
        if any(map(cues.has_number, terms)):
            near = min(near, _OTHER_NUMBER)
        return gain * (1 - near) / float(self.cost(one) ** _THRIFT)

    def cost(self, one: Candidate) -> int:
        """Give the tokens that a candidate needs, 0 if it is there already."""
        total = 0
        turns, days = self._turns, self._days
        turn_before, day_before = -1, None
        for i in one:
            if i in self._taken:
                continue
            total += self._said[i].tokens
            turn = self._said[i].turn
            if turn not in turns and turn != turn_before:
                total += self._costs.speaker[turn]
                day = self._costs.day_of[turn]
                if day not in days and day != day_before:
                    total += self._costs.day[turn]
                    day_before = day
            turn_before = turn
        return total

    def _nearness(self, i: int) -> float:
        """Give how near a sentence is to the nearest that was taken, 0.._SAME."""
        seen, nearest = self._near.get(i, (0, 0.0))
        taken = len(self.order)
        if seen < taken:
            fresh = float((self._rows[seen:taken] @ self._vectors[i]).max())
            nearest = min(max(nearest, fresh), _SAME)
            self._near[i] = (taken, nearest)
        return nearest

    def take(self, one: Candidate) -> list[Candidate]:
        """Take a candidate; give those that cost less now, since they share a line or a day."""
        cheaper: list[Candidate] = []
        for i in one:
            if i in self._taken:
                continue
            sentence = self._said[i]
            day = self._costs.day_of[sentence.turn]
            if day not in self._days:
                cheaper += self._by_day[day]
            else:
                cheaper += self._by_turn[sentence.turn]
            self._remember(self._vectors[i])
            self.order.append(i)
            self._taken.add(i)
            self._covered |= sentence.terms
            self._turns.add(sentence.turn)
            self._days.add(day)
        return cheaper

    def _remember(self, vector: NDArray[np.float32]) -> None:
        taken = len(self.order)
        if taken == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self._rows[taken] = vector
