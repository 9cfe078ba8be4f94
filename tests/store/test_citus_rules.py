"""What Citus asks of a schema and of statements, held on plain PostgreSQL.

The rules are Citus's own: what is distributed has its column in every unique key, no sequence and
no trigger; a statement of one space names the space of every distributed table, so that one node
can answer it. On a real cluster `dialoguedb doctor` reads its plans (`test_doctor.py`).
"""

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from databases import Cluster
from dialoguedb.errors import StoreError
from dialoguedb.store import statements
from dialoguedb.store.postgres.pool import SCHEMA, Address, connect
from dialoguedb.store.upkeep import distributing
from dialoguedb.store.upkeep.migrating import migrate

ALL = statements.load("postgres")
#: Filters are parts of searches, and have no plan of their own; nor has a lock.
PLANNED = re.compile("SELECT|INSERT|UPDATE|DELETE|WITH")
WHOLE = sorted(
    name for name, one in ALL.items() if PLANNED.match(one.sql) and not name.startswith("filter_")
)
SCOPED = [name for name in WHOLE if ALL[name].scoped]
SEARCHES = [name for name in WHOLE if name.startswith("search_")]
CHANGES = re.compile("INSERT|UPDATE|DELETE")


@pytest.fixture(scope="module")
def connection(cluster: Cluster) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the owner to a migrated database."""
    with connect(Address.of(cluster.new_database())) as connection:
        yield connection


@pytest.fixture(scope="module")
def spreads(connection: psycopg.Connection[Any]) -> dict[str, str | None]:
    """By table: what it is distributed by; None where it is on every node."""
    return dict(distributing.planned(tables(connection)))


def tables(connection: psycopg.Connection[Any]) -> set[str]:
    found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (SCHEMA,))
    return {name for (name,) in found}


def rows(connection: psycopg.Connection[Any], query: str) -> list[tuple[Any, ...]]:
    """Ask the catalogue of the schema `dialoguedb`."""
    return connection.execute(query.encode()).fetchall()


# ── the schema ───────────────────────────────────────────────────────────────────────────────


def test_every_table_has_its_place(
    connection: psycopg.Connection[Any], spreads: dict[str, str | None]
) -> None:
    """User data by space, claims by id, the catalogue everywhere; only jobs stay where they are."""
    assert tables(connection) - spreads.keys() <= {"jobs"}
    user = statements.USER_TABLES & tables(connection)
    assert {name for name, column in spreads.items() if column == "space_id"} == user
    assert [name for name, column in spreads.items() if column == "id"] == ["claims"]
    assert {"projects", "keys", "spaces", "indexes", "migrations"} <= {
        name for name, column in spreads.items() if column is None
    }
    columns = rows(
        connection,
        "SELECT c.relname FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid "
        "WHERE a.attname = 'space_id' AND c.relkind = 'r' "
        "AND c.relnamespace = 'dialoguedb'::regnamespace",
    )
    assert {name for (name,) in columns} - {"jobs"} == user


def test_what_others_refer_to_is_spread_first(
    connection: psycopg.Connection[Any], spreads: dict[str, str | None]
) -> None:
    order = list(spreads)
    for one, other in references(connection):
        assert one not in spreads or order.index(other) < order.index(one)


def references(connection: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    return [
        (one, other)
        for one, other in rows(
            connection,
            "SELECT a.relname, b.relname FROM pg_constraint AS k "
            "JOIN pg_class AS a ON a.oid = k.conrelid JOIN pg_class AS b ON b.oid = k.confrelid "
            "WHERE k.contype = 'f' AND a.relnamespace = 'dialoguedb'::regnamespace",
        )
    ]


def test_no_foreign_key_leaves_or_reaches_what_is_distributed(
    connection: psycopg.Connection[Any], spreads: dict[str, str | None]
) -> None:
    for one, other in references(connection):
        assert spreads.get(one) is None, one
        assert spreads.get(other) is None, other


def test_every_unique_key_holds_the_column_of_distribution(
    connection: psycopg.Connection[Any], spreads: dict[str, str | None]
) -> None:
    found = rows(
        connection,
        "SELECT t.relname, i.indexrelid::regclass::text, ARRAY(SELECT a.attname::text "
        "FROM pg_attribute AS a WHERE a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)), "
        "i.indexprs IS NULL AND i.indpred IS NULL, i.indisexclusion "
        "FROM pg_index AS i JOIN pg_class AS t ON t.oid = i.indrelid "
        "WHERE i.indisunique AND t.relnamespace = 'dialoguedb'::regnamespace",
    )
    assert len(found) > len(statements.USER_TABLES) / 2
    for table, index, columns, plain, excludes in found:
        if spreads.get(table):
            assert spreads[table] in columns, index
            assert plain, index
            assert not excludes, index
    keyed = {table for table, *_ in found}
    assert spreads.keys() <= keyed  # a table on every node is copied by its key


def test_columns_of_distribution_are_alike_and_filled(
    connection: psycopg.Connection[Any], spreads: dict[str, str | None]
) -> None:
    """Tables are where each other's rows are only if their columns hash alike."""
    for table, column in spreads.items():
        if column is None:
            continue
        ((kind, filled, exact),) = connection.execute(
            "SELECT format_type(a.atttypid, NULL), a.attnotnull, "
            "a.attcollation = 0 OR k.collisdeterministic "
            "FROM pg_attribute AS a LEFT JOIN pg_collation AS k ON k.oid = a.attcollation "
            "WHERE a.attrelid = %s::regclass AND a.attname = %s",
            (f"{SCHEMA}.{table}", column),
        ).fetchall()
        assert (kind, filled, exact) == ("bigint" if column == "space_id" else "text", True, True)


