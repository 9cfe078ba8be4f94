"""Spreading the tables over the nodes of a Citus cluster, and telling how they are spread.

User data is distributed by its space: all rows of one space are on one node, so what concerns one
space is done there. Claims are distributed by their id. The catalogue is on every node. Citus does
the rest; here it is only told so.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg
from psycopg import errors, sql

from dialoguedb.errors import StoreError
from dialoguedb.store import statements
from dialoguedb.store.postgres.failing import one_line
from dialoguedb.store.postgres.pool import SCHEMA, SEARCH, Address
from dialoguedb.store.upkeep import row_security

Connection = psycopg.Connection[Any]

#: The first release that runs on the oldest PostgreSQL of ours. It sends a transaction's isolation
#: level to the nodes; one that does not would lose updates.
LEAST_CITUS = (12, 1)
#: All tables of user data are where this one's rows of the same space are.
_ANCHOR = "dialogues"
_SPACE = "space_id"
#: The one table whose rows are found without their space.
_BY_ID = {"claims": "id"}
#: Tables that stay on the coordinator alone. A job is claimed by the clock of one database, and
#: rows that others hold are skipped: Citus allows neither where a table is on several nodes.
_LOCAL = frozenset({"jobs"})
#: What else refers to it comes later.
_FIRST = "projects"
#: A value of each type that a parameter has, for a plan.
_VALUES = {
    "bigint": "1", "integer": "1", "text": "x", "bytea": "\\x00", "boolean": "true",
    "bigint[]": "{1}", "text[]": "{x}", "halfvec": "[1]", "double precision": "1", "real": "1",
    "character varying": "x", "bytea[]": "{}", "boolean[]": "{true}", "halfvec[]": "{}",
}  # fmt: skip
#: Statements over user data that no single node can answer, and why that must be.
SEVERAL_NODES = {
    "erase_": "a project's spaces are on all nodes; it is erased in steps, and rarely",
    "index_": "what all spaces come to, for a progress bar or a metric",
    "copy_": "ids of a project are on all nodes; they are copied once",
}


class Spread(NamedTuple):
    """How a table is to be spread: distributed by a column, or on every node if that is None."""

    table: str
    column: str | None


class Placed(NamedTuple):
    """How a table is spread.

    Attributes:
        column: what it is distributed by; None if it is on every node.
        group: tables of one group have their rows of one space on one node.
    """

    column: str | None
    group: int


def has_citus(connection: Connection) -> bool:
    """Tell whether the extension is in this database."""
    return bool(_rows(connection, "SELECT 1 FROM pg_extension WHERE extname = 'citus'"))


def check(connection: Connection, address: Address) -> None:
    """See that the tables of a database can be distributed.

    Raises:
        StoreError: they cannot; the message says what to do.
    """
    found = _rows(connection, "SELECT extversion FROM pg_extension WHERE extname = 'citus'")
    if not found:
        raise StoreError(
            f"the database {address.shown} has no extension citus, so its tables cannot be "
            "distributed; install Citus on every node, run CREATE EXTENSION citus, name the nodes "
            "(citus_set_coordinator_host, citus_add_node), then run this again. Nothing was changed"
        )
    version = str(found[0][0])
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < LEAST_CITUS:
        least = ".".join(map(str, LEAST_CITUS))
        raise StoreError(
            f"the database {address.shown} has Citus {version}; DialogueDB needs {least} or newer "
            "(older ones do not keep the isolation of transactions). Nothing was changed"
        )
    if row_security.is_on(connection):
        raise StoreError(
            f"the database {address.shown} has row-level security, whose setting does not reach "
            "the nodes of Citus; turn it off on each table (ALTER TABLE … DISABLE ROW LEVEL "
            "SECURITY) before. Nothing was changed"
        )


def is_distributed(connection: Connection) -> bool:
    """Tell whether the tables are distributed: then new ones are to be, too."""
    return has_citus(connection) and _ANCHOR in placed(connection)


def planned(tables: set[str]) -> list[Spread]:
    """Say how tables are to be spread, in the order in which that can be done.

    Args:
        tables: the names of all that there are.
    """
    catalogue = tables - statements.USER_TABLES - _BY_ID.keys() - _LOCAL
    user = tables & statements.USER_TABLES
    spreads = [Spread(name, None) for name in _from(_FIRST, catalogue)]
    spreads += [Spread(name, _SPACE) for name in _from(_ANCHOR, user)]
    return spreads + [Spread(name, _BY_ID[name]) for name in sorted(tables & _BY_ID.keys())]


def _from(first: str, names: set[str]) -> list[str]:
    return sorted(names, key=lambda name: (name != first, name))


def placed(connection: Connection) -> dict[str, Placed]:
    """Give how each table of ours is spread; those on the coordinator alone are left out."""
    found = _rows(
        connection,
        "SELECT c.relname, CASE WHEN p.partmethod = 'h' "
        "THEN column_to_column_name(p.logicalrelid, p.partkey) END, p.colocationid "
        "FROM pg_dist_partition AS p JOIN pg_class AS c ON c.oid = p.logicalrelid "
        "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND (p.partmethod = 'h' OR p.repmodel = 't')",
        SCHEMA,
    )
    return {str(name): Placed(column, int(group)) for name, column, group in found}


def distribute(connection: Connection, address: Address, role: str) -> list[str]:
    """Spread what is not spread yet. It can be run again, also after it was interrupted.

    Args:
        connection: as the owner of the tables, in no transaction.
        address: for messages.
        role: what servers work as; nodes connect to each other as it.
    Returns: a line for each thing that was done.
    Raises:
        StoreError: something is not allowed; what has been done before stays.
    """
    check(connection, address)
    try:
        done = _admit(connection, role)
        there = placed(connection)
        for spread in planned(_tables(connection)):
            if spread.table not in there:
                _spread(connection, spread)
                done.append(f"table {spread.table} ({_told(spread)})")
    except errors.InsufficientPrivilege as error:
        raise StoreError(
            f"{connection.info.user} may not distribute the tables of {address.shown} "
            f"({one_line(error)}); run this as the owner, who also has made the role {role}, or as "
            "a superuser. It goes on where it stopped"
        ) from None
    except psycopg.Error as error:
        raise StoreError(
            f"Citus has not distributed the tables of {address.shown}: {one_line(error)}. Mend "
            "that, then run this again: it goes on where it stopped"
        ) from None
    return done


def _tables(connection: Connection) -> set[str]:
    found = _rows(connection, "SELECT tablename FROM pg_tables WHERE schemaname = %s", SCHEMA)
    return {str(name) for (name,) in found}


def _told(spread: Spread) -> str:
    return "on every node" if spread.column is None else f"distributed by {spread.column}"


def _spread(connection: Connection, spread: Spread) -> None:
    """Spread one table with its rows, and remove those that stay behind on the coordinator."""
    table = f"{SCHEMA}.{spread.table}"
    with connection.transaction():
        if spread.column is None:
            connection.execute("SELECT create_reference_table(%s::regclass)", (table,))
            return
        beside = "none" if spread.table in {_ANCHOR, *_BY_ID} else f"{SCHEMA}.{_ANCHOR}"
        connection.execute(
            "SELECT create_distributed_table(%s::regclass, %s, colocate_with => %s)",
            (table, spread.column, beside),
        )
        connection.execute(
            "SELECT truncate_local_data_after_distributing_table(%s::regclass)", (table,)
        )


def _admit(connection: Connection, role: str) -> list[str]:
    """Let the coordinator connect to the nodes as the role, and have vectors searched as here.

    A session's own settings stay on the coordinator; those of a role are everywhere.
    """
    found = _rows(
        connection, "SELECT rolcanlogin, rolconfig FROM pg_roles WHERE rolname = %s", role
    )
    done = []
    name = sql.Identifier(role)
    if not found[0][0]:
        connection.execute(sql.SQL("ALTER ROLE {} LOGIN").format(name))
        done.append(f"role {role} may log in, as the nodes do; it has no password")
    has = set(found[0][1] or ())
    if missing := [one for one in SEARCH if "=".join(one) not in has]:
        connection.execute("SELECT '[1]'::vector")  # its library knows the settings
        for setting, value in missing:
            order = "ALTER ROLE {} SET {} = {}"
            names = sql.SQL(".").join(map(sql.Identifier, setting.split(".")))
            connection.execute(sql.SQL(order).format(name, names, sql.Literal(value)))
        done.append(f"role {role} searches vectors on every node as on this one")
    return done


# ── plans ────────────────────────────────────────────────────────────────────────────────────


def of_one_space() -> list[statements.Statement]:
    """Give the statements that one node must be able to answer: those bound to a space."""
    return [one for _, one in sorted(statements.load("postgres").items()) if one.scoped]


def unrouted(connection: Connection) -> Iterator[tuple[str, str]]:
    """Give the statements of one space that Citus does not send to one node, and what it does."""
    for statement in of_one_space():
        try:
            with connection.transaction(force_rollback=True):
                plan = _rows(connection, f"EXPLAIN (FORMAT JSON) {probe(connection, statement)}")
        except psycopg.Error as error:
            yield statement.name, one_line(error)
            continue
        counts = list(task_counts(plan[0][0]))
        if counts != [1]:
            yield statement.name, f"tasks: {counts or 'none'}"


def task_counts(plan: Any) -> Iterator[int]:
    """Give how many tasks each distributed part of a plan has (`EXPLAIN (FORMAT JSON)`)."""
    if isinstance(plan, str):
        plan = json.loads(plan)
    if isinstance(plan, list):
        for part in plan:
            yield from task_counts(part)
    elif isinstance(plan, dict):
        if "Task Count" in plan:
            yield int(plan["Task Count"])
        for part in plan.values():
            if isinstance(part, dict | list):
                yield from task_counts(part)


def probe(connection: Connection, statement: statements.Statement) -> str:
    """Write a statement with values for its parameters, of the types that it wants."""
    found = statements.numbered(statement.sql)
    connection.execute(f"PREPARE dialoguedb_probe AS {found.sql}".encode())
    try:
        ((types,),) = _rows(
            connection,
            "SELECT parameter_types::text[] FROM pg_prepared_statements "
            "WHERE name = 'dialoguedb_probe'",
        )
    finally:
        connection.execute("DEALLOCATE dialoguedb_probe")
    of = [f"CAST('{_VALUES.get(kind, '1')}' AS {kind})" for kind in types]
    return re.sub(r"\$(\d+)", lambda number: of[int(number[1]) - 1], found.sql)


def _rows(connection: Connection, query: str, *params: Any) -> list[tuple[Any, ...]]:
    # Encoded: a text that is not written out here would be taken for unsafe by the type checker.
    return connection.execute(query.encode(), params or None).fetchall()
