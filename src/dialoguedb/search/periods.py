"""Tests of an instant: spans of time, and parts of a date on the calendar of a time zone."""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dialoguedb.models.times import EARLIEST_MS, LATEST_MS, MILLISECONDS_A_DAY

Instants = NDArray[np.int64]
Mask = NDArray[np.bool_]

_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Offsets from UTC are less than a day; nearer to the ends of the calendar none can be asked for.
_FIRST_MS, _LAST_MS = EARLIEST_MS + MILLISECONDS_A_DAY, LATEST_MS - MILLISECONDS_A_DAY


class Period(NamedTuple):
    """A half-open span of time: `start_ms` <= t < `stop_ms`, milliseconds since 1970 UTC.

    None is no bound. A period whose start is not before its stop holds nothing.
    """

    start_ms: int | None = None
    stop_ms: int | None = None

    def holds(self, ms: int) -> bool:
        """Tell whether an instant lies in it."""
        return (self.start_ms is None or self.start_ms <= ms) and (
            self.stop_ms is None or ms < self.stop_ms
        )

    def holds_array(self, ms: Instants) -> Mask:
        """Tell it of each of n instants, int64 milliseconds since 1970 UTC."""
        mask: Mask = np.ones(len(ms), np.bool_)
        if self.start_ms is not None:
            mask &= ms >= self.start_ms
        if self.stop_ms is not None:
            mask &= ms < self.stop_ms
        return mask

    def within(self, other: "Period") -> "Period":
        """Give what lies in both."""
        starts = [ms for ms in (self.start_ms, other.start_ms) if ms is not None]
        stops = [ms for ms in (self.stop_ms, other.stop_ms) if ms is not None]
        return Period(max(starts, default=None), min(stops, default=None))


class DateParts(NamedTuple):
    """Parts of a date in a time zone (contract 8.6); a part that is None may be any.

    Attributes:
        zone: on whose calendar.
        year: 1..9999.
        month: 1..12.
        day: 1..31.
    """

    zone: tzinfo
    year: int | None = None
    month: int | None = None
    day: int | None = None

    def holds(self, ms: int) -> bool:
        """Tell whether an instant lies on such a date."""
        return bool(self.holds_array(np.array([ms], np.int64))[0])

    def holds_array(self, ms: Instants) -> Mask:
        """Tell it of each of n instants, int64 milliseconds since 1970 UTC."""
        if not len(ms):
            return np.zeros(0, np.bool_)
        days, places = _days((ms + offsets_ms(ms, self.zone)) // MILLISECONDS_A_DAY)
        dates = days.astype("datetime64[D]")
        months = dates.astype("datetime64[M]")
        numbers = months.astype(np.int64)
        mask: Mask = np.ones(len(days), np.bool_)
        if self.year is not None:
            mask &= numbers // 12 + 1970 == self.year
        if self.month is not None:
            mask &= numbers % 12 + 1 == self.month
        if self.day is not None:
            mask &= (dates - months.astype("datetime64[D]")).astype(np.int64) + 1 == self.day
        return mask[places]


TimeTest = Period | DateParts


def _moment(ms: int) -> datetime:
    """Make the datetime of milliseconds since 1970, within the years 1 to 9999."""
    return _EPOCH + timedelta(milliseconds=min(max(ms, EARLIEST_MS), LATEST_MS))


def offset_ms(ms: int, zone: tzinfo) -> int:
    """Find a zone's offset from UTC at an instant, in milliseconds."""
    moment = _moment(min(max(ms, _FIRST_MS), _LAST_MS))
    return _in_ms(moment.astimezone(zone).utcoffset())


def offsets_ms(ms: Instants, zone: tzinfo) -> Instants:
    """Find a zone's offset from UTC at each of n instants, n > 0, in milliseconds.

    The zone is asked twice for each day of UTC; only on days that begin and end with different
    offsets, for each instant.
    """
    days, places = _days(ms // MILLISECONDS_A_DAY)
    begin = np.array([offset_ms(int(day) * MILLISECONDS_A_DAY, zone) for day in days], np.int64)
    end = np.array([offset_ms(int(day + 1) * MILLISECONDS_A_DAY, zone) for day in days], np.int64)
    found = begin[places]
    for place in np.flatnonzero((begin != end)[places]):
        found[place] = offset_ms(int(ms[place]), zone)
    return found


def _days(days: Instants) -> tuple[Instants, Instants]:
    """List the distinct days, and for each element its place in that list."""
    first, last = int(days.min()), int(days.max())
    if last - first > 1_000_000:  # a table of more would cost more than sorting
        distinct, places = np.unique(days, return_inverse=True)
        return distinct, places.astype(np.int64)
    present = np.zeros(last - first + 1, np.bool_)
    present[days - first] = True
    places = np.cumsum(present) - 1
    return np.flatnonzero(present) + first, places[days - first]


def instant_of(wall_ms: int, zone: tzinfo) -> int:
    """Find the first instant at which the clock of a zone shows a time, or has passed it.

    Args:
        wall_ms: milliseconds since 1970 on that clock. A time that comes twice is its first; one
            that is left out is the instant at which the clock leaps over it.
        zone: the time zone.
    Returns: milliseconds since 1970 UTC.
    """
    shown = _moment(wall_ms)
    first, second = (
        wall_ms - _in_ms(shown.replace(tzinfo=zone, fold=fold).utcoffset()) for fold in (0, 1)
    )
    if first <= second:
        return first
    while first - second > 1:  # the leap lies in (second, first]
        middle = (first + second) // 2
        if middle + offset_ms(middle, zone) < wall_ms:
            second = middle
        else:
            first = middle
    return first


def _in_ms(offset: timedelta | None) -> int:
    return (offset or timedelta(0)) // _MILLISECOND
