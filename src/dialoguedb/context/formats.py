"""A context as a provider takes it: `dialoguedb`, `openai` or `anthropic`."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Literal, NamedTuple

from dialoguedb.context.turns import (
    SYSTEM_ROLES,
    Image,
    Other,
    Part,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    kind_of,
)
from dialoguedb.errors import InvalidJson
from dialoguedb.models import documents

Format = Literal["dialoguedb", "openai", "anthropic"]
Message = dict[str, Any]

#: A group of turns, or a note of ours.
Shown = tuple[Turn, ...] | str
_NO_IMAGE = "[image]"
#: The first message must be a user's; where a conversation begins otherwise, this one stands first.
_OPENING = "(The conversation goes on.)"
#: Room for it.
OPENING_TOKENS = 16
#: Blocks that Anthropic takes as they are, from whom. What its own tools have done is left to be
#: told as text: it would have to be paired, too.
_OF_ANTHROPIC = {
    "assistant": frozenset({"redacted_thinking", "thinking"}),
    "user": frozenset({"document", "search_result"}),
}
#: Roles that say enough of who speaks.
_OF_ALL = frozenset({"user", "assistant", "tool"})
#: What a model has thought is for its own provider only.
_THOUGHTS = frozenset({"thinking", "redacted_thinking", "reasoning"})
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
_MOST_OF_NAME = 64


class Written(NamedTuple):
    """Messages that are ready to send; the system prompt is apart where the format has it so."""

    system: str | None
    messages: list[Message]


def written(form: Format, system: Sequence[Turn], shown: Iterable[Shown]) -> Written:
    """Write a context.

    Args:
        form: the format.
        system: the turns of the system prompt.
        shown: what follows, in order.
    """
    if form == "anthropic":
        prompt = "\n\n".join(text for turn in system if (text := _prompt(turn)))
        return Written(prompt or None, _for_anthropic(shown))
    write = _for_openai if form == "openai" else _as_stored
    return Written(None, [message for one in (system, *shown) for message in write(one)])


def _prompt(turn: Turn) -> str:
    """Give what a turn of the system prompt says, a line for each part."""
    return "\n".join(_plain_text(part) for part in turn.parts if not _is_thought(part))


# ── dialoguedb ───────────────────────────────────────────────────────────────────────────────────


def _as_stored(shown: Shown | Sequence[Turn]) -> Iterable[Message]:
    if isinstance(shown, str):
        yield {"role": "user", "content": shown}
        return
    for _, run in groupby(shown, key=lambda turn: turn.id):
        turn, *rest = run
        content = turn.content
        for one in rest:  # of a turn that was cut
            content = [*content, *one.content]
        message: Message = {"role": turn.role, "content": content}
        if turn.name:
            message["name"] = turn.name
        if turn.answers and turn.results():
            message["metadata"] = {"tool_call_id": turn.answers}
        yield message


# ── openai ───────────────────────────────────────────────────────────────────────────────────────


def _for_openai(shown: Shown | Sequence[Turn]) -> Iterable[Message]:
    """Write chat completions: the calls of a group are one message, their results follow it."""
    if isinstance(shown, str):
        yield {"role": "user", "content": shown}
        return
    calling = [turn for turn in shown if turn.calls()]
    if calling:
        parts = [part for turn in calling for part in turn.parts]
        calls = [_openai_call(part) for part in parts if isinstance(part, ToolCall)]
        content = _openai_content([part for part in parts if not isinstance(part, ToolCall)])
        yield {"role": "assistant", "content": content or None, "tool_calls": calls}
    for turn in shown:
        for part in turn.parts:
            if isinstance(part, ToolResult):
                given = "\n".join(_plain_text(one) for one in part.parts)
                yield {"role": "tool", "tool_call_id": part.id, "content": given}
    for turn in shown:
        if not turn.calls():
            yield from _openai_turn(turn)


def _openai_call(part: ToolCall) -> Message:
    function = {"name": _tool(part.name), "arguments": part.arguments}
    return {"id": part.id, "type": "function", "function": function}


def _openai_turn(turn: Turn) -> Iterable[Message]:
    """Write what a turn says besides results."""
    parts = [part for part in turn.parts if not isinstance(part, ToolResult)]
    role = turn.role if turn.role in SYSTEM_ROLES | {"user", "assistant"} else "user"
    content = _openai_content(parts, images=role == "user")
    if content:
        message: Message = {"role": role, "content": content}
        name = _name(turn.name or ("" if role == turn.role else turn.role))
        yield message | ({"name": name} if name else {})


def _openai_content(parts: Sequence[Part], *, images: bool = False) -> str | list[Message]:
    """Write what is said: a text, or blocks where it is more than that."""
    blocks: list[Message] = []
    for part in parts:
        if isinstance(part, Image) and images:
            detail = {"detail": "low"} if part.low else {}
            url = part.url or f"data:{part.media_type};base64,{part.data}"
            blocks.append({"type": "image_url", "image_url": {"url": url} | detail})
        elif not _is_thought(part):
            blocks.append({"type": "text", "text": _plain_text(part)})
    if len(blocks) == 1 and blocks[0]["type"] == "text":
        return str(blocks[0]["text"])
    return blocks


def _plain_text(part: Part) -> str:
    if isinstance(part, Text):
        return part.text
    return documents.text_of(part.block) if isinstance(part, Other) else _NO_IMAGE


def _is_thought(part: Part) -> bool:
    return isinstance(part, Other) and kind_of(part.block) in _THOUGHTS


def _name(name: str) -> str:
    """Write a speaker's name as providers allow it; empty if nothing of it is."""
    return _NOT_IN_NAMES.sub("_", name).strip("_")[:_MOST_OF_NAME]


