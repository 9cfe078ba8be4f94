"""What this server offers beyond the sources: operations, actions, versions (contract 5.15).

Its `Idempotency-Key` has a file of its own, `test_05_idempotency.py`.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from harness import TLS, Server

SAID = {"role": "user", "content": "once only"}
DIALOGUE = "d-beyond"
OPEN_ROUTES = ["/health", "/ready", "/metrics", "/openapi.json", "/docs"]
prefixes = pytest.mark.parametrize("prefix", ["", "/api/v1"], ids=["bare", "v1"])
namespaces = pytest.mark.parametrize("namespace", ["", "tenant-1"], ids=["default", "tenant-1"])


def at(path: str, namespace: str) -> str:
    """The path with the namespace in its query."""
    if not namespace:
        return path
    return f"{path}{'&' if '?' in path else '?'}namespace={namespace}"


def make(api: httpx.Client, namespace: str = "", **fields: Any) -> dict[str, Any]:
    answer = api.post(at("/dialogue", namespace), json={"id": DIALOGUE} | fields)
    return answer.raise_for_status().json()


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


# Operations


@pytest.fixture
def stranger(server: Server) -> Any:
    """A client without a key."""
    with httpx.Client(base_url=server.url, verify=TLS) as client:
        yield client


@prefixes
@pytest.mark.parametrize("path", OPEN_ROUTES)
def test_an_operations_route_needs_no_key(stranger: httpx.Client, path: str, prefix: str) -> None:
    """Contract 5.15: health, readiness, metrics and documents answer without a key (1.1: twice)."""
    assert stranger.get(prefix + path).status_code == 200


@pytest.mark.parametrize("path", OPEN_ROUTES)
def test_an_operations_route_ignores_a_wrong_key(stranger: httpx.Client, path: str) -> None:
    """Contract 5.15: none needs a key, so a wrong one does not matter."""
    assert stranger.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 200


@pytest.mark.parametrize("path", OPEN_ROUTES)
def test_an_operations_route_tells_its_request_id(stranger: httpx.Client, path: str) -> None:
    """Contract 1.4: every response carries `X-Request-Id`."""
    assert re.fullmatch(r"[0-9a-f-]{36}", stranger.get(path).headers["X-Request-Id"])


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/health", "application/json"),
        ("/ready", "application/json"),
        ("/metrics", "text/plain"),
        ("/openapi.json", "application/json"),
        ("/docs", "text/html"),
    ],
)
def test_an_operations_route_has_its_content_type(
    stranger: httpx.Client, path: str, kind: str
) -> None:
    """Contract 5.15: probes and the description are JSON, metrics text, the documents a page."""
    assert stranger.get(path).headers["Content-Type"].startswith(kind)


@pytest.mark.parametrize("path", ["/metrics", "/health", "/ready"])
def test_an_operations_route_holds_no_data(
    stranger: httpx.Client, api: httpx.Client, path: str
) -> None:
    """Contract 5.15: what needs no key tells nothing of content, labels and ids."""
    mark = "qqSENTINELqq"
    make(api, id=mark, label=mark, namespace=mark, message={"role": mark, "content": mark})
    api.get(f"/dialogue/{mark}", params={"namespace": mark}).raise_for_status()
    assert mark not in stranger.get(path).text


def test_the_description_is_openapi_3_1(stranger: httpx.Client) -> None:
    """Contract 5.15: `GET /openapi.json` is an OpenAPI 3.1 document."""
    assert stranger.get("/openapi.json").json()["openapi"].startswith("3.1")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *((method, "/dialogue") for method in ("post", "get", "put", "delete")),
        *((method, "/dialogue/{}") for method in ("get", "put", "delete")),
        *((method, "/dialogue/{}/state") for method in ("get", "put")),
        ("get", "/dialogue/{}/threads"),
        *((method, "/dialogue/{}/messages") for method in ("get", "post")),
        *((method, "/dialogue/{}/message") for method in ("get", "post")),
        *((method, "/dialogue/{}/message/{}") for method in ("get", "put", "delete")),
        *((method, "/dialogue/{}/messages/{}") for method in ("get", "put", "delete")),
        ("post", "/message"),
        *((method, "/message/{}") for method in ("get", "put", "delete")),
        *((method, "/messages") for method in ("get", "post")),
        *((method, "/messages/{}") for method in ("get", "put", "delete")),
        *((method, "/memory") for method in ("get", "post")),
        *((method, "/memory/{}") for method in ("get", "put", "delete")),
    ],
)
def test_the_description_names_every_route(stranger: httpx.Client, method: str, path: str) -> None:
    """Contract 5.0: each row of the route table is in the OpenAPI document."""
    paths = stranger.get("/openapi.json").json()["paths"]
    named = {
        (verb, re.sub(r"\{[^}]*\}", "{}", name).removeprefix("/api/v1"))
        for name, verbs in paths.items()
        for verb in verbs
    }
    assert (method, path) in named


def test_the_documents_load_nothing_from_elsewhere(stranger: httpx.Client) -> None:
    """Contract 5.15: `GET /docs` works without a network."""
    page = stranger.get("/docs").text
    assert not re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=[\"']?(?:https?:)?//[^>]*", page)


# Threads and state


@prefixes
@namespaces
def test_the_state_is_read_bare(api: httpx.Client, namespace: str, prefix: str) -> None:
    """Contract 5.15: `GET /dialogue/{id}/state` answers the state itself."""
    make(api, namespace, state={"step": 1, "deep": {"x": [None]}})
    answer = api.get(at(f"{prefix}/dialogue/{DIALOGUE}/state", namespace))
    assert answer.json() == {"step": 1, "deep": {"x": [None]}}


def test_the_state_of_a_fresh_dialogue_is_empty(api: httpx.Client) -> None:
    """Contract 5.15: without state the answer is `{}`."""
    make(api)
    assert api.get(f"/dialogue/{DIALOGUE}/state").json() == {}


@pytest.mark.parametrize("namespace", ["other", "Tenant-1"])
def test_the_state_of_another_namespace_is_not_found(api: httpx.Client, namespace: str) -> None:
    """Contract 3.3: state is read within the dialogue's namespace."""
    make(api, "tenant-1")
    answer = api.get(f"/dialogue/{DIALOGUE}/state", params={"namespace": namespace})
    assert code(answer) == (404, "DIALOGUE_NOT_FOUND")


