"""Migrations of PostgreSQL: once each, whoever starts when, and only what is allowed."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psycopg
import pytest

import dialoguedb
from databases import OWNER, PASSWORD, Cluster, _free_port, _unprivileged
from dialoguedb.errors import StoreError
from dialoguedb.runtime import Runtime
from dialoguedb.store import ledger
from dialoguedb.store.opening import open_store
from dialoguedb.store.upkeep.doctor import examine
from dialoguedb.store.upkeep.migrating import ROLE, migrate
from harness import Server, cli

NOW_MS = 1_770_091_506_007
STEPS = ledger.migrations("postgres")
PROCESSES = 10
#: Older than what is supported; a package of Debian.
OLD = Path("/usr/lib/postgresql/15/bin")
#: Starts processes, has all begin at once, and ends with how many of them have failed.
TEN = """
import os, sys
from dialoguedb.store.opening import open_store
waits, go = os.pipe()
started = []
for _ in range(int(sys.argv[2])):
    if (child := os.fork()) == 0:
        os.close(go)
        os.read(waits, 1)
        store = open_store(sys.argv[1])
        store.write(None, lambda tx: None)
        store.close()
        os._exit(0)
    started.append(child)
os.close(go)
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in started))
"""


def rows(address: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(address, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


def name(address: str) -> str:
    return address.rpartition("/")[2]


def schema(address: str) -> list[tuple[object, ...]]:
    """All there is in the database: tables, columns, indexes, rights, the ledger."""
    return [
        *rows(
            address,
            "SELECT n.nspname, c.relname, c.relacl::text, a.attname, a.atttypid FROM pg_class AS c "
            "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
            "LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 "
            "WHERE n.nspname IN ('dialoguedb', 'public') ORDER BY 1, 2, 4",
        ),
        *rows(address, "SELECT extname, extversion FROM pg_extension ORDER BY 1"),
    ]


@pytest.fixture
def bare(cluster: Cluster) -> Iterator[str]:
    """An empty database with the extension."""
    made = cluster.new_database("bare")
    yield made
    cluster.drop(made)


@pytest.fixture
def address(cluster: Cluster) -> Iterator[str]:
    """A migrated database."""
    made = cluster.new_database()
    yield made
    cluster.drop(made)


# ── the ledger ───────────────────────────────────────────────────────────────────────────────


def test_migrations_are_numbered_as_those_of_sqlite_are() -> None:
    """From 1 without a gap: a step is the same on both engines."""
    assert [step.number for step in STEPS] == list(range(1, len(STEPS) + 1))
    both = [[step.name for step in ledger.migrations(one)] for one in ("sqlite", "postgres")]
    assert both[0] == both[1]


def test_a_new_database_has_had_every_migration(bare: str) -> None:
    """With the time of each; a second run does nothing."""
    done = migrate(bare, runtime=Runtime(lambda: NOW_MS))
    assert done[0] == "schema 1 (initial)"
    assert rows(bare, "SELECT * FROM dialoguedb.migrations ORDER BY number") == [
        (step.number, step.name, step.hash, NOW_MS) for step in STEPS
    ]
    before = schema(bare)
    assert migrate(bare) == []
    open_store(bare).close()
    migrated = [row for row in schema(bare) if not str(row[1]).startswith("vectors_graph")]
    assert migrated == before


def test_the_extension_is_made_if_it_may_be(cluster: Cluster, bare: str) -> None:
    """pgvector is a trusted extension from 0.8 on where its package says so; else a superuser's."""
    cluster.run("DROP EXTENSION vector", name(bare))
    before = schema(bare)
    with pytest.raises(StoreError) as caught:
        migrate(bare)
    assert "CREATE EXTENSION" in caught.value.message
    assert "\n" not in caught.value.message
    assert schema(bare) == before


