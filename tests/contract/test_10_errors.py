"""Errors: the envelope, its codes and types, and the order of the checks (contract 10)."""

import base64
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx
import pytest

from harness import Database, Server, new_project

DIALOGUE, ENDED, MESSAGE, MEMORY = "d-err", "d-ended", "m-err", "k-err"
SAID = {"role": "user", "content": "hello"}
SAY = f"/message?dialogueId={DIALOGUE}"
BATCH = f"/messages?dialogueId={DIALOGUE}"
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
MIB = 1024 * 1024
TYPES = {404: "not_found", 409: "conflict", 412: "conflict", 401: "authentication_error"}


class Case(NamedTuple):
    """A request that fails, and how."""

    method: str
    path: str
    body: Any
    status: int
    code: str
    details: list[tuple[str, str]] | None = None

    def __str__(self) -> str:
        where = "-".join(field for field, _ in self.details or [])
        return f"{self.code}-{self.method}-{self.path.split('?')[0].strip('/')}-{where}"


def missing(method: str, path: str, body: Any, *names: str) -> Case:
    return Case(method, path, body, 400, "MISSING_PARAMETER", [(n, "REQUIRED") for n in names])


def parameter(method: str, path: str, body: Any, *details: tuple[str, str]) -> Case:
    return Case(method, path, body, 400, "INVALID_PARAMETER", list(details))


def invalid(method: str, path: str, body: Any, *details: tuple[str, str]) -> Case:
    return Case(method, path, body, 400, "INVALID_INPUT", list(details))


