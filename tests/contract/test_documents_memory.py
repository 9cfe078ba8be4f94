"""What the original document of the Memory API (S-MEM) shows, in words and data of our own.

Each shell or Python sample is one test, sent twice: as raw bytes with the headers that the shell
samples set, and by `requests` as the Python samples do. The one departure is contract 15.42: a
memory that was stored with a namespace is not found without it.
"""

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx
import pytest
import requests

from harness import TLS, Database, Server, new_project

PROFILE = {
    "value": {"given": "Mari", "family": "Tamm", "works": "Harbour Ltd"},
    "label": "Who she is",
    "namespace": "rider_12",
    "tags": ["profile", "customer"],
}
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


class Answer(NamedTuple):
    """An answer of either way of sending."""

    status: int
    body: Any


Call = Callable[..., Answer]


def caller(way: str, url: str, bearer: dict[str, str]) -> Call:
    """Send requests as the shell samples do, or as the Python samples do."""

    def shell(method: str, path: str, body: Any = None, **query: Any) -> Answer:
        headers = bearer | ({"Content-Type": "application/json"} if body is not None else {})
        text = None if body is None else json.dumps(body, indent=2).encode()
        if query:
            path += "?" + "&".join(f"{name}={value}" for name, value in query.items())
        answer = httpx.request(method, url + path, content=text, headers=headers, verify=TLS)
        return Answer(answer.status_code, answer.json())

    def python(method: str, path: str, body: Any = None, **query: Any) -> Answer:
        answer = requests.request(
            method, url + path, headers=bearer, json=body, params=query, timeout=30
        )
        return Answer(answer.status_code, answer.json())

    return shell if way == "shell" else python


@pytest.fixture(params=["shell", "python"])
def call(request: pytest.FixtureRequest, server: Server) -> Call:
    """Send requests with the key of a fresh project."""
    bearer = {"Authorization": f"Bearer {new_project(server.db).key}"}
    return caller(request.param, server.url, bearer)


def made(call: Call, **body: Any) -> Any:
    answer = call("POST", "/memory", body)
    assert answer.status == 200, answer.body
    return answer.body


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.body["error"]["code"]


# Create


def test_create_under_an_id_of_ones_own(call: Call) -> None:
    """S-MEM, create: an object with id, label, namespace and tags."""
    body = {
        "id": "rider_12_ui",
        "value": {"mode": "night", "zoom": 3},
        "label": "Screen",
        "namespace": "rider_12",
        "tags": ["settings", "screen"],
    }
    memory = made(call, **body)
    assert memory | body == memory


def test_create_with_description_and_metadata(call: Call) -> None:
    """S-MEM, create: a sentence with a description and metadata."""
    body = {
        "value": "Cannot climb stairs",
        "label": "Access",
        "description": "Needs a lift at every change",
        "tags": ["access", "health"],
        "metadata": {"weight": "high", "checked": True},
    }
    memory = made(call, **body)
    assert memory | body == memory


def test_create_without_an_id(call: Call) -> None:
    """S-MEM, create: an id is generated when none is given."""
    memory = made(call, **PROFILE)
    assert memory | PROFILE == memory
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", memory["id"])


def test_create_answers_every_documented_field(call: Call) -> None:
    """S-MEM, create: with defaults for tags and metadata, and the times."""
    memory = made(call, value=1)
    assert (memory["tags"], memory["metadata"]) == ([], {})
    assert all(re.fullmatch(STAMP, memory[name]) for name in ("created", "modified"))


@pytest.mark.parametrize("name", ["namespace", "label", "description"])
def test_create_leaves_out_what_is_not_set(call: Call, name: str) -> None:
    """S-MEM, create: optional fields are answered only if given."""
    assert name not in made(call, value=1)


@pytest.mark.parametrize(
    "value",
    ["Sits by the window", "", 42, 0, -1.5, True, False, {}, {"a": {"b": [1]}}, [], ["x", "y"]],
    ids=repr,
)
def test_every_type_of_value_comes_back(call: Call, value: Any) -> None:
    """S-MEM, value types: strings, numbers, booleans, objects and arrays."""
    memory = made(call, value=value)
    read = call("GET", f"/memory/{memory['id']}").body["value"]
    assert (type(read), read) == (type(value), value)


def test_the_detected_type_is_not_answered(call: Call) -> None:
    """S-MEM, value types: the type is an inner matter (contract 3.10)."""
    assert "type" not in made(call, value=1)


