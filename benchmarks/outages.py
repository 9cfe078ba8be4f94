"""Clients that append while databases go away and come back, and what they may rely on."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx

#: How long a client waits before it sends a refused write again, seconds.
PAUSE_S = 0.05
#: How long clients that are told to stop go on to send what has not been answered, seconds.
PATIENCE_S = 20.0
#: What a write is told whose commit nobody knows of.
LOST = "may be stored or not"


@dataclass
class Write:
    """One append, sent again until it is answered.

    Attributes:
        sequence: of the message, as answered; None if it never was, 0 if it was answered that its
            id is taken: by itself, when it was sent before.
        lost: how often its sender was told that it may be stored or not.
    """

    client: str
    dialogue: str
    id: str
    keyed: bool
    sequence: int | None = None
    sent: int = 0
    lost: int = 0


class Answer(NamedTuple):
    """How a request ended: when it was sent, how long it took, its status, if it was a write."""

    began_s: float
    took_s: float
    status: int
    writes: bool


class Figures(NamedTuple):
    """What came of an outage.

    Attributes:
        acknowledged: writes that were answered; all of them are there once.
        refused: requests that got 503.
        unknown: writes whose senders were told that they may be stored or not.
        longest_s: the longest that any request took.
        away_s: from the loss of the primary until a write that was sent after it was answered.
        recovered_s: the same, from when there was a primary again.
    """

    acknowledged: int
    refused: int
    unknown: int
    longest_s: float
    away_s: float
    recovered_s: float


@dataclass
class Crowd:
    """Clients of one server, and all that they know."""

    url: str
    key: str
    dialogues: Sequence[str]
    clients: int = 16
    timeout_s: float = 60.0
    name: str = "c"
    writes: list[Write] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Have them append until the end of the block, and until all is answered."""
        threads = [
            threading.Thread(target=self._client, args=(f"{self.name}{number}",))
            for number in range(self.clients)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopping.set()
            for thread in threads:
                thread.join(PATIENCE_S + self.timeout_s)
        assert not any(thread.is_alive() for thread in threads), "a client hangs"
        assert not self.wrong, self.wrong[:5]

    def http(self) -> httpx.Client:
        """A client of the server."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=self.timeout_s)

    def _client(self, name: str) -> None:
        chance = random.Random(name)
        with self.http() as http:
            number = 0
            while not self.stopping.is_set():
                number += 1
                dialogue = chance.choice(self.dialogues)
                write = Write(name, dialogue, f"{name}-{number}", chance.random() < 0.5)
                self.writes.append(write)
                if not self._until_answered(http, write):
                    return
                if chance.random() < 0.2:
                    self._send(http, "GET", f"/dialogue/{dialogue}")

    def _until_answered(self, http: httpx.Client, write: Write) -> bool:
        """Send a write until it is answered; False when it is of no use to go on."""
        message = {"id": write.id, "role": "user", "content": f"content of {write.id}"}
        headers = {"Idempotency-Key": write.id} if write.keyed else {}
        query = {"dialogueId": write.dialogue}
        patience_s = 0.0
        while True:
            write.sent += 1
            answer = self._send(
                http, "POST", "/message", params=query, json=message, headers=headers
            )
            if answer is None:
                return False
            if answer.status_code == 200:
                write.sequence = answer.json()["sequence"]
                return True
            error = answer.json()["error"]
            if error["code"] == "DUPLICATE_ID" and write.sent > 1 and not write.keyed:
                write.sequence = 0
                return True
            if answer.status_code != 503:
                self.wrong.append(f"{answer.status_code} {answer.text} {write}")
                return False
            write.lost += LOST in error["message"]
            if self.stopping.is_set():
                patience_s = patience_s or time.monotonic() + PATIENCE_S
                if time.monotonic() > patience_s:
                    return False
            time.sleep(PAUSE_S)

    def _send(
        self, http: httpx.Client, method: str, path: str, **options: Any
    ) -> httpx.Response | None:
        """Send a request and note how it ends; None when no answer came."""
        began_s = time.monotonic()
        try:
            answer = http.request(method, path, **options)
        except httpx.HTTPError as error:
            self.wrong.append(f"no answer: {error!r}")
            return None
        took_s = time.monotonic() - began_s
        self.answers.append(Answer(began_s, took_s, answer.status_code, method == "POST"))
        if answer.status_code == 503 and int(answer.headers.get("retry-after", 0)) < 1:
            self.wrong.append(f"503 without Retry-After: {answer.text}")
        if answer.status_code not in (200, 400, 503):
            self.wrong.append(f"{answer.status_code} {answer.text}")
        return answer

    # ---- what they may rely on -------------------------------------------------------------------

    def check(self) -> None:
        """Every answered write is there once, in order; no other is there twice or in part."""
        with self.http() as http:
            stored = {one: _messages(http, one) for one in self.dialogues}
            for dialogue, rows in stored.items():
                shown = http.get(f"/dialogue/{dialogue}").raise_for_status().json()
                assert shown["totalMessages"] == len(rows)
                assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
                assert all(row["content"] == f"content of {row['id']}" for row in rows)
        places = {row["id"]: (one, row["sequence"]) for one in stored for row in stored[one]}
        assert len(places) == sum(map(len, stored.values())), "a message is stored twice"
        assert places.keys() <= {write.id for write in self.writes}
        last: dict[tuple[str, str], int] = {}
        for write in self.writes:
            dialogue, sequence = places.get(write.id, ("", 0))
            if write.sequence is None and not sequence:
                continue
            assert dialogue == write.dialogue, f"an acknowledged write is lost: {write}"
            assert write.sequence in (None, 0, sequence), f"stored anew: {write} {sequence}"
            assert sequence > last.get((write.client, dialogue), 0), f"out of order: {write}"
            last[write.client, dialogue] = sequence

    def first_after(self, moment_s: float) -> float:
        """When a write that was sent after a moment was first acknowledged."""
        found = [
            one.began_s + one.took_s
            for one in self.answers
            if one.writes and one.status == 200 and one.began_s > moment_s
        ]
        assert found, "service did not return"
        return min(found)

    def figures(self, lost_s: float, back_s: float) -> Figures:
        """Sum up an outage: when the database was lost, and when it was back."""
        first_s = self.first_after(lost_s)
        return Figures(
            acknowledged=sum(write.sequence is not None for write in self.writes),
            refused=sum(one.status == 503 for one in self.answers),
            unknown=sum(write.lost > 0 for write in self.writes),
            longest_s=max(one.took_s for one in self.answers),
            away_s=first_s - lost_s,
            recovered_s=max(0.0, first_s - back_s),
        )


def _messages(http: httpx.Client, dialogue: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    query: dict[str, Any] = {"dialogueId": dialogue, "limit": 1000}
    while True:
        page = http.get("/messages", params=query).raise_for_status().json()
        rows += page["items"]
        if page["next"] is None:
            return rows
        query["next"] = page["next"]


def failover(
    crowd: Crowd,
    lose: Callable[[], object],
    take_over: Callable[[], object],
    *,
    before_s: float = 1.5,
    after_s: float = 1.5,
) -> Figures:
    """Lose the primary under the load of a crowd, have another take over, and check all writes.

    Args:
        crowd: clients of a server that knows both.
        lose: ends the primary.
        take_over: promotes the standby, and returns when that takes writes.
        before_s: how long to load it before, seconds.
        after_s: how long to go on when service is back, seconds.
    """
    with crowd.http() as http:
        for dialogue in crowd.dialogues:
            http.post("/dialogue", json={"id": dialogue}).raise_for_status()
    with crowd.running():
        time.sleep(before_s)
        lost_s = time.monotonic()
        lose()
        take_over()
        back_s = time.monotonic()
        until_served(crowd, lost_s)
        time.sleep(after_s)
    crowd.check()
    return crowd.figures(lost_s, back_s)


def until_served(crowd: Crowd, moment_s: float) -> None:
    """Wait until a write that was sent after a moment has been acknowledged."""
    deadline = time.monotonic() + PATIENCE_S
    while not any(
        one.writes and one.status == 200 and one.began_s > moment_s
        for one in list(crowd.answers)[-200:]
    ):
        assert time.monotonic() < deadline, "service did not return"
        time.sleep(0.02)
