"""The window of the newest turns: what it holds, and that it stays where it is."""

from hypothesis import given, settings
from hypothesis import strategies as st

from context.talks import Json, anthropic_call, anthropic_result, message, turns_of
from dialoguedb.context.pairing import grouped
from dialoguedb.context.window import Sized, Window, cost_of_last, window_of


def sized(messages: list[Json], costs: list[int]) -> list[Sized]:
    """Groups of messages with the costs of their turns."""
    turns = iter(costs)
    return [
        Sized(group, tuple(next(turns) for _ in group.turns))
        for group in grouped(turns_of(messages))
    ]


def talk(costs: list[int]) -> list[Sized]:
    """A conversation in which two take turns."""
    roles = ("user", "assistant")
    return sized([message(roles[n % 2], "hi") for n in range(len(costs))], costs)


def numbers(window: Window) -> list[int]:
    return [one.group.sequence for one in window.groups]


def test_all_is_shown_where_it_fits() -> None:
    assert numbers(window_of(talk([10] * 5), budget=50, keep=0, first=0)) == [1, 2, 3, 4, 5]
    assert window_of([], budget=50, keep=0, first=0) == Window()


def test_what_lies_before_the_first_is_not_shown() -> None:
    assert numbers(window_of(talk([10] * 5), budget=50, keep=0, first=2)) == [3, 4, 5]


def test_the_last_is_shown_in_any_case() -> None:
    assert numbers(window_of(talk([10, 10, 10]), budget=5, keep=2, first=0)) == [3]


def test_a_group_is_not_divided() -> None:
    groups = sized(
        [message("user", "a"), anthropic_call("c"), anthropic_result("c"), message("user", "b")],
        [10] * 4,
    )
    assert numbers(window_of(groups, budget=25, keep=0, first=0)) == [4]
    assert numbers(window_of(groups, budget=30, keep=0, first=1)) == [2, 4]
    assert cost_of_last(groups, 0) == 0
    assert cost_of_last(groups, 1) == 10
    assert cost_of_last(groups, 2) == 30


def test_a_window_begins_where_a_user_speaks() -> None:
    for length in range(30, 200):
        window = window_of(talk([10] * length), budget=250, keep=4, first=0)
        assert window.groups[0].group.opens


COSTS = st.lists(st.integers(1, 60), min_size=1, max_size=120)


@given(COSTS, st.integers(1, 2000), st.integers(0, 30), st.integers(0, 10))
def test_a_window_is_the_end_and_fits(costs: list[int], budget: int, keep: int, first: int) -> None:
    """It holds the turns that are wanted at least, if they fit."""
    groups = talk(costs)
    first = min(first, len(groups) - 1)
    window = window_of(groups, budget=budget, keep=keep, first=first)
    shown = len(window.groups)
    assert list(window.groups) == groups[-shown:]
    assert window.tokens == sum(costs[-shown:])
    assert window.tokens <= max(budget, costs[-1])
    wanted = min(keep, len(costs) - first)
    assert shown >= wanted or sum(costs[-wanted:]) > budget


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=8, max_size=60), st.integers(0, 8))
def test_a_window_only_ever_goes_forward(costs: list[int], keep: int) -> None:
    """As turns are added; and it jumps seldom."""
    groups = talk(costs * (600 // len(costs)))
    starts = []
    for length in range(1, len(groups) + 1):
        window = window_of(groups[:length], budget=2400, keep=keep, first=0)
        starts.append(window.groups[0].group.sequence)
    assert starts == sorted(starts)
    assert len(set(starts)) <= 2 + len(starts) / 16
