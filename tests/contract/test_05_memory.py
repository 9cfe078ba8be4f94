"""Contract 5.14: the five memory endpoints."""

from typing import Any

import httpx
import pytest

PREFIXES = ["", "/api/v1"]
FULL = {
    "id": "y",
    "namespace": "shop",
    "value": {"theme": "dark", "size": [1, 2]},
    "label": "Display",
    "description": "How it looks",
    "tags": ["a", "b"],
    "metadata": {"tier": "gold", "vip": True, "langs": ["et", "en"]},
}


def made(answer: httpx.Response) -> Any:
    """Return the body of an answer that must be a success."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: httpx.Response, status: int, code: str, *fields: str) -> Any:
    """Return the error of an answer that must refuse with this status, code and these fields."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code, error
    if fields:
        assert [detail.get("field") for detail in error["details"]] == list(fields), error
    return error


def later(api: httpx.Client, moment: str) -> None:
    """Ask until the clock of the server has passed a moment."""
    while made(api.post("/dialogue"))["created"] <= moment:
        pass


@pytest.fixture
def shop(api: httpx.Client) -> httpx.Client:
    """A client that asks in the namespace shop, where the full memory y is."""
    made(api.post("/memory", json=FULL))
    api.params = httpx.QueryParams({"namespace": "shop"})
    return api


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_memory_is_created_read_listed_updated_and_deleted(
    api: httpx.Client, prefix: str
) -> None:
    """Contract 5.14 and 1.1: the five endpoints under both prefixes."""
    one = f"{prefix}/memory/y"
    assert made(api.post(f"{prefix}/memory", json={"id": "y", "value": 1}))["id"] == "y"
    assert made(api.get(one))["value"] == 1
    assert [row["id"] for row in made(api.get(f"{prefix}/memory"))["items"]] == ["y"]
    assert made(api.put(one, json={"tags": ["t"]}))["tags"] == ["t"]
    assert made(api.delete(one)) == {"success": True, "id": "y"}
    refused(api.get(one), 404, "MEMORY_NOT_FOUND")


def test_what_was_created_is_what_is_read(shop: httpx.Client) -> None:
    """Contract 5.14: all fields of the create, in get and in the list."""
    read = made(shop.get("/memory/y"))
    assert {name: read[name] for name in FULL} == FULL
    assert made(shop.get("/memory"))["items"] == [read]


@pytest.mark.parametrize("body", [{}, {"id": "y", "label": "x", "tags": ["a"]}])
def test_a_create_needs_a_value(api: httpx.Client, body: dict[str, Any]) -> None:
    """Contract 5.14: MISSING_PARAMETER, field value, and nothing is stored."""
    error = refused(api.post("/memory", json=body), 400, "MISSING_PARAMETER", "value")
    assert error["details"][0]["code"] == "REQUIRED"
    assert made(api.get("/memory"))["items"] == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"label": 1}, "label"),
        ({"description": ["x"]}, "description"),
        ({"metadata": {"k": None}}, "metadata.k"),
        ({"metadata": "x"}, "metadata"),
        ({"tags": "x"}, "tags"),
        ({"value": None}, "value"),
    ],
)
def test_a_create_with_a_bad_field_is_refused(
    api: httpx.Client, fields: dict[str, Any], field: str
) -> None:
    """Contract 5.14: INVALID_INPUT names the field, and nothing is stored."""
    answer = api.post("/memory", json={"value": 1} | fields)
    refused(answer, 400, "INVALID_INPUT", field)
    assert made(api.get("/memory"))["items"] == []


def test_errors_of_one_code_keep_it(api: httpx.Client) -> None:
    """Contract 10.3: several field errors of the same code, one detail each."""
    answer = api.post("/memory", json={"value": 1, "label": 1, "description": 2})
    refused(answer, 400, "INVALID_INPUT", "label", "description")


def test_errors_of_several_codes_are_a_validation_error(api: httpx.Client) -> None:
    """Contract 10.3: several field errors of mixed codes answer VALIDATION_ERROR."""
    error = refused(api.post("/memory", json={"label": 1, "id": "a b"}), 400, "VALIDATION_ERROR")
    assert sorted(detail["field"] for detail in error["details"]) == ["id", "label", "value"]


