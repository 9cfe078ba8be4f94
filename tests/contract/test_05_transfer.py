"""Contract 5, beyond: export, import and figures, for keys with the admin scope."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import msgspec
import pytest

from harness import Server, new_project
from transferring import batches

STAMP = "2026-02-03T04:05:06.007Z"
DIALOGUE = {
    "type": "dialogue", "id": "d", "requestId": "r", "status": "active", "version": 1,
    "created": STAMP, "modified": STAMP, "lastSequence": 9,
}  # fmt: skip
MESSAGE = {
    "type": "message", "id": "m", "dialogueId": "d", "role": "user", "content": "hi",
    "sequence": 1, "created": STAMP, "modified": STAMP,
}  # fmt: skip
MEMORY = {"type": "memory", "id": "k", "value": 1, "created": STAMP, "modified": STAMP}
GONE = {"type": "deleted_dialogue", "id": "g", "lastSequence": 9}
ALL = [DIALOGUE, MESSAGE, GONE, MEMORY]
ROUTES = [("GET", "/export"), ("POST", "/import"), ("GET", "/stats")]


def made(answer: httpx.Response) -> Any:
    """Return the body of an answer that must be a success."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: httpx.Response, status: int, code: str, *fields: str) -> Any:
    """Return the error of an answer that must refuse with this status, code and these fields."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code, error
    assert [detail.get("field") for detail in error["details"]] == list(fields), error
    return error


def admin_of(server: Server) -> str:
    """Make a project with an admin key, and give that."""
    return new_project(server.db, admin=True).key


@pytest.fixture
def admin(server: Server) -> Iterator[httpx.Client]:
    """A client with an admin key of a fresh project."""
    with server.client(admin_of(server)) as client:
        yield client


@pytest.fixture
def other_admin(server: Server) -> Iterator[httpx.Client]:
    """A client with an admin key of another fresh project."""
    with server.client(admin_of(server)) as client:
        yield client


def records_of(client: httpx.Client, **query: Any) -> list[bytes]:
    """Export page by page over HTTP, each record as it was written, without the project's id."""
    records: list[bytes] = []
    while True:
        answer = client.get("/export", params=query)
        assert answer.status_code == 200, answer.text
        page = msgspec.json.decode(answer.content, type=dict[str, msgspec.Raw])
        for raw in msgspec.json.decode(page["items"], type=list[msgspec.Raw]):
            own = msgspec.json.decode(raw).get("projectId", "PROJECT")
            records.append(bytes(raw).replace(own.encode(), b"PROJECT"))
        goes_on = msgspec.json.decode(page["next"])
        if goes_on is None:
            return records
        query = {"next": goes_on, "limit": query.get("limit", 500)}


def send(client: httpx.Client, records: list[bytes], sizes: list[int]) -> tuple[int, int]:
    """Import a stream in batches; give how many records were stored and skipped."""
    imported = skipped = 0
    for namespace, batch in batches(records, sizes):
        body = b"[" + b",".join(batch) + b"]"
        done = made(client.post("/import", params={"namespace": namespace}, content=body))
        imported += done["imported"]
        skipped += done["skipped"]
    return imported, skipped


def talk(client: httpx.Client, count: int) -> None:
    """Make some of everything in two namespaces."""
    chance = random.Random(count)
    for number in range(count):
        space = {"namespace": "u1"} if number % 2 else {}
        own = {"id": f"d{number}", "label": "é \u2028", "tags": ["a"], "state": {"n": number}}
        few = [
            {"role": "user", "content": f"wheel {chance.random()}", "metadata": {"x": 1.0}}
            for _ in range(chance.randint(0, 12))
        ]
        made(client.post("/dialogue", json=own | space | {"messages": few}))
        thread = {"threadOf": f"d{number}", "message": {"role": "user", "content": [{"a": 1}]}}
        made(client.post("/dialogue", json=thread | space))
        made(client.post("/memory", json={"value": {"n": 1.50}} | space))
        if number % 3 == 0:
            made(client.delete(f"/dialogue/d{number}", params=space))


