"""Calls and their results are shown together or not at all."""

from typing import Any

import pytest
from hypothesis import given

from context.talks import (
    TALKS,
    Json,
    anthropic_call,
    anthropic_result,
    message,
    openai_call,
    openai_result,
    turns_of,
)
from dialoguedb.context.pairing import Group, grouped

HELLO, BYE = message("user", "hello"), message("user", "bye")


def shape(groups: list[Group]) -> list[Any]:
    """For each group its turns' numbers with the calls and results that are left."""
    return [
        [(turn.sequence, *sorted(turn.calls() | turn.results())) for turn in group.turns]
        for group in groups
    ]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([HELLO, BYE], [[(1,)], [(2,)]]),
        ([anthropic_call("a"), anthropic_result("a"), BYE], [[(1, "a"), (2, "a")], [(3,)]]),
        ([openai_call("a", "b"), openai_result("a"), openai_result("b")],
         [[(1, "a", "b"), (2, "a"), (3, "b")]]),
        # Two calls at once in two messages, as the responses API has it.
        ([openai_call("a"), openai_call("b"), openai_result("b"), openai_result("a")],
         [[(1, "a"), (2, "b"), (3, "b"), (4, "a")]]),
        # Alone: what else is said stays.
        ([anthropic_result("a", text="and this"), BYE], [[(1,)], [(2,)]]),
        ([openai_result("a"), BYE], [[(2,)]]),
        ([anthropic_call("a", text="let me look"), BYE], [[(1,)], [(2,)]]),
        ([openai_call("a"), BYE], [[(2,)]]),
        # Half of it answered, and the conversation has gone on.
        ([openai_call("a", "b"), openai_result("b"), BYE], [[(1, "b"), (2, "b")], [(3,)]]),
        # Not answered yet: it is not shown before it is.
        ([HELLO, anthropic_call("a", text="let me look")], [[(1,)]]),
        ([HELLO, openai_call("a", "b"), openai_result("a")], [[(1,)]]),
        # An answer that comes too late is none.
        ([openai_call("a"), BYE, openai_result("a")], [[(2,)]]),
        # Answered twice, once counts.
        ([openai_call("a"), openai_result("a"), openai_result("a"), BYE],
         [[(1, "a"), (2, "a")], [(4,)]]),
    ],
)  # fmt: skip
def test_groups(messages: list[Json], expected: list[Any]) -> None:
    assert shape(grouped(turns_of(messages))) == expected


def test_a_message_with_calls_and_results_is_cut_between_them() -> None:
    """As the data export of Claude has it."""
    content = [
        {"type": "text", "text": "Let me look."},
        *anthropic_call("a")["content"],
        *anthropic_result("a")["content"],
        {"type": "text", "text": "Found."},
    ]
    (first, second) = grouped(turns_of([message("assistant", content)]))
    assert shape([first, second]) == [[(1, "a"), (1, "a")], [(1,)]]
    assert [turn.id for turn in (*first.turns, *second.turns)] == ["m1"] * 3


@given(TALKS)
def test_nothing_is_alone_and_the_order_is_kept(messages: list[Json]) -> None:
    """In every conversation, whatever stands in it."""
    groups = grouped(turns_of(messages))
    turns = [turn for group in groups for turn in group.turns]
    assert [turn.sequence for turn in turns] == sorted(turn.sequence for turn in turns)
    for group in groups:
        assert group.turns
        assert all(turn.parts for turn in group.turns)
        calls = [one for turn in group.turns for one in sorted(turn.calls())]
        results = [one for turn in group.turns for one in sorted(turn.results())]
        assert sorted(calls) == sorted(results)
        assert len(set(calls)) == len(calls)


@given(TALKS)
def test_what_uses_no_tools_is_there(messages: list[Json]) -> None:
    """But behind a call that is not answered yet."""
    shown = {turn.id for group in grouped(turns_of([*messages, BYE])) for turn in group.turns}
    for turn in turns_of([*messages, BYE]):
        if turn.parts and not turn.uses_tools:
            assert turn.id in shown
