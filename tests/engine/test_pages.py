"""Cursors and windows of lists (contract 1.5 to 1.8), without a store."""

import base64
import re
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from dialoguedb.engine import Caller, pages
from dialoguedb.errors import DialogueDBError, InvalidParameter
from dialoguedb.models.dialogues import ListDialogues
from dialoguedb.models.memories import ListMemories
from dialoguedb.models.messages import ListMessages
from dialoguedb.models.times import EARLIEST_MS, LATEST_MS, parse_period, text_of

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=100)
CALLER = Caller(project_id="01KB00000000000000000000PR", request_id="r")
INSTANTS = st.integers(EARLIEST_MS, LATEST_MS)
ORDERS = st.sampled_from(["asc", "desc"])
IDS = st.text("abc-_", min_size=1, max_size=5)
PREFIXES = st.builds(lambda ms, size: text_of(ms)[:size], INSTANTS, st.integers(1, 24))
BOUNDS = st.builds(
    lambda ms, size: text_of(ms)[:size], INSTANTS, st.sampled_from([4, 7, 10, 13, 16, 19, 23, 24])
)
QUESTIONS = st.fixed_dictionaries(
    {},
    optional={
        "namespace": IDS, "thread_of": IDS, "order": ORDERS, "created": PREFIXES,
        "start_date": BOUNDS, "end_date": BOUNDS, "limit": st.integers(1, 5000),
    },
)  # fmt: skip
POSITIONS = st.tuples(INSTANTS, st.integers(0, 2**63 - 1))


def ask(caller: Caller = CALLER, **fields: Any) -> pages.Question:
    """A list of dialogues with these fields."""
    request = ListDialogues(**fields)
    return pages.question(caller, "dialogues", request, parent="thread_of", order="desc")


def after(asked: pages.Question, position: tuple[int, int]) -> str:
    """The `next` of a page that ended with a row at this position."""
    page = pages.take(asked, ([(*position, "last")], True), ["item"], position=(0, 1, 2))
    assert page.items == ["item"]
    assert page.next is not None
    return page.next


@FIXED
@given(QUESTIONS, POSITIONS, st.integers(1, 5000))
def test_a_cursor_carries_the_whole_question(
    fields: dict[str, Any], position: tuple[int, int], limit: int
) -> None:
    """Only `limit` is asked anew; it goes on after the last item."""
    asked = ask(**fields)
    text = after(asked, position)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text)
    again = ask(next=text, limit=limit)
    at, number = position
    assert again.cursor == msgspec.structs.replace(asked.cursor, at=at, after=number, last="last")
    assert again.limit == min(limit, 1000)
    assert pages.encode(again.cursor) == text


@FIXED
@given(QUESTIONS, POSITIONS)
def test_what_is_repeated_may_be_repeated(
    fields: dict[str, Any], position: tuple[int, int]
) -> None:
    """Every parameter of the page before, or any of them."""
    asked = ask(**fields)
    text = after(asked, position)
    assert ask(next=text, **fields).cursor == ask(next=text).cursor


@pytest.mark.parametrize(
    ("field", "wire"),
    [
        ("namespace", "namespace"),
        ("thread_of", "threadOf"),
        ("order", "order"),
        ("created", "created"),
        ("start_date", "startDate"),
        ("end_date", "endDate"),
    ],
)
@pytest.mark.parametrize("asked_before", [True, False])
def test_what_is_repeated_must_be_equal(field: str, wire: str, asked_before: bool) -> None:
    """The error names the parameter as the wire spells it."""
    old = {"order": "desc"} if field == "order" else {field: "2025-01"}
    new = {"order": "asc"} if field == "order" else {field: "2025-02"}
    text = after(ask(**(old if asked_before else {})), (0, 0))
    with pytest.raises(InvalidParameter) as caught:
        ask(next=text, **new)
    assert caught.value.details[0].field == wire


def test_a_page_without_more_has_no_next() -> None:
    """The end is told by `null`."""
    assert pages.take(ask(), ([(0, 0)], False), ["item"], position=(0, 1)) == (["item"], None)


@FIXED
@given(QUESTIONS, POSITIONS)
def test_a_cursor_of_another_project_or_list_is_refused(
    fields: dict[str, Any], position: tuple[int, int]
) -> None:
    """It is no cursor here, and no more is said."""
    text = after(ask(**fields), position)
    other = msgspec.structs.replace(CALLER, project_id="01KB00000000000000000000PS")
    for act in (
        lambda: ask(other, next=text),
        lambda: pages.question(CALLER, "memories", ListMemories(next=text), order="desc"),
        lambda: pages.question(
            CALLER, "messages", ListMessages(next=text), parent="dialogue_id", order="asc"
        ),
    ):
        with pytest.raises(InvalidParameter) as caught:
            act()
        assert [detail.field for detail in caught.value.details] == ["next"]


def refused_or_ours(text: str) -> None:
    """Whatever a `next` is: it is refused by its name, or a cursor of the caller's project."""
    try:
        asked = ask(next=text)
    except InvalidParameter as error:
        assert [detail.field for detail in error.details] == ["next"]
        assert text not in error.message or len(text) < 5
        return
    assert asked.cursor.project_id == CALLER.project_id
    assert asked.cursor.room == "dialogues"
    window = asked.window
    assert EARLIEST_MS <= window["at"] <= LATEST_MS
    assert all(-(2**63) <= value < 2**63 for value in window.values() if value != window["last"])


