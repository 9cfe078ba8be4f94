"""Messages in every form are read as what they are."""

from typing import Any

import pytest

from context.talks import PNG, message, openai_result, turns_of
from dialoguedb.context.turns import Image, Other, Part, Text, ToolCall, ToolResult

URL = "https://a.example/b.png"


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("hi", [Text("hi")]),
        ([{"type": "text", "text": "hi"}, {"type": "text", "text": ""}], [Text("hi")]),
        ([{"type": "input_text", "text": "hi"}], [Text("hi")]),
        ({"type": "text", "text": "hi"}, [Text("hi")]),
        ({"content": "hi"}, [Text("hi")]),
        ({"content": None}, []),
        ({"answer": 42}, [Other({"answer": 42})]),
        ([{"type": "image", "source": PNG}], [Image("image/png", PNG["data"], None, False)]),
        (
            [{"type": "image", "source": {"type": "url", "url": URL}}],
            [Image("image/png", None, URL, False)],
        ),
        (
            [{"type": "image_url", "image_url": {"url": URL, "detail": "low"}}],
            [Image("image/png", None, URL, True)],
        ),
        (
            [{"type": "image_url", "image_url": {"url": "data:;base64,/9j/4A=="}}],
            [Image("image/jpeg", "/9j/4A==", None, False)],
        ),
        ([{"type": "image", "source": 7}], [Other({"type": "image", "source": 7})]),
        (
            [{"type": "tool_use", "id": "a", "name": "look", "input": {"n": [1]}}],
            [ToolCall("a", "look", '{"n":[1]}')],
        ),
        (
            {"tool_calls": [{"id": "a", "function": {"name": "look", "arguments": ""}}]},
            [ToolCall("a", "look", "{}")],
        ),
        (
            [{"type": "function_call", "call_id": "a", "name": "look", "arguments": "{ }"}],
            [ToolCall("a", "look", "{ }")],
        ),
        (
            [{"type": "function_call_output", "call_id": "a", "output": "42"}],
            [ToolResult("a", (Text("42"),), False)],
        ),
        (
            [{"type": "tool_result", "tool_use_id": "a", "is_error": True}],
            [ToolResult("a", (), True)],
        ),
        (
            [
                {
                    "type": "tool_result",
                    "tool_use_id": "a",
                    "content": [{"type": "image", "source": PNG}, {"x": 1}],
                }
            ],
            [
                ToolResult(
                    "a", (Image("image/png", PNG["data"], None, False), Text('{"x":1}')), False
                )
            ],
        ),
        ({"tool_call_id": "a", "content": "42"}, [ToolResult("a", (Text("42"),), False)]),
        # Who calls and answers in a message that cannot be cut only calls.
        (
            {
                "tool_call_id": "a",
                "content": "42",
                "tool_calls": [{"id": "a", "function": {"name": "look"}}],
            },
            [Text("42"), ToolCall("a", "look", "{}")],
        ),
        # An id counts once.
        (
            [{"type": "tool_use", "id": "a", "name": "look", "input": {}}] * 2,
            [ToolCall("a", "look", "{}")],
        ),
        ([{"type": "tool_result", "tool_use_id": "a"}] * 2, [ToolResult("a", (), False)]),
        # An object with keys of its own is no message of OpenAI's, though it has a content.
        ({"content": "hi", "place": "Tartu"}, [Other({"content": "hi", "place": "Tartu"})]),
        ({"role": "assistant", "content": None, "refusal": "No."}, [Text("No.")]),
        ([{"type": "refusal", "refusal": "No."}], [Text("No.")]),
        # What is no kind is kept.
        ([{"type": ["text"]}], [Other({"type": ["text"]})]),
        ([{"type": {"a": 1}}, {"type": 7}], [Other({"type": {"a": 1}}), Other({"type": 7})]),
        # Without a name or an id it is no call.
        ([{"type": "tool_use", "id": "a"}], [Other({"type": "tool_use", "id": "a"})]),
        ([{"type": "tool_result"}], [Other({"type": "tool_result"})]),
    ],
)
def test_parts(content: Any, parts: list[Part]) -> None:
    (turn,) = turns_of([message("user", content)])
    assert list(turn.parts) == parts


def test_metadata_says_what_a_tool_answers() -> None:
    """Only a tool's: others may have a key of this name."""
    (turn,) = turns_of([openai_result("a")])
    assert turn.parts == (ToolResult("a", (Text("of a"),), failed=False),)
    (turn,) = turns_of([message("user", "hi", metadata={"tool_call_id": "a"})])
    assert turn.parts == (Text("hi"),)
    (turn,) = turns_of([message("tool", "hi", metadata={"tool_call_id": 7})])
    assert turn.parts == (Text("hi"),)