@prefixes
@namespaces
def test_threads_are_listed_as_by_the_filter(
    api: httpx.Client, namespace: str, prefix: str
) -> None:
    """Contract 5.15: `GET /dialogue/{id}/threads` is `GET /dialogue?threadOf=`."""
    make(api, namespace)
    for label in ("a", "b", "c"):
        api.post(at("/dialogue", namespace), json={"threadOf": DIALOGUE, "label": label})
    listed = api.get(at(f"{prefix}/dialogue/{DIALOGUE}/threads", namespace)).json()
    assert [row["label"] for row in listed["items"]] == ["c", "b", "a"]
    assert listed == api.get(at(f"/dialogue?threadOf={DIALOGUE}", namespace)).json()


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_threads_are_paged(api: httpx.Client, order: str) -> None:
    """Contract 5.15, 1.6: the alias takes `limit`, `order` and `next` as every list."""
    make(api)
    labels = ["a", "b", "c"]
    for label in labels:
        api.post("/dialogue", json={"threadOf": DIALOGUE, "label": label}).raise_for_status()
    found, query = [], {"limit": "1", "order": order}
    for _ in range(3):
        page = api.get(f"/dialogue/{DIALOGUE}/threads", params=query).json()
        found += [row["label"] for row in page["items"]]
        query = {"limit": "1", "next": page["next"]}
    assert (found, page["next"]) == (labels if order == "asc" else labels[::-1], None)


def test_threads_refuse_an_unknown_parameter(api: httpx.Client) -> None:
    """Contract 1.3: a list rejects query parameters that it does not know."""
    make(api)
    answer = api.get(f"/dialogue/{DIALOGUE}/threads?colour=red")
    assert code(answer) == (400, "INVALID_PARAMETER")
    assert answer.json()["error"]["details"][0]["field"] == "colour"


# The rest of a dialogue's messages


@namespaces
def test_a_dialogue_points_at_its_further_messages(api: httpx.Client, namespace: str) -> None:
    """Contract 5.3: `messagesNext` is the `next` of the messages after the first ten."""
    make(api, namespace, messages=[{"role": "user", "content": f"{n}"} for n in range(12)])
    cursor = api.get(at(f"/dialogue/{DIALOGUE}", namespace)).json()["messagesNext"]
    rest = api.get("/messages", params={"dialogueId": DIALOGUE, "next": cursor}).json()
    assert ([row["content"] for row in rest["items"]], rest["next"]) == (["10", "11"], None)


