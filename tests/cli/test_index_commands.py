"""`dialoguedb verify` and `dialoguedb reindex`, beside real servers and a real endpoint."""

import json
import os
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import httpx
import numpy as np
import psycopg
import pytest

from cli.test_cli import in_terminal
from dialoguedb.embed import Embedder, open_embedder
from dialoguedb.search import ranking, texts
from dialoguedb.store.index_tools import tools_of
from dialoguedb.store.opening import open_store
from dialoguedb.store.sqlite.store import SqliteStore
from embed.endpoint import Endpoint
from grounds import Grounds
from harness import DIALOGUEDB, Database, Server, cli
from searching import Hashing, Tenant, answers, pack_all, reading

Serve = Callable[..., Server]
STATIC = "static:all-MiniLM-L6-v2-256"
SETTING = "openai:hash"
TEXTS = ["the car broke down", "a vehicle needs repair", "we ate soup", "trains are late again"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have each test run on each engine, but what is of files only."""
    if (
        "engine" in metafunc.fixturenames
        and metafunc.definition.get_closest_marker("sqlite") is None
    ):
        metafunc.parametrize("engine", ["sqlite", "postgres"], indirect=True, scope="session")


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    running = Endpoint()
    running.respond = answers()
    yield running
    running.close()


@pytest.fixture
def empty(new_db: Callable[..., Database], grounds: Grounds, engine: str) -> Iterator[Database]:
    """A database with an index by the static model, and no project."""
    made = new_db("empty")
    yield made
    grounds.of(engine).drop(made)


@pytest.fixture
def db(empty: Database) -> Database:
    """A database with some of everything; half of a file's index is packed into blocks."""
    with closing(open_store(str(empty))) as store:
        tenant = Tenant(store)
        tenant.call("dialogues.create", id="d", label="about zanzibar", tags=["x"])
        tenant.call("dialogues.create", id="t", threadOf="d")
        for number in range(10):
            tenant.say("d", f"zanzibar {number} " + "long " * 300, id=f"m{number}", tags=["y"])
        if isinstance(store, SqliteStore):
            pack_all(store)
        tenant.call("memories.create", id="k", value={"likes": "zanzibar"}, metadata={"n": 1})
        tenant.say("d", "zanzibar in the log", namespace="", metadata={"a": ["b"]})
    return empty


def embedder_of(db: Database) -> str:
    with closing(open_store(str(db))) as store, closing(tools_of(store, open_embedder)) as tools:
        found = tools.in_use()
    assert found is not None
    return found.embedder


def flags(endpoint: Endpoint) -> tuple[str, ...]:
    return ("--embedder", SETTING, "--embedder-url", endpoint.url)


# ── verify ───────────────────────────────────────────────────────────────────────────────────


def test_an_index_that_is_equal_is_said_to_be(db: Database) -> None:
    """In one line, with exit code 0."""
    done = cli("verify", "--db", str(db))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "The search index is equal to 14 resources.\n"


def test_a_difference_is_found_and_repaired(db: Database) -> None:
    """It is said which resource it is and what of it; never what it says."""
    change(db, "UPDATE messages SET content = '\"secret\"' WHERE id = 'm3'")
    done = cli("verify", "--db", str(db))
    assert done.returncode == 1
    assert re.fullmatch(
        r"dialogue d message 4 \(project \w{26}\): words, vectors\n", done.stdout
    ), done.stdout
    assert "1 of 14 resources differ" in done.stderr
    assert "dialoguedb reindex --repair" in done.stderr
    assert "secret" not in done.stdout + done.stderr
    assert "zanzibar" not in done.stdout + done.stderr
    done = cli("reindex", "--repair", "--db", str(db))
    assert (done.returncode, done.stdout) == (0, f"The search index is by {STATIC} now.\n")
    assert cli("verify", "--db", str(db)).returncode == 0


def change(db: Database, sql: str) -> None:
    """Change a database behind the store's back."""
    if isinstance(db, Path):
        connection = apsw.Connection(str(db))
        connection.execute(sql).fetchall()
        assert connection.changes() > 0
        connection.close()
        return
    with psycopg.connect(db, options="-c search_path=dialoguedb") as server:
        assert server.execute(sql.encode()).rowcount > 0


#: A part of the index that is of no project.
STRAY = {
    "sqlite": "INSERT INTO index_blocks VALUES (99, 1, 1, 1, x'00')",
    "postgres": "INSERT INTO figures VALUES (99, 0, 0, 1, 1)",
}


def test_only_the_first_differences_are_told_one_by_one(db: Database, engine: str) -> None:
    """The others are counted; parts of what was erased are, too."""
    with closing(open_store(str(db))) as store:
        tenant = Tenant(store, "two")
        for number in range(30):
            tenant.call("memories.create", id=f"wheel-{number}", value="w")
    change(db, "DELETE FROM memories")
    change(db, STRAY[engine])
    done = cli("verify", "--db", str(db))
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 21
    assert "… and 11 more" in done.stdout
    assert "31 of 13 resources differ and 1 parts of the index belong to no project" in done.stderr


def test_verify_is_not_misled_by_writes(serve: Serve) -> None:
    """A server goes on writing, changing and deleting meanwhile."""
    server = serve()
    stop = threading.Event()

    def write(number: int) -> None:
        chance = random.Random(number)
        with server.client() as client:
            client.post("/dialogue", json={"id": f"d{number}"})
            count = 0
            while not stop.is_set():
                count += 1
                said = {"id": f"{number}-{count}", "role": "user", "content": f"wheel {count}"}
                client.post("/message", params={"dialogueId": f"d{number}"}, json=said)
                old = f"/message/{number}-{chance.randint(1, count)}"
                client.put(old, json={"tags": [f"t{count % 3}"]})
                if count % 3 == 0:
                    client.delete(f"/message/{number}-{chance.randint(1, count)}")

    writers = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(3):
            done = server.cli("verify")
            assert done.returncode == 0, done.stdout + done.stderr
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert server.cli("verify").returncode == 0


# ── reindex ──────────────────────────────────────────────────────────────────────────────────


def test_there_is_nothing_to_do_where_the_index_is_by_the_embedder(db: Database) -> None:
    """It says so, and changes nothing."""
    done = cli("reindex", "--db", str(db))
    assert (done.returncode, done.stdout) == (
        0,
        f"Nothing to do: the search index is by {STATIC} already.\n",
    )


def test_what_cannot_be_done_is_refused(db: Database, tmp_path: Path) -> None:
    """With a message that says what can."""

    def refused(*arguments: str) -> str:
        done = cli("reindex", "--db", str(db), *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert "Traceback" not in done.stderr
        return done.stderr

    assert "either --repair or --embedder" in refused("--repair", "--embedder", "static")
    assert "must look like static" in refused("--embedder", "magic")
    assert "setting embedder_url" in refused("--embedder-url", "ftp://x")
    config = tmp_path / "settings.toml"
    config.write_text('embeder = "static"\n')
    assert "unknown key embeder" in refused("--config", str(config))
    done = cli("verify", "--db", str(tmp_path / "none.db"))
    assert done.returncode == 1
    assert "there is no database" in done.stderr
    assert not (tmp_path / "none.db").exists()


def test_settings_come_from_flags_variables_and_a_file(
    db: Database, endpoint: Endpoint, tmp_path: Path
) -> None:
    """A flag wins over a variable, a variable over the file."""
    config = tmp_path / "settings.toml"
    config.write_text(f'embedder = "{SETTING}"\nembedder_url = "{endpoint.url}"\ndb = "{db}"\n')
    done = cli("reindex", "--config", str(config), "--embedder", "static")
    assert "Nothing to do" in done.stdout, done.stderr
    done = cli("reindex", "--config", str(config), env={"DIALOGUEDB_EMBEDDER": "static"})
    assert "Nothing to do" in done.stdout, done.stderr
    done = cli("reindex", "--config", str(config), env={"DIALOGUEDB_EMBEDDER_KEY": "sk-1"})
    assert done.stdout == f"The search index is by {SETTING} now.\n", done.stderr
    assert endpoint.requests[0][1]["Authorization"] == "Bearer sk-1"
    assert cli("verify", "--config", str(config)).returncode == 0


def test_texts_go_nowhere_that_the_settings_do_not_name(db: Database, endpoint: Endpoint) -> None:
    """A file that names an endpoint's model is not enough to send it anything."""
    assert cli("reindex", "--db", str(db), *flags(endpoint)).returncode == 0
    done = cli("reindex", "--repair", "--db", str(db))
    assert done.returncode == 1
    assert "set embedder" in done.stderr


class Cosines:
    """What the meaning of a query and each text comes to, by one model."""

    def __init__(self, model: Embedder, query: str) -> None:
        self.values = {}
        for text in TEXTS:
            embedded = texts.of_message(json.dumps(text), None).embedded
            made = model.embed([query, embedded]).astype(np.int32)
            cosine = float(made[0] @ made[1]) / 127**2
            self.values[text] = ranking.MEANING * min(max(cosine, 0.0), 1.0)

    def gave(self, answer: list[dict[str, Any]]) -> bool:
        """Whether all results of an answer have this model's scores."""
        return all(
            abs(self.values[one["item"]["content"]] - one["explain"]["meaning"]) < 2e-4
            for one in answer
        )


def store_texts(client: httpx.Client) -> None:
    """A dialogue of 64 messages in a namespace, and an empty one beside it."""
    client.post("/dialogue", json={"id": "w"}).raise_for_status()
    client.post("/dialogue", json={"id": "d", "namespace": "asked"}).raise_for_status()
    for _ in range(16):
        said = [{"role": "user", "content": text} for text in TEXTS]
        where = {"dialogueId": "d", "namespace": "asked"}
        client.post("/messages", params=where, json=said).raise_for_status()


def test_a_live_server_moves_to_another_model(
    endpoint: Endpoint, serve: Serve, empty: Database
) -> None:
    """Searches are whole and by one model at any moment; writes go on; then it is the new one."""
    server = serve(*flags(endpoint), db=empty)
    endpoint.respond = answers(delay_s=0.002)
    query = "the car is broken"
    old = Cosines(open_embedder("static"), query)
    new = Cosines(Hashing(SETTING, 32), query)
    assert max(abs(old.values[text] - new.values[text]) for text in TEXTS) > 0.05
    ask = {"query": query, "object": "message", "limit": 100, "explain": True, "namespace": "asked"}
    seen: list[list[dict[str, Any]]] = []
    problems: list[str] = []
    stop = threading.Event()

    def search() -> None:
        with server.client() as client:
            while not stop.is_set():
                seen.append(client.post("/search", json=ask).raise_for_status().json()["results"])

    def write() -> None:
        with server.client() as client:
            number = 0
            while not stop.is_set():
                number += 1
                said = {"dialogueId": "w", "role": "user", "content": f"needle{number} in hay"}
                client.post("/message", json=said).raise_for_status()
                found = client.post(
                    "/search", json={"query": f"needle{number}", "object": "message", "limit": 9}
                ).json()["items"]
                if said["content"] not in [one["content"] for one in found]:
                    problems.append(f"{said} was not found")

    with server.client() as client:
        store_texts(client)
    threads = [threading.Thread(target=search), threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    try:
        assert server.cli("reindex", *flags(endpoint)).returncode == 0
        with server.client() as client:
            after = client.post("/search", json=ask).json()["results"]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert problems == []
    assert {len(answer) for answer in seen} == {64}
    by = ["old" if old.gave(answer) else "new" if new.gave(answer) else "mixed" for answer in seen]
    assert set(by) <= {"old", "new"}
    assert by == sorted(by, reverse=True)
    assert by[0] == "old"
    assert new.gave(after)
    assert server.cli("verify").returncode == 0
    assert "error" not in server.output().lower()


# ── what interrupts it ───────────────────────────────────────────────────────────────────────


@pytest.fixture
def large(empty: Database) -> Database:
    """A database with 2,000 messages in many namespaces, so that a move has many steps."""
    with closing(open_store(str(empty))) as store:
        tenant = Tenant(store)
        for number in range(40):
            there = {"namespace": f"n{number}"}
            tenant.call("dialogues.create", id=f"d{number}", **there)
            for half in range(2):
                said = [
                    {"role": "user", "content": f"wheel {number} {half} {n}"} for n in range(25)
                ]
                tenant.call(
                    "messages.create_batch", dialogueId=f"d{number}", messages=said, **there
                )
    return empty


def begun(db: Database, endpoint: Endpoint) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [str(DIALOGUEDB), "reindex", "--db", str(db), *flags(endpoint)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("DIALOGUEDB_")},
    )


def asked_of(endpoint: Endpoint, count: int) -> None:
    """Wait until the endpoint has been asked so often."""
    deadline = time.monotonic() + 20
    while len(endpoint.requests) < count:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_move_that_is_killed_goes_on(large: Database, endpoint: Endpoint) -> None:
    """At whatever moment; what was built is not built again."""
    endpoint.respond = answers(delay_s=0.03)
    chance = random.Random(3)
    for _ in range(2):
        before = len(endpoint.requests)
        moving = begun(large, endpoint)
        asked_of(endpoint, before + chance.randint(5, 25))
        moving.kill()
        moving.communicate()
        assert embedder_of(large) == STATIC
    before = len(endpoint.requests)
    done = cli("reindex", "--db", str(large), *flags(endpoint))
    assert done.returncode == 0, done.stderr
    assert "Going on after " in done.stdout
    assert len(endpoint.requests) - before < 80
    assert embedder_of(large) == SETTING
    assert cli("verify", "--db", str(large)).returncode == 0


def test_ctrl_c_says_that_it_goes_on_later(large: Database, endpoint: Endpoint) -> None:
    """And it does; or it is given up by moving back."""
    endpoint.respond = answers(delay_s=0.05)
    moving = begun(large, endpoint)
    asked_of(endpoint, 10)
    moving.send_signal(signal.SIGINT)
    _, said = moving.communicate(timeout=20)
    assert moving.returncode == 130
    assert "the same command goes on from here" in said
    assert "Traceback" not in said
    done = cli("reindex", "--db", str(large))
    assert done.returncode == 0, done.stderr
    assert "Nothing to do" in done.stdout
    assert "given up" in done.stdout
    endpoint.respond = answers()
    done = cli("reindex", "--db", str(large), *flags(endpoint))
    assert "Going on" not in done.stdout
    assert embedder_of(large) == SETTING


def test_an_endpoint_that_does_not_answer_is_asked_again(db: Database, endpoint: Endpoint) -> None:
    """Each wait is told, without any text or key in it."""
    failing = [503]
    right = answers()

    def respond(request: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        return (failing.pop(), {}, {"error": "zanzibar"}) if failing else right(request)

    endpoint.respond = respond
    done = cli("reindex", "--db", str(db), *flags(endpoint), env={"DIALOGUEDB_EMBEDDER_KEY": "sk"})
    assert done.returncode == 0, done.stderr
    assert failing == []
    assert "answered 503; trying again in 1 s" in done.stderr
    assert "zanzibar" not in done.stderr


def test_a_refused_text_does_not_stop_a_move(db: Database, endpoint: Endpoint) -> None:
    """It is found by its words, and that is said."""
    right = answers()

    def respond(request: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        if any("in the log" in text for text in request["input"]):
            return 400, {}, {"error": "no"}
        return right(request)

    endpoint.respond = respond
    done = cli("reindex", "--db", str(db), *flags(endpoint))
    assert done.returncode == 0, done.stderr
    assert "1 resources are found by their words alone" in done.stdout
    done = cli("verify", "--db", str(db))
    assert done.returncode == 0
    assert "1 of them wait for vectors" in done.stdout


def test_an_endpoint_that_refuses_the_key_ends_it(db: Database, endpoint: Endpoint) -> None:
    """There is nothing to wait for; the index stays as it was."""
    endpoint.respond = lambda request: (401, {}, {})
    done = cli("reindex", "--db", str(db), *flags(endpoint))
    assert done.returncode == 1
    assert "the key is refused" in done.stderr
    assert embedder_of(db) == STATIC


# ── help ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("command", "mentions"),
    [
        ("verify", ["--db", "--db-key-file", "--config", "--repair", "nothing is changed"]),
        ("reindex", ["--embedder", "--repair", "--embedder-url", "--db", "--config",
                     "dialoguedb_embedder_key", "goes on where it was"]),
    ],
)  # fmt: skip
def test_help_teaches(command: str, mentions: list[str]) -> None:
    """What it does, what it needs, and how it ends."""
    done = cli(command, "--help", env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    assert done.returncode == 0
    assert [word for word in mentions if word not in done.stdout.lower()] == []


def test_a_terminal_shows_how_far_it_is(db: Database) -> None:
    """A bar with counts, and then the outcome."""
    for command, what in ((["verify"], "comparing"), (["reindex", "--repair"], "indexing")):
        status, screen = in_terminal(*command, "--db", str(db))
        assert status == 0
        assert re.search(rf"{what} .*\b14/14\b", screen), screen
        assert screen.rstrip().splitlines()[-1].startswith("The search index is")


@pytest.mark.sqlite
def test_an_encrypted_file_is_compared_and_rebuilt(tmp_path: Path) -> None:
    """With its key, as the server has it."""
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    store = open_store(str(tmp_path / "chat.db"), key_file=str(key))
    Tenant(store).call("memories.create", id="m", value="zanzibar")
    with reading(store) as session:
        assert session.all("SELECT COUNT(*) FROM changes", {}) == [(1,)]
    store.close()
    where = ("--db", str(tmp_path / "chat.db"), "--db-key-file", str(key))
    assert cli("verify", *where).returncode == 0
    assert cli("reindex", "--repair", *where).returncode == 0
    assert cli("verify", *where).stdout == "The search index is equal to 1 resources.\n"
    assert cli("verify", "--db", str(tmp_path / "chat.db")).returncode == 1
