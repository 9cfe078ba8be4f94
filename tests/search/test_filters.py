"""What filters mean (contract 8.1 to 8.4): tags, metadata, images, dialogues, defaults."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialoguedb.models.search import Search, SearchByQuery, zone_of
from dialoguedb.models.times import parse_instant
from dialoguedb.search.conditions import Conditions, Facts
from dialoguedb.search.facets import TAGS, facet, key_of, parts
from dialoguedb.search.filters import Question, question

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=150)
NOW_MS = parse_instant("2026-03-31T12:00:00Z")
JUNE_MS = parse_instant("2025-06-15T12:00:00Z")


def asked(**fields: Any) -> Question:
    body = {"query": "x", "object": "message"} | fields
    return question(msgspec.json.decode(json.dumps(body), type=Search), NOW_MS)


def conditions(**fields: Any) -> Conditions:
    return asked(**fields).conditions


def resource(
    tags: Sequence[str] = (), metadata: Mapping[str, Any] | None = None, **other: Any
) -> Facts:
    facts = {"created_ms": JUNE_MS, "modified_ms": JUNE_MS} | other
    return Facts(tags=tags, metadata=metadata or {}, **facts)


# ── tags ─────────────────────────────────────────────────────────────────────────────────────

TAG_CASES = [
    (["a"], ["a"], True),
    (["a", "b"], ["b", "c"], True),
    (["a", "b"], ["c"], False),
    (["a"], [], False),
    (["a"], ["A"], False),
    ({"$in": ["a", "b"]}, ["b"], True),
    ({"$all": ["a", "b"]}, ["b", "a", "c"], True),
    ({"$all": ["a", "b"]}, ["b"], False),
    ({"$all": ["a", "a"]}, ["a"], True),
    ({"$nin": ["a", "b"]}, ["c"], True),
    ({"$nin": ["a", "b"]}, [], True),
    ({"$nin": ["a", "b"]}, ["c", "b"], False),
    ({"$in": ["a"], "$nin": ["b"]}, ["a"], True),
    ({"$in": ["a"], "$nin": ["b"]}, ["a", "b"], False),
    ({"$in": ["a"], "$all": ["b", "c"]}, ["a", "b"], False),
    (["x" * 65, "\0"], ["x"], False),
]


@pytest.mark.parametrize(("condition", "tags", "good"), TAG_CASES)
def test_tags(condition: Any, tags: list[str], good: bool) -> None:
    assert conditions(tags=condition).hold(resource(tags)) is good
    assert conditions(filter={"tags": condition}).hold(resource(tags)) is good


def test_both_places_of_tags_count() -> None:
    both = conditions(tags=["a"], filter={"tags": {"$nin": ["b"]}})
    assert [both.hold(resource(tags)) for tags in (["a"], ["a", "b"], ["c"])] == [
        True,
        False,
        False,
    ]


# ── metadata ─────────────────────────────────────────────────────────────────────────────────

METADATA_CASES = [
    ("x", "x", True),
    ("x", "X", False),
    ("x", ["y", "x"], True),
    (1, 1, True),
    (1, 1.0, True),
    (1.0, 1, True),
    (1, "1", False),
    ("1", 1, False),
    (1, True, False),
    (True, 1, False),
    (True, True, True),
    (False, 0, False),
    (0, False, False),
    ("true", True, False),
    (2**53 + 1, 2**53 + 1, True),
    (2**53 + 1, 2**53, False),
    (10**25, 10**25, True),
    ([1, 2], 2.0, True),
    ([1, 2.5], 2.5, True),
    (["a", "b"], ["c", "b"], True),
    ([True], False, False),
    ({"$eq": "x"}, "x", True),
    ({"$ne": "x"}, "x", False),
    ({"$ne": "x"}, "y", True),
    ({"$ne": 1}, "1", True),
    ({"$ne": 1}, True, True),
    ({"$ne": "x"}, ["y", "x"], False),
    ({"$ne": "x"}, ["y"], True),
    ({"$ne": "x"}, [], True),
    ({"$in": ["x", "y"]}, "y", True),
    ({"$nin": ["x", "y"]}, "y", False),
    ({"$nin": ["x", "y"]}, ["z", "y"], False),
    ({"$nin": ["x"]}, "z", True),
    ({"$nin": [1]}, True, True),
    ({"$gt": 1}, 1, False),
    ({"$gt": 1}, 1.5, True),
    ({"$gte": 1}, 1.0, True),
    ({"$lt": 1}, -1e300, True),
    ({"$lte": 1}, 1, True),
    ({"$gt": 0}, True, False),
    ({"$gt": 0}, "1", False),
    ({"$gt": "0"}, 1, False),
    ({"$gt": "a"}, "b", True),
    ({"$gt": "Z"}, "a", True),
    ({"$gt": "\uffff"}, "😀", True),
    ({"$lt": "10"}, "9", False),
    ({"$gt": "b"}, ["a", "c"], True),
    ({"$gte": 1, "$lt": 3}, 3, False),
    ({"$gte": 1, "$lt": 3, "$ne": 2}, 2, False),
    ({"$gte": 1, "$lt": 3, "$ne": 2}, 1, True),
    ({"$gt": "b", "$lt": "b"}, ["a", "c"], True),
]


@pytest.mark.parametrize(("condition", "stored", "good"), METADATA_CASES)
def test_metadata(condition: Any, stored: Any, good: bool) -> None:
    stored = msgspec.json.decode(json.dumps(stored))
    assert conditions(metadata={"k": condition}).hold(resource(metadata={"k": stored})) is good


@pytest.mark.parametrize(
    ("condition", "good"),
    [
        ("x", False),
        (False, False),
        ([0], False),
        ({"$lt": 5}, False),
        ({"$ne": "x"}, True),
        ({"$nin": ["x"]}, True),
        ({"$ne": "x", "$gt": "a"}, False),
    ],
)
def test_a_missing_key_satisfies_only_ne_and_nin(condition: Any, good: bool) -> None:
    assert conditions(metadata={"k": condition}).hold(resource(metadata={"other": "x"})) is good


def test_keys_are_anded_and_may_be_any_text() -> None:
    two = conditions(metadata={"a": 1, "": "x", "$in": True, "a.b": {"$ne": 2}})
    good = {"a": 1, "": "x", "$in": True}
    assert two.hold(resource(metadata=good))
    for key in good:
        assert not two.hold(resource(metadata={k: v for k, v in good.items() if k != key}))
    assert not two.hold(resource(metadata=good | {"a.b": 2}))


@pytest.mark.parametrize(
    ("condition", "namespace", "metadata", "good"),
    [
        ("u1", "u1", {}, True),
        ("u1", "u2", {}, False),
        ("u1", "", {}, False),
        ("u1", "u2", {"namespace": "u1"}, True),
        ("u1", "u1", {"namespace": "u2"}, False),
        ("u1", "u1", {"namespace": []}, False),
        ("", "", {}, False),
        ({"$lte": "z"}, "", {}, False),
        ({"$ne": ""}, "", {}, True),
        ({"$ne": "u1"}, "u1", {}, False),
        ({"$ne": "u1"}, "u2", {}, True),
        ({"$ne": "u1"}, "", {}, True),
        ({"$in": ["u1", "u2"]}, "u2", {}, True),
        ({"$gt": "u1"}, "u2", {}, True),
    ],
)
def test_the_namespace_can_be_asked_for_as_metadata(
    condition: Any, namespace: str, metadata: dict[str, Any], good: bool
) -> None:
    found = conditions(metadata={"namespace": condition})
    assert found.hold(resource(metadata=metadata, namespace=namespace)) is good


SCALARS = st.one_of(
    st.sampled_from(["a", "b", "", "1", "true"]),
    st.sampled_from([0, 1, 2, -1, 1.0, 1.5, 2**53, 2**53 + 1, 1e300]),
    st.booleans(),
)
STORED = st.one_of(SCALARS, st.lists(st.sampled_from(["a", "b", "c"]), max_size=3))
LISTS = st.one_of(
    st.lists(st.sampled_from(["a", "b", "", "1"]), min_size=1, max_size=3),
    st.lists(st.sampled_from([0, 1, 1.0, 1.5, 2**53 + 1]), min_size=1, max_size=3),
    st.lists(st.booleans(), min_size=1, max_size=2),
)
OPERATORS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("$eq", "$ne"), SCALARS),
        **dict.fromkeys(("$in", "$nin"), LISTS),
        **dict.fromkeys(
            ("$gt", "$gte", "$lt", "$lte"), st.sampled_from(["a", "b", 0, 1, 1.5, -1e300])
        ),
    },
).filter(bool)
CONDITIONS = st.one_of(SCALARS, LISTS, OPERATORS)


def kind(value: Any) -> str:
    """JSON's own word for a scalar, from its text."""
    return {'"': "s", "t": "b", "f": "b"}.get(json.dumps(value)[0], "n")


