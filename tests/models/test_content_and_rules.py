"""Content, images, previews, tags, metadata, state and values (contract 3.4 to 3.10)."""

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialoguedb.errors import (
    ContentTooLarge,
    DialogueDBError,
    ImageTooLarge,
    InvalidImageContent,
    InvalidInput,
    InvalidJson,
    InvalidParameter,
    MissingParameter,
    StateTooLarge,
    TooManyImages,
    ValueTooLarge,
)
from dialoguedb.models import content, rules
from dialoguedb.models.limits import KIB, MIB, Limits

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=50)
LIMITS = Limits()
LETTERS = st.characters(exclude_categories=["Cs"])


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def parse(value: Any, **limits: int) -> content.Content:
    return checked(raw(value), Limits(**limits))


def checked(text: msgspec.Raw, limits: Limits) -> content.Content:
    content.check(text, limits)
    return content.measure(text)


def inline(data: str = "AAAA", media_type: str | None = "image/png", kind: str = "base64") -> Any:
    source = {"type": kind, "data": data}
    if media_type is not None:
        source["media_type"] = media_type
    return {"type": "image", "source": source}


def url_image(url: str) -> Any:
    return {"type": "image_url", "image_url": {"url": url}}


# ── content ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", [None, "", []])
def test_nothing_is_no_content(value: Any) -> None:
    """Null, the empty string and the empty array are missing, not invalid."""
    with pytest.raises(MissingParameter) as caught:
        parse(value)
    assert [(one.field, one.code) for one in caught.value.details] == [("content", "REQUIRED")]


@pytest.mark.parametrize("value", [0, 1.5, True, False, ["a"], [{}, 1], [[]], [None]])
def test_what_is_no_string_object_or_array_of_objects_is_refused(value: Any) -> None:
    """With the field's name and not as a missing one."""
    with pytest.raises(InvalidInput) as caught:
        parse(value)
    assert caught.value.details[0].field == "content"


@pytest.mark.parametrize(
    "value", ["x", " ", "\0", {}, [{}], {"type": "tool_use", "input": {"a": [1]}}, [{"a": None}]]
)
def test_unknown_blocks_pass_as_they_are(value: Any) -> None:
    """Also an empty object; the text says what was sent."""
    assert json.loads(parse(value).text) == value


@FIXED
@given(st.text(LETTERS, min_size=1, max_size=300))
def test_a_string_is_measured_in_utf8_and_previewed_by_characters(text: str) -> None:
    """The length counts its bytes; the preview its first 200 code points."""
    made = parse(text)
    assert made.length == len(text.encode())
    assert made.preview == text[:200]


@FIXED
@given(st.lists(st.dictionaries(st.sampled_from(["text", "type"]), st.text("aé"))))
def test_an_array_is_measured_as_compact_json_and_previewed_by_its_texts(parts: list[Any]) -> None:
    """Texts are joined by spaces; without any there is no preview."""
    if not parts:
        return
    spaced = msgspec.Raw(json.dumps(parts, indent=2).encode())
    made = checked(spaced, LIMITS)
    compact = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    assert made.text == compact
    assert made.length == len(compact.encode())
    texts = [part["text"] for part in parts if part.get("text")]
    assert made.preview == (" ".join(texts)[:200] or None)


@pytest.mark.parametrize("text", [1, None, ["a"], ""])
def test_a_text_that_is_no_string_has_no_preview(text: Any) -> None:
    """Blocks may call anything `text`."""
    assert parse({"text": text}).preview is None


def test_a_string_may_be_as_long_as_the_limit() -> None:
    """In bytes, not in characters."""
    parse("é" * 50, max_content_bytes=100)
    with pytest.raises(ContentTooLarge) as caught:
        parse("é" * 50 + "a", max_content_bytes=100)
    assert caught.value.details[0].code == "TOO_LONG"
    assert "101" in caught.value.message


def test_an_object_may_be_as_long_as_the_limit() -> None:
    """Its compact JSON counts."""
    parse({"a": "x" * 92}, max_content_bytes=100)
    with pytest.raises(ContentTooLarge):
        parse({"a": "x" * 93}, max_content_bytes=100)