EMPTY: list[Any] = [None, "", []]
BOTH = (("tags", "INVALID"), ("label", "INVALID"))
CASES = [
    missing("POST", "/message", SAID, "dialogueId"),
    missing("POST", SAY, {"content": "x"}, "role"),
    missing("POST", SAY, {"role": "user"}, "content"),
    *(missing("POST", SAY, {"role": "user", "content": c}, "content") for c in EMPTY),
    missing("POST", SAY, {}, "role", "content"),
    missing("POST", "/message", {}, "dialogueId", "role", "content"),
    missing("POST", BATCH, [], "messages"),
    missing("POST", f"/dialogue/{DIALOGUE}/messages", [], "messages"),
    missing("POST", BATCH, [SAID, {"role": "u"}], "messages[1].content"),
    missing("POST", BATCH, [{}], "messages[0].role", "messages[0].content"),
    missing("POST", "/messages", [SAID], "dialogueId"),
    missing("POST", "/dialogue", {"messages": [SAID, {"content": "x"}]}, "messages[1].role"),
    missing("GET", "/messages", None, "dialogueId"),
    missing("PUT", "/dialogue", {"label": "x"}, "id"),
    missing("DELETE", "/dialogue", None, "id"),
    missing("POST", "/memory", {"label": "x"}, "value"),
    missing("POST", "/memory", None, "value"),
    missing("PUT", f"/memory/{MEMORY}", {}, "tags"),
    parameter("GET", "/dialogue?limit=0", None, ("limit", "INVALID")),
    parameter("GET", "/memory?limit=ten", None, ("limit", "INVALID")),
    parameter("GET", "/memory?order=up", None, ("order", "INVALID")),
    parameter("GET", "/dialogue?next=bm9uc2Vuc2U", None, ("next", "INVALID")),
    parameter("GET", "/dialogue?startDate=soon", None, ("startDate", "INVALID")),
    parameter("GET", "/memory?limit=0&order=up", None, ("limit", "INVALID"), ("order", "INVALID")),
    parameter("GET", "/dialogue?colour=red", None, ("colour", "UNKNOWN_PARAMETER")),
    parameter(
        "GET", "/memory?a=1&b=2", None, ("a", "UNKNOWN_PARAMETER"), ("b", "UNKNOWN_PARAMETER")
    ),
    parameter("GET", f"/dialogue/{DIALOGUE}?namespace=a.b", None, ("namespace", "INVALID")),
    parameter("POST", "/dialogue", {"namespace": "-a"}, ("namespace", "INVALID")),
    parameter("POST", "/dialogue", {"id": "a b"}, ("id", "INVALID")),
    parameter("POST", "/memory", {"id": "a/b", "value": 1}, ("id", "INVALID")),
    parameter("POST", "/dialogue", {"metdata": {}}, ("metdata", "UNKNOWN_PARAMETER")),
    parameter("POST", SAY, SAID | {"created": "soon"}, ("created", "INVALID")),
    parameter("POST", f"/dialogue/{DIALOGUE}/explode", None, ("action", "INVALID")),
    invalid("POST", "/dialogue", {"tags": "x"}, ("tags", "INVALID")),
    invalid("POST", "/dialogue", {"tags": ["x"] * 11}, ("tags", "TOO_MANY")),
    invalid("POST", "/memory", {"value": 1, "tags": ["x"] * 11}, ("tags", "TOO_MANY")),
    invalid("POST", "/dialogue", {"tags": ["x", "y" * 65]}, ("tags[1]", "TOO_LONG")),
    invalid("PUT", f"/dialogue/{DIALOGUE}", {"tags": ["x", 1]}, ("tags[1]", "INVALID")),
    invalid("PUT", f"/message/{MESSAGE}", {"tags": ["x"] * 11}, ("tags", "TOO_MANY")),
    invalid("PUT", f"/memory/{MEMORY}", {"tags": "x"}, ("tags", "INVALID")),
    invalid("POST", "/dialogue", {"label": "x" * 1025}, ("label", "TOO_LONG")),
    invalid("POST", "/dialogue", {"label": 1}, ("label", "INVALID")),
    invalid("POST", "/dialogue", {"metadata": {"a": {}}}, ("metadata.a", "INVALID")),
    invalid("POST", "/dialogue", {"state": []}, ("state", "INVALID")),
    invalid("POST", "/dialogue", {"messages": [SAID] * 26}, ("messages", "TOO_MANY")),
    invalid("POST", f"/dialogue/{DIALOGUE}/messages", [SAID] * 26, ("messages", "TOO_MANY")),
    invalid("POST", SAY, {"role": "user", "content": 5}, ("content", "INVALID")),
    invalid("POST", SAY, {"role": "r" * 65, "content": "x"}, ("role", "TOO_LONG")),
    invalid("POST", SAY, SAID | {"name": "n" * 257}, ("name", "TOO_LONG")),
    invalid("POST", "/memory", {"value": None}, ("value", "INVALID")),
    invalid(
        "POST", "/memory", {"value": 1, "description": "x" * 8193}, ("description", "TOO_LONG")
    ),
    invalid("POST", "/dialogue", {"tags": 1, "label": 2}, *BOTH),
    Case("POST", "/dialogue", {"message": SAID, "messages": [SAID]}, 400, "INVALID_INPUT"),
    Case("POST", SAY, {"content": "x", "tags": 1}, 400, "VALIDATION_ERROR",
         [("role", "REQUIRED"), ("tags", "INVALID")]),
    Case("POST", SAY, {"role": "x", "colour": 1}, 400, "VALIDATION_ERROR",
         [("content", "REQUIRED"), ("colour", "UNKNOWN_PARAMETER")]),
    Case("POST", "/dialogue", {"id": "a b", "label": 1}, 400, "VALIDATION_ERROR",
         [("id", "INVALID"), ("label", "INVALID")]),
    Case("POST", "/dialogue", {"id": DIALOGUE}, 400, "DUPLICATE_ID", [("id", "DUPLICATE")]),
    Case("POST", "/memory", {"id": MEMORY, "value": 1}, 400, "DUPLICATE_ID", [("id", "DUPLICATE")]),
    Case("POST", SAY, SAID | {"id": MESSAGE}, 400, "DUPLICATE_ID", [("id", "DUPLICATE")]),
    Case("POST", BATCH, [SAID, SAID | {"id": MESSAGE}], 400,
         "DUPLICATE_ID", [("messages[1].id", "DUPLICATE")]),
    Case("POST", SAY, {"role": "user", "content": [
        {"type": "image", "source": {"type": "base64", "data": "data:image/png;base64,AA=="}}
    ]}, 400, "INVALID_IMAGE_CONTENT", [("content", "INVALID")]),
    Case("POST", SAY, {"role": "user", "content": [IMAGE] * 21}, 400, "TOO_MANY_IMAGES"),
    Case("GET", "/dialogue/none", None, 404, "DIALOGUE_NOT_FOUND", [("id", "NOT_FOUND")]),
    Case("POST", "/message?dialogueId=none", SAID, 404, "DIALOGUE_NOT_FOUND"),
    Case("GET", "/messages?dialogueId=none", None, 404, "DIALOGUE_NOT_FOUND"),
    Case("POST", "/dialogue", {"threadOf": "none"}, 404, "DIALOGUE_NOT_FOUND",
         [("threadOf", "NOT_FOUND")]),
    Case("GET", "/message/none", None, 404, "MESSAGE_NOT_FOUND"),
    Case("GET", "/message/none?dialogueId=none", None, 404, "MESSAGE_NOT_FOUND"),
    Case("GET", "/memory/none", None, 404, "MEMORY_NOT_FOUND"),
    Case("POST", f"/message?dialogueId={ENDED}", SAID, 409, "DIALOGUE_ENDED"),
    Case("PUT", f"/memory/{MEMORY}", {"tags": [], "label": "x"}, 409, "IMMUTABLE_FIELD",
         [("label", "IMMUTABLE")]),
]  # fmt: skip
cases = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.fixture
def home(api: httpx.Client) -> httpx.Client:
    """A client of a project with a dialogue, an ended dialogue, a message and a memory."""
    message = SAID | {"id": MESSAGE}
    api.post("/dialogue", json={"id": DIALOGUE, "message": message}).raise_for_status()
    api.post("/dialogue", json={"id": ENDED}).raise_for_status()
    api.post(f"/dialogue/{ENDED}/end").raise_for_status()
    api.post("/memory", json={"id": MEMORY, "value": 1}).raise_for_status()
    return api