def test_what_is_distributed_has_no_sequence_trigger_rule_or_parent(
    connection: psycopg.Connection[Any], spreads: dict[str, str | None]
) -> None:
    """Nothing that acts on one node for all."""
    for table, column in spreads.items():
        if column is None:
            continue
        name = f"'{SCHEMA}.{table}'::regclass"
        for query in (
            f"SELECT attname FROM pg_attribute WHERE attrelid = {name} AND attnum > 0 "
            "AND (attidentity <> '' OR attgenerated <> '')",
            "SELECT 1 FROM pg_attrdef AS d "
            f"WHERE d.adrelid = {name} AND pg_get_expr(d.adbin, d.adrelid) LIKE '%(%'",
            f"SELECT tgname FROM pg_trigger WHERE tgrelid = {name} AND NOT tgisinternal",
            f"SELECT rulename FROM pg_rewrite WHERE ev_class = {name}",
            f"SELECT 1 FROM pg_inherits WHERE inhrelid = {name} OR inhparent = {name}",
            f"SELECT relname FROM pg_class WHERE oid = {name} AND relrowsecurity",
        ):
            assert rows(connection, query) == [], table


def test_identities_are_wide_enough(connection: psycopg.Connection[Any]) -> None:
    """Citus takes none but bigint."""
    found = rows(
        connection,
        "SELECT format_type(a.atttypid, NULL) FROM pg_attribute AS a "
        "JOIN pg_class AS c ON c.oid = a.attrelid "
        "WHERE a.attidentity <> '' AND c.relnamespace = 'dialoguedb'::regnamespace",
    )
    assert set(found) == {("bigint",)}


# ── the statements ───────────────────────────────────────────────────────────────────────────