@pytest.mark.parametrize("count", [0, 1, 10])
def test_a_short_dialogue_points_at_no_further_messages(api: httpx.Client, count: int) -> None:
    """Contract 5.3, 1.4: without a second page `messagesNext` is left out."""
    make(api, messages=[SAID] * count)
    assert "messagesNext" not in api.get(f"/dialogue/{DIALOGUE}").json()


# Sequence


def test_sequence_counts_from_one_in_the_order_of_writing(api: httpx.Client) -> None:
    """Contract 5.15: `sequence` is the insertion number, whatever `created` says."""
    made = make(api, messages=[SAID | {"created": f"20{29 - n}-01-01"} for n in range(3)])
    batch = api.post(f"/messages?dialogueId={DIALOGUE}", json=[SAID, SAID]).json()
    single = api.post(f"/message?dialogueId={DIALOGUE}", json=SAID).json()
    numbers = [row["sequence"] for row in [*made["messages"], *batch, single]]
    assert numbers == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("gone", [[2], [1], [1, 2]], ids=str)
def test_sequence_is_never_used_again(api: httpx.Client, gone: list[int]) -> None:
    """Contract 5.15: a deleted message's number does not come back."""
    made = make(api, messages=[SAID, SAID])
    for number in gone:
        api.delete(f"/message/{made['messages'][number - 1]['id']}").raise_for_status()
    assert api.post(f"/message?dialogueId={DIALOGUE}", json=SAID).json()["sequence"] == 3


def test_a_refused_message_takes_no_sequence(api: httpx.Client) -> None:
    """Contract 5.15: what is not stored is not numbered."""
    make(api, messages=[SAID | {"id": "m-1"}])
    assert api.post(f"/message?dialogueId={DIALOGUE}", json=SAID | {"id": "m-1"}).is_error
    assert api.post(f"/message?dialogueId={DIALOGUE}", json=SAID).json()["sequence"] == 2


def test_sequence_is_the_same_in_every_answer(api: httpx.Client) -> None:
    """Contract 5.15: every message carries its `sequence`."""
    made = make(api, messages=[SAID, SAID])["messages"][1]
    answers = [
        api.get(f"/message/{made['id']}").json(),
        api.put(f"/message/{made['id']}", json={"tags": ["x"]}).json(),
        api.get(f"/messages?dialogueId={DIALOGUE}").json()["items"][1],
        api.get(f"/dialogue/{DIALOGUE}").json()["messages"][1],
    ]
    assert [answer["sequence"] for answer in answers] == [2, 2, 2, 2]


# Deleting with the messages


@pytest.mark.parametrize(
    ("path", "body"),
    [(f"/dialogue/{DIALOGUE}", None), ("/dialogue", {"id": DIALOGUE})],
    ids=["path", "body"],
)
@namespaces
def test_cascade_deletes_the_messages_too(
    api: httpx.Client, path: str, body: Any, namespace: str
) -> None:
    """Contract 5.5: `?cascade=true` deletes the dialogue's messages."""
    made = make(api, namespace, messages=[SAID, SAID])
    answer = api.request("DELETE", at(path + "?cascade=true", namespace), json=body)
    assert (answer.status_code, answer.json()["id"]) == (200, DIALOGUE)
    message = api.get(at(f"/message/{made['messages'][0]['id']}", namespace))
    assert code(message) == (404, "MESSAGE_NOT_FOUND")
    assert code(api.get(at(f"/messages?dialogueId={DIALOGUE}", namespace)))[0] == 404


@pytest.mark.parametrize("query", ["", "?cascade=false"])
def test_without_cascade_the_messages_remain(api: httpx.Client, query: str) -> None:
    """Contract 5.5, 7.4: the cascade is the caller's choice."""
    make(api, messages=[SAID, SAID])
    assert api.delete(f"/dialogue/{DIALOGUE}{query}").status_code == 200
    assert len(api.get(f"/messages?dialogueId={DIALOGUE}").json()["items"]) == 2


def test_cascade_leaves_the_threads(api: httpx.Client) -> None:
    """Contract 5.5: messages go, threads are dialogues of their own."""
    make(api, messages=[SAID])
    thread = api.post("/dialogue", json={"threadOf": DIALOGUE, "message": SAID}).json()["id"]
    api.delete(f"/dialogue/{DIALOGUE}?cascade=true").raise_for_status()
    assert api.get(f"/dialogue/{thread}").json()["totalMessages"] == 1


