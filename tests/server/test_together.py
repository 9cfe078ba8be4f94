"""Long and short works, several processes, faults of the disk: the server goes on."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from harness import KEY, Server, new_project

BIG = {"role": "user", "content": "x" * 400_000}


def test_long_and_short_writes_at_once_are_all_answered(serve: Callable[..., Server]) -> None:
    """A cascade and bodies over 256 KiB run in the writer thread, the others in the loop."""
    server = serve()

    def work(number: int) -> list[int]:
        with server.client() as client:
            codes = []
            for turn in range(12):
                name = f"d-{number}-{turn}"
                codes.append(client.post("/dialogue", json={"id": name}).status_code)
                codes.append(client.post("/message", json={"dialogueId": name, **BIG}).status_code)
                codes.append(client.post("/memory", json={"value": turn}).status_code)
                codes.append(client.delete(f"/dialogue/{name}?cascade=true").status_code)
            return codes

    with ThreadPoolExecutor(6) as pool:
        codes = [code for codes in pool.map(work, range(6)) for code in codes]
    assert set(codes) == {200}
    with server.client() as client:
        assert client.get("/ready").status_code == 200
    assert server.stop() == 0


def test_lists_of_two_servers_on_one_file_are_whole(serve: Callable[..., Server]) -> None:
    """Contract 1.6: pages neither repeat nor skip, also where two processes give the numbers."""
    first = serve()
    second = serve(db=first.db)

    def fill(server: Server) -> None:
        with server.client() as client:
            for _ in range(150):
                client.post("/memory", json={"value": 1}).raise_for_status()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fill, (first, second)))
    for order in ("asc", "desc"):
        ids, after = [], None
        with first.client() as client:
            while True:
                params = {"limit": 7, "order": order, **({"next": after} if after else {})}
                page = client.get("/memory", params=params).json()
                ids += [item["id"] for item in page["items"]]
                after = page["next"]
                if after is None:
                    break
        assert len(ids) == len(set(ids)) == 300


def test_another_process_that_writes_for_long_is_told_once(serve: Callable[..., Server]) -> None:
    """All who wait get 503 after one waiting time, not one after the other."""
    server = serve()
    with server.client() as client:
        client.post("/dialogue", json={"id": "d"}).raise_for_status()
        other = sqlite3.connect(server.db, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        body = {"dialogueId": "d", "role": "user", "content": "hello"}
        began = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: client.post("/message", json=body), range(4)))
        waited = time.monotonic() - began
        other.execute("ROLLBACK")
        assert {answer.status_code for answer in answers} == {503}
        assert waited < 25
        assert "critical" not in server.output()
        assert client.post("/message", json=body).status_code == 200


def test_a_damaged_file_answers_503_and_the_server_still_stops(
    serve: Callable[..., Server],
) -> None:
    """What the disk has lost is no fault of the caller, and no reason to hang."""
    server = serve()
    with server.client() as client:
        client.post("/dialogue", json={"id": "d"}).raise_for_status()
        for name in (server.db, server.db.with_name(server.db.name + "-wal")):
            os.truncate(name, 0)
        codes = {client.get(path).status_code for path in ("/dialogue/d", "/memory", "/ready") * 3}
        assert codes == {503}
    assert server.stop() == 0
    assert "Traceback" not in server.output().replace('"exception":"Traceback', "")


def test_a_removed_file_is_noticed(serve: Callable[..., Server]) -> None:
    """What is written to it is lost with the process: `/ready` says so."""
    server = serve()
    with server.client() as client:
        assert client.get("/ready").status_code == 200
        server.db.rename(server.db.with_name("moved.db"))
        answer = client.get("/ready")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")


def test_a_key_that_another_process_revokes_is_refused_at_once(server: Server) -> None:
    """Again and again, with other requests under way: no snapshot outlives its turn."""
    with server.client() as busy:
        stop = threading.Event()

        def load() -> None:
            while not stop.is_set():
                busy.get("/dialogue")

        loader = threading.Thread(target=load)
        loader.start()
        try:
            for _ in range(5):
                project = new_project(server.db)
                with server.client(project.key) as client:
                    assert client.get("/memory").status_code == 200
                    (row,) = keys_of(server, project.id)
                    revoke(server, row)
                    assert client.get("/memory").status_code == 401
        finally:
            stop.set()
            loader.join()


def keys_of(server: Server, project_id: str) -> list[str]:
    from contextlib import closing

    from dialoguedb.engine import projects
    from dialoguedb.store.opening import open_store

    with closing(open_store(str(server.db))) as store:
        return [key.id for key in projects.keys(store, project_id)]


def revoke(server: Server, key_id: str) -> None:
    script = (
        "from dialoguedb.engine import projects\n"
        "from dialoguedb.store.opening import open_store\n"
        f"projects.revoke_key(open_store({str(server.db)!r}), {key_id!r})\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


def raw(server: Server, data: bytes) -> bytes:
    """Send bytes and read until the other side is silent or has closed."""
    import socket
    from urllib.parse import urlsplit

    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(data)
        connection.settimeout(2)
        got = b""
        try:
            while chunk := connection.recv(65536):
                got += chunk
        except (TimeoutError, ConnectionError):
            pass
        return got


def request(body: bytes, *headers: str) -> bytes:
    lines = [
        "POST /dialogue HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {KEY}",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_an_upgrade_that_is_offered_is_ignored(server: Server) -> None:
    """RFC 9110, 7.8. Java's client offers h2c by default; its body must not be lost."""
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ")
    body = b'{"label":"kept","message":{"role":"user","content":"the word upgrade in a body"}}'
    got = raw(server, request(body, *offer) + request(b'{"label":"next"}'))
    assert got.count(b"HTTP/1.1 200") == 2
    assert b'"label":"kept"' in got
    assert b"the word upgrade in a body" in got
    assert b'"label":"next"' in got


def test_a_head_without_end_is_refused(server: Server) -> None:
    """Nobody may fill the memory before he has shown a key."""
    got = raw(server, request(b"{}", "X-Long: " + "a" * 200_000))
    assert got.startswith(b"HTTP/1.1 400") or got == b""


@pytest.mark.parametrize("data", [b"NONSENSE\r\n\r\n", b"GET /dialogue\x00 HTTP/1.1\r\n\r\n"])
def test_what_is_no_http_gets_the_envelope(server: Server, data: bytes) -> None:
    """Contract 10.1 and 1.4: also then there is a request id."""
    head, _, body = raw(server, data).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert b"x-request-id" in head
    assert httpx.Response(400, content=body).json()["error"]["code"] == "INVALID_PARAMETER"


def test_a_page_counts_bytes_and_not_characters(api: httpx.Client) -> None:
    """Contract 1.5: 8 MiB, also of emoji."""
    api.post("/dialogue", json={"id": "emoji"}).raise_for_status()
    for _ in range(3):
        body = {"dialogueId": "emoji", "role": "user", "content": "🍕" * 1_000_000}
        api.post("/message", json=body).raise_for_status()
    page = api.get("/messages?dialogueId=emoji").json()
    assert len(page["items"]) == 2
    assert page["next"]


def test_repeated_conditions_are_one_list(api: httpx.Client) -> None:
    """RFC 9110, 5.3: two If-Match headers say what one with a comma says."""
    api.post("/dialogue", json={"id": "listed"}).raise_for_status()
    headers = [("If-Match", '"1"'), ("If-Match", '"7"')]
    assert api.put("/dialogue/listed", json={"label": "x"}, headers=headers).status_code == 200
