"""Many servers on one database: nothing depends on what one process knows or holds."""

import json
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

from databases import Cluster
from dialoguedb.store import statements
from harness import Server, cli, new_project

CLIENTS = 32
PROCESSES = 4
DIALOGUES = [f"d-{number}" for number in range(6)]


@pytest.fixture(scope="module")
def db(cluster: Cluster) -> Iterator[str]:
    made = cluster.new_database("canary")
    yield made
    cluster.drop(made)


@pytest.fixture(scope="module", params=["workers", "servers"])
def servers(db: str, request: pytest.FixtureRequest) -> Iterator[list[Server]]:
    """Four processes: workers of one server, or servers of their own."""
    if request.param == "workers":
        started = [Server(db, "--workers", str(PROCESSES))]
    else:
        started = [Server(db) for _ in range(PROCESSES)]
    yield started
    for one in started:
        assert one.stop() == 0


class Crowd:
    """Clients of a fresh project, each on a connection of its own, spread over the servers."""

    def __init__(self, servers: Sequence[Server], clients: int = CLIENTS) -> None:
        self.db = str(servers[0].db)
        self.project = new_project(self.db)
        self.clients = [
            servers[number % len(servers)].client(self.project.key) for number in range(clients)
        ]

    def all_at_once(
        self, act: Callable[[httpx.Client, int], Any], some: Sequence[httpx.Client] = ()
    ) -> list[Any]:
        """Have all clients, or some, act at the same moment; give what comes of it, in order."""
        clients = some or self.clients
        barrier = threading.Barrier(len(clients))

        def one(number: int) -> Any:
            barrier.wait()
            return act(clients[number], number)

        with ThreadPoolExecutor(len(clients)) as pool:
            return list(pool.map(one, range(len(clients))))

    def close(self) -> None:
        for client in self.clients:
            client.close()


@pytest.fixture
def crowd(servers: list[Server]) -> Iterator[Crowd]:
    made = Crowd(servers)
    yield made
    made.close()


