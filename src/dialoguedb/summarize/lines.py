"""The lines of a summary: days, speakers, how long it is, what stands before what is new."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from dialoguedb.summarize import sentences
from dialoguedb.summarize.protocol import Turn, check
from dialoguedb.tokens import Tokenizer

#: A summary has a tenth of its source, within these bounds, unless it is told otherwise.
SHARE: Final = 10
LEAST_TOKENS: Final = 128
MOST_TOKENS: Final = 1000

#: Turns between two questions whether to go on.
_STEP: Final = 256
_DAY = re.compile(r"^\[\d{4}-\d{2}-\d{2}\]$", re.MULTILINE)
_MS_A_DAY: Final = 86_400_000


def default_tokens(total: int) -> int:
    """Give the length of a summary of a source of `total` tokens."""
    return min(max(total // SHARE, LEAST_TOKENS), MOST_TOKENS)


def tokens_of(turns: Sequence[Turn], tokenizer: Tokenizer, going: Callable[[], bool]) -> int:
    """Count the tokens of what turns say.

    Raises:
        Interrupted: `going` said no.
    """
    total = 0
    for number, turn in enumerate(turns):
        if number % _STEP == 0:
            check(going)
        total += tokenizer.count(turn.text)
    return total


def joined(earlier: str | None, new: str) -> str | None:
    """Put what is new behind an earlier summary; None where there is neither."""
    return "\n".join(part for part in (earlier, new) if part) or None


def day_of(turn: Turn) -> int:
    """Give the day of a turn, in days since 1970 UTC."""
    return turn.created_ms // _MS_A_DAY


def day_line(day: int) -> str:
    """Write the line of a day, by its number since 1970."""
    return f"[{datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()}]"


def last_day(text: str | None) -> str | None:
    """Give the last line of a day in a summary; None without one."""
    days: list[str] = _DAY.findall(text or "")
    return days[-1] if days else None


def speaker_of(turn: Turn) -> str:
    """Give what stands before what a speaker says: the name on one line, else the role."""
    name = " ".join((turn.name or "").split())
    return name or " ".join(turn.role.split()).capitalize()


def fitting(text: str, most: int, tokenizer: Tokenizer) -> str:
    """Cut a text to at most `most` tokens, at the end of a sentence; it may be nothing."""
    if tokenizer.count(text) <= most:
        return text
    ends = sentences.ends(text)
    low, high = 0, len(ends)
    while low < high:
        middle = (low + high + 1) // 2
        fits = tokenizer.count(text[: ends[middle - 1]].rstrip()) <= most
        low, high = (middle, high) if fits else (low, middle - 1)
    return text[: ends[low - 1]].rstrip() if low else shortened(text, most, tokenizer)


def shortened(text: str, most: int, tokenizer: Tokenizer) -> str:
    """Cut a sentence itself to at most `most` tokens, for want of anything better."""
    length = len(text)
    while length := length // 2:
        cut = f"{text[:length].rstrip()} …"
        if tokenizer.count(cut) <= most:
            return cut
    return ""