# ── images ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("part", "payload"),
    [
        (inline("AAAA"), "AAAA"),
        (inline("AAAA", "IMAGE/PNG"), "AAAA"),
        (inline("AAAA", "image/webp"), "AAAA"),
        (inline("AAAA", None), "AAAA"),
        (inline("AAAA", kind="url"), "AAAA"),
        (inline("%%not base64%%"), "%%not base64%%"),
        (inline(""), ""),
        ({"type": "image", "source": {"data": "AA", "url": "https://a/b"}}, "AA"),
        ({"type": "image", "source": {"type": "url", "url": "https://a/b"}}, None),
        ({"type": "image", "source": {"url": "x", "media_type": "image/gif"}}, None),
        (url_image("https://a/b.png"), None),
        (url_image("data:image/png;base64,AAAA"), "AAAA"),
        (url_image("DATA:Image/PNG;BASE64,AAAA"), "AAAA"),
        (url_image("data:;base64,AAAA"), "AAAA"),
        (url_image("data:image/jpeg;a=b;base64;c=d,AA\nAA"), "AA\nAA"),
        (url_image("data:image/svg+xml,<svg/>"), None),
        (url_image("data:image/png,AAAA"), None),
        (url_image("data:nothing"), None),
    ],
)
def test_image_parts_are_recognised(part: Any, payload: str | None) -> None:
    """All shapes of contract 3.8; `payload` is what is inline."""
    assert list(content.images_in([part])) == [content.Image(payload)]


@pytest.mark.parametrize(
    "part",
    [
        inline("AAAA", "image/svg+xml"),
        inline("AAAA", "application/pdf"),
        url_image("data:application/pdf;base64,AAAA"),
        {"type": "image", "source": {"url": "x", "media_type": "text/plain"}},
        {"type": "image", "source": {"type": "file", "file_id": "f"}},
        {"type": "image", "source": {"data": 1}},
        {"type": "image", "source": "AAAA"},
        {"type": "image"},
        {"type": "image", "source": {"data": "AA", "media_type": 1}},
        {"type": "image_url", "image_url": "https://a/b"},
        {"type": "image_url", "image_url": {"url": 1}},
        {"type": "image_url"},
        {"type": "IMAGE", "source": {"data": "AA"}},
        {"type": ["image"], "source": {"data": "AA"}},
        {"type": "document", "source": {"data": "data:x"}},
        {"type": "tool_result", "content": [inline()]},
        {"type": "text", "text": "data:image/png;base64,AAAA"},
    ],
)
def test_other_parts_are_no_images(part: Any) -> None:
    """They are kept as ordinary content and count towards nothing."""
    assert list(content.images_in([part])) == []
    assert json.loads(parse(part, max_image_parts=0).text) == part


@pytest.mark.parametrize("data", ["data:image/png;base64,AA", "DATA:,", "Data:x", "data:"])
@pytest.mark.parametrize("media_type", ["image/png", "application/pdf", None])
@pytest.mark.parametrize("alone", [True, False])
def test_a_data_uri_is_no_raw_base64(data: str, media_type: str | None, alone: bool) -> None:
    """Whatever its media type, in an array or as the content itself."""
    part = inline(data, media_type)
    with pytest.raises(InvalidImageContent) as caught:
        parse(part if alone else [{"type": "text", "text": "x"}, part])
    assert caught.value.details[0].field == "content"


def test_a_message_may_hold_as_many_images_as_the_limit() -> None:
    """Inline and remote ones count alike."""
    parts = [inline(), url_image("https://a/b"), url_image("data:image/png;base64,AA")]
    parse(parts, max_image_parts=3)
    with pytest.raises(TooManyImages) as caught:
        parse([*parts, inline()], max_image_parts=3)
    assert caught.value.details[0].code == "TOO_MANY"
    with pytest.raises(TooManyImages):
        parse(inline(), max_image_parts=0)


@FIXED
@given(st.binary(min_size=1, max_size=200), st.booleans())
def test_an_image_is_measured_by_its_decoded_bytes(data: bytes, wrapped: bool) -> None:
    """With or without line breaks and padding: exactly the limit passes, a byte less does not."""
    text = (base64.encodebytes if wrapped else base64.b64encode)(data).decode()
    for part in (inline(text), url_image(f"data:image/png;base64,{text}")):
        parse(part, max_image_bytes=len(data))
        with pytest.raises(ImageTooLarge) as caught:
            parse(part, max_image_bytes=len(data) - 1)
        assert str(len(data)) in caught.value.message


