"""Instants and periods (contract 1.8, 3.2), held against `datetime` and against plain text."""

import calendar
import contextlib
import itertools
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dialoguedb.models.times import (
    EARLIEST_MS,
    LATEST_MS,
    parse_instant,
    parse_period,
    parse_prefix,
    text_of,
)

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=80)
INSTANTS = st.integers(EARLIEST_MS, LATEST_MS)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_MS = 86_400_000


def moment(ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=ms)


def in_ms(when: datetime) -> int:
    return (when - EPOCH) // timedelta(milliseconds=1)


@FIXED
@given(INSTANTS)
@example(EARLIEST_MS)
@example(LATEST_MS)
@example(-1)
@example(0)
def test_an_instant_is_written_as_datetime_writes_it(ms: int) -> None:
    """Over the whole range, also before 1970: `YYYY-MM-DDTHH:mm:ss.sssZ`."""
    expected = moment(ms).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    assert text_of(ms) == expected


@FIXED
@given(INSTANTS)
def test_what_was_written_is_read_back(ms: int) -> None:
    """Text and number are the same instant."""
    assert parse_instant(text_of(ms)) == ms


@FIXED
@given(INSTANTS, INSTANTS)
def test_texts_sort_as_their_instants_do(one: int, other: int) -> None:
    """The order of texts is the order of time."""
    assert (one < other) == (text_of(one) < text_of(other))


@FIXED
@given(
    st.integers(EARLIEST_MS + DAY_MS, LATEST_MS - DAY_MS),
    st.integers(-(23 * 60 + 59), 23 * 60 + 59),
    st.sampled_from(["", ":"]),
    st.sampled_from("Tt"),
)
def test_any_offset_is_brought_to_utc(ms: int, minutes: int, colon: str, letter: str) -> None:
    """`+hh:mm` and `+hhmm` are read as `datetime` reads them."""
    zone = timezone(timedelta(minutes=minutes))
    local = moment(ms).astimezone(zone).replace(tzinfo=None)
    sign = "-" if minutes < 0 else "+"
    offset = f"{sign}{abs(minutes) // 60:02d}{colon}{abs(minutes) % 60:02d}"
    text = local.isoformat(timespec="milliseconds").replace("T", letter) + offset
    assert parse_instant(text) == ms


@FIXED
@given(INSTANTS, st.text("0123456789", min_size=1, max_size=15))
def test_digits_after_the_third_are_cut_off(ms: int, more: str) -> None:
    """Never rounded: 0.9999 s is 0.999 s."""
    assert parse_instant(text_of(ms)[:-1] + more + "Z") == ms


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("2025-01-31", "2025-01-31T00:00:00.000Z"),
        ("2025-01-31T09", "2025-01-31T09:00:00.000Z"),
        ("2025-01-31T09:30", "2025-01-31T09:30:00.000Z"),
        ("2025-01-31T09:30Z", "2025-01-31T09:30:00.000Z"),
        ("2025-01-31T09:30:01", "2025-01-31T09:30:01.000Z"),
        ("2025-01-31T09:30:01z", "2025-01-31T09:30:01.000Z"),
        ("2025-01-31T09:30:01.5Z", "2025-01-31T09:30:01.500Z"),
        ("2025-01-31T09:30:01.05Z", "2025-01-31T09:30:01.050Z"),
        ("2025-01-31T09:30:01+02", "2025-01-31T07:30:01.000Z"),
        ("2025-01-31T09:30:01-00:00", "2025-01-31T09:30:01.000Z"),
        ("2024-02-29T23:30:00-01:00", "2024-03-01T00:30:00.000Z"),
        ("0001-01-01", "0001-01-01T00:00:00.000Z"),
        ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999Z"),
    ],
)
def test_the_usual_spellings_are_read(text: str, same_as: str) -> None:
    """A missing zone is UTC, a date alone its midnight, a missing part zero."""
    assert text_of(parse_instant(text)) == same_as


BAD_INSTANTS = [
    "", " ", "yesterday", "2025", "2025-01", "2025-1-1", "20250131", "2025-13-01", "2025-00-01",
    "2025-01-00", "2025-02-29", "2025-04-31", "2025-01-31 09:30", "2025-01-31T24:00",
    "2025-01-31T09:60", "2025-01-31T09:30:60", "2025-01-31T09:30:00.", "2025-01-31T09:30:00,5",
    "2025-01-31T09:30:00+24:00", "2025-01-31T09:30:00+01:60", "2025-01-31T09:30:00+1",
    "2025-01-31T", "2025-01-31Z", "2025-01-31T09:30:00ZZ", " 2025-01-31", "2025-01-31\n",
    "0000-01-01", "10000-01-01", "-2025-01-01", "+2025-01-01", "0001-01-01T00:00:00+00:01",
    "9999-12-31T23:59:59-00:01", "2025-01-31T09:30:00." + "1" * 19, "1738315800",
    "\u0662\u0660\u0662\u0665-\u0660\u0661-\u0663\u0661",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_INSTANTS)
def test_what_is_no_instant_is_refused_with_a_reason(text: str) -> None:
    """Every error is a ValueError whose text says something."""
    with pytest.raises(ValueError, match=r"\w{3}"):
        parse_instant(text)


