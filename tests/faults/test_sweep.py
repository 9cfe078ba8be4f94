"""Fault sweep: the n-th statement, interruption, write or sync fails, for n = 1, 2, … until a run
passes untouched, with several works in one group. After each: what was answered is stored once,
what was refused is not, counters agree, the file is sound — also as a crash would leave it."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec
import pytest

from dialoguedb.engine import Caller, handlers, projects
from dialoguedb.errors import DialogueDBError
from dialoguedb.models.dialogues import CreateDialogue
from dialoguedb.models.messages import CreateMessage, CreateMessages, NewMessage
from dialoguedb.runtime import Runtime
from dialoguedb.store.protocol import Job, Outcome, Scope
from dialoguedb.store.sqlite.files import SqliteFile
from dialoguedb.store.sqlite.store import SqliteStore
from faults.injection import Plan, failing_disk

HANDLERS = handlers()
SPACE = "space"
#: Far more than a run has; a sweep that gets here does not end by itself.
MOST = 2_000


def message(message_id: str) -> NewMessage:
    return NewMessage(role="user", content=msgspec.Raw(b'"hello"'), id=message_id)


class Bench(NamedTuple):
    """A store with one dialogue, and a caller for it."""

    store: SqliteStore
    caller: Caller

    def tasks(self) -> dict[str, Any]:
        """The works of one group, by name: what they store, all or nothing."""
        key = Caller(project_id=self.caller.project_id, request_id="r", idempotency_key="k-1")
        single = CreateMessage(
            dialogue_id="d", namespace=SPACE, role="user", content=msgspec.Raw(b'"one"'), id="m-1"
        )
        batch = CreateMessages(
            dialogue_id="d", namespace=SPACE, messages=[message("m-2"), message("m-3")]
        )
        new = CreateDialogue(id="d-2", namespace="other", messages=[message("m-4")])
        lost = CreateMessage(
            dialogue_id="nowhere", namespace=SPACE, role="user", content=msgspec.Raw(b'"x"')
        )
        keyed = CreateMessage(
            dialogue_id="d", namespace=SPACE, role="user", content=msgspec.Raw(b'"five"'), id="m-5"
        )
        return {
            "single": HANDLERS["messages.create"](self.caller, single),
            "lost": HANDLERS["messages.create"](self.caller, lost),
            "batch": HANDLERS["messages.create_batch"](self.caller, batch),
            "new": HANDLERS["dialogues.create"](self.caller, new),
            "keyed": HANDLERS["messages.create"](key, keyed),
        }


STORED = {"single": ["m-1"], "batch": ["m-2", "m-3"], "new": ["m-4"], "keyed": ["m-5"]}


@contextmanager
def bench(path: Path) -> Iterator[Bench]:
    """Open a fresh store with a dialogue in it."""
    store = SqliteStore(SqliteFile(path), Runtime())
    try:
        project, _ = projects.ensure_default(store)
        caller = Caller(project_id=project.id, request_id="r")
        task = HANDLERS["dialogues.create"](caller, CreateDialogue(id="d", namespace=SPACE))
        store.write(task.scope, task.work)
        yield Bench(store, caller)
    finally:
        store.close()


def run_as_group(bench: Bench, plan: Plan, n: int, *, lasting: bool) -> dict[str, Outcome]:
    """Submit the works while the writer is held, so that one group takes them all."""
    held, go, done = threading.Event(), threading.Event(), threading.Event()
    outcomes: dict[str, Outcome] = {}
    tasks = bench.tasks()

    def hold(tx: Any) -> None:
        held.set()
        go.wait(10)

    def tell(told: Any) -> None:
        for outcome in told:
            outcomes[outcome.token] = outcome
        if len(outcomes) == len(tasks):
            done.set()

    bench.store.submit([Job(None, hold, "hold", lambda told: plan.arm(n, lasting=lasting))])
    assert held.wait(10)
    bench.store.submit([Job(task.scope, task.work, name, tell) for name, task in tasks.items()])
    go.set()
    assert done.wait(30), "an outcome was never told"
    return outcomes


def found_in(path: Path) -> dict[str, list[Any]]:
    """Read a file with SQLite alone: message ids in order, counters and the state of the file."""
    with ExitStack() as stack:
        connection = apsw.Connection(str(path))
        stack.callback(connection.close)
        rows = connection.execute(
            "SELECT dialogue_id, id, sequence FROM messages ORDER BY dialogue_id, sequence"
        ).fetchall()
        counters = connection.execute(
            "SELECT id, total_messages, last_sequence FROM dialogues ORDER BY id"
        ).fetchall()
        claims = connection.execute("SELECT id FROM claims WHERE kind = 'message'").fetchall()
        replies = connection.execute("SELECT key FROM replies").fetchall()
        sound = connection.execute("PRAGMA integrity_check").fetchall()
    return {
        "rows": rows,
        "counters": counters,
        "claims": claims,
        "replies": replies,
        "sound": sound,
    }


def check(outcomes: dict[str, Outcome], found: dict[str, list[Any]]) -> None:
    """Hold what is stored against what was answered."""
    ids = [row[1] for row in found["rows"]]
    for name, wanted in STORED.items():
        times = [ids.count(one) for one in wanted]
        expected = 1 if outcomes[name].error is None else 0
        assert times == [expected] * len(wanted), (name, outcomes[name].error, ids)
    assert isinstance(outcomes["lost"].error, DialogueDBError)
    assert sorted(row[0] for row in found["claims"]) == sorted(ids)
    assert found["replies"] == ([("k-1",)] if outcomes["keyed"].error is None else [])
    for dialogue, total, last in found["counters"]:
        own = [row for row in found["rows"] if row[0] == dialogue]
        assert total == len(own)
        assert [row[2] for row in own] == list(range(1, last + 1))
    assert found["sound"] == [("ok",)]


def sweep(tmp_path: Path, fault: Any, *, lasting: bool) -> int:
    """Run with the first fault, the second, … until a run passes untouched; give how many."""
    for n in range(1, MOST):
        folder = tmp_path / str(n)
        folder.mkdir()
        plan = Plan()
        with ExitStack() as stack:
            stack.enter_context(fault.around(plan))
            table = stack.enter_context(bench(folder / "chat.db"))
            fault.inside(table.store, plan)
            outcomes = run_as_group(table, plan, n, lasting=lasting)
            struck = plan.struck
            plan.disarm()
            # As a crash at this moment would leave it: the files as they are, nobody closed them.
            (folder / "crashed").mkdir()
            for file in folder.glob("chat.db*"):
                if not file.name.endswith("-shm"):
                    shutil.copy(file, folder / "crashed" / file.name)
        check(outcomes, found_in(folder / "crashed" / "chat.db"))
        check(outcomes, found_in(folder / "chat.db"))
        shutil.rmtree(folder)
        if not struck:
            assert all(outcomes[name].error is None for name in STORED)
            return n - 1
    raise AssertionError("the sweep did not end")


class Statements:
    """The n-th statement of the writer fails: begin, savepoint, insert, release, commit."""

    @contextmanager
    def around(self, plan: Plan) -> Iterator[None]:
        yield

    def inside(self, store: SqliteStore, plan: Plan) -> None:
        def trace(cursor: apsw.Cursor, sql: str, bindings: Any) -> bool:
            if plan.due():
                raise apsw.IOError("injected statement")
            return True

        store._session.connection.exec_trace = trace


class Interruptions:
    """The n-th step inside SQLite is interrupted: it undoes the whole transaction by itself."""

    @contextmanager
    def around(self, plan: Plan) -> Iterator[None]:
        yield

    def inside(self, store: SqliteStore, plan: Plan) -> None:
        store._session.connection.set_progress_handler(plan.due, 20)


class Disk:
    """The n-th write or sync of the disk fails."""

    def __init__(self, error: type[apsw.Error]) -> None:
        self._error = error

    def around(self, plan: Plan) -> Any:
        return failing_disk(plan, self._error)

    def inside(self, store: SqliteStore, plan: Plan) -> None:
        return


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
@pytest.mark.parametrize(
    ("fault", "least"),
    [
        (Statements(), 20),
        (Interruptions(), 5),
        (Disk(apsw.IOError), 3),
        (Disk(apsw.FullError), 3),
    ],
    ids=["statement", "interruption", "io-error", "disk-full"],
)
def test_a_refused_work_is_not_stored_and_an_answered_one_is(
    tmp_path: Path, fault: Any, least: int, lasting: bool
) -> None:
    """Design 4 and 7: an answered error is never found stored, an answered write always."""
    assert sweep(tmp_path, fault, lasting=lasting) >= least


def test_a_full_disk_is_told_and_heals(tmp_path: Path) -> None:
    """A disk that is full answers 503 to the writer; reads go on, and writes when it has room."""
    plan = Plan()
    with failing_disk(plan, apsw.FullError), bench(tmp_path / "chat.db") as table:
        task = table.tasks()["single"]
        plan.arm(1, lasting=True)
        with pytest.raises(DialogueDBError) as refused:
            table.store.write(task.scope, task.work)
        assert (refused.value.code, refused.value.status) == ("SERVICE_UNAVAILABLE", 503)
        assert "full" in refused.value.message
        scope = Scope(table.caller.project_id, SPACE)
        assert table.store.read(scope, lambda tx: tx.one("messages_get", id="m-1")) is None
        plan.disarm()
        assert table.store.write(task.scope, task.work).id == "m-1"