def test_inline_payloads_do_not_count_as_content() -> None:
    """What is around them does."""
    around = len(parse([inline("")]).text)
    parse([inline("A" * 1000)], max_content_bytes=around)
    with pytest.raises(ContentTooLarge):
        parse([inline("A" * 1000)], max_content_bytes=around - 1)


def test_line_breaks_in_a_payload_do_not_count_as_content() -> None:
    """Wrapped base64 is legal (3.8) and no larger than the same without line breaks."""
    around = len(parse([inline("")]).text)
    parse([inline("A" * 76 + "\n" + "A" * 76 + "\n")], max_content_bytes=around)


def test_a_payload_that_is_no_image_counts_as_content() -> None:
    """A PDF is ordinary content."""
    with pytest.raises(ContentTooLarge):
        parse([inline("A" * 1000, "application/pdf")], max_content_bytes=500)


# ── rules ────────────────────────────────────────────────────────────────────────────────────


def problems(rule: rules.Rule, value: Any, limits: Limits = LIMITS) -> list[tuple[Any, ...]]:
    """What a rule finds: class, place and code of each problem."""
    found = rule(value, limits)
    assert all("{field}" in error.message or error.details for error in found)
    return [(type(one), one.details[0].field or "", one.details[0].code) for one in found]


def test_texts_hold_any_character_but_nul() -> None:
    """Also control characters and emoji."""
    assert problems(rules.text, "\x01\n😀") == []
    assert problems(rules.text, "a\0b") == [(InvalidInput, "", "INVALID")]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([], []),
        (["a"] * 10, []),
        (["x" * 64, "channel:123", " ", "😀" * 64], []),
        (["a"] * 11, [(InvalidInput, "", "TOO_MANY")]),
        (["a", ""], [(InvalidInput, "[1]", "INVALID")]),
        (["x" * 65], [(InvalidInput, "[0]", "TOO_LONG")]),
        (["a\0"], [(InvalidInput, "[0]", "INVALID")]),
        (
            ["", "x" * 65, *["a"] * 9],
            [
                (InvalidInput, "", "TOO_MANY"),
                (InvalidInput, "[0]", "INVALID"),
                (InvalidInput, "[1]", "TOO_LONG"),
            ],
        ),
    ],
)
def test_tags_are_counted_and_measured(tags: list[str], expected: list[Any]) -> None:
    """Each problem has its own place."""
    assert problems(rules.tags, tags) == expected


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": "", "b": 0, "c": 1.5, "d": False, "e": [], "f": ["x", ""]},
        {"k" * 128: "x"},
        {"😀" * 128: 1},
        {f"k{n}": n for n in range(100)},
        {"a": 10**300},
    ],
)
def test_flat_metadata_is_taken(value: Any) -> None:
    """Scalars and arrays of strings."""
    assert problems(rules.metadata, raw(value)) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([], [("", "INVALID")]),
        (None, [("", "INVALID")]),
        ("x", [("", "INVALID")]),
        ({"a": None}, [(".a", "INVALID")]),
        ({"a": {}}, [(".a", "INVALID")]),
        ({"a": [1]}, [(".a", "INVALID")]),
        ({"a": [[]]}, [(".a", "INVALID")]),
        ({"a": ["x", None]}, [(".a", "INVALID")]),
        ({"a": "\0"}, [(".a", "INVALID")]),
        ({"a": ["\0"]}, [(".a", "INVALID")]),
        ({"a\0": 1}, [(".a\0", "INVALID")]),
        ({"a": 1, "b": None, "c": [1], "d": "x"}, [(".b", "INVALID"), (".c", "INVALID")]),
        ({f"k{n}": n for n in range(101)}, [("", "TOO_MANY")]),
        ({"k" * 129: 1}, [("." + "k" * 128, "TOO_LONG")]),
    ],
)
def test_other_metadata_is_refused_by_its_keys(value: Any, expected: list[Any]) -> None:
    """Every bad key is named."""
    found = problems(rules.metadata, raw(value))
    assert found == [(InvalidInput, *one) for one in expected]


