"""Dates in words, as people and agents write them in filters (contract 8.4).

All is read on the calendar of a time zone; weeks start on Monday; case and spaces do not matter.
"""

import re
from collections.abc import Callable
from datetime import date, tzinfo
from typing import NamedTuple

from dialoguedb.models.times import EARLIEST_MS, LATEST_MS, MILLISECONDS_A_DAY, parse_period
from dialoguedb.search.periods import Period, instant_of, offset_ms

#: Longer texts are no phrases.
MAX_LENGTH = 100
EXAMPLES = (
    "2025-03, 2025-03-15T10:00:00Z, today, last week, last 7 days, 3 months ago, March 2025, "
    "15 March 2025, Q1 2025, monday, since yesterday, between May 2024 and June 2025"
)
_MONTHS = [
    *("january", "february", "march", "april", "may", "june", "july", "august", "september"),
    *("october", "november", "december"),
]
_MONTH_NUMBERS = {
    name: number for number, month in enumerate(_MONTHS, start=1) for name in (month, month[:3])
} | {"sept": 9}
_WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MINUTE_MS = 60_000
_LENGTHS_MS = {
    "minute": _MINUTE_MS,
    "hour": 60 * _MINUTE_MS,
    "day": MILLISECONDS_A_DAY,
    "week": 7 * MILLISECONDS_A_DAY,
}
_MONTHS_IN = {"month": 1, "quarter": 3, "year": 12}


class Clock(NamedTuple):
    """Where and when a phrase is read: a time zone, and now in milliseconds since 1970 UTC."""

    zone: tzinfo
    now_ms: int

    @property
    def wall_ms(self) -> int:
        """Milliseconds since 1970 on the zone's own clock."""
        return self.now_ms + offset_ms(self.now_ms, self.zone)

    @property
    def today(self) -> int:
        """The day of the calendar, numbered from 1970-01-01 as 0."""
        return self.wall_ms // MILLISECONDS_A_DAY


def period(text: str, zone: tzinfo, now_ms: int) -> Period:
    """Read a date or phrase that stands alone: a full instant means its whole day.

    Args:
        text: such as `2025-03`, `last week`, `since monday`.
        zone: where days begin.
        now_ms: milliseconds since 1970 UTC.
    Raises:
        ValueError: it is not understood, or lies outside the years 1 to 9999; its message says so.
    """
    clock = Clock(zone, now_ms)
    words = _words(text)
    for beginning, read in _OPEN:
        if found := beginning.fullmatch(words):
            return read(clock, *found.groups())
    if _INSTANT.fullmatch(words):
        start_ms = _date_time(words, clock).start_ms or EARLIEST_MS
        day = (start_ms + offset_ms(start_ms, zone)) // MILLISECONDS_A_DAY
        return _within(*_of_days(day, day + 1, clock))
    return _named(words, clock)


def bound(text: str, zone: tzinfo, now_ms: int) -> Period:
    """Read a date or phrase that bounds a range: a time of day stays one.

    Args and errors are those of `period`; `since`, `after`, `before` and `between` bound by
    themselves and are refused here.
    """
    return _named(_words(text), Clock(zone, now_ms))


def _words(text: str) -> str:
    if len(text) > MAX_LENGTH:
        raise _not_understood(text)
    return " ".join(text.lower().split())


def _not_understood(text: str) -> ValueError:
    shown = text if len(text) <= MAX_LENGTH else text[:MAX_LENGTH] + "…"
    return ValueError(f"'{shown}' is not understood; examples: {EXAMPLES}")


def _named(words: str, clock: Clock) -> Period:
    """Read what names a period by itself."""
    for form, read in _FORMS:
        if found := form.fullmatch(words):
            return _within(*read(clock, *found.groups()))
    if _ISO.fullmatch(words):
        return _date_time(words, clock)
    raise _not_understood(words)


def _within(start_ms: int, stop_ms: int) -> Period:
    """Keep a period inside the years that there are; what reaches their end has no bound."""
    if start_ms > LATEST_MS or stop_ms < EARLIEST_MS:
        raise ValueError("the time is out of range")
    return Period(max(start_ms, EARLIEST_MS), stop_ms if stop_ms <= LATEST_MS else None)


# ── ISO 8601 ─────────────────────────────────────────────────────────────────────────────────

