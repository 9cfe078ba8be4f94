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

from dialoguedb.engine import projects
from harness import Server, new_project, opened

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


def test_lists_of_two_servers_on_one_database_are_whole(serve: Callable[..., Server]) -> None:
    """Contract 1.6: pages neither repeat nor skip, also where two processes give the numbers."""
    first, second = serve(), serve()

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


@pytest.mark.long
@pytest.mark.sqlite("one file has one writer")
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


@pytest.mark.sqlite("damages the file")
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


@pytest.mark.sqlite("moves the file away")
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
    with opened(server.db) as store:
        return [key.id for key in projects.keys(store, project_id)]


def revoke(server: Server, key_id: str) -> None:
    script = (
        "from dialoguedb.engine import projects\n"
        "from dialoguedb.store.opening import open_store\n"
        f"projects.revoke_key(open_store({str(server.db)!r}), {key_id!r})\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


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