def test_an_empty_metadata_key_is_refused() -> None:
    """A key has 1 to 128 characters."""
    assert [kind for kind, *_ in problems(rules.metadata, raw({"": 1}))] == [InvalidInput]


def test_metadata_may_have_64_kib_of_compact_json() -> None:
    """White space does not count."""
    whole = {"a": "x" * (64 * KIB - 8)}
    spaced = msgspec.Raw(json.dumps(whole, indent=50).encode())
    assert problems(rules.metadata, spaced) == []
    assert problems(rules.metadata, raw({"a": "x" * (64 * KIB - 7)})) == [
        (InvalidInput, "", "TOO_LONG")
    ]


@pytest.mark.parametrize("hidden", ['{"b":1}', "null", "[1]", '"\\u0000"'])
def test_a_doubled_metadata_key_hides_nothing(hidden: str) -> None:
    """Both members are stored and answered, so both must be good."""
    text = f'{{"a":{hidden},"a":"x"}}'
    assert problems(rules.metadata, msgspec.Raw(text.encode())) != []


@pytest.mark.parametrize("value", [[], "x", None, 1, True])
def test_state_is_an_object(value: Any) -> None:
    """Nothing else."""
    assert problems(rules.state, raw(value)) == [(InvalidInput, "", "INVALID")]


@pytest.mark.parametrize("value", ["", 0, False, [], {}, ["a"], 1.5, {"a": None}])
def test_any_value_but_null_can_be_remembered(value: Any) -> None:
    """Also those that are false in Python."""
    assert problems(rules.memory_value, raw(value)) == []


def test_null_cannot_be_remembered() -> None:
    """It is invalid, not missing."""
    assert problems(rules.memory_value, raw(None)) == [(InvalidInput, "", "INVALID")]


@pytest.mark.parametrize(
    ("rule", "error"), [(rules.state, StateTooLarge), (rules.memory_value, ValueTooLarge)]
)
def test_state_and_value_may_have_a_mebibyte_of_compact_json(
    rule: rules.Rule, error: type[DialogueDBError]
) -> None:
    """White space and needless escapes do not count."""
    most = {"a": "x" * (MIB - 8)}
    assert problems(rule, raw(most)) == []
    assert problems(rule, msgspec.Raw(b" " * 100 + bytes(raw(most)))) == []
    assert problems(rule, raw({"a": "x" * (MIB - 7)})) == [(error, "", "TOO_LONG")]


@pytest.mark.parametrize("rule", [rules.state, rules.memory_value, rules.metadata])
def test_what_is_no_json_at_all_is_no_matter_of_a_field(rule: rules.Rule) -> None:
    """A lone surrogate spoils the whole body."""
    with pytest.raises(InvalidJson):
        rule(msgspec.Raw(b'{"a":"\\ud800"}'), LIMITS)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("", MissingParameter),
        (1, InvalidInput),
        (inline("data:x"), InvalidImageContent),
        ([url_image("x")] * 21, TooManyImages),
    ],
)
def test_a_rule_leaves_the_place_of_bad_content_to_its_caller(
    value: Any, error: type[DialogueDBError]
) -> None:
    """Only the caller knows in which message it stands."""
    ((kind, place, _),) = problems(rules.message_content, raw(value))
    assert (kind, place) == (error, "")


@pytest.mark.parametrize("rule", [rules.instant, rules.period, rules.prefix])
def test_bad_times_are_invalid_parameters(rule: rules.Rule) -> None:
    """Of the class that contract 3.2 and 1.8 name."""
    assert problems(rule, "2025-13-01") == [(InvalidParameter, "", "INVALID")]
    assert problems(rule, "2025-12-01") == []


def test_a_batch_may_hold_as_many_messages_as_the_limit() -> None:
    """The limit is a setting."""
    limits = Limits(max_batch_messages=2)
    assert problems(rules.batch, [1, 2], limits) == []
    assert problems(rules.batch, [1, 2, 3], limits) == [(InvalidInput, "", "TOO_MANY")]
