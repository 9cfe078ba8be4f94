"""Contract 3.7-3.10: message content, image parts, state and memory values."""

import json
from typing import Any

import httpx
import pytest

MIB = 1024 * 1024
#: JSON whose spelling an ordinary parser would change: order, doubles, numbers.
SPELLED = (
    '{"b":1.10,"a":1e2,"b":-0,"z":[1.0,-0.0,1E+2,12345678901234567890,0.1e-7],"":null,'
    '"type":"custom","deep":{"x":1,"x":2}}'
)
TEXT = {"type": "text", "text": "look"}
STRINGS = [
    "x",
    " spaces and\ttabs \r\n",
    "a\x00b\x1f\x7f",
    "\u2028\u2029\ufeff\ufffe",
    "e\u0301 é 🙂 👩\u200d👩\u200d👧",
    '\\ " / </script> \\u0041',
    '{"not":"parsed"}',
]


def made(answer: httpx.Response) -> Any:
    """Return the body of an answer that must be a success."""
    assert answer.status_code == 200, answer.text[:500]
    return answer.json()


def refused(answer: httpx.Response, status: int, code: str, *fields: str) -> Any:
    """Return the error of an answer that must refuse with this status, code and these fields."""
    assert answer.status_code == status, answer.text[:500]
    error = answer.json()["error"]
    assert error["code"] == code, error
    if fields:
        assert [detail.get("field") for detail in error["details"]] == list(fields), error
    return error


def say(api: httpx.Client, content: Any, **fields: Any) -> httpx.Response:
    """Append a message with this content to the dialogue `home`."""
    body = {"role": "user", "content": content} | fields
    return api.post("/message?dialogueId=home", json=body)


def inline(data: str, media_type: str = "image/png", origin: str = "base64") -> dict[str, Any]:
    """Return an image part with inline data."""
    return {"type": "image", "source": {"type": origin, "media_type": media_type, "data": data}}


def linked(url: str) -> dict[str, Any]:
    """Return an image part in the form of `image_url`."""
    return {"type": "image_url", "image_url": {"url": url, "detail": "low"}}


