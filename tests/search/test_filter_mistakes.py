"""Filters that are wrong (contract 8.2 to 8.6): each is told, and none is lost."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialoguedb.errors import DialogueDBError, InvalidParameter
from dialoguedb.models.search import Search
from dialoguedb.models.times import parse_instant
from dialoguedb.search.conditions import Conditions
from dialoguedb.search.facets import key_of
from dialoguedb.search.filters import MAX_TESTS, Question, question

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=300)
NOW_MS = parse_instant("2026-03-31T12:00:00Z")


def asked(**fields: Any) -> Question:
    body = {"query": "x", "object": "message"} | fields
    return question(msgspec.json.decode(json.dumps(body), type=Search), NOW_MS)


def conditions(**fields: Any) -> Conditions:
    return asked(**fields).conditions


def refused(**fields: Any) -> InvalidParameter:
    with pytest.raises(DialogueDBError) as caught:
        asked(**fields)
    assert type(caught.value) is InvalidParameter
    return caught.value


def places(error: DialogueDBError) -> list[tuple[str | None, str]]:
    return [(detail.field, detail.code) for detail in error.details]


# ── mistakes ─────────────────────────────────────────────────────────────────────────────────

MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    *(
        ({"tags": value}, "tags", "INVALID")
        for value in ([], {}, "a", 1, None, [""], ["a", 1], [[]])
    ),
    ({"tags": {"$any": ["a"]}}, "tags.$any", "UNKNOWN_PARAMETER"),
    ({"tags": {"in": ["a"]}}, "tags.in", "UNKNOWN_PARAMETER"),
    *(({"tags": {"$in": v}}, "tags.$in", "INVALID") for v in ([], "a", None, [""], [1], {})),
    *(({"tags": {"$all": ["a"], "$nin": v}}, "tags.$nin", "INVALID") for v in ([], ["a", None])),
    *(({"metadata": v}, "metadata", "INVALID") for v in ([], "a", None, 1, [{"a": 1}])),
    *(
        ({"metadata": {"k": value}}, "metadata.k", "INVALID")
        for value in (None, {}, [], [None], ["a", 1], [1, True], [["a"]], [{}])
    ),
    ({"metadata": {"k": {"$regex": "a"}}}, "metadata.k.$regex", "UNKNOWN_PARAMETER"),
    ({"metadata": {"k": {"$all": ["a"]}}}, "metadata.k.$all", "UNKNOWN_PARAMETER"),
    ({"metadata": {"k": {"eq": "a"}}}, "metadata.k.eq", "UNKNOWN_PARAMETER"),
    ({"metadata": {"k": {"": "a"}}}, "metadata.k.", "UNKNOWN_PARAMETER"),
    *(
        ({"metadata": {"k": {"$eq": v}}}, "metadata.k.$eq", "INVALID")
        for v in (None, [], ["a"], {})
    ),
    *(({"metadata": {"k": {"$ne": v}}}, "metadata.k.$ne", "INVALID") for v in (None, ["a"])),
    *(
        ({"metadata": {"k": {name: v}}}, f"metadata.k.{name}", "INVALID")
        for name in ("$in", "$nin")
        for v in ("a", [], [None], ["a", 1], [0, False], [{}])
    ),
    *(
        ({"metadata": {"k": {name: v}}}, f"metadata.k.{name}", "INVALID")
        for name in ("$gt", "$gte", "$lt", "$lte")
        for v in (True, None, [1], {})
    ),
    ({"metadata": {"k": {"$gt": 1, "$lt": None}}}, "metadata.k.$lt", "INVALID"),
    *(({"filter": v}, "filter", "INVALID") for v in ([], "last week", None, 1, False)),
    ({"filter": {"Created": "2025"}}, "filter.Created", "UNKNOWN_PARAMETER"),
    ({"filter": {"metadata": {"a": 1}}}, "filter.metadata", "UNKNOWN_PARAMETER"),
    ({"filter": {"": 1}}, "filter.", "UNKNOWN_PARAMETER"),
    ({"filter": {"createdHour": 1}}, "filter.createdHour", "UNKNOWN_PARAMETER"),
    ({"filter": {"createdTimestamp": 1}}, "filter.createdTimestamp", "UNKNOWN_PARAMETER"),
    ({"filter": {"modifiedTimestamp": 1}}, "filter.modifiedTimestamp", "UNKNOWN_PARAMETER"),
    *(
        ({"filter": {name: value}}, f"filter.{name}", "INVALID")
        for name in ("created", "modified")
        for value in ({}, [], 2025, None, True, "", "someday", "2025-13", "last 0 days", "since")
    ),
    ({"filter": {"created": {"from": "2025"}}}, "filter.created.from", "UNKNOWN_PARAMETER"),
    ({"filter": {"created": {"$gte": "2025"}}}, "filter.created.$gte", "UNKNOWN_PARAMETER"),
    *(
        ({"filter": {"created": {name: value}}}, f"filter.created.{name}", "INVALID")
        for name in ("gte", "gt", "lte", "lt")
        for value in (2025, None, "", "someday", {}, "since 2025", "between 2024 and 2025")
    ),
    ({"filter": {"created": {"gt": "9999"}}}, "filter.created.gt", "INVALID"),
    ({"filter": {"created": {"gte": "2025", "lt": 5}}}, "filter.created.lt", "INVALID"),
    *(
        ({"filter": {"hasImage": v}}, "filter.hasImage", "INVALID")
        for v in (None, 0, 1, "true", [])
    ),
    ({"object": "memory", "filter": {"hasImage": "no"}}, "filter.hasImage", "INVALID"),
    *(({"filter": {"tags": v}}, "filter.tags", "INVALID") for v in ([], "a", None, {})),
    ({"filter": {"tags": {"$in": []}}}, "filter.tags.$in", "INVALID"),
    *(
        ({"filter": {"createdYear": v}}, "filter.createdYear", "INVALID")
        for v in (0, 10_000, "2025", 2025.5, True, None)
    ),
    *(({"filter": {"modifiedMonth": v}}, "filter.modifiedMonth", "INVALID") for v in (0, 13, "3")),
    *(({"filter": {"createdDay": v}}, "filter.createdDay", "INVALID") for v in (0, 32, -1)),
]


@pytest.mark.parametrize(
    ("fields", "place", "code"), MISTAKES, ids=[json.dumps(row[0]) for row in MISTAKES]
)
def test_a_mistake_is_told_where_it_is(fields: dict[str, Any], place: str, code: str) -> None:
    error = refused(**fields)
    assert places(error) == [(place, code)]
    assert error.message.startswith(f"Invalid {place}: ")


def test_retired_keys_name_what_to_use() -> None:
    assert "filter.modified" in refused(filter={"modifiedTimestamp": 5}).message


def test_unknown_keys_name_those_that_there_are() -> None:
    assert "created, modified, hasImage, tags" in refused(filter={"date": "2025"}).message


def test_all_mistakes_are_told_at_once() -> None:
    error = refused(
        tags=[],
        metadata={"a": None, "b": {"$gt": 1, "$x": 1}},
        filter={"created": {"gte": 1, "lt": "someday"}, "x": 1, "hasImage": 1, "createdDay": 40},
    )
    assert {place for place, _ in places(error)} == {
        *("tags", "metadata.a", "metadata.b.$x", "filter.created.gte", "filter.created.lt"),
        *("filter.x", "filter.hasImage", "filter.createdDay"),
    }


def test_an_answer_is_no_echo_of_megabytes() -> None:
    long = "x" * 1_000_000
    for fields in (
        {"metadata": {long: None}},
        {"metadata": {"k": {long: 1}}},
        {"filter": {long: 1}},
        {"filter": {"created": long}},
        {"filter": {f"k{number}": 1 for number in range(5000)}},
    ):
        error = refused(**fields)
        assert len(error.message) < 1500
        assert len(error.details) <= 100
        assert all(len(detail.field or "") < 200 for detail in error.details)


def test_conditions_are_bounded() -> None:
    some = {f"k{number}": number for number in range(MAX_TESTS)}
    assert len(conditions(metadata=some).metadata) == MAX_TESTS
    assert places(refused(metadata=some | {"k": 1})) == [("metadata", "TOO_MANY")]
    many = [f"t{number}" for number in range(MAX_TESTS + 1)]
    assert len(conditions(tags=many).tags) == 1
    assert places(refused(tags={"$all": many})) == [("tags", "TOO_MANY")]


# ── malformed never becomes no filter ────────────────────────────────────────────────────────

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 40),
    st.floats(-2, 2),
    st.sampled_from(["", "a", "2025", "last week", "someday", "$in"]),
)
NAMES = st.sampled_from(
    [
        *("$in", "$all", "$nin", "$eq", "$ne", "$gt", "gte", "lt", "created", "modified"),
        *("hasImage", "tags", "createdYear", "createdMonth", "createdTimestamp", "k", ""),
    ]
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@FIXED
@given(st.sampled_from(["tags", "metadata", "filter"]), JSON)
def test_every_part_of_a_filter_is_a_condition_or_an_error(field: str, value: Any) -> None:
    try:
        found = conditions(**{field: value})
    except InvalidParameter as error:
        assert error.details
        assert all((detail.field or "").split(".")[0] == field for detail in error.details)
        return
    if field == "tags":
        operators = value if isinstance(value, dict) else {"$in": value}
        wanted = {tag for tags in operators.values() for tag in tags}
        assert set().union(*(test.values or () for test in found.tags)) == wanted != set()
    elif field == "metadata":
        parts_of = [len(each) if isinstance(each, dict) else 1 for each in value.values()]
        assert len(found.metadata) == sum(parts_of)
        assert {test.key for test in found.metadata} == {key_of(key) for key in value}
    else:
        assert (found.has_image is None) == ("hasImage" not in value)
        assert bool(found.tags) == ("tags" in value)
        for name in ("created", "modified"):
            assert bool(getattr(found, name)) == any(key.startswith(name) for key in value)


GOOD: dict[str, Any] = {
    "tags": {"$in": ["a"], "$all": ["b"]},
    "metadata": {"k": {"$gte": 1}, "l": ["x", "y"], "m": True},
    "filter": {
        "created": {"gte": "2025", "lt": "last week"},
        "modified": "this year",
        "hasImage": True,
        "tags": ["c"],
        "createdMonth": 3,
    },
}


def ways(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the ways to every value inside a JSON value."""
    found = [way] if way else []
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        found += [deeper for key, each in items for deeper in ways(each, (*way, key))]
    return found


@pytest.mark.parametrize("bad", [None, {}, [], {"$no": []}, [None], {"": None}], ids=json.dumps)
@pytest.mark.parametrize("way", ways(GOOD), ids=lambda way: ".".join(map(str, way)))
def test_one_broken_part_breaks_the_request(way: tuple[Any, ...], bad: Any) -> None:
    """A value of a good request is replaced; only `{}` for metadata and filter says nothing."""
    body = json.loads(json.dumps(GOOD))
    inside = body
    for key in way[:-1]:
        inside = inside[key]
    inside[way[-1]] = bad
    if bad == {} and way in (("metadata",), ("filter",)):
        assert asked(**body)
        return
    error = refused(**body)
    assert all((detail.field or "").startswith(way[0]) for detail in error.details)
