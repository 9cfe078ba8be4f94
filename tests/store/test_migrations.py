"""Migrations and the opening of files: once each, in any number of processes, and only ours."""

import hashlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path

import apsw
import pytest

import dialoguedb
from dialoguedb.errors import StoreError
from dialoguedb.runtime import Runtime
from dialoguedb.store import ledger
from dialoguedb.store.opening import open_store
from dialoguedb.store.sqlite.files import APPLICATION_ID, SqliteFile

SNAPSHOT = Path(__file__).with_name("schema.sqlite.txt")
NOW_MS = 1_770_091_506_007
STEPS = ledger.migrations("sqlite")
PROCESSES = 8
ROUNDS = 30
#: Opens each file that it is told, as `dialoguedb` does, and says how that went.
OPENER = """
import sys
from dialoguedb.store.opening import open_store
print("ready", flush=True)
for line in sys.stdin:
    try:
        open_store(line.strip()).close()
        print("opened", flush=True)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that has been made and closed."""
    made = tmp_path / "chat.db"
    SqliteFile(made).open_writer(Runtime(lambda: NOW_MS)).close()
    return made


def change(path: Path, *statements: str) -> None:
    """Change a file with SQLite alone, and leave no log beside it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def files(folder: Path) -> dict[str, str]:
    """The files of a folder, and the hashes of what is in them."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.iterdir())
    }


# ── the ledger ───────────────────────────────────────────────────────────────────────────────


def test_migrations_are_numbered_from_1_without_a_gap() -> None:
    """In order, each with a name and the hash of its text."""
    assert [step.number for step in STEPS] == list(range(1, len(STEPS) + 1))
    for step in STEPS:
        assert step.name
        assert step.hash == hashlib.sha256(step.sql.encode()).hexdigest()


def test_every_file_of_the_folder_is_a_migration() -> None:
    """None is left out for a slip in its name."""
    folder = resources.files("dialoguedb.store") / "migrations"
    names = {file.name for file in folder.iterdir() if file.name.endswith(".sql")}
    assert names == {
        f"{step.number:04d}_{step.name}.{dialect}.sql"
        for dialect in ("sqlite", "postgres")
        for step in ledger.migrations(dialect)
    }


def test_a_dialect_without_migrations_has_none() -> None:
    """Each dialect has files of its own."""
    assert ledger.migrations("none") == ()