@settings(FIXED, max_examples=500)
@given(QUESTIONS, POSITIONS, st.data())
def test_a_changed_cursor_is_refused_or_still_of_the_same_project(
    fields: dict[str, Any], position: tuple[int, int], data: st.DataObject
) -> None:
    """One character changed, put in or taken out, or the text cut."""
    text = after(ask(**fields), position)
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from("ABCMwxyz019-_+/=. é"))
    change = data.draw(st.integers(0, 3))
    refused_or_ours(
        (
            text[:at] + letter + text[at + 1 :],
            text[:at] + letter + text[at:],
            text[:at] + text[at + 1 :],
            text[:at],
        )[change]
    )


@FIXED
@given(
    st.one_of(
        st.text(max_size=40),
        st.text("ABCwxyz019-_", max_size=40),
        st.binary(max_size=30).map(lambda data: base64.urlsafe_b64encode(data).decode()),
    )
)
def test_any_other_text_is_refused(text: str) -> None:
    """As no `next` of this list."""
    refused_or_ours(text)


SOUND = [1, CALLER.project_id, "dialogues", "", "", "desc", "", "", "", 0, 0, ""]


def forged(index: int, value: Any) -> str:
    parts = [*SOUND[:index], value, *SOUND[index + 1 :]]
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(parts)).decode().rstrip("=")


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (0, 0), (0, 2), (0, "1"), (1, "other"), (1, None), (2, "messages"), (2, ""), (3, None),
        (5, ""), (5, "up"), (6, "x"), (6, "0000"), (7, "x"), (7, "2025-13"), (8, "soon"),
        (9, EARLIEST_MS - 1), (9, LATEST_MS + 1), (9, 2**63), (9, -(2**63)), (9, 1.5), (9, None),
        (10, -2), (10, "x"), (10, 1.5),
    ],
)  # fmt: skip
def test_a_forged_cursor_is_refused(index: int, value: Any) -> None:
    """Each part must be one that we could have written."""
    ask(next=forged(0, 1))
    with pytest.raises(InvalidParameter) as caught:
        ask(next=forged(index, value))
    assert caught.value.details[0].field == "next"


@pytest.mark.parametrize("number", [2**63, 2**64 - 1])
def test_a_forged_number_that_no_row_can_have_is_refused(number: int) -> None:
    """SQLite has integers up to 2^63 - 1."""
    with pytest.raises(DialogueDBError):
        ask(next=forged(10, number))


def test_an_unset_field_is_not_repeated() -> None:
    """A list without a parent has none in its cursor."""
    asked = pages.question(CALLER, "memories", ListMemories(), order="desc")
    assert asked.cursor.parent == ""
    assert ListMemories().next is UNSET


# ── windows ──────────────────────────────────────────────────────────────────────────────────


@FIXED
@given(QUESTIONS, st.lists(INSTANTS, max_size=4), st.data())
def test_a_window_holds_what_the_filters_say(
    fields: dict[str, Any], times: list[int], data: st.DataObject
) -> None:
    """`created` wins over the range, whose bounds are inclusive by the periods they name."""
    fields = {name: value for name, value in fields.items() if name != "order"}
    window = ask(**fields, order="asc").window
    edges = [window["start"], window["stop"]]
    near = data.draw(st.lists(st.sampled_from(edges).map(lambda at: at - 1), max_size=2))
    for t in (*times, *edges, *near):
        if not EARLIEST_MS <= t <= LATEST_MS:
            continue
        if "created" in fields:
            expected = text_of(t).startswith(fields["created"])
        else:
            start = parse_period(fields["start_date"]).start_ms if "start_date" in fields else t
            end = parse_period(fields["end_date"]).end_ms if "end_date" in fields else t + 1
            expected = start <= t < end
        assert (window["start"] <= t < window["stop"]) == expected


@FIXED
@given(QUESTIONS, POSITIONS, POSITIONS)
def test_a_window_goes_on_behind_the_last_item(
    fields: dict[str, Any], last: tuple[int, int], row: tuple[int, int]
) -> None:
    """The bounds of time never cut off what is still to come, and no row comes twice."""
    asked = ask(**fields)
    window, whole = ask(next=after(asked, last)).window, asked.window
    assume(whole["start"] <= row[0] < whole["stop"])
    ascending = asked.cursor.order == "asc"
    to_come = row > last if ascending else row < last
    here = (window["at"], window["after"])
    beyond = row > here if ascending else row < here
    assert (window["start"] <= row[0] < window["stop"] and beyond) == to_come


def test_a_first_page_begins_before_every_row() -> None:
    """Also before the first and after the last instant that there is."""
    for order, edge in (("asc", (EARLIEST_MS, 0)), ("desc", (LATEST_MS, 2**63 - 2))):
        window = ask(order=order).window
        here = (window["at"], window["after"])
        assert edge > here if order == "asc" else edge < here
        assert window["start"] <= edge[0] < window["stop"]
