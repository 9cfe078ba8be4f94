"""Contract 8.1 to 8.6 over HTTP: what a search takes, what it refuses, and the answer's shape."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from harness import Server, new_project

PREFIXES = ["", "/api/v1"]
#: Dialogues by id: tags, metadata and time of creation; all have the same label.
DIALOGUES: dict[str, dict[str, Any]] = {
    "d1": {
        "tags": ["order", "late"],
        "metadata": {"tier": "gold", "n": 1},
        "created": "2025-01-15",
    },
    "d2": {
        "tags": ["order"],
        "metadata": {"tier": "1", "n": 2.5},
        "created": "2025-03-15T23:30:00Z",
    },
    "d3": {"tags": ["late"], "metadata": {"tier": 1, "vip": True}, "created": "2024-03-16"},
    "d4": {"metadata": {"langs": ["et", "en"]}, "created": "2025-12-31T23:59:59.999Z"},
}
ALL = set(DIALOGUES)


def made(answer: httpx.Response) -> Any:
    """Return the body of an answer that must be a success."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: httpx.Response, code: str, *fields: str) -> Any:
    """Return the error of an answer that must be a 400 with this code and these fields."""
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["type"]) == (code, "validation_error"), error
    assert [detail.get("field") for detail in error["details"]] == list(fields), error
    return error


def post(api: httpx.Client, prefix: str = "", **fields: Any) -> httpx.Response:
    body = {"query": "parcel", "object": "dialogue"} | fields
    return api.post(
        f"{prefix}/search", json={key: value for key, value in body.items() if value is not ...}
    )


def found(answer: httpx.Response) -> set[str]:
    """The ids that an answer holds, in each of its two forms."""
    body = made(answer)
    ids = [item["id"] for item in body["items"]]
    assert [result["item"]["id"] for result in body["results"]] == ids
    assert len(set(ids)) == len(ids)
    return set(ids)


@pytest.fixture(scope="module")
def shop(server: Server) -> Iterator[httpx.Client]:
    """A client of a project with the four dialogues; nothing is written to it afterwards."""
    with server.client(new_project(server.db).key) as client:
        for dialogue_id, fields in DIALOGUES.items():
            made(client.post("/dialogue", json={"id": dialogue_id, "label": "A parcel"} | fields))
        yield client


# ── ways in, and the answer ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("prefix", PREFIXES)
def test_both_methods_answer_alike(shop: httpx.Client, prefix: str) -> None:
    """5.0 rows 19 and 20, 8.5, 8.6."""
    by_body = made(post(shop, prefix, limit=3))
    parameters = {"query": "parcel", "object": "dialogue", "limit": "3"}
    assert made(shop.get(f"{prefix}/search", params=parameters)) == by_body
    assert by_body.keys() == {"results", "request", "items", "next"}
    assert by_body["next"] is None
    assert by_body["items"] == [result["item"] for result in by_body["results"]]
    assert len(by_body["items"]) == 3
    assert by_body["request"] == {
        "orderBy": "relevance",
        "order": "desc",
        "candidateOrderBy": "relevance",
    }
    for result in by_body["results"]:
        assert result["object"] == "dialogue"
        assert 0 <= result["relevance"] <= 1
        assert result["item"]["label"] == "A parcel"
        assert "explain" not in result


def test_both_lists_are_there_when_nothing_is_found(api: httpx.Client) -> None:
    for sought in ("message", "dialogue", "memory"):
        body = made(post(api, object=sought))
        assert (body["results"], body["items"], body["next"]) == ([], [], None)


def test_the_body_is_read_whatever_its_type_says(shop: httpx.Client) -> None:
    """1.3: the official client labels its bodies as text."""
    body = b'{"query": "parcel", "object": "dialogue"}'
    assert found(shop.post("/search", content=body, headers={"Content-Type": "text/plain"})) == ALL