def test_ten_servers_that_start_at_once_make_one_schema(bare: str) -> None:
    """Each comes up: one migrates, the others wait for it."""
    done = subprocess.run(
        [sys.executable, "-c", TEN, bare, str(PROCESSES)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert rows(bare, "SELECT count(*) FROM dialoguedb.migrations") == [(len(STEPS),)]
    assert rows(bare, "SELECT count(*) FROM dialoguedb.indexes") == [(1,)]


def test_a_migration_that_fails_leaves_nothing(bare: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step is one transaction, with its line in the ledger."""
    two = step_of(2, "halves", "CREATE TABLE half (n int); SELECT 1 / 0")
    monkeypatch.setattr(ledger, "migrations", lambda dialect: (*STEPS, two))
    with pytest.raises(StoreError, match="division by zero"):
        migrate(bare)
    assert rows(bare, "SELECT max(number) FROM dialoguedb.migrations") == [(len(STEPS),)]
    assert rows(bare, "SELECT to_regclass('dialoguedb.half')") == [(None,)]


def step_of(number: int, title: str, sql: str) -> ledger.Migration:
    return ledger.Migration(number, title, sql, f"hash of {title}")


# ── expand and contract ──────────────────────────────────────────────────────────────────────


def test_a_server_leaves_a_contract_step_to_migrate(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is taken when no server of the release before runs any more: by a command."""
    expand = step_of(len(STEPS) + 1, "more", "CREATE TABLE more (n int)")
    contract = step_of(len(STEPS) + 2, "contract_less", "DROP TABLE more")
    monkeypatch.setattr(ledger, "migrations", lambda dialect: (*STEPS, expand, contract))
    open_store(address).close()
    assert rows(address, "SELECT count(*) FROM dialoguedb.more") == [(0,)]
    granted = f"SELECT has_table_privilege('{ROLE}', 'dialoguedb.more', 'INSERT')"
    assert rows(address, granted) == [(True,)]
    assert f"schema {contract.number} (contract less)" in migrate(address)
    assert rows(address, "SELECT to_regclass('dialoguedb.more')") == [(None,)]


def test_a_server_gets_on_with_a_newer_step_that_only_adds(address: str) -> None:
    """A rolling upgrade: the database is migrated first, then each server changed for another."""
    newer = len(STEPS) + 1
    rows(address, "ALTER TABLE dialoguedb.messages ADD COLUMN seen bigint")
    rows(address, f"INSERT INTO dialoguedb.migrations VALUES ({newer}, 'seen', 'x', 0)")
    with dialoguedb.open(address, project="p") as db:
        db.create_dialogue(id="d").save_message(role="user", content="hello")
        assert [one.content for one in db.search_messages("hello")] == ["hello"]
    assert migrate(address) == []


def test_a_server_refuses_a_newer_step_that_takes_away(address: str) -> None:
    """One line that names both schemas, and nothing is changed."""
    newer = len(STEPS) + 1
    rows(address, f"INSERT INTO dialoguedb.migrations VALUES ({newer}, 'contract_x', 'x', 0)")
    before = schema(address)
    told = refused(address, by=[open_store, migrate])
    assert f"schema {newer}" in told and f"schema {newer - 1}" in told
    assert schema(address) == before


def refused(address: str, *, by: Sequence[Callable[[str], object]] = ()) -> str:
    """What is told of a database that nobody works on: one line, without the password."""
    told = set()
    for act in by or (open_store, migrate, examine):
        with pytest.raises(StoreError) as caught:
            act(address)
        told.add(caught.value.message)
    assert not any("\n" in message or f":{PASSWORD}@" in message for message in told)
    return "; ".join(told)


# ── bad input ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE dialoguedb.migrations SET hash = 'x'", "changed copy"),
        ("DROP TABLE dialoguedb.migrations", "no list of its migrations"),
        ("DELETE FROM dialoguedb.migrations", "refuses"),
    ],
)
def test_a_half_run_or_damaged_migration_is_refused(address: str, change: str, told: str) -> None:
    """As a restore leaves one that was stopped: nothing is changed."""
    rows(address, change)
    before = schema(address)
    assert told in refused(address, by=[open_store, migrate])
    assert not all(one.ok for one in examine(address) if one.what.startswith(("schema", "the sch")))
    assert schema(address) == before


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda one: one.replace(f"{OWNER}:", f"{OWNER}:not-"), "password is wrong"),
        (lambda one: one.replace(f":{PASSWORD}@", "@"), "wants a password"),
        (lambda one: one.replace(f"{OWNER}:", "nobody-here:"), "password is wrong"),
        (lambda one: one.rpartition("/")[0] + "/missing", "createdb"),
        (lambda one: f"postgresql://u:{PASSWORD}@127.0.0.1:{_free_port()}/db", "nobody listens"),
        (lambda one: f"postgresql://u:{PASSWORD}@no.such.host.invalid/db", "host is not known"),
        (lambda one: "postgresql://[half/db", "address is not valid"),
        (lambda one: f"postgresql://u:{PASSWORD}@h/db?no_such_option=1", "address is not valid"),
    ],
)
def test_an_address_that_is_wrong_is_told_in_one_line(
    address: str, wrong: Callable[[str], str], told: str
) -> None:
    assert told in refused(wrong(address))


