"""Projects on real stores that change at random, and searches of them, for the tests of search."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import msgspec

import canary
from dialoguedb.engine import Caller, handlers, projects
from dialoguedb.errors import DialogueDBError
from dialoguedb.models import dialogues, memories, messages
from dialoguedb.models.search import Search
from dialoguedb.models.times import parse_instant, text_of
from dialoguedb.runtime import Runtime
from dialoguedb.store.opening import open_store
from dialoguedb.store.protocol import Store
from dialoguedb.store.sqlite import packing
from dialoguedb.store.sqlite.session import Session
from dialoguedb.store.sqlite.store import SqliteStore
from harness import Database
from property.search_oracle import NAMES, VOCABULARY, Doc, ToyEmbedder, project_of

HANDLERS = handlers()
NAMESPACES = ["", "north", "south"]
DIALOGUES = ["d1", "d2", "d3", "d4"]
TAGS = ["red", "blue", "new"]
VALUES: list[Any] = [1, 1.0, 2, "1", "x", True, False, -3.5, ["x", "y"], [], "south", 10**20]
IMAGE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
}
START_MS = parse_instant("2026-01-01T00:00:00Z")


class Clock:
    """A clock that the tests let run."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


class World:
    """A database, two stores on it as two processes have them, and the clock of both."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.clock = Clock()
        self.stores = [self.open(), self.open()]
        self.projects = 0
        canary.plant(self.stores[0])

    def open(self) -> Store:
        return open_store(
            str(self.db),
            runtime=Runtime(clock=self.clock),
            embedder="toy:8",
            open_embedder=lambda _: ToyEmbedder(),
        )

    def new_project(self) -> Caller:
        self.projects += 1
        made = projects.create(self.stores[0], f"project {self.projects}")
        return Caller(project_id=made.id, request_id="r")

    def close(self) -> None:
        for store in self.stores:
            store.close()


def run(store: Store, caller: Caller, name: str, request: Any) -> Any:
    task = HANDLERS[name](caller, request)
    reads = name.endswith((".list", ".find"))
    return (store.read if reads else store.write)(task.scope, task.work)


def asked(body: Mapping[str, Any]) -> Search:
    return msgspec.json.decode(json.dumps(body), type=Search)


# ── random projects ──────────────────────────────────────────────────────────────────────────


class Life:
    """Random changes of a project, each through one of the stores."""

    def __init__(self, world: World, caller: Caller, chance: Random) -> None:
        self.world, self.caller, self.chance = world, caller, chance

    def send(self, name: str, kind: type, body: Mapping[str, Any]) -> None:
        """Ask for a change; what cannot be done is refused and changes nothing."""
        request = msgspec.json.decode(json.dumps(body), type=kind)
        with contextlib.suppress(DialogueDBError):
            run(self.chance.choice(self.world.stores), self.caller, name, request)

    def live(self, steps: int) -> None:
        for _ in range(steps):
            self.world.clock.now_ms += self.chance.choice([0, 1, 1000, 86_400_000])
            getattr(self, self.chance.choice(self.WAYS))()

    WAYS = (
        *["create"] * 3,
        *["append"] * 5,
        *["remember"] * 2,
        *["tag_message", "tag_memory", "update_dialogue", "update_dialogue"],
        *["delete_message", "delete_dialogue", "delete_memory", "pack"],
    )

    def text(self) -> str:
        size = self.chance.choice([0, 1, 2, 3, 5, 8, 250])
        return " ".join(self.chance.choices(VOCABULARY[:8], k=size))

    def common(self) -> dict[str, Any]:
        chance = self.chance
        keys = chance.sample(["k", "l", "namespace"], chance.randint(0, 2))
        found: dict[str, Any] = {"tags": chance.sample(TAGS, chance.randint(0, 2))}
        return found | {"metadata": {key: chance.choice(VALUES) for key in keys}}

    def message(self) -> dict[str, Any]:
        chance = self.chance
        content: Any = self.text()
        if chance.random() < 0.3:
            content = [{"type": "text", "text": content or "tulip"}, IMAGE]
        made = self.common() | {"role": "user", "content": content}
        if chance.random() < 0.4:
            made["name"] = chance.choice(NAMES)
        if chance.random() < 0.4:
            made["created"] = text_of(START_MS + chance.randrange(5) * 1000)
        return made

    def named(self) -> dict[str, Any]:
        return {"namespace": self.chance.choice(NAMESPACES), "id": self.chance.choice(DIALOGUES)}

    def create(self) -> None:
        body = self.named() | self.common() | {"label": self.text()[:100]}
        if self.chance.random() < 0.4:
            body["threadOf"] = self.chance.choice(DIALOGUES)
        body["messages"] = [self.message() for _ in range(self.chance.choice([0, 1, 3, 25]))]
        self.send("dialogues.create", dialogues.CreateDialogue, body)

    def append(self) -> None:
        where = self.named()
        body = {"dialogueId": where["id"], "namespace": where["namespace"]}
        body["messages"] = [self.message() for _ in range(self.chance.randint(1, 5))]
        self.send("messages.create_batch", messages.CreateMessages, body)

    def remember(self) -> None:
        chance, body = self.chance, self.named() | self.common()
        body["value"] = chance.choice(
            [self.text(), {"copper": self.text()}, 7, [self.text(), True]]
        )
        body |= {
            name: self.text()[:100] for name in ("label", "description") if chance.random() < 0.4
        }
        self.send("memories.create", memories.CreateMemory, body)

    def a_message(self) -> dict[str, Any] | None:
        docs = [doc for doc in dump(self.world.stores[0], self.caller) if doc.object == "message"]
        if not docs:
            return None
        doc = self.chance.choice(docs)
        return {"id": doc.item["id"], "namespace": doc.namespace}

    def tag_message(self) -> None:
        if named := self.a_message():
            body = named | {"tags": self.chance.sample(TAGS, self.chance.randint(0, 2))}
            self.send("messages.update", messages.UpdateMessage, body)

    def tag_memory(self) -> None:
        body = self.named() | {"tags": self.chance.sample(TAGS, self.chance.randint(0, 2))}
        self.send("memories.update", memories.UpdateMemory, body)

    def update_dialogue(self) -> None:
        body = self.named() | {"tags": self.chance.sample(TAGS, self.chance.randint(0, 2))}
        if self.chance.random() < 0.5:
            body["label"] = self.text()[:100]
        self.send("dialogues.update", dialogues.UpdateDialogue, body)

    def delete_message(self) -> None:
        if named := self.a_message():
            self.send("messages.delete", messages.NameMessage, named)

    def delete_dialogue(self) -> None:
        body = self.named() | {"cascade": self.chance.random() < 0.3}
        self.send("dialogues.delete", dialogues.DeleteDialogue, body)

    def delete_memory(self) -> None:
        self.send("memories.delete", memories.NameMemory, self.named())

    def pack(self) -> None:
        """Pack the change log into blocks, as it happens when nobody writes."""
        store = self.world.stores[0]
        if not isinstance(store, SqliteStore):
            return
        with contextlib.closing(Session(store.file.open_reader())) as session:
            while packing.pack(store, session):
                pass


def dump(store: Store, caller: Caller) -> list[Doc]:
    """Read a project through its lists."""

    def listed(name: str, request: Any) -> list[dict[str, Any]]:
        try:
            page = run(store, caller, name, request)
        except DialogueDBError:
            return []
        assert page.next is None
        found: list[dict[str, Any]] = json.loads(msgspec.json.encode(page.items))
        return found

    many = {"limit": 1000, "order": "asc"}
    return project_of(
        {
            n: listed("dialogues.list", dialogues.ListDialogues(namespace=n, **many))
            for n in NAMESPACES
        },
        {
            n: [
                listed("messages.list", messages.ListMessages(namespace=n, dialogue_id=d, **many))
                for d in DIALOGUES
            ]
            for n in NAMESPACES
        },
        {
            n: listed("memories.list", memories.ListMemories(namespace=n, **many))
            for n in NAMESPACES
        },
    )


# ── random requests ──────────────────────────────────────────────────────────────────────────


def request_of(chance: Random, docs: Sequence[Doc]) -> dict[str, Any]:
    words = chance.choices([*VOCABULARY, *NAMES, "?"], k=chance.choice([1, 2, 3, 5]))
    made: dict[str, Any] = {
        "query": " ".join(words),
        "object": chance.choice(["message", "message", "dialogue", "dialogue", "memory"]),
        "limit": chance.choice([1, 3, 10, 100]),
        "explain": True,
    }
    if chance.random() < 0.5:
        made["namespace"] = chance.choice([*NAMESPACES, "never"])
    if chance.random() < 0.25:
        made["dialogueId"] = chance.choice([*DIALOGUES, "never"])
    if chance.random() < 0.2:
        made["threadOf"] = chance.choice([*DIALOGUES, "never"])
    if chance.random() < 0.3:
        made["tags"] = tags_of(chance)
    if chance.random() < 0.4:
        keys = chance.sample(["k", "l", "namespace", "never"], chance.randint(1, 2))
        made["metadata"] = {key: condition_of(chance) for key in keys}
    wanted = filter_of(chance, docs)
    return made | ({"filter": wanted} if wanted else {})


def tags_of(chance: Random) -> Any:
    some = chance.sample([*TAGS, "never"], chance.randint(1, 2))
    if chance.random() < 0.4:
        return some
    names = chance.sample(["$in", "$all", "$nin"], chance.randint(1, 2))
    return {name: chance.sample([*TAGS, "never"], chance.randint(1, 2)) for name in names}


def condition_of(chance: Random) -> Any:
    scalars = [value for value in VALUES if not isinstance(value, list)]
    scalars += ["north", "a", 1.5]
    one = chance.choice(scalars)
    like = [value for value in scalars if type(value) is type(one)]
    some = chance.sample(like, min(len(like), 2))
    ordered = chance.choice([value for value in scalars if not isinstance(value, bool)])
    return chance.choice(
        [
            one, some, {"$eq": one}, {"$ne": one}, {"$in": some}, {"$nin": some},
            {chance.choice(["$gt", "$gte", "$lt", "$lte"]): ordered},
            {"$gte": ordered, "$ne": one},
        ]
    )  # fmt: skip


def filter_of(chance: Random, docs: Sequence[Doc]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if chance.random() < 0.3:
        made["hasImage"] = chance.random() < 0.6
    if chance.random() < 0.15:
        made["tags"] = tags_of(chance)
    for name in ("created", "modified"):
        if docs and chance.random() < 0.3:
            at = parse_instant(chance.choice(docs).item[name]) + chance.choice([-1, 0, 0, 1])
            made[name] = {chance.choice(["gte", "gt", "lte", "lt"]): text_of(at)}
    return made


def answer_of(store: Store, caller: Caller, request: Mapping[str, Any]) -> list[Any]:
    answer = run(store, caller, "search.find", asked(request))
    assert [result.item for result in answer.results] == answer.items
    encoded = msgspec.json.encode(answer.results)
    canary.look(encoded)
    found: list[Any] = json.loads(encoded)
    return found