# ── who may ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_key_without_the_admin_scope_is_refused(
    api: httpx.Client, method: str, path: str, prefix: str
) -> None:
    """With what to do; and before anything else of the request is looked at."""
    for options in ({}, {"params": {"nonsense": 1}}):
        error = refused(api.request(method, prefix + path, **options), 403, "FORBIDDEN")
        assert "dialoguedb key create --admin" in error["message"]
        assert error["type"] == "authorization_error"


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_the_key_of_the_environment_is_no_admin(server: Server, method: str, path: str) -> None:
    """It opens the default project, as an application does."""
    with server.client() as client:
        refused(client.request(method, path), 403, "FORBIDDEN")
    with server.client("nonsense") as client:
        refused(client.request(method, path), 401, "UNAUTHORIZED")


def test_an_admin_key_is_made_and_shown_by_the_command_line(server: Server) -> None:
    """And opens everything else too."""
    made_key = msgspec.json.decode(server.cli("key", "create", "--admin", "--name", "x").stdout)
    assert made_key["admin"] is True
    plain = msgspec.json.decode(server.cli("key", "create").stdout)
    assert plain["admin"] is False
    listed = msgspec.json.decode(server.cli("key", "list").stdout)
    shown = {key["id"]: key["admin"] for key in listed}
    assert (shown[made_key["id"]], shown[plain["id"]]) == (True, False)
    with server.client(made_key["key"]) as client:
        made(client.get("/stats"))
        made(client.get("/dialogue"))
    server.cli("key", "revoke", made_key["id"])
    with server.client(made_key["key"]) as client:
        refused(client.get("/stats"), 401, "UNAUTHORIZED")


# ── export and import ────────────────────────────────────────────────────────────────────────


def test_what_is_exported_over_http_goes_in_again(
    admin: httpx.Client, other_admin: httpx.Client
) -> None:
    """Byte for byte, whatever the pages and the batches are."""
    talk(admin, 12)
    records = records_of(admin)
    assert records_of(admin, limit=7) == records
    assert send(other_admin, records, [1, 5, 30]) == (len(records), 0)
    assert records_of(other_admin) == records
    assert send(other_admin, records, [1000]) == (0, len(records))


