"""`X-DialogueDB-Position`: reads of a replica that hold what the reader has written."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

import dialoguedb
from databases import Cluster
from dialoguedb import AsyncDialogueDB, DialogueDB
from dialoguedb.contract import OPERATIONS
from harness import Server, new_project

HEADER = "X-DialogueDB-Position"


def test_answers_to_writes_name_a_position_where_there_is_one(
    api: httpx.Client, engine: str
) -> None:
    """A file has no replicas; what only reads names none."""
    for number in range(3):
        answer = api.post("/memory", json={"id": f"m-{number}", "value": 1})
        if engine == "sqlite":
            assert HEADER not in answer.headers
        else:
            assert re.fullmatch(r"[0-9A-F]{1,8}/[0-9A-F]{1,8}", answer.headers[HEADER])
    assert HEADER not in api.get("/memory/m-0").headers
    assert HEADER not in api.get("/memory/none").headers
    assert HEADER not in api.get("/health").headers


def test_positions_grow_with_what_is_written(api: httpx.Client, engine: str) -> None:
    """A later one holds all that an earlier one holds."""
    if engine == "sqlite":
        return
    seen = []
    for number in range(5):
        high, low = api.post("/memory", json={"value": number}).headers[HEADER].split("/")
        seen.append((int(high, 16), int(low, 16)))
    assert seen == sorted(set(seen))


@pytest.mark.parametrize("position", ["0/0", "0/16B3740", "FFFFFFFF/FFFFFFFF", "0/1"])
def test_a_read_takes_a_position(api: httpx.Client, position: str) -> None:
    """Without a replica nothing is behind: of every form, also one that is never reached."""
    api.post("/memory", json={"id": "m", "value": 1}).raise_for_status()
    answer = api.get("/memory/m", headers={HEADER: position})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "position", ["x", "", "0", "0/", "/0", "0/16b3740", "123456789/0", "0/0/0", "0/0, 0/0", "0/G"]
)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/memory", None),
        ("GET", "/dialogue/d", None),
        ("POST", "/search", {"query": "x", "object": "message"}),
    ],
)
def test_a_malformed_position_is_refused_by_its_name(
    api: httpx.Client, position: str, method: str, path: str, body: Any
) -> None:
    """It would be silently ignored else, and the read be older than the reader thinks."""
    answer = api.request(method, path, json=body, headers={HEADER: position})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "INVALID_PARAMETER"
    assert [detail["field"] for detail in error["details"]] == [HEADER]


def test_the_position_is_in_the_documents(server: Server) -> None:
    """Each operation with a key either answers it or takes it."""
    with server.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    for row in OPERATIONS:
        if row.public:
            continue
        for route in row.routes:
            described = paths[route.path][route.method.lower()]
            takes = [one["name"] for one in described.get("parameters", [])]
            assert (HEADER in takes) is not row.writes
            answered = described["responses"][str(row.status)]
            assert (HEADER in answered["headers"]) is row.writes


def test_pages_of_other_origins_see_and_send_it(serve: Callable[..., Server]) -> None:
    """CORS names it in both directions."""
    running = serve("--cors-origin", "https://a.example")
    origin = {"Origin": "https://a.example"}
    with running.client() as client:
        answer = client.get("/memory", headers=origin)
        assert HEADER.lower() in answer.headers["access-control-expose-headers"].lower()
        asks = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": HEADER}
        answer = client.options("/memory", headers=origin | asks)
        assert answer.status_code == 204
        assert HEADER.lower() in answer.headers["access-control-allow-headers"].lower()


# ── with a replica ───────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Cluster, Cluster]]:
    """A primary and a standby that follows it."""
    with Cluster() as primary:
        standby = primary.standby(synchronous=False)
        try:
            yield primary, standby
        finally:
            standby.close()


@pytest.fixture(scope="module")
def behind(pair: tuple[Cluster, Cluster]) -> Iterator[Server]:
    """A server whose replica has stopped to follow, once it had what there was."""
    primary, standby = pair
    db = primary.new_database("empty")
    name = db.rpartition("/")[2]
    (before,) = primary.run("SELECT pg_current_wal_flush_lsn()")[0]
    caught_up(standby, before)
    running = Server(db, "--replica", standby.address(name))
    with running.client() as client:
        answer = client.post("/memory", json={"id": "old", "value": "old"})
    caught_up(standby, answer.headers[HEADER])
    standby.run("SELECT pg_wal_replay_pause()")
    yield running
    standby.run("SELECT pg_wal_replay_resume()")
    running.stop()


def caught_up(standby: Cluster, position: str) -> None:
    deadline = time.monotonic() + 10
    while not standby.run(f"SELECT pg_last_wal_replay_lsn() >= '{position}'")[0][0]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_reads_go_to_the_replica(behind: Server) -> None:
    """It is seen by what they do not know yet."""
    with behind.client() as client:
        assert client.get("/memory/old").json()["value"] == "old"
        client.post("/memory", json={"id": "new", "value": "new"}).raise_for_status()
        assert client.get("/memory/new").status_code == 404


@pytest.mark.parametrize("kind", ["get", "list", "search"])
def test_who_sends_the_position_back_reads_what_he_has_written(behind: Server, kind: str) -> None:
    """Whatever it is that reads; the same request without it is behind."""
    with behind.client() as client:
        body = {"id": f"mine-{kind}", "value": f"the wheel of {kind}"}
        written = client.post("/memory", json=body)

        def found(headers: dict[str, str]) -> bool:
            if kind == "get":
                return client.get(f"/memory/mine-{kind}", headers=headers).status_code == 200
            if kind == "list":
                page = client.get("/memory", headers=headers).json()
            else:
                question = {"query": f"wheel of {kind}", "object": "memory"}
                page = client.post("/search", json=question, headers=headers).json()
            return f"mine-{kind}" in str(page)

        assert not found({})
        assert found({HEADER: written.headers[HEADER]})


def test_keys_are_those_of_the_primary(behind: Server) -> None:
    """A key that the replica has not seen yet opens at once; so a revoked one opens nothing."""
    with behind.client(new_project(behind.db).key) as client:
        assert client.get("/memory").status_code == 200


# ── the clients for Python ───────────────────────────────────────────────────────────────────


def test_a_client_reads_what_it_has_written(behind: Server) -> None:
    """It keeps the newest position of its writes; another client has none of them."""
    with DialogueDB(behind.key, behind.url) as db, DialogueDB(behind.key, behind.url) as other:
        for name in ("client-1", "client-2"):
            db.create_memory("mine", id=name)
            assert db.get_memory(name) is not None
            assert other.get_memory(name) is None
        assert {"client-1", "client-2"} <= {one.id for one in db.list_memories().items}


def test_an_asynchronous_client_reads_what_it_has_written(behind: Server) -> None:
    """As the other one does, also with many writes at once."""
    names = [f"async-{number}" for number in range(8)]

    async def written_and_read() -> list[bool]:
        async with AsyncDialogueDB(behind.key, behind.url) as db:
            await asyncio.gather(*(db.create_memory("mine", id=name) for name in names))
            return [await db.get_memory(name) is not None for name in names]

    assert all(asyncio.run(written_and_read()))


def test_a_client_in_process_reads_what_it_has_written(
    behind: Server, pair: tuple[Cluster, Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own writes are the ones that it must see."""
    name = str(behind.db).rpartition("/")[2]
    monkeypatch.setenv("DIALOGUEDB_REPLICA", pair[1].address(name))
    with dialoguedb.open(str(behind.db)) as db:
        db.create_memory("mine", id="inside")
        assert db.get_memory("inside") is not None


# ── without the replica ──────────────────────────────────────────────────────────────────────


def test_a_replica_that_is_away_costs_no_read_of_ones_own_writes(
    pair: tuple[Cluster, Cluster], behind: Server
) -> None:
    """Reads with a position go to the primary while nobody else can answer them."""
    _, standby = pair
    standby.stop("immediate")
    try:
        with behind.client() as client:
            written = client.post("/memory", json={"id": "kept", "value": 1})
            headers = {HEADER: written.headers[HEADER]}
            assert client.get("/memory/kept", headers=headers).status_code == 200
    finally:
        standby.start()
