"""The two notes of a context: the summary, and what has been recalled.

Both hold what people have said, so they stand in a user's message: what users said never has the
authority of a system prompt.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Literal, NamedTuple

from dialoguedb.context.costs import MESSAGE
from dialoguedb.models.times import text_of
from dialoguedb.tokens import Tokenizer

SUMMARY_HEAD = "Summary of the conversation so far:"
RECALL_HEAD = "Recalled from memory and earlier conversations, for reference:"
_GAP = "[…]"
#: Tokens of one recalled item at most: of a longer text its beginning is recalled.
MOST_OF_ITEM = 200
#: After so many for which there was no room nothing more is looked at.
_MISSES = 5
#: So many characters have more tokens than that in any language.
_MOST_CHARACTERS = 1600
#: Of the room for what is recalled, memories take this part at most.
_MEMORIES = 4
_DATE_LENGTH = len("2026-02-03")


class Found(NamedTuple):
    """Something that a search has found.

    Attributes:
        reason: `memory`, or `recalled` for a message.
        id: its id.
        text: what it says, on one or several lines.
        speaker: who said it; empty for a memory.
        place: what orders messages: milliseconds UTC, dialogue, sequence.
        relevance: 0..1.
    """

    reason: Literal["memory", "recalled"]
    id: str
    text: str
    speaker: str
    place: tuple[int, str, int]
    relevance: float


class Item(NamedTuple):
    """A line of the note: what it was found for, and its tokens with what stands around it."""

    found: Found
    line: str
    tokens: int


class Note(NamedTuple):
    """What has been recalled, as it is shown; no items where nothing is."""

    text: str = ""
    items: tuple[Item, ...] = ()

    @property
    def tokens(self) -> int:
        """Give what it costs as a message."""
        return sum(item.tokens for item in self.items)


def summary_note(content: str, budget: int, tokenizer: Tokenizer) -> tuple[str, int]:
    """Write a summary as a note, and what it costs as a message; ("", 0) if nothing of it fits.

    One that is too long loses lines in the middle: its beginning says what the conversation is
    about, its end what was said last.
    """
    head = MESSAGE + tokenizer.count(SUMMARY_HEAD + "\n")
    tokens = head + tokenizer.count(content)
    if tokens <= budget:
        return f"{SUMMARY_HEAD}\n{content}", tokens
    lines = content.split("\n")
    costs = [tokenizer.count(line + "\n") for line in lines]
    room = budget - head - tokenizer.count(_GAP + "\n")
    first, spent = 0, 0
    while first < len(lines) and spent + costs[first] <= room // 2:
        spent += costs[first]
        first += 1
    last = len(lines)
    while last > first and spent + costs[last - 1] <= room:
        last -= 1
        spent += costs[last]
    if not spent:
        return "", 0
    text = "\n".join([SUMMARY_HEAD, *lines[:first], _GAP, *lines[last:]])
    return text, budget - room + spent


def recall_note(found: Iterable[Found], budget: int, tokenizer: Tokenizer) -> Note:
    """Write what has been found as a note, the most relevant as far as it fits.

    Args:
        found: memories first, then messages, each kind the best first.
        budget: tokens that the note may cost as a message.
        tokenizer: counts them.
    """
    room = budget - MESSAGE - tokenizer.count(RECALL_HEAD + "\n")
    free = room
    kept: list[tuple[Found, str, int]] = []
    dates: set[str] = set()
    misses = 0
    for one in found:
        if misses == _MISSES:
            break
        line = _line(one, tokenizer)
        if not line:
            continue
        cost = tokenizer.count(line + "\n")
        date = _date(one)
        if date and date not in dates:
            cost += tokenizer.count(date + "\n")
        if free - cost < (room - room // _MEMORIES if one.reason == "memory" else 0):
            misses += one.reason == "recalled"
            continue
        free -= cost
        dates.add(date)
        kept.append((one, line, cost))
    if not kept:
        return Note()
    return _note(kept, budget - room)


def _note(kept: Sequence[tuple[Found, str, int]], around: int) -> Note:
    """Set the lines in order: memories as they were found, messages by date under it."""
    ordered = [one for one in kept if one[0].reason == "memory"]
    said = [one for one in kept if one[0].reason != "memory"]
    ordered += sorted(said, key=lambda one: one[0].place)
    lines = [RECALL_HEAD]
    for date, day in groupby(ordered, key=lambda one: _date(one[0])):
        lines += [date] if date else []
        lines += [line for _, line, _ in day]
    items = [Item(found, line, cost) for found, line, cost in ordered]
    items[0] = items[0]._replace(tokens=items[0].tokens + around)
    return Note("\n".join(lines), tuple(items))


def _date(found: Found) -> str:
    """Give the line above messages of one day; a memory has none."""
    return "" if found.reason == "memory" else text_of(found.place[0])[:_DATE_LENGTH] + ":"


def _line(found: Found, tokenizer: Tokenizer) -> str:
    """Write an item on one line; empty if it says nothing."""
    text = " ".join(found.text[:_MOST_CHARACTERS].split())
    if tokenizer.count(text) > MOST_OF_ITEM:
        text = f"{_beginning(text, tokenizer)} …"
    return f"{found.speaker}: {text}" if text and found.speaker else text


def _beginning(text: str, tokenizer: Tokenizer) -> str:
    """Give as many words of a long text as an item may have."""
    words = text.split(" ")
    low, high = 0, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        fits = tokenizer.count(" ".join(words[:middle])) < MOST_OF_ITEM
        low, high = (middle, high) if fits else (low, middle - 1)
    return " ".join(words[:low]) or text[: MOST_OF_ITEM // 2]