def compact(value: Any) -> bytes:
    """Return compact JSON in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.fixture
def home(api: httpx.Client) -> httpx.Client:
    """A project with the empty dialogue `home`."""
    made(api.post("/dialogue", json={"id": "home"}))
    return api


# 3.7 content


@pytest.mark.parametrize(
    "content",
    [
        *STRINGS,
        {},
        {"a": {"b": [1, None, True]}},
        [{}],
        [TEXT, {"type": "tool_use", "id": "t", "name": "f", "input": {"q": [1]}}],
        [{"type": "tool_result", "tool_use_id": "t", "content": [TEXT]}],
        [{"type": "document", "source": {"type": "text", "data": "data:x"}}, {"custom": []}],
    ],
)
def test_content_is_returned_as_it_was_sent(home: httpx.Client, content: Any) -> None:
    """Contract 3.7: strings, objects and arrays of objects, unknown blocks among them."""
    assert made(say(home, content, id="m"))["content"] == content
    assert made(home.get("/message/m"))["content"] == content


@pytest.mark.parametrize("form", [SPELLED, f"[{SPELLED}]", f'{{"nested":[[{SPELLED}]]}}'])
@pytest.mark.parametrize(
    "path",
    ["/message/m", "/messages?dialogueId=home", "/dialogue/home", "/dialogue/home/message/m"],
)
def test_the_spelling_of_content_survives_in_every_answer(
    home: httpx.Client, form: str, path: str
) -> None:
    """Contract 3.7: order of keys, doubled keys and spelling of numbers stay byte for byte."""
    body = f'{{"id":"m","role":"user","content":{form}}}'
    assert f'"content":{form}' in home.post("/message?dialogueId=home", content=body).text
    assert f'"content":{form}' in home.get(path).text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/dialogue", '{"messages":[%s]}'),
        ("/dialogue", '{"message":%s}'),
        ("/messages?dialogueId=home", "[%s]"),
        ("/messages", '{"dialogueId":"home","messages":[%s]}'),
    ],
)
def test_the_spelling_of_content_survives_every_way_in(
    home: httpx.Client, path: str, body: str
) -> None:
    """Contract 3.7: also when messages come in a batch or with a dialogue."""
    message = f'{{"role":"user","content":{SPELLED}}}'
    answer = home.post(path, content=body % message)
    made(answer)
    assert f'"content":{SPELLED}' in answer.text


def test_the_spelling_of_content_survives_a_change_of_tags(home: httpx.Client) -> None:
    """Contract 3.7 and 5.12: PUT answers with the content as it was sent."""
    body = f'{{"id":"m","role":"user","content":{SPELLED}}}'
    made(home.post("/message?dialogueId=home", content=body))
    assert f'"content":{SPELLED}' in home.put("/message/m", json={"tags": ["t"]}).text


@pytest.mark.parametrize("body", [{}, {"content": None}, {"content": ""}, {"content": []}])
def test_content_is_required(home: httpx.Client, body: dict[str, Any]) -> None:
    """Contract 3.7: missing, null, "" and [] are MISSING_PARAMETER, field content."""
    answer = home.post("/message?dialogueId=home", json={"role": "user"} | body)
    error = refused(answer, 400, "MISSING_PARAMETER", "content")
    assert error["details"][0]["code"] == "REQUIRED"


@pytest.mark.parametrize("content", [0, 1.5, True, False, ["a"], [{}, 1], [None], [[{}]]])
def test_content_of_another_type_is_refused(home: httpx.Client, content: Any) -> None:
    """Contract 3.7: numbers, booleans and arrays that hold non-objects are INVALID_INPUT."""
    error = refused(say(home, content), 400, "INVALID_INPUT")
    assert error["details"][0]["field"].startswith("content")


@pytest.mark.parametrize("content", ["é🙂", {"t": "é"}, [{"t": "é"}, {"n": [1, 2]}]])
def test_content_length_is_its_size_in_bytes(home: httpx.Client, content: Any) -> None:
    """Contract 3.7: UTF-8 bytes of the string, or of the compact JSON."""
    size = len(content.encode() if isinstance(content, str) else compact(content))
    assert made(say(home, content))["contentLength"] == size


@pytest.mark.parametrize(
    ("content", "preview"),
    [
        ("short", "short"),
        ("🙂" * 201, "🙂" * 200),
        ([TEXT, inline("AAAA")], "look"),
        ([{"type": "text", "text": "y" * 300}], "y" * 200),
        ([inline("AAAA")], None),
        ({"question": "?"}, None),
        ([{"type": "tool_use", "input": {"text": "x"}}], None),
    ],
)
def test_preview_is_the_beginning_of_the_text(
    home: httpx.Client, content: Any, preview: str | None
) -> None:
    """Contract 3.7: the first 200 characters, omitted when there is no text."""
    assert made(say(home, content)).get("preview") == preview


def test_preview_joins_the_text_parts(home: httpx.Client) -> None:
    """Contract 3.7: for arrays the joined `text` of the text parts."""
    preview = made(say(home, [TEXT, inline("AAAA"), {"type": "text", "text": "here"}]))["preview"]
    assert preview.startswith("look")
    assert preview.endswith("here")


def test_content_of_exactly_8_mib_is_accepted(home: httpx.Client) -> None:
    """Contract 3.7: 8 MiB of non-image content per message are allowed, line breaks included."""
    content = "é" * (4 * MIB - 40) + '\n"' * 40
    row = made(say(home, content))
    assert row["contentLength"] == 8 * MIB
    assert row["content"] == content


def test_content_over_8_mib_is_refused(home: httpx.Client) -> None:
    """Contract 3.7: 413 CONTENT_TOO_LARGE, counted in bytes, and nothing is stored."""
    refused(say(home, "é" * (4 * MIB) + "x"), 413, "CONTENT_TOO_LARGE")
    assert made(home.get("/dialogue/home"))["totalMessages"] == 0


# 3.8 image parts


@pytest.mark.parametrize(
    "part",
    [
        inline("iVBORw0KGgo="),
        inline("iVBORw0K\r\nGgo=\n"),
        inline("AAAA", "IMAGE/JPEG"),
        inline("AAAA", "image/svg+xml"),
        inline("not base64 at all!"),
        inline("AAAA", origin="url"),
        {"type": "image", "source": {"type": "base64", "data": "AAAA"}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "image", "source": {"type": "url", "url": "data:image/png;base64,AAAA"}},
        linked("https://example.com/a.png"),
        linked("data:image/png;base64,AAAA"),
        linked("DATA:;charset=x;BASE64,AAAA"),
        linked("data:image/svg+xml,%3Csvg/%3E"),
        {"type": "image"},
        {"type": "image", "source": "text"},
        {"type": "image", "source": {"type": "base64", "data": 7}},
        {"type": "image_url", "image_url": {}},
    ],
)
def test_image_parts_are_returned_exactly_as_sent(home: httpx.Client, part: Any) -> None:
    """Contract 3.8: in an array and as the content itself; unreadable ones are plain content."""
    assert made(say(home, [TEXT, part], id="m"))["content"] == [TEXT, part]
    assert made(home.get("/message/m"))["content"] == [TEXT, part]
    assert made(say(home, part))["content"] == part


@pytest.mark.parametrize("origin", ["base64", "url", "file"])
@pytest.mark.parametrize("data", ["data:image/png;base64,AA==", "DATA:,x", "Data:"])
@pytest.mark.parametrize("form", ["array", "object"])
def test_a_data_prefix_in_source_data_is_refused(
    home: httpx.Client, origin: str, data: str, form: str
) -> None:
    """Contract 3.8: INVALID_IMAGE_CONTENT, field content, whatever source.type says."""
    part = inline(data, origin=origin)
    content = [TEXT, part] if form == "array" else part
    refused(say(home, content), 400, "INVALID_IMAGE_CONTENT", "content")


@pytest.mark.parametrize("path", ["/messages?dialogueId=home", "/dialogue/home/messages"])
def test_a_data_prefix_in_a_batch_names_its_element(home: httpx.Client, path: str) -> None:
    """Contract 3.8 and 17: the field is messages[i].content and the text begins with it."""
    batch = [{"role": "user", "content": c} for c in ("ok", [inline("data:image/png;base64,AA==")])]
    answer = home.post(path, json=batch)
    error = refused(answer, 400, "INVALID_IMAGE_CONTENT", "messages[1].content")
    assert error["details"][0]["code"] == "INVALID"
    assert error["message"].startswith("messages[1]: ")
    assert made(home.get("/dialogue/home"))["totalMessages"] == 0


def test_a_refused_image_is_not_echoed(home: httpx.Client) -> None:
    """Contract 10.1: payloads never come back in an error."""
    answer = say(home, [inline("data:image/png;base64,SECRETSECRET")])
    refused(answer, 400, "INVALID_IMAGE_CONTENT")
    assert "SECRETSECRET" not in answer.text


def test_an_image_deeper_inside_is_ordinary_content(home: httpx.Client) -> None:
    """Contract 3.8: only array elements and the content itself are image parts."""
    content = [{"type": "tool_result", "content": [inline("data:image/png;base64,AA==")]}]
    assert made(say(home, content))["content"] == content


def test_twenty_image_parts_are_accepted_and_21_refused(home: httpx.Client) -> None:
    """Contract 3.8: 20 parts per message, of all shapes together; TOO_MANY_IMAGES."""
    parts = [inline("AAAA"), linked("https://example.com/a.png")] * 10
    made(say(home, [TEXT, *parts]))
    refused(say(home, [TEXT, *parts, inline("AAAA")]), 400, "TOO_MANY_IMAGES")


def test_images_do_not_count_as_text_content(home: httpx.Client) -> None:
    """Contract 3.7 and 3.8: an image of over 8 MiB is within the limit of content."""
    made(say(home, [inline("AAAA" * (9 * MIB // 4))]))


def test_an_image_over_25_mib_is_refused(home: httpx.Client) -> None:
    """Contract 3.8: 413 IMAGE_TOO_LARGE, measured on decoded bytes."""
    data = "AAAA" * (25 * MIB // 3) + "AAA="
    error = refused(say(home, [inline(data)]), 413, "IMAGE_TOO_LARGE")
    assert error["type"] == "validation_error"


@pytest.mark.long
def test_an_image_of_exactly_25_mib_is_accepted(home: httpx.Client) -> None:
    """Contract 3.8: the limit itself is allowed, and line breaks do not count."""
    made(say(home, [inline("AAAA" * (25 * MIB // 3) + "\nAA==\n")]))


# 3.9 state


@pytest.mark.parametrize("state", [{}, {"a": {"b": [{"c": None}]}, "n": 1}, {"namespace": "x"}])
def test_state_is_any_json_object(api: httpx.Client, state: Any) -> None:
    """Contract 3.9: an object of any depth."""
    assert made(api.post("/dialogue", json={"id": "d", "state": state}))["state"] == state
    assert made(api.get("/dialogue/d"))["state"] == state


@pytest.mark.parametrize("state", [[], [{}], "x", 1, True, None])
@pytest.mark.parametrize("way", ["create", "update", "patch"])
def test_state_that_is_no_object_is_refused(home: httpx.Client, way: str, state: Any) -> None:
    """Contract 3.9: arrays, strings and null are INVALID_INPUT."""
    if way == "patch":
        refused(home.put("/dialogue/home/state", content=compact(state)), 400, "INVALID_INPUT")
    else:
        method, path = ("POST", "/dialogue") if way == "create" else ("PUT", "/dialogue/home")
        answer = home.request(method, path, json={"state": state})
        refused(answer, 400, "INVALID_INPUT", "state")


@pytest.mark.parametrize("path", ["/dialogue/d", "/dialogue"])
@pytest.mark.parametrize("way", ["create", "update", "patch"])
def test_the_spelling_of_state_survives(api: httpx.Client, way: str, path: str) -> None:
    """Contract 3.9: numbers, order and doubled keys inside of state stay as sent."""
    state = f'{{"keep":{SPELLED}}}'
    first = "{}" if way == "update" else state
    made(api.post("/dialogue", content=f'{{"id":"d","state":{first}}}'))
    if way == "update":
        made(api.put("/dialogue/d", content=f'{{"state":{state}}}'))
    if way == "patch":
        assert f'"keep":{SPELLED}' in api.put("/dialogue/d/state", json={"new": 1}).text
    assert f'"keep":{SPELLED}' in api.get(path).text


@pytest.mark.parametrize("way", ["create", "update", "patch"])
@pytest.mark.parametrize("over", [0, 1])
def test_state_has_at_most_1_mib_of_compact_json(home: httpx.Client, way: str, over: int) -> None:
    """Contract 3.9: 1,048,576 bytes are allowed, one more is 413 STATE_TOO_LARGE."""
    state = {"k": "é" * 524284 + "x" * over}
    assert len(compact(state)) == MIB + over
    if way == "create":
        answer = home.post("/dialogue", json={"state": state})
    elif way == "update":
        answer = home.put("/dialogue/home", json={"state": state})
    else:
        answer = home.put("/dialogue/home/state", json=state)
    if over:
        refused(answer, 413, "STATE_TOO_LARGE")
    else:
        made(answer)


def test_the_size_of_state_is_measured_after_the_merge(home: httpx.Client) -> None:
    """Contract 3.9: two halves that are too large together are refused, and nothing changes."""
    made(home.put("/dialogue/home/state", json={"a": "x" * 600_000}))
    answer = home.put("/dialogue/home/state", json={"b": "x" * 600_000})
    refused(answer, 413, "STATE_TOO_LARGE")
    assert list(made(home.get("/dialogue/home"))["state"]) == ["a"]


def test_spaces_between_tokens_do_not_count_for_the_size_of_state(home: httpx.Client) -> None:
    """Contract 3.9: the limit is one of compact JSON."""
    made(home.put("/dialogue/home/state", content=b'{"a":' + b" " * MIB + b"1}"))


# 3.10 memory values


@pytest.mark.parametrize(
    "value",
    [*STRINGS, "", 0, -1.5, False, True, {}, {"a": [None]}, [], ["a", "b"], [1, "a", {}, None]],
)
def test_a_memory_value_is_returned_as_it_was_sent(api: httpx.Client, value: Any) -> None:
    """Contract 3.10: string, number, boolean, object and any array; "", 0 and false too."""
    for answer in (api.post("/memory", json={"id": "y", "value": value}), api.get("/memory/y")):
        stored = made(answer)["value"]
        assert (type(stored), stored) == (type(value), value)


@pytest.mark.parametrize("value", [SPELLED, f"[{SPELLED}]", "1.10", "1e2", "-0.0", "1E+2"])
def test_the_spelling_of_a_memory_value_survives(api: httpx.Client, value: str) -> None:
    """Contract 3.10: the value comes back as it was spelled."""
    written = api.post("/memory", content=f'{{"id":"y","value":{value}}}')
    for answer in (written, api.get("/memory/y"), api.get("/memory")):
        assert f'"value":{value},' in answer.text or f'"value":{value}}}' in answer.text


def test_a_memory_needs_a_value(api: httpx.Client) -> None:
    """Contract 3.10: missing is MISSING_PARAMETER, null is INVALID_INPUT."""
    refused(api.post("/memory", json={"label": "x"}), 400, "MISSING_PARAMETER", "value")
    refused(api.post("/memory", json={"value": None}), 400, "INVALID_INPUT", "value")


@pytest.mark.parametrize("over", [0, 1])
def test_a_memory_value_has_at_most_1_mib(api: httpx.Client, over: int) -> None:
    """Contract 3.10: 1 MiB of compact JSON, else 413 VALUE_TOO_LARGE."""
    value = "é" * (MIB // 2 - 1) + "x" * over
    assert len(compact(value)) == MIB + over
    answer = api.post("/memory", json={"value": value})
    if over:
        refused(answer, 413, "VALUE_TOO_LARGE")
    else:
        assert made(answer)["value"] == value


@pytest.mark.parametrize("value", ["x", 1, True, {}, []])
def test_the_type_of_a_memory_value_is_not_part_of_the_answer(
    api: httpx.Client, value: Any
) -> None:
    """Contract 3.10: the type is detected inside only."""
    assert not {"type", "valueType"} & made(api.post("/memory", json={"value": value})).keys()
