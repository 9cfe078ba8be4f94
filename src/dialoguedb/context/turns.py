"""A stored message as a turn: its parts, whichever provider's form its content has.

Known are the forms of OpenAI's chat completions (also a whole message as an object, which is how
imports keep tool calls) and responses, and Anthropic's content blocks. What is not known is kept.
"""

from collections.abc import Iterable
from itertools import groupby
from typing import Any, NamedTuple

from dialoguedb.models import content, documents

#: Roles whose turns instruct the model.
SYSTEM_ROLES = frozenset({"system", "developer"})
_TEXTS = frozenset({"text", "input_text", "output_text"})
#: What makes an object a whole message of OpenAI's, and what else stands in one. With other keys a
#: `content` alone does not: it is an object of somebody's own.
_TOOL_KEYS = frozenset({"tool_calls", "tool_call_id"})
_MESSAGE_KEYS = frozenset({"content", "role", "name", "id", "refusal", "annotations", "audio"})
#: How base64 of an image begins, where nothing else says what it is.
_BEGINNINGS = {"/9j/": "image/jpeg", "R0lGOD": "image/gif", "UklGR": "image/webp"}


class Text(NamedTuple):
    """Something said."""

    text: str


class Image(NamedTuple):
    """An image: base64 in `data`, or an address in `url`; `low` where little detail is asked."""

    media_type: str
    data: str | None
    url: str | None
    low: bool


class ToolCall(NamedTuple):
    """A call of a tool; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


class ToolResult(NamedTuple):
    """What a call has given."""

    id: str
    parts: tuple[Text | Image, ...]
    failed: bool


class Other(NamedTuple):
    """A block of a kind that is not known here; the model gets it as it is, or as JSON."""

    block: dict[str, Any]


Part = Text | Image | ToolCall | ToolResult | Other


class Turn(NamedTuple):
    """A message of a dialogue.

    Attributes:
        id, role, name: as stored.
        parts: what it says; without empty texts.
        content: its content as stored, a JSON value.
        answers: the call whose result it is, where its content does not say so.
        created_ms, sequence: its place in the dialogue.
    """

    id: str
    role: str
    name: str | None
    parts: tuple[Part, ...]
    content: Any
    answers: str | None
    created_ms: int
    sequence: int

    @property
    def place(self) -> tuple[int, int]:
        """Give what orders the turns of a dialogue."""
        return self.created_ms, self.sequence

    @property
    def uses_tools(self) -> bool:
        """Tell whether it holds calls or results."""
        return any(isinstance(part, ToolCall | ToolResult) for part in self.parts)

    def calls(self) -> frozenset[str]:
        """Give the ids of its tool calls."""
        return frozenset(part.id for part in self.parts if isinstance(part, ToolCall))

    def results(self) -> frozenset[str]:
        """Give the ids of the calls whose results it holds."""
        return frozenset(part.id for part in self.parts if isinstance(part, ToolResult))

    def without(self, ids: Iterable[str]) -> "Turn":
        """Leave out calls and results by their ids, in its parts and in its content."""
        gone = frozenset(ids)
        if not gone:
            return self
        parts = tuple(part for part in self.parts if _call_id(part) not in gone)
        return self._replace(parts=parts, content=_without(self.content, gone))


def turn_of(
    message_id: str,
    role: str,
    name: str | None,
    content_json: str,
    metadata_json: str,
    *,
    created_ms: int,
    sequence: int,
) -> Turn:
    """Read a stored message.

    Args:
        message_id, role, name: as stored.
        content_json: its content, compact JSON.
        metadata_json: its metadata; `tool_call_id` there says which call a tool's text answers.
        created_ms: milliseconds UTC.
        sequence: from 1.
    """
    value = documents.plain(content_json)
    answers = None
    if role == "tool" and "tool_call_id" in metadata_json:
        answers = _text(documents.plain(metadata_json).get("tool_call_id"))
    parts = tuple(_parts(value, answers))
    return Turn(message_id, role, name, parts, value, answers, created_ms, sequence)


def split(turn: Turn) -> list[Turn]:
    """Cut a turn that holds calls with their results, as some logs have it, between them."""
    if not (isinstance(turn.content, list) and turn.calls() and turn.results()):
        return [turn]
    made = []
    for _, run in groupby(turn.content, key=lambda block: isinstance(_part(block), ToolResult)):
        blocks = list(run)
        made.append(turn._replace(parts=tuple(_parts(blocks)), content=blocks))
    return made


def kind_of(block: dict[str, Any]) -> str:
    """Give the kind that a block says it is of; empty if it does not say."""
    return _text(block.get("type")) or ""


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _call_id(part: Part) -> str | None:
    return part.id if isinstance(part, ToolCall | ToolResult) else None


def _is_whole_message(value: dict[str, Any]) -> bool:
    if "type" in value or not (_TOOL_KEYS | {"content", "refusal"}) & value.keys():
        return False
    return bool(_TOOL_KEYS & value.keys()) or value.keys() <= _MESSAGE_KEYS


def _parts(value: Any, answers: str | None = None) -> list[Part]:
    """Give the parts of a content; with `answers` it is the result of that call."""
    if isinstance(value, dict) and _is_whole_message(value):
        answers = _text(value.get("tool_call_id")) or answers
        calls = value.get("tool_calls")
        found = _parts(value.get("content"), answers)
        found += [Text(said) for said in (_text(value.get("refusal")),) if said]
        found += [_part(one) for one in (calls if isinstance(calls, list) else ())]
        return _once(_calling(found) if any(isinstance(one, ToolCall) for one in found) else found)
    if isinstance(value, str):
        parts: list[Part] = [Text(value)] if value else []
    else:
        blocks = value if isinstance(value, list) else [value] if value else []
        parts = [part for block in blocks if (part := _part(block)) != Text("")]
    return [ToolResult(answers, _shown(parts), failed=False)] if answers else _once(parts)


def _calling(parts: Iterable[Part]) -> list[Part]:
    """Make results texts: who calls in a message that cannot be cut does not answer in it."""
    return [
        one for part in parts for one in (part.parts if isinstance(part, ToolResult) else (part,))
    ]


def _once(parts: Iterable[Part]) -> list[Part]:
    """Leave out calls and results whose ids have come before: providers refuse them."""
    seen: set[tuple[type, str]] = set()
    kept: list[Part] = []
    for part in parts:
        if isinstance(part, ToolCall | ToolResult):
            if (type(part), part.id) in seen:
                continue
            seen.add((type(part), part.id))
        kept.append(part)
    return kept


def _part(block: Any) -> Part:
    """Read a content block, or an entry of OpenAI's `tool_calls`."""
    if not isinstance(block, dict):
        return Text(documents.text_of(block))
    kind = kind_of(block)
    if kind == "refusal" and isinstance(block.get("refusal"), str):
        return Text(block["refusal"])
    if kind in _TEXTS and isinstance(block.get("text"), str):
        return Text(block["text"])
    if kind in ("image", "image_url"):
        return image_of(block) or Other(block)
    if kind in ("tool_use", "function_call"):
        given = block.get("input") if kind == "tool_use" else block.get("arguments")
        return _call(block, block.get("call_id") or block.get("id"), block, given)
    if kind in ("tool_result", "function_call_output"):
        inside = block.get("content") if kind == "tool_result" else block.get("output")
        answered = _text(block.get("tool_use_id")) or _text(block.get("call_id"))
        failed = bool(block.get("is_error"))
        return ToolResult(answered, _shown(_parts(inside)), failed) if answered else Other(block)
    called = block.get("function")
    if isinstance(called, dict):
        return _call(block, block.get("id"), called, called.get("arguments"))
    return Other(block)


