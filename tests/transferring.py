"""What the tests of export and import share: calls as a server makes them, worlds, and streams."""

import random
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from dialoguedb.contract import OPERATIONS
from dialoguedb.engine import Caller, handlers, projects
from dialoguedb.errors import DialogueDBError
from dialoguedb.models.limits import Limits
from dialoguedb.models.summaries import Summary
from dialoguedb.runtime import Runtime
from dialoguedb.store import jobs, summaries
from dialoguedb.store.opening import open_store
from dialoguedb.store.protocol import Scope, WriteTx
from dialoguedb.store.sqlite.store import SqliteStore
from dialoguedb.store.summaries import Counts, Outcome
from dialoguedb.wire import RequestReader
from searching import Hashing, opening

HANDLERS = handlers()
ROWS = {row.name: row for row in OPERATIONS if not row.public}
READERS = {name: RequestReader(row, Limits(), refuse_unknown=True) for name, row in ROWS.items()}
START_MS = 1_770_091_506_007


class Clock:
    """A clock that the test sets, milliseconds."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


class Here:
    """A project in a store of its own, and calls of the engine with it, as a server makes them."""

    def __init__(self, store: SqliteStore, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.project = projects.every(store)[0] if projects.every(store) else None
        self.id = (self.project or projects.create(store, "one")).id

    def call(
        self, name: str, body: Any = b"", *, request_id: str = "", key: str = "", **query: Any
    ) -> Any:
        """Run an operation: `body` as JSON text or value, the other fields as in a query."""
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        fields = [(wire, str(value)) for wire, value in query.items()]
        request = READERS[name].read({}, fields, data)
        caller = Caller(
            project_id=self.id,
            request_id=request_id or str(uuid.uuid4()),
            idempotency_key=key or None,
        )
        task = HANDLERS[name](caller, request)
        run = self.store.write if ROWS[name].writes else self.store.read
        return run(task.scope, task.work)  # type: ignore[arg-type]

    def export(self, *limits: int, **query: Any) -> list[bytes]:
        """Export page by page, with these limits in turn; the project's id is left out."""
        records: list[bytes] = []
        turn = 0
        while True:
            more = {"limit": limits[turn % len(limits)]} if limits else {}
            page = self.call("transfer.export", **query, **more)
            assert page.items or page.next is None
            records += [
                bytes(record).replace(self.id.encode(), b"PROJECT") for record in page.items
            ]
            if page.next is None:
                return records
            query, turn = {"next": page.next}, turn + 1

    def restore(self, records: Sequence[bytes], *, namespace: str = "", **query: Any) -> Any:
        """Import records as one request."""
        return self.call(
            "transfer.restore", b"[" + b",".join(records) + b"]", namespace=namespace, **query
        )


@contextmanager
def here(path: Path, model: Hashing, clock: Clock | None = None) -> Iterator[Here]:
    """A project in a new store, or the one that is there."""
    clock = clock or Clock()
    store = open_store(
        str(path), runtime=Runtime(clock), embedder=model.name, open_embedder=opening(model)
    )
    try:
        yield Here(store, clock)
    finally:
        store.close()


def namespace_of(record: bytes) -> str:
    return str(msgspec.json.decode(record).get("namespace", ""))


def batches(records: Sequence[bytes], sizes: Sequence[int]) -> Iterator[tuple[str, list[bytes]]]:
    """Cut a stream into requests of these sizes in turn, each of one namespace."""
    batch: list[bytes] = []
    turn = 0
    for record in records:
        full = len(batch) >= sizes[turn % len(sizes)]
        if batch and (full or namespace_of(record) != namespace_of(batch[0])):
            yield namespace_of(batch[0]), batch
            batch, turn = [], turn + 1
        batch.append(record)
    if batch:
        yield namespace_of(batch[0]), batch


# ── worlds ───────────────────────────────────────────────────────────────────────────────────


class Step(NamedTuple):
    """Something that is done to a world: an operation with its body, and how the clock moves."""

    name: str
    body: bytes
    moves_ms: int


NAMESPACES = ["", "", "u1", "U-2"]
#: Instants that messages and dialogues may have by themselves: some tie, some are to come.
INSTANTS = [
    '"2026-02-03T04:05:06.008Z"', '"2026-02-03"', '"2031-01-01T00:00:00+02:00"', '"1969-12-31T23"',
]  # fmt: skip
TEXTS = ['""', '"Ada"', '"é\\u00e9\\ud83d\\ude00"', '"\\u2028\\u0001 \\"q\\" \\\\"', '"a\\/b"']
CONTENTS = [
    '"My wheel is bent."', '"\\ud83d\\ude00 \\u0000"', '{"b":1,"a":2,"b":1.0}',
    '[{"type":"text","text":"rust"},{"type":"x","n":1e2}]', '{"n":100000000000000000001,"m":-0.0}',
    '[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"QUJD"}}]',
]  # fmt: skip
OBJECTS = ["{}", '{"b":1.50,"a":"x"}', '{"a":["x","é"],"a":true}', '{ "k" : 1E3 }']
TAGS = ["[]", '["b","a","b"]', '["\\u00e9"]']