def send(api: httpx.Client, case: Case) -> httpx.Response:
    return api.request(case.method, case.path, json=case.body)


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


# Codes and envelope


@cases
def test_an_error_has_its_status_and_code(home: httpx.Client, case: Case) -> None:
    """Contract 10.3: each situation has one status and one code."""
    assert code(send(home, case)) == (case.status, case.code)


@pytest.mark.parametrize("case", [case for case in CASES if case.details], ids=str)
def test_an_error_names_its_fields(home: httpx.Client, case: Case) -> None:
    """Contract 10.3: one detail per field, with its own code."""
    details = send(home, case).json()["error"]["details"]
    named = sorted((detail.get("field"), detail["code"]) for detail in details)
    assert named == sorted(case.details or [])


@cases
def test_an_error_has_the_type_of_its_status(home: httpx.Client, case: Case) -> None:
    """Contract 10.2: `validation_error`, `not_found` or `conflict`."""
    expected = TYPES.get(case.status, "validation_error")
    assert send(home, case).json()["error"]["type"] == expected


@cases
def test_an_error_has_the_whole_envelope(home: httpx.Client, case: Case) -> None:
    """Contract 10.1: exactly code, message, type, details, requestId and timestamp."""
    body = send(home, case).json()
    assert set(body) == {"error"}
    names = {"code", "message", "type", "details", "requestId", "timestamp"}
    assert set(body["error"]) == names
    assert body["error"]["message"]


@cases
def test_the_details_of_an_error_are_entries(home: httpx.Client, case: Case) -> None:
    """Contract 10.1: `details` is an array of entries with a code and a message."""
    details = send(home, case).json()["error"]["details"]
    assert isinstance(details, list)
    for detail in details:
        assert {"code", "message"} <= set(detail) <= {"field", "code", "message", "value"}
        assert detail["message"]


@cases
def test_a_failed_write_stores_nothing(home: httpx.Client, case: Case) -> None:
    """Contract 10: an error is a write that did not happen."""
    paths = ("/dialogue", "/memory", BATCH)
    before = [home.get(path).json() for path in paths]
    send(home, case)
    assert [home.get(path).json() for path in paths] == before


