"""A conversation as text for a model, in pieces that fit into a request."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Final

from dialoguedb.summarize.lines import day_line, day_of, speaker_of
from dialoguedb.summarize.protocol import Turn, check
from dialoguedb.tokens import Tokenizer

#: Tokens of the conversation in one request. With instructions and an answer it fits into 4,096,
#: the least that models in use are served with.
CHUNK_TOKENS: Final = 2_500
#: Turns between two questions whether to go on.
_STEP: Final = 256


def of_turns(turns: Sequence[Turn], tokenizer: Tokenizer, going: Callable[[], bool]) -> list[str]:
    """Write turns as a transcript, in as few pieces of `CHUNK_TOKENS` as their order allows.

    Raises:
        Interrupted: `going` said no.
    """
    parts: list[str] = []
    numbered = enumerate(turns)
    for day, group in groupby(numbered, key=lambda pair: day_of(pair[1])):
        head = day_line(day)
        for number, turn in group:
            if number % _STEP == 0:
                check(going)
            # Further lines are set in, so that none can look like another speaker's.
            said = turn.text.strip().replace("\n", "\n  ")
            line = f"{speaker_of(turn)}: {said}"
            parts += _halved(f"{head}\n{line}" if head else line, tokenizer)
            head = ""
    return packed(parts, tokenizer)


def packed(parts: Iterable[str], tokenizer: Tokenizer) -> list[str]:
    """Put texts of at most `CHUNK_TOKENS` together, in order, a line each."""
    made: list[list[str]] = []
    room = 0
    for part in parts:
        cost = tokenizer.count(part) + 1
        if not made or cost > room:
            made.append([])
            room = CHUNK_TOKENS
        made[-1].append(part)
        room -= cost
    return ["\n".join(lines) for lines in made]


def _halved(text: str, tokenizer: Tokenizer) -> list[str]:
    """Cut a text that is too long for a request, at a line, else at a space."""
    if tokenizer.count(text) < CHUNK_TOKENS:
        return [text]
    middle = len(text) // 2
    at = max(text.rfind(end, middle // 2, middle) for end in ("\n", " "))
    at = at + 1 if at > 0 else middle
    return [*_halved(text[:at].rstrip(), tokenizer), *_halved(text[at:].lstrip(), tokenizer)]


def tail(text: str, most: int, tokenizer: Tokenizer) -> str:
    """Give the last lines of a text that have at most `most` tokens together."""
    kept: list[str] = []
    for line in reversed(text.splitlines()):
        most -= tokenizer.count(line) + 1
        if most < 0:
            break
        kept.append(line)
    return "\n".join(reversed(kept))
