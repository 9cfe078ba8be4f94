"""The served OpenAPI document is valid, complete, and true: schemathesis holds the server to it."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import schemathesis
from harness import Server, new_project
from schemathesis import Case
from schemathesis.checks import load_all_checks
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

METHODS = {"get", "put", "post", "delete", "patch", "options", "head", "trace"}
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


TOLERATED: tuple[Tolerated, ...] = ()


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
            problems += (
                [] if operation.get("security", document.get("security")) else [f"{where}: open"]
            )
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


# ---- schemathesis --------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def api_schema(server: Server, long_round: bool) -> Any:
    """The document loaded by schemathesis, with a key of a project of its own."""
    key = new_project(server.db).key
    config = schemathesis.Config.from_dict(
        {
            "base-url": server.url,
            "headers": {"Authorization": f"Bearer {key}"},
            "suppress-health-check": ["all"],
            "seed": 20260203,
            "generation": {
                "max-examples": 200 if long_round else 20,
                "deterministic": True,
                "database": "none",
                "no-shrink": not long_round,
            },
            "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "404", "409"]}},
        }
    )
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json", config=config)


schema = schemathesis.pytest.from_fixture("api_schema")


def tolerated_checks(case: Case, response: Response) -> list[Any]:
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
    load_all_checks()
    return list(schemathesis.checks.CHECKS.get_by_names(sorted(names)))


@schema.parametrize()
def test_the_server_keeps_to_its_document(case: Case) -> None:
    response = case.call()
    assert response.status_code < 500, response.text
    case.validate_response(response, excluded_checks=tolerated_checks(case, response))