def plainly(condition: Any, stored: Any) -> bool:
    """Hold a metadata condition against a stored value, as 8.3 is written; None is no value."""
    if isinstance(condition, list):
        condition = {"$in": condition}
    elif not isinstance(condition, dict):
        condition = {"$eq": condition}
    values = [] if stored is None else stored if isinstance(stored, list) else [stored]

    def one(name: str, value: Any, operand: Any) -> bool:
        if name in ("$in", "$nin"):
            equal = any(one("$eq", value, each) for each in operand)
            return equal if name == "$in" else not equal
        if name in ("$eq", "$ne"):
            return (kind(value) == kind(operand) and value == operand) is (name == "$eq")
        if kind(value) != kind(operand):
            return False
        return {
            "$gt": value > operand,
            "$gte": value >= operand,
            "$lt": value < operand,
            "$lte": value <= operand,
        }[name]

    return all(
        (all if name in ("$ne", "$nin") else any)(one(name, value, operand) for value in values)
        for name, operand in condition.items()
    )


@FIXED
@given(
    st.dictionaries(st.sampled_from(["k", "l", "namespace"]), CONDITIONS, max_size=3),
    st.lists(st.dictionaries(st.sampled_from(["k", "l", "namespace"]), STORED), min_size=1),
)
def test_metadata_means_what_the_contract_says(
    condition: dict[str, Any], resources: list[dict[str, Any]]
) -> None:
    found = conditions(metadata=condition)
    for metadata in resources:
        own = {"namespace": "a"} | metadata
        expected = all(plainly(each, own.get(key)) for key, each in condition.items())
        assert found.hold(resource(metadata=metadata, namespace="a")) is expected


