"""What the tests of the search index share: a model of their own, stores, and what they hold."""

import hashlib
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from copy import copy
from pathlib import Path
from typing import Any

import apsw
import msgspec
import numpy as np
from numpy.typing import NDArray

from dialoguedb.contract import OPERATIONS
from dialoguedb.embed import Embedder, EmbedderRefused, EmbedderUnavailable
from dialoguedb.embed.protocol import quantised
from dialoguedb.engine import Caller, handlers, projects
from dialoguedb.errors import DialogueDBError
from dialoguedb.search.entries import PRESENT, Entry, Key
from dialoguedb.search.indexer import pieces_of
from dialoguedb.store.differing import Report
from dialoguedb.store.opening import open_store
from dialoguedb.store.protocol import Scope
from dialoguedb.store.sqlite.index import SearchIndex
from dialoguedb.store.sqlite.packing import pack
from dialoguedb.store.sqlite.session import Session
from dialoguedb.store.sqlite.store import SqliteStore
from dialoguedb.store.sqlite.verifying import verify
from dialoguedb.store.walking import note_of

HANDLERS = handlers()
REQUESTS: dict[str, Any] = {one.name: one.request for one in OPERATIONS}


def hashed(text: str, dimension: int) -> list[float]:
    """The vector of a text, as `Hashing` and the endpoint of the tests make it."""
    total = np.zeros(dimension, np.float32)
    for word in text.lower().split():
        digest = hashlib.sha256(word.encode()).digest()
        total += np.frombuffer(digest * (dimension // 32 + 1), np.uint8)[:dimension] - 127.5
    return [float(number) for number in total]


class Hashing:
    """A model: texts that share words are near each other. See `Embedder`.

    Attributes:
        down: it does not answer.
        refuses: it refuses texts with this word, if any.
        asked: how many texts it was asked for.
    """

    def __init__(self, name: str = "hash:16", dimension: int = 16, *, inline: bool = False) -> None:
        self.name = name
        self.dimension = dimension
        self.inline = inline
        self.down = False
        self.refuses = ""
        self.asked = 0

    def embed(self, texts: Sequence[str]) -> NDArray[np.int8]:
        """See `Embedder`."""
        if self.down:
            raise EmbedderUnavailable("down")
        if self.refuses and any(self.refuses in text for text in texts):
            raise EmbedderRefused("refused", because_of_texts=True)
        self.asked += len(texts)
        made = [hashed(text, self.dimension) for text in texts]
        return quantised(np.array(made, np.float32).reshape(len(texts), self.dimension))

    def close(self) -> None:
        """See `Embedder`."""


def opening(*models: Embedder) -> Callable[[str], Embedder]:
    """Give what opens these models by their names."""
    return {model.name: model for model in models}.__getitem__


@contextmanager
def opened(path: Path, model: Embedder, *others: Embedder) -> Iterator[SqliteStore]:
    """Open a store whose index is by a model if it is new, and that knows others too."""
    store = open_store(str(path), embedder=model.name, open_embedder=opening(model, *others))
    with closing(store):
        yield store


@contextmanager
def reading(store: SqliteStore) -> Iterator[Session]:
    """A connection that reads, in no transaction."""
    with closing(Session(store.file.open_reader())) as session:
        yield session


class Tenant:
    """A project of a store, and calls of the engine with it."""

    def __init__(self, store: SqliteStore, name: str = "one") -> None:
        self.store = store
        self.id = projects.create(store, name).id

    def through(self, store: SqliteStore) -> "Tenant":
        """The same project, through another store on the file."""
        same = copy(self)
        same.store = store
        return same

    def call(self, operation: str, **fields: Any) -> Any:
        """Run an operation as the server would; fields by their wire names."""
        request = msgspec.json.decode(msgspec.json.encode(fields), type=REQUESTS[operation])
        task = HANDLERS[operation](Caller(project_id=self.id, request_id="r"), request)
        run = self.store.read if operation.startswith("search") else self.store.write
        return run(task.scope, task.work)

    def say(self, dialogue: str, text: str, **more: Any) -> None:
        """Append a message."""
        fields = {"dialogueId": dialogue, "role": "user", "content": text}
        self.call("messages.create", **fields | more)

    def found(self, query: str, kind: str = "message", **more: Any) -> list[dict[str, Any]]:
        """Search; give each result's resource, with the parts of its relevance beside it."""
        answer = self.call("search.find", query=query, object=kind, explain=True, **more)
        results = msgspec.json.decode(msgspec.json.encode(answer.results))
        return [one["item"] | one["explain"] for one in results]


def fresh(store: SqliteStore, *models: Embedder) -> SearchIndex:
    """An index that has read nothing yet."""
    return SearchIndex(opening(*models), models[0].name)


def checked(store: SqliteStore, *models: Embedder) -> Report:
    """Compare rows and index as `dialoguedb verify` does."""
    return verify(store, fresh(store, *models), done=lambda count: None)


def held(store: SqliteStore, index: SearchIndex, project_id: str) -> dict[Key, Entry]:
    """What an index holds of a project; words and facets in an order of their own."""
    snapshot = store.snapshot()
    try:
        shelf, _ = index.shelf(snapshot.session, project_id)
    finally:
        snapshot.close()
    if shelf is None:
        return {}
    found = {}
    for space_id in shelf.spaces:
        for entry in shelf.entries(space_id):
            counted = sorted(zip(entry.terms, entry.counts, strict=True))
            entry.terms = [term for term, _ in counted]
            entry.counts = bytes(count for _, count in counted)
            entry.facets = sorted(entry.facets)
            found[entry.key(space_id)] = entry
    return found


NAMESPACES = ["", "Ada"]
WORDS = ["wheel", "bent", "front", "rear", "spoke", "brake", "paint", "rust", "bell", "chain"]


class World:
    """A project to which anything can happen; what fails for it is passed over."""

    def __init__(self, store: SqliteStore) -> None:
        self.tenant = Tenant(store)
        self.count = 0

    def act(self, kind: int, chance: random.Random) -> None:
        """Let one thing happen."""
        self.count += 1
        namespace = chance.choice(NAMESPACES)
        there = {"namespace": namespace} if namespace else {}
        text = " ".join(chance.choices(WORDS, k=chance.randint(0, 6)))
        tags = chance.sample(["a", "b", "c"], k=chance.randint(0, 2))
        # Ids are unique in a project, so each namespace has its own.
        name = f"{namespace}{chance.randint(1, 3)}"
        say = {"dialogueId": name, "role": "user", "content": text, "name": "Ada Lovelace"}
        message = {"dialogueId": name, "id": f"{namespace}m{chance.randint(0, self.count)}"}
        steps: list[tuple[str, dict[str, Any]]] = [
            ("dialogues.create", {"id": name, "label": text, "tags": tags}),
            ("messages.create", say | {"id": f"{namespace}m{self.count}", "tags": tags}),
            ("messages.create", say | {"created": f"2025-01-{chance.randint(1, 28):02}"}),
            ("messages.update", message | {"tags": tags}),
            ("messages.delete", message),
            ("dialogues.update", {"id": name, "label": text}),
            ("dialogues.update", {"id": name, "tags": tags}),
            ("dialogues.delete", {"id": name}),
            ("memories.create", {"id": f"k{name}", "value": text, "metadata": {"n": 1}}),
            ("memories.update", {"id": f"k{name}", "tags": tags}),
            ("memories.delete", {"id": f"k{name}"}),
        ]
        operation, fields = steps[kind % len(steps)]
        with suppress(DialogueDBError):
            self.tenant.call(operation, **fields, **there)


KINDS = 11


def settled(store: SqliteStore, tenant: Tenant, model: Hashing) -> None:
    """Memory, and the disk when it is read again, hold what the rows say, with right vectors."""
    report = checked(store, model)
    assert report.equal, report
    now = held(store, store.index, tenant.id)
    again = held(store, fresh(store, model), tenant.id)
    assert now == again
    with reading(store) as session:
        rows = session.all("SELECT id, project_id, namespace FROM spaces", {})
    scopes = {space_id: Scope(project_id, name) for space_id, project_id, name in rows}
    for key, entry in again.items():
        if entry.state == PRESENT:
            note = store.read(
                scopes[key.space_id], lambda tx, k=key, e=entry: note_of(tx, k, e.created)
            )
            assert note is not None
            assert entry.vectors == model.embed(pieces_of(note)).tobytes()


def counts(path: Path) -> dict[str, int]:
    """How many rows the log and the blocks have, read with SQLite alone."""
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        return {
            table: connection.execute(f"SELECT COUNT(*) FROM {table}").fetchall()[0][0]
            for table in ("changes", "index_blocks")
        }


def pack_all(store: SqliteStore) -> None:
    with reading(store) as session:
        while pack(store, session):
            pass


def answers(dimension: int = 32, delay_s: float = 0.0) -> Callable[[dict[str, Any]], Any]:
    """Make an endpoint answer as `Hashing` does, after a while."""

    def respond(request: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        threading.Event().wait(delay_s)
        data = [
            {"object": "embedding", "index": place, "embedding": hashed(text, dimension)}
            for place, text in enumerate(request["input"])
        ]
        return 200, {}, {"object": "list", "data": data, "model": request["model"]}

    return respond
