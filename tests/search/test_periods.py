"""Date filters (contract 8.4, 8.6): ranges, parts of dates, and arrays of instants."""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dialoguedb.models.search import Search, SearchByQuery
from dialoguedb.models.times import EARLIEST_MS, LATEST_MS, parse_instant
from dialoguedb.search.conditions import Conditions, Facts
from dialoguedb.search.filters import Question, question
from dialoguedb.search.periods import DateParts, Period

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=150)
NOW_MS = parse_instant("2026-03-31T12:00:00Z")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
JUNE_MS = parse_instant("2025-06-15T12:00:00Z")


def asked(**fields: Any) -> Question:
    body = {"query": "x", "object": "message"} | fields
    return question(msgspec.json.decode(json.dumps(body), type=Search), NOW_MS)


def conditions(**fields: Any) -> Conditions:
    return asked(**fields).conditions


# ── dates ────────────────────────────────────────────────────────────────────────────────────


def times(name: str = "created", **fields: Any) -> tuple[Any, ...]:
    return tuple(getattr(conditions(**fields), name))


def span(start: str | None, stop: str | None) -> Period:
    return Period(start and parse_instant(start), stop and parse_instant(stop))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2025-03", span("2025-03-01", "2025-04-01")),
        ("since March 2025", span("2025-03-01", None)),
        ({"gte": "2025-03"}, span("2025-03-01", None)),
        ({"gt": "2025-03"}, span("2025-04-01", None)),
        ({"lt": "2025-03"}, span(None, "2025-03-01")),
        ({"lte": "2025-03"}, span(None, "2025-04-01")),
        ({"gte": "2025", "lt": "last month"}, span("2025-01-01", "2026-02-01")),
        ({"gte": "2025", "gt": "2025-03-31"}, span("2025-04-01", None)),
        ({"lte": "2025", "lt": "2025-03-31T12:00:00Z"}, span(None, "2025-03-31T12:00:00Z")),
        ({"gt": "2025-01-01T00:00:00.000Z"}, span("2025-01-01T00:00:00.001Z", None)),
        ({"lte": "9999"}, Period(None, None)),
        ({"gte": "2026", "lt": "2025"}, span("2026-01-01", "2025-01-01")),
    ],
)
def test_dates_and_ranges(value: Any, expected: Period) -> None:
    assert times(filter={"created": value}) == (expected,)
    assert times("modified", filter={"modified": value}) == (expected,)
    assert times("modified", filter={"created": value}) == ()


def test_dates_are_read_in_the_time_zone_of_the_request() -> None:
    found = asked(
        filter={"created": "February 2026", "modified": {"gt": "yesterday"}},
        timezone="Europe/Tallinn",
    )
    assert msgspec.to_builtins(found.resolved) == {
        "orderBy": "relevance",
        "order": "desc",
        "candidateOrderBy": "relevance",
        "filter": {
            "created": {"gte": "2026-01-31T22:00:00.000Z", "lt": "2026-02-28T22:00:00.000Z"},
            "modified": {"gte": "2026-03-30T21:00:00.000Z"},
        },
    }


def test_without_dates_none_are_told() -> None:
    assert "filter" not in msgspec.to_builtins(asked(filter={"hasImage": True}).resolved)
    assert "filter" not in msgspec.to_builtins(asked(filter={"createdMonth": 3}).resolved)


@pytest.mark.parametrize(
    ("given_parts", "expected"),
    [
        ({"createdYear": 2025.0}, span("2024-12-31T22:00", "2025-12-31T22:00")),
        ({"createdYear": 2025, "createdMonth": 7}, span("2025-06-30T21:00", "2025-07-31T21:00")),
        (
            {"createdYear": 2024, "createdMonth": 2, "createdDay": 29},
            span("2024-02-28T22:00", "2024-02-29T22:00"),
        ),
        ({"createdMonth": 7}, DateParts(ZoneInfo("Europe/Tallinn"), None, 7, None)),
        ({"createdDay": 1}, DateParts(ZoneInfo("Europe/Tallinn"), None, None, 1)),
        (
            {"createdYear": 2025, "createdDay": 31},
            DateParts(ZoneInfo("Europe/Tallinn"), 2025, None, 31),
        ),
    ],
)
def test_parts_of_a_date(given_parts: dict[str, int], expected: Any) -> None:
    assert times(filter=given_parts, timezone="Europe/Tallinn") == (expected,)
    twins = {key.replace("created", "modified"): value for key, value in given_parts.items()}
    assert times("modified", filter=twins, timezone="Europe/Tallinn") == (expected,)


