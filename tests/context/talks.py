"""What the tests of contexts share: conversations of all kinds, and what providers accept."""

import re
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from dialoguedb.context.turns import Turn, split, turn_of
from dialoguedb.models import documents

Json = dict[str, Any]
PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}


def message(role: str, content: Any, **fields: Any) -> Json:
    """A message as it is stored; `metadata` and `name` are optional."""
    return {"role": role, "content": content, **fields}


def turns_of(messages: Sequence[Json], *, first: int = 1) -> list[Turn]:
    """Read messages as turns, numbered from `first` on."""
    return [
        turn
        for number, one in enumerate(messages, first)
        for turn in split(
            turn_of(
                f"m{number}",
                one["role"],
                one.get("name"),
                documents.text_of(one["content"]),
                documents.text_of(one.get("metadata", {})),
                created_ms=number * 1000,
                sequence=number,
            )
        )
    ]


def anthropic_call(*ids: str, text: str = "") -> Json:
    """An assistant's message with calls, as Anthropic writes it."""
    said = [{"type": "text", "text": text}] if text else []
    calls = [{"type": "tool_use", "id": one, "name": "look", "input": {"n": 1}} for one in ids]
    return message("assistant", [*said, *calls])


def anthropic_result(*ids: str, text: str = "") -> Json:
    """A user's message with results, as Anthropic writes it."""
    found = [{"type": "tool_result", "tool_use_id": one, "content": f"of {one}"} for one in ids]
    return message("user", [*found, *([{"type": "text", "text": text}] if text else [])])


def openai_call(*ids: str, text: str | None = None) -> Json:
    """An assistant's message with calls, as imports of OpenAI's logs store it."""
    function = {"name": "look", "arguments": '{"n": 1}'}
    calls = [{"id": one, "type": "function", "function": function} for one in ids]
    return message("assistant", {"content": text, "tool_calls": calls})


def openai_result(one: str) -> Json:
    """A tool's message, as imports of OpenAI's logs store it."""
    return message("tool", f"of {one}", metadata={"tool_call_id": one})


WORDS = st.sampled_from(["the", "parcel", "is", "late", "42", "Tartu", "ok?", "会议", "🚲", "f():"])
TEXTS = st.lists(WORDS, min_size=1, max_size=30).map(" ".join)
IDS = st.sampled_from(["c1", "c2", "c.2", "c_2"])
SOME_IDS = st.lists(IDS, min_size=1, max_size=2, unique=True)
IMAGES = st.sampled_from(
    [
        {"type": "image", "source": PNG},
        {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}},
        {
            "type": "image_url",
            "image_url": {"url": "data:image/jpeg;base64,/9j/4A==", "detail": "low"},
        },
    ]
)
OTHERS = st.sampled_from(
    [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}},
        {"type": "custom", "value": 1},
        {"type": ["odd"]},
        {"type": "text", "text": ""},
    ]
)
BLOCKS = st.lists(
    st.one_of(TEXTS.map(lambda text: {"type": "text", "text": text}), IMAGES, OTHERS),
    min_size=1,
    max_size=3,
)
ROLES = st.sampled_from(["user", "assistant", "user", "assistant", "system", "researcher", "tool"])
MESSAGES = st.one_of(
    st.builds(message, ROLES, TEXTS),
    st.builds(message, ROLES, TEXTS, name=st.sampled_from(["Ada", "Bo B.", "名"])),
    st.builds(message, ROLES, BLOCKS),
    st.builds(lambda ids, text: anthropic_call(*ids, text=text), SOME_IDS, st.just("") | TEXTS),
    st.builds(lambda ids, text: anthropic_result(*ids, text=text), SOME_IDS, st.just("") | TEXTS),
    st.builds(lambda ids, text: openai_call(*ids, text=text), SOME_IDS, st.none() | TEXTS),
    IDS.map(openai_result),
    # As the data export of Claude has it: calls and results in one message.
    SOME_IDS.map(
        lambda ids: message(
            "assistant", [*anthropic_call(*ids)["content"], *anthropic_result(*ids)["content"]]
        )
    ),
)
TALKS = st.lists(MESSAGES, max_size=25)


def check_openai(messages: Sequence[Json]) -> None:
    """Refuse what the chat completions API refuses."""
    waiting: list[str] = []
    for one in messages:
        role = one["role"]
        if role == "tool":
            assert one["tool_call_id"] in waiting, "a result without its call"
            waiting.remove(one["tool_call_id"])
            assert isinstance(one["content"], str)
            continue
        assert not waiting, "calls without their results"
        assert role in ("system", "developer", "user", "assistant")
        if "name" in one:
            assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", one["name"])
        if "tool_calls" in one:
            assert role == "assistant"
            waiting = [call["id"] for call in one["tool_calls"]]
            names = [call["function"]["name"] for call in one["tool_calls"]]
            assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in names)
            assert len(set(waiting)) == len(waiting) > 0
            assert one["content"] is None or one["content"]
        else:
            assert one["content"]
        for block in one["content"] if isinstance(one["content"], list) else ():
            assert block["type"] in ("text", "image_url")
            assert block["type"] == "text" or role == "user"
    assert not waiting, "calls without their results"


def check_anthropic(messages: Sequence[Json]) -> None:
    """Refuse what the messages API refuses."""
    waiting: list[str] = []
    called: list[str] = []
    for number, one in enumerate(messages):
        assert one["role"] == ("assistant" if number % 2 else "user"), "they do not take turns"
        assert one["content"]
        kinds = [block["type"] for block in one["content"]]
        assert kinds == sorted(kinds, key=lambda kind: kind != "tool_result"), "results come first"
        results = [b["tool_use_id"] for b in one["content"] if b["type"] == "tool_result"]
        assert sorted(results) == sorted(waiting), "calls and results are no pairs"
        waiting = [block["id"] for block in one["content"] if block["type"] == "tool_use"]
        assert not waiting or one["role"] == "assistant"
        called += waiting
        assert len(set(called)) == len(called), "ids of calls must be unique"
        for block in one["content"]:
            if block["type"] == "text":
                assert block["text"].strip()
            if block["type"] == "thinking":
                assert one["role"] == "assistant"
            if block["type"] in ("image", "document"):
                assert one["role"] == "user"
            if block["type"] == "tool_use":
                assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", block["name"])
    assert not waiting, "calls without their results"