class Plan:
    """How PostgreSQL would run a statement, whatever its values are."""

    def __init__(self, connection: psycopg.Connection[Any], statement: statements.Statement):
        text = statement.sql.replace("/* dimension */", "256").replace("/* generation */", "1")
        self.numbered = statements.numbered(text)
        explained = f"EXPLAIN (GENERIC_PLAN, FORMAT JSON, VERBOSE) {self.numbered.sql}"
        ((found,),) = connection.execute(explained.encode()).fetchall()
        self.nodes = list(_nodes(found[0]["Plan"]))

    def parameter(self, name: str) -> str:
        """How the plan shows a parameter."""
        return f"${self.numbered.names.index(name) + 1}" if name in self.numbered.names else "none"

    def scans(self, of: set[str]) -> Iterator[tuple[str, str]]:
        """What is read of some tables, each with all conditions on its rows."""
        for node in self.nodes:
            table = node.get("Relation Name")
            if table in of and node["Node Type"] not in ("ModifyTable", "Bitmap Index Scan"):
                conditions = [str(node[key]) for key in node if key.endswith(("Cond", "Filter"))]
                yield table, " AND ".join(conditions)

    def stored(self) -> list[list[str]]:
        """What an insert stores, its columns in the order of the table."""
        changes = [node for node in self.nodes if node.get("Operation") == "Insert"]
        return [node["Plans"][0]["Output"] for node in changes]


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from _nodes(below)


def test_plans_show_what_is_looked_for(connection: psycopg.Connection[Any]) -> None:
    """The test's own eyes: a join that carries the space over, and one that does not."""
    joined = "SELECT 1 FROM messages AS m {} JOIN dialogues AS d ON {} WHERE m.space_id = :space"
    for on, seen in (("d.space_id = m.space_id AND d.id = m.dialogue_id", 2), ("d.id = m.id", 1)):
        plan = Plan(connection, statements.Statement("x", joined.format("", on), True))
        conditions = [text for _, text in plan.scans({"messages", "dialogues"})]
        assert sum(has_space(text, plan) for text in conditions) == seen
        assert len(conditions) == 2


def has_space(conditions: str, plan: Plan) -> bool:
    return re.search(rf"\.?space_id = \{plan.parameter('space')}\b", conditions) is not None


@pytest.mark.parametrize("name", SCOPED)
def test_one_node_can_answer_a_statement_of_one_space(
    name: str, connection: psycopg.Connection[Any], spreads: dict[str, str | None]
) -> None:
    """The space stands in the conditions of every distributed table that it names."""
    plan = Plan(connection, ALL[name])
    distributed = {table for table, column in spreads.items() if column == "space_id"}
    for table, conditions in plan.scans(distributed):
        assert has_space(conditions, plan), (table, conditions)
    for columns in plan.stored():
        assert columns[0] == plan.parameter("space") or columns[0].endswith("space_id")
    assert {node["Relation Name"] for node in plan.nodes if "Relation Name" in node} <= (
        distributed | {"indexes"}
    )


@pytest.mark.parametrize("name", [name for name in WHOLE if "claims" in ALL[name].sql])
def test_one_node_can_answer_for_a_claim(name: str, connection: psycopg.Connection[Any]) -> None:
    """By its id; all of a project are erased wherever they are."""
    plan = Plan(connection, ALL[name])
    for _, conditions in plan.scans({"claims"}):
        assert "claims.id = $" in conditions or name.startswith((*distributing.SEVERAL_NODES,))
    for columns in plan.stored():
        assert columns[2] == plan.parameter("id")


@pytest.mark.parametrize("name", WHOLE)
def test_only_what_must_is_over_several_nodes(
    name: str, connection: psycopg.Connection[Any], spreads: dict[str, str | None]
) -> None:
    """The list that tells why is complete."""
    distributed = {table for table, column in spreads.items() if column is not None}
    try:
        plan = Plan(connection, ALL[name])
    except psycopg.errors.AmbiguousParameter:  # of the catalogue: NULL stands for all
        assert not distributed & set(re.findall(r"\w+", ALL[name].sql))
        return
    over = [table for table, _ in plan.scans(distributed)]
    apart = name.startswith((*distributing.SEVERAL_NODES, *statements.SEARCHING))
    assert ALL[name].scoped or apart or set(over) <= {"claims"}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_of_one_space_is_for_one_node(
    name: str, connection: psycopg.Connection[Any], spreads: dict[str, str | None]
) -> None:
    """The spaces stand in the conditions of every distributed table: of one, it is one node."""
    plan = Plan(connection, ALL[name])
    distributed = {table for table, column in spreads.items() if column == "space_id"}
    spaces = f"space_id = ANY ({plan.parameter('spaces')})"
    far = [table for table, conditions in plan.scans(distributed) if spaces not in conditions]
    assert not far, (name, far)


