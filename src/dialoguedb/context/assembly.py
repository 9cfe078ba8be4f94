"""A context, put together within its budget.

In order: the system prompt, the summary, the newest turns, and before the last thing that a user
said the note of what has been recalled for it. So all that stays from turn to turn stands in front
of what changes, and the provider's cache of the prompt holds.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Literal, NamedTuple

from dialoguedb.context import formats, notes, window
from dialoguedb.context.costs import cost_of
from dialoguedb.context.formats import Format, Written
from dialoguedb.context.notes import Found, Note
from dialoguedb.context.pairing import grouped
from dialoguedb.context.turns import Turn
from dialoguedb.context.window import Sized, Window
from dialoguedb.tokens import Tokenizer

Reason = Literal["system", "summary", "memory", "recalled", "recent"]
#: Of what the system prompt leaves, a summary takes this part at most.
_SUMMARY = 4
#: The shares of the rest that the newest turns may take where something is to be recalled, in
#: percent: the first one in half of which those that must be shown have room.
_SHARES = (60, 80, 100)


class TooSmall(Exception):
    """The budget does not hold the system prompt and the last turn; `needed` tokens would."""

    def __init__(self, needed: int) -> None:
        super().__init__(needed)
        self.needed = needed


class Summary(NamedTuple):
    """A summary: its id, its text, and the place of the last message that it covers."""

    id: str
    content: str
    place: tuple[int, int]


class Asked(NamedTuple):
    """What is asked of a context.

    Attributes:
        budget: tokens that it may cost.
        keep: of the newest turns so many are shown at least, while they fit.
        recalls: whether something is to be recalled.
        stored: whether turns are shown as they are stored; else in a provider's format.
    """

    budget: int
    keep: int
    recalls: bool
    stored: bool = False


class Included(NamedTuple):
    """A part of a context: why it is there, what it is, and what it costs."""

    reason: Reason
    id: str
    tokens: int
    relevance: float | None = None


class Frame(NamedTuple):
    """A context before anything is recalled.

    Attributes:
        system: the turns of the system prompt, and what each costs.
        summary: the summary's id, its note and what that costs; None if there is none.
        window: the newest turns.
        room: tokens that are left.
    """

    system: tuple[tuple[Turn, int], ...]
    summary: tuple[str, str, int] | None
    window: Window
    room: int

    @property
    def places(self) -> frozenset[tuple[int, int]]:
        """Give the places of the messages of the dialogue that are shown as they are."""
        return _places(self.window.groups)

    @property
    def asking(self) -> frozenset[tuple[int, int]]:
        """Give the places of the last thing that a user said, and of what follows it."""
        groups = self.window.groups
        return _places(groups[_last_said(groups) :])


class Context(NamedTuple):
    """A context that is ready to send."""

    written: Written
    included: list[Included]
    tokens: int


def sized(asked: Asked, turns: Sequence[Turn], tokenizer: Tokenizer) -> list[Sized]:
    """Make groups of what can be shown of turns, and count what they cost.

    What costs more than the budget alone is not counted to its end.
    """
    cost = partial(cost_of, tokenizer=tokenizer, stored=asked.stored, most=asked.budget)
    return [Sized(group, tuple(map(cost, group.turns))) for group in grouped(turns)]


def framed(
    asked: Asked,
    system: Sequence[Turn],
    newest: Sequence[Sized],
    summary: Summary | None,
    tokenizer: Tokenizer,
) -> Frame:
    """Choose what is shown besides what is recalled.

    Args:
        asked: what is asked.
        system: the turns with which the dialogue begins that instruct the model.
        newest: the groups at its end, in order: all behind those, or more than the budget holds.
        summary: the newest valid summary; None if there is none.
        tokenizer: counts.
    Raises:
        TooSmall: not even the system prompt and the last turn fit.
    """
    cost = partial(cost_of, tokenizer=tokenizer, stored=asked.stored)
    prompt = tuple((turn, cost(turn)) for turn in _instructing(system))
    left = asked.budget - formats.OPENING_TOKENS - sum(tokens for _, tokens in prompt)
    last = newest[-1].tokens if newest else 0
    if left < last:
        last = sum(cost(turn) for one in newest[-1:] for turn in one.group.turns)
        raise TooSmall(asked.budget - left + last)
    noted = None
    if summary is not None:
        room = min(left // _SUMMARY, left - last)
        text, tokens = notes.summary_note(summary.content, room, tokenizer)
        if text:
            noted = summary.id, text, tokens
            left -= tokens
    chosen = window.window_of(
        newest,
        budget=_share(asked, left, newest),
        keep=asked.keep,
        first=_first(newest, summary, asked.keep),
    )
    return Frame(prompt, noted, chosen, left - chosen.tokens)


def _instructing(system: Sequence[Turn]) -> Iterator[Turn]:
    """Give what the system prompt says. Calls and results have no partner there."""
    for turn in system:
        instructs = turn.without(turn.calls() | turn.results())
        if instructs.parts:
            yield instructs


def _share(asked: Asked, left: int, newest: Sequence[Sized]) -> int:
    """Give the tokens that the newest turns may cost.

    It depends on what is recalled in no way, so that the window stays where it is.
    """
    if not asked.recalls:
        return left
    needed = 2 * window.cost_of_last(newest, asked.keep)
    shares = (left * share // 100 for share in _SHARES)
    return next((share for share in shares if share >= needed), left)


def _first(newest: Sequence[Sized], summary: Summary | None, keep: int) -> int:
    """Give the group from which on all are shown if they fit.

    Behind a summary it is as far before its end as turns are to be shown at least: so the window
    begins at the same place as long as the summary does.
    """
    if summary is None:
        return 0
    covered = [
        place for place, one in enumerate(newest) if one.group.turns[-1].place <= summary.place
    ]
    return max(0, len(covered) - keep)


def recalled(frame: Frame, found: Iterable[Found], tokenizer: Tokenizer) -> Note:
    """Fill what is left with what has been found, which is not shown anyway."""
    return notes.recall_note(found, frame.room, tokenizer)


def assembled(frame: Frame, note: Note, form: Format) -> Context:
    """Put a context together in a format."""
    shown: list[formats.Shown] = []
    included = [Included("system", turn.id, cost) for turn, cost in frame.system]
    if frame.summary is not None:
        summary_id, text, cost = frame.summary
        shown.append(text)
        included.append(Included("summary", summary_id, cost))
    groups = frame.window.groups
    turning = _last_said(groups)
    before, after = groups[:turning], groups[turning:]
    shown += [one.group.turns for one in before]
    included += _recent(before)
    if note.items:
        shown.append(note.text)
        included += [
            Included(item.found.reason, item.found.id, item.tokens, item.found.relevance)
            for item in note.items
        ]
    shown += [one.group.turns for one in after]
    included += _recent(after)
    written = formats.written(form, [turn for turn, _ in frame.system], shown)
    return Context(written, included, sum(part.tokens for part in included))


def _last_said(groups: Sequence[Sized]) -> int:
    """Find the last thing that a user says; what is recalled stands before it."""
    places = range(len(groups) - 1, -1, -1)
    return next((place for place in places if groups[place].group.opens), 0)


def _places(groups: Iterable[Sized]) -> frozenset[tuple[int, int]]:
    return frozenset(turn.place for one in groups for turn in one.group.turns)


def _recent(groups: Iterable[Sized]) -> Iterator[Included]:
    """Tell of the turns; those of one message, which was cut, are one part."""
    costs: dict[str, int] = {}
    for one in groups:
        for turn, cost in zip(one.group.turns, one.costs, strict=True):
            costs[turn.id] = costs.get(turn.id, 0) + cost
    return (Included("recent", message_id, cost) for message_id, cost in costs.items())