@pytest.mark.parametrize("namespace", ["rider_12", "rider_13", None])
def test_an_id_is_unique_in_the_project(call: Call, namespace: str | None) -> None:
    """S-MEM, create: the same id again answers `DUPLICATE_ID`; nothing is overwritten."""
    made(call, id="ui", value="first", namespace="rider_12")
    body = {"id": "ui", "value": "second"} | ({"namespace": namespace} if namespace else {})
    assert refusal(call("POST", "/memory", body)) == (400, "DUPLICATE_ID")
    assert call("GET", "/memory/ui", namespace="rider_12").body["value"] == "first"


# Get


def test_get_by_id(call: Call) -> None:
    """S-MEM, get: the whole memory, by its id."""
    memory = made(call, id="rider_12_ui", value={"mode": "night", "zoom": 3}, label="Screen")
    answer = call("GET", "/memory/rider_12_ui")
    assert (answer.status, answer.body) == (200, memory)


def test_get_with_its_namespace(call: Call) -> None:
    """S-MEM, get; contract 3.3: with the namespace it was stored in."""
    memory = made(call, id="rider_12_ui", value=1, namespace="rider_12")
    assert call("GET", "/memory/rider_12_ui", namespace="rider_12").body == memory


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_without_its_namespace_a_memory_is_not_found(call: Call, method: str) -> None:
    """Contract 15.42: the document's samples leave the namespace out; here that is a 404."""
    made(call, id="rider_12_ui", value=1, namespace="rider_12")
    assert refusal(call(method, "/memory/rider_12_ui")) == (404, "MEMORY_NOT_FOUND")


# List


def test_list_of_a_namespace(call: Call) -> None:
    """S-MEM, list: the memories of one namespace, newest first."""
    ids = [made(call, value=n, namespace="rider_12")["id"] for n in range(3)]
    made(call, value="elsewhere", namespace="rider_13")
    page = call("GET", "/memory", namespace="rider_12", limit=50).body
    assert ([row["id"] for row in page["items"]], page["next"]) == (ids[::-1], None)


def test_list_page_by_page(call: Call) -> None:
    """S-MEM, list: the second call repeats namespace and limit beside the token."""
    for number in range(5):
        made(call, value=number, namespace="rider_12")
    values, query = [], {"namespace": "rider_12", "limit": 2}
    for _ in range(3):
        page = call("GET", "/memory", **query).body
        values.append([row["value"] for row in page["items"]])
        query["next"] = page["next"]
    assert (values, page["next"]) == ([[4, 3], [2, 1], [0]], None)


def test_list_page_by_page_without_repeating_the_order(call: Call) -> None:
    """S-MEM, list: the second call of one sample drops `order`."""
    for number in range(3):
        made(call, value=number)
    first = call("GET", "/memory?limit=2&order=asc").body
    second = call("GET", f"/memory?limit=2&next={first['next']}").body
    assert [row["value"] for row in first["items"] + second["items"]] == [0, 1, 2]


def test_list_holds_fifty_by_default(call: Call) -> None:
    """S-MEM, list: the default page size is 50."""
    for number in range(51):
        made(call, value=number)
    page = call("GET", "/memory").body
    assert (len(page["items"]), page["next"] is None) == (50, False)


@pytest.mark.parametrize(("order", "values"), [("asc", [0, 1]), ("desc", [1, 0]), (None, [1, 0])])
def test_list_in_order_of_creation(call: Call, order: str | None, values: list[int]) -> None:
    """S-MEM, list: `asc` or `desc`, newest first by default."""
    for number in range(2):
        made(call, value=number)
    page = call("GET", "/memory", **({"order": order} if order else {})).body
    assert [row["value"] for row in page["items"]] == values


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("created", "{exact}", 1),
        ("created", "{day}", 1),
        ("created", "1999-01-01", 0),
        ("startDate", "{exact}", 1),
        ("startDate", "2999-01-01", 0),
        ("endDate", "{exact}", 1),
        ("endDate", "1999-01-01", 0),
    ],
)
def test_list_filters_by_date(call: Call, name: str, value: str, found: int) -> None:
    """S-MEM, list: exact creation date, after and before (inclusive, contract 15.13, 15.14)."""
    created = made(call, value=1)["created"]
    query = {name: value.format(exact=created, day=created[:10])}
    assert len(call("GET", "/memory", **query).body["items"]) == found