def test_a_score_is_explained_when_asked(shop: httpx.Client) -> None:
    for result in made(post(shop, explain=True))["results"]:
        assert result["explain"]
        assert all(isinstance(part, int | float) for part in result["explain"].values())


@pytest.mark.parametrize("limit", [1, 2.0, 100, 1000])
def test_limit(shop: httpx.Client, limit: float) -> None:
    assert len(found(post(shop, limit=limit))) == min(limit, len(ALL))


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_the_chosen_page_is_sorted(shop: httpx.Client, order: str) -> None:
    body = made(post(shop, orderBy="created", order=order))
    times = [item["created"] for item in body["items"]]
    assert times == sorted(times, reverse=order == "desc")
    assert len(times) == len(ALL)
    assert (body["request"]["orderBy"], body["request"]["order"]) == ("created", order)


# ── filters, over HTTP ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"tags": ["order"]}, {"d1", "d2"}),
        ({"tags": ["order", "late"]}, {"d1", "d2", "d3"}),
        ({"tags": {"$all": ["order", "late"]}}, {"d1"}),
        ({"tags": {"$nin": ["late"]}}, {"d2", "d4"}),
        ({"filter": {"tags": ["late"]}}, {"d1", "d3"}),
        ({"tags": ["order"], "filter": {"tags": ["late"]}}, {"d1"}),
        ({"metadata": {"tier": "gold"}}, {"d1"}),
        ({"metadata": {"tier": 1}}, {"d3"}),
        ({"metadata": {"tier": "1"}}, {"d2"}),
        ({"metadata": {"vip": True}}, {"d3"}),
        ({"metadata": {"vip": 1}}, set()),
        ({"metadata": {"n": {"$gte": 1, "$lt": 2.5}}}, {"d1"}),
        ({"metadata": {"tier": {"$ne": "gold"}}}, {"d2", "d3", "d4"}),
        ({"metadata": {"langs": "en"}}, {"d4"}),
        ({"metadata": {"langs": {"$nin": ["en"]}}}, {"d1", "d2", "d3"}),
        ({"metadata": {}, "filter": {}}, ALL),
        ({"filter": {"created": "2025"}}, {"d1", "d2", "d4"}),
        ({"filter": {"created": "March 2025"}}, {"d2"}),
        ({"filter": {"created": "16 March 2025"}}, set()),
        ({"filter": {"created": "16 March 2025"}, "timezone": "Europe/Tallinn"}, {"d2"}),
        ({"filter": {"created": "2026"}, "timezone": "Asia/Kolkata"}, {"d4"}),
        ({"filter": {"created": {"gt": "2025-01-15", "lte": "2025"}}}, {"d2", "d4"}),
        ({"filter": {"created": {"gt": "2025-12-31T23:59:59.999Z"}}}, set()),
        ({"filter": {"created": {"gte": "2025-12-31T23:59:59.999Z"}}}, {"d4"}),
        ({"filter": {"created": "between 2024 and January 2025"}}, {"d1", "d3"}),
        ({"filter": {"modified": "today"}}, ALL),
        ({"filter": {"modified": "last 5 minutes"}}, ALL),
        ({"filter": {"modified": "last year"}}, set()),
        ({"filter": {"createdYear": 2025, "createdMonth": 3}}, {"d2"}),
        ({"filter": {"createdMonth": 3}}, {"d2", "d3"}),
        ({"filter": {"createdDay": 15}}, {"d1", "d2"}),
        ({"filter": {"createdDay": 16}, "timezone": "Europe/Tallinn"}, {"d2", "d3"}),
        ({"filter": {"hasImage": False}}, ALL),
        ({"filter": {"hasImage": True}}, set()),
        ({"created": "2025-0"}, {"d1", "d2"}),
        ({"startDate": "2025-03", "endDate": "2025-03-15"}, {"d2"}),
        ({"dialogueId": "d3"}, {"d3"}),
        ({"namespace": ""}, ALL),
        ({"namespace": "elsewhere"}, set()),
    ],
)
def test_a_filter_keeps_exactly_what_it_says(
    shop: httpx.Client, fields: dict[str, Any], expected: set[str]
) -> None:
    assert found(post(shop, **fields)) == expected


