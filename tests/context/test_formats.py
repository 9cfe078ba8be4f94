"""Contexts are written as the providers take them."""

from typing import Any

import pytest
from hypothesis import given

from context.talks import (
    PNG,
    TALKS,
    Json,
    anthropic_call,
    anthropic_result,
    check_anthropic,
    check_openai,
    message,
    openai_call,
    openai_result,
    turns_of,
)
from dialoguedb.context.formats import Format, Written, written
from dialoguedb.context.pairing import grouped

SYSTEM = turns_of([message("system", "Be kind."), message("developer", "Be brief.")])
URL = "https://a.example/b.png"


def of(form: Format, *messages: Json, note: str = "") -> Written:
    groups = [group.turns for group in grouped(turns_of(messages, first=3))]
    return written(form, SYSTEM, [*([note] if note else []), *groups])


def text(said: str) -> Json:
    return {"type": "text", "text": said}


# ── dialoguedb ───────────────────────────────────────────────────────────────────────────────


def test_stored_messages_are_as_they_are() -> None:
    """Role, content, name; and which call a tool answers, where the content does not say so."""
    content = {"content": None, "tool_calls": [{"id": "a", "function": {"name": "look"}}], "x": 1}
    made = of(
        "dialoguedb",
        message("user", [{"type": "odd", "value": 1.50}], name="Ada B."),
        message("assistant", content),
        openai_result("a"),
        note="A note.",
    )
    assert made == Written(
        None,
        [
            {"role": "system", "content": "Be kind."},
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "A note."},
            {"role": "user", "content": [{"type": "odd", "value": 1.50}], "name": "Ada B."},
            {"role": "assistant", "content": content},
            {"role": "tool", "content": "of a", "metadata": {"tool_call_id": "a"}},
        ],
    )


def test_what_stands_alone_is_left_out_of_stored_messages() -> None:
    """And only that."""
    made = of(
        "dialoguedb",
        openai_call("a", text="Hm."),
        anthropic_result("b", text="So?"),
        message("user", "?"),
    )
    assert [one["content"] for one in made.messages[2:]] == [{"content": "Hm."}, [text("So?")], "?"]


def test_a_message_that_was_cut_is_whole_again() -> None:
    content = [*anthropic_call("a")["content"], *anthropic_result("a")["content"]]
    assert of("dialoguedb", message("assistant", content)).messages[2]["content"] == content


# ── openai ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (message("user", "hi", name="Ada B."), {"role": "user", "content": "hi", "name": "Ada_B"}),
        (message("user", "hi", name="名"), {"role": "user", "content": "hi"}),
        (message("critic", "no"), {"role": "user", "content": "no", "name": "critic"}),
        (message("system", "Now."), {"role": "system", "content": "Now."}),
        (
            message("user", [text("a"), text("b")]),
            {"role": "user", "content": [text("a"), text("b")]},
        ),
        (
            message("user", [text("look"), {"type": "image", "source": PNG}]),
            {
                "role": "user",
                "content": [
                    text("look"),
                    {
                        "type": "image_url",
                        "image_url": {"url": "data:image/png;base64," + PNG["data"]},
                    },
                ],
            },
        ),
        (
            message("user", [{"type": "image_url", "image_url": {"url": URL, "detail": "low"}}]),
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": URL, "detail": "low"}}],
            },
        ),
        (
            message("assistant", [{"type": "image", "source": PNG}]),
            {"role": "assistant", "content": "[image]"},
        ),
        (
            message("assistant", [{"type": "thinking", "thinking": "hm"}, text("Yes.")]),
            {"role": "assistant", "content": "Yes."},
        ),
        (message("user", {"answer": 42}), {"role": "user", "content": '{"answer":42}'}),
    ],
)
def test_openai(given: Json, expected: Json) -> None:
    assert of("openai", given).messages[2:] == [expected]


