"""Design 2, the two walls: a statement is bound to its space, and no row of another leaves."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import psycopg
import pytest

import walls
from databases import Cluster
from dialoguedb.errors import DialogueDBError
from dialoguedb.runtime import Runtime
from dialoguedb.search.analyser import terms
from dialoguedb.search.conditions import Conditions
from dialoguedb.search.entries import DIALOGUE, MEMORY, MESSAGE
from dialoguedb.search.periods import Period
from dialoguedb.search.results import Hit
from dialoguedb.store import ledger, statements
from dialoguedb.store.opening import open_store
from dialoguedb.store.postgres import search as postgres_search
from dialoguedb.store.protocol import Query, Reach, Scope, Store, WallBroken, WholeProject
from dialoguedb.store.sqlite.files import SqliteFile
from dialoguedb.store.sqlite.store import SqliteStore

ENGINES = ("sqlite", "postgres")
ALL = {engine: statements.load(engine) for engine in ENGINES}
EVERY = [(engine, name) for engine in ENGINES for name in sorted(ALL[engine])]
SCOPED = [(engine, name) for engine, name in EVERY if ALL[engine][name].scoped]
BOUND = [(engine, name) for engine, name in SCOPED if " = :space" in ALL[engine][name].sql]
#: What the one statement of the index that names resources reads of them.
COUNTS = ["COUNT(*) FROM"] * 3
TABLES = {
    engine: {
        table
        for step in ledger.migrations(engine)
        for table in re.findall(r"CREATE TABLE (\w+)", step.sql)
    }
    for engine in ENGINES
}
USER_TABLES = {engine: statements.USER_TABLES & TABLES[engine] for engine in ENGINES}
#: They name tables of user data and touch no row of them.
ROWLESS = {"copy_hold", "row_security_on"}


#: What the statements of the search index may touch: no resource, so nothing that is an answer.
OF_THE_INDEX = {"indexes", "index_blocks", "changes", "spaces"}


def tables(engine: str, sql: str) -> set[str]:
    """The tables that a statement names, wherever it does."""
    return {word for word in re.findall(r"\w+", sql) if word in TABLES[engine]}


def over_user_data(engine: str, sql: str) -> bool:
    return not tables(engine, sql).isdisjoint(statements.USER_TABLES)


@pytest.mark.parametrize(("engine", "name"), EVERY)
def test_a_statement_over_user_data_binds_the_space_or_erases_a_project(
    engine: str, name: str
) -> None:
    """Every one that names a table of user data uses `:space`, but for erasing and searching."""
    one = ALL[engine][name]
    sql = one.sql
    if name.startswith(statements.ERASING):
        assert "s.project_id = :project_id" in sql or "c.project_id = :project_id" in sql
        assert "RETURNING" not in sql
    elif name.startswith(statements.INDEXING):
        assert not one.scoped
        if engine == "sqlite":
            read = re.findall(r"SELECT ([^(]\S* ?\S*)", sql)
            only = read == COUNTS or read == ["DISTINCT r.space_id"]
            assert tables(engine, sql) <= OF_THE_INDEX or only
        else:
            assert not re.search(r"\b(content|value|label|metadata|state|made|tags)\b", sql)
    elif name.startswith(statements.SEARCHING):
        assert not one.scoped
    elif name not in ROWLESS:
        assert one.scoped == over_user_data(engine, sql)
        assert bool(re.search(r":space\b", sql)) == over_user_data(engine, sql)


@pytest.mark.parametrize(("engine", "name"), SCOPED)
def test_a_statement_over_user_data_returns_the_space_of_what_it_reads_or_changes(
    engine: str, name: str
) -> None:
    """What it reads or changes can be checked: only a plain insert returns nothing."""
    sql = ALL[engine][name].sql
    if sql.startswith("SELECT"):
        of_all = r"SELECT CASE WHEN MIN\(m\.space_id\)"
        assert re.match(rf"SELECT (DISTINCT )?(\w\.)?space_id\b|{of_all}", sql)
    elif "VALUES" in sql:
        assert re.search(r"VALUES \(:space,", sql)
    else:
        assert "RETURNING space_id" in sql


@pytest.mark.parametrize(
    "name", [name for name in sorted(ALL["postgres"]) if name.startswith("search_")]
)
def test_a_search_says_where_it_looked(name: str) -> None:
    """It is bound to the spaces that may be searched, and each row brings its own."""
    sql = ALL["postgres"][name].sql
    if tables("postgres", sql) <= {"spaces"}:
        assert "s.project_id = :project_id" in sql
        return
    assert "= ANY(:spaces)" in sql
    main = sql.rpartition("\nSELECT ")[2] if sql.startswith("WITH") else sql[len("SELECT ") :]
    counts = r"w\.place, (h\.lowest, h\.highest|MIN\(s\.space_id\), MAX\(s\.space_id\))"
    assert re.match(rf"\w\.space_id\b|{counts}", main)


def test_every_key_and_index_of_user_data_begins_with_the_space(tmp_path: Path) -> None:
    """But the change log's number, which is the order of the whole file."""
    connection = apsw.Connection(str(tmp_path / "schema.db"))
    for step in ledger.migrations("sqlite"):
        connection.execute(step.sql)
    for table in USER_TABLES["sqlite"]:
        for _, index, *_ in connection.execute(f"PRAGMA index_list({table})").fetchall():
            columns = connection.execute(f"PRAGMA index_info({index})").fetchall()
            assert columns[0][2] == "space_id", index
        keys = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[5] == 1]
        assert keys == (["number"] if table == "changes" else ["space_id"])
    connection.close()


