"""Design 2: a space's number enters the cache only after the write that made it is on disk."""

from pathlib import Path

import apsw
import msgspec
import pytest

from dialoguedb.engine import Caller, handlers, projects
from dialoguedb.errors import DialogueDBError
from dialoguedb.models.memories import CreateMemory, ListMemories, NameMemory
from dialoguedb.runtime import Runtime
from dialoguedb.store.protocol import Job, Outcome
from dialoguedb.store.sqlite.files import SqliteFile
from dialoguedb.store.sqlite.store import SqliteStore
from faults.injection import Plan, failing_disk

HANDLERS = handlers()


def submit_together(store: SqliteStore, tasks: list) -> list[Outcome]:
    """Have works run in one group in this thread, and wait for their outcomes."""
    import threading

    told: list[Outcome] = []
    done = threading.Event()

    def tell(outcomes: object) -> None:
        told.extend(outcomes)  # type: ignore[arg-type]
        if len(told) == len(tasks):
            done.set()

    store.submit([Job(task.scope, task.work, n, tell) for n, task in enumerate(tasks)], here=True)
    assert done.wait(30)
    return told


@pytest.mark.parametrize("error", [apsw.FullError, apsw.IOError])
def test_a_space_that_was_rolled_back_is_not_remembered(
    tmp_path: Path, error: type[apsw.Error]
) -> None:
    """Its number goes to the next space, of another project: nobody may still be using it."""
    plan = Plan()
    with failing_disk(plan, error):
        store = SqliteStore(SqliteFile(tmp_path / "chat.db"), Runtime())
        first, second = (
            Caller(project_id=projects.create(store, name).id, request_id="r")
            for name in ("first", "second")
        )
        value = msgspec.Raw(b'"secret"')

        def make(caller: Caller, namespace: str, memory_id: str) -> object:
            request = CreateMemory(value=value, namespace=namespace, id=memory_id)
            return HANDLERS["memories.create"](caller, request)

        plan.arm(1, lasting=True)
        lost = submit_together(store, [make(first, "alice", f"lost-{n}") for n in range(8)])
        assert all(isinstance(outcome.error, DialogueDBError) for outcome in lost)
        plan.disarm()
        kept = make(first, "alice", "kept")
        foreign = make(second, "bob", "foreign")
        for task in (foreign, kept):
            store.write(task.scope, task.work)
        for caller, namespace, ids in ((first, "alice", ["kept"]), (second, "bob", ["foreign"])):
            task = HANDLERS["memories.list"](caller, ListMemories(namespace=namespace))
            page = store.read(task.scope, task.work)
            assert [memory.id for memory in page.items] == ids
        stolen = HANDLERS["memories.delete"](second, NameMemory(id="kept", namespace="bob"))
        with pytest.raises(DialogueDBError):
            store.write(stolen.scope, stolen.work)
        store.close()