def test_an_import_into_a_server_that_is_killed_is_run_again(
    serve: Callable[..., Server], admin: httpx.Client
) -> None:
    """What was answered is stored; the rest comes with the second run."""
    talk(admin, 30)
    records = records_of(admin)
    first = serve()
    key = msgspec.json.decode(first.cli("key", "create", "--admin").stdout)["key"]
    stored = 0
    with first.client(key) as client:
        killer = threading.Thread(target=first.kill)
        with suppress(httpx.TransportError):
            for turn, (namespace, batch) in enumerate(batches(records, [5])):
                if turn == 20:
                    killer.start()  # while this one is on its way
                body = b"[" + b",".join(batch) + b"]"
                answer = client.post("/import", params={"namespace": namespace}, content=body)
                stored += made(answer)["imported"]
        killer.join()
    assert 0 < stored < len(records)
    second = serve()
    with second.client(key) as client:
        imported, skipped = send(client, records, [50])
        assert skipped >= stored
        assert imported + skipped == len(records)
        assert records_of(client) == records
    second.stop()
    verified = second.cli("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_both_forms_of_the_body_say_the_same(admin: httpx.Client) -> None:
    """A bare array, or an object that holds it; and a dry run in either."""
    for body in (ALL, {"records": ALL}):
        answer = admin.post("/import", params={"namespace": "u1", "dryRun": "true"}, json=body)
        assert made(answer) == {"imported": 4, "skipped": 0}
    whole = {"namespace": "u1", "dryRun": True, "records": ALL}
    assert made(admin.post("/import", json=whole)) == {"imported": 4, "skipped": 0}
    assert made(admin.get("/export")) == {"items": [], "next": None}
    whole["dryRun"] = False
    assert made(admin.post("/import", json=whole)) == {"imported": 4, "skipped": 0}
    assert made(admin.post("/import", json=whole)) == {"imported": 0, "skipped": 4}
    items = made(admin.get("/export", params={"namespace": "u1"}))["items"]
    assert [item["type"] for item in items] == [record["type"] for record in ALL]
    assert {item["namespace"] for item in items} == {"u1"}


def test_an_import_sent_again_with_its_key_is_answered_as_before(admin: httpx.Client) -> None:
    """As every POST that writes (5.15)."""
    key = {"Idempotency-Key": "one"}
    for replayed in (None, "true"):
        answer = admin.post("/import", json=ALL, headers=key)
        assert made(answer) == {"imported": 4, "skipped": 0}
        assert answer.headers.get("idempotent-replayed") == replayed
    other = admin.post("/import", json=[MEMORY], headers=key)
    refused(other, 409, "IDEMPOTENCY_CONFLICT", "Idempotency-Key")


def test_an_immutable_project_takes_an_import(server: Server) -> None:
    """Nothing that was there is changed by one."""
    with server.client(new_project(server.db, immutable=True, admin=True).key) as client:
        assert made(client.post("/import", json=ALL)) == {"imported": 4, "skipped": 0}
        changed = [MESSAGE | {"tags": ["x"]}]
        refused(client.post("/import", json=changed), 400, "DUPLICATE_ID", "records[0].id")


# ── mistakes ─────────────────────────────────────────────────────────────────────────────────

MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    ({"type": "message", "role": ""}, "MISSING_PARAMETER", "role"),
    (MESSAGE | {"role": 1}, "INVALID_INPUT", "role"),
    (MESSAGE | {"content": []}, "MISSING_PARAMETER", "content"),
    (MESSAGE | {"sequence": 0}, "INVALID_INPUT", "sequence"),
    (MESSAGE | {"sequence": "1"}, "INVALID_INPUT", "sequence"),
    (MESSAGE | {"metadata": {"a": None}}, "INVALID_INPUT", "metadata.a"),
    (MESSAGE | {"tags": ["a", ""]}, "INVALID_INPUT", "tags[1]"),
    (MESSAGE | {"created": "soon"}, "INVALID_PARAMETER", "created"),
    (MESSAGE | {"modified": "soon"}, "INVALID_PARAMETER", "modified"),
    (MESSAGE | {"id": "a/b"}, "INVALID_PARAMETER", "id"),
    (MESSAGE | {"rolle": "x"}, "INVALID_PARAMETER", "rolle"),
    (MESSAGE | {"contentLength": -1}, "INVALID_INPUT", "contentLength"),
    (DIALOGUE | {"state": []}, "INVALID_INPUT", "state"),
    (DIALOGUE | {"version": 0}, "INVALID_INPUT", "version"),
    (DIALOGUE | {"lastSequence": -1}, "INVALID_INPUT", "lastSequence"),
    (DIALOGUE | {"lastSequence": 2**53}, "INVALID_INPUT", "lastSequence"),
    (DIALOGUE | {"lastServerTime": ""}, "INVALID_PARAMETER", "lastServerTime"),
    (DIALOGUE | {"status": "open"}, "INVALID_INPUT", "status"),
    (DIALOGUE | {"endedAt": 1}, "INVALID_PARAMETER", "endedAt"),
    (DIALOGUE | {"label": "x" * 1025}, "INVALID_INPUT", "label"),
    (DIALOGUE | {"namespace": "-"}, "INVALID_PARAMETER", "namespace"),
    (DIALOGUE | {"messages": []}, "INVALID_PARAMETER", "messages"),
    (MEMORY | {"value": None}, "INVALID_INPUT", "value"),
    (MEMORY | {"description": "\0"}, "INVALID_INPUT", "description"),
    (GONE | {"label": "x"}, "INVALID_PARAMETER", "label"),
    ({"type": "thread"}, "INVALID_INPUT", "type"),
    ({"type": 1}, "INVALID_INPUT", "type"),
    ({"id": "x"}, "INVALID_INPUT", "type"),
]


@pytest.mark.parametrize(("record", "code", "field"), MISTAKES)
def test_a_bad_record_is_named(
    admin: httpx.Client, record: dict[str, Any], code: str, field: str
) -> None:
    """By its place and field, as on creation; nothing of the request is stored."""
    answer = admin.post("/import", json=[MEMORY, MEMORY, record])
    error = answer.json()["error"]
    assert answer.status_code == 400, error
    assert f"records[2].{field}" in [detail["field"] for detail in error["details"]], error
    if len(error["details"]) == 1:
        assert error["code"] == code, error
        assert error["message"].startswith("records[2]: "), error
    assert made(admin.get("/export"))["items"] == []


def test_all_that_is_wrong_is_named_at_once(admin: httpx.Client) -> None:
    """As in a batch of messages."""
    body = [MESSAGE | {"role": 1, "sequence": 1.5}, 7, GONE | {"lastSequence": 2.0}, {"type": "x"}]
    error = refused(
        admin.post("/import", json=body), 400, "INVALID_INPUT",
        "records[0].role", "records[0].sequence", "records[1]", "records[3].type",
    )  # fmt: skip
    assert "from 1" in error["message"]
    assert "dialogue, message, deleted_dialogue, memory" in error["details"][3]["message"]