def test_every_key_and_index_of_user_data_begins_with_the_space_on_postgresql(
    cluster: Cluster,
) -> None:
    """But the words': each token holds its space, or its project. The graph is of one index."""
    found = cluster.run(
        "SELECT t.relname, i.relname, a.attname FROM pg_index AS x "
        "JOIN pg_class AS t ON t.oid = x.indrelid JOIN pg_class AS i ON i.oid = x.indexrelid "
        "LEFT JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = x.indkey[0] "
        "WHERE t.relnamespace = 'dialoguedb'::regnamespace",
        cluster.new_database().rpartition("/")[2],
    )
    other = {
        index
        for table, index, first in found
        if table in statements.USER_TABLES and first != "space_id"
    }
    graphs = {index for index in other if index.startswith("vectors_graph_")}
    assert other - graphs == {"entries_by_token"}


class House(NamedTuple):
    """A store with the same in two projects; `dump` gives all rows, read by the database alone."""

    store: Store
    world: walls.World
    dump: Callable[[], list[Any]]


@pytest.fixture(scope="module")
def sqlite_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    path = tmp_path_factory.mktemp("walls") / "chat.db"
    with closing(SqliteStore(SqliteFile(path), Runtime())) as store:
        world = walls.fill(store)

        def dump() -> list[Any]:
            with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
                return [
                    connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
                    for table in sorted(USER_TABLES["sqlite"])
                ]

        yield House(store, world, dump)


@pytest.fixture(scope="module")
def postgres_house(cluster: Cluster) -> Iterator[House]:
    address = cluster.new_database()
    with closing(open_store(address)) as store, psycopg.connect(address, autocommit=True) as owner:
        world = walls.fill(store)
        owner.execute(walls.OF_THE_INDEX)
        names = sorted(USER_TABLES["postgres"])

        def dump() -> list[Any]:
            query = (
                "SELECT array_agg(t ORDER BY t) FROM (SELECT x::text AS t FROM dialoguedb.{} AS x)"
            )
            return [owner.execute(f"{query} AS y".format(name)).fetchall() for name in names]

        yield House(store, world, dump)


@pytest.fixture
def house(request: pytest.FixtureRequest, engine: str) -> House:
    found: House = request.getfixturevalue(f"{engine}_house")
    return found


class Undo(DialogueDBError):
    """Takes back what a work has done."""


#: Of several rows they give the last, which is the second project's.
OF_THE_LAST = ("summaries_base", "summaries_newest")


def alarm(
    house: House, work: Callable[[Any], Any], project: str | None = None
) -> BaseException | None:
    """Run a work in the second project and take it back; give what it met in the store."""
    met: list[BaseException] = []

    def watched(tx: Any) -> None:
        try:
            work(tx)
        except Exception as error:
            met[:] = [error]
            raise
        raise Undo("nothing has happened")

    with pytest.raises(Exception):  # noqa: B017 - what it is told is not looked at here
        house.store.write(Scope(project or house.world.two, ""), watched)
    return met[0] if met else None


