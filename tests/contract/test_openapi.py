"""The served OpenAPI document is valid, complete, and true: schemathesis holds the server to it."""

import json
import sys
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import schemathesis
from schemathesis import Case
from schemathesis.core.transport import Response
from schemathesis.generation.meta import TestPhase
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

import canary
from dialoguedb.server.openapi import document as served_document
from harness import Server, new_project

METHODS = {"get", "put", "post", "delete", "patch", "options", "head", "trace"}
#: What the document's examples name.
EXAMPLE_ID, EXAMPLE_NAMESPACE = "01KB0A1B2C3D4E5F6G7H8J9KMN", "user_789"
#: Routes that need no key (5.15); all others must say that they do.
OPEN_PATHS = {"/health", "/ready", "/metrics", "/openapi.json", "/docs"}


class Tolerated(NamedTuple):
    """A departure from what schemathesis takes for granted, and the contract line behind it.

    `operations` are operation ids, or empty for all. `code` is the error code of the answer, or
    empty for a success.
    """

    check: str
    operations: frozenset[str]
    code: str
    contract: str


TOLERATED = (
    Tolerated(
        "positive_data_acceptance",
        frozenset(
            {"dialogues.create", "dialogues.update", "dialogues.update.2", "memories.create"}
            | {f"summaries.create{number}" for number in ("", ".2", ".3", ".4", ".5")}
            | {f"messages.create{number}" for number in ("", ".2", ".3", ".4")}
        ),
        "DUPLICATE_ID",
        "3.1: taking an id already used is 400 DUPLICATE_ID, though a schema cannot know it",
    ),
    Tolerated(
        "positive_data_acceptance",
        frozenset({"context.build", "context.build_by_query"}),
        "INVALID_PARAMETER",
        "Beyond: a budget that does not hold the last turn of this dialogue is refused",
    ),
)


@pytest.fixture(scope="session")
def document(server: Server) -> dict[str, Any]:
    """The OpenAPI document as it is served, without a key."""
    with server.client(key="none") as client:
        answer = client.get("/openapi.json", headers={"Authorization": ""})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("application/json")
        return dict(answer.json())


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Go through all operations: path, method, operation object."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield path, method, operation


def resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """Follow a local reference."""
    while "$ref" in node:
        target: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        node = target
    return node


