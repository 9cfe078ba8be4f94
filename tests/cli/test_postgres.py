"""Commands on PostgreSQL: the same as on a file, and one line where it cannot be used."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dialoguedb
from databases import Cluster
from dialoguedb.errors import StoreError
from harness import DIALOGUEDB, KEY, Server, cli

SECRET = "hidden"


@pytest.fixture(scope="module")
def db(cluster: Cluster) -> Iterator[str]:
    """A database with nothing in it yet but the schema."""
    made = cluster.new_database("empty")
    yield made
    cluster.drop(made)


def run(*arguments: str, code: int = 0) -> Any:
    """Run a command and give the JSON that it prints."""
    done = cli(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else None


# ── as on a file ─────────────────────────────────────────────────────────────────────────────


def test_data_commands_work_without_a_server(db: str) -> None:
    """On the default project, which is made."""
    made = run("dialogue", "create", "--id", "d", "--label", "A wheel", "--db", db)
    assert made["label"] == "A wheel"
    run("message", "add", "d", "--role", "user", "--content", "My wheel is bent.", "--db", db)
    page = run("--db", db, "message", "list", "d")
    assert [item["content"] for item in page["items"]] == ["My wheel is bent."]
    found = run("search", "messages", "wheel", "--db", db)
    assert "My wheel is bent." in json.dumps(found)
    assert run("stats", "--db", db)["total"]["messages"] == 1


def test_the_environment_names_the_database_too(db: str) -> None:
    """A password need not stand in the list of processes."""
    made = ("memory", "create", "--id", "by-env", "--value-json", "1")
    done = cli(*made, env={"DIALOGUEDB_DB": db})
    assert done.returncode == 0, done.stderr
    assert run("memory", "get", "by-env", "--db", db)["value"] == 1


def test_projects_and_keys_are_seen_by_a_running_server(cluster: Cluster) -> None:
    """At once: a key that is made opens, one that is revoked does not."""
    address = cluster.new_database("empty")
    server = Server(address)
    try:
        project = run("project", "create", "shop", "--db", address)
        key = run("key", "create", "--project", "shop", "--db", address)
        assert [one["name"] for one in run("project", "list", "--db", address)][-1] == "shop"
        with server.client(key["key"]) as client:
            assert client.get("/memory").status_code == 200
            run("key", "revoke", key["id"], "--db", address)
            assert client.get("/memory").status_code == 401
        assert run("project", "delete", project["id"], "--yes", "--db", address)["deleted"]
    finally:
        server.stop()
        cluster.drop(address)


def test_the_client_opens_it_in_its_own_process(db: str) -> None:
    """With several threads, and beside others."""
    with dialoguedb.open(db, project="inside") as one, dialoguedb.open(db, project="inside") as two:
        one.create_dialogue(id="mine").save_message(role="user", content="Hello!")
        assert [message.content for message in two.get_dialogue("mine").messages] == ["Hello!"]


@pytest.mark.parametrize("carrier", ["in-process", "server"])
def test_raw_responses_show_the_position(db: str, carrier: str) -> None:
    """Both carriers of the client give the header of a write's answer."""
    if carrier == "in-process":
        check_position(dialoguedb.open(db))
        return
    server = Server(db)
    try:
        check_position(dialoguedb.DialogueDB(KEY, server.url))
    finally:
        server.stop()


def check_position(client: dialoguedb.DialogueDB) -> None:
    with client as opened, opened.raw_responses() as seen:
        memory = opened.create_memory("x")
        opened.get_memory(memory.id)
    written, read = seen
    assert re.fullmatch("[0-9A-F]{1,8}/[0-9A-F]{1,8}", written.headers["x-dialoguedb-position"])
    assert "x-dialoguedb-position" not in read.headers


FORKED = """
import os, sys
import dialoguedb
db = dialoguedb.open(sys.argv[1])
db.create_memory(id="before", value=1)
child = os.fork()
if child == 0:
    try:
        db.get_memory("before")
    except dialoguedb.errors.StoreError as error:
        os._exit(0 if "forked" in error.message else 2)
    os._exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert db.get_memory("before").value == 1
db.close()
"""


