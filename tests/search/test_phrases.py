"""Dates in words (contract 8.4): tables with a fixed clock, over zones, leaps and edges."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dialoguedb.models.times import EARLIEST_MS, LATEST_MS, parse_instant, text_of
from dialoguedb.search import phrases
from dialoguedb.search.periods import Period, instant_of, offset_ms

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=80)
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: A Tuesday, the last day of a month and of a quarter; 15:00 in Tallinn, 07:00 in Chicago.
NOW = "2026-03-31T12:00:00.000Z"
ZONES = [
    "UTC",
    "Europe/Tallinn",
    "America/Chicago",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Africa/Monrovia",
]
#: Those of St John's went back from 00:01 to 23:01 until 2011: a day that came, went and came.
CALM = [zone for zone in ZONES if zone != "America/St_Johns"]


def read(text: str, zone: str = "UTC", now: str = NOW) -> Period:
    return phrases.period(text, ZoneInfo(zone), parse_instant(now))


def shown(period: Period) -> tuple[str | None, str | None]:
    """Write both bounds, shortened where they are whole minutes."""
    start, stop = (None if ms is None else text_of(ms).removesuffix(":00.000Z") for ms in period)
    return start, stop


# ── the grammar, in UTC ──────────────────────────────────────────────────────────────────────

GRAMMAR = [
    ("2025", "2025-01-01T00:00", "2026-01-01T00:00"),
    ("2025-03", "2025-03-01T00:00", "2025-04-01T00:00"),
    ("2025-12", "2025-12-01T00:00", "2026-01-01T00:00"),
    ("2025-03-15", "2025-03-15T00:00", "2025-03-16T00:00"),
    ("2025-03-15T10:20:30.123Z", "2025-03-15T00:00", "2025-03-16T00:00"),
    ("2025-03-15T10:20", "2025-03-15T00:00", "2025-03-16T00:00"),
    ("2025-03-15t23:30:00-05:00", "2025-03-16T00:00", "2025-03-17T00:00"),
    ("today", "2026-03-31T00:00", "2026-04-01T00:00"),
    ("yesterday", "2026-03-30T00:00", "2026-03-31T00:00"),
    ("this week", "2026-03-30T00:00", "2026-04-06T00:00"),
    ("last week", "2026-03-23T00:00", "2026-03-30T00:00"),
    ("this month", "2026-03-01T00:00", "2026-04-01T00:00"),
    ("last month", "2026-02-01T00:00", "2026-03-01T00:00"),
    ("this quarter", "2026-01-01T00:00", "2026-04-01T00:00"),
    ("last quarter", "2025-10-01T00:00", "2026-01-01T00:00"),
    ("this year", "2026-01-01T00:00", "2027-01-01T00:00"),
    ("last year", "2025-01-01T00:00", "2026-01-01T00:00"),
    ("last 90 minutes", "2026-03-31T10:30", "2026-03-31T12:00:00.001Z"),
    ("past 1 hour", "2026-03-31T11:00", "2026-03-31T12:00:00.001Z"),
    ("last 7 days", "2026-03-24T12:00", "2026-03-31T12:00:00.001Z"),
    ("past 2 weeks", "2026-03-17T12:00", "2026-03-31T12:00:00.001Z"),
    ("last 1 month", "2026-02-28T12:00", "2026-03-31T12:00:00.001Z"),
    ("last 4 months", "2025-11-30T12:00", "2026-03-31T12:00:00.001Z"),
    ("last 12 months", "2025-03-31T12:00", "2026-03-31T12:00:00.001Z"),
    ("last 2 years", "2024-03-31T12:00", "2026-03-31T12:00:00.001Z"),
    ("1 day ago", "2026-03-30T00:00", "2026-03-31T00:00"),
    ("31 days ago", "2026-02-28T00:00", "2026-03-01T00:00"),
    ("1 week ago", "2026-03-23T00:00", "2026-03-30T00:00"),
    ("1 month ago", "2026-02-01T00:00", "2026-03-01T00:00"),
    ("3 months ago", "2025-12-01T00:00", "2026-01-01T00:00"),
    ("27 months ago", "2023-12-01T00:00", "2024-01-01T00:00"),
    ("2 years ago", "2024-01-01T00:00", "2025-01-01T00:00"),
    ("March 2025", "2025-03-01T00:00", "2025-04-01T00:00"),
    ("Mar 2025", "2025-03-01T00:00", "2025-04-01T00:00"),
    ("sept 2025", "2025-09-01T00:00", "2025-10-01T00:00"),
    ("March", "2026-03-01T00:00", "2026-04-01T00:00"),
    ("April", "2025-04-01T00:00", "2025-05-01T00:00"),
    ("may", "2025-05-01T00:00", "2025-06-01T00:00"),
    ("January", "2026-01-01T00:00", "2026-02-01T00:00"),
    ("15 March 2025", "2025-03-15T00:00", "2025-03-16T00:00"),
    ("March 15, 2025", "2025-03-15T00:00", "2025-03-16T00:00"),
    ("mar 5 2025", "2025-03-05T00:00", "2025-03-06T00:00"),
    ("29 February 2024", "2024-02-29T00:00", "2024-03-01T00:00"),
    ("Q1 2025", "2025-01-01T00:00", "2025-04-01T00:00"),
    ("q4 2025", "2025-10-01T00:00", "2026-01-01T00:00"),
    ("tuesday", "2026-03-31T00:00", "2026-04-01T00:00"),
    ("last tuesday", "2026-03-24T00:00", "2026-03-25T00:00"),
    ("monday", "2026-03-30T00:00", "2026-03-31T00:00"),
    ("last monday", "2026-03-30T00:00", "2026-03-31T00:00"),
    ("wednesday", "2026-03-25T00:00", "2026-03-26T00:00"),
    ("since March 2025", "2025-03-01T00:00", None),
    ("since 2025-03-15T10:20:30.5Z", "2025-03-15T10:20:30.500Z", None),
    ("after yesterday", "2026-03-31T00:00", None),
    ("after 2025-03-15T10:20:30.123Z", "2025-03-15T10:20:30.124Z", None),
    ("before last week", None, "2026-03-23T00:00"),
    ("before 2025", None, "2025-01-01T00:00"),
    ("between May 2024 and June 2025", "2024-05-01T00:00", "2025-07-01T00:00"),
    ("between 2025-03-01 and yesterday", "2025-03-01T00:00", "2026-03-31T00:00"),
    ("between 3 weeks ago and 1 week ago", "2026-03-09T00:00", "2026-03-30T00:00"),
    ("between 2025 and 2024", "2025-01-01T00:00", "2025-01-01T00:00"),
]


@pytest.mark.parametrize(("text", "start", "stop"), GRAMMAR, ids=[row[0] for row in GRAMMAR])
def test_each_form_names_its_period(text: str, start: str | None, stop: str | None) -> None:
    assert shown(read(text)) == (start, stop)


@pytest.mark.parametrize("text", [row[0] for row in GRAMMAR])
def test_case_and_spaces_do_not_matter(text: str) -> None:
    for variant in (text.upper(), text.title(), f"  {text.lower()}\n", text.replace(" ", "  \t")):
        assert read(variant) == read(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "the day the music died",
        "todayy",
        "today yesterday",
        "last",
        "last 0 days",
        "last -3 days",
        "last 1.5 days",
        "last ٣ days",
        "9999999 days ago",
        "ago",
        "5 ago",
        "mars 2025",
        "march 25",
        "15 march",
        "32 march 2025",
        "29 February 2025",
        "q5 2025",
        "q1",
        "next week",
        "last day",
        "2025-3",
        "2025-13",
        "2025-02-30",
        "2025-03-15T25:00",
        "2025-03-15T10:00+25:00",
        "20250315",
        "2025/03/15",
        "1742000000",
        "since",
        "since since 2025",
        "after before 2025",
        "before",
        "between 2024",
        "between 2024 and",
        "between and 2024",
        "between 2023 and 2024 and 2025",
        "2025 or 2024",
        "today\0",
        "today;",
        "' OR 1=1",
        "since " * 30 + "2025",
        "1" * 100_000,
    ],
)
def test_what_is_not_understood_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        read(text)
    assert len(str(caught.value)) < 500


def test_what_is_not_understood_is_answered_with_examples_that_are() -> None:
    with pytest.raises(ValueError, match="examples: ") as caught:
        read("someday")
    for each in str(caught.value).partition("examples: ")[2].split(", "):
        assert read(each)


@pytest.mark.parametrize("text", ["since 2025", "after 2025", "before 2025", "between 1 and 2"])
def test_what_bounds_by_itself_is_no_bound(text: str) -> None:
    with pytest.raises(ValueError, match="not understood"):
        phrases.bound(text, ZoneInfo("UTC"), parse_instant(NOW))


@pytest.mark.parametrize(
    ("text", "start", "stop"),
    [
        ("2025-03-15T10:20:30.123Z", "2025-03-15T10:20:30.123Z", "2025-03-15T10:20:30.124Z"),
        ("2025-03-15T10:20:30Z", "2025-03-15T10:20:30.000Z", "2025-03-15T10:20:31.000Z"),
        ("2025-03-15T10:20", "2025-03-15T08:20", "2025-03-15T08:21"),
        ("2025-03-15T10:20+01:00", "2025-03-15T09:20", "2025-03-15T09:21"),
        ("2025-03-15", "2025-03-14T22:00", "2025-03-15T22:00"),
        ("yesterday", "2026-03-29T21:00", "2026-03-30T21:00"),
    ],
)
def test_a_bound_keeps_its_time_of_day(text: str, start: str, stop: str) -> None:
    found = phrases.bound(text, ZoneInfo("Europe/Tallinn"), parse_instant(NOW))
    assert shown(found) == shown(Period(parse_instant(_whole(start)), parse_instant(_whole(stop))))


def _whole(text: str) -> str:
    return text if text.endswith("Z") else text + "Z"


# ── zones, and clocks that leap ──────────────────────────────────────────────────────────────

LEAPS = [
    # a day of 23 hours and one of 25; and now, in the hour that comes twice
    ("Europe/Tallinn", NOW, "2026-03-29", "2026-03-28T22:00", "2026-03-29T21:00"),
    ("Europe/Tallinn", NOW, "2025-10-26", "2025-10-25T21:00", "2025-10-26T22:00"),
    ("Europe/Tallinn", "2025-10-26T01:30:00Z", "today", "2025-10-25T21:00", "2025-10-26T22:00"),
    ("Europe/Tallinn", NOW, "last 3 days", "2026-03-28T13:00", "2026-03-31T12:00:00.001Z"),
    ("Europe/Tallinn", NOW, "last 72 hours", "2026-03-28T12:00", "2026-03-31T12:00:00.001Z"),
    ("Europe/Tallinn", NOW, "last 1 week", "2026-03-24T13:00", "2026-03-31T12:00:00.001Z"),
    ("America/Chicago", NOW, "March 2025", "2025-03-01T06:00", "2025-04-01T05:00"),
    (
        "America/Chicago",
        "2026-01-01T05:59:00Z",
        "this year",
        "2025-01-01T06:00",
        "2026-01-01T06:00",
    ),
    (
        "America/Chicago",
        "2026-01-01T06:00:00Z",
        "this year",
        "2026-01-01T06:00",
        "2027-01-01T06:00",
    ),
    (
        "America/Chicago",
        "2026-03-02T05:00:00Z",
        "this week",
        "2026-02-23T06:00",
        "2026-03-02T06:00",
    ),
    ("Asia/Kolkata", "2026-03-31T18:30:00Z", "today", "2026-03-31T18:30", "2026-04-01T18:30"),
    ("Asia/Kolkata", "2026-03-31T18:29:59Z", "April", "2025-03-31T18:30", "2025-04-30T18:30"),
    ("Asia/Kolkata", "2026-03-31T18:30:00Z", "April", "2026-03-31T18:30", "2026-04-30T18:30"),
    # half an hour of summer time
    ("Australia/Lord_Howe", NOW, "2025-04-06", "2025-04-05T13:00", "2025-04-06T13:30"),
    ("Australia/Lord_Howe", NOW, "2025-10-05", "2025-10-04T13:30", "2025-10-05T13:00"),
    # 30 December 2011 never was: it is empty, and its neighbours meet
    ("Pacific/Apia", NOW, "2011-12-29", "2011-12-29T10:00", "2011-12-30T10:00"),
    ("Pacific/Apia", NOW, "2011-12-30", "2011-12-30T10:00", "2011-12-30T10:00"),
    ("Pacific/Apia", NOW, "2011-12-31", "2011-12-30T10:00", "2011-12-31T10:00"),
    ("Pacific/Apia", "2011-12-31T00:00:00Z", "yesterday", "2011-12-30T10:00", "2011-12-30T10:00"),
    # midnight left out: the day begins at 01:00
    ("America/Sao_Paulo", NOW, "2018-11-04", "2018-11-04T03:00", "2018-11-05T02:00"),
    # 23:30 leaps to 00:30: the day begins with the leap
    ("America/Toronto", NOW, "1919-03-31", "1919-03-31T04:30", "1919-04-01T04:00"),
]


@pytest.mark.parametrize(
    ("zone", "now", "text", "start", "stop"), LEAPS, ids=[f"{row[0]} {row[2]}" for row in LEAPS]
)
def test_days_begin_where_the_zone_says(
    zone: str, now: str, text: str, start: str, stop: str
) -> None:
    assert shown(read(text, zone, now)) == (start, stop)


def test_a_time_that_is_left_out_bounds_at_the_leap() -> None:
    """03:00 to 04:00 of 2026-03-29 is not on the clocks of Tallinn."""
    zone, now_ms = ZoneInfo("Europe/Tallinn"), parse_instant(NOW)
    for text in ("2026-03-29T03:00", "2026-03-29T03:30", "2026-03-29T04:00"):
        assert phrases.bound(text, zone, now_ms).start_ms == parse_instant("2026-03-29T01:00:00Z")


def test_a_time_that_comes_twice_is_both() -> None:
    found = phrases.bound("2025-10-26T03", ZoneInfo("Europe/Tallinn"), parse_instant(NOW))
    assert shown(found) == ("2025-10-26T00:00", "2025-10-26T02:00")


@pytest.mark.parametrize("weekday", range(7))
def test_weeks_start_on_monday(weekday: int) -> None:
    day = date(2026, 3, 2) + timedelta(days=weekday)
    assert shown(read("this week", now=f"{day}T23:59:59.999Z")) == (
        "2026-03-02T00:00",
        "2026-03-09T00:00",
    )


# ── the ends of the calendar ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_the_first_and_the_last_year_can_be_named(zone: str) -> None:
    first, last = read("0001", zone), read("9999", zone)
    assert first.start_ms is not None and EARLIEST_MS <= first.start_ms < EARLIEST_MS + DAY_MS
    assert last.holds(LATEST_MS - DAY_MS) and not last.holds(LATEST_MS - 367 * DAY_MS)
    assert read("between 0001 and 9999", "UTC") == (EARLIEST_MS, None)
    assert read("before 0001-01-01", "UTC") == (None, EARLIEST_MS)


@pytest.mark.parametrize(
    "text",
    [
        "0000",
        "0000-01-01",
        "after 9999",
        "after 9999-12-31",
        "999999 years ago",
        "999999 months ago",
        "999999 weeks ago",
        "999999 days ago",
        "last 999999 years",
        "last 999999 weeks",
        "15 March 0000",
        "March 0000",
        "Q1 0000",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
    ],
)
def test_what_lies_outside_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"out of range|nothing comes after|no such date"):
        read(text)


# ── properties ───────────────────────────────────────────────────────────────────────────────

NEAR = st.integers(parse_instant("1850-01-01"), parse_instant("2150-01-01"))
WORDS = st.sampled_from(
    [
        *("today", "yesterday", "this", "last", "past", "week", "month", "quarter", "year"),
        *("days", "ago", "since", "after", "before", "between", "and", "march", "q1", "2025"),
        *("0001", "9999", "2025-03", "15", "3", "0", "monday", ",", "T", "Z", ":", "-", "+"),
    ]
)


@FIXED
@given(st.one_of(st.text(max_size=40), st.lists(WORDS, max_size=6).map(" ".join)), NEAR)
@example("9999-12-31T23:59:59.999Z", 0)
@example("0001-01-01T00:00:00.000Z", 0)
def test_any_text_is_a_period_or_an_error(text: str, now_ms: int) -> None:
    for zone in map(ZoneInfo, ("UTC", "America/Chicago", "Pacific/Kiritimati")):
        try:
            found = phrases.period(text, zone, now_ms)
        except ValueError:
            continue
        assert found != Period()
        for ms in found:
            assert ms is None or EARLIEST_MS <= ms <= LATEST_MS
            assert ms is None or text_of(ms)


@FIXED
@given(st.dates(date(1850, 1, 1), date(2150, 1, 1)), st.sampled_from(ZONES))
@example(date(2011, 12, 30), "Pacific/Apia")
@example(date(1972, 1, 7), "Africa/Monrovia")
def test_days_follow_each_other_without_gap_and_hold_the_instants_of_their_date(
    day: date, name: str
) -> None:
    """An instant of the day, by `datetime` and not by our own arithmetic, lies in its period."""
    zone = ZoneInfo(name)
    found = read(day.isoformat(), name)
    assert found.stop_ms == read((day + timedelta(days=1)).isoformat(), name).start_ms
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=zone)
    exists = noon.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == noon.replace(tzinfo=None)
    assert found.holds((noon - EPOCH) // timedelta(milliseconds=1)) is exists


@FIXED
@given(NEAR, st.sampled_from(CALM))
def test_now_is_today_this_week_this_month_and_in_the_last_minute(now_ms: int, name: str) -> None:
    zone = ZoneInfo(name)
    for text in ("today", "this week", "this month", "this quarter", "this year", "last 1 minute"):
        assert phrases.period(text, zone, now_ms).holds(now_ms), text
    for text in ("yesterday", "last week", "last month", "last quarter", "last year"):
        found = phrases.period(text, zone, now_ms)
        assert (
            found.stop_ms
            == phrases.period(
                {"yesterday": "today"}.get(text, text.replace("last", "this")), zone, now_ms
            ).start_ms
        )


@FIXED
@given(NEAR, st.sampled_from(ZONES))
def test_an_instant_is_found_by_what_its_clock_shows(ms: int, name: str) -> None:
    """Where a time comes twice, the first is meant; `datetime` agrees with the offsets."""
    zone = ZoneInfo(name)
    shown_by_python = (EPOCH + timedelta(milliseconds=ms)).astimezone(zone)
    assert offset_ms(ms, zone) == shown_by_python.utcoffset() // timedelta(milliseconds=1)
    found = instant_of(ms + offset_ms(ms, zone), zone)
    assert found <= ms
    if found != ms:
        assert shown_by_python.fold == 1