def _tool(name: str) -> str:
    """Write the name of a tool as providers allow it; there must be one."""
    return _NOT_IN_NAMES.sub("_", name)[:_MOST_OF_NAME]


# ── anthropic ────────────────────────────────────────────────────────────────────────────────────


def _for_anthropic(shown: Iterable[Shown]) -> list[Message]:
    """Write the messages API: user and assistant take turns, what one says in a row is one message.

    Content is always a list of blocks: so it stays as it is when something is added to it.
    """
    messages: list[Message] = []
    for role, blocks in _anthropic_turns(shown, _Ids()):
        if not blocks:
            continue
        if not messages and role != "user":
            messages.append({"role": "user", "content": [{"type": "text", "text": _OPENING}]})
        if messages and messages[-1]["role"] == role:
            blocks = messages.pop()["content"] + blocks
        # Results come before all else that a message says.
        blocks.sort(key=lambda block: block["type"] != "tool_result")
        messages.append({"role": role, "content": blocks})
    return messages


class _Ids:
    """The ids of calls as Anthropic allows them: each once in a prompt.

    Some models count their calls anew in each answer, so the same id comes again and again.
    """

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}
        self._given: dict[str, str] = {}

    def of_call(self, call_id: str) -> str:
        """Give the id of a call."""
        plain = _NOT_IN_NAMES.sub("_", call_id)
        made = plain
        while made in self._taken:
            self._taken[plain] += 1
            made = f"{plain}_{self._taken[plain]}"
        self._taken[made] = 1
        self._given[call_id] = made
        return made

    def of_result(self, call_id: str) -> str:
        """Give the id of the last call that had this one."""
        return self._given[call_id]


def _anthropic_turns(shown: Iterable[Shown], ids: _Ids) -> Iterable[tuple[str, list[Message]]]:
    for one in shown:
        if isinstance(one, str):
            yield "user", [{"type": "text", "text": one}]
            continue
        for turn in one:
            answers = bool(turn.results())
            calls = bool(turn.calls())
            role = "assistant" if calls or (turn.role == "assistant" and not answers) else "user"
            blocks = [block for part in turn.parts for block in _anthropic_blocks(part, role, ids)]
            speaker = "" if turn.role in _OF_ALL else turn.name or turn.role
            if speaker and blocks and blocks[0]["type"] == "text":
                blocks[0]["text"] = f"{speaker}: {blocks[0]['text']}"
            yield role, blocks


def _anthropic_blocks(part: Part, role: str, ids: _Ids) -> Iterable[Message]:
    match part:
        case Image() if role == "user" and not _is_data(part):
            yield _anthropic_image(part)
        case ToolCall():
            use_id, name = ids.of_call(part.id), _tool(part.name)
            yield {"type": "tool_use", "id": use_id, "name": name, "input": _input(part)}
        case ToolResult():
            content = [block for one in part.parts for block in _anthropic_blocks(one, "user", ids)]
            failed = {"is_error": True} if part.failed else {}
            use_id = ids.of_result(part.id)
            yield {"type": "tool_result", "tool_use_id": use_id, "content": content} | failed
        case Other() if kind_of(part.block) in _OF_ANTHROPIC[role]:
            if part.block["type"] != "thinking" or part.block.get("signature"):
                yield part.block
        case Other() if _is_thought(part):
            return
        case _:
            text = _plain_text(part)
            if text.strip():  # others are refused
                yield {"type": "text", "text": text}


def _is_data(image: Image) -> bool:
    """Tell whether the address of an image is a data URI without base64, which is none to fetch."""
    return image.url is not None and image.url[:5].lower() == "data:"


def _anthropic_image(part: Image) -> Message:
    if part.data is None:
        return {"type": "image", "source": {"type": "url", "url": part.url}}
    source = {"type": "base64", "media_type": part.media_type, "data": part.data}
    return {"type": "image", "source": source}


def _input(part: ToolCall) -> Message:
    """Give the arguments of a call as the object that they must be."""
    try:
        given = documents.value_of(part.arguments.encode())
    except (InvalidJson, UnicodeEncodeError):
        given = None
    return given if isinstance(given, dict) else {"arguments": part.arguments}
