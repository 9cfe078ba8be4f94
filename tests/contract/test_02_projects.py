"""Keys, projects and the walls between them, over the wire (contract 2 and 2.1)."""

import json
import re
from typing import Any, NamedTuple

import httpx
import pytest

from harness import TLS, Server, new_project

DIALOGUE, MESSAGE, MEMORY = "d-walled", "m-walled", "k-walled"
MESSAGE_PATHS = (
    f"/message/{MESSAGE}",
    f"/message/{MESSAGE}?dialogueId={DIALOGUE}",
    f"/messages/{MESSAGE}",
    f"/messages/{MESSAGE}?dialogueId={DIALOGUE}",
    f"/dialogue/{DIALOGUE}/message/{MESSAGE}",
    f"/dialogue/{DIALOGUE}/messages/{MESSAGE}",
)
SAID = {"role": "user", "content": "over the wall"}


class Route(NamedTuple):
    """A request that addresses a resource by its id, and the code when there is none."""

    method: str
    path: str
    body: Any = None
    code: str = "DIALOGUE_NOT_FOUND"

    def __str__(self) -> str:
        shape = "" if self.body is None else "-" + type(self.body).__name__
        return f"{self.method}-{self.path.strip('/')}{shape}"


ROUTES = [
    Route("GET", f"/dialogue/{DIALOGUE}"),
    Route("PUT", f"/dialogue/{DIALOGUE}", {"label": "taken"}),
    Route("PUT", f"/dialogue/{DIALOGUE}", {"state": {"taken": True}}),
    Route("PUT", f"/dialogue/{DIALOGUE}", {"messages": [SAID]}),
    Route("PUT", "/dialogue", {"id": DIALOGUE, "tags": ["taken"]}),
    Route("DELETE", f"/dialogue/{DIALOGUE}"),
    Route("DELETE", f"/dialogue/{DIALOGUE}?cascade=true"),
    Route("DELETE", "/dialogue", {"id": DIALOGUE}),
    *(
        Route("POST", f"/dialogue/{DIALOGUE}/{action}", {})
        for action in ("end", "archive", "unarchive", "reopen")
    ),
    Route("PUT", f"/dialogue/{DIALOGUE}/end"),
    Route("PUT", f"/dialogue/{DIALOGUE}/state", {"taken": True}),
    Route("GET", f"/dialogue/{DIALOGUE}/state"),
    Route("POST", "/dialogue", {"threadOf": DIALOGUE}),
    Route("POST", "/message", {"dialogueId": DIALOGUE} | SAID),
    Route("POST", f"/message?dialogueId={DIALOGUE}", SAID),
    Route("POST", f"/dialogue/{DIALOGUE}/message", SAID),
    Route("POST", f"/dialogue/{DIALOGUE}/messages", SAID),
    Route("POST", f"/dialogue/{DIALOGUE}/messages", [SAID]),
    Route("POST", f"/messages?dialogueId={DIALOGUE}", [SAID]),
    Route("POST", "/messages", {"dialogueId": DIALOGUE, "messages": [SAID]}),
    Route("GET", f"/messages?dialogueId={DIALOGUE}"),
    Route("GET", f"/dialogue/{DIALOGUE}/messages"),
    Route("GET", f"/dialogue/{DIALOGUE}/message"),
    *(
        Route(method, path, body, "MESSAGE_NOT_FOUND")
        for path in MESSAGE_PATHS
        for method, body in (("GET", None), ("PUT", {"tags": ["taken"]}), ("DELETE", None))
    ),
    Route("GET", f"/memory/{MEMORY}", None, "MEMORY_NOT_FOUND"),
    Route("PUT", f"/memory/{MEMORY}", {"tags": ["taken"]}, "MEMORY_NOT_FOUND"),
    Route("DELETE", f"/memory/{MEMORY}", None, "MEMORY_NOT_FOUND"),
]
OTHER_ROUTES = [
    Route("POST", "/dialogue", {}),
    Route("GET", "/dialogue"),
    Route("GET", f"/dialogue/{DIALOGUE}/threads"),
    Route("POST", "/memory", {"value": 1}),
    Route("GET", "/memory"),
]
prefixes = pytest.mark.parametrize("prefix", ["", "/api/v1"], ids=["bare", "v1"])
namespaces = pytest.mark.parametrize("namespace", ["", "tenant-1"], ids=["default", "tenant-1"])


