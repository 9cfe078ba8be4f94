"""The canary tenant is there, and every way to it would be seen: so nothing shows it to others."""

from collections.abc import Iterator

import httpx
import pytest

import canary
from dialoguedb.engine import projects
from harness import Server, new_project, opened

SPACE = f"{canary.WORD}-namespace"
QUESTION = {"query": "hello river bicycle wheel", "limit": 100, "explain": True}
#: One of each operation that gives something of a project out.
REQUESTS = [
    ("GET", "/dialogue", {}),
    ("GET", f"/dialogue?namespace={SPACE}&limit=1", {}),
    ("GET", f"/dialogue/{canary.WORD}-here-d", {}),
    ("GET", f"/messages?dialogueId={canary.WORD}-here-d&limit=1", {}),
    ("GET", f"/message/{canary.WORD}-there-m0?namespace={SPACE}", {}),
    ("GET", "/memory", {}),
    ("GET", f"/memory/{canary.WORD}-there-k?namespace={SPACE}", {}),
    ("POST", "/search", {"json": QUESTION | {"object": "message"}}),
    ("POST", "/search", {"json": QUESTION | {"object": "dialogue"}}),
    ("POST", "/search", {"json": QUESTION | {"object": "memory", "namespace": SPACE}}),
    ("GET", "/export", {}),
]
requests = pytest.mark.parametrize(
    ("method", "path", "rest"), REQUESTS, ids=[f"{one[0]} {one[1][:22]}" for one in REQUESTS]
)


@pytest.fixture(scope="module")
def key(server: Server) -> str:
    """A key of the canary's own project."""
    with opened(server.db) as store:
        project = projects.find(store, "canary")
        return str(projects.create_key(store, project.id, admin=True).key)


@pytest.fixture
def stranger(server: Server) -> Iterator[httpx.Client]:
    with server.client(new_project(server.db, admin=True).key) as client:
        yield client


@requests
def test_its_own_key_sets_off_the_alarm(
    server: Server, key: str, method: str, path: str, rest: dict[str, object]
) -> None:
    with server.client(key) as client, pytest.raises(canary.Leaked):
        client.request(method, path, **rest)  # type: ignore[arg-type]


@requests
def test_a_stranger_finds_nothing(
    stranger: httpx.Client, method: str, path: str, rest: dict[str, object]
) -> None:
    """A 404 names what was asked for, which is why its text is not looked at here."""
    stranger.event_hooks = {}
    answer = stranger.request(method, path, **rest)  # type: ignore[arg-type]
    assert answer.status_code in (200, 404), answer.text
    if answer.status_code == 200:
        assert answer.json()["items"] == []


def test_a_stranger_counts_nothing(stranger: httpx.Client) -> None:
    figures = stranger.get("/stats").raise_for_status().json()
    assert figures["namespaces"] == figures["largestDialogues"] == []
    assert figures["total"]
    assert not any(figures["total"].values()), figures