def test_threads(api: httpx.Client) -> None:
    for dialogue in ({"id": "d1"}, {"id": "d2"}, {"id": "t1", "threadOf": "d1"}):
        made(api.post("/dialogue", json=dialogue | {"label": "A parcel"}))
    assert found(post(api, threadOf="d1")) == {"t1"}
    assert found(post(api, threadOf="d2")) == set()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("tags=order", {"d1", "d2"}),
        ("tags=order,late", {"d1", "d2", "d3"}),
        ("tags=order&tags=late", {"d1", "d2", "d3"}),
        ("created=2025-03", {"d2"}),
        ("startDate=2024&endDate=2025-01-15", {"d1", "d3"}),
        ("dialogueId=d2", {"d2"}),
        ("threadOf=d2", set()),
        ("namespace=", ALL),
        ("namespace=elsewhere", set()),
        ("tags=late&created=2024", {"d3"}),
    ],
)
def test_old_clients_ask_by_query(shop: httpx.Client, query: str, expected: set[str]) -> None:
    assert found(shop.get(f"/search?query=parcel&object=dialogue&{query}")) == expected


def test_dates_are_told_as_they_were_understood(shop: httpx.Client) -> None:
    body = made(
        post(
            shop,
            filter={"created": "February 2026", "modified": {"gt": "2025-03-15"}},
            timezone="Europe/Tallinn",
        )
    )
    assert body["request"]["filter"] == {
        "created": {"gte": "2026-01-31T22:00:00.000Z", "lt": "2026-02-28T22:00:00.000Z"},
        "modified": {"gte": "2025-03-15T22:00:00.000Z"},
    }


# ── mistakes ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("value", [..., "", " \n", None])
@pytest.mark.parametrize("field", ["query", "object"])
def test_query_and_object_are_required(
    shop: httpx.Client, prefix: str, field: str, value: Any
) -> None:
    code = "MISSING_PARAMETER"
    if field == "object" and isinstance(value, str):
        code = "INVALID_PARAMETER"
    refused(post(shop, prefix, **{field: value}), code, field)


def test_query_and_object_are_required_of_a_url(shop: httpx.Client) -> None:
    refused(shop.get("/search"), "MISSING_PARAMETER", "query")
    refused(shop.get("/search?object=message"), "MISSING_PARAMETER", "query")
    refused(shop.get("/search?object=message&query="), "MISSING_PARAMETER", "query")
    refused(shop.get("/search?query=x"), "MISSING_PARAMETER", "object")


