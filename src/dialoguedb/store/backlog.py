"""What the search index on PostgreSQL has still to do: it is done by background jobs.

The jobs are those of a space and of an index; their key is both numbers, `17.1`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from dialoguedb.store import jobs
from dialoguedb.store.protocol import ReadTx, WriteTx

#: Texts of a project beyond which its vectors are searched by the graph.
LARGE = 20_000
#: Spaces that are found at once.
_SPACES = 1_000
#: What else a job has.
_AT_ONCE: dict[str, Any] = {"payload": "{}", "delay_ms": 0}


class Found(NamedTuple):
    """A job that nobody has asked for."""

    kind: str
    key: str
    project_id: str
    space_id: int


def key_of(space_id: int, generation: int) -> str:
    """Give the key of the jobs of a space and an index."""
    return f"{space_id}.{generation}"


def generation_of(key: str) -> int:
    """Give the number of the index that a job is about."""
    return int(key.partition(".")[2])


class _Session(Protocol):
    def queue(self, statement: str, params: Mapping[str, Any]) -> None: ...


def expect(session: _Session, project_id: str, space_id: int, generation: int) -> None:
    """Have the texts embedded that this transaction makes wait.

    Args:
        session: with the transaction; the statements travel with its next one.
        project_id: whose space it is.
        space_id: the space.
        generation: the index.
    """
    key = key_of(space_id, generation)
    session.queue("jobs_feed", {"name": key})
    found = Found("embed", key, project_id, space_id)
    session.queue("jobs_add", found._asdict() | _AT_ONCE)


def is_used(tx: ReadTx, generation: int) -> bool:
    """Tell whether an index is the one in use."""
    row = tx.one("index_active")
    return row is not None and row[0] == generation


def none_waits(tx: WriteTx, key: str) -> bool:
    """Tell whether no text of the space waits, and none will without a new job.

    Args:
        tx: of `jobs.on_newest`, bound to the space; whoever has made a text wait before is waited
            for, and who comes later waits until this transaction has ended.
        key: the job's.
    """
    tx.all("jobs_close", name=key)
    generation = generation_of(key)
    waits = tx.all("waiting_some", generation=generation, limit=1)
    return not waits or not is_used(tx, generation)


def grow(tx: WriteTx, generation: int, most: int) -> int:
    """Have up to `most` vectors of the space enter the graph; give how many that were."""
    return len(tx.all("vectors_grow", generation=generation, most=most))


def look(tx: ReadTx) -> list[Found]:
    """Find what there is to do for the index in use: some of it, if it is much."""
    index = tx.one("index_active")
    if index is None:
        return []
    generation = int(index[0])
    found = [
        ("embed", row[0]) for row in tx.all("index_behind", generation=generation, most=_SPACES)
    ]
    for (project_id,) in tx.all("index_large", least=LARGE):
        rows = tx.all("index_beside", generation=generation, project_id=project_id, most=_SPACES)
        found += [("grow", row[0]) for row in rows]
    made = []
    for kind, space_id in found:
        scope = jobs.scope_of(tx, space_id)
        if scope is not None:
            key = key_of(space_id, generation)
            made.append(Found(kind, key, scope.project_id, space_id))
    return made


def add(tx: WriteTx, found: list[Found]) -> None:
    """Have done what was found; what is being done already is left alone."""
    for one in found:
        tx.all("jobs_add", **one._asdict(), **_AT_ONCE)