def test_the_request_id_of_an_error_is_that_of_the_header(api: httpx.Client) -> None:
    """Contract 1.4: a random UUID, in the body as in `X-Request-Id`."""
    answer = api.get("/dialogue/none")
    assert answer.json()["error"]["requestId"] == answer.headers["X-Request-Id"]
    assert uuid.UUID(answer.headers["X-Request-Id"]).version == 4


def test_each_error_has_a_request_id_of_its_own(api: httpx.Client) -> None:
    """Contract 1.4: request ids tell requests apart."""
    assert len({api.get("/dialogue/none").headers["X-Request-Id"] for _ in range(5)}) == 5


def test_the_timestamp_of_an_error_is_now(api: httpx.Client) -> None:
    """Contract 3.2, 10.1: UTC with milliseconds."""
    stamp = api.get("/dialogue/none").json()["error"]["timestamp"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp)
    assert abs(datetime.fromisoformat(stamp) - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("path", ["/dialogue/none", "/nowhere", "/dialogue?limit=0"])
def test_an_error_is_json(api: httpx.Client, path: str) -> None:
    """Contract 1.4: errors have the content type of every answer."""
    assert api.get(path).headers["Content-Type"] == "application/json; charset=utf-8"


def test_a_missing_resource_is_named(api: httpx.Client) -> None:
    """Contract 17: the message tells which dialogue was not found."""
    assert "d-absent" in api.get("/dialogue/d-absent").json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "hint"),
    [({"metdata": {}}, "metadata"), ({"Tags": []}, "tags"), ({"lable": "x"}, "label")],
)
def test_an_unknown_field_brings_the_nearest_name(api: httpx.Client, body: Any, hint: str) -> None:
    """Contract 1.3: the detail of an unknown field hints at the nearest known name."""
    details = api.post("/dialogue", json=body).json()["error"]["details"]
    assert f"did you mean {hint}?" in details[0]["message"].replace("'", "").replace('"', "")


@pytest.mark.parametrize(
    "broken", [{"role": "user"}, SAID | {"tags": 1}, SAID | {"id": "a b"}], ids=str
)
def test_an_error_in_a_batch_names_the_element(home: httpx.Client, broken: Any) -> None:
    """Contract 5.9: the message text starts with the element."""
    answer = home.post(BATCH, json=[SAID, broken])
    error = answer.json()["error"]
    assert error["message"].startswith("messages[1]: ")
    assert error["details"][0]["field"].startswith("messages[1].")


MARK = "U0VOVElORUw"


@pytest.mark.parametrize(
    "content",
    [
        [MARK],
        [{"type": "text", "text": MARK}, 1],
        [{"type": "image", "source": {"type": "base64", "data": "data:image/png;base64," + MARK}}],
        [IMAGE | {"note": MARK}] * 21,
    ],
    ids=["text", "mixed", "image", "many images"],
)
@pytest.mark.parametrize("path", [SAY, BATCH])
def test_an_error_never_repeats_content(home: httpx.Client, path: str, content: Any) -> None:
    """Contract 10.1: no content and no image payload comes back in an error."""
    body = {"role": "user", "content": content}
    answer = home.post(path, json=body if path == SAY else [body])
    assert answer.status_code == 400
    assert MARK not in answer.text


# Bodies that are no JSON

NO_JSON = {
    "cut off": b'{"value": 1',
    "no value": b'{"value": }',
    "a word": b"value",
    "single quotes": b"{'value': 1}",
    "trailing comma": b'{"value": 1,}',
    "two documents": b'{"value": 1} {"value": 2}',
    "a form": b"value=1&label=x",
    "no UTF-8": b'{"value": "\xff"}',
    "lone surrogate": b'{"value": "\\ud800"}',
    "NaN": b'{"value": NaN}',
    "infinity": b'{"value": Infinity}',
    "beyond a double": b'{"value": 1e999}',
    "too deep": b'{"value": ' + b"[" * 200 + b"]" * 200 + b"}",
    "far too deep": b'{"value": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/memory"),
        ("POST", "/dialogue"),
        ("POST", SAY),
        ("POST", BATCH),
        ("PUT", f"/dialogue/{DIALOGUE}"),
        ("PUT", f"/dialogue/{DIALOGUE}/state"),
        ("PUT", f"/message/{MESSAGE}"),
        ("DELETE", "/dialogue"),
    ],
)
def test_what_is_no_json_is_invalid_json(
    home: httpx.Client, method: str, path: str, body: bytes
) -> None:
    """Contract 10.3: a body that is not JSON answers 400 `INVALID_JSON`."""
    assert code(home.request(method, path, content=body)) == (400, "INVALID_JSON")