_ISO = re.compile(r"\d{4}(?:-\d\d){0,2}|(?:\d{4}-\d\d-\d\dt[\d:.]+(?:z|[+-][\d:]+)?)", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dt.*", re.ASCII)
_ZONED = re.compile(r".*t.*(?:z|[+-][\d:]+)", re.ASCII)


def _date_time(words: str, clock: Clock) -> Period:
    """Read a date or date-time as what it names; without an offset it is the zone's own."""
    named = parse_period(words.upper())
    if _ZONED.fullmatch(words):
        return _within(named.start_ms, named.end_ms)
    return _within(instant_of(named.start_ms, clock.zone), instant_of(named.end_ms, clock.zone))


# ── days, weeks, months ──────────────────────────────────────────────────────────────────────

Bounds = tuple[int, int]


def _of_days(first: int, after: int, clock: Clock) -> Bounds:
    """Give the instants at which two days begin; the second is not part of the period."""
    return (
        instant_of(first * MILLISECONDS_A_DAY, clock.zone),
        instant_of(after * MILLISECONDS_A_DAY, clock.zone),
    )


def _first_day(month: int) -> int:
    """Number the first day of a month that is counted from January of the year 0."""
    year, index = divmod(month, 12)
    if (year, index) == (10_000, 0):
        return date.max.toordinal() + 1 - _EPOCH_DAY
    return _day(year, index + 1, 1)


def _day(year: int, month: int, day: int) -> int:
    try:
        return date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError as error:
        raise ValueError(f"there is no such date: {error}") from None


def _date_of(day: int) -> date:
    try:
        return date.fromordinal(day + _EPOCH_DAY)
    except (ValueError, OverflowError):
        raise ValueError("the time is out of range") from None


def _unit(clock: Clock, unit: str, back: int) -> Bounds:
    """Give the day, week, month, quarter or year that lies `back` of them before today's."""
    if unit in _LENGTHS_MS:
        days = _LENGTHS_MS[unit] // MILLISECONDS_A_DAY
        first = clock.today - back * days
        if unit == "week":
            first -= _date_of(clock.today).weekday()
        return _of_days(first, first + days, clock)
    months = _MONTHS_IN[unit]
    today = _date_of(clock.today)
    number = (today.year * 12 + today.month - 1) // months - back
    return _of_days(_first_day(number * months), _first_day((number + 1) * months), clock)


def _near_day(clock: Clock, name: str) -> Bounds:
    return _unit(clock, "day", 0 if name == "today" else 1)


def _near_unit(clock: Clock, which: str, unit: str) -> Bounds:
    return _unit(clock, unit, 0 if which == "this" else 1)


def _ago(clock: Clock, count: str, unit: str) -> Bounds:
    return _unit(clock, unit, int(count))


def _rolling(clock: Clock, count: str, unit: str) -> Bounds:
    """Give the time that ends now; days and longer are counted on the calendar."""
    number = int(count)
    if unit in ("minute", "hour"):
        start_ms = clock.now_ms - number * _LENGTHS_MS[unit]
    elif unit in _LENGTHS_MS:
        start_ms = instant_of(clock.wall_ms - number * _LENGTHS_MS[unit], clock.zone)
    else:
        start_ms = instant_of(_months_back(clock, number * _MONTHS_IN[unit]), clock.zone)
    if start_ms < EARLIEST_MS:
        raise ValueError("the time is out of range")
    return start_ms, clock.now_ms + 1  # what was written this millisecond is in it


def _months_back(clock: Clock, months: int) -> int:
    """Turn the clock back by months; a month that is too short ends it: 31 March, 28 February."""
    today = _date_of(clock.today)
    month = today.year * 12 + today.month - 1 - months
    day = min(_first_day(month) + today.day, _first_day(month + 1)) - 1
    return day * MILLISECONDS_A_DAY + clock.wall_ms % MILLISECONDS_A_DAY


def _month(clock: Clock, name: str, year: str | None) -> Bounds:
    number = _MONTH_NUMBERS[name]
    if year is None:
        today = _date_of(clock.today)
        chosen = today.year - (number > today.month)
    else:
        chosen = int(year)
    month = chosen * 12 + number - 1
    return _of_days(_first_day(month), _first_day(month + 1), clock)


def _day_first(clock: Clock, day: str, name: str, year: str) -> Bounds:
    first = _day(int(year), _MONTH_NUMBERS[name], int(day))
    return _of_days(first, first + 1, clock)


def _month_first(clock: Clock, name: str, day: str, year: str) -> Bounds:
    return _day_first(clock, day, name, year)


def _quarter(clock: Clock, number: str, year: str) -> Bounds:
    month = int(year) * 12 + (int(number) - 1) * 3
    return _of_days(_first_day(month), _first_day(month + 3), clock)


def _weekday(clock: Clock, last: str | None, name: str) -> Bounds:
    """Give the latest day of that name: today may be it, unless `last` is said."""
    back = (_date_of(clock.today).weekday() - _WEEKDAYS.index(name)) % 7
    return _unit(clock, "day", back or (7 if last else 0))


_NAME = "|".join(sorted(_MONTH_NUMBERS, key=len, reverse=True))
_COUNT = r"([1-9]\d{0,5})"
_FORMS: tuple[tuple[re.Pattern[str], Callable[..., Bounds]], ...] = tuple(
    (re.compile(form, re.ASCII), read)
    for form, read in (
        (r"(today|yesterday)", _near_day),
        (r"(this|last) (week|month|quarter|year)", _near_unit),
        (rf"(?:last|past) {_COUNT} (minute|hour|day|week|month|year)s?", _rolling),
        (rf"{_COUNT} (day|week|month|year)s? ago", _ago),
        (rf"({_NAME})(?: (\d{{4}}))?", _month),
        (rf"(\d{{1,2}}) ({_NAME}) (\d{{4}})", _day_first),
        (rf"({_NAME}) (\d{{1,2}}),? (\d{{4}})", _month_first),
        (r"q([1-4]) (\d{4})", _quarter),
        (rf"(last )?({'|'.join(_WEEKDAYS)})", _weekday),
    )
)


# ── since, after, before, between ────────────────────────────────────────────────────────────


def _since(clock: Clock, words: str) -> Period:
    return Period(_named(words, clock).start_ms, None)


def _after(clock: Clock, words: str) -> Period:
    stop_ms = _named(words, clock).stop_ms
    if stop_ms is None:
        raise ValueError("nothing comes after it")
    return Period(stop_ms, None)


def _before(clock: Clock, words: str) -> Period:
    return Period(None, _named(words, clock).start_ms)


def _between(clock: Clock, first: str, last: str) -> Period:
    return Period(_named(first, clock).start_ms, _named(last, clock).stop_ms)


_OPEN: tuple[tuple[re.Pattern[str], Callable[..., Period]], ...] = (
    (re.compile(r"since (.+)"), _since),
    (re.compile(r"after (.+)"), _after),
    (re.compile(r"before (.+)"), _before),
    (re.compile(r"between (.+?) and (.+)"), _between),
)
