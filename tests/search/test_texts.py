"""What text of a resource is searched, and how it is cut (contract 3.7, 3.8, 8.4, 8.7)."""

import base64
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialoguedb.models import documents
from dialoguedb.search import analyser, texts
from dialoguedb.search.texts import MAX_PIECES, PIECE_TOKENS

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=100)
LETTERS = st.characters(exclude_categories=["Cs"])
KEYS = "type text image source data url media_type image_url id a bC d_e"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9)
    | st.text(LETTERS, max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(KEYS.split())
        | st.text(LETTERS, max_size=6),
        inner,
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip

PAYLOAD = "aGVsbG8gd29ybGQ="
LONG = base64.b64encode(random.Random(1).randbytes(3000)).decode()


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def message(value: Any, name: str | None = None) -> str:
    return texts.of_message(compact(value), name).words


def memory(value: Any) -> str:
    return texts.of_memory(compact(value), None, None).words


# ── messages ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("My wheel is bent.", "My wheel is bent."),
        ('Say "hi"\n\tto 世界 \\ 🍕', 'Say "hi"\n\tto 世界 \\ 🍕'),
        ({"type": "text", "text": "hello"}, "hello"),
        ({"text": "hello"}, "hello"),
        ([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}], "one\ntwo"),
        (
            [
                {
                    "type": "tool_use",
                    "id": "toolu_1",
                    "name": "get_weather",
                    "input": {"city": "Paris", "days": 3, "exact": True},
                }
            ],
            "get_weather\nParis\n3",
        ),
        (
            [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": [
                        {"type": "text", "text": "Sunny"},
                        {"type": "json", "n": {"t": 21}},
                    ],
                }
            ],
            "Sunny\njson\n21",
        ),
        ({"type": "function", "function": {"arguments": '{"q":"lake"}'}}, '{"q":"lake"}'),
        ({"type": "refund", "id": "order-42", "data": "blue"}, "refund\norder-42\nblue"),
        ({"vector": [0.25, 1, True, None], "names": ["Ada", "Bob"]}, "Ada\nBob"),
        (
            {
                "type": "document",
                "title": "Notes",
                "source": {"type": "text", "media_type": "text/plain", "data": "plain"},
            },
            "Notes\nplain",
        ),
        ({"a": {}, "b": [], "c": "", "d": None}, ""),
    ],
)
def test_a_message_is_searched_by_all_that_its_content_says(content: Any, expected: str) -> None:
    assert message(content) == expected


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PAYLOAD}},
        {"type": "image", "source": {"data": PAYLOAD}},
        {"type": "image", "source": {"type": "base64", "data": PAYLOAD[:8] + "\n" + PAYLOAD[8:]}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PAYLOAD}"}},
        {"type": "image_url", "image_url": {"url": f"DATA:;BASE64,{PAYLOAD}", "detail": "low"}},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PAYLOAD}"},
        {"type": "image_url", "image_url": {"url": f"data:image/svg+xml,{PAYLOAD}"}},
        {"type": "input_audio", "input_audio": {"data": PAYLOAD, "format": "wav"}},
        {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PAYLOAD}"}},
        {"type": "image", "data": PAYLOAD, "mimeType": "image/png"},
        {"type": "image", "image": PAYLOAD},
        {"inlineData": {"mimeType": "image/png", "data": PAYLOAD}},
        {"image": {"format": "png", "source": {"bytes": PAYLOAD}}},
        {"type": "document", "source": {"media_type": "application/pdf", "data": PAYLOAD}},
        {"type": "thinking", "result": LONG},
    ],
)
def test_payloads_are_left_out(part: dict[str, Any]) -> None:
    assert message([{"type": "text", "text": "look"}, part]) == "look"
    assert message({"content": {"deep": [part]}}) == ""


def test_an_image_with_an_address_is_found_by_it() -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
    assert message([part]) == "https://example.com/cat.png"


@pytest.mark.parametrize(
    "payload",
    [
        f"data:image/png;base64,{PAYLOAD}",
        f"data:image/png;base64,{LONG}",
        LONG,
        LONG.replace("+", "-").replace("/", "_"),
        "\n".join(LONG[at : at + 76] for at in range(0, len(LONG), 76)),
        random.Random(2).randbytes(400).hex(),
    ],
)
def test_payloads_inside_text_are_left_out(payload: str) -> None:
    assert message(f"before {payload} after").split() == ["before", "after"]
    assert memory({"photo": f"before {payload} after"}).split() == ["photo:", "before", "after"]


@pytest.mark.parametrize(
    "text",
    [
        "sha512 " + "0f" * 64,
        "the directory " + "/usr/local/share" * 20,
        "-" * 300,
        "a" * 300,
        "data: the results; first, second",
        "Data:name,age\nAda,36",
    ],
)
def test_what_only_looks_like_a_payload_stays(text: str) -> None:
    assert message(text) == message({"text": text}) == text


def test_the_speaker_is_searched_with_the_text() -> None:
    text = texts.of_message('"I painted a sunrise"', "Caroline")
    assert text == ("Caroline: I painted a sunrise", "I painted a sunrise")
    assert set(analyser.query_terms("what did Caroline paint")) <= set(analyser.terms(text.words))


def test_a_message_that_says_nothing_has_words_of_its_speaker_and_no_vector() -> None:
    image = {"type": "image", "source": {"type": "base64", "data": PAYLOAD}}
    assert texts.of_message(compact([image]), "Caroline") == ("Caroline: ", "")
    assert texts.of_message('"  "', None).embedded == ""


