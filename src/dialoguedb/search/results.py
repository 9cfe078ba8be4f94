"""From what has been ranked to results: the order, and dialogues that are found by their messages.

It is the same whatever has gathered the numbers: rows in memory, or a database's answer.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dialoguedb.search.ranking import Parts
from dialoguedb.search.shelf import Place

Rows = NDArray[np.int64]

#: Messages that a dialogue's result shows (contract 8.5).
MATCHES = 3


class Hit(NamedTuple):
    """A result.

    Attributes:
        place: where the store finds it.
        relevance: 0..1.
        words, meaning, speaker: what its relevance is the sum of.
        matches: of a dialogue: the messages through which it was found, best first.
    """

    place: Place
    relevance: float
    words: float
    meaning: float
    speaker: float
    matches: tuple["Hit", ...] = ()


class Ranked(NamedTuple):
    """Resources of one kind that were ranked, n of them.

    Attributes:
        parts: what each scores.
        created: int64[n], milliseconds UTC.
        later: int64[n], what is greater of the later of two that were created at once.
        owners: int64[n], the number of each one's dialogue; its own where it is none's.
        place: says where the store finds one of them.
    """

    parts: Parts
    created: Rows
    later: Rows
    owners: Rows
    place: Callable[[int], Place]

    def best(self) -> Rows:
        """Give all from the best to the least; of equals, the latest first."""
        found: Rows = np.lexsort((-self.later, -self.created, -self.parts.relevance))
        return found

    def hit(self, which: int) -> Hit:
        """Make the result of one."""
        relevance, words, meaning, speaker = (float(part[which]) for part in self.parts)
        return Hit(self.place(which), relevance, words, meaning, speaker)


class Dialogues(NamedTuple):
    """The dialogues that may be found, by their numbers.

    Attributes:
        created: int64, milliseconds UTC.
        later: int64, as in `Ranked`.
        place: says where the store finds one.
    """

    created: Rows
    later: Rows
    place: Callable[[int], Place]


def best_dialogues(
    said: Ranked, labels: Ranked, dialogues: Dialogues, *, limit: int, by_messages_only: bool
) -> list[Hit]:
    """Choose the dialogues whose best message or label is most relevant; of equals the latest.

    Args:
        said: their messages.
        labels: the dialogues themselves, by their labels.
        dialogues: all numbers that the owners of both have.
        limit: results at most.
        by_messages_only: whether its label alone does not count (contract 8.4).
    """
    order_of_said = said.best()
    speakers = said.owners[order_of_said]
    found = np.unique(speakers)
    if not by_messages_only:
        found = np.union1d(found, labels.owners)
    relevance = np.zeros(len(dialogues.created), np.float32)
    relevance[labels.owners] = labels.parts.relevance
    np.maximum.at(relevance, speakers, said.parts.relevance[order_of_said])
    order = np.lexsort((-dialogues.later[found], -dialogues.created[found], -relevance[found]))
    place_of_label = dict(zip(labels.owners.tolist(), range(len(labels.owners)), strict=True))
    hits = []
    for number in found[order[:limit]].tolist():
        mine = order_of_said[np.flatnonzero(speakers == number)[:MATCHES]].tolist()
        best = [said.hit(which) for which in mine]
        if number in place_of_label:
            best.append(labels.hit(place_of_label[number]))
        matches = tuple(hit for hit in best[: len(mine)] if hit.relevance > 0)
        leading = max(best, key=lambda hit: hit.relevance)
        hits.append(leading._replace(place=dialogues.place(number), matches=matches))
    return hits