def body_of(**members: str | None) -> bytes:
    """Write an object of members that are JSON text; None is left out."""
    pairs = [f'"{name}":{text}' for name, text in members.items() if text is not None]
    return ("{" + ",".join(pairs) + "}").encode()


def world(seed: int, count: int) -> list[Step]:
    """Make the steps of a world; those that fail in it are passed over by it."""
    chance = random.Random(seed)
    return [_step(chance) for _ in range(count)]


def _step(chance: random.Random) -> Step:
    def maybe(values: Sequence[str]) -> str | None:
        return chance.choice([None, *values])

    # Ids are unique in a project, so each namespace has its own.
    space = chance.choice(NAMESPACES)
    there = {"namespace": f'"{space}"'}
    own, other = (f'"{space}d{chance.randint(0, 2)}"' for _ in range(2))
    message, memory = f'"{space}m{chance.randint(0, 9)}"', f'"{space}k{chance.randint(0, 2)}"'
    summary = f'"{space}s{chance.randint(0, 2)}"'
    tags, text, metadata = maybe(TAGS), maybe(TEXTS), maybe(OBJECTS)
    marks = {"tags": tags, "metadata": metadata}
    content, created = chance.choice(CONTENTS), maybe(INSTANTS)
    say = {"role": '"user"', "content": content, "name": text, "created": created, **marks}
    few = ",".join([body_of(**say).decode()] * chance.randint(0, 3))
    cascade = chance.choice(["true", "false", "false"])
    action = chance.choice(['"end"', '"archive"', '"reopen"', '"reopen"', '"unarchive"'])
    labels = {"label": text, "state": maybe(OBJECTS)}
    value = chance.choice([*CONTENTS, "1.50", "false", '""', "[]"])
    new = {"id": own, **there, **labels, **marks, "created": created, "messages": f"[{few}]"}
    bodies: list[tuple[int, str, dict[str, str | None]]] = [
        (6, "dialogues.create", new),
        (3, "dialogues.create", new | {"threadOf": other}),
        (9, "messages.create", {"dialogueId": own, **there, "id": message, **say}),
        (2, "messages.update", {"id": message, **there, "tags": tags or "[]"}),
        (2, "messages.delete", {"id": message, **there}),
        (2, "dialogues.update", {"id": own, **there, **labels, "tags": tags}),
        (2, "dialogues.delete", {"id": own, **there, "cascade": cascade}),
        (2, "dialogues.act", {"id": own, **there, "action": action}),
        (3, "memories.create", {"id": memory, **there, "value": value, "label": text, **marks}),
        (1, "memories.update", {"id": memory, **there, "tags": tags or "[]"}),
        (1, "memories.delete", {"id": memory, **there}),
        (3, "summaries.create", {"id": summary, "dialogueId": own, **there, **marks}),
        (1, "summaries.delete", {"id": summary, **there}),
    ]
    ((_, name, body),) = chance.choices(bodies, weights=[weight for weight, _, _ in bodies])
    return Step(name, body_of(**body), chance.choice([0, 0, 1, 1, 5, -3]))


def live(place: Here, steps: Sequence[Step], *, named: str) -> None:
    """Let a world happen in a project; the same one happens the same way in another."""
    for number, step in enumerate(steps):
        place.clock.now_ms += step.moves_ms
        request_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{named} {number}"))
        with suppress(DialogueDBError):
            made = place.call(step.name, step.body, request_id=request_id)
            if step.name == "summaries.create":
                summarise(place, made, failed=number % 3 == 0)


def summarise(place: Here, made: Summary, *, failed: bool) -> None:
    """Do what a worker does with a summary that has been asked for, one way or the other."""
    scope = Scope(place.id, made.namespace or "")
    outcome = Outcome("failed", error="no answer")
    if not failed:
        counts = Counts(message_count=3, total_tokens=7)
        outcome = Outcome("completed", "base", (0, 5), "openai", "m", None, counts, 'so "far"\n')

    def work(tx: WriteTx) -> None:
        assert summaries.finish(tx, made.id, outcome)
        jobs.drop(tx, summaries.JOB, f"{tx.space_id}.{made.job_id}")

    place.store.write(scope, work)