# ── memories and dialogues ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("likes tea", "likes tea"),
        (3.14, "3.14"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        ("", ""),
        ({"favourite_colour": "blue"}, "favourite colour: blue"),
        ({"likesPizza": False, "shoe-size": 42}, "likes Pizza: false\nshoe size: 42"),
        ({"pets": [{"name": "Rex"}, "a cat"], "car": None}, "pets\nname: Rex\na cat\ncar: "),
        ([1, "two", [3.5]], "1\ntwo\n3.5"),
    ],
)
def test_a_memory_is_searched_by_its_value_and_the_keys_in_it(value: Any, expected: str) -> None:
    assert memory(value) == expected


def test_label_and_description_of_a_memory_are_searched() -> None:
    text = texts.of_memory('{"a":1}', "Label", "Description")
    assert text.words == text.embedded == "Label\nDescription\na: 1"
    assert texts.of_memory('""', None, "").embedded == ""


def test_a_structured_memory_is_found_by_its_key_in_any_spelling() -> None:
    for key in ("favourite_colour", "favouriteColour", "favourite-colour", "favourite colour"):
        found = set(analyser.terms(memory({key: "blue"})))
        assert set(analyser.query_terms("What is my favourite colour?")) <= found


def test_a_dialogue_is_searched_by_its_label() -> None:
    assert texts.of_dialogue("A bent wheel") == ("A bent wheel", "A bent wheel")
    assert texts.of_dialogue(None) == ("", "")


# ── images ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('an "image" of text', False),
        ({"type": "text", "text": '"image"'}, False),
        ({"type": "image", "source": {"type": "base64", "data": PAYLOAD}}, True),
        ([{"type": "image", "source": {"type": "url", "url": "https://example.com/a"}}], True),
        ([{"type": "text"}, {"type": "image_url", "image_url": {"url": "https://x.y/a"}}], True),
        ([{"type": "image", "source": {"media_type": "image/tiff", "data": PAYLOAD}}], False),
        ([{"type": "image"}], False),
        ({"inner": {"type": "image", "source": {"data": PAYLOAD}}}, False),
    ],
)
def test_recognised_image_parts_are_told(content: Any, expected: bool) -> None:
    assert texts.has_image(compact(content)) is expected


# ── pieces ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", ["", " \n ", " " * 5000])
def test_nothing_has_no_pieces(text: str) -> None:
    assert texts.pieces(text) == []


@pytest.mark.parametrize("text", ["short", "x" * 4 * PIECE_TOKENS, "世" * PIECE_TOKENS])
def test_what_fits_is_one_piece(text: str) -> None:
    assert texts.pieces(text) == [text]


@pytest.mark.parametrize(
    ("end", "rest"),
    [
        (" one.\n\n", "next. one\nand "),
        (" one\n", "next. one "),
        (" one. ", "next one "),
        (" on ", ""),
    ],
)
def test_a_piece_ends_with_the_largest_part_that_does(end: str, rest: str) -> None:
    first = "word " * 150 + end
    after = rest + "x" * 2000
    assert texts.pieces(first + after)[0] == first.strip()


def test_a_text_without_spaces_is_cut_anywhere() -> None:
    assert [len(piece) for piece in texts.pieces("x" * 2500)] == [1000, 1000, 500]
    assert [len(piece) for piece in texts.pieces("世" * 600)] == [250, 250, 100]
    assert [len(piece) for piece in texts.pieces(("世" * 200 + "。") * 2)] == [201, 201]


def test_a_long_text_has_a_bounded_number_of_pieces_and_all_its_words() -> None:
    text = texts.of_message(compact("lake " * 100_000 + "sunrise"), None)
    assert len(texts.pieces(text.embedded)) == MAX_PIECES
    assert "sunris" in analyser.terms(text.words)


@FIXED
@given(st.lists(st.text(LETTERS, max_size=30) | st.just("word " * 60), max_size=40).map(" ".join))
def test_pieces_are_small_and_lose_nothing(text: str) -> None:
    found = texts.pieces(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    for piece in found:
        ascii_only = sum(character < "\x80" for character in piece)
        assert 0 < len(piece) - ascii_only + ascii_only / 4 <= PIECE_TOKENS


# ── whatever is stored ───────────────────────────────────────────────────────────────────────


@FIXED
@given(JSON, st.none() | st.text(LETTERS, max_size=10))
def test_no_value_fails(value: Any, name: str | None) -> None:
    stored = compact(value)
    assert isinstance(texts.of_message(stored, name).words, str)
    assert isinstance(texts.of_memory(stored, name, name).words, str)


@FIXED
@given(st.text(LETTERS, max_size=60))
def test_text_is_searched_as_it_was_said(text: str) -> None:
    stored = documents.compact(json.dumps(text).encode())
    if ";base64," not in text:
        assert texts.of_message(stored, None).words == text


def test_deep_values_are_searched_to_the_bottom() -> None:
    value: Any = "bottom"
    for level in range(documents.MAX_NESTING):
        value = {"key": value} if level % 2 else [value]
    assert message(value) == "bottom"
    assert memory(value).endswith("bottom")


@pytest.mark.parametrize(
    "unit",
    ["hello; a, b\n", LONG[:196] + " ", LONG[:64] + "\n", LONG[:64] + "\nb ", "data:;,",
     "data:;base64,", "世", " \n", "-", "; ,"],
)  # fmt: skip
def test_long_text_is_read_in_linear_time(unit: str) -> None:
    stored = compact(unit * (2_000_000 // len(unit)))
    texts.pieces(texts.of_message(stored, None).embedded)


def test_many_values_are_read_in_linear_time() -> None:
    value: Any = {"values": ["a"] * 100_000}
    for _ in range(documents.MAX_NESTING - 3):
        value = {"key": value}
    assert len(message(value)) == len(memory(["a"] * 100_000)) == 199_999