def at(path: str, namespace: str) -> str:
    """The path with the namespace in its query."""
    if not namespace:
        return path
    return f"{path}{'&' if '?' in path else '?'}namespace={namespace}"


def send(api: httpx.Client, route: Route, namespace: str = "", prefix: str = "") -> httpx.Response:
    return api.request(route.method, prefix + at(route.path, namespace), json=route.body)


def fill(api: httpx.Client, namespace: str = "") -> None:
    """Make a dialogue with two messages, a thread and a memory."""
    dialogue = {"id": DIALOGUE, "label": "mine", "state": {"step": 1}}
    first = {"id": MESSAGE, "role": "user", "content": "mine"}
    answers = [
        api.post(at("/dialogue", namespace), json=dialogue | {"messages": [first, SAID]}),
        api.post(at("/dialogue", namespace), json={"threadOf": DIALOGUE}),
        api.post(at("/memory", namespace), json={"id": MEMORY, "value": "mine"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200]


def seen(api: httpx.Client, namespace: str) -> list[Any]:
    """All that `fill` made, as its owner reads it."""
    paths = (
        f"/dialogue/{DIALOGUE}",
        f"/messages?dialogueId={DIALOGUE}",
        f"/dialogue?threadOf={DIALOGUE}",
        f"/memory/{MEMORY}",
    )
    return [api.get(at(path, namespace)).raise_for_status().json() for path in paths]


def key_of(server: Server, project: str) -> dict[str, Any]:
    """Make a further key of a project with the command line."""
    made = server.cli("key", "create", "--project", project)
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


# Keys


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_name_is_compared_without_case(server: Server, scheme: str) -> None:
    """Contract 2: `Bearer` counts in any case."""
    with httpx.Client(headers={"Authorization": f"{scheme} {server.key}"}, verify=TLS) as client:
        assert client.get(server.url + "/dialogue").status_code == 200


def test_whitespace_around_the_key_is_trimmed(server: Server) -> None:
    """Contract 2: whitespace around the key does not count."""
    with httpx.Client(headers={"Authorization": f"Bearer    {server.key}"}, verify=TLS) as client:
        assert client.get(server.url + "/dialogue").status_code == 200


WRONG_KEYS = {
    "none": None,
    "empty": "",
    "scheme alone": "Bearer",
    "unknown key": "Bearer skv1_" + "x" * 43,
    "no scheme": "{key}",
    "another scheme": "Basic {key}",
    "cut short": "Bearer {short}",
    "one more character": "Bearer {key}t",
    "another case": "Bearer {upper}",
    "a second word": "Bearer {key} more",
    "a wildcard": "Bearer %",
    "very long": "Bearer " + "k" * 8000,
}


def refused(server: Server, template: str | None) -> httpx.Response:
    headers = {}
    if template is not None:
        key = server.key or ""
        text = template.replace("{key}", key).replace("{short}", key[:-1])
        headers["Authorization"] = text.replace("{upper}", key.upper())
    with httpx.Client(headers=headers, verify=TLS) as client:
        return client.get(server.url + "/dialogue")


@pytest.mark.parametrize("template", WRONG_KEYS.values(), ids=WRONG_KEYS)
def test_a_wrong_key_is_unauthorized(server: Server, template: str | None) -> None:
    """Contract 2: a missing or invalid key answers 401 `UNAUTHORIZED`."""
    answer = refused(server, template)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (401, "UNAUTHORIZED")


def test_a_key_that_is_not_ascii_is_unauthorized(server: Server) -> None:
    """Contract 2: bytes that no key holds are a wrong key, not a fault of the server."""
    with httpx.Client(headers={b"Authorization": b"Bearer sk\xe9\xff"}, verify=TLS) as client:
        assert client.get(server.url + "/dialogue").status_code == 401


def test_unauthorized_is_an_authentication_error(server: Server) -> None:
    """Contract 2: the type of a 401 is `authentication_error`."""
    assert refused(server, None).json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("template", [None, "Bearer wrong"], ids=["none", "wrong"])
def test_unauthorized_names_the_scheme(server: Server, template: str | None) -> None:
    """Contract 2: a 401 carries `WWW-Authenticate: Bearer`."""
    assert refused(server, template).headers["WWW-Authenticate"] == "Bearer"


def test_unauthorized_carries_its_request_id(server: Server) -> None:
    """Contract 1.4: a 401 has the envelope with the request's id, as in the header."""
    answer = refused(server, None)
    assert answer.json()["error"]["requestId"] == answer.headers["X-Request-Id"]


def test_unauthorized_never_repeats_the_key(server: Server) -> None:
    """Contract 2: keys are shown once, so no error body repeats one."""
    assert "qqSENTINELqq" not in refused(server, "Bearer qqSENTINELqq").text


def test_a_key_in_the_query_is_no_key(server: Server) -> None:
    """Contract 2: the `Authorization` header is the only place of a key."""
    with httpx.Client(verify=TLS) as client:
        answer = client.get(f"{server.url}/memory/x", params={"api_key": server.key or ""})
    assert answer.status_code == 401


@prefixes
@pytest.mark.parametrize("route", ROUTES + OTHER_ROUTES, ids=str)
def test_every_route_needs_a_key(server: Server, route: Route, prefix: str) -> None:
    """Contract 2: every route of data refuses a request without a key."""
    with httpx.Client(base_url=server.url, verify=TLS) as client:
        assert send(client, route, prefix=prefix).status_code == 401


@pytest.mark.parametrize("key", ["correct-horse", "k", "sk_live.51~A+b/c=", "x" * 200])
def test_any_configured_string_is_a_key(serve: Any, key: str) -> None:
    """Contract 2: the configured key may be any string."""
    running = serve(env={"DIALOGUEDB_API_KEY": key})
    with running.client(key) as client:
        assert client.get("/dialogue").status_code == 200


def test_a_created_key_has_the_documented_form(server: Server) -> None:
    """Contract 2: a key is `skv1_` and 43 base64url characters."""
    key = key_of(server, new_project(server.db).id)["key"]
    assert re.fullmatch(r"skv1_[A-Za-z0-9_-]{43}", key)


@pytest.mark.sqlite("reads the file")
def test_a_key_is_not_stored(server: Server) -> None:
    """Contract 2: only a hash of a key is stored, so no file of the store holds it."""
    key = key_of(server, new_project(server.db).id)["key"]
    with server.client(key) as client:
        client.post("/dialogue", json={"label": "wrote with it"}).raise_for_status()
    files = list(server.db.parent.glob(server.db.name + "*"))
    assert files
    assert not [file.name for file in files if key.encode() in file.read_bytes()]


def test_two_keys_of_a_project_see_the_same_data(server: Server, api: httpx.Client) -> None:
    """Contract 2: a key reads and writes all of its project."""
    project = api.post("/dialogue", json={"id": DIALOGUE}).json()["projectId"]
    with server.client(key_of(server, project)["key"]) as client:
        assert client.get(f"/dialogue/{DIALOGUE}").status_code == 200


def test_a_new_key_works_at_once(server: Server) -> None:
    """Contract 2: a key made beside a running server works with the very next request."""
    project = new_project(server.db)
    for _ in range(3):
        with server.client(key_of(server, project.id)["key"]) as client:
            assert client.get("/dialogue").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/dialogue"), ("POST", "/dialogue"), ("GET", "/memory/none")]
)
def test_a_revoked_key_fails_with_the_very_next_request(
    server: Server, method: str, path: str
) -> None:
    """Contract 2: a key is revoked at once, also on a connection that is open."""
    made = key_of(server, new_project(server.db).id)
    with server.client(made["key"]) as client:
        assert client.request(method, path).status_code in (200, 404)
        assert server.cli("key", "revoke", made["id"]).returncode == 0
        answer = client.request(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHORIZED")


def test_a_revoked_key_writes_nothing(server: Server, api: httpx.Client) -> None:
    """Contract 2: a write with a revoked key is not stored."""
    project = api.post("/dialogue", json={}).json()["projectId"]
    made = key_of(server, project)
    server.cli("key", "revoke", made["id"])
    with server.client(made["key"]) as client:
        client.post("/dialogue", json={"id": DIALOGUE})
    assert api.get(f"/dialogue/{DIALOGUE}").status_code == 404


def test_revoking_a_key_leaves_the_other_keys(server: Server) -> None:
    """Contract 2: the other keys of the project go on."""
    project = new_project(server.db)
    server.cli("key", "revoke", key_of(server, project.id)["id"])
    with server.client(project.key) as client:
        assert client.get("/dialogue").status_code == 200


def test_the_keys_of_a_deleted_project_fail_at_once(server: Server) -> None:
    """Contract 2.1: deleting a project is complete, its keys included."""
    project = new_project(server.db)
    with server.client(project.key) as client:
        assert client.post("/dialogue", json={}).status_code == 200
        assert server.cli("project", "delete", project.id, "--yes").returncode == 0
        assert client.get("/dialogue").status_code == 401


# Isolation


@prefixes
@namespaces
@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_a_resource_of_another_project_is_not_found(
    api: httpx.Client, other_api: httpx.Client, route: Route, namespace: str, prefix: str
) -> None:
    """Contract 2: with another project's key a resource is not found, and stays as it was."""
    fill(api, namespace)
    before = seen(api, namespace)
    answer = send(other_api, route, namespace, prefix)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (404, route.code, "not_found")
    assert seen(api, namespace) == before


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_a_foreign_resource_looks_like_none(
    api: httpx.Client, other_api: httpx.Client, route: Route
) -> None:
    """Contract 2: the answer does not tell a resource of another project from a missing one."""

    def answer() -> dict[str, Any]:
        error = send(other_api, route).json()["error"]
        return {name: error[name] for name in error if name not in ("requestId", "timestamp")}

    missing = answer()
    fill(api)
    assert answer() == missing


@namespaces
@pytest.mark.parametrize(
    "path",
    ["/dialogue", "/memory", f"/dialogue?threadOf={DIALOGUE}", f"/dialogue/{DIALOGUE}/threads"],
)
def test_a_list_shows_nothing_of_another_project(
    api: httpx.Client, other_api: httpx.Client, path: str, namespace: str
) -> None:
    """Contract 2: every list is confined to the key's project."""
    fill(api, namespace)
    assert other_api.get(at(path, namespace)).json() == {"items": [], "next": None}


def test_two_projects_hold_the_same_ids(api: httpx.Client, other_api: httpx.Client) -> None:
    """Contract 3.1: ids are unique within a project, not beyond."""
    fill(api)
    fill(other_api)
    other_api.delete(f"/memory/{MEMORY}").raise_for_status()
    assert api.get(f"/memory/{MEMORY}").status_code == 200


def test_the_same_id_reads_back_as_each_projects_own(
    api: httpx.Client, other_api: httpx.Client
) -> None:
    """Contract 2: of two resources with one id each project reads its own."""
    api.post("/memory", json={"id": MEMORY, "value": "one"}).raise_for_status()
    other_api.post("/memory", json={"id": MEMORY, "value": "two"}).raise_for_status()
    values = [client.get(f"/memory/{MEMORY}").json()["value"] for client in (api, other_api)]
    assert values == ["one", "two"]


@namespaces
@pytest.mark.parametrize("twin", [False, True], ids=["empty project", "same ids"])
@pytest.mark.parametrize(
    "path",
    [
        "/dialogue",
        f"/dialogue?threadOf={DIALOGUE}",
        f"/dialogue/{DIALOGUE}/threads",
        f"/messages?dialogueId={DIALOGUE}",
        f"/dialogue/{DIALOGUE}/messages",
        "/memory",
    ],
)
def test_a_cursor_of_another_project_is_refused(
    api: httpx.Client, other_api: httpx.Client, path: str, twin: bool, namespace: str
) -> None:
    """Contract 1.6: a cursor of a foreign project answers `INVALID_PARAMETER`, field `next`."""
    for client in (api, other_api) if twin else (api,):
        fill(client, namespace)
        client.post(at("/dialogue", namespace), json={"threadOf": DIALOGUE}).raise_for_status()
        client.post(at("/memory", namespace), json={"value": 2}).raise_for_status()
    first = at(path, namespace)
    first += ("&" if "?" in first else "?") + "limit=1"
    cursor = api.get(first).json()["next"]
    assert api.get(f"{first}&next={cursor}").status_code == 200
    answer = other_api.get(f"{first}&next={cursor}")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "INVALID_PARAMETER")
    assert [detail["field"] for detail in error["details"]] == ["next"]


def test_the_project_id_looks_like_a_ulid(api: httpx.Client) -> None:
    """Contract 2: a dialogue tells its project, whose id is a ULID."""
    project = api.post("/dialogue", json={}).json()["projectId"]
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", project)


def test_two_projects_have_two_ids(api: httpx.Client, other_api: httpx.Client) -> None:
    """Contract 2: the project id tells projects apart."""
    ids = {client.post("/dialogue", json={}).json()["projectId"] for client in (api, other_api)}
    assert len(ids) == 2


# Immutable projects


@pytest.fixture
def frozen(server: Server) -> Any:
    """A client of an immutable project that holds what `fill` makes."""
    with server.client(new_project(server.db, immutable=True).key) as client:
        fill(client)
        yield client


@prefixes
@pytest.mark.parametrize(
    "route",
    [
        Route("DELETE", f"/dialogue/{DIALOGUE}"),
        Route("DELETE", f"/dialogue/{DIALOGUE}?cascade=true"),
        Route("DELETE", "/dialogue", {"id": DIALOGUE}),
        *(Route("DELETE", path) for path in MESSAGE_PATHS),
        *(Route("PUT", path, {"tags": ["changed"]}) for path in MESSAGE_PATHS),
    ],
    ids=str,
)
def test_an_immutable_project_refuses_to_rewrite_history(
    frozen: httpx.Client, route: Route, prefix: str
) -> None:
    """Contract 2.1: deleting and changing answer 409 `DIALOGUE_IMMUTABLE`, and change nothing."""
    before = seen(frozen, "")
    answer = send(frozen, route, prefix=prefix)
    error = answer.json()["error"]
    expected = (409, "DIALOGUE_IMMUTABLE", "conflict")
    assert (answer.status_code, error["code"], error["type"]) == expected
    assert seen(frozen, "") == before


@pytest.mark.parametrize(
    "route",
    [
        Route("POST", "/dialogue", {"messages": [SAID]}),
        Route("POST", "/dialogue", {"threadOf": DIALOGUE}),
        Route("POST", f"/message?dialogueId={DIALOGUE}", SAID),
        Route("POST", f"/dialogue/{DIALOGUE}/messages", [SAID, SAID]),
        Route("PUT", f"/dialogue/{DIALOGUE}/state", {"step": 2}),
        Route("PUT", f"/dialogue/{DIALOGUE}", {"state": {"step": 3}}),
        Route("PUT", f"/dialogue/{DIALOGUE}", {"tags": ["changed"], "label": "changed"}),
        Route("PUT", f"/dialogue/{DIALOGUE}", {"message": SAID}),
        Route("POST", f"/dialogue/{DIALOGUE}/end"),
        Route("PUT", f"/message/{MESSAGE}", {}),
        Route("PUT", f"/message/{MESSAGE}", {"tags": []}),
        Route("PUT", f"/memory/{MEMORY}", {"tags": ["changed"]}),
        Route("DELETE", f"/memory/{MEMORY}"),
    ],
    ids=str,
)
def test_an_immutable_project_still_allows_the_rest(frozen: httpx.Client, route: Route) -> None:
    """Contract 2.1: messages, state, tags, labels, ending and all of memory go on."""
    assert send(frozen, route).status_code == 200


@pytest.mark.parametrize(
    "route",
    [
        Route("DELETE", "/dialogue/none"),
        Route("DELETE", "/message/none", None, "MESSAGE_NOT_FOUND"),
        Route("PUT", "/message/none", {"tags": ["changed"]}, "MESSAGE_NOT_FOUND"),
    ],
    ids=str,
)
def test_a_missing_resource_of_an_immutable_project_is_not_found(
    frozen: httpx.Client, route: Route
) -> None:
    """Contract 10.3: existence is checked before conflict."""
    answer = send(frozen, route)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, route.code)


def test_immutability_begins_with_the_very_next_request(server: Server) -> None:
    """Contract 2.1: a project made immutable beside a running server is so at once."""
    project = new_project(server.db)
    with server.client(project.key) as client:
        fill(client)
        assert server.cli("project", "set", project.id, "--immutable").returncode == 0
        answer = client.delete(f"/dialogue/{DIALOGUE}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "DIALOGUE_IMMUTABLE")


def test_immutability_stays_within_its_project(frozen: httpx.Client, api: httpx.Client) -> None:
    """Contract 2.1: the setting is one project's."""
    fill(api)
    assert api.delete(f"/dialogue/{DIALOGUE}").status_code == 200