def _call(block: dict[str, Any], call_id: Any, named: dict[str, Any], given: Any) -> Part:
    call_id, name = _text(call_id), _text(named.get("name"))
    if call_id is None or name is None:
        return Other(block)
    arguments = given if isinstance(given, str) else documents.text_of(given or {})
    return ToolCall(call_id, name, arguments or "{}")


def _shown(parts: Iterable[Part]) -> tuple[Text | Image, ...]:
    """Give the parts as a result may have them: texts and images."""
    return tuple(
        part
        if isinstance(part, Text | Image)
        else Text(documents.text_of(part.block if isinstance(part, Other) else part._asdict()))
        for part in parts
    )


def image_of(block: dict[str, Any]) -> Image | None:
    """Read an image part, if it is a recognised one (contract 3.8)."""
    if next(content.images_in([block]), None) is None:
        return None
    if block["type"] == "image":
        source = block["source"]
        data, url = _text(source.get("data")), _text(source.get("url"))
        return Image(_media_type(source.get("media_type"), data), data, url, low=False)
    holder = block["image_url"]
    url = holder["url"]
    head, _, payload = url.partition(",")
    low = holder.get("detail") == "low"
    if head[:5].lower() == "data:" and "base64" in head.lower():
        return Image(_media_type(head[5:].partition(";")[0], payload), payload, None, low)
    return Image(_media_type(None, None), None, url, low)


def _media_type(said: Any, data: str | None) -> str:
    """Give the type of an image: what is said of it, else by how its data begins."""
    if isinstance(said, str) and said:
        return said.strip().lower()
    beginning = (data or "")[:8]
    return next(
        (kind for sign, kind in _BEGINNINGS.items() if beginning.startswith(sign)), "image/png"
    )


def _without(value: Any, gone: frozenset[str]) -> Any:
    """Leave calls and results out of a content as it is stored."""
    if isinstance(value, dict) and isinstance(value.get("tool_calls"), list):
        kept = [one for one in value["tool_calls"] if _call_id(_part(one)) not in gone]
        rest = {key: held for key, held in value.items() if key != "tool_calls"}
        return {**rest, "tool_calls": kept} if kept else rest
    if isinstance(value, list):
        return [block for block in value if _call_id(_part(block)) not in gone]
    return value