DEEP = {
    "value": ("POST", "/memory", '{"value": %s}'),
    "content": ("POST", SAY, '{"role": "u", "content": {"a": %s}}'),
    "state": ("POST", "/dialogue", '{"state": {"a": %s}}'),
    "merge": ("PUT", f"/dialogue/{DIALOGUE}/state", '{"a": %s}'),
}


@pytest.mark.parametrize(("method", "path", "body"), DEEP.values(), ids=DEEP)
def test_a_document_nested_over_100_levels_is_invalid_json(
    home: httpx.Client, method: str, path: str, body: str
) -> None:
    """Design 2: what is stored as JSON is nested at most 100 levels."""
    answer = home.request(method, path, content=body % ("[" * 101 + "]" * 101))
    assert code(answer) == (400, "INVALID_JSON")


@pytest.mark.parametrize(("method", "path", "body"), DEEP.values(), ids=DEEP)
def test_a_document_nested_just_under_100_levels_is_stored(
    home: httpx.Client, method: str, path: str, body: str
) -> None:
    """Design 2: the limit counts the document's own levels, whatever encloses it."""
    answer = home.request(method, path, content=body % ("[" * 99 + "]" * 99))
    assert answer.status_code == 200


# Sizes

LARGE = {
    "state": ("POST", "/dialogue", {"state": {"x": "s" * MIB}}, "STATE_TOO_LARGE"),
    "merge": ("PUT", f"/dialogue/{DIALOGUE}/state", {"x": "s" * MIB}, "STATE_TOO_LARGE"),
    "value": ("POST", "/memory", {"value": "v" * MIB}, "VALUE_TOO_LARGE"),
    "content": ("POST", SAY, {"role": "u", "content": "c" * (8 * MIB + 1)}, "CONTENT_TOO_LARGE"),
    "batch": (
        "POST",
        BATCH,
        [SAID, {"role": "u", "content": "c" * (8 * MIB + 1)}],
        "CONTENT_TOO_LARGE",
    ),
    "image": (
        "POST",
        SAY,
        {
            "role": "u",
            "content": [
                {
                    "type": "image",
                    "source": {
                        "type": "base64",
                        "media_type": "image/png",
                        "data": base64.b64encode(bytes(25 * MIB + 1)).decode(),
                    },
                }
            ],
        },
        "IMAGE_TOO_LARGE",
    ),
}


@pytest.mark.parametrize(("method", "path", "body", "expected"), LARGE.values(), ids=LARGE)
def test_what_is_too_large_is_413(
    home: httpx.Client, method: str, path: str, body: Any, expected: str
) -> None:
    """Contract 3.7 to 3.10, 10.3: each limit of size has a code of its own."""
    answer = home.request(method, path, json=body)
    assert code(answer) == (413, expected)
    assert answer.json()["error"]["type"] == "validation_error"


def test_a_body_over_the_ceiling_is_413(api: httpx.Client) -> None:
    """Contract 1.3: more than 36 MiB answer 413 `PAYLOAD_TOO_LARGE` in the usual envelope."""
    answer = api.post("/memory", content=b" " * (36 * MIB + 1))
    assert code(answer) == (413, "PAYLOAD_TOO_LARGE")


def test_a_streamed_body_over_the_ceiling_is_413(api: httpx.Client) -> None:
    """Contract 1.3: the ceiling holds without a `Content-Length` too."""
    answer = api.post("/memory", content=(b" " * MIB for _ in range(37)))
    assert code(answer) == (413, "PAYLOAD_TOO_LARGE")


