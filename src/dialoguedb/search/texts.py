"""What text of a resource is searched (contract 8.7), and how long text is cut for vectors.

Left out: payloads of images, sound and files, and long runs of base64 wherever they stand. Of
objects the values count. Their keys count in memories only, where they say what a value is.
"""

import re
from typing import Any, Final, NamedTuple

from dialoguedb.models import content, documents

#: A piece has at most so many tokens of an embedding model, as far as letters can tell: four of
#: ASCII make one, any other is one.
PIECE_TOKENS: Final = 250
#: The words of a longer text are all indexed, its vectors are those of so many pieces.
MAX_PIECES: Final = 64
_PIECE_CHARACTERS: Final = PIECE_TOKENS * 4

#: The longest hash in use has 128 digits, and is text.
_PAYLOAD_CHARACTERS: Final = 200
_RUN = re.compile(
    rf"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{{{_PAYLOAD_CHARACTERS},}}+=*+"
    r"|(?<![A-Za-z0-9+/])(?:[A-Za-z0-9+/]{60,}+\s{1,2}){3,}(?:[A-Za-z0-9+/]{16,}+=*+|[A-Za-z0-9+/]++=++)?"
)
_HEX = re.compile(r"[0-9A-Fa-f\s]++")
_DIGIT = re.compile(r"\d")
_BASE64 = re.compile(r"[A-Za-z0-9+/_=\s-]*+")
_DATA_URI = re.compile(r"data:[^\s,\"']{0,200};base64,[A-Za-z0-9+/_=%-]*+", re.IGNORECASE)
# A string that is nothing but a data URI, with base64, of a medium, or without any space.
_IS_DATA_URI = re.compile(
    r"data:(?:[^\s,]{0,200};base64,|(?:image|audio|video)/[^\s,]*+,|[\w.+-]++/[^\s,]*+,\S*+\Z)",
    re.IGNORECASE,
)
_KEY_JOINT = re.compile(r"[\s_-]+|(?<=[a-z])(?=[A-Z])")
# Where a piece ends best: a paragraph, a line, a sentence, a word.
_ENDS: Final = tuple(
    re.compile(end)
    for end in (r"\n\s*\n", r"\n", r"[.!?\u2026][\"')\]]*\s|[\u3002\uff01\uff1f]", r"\s")
)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Content blocks as the model providers write them: their `type` and ids are machinery.
_CALLS: Final = _names(
    "tool_use tool_result tool_call tool-call tool-result server_tool_use web_search_tool_result "
    "function function_call function_call_output reasoning"
)
_MEDIA: Final = _names(
    "image image_url input_image audio input_audio video file input_file base64 media"
)
_BLOCKS: Final = _CALLS | _MEDIA | _names("text input_text output_text thinking refusal document")
_CALL_IDS: Final = _names(
    "id call_id tool_use_id tool_call_id toolCallId toolUseId signature encrypted_content"
)
_MEDIA_TYPES: Final = ("media_type", "mime_type", "mimeType", "mediaType")
_SETTINGS: Final = frozenset({"type", "detail", "cache_control", *_MEDIA_TYPES})
_HOLDERS: Final = _names("source inlineData inline_data input_audio")
_PAYLOADS: Final = _names("data bytes image file_data fileData b64_json base64")


class Text(NamedTuple):
    """The searched text of a resource.

    Attributes:
        words: the text whose terms are indexed. A message's begins with the name of its speaker,
            so that a question that names somebody finds their turns.
        embedded: the text whose pieces get vectors, without the name (decision 0009); empty if
            nothing is said.
    """

    words: str
    embedded: str


def of_message(content_json: str, name: str | None) -> Text:
    """Give the text of a message from the compact JSON of its content and its speaker's name."""
    if content_json.startswith('"'):
        plain = "\\" not in content_json
        text = content_json[1:-1] if plain else documents.plain(content_json)
        return _said(_without_payloads(text), name)
    found: list[str] = []
    _add_strings(documents.plain(content_json), "", found)
    return _said("\n".join(found), name)


def of_memory(value_json: str, label: str | None, description: str | None) -> Text:
    """Give the text of a memory: label, description, value with its keys."""
    found = [text for text in (label, description) if text]
    _add_values(documents.plain(value_json), "", found)
    return _said("\n".join(found), None)


def of_dialogue(label: str | None) -> Text:
    """Give the text of a dialogue itself; its messages have theirs."""
    return _said(label or "", None)


def _said(text: str, speaker: str | None) -> Text:
    words = f"{speaker}: {text}" if speaker else text
    return Text(words, "" if text.isspace() else text)


