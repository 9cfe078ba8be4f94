"""The ground of the tests: clusters of PostgreSQL that come and go, and the canary."""

import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

import canary
from databases import OWNER, Cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as running:
        yield running


def until(true: object, what: str) -> None:
    deadline = time.monotonic() + 20
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def alive(folder: Path) -> bool:
    """Whether a process of the cluster is there: each of them names its folder."""
    command = str(folder).encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if command in (process / "cmdline").read_bytes():
                return True
        except OSError:
            continue
    return False


def test_databases_are_apart_and_can_be_dropped(cluster: Cluster) -> None:
    one, two = cluster.new_database("bare"), cluster.new_database("bare")
    with psycopg.connect(one) as connection:
        connection.execute("CREATE TABLE kept AS SELECT '[1,2]'::halfvec(2) AS vector")
    with psycopg.connect(two) as connection:
        assert connection.execute("SELECT to_regclass('kept')").fetchone() == (None,)
        cluster.drop(two)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(two)


def test_the_owner_makes_roles_and_is_no_superuser(cluster: Cluster) -> None:
    with psycopg.connect(cluster.new_database("bare")) as connection:
        asked = "SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user"
        assert connection.execute(asked).fetchone() == (False, True)
        connection.execute("CREATE ROLE made_by_owner")
        connection.rollback()
    wrong = cluster.address().replace(f"{OWNER}:", f"{OWNER}:not-")
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(wrong)


def test_what_was_committed_outlives_a_stop_and_a_kill(cluster: Cluster) -> None:
    address = cluster.new_database("bare")
    with psycopg.connect(address) as connection:
        connection.execute("CREATE TABLE kept (n int)")
    for end in (cluster.stop, cluster.kill):
        with psycopg.connect(address) as connection:
            connection.execute("INSERT INTO kept VALUES (1)")
        end()
        cluster.start()
    with psycopg.connect(address) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (2,)


def test_a_standby_has_all_that_was_answered_and_takes_over() -> None:
    with Cluster(fsync=True) as primary:
        name = primary.new_database("bare").rpartition("/")[2]
        with primary.standby() as standby:
            with psycopg.connect(primary.address(name)) as connection:
                connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
            primary.kill()
            standby.promote()
            both = primary.address(name, standby) + "?target_session_attrs=read-write"
            with psycopg.connect(both) as connection:
                assert connection.execute("SELECT n FROM kept").fetchone() == (7,)
                connection.execute("INSERT INTO kept VALUES (8)")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_cluster_ends_with_its_process(how: signal.Signals) -> None:
    script = (
        f"import sys, time; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from databases import Cluster\n"
        "print(Cluster().folder, flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process, process.stdout:
        folder = Path(process.stdout.readline().strip())
        assert (folder / "data").is_dir()
        assert alive(folder)
        os.kill(process.pid, how)
    until(lambda: not folder.exists() and not alive(folder), "the cluster has ended")


def answer(**parts: object) -> httpx.Response:
    request = httpx.Request("GET", "http://localhost/memory")
    return httpx.Response(200, request=request, **parts)  # type: ignore[arg-type]


CURSOR = base64.urlsafe_b64encode(b"..." + canary.WORD.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "leak",
    [
        {"json": {"error": {"message": f"no {canary.WORD.lower()}"}}},
        {"headers": {"ETag": f'"{canary.WORD}"'}},
        {"json": {"items": [], "next": CURSOR}},
        {"json": {"messages": [], "messagesNext": CURSOR}},
    ],
)
def test_the_watch_sees_the_canary(leak: dict[str, object]) -> None:
    canary.watch(answer(json={"items": ["wheel"], "next": "d2hlZWw"}))
    with pytest.raises(canary.Leaked):
        canary.watch(answer(**leak))
