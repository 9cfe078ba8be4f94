"""Design 2, the two walls: a statement is bound to its space, and no row of another leaves."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from dialoguedb.engine import Caller, handlers, projects
from dialoguedb.errors import InternalError
from dialoguedb.models.dialogues import CreateDialogue
from dialoguedb.models.memories import CreateMemory
from dialoguedb.models.messages import CreateMessage
from dialoguedb.runtime import Runtime
from dialoguedb.store import ledger, statements
from dialoguedb.store.files import SqliteFile
from dialoguedb.store.protocol import Scope, WallBroken
from dialoguedb.store.sqlite import SqliteStore

ALL = statements.load("sqlite")
#: What the one statement of the index that names resources reads of them.
COUNTS = ["COUNT(*)"] * 3
TABLES = set(re.findall(r"CREATE TABLE (\w+)", "".join(x.sql for x in ledger.migrations("sqlite"))))
SCOPED = sorted(name for name, one in ALL.items() if one.scoped)
#: Anything that a statement may ask for besides the space.
PARAMS: dict[str, Any] = {
    "id": "shared", "dialogue_id": "shared", "thread_of": "shared", "key": "k", "since": 0,
    "start": -(10**15), "stop": 10**15, "limit": 100, "now": 1, "count": 1, "newest": 0,
    "stamped": 1, "label": "x", "tags": "[]", "ended": None, "archived": None, "change": 1,
    "most": 10,
}  # fmt: skip


#: What the statements of the search index may touch: no resource, so nothing that is an answer.
OF_THE_INDEX = {"indexes", "index_blocks", "changes", "spaces"}


def tables(sql: str) -> set[str]:
    """The tables that a statement names, wherever it does."""
    return {word for word in re.findall(r"\w+", sql) if word in TABLES}


def over_user_data(sql: str) -> bool:
    return any(re.search(rf"\b{table}\b", sql) for table in statements.USER_TABLES)


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_statement_over_user_data_binds_the_space_or_erases_a_project(name: str) -> None:
    """Every one that names a table of user data uses `:space`, but `erase_…` and `index_…`."""
    sql = ALL[name].sql
    if name.startswith(statements.ERASING):
        assert "s.project_id = :project_id" in sql or "c.project_id = :project_id" in sql
        assert "RETURNING" not in sql
    elif name.startswith(statements.INDEXING):
        assert not ALL[name].scoped
        assert tables(sql) <= OF_THE_INDEX or re.findall(r"SELECT ([^(]\S*)", sql) == COUNTS
    else:
        assert ALL[name].scoped == over_user_data(sql)
        assert (":space" in sql) == over_user_data(sql)


@pytest.mark.parametrize("name", SCOPED)
def test_a_statement_over_user_data_returns_the_space_of_what_it_reads_or_changes(
    name: str,
) -> None:
    """What it reads or changes can be checked: only a plain insert returns nothing."""
    sql = ALL[name].sql
    if sql.startswith("SELECT"):
        assert re.match(r"SELECT (\w\.)?space_id\b|SELECT CASE WHEN MIN\(m\.space_id\)", sql)
    elif sql.startswith("INSERT"):
        assert re.search(r"VALUES \(:space,", sql)
    else:
        assert "RETURNING space_id" in sql


def test_every_key_and_index_of_user_data_begins_with_the_space(tmp_path: Path) -> None:
    """But the change log's number, which is the order of the whole file."""
    connection = apsw.Connection(str(tmp_path / "schema.db"))
    for step in ledger.migrations("sqlite"):
        connection.execute(step.sql)
    for table in statements.USER_TABLES:
        for _, index, *_ in connection.execute(f"PRAGMA index_list({table})").fetchall():
            columns = connection.execute(f"PRAGMA index_info({index})").fetchall()
            assert columns[0][2] == "space_id", index
        keys = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[5] == 1]
        assert keys == (["number"] if table == "changes" else ["space_id"])
    connection.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """Two projects that use the same ids for all that they store."""
    store = SqliteStore(SqliteFile(tmp_path / "chat.db"), Runtime())
    made = handlers()
    for name in ("one", "two"):
        caller = Caller(
            project_id=projects.create(store, name).id, request_id="r", idempotency_key="k"
        )
        hello = msgspec.Raw(b'"hello"')
        plain = msgspec.structs.replace(caller, idempotency_key=None)
        for task in (
            made["dialogues.create"](
                caller, CreateDialogue(id="shared", state=msgspec.Raw(b'{"a":1}'))
            ),
            made["dialogues.create"](plain, CreateDialogue(id="thread", thread_of="shared")),
            made["messages.create"](
                plain, CreateMessage(dialogue_id="shared", role="user", content=hello, id="shared")
            ),
            made["memories.create"](plain, CreateMemory(value=hello, id="shared")),
        ):
            store.write(task.scope, task.work)
        store.write(
            Scope(caller.project_id, ""),
            lambda tx: tx.run("tombstones_put", id="shared", last_sequence=1, last_server_time=1),
        )
    yield store
    store.close()


@pytest.mark.parametrize("name", [name for name in SCOPED if " = :space" in ALL[name].sql])
def test_without_its_condition_a_statement_raises_an_alarm(
    store: SqliteStore, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second wall: with the space taken out of every condition, foreign rows stay inside."""
    broken = ALL[name]._replace(
        sql=re.sub(r"\b[\w.]+ = :space\b", ":space = :space", ALL[name].sql)
    )
    monkeypatch.setitem(ALL, name, broken)
    second = projects.every(store)[1]
    before = dump(store)

    def work(tx: Any) -> Any:
        params = {key: value for key, value in PARAMS.items() if f":{key}" in broken.sql}
        if name == "replies_forget":
            params["since"] = 2**62
        if name.endswith("_walk"):
            params |= {"id": "", "dialogue_id": "", "created": 0, "sequence": 0}
            params = {key: value for key, value in params.items() if f":{key}" in broken.sql}
        if "_asc" in name or "_desc" in name:
            forward = name.endswith("asc")
            params |= {"at": -(10**15) if forward else 10**15, "after": -1 if forward else 2**62}
            return tx.page(name, texts=(1, 1), **params)
        return tx.all(name, **params)

    with pytest.raises((InternalError, WallBroken)):
        store.write(Scope(second.id, ""), work)
    assert dump(store) == before


def dump(store: SqliteStore) -> list[Any]:
    """All rows of user data, read with SQLite alone."""
    connection = apsw.Connection(str(store.file.path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return [
            connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            for table in sorted(statements.USER_TABLES)
        ]
    finally:
        connection.close()


def test_a_transaction_without_a_space_reaches_no_user_data(store: SqliteStore) -> None:
    """A statement over user data in the catalogue's transaction is refused."""
    with pytest.raises(WallBroken):
        store.read(None, lambda tx: tx.one("messages_get", id="shared"))