def test_calls_are_restored_for_openai() -> None:
    """From either provider's form, and those of a group in one message."""
    call = {"type": "function", "function": {"name": "look", "arguments": '{"n": 1}'}}
    made = of(
        "openai",
        openai_call("a", text="Hm."),
        openai_call("b"),
        openai_result("b"),
        openai_result("a"),
    )
    assert made.messages[2:] == [
        {
            "role": "assistant",
            "content": "Hm.",
            "tool_calls": [{"id": "a"} | call, {"id": "b"} | call],
        },
        {"role": "tool", "tool_call_id": "b", "content": "of b"},
        {"role": "tool", "tool_call_id": "a", "content": "of a"},
    ]
    made = of("openai", anthropic_call("a"), anthropic_result("a", text="Well?"))
    assert made.messages[2]["content"] is None
    assert made.messages[2]["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"n":1}'}
    assert made.messages[3:] == [
        {"role": "tool", "tool_call_id": "a", "content": "of a"},
        {"role": "user", "content": "Well?"},
    ]


# ── anthropic ────────────────────────────────────────────────────────────────────────────────


def test_the_system_prompt_is_apart_for_anthropic() -> None:
    assert of("anthropic", message("user", "hi")).system == "Be kind.\n\nBe brief."
    assert written("anthropic", [], []).system is None
    assert [one["role"] for one in of("openai").messages] == ["system", "developer"]


def test_user_and_assistant_take_turns_for_anthropic() -> None:
    """What one says in a row is one message, and the first one is a user's."""
    made = of(
        "anthropic", message("assistant", "Hello!"), message("user", "a"), message("critic", "b")
    )
    assert made.messages == [
        {"role": "user", "content": [text("(The conversation goes on.)")]},
        {"role": "assistant", "content": [text("Hello!")]},
        {"role": "user", "content": [text("a"), text("critic: b")]},
    ]
    made = of("anthropic", message("assistant", "Hello!"), note="A note.")
    assert [one["role"] for one in made.messages] == ["user", "assistant"]


def test_calls_are_restored_for_anthropic() -> None:
    """Results come first in the message behind the calls, whatever was stored."""
    made = of(
        "anthropic", openai_call("a", "b"), openai_result("b"), anthropic_result("a", text="Well?")
    )
    use = {"type": "tool_use", "name": "look", "input": {"n": 1}}
    result = {"type": "tool_result"}
    assert made.messages[1:] == [
        {"role": "assistant", "content": [{"id": "a"} | use, {"id": "b"} | use]},
        {
            "role": "user",
            "content": [
                {"tool_use_id": "b", "content": [text("of b")]} | result,
                {"tool_use_id": "a", "content": [text("of a")]} | result,
                text("Well?"),
            ],
        },
    ]


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"type": "image", "source": PNG}, {"type": "image", "source": PNG}),
        (
            {"type": "image_url", "image_url": {"url": URL}},
            {"type": "image", "source": {"type": "url", "url": URL}},
        ),
        ({"type": "thinking", "thinking": "hm"}, None),
        ({"type": "thinking", "thinking": "hm", "signature": "s"}, None),
        ({"type": ["thinking"]}, text('{"type":["thinking"]}')),
        ({"type": "image_url", "image_url": {"url": "data:image/png,abc"}}, text("[image]")),
        (
            {"type": "server_tool_use", "id": "s"},
            text('{"type":"server_tool_use","id":"s"}'),
        ),
        ({"type": "reasoning", "summary": []}, None),
        ({"answer": 42}, text('{"answer":42}')),
    ],
)
def test_blocks_for_anthropic(block: Json, expected: Any) -> None:
    made = of("anthropic", message("user", [text("a"), block]))
    assert made.messages == [
        {"role": "user", "content": [text("a"), *([expected] if expected else [])]}
    ]


def test_what_a_model_has_thought_goes_back_to_it() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    document = {"type": "document", "source": {"type": "text"}}
    made = of("anthropic", message("user", "a"), message("assistant", [thought, document]))
    assert made.messages[1]["content"] == [
        thought,
        text('{"type":"document","source":{"type":"text"}}'),
    ]


def test_a_system_prompt_that_is_an_object_is_not_lost_for_anthropic() -> None:
    prompt = turns_of([message("system", {"rule": "Be kind."}), message("system", "Be brief.")])
    assert written("anthropic", prompt, []).system == '{"rule":"Be kind."}\n\nBe brief.'


@pytest.mark.parametrize("ids", [("c1", "c1", "c1"), ("a.1", "a:1", "a_1"), ("c", "c", "c_2")])
def test_each_call_has_an_id_of_its_own_for_anthropic(ids: tuple[str, ...]) -> None:
    """Also where a model counts its calls anew in each answer."""
    talk = [part for one in ids for part in (openai_call(one), openai_result(one))]
    made = of("anthropic", message("user", "a"), *talk).messages
    called = [block["id"] for one in made[1::2] for block in one["content"]]
    answered = [block["tool_use_id"] for one in made[2::2] for block in one["content"]]
    assert called == answered
    assert len(set(called)) == 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [("查询", "_"), ("_own_", "_own_"), ("a.look", "a_look"), ("n" * 99, "n" * 64)],
)
def test_a_tool_has_a_name_that_providers_take(name: str, expected: str) -> None:
    call = message("assistant", {"tool_calls": [{"id": "a", "function": {"name": name}}]})
    made = of("openai", call, openai_result("a")).messages[2]
    assert made["tool_calls"][0]["function"]["name"] == expected
    made = of("anthropic", call, openai_result("a")).messages[1]
    assert made["content"][0]["name"] == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"n":1}', {"n": 1}),
        *(
            (odd, {"arguments": odd})
            for odd in ("[1]", "{half", '{"n":NaN}', '{"n":1e999}', '{"n":"\\ud800"}')
        ),
        ('{"n":' * 20_000, {"arguments": '{"n":' * 20_000}),
        ('{"n":' + "[" * 20_000 + "]" * 20_000 + "}",) * 2,
    ],
    ids=lambda value: "",
)
def test_arguments_are_an_object_for_anthropic(arguments: str, expected: Any) -> None:
    expected = expected if isinstance(expected, dict) else {"arguments": expected}
    call = {"id": "call.1", "function": {"name": "a.look", "arguments": arguments}}
    result = message("tool", "x", metadata={"tool_call_id": "call.1"})
    made = of("anthropic", message("assistant", {"tool_calls": [call]}), result)
    use = {"type": "tool_use", "id": "call_1", "name": "a_look", "input": expected}
    assert made.messages[1]["content"] == [use]
    assert made.messages[2]["content"][0]["tool_use_id"] == "call_1"


# ── all ──────────────────────────────────────────────────────────────────────────────────────


@given(TALKS)
def test_providers_accept_what_is_written(messages: list[Json]) -> None:
    """Whatever was stored."""
    check_openai(of("openai", *messages, note="A note.").messages)
    check_openai(of("openai", *messages).messages)
    check_anthropic(of("anthropic", *messages, note="A note.").messages)
    check_anthropic(of("anthropic", *messages).messages)