def test_an_import_has_1_to_1000_records(admin: httpx.Client) -> None:
    """And JSON, and nothing that is not known."""
    many = [MEMORY | {"id": f"k{number}"} for number in range(1001)]
    refused(admin.post("/import", json=many), 400, "INVALID_INPUT", "records")
    assert made(admin.post("/import", json=many[:1000]))["imported"] == 1000
    refused(admin.post("/import", json=[]), 400, "MISSING_PARAMETER", "records")
    refused(admin.post("/import", json={}), 400, "MISSING_PARAMETER", "records")
    refused(admin.post("/import", json={"records": 1}), 400, "INVALID_INPUT", "records")
    refused(admin.post("/import", content=b"[{]"), 400, "INVALID_JSON")
    wrong = admin.post("/import", params={"dryrun": "true"}, json=ALL)
    refused(wrong, 400, "INVALID_PARAMETER", "dryrun")
    wrong = admin.post("/import", params={"dryRun": "perhaps"}, json=ALL)
    refused(wrong, 400, "INVALID_PARAMETER", "dryRun")
    differ = admin.post(
        "/import", params={"namespace": "u1"}, json={"namespace": "u2", "records": ALL}
    )
    refused(differ, 400, "INVALID_PARAMETER", "namespace")
    large = [DIALOGUE | {"state": {"x": "y" * 2**20}}]
    refused(admin.post("/import", json=large), 413, "STATE_TOO_LARGE", "records[0].state")
    large = [MEMORY | {"value": "y" * 2**20}]
    refused(admin.post("/import", json=large), 413, "VALUE_TOO_LARGE", "records[0].value")


def test_what_does_not_fit_is_refused(admin: httpx.Client) -> None:
    """A message without a dialogue, and an id that is taken by something else."""
    answer = admin.post("/import", json=[MEMORY, MESSAGE])
    refused(answer, 404, "DIALOGUE_NOT_FOUND", "records[1].dialogueId")
    made(admin.post("/memory", json={"id": "k", "value": 1}))
    refused(admin.post("/import", json=[MEMORY]), 400, "DUPLICATE_ID", "records[0].id")
    items = made(admin.get("/export"))["items"]
    assert [item["id"] for item in items] == ["k"]


def test_a_bad_question_is_refused(admin: httpx.Client, other_admin: httpx.Client) -> None:
    """Parameters are checked as on lists, a cursor is of its project."""
    made(admin.post("/import", json=[MEMORY, GONE]))
    goes_on = made(admin.get("/export", params={"limit": 1}))["next"]
    for query, field in [
        ({"limit": 0}, "limit"), ({"limit": "x"}, "limit"), ({"order": "asc"}, "order"),
        ({"namespace": "-"}, "namespace"), ({"next": "x"}, "next"),
        ({"unnamed": "maybe"}, "unnamed"),
        ({"unnamed": "true", "namespace": "u1"}, "unnamed"),
        ({"next": goes_on, "namespace": "u1"}, "namespace"),
    ]:  # fmt: skip
        refused(admin.get("/export", params=query), 400, "INVALID_PARAMETER", field)
    refused(other_admin.get("/export", params={"next": goes_on}), 400, "INVALID_PARAMETER", "next")
    refused(admin.get("/stats", params={"x": 1}), 400, "INVALID_PARAMETER", "x")
    assert len(made(admin.get("/export", params={"limit": 10**9}))["items"]) == 2
    assert made(admin.get("/export", params={"unnamed": "true"}))["next"] is None


def test_projects_do_not_see_each_other(admin: httpx.Client, other_admin: httpx.Client) -> None:
    """Neither in an export nor in figures; the same ids go into both."""
    for client in (admin, other_admin):
        made(client.post("/import", json=ALL))
        assert len(made(client.get("/export"))["items"]) == 4
        assert made(client.get("/stats"))["total"] == {
            "dialogues": 1, "messages": 1, "memories": 1, "bytes": 3,
        }  # fmt: skip


def test_the_figures_of_nothing_are_none(admin: httpx.Client) -> None:
    """With every field there."""
    assert made(admin.get("/stats")) == {
        "namespaces": [],
        "largestDialogues": [],
        "total": {"dialogues": 0, "messages": 0, "memories": 0, "bytes": 0},
    }
