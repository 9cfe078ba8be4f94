"""From a search request to a question: its filters checked and understood (contract 8.1 to 8.6).

A filter that is not understood is an error, never no filter.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import tzinfo
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Struct

from dialoguedb.errors import DialogueDBError, InvalidParameter
from dialoguedb.models.search import (
    MAX_RESULTS,
    Resolved,
    ResolvedFilter,
    ResolvedPeriod,
    Search,
    SearchByQuery,
    zone_of,
)
from dialoguedb.models.times import LATEST_MS, parse_period, parse_prefix, text_of
from dialoguedb.search import phrases
from dialoguedb.search.conditions import KINDS, RELATIONS, Conditions, FacetTest
from dialoguedb.search.facets import TAGS, Scalar, key_of
from dialoguedb.search.periods import DateParts, Period, TimeTest
from dialoguedb.wire import MAX_DETAILS, together

T = TypeVar("T")
#: Elementary tests of tags and metadata in one request; a resource has 10 tags and 100 keys.
MAX_TESTS = 1000
_METADATA_OPERATORS = ("$eq", "$ne", "$in", "$nin", *RELATIONS)
_TAG_OPERATORS = ("$in", "$all", "$nin")
_BOUNDS = ("gte", "gt", "lte", "lt")
_TIMES = ("created", "modified")
_PARTS = {"Year": (1, 9999), "Month": (1, 12), "Day": (1, 31)}
_OR_OPERATORS = f"or an object with {', '.join(_METADATA_OPERATORS)}"
_FILTER_KEYS = ("created", "modified", "hasImage", "tags")


class Question(Struct, frozen=True, kw_only=True):
    """A search request, whatever its form was.

    Attributes:
        object: what kind of resource is sought.
        query: the words, not empty.
        limit: 1..100.
        order_by: how the chosen results are sorted.
        order: in which direction.
        explain: whether results carry the parts of their scores.
        conditions: what results must be.
        resolved: how the request was understood, for the answer.
    """

    object: Literal["message", "dialogue", "memory"]
    query: str
    limit: int
    order_by: Literal["relevance", "created", "modified"]
    order: Literal["asc", "desc"]
    explain: bool
    conditions: Conditions
    resolved: Resolved


def question(request: Search | SearchByQuery, now_ms: int) -> Question:
    """Read a search request: all its forms end here.

    Args:
        request: as the wire has decoded it; types and rules of its fields are checked.
        now_ms: milliseconds since 1970 UTC, for phrases such as `last week`.
    Raises:
        InvalidParameter: a filter is malformed or not understood; its details name the fields.
    """
    reader = _Reader(zone_of(getattr(request, "timezone", "UTC")), now_ms)
    conditions = reader.conditions(request)
    if reader.found:
        raise together(reader.found)
    return Question(
        object=request.object,  # type: ignore[arg-type]  # the table requires it
        query=request.query,  # type: ignore[arg-type]  # likewise
        limit=min(request.limit, MAX_RESULTS),
        order_by=request.order_by,
        order=request.order,
        explain=request.explain,
        conditions=conditions,
        resolved=_resolved(request, conditions),
    )


def _resolved(request: Search | SearchByQuery, conditions: Conditions) -> Resolved:
    """Say how the request was understood (8.5); parts of a date are no instants."""
    times = {}
    for name in _TIMES:
        for test in getattr(conditions, name):
            if isinstance(test, Period):
                times[name] = ResolvedPeriod(
                    gte=UNSET if test.start_ms is None else text_of(test.start_ms),
                    lt=UNSET if test.stop_ms is None else text_of(test.stop_ms),
                )
    return Resolved(
        order_by=request.order_by,
        order=request.order,
        candidate_order_by="relevance",
        filter=ResolvedFilter(**times) if times else UNSET,
    )


def _invalid(field: str, problem: str, code: str = "INVALID") -> InvalidParameter:
    return InvalidParameter(f"Invalid {field}: {problem}", field=field, detail_code=code)


def _unknown(place: str, name: str, known: Iterable[str]) -> InvalidParameter:
    problem = f"it is not known here; known: {', '.join(known)}"
    return _invalid(_join(place, name), problem, "UNKNOWN_PARAMETER")


def _join(place: str, name: str) -> str:
    """Name a member; a name that is not ours is cut, since an answer is no echo of megabytes."""
    return f"{place}.{name if len(name) <= 64 else name[:64] + '…'}"


class _Reader:
    """Reads the filters of one request; what is wrong with them is noted in `found`."""

    def __init__(self, zone: tzinfo, now_ms: int) -> None:
        self.found: list[DialogueDBError] = []
        self._zone = zone
        self._now_ms = now_ms

    def _noted(self, read: Callable[..., T], *arguments: Any) -> tuple[T, ...]:
        """Give what `read` gives, or nothing and a note of what is wrong."""
        try:
            return (read(*arguments),)
        except InvalidParameter as error:
            if len(self.found) < MAX_DETAILS:
                self.found.append(error)
            return ()

    def conditions(self, request: Search | SearchByQuery) -> Conditions:
        """Read all filters of a request."""
        tags: tuple[FacetTest, ...] = ()
        metadata: tuple[FacetTest, ...] = ()
        filters: Mapping[str, Any] = {}
        if isinstance(request, SearchByQuery):
            tags = () if request.tags is UNSET else (_has_any(TAGS, request.tags),)
        else:
            if request.tags is not UNSET:
                tags = self._tags(msgspec.json.decode(request.tags), "tags")
            if request.metadata is not UNSET:
                metadata = self._metadata(msgspec.json.decode(request.metadata))
            if request.filter is not UNSET:
                filters = self._filter(msgspec.json.decode(request.filter))
        if "tags" in filters:
            tags += self._tags(filters["tags"], "filter.tags")
        if len(tags) + len(metadata) > MAX_TESTS:
            problem = f"at most {MAX_TESTS} conditions are allowed"
            field = "tags" if len(tags) > len(metadata) else "metadata"
            self.found.append(_invalid(field, problem, "TOO_MANY"))
        return Conditions(
            tags=tags,
            metadata=metadata,
            created=self._times("created", filters, _listed(request)),
            modified=self._times("modified", filters, []),
            has_image=self._has_image(request.object, filters),
            dialogue_id=request.dialogue_id or None,
            thread_of=request.thread_of or None,
        )

    # ── tags and metadata ──

    def _tags(self, value: Any, place: str) -> tuple[FacetTest, ...]:
        """Read a condition on tags (8.2)."""
        if isinstance(value, dict) and value:
            read = [self._noted(_tag_tests, name, each, place) for name, each in value.items()]
        else:
            read = [self._noted(_tag_tests, "$in", value, place, place)]
        return tuple(test for tests in read for each in tests for test in each)

    def _metadata(self, value: Any) -> tuple[FacetTest, ...]:
        """Read the conditions on metadata (8.3)."""
        if not isinstance(value, dict):
            self.found.append(_invalid("metadata", "use an object of conditions by key"))
            return ()
        tests: list[FacetTest] = []
        for name, condition in value.items():
            place, key = _join("metadata", name), key_of(name)
            if isinstance(condition, dict) and condition:
                for relation, operand in condition.items():
                    inner = _join(place, relation)
                    tests += self._noted(_metadata_test, key, relation, operand, inner)
            else:
                relation = "$in" if isinstance(condition, list) else "$eq"
                tests += self._noted(_metadata_test, key, relation, condition, place)
        return tuple(tests)

    # ── filter ──

    def _filter(self, value: Any) -> Mapping[str, Any]:
        """Check the keys of `filter` (8.4, 8.6)."""
        if not isinstance(value, dict):
            self.found.append(_invalid("filter", f"use an object with {', '.join(_FILTER_KEYS)}"))
            return {}
        for key in value:
            self._noted(_check_key, key)
        return value

    def _has_image(self, sought: Any, filters: Mapping[str, Any]) -> bool | None:
        """Read `hasImage`; false says something of messages only (8.4)."""
        value = filters.get("hasImage", UNSET)
        if value is UNSET:
            return None
        if not isinstance(value, bool):
            self.found.append(_invalid("filter.hasImage", "use true or false"))
            return None
        return value if value or sought == "message" else None

    def _times(
        self, name: str, filters: Mapping[str, Any], periods: list[Period]
    ) -> tuple[TimeTest, ...]:
        """Read all that a request says of one time; what it says twice must hold twice."""
        tests: tuple[TimeTest, ...] = ()
        if name in filters:
            periods = periods + self._range(f"filter.{name}", filters[name])
        for test in self._noted(self._parts, name, filters):
            if isinstance(test, Period):
                periods = [*periods, test]
            elif test is not None:
                tests = (test,)
        if periods:
            whole = Period()
            for period in periods:
                whole = whole.within(period)
            tests = (whole, *tests)
        return tests

    def _range(self, place: str, value: Any) -> list[Period]:
        if isinstance(value, str):
            return list(self._noted(self._understood, phrases.period, value, place))
        if not isinstance(value, dict) or not value:
            problem = f"use a date or phrase, or an object with {', '.join(_BOUNDS)}"
            self.found.append(_invalid(place, problem))
            return []
        return [
            period
            for key, text in value.items()
            for period in self._noted(self._bound, place, key, text)
        ]

    def _bound(self, place: str, key: str, text: Any) -> Period:
        if key not in _BOUNDS:
            raise _unknown(place, key, _BOUNDS)
        where = f"{place}.{key}"
        if not isinstance(text, str):
            raise _invalid(where, "use a date or phrase as text")
        start_ms, stop_ms = self._understood(phrases.bound, text, where)
        if key == "gt" and stop_ms is None:
            raise _invalid(where, "nothing comes after it")
        return {
            "gte": Period(start_ms, None),
            "gt": Period(stop_ms, None),
            "lte": Period(None, stop_ms),
            "lt": Period(None, start_ms),
        }[key]

    def _understood(
        self, read: Callable[[str, tzinfo, int], Period], text: str, place: str
    ) -> Period:
        try:
            return read(text, self._zone, self._now_ms)
        except ValueError as error:
            raise _invalid(place, str(error)) from None

    def _parts(self, name: str, filters: Mapping[str, Any]) -> TimeTest | None:
        """Read the parts of a date that old clients send (8.6)."""
        given = {
            part: _whole(f"filter.{name}{part}", filters[name + part], *bounds)
            for part, bounds in _PARTS.items()
            if name + part in filters
        }
        if not given:
            return None
        year, month, day = map(given.get, _PARTS)
        if year and (month or not day):
            text = f"{year:04}" + "".join(f"-{part:02}" for part in (month, day) if part)
            try:
                return phrases.bound(text, self._zone, self._now_ms)
            except ValueError:
                pass  # 31 February: no instant has these parts, which is what they say
        return DateParts(self._zone, year, month, day)


def _listed(request: Search | SearchByQuery) -> list[Period]:
    """Read the dates that lists take too (8.6, 1.8), in UTC; `created` wins over the range."""
    if request.created is not UNSET:
        start_ms, stop_ms = parse_prefix(request.created)
        return [Period(start_ms, stop_ms if stop_ms <= LATEST_MS else None)]
    found = []
    if request.start_date is not UNSET:
        found.append(Period(parse_period(request.start_date).start_ms, None))
    if request.end_date is not UNSET:
        stop_ms = parse_period(request.end_date).end_ms
        found.append(Period(None, stop_ms if stop_ms <= LATEST_MS else None))
    return found


def _whole(place: str, value: Any, least: int, most: int) -> int:
    """Read a whole number; JSON has one kind of number, so 3.0 is one too."""
    if KINDS.get(type(value)) != "number" or value != int(value) or not least <= value <= most:
        raise _invalid(place, f"use a whole number from {least} to {most}")
    return int(value)


def _check_key(key: str) -> None:
    time, part = next(
        ((time, key.removeprefix(time)) for time in _TIMES if key.startswith(time)), ("", "")
    )
    if part == "Timestamp":
        problem = f"use filter.{time} with {', '.join(_BOUNDS)} instead"
        raise _invalid(f"filter.{key}", problem, "UNKNOWN_PARAMETER")
    if key not in _FILTER_KEYS and not (time and part in _PARTS):
        raise _unknown("filter", key, _FILTER_KEYS)


def _has_any(key: str, values: Iterable[Scalar], *, wanted: bool = True) -> FacetTest:
    """Make the test of a set of values of one kind, not empty."""
    accepted = frozenset(values)
    return FacetTest(key, KINDS[type(next(iter(accepted)))], wanted, accepted)


def _tag_tests(name: str, value: Any, place: str, where: str = "") -> list[FacetTest]:
    if name not in _TAG_OPERATORS:
        raise _unknown(place, name, _TAG_OPERATORS)
    good = isinstance(value, list) and value and all(isinstance(tag, str) and tag for tag in value)
    if not good:
        hint = f", or an object with {', '.join(_TAG_OPERATORS)}" if where else ""
        raise _invalid(where or _join(place, name), f"use a list of tags, not empty{hint}")
    if name == "$all":
        return [_has_any(TAGS, [tag]) for tag in dict.fromkeys(value)]
    return [_has_any(TAGS, value, wanted=name == "$in")]


def _metadata_test(key: str, relation: str, operand: Any, place: str) -> FacetTest:
    if relation in ("$eq", "$ne"):
        if type(operand) not in KINDS:
            raise _invalid(place, f"use a string, a number or a boolean, {_OR_OPERATORS}")
        return _has_any(key, [operand], wanted=relation == "$eq")
    if relation in ("$in", "$nin"):
        kinds = {KINDS.get(type(one)) for one in operand} if isinstance(operand, list) else set()
        if len(kinds) != 1 or None in kinds:
            raise _invalid(place, "use a list, not empty, of strings, of numbers or of booleans")
        return _has_any(key, operand, wanted=relation == "$in")
    if relation not in RELATIONS:
        raise _unknown(place.removesuffix(f".{relation}"), relation, _METADATA_OPERATORS)
    kind = KINDS.get(type(operand), "")
    if kind not in ("string", "number"):
        raise _invalid(place, "use a number or a string")
    return FacetTest(key, kind, relation=relation, operand=operand)
