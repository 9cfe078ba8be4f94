"""What a comparison of the search index with the rows finds; the same on every engine."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dialoguedb.search.entries import (
    DIALOGUE,
    MEMORY,
    MESSAGE,
    NO_TEXT,
    PENDING,
    PRESENT,
)
from dialoguedb.store.protocol import Scope

#: Differences that are told one by one.
MOST_TOLD = 20
#: Components of a vector may differ by so much: the order of a sum can round another way.
ROUNDING = 1
#: What a kind of resource is called.
NAMES = {MESSAGE: "message", DIALOGUE: "dialogue", MEMORY: "memory"}


class Difference(NamedTuple):
    """A resource whose entry is not what it is to be.

    Attributes:
        scope: its project and namespace.
        kind: `message`, `dialogue` or `memory`; `figures` of a space, which are of no resource.
        owner: the message's dialogue, else its own id; of figures, of what they are.
        sequence: a message's number, else 0.
        what: the parts that differ; `missing` or `left over` as a whole.
    """

    scope: Scope
    kind: str
    owner: str
    sequence: int
    what: tuple[str, ...]


class Report(NamedTuple):
    """What a comparison has found.

    Attributes:
        checked: how many resources were compared.
        waiting: how many of them wait for their vectors.
        differing: how many are not in the index as they are to be.
        strays: parts of the index that are of spaces that are no more.
        first: the first of those that differ.
    """

    checked: int
    waiting: int
    differing: int
    strays: int
    first: Sequence[Difference]

    @property
    def equal(self) -> bool:
        """Tell whether the index is what the rows make it."""
        return not self.differing and not self.strays


class Vectors(NamedTuple):
    """The vectors of a resource, and how they stand; see `Entry`."""

    state: int
    data: bytes


def vectors_differ(made: Vectors, kept: Vectors, pieces: int) -> bool:
    """Compare vectors.

    Args:
        made: those that are to be; PENDING where they are not made anew.
        kept: those that the index holds.
        pieces: of those that are not made anew, how many there are to be.
    """
    if NO_TEXT in (made.state, kept.state):
        return made.state != kept.state
    if made.state == PENDING:
        uneven = kept.state == PRESENT and len(kept.data) % max(pieces, 1) != 0
        return kept.state not in (PENDING, PRESENT) or uneven
    if kept.state != PRESENT or len(kept.data) != len(made.data):
        return True
    one, other = (np.frombuffer(held.data, np.int8).astype(np.int16) for held in (made, kept))
    return bool((np.abs(one - other) > ROUNDING).any())