@FIXED
@given(CONDITIONS, SCALARS)
def test_what_is_accepted_is_what_the_index_finds(condition: Any, value: Any) -> None:
    """Facets of the accepted values are exactly those of the values that are accepted."""
    for test in conditions(metadata={"k": condition}).metadata:
        written = facet(key_of("k"), value)
        assert test.key == key_of("k")
        assert test.accepts(value) == test.accepts(parts(written)[1])
        if test.values is not None:
            assert test.accepts(value) == (written in {facet(test.key, one) for one in test.values})


def test_the_elementary_tests_of_tags_are_of_the_tags() -> None:
    tests = conditions(tags={"$in": ["a", "b"], "$all": ["c", "d", "c"], "$nin": ["e"]}).tags
    assert [(test.key, test.wanted, test.values) for test in tests] == [
        (TAGS, True, {"a", "b"}),
        (TAGS, True, {"c"}),
        (TAGS, True, {"d"}),
        (TAGS, False, {"e"}),
    ]


# ── images, dialogues, and the rest ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("sought", "asked_for", "expected"),
    [
        ("message", True, True),
        ("message", False, False),
        ("dialogue", True, True),
        ("dialogue", False, None),
        ("memory", True, True),
        ("memory", False, None),
    ],
)
def test_images(sought: str, asked_for: bool, expected: bool | None) -> None:
    found = conditions(object=sought, filter={"hasImage": asked_for})
    assert found.has_image is expected
    assert found.hold(resource(has_image=False)) is (expected is not True)
    assert found.hold(resource(has_image=True)) is (expected is not False)


def test_the_dialogue_and_its_parent() -> None:
    found = conditions(dialogueId="d1", threadOf="p1")
    assert found.hold(resource(dialogue_id="d1", thread_of="p1"))
    assert not found.hold(resource(dialogue_id="d1"))
    assert not found.hold(resource(dialogue_id="D1", thread_of="p1"))
    assert not found.hold(resource(thread_of="p1"))


def test_what_is_left_out_has_its_default() -> None:
    found = asked()
    assert (found.limit, found.order_by, found.order, found.explain) == (
        10,
        "relevance",
        "desc",
        False,
    )
    assert found.conditions == Conditions()
    assert found.conditions.hold(resource())


def test_a_large_limit_is_the_largest() -> None:
    assert [asked(limit=limit).limit for limit in (1, 100, 101, 10**9)] == [1, 100, 100, 100]


def test_the_tags_of_a_url_are_any_of_them() -> None:
    request = SearchByQuery(query="x", object="memory", tags=["a", "b"])
    found = question(request, NOW_MS).conditions
    assert [found.hold(resource(tags)) for tags in (["b"], ["c"])] == [True, False]


@pytest.mark.parametrize(
    "name",
    [
        *("", "Utc/", "Mars/Olympus", "America", "../../etc/passwd", "/etc/passwd", "EST5EDT4"),
        *("posix/UTC", "right/UTC", "zone.tab", "leapseconds", "a" * 300, "UTC\0", "Ümlaut", "."),
    ],
)
def test_only_names_of_iana_are_time_zones(name: str) -> None:
    with pytest.raises(ValueError, match="IANA"):
        zone_of(name)


@pytest.mark.parametrize("name", ["UTC", "America/Argentina/Buenos_Aires", "Etc/GMT+12", "GB-Eire"])
def test_names_of_iana_are_time_zones(name: str) -> None:
    assert zone_of(name).key == name