def test_a_date_that_never_is_holds_nothing() -> None:
    (test,) = times(filter={"createdYear": 2025, "createdMonth": 2, "createdDay": 30})
    days = np.arange(365, dtype=np.int64) * 86_400_000 + parse_instant("2025-01-01")
    assert not test.holds_array(days).any()


def test_dates_said_twice_must_hold_twice() -> None:
    whole = {"created": "2025", "createdYear": 2025, "createdMonth": 6}
    assert times(filter=whole, startDate="2025-06-10") == (span("2025-06-10", "2025-07-01"),)
    both = conditions(filter={"created": "2025", "createdDay": 15})
    for text, expected in (("2025-06-15", True), ("2025-06-16", False), ("2024-06-15", False)):
        facts = Facts(created_ms=parse_instant(text), modified_ms=JUNE_MS)
        assert both.hold(facts) is expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"created": "2025-0"}, span("2025-01-01", "2025-10-01")),
        ({"created": "2025-01-15T1"}, span("2025-01-15T10:00", "2025-01-15T20:00")),
        ({"startDate": "2025-03", "endDate": "2025-04"}, span("2025-03-01", "2025-05-01")),
        ({"endDate": "2025-03-15T10:00:00.000Z"}, span(None, "2025-03-15T10:00:00.001Z")),
        ({"startDate": "2026", "endDate": "2025"}, span("2026-01-01", "2026-01-01")),
        ({"created": "2024", "startDate": "2025"}, span("2024-01-01", "2025-01-01")),
        ({"created": "9"}, span("9000-01-01", None)),
        ({"endDate": "9999"}, Period(None, None)),
    ],
)
def test_dates_as_lists_take_them(fields: dict[str, str], expected: Period) -> None:
    assert times(**fields) == (expected,)
    request = msgspec.convert({"query": "x", "object": "memory"} | fields, SearchByQuery)
    assert question(request, NOW_MS).conditions.created == (expected,)


ZONES = ["UTC", "Europe/Tallinn", "America/Chicago", "Australia/Lord_Howe", "Pacific/Apia"]
#: From the end of the 29th to the 31st: the zone has no 30 December 2011.
LEAP_MS = parse_instant("2011-12-30T10:00")
MOMENTS = st.one_of(
    st.integers(parse_instant("1900-01-01"), parse_instant("2100-01-01")),
    st.integers(parse_instant("2011-12-29"), parse_instant("2012-01-01")),
    st.integers(parse_instant("2025-10-25T20:00"), parse_instant("2025-10-26T23:00")),
)
PARTS = st.fixed_dictionaries(
    {},
    optional={
        "year": st.sampled_from([2011, 2025, 1999]),
        "month": st.integers(1, 12),
        "day": st.integers(1, 31),
    },
)


@FIXED
@given(st.lists(MOMENTS, max_size=20), st.sampled_from(ZONES), PARTS)
@example([], "UTC", {})
@example([LEAP_MS - 1, LEAP_MS, LEAP_MS + 3_600_000], "Pacific/Apia", {"day": 31})
@example([LEAP_MS - 1, LEAP_MS, LEAP_MS + 3_600_000], "Pacific/Apia", {"day": 30})
@example([EARLIEST_MS, LATEST_MS], "UTC", {"month": 12})
def test_parts_are_those_that_the_clocks_of_the_zone_show(
    moments: list[int], name: str, given_parts: dict[str, int]
) -> None:
    zone = ZoneInfo(name)
    test = DateParts(zone, **given_parts)
    many = test.holds_array(np.array(moments, np.int64))
    assert many.dtype == np.bool_ and many.shape == (len(moments),)
    for ms, held in zip(moments, many, strict=True):
        shown = (EPOCH + timedelta(milliseconds=ms)).astimezone(zone)
        expected = all(getattr(shown, part) == value for part, value in given_parts.items())
        assert bool(held) is expected is test.holds(ms)


@FIXED
@given(st.lists(MOMENTS, max_size=20), st.none() | MOMENTS, st.none() | MOMENTS, MOMENTS)
def test_a_period_holds_from_its_start_to_before_its_stop(
    moments: list[int], start: int | None, stop: int | None, other: int
) -> None:
    period = Period(start, stop)
    both = period.within(Period(other, None))
    every = [*moments, *(edge for edge in (start, stop) if edge is not None)]
    for ms, held in zip(every, period.holds_array(np.array(every, np.int64)), strict=True):
        expected = (start or -math.inf) <= ms < (math.inf if stop is None else stop)
        assert bool(held) is expected is period.holds(ms)
        assert both.holds(ms) is (expected and ms >= other)
