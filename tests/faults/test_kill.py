"""Kill the server with SIGKILL while clients append, again and again: nothing answered is lost."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest

from harness import Database, Server

DIALOGUES = ["d-0", "d-1", "d-2", "d-3"]
CLIENTS = 6
LARGEST_BATCH = 8
#: The shortest and longest time that a server lives under load, in seconds.
LIFE_S = (0.0, 0.5)
SEED = 20260203


@dataclass
class Write:
    """One append: its messages' ids, its dialogue, its client, and whether it was answered."""

    client: str
    dialogue: str
    ids: list[str]
    keyed: bool
    batch: bool
    answered: bool = False

    def send(self, http: httpx.Client) -> httpx.Response:
        """Send this append, the first time or again."""
        messages = [{"id": mid, "role": "user", "content": f"content of {mid}"} for mid in self.ids]
        headers = {"Idempotency-Key": self.ids[0]} if self.keyed else {}
        where, body = ("/messages", messages) if self.batch else ("/message", messages[0])
        query = {"dialogueId": self.dialogue}
        return http.post(where, params=query, json=body, headers=headers)


@dataclass
class Ledger:
    """What the clients know: every write they sent, and answers that should not have been."""

    writes: list[Write] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    survivors: int = 0


def append_until_killed(server: Server, name: str, ledger: Ledger, chance: random.Random) -> None:
    """Append singles and batches with ids of their own until the connection breaks."""
    with server.client() as http:
        for number in range(1_000_000):
            batch = chance.random() < 0.4
            size = chance.randint(1, LARGEST_BATCH) if batch else 1
            ids = [f"{name}-{number}-{part}" for part in range(size)]
            keyed = chance.random() < 0.5
            write = Write(name, chance.choice(DIALOGUES), ids, keyed, batch)
            ledger.writes.append(write)
            try:
                answer = write.send(http)
            except httpx.TransportError:
                return
            if answer.status_code != 200:
                ledger.wrong.append(f"{answer.status_code} {answer.text}")
                return
            write.answered = True


def load_and_kill(server: Server, turn: int, ledger: Ledger) -> None:
    """Load the server from several threads and kill it at a random moment."""
    clients = []
    for number in range(CLIENTS):
        chance = random.Random(SEED + turn * CLIENTS + number)
        arguments = (server, f"r{turn}-c{number}", ledger, chance)
        clients.append(threading.Thread(target=append_until_killed, args=arguments))
    for client in clients:
        client.start()
    time.sleep(random.Random(SEED + turn).uniform(*LIFE_S))
    server.kill()
    for client in clients:
        client.join(60)
        assert not client.is_alive(), "a client hangs"
    assert not ledger.wrong, ledger.wrong


def read_all(http: httpx.Client, dialogue: str) -> list[dict[str, Any]]:
    """Read a dialogue's messages page by page, oldest first."""
    rows: list[dict[str, Any]] = []
    query: dict[str, Any] = {"dialogueId": dialogue, "limit": 1000}
    while True:
        page = http.get("/messages", params=query).raise_for_status().json()
        rows += page["items"]
        if page["next"] is None:
            return rows
        query["next"] = page["next"]


def check_store(server: Server, ledger: Ledger) -> None:
    """Compare what is stored with what was answered; count unanswered writes that survived."""
    places: dict[str, int] = {}
    with server.client() as http:
        for dialogue in DIALOGUES:
            rows = read_all(http, dialogue)
            check_rows(http, dialogue, rows)
            places |= {f"{dialogue}/{row['id']}": row["sequence"] for row in rows}
    known = {f"{write.dialogue}/{mid}" for write in ledger.writes for mid in write.ids}
    assert set(places) <= known, "a message that nobody sent"
    survivors = 0
    last: dict[tuple[str, str], int] = {}
    for write in ledger.writes:
        found = [places.get(f"{write.dialogue}/{mid}") for mid in write.ids]
        if write.answered:
            assert None not in found, f"an acknowledged write is lost: {write} {found}"
        elif None in found:
            assert set(found) == {None}, f"half of a batch is stored: {write} {found}"
            continue
        else:
            survivors += 1
        numbers = [number for number in found if number is not None]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), (write, numbers)
        key = (write.client, write.dialogue)
        assert numbers[0] > last.get(key, 0), f"out of order: {write} {numbers}"
        last[key] = numbers[-1]
    ledger.survivors = survivors


def check_rows(http: httpx.Client, dialogue: str, rows: list[dict[str, Any]]) -> None:
    """Check one dialogue's rows: once each, in order, whole; the counters agree with them."""
    ids = [row["id"] for row in rows]
    assert len(set(ids)) == len(ids), "a message is stored twice"
    assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
    created = [row["created"] for row in rows]
    assert created == sorted(created)
    assert all(row["content"] == f"content of {row['id']}" for row in rows)
    shown = http.get(f"/dialogue/{dialogue}").raise_for_status().json()
    assert shown["totalMessages"] == len(rows)
    assert shown.get("lastMessageCreated") == (created[-1] if created else None)


def send_again(server: Server, ledger: Ledger) -> int:
    """Repeat every unanswered write as a careful client would; return how many there were."""
    pending = [write for write in ledger.writes if not write.answered]
    with server.client() as http:
        for write in pending:
            answer = write.send(http)
            if answer.status_code == 400 and not write.keyed:
                assert answer.json()["error"]["code"] == "DUPLICATE_ID", answer.text
            else:
                assert answer.status_code == 200, answer.text
                made = answer.json() if write.batch else [answer.json()]
                assert [row["id"] for row in made] == write.ids
            write.answered = True
    return len(pending)


def check_file(db: Database) -> None:
    """Ask SQLite itself whether the file is whole; PostgreSQL was not killed."""
    if not isinstance(db, Path):
        return
    connection = apsw.Connection(str(db), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        assert list(connection.execute("PRAGMA integrity_check")) == [("ok",)]
        assert list(connection.execute("PRAGMA foreign_key_check")) == []
    finally:
        connection.close()


def test_nothing_answered_is_lost_when_the_server_is_killed(
    serve: Callable[..., Server],
    engine: str,
    long_round: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = 10 if engine == "sqlite" else 6  # each start takes longer
    rounds = 100 if long_round else few
    ledger, survivors, unanswered = Ledger(), 0, 0
    server = serve()
    with server.client() as http:
        for dialogue in DIALOGUES:
            http.post("/dialogue", json={"id": dialogue}).raise_for_status()
    for turn in range(rounds):
        load_and_kill(server, turn, ledger)
        server = serve()
        check_store(server, ledger)
        check_file(server.db)
        survivors += ledger.survivors
        unanswered += send_again(server, ledger)
        check_store(server, ledger)
        assert ledger.survivors == 0
    assert server.stop() == 0
    check_file(server.db)
    answered = len(ledger.writes) - unanswered
    assert answered > rounds, "the load was too small to prove anything"
    with capsys.disabled():
        print(
            f"\nkill: {rounds} rounds, {answered} acknowledged writes, all there once; "
            f"{unanswered} unacknowledged, of which {survivors} survived whole",
        )