@pytest.mark.parametrize("name", [name for name in WHOLE if CHANGES.match(ALL[name].sql)])
def test_a_change_is_one_that_citus_takes(
    name: str, connection: psycopg.Connection[Any], spreads: dict[str, str | None]
) -> None:
    """One table is changed, nothing is locked, no row moves, and what it works out is certain."""
    sql = ALL[name].sql
    plan = Plan(connection, ALL[name])
    changed = [node for node in plan.nodes if node["Node Type"] == "ModifyTable"]
    assert len(changed) == 1
    locks = [node for node in plan.nodes if node["Node Type"] == "LockRows"]
    assert not locks or changed[0]["Relation Name"] not in spreads
    column = spreads.get(changed[0]["Relation Name"])
    if column is None:
        return
    assert not re.search(rf"\bSET\b[^;]*\b{column} = ", sql.split("WHERE")[0])
    if sql.startswith("INSERT"):
        # An INSERT with a sub-select among its values is refused.
        assert not [node for node in plan.nodes if node.get("Subplan Name")]
        named = re.search(r"ON CONFLICT \(([^)]*)\)", sql)
        assert named is None or column in named[1].split(", ")
    for function in set(re.findall(r"\b([a-z_]+)\(", sql.lower())):
        ((sure,),) = connection.execute(
            "SELECT coalesce(bool_or(provolatile = 'i'), true) FROM pg_proc WHERE proname = %s",
            (function,),
        ).fetchall()
        assert sure, f"{function} may give another value on another node"


# ── doing it ─────────────────────────────────────────────────────────────────────────────────


def test_without_the_extension_one_line_says_what_to_do(cluster: Cluster) -> None:
    """And nothing is changed: the database stays empty."""
    address = cluster.new_database("bare")
    with pytest.raises(StoreError) as caught:
        migrate(address, distribute=True)
    assert "CREATE EXTENSION citus" in caught.value.message
    assert "\n" not in caught.value.message
    with psycopg.connect(address) as connection:
        assert connection.execute("SELECT to_regnamespace('dialoguedb')").fetchone() == (None,)


@pytest.mark.parametrize(
    ("plan", "counts"),
    [
        ('[{"Plan": {"Distributed Query": {"Job": {"Task Count": 1, "Tasks": [{}]}}}}]', [1]),
        ([{"Plan": {"Plans": [{"Distributed Query": {"Job": {"Task Count": 32}}}]}}], [32]),
        ([{"Plan": {"Node Type": "Seq Scan", "Plans": [{"Node Type": "Limit"}]}}], []),
        (
            [{"Plan": {"Distributed Query": {
                "Subplans": [{"PlannedStmt": [{"Plan": {"Job": {"Task Count": 2}}}]}],
                "Job": {"Task Count": 1},
            }}}],
            [2, 1],
        ),
    ],
)  # fmt: skip
def test_tasks_are_counted_wherever_they_stand_in_a_plan(plan: Any, counts: list[int]) -> None:
    assert list(distributing.task_counts(plan)) == counts


@pytest.mark.parametrize("name", SCOPED)
def test_a_statement_can_be_written_with_values(
    name: str, connection: psycopg.Connection[Any]
) -> None:
    """As `doctor` plans it: of the types that it wants."""
    text = distributing.probe(connection, ALL[name])
    assert "$" not in text
    with connection.transaction(force_rollback=True):
        connection.execute(f"EXPLAIN {text}".encode())