# Routes and methods


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/Dialogue",
        "/dialogues",
        "/api/v1",
        "/api/v2/dialogue",
        "/api/v1/api/v1/dialogue",
        "/dialogue/a/message/b/c",
        "/memory/a/b",
        "/message/a/b",
    ],
)
def test_an_unknown_path_is_no_missing_resource(api: httpx.Client, method: str, path: str) -> None:
    """Contract 10.2: 404 `ROUTE_NOT_FOUND`, whose type is never `not_found`."""
    answer = api.request(method, path)
    assert code(answer) == (404, "ROUTE_NOT_FOUND")
    assert answer.json()["error"]["type"] == "validation_error"


METHODS = {
    "/dialogue": {"GET", "POST", "PUT", "DELETE"},
    f"/dialogue/{DIALOGUE}": {"GET", "PUT", "DELETE"},
    f"/dialogue/{DIALOGUE}/end": {"POST", "PUT"},
    f"/dialogue/{DIALOGUE}/state": {"GET", "PUT"},
    f"/dialogue/{DIALOGUE}/threads": {"GET"},
    f"/dialogue/{DIALOGUE}/messages": {"GET", "POST"},
    f"/dialogue/{DIALOGUE}/message": {"GET", "POST"},
    f"/dialogue/{DIALOGUE}/message/{MESSAGE}": {"GET", "PUT", "DELETE"},
    f"/dialogue/{DIALOGUE}/messages/{MESSAGE}": {"GET", "PUT", "DELETE"},
    "/message": {"POST"},
    f"/message/{MESSAGE}": {"GET", "PUT", "DELETE"},
    "/messages": {"GET", "POST"},
    f"/messages/{MESSAGE}": {"GET", "PUT", "DELETE"},
    "/memory": {"GET", "POST"},
    f"/memory/{MEMORY}": {"GET", "PUT", "DELETE"},
    "/health": {"GET"},
}
#: Paths that are also a `POST /dialogue/{id}/{action}`.
ACTION_PATHS = (f"/dialogue/{DIALOGUE}/state", f"/dialogue/{DIALOGUE}/threads")
WRONG_METHODS = [
    (path, method)
    for path, methods in METHODS.items()
    for method in sorted({"GET", "POST", "PUT", "DELETE", "PATCH"} - methods)
    if not (method == "POST" and path in ACTION_PATHS)
]


@pytest.mark.parametrize(("path", "method"), WRONG_METHODS)
@pytest.mark.parametrize("prefix", ["", "/api/v1"], ids=["bare", "v1"])
def test_a_wrong_method_is_405(home: httpx.Client, prefix: str, path: str, method: str) -> None:
    """Contract 10.3: a known path with another method answers `METHOD_NOT_ALLOWED`."""
    answer = home.request(method, prefix + path)
    assert code(answer) == (405, "METHOD_NOT_ALLOWED")
    assert answer.json()["error"]["type"] == "validation_error"


@pytest.mark.parametrize("path", METHODS)
def test_a_405_names_the_allowed_methods(home: httpx.Client, path: str) -> None:
    """Contract 10.3: `Allow` holds the methods of the path."""
    allowed = set(re.split(r",\s*", home.patch(path).headers["Allow"]))
    extra = {"HEAD", "OPTIONS"} | ({"POST"} if path in ACTION_PATHS else set())
    assert METHODS[path] <= allowed <= METHODS[path] | extra


# The order of the checks