# Update


@pytest.mark.parametrize("tags", [["settings", "screen", "active"], ["only"], []], ids=str)
def test_update_replaces_the_tags(call: Call, tags: list[str]) -> None:
    """S-MEM, update: tags are replaced, not merged; the answer is the memory."""
    memory = made(call, value=1, tags=["old"])
    answer = call("PUT", f"/memory/{memory['id']}", {"tags": tags})
    changed = {"tags": tags, "modified": answer.body["modified"]}
    assert (answer.status, answer.body) == (200, memory | changed)


@pytest.mark.parametrize("field", ["value", "description", "label", "metadata", "id"])
def test_update_of_any_other_field_is_refused(call: Call, field: str) -> None:
    """S-MEM, update: only tags can change (contract 5.14: 409)."""
    memory = made(call, value=1)
    other = {"metadata": {"a": 1}}.get(field, "other")
    answer = call("PUT", f"/memory/{memory['id']}", {"tags": [], field: other})
    assert refusal(answer) == (409, "IMMUTABLE_FIELD")


# Delete


def test_delete_answers_success_and_the_id(call: Call) -> None:
    """S-MEM, delete: exactly these two."""
    made(call, id="rider_12_ui", value=1)
    answer = call("DELETE", "/memory/rider_12_ui")
    assert (answer.status, answer.body) == (200, {"success": True, "id": "rider_12_ui"})


def test_delete_cannot_be_undone(call: Call) -> None:
    """S-MEM, delete: afterwards there is nothing to read, list or delete."""
    made(call, id="rider_12_ui", value=1)
    call("DELETE", "/memory/rider_12_ui")
    for method in ("GET", "DELETE"):
        assert refusal(call(method, "/memory/rider_12_ui")) == (404, "MEMORY_NOT_FOUND")
    assert call("GET", "/memory").body["items"] == []


# Search


@pytest.mark.parametrize("value", ["Prefers aisle seats", {"seat": "aisle"}, ["aisle seat", 12]])
def test_search_by_meaning(call: Call, value: Any) -> None:
    """S-MEM, search and value types: a query and the object, nothing else; full memories come."""
    memory = made(call, value=value, tags=["habits"], description="Said at the counter")
    made(call, value="Speaks Estonian")
    answer = call("POST", "/search", {"query": "seat preferences", "object": "memory"})
    assert (answer.status, answer.body["items"][0]) == (200, memory)


def test_search_narrowed_by_tags(call: Call) -> None:
    """S-MEM, tagging: tags organise memories; a search may ask for them."""
    made(call, value="Eats no fish", tags=["food", "health"], id="fish")
    made(call, value="Eats late", tags=["habits"], id="late")
    query = {"query": "what to eat", "object": "memory"}
    for options, expected in (
        ({}, {"fish", "late"}),
        ({"tags": ["health"]}, {"fish"}),
        ({"filter": {"tags": ["habits"]}}, {"late"}),
    ):
        items = call("POST", "/search", query | options).body["items"]
        assert {item["id"] for item in items} == expected


def test_deletion_removes_from_search(call: Call) -> None:
    """S-MEM, delete: the memory leaves the results at once."""
    made(call, id="rider_12_ui", value="Likes the night mode")
    query = {"query": "night mode", "object": "memory"}
    assert len(call("POST", "/search", query).body["items"]) == 1
    call("DELETE", "/memory/rider_12_ui")
    assert call("POST", "/search", query).body["items"] == []


# The error tables, row by row. Two rows cannot be reached over HTTP: a missing id (the path holds
# it) and 500, which is no answer to any request of ours.

