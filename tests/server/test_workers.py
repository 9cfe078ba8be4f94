"""`dialoguedb serve --workers N`: several processes on one address, and who sees to them."""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from databases import Cluster
from dialoguedb.server.board import SLOT_BYTES, Board, make_board
from harness import DIALOGUEDB, KEY, Server

Start = Callable[..., Server]
WORKERS = 2


@pytest.fixture
def start(cluster: Cluster) -> Iterator[Start]:
    """Start servers with several workers on a fresh database; stopped afterwards."""
    db = cluster.new_database("empty")
    started: list[Server] = []

    def one(*flags: str, key: str | None = KEY) -> Server:
        started.append(Server(db, "--workers", str(WORKERS), *flags, key=key))
        return started[-1]

    yield one
    for running in started:
        running.stop()
    cluster.drop(db)


@pytest.fixture(scope="module")
def running(cluster: Cluster) -> Iterator[Server]:
    """A server with several workers that no test stops or harms."""
    db = cluster.new_database("empty")
    shared = Server(db, "--workers", str(WORKERS), "--db-connections", "4", "--no-jobs")
    yield shared
    shared.stop()
    cluster.drop(db)


def until(true: Callable[[], Any], what: str, seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds
    while not (given := true()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)
    return given


def children(server: Server) -> list[int]:
    """The processes of the workers."""
    asked = ["ps", "-o", "pid=", "--ppid", str(server.process.pid)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return [int(pid) for pid in done.stdout.split()]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def requests_in(text: str, operation: str) -> float:
    found = re.findall(
        rf'^dialoguedb_requests_total{{operation="{operation}".*}} (\S+)$', text, re.M
    )
    return sum(map(float, found))


def scraped(server: Server) -> str:
    """The figures, asked for on a connection of its own: any worker may take it."""
    with server.client() as client:
        return client.get("/metrics").text


def ask(server: Server, path: str = "/memory", times: int = 1) -> list[int]:
    with server.client() as client:
        return [client.get(path).status_code for _ in range(times)]


# ── one server, to whoever asks ──────────────────────────────────────────────────────────────


def test_all_workers_serve_on_one_address(running: Server) -> None:
    """Connections that come at once are shared among them."""
    assert len(children(running)) == WORKERS
    url = urlsplit(running.url)
    held = [socket.create_connection((url.hostname, url.port)) for _ in range(30)]
    try:

        def served() -> list[int]:
            return [sockets_of(pid) for pid in children(running)]

        until(lambda: sum(served()) >= len(held), "all connections are taken")
        assert min(served()) > 0
    finally:
        for one in held:
            one.close()


def sockets_of(pid: int) -> int:
    """How many connections with clients a process holds."""
    done = subprocess.run(
        ["ss", "-Htnp", "state", "established"], capture_output=True, text=True, check=True
    )
    return sum(f"pid={pid}," in line for line in done.stdout.splitlines())


def test_what_one_worker_has_answered_all_others_see(running: Server) -> None:
    """Each request on a connection of its own, some hundred times."""
    for number in range(40):
        with running.client() as client:
            client.post("/memory", json={"id": f"m-{number}", "value": number}).raise_for_status()
        with running.client() as client:
            assert client.get(f"/memory/m-{number}").json()["value"] == number


def test_there_is_one_announcement(running: Server) -> None:
    """Whichever worker is ready first."""
    assert running.output().count("listens on") == 1
    assert running.output().count("Ctrl+C stops it.") == 1


def test_the_first_key_is_shown_once_and_opens_every_worker(start: Start) -> None:
    """Contract 2: keys are made once, however many processes there are."""
    server = start(key=None)
    (key,) = set(re.findall(r"skv1_[\w-]{43}", until(lambda: key_lines(server), "a key")))
    with server.client(key) as client:
        assert client.get("/dialogue").status_code == 200
    assert all(codes == [200] for codes in in_parallel(server, key, 12))


def key_lines(server: Server) -> str:
    return server.output() if "Ctrl+C" in server.output() else ""


def in_parallel(server: Server, key: str, count: int) -> list[list[int]]:
    def one(_: int) -> list[int]:
        with server.client(key) as client:
            return [client.get("/dialogue").status_code]

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_lines_of_the_log_are_whole(running: Server) -> None:
    """However many workers write to the same pipe."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ask(running, times=60), range(8)))

    def lines() -> list[str]:
        return [line for line in running.output().splitlines() if line.startswith("{")]

    until(lambda: sum('"memories.list"' in line for line in lines()) >= 480, "all are logged")
    assert all(isinstance(json.loads(line), dict) for line in lines())
    mixed = [line for line in running.output().splitlines() if "{" in line and line[0] != "{"]
    assert mixed == []


# ── figures ──────────────────────────────────────────────────────────────────────────────────


def test_figures_are_those_of_all_workers_and_never_fall(start: Start) -> None:
    """Whoever is asked; also when a worker is killed and another takes its place."""
    server = start("--no-access-log")
    sent = 0
    seen = [0.0]
    for turn in range(6):
        with ThreadPoolExecutor(6) as pool:
            sent += sum(map(len, pool.map(lambda _: ask(server, times=5), range(6))))
        seen += [requests_in(scraped(server), "memories.list") for _ in range(4)]
        if turn == 2:
            until(lambda: requests_in(scraped(server), "memories.list") == 90, "all is counted")
            os.kill(children(server)[0], signal.SIGKILL)
            until(lambda: len(children(server)) == WORKERS, "another worker")
    assert seen == sorted(seen)
    until(lambda: requests_in(scraped(server), "memories.list") == sent, "all is counted")


def test_the_processes_figures_are_told_for_each_worker(running: Server) -> None:
    """Memory and processor time of one of them, whoever answered, would mean nothing."""
    text = until(lambda: complete(scraped(running)), "all workers are told of")
    numbers = re.findall(r'^process_resident_memory_bytes{worker="(\d)"}', text, re.M)
    assert numbers == ["1", "2"]
    assert not re.search(r"^process_cpu_seconds_total \d", text, re.M)


def complete(text: str) -> str:
    return text if text.count("process_open_fds{") == WORKERS else ""


def test_a_board_gives_what_each_has_put() -> None:
    """The last of it, and never a part."""
    fd = make_board()
    try:
        boards = [Board(fd, number, 3) for number in range(3)]
        assert boards[0].all() == [b"", b"", b""]
        boards[0].put(b"a" * 1000)
        boards[2].put(b"c")
        boards[0].put(b"b")
        boards[1].put(b"x" * SLOT_BYTES)  # too much for a slot
        assert [board.all() for board in boards] == [[b"b", b"", b"c"]] * 3
        assert Board(fd, 0, 3).own() == b"b"
        os.pwrite(fd, b"torn", 2 * SLOT_BYTES + 8)
        assert boards[1].all() == [b"b", b"", b"c"]  # the last that was whole
        assert Board(fd, 1, 3).all() == [b"b", b"", b""]
    finally:
        os.close(fd)


# ── ends ─────────────────────────────────────────────────────────────────────────────────────


def test_a_worker_that_dies_is_replaced(start: Start) -> None:
    """The others serve meanwhile, and the log says what has happened."""
    server = start()
    first = children(server)
    os.kill(first[1], signal.SIGKILL)
    assert ask(server, times=20) == [200] * 20
    until(lambda: len(set(children(server)) - set(first)) == 1, "another worker")
    assert re.search(
        rf"worker [12] \(process {first[1]}\) was ended by SIGKILL; another one starts in",
        server.output(),
    )
    assert ask(server, times=20) == [200] * 20
    assert server.stop() == 0


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_and_what_is_under_way_is_finished(
    start: Start, sign: signal.Signals
) -> None:
    """With exit code 0, and no process is left."""
    server = start()
    workers = children(server)
    url = urlsplit(server.url)
    with socket.create_connection((url.hostname, url.port)) as held:
        body = b'{"id":"late","value":1}'
        held.sendall(
            b"POST /memory HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n"
            b"content-length: %d\r\n\r\n" % (KEY.encode(), len(body))
        )
        until(lambda: sum(map(sockets_of, workers)), "the request has begun")
        time.sleep(0.1)  # its head is read
        server.process.send_signal(sign)
        until(lambda: refused(url.port), "nobody is let in any more")
        held.sendall(body)
        assert held.recv(64).startswith(b"HTTP/1.1 200")
    assert server.process.wait(20) == 0
    assert not any(map(alive, workers))
    assert "Traceback" not in server.output()


def refused(port: int | None) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port or 0)).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # at the moment when the listener was closed
        return False
    return False


def test_no_worker_outlives_a_server_that_is_killed(start: Start) -> None:
    """They notice by themselves, and the address is free again."""
    server = start()
    workers = children(server)
    assert len(workers) == WORKERS
    server.kill()
    until(lambda: not any(map(alive, workers)), "the workers end")
    assert refused(urlsplit(server.url).port)


def test_a_worker_that_cannot_start_ends_the_start(cluster: Cluster) -> None:
    """With one line that says why, and exit code 1; here there are too few connections."""
    db = cluster.new_database("empty")
    cluster.run(f'ALTER DATABASE "{urlsplit(db).path[1:]}" CONNECTION LIMIT 6')
    try:
        done = serve_once(db, "--workers", "3")
        assert done.returncode == 1
        told = [line for line in done.stderr.splitlines() if not line.startswith("{")]
        assert len(told) == 1, told
        assert told[0].startswith("error: ")
        assert re.search("too many connections|cannot be reached", told[0])
        assert "Traceback" not in done.stderr
        assert "listens" not in done.stdout
    finally:
        cluster.drop(db)


def serve_once(db: str, *flags: str) -> "subprocess.CompletedProcess[str]":
    """Start a server that is to end by itself."""
    surroundings = {k: v for k, v in os.environ.items() if not k.startswith("DIALOGUEDB_")}
    return subprocess.run(
        [str(DIALOGUEDB), "serve", "--db", db, "--port", "0", *flags],
        capture_output=True,
        text=True,
        timeout=30,
        env=surroundings | {"DIALOGUEDB_API_KEY": KEY},
        check=False,
    )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--workers", "2"), "--workers 2 needs PostgreSQL"),
        (("--replica", "postgresql://h/d"), "--replica is for PostgreSQL"),
    ],
)
def test_a_file_is_served_by_one_process(flags: tuple[str, ...], said: str, tmp_path: Path) -> None:
    """One file has one writer: more would not help; nothing is made."""
    done = serve_once(str(tmp_path / "chat.db"), *flags)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert list(tmp_path.iterdir()) == []


def test_a_certificate_of_ones_own_is_kept_in_the_state_folder(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no file to keep it beside; all workers have the same, also after a restart."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    server = start("--tls-self-signed")
    cert = tmp_path / "dialoguedb" / "server.cert.pem"
    assert str(cert) in server.output()
    assert (tmp_path / "dialoguedb").stat().st_mode & 0o077 == 0
    for _ in range(6):
        assert httpx.get(f"{server.url}/health", verify=trusting(cert)).status_code == 200
    assert server.stop() == 0
    before = cert.read_bytes()
    again = start("--tls-self-signed")
    assert httpx.get(f"{again.url}/health", verify=trusting(cert)).status_code == 200
    assert cert.read_bytes() == before


def trusting(cert: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(cert))


def test_no_worker_holds_a_secret_where_others_can_read_it(running: Server) -> None:
    """The key and the password are neither among its arguments nor, by us, in its environment."""
    for pid in children(running):
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
        assert b"owner" not in arguments
        assert KEY.encode() not in arguments


def test_each_process_connects_as_often_as_it_may(running: Server) -> None:
    """The setting `db_connections` is of one worker; the one that sees to them has none."""
    with ThreadPoolExecutor(30) as pool:
        list(pool.map(lambda _: ask(running, times=5), range(30)))
    with psycopg.connect(str(running.db)) as connection:
        rows = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = 'dialoguedb'"
        ).fetchall()
    assert 0 < rows[0][0] <= WORKERS * 4