@pytest.mark.parametrize(("engine", "name"), BOUND)
def test_without_its_condition_a_statement_raises_an_alarm(
    house: House, engine: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second wall: with the space taken out of every condition, foreign rows stay inside."""
    broken = ALL[engine][name]._replace(sql=walls.without_conditions(ALL[engine][name].sql))
    monkeypatch.setitem(ALL[engine], name, broken)
    before = house.dump()
    params = walls.params_of(name, broken.sql, house.world)
    if "_asc" in name or "_desc" in name:
        del params["limit"]
        met = alarm(house, lambda tx: tx.page(name, limit=100, texts=(1, 1), **params))
    else:
        project = house.world.one if name in OF_THE_LAST else None
        met = alarm(house, lambda tx: tx.all(name, **params), project)
    assert isinstance(met, WallBroken)
    assert house.dump() == before


#: What is sent ahead without waiting for its rows: the database itself compares them.
AHEAD = [
    name for engine, name in BOUND if "RETURNING" in ALL[engine][name].sql and engine == "postgres"
]


@pytest.mark.parametrize("engine", ["postgres"])
@pytest.mark.parametrize("name", AHEAD)
def test_without_its_condition_a_statement_that_is_sent_ahead_fails(
    house: House, engine: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nobody waits for its rows before the commit."""
    broken = ALL[engine][name]._replace(sql=walls.without_conditions(ALL[engine][name].sql))
    monkeypatch.setitem(ALL[engine], name, broken)
    before = house.dump()
    params = walls.params_of(name, broken.sql, house.world)

    def work(tx: Any) -> None:
        tx._session.queue(name, params | {"space": tx.space_id})
        tx._session.flush()

    assert isinstance(alarm(house, work), psycopg.errors.DivisionByZero)
    assert house.dump() == before


@pytest.mark.parametrize("engine", ENGINES)
def test_the_alarm_is_a_500_and_a_line_in_the_log(
    house: House, engine: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller learns nothing of what was met; who runs the server does."""
    one = ALL[engine]["messages_get"]
    broken = one._replace(sql=walls.without_conditions(one.sql))
    monkeypatch.setitem(ALL[engine], "messages_get", broken)
    with pytest.raises((DialogueDBError, WallBroken)) as caught:
        house.store.read(Scope(house.world.two, ""), lambda tx: tx.one("messages_get", id="shared"))
    told = getattr(caught.value, "message", "")
    assert "hello" not in told
    assert getattr(caught.value, "status", 500) == 500


# ── searches on PostgreSQL ───────────────────────────────────────────────────────────────────

SEARCHES = [
    name
    for name, one in sorted(ALL["postgres"].items())
    if name.startswith("search_") and not tables("postgres", one.sql) <= {"spaces"}
]
#: Where there are few texts, all are ranked; where these numbers are small, each way is taken.
WAYS = [{}, {"EVERY": 0}, {"EVERY": 0, "EXACT": 0, "BY_GRAPH": 0, "REACH": 0, "OF_GRAPH": 1}]


def search(house: House, scope: Reach, kind: int, *, filtered: bool = False) -> list[Hit]:
    """Search for what both projects have said; `filtered`: all passes."""
    conditions = Conditions(created=(Period(0, None),) if filtered else ())
    query = Query(kind, "hello", terms("hello"), conditions, 10)
    return house.store.read(scope, lambda tx: tx.search(query))


#: Searches that look at keys which have been found and checked before: there is nothing foreign.
BY_KEYS = {"search_some", "search_around", "search_dialogues", "search_messages"}


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_without_its_condition_raises_an_alarm(
    postgres_house: House, name: str, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No foreign hit, and no score that foreign texts or counts have touched."""
    world = postgres_house.world
    scope = WholeProject(world.two) if whole else Scope(world.two, "")
    one = ALL["postgres"][name]
    bound = r"\b(\w\.)?space_id = ANY\(:spaces\)"
    broken = re.sub(bound, "CAST(0 AS bigint) < ALL(:spaces)", one.sql)
    assert broken != one.sql
    # The tokens of words hold their space as well: that condition goes, too.
    held = r"ARRAY\[w\.token\]|CAST\(:(?:rarer|sample) AS bigint\[\]\)"
    words = rf"e\.tokens (?:@>|&&) (?:{held}) AND"
    broken = re.sub(words, "", broken)
    alarms = 0
    for way, kind, filtered in product(WAYS, (MESSAGE, DIALOGUE, MEMORY), (False, True)):
        with monkeypatch.context() as patch:
            for limit, value in way.items():
                patch.setattr(postgres_search, limit, value)
            before = search(postgres_house, scope, kind, filtered=filtered)
            assert before
            patch.setitem(ALL["postgres"], name, one._replace(sql=broken))
            try:
                found = search(postgres_house, scope, kind, filtered=filtered)
            except WallBroken:
                alarms += 1
            else:  # this way does not ask it
                assert found == before
    assert (alarms > 0) == (name not in BY_KEYS)


@pytest.mark.parametrize("whole", [False, True])
def test_a_search_does_not_choose_foreign_spaces(
    postgres_house: House, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = postgres_house.world
    one = ALL["postgres"]["search_spaces"]
    head, _, _ = one.sql.partition("WHERE")
    broken = one._replace(sql=f"{head} WHERE :project_id <> '' AND :space >= 0")
    monkeypatch.setitem(ALL["postgres"], "search_spaces", broken)
    with pytest.raises(WallBroken):
        search(postgres_house, WholeProject(world.two) if whole else Scope(world.two, ""), MESSAGE)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_transaction_without_a_space_reaches_no_user_data(house: House, engine: str) -> None:
    """A statement over user data in the catalogue's transaction is refused."""
    met: list[BaseException] = []

    def work(tx: Any) -> None:
        try:
            tx.one("messages_get", id="shared")
        except WallBroken as error:
            met.append(error)

    house.store.read(None, work)
    assert met