@FIXED
@given(st.one_of(st.text(max_size=30), st.text("0123456789-T:.Z+", max_size=30)))
def test_no_text_breaks_a_parser(text: str) -> None:
    """Whatever comes, the answer is a time in range or a ValueError."""
    for parse in (parse_period, parse_prefix):
        try:
            period = parse(text)
        except ValueError:
            continue
        assert EARLIEST_MS <= period.start_ms < period.end_ms <= LATEST_MS + 1
    with contextlib.suppress(ValueError):
        assert EARLIEST_MS <= parse_instant(text) <= LATEST_MS


# ── prefixes ─────────────────────────────────────────────────────────────────────────────────


@FIXED
@given(INSTANTS, st.integers(1, 24), st.lists(INSTANTS, max_size=5), st.data())
def test_a_prefix_is_the_period_of_all_stamps_that_begin_so(
    ms: int, length: int, others: list[int], data: st.DataObject
) -> None:
    """The oracle is the definition: `text_of(t).startswith(prefix)`, near and far."""
    prefix = text_of(ms)[:length]
    start, end = parse_prefix(prefix)
    near = data.draw(st.lists(st.integers(start - DAY_MS, end + DAY_MS), max_size=5))
    for t in (ms, start - 1, start, end - 1, end, *near, *others):
        if EARLIEST_MS <= t <= LATEST_MS:
            assert (start <= t < end) == text_of(t).startswith(prefix), text_of(t)


@pytest.mark.parametrize(
    "text",
    ["", "0000", "2025-2", "2025-13", "2025-00", "2025-02-3", "2025-02-29", "2025-04-31",
     "2025-01-15T3", "2025-01-15T24", "2025-01-15T10:6", "2025-01-15T10:00:60", "x", "2025-x",
     "2025-01-15T10:00:00.000ZZ", "\u0662\u0660\u0662\u0665"],
)  # fmt: skip
def test_a_beginning_of_no_date_is_refused(text: str) -> None:
    """Nothing can match it, so the caller is told."""
    with pytest.raises(ValueError, match=r"\w{3}"):
        parse_prefix(text)


@pytest.mark.parametrize(
    ("text", "length_ms"),
    [
        ("2025-01-15T10:00:00+02:00", 1000),
        ("2025-01-15T10:00+02:00", 60_000),
        ("2025-01-15T10Z", 3_600_000),
        ("2025-01-15t10", 3_600_000),
        ("2025-01-15T10:00:00.1234Z", 1),
    ],
)
def test_a_time_that_is_no_beginning_of_a_stamp_is_read_as_a_period(
    text: str, length_ms: int
) -> None:
    """A full time stamp in another spelling is just the longest prefix."""
    period = parse_prefix(text)
    assert period == parse_period(text)
    assert period.end_ms - period.start_ms == length_ms


# ── periods ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("year", [1, 4, 100, 1900, 1969, 1970, 2000, 2023, 2024, 2100, 9999])
def test_a_month_and_a_year_are_as_long_as_the_calendar_says(year: int) -> None:
    """Leap years, centuries, and the last year that has a name."""
    months = [parse_period(f"{year:04d}-{month:02d}") for month in range(1, 13)]
    for month, period in enumerate(months, 1):
        assert period.start_ms == in_ms(datetime(year, month, 1, tzinfo=UTC))
        days = calendar.monthrange(year, month)[1]
        assert period.end_ms - period.start_ms == days * DAY_MS
    assert all(a.end_ms == b.start_ms for a, b in itertools.pairwise(months))
    whole = parse_period(f"{year:04d}")
    assert whole == (months[0].start_ms, months[-1].end_ms)


def test_the_last_year_ends_where_time_ends() -> None:
    """Its end has no date of its own, and is given nevertheless."""
    for text in ("9999", "9999-12", "9999-12-31", "9999-12-31T23:59:59.999"):
        assert parse_period(text).end_ms == LATEST_MS + 1


@pytest.mark.parametrize(
    ("text", "length_ms"),
    [
        ("2025-01-31", DAY_MS),
        ("2025-01-31T09", 3_600_000),
        ("2025-01-31T09:30", 60_000),
        ("2025-01-31T09:30:01", 1000),
        ("2025-01-31T09:30:01.5", 100),
        ("2025-01-31T09:30:01.05", 10),
        ("2025-01-31T09:30:01.005", 1),
        ("2025-01-31T09:30:01.0059", 1),
    ],
)
def test_a_period_is_as_long_as_its_least_part(text: str, length_ms: int) -> None:
    """From a day down to a millisecond; it begins with the instant of the same text."""
    period = parse_period(text)
    assert period.end_ms - period.start_ms == length_ms
    assert period.start_ms == parse_instant(text)


@pytest.mark.parametrize("text", sorted(set(BAD_INSTANTS) - {"2025", "2025-01"}))
def test_what_is_no_period_is_refused_with_a_reason(text: str) -> None:
    """The same texts that are no instants, but for a year or a month alone."""
    with pytest.raises(ValueError, match=r"\w{3}"):
        parse_period(text)
