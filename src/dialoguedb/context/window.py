"""Which of the newest turns are shown: as many as fit, and from where on.

A model's provider keeps what it has read of a prompt, and reads the same beginning again at a tenth
of the price. So the window must not slide with each turn: its beginning stays for many turns, then
jumps. Nothing is stored for that. The beginning is where the sequence number can be halved most
often, among all places at which a window may begin: as these move on, that place stays the best
until it leaves them, or until a better one enters.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from dialoguedb.context.pairing import Group


class Sized(NamedTuple):
    """A group, and what each of its turns costs."""

    group: Group
    costs: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """Give what the group costs."""
        return sum(self.costs)


class Window(NamedTuple):
    """The groups that are shown, in order, and what they cost."""

    groups: tuple[Sized, ...] = ()
    tokens: int = 0


#: A window that has jumped keeps at least this part of its budget.
_LEAST = 8


def window_of(sized: Sequence[Sized], *, budget: int, keep: int, first: int) -> Window:
    """Choose the groups that are shown.

    Args:
        sized: the newest groups of the dialogue, in order.
        budget: tokens that they may cost; the last one is shown in any case.
        keep: turns that are shown at least, while they fit.
        first: from which group on all are shown, if they fit.
    """
    if not sized:
        return Window()
    tails = list(accumulate(one.tokens for one in reversed(sized)))[::-1]
    counts = list(accumulate(len(one.group.turns) for one in reversed(sized)))[::-1]
    last = len(sized) - 1
    earliest = next((place for place in range(first, last) if tails[place] <= budget), last)
    start = earliest
    if earliest > first:
        least = budget // _LEAST
        latest = earliest
        while latest < last and counts[latest + 1] >= keep and tails[latest + 1] >= least:
            latest += 1
        start = _steadiest(sized, earliest, latest)
    return Window(tuple(sized[start:]), tails[start])


def cost_of_last(sized: Sequence[Sized], keep: int) -> int:
    """Give what the last turns cost, `keep` of them or somewhat more: groups are not divided."""
    cost = count = 0
    for one in reversed(sized):
        if count >= keep:
            break
        count += len(one.group.turns)
        cost += one.tokens
    return cost


def _steadiest(sized: Sequence[Sized], earliest: int, latest: int) -> int:
    """Choose the beginning that will stay for long: where a user speaks, if one does there.

    What counts for such a place are the numbers behind the one before it, up to its own.
    """

    def halvings(place: int) -> int:
        number = sized[place].group.sequence
        return number & -number

    best, steadiest, steady = None, 0, 0
    for place in range(latest + 1):
        steady = max(steady, halvings(place))
        if sized[place].group.opens:
            if place >= earliest and steady > steadiest:
                best, steadiest = place, steady
            steady = 0
    if best is not None:
        return best
    return max(range(earliest, latest + 1), key=lambda place: (halvings(place), -place))