@pytest.mark.parametrize(
    ("fields", "places"),
    [
        ({"query": 5}, ["query"]),
        ({"object": "messages"}, ["object"]),
        ({"limit": 0}, ["limit"]),
        ({"limit": "5"}, ["limit"]),
        ({"limit": 1.5}, ["limit"]),
        ({"order": "up"}, ["order"]),
        ({"orderBy": "name"}, ["orderBy"]),
        ({"explain": "yes"}, ["explain"]),
        ({"timezone": "Mars/Olympus"}, ["timezone"]),
        ({"timezone": ""}, ["timezone"]),
        ({"timezone": "localtime"}, ["timezone"]),
        ({"timezone": "posixrules"}, ["timezone"]),
        ({"namespace": "a b"}, ["namespace"]),
        ({"dialogueId": ""}, ["dialogueId"]),
        ({"threadOf": "a/b"}, ["threadOf"]),
        ({"created": "someday"}, ["created"]),
        ({"startDate": "someday"}, ["startDate"]),
        ({"tags": []}, ["tags"]),
        ({"tags": {"$any": ["a"]}}, ["tags.$any"]),
        ({"metadata": {"k": None}}, ["metadata.k"]),
        ({"metadata": {"k": {"$gt": True}}}, ["metadata.k.$gt"]),
        ({"filter": None}, ["filter"]),
        ({"filter": {"date": "2025"}}, ["filter.date"]),
        ({"filter": {"createdTimestamp": 1}}, ["filter.createdTimestamp"]),
        ({"filter": {"created": "someday"}}, ["filter.created"]),
        ({"filter": {"created": {"gte": 5}}}, ["filter.created.gte"]),
        ({"filter": {"hasImage": "yes"}}, ["filter.hasImage"]),
        ({"tags": [], "filter": {"created": {}, "x": 1}}, ["tags", "filter.x", "filter.created"]),
        # fields of resources that other bodies may carry are filters that would be lost here
        ({"modified": "2025"}, ["modified"]),
        ({"status": "active"}, ["status"]),
        ({"role": "user"}, ["role"]),
        ({"filters": {"created": "2025"}}, ["filters"]),
    ],
)
def test_a_mistake_is_told_where_it_is(
    shop: httpx.Client, fields: dict[str, Any], places: list[str]
) -> None:
    refused(post(shop, **fields), "INVALID_PARAMETER", *places)


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("tags=", "tags"),
        ("tags=a,,b", "tags"),
        ("tags=a&tags=", "tags"),
        ("limit=0", "limit"),
        ("limit=ten", "limit"),
        ("created=", "created"),
        ("created=last week", "created"),
        ("dialogueId=", "dialogueId"),
        ("threadOf=", "threadOf"),
        ("explain=maybe", "explain"),
        ("metadata=%7B%7D", "metadata"),
        ("filter=2025", "filter"),
        ("tag=a", "tag"),
        ("object=memory", "object"),
    ],
)
def test_a_mistake_in_a_url_is_told(shop: httpx.Client, query: str, place: str) -> None:
    refused(shop.get(f"/search?query=x&object=message&{query}"), "INVALID_PARAMETER", place)


def test_a_filter_beside_the_body_is_not_lost(shop: httpx.Client) -> None:
    body = {"query": "x", "object": "message"}
    refused(shop.post("/search?tags=a", json=body), "INVALID_PARAMETER", "tags")
    refused(
        shop.post("/search?namespace=a", json=body | {"namespace": "b"}),
        "INVALID_PARAMETER",
        "namespace",
    )


@pytest.mark.parametrize(
    "member",
    [
        '"filter": {"created": "2025", "created": "2024"}',
        '"filter": {"created": {"gte": "2025", "gte": "2024"}}',
        '"metadata": {"a": 1, "a": 2}',
        '"tags": {"$in": ["a"], "$in": ["b"]}',
        '"tags": ["a"], "tags": ["b"]',
        '"namespace": "n1", "namespace": ""',
        '"limit": 1, "limit": 1',
        '"query": "y"',
    ],
)
def test_a_key_that_is_given_twice_is_refused(shop: httpx.Client, member: str) -> None:
    body = f'{{"query": "x", "object": "message", {member}}}'
    refused(shop.post("/search", content=body), "INVALID_PARAMETER", member.split('"')[1])


@pytest.mark.parametrize(
    "body",
    [
        b'{"query": "x", "object": "message", "metadata": {"k": 1e999}}',
        b'{"query": "x", "object": "message", "tags": ["\\ud800"]}',
        b'{"query": "x", "object": "message", "tags": ["\xff"]}',
        b'{"query": "x", "object": "message", "filter": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"query": "x", "object": "message"',
    ],
)
def test_what_is_no_json_is_refused(shop: httpx.Client, body: bytes) -> None:
    refused(shop.post("/search", content=body), "INVALID_JSON")


def test_other_methods_are_refused(shop: httpx.Client) -> None:
    answer = shop.put("/search", json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