def test_the_document_is_valid_openapi_31(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    errors = [f"{e.instance_path}: {e.message}" for e in OPENAPI_31_VALIDATOR.iter_errors(document)]
    assert not errors, errors


def test_every_operation_has_an_id_of_its_own(document: dict[str, Any]) -> None:
    ids = [operation.get("operationId") for _, _, operation in operations(document)]
    assert all(ids), "an operation without operationId"
    assert len(set(ids)) == len(ids), sorted(each for each in ids if ids.count(each) > 1)


def test_every_operation_has_examples_and_error_answers(document: dict[str, Any]) -> None:
    problems = []
    for path, method, operation in operations(document):
        where = f"{method.upper()} {path}"
        answers = operation["responses"]
        good = [status for status in answers if status.startswith("2")]
        if not good:
            problems.append(f"{where}: no success answer")
        if path not in OPEN_PATHS:
            problems += [f"{where}: no {s}" for s in ("400", "401", "500") if s not in answers]
            if not operation.get("security", document.get("security")):
                problems.append(f"{where}: needs no key")
            for status, answer in answers.items():
                content = resolved(document, answer).get("content", {}).get("application/json", {})
                if not {"example", "examples"} & set(content):
                    problems.append(f"{where}: {status} has no example")
                if "schema" not in content:
                    problems.append(f"{where}: {status} has no schema")
        body = operation.get("requestBody")
        if body is not None:
            content = resolved(document, body)["content"]["application/json"]
            if not {"example", "examples"} & set(content):
                problems.append(f"{where}: the body has no example")
    assert not problems, "\n".join(problems)


def test_every_route_is_documented_once_under_each_prefix(document: dict[str, Any]) -> None:
    paths = set(document["paths"])
    wanted = {"/dialogue", "/dialogue/{id}", "/message", "/messages", "/memory", "/memory/{id}"}
    servers = {each["url"].rstrip("/") for each in document.get("servers", [])}
    both = all(f"/api/v1{path}" in paths for path in wanted)
    assert wanted <= paths
    assert both or any(url.endswith("/api/v1") for url in servers), "no word of /api/v1"


HOSTILE_SEGMENTS = ["a%0Ab", "%0A", "%00", "%FF", "%E0%80", "%2F", "%2e%2e", ";", "a%0D%0Ab", "%"]


@pytest.mark.parametrize("segment", HOSTILE_SEGMENTS)
@pytest.mark.parametrize("prefix", ["", "/api/v1"])
def test_any_path_is_answered_with_the_error_envelope(
    server: Server, prefix: str, segment: str
) -> None:
    with server.client() as client:
        for path in (
            "/{}",
            "/dialogue/{}",
            "/dialogue/{}/message/{}",
            "/memory/{}",
            "/{}/dialogue",
        ):
            for method in ("GET", "DELETE", "PUT"):
                where = prefix + path.replace("{}", segment)
                answer = client.send(client.build_request(method, server.url + where, json={}))
                assert answer.status_code in (400, 404, 405), (method, where, answer.text)
                assert answer.headers["content-type"] == "application/json; charset=utf-8"
                assert answer.json()["error"]["requestId"] == answer.headers["x-request-id"]


# ---- schemathesis --------------------------------------------------------------------------------

#: Cases are generated when tests are collected, before there are fixtures such as `long_round`.
LONG = "--all" in sys.argv
CONFIG = {
    "suppress-health-check": ["all"],
    "seed": 20260203,
    "generation": {
        "max-examples": 300 if LONG else 30,
        "deterministic": True,
        "database": "none",
        "no-shrink": True,
        "with-security-parameters": False,
    },
    "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "404", "409", "412"]}},
}
schema = schemathesis.openapi.from_dict(
    json.loads(json.dumps(served_document())), config=schemathesis.Config.from_dict(CONFIG)
)


def test_the_served_document_is_the_one_that_is_tested(document: dict[str, Any]) -> None:
    assert document == json.loads(json.dumps(served_document()))


@pytest.fixture
def way(server: Server) -> dict[str, Any]:
    """Where an operation is tested: in a project of its own that has what the examples name."""
    key = new_project(server.db, admin=True).key
    with server.client(key) as client:
        space = {"namespace": EXAMPLE_NAMESPACE, "id": EXAMPLE_ID}
        message = {"id": EXAMPLE_ID, "role": "user", "content": "x"}
        client.post("/dialogue", json=space | {"message": message}).raise_for_status()
        client.post("/memory", json=space | {"value": 1}).raise_for_status()
    return {"base_url": server.url, "headers": {"Authorization": f"Bearer {key}"}}


def say_what_a_schema_cannot(case: Case) -> None:
    """Put right in a valid case what the contract asks for and no JSON schema can ask for."""
    query, headers, body = dict(case.query or {}), dict(case.headers or {}), without_nul(case.body)
    query.pop("next", None)  # 1.6: a cursor is opaque, so no text that is made up is one
    headers.pop("If-Match", None)  # 5.15: schemathesis makes ones that break the pattern
    if "Idempotency-Key" in headers:
        headers["Idempotency-Key"] = str(uuid.uuid4())  # 5.15: again and different is a conflict
    query |= {field: "2026-02" for field in ("created", "startDate", "endDate") if field in query}
    if case.meta is not None and case.meta.phase.name is TestPhase.FUZZING:
        aim_at_the_examples(case, query, body)
    if isinstance(body, dict):
        for field in ("id", "namespace", "dialogueId", "action", "cascade", "dryRun"):
            if field in query or field in (case.path_parameters or {}):
                body.pop(field, None)  # 1.3: the same field twice must be equal
        if "message" in body:
            body.pop("messages", None)  # 5.1: message and messages exclude each other
        body.pop("key", None)  # 4.3: `key` is another name of `id`
        body.pop("template", None)  # 9.1: those that there are stand in the settings
    flat = case.path in ("/message", "/messages") and case.method in ("GET", "POST")
    flat = flat or (case.path in ("/summary", "/summaries") and case.method == "POST")
    if flat and not (isinstance(body, dict) and "dialogueId" in body):
        query.setdefault("dialogueId", EXAMPLE_ID)  # 1.3: required, in the query or in the body
    give_usable_values(body)
    if case.path == "/export" and "unnamed" in query:
        query.pop("namespace", None)  # one namespace, or the one without a name
    if case.path == "/import":
        give_usable_records(body["records"] if isinstance(body, dict) else body)
    if case.path == "/search" and isinstance(body, dict):
        give_usable_filters(body)
    case.query, case.headers = query, headers
    if isinstance(body, (dict, list)):
        case.body = body


def aim_at_the_examples(case: Case, query: dict[str, Any], body: Any) -> None:
    """Let a random valid case meet what is there, where it can succeed."""
    names = {"id", "dialogueId", "threadOf"}
    for field in names & set(case.path_parameters or {}):
        case.path_parameters[field] = EXAMPLE_ID
    query |= dict.fromkeys(names & set(query), EXAMPLE_ID)
    if case.path != "/stats":
        query["namespace"] = EXAMPLE_NAMESPACE
    if isinstance(body, dict):
        body.pop("threadOf", None)
        if case.method == "PUT" and not case.path.endswith("/state"):
            fixed = {"metadata", "created", "value", "role", "content", "name", "description"}
            for field in fixed | ({"label"} if case.path.startswith("/memory") else set()):
                body.pop(field, None)  # 6.2: another value of an immutable field is a conflict


def without_nul(value: Any) -> Any:
    """Copy a JSON value without U+0000, which names and texts may not hold."""
    if isinstance(value, str):
        return value.replace("\x00", "0")
    if isinstance(value, dict):
        return {without_nul(key): without_nul(each) for key, each in value.items()}
    return [without_nul(each) for each in value] if isinstance(value, list) else value


def give_usable_values(body: Any) -> None:
    """Give valid times of creation (3.2), and fresh ids in place of the taken one (3.1)."""
    if isinstance(body, dict):
        if isinstance(body.get("created"), str):
            body["created"] = "2026-02-03T04:05:06+02:00"
        if body.get("id") == EXAMPLE_ID:
            body["id"] = str(uuid.uuid4())
        for message in [body.get("message"), *(body.get("messages") or [])]:
            give_usable_values(message)
    elif isinstance(body, list):
        for message in body:
            give_usable_values(message)


def give_usable_records(records: list[dict[str, Any]]) -> None:
    """Let the parts of records agree, and each have an id of its own."""
    stamp = "2026-02-03T04:05:06.007Z"
    for record in records:
        record["id"] = str(uuid.uuid4())
        record.pop("namespace", None)  # it is that of the request
        times = {"created", "modified", "lastMessageCreated", "lastServerTime", "fromCreated"}
        times |= {"toCreated", "startCreated", "endCreated"}
        record |= dict.fromkeys(times & record.keys(), stamp)
        if record["type"] == "summary":
            record |= {"startSequence": 1, "endCreated": stamp, "endSequence": 2}
        if record["type"] == "message":
            record["dialogueId"] = str(uuid.uuid4())  # there is none: its sequence is not known
        if record["type"] == "dialogue":
            for field, status in (("endedAt", "ended"), ("archivedAt", "archived")):
                record.pop(field, None)
                record |= {field: stamp} if record["status"] == status else {}


def give_usable_filters(body: dict[str, Any]) -> None:
    """Give a known time zone, and dates and phrases (8.4): their grammar is no pattern."""
    body |= {field: "2026-02" for field in ("startDate", "endDate") if field in body}
    if "timezone" in body:
        body["timezone"] = "Europe/Tallinn"
    for field in {"created", "modified"} & (body.get("filter") or {}).keys():
        old = body["filter"][field]
        new = "last week" if isinstance(old, str) else dict.fromkeys(old, "15 March 2025")
        body["filter"] = body["filter"] | {field: new}


def excused(case: Case, response: Response) -> list[Any]:
    """Return the checks that the contract itself excuses for this very answer."""
    code = ""
    if response.status_code >= 400:
        code = json.loads(response.content)["error"]["code"]
    operation = case.operation.definition.raw.get("operationId", "")
    names = {
        each.check
        for each in TOLERATED
        if each.code == code and (not each.operations or operation in each.operations)
    }
    return list(schemathesis.checks.CHECKS.get_by_names(sorted(names)))


@schema.parametrize()
def test_the_server_keeps_to_its_document(case: Case, way: dict[str, Any]) -> None:
    if case.meta is not None and case.meta.generation.mode.is_positive:
        say_what_a_schema_cannot(case)
    response = case.call(**way)
    canary.look(response.content)
    assert response.status_code < 500, response.text
    case.validate_response(
        response,
        headers=way["headers"],
        excluded_checks=excused(case, response),
        transport_kwargs=way,
    )
