"""JSON values kept as text (contract 3.5 to 3.10), held against Python's own `json`."""

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dialoguedb.errors import InvalidJson
from dialoguedb.models import documents

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=70)
LETTERS = st.characters(exclude_categories=["Cs"])
SPACES = st.text(" \t\r\n", max_size=3)
NUMBERS = st.from_regex(
    r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?", fullmatch=True
)


@st.composite
def strings(draw: st.DrawFn) -> str:
    """JSON strings in which any character may be escaped in any way, needed or not."""
    parts = []
    for letter in draw(st.text(LETTERS, max_size=8)):
        how = draw(st.integers(0, 2))
        if how == 0:
            parts.append(json.dumps(letter)[1:-1])
        elif how == 1:
            raw = json.dumps(letter, ensure_ascii=False)[1:-1]
            parts.append("\\/" if letter == "/" else raw)
        else:
            units = letter.encode("utf-16-be").hex()
            parts += [f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)]
    return '"' + "".join(parts) + '"'


@st.composite
def arrays(draw: st.DrawFn, below: st.SearchStrategy[str]) -> str:
    items = draw(st.lists(st.tuples(SPACES, below, SPACES), max_size=4))
    return "[" + (",".join(map("".join, items)) or draw(SPACES)) + "]"


@st.composite
def objects(draw: st.DrawFn, below: st.SearchStrategy[str]) -> str:
    """Objects whose keys may be doubled."""
    keys = st.one_of(strings(), st.sampled_from(['"a"', '"b"']))
    members = draw(st.lists(st.tuples(SPACES, keys, SPACES, SPACES, below, SPACES), max_size=4))
    texts = (f"{a}{key}{b}:{c}{value}{d}" for a, key, b, c, value, d in members)
    return "{" + (",".join(texts) or draw(SPACES)) + "}"


JSON_TEXTS = st.recursive(
    st.one_of(strings(), NUMBERS, st.sampled_from(["true", "false", "null"])),
    lambda below: st.one_of(arrays(below), objects(below)),
    max_leaves=8,
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from([0.0, 1.0, 1.5, ""])),
    lambda below: st.one_of(
        st.lists(below, max_size=3), st.dictionaries(st.sampled_from("abc"), below, max_size=3)
    ),
    max_leaves=6,
)


def spelled(text: str) -> Any:
    """What a text says: order and doubling of keys and spelling of numbers included."""
    return json.loads(
        text,
        object_pairs_hook=lambda pairs: ("object", pairs),
        parse_int=lambda digits: ("number", digits),
        parse_float=lambda digits: ("number", digits),
    )


@FIXED
@given(JSON_TEXTS)
@example('{"a":1,"b":2,"a":1.0}')
@example("[1e2, 1E+2, 100, 100.0, -0, -0.0, 1.50]")
@example('"\\u0000\\u001f\\b\\f\\n\\r\\t\\/\\\\\\""')
@example('"\\ud83d\\ude00 \\u2028 \\u007f"')
def test_compact_text_says_what_was_sent(text: str) -> None:
    """Order and doubling of keys and the spelling of numbers stay; the strings are equal."""
    assert spelled(documents.compact(text.encode())) == spelled(text)


@FIXED
@given(JSON_TEXTS)
@example('"\\b\\f\\u0008\\u000c\\u007f"')
def test_compact_text_has_no_white_space_outside_strings_and_is_not_longer(text: str) -> None:
    """And what is compact is not changed again."""
    short = documents.compact(text.encode())
    assert not re.search(r"\s", re.sub(r'"(?:[^"\\]|\\.)*"', "", short, flags=re.DOTALL))
    assert len(short.encode()) <= len(text.encode())
    assert documents.compact(short.encode()) == short


@FIXED
@given(JSON_TEXTS)
def test_compact_strings_have_one_spelling(text: str) -> None:
    """Needless escapes go: every string is spelled as the encoder spells its value."""
    for found in re.findall(r'"(?:[^"\\]|\\.)*"', documents.compact(text.encode()), re.DOTALL):
        assert found == msgspec.json.encode(json.loads(found)).decode()


@pytest.mark.parametrize("space", [" ", "\n", "\t\r"])
@pytest.mark.parametrize("text", ['{"a":1}', "[1]", "12", "true", '"x"'])
def test_compact_text_loses_the_space_around_it(text: str, space: str) -> None:
    """White space goes before the value as well as behind it."""
    assert documents.compact((space + text).encode()) == text
    if text != '"x"':
        assert documents.compact((text + space).encode()) == text


def test_compact_text_of_a_long_string_takes_no_long() -> None:
    """A million escapes are one pass, not a recursion."""
    assert documents.compact(b'"' + b"\\/" * 1_000_000 + b'"') == '"' + "/" * 1_000_000 + '"'


# ── reading ──────────────────────────────────────────────────────────────────────────────────


@FIXED
@given(JSON_TEXTS)
def test_a_value_is_what_json_reads(text: str) -> None:
    """Valid JSON is read as Python's own module reads it."""
    assert documents.value_of(text.encode()) == json.loads(text)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("levels", [1, 5, documents.MAX_NESTING])