def has_image(content_json: str) -> bool:
    """Tell whether stored content has a recognised image part (contract 3.8)."""
    if content_json.startswith('"') or '"image' not in content_json:
        return False
    value = documents.plain(content_json)
    parts = value if isinstance(value, list) else [value]
    return next(content.images_in(parts), None) is not None


def _add_strings(value: Any, key: str, found: list[str]) -> None:
    """Add the strings of a message's content, and the numbers that have a key.

    A number in a list has none: it is part of a vector or a table.
    """
    if isinstance(value, str):
        if not _IS_DATA_URI.match(value):
            _add(_without_payloads(value), found)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, str | list | dict):
                _add_strings(item, key, found)
    elif isinstance(value, dict):
        left_out = _left_out(value, key)
        for name, member in value.items():
            if name not in left_out:
                _add_strings(member, name, found)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found.append(str(value))


def _left_out(holder: dict[str, Any], key: str) -> frozenset[str]:
    """Name the members of an object that nobody said; `key` is what the object is called."""
    payloads = frozenset(
        name for name in _PAYLOADS & holder.keys() if _is_payload(name, holder, key)
    )
    if payloads or key in _MEDIA:
        return payloads | _SETTINGS | {"format"}
    kind = holder.get("type")
    if not isinstance(kind, str) or kind not in _BLOCKS:
        return payloads
    return _SETTINGS | _CALL_IDS if kind in _CALLS else _SETTINGS


def _is_payload(name: str, holder: dict[str, Any], key: str) -> bool:
    """Tell whether a member is the payload of an image, a sound or a file."""
    value = holder[name]
    if not isinstance(value, str):
        return False
    kind = holder.get("type")
    if kind == "text":
        return False  # a document in plain text
    media_type = next((t for n in _MEDIA_TYPES if isinstance(t := holder.get(n), str)), None)
    if media_type is not None:
        is_media = not media_type.lower().startswith("text/")
    else:
        is_media = key in _HOLDERS or (isinstance(kind, str) and kind in _MEDIA)
    return is_media and _BASE64.fullmatch(value) is not None


def _add_values(value: Any, prefix: str, found: list[str]) -> None:
    """Add the scalars of a memory's value, a key in front of what it names."""
    if isinstance(value, dict):
        for key, member in value.items():
            name = _KEY_JOINT.sub(" ", key).strip()
            if isinstance(member, dict | list):
                _add(name, found)
            _add_values(member, f"{name}: ", found)
    elif isinstance(value, list):
        for item in value:
            _add_values(item, "", found)
    elif isinstance(value, str):
        text = "" if _IS_DATA_URI.match(value) else _without_payloads(value)
        _add(prefix + text, found)
    elif isinstance(value, bool):
        found.append(f"{prefix}{'true' if value else 'false'}")
    else:
        _add(prefix if value is None else f"{prefix}{value}", found)


def _add(text: str, found: list[str]) -> None:
    if text and not text.isspace():
        found.append(text)


def _without_payloads(text: str) -> str:
    if ";" in text and "," in text:
        text = _DATA_URI.sub(" ", text)
    if len(text) >= _PAYLOAD_CHARACTERS:
        text = _RUN.sub(_unless_payload, text)
    return text


def _unless_payload(run: re.Match[str]) -> str:
    """Keep a long run that is no base64 or hex: a path, a line of dashes, letters of one case."""
    text = run[0]
    is_mixed = not text.islower() and not text.isupper()
    is_payload = (is_mixed or _HEX.fullmatch(text)) and _DIGIT.search(text)
    return " " if is_payload else text


def pieces(text: str) -> list[str]:
    """Cut a text into pieces of at most `PIECE_TOKENS`; the first `MAX_PIECES` of them.

    A piece ends with a paragraph, else a line, a sentence, a word, in this order, if one ends in
    the second half of what fits. A text of white space has none.
    """
    if len(text) <= PIECE_TOKENS or (len(text) <= _PIECE_CHARACTERS and text.isascii()):
        return [] if not text or text.isspace() else [text]
    made: list[str] = []
    start = 0
    while start < len(text) and len(made) < MAX_PIECES:
        end = start + _piece_length(text, start)
        _add(text[start:end].strip(), made)
        start = end
    return made


def _piece_length(text: str, start: int) -> int:
    """Give the length of the piece that begins there."""
    window = text[start : start + _PIECE_CHARACTERS]
    while (tokens := _tokens(window)) > PIECE_TOKENS:
        window = window[: len(window) * PIECE_TOKENS // tokens]
    if start + len(window) == len(text):
        return len(window)
    for end in _ENDS:
        ends = [found.end() for found in end.finditer(window, len(window) // 2)]
        if ends:
            return ends[-1]
    return len(window)


def _tokens(text: str) -> int:
    letters = len(text.encode("ascii", "ignore"))
    return len(text) - letters + -(-letters // 4)