def messages(client: httpx.Client, dialogue: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    query: dict[str, Any] = {"dialogueId": dialogue, "limit": 1000}
    while True:
        page = client.get("/messages", params=query).raise_for_status().json()
        rows += page["items"]
        if page["next"] is None:
            return rows
        query["next"] = page["next"]


def assert_whole(client: httpx.Client, dialogue: str, *, gaps: bool = False) -> list[str]:
    """Numbers without doubles (and gaps, unless messages were deleted); counters of the rows."""
    rows = messages(client, dialogue)
    numbers = sorted(row["sequence"] for row in rows)
    assert len(set(numbers)) == len(numbers)
    assert gaps or numbers == list(range(1, len(rows) + 1))
    shown = client.get(f"/dialogue/{dialogue}").raise_for_status().json()
    assert shown["totalMessages"] == len(rows)
    assert shown.get("lastMessageCreated") == max((row["created"] for row in rows), default=None)
    return [row["id"] for row in rows]


def sent(answer: httpx.Response, *expected: int) -> httpx.Response:
    assert answer.status_code in expected, answer.text
    return answer


def test_all_append_to_one_dialogue(crowd: Crowd, capsys: pytest.CaptureFixture[str]) -> None:
    """It makes progress, nobody is starved, and each number is given once."""
    each = 12
    crowd.clients[0].post("/dialogue", json={"id": "hot"}).raise_for_status()

    def append(client: httpx.Client, number: int) -> float:
        slowest = 0.0
        for turn in range(each):
            began = time.monotonic()
            body = {"id": f"m-{number}-{turn}", "role": "user", "content": "x"}
            sent(client.post("/message", params={"dialogueId": "hot"}, json=body), 200)
            slowest = max(slowest, time.monotonic() - began)
        return slowest

    began = time.monotonic()
    slowest = max(crowd.all_at_once(append))
    took = time.monotonic() - began
    ids = assert_whole(crowd.clients[0], "hot")
    assert sorted(ids) == sorted(f"m-{n}-{t}" for n in range(CLIENTS) for t in range(each))
    with capsys.disabled():
        print(f"\nhot dialogue: {len(ids) / took:.0f} appends/s, the slowest took {slowest:.2f} s")


def test_ids_that_collide_are_given_once(crowd: Crowd) -> None:
    """In batches that overlap, of which each is stored whole or not at all."""
    for dialogue in DIALOGUES:
        crowd.clients[0].post("/dialogue", json={"id": dialogue}).raise_for_status()

    def append(client: httpx.Client, number: int) -> dict[str, str]:
        chance, mine = random.Random(number), {}
        for _ in range(6):
            dialogue = chance.choice(DIALOGUES)
            ids = [f"m-{one}" for one in chance.sample(range(120), chance.randint(1, 4))]
            batch = [{"id": one, "role": "user", "content": "x"} for one in ids]
            answer = sent(
                client.post("/messages", params={"dialogueId": dialogue}, json=batch), 200, 400
            )
            if answer.status_code == 200:
                mine |= dict.fromkeys(ids, dialogue)
            else:
                assert answer.json()["error"]["code"] == "DUPLICATE_ID"
        return mine

    given = crowd.all_at_once(append)
    counts = Counter(one for mine in given for one in mine)
    assert max(counts.values()) == 1, "an id was given twice"
    where = {one: dialogue for mine in given for one, dialogue in mine.items()}
    for dialogue in DIALOGUES:
        ids = assert_whole(crowd.clients[0], dialogue)
        assert set(ids) == {one for one, place in where.items() if place == dialogue}


def test_one_key_sent_to_all_takes_effect_once(crowd: Crowd) -> None:
    crowd.clients[0].post("/dialogue", json={"id": "d"}).raise_for_status()
    for turn in range(3):
        key = {"Idempotency-Key": f"key-{turn}"}

        def append(client: httpx.Client, _: int, key: dict[str, str] = key) -> httpx.Response:
            body = {"role": "user", "content": f"turn {key}"}
            return sent(
                client.post("/message", params={"dialogueId": "d"}, json=body, headers=key), 200
            )

        answers = crowd.all_at_once(append)
        assert len({answer.json()["id"] for answer in answers}) == 1
        replayed = [answer.headers.get("idempotent-replayed") for answer in answers]
        assert sorted(map(str, replayed)) == ["None"] + ["true"] * (CLIENTS - 1)
    assert len(assert_whole(crowd.clients[0], "d")) == 3


def test_of_changes_to_one_version_one_succeeds(crowd: Crowd) -> None:
    """Each client adds to what it has read: nothing is overwritten."""
    crowd.clients[0].post("/dialogue", json={"id": "d", "state": {}}).raise_for_status()

    def add(client: httpx.Client, number: int) -> int:
        for attempt in range(400):
            shown = client.get("/dialogue/d/state").raise_for_status()
            state = shown.json() | {f"k-{number}": attempt}
            answer = client.put(
                "/dialogue/d", json={"state": state}, headers={"If-Match": shown.headers["etag"]}
            )
            if sent(answer, 200, 412).status_code == 200:
                return attempt
        raise AssertionError("a client never succeeded")

    some = crowd.clients[:12]
    crowd.all_at_once(add, some)
    shown = crowd.clients[0].get("/dialogue/d").json()
    assert set(shown["state"]) == {f"k-{number}" for number in range(len(some))}
    assert shown["version"] == 1 + len(some)


def test_deletions_meet_appends_tags_and_what_is_made_again(crowd: Crowd) -> None:
    """Whatever order they take: counters are those of the rows, and numbers are never reused."""
    highest: Counter[str] = Counter()
    guard = threading.Lock()

    def live(client: httpx.Client, number: int) -> None:
        chance = random.Random(number)
        for turn in range(8):
            dialogue = chance.choice(DIALOGUES[:3])
            act = chance.choice(["make", "append", "append", "append", "tag", "delete", "gone"])
            if act == "make":
                body = {"id": dialogue, "message": {"role": "user", "content": "x"}}
                answer = sent(client.post("/dialogue", json=body), 200, 400)
                made = answer.json().get("messages", [])
            elif act == "append":
                body = {"id": f"m-{number}-{turn}", "role": "user", "content": "x"}
                answer = client.post("/message", params={"dialogueId": dialogue}, json=body)
                made = [answer.json()] if sent(answer, 200, 404).status_code == 200 else []
            elif act == "gone":
                cascade = {"cascade": chance.choice(["true", "false"])}
                sent(client.delete(f"/dialogue/{dialogue}", params=cascade), 200, 404)
                continue
            else:
                target = f"/message/m-{chance.randrange(CLIENTS)}-{chance.randrange(8)}"
                if act == "tag":
                    sent(client.put(target, json={"tags": [f"t-{turn}"]}), 200, 404)
                else:
                    sent(client.delete(target), 200, 404)
                continue
            with guard:
                for row in made:
                    seen = f"{dialogue}/{row['sequence']}"
                    highest[seen] += 1

    crowd.all_at_once(live)
    assert max(highest.values()) == 1, "a number was given twice"
    client = crowd.clients[0]
    for dialogue in DIALOGUES[:3]:
        if client.get(f"/dialogue/{dialogue}").status_code == 200:
            assert_whole(client, dialogue, gaps=True)
    assert_verified(crowd)


def assert_verified(crowd: Crowd) -> None:
    """The index is what the rows give, for all projects (`dialoguedb verify`)."""
    done = cli("verify", "--db", crowd.db)
    assert done.returncode == 0, done.stdout + done.stderr


def test_of_a_project_that_is_deleted_under_load_nothing_is_left(crowd: Crowd) -> None:
    """Whoever had begun to write when it was marked has ended before it is erased."""
    crowd.clients[0].post("/dialogue", json={"id": "d"}).raise_for_status()
    before = spaces(crowd)
    stopping = threading.Event()

    def write(client: httpx.Client, number: int) -> int:
        if number == 0:
            time.sleep(0.5)
            done = cli("project", "delete", crowd.project.id, "--yes", "--db", crowd.db)
            stopping.set()
            return done.returncode
        while not stopping.is_set():
            space = {"namespace": f"n-{random.randrange(40)}"} if number % 3 == 0 else {}
            if number % 3 == 0:
                answer = client.post("/memory", params=space, json={"value": str(uuid.uuid4())})
            else:
                body = {"role": "user", "content": "My wheel is bent."}
                answer = client.post("/message", params={"dialogueId": "d"}, json=body)
            if sent(answer, 200, 401).status_code == 401:
                return 401
        return 200

    ended = crowd.all_at_once(write)
    assert ended[0] == 0
    assert set(ended[1:]) == {401}
    assert before
    with psycopg.connect(crowd.db) as connection:
        connection.execute("SET search_path = dialoguedb, public")
        alive = {row[0] for row in connection.execute("SELECT id FROM spaces").fetchall()}
        for table in sorted(_tables(connection) & statements.USER_TABLES):
            found = {
                row[0]
                for row in connection.execute(f"SELECT DISTINCT space_id FROM {table}".encode())
            }
            assert found <= alive, f"{table} has rows of spaces that are gone"
        for table in ("claims", "keys", "spaces", "jobs"):
            count = connection.execute(
                f"SELECT count(*) FROM {table} WHERE project_id = %s".encode(), (crowd.project.id,)
            ).fetchone()
            assert count == (0,), table
        assert not connection.execute(
            "SELECT 1 FROM projects WHERE id = %s", (crowd.project.id,)
        ).fetchall()


def spaces(crowd: Crowd) -> list[Any]:
    with psycopg.connect(crowd.db) as connection:
        return connection.execute(
            "SELECT id FROM dialoguedb.spaces WHERE project_id = %s", (crowd.project.id,)
        ).fetchall()


def _tables(connection: psycopg.Connection[Any]) -> set[str]:
    return {
        row[0]
        for row in connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'dialoguedb'"
        ).fetchall()
    }


def test_a_key_that_is_revoked_opens_nothing_anywhere(crowd: Crowd) -> None:
    """In the next request, whichever process answers it; reads and writes."""
    crowd.all_at_once(
        lambda client, _: client.post("/memory", json={"value": 1}).raise_for_status()
    )
    listed = cli("key", "list", "--project", crowd.project.id, "--output", "json", "--db", crowd.db)
    (key,) = [one for one in json.loads(listed.stdout) if "revoked" not in one]
    assert cli("key", "revoke", key["id"], "--db", crowd.db).returncode == 0

    def ask(client: httpx.Client, number: int) -> int:
        if number % 2:
            return client.get("/memory").status_code
        return client.post("/memory", json={"value": 2}).status_code

    assert set(crowd.all_at_once(ask)) == {401}