def test_a_client_is_not_used_on_both_sides_of_a_fork(db: str) -> None:
    """The connections are the parent's, which goes on with them."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED, db],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_migrate_makes_the_schema_and_says_what_it_did(cluster: Cluster) -> None:
    """Again it has nothing to do; a server then starts on it."""
    address = cluster.new_database("bare")
    try:
        first = cli("migrate", "--db", address)
        assert first.returncode == 0, first.stderr
        assert "schema 1" in first.stdout
        again = cli("migrate", "--db", address)
        assert (again.returncode, again.stdout) == (
            0,
            "Nothing to do: the schema is up to date.\n",
        )
        assert run("project", "list", "--db", address) == []
    finally:
        cluster.drop(address)


def test_migrate_brings_a_file_up_to_date(tmp_path: Path) -> None:
    """What is of PostgreSQL only is refused; a file that is not there is not made."""
    file = tmp_path / "chat.db"
    assert cli("project", "create", "p", "--db", str(file)).returncode == 0
    done = cli("migrate", "--db", str(file))
    assert done.returncode == 0
    assert str(file) in done.stdout
    for flags in (["--distribute"], ["--row-level-security"], ["--role", "app"]):
        refused = cli("migrate", *flags, "--db", str(file))
        assert refused.returncode == 1
        assert f"{flags[0]} is for PostgreSQL" in refused.stderr
    missing = cli("migrate", "--db", str(tmp_path / "none.db"))
    assert missing.returncode == 1
    assert [one.name for one in tmp_path.glob("none*")] == []


def test_doctor_says_what_it_has_looked_at(db: str) -> None:
    """JSON in a pipe; this cluster is good but for the settings that make tests fast."""
    found = run("doctor", "--db", db, code=1)
    wrong = [one["what"].split()[0] for one in found if not one["ok"]]
    assert wrong == ["fsync", "full_page_writes"]
    assert all(one["what"] for one in found)


def test_doctor_ends_with_1_and_a_hint_where_something_is_wrong(cluster: Cluster) -> None:
    """Here the role that servers work as may not read a table."""
    address = cluster.new_database("empty")
    try:
        name = address.rpartition("/")[2]
        cluster.run("REVOKE ALL ON dialoguedb.messages FROM dialoguedb_app", name)
        found = run("doctor", "--db", address, code=1)
        wrong = [one for one in found if not one["ok"]]
        assert any("messages" in one["what"] + one["hint"] for one in wrong)
        assert all(one["hint"] for one in wrong)
        shown = cli("doctor", "--db", address, "--output", "table")
        assert "NOT OK" in shown.stdout
        assert shown.returncode == 1
    finally:
        cluster.drop(address)


def test_doctor_is_not_for_files(tmp_path: Path) -> None:
    """It says what is."""
    done = cli("doctor", "--db", str(tmp_path / "chat.db"))
    assert done.returncode == 1
    assert "dialoguedb verify" in done.stderr


@pytest.mark.parametrize("command", [["dialogue", "list"], ["serve"], ["key", "list"]])
def test_a_key_file_is_for_a_file(command: list[str], db: str, tmp_path: Path) -> None:
    """It would be thought encrypted else."""
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    done = cli(*command, "--db", db, "--db-key-file", str(key))
    assert done.returncode == 1
    assert "--db-key-file encrypts a file" in done.stderr


# ── what cannot be used ──────────────────────────────────────────────────────────────────────

Place = Callable[[Cluster], str]


def _host(cluster: Cluster, host: str, database: str = "postgres") -> str:
    return f"postgresql://dialoguedb:{SECRET}@{host}/{database}"


def wrong_password(cluster: Cluster) -> str:
    return _host(cluster, f"127.0.0.1:{cluster.port}")


def nobody_there(cluster: Cluster) -> str:
    return _host(cluster, "127.0.0.1:1")


def no_such_host(cluster: Cluster) -> str:
    return _host(cluster, "no-such-host.invalid")


def no_such_database(cluster: Cluster) -> str:
    return cluster.address("no_such_database")


def no_extension(cluster: Cluster) -> str:
    cluster.run("DROP DATABASE IF EXISTS plain")
    cluster.run("CREATE DATABASE plain OWNER dialoguedb")
    return cluster.address("plain")


def another_schema(cluster: Cluster) -> str:
    address = cluster.new_database("bare")
    cluster.run(
        "CREATE SCHEMA dialoguedb CREATE TABLE messages (a int)", address.rpartition("/")[2]
    )
    return address


def changed_migration(cluster: Cluster) -> str:
    address = cluster.new_database("empty")
    cluster.run("UPDATE dialoguedb.migrations SET hash = 'x'", address.rpartition("/")[2])
    return address


def no_address(cluster: Cluster) -> str:
    return f"postgresql://dialoguedb:{SECRET}@[::1/x"


CASES = (
    (wrong_password, "the password is wrong"),
    (nobody_there, "nobody listens there"),
    (no_such_host, "the host is not known"),
    (no_such_database, "does not exist"),
    (no_extension, "extension vector"),
    (another_schema, "no list of its migrations"),
    (changed_migration, "is not the one that this release knows"),
    (no_address, "the database address is not valid"),
)


@pytest.mark.parametrize(("place", "said"), CASES, ids=[case[0].__name__ for case in CASES])
def test_one_line_says_why_it_cannot_be_used(cluster: Cluster, place: Place, said: str) -> None:
    """The same to whoever asks, with exit code 1, and no password in it."""
    address = place(cluster)
    assert_told(address, said)


@pytest.mark.parametrize("command", [["serve", "--workers", "2"], ["migrate"], ["doctor"]])
def test_others_who_look_at_it_say_the_same(cluster: Cluster, command: list[str]) -> None:
    """However many processes were to serve."""
    done = cli(*command, "--db", wrong_password(cluster))
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "the password is wrong" in line
    assert SECRET not in line


def assert_told(address: str, said: str) -> None:
    surroundings = {k: v for k, v in os.environ.items() if not k.startswith("DIALOGUEDB_")}
    told = set()
    for command in (
        ["serve", "--port", "0"],
        ["dialogue", "list", "--output", "table"],
    ):
        done = subprocess.run(
            [str(DIALOGUEDB), *command, "--db", address],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env=surroundings,
        )
        assert done.returncode == 1, done.stdout + done.stderr
        assert done.stdout == ""
        (line,) = done.stderr.strip().splitlines()
        told.add(line)
    with pytest.raises(StoreError) as caught:
        dialoguedb.open(address)
    told.add(f"error: {caught.value.message}")
    assert len(told) == 1, told
    (line,) = told
    assert said in line
    assert SECRET not in line
    assert "owner" not in line
    assert "Traceback" not in line


def test_a_standby_given_by_mistake_is_told_from_the_primary(cluster: Cluster) -> None:
    """Before anything is tried on it; all hosts of the cluster together will do."""
    address = cluster.new_database("empty")
    name = address.rpartition("/")[2]
    standby = cluster.standby(synchronous=False)
    try:
        assert_told(standby.address(name), "is a read-only standby; name the primary")
        both = standby.address(name, cluster)
        assert run("project", "list", "--db", both) == []
    finally:
        standby.close()