TABLES: list[tuple[str, str, str, Any, int, str]] = [
    ("create", "POST", "/memory", {"label": "no value"}, 400, "MISSING_PARAMETER"),
    ("create", "POST", "/memory", None, 400, "MISSING_PARAMETER"),
    ("create", "POST", "/memory", {"value": None}, 400, "INVALID_INPUT"),
    ("create", "POST", "/memory", {"value": 1, "tags": "x"}, 400, "INVALID_INPUT"),
    ("create", "POST", "/memory", {"value": 1, "label": 5}, 400, "INVALID_INPUT"),
    ("create", "POST", "/memory", {"value": 1, "metadata": []}, 400, "INVALID_INPUT"),
    ("create", "POST", "/memory", {"value": 1, "id": "taken"}, 400, "DUPLICATE_ID"),
    ("get", "GET", "/memory/nobody", None, 404, "MEMORY_NOT_FOUND"),
    ("list", "GET", "/memory?limit=0", None, 400, "INVALID_PARAMETER"),
    ("list", "GET", "/memory?limit=-1", None, 400, "INVALID_PARAMETER"),
    ("list", "GET", "/memory?limit=1.5", None, 400, "INVALID_PARAMETER"),
    ("list", "GET", "/memory?order=newest", None, 400, "INVALID_PARAMETER"),
    ("list", "GET", "/memory?next=nonsense", None, 400, "INVALID_PARAMETER"),
    ("list", "GET", "/memory?created=someday", None, 400, "INVALID_PARAMETER"),
    ("list", "GET", "/memory?startDate=2026-13-01", None, 400, "INVALID_PARAMETER"),
    ("list", "GET", "/memory?endDate=someday", None, 400, "INVALID_PARAMETER"),
    ("list", "GET", "/memory?namespace=a.b", None, 400, "INVALID_PARAMETER"),
    ("list", "GET", "/memory?tags=x", None, 400, "INVALID_PARAMETER"),
    ("update", "PUT", "/memory/taken", {}, 400, "MISSING_PARAMETER"),
    ("update", "PUT", "/memory/taken", None, 400, "MISSING_PARAMETER"),
    ("update", "PUT", "/memory/taken", {"tags": "x"}, 400, "INVALID_INPUT"),
    ("update", "PUT", "/memory/taken", {"tags": [1]}, 400, "INVALID_INPUT"),
    ("update", "PUT", "/memory/taken", {"tags": ["x"] * 11}, 400, "INVALID_INPUT"),
    ("update", "PUT", "/memory/taken", {"tags": ["x" * 65]}, 400, "INVALID_INPUT"),
    ("update", "PUT", "/memory/nobody", {"tags": []}, 404, "MEMORY_NOT_FOUND"),
    ("delete", "DELETE", "/memory/nobody", None, 404, "MEMORY_NOT_FOUND"),
]


@pytest.mark.parametrize(
    ("table", "method", "path", "body", "status", "code"),
    TABLES,
    ids=[f"{row[0]}-{row[5]}-{number}" for number, row in enumerate(TABLES)],
)
def test_a_row_of_the_error_tables(
    call: Call, table: str, method: str, path: str, body: Any, status: int, code: str
) -> None:
    """S-MEM, errors of create, get, list, update and delete."""
    made(call, id="taken", value=1)
    assert refusal(call(method, path, body)) == (status, code), table


ENDPOINTS: list[tuple[str, str, Any]] = [
    ("POST", "/memory", {"value": 1}),
    ("GET", "/memory", None),
    ("GET", "/memory/taken", None),
    ("PUT", "/memory/taken", {"tags": []}),
    ("DELETE", "/memory/taken", None),
]
endpoints = pytest.mark.parametrize(("method", "path", "body"), ENDPOINTS)


@endpoints
@pytest.mark.parametrize("bearer", [{}, {"Authorization": "Bearer invalid"}], ids=["no", "invalid"])
@pytest.mark.parametrize("way", ["shell", "python"])
def test_the_401_row_of_every_table(
    server: Server, way: str, bearer: dict[str, str], method: str, path: str, body: Any
) -> None:
    """S-MEM, errors: 401 for a missing or invalid key, on all five endpoints."""
    assert refusal(caller(way, server.url, bearer)(method, path, body)) == (401, "UNAUTHORIZED")


@pytest.fixture(scope="module")
def limited(new_db: Callable[..., Database]) -> Any:
    """A server that lets one request a second pass."""
    running = Server(new_db(), "--rate-limit", "1", "--rate-burst", "1")
    yield running
    running.stop()


@endpoints
@pytest.mark.parametrize("way", ["shell", "python"])
def test_the_429_row_of_every_table(
    limited: Server, way: str, method: str, path: str, body: Any
) -> None:
    """S-MEM, errors: 429 for too many requests, on all five endpoints."""
    call = caller(way, limited.url, {"Authorization": f"Bearer {new_project(limited.db).key}"})
    for _ in range(50):
        answer = call(method, path, body)
        if answer.status == 429:
            break
    assert refusal(answer) == (429, "RATE_LIMIT_EXCEEDED")