@pytest.mark.parametrize("command", [["serve"], ["migrate"]])
def test_a_command_prints_that_line_and_ends_with_1(address: str, command: list[str]) -> None:
    done = cli(*command, "--db", address.replace(f"{OWNER}:", f"{OWNER}:not-"))
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "password is wrong" in done.stderr


def test_a_standby_that_is_given_by_mistake_is_refused() -> None:
    """By every command, and told what to name instead."""
    with Cluster() as primary:
        address = primary.new_database()
        with primary.standby(synchronous=False) as standby:
            told = refused(standby.address(name(address)))
            assert "read-only standby; name the primary" in told


def test_a_server_without_pgvector_is_told_what_to_install() -> None:
    """PostgreSQL 18 can be told where extensions lie: here nowhere."""
    with Cluster(major=18, settings={"extension_control_path": "/nowhere"}) as cluster:
        cluster.run(f"CREATE DATABASE empty OWNER {OWNER}")
        address = cluster.address("empty")
        before = schema(address)
        told = refused(address, by=[open_store, migrate])
        assert "pgvector" in told and "not installed" in told
        assert [one.ok for one in examine(address) if "vector" in one.what] == [False]
        assert schema(address) == before


@pytest.mark.skipif(not OLD.exists(), reason="no PostgreSQL 15 on this machine")
def test_too_old_a_server_is_refused() -> None:
    """Before anything is changed."""
    folder = Path(tempfile.mkdtemp(prefix="ddb-old-"))
    user = _unprivileged()
    if user:
        os.chown(folder, user["user"], user["group"])
    port = _free_port()

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(OLD / program), "-D", str(folder / "data"), *arguments],
            check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user,
        )  # fmt: skip

    try:
        run("initdb", "--username=postgres", "--auth=trust", "--no-sync")
        run("pg_ctl", "-w", "-o", f"-k {folder} -p {port} -h 127.0.0.1 -F", "start")
        try:
            address = f"postgresql://postgres@127.0.0.1:{port}/postgres"
            before = schema(address)
            assert "is PostgreSQL 15; DialogueDB needs 16" in refused(address)
            assert schema(address) == before
        finally:
            run("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_server_brings_an_empty_database_up_by_itself(bare: str) -> None:
    """The two lines of the README: create it, serve."""
    server = Server(bare)
    try:
        with server.client() as api:
            assert api.get("/ready").status_code == 200
    finally:
        assert server.stop() == 0


def test_the_lock_is_let_go_when_a_migration_fails(
    bare: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one does not wait for ever."""
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "migrations", lambda dialect: (step_of(1, "bad", "SELECT 1 / 0"),))
        with pytest.raises(StoreError):
            migrate(bare)
    assert migrate(bare)[0] == "schema 1 (initial)"


@pytest.mark.parametrize("secured", [False, True])
def test_a_database_of_the_first_schema_gets_on_with_all_that_is_in_it(
    address: str, *, secured: bool
) -> None:
    """As the release before has left it; new tables are secured where the others are."""
    with dialoguedb.open(address) as db:
        dialogue = db.create_dialogue(id="d", state={"step": 1})
        dialogue.save_message(role="user", content="My wheel is bent.")
    migrate(address, row_level_security=secured)
    rows(address, "DROP TABLE dialoguedb.summaries")
    rows(address, "DELETE FROM dialoguedb.migrations WHERE number = 2")
    before = rows(address, "SELECT * FROM dialoguedb.messages")
    done = migrate(address)
    assert done[0] == "schema 2 (summaries)"
    assert ("row-level security of summaries" in done) == secured
    assert migrate(address) == []
    assert rows(address, "SELECT * FROM dialoguedb.messages") == before
    with dialoguedb.open(address) as db:
        found = db.get_dialogue("d")
        assert found is not None
        assert found.state == {"step": 1}
        assert found.summarize().message_count == 1