def test_a_second_create_is_refused_and_changes_nothing(shop: httpx.Client) -> None:
    """Contract 5.14: DUPLICATE_ID, no upsert, also when all is the same."""
    before = made(shop.get("/memory/y"))
    for body in (FULL, FULL | {"value": "other"}):
        error = refused(shop.post("/memory", json=body), 400, "DUPLICATE_ID", "id")
        assert error["type"] == "validation_error"
    assert made(shop.get("/memory/y")) == before


def test_key_and_id_of_old_clients(api: httpx.Client) -> None:
    """Contract 4.3: `key` takes the place of a missing id, with the rules of an id."""
    assert made(api.post("/memory", json={"key": "k", "value": 1}))["id"] == "k"
    assert refused(api.post("/memory", json={"key": "k", "value": 1}), 400, "DUPLICATE_ID")


def test_the_times_of_a_memory_are_the_server_s(api: httpx.Client) -> None:
    """Contract 3.2 and 1.3: created and modified are read-only: tolerated without effect."""
    body = {"value": 1, "created": "2001-01-01T00:00:00.000Z", "modified": "2001-01-01"}
    row = made(api.post("/memory", json=body))
    assert row["created"] == row["modified"] > "2025"


def test_memories_are_listed_newest_first(api: httpx.Client) -> None:
    """Contract 5.14 and 1.7: order desc by default, asc on demand."""
    for own_id in "cab":
        made(api.post("/memory", json={"id": own_id, "value": 1}))
    assert [row["id"] for row in made(api.get("/memory"))["items"]] == ["b", "a", "c"]
    asc = made(api.get("/memory", params={"order": "asc"}))["items"]
    assert [row["id"] for row in asc] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"order": "up"}, "order"),
        ({"next": "nonsense"}, "next"),
        ({"created": "soon"}, "created"),
        ({"namespace": "-"}, "namespace"),
        ({"threadOf": "d"}, "threadOf"),
        ({"dialogueId": "d"}, "dialogueId"),
    ],
)
def test_a_bad_parameter_of_the_list_is_refused(
    api: httpx.Client, query: dict[str, str], field: str
) -> None:
    """Contract 5.14: INVALID_PARAMETER names it; parameters of other lists are unknown here."""
    refused(api.get("/memory", params=query), 400, "INVALID_PARAMETER", field)


@pytest.mark.parametrize(
    ("method", "body"), [("GET", None), ("PUT", {"tags": []}), ("DELETE", None)]
)
@pytest.mark.parametrize("path", ["/memory/nobody", "/memory/y?namespace=other", "/memory/y"])
def test_a_memory_that_is_not_there_is_not_found(
    api: httpx.Client, method: str, body: Any, path: str
) -> None:
    """Contract 5.14 and 15.42: MEMORY_NOT_FOUND, also without its namespace."""
    made(api.post("/memory", json=FULL))
    error = refused(api.request(method, path, json=body), 404, "MEMORY_NOT_FOUND", "id")
    assert error["type"] == "not_found"
    assert error["details"][0]["code"] == "NOT_FOUND"


def test_a_memory_of_another_project_is_not_found(
    api: httpx.Client, other_api: httpx.Client
) -> None:
    """Contract 2: never 403."""
    made(api.post("/memory", json={"id": "y", "value": 1}))
    refused(other_api.get("/memory/y"), 404, "MEMORY_NOT_FOUND")


def test_an_update_replaces_the_tags_and_moves_modified(shop: httpx.Client) -> None:
    """Contract 5.14 and 3.4: only tags and modified change."""
    before = made(shop.get("/memory/y"))
    later(shop, before["modified"])
    after = made(shop.put("/memory/y", json={"tags": ["c"]}))
    assert after["modified"] > before["modified"]
    assert after == before | {"tags": ["c"], "modified": after["modified"]}
    assert made(shop.get("/memory/y")) == after


@pytest.mark.parametrize("body", [{}, {"label": "Display"}])
def test_an_update_needs_tags(shop: httpx.Client, body: dict[str, Any]) -> None:
    """Contract 5.14: MISSING_PARAMETER, field tags."""
    refused(shop.put("/memory/y", json=body), 400, "MISSING_PARAMETER", "tags")


