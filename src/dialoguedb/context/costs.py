"""What a part of a context costs, in tokens.

The providers wrap messages in a few tokens of their own, which differ and are hardly documented;
the allowances here are on the safe side of what OpenAI has published.
"""

from typing import assert_never

from dialoguedb.context.turns import Image, Other, Part, Text, ToolCall, ToolResult, Turn
from dialoguedb.models import documents
from dialoguedb.tokens import Tokenizer

#: What a message costs besides what it says.
MESSAGE = 4
#: An image as large as providers show it to a model, and one with little detail.
IMAGE = 1600
LOW_IMAGE = 85
#: What frames a call or a result.
_TOOL = 10
#: No token of an encoding has more characters.
_MOST_CHARACTERS = 128
#: Roles that every provider knows.
_KNOWN_ROLES = frozenset({"user", "assistant", "system", "developer", "tool"})


def cost_of(turn: Turn, tokenizer: Tokenizer, *, most: int | None = None) -> int:
    """Give the cost of a turn, in whichever format it is written.

    Args:
        turn: the turn.
        tokenizer: counts.
        most: what costs more need not be counted to its end, which takes seconds for megabytes: it
            is enough that the cost is over this, too.
    """
    cost = MESSAGE
    for part in turn.parts:
        if most is not None and _length(part) > most * _MOST_CHARACTERS:
            return most + 1
        cost += _cost(part, tokenizer)
    if turn.name:
        cost += 1 + tokenizer.count(turn.name)
    if turn.role not in _KNOWN_ROLES:
        cost += 2 + tokenizer.count(turn.role)
    return cost


def _length(part: Part) -> int:
    """Give the characters of the texts of a part that are counted."""
    if isinstance(part, ToolResult):
        return sum(map(_length, part.parts))
    if isinstance(part, ToolCall):
        return len(part.arguments)
    return len(part.text) if isinstance(part, Text) else 0


def _cost(part: Part, tokenizer: Tokenizer) -> int:
    match part:
        case Text():
            return tokenizer.count(part.text) + 1
        case Image():
            return LOW_IMAGE if part.low else IMAGE
        case ToolCall():
            return _TOOL + sum(map(tokenizer.count, part))
        case ToolResult():
            shown = sum(_cost(one, tokenizer) for one in part.parts)
            return _TOOL + tokenizer.count(part.id) + shown
        case Other():
            return tokenizer.count(documents.text_of(part.block))
        case _:
            assert_never(part)
