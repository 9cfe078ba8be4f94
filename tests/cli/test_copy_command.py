"""`dialoguedb copy`: real processes, beside real servers, killed and called again."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest

from cli.programs import CLEAN, in_process, plain, program, terminal
from cli.test_cli import in_terminal
from databases import PASSWORD, Cluster
from dialoguedb.engine import projects
from harness import DIALOGUEDB, Server, cli
from towns import NewTarget, Town, asked, change, dump, opened, targets

#: A stretch of a copy is 500 rows: so many of them there are.
MANY, BATCH = 5_000, 25


@pytest.fixture(params=["sqlite", "postgres"])
def new_target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewTarget]:
    """Make empty databases of one engine."""
    yield from targets(request, tmp_path)


@pytest.fixture
def town(tmp_path: Path) -> Town:
    """A database with two projects and little in them."""
    made = Town(str(tmp_path / "town.db"))
    made.live([], [])
    with made.places() as places:
        for place in places:
            place.call("dialogues.create", {"id": "d", "state": {"a": 1}})
            place.call("messages.create", {"dialogueId": "d", "role": "user", "content": "rust"})
            place.call("memories.create", {"id": "k", "value": 1, "namespace": "u1"})
    return made


def fill(town: Town) -> None:
    """Put many messages into it."""
    said = [{"role": "user", "content": "rust"}] * BATCH
    with town.places() as (place, _):
        for number in range(MANY // BATCH):
            name = f"d{number % 7}"
            if number < 7:
                place.call("dialogues.create", {"id": name})
            place.call("messages.create_batch", {"dialogueId": name, "messages": said})


def copied(*arguments: str) -> Any:
    """Copy; give what is told."""
    done = cli("copy", *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return json.loads(done.stdout)


def refused(*arguments: str) -> str:
    """Give the one line with which a copy is refused."""
    done = program("copy", *arguments)
    assert (done.returncode, done.stdout) == (1, ""), done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    return line.removeprefix("error: ")


# ── the way that the manual shows ────────────────────────────────────────────────────────────


def test_a_server_moves_house(
    serve: Callable[..., Server], town: Town, new_target: NewTarget
) -> None:
    """It stays up during the bulk, keeps the last step from happening, and is another one then.

    The same key opens the same data there.
    """
    target = new_target()
    with opened(town.db) as (store,):
        key = str(projects.create_key(store, "one", admin=True).key)
    server = serve(db=town.db)
    with server.client(key) as api:
        first = copied(town.db, target)
        assert (first["finished"], first["removed"]) == (False, 0)
        assert first["stored"] == first["rows"] > 0
        assert first["target"].endswith(target.rpartition("@")[2])
        api.post("/message", params={"dialogueId": "d"}, json={"role": "user", "content": "more"})
        api.delete("/memory/k", params={"namespace": "u1"}).raise_for_status()
        second = copied(town.db, target)
        assert 0 < second["stored"] < first["stored"]
        # The memory, its claim.
        assert second["removed"] == 2
        assert "in use; stop its server" in refused(town.db, target, "--final")
        before = api.get("/messages", params={"dialogueId": "d"}).json()["items"]
        assert [one["content"] for one in before] == ["rust", "more"]
    server.stop()
    last = copied(town.db, target, "--final")
    assert (last["finished"], last["equal"], last["differing"]) == (True, True, 0)
    assert dump(target) == dump(town.db)
    moved = serve(db=target)
    with moved.client(key) as api:
        assert api.get("/messages", params={"dialogueId": "d"}).json()["items"] == before
        found = api.post("/search", json={"query": "rust", "object": "message"}).json()
        assert [one["item"]["content"] for one in found["results"]][:1] == ["rust"]
    # From here on it goes its own way, and is only compared. A server forgets old replies.
    again = json.loads(program("copy", town.db, target).stdout)
    assert (again["stored"], again["removed"]) == (0, 0)
    assert {one["table"] for one in again["firstDiffering"]} <= {"replies"}


def test_what_is_told_names_every_table_and_space(town: Town, new_target: NewTarget) -> None:
    """With rows and hashes of both sides: on a terminal as tables."""
    target = new_target()
    told = copied(town.db, target, "--final")
    rows = {one["table"]: one["sourceRows"] for one in told["tables"]}
    assert list(rows) == [
        "projects", "spaces", "dialogues", "messages", "memories", "summaries", "tombstones",
        "replies", "claims", "keys",
    ]  # fmt: skip
    expected = dump(town.db)
    assert rows == {name: len(expected[name]) for name in rows}
    spaces = {(one["projectId"], one["namespace"]) for one in told["spaces"]}
    assert spaces == set(expected["spaces"])
    assert told["allSpaces"] == len(spaces)
    for one in told["tables"] + told["spaces"]:
        assert one["equal"]
        assert len(one["sourceHash"]) == 32
        assert one["sourceHash"] == one["targetHash"]
    status, screen = terminal("copy", town.db, target, width=140)
    shown = plain(screen)
    assert status == 0, shown
    assert "hash of source" in shown
    assert "u1" in shown
    assert f"The copy is complete. Start the server on {told['target']}." in shown


@pytest.mark.parametrize(("answer", "finished"), [("y\n", True), ("n\n", False)])
def test_a_person_is_asked_whether_the_last_step_follows(
    town: Town, tmp_path: Path, answer: str, finished: bool
) -> None:
    """After the bulk, on a terminal."""
    target = str(tmp_path / "target.db")
    status, screen = in_terminal("copy", town.db, target, answer=answer)
    assert status == 0, screen
    assert f"stop the server on {town.db}" in screen
    assert ("The copy is complete" in screen) == finished
    assert (dump(target) == dump(town.db)) == finished
    assert asked(target, "SELECT finished IS NOT NULL FROM copies") == [(finished,)]


def test_damage_that_comes_later_ends_with_1_and_is_named(
    town: Town, new_target: NewTarget
) -> None:
    """The first rows that differ, by table, project and namespace."""
    target = new_target()
    copied(town.db, target, "--final")
    change(target, "DELETE FROM memories")
    done = program("copy", town.db, target)
    assert done.returncode == 1
    assert "source and target differ in 2 rows" in done.stderr
    told = json.loads(done.stdout)
    assert (told["equal"], told["differing"], told["stored"]) == (False, 2, 0)
    assert told["firstDiffering"][0] == {
        "table": "memories",
        "projectId": min(town.ids),
        "namespace": "u1",
        "key": "k",
        "how": "missing",
    }
    done = program("copy", town.db, target, "--output", "table")
    assert f"memories k (project {min(town.ids)}, namespace u1): missing" in done.stdout


# ── stopped, and called again ────────────────────────────────────────────────────────────────


def messages_in(db: str) -> int:
    """How many messages a database has; none where it is not there yet."""
    if "://" not in db and not Path(db).exists():
        return 0
    return int(asked(db, "SELECT COUNT(*) FROM messages")[0][0])


def begun(source: str, target: str, *flags: str) -> "subprocess.Popen[bytes]":
    """Begin a copy in a process of its own."""
    return subprocess.Popen(
        [str(DIALOGUEDB), "copy", source, target, *flags],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=CLEAN,
    )


def stopped_while_it_stores(source: str, target: str, sign: int, *flags: str) -> int:
    """Stop a copy as soon as it has stored something; give its exit code."""
    with looking_at(target) as stored:
        before = stored()
        with begun(source, target, *flags) as process:
            deadline = time.monotonic() + 60
            while process.poll() is None and stored() <= before:
                assert time.monotonic() < deadline
                time.sleep(0.002)
            process.send_signal(sign)
            process.communicate()
    return int(process.returncode)


@contextmanager
def looking_at(target: str) -> Iterator[Callable[[], int]]:
    """Count its messages, while the schema may be being made; on one connection, to be in time."""
    if "://" not in target:

        def stored_in_file() -> int:
            try:
                return messages_in(target)
            except apsw.Error:
                return 0

        yield stored_in_file
        return
    with psycopg.connect(target, autocommit=True) as connection:

        def stored() -> int:
            made = connection.execute("SELECT to_regclass('dialoguedb.messages')").fetchone()
            if made == (None,):
                return 0
            found = connection.execute("SELECT COUNT(*) FROM dialoguedb.messages").fetchone()
            return int(found[0]) if found else 0

        yield stored


def test_a_copy_that_is_killed_again_and_again_goes_on(town: Town, new_target: NewTarget) -> None:
    """Each time with more in the target; in the end nothing is missing, and nothing there twice."""
    fill(town)
    target = new_target()
    grown = [0]
    for turn in range(5):
        flags = ("--final",) if turn in (2, 4) else ()
        assert stopped_while_it_stores(town.db, target, signal.SIGKILL, *flags) == -signal.SIGKILL
        grown.append(messages_in(target))
        if turn == 3:
            with town.places() as (place, _):
                place.call("dialogues.delete", {"id": "d0", "cascade": True})
    assert grown == sorted(set(grown))
    assert grown[-1] < MANY
    last = copied(town.db, target, "--final")
    assert last["stored"] > 0
    assert dump(target) == dump(town.db)
    if "://" not in target:
        assert cli("verify", "--db", target).returncode == 0


def test_ctrl_c_says_how_to_go_on(town: Town, tmp_path: Path) -> None:
    """With the exit code of an interrupt."""
    fill(town)
    target = str(tmp_path / "target.db")
    with begun(town.db, target) as process, looking_at(target) as stored:
        while process.poll() is None and stored() == 0:
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 130
    assert errors.decode() == "error: stopped; the same command goes on from here\n"
    copied(town.db, target, "--final")
    assert dump(target) == dump(town.db)


# ── encryption ───────────────────────────────────────────────────────────────────────────────


def test_files_are_read_and_made_with_keys(town: Town, tmp_path: Path) -> None:
    """An option for each end; a wrong one is named."""
    one, two = tmp_path / "one.key", tmp_path / "two.key"
    one.write_text("1" * 64)
    two.write_text("2" * 64)
    secret, again, open_ = (str(tmp_path / name) for name in ("secret.db", "again.db", "open.db"))
    copied(town.db, secret, "--target-key-file", str(one), "--final")
    assert not Path(secret).read_bytes().startswith(b"SQLite format 3")
    keys = ("--source-key-file", str(one), "--target-key-file", str(two))
    copied(secret, again, *keys, "--final")
    copied(again, open_, "--source-key-file", str(two), "--final")
    assert dump(open_) == dump(town.db)
    wrong = refused(secret, str(tmp_path / "new.db"), "--source-key-file", str(two), "--final")
    assert "(--source-key-file)" in wrong
    assert not (tmp_path / "new.db").exists()
    assert "(--target-key-file)" in refused(town.db, again, "--target-key-file", str(one))


# ── bad input ────────────────────────────────────────────────────────────────────────────────


def test_bad_ends_are_told_in_one_line_and_nothing_is_made(town: Town, tmp_path: Path) -> None:
    """What is wrong with which of them."""
    target = tmp_path / "target.db"
    missing = refused(str(tmp_path / "missing.db"), str(target))
    assert missing.startswith("source: there is no database")
    assert refused("mysql://x/y", str(target)).startswith(
        "source: the database 'mysql://x/y' is no"
    )
    nowhere = refused(town.db, str(tmp_path / "no" / "target.db"))
    assert nowhere.startswith("target: the directory")
    assert not target.exists()
    away = refused("postgresql://me:secret@127.0.0.1:1/chat", str(target))
    assert "nobody listens there" in away
    assert "secret" not in away
    assert not target.exists()


@pytest.mark.parametrize("how", ["the same", "sqlite:///", "link", "hard link"])
def test_source_and_target_must_be_two(town: Town, tmp_path: Path, how: str) -> None:
    """However the file is called."""
    other = tmp_path / "other.db"
    if how == "link":
        other.symlink_to(town.db)
    elif how == "hard link":
        os.link(town.db, other)
    names = {"the same": town.db, "sqlite:///": f"sqlite:///{town.db}"}
    before = dump(town.db)
    message = refused(town.db, names.get(how, str(other)))
    assert "same database" in message or "the source under another name" in message
    assert dump(town.db) == before


def test_an_empty_database_of_a_service_is_no_source(cluster: Cluster, tmp_path: Path) -> None:
    """It is not made one by looking; and the password is not shown."""
    address = cluster.new_database("bare")
    message = refused(address, str(tmp_path / "target.db"))
    assert message.startswith("source: there is no DialogueDB database at postgresql://")
    assert PASSWORD not in message.replace("dialoguedb", "")
    assert asked(address, "SELECT 1 FROM pg_tables WHERE schemaname = 'dialoguedb'") == []
    cluster.drop(address)


def test_a_target_that_has_been_served_is_refused(town: Town, new_target: NewTarget) -> None:
    """It has a project already, and somebody may use it."""
    target = new_target()
    with opened(target) as (store,):
        projects.ensure_default(store)
    assert "holds projects that are not of this copy ('default')" in refused(town.db, target)


def test_options_of_other_commands_are_refused() -> None:
    """A database that is named with --db would be passed over in silence."""
    done = in_process("--db", "x.db", "copy", "a.db", "b.db")
    assert done.exit_code == 2
    assert "copy does not take --db" in done.output
    help_ = in_process("copy", "--help").output
    assert "--final" in help_
    assert "Example:" in help_
