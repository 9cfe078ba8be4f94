"""`dialoguedb work`, and the worker of a server."""

import json
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from dialoguedb.cli.main import app
from dialoguedb.store import jobs
from dialoguedb.store.protocol import Store
from harness import DIALOGUEDB, Server, cli
from worker.working import states, until


def listed(db: str) -> list[dict[str, Any]]:
    done = cli("work", "--db", db, "--list")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def failed(store: Store, key: str, reason: str) -> None:
    """Have a job that has failed."""
    store.write(None, lambda tx: jobs.add(tx, "erase", key))
    taken = jobs.on_newest(store, None, lambda tx: jobs.claim(tx, ["erase"], 1_000))
    assert taken is not None
    store.write(None, lambda tx: jobs.give_up(tx, taken, reason))


def test_the_jobs_are_shown_as_json_and_as_a_table(db: str, store: Store) -> None:
    """With the reason of one that failed; it can be retried by its name."""
    assert listed(db) == []
    failed(store, "gone", "ask the [bold]administrator[/bold]")
    (one,) = listed(db)
    assert one["job"] == "erase:gone"
    assert (one["state"], one["attempts"]) == ("failed", 1)
    assert one["reason"] == "ask the [bold]administrator[/bold]"
    table = cli("work", "--db", db, "--list", "--output", "table").stdout
    assert "erase:gone" in table
    assert "[bold]administrator[/bold]" in table
    done = cli("work", "--db", db, "--retry", "erase:gone")
    assert (done.returncode, done.stdout) == (0, "erase:gone is due again.\n")
    assert listed(db)[0]["state"] == "due"


def test_once_does_what_is_due_and_ends(db: str, store: Store) -> None:
    """A failed job stays; the reason why is not lost by that."""
    failed(store, "gone", "no")
    store.write(None, lambda tx: jobs.add(tx, "erase", "unknown"))
    done = cli("work", "--db", db, "--once", "--workers", "3")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    found = states(store)
    assert found.pop("erase:gone") == "failed"
    assert set(found) == ({"forget:"} if store.inline else {"forget:", "look:"})
    assert set(found.values()) == {"later"}


@pytest.mark.parametrize("name", ["erase:unknown", ""])
def test_a_job_that_is_not_there_is_not_retried(db: str, store: Store, name: str) -> None:
    """Nor one that has not failed."""
    store.write(None, lambda tx: jobs.add(tx, "erase", "unknown"))
    done = cli("work", "--db", db, "--retry", name)
    assert done.returncode == 1
    assert f"there is no failed job '{name}'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [("--once", "--list"), ("--list", "--retry", "a:b"), ("--workers", "0"), ("--workers", "65")],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    """Before any database is opened."""
    with pytest.raises(SystemExit) as caught:
        app(["work", "--db", "none.db", *arguments])
    assert caught.value.code == 2


def test_a_signal_ends_it_in_order(db: str, store: Store) -> None:
    """With 0; its log is JSON."""
    failed(store, "x", "no")
    process = subprocess.Popen(
        [str(DIALOGUEDB), "work", "--db", db, "--log-level", "debug"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: states(store).get("forget:") == "later", "it works")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "")
    assert all(json.loads(line)["logger"].startswith("dialoguedb") for line in err.splitlines())


@pytest.mark.postgres_only
def test_a_database_that_cannot_be_opened_is_one_line(db: str) -> None:
    """With exit code 1 and no password."""
    done = cli("work", "--db", "postgresql://x:secret@127.0.0.1:1/y")
    assert done.returncode == 1
    assert "nobody listens there" in done.stderr
    assert "secret" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.postgres_only
@pytest.mark.parametrize("flags", [(), ("--workers", "2")])
def test_a_server_does_jobs_too(
    db: str, store: Store, flags: tuple[str, ...], started: Callable[..., Server]
) -> None:
    """Whether it is one process or several."""
    store.write(None, lambda tx: jobs.add(tx, "erase", "unknown"))
    server = started(db, *flags)
    until(lambda: states(store) == {"forget:": "later", "look:": "later"}, "the job is done")
    assert server.stop() == 0


@pytest.mark.postgres_only
def test_a_server_leaves_jobs_alone_where_it_is_told_to(
    db: str, store: Store, started: Callable[..., Server]
) -> None:
    """They are there for `dialoguedb work`."""
    store.write(None, lambda tx: jobs.add(tx, "erase", "unknown"))
    server = started(db, "--no-jobs")
    with server.client() as client:
        client.get("/ready").raise_for_status()
    assert server.stop() == 0
    assert states(store) == {"erase:unknown": "due"}
