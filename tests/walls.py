"""Two projects that use the same ids, and statements whose condition on the space is gone."""

import re
from typing import Any, NamedTuple

import msgspec

from dialoguedb.engine import Caller, handlers, projects
from dialoguedb.models.dialogues import CreateDialogue
from dialoguedb.models.memories import CreateMemory
from dialoguedb.models.messages import CreateMessage
from dialoguedb.models.summaries import CreateSummary
from dialoguedb.store import jobs, summaries
from dialoguedb.store.protocol import Scope, Store, WriteTx
from dialoguedb.store.summaries import Counts, Outcome

#: Anything that a statement may ask for besides the space.
PARAMS: dict[str, Any] = {
    "id": "shared", "dialogue_id": "shared", "thread_of": "shared", "key": "k", "since": 0,
    "start": -(10**15), "stop": 10**15, "limit": 100, "now": 1, "count": 1, "newest": 0,
    "stamped": 1, "label": "x", "tags": "[]", "ended": None, "archived": None, "change": 1,
    "most": 10, "kind": 0, "owner": "shared", "sequence": 1, "generation": 1, "slot": 0,
    "last_sequence": 1, "last_server_time": 1, "number": 10**6, "value": '""',
    "kinds": [0], "owners": ["shared"], "sequences": [1], "template": "", "status": "",
    "based_on": None, "from_created": None, "to_created": None, "provider": None, "model": None,
    "error": None, "counts": None, "content": None,
}  # fmt: skip
_CREATED = "2026-02-03T04:05:06.007Z"
_CONDITION = re.compile(r"\b[\w.]+ = :space\b")


def without_conditions(sql: str) -> str:
    """Take the space out of every condition of a statement."""
    head, word, tail = sql.partition("RETURNING")
    return _CONDITION.sub("0 < :space", head) + word + tail


class World(NamedTuple):
    """The ids of the two projects, and when a message of both was made, in milliseconds.

    `job`: of a summary of both that is processing.
    """

    one: str
    two: str
    created: int
    job: str


def fill(store: Store) -> World:
    """Store the same in two projects."""
    made = handlers()
    found = []
    for name in ("one", "two"):
        project = projects.create(store, name).id
        caller = Caller(project_id=project, request_id="r", idempotency_key="k")
        hello = msgspec.Raw(b'"hello"')
        plain = msgspec.structs.replace(caller, idempotency_key=None)
        for task in (
            made["dialogues.create"](
                caller, CreateDialogue(id="shared", state=msgspec.Raw(b'{"a":1}'))
            ),
            made["dialogues.create"](plain, CreateDialogue(id="thread", thread_of="shared")),
            made["messages.create"](
                plain,
                CreateMessage(
                    dialogue_id="shared", role="user", content=hello, id="shared", created=_CREATED
                ),
            ),
            made["memories.create"](plain, CreateMemory(value=hello, id="shared")),
            made["summaries.create"](plain, CreateSummary(dialogue_id="shared", id="shared")),
        ):
            store.write(task.scope, task.work)
        job = store.write(Scope(project, ""), _summarised)
        task = made["summaries.create"](plain, CreateSummary(dialogue_id="shared", id="open"))
        store.write(task.scope, task.work)
        store.write(
            Scope(project, ""),
            lambda tx: tx.run("tombstones_put", id="shared", last_sequence=1, last_server_time=1),
        )
        found.append(project)
    row = store.read(Scope(found[0], ""), lambda tx: tx.one("messages_get", id="shared"))
    assert row is not None
    return World(found[0], found[1], row[2], job)


def _summarised(tx: WriteTx) -> str:
    """Complete the summary that is there; give what its job was called."""
    row = summaries.get(tx, "shared")
    assert row is not None
    assert row.job is not None
    summaries.finish(tx, "shared", Outcome("completed", content="hello", counts=Counts()))
    jobs.drop(tx, summaries.JOB, f"{tx.space_id}.{row.job}")
    return row.job


#: What of the index of PostgreSQL is there in each space: what waits, and what is left of nothing.
OF_THE_INDEX = """
INSERT INTO dialoguedb.waiting (space_id, generation, kind, owner, sequence, created)
SELECT s.id, 1, 0, 'shared', 1, 0 FROM dialoguedb.spaces AS s;
INSERT INTO dialoguedb.entries (space_id, kind, owner, sequence, created, modified, image, length,
    counts, tokens, facets)
SELECT s.id, k, 'left', 1, 0, 0, false, 0, '', '{}', '{}'
FROM dialoguedb.spaces AS s, generate_series(0, 2) AS k;
INSERT INTO dialoguedb.vectors (space_id, generation, kind, owner, sequence, piece, vector)
SELECT s.id, 1, 0, 'left alone', 1, 0, (SELECT v.vector FROM dialoguedb.vectors AS v LIMIT 1)
FROM dialoguedb.spaces AS s
"""


def params_of(name: str, sql: str, world: World) -> dict[str, Any]:
    """Values for a statement's parameters, such that it finds what `fill` has stored."""
    special: dict[str, Any] = {"created": world.created, "job": world.job}
    if name in ("summaries_begin", "summaries_finish"):
        special["id"] = "open"
    if "_forget" in name:
        special["since"] = 2**62
    if name == "copy_replies":
        special["key"] = ""
    if name.endswith(("_walk", "_some")) or name.startswith(("index_", "copy_", "transfer_")):
        special |= {"at": -(10**15), "after": -1, "last": ""}
    if name.endswith("_walk"):
        special |= {"id": "", "dialogue_id": "", "created": 0, "sequence": 0}
    if "_asc" in name or "_desc" in name:
        forward = name.endswith("asc")
        special |= {"at": -(10**15) if forward else 10**15, "after": -1 if forward else 2**62}
        special["last"] = "" if forward else "~"
    wanted = re.findall(r"(?<!:):([a-z_]\w*)", sql)
    known = PARAMS | special
    return {key: known[key] for key in wanted if key != "space"}
