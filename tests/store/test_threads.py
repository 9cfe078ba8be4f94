"""Threads that write by themselves: who is the writer, and who is in whose commit."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dialoguedb.engine import Caller, handlers, projects
from dialoguedb.errors import DialogueDBError, DuplicateId
from dialoguedb.models.dialogues import CreateDialogue, ListDialogues
from dialoguedb.store.opening import open_store
from dialoguedb.store.protocol import Scope
from dialoguedb.store.sqlite.store import MAX_GROUP, SqliteStore

WAIT_S = 20


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(open_store(str(tmp_path / "chat.db"))) as opened:
        yield opened


@pytest.fixture
def act(store: SqliteStore) -> Callable[[str, Any], Any]:
    """Carry out an operation in the calling thread."""
    caller = Caller(project_id=projects.ensure_default(store)[0].id, request_id="r")
    table = handlers()

    def call(name: str, request: Any) -> Any:
        task = table[name](caller, request)
        run = store.read if name.endswith("list") else store.write
        return run(task.scope, task.work)

    return call


class Commits:
    """Counts the commits of a store."""

    def __init__(self, store: SqliteStore) -> None:
        self.count = 0
        self._control = store._session.control
        store._session.control = self  # type: ignore[assignment]

    def __call__(self, sql: str, *given: Any) -> Any:
        self.count += sql == "COMMIT"
        return self._control(sql, *given)


def ids(act: Callable[[str, Any], Any]) -> list[str]:
    page = act("dialogues.list", ListDialogues(limit=1000, order="asc"))
    return [one.id for one in page.items]


class Held:
    """A writer that is held in the middle of its work."""

    def __init__(self, store: SqliteStore, scope: Scope) -> None:
        self.inside, self.go_on = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=store.write, args=(scope, self._work))
        self.thread.start()
        assert self.inside.wait(WAIT_S)

    def _work(self, tx: Any) -> str:
        self.inside.set()
        assert self.go_on.wait(WAIT_S)
        return threading.current_thread().name


def waiting(store: SqliteStore, count: int) -> None:
    """Wait until so many groups wait for their turn."""
    deadline = threading.Event()
    for _ in range(WAIT_S * 100):
        if len(store._waiting) >= count:
            return
        deadline.wait(0.01)
    raise AssertionError(f"{len(store._waiting)} of {count} wait")


def test_a_lone_thread_is_the_writer(store: SqliteStore) -> None:
    project, _ = projects.ensure_default(store)
    name = store.write(Scope(project.id, ""), lambda tx: threading.current_thread().name)
    assert name == threading.current_thread().name


def test_those_who_wait_are_one_commit(store: SqliteStore, act: Callable[[str, Any], Any]) -> None:
    project, _ = projects.ensure_default(store)
    commits = Commits(store)
    held = Held(store, Scope(project.id, ""))
    with ThreadPoolExecutor(MAX_GROUP + 10) as pool:
        made = [
            pool.submit(act, "dialogues.create", CreateDialogue(id=f"d-{n}"))
            for n in range(MAX_GROUP + 10)
        ]
        waiting(store, MAX_GROUP + 10)
        held.go_on.set()
        assert sorted(one.result(WAIT_S).id for one in made) == sorted(ids(act))
    assert commits.count == 3, "the one that was held, a full group, and the rest"


def test_a_mistake_in_a_group_is_its_own(
    store: SqliteStore, act: Callable[[str, Any], Any]
) -> None:
    project, _ = projects.ensure_default(store)
    held = Held(store, Scope(project.id, ""))
    with ThreadPoolExecutor(10) as pool:
        made = [
            pool.submit(act, "dialogues.create", CreateDialogue(id=f"d-{n // 2}"))
            for n in range(10)
        ]
        waiting(store, 10)
        held.go_on.set()
        failed = [one.exception(WAIT_S) for one in made]
    assert sorted(ids(act)) == [f"d-{n}" for n in range(5)]
    assert [type(one) for one in failed].count(DuplicateId) == 5
    assert failed.count(None) == 5


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_thread_gives_the_turn_back(
    store: SqliteStore, act: Callable[[str, Any], Any], kind: type[BaseException]
) -> None:
    project, _ = projects.ensure_default(store)

    def work(tx: Any) -> None:
        raise kind

    with pytest.raises((kind, DialogueDBError)):
        store.write(Scope(project.id, ""), work)
    assert act("dialogues.create", CreateDialogue(id="after")).id == "after"


def test_closing_waits_for_a_thread_that_writes(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "chat.db"))
    project, _ = projects.ensure_default(store)
    held = Held(store, Scope(project.id, "n"))
    closer = threading.Thread(target=store.close)
    closer.start()
    closer.join(0.2)
    assert closer.is_alive(), "somebody writes"
    held.go_on.set()
    closer.join(WAIT_S)
    held.thread.join(WAIT_S)
    assert not closer.is_alive()
    assert not held.thread.is_alive()
    with pytest.raises(DialogueDBError):
        store.write(Scope(project.id, ""), lambda tx: None)
