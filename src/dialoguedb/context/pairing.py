"""Turns that belong together: tool calls with their results.

Providers refuse a call without its results, and a result that does not follow its call. So a run of
turns that call, with the run of turns behind it that answer, is one group, which is shown whole or
not at all. A call or result that stands alone is left out, and what else its turn says stays.
"""

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import NamedTuple

from dialoguedb.context.turns import Turn


class Group(NamedTuple):
    """Turns that are shown together, at least one, in order."""

    turns: tuple[Turn, ...]

    @property
    def sequence(self) -> int:
        """Give the number of its first turn."""
        return self.turns[0].sequence

    @property
    def opens(self) -> bool:
        """Tell whether it begins with what a user says."""
        return self.turns[0].role == "user" and not self.turns[0].results()


def grouped(turns: Sequence[Turn]) -> list[Group]:
    """Make groups of the turns at the end of a dialogue, in order.

    Where the last calls are still to be answered, they and what came of them are not shown yet:
    else what was shown would change with the answer.
    """
    groups: list[Group] = []
    start = 0
    while start < len(turns):
        turn = turns[start]
        if not turn.uses_tools:
            if turn.parts:
                groups.append(Group((turn,)))
            start += 1
            continue
        calling = _run(turns, start, lambda turn: bool(turn.calls()))
        if not calling:
            _add(groups, [turn], frozenset())
            start += 1
            continue
        answering = _run(turns, start + len(calling), lambda turn: bool(turn.results()))
        asked = frozenset[str]().union(*(turn.calls() for turn in calling))
        answered = frozenset[str]().union(*(turn.results() for turn in answering))
        start += len(calling) + len(answering)
        if start == len(turns) and asked - answered:
            break
        _add(groups, [*calling, *answering], asked & answered)
    return groups


def _run(turns: Sequence[Turn], start: int, belongs: Callable[[Turn], bool]) -> list[Turn]:
    return list(takewhile(belongs, turns[start:]))


def _add(groups: list[Group], turns: Sequence[Turn], pairs: frozenset[str]) -> None:
    """Add a group of what the turns say; of calls and results only pairs, each once."""
    kept = []
    called: set[str] = set()
    answered: set[str] = set()
    for turn in turns:
        calls, results = turn.calls(), turn.results()
        turn = turn.without((calls | results) - pairs | calls & called | results & answered)
        called |= calls
        answered |= results
        if turn.parts:
            kept.append(turn)
    if kept:
        groups.append(Group(tuple(kept)))