def test_the_migrations_make_the_schema_of_the_snapshot(path: Path) -> None:
    """A change of the schema shows in review. Write the snapshot anew after a new migration."""
    made = rows(path, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name")
    text = "\n\n".join(f"{sql};" for (sql,) in made) + "\n"
    assert text == SNAPSHOT.read_text(encoding="utf-8")


def test_a_migration_that_has_been_released_is_not_changed() -> None:
    """A file made with it would be refused by the next release."""
    released = {1: "8611532d2400ce4b"}
    for number, beginning in released.items():
        assert STEPS[number - 1].hash.startswith(beginning)


# ── opening ──────────────────────────────────────────────────────────────────────────────────


def test_a_new_file_has_had_every_migration_and_says_whose_it_is(path: Path) -> None:
    """With the time of each, and for this user only."""
    assert rows(path, "SELECT number, name, hash, applied FROM migrations ORDER BY number") == [
        (step.number, step.name, step.hash, NOW_MS) for step in STEPS
    ]
    assert rows(path, "PRAGMA user_version") == [(STEPS[-1].number,)]
    assert rows(path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert path.stat().st_mode & 0o777 == 0o600


def test_opening_again_applies_nothing_again(path: Path) -> None:
    """The ledger keeps the times of the first opening, and the file its bytes."""
    before, bytes_before = rows(path, "SELECT * FROM migrations"), path.read_bytes()
    SqliteFile(path).open_writer(Runtime(lambda: NOW_MS + 1)).close()
    assert rows(path, "SELECT * FROM migrations") == before
    assert path.read_bytes() == bytes_before


def test_an_empty_file_is_filled(tmp_path: Path) -> None:
    """As `touch` or a container's volume leaves one."""
    path = tmp_path / "chat.db"
    path.touch()
    open_store(str(path)).close()
    assert rows(path, "PRAGMA user_version") == [(STEPS[-1].number,)]


def test_a_file_of_a_changed_copy_is_refused(path: Path) -> None:
    """A migration of the same number and another text."""
    change(path, "UPDATE migrations SET hash = 'x' WHERE number = 1")
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        open_store(str(path))
    assert "migration 1" in caught.value.message
    assert str(path) in caught.value.message
    assert path.read_bytes() == before
    change(path, "BEGIN IMMEDIATE", "COMMIT")  # nothing of ours holds it


def test_a_file_whose_ledger_is_lost_is_refused(path: Path) -> None:
    """Its schema says a number of which the ledger knows nothing."""
    change(path, "DELETE FROM migrations")
    with pytest.raises(StoreError, match="migration 1"):
        open_store(str(path))


def test_a_file_of_a_newer_release_is_refused_and_not_changed(path: Path, tmp_path: Path) -> None:
    """Byte for byte; the message names both schemas."""
    newer = STEPS[-1].number + 1
    change(path, f"PRAGMA user_version = {newer}")
    before = files(tmp_path)
    with pytest.raises(StoreError) as caught:
        open_store(str(path))
    assert f"schema {newer}" in caught.value.message
    assert f"schema {newer - 1}" in caught.value.message
    assert files(tmp_path) == before


@pytest.mark.parametrize("owner", [0, 1, 0x0F055112, -1])
@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_database_of_another_program_is_refused_and_not_changed(
    owner: int, journal: str, tmp_path: Path
) -> None:
    """Whether it says whose it is or not: it has tables, and they are not ours."""
    path = tmp_path / "other.db"
    change(path, f"PRAGMA journal_mode = {journal}", f"PRAGMA application_id = {owner}",
           "CREATE TABLE photos (id INTEGER)", "INSERT INTO photos VALUES (1)")  # fmt: skip
    before = files(tmp_path)
    with pytest.raises(StoreError, match="another program"):
        open_store(str(path))
    assert files(tmp_path) == before


@pytest.mark.parametrize("data", [b"hello, world\n" * 100, b"\0" * 4096, b"SQLite format 3\0x"])
def test_a_file_that_is_no_database_is_refused_and_not_changed(data: bytes, tmp_path: Path) -> None:
    """Its name is in the message."""
    path = tmp_path / "notes.txt"
    path.write_bytes(data)
    with pytest.raises(StoreError) as caught:
        open_store(str(path))
    assert str(path) in caught.value.message
    assert path.read_bytes() == data
    assert list(files(tmp_path)) == ["notes.txt"]


@pytest.mark.parametrize("db", ["", ":memory:", "mysql://x/y", "sqlite://x", "sqlite:///"])
def test_an_address_that_is_no_file_is_refused(db: str) -> None:
    """The message says what is one."""
    with pytest.raises(StoreError, match="is no address: use a file's path"):
        open_store(db)


def test_a_missing_file_is_not_made_where_none_was_asked_for(tmp_path: Path) -> None:
    """A slip in `--db` would else show an empty store."""
    with pytest.raises(StoreError, match="there is no database"):
        open_store(str(tmp_path / "chat.db"), make=False)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_a_missing_directory_is_refused(tmp_path: Path) -> None:
    """The directory is not made either."""
    with pytest.raises(StoreError, match="does not exist"):
        open_store(str(tmp_path / "none" / "chat.db"))
    assert list(tmp_path.iterdir()) == []


# ── several processes ────────────────────────────────────────────────────────────────────────


@pytest.fixture
def openers() -> Iterator[list["subprocess.Popen[str]"]]:
    """Processes that wait for the names of files to open."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    yield started
    for process in started:
        process.communicate(timeout=20)


def test_processes_that_open_one_fresh_file_at_once_all_succeed(
    openers: list["subprocess.Popen[str]"], tmp_path: Path
) -> None:
    """Each migration is applied by one of them."""
    for number in range(ROUNDS):
        path = tmp_path / f"{number}.db"
        for process in openers:
            assert process.stdin is not None
            process.stdin.write(f"{path}\n")
            process.stdin.flush()
        answers = [process.stdout.readline() for process in openers if process.stdout]
        assert answers == ["opened\n"] * PROCESSES
        assert rows(path, "SELECT number FROM migrations") == [(step.number,) for step in STEPS]
        assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_file_of_the_first_schema_is_brought_up_to_date_with_all_that_is_in_it(
    tmp_path: Path,
) -> None:
    """As the release before has left it; then it takes summaries."""
    path = tmp_path / "chat.db"
    with dialoguedb.open(path) as db:
        dialogue = db.create_dialogue(id="d", state={"step": 1})
        dialogue.save_message(role="user", content="My wheel is bent.")
        db.create_memory("Estonian", id="k")
    change(path, "DROP TABLE summaries", "DELETE FROM migrations WHERE number = 2",
           "PRAGMA user_version = 1")  # fmt: skip
    assert rows(path, "SELECT name FROM migrations") == [("initial",)]
    before = {name: rows(path, f"SELECT * FROM {name}") for name in ("dialogues", "messages")}
    with dialoguedb.open(path) as db:
        assert {name: rows(path, f"SELECT * FROM {name}") for name in before} == before
        found = db.get_dialogue("d")
        assert found is not None
        assert found.state == {"step": 1}
        assert found.summarize().message_count == 1
        assert db.get_memory("k") is not None
    assert rows(path, "PRAGMA user_version") == [(STEPS[-1].number,)]


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """Each is a transaction: the version, the ledger and the tables go together."""
    path = tmp_path / "chat.db"
    broken = ledger.Migration(1, "broken", "CREATE TABLE a (b); CREATE TABLE a (c);", "x")
    file = SqliteFile(path)
    connection = apsw.Connection(str(path))
    connection.execute("BEGIN IMMEDIATE").close()
    with pytest.raises(apsw.Error):
        file._apply(connection, broken, Runtime())
    connection.execute("ROLLBACK").close()
    connection.close()
    open_store(str(path)).close()
    assert rows(path, "SELECT name FROM migrations") == [(step.name,) for step in STEPS]
