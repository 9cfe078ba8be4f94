"""How the state machine talks to the server: one project's way in, and strict comparison."""

from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID

import httpx

from harness import NewProject
from property.model import Project, Refusals, Window, Wire, compact, same

ABSENT = object()
ERROR_TYPES = {400: "validation_error", 404: "not_found", 409: "conflict", 412: "conflict"}


def path(*parts: str) -> str:
    """Join path segments, each percent-encoded."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def assert_same(actual: object, expected: object, what: str) -> None:
    """Compare two JSON values strictly and name the fields that differ."""
    if same(actual, expected):
        return
    if isinstance(actual, dict) and isinstance(expected, dict):
        wrong = {
            key: (actual.get(key, "<absent>"), expected.get(key, "<absent>"))
            for key in {*actual, *expected}
            if key not in actual or key not in expected or not same(actual[key], expected[key])
        }
        raise AssertionError(f"{what}: {{field: (server, model)}}: {wrong}")
    raise AssertionError(f"{what}:\n  server: {actual}\n  model:  {expected}")


class Answer(NamedTuple):
    """An answer of the server: status, error code or "", body, headers and time of exchange."""

    status: int
    code: str
    body: Any
    headers: httpx.Headers
    window: Window


class Side:
    """One project: the way to it over HTTP, and its model."""

    def __init__(self, client: httpx.Client, project: NewProject) -> None:
        self.model = Project(project.id)
        self.prefix = ""
        self._client = client
        self._authorization = {"Authorization": f"Bearer {project.key}"}

    def send(
        self,
        method: str,
        where: str,
        *,
        query: dict[str, Any] | None = None,
        body: object = ABSENT,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send one request and check what every answer must have (1.4, 10.1, 10.2)."""
        given = {key: value for key, value in (query or {}).items() if value is not None}
        content = raw if body is ABSENT else compact(body)
        began = datetime.now(UTC)
        response = self._client.request(
            method,
            self.prefix + where,
            params=given,
            content=content,
            headers=self._authorization | (headers or {}),
        )
        window = Window(began, datetime.now(UTC))
        shown = f"{method} {response.request.url} {content!r} -> {response.status_code}"
        assert response.status_code < 500, f"{shown} {response.text}"
        assert response.headers["content-type"] == "application/json; charset=utf-8", shown
        assert UUID(response.headers["x-request-id"]).version == 4, shown
        answer = response.json()
        if response.status_code == 200:
            return Answer(200, "", answer, response.headers, window)
        error = answer["error"]
        assert set(error) == {"code", "message", "type", "details", "requestId", "timestamp"}, error
        assert error["type"] == ERROR_TYPES[response.status_code], f"{shown} {error}"
        assert error["requestId"] == response.headers["x-request-id"], shown
        assert all({"code", "message"} <= set(detail) for detail in error["details"]), error
        return Answer(response.status_code, error["code"], answer, response.headers, window)


def succeeded(answer: Answer, refusals: Refusals) -> bool:
    """Check that the answer is one of the refusals, or a success if there are none."""
    if refusals:
        assert (answer.status, answer.code) in refusals, (refusals, answer.status, answer.body)
        return False
    assert answer.status == 200, answer.body
    return True


def adopt(
    row: Wire, wire: Wire, window: Window, *, touched: bool | None, versioned: bool | None
) -> None:
    """Take over `modified` and `version`. True: it moved; None: it may have; False: it stayed."""
    stays, moves = row["version"], row["version"] + 1
    allowed = {True: {moves}, None: {stays, moves}, False: {stays}}[versioned]
    assert wire["version"] in allowed, f"version {wire['version']}, expected {allowed}"
    if touched is False:
        assert wire["modified"] == row["modified"], (wire["modified"], row["modified"])
    elif touched or wire["modified"] != row["modified"]:
        window.check(wire["modified"], row["created"])
    row["modified"], row["version"] = wire["modified"], wire["version"]