def test_sequence_goes_on_after_a_cascade(api: httpx.Client) -> None:
    """Contract 5.15: numbers are never reused, also not by a dialogue made again."""
    make(api, messages=[SAID, SAID])
    api.delete(f"/dialogue/{DIALOGUE}?cascade=true").raise_for_status()
    assert make(api, message=SAID)["messages"][0]["sequence"] == 3


# Actions


def act(api: httpx.Client, *actions: str) -> dict[str, Any]:
    for action in actions:
        answer = api.post(f"/dialogue/{DIALOGUE}/{action}").raise_for_status()
    return answer.json()


@pytest.mark.parametrize(
    ("actions", "status"),
    [
        (["archive"], "archived"),
        (["archive", "archive"], "archived"),
        (["end", "archive"], "archived"),
        (["archive", "unarchive"], "active"),
        (["end", "reopen"], "active"),
        (["end", "reopen", "end"], "ended"),
        (["archive", "unarchive", "archive"], "archived"),
    ],
    ids=str,
)
@pytest.mark.parametrize("read", [False, True], ids=["answered", "read"])
def test_an_action_leads_to_its_status(
    api: httpx.Client, actions: list[str], status: str, read: bool
) -> None:
    """Contract 5.6: archive, unarchive and reopen move the status, and answer the dialogue."""
    make(api)
    answer = act(api, *actions)
    shown = api.get(f"/dialogue/{DIALOGUE}").json() if read else answer
    assert (shown["id"], shown["status"]) == (DIALOGUE, status)


def test_archiving_sets_archived_at(api: httpx.Client) -> None:
    """Contract 4.1: `archivedAt` is there once archived, not before."""
    assert "archivedAt" not in make(api)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z", act(api, "archive")["archivedAt"])


@pytest.mark.parametrize("actions", [["archive", "unarchive"], ["end", "reopen"]], ids=str)
def test_a_dialogue_that_is_active_again_takes_messages(
    api: httpx.Client, actions: list[str]
) -> None:
    """Contract 7.2: only ended and archived dialogues refuse messages."""
    make(api)
    act(api, *actions)
    assert api.post(f"/message?dialogueId={DIALOGUE}", json=SAID).status_code == 200


@prefixes
@namespaces
@pytest.mark.parametrize("action", ["archive", "unarchive", "reopen"])
def test_an_action_works_on_both_prefixes_and_within_its_namespace(
    api: httpx.Client, action: str, namespace: str, prefix: str
) -> None:
    """Contract 1.1, 3.3: an action finds the dialogue by id and namespace."""
    made = make(api, namespace)
    answer = api.post(at(f"{prefix}/dialogue/{DIALOGUE}/{action}", namespace), json={})
    assert (answer.status_code, answer.json()["requestId"]) == (200, made["requestId"])


@pytest.mark.parametrize("dialogue", [DIALOGUE, "none"])
@pytest.mark.parametrize("action", ["explode", "END", "delete"])
def test_an_unknown_action_is_refused(api: httpx.Client, action: str, dialogue: str) -> None:
    """Contract 5.6: another action answers 400, field `action`, before existence is checked."""
    make(api)
    answer = api.post(f"/dialogue/{dialogue}/{action}")
    assert code(answer) == (400, "INVALID_PARAMETER")
    assert [detail["field"] for detail in answer.json()["error"]["details"]] == ["action"]


# Versions


def change(api: httpx.Client, how: str, **headers: str) -> httpx.Response:
    """Change the dialogue in one of the ways that count as a change."""
    path = f"/dialogue/{DIALOGUE}"
    method, target, body = {
        "label": ("PUT", path, {"label": "changed"}),
        "tags": ("PUT", path, {"tags": ["changed"]}),
        "state": ("PUT", path, {"state": {"changed": 1}}),
        "all three": ("PUT", path, {"state": {"c": 1}, "tags": ["c"], "label": "c"}),
        "merge": ("PUT", path + "/state", {"changed": 2}),
        "id in body": ("PUT", "/dialogue", {"id": DIALOGUE, "label": "changed"}),
        "end": ("POST", path + "/end", {}),
        "PUT end": ("PUT", path + "/end", None),
        "archive": ("POST", path + "/archive", {}),
    }[how]
    return api.request(method, target, json=body, headers=headers)


CHANGES = ["label", "tags", "state", "all three", "merge", "id in body", "end", "PUT end"]
changes = pytest.mark.parametrize("how", [*CHANGES, "archive"])


def version(api: httpx.Client) -> int:
    return api.get(f"/dialogue/{DIALOGUE}").json()["version"]