@pytest.mark.parametrize("tags", [None, "a", [1], [""], ["x" * 65], ["t"] * 11])
def test_an_update_with_bad_tags_is_refused(shop: httpx.Client, tags: Any) -> None:
    """Contract 5.14: a 400 on tags, and the old ones stay."""
    error = shop.put("/memory/y", json={"tags": tags}).json()["error"]
    assert error["code"] in ["INVALID_INPUT"] + ["MISSING_PARAMETER"] * (tags is None)
    assert error["details"][0]["field"] in ("tags", "tags[0]")
    assert made(shop.get("/memory/y"))["tags"] == ["a", "b"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "z"),
        ("namespace", "other"),
        ("value", {"theme": "light", "size": [1, 2]}),
        ("value", "dark"),
        ("label", "Other"),
        ("description", "Other"),
        ("metadata", {}),
        ("metadata", {"tier": "gold", "vip": 1, "langs": ["et", "en"]}),
        ("metadata", {"tier": "gold", "vip": True, "langs": ["en", "et"]}),
    ],
)
def test_everything_but_tags_is_immutable(shop: httpx.Client, field: str, value: Any) -> None:
    """Contract 5.14: another value is 409 IMMUTABLE_FIELD, and the tags do not change either."""
    answer = shop.put("/memory/y", json={"tags": ["new"], field: value})
    error = refused(answer, 409, "IMMUTABLE_FIELD", field)
    assert error["type"] == "conflict"
    assert error["details"][0]["code"] == "IMMUTABLE"
    assert made(shop.get("/memory/y"))["tags"] == ["a", "b"]


@pytest.mark.parametrize("field", ["label", "description", "namespace"])
def test_an_option_that_was_not_set_cannot_be_set_later(api: httpx.Client, field: str) -> None:
    """Contract 5.14: absent differs from a value; a new namespace names another memory."""
    made(api.post("/memory", json={"id": "y", "value": 1}))
    answer = api.put("/memory/y", json={"tags": [], field: "new"})
    assert answer.json()["error"]["code"] in ["IMMUTABLE_FIELD"] + ["MEMORY_NOT_FOUND"] * (
        field == "namespace"
    )


@pytest.mark.parametrize(
    ("stored", "sent"),
    [(1, True), (0, False), (True, 1), (1, "1"), ([1], [True]), ({"k": 0}, {"k": False}), ("", 0)],
)
def test_values_of_different_types_are_different(api: httpx.Client, stored: Any, sent: Any) -> None:
    """Contract 5.14: true is not 1, and 1 is not "1"."""
    made(api.post("/memory", json={"id": "y", "value": stored}))
    answer = api.put("/memory/y", json={"tags": [], "value": sent})
    refused(answer, 409, "IMMUTABLE_FIELD", "value")


def test_the_stored_values_may_be_repeated_in_an_update(shop: httpx.Client) -> None:
    """Contract 5.14: a field that does not differ is no change, whatever the order of keys."""
    body = FULL | {"tags": ["new"], "value": {"size": [1, 2], "theme": "dark"}}
    assert made(shop.put("/memory/y", json=body))["tags"] == ["new"]


def test_the_namespace_of_an_update_may_come_in_the_body(api: httpx.Client) -> None:
    """Contract 1.3: the body field finds the memory as the query parameter does."""
    made(api.post("/memory", json=FULL))
    answer = api.put("/memory/y", json={"tags": ["new"], "namespace": "shop"})
    assert made(answer)["tags"] == ["new"]


def test_a_deleted_memory_is_gone_everywhere(shop: httpx.Client) -> None:
    """Contract 5.14 and 7.4: permanent, from get and list, and a second delete finds nothing."""
    made(shop.delete("/memory/y"))
    assert made(shop.get("/memory"))["items"] == []
    refused(shop.get("/memory/y"), 404, "MEMORY_NOT_FOUND")
    refused(shop.delete("/memory/y"), 404, "MEMORY_NOT_FOUND")


def test_a_deleted_memory_frees_its_id(shop: httpx.Client) -> None:
    """Contract 3.1: the id may be taken again, in any namespace."""
    made(shop.delete("/memory/y"))
    again = made(shop.post("/memory", json={"id": "y", "value": 2, "namespace": "shop"}))
    assert (again["value"], again["tags"], again["metadata"]) == (2, [], {})
