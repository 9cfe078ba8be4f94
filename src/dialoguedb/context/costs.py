"""What a part of a context costs, in tokens.

The providers wrap messages in a few tokens of their own, which differ and are hardly documented;
the allowances here are on the safe side of what OpenAI has published.
"""

from typing import Any, assert_never

from dialoguedb.context.turns import (
    Image,
    Other,
    Part,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    image_of,
)
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


#: What a block of text has; what frames it is not counted, in no format.
_TEXT_BLOCK = frozenset({"type", "text"})


def cost_of(
    turn: Turn, tokenizer: Tokenizer, *, stored: bool = False, most: int | None = None
) -> int:
    """Give the cost of a turn.

    Args:
        turn: the turn.
        tokenizer: counts.
        stored: whether its content is written as it is stored, else as a provider takes it:
            without what is no part of a message there.
        most: what costs more need not be counted to its end, which takes seconds for megabytes: it
            is enough that the cost is over this, too.
    """
    cost = 0
    for part in turn.parts:
        if most is not None and _length(part) > most * _MOST_CHARACTERS:
            return most + 1
        cost += _cost(part, tokenizer)
    if stored and not _is_of_texts(turn.content):
        images: list[Image] = []
        text = documents.text_of(_without_pixels(turn.content, images))
        if most is not None and len(text) > most * _MOST_CHARACTERS:
            return most + 1
        seen = sum(_cost(image, tokenizer) for image in images)
        cost = max(cost, tokenizer.count(text) + seen)
    cost += MESSAGE
    if turn.name:
        cost += 1 + tokenizer.count(turn.name)
    if turn.role not in _KNOWN_ROLES:
        cost += 2 + tokenizer.count(turn.role)
    return cost


def _is_of_texts(content: Any) -> bool:
    """Tell whether a content is a text, or blocks that hold texts and nothing else."""
    blocks = content if isinstance(content, list) else [content]
    return all(
        isinstance(block, str) or (isinstance(block, dict) and block.keys() == _TEXT_BLOCK)
        for block in blocks
    )


def _without_pixels(value: Any, images: list[Image]) -> Any:
    """Give a stored value without the payloads of its images, which are added to `images`."""
    if isinstance(value, list):
        return [_without_pixels(one, images) for one in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") in ("image", "image_url") and (image := image_of(value)):
        images.append(image)
        name, payload = ("source", "data") if value["type"] == "image" else ("image_url", "url")
        value = {**value, name: {**value[name], payload: ""}}
    return {name: _without_pixels(one, images) for name, one in value.items()}


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