@changes
def test_a_change_counts_the_version_by_one(api: httpx.Client, how: str) -> None:
    """Contract 5.15: each change of label, tags, state or status adds one to `version`."""
    before = make(api)["version"]
    assert change(api, how).status_code == 200
    assert version(api) == before + 1


@pytest.mark.parametrize(("first", "then"), [("archive", "unarchive"), ("end", "reopen")])
def test_the_way_back_counts_the_version_too(api: httpx.Client, first: str, then: str) -> None:
    """Contract 5.15: unarchive and reopen change the status."""
    before = make(api)["version"]
    assert act(api, first, then)["version"] == before + 2


@pytest.mark.parametrize("how", ["message", "deletion", "message tags", "thread", "nothing", "end"])
def test_what_is_no_change_leaves_the_version(api: httpx.Client, how: str) -> None:
    """Contract 5.15: only label, tags, state and status count (5.4, 5.6: not even a no-op)."""
    message = make(api, message=SAID)["messages"][0]["id"]
    before = act(api, "end")["version"] if how == "end" else version(api)
    request = {
        "message": ("POST", f"/message?dialogueId={DIALOGUE}", SAID),
        "deletion": ("DELETE", f"/message/{message}", None),
        "message tags": ("PUT", f"/message/{message}", {"tags": ["x"]}),
        "thread": ("POST", "/dialogue", {"threadOf": DIALOGUE}),
        "nothing": ("PUT", f"/dialogue/{DIALOGUE}", {}),
        "end": ("POST", f"/dialogue/{DIALOGUE}/end", {}),
    }[how]
    assert api.request(request[0], request[1], json=request[2]).status_code == 200
    assert version(api) == before


@pytest.mark.parametrize("how", ["create", "get", *CHANGES[:4], "end", "archive"])
def test_a_dialogue_answers_with_its_etag(api: httpx.Client, how: str) -> None:
    """Contract 5.15: the answer of one dialogue carries `ETag: "<version>"`."""
    answer = api.post("/dialogue", json={"id": DIALOGUE})
    if how != "create":
        answer = api.get(f"/dialogue/{DIALOGUE}") if how == "get" else change(api, how)
    assert answer.headers["ETag"] == f'"{answer.json()["version"]}"'


def test_a_listed_dialogue_carries_its_version(api: httpx.Client) -> None:
    """Contract 5.15: every dialogue carries `version`, in lists too."""
    make(api)
    change(api, "label")
    assert api.get("/dialogue").json()["items"][0]["version"] == version(api)


@changes
def test_if_match_with_the_current_version_passes(api: httpx.Client, how: str) -> None:
    """Contract 5.15: a conditional write passes while the version is current."""
    tag = api.post("/dialogue", json={"id": DIALOGUE}).headers["ETag"]
    assert change(api, how, **{"If-Match": tag}).status_code == 200


@changes
def test_if_match_with_an_old_version_fails(api: httpx.Client, how: str) -> None:
    """Contract 5.15: 412 `PRECONDITION_FAILED` tells the current version, and writes nothing."""
    tag = api.post("/dialogue", json={"id": DIALOGUE}).headers["ETag"]
    api.put(f"/dialogue/{DIALOGUE}", json={"label": "newer"}).raise_for_status()
    before = api.get(f"/dialogue/{DIALOGUE}").json()
    answer = change(api, how, **{"If-Match": tag})
    error = answer.json()["error"]
    expected = (412, "PRECONDITION_FAILED", "conflict")
    assert (answer.status_code, error["code"], error["type"]) == expected
    assert error["details"][0]["value"] == before["version"]
    assert api.get(f"/dialogue/{DIALOGUE}").json() == before


@changes
def test_if_match_on_a_missing_dialogue_is_not_found(api: httpx.Client, how: str) -> None:
    """Contract 10.3: existence is checked before conflict."""
    assert code(change(api, how, **{"If-Match": '"1"'})) == (404, "DIALOGUE_NOT_FOUND")


def test_of_many_writers_with_one_version_one_wins(api: httpx.Client) -> None:
    """Contract 5.15: the comparison and the write are one step."""
    tag = api.post("/dialogue", json={"id": DIALOGUE}).headers["ETag"]

    def write(number: int) -> int:
        body = {"state": {"writer": number}}
        headers = {"If-Match": tag}
        return api.put(f"/dialogue/{DIALOGUE}", json=body, headers=headers).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(write, range(8))) == [200] + [412] * 7