def test_a_value_is_nested_as_deep_as_allowed_and_no_deeper(opening: str, levels: int) -> None:
    """The outermost array or object is the first level."""
    closing = "]" if opening == "[" else "}"

    def nested(depth: int) -> bytes:
        return (opening * depth + "1" + closing * depth).encode()

    documents.value_of(nested(levels), levels=levels)
    with pytest.raises(InvalidJson, match="nested deeper"):
        documents.value_of(nested(levels + 1), levels=levels)


def test_a_million_brackets_are_refused_like_a_hundred_and_one() -> None:
    """Also where the decoder itself gives up."""
    with pytest.raises(InvalidJson, match="nested deeper"):
        documents.value_of(b"[" * 1_000_000 + b"]" * 1_000_000)


def test_brackets_in_strings_and_side_by_side_are_no_depth() -> None:
    """Only what stands inside one another counts."""
    documents.value_of(b'"' + b"[" * 500 + b'"')
    documents.value_of(b"[" + b",".join([b"[]"] * 500) + b"]")


@pytest.mark.parametrize(
    "number", ["1e400", "-1e400", "2" + "0" * 308, "-2" + "0" * 308, "9" * 310, "1" + "0" * 5000]
)
@pytest.mark.parametrize("form", ["{}", "[1,{}]", '{{"a":{}}}'])
def test_a_number_beyond_a_double_is_refused(number: str, form: str) -> None:
    """No client could read it back."""
    with pytest.raises(InvalidJson, match="fit in a double"):
        documents.value_of(form.format(number).encode())


@pytest.mark.parametrize(
    "number", ["1" + "0" * 308, "1e308", "-1e308", "1e-400", "0." + "1" * 400, "123456789012345678"]
)
def test_a_number_that_a_double_holds_is_taken(number: str) -> None:
    """Also long ones, and those that are too small to differ from 0; digits in strings too."""
    documents.value_of(f'{{"a":{number},"b":"{"9" * 400}"}}'.encode())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"{",
        b'{"a"}',
        b"{'a':1}",
        b"[1,]",
        b"nul",
        b"NaN",
        b"Infinity",
        b"01",
        b"1.",
        b".5",
        b"+1",
        b'"a',
        b'"\n"',
        b'"\\x"',
        b"1 2",
        b'{"a":1}}',
        b'"\xff"',
        b'"\xc3"',
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b'"\\udc00"',
        b'"\\ud800\\u0041"',
        b'{"\\ud800":1}',
        b"\xef\xbb\xbf{}",
        b"// no\n1",
    ],
)
def test_what_is_no_json_is_refused_as_such(text: bytes) -> None:
    """Half a surrogate pair and bytes that are not UTF-8 are no JSON either."""
    with pytest.raises(InvalidJson):
        documents.value_of(text)


@pytest.mark.parametrize("hidden", ["[" * 200 + "]" * 200, "1" + "0" * 400])
def test_a_doubled_key_hides_nothing_from_the_checks(hidden: str) -> None:
    """The text is kept with both members, so both must pass."""
    with pytest.raises(InvalidJson):
        documents.value_of(f'{{"a":{hidden},"a":1}}'.encode())


@FIXED
@given(st.binary(max_size=20))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    """The answer is a value or InvalidJson."""
    try:
        documents.value_of(data)
    except InvalidJson as error:
        assert error.message


# ── merging and comparing ────────────────────────────────────────────────────────────────────


@FIXED
@given(objects(JSON_TEXTS), objects(JSON_TEXTS))
def test_a_merge_sets_the_keys_of_the_patch_and_keeps_the_others(old: str, patch: str) -> None:
    """Shallowly; of a doubled key the last counts; numbers stay as they were spelled."""
    merged = documents.merge(documents.compact(old.encode()), patch.encode())

    def last(text: str) -> dict[str, Any]:
        _, pairs = spelled(text)
        return dict(pairs)

    assert spelled(merged) == ("object", list((last(old) | last(patch)).items()))
    assert documents.compact(merged.encode()) == merged


def tagged(value: Any) -> Any:
    """The same value, with booleans that are no numbers."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, list):
        return [tagged(item) for item in value]
    if isinstance(value, dict):
        return {key: tagged(item) for key, item in value.items()}
    return value


@FIXED
@given(VALUES, VALUES)
@example(1, True)
@example(0, False)
@example([1, {"a": False}], [1.0, {"a": 0}])
@example({"a": 1, "b": 2}, {"b": 2.0, "a": 1})
def test_values_are_the_same_by_value_and_booleans_are_no_numbers(one: Any, other: Any) -> None:
    """1 and 1.0 are the same, 1 and true are not; order of keys does not matter."""
    assert documents.same(one, other) == (tagged(one) == tagged(other))
    assert documents.same(one, one)


@FIXED
@given(
    st.dictionaries(
        st.text(LETTERS, max_size=4),
        st.one_of(st.text(LETTERS, max_size=4), st.integers(), st.lists(st.text("ab"), max_size=2)),
    )
)
def test_sorted_text_is_compact_json_with_sorted_keys(value: dict[str, Any]) -> None:
    """As Python's own module writes it, in UTF-8."""
    plain = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    sorted_text = documents.sorted_text(json.dumps(value))
    assert list(json.loads(sorted_text).items()) == list(json.loads(plain).items())
    assert sorted_text == documents.compact(sorted_text).encode()