BIG = b"{" * (36 * MIB + 1)
ORDER = {
    "route before method": ("PATCH", "/nowhere", {}, 404, "ROUTE_NOT_FOUND"),
    "route before key": ("GET", "/nowhere", {"headers": "wrong"}, 404, "ROUTE_NOT_FOUND"),
    "method before key": ("PATCH", "/dialogue", {"headers": "wrong"}, 405, "METHOD_NOT_ALLOWED"),
    "method before size": ("PATCH", "/dialogue", {"content": BIG}, 405, "METHOD_NOT_ALLOWED"),
    "method before JSON": ("PATCH", "/dialogue", {"content": b"{"}, 405, "METHOD_NOT_ALLOWED"),
    "key before size": (
        "POST", "/dialogue", {"headers": "wrong", "content": BIG}, 401, "UNAUTHORIZED",
    ),
    "key before JSON": (
        "POST", "/dialogue", {"headers": "wrong", "content": b"{"}, 401, "UNAUTHORIZED",
    ),
    "key before parameters": (
        "GET", "/dialogue?limit=0", {"headers": "wrong"}, 401, "UNAUTHORIZED",
    ),
    "key before existence": ("GET", "/memory/none", {"headers": "wrong"}, 401, "UNAUTHORIZED"),
    "size before JSON": ("POST", "/dialogue", {"content": BIG}, 413, "PAYLOAD_TOO_LARGE"),
    "size before parameters": (
        "POST", "/dialogue?namespace=.", {"content": BIG}, 413, "PAYLOAD_TOO_LARGE",
    ),
    "JSON before parameters": (
        "POST", "/dialogue?namespace=.", {"content": b"{"}, 400, "INVALID_JSON",
    ),
    "JSON before existence": (
        "POST", "/message?dialogueId=none", {"content": b"{"}, 400, "INVALID_JSON",
    ),
    "JSON before conflict": (
        "POST", f"/message?dialogueId={ENDED}", {"content": b"{"}, 400, "INVALID_JSON",
    ),
    "parameters before existence": (
        "POST", "/message?dialogueId=none", {"json": {"role": "u"}}, 400, "MISSING_PARAMETER",
    ),
    "list parameters before existence": (
        "GET", "/messages?dialogueId=none&limit=0", {}, 400, "INVALID_PARAMETER",
    ),
    "tags before existence": (
        "PUT", "/memory/none", {"json": {"tags": 1}}, 400, "INVALID_INPUT",
    ),
    "parameters before conflict": (
        "POST", f"/message?dialogueId={ENDED}", {"json": {"role": "u"}}, 400, "MISSING_PARAMETER",
    ),
    "size of content before existence": (
        "POST", "/message?dialogueId=none",
        {"json": {"role": "u", "content": "c" * (8 * MIB + 1)}}, 413, "CONTENT_TOO_LARGE",
    ),
    "existence before conflict": (
        "PUT", "/memory/none", {"json": {"tags": [], "label": "x"}}, 404, "MEMORY_NOT_FOUND",
    ),
    "existence before condition": (
        "PUT", "/dialogue/none", {"headers": {"If-Match": '"9"'}, "json": {}}, 404,
        "DIALOGUE_NOT_FOUND",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "rest", "status", "expected"), ORDER.values(), ids=ORDER
)
def test_the_earlier_check_answers(
    home: httpx.Client, method: str, path: str, rest: dict[str, Any], status: int, expected: str
) -> None:
    """Contract 10.3: of two faults the one that is checked first answers."""
    if rest.get("headers") == "wrong":
        rest = rest | {"headers": {"Authorization": "Bearer wrong"}}
    assert code(home.request(method, path, **rest)) == (status, expected)


@pytest.fixture(scope="module")
def limited(new_db: Callable[..., Database]) -> Any:
    """A server that lets one request a second pass."""
    running = Server(new_db(), "--rate-limit", "1", "--rate-burst", "1")
    yield running
    running.stop()


@pytest.mark.parametrize(
    ("method", "path", "rest", "expected"),
    [
        ("POST", "/dialogue", {"content": BIG}, 429),
        ("POST", "/dialogue", {"content": b"{"}, 429),
        ("GET", "/dialogue?limit=0", {}, 429),
        ("GET", "/memory/none", {}, 429),
        ("GET", "/nowhere", {}, 404),
        ("PATCH", "/dialogue", {}, 405),
        ("GET", "/dialogue", {"headers": {"Authorization": "Bearer wrong"}}, 401),
    ],
    ids=["size", "JSON", "parameters", "existence", "route", "method", "key"],
)
def test_the_rate_is_checked_between_key_and_size(
    limited: Server, method: str, path: str, rest: dict[str, Any], expected: int
) -> None:
    """Contract 10.3: a caller over the limit hears of route, method and key first, then 429."""
    statuses = []
    with limited.client(new_project(limited.db).key) as client:
        for _ in range(5):  # a token may come back in between
            for _ in range(100):
                if client.get("/dialogue").status_code == 429:
                    break
            statuses.append(client.request(method, path, **rest).status_code)
            if statuses[-1] == expected:
                break
    assert statuses[-1] == expected
