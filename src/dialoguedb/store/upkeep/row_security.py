"""Row-level security: PostgreSQL itself holds each transaction to its space, as a third wall.

Each transaction says by a setting of its own which spaces it is about. The policies of the role
that servers work as let it see, and store, only rows of these. Who has not said it is refused:
nothing is shown, and nothing looks as if it were not there. What looks after all spaces is done as
another role, which the servers take on for that transaction only.
"""

from typing import Any

import psycopg
from psycopg import errors, sql

from dialoguedb.errors import StoreError
from dialoguedb.store import statements
from dialoguedb.store.postgres.failing import one_line
from dialoguedb.store.postgres.pool import SCHEMA, Address
from dialoguedb.store.postgres.session import UPKEEP

Connection = psycopg.Connection[Any]

#: The settings of a transaction: its spaces, as an array's text, and its project.
SPACES, PROJECT = "dialoguedb.spaces", "dialoguedb.project"
#: What a policy is called.
_POLICY = "spaces"
_UPKEEP_POLICY = "upkeep"
#: The sub-select is worked out once for a statement; without it, once for each row.
_OF_SPACES = f"space_id = ANY ((SELECT current_setting('{SPACES}')::bigint[])::bigint[])"
_OF_PROJECT = f"project_id = current_setting('{PROJECT}')"
#: What the operators for arrays call. PostgreSQL does not search an index by them before it has
#: checked the policy, unless a superuser says that they tell nobody what they compare.
SEARCHED = ("arrayoverlap(anyarray, anyarray)", "arraycontains(anyarray, anyarray)")


def upkeep_role(role: str) -> str:
    """Name the role that may look after all spaces, by the one that servers work as."""
    return f"{role}{UPKEEP}"


def check(connection: Connection, address: Address) -> None:
    """See that row-level security can be had.

    Raises:
        StoreError: it cannot; the message says why.
    """
    if _rows(connection, "SELECT 1 FROM pg_extension WHERE extname = 'citus'"):
        raise StoreError(
            f"the database {address.shown} is for Citus, where a transaction's setting does not "
            "reach the nodes: row-level security cannot be had there. Nothing was changed"
        )


def is_on(connection: Connection) -> bool:
    """Tell whether any table has row-level security: then all are to have it."""
    return bool(
        _rows(
            connection,
            "SELECT 1 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relrowsecurity LIMIT 1",
            SCHEMA,
        )
    )


def unsecured(connection: Connection, role: str) -> list[str]:
    """Give the tables of user data that have no row-level security, or no policy for a role."""
    found = _rows(
        connection,
        "SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relkind = 'r' AND c.relname = ANY(%s) AND NOT ("
        "c.relrowsecurity AND EXISTS (SELECT 1 FROM pg_policy AS p "
        "JOIN pg_roles AS r ON r.oid = ANY(p.polroles) "
        "WHERE p.polrelid = c.oid AND p.polname = %s AND r.rolname = %s)) ORDER BY c.relname",
        SCHEMA,
        [*statements.USER_TABLES, "claims"],
        _POLICY,
        role,
    )
    return [str(name) for (name,) in found]


def slowed(connection: Connection) -> list[str]:
    """Give the functions for which the indexes of words stay unused under the policies."""
    return [
        name
        for name in SEARCHED
        if not _rows(
            connection,
            "SELECT 1 FROM pg_proc WHERE oid = to_regprocedure(%s) AND proleakproof",
            f"pg_catalog.{name}",
        )
    ]


def secure(connection: Connection, address: Address, role: str) -> list[str]:
    """Have policies on all tables of user data. It can be run again.

    Args:
        connection: as the owner of the tables, in no transaction.
        address: for messages.
        role: what servers work as.
    Returns: a line for each thing that was done, and for what it does not hold.
    Raises:
        StoreError: something is not allowed; nothing was changed.
    """
    check(connection, address)
    try:
        with connection.transaction():
            done = _make_upkeep(connection, role)
            done += [_secure(connection, table, role) for table in unsecured(connection, role)]
    except errors.InsufficientPrivilege as error:
        raise StoreError(
            f"{connection.info.user} may not secure the rows of {address.shown} "
            f"({one_line(error)}); run this as the owner, who also has made the role {role}"
        ) from None
    if done and (functions := slowed(connection)):
        marks = "; ".join(f"ALTER FUNCTION pg_catalog.{name} LEAKPROOF" for name in functions)
        done.append(
            "searches do not use the index of words until a superuser has said that its operators "
            f"tell nothing: {marks}"
        )
    if done:
        done.append("servers that are running must be started again")
    return done


def _make_upkeep(connection: Connection, role: str) -> list[str]:
    name = upkeep_role(role)
    made = not _rows(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", name)
    names = {"upkeep": sql.Identifier(name), "role": sql.Identifier(role)}
    names["schema"] = sql.Identifier(SCHEMA)
    if made:
        connection.execute(sql.SQL("CREATE ROLE {upkeep} NOLOGIN").format(**names))
        # Taken on, never inherited: else its policies would be those of the role as well.
        connection.execute(
            sql.SQL("GRANT {upkeep} TO {role} WITH INHERIT FALSE, SET TRUE").format(**names)
        )
    for grant in (
        "GRANT USAGE ON SCHEMA {schema} TO {upkeep}",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {upkeep}",
        "REVOKE INSERT, UPDATE, DELETE ON {schema}.migrations FROM {upkeep}",
    ):
        connection.execute(sql.SQL(grant).format(**names))
    return [f"role {name}"] if made else []


def _secure(connection: Connection, table: str, role: str) -> str:
    names = {"table": sql.Identifier(SCHEMA, table)}
    condition = _OF_PROJECT if table == "claims" else _OF_SPACES
    for policy, to, using in (
        (_POLICY, role, condition),
        (_UPKEEP_POLICY, upkeep_role(role), "true"),
    ):
        order = "CREATE POLICY {policy} ON {table} TO {to} USING ({using})"
        connection.execute(
            sql.SQL("DROP POLICY IF EXISTS {policy} ON {table}").format(
                policy=sql.Identifier(policy), **names
            )
        )
        connection.execute(
            sql.SQL(order).format(
                policy=sql.Identifier(policy),
                to=sql.Identifier(to),
                using=sql.SQL(using),
                **names,
            )
        )
    connection.execute(sql.SQL("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY").format(**names))
    return f"row-level security of {table}"


def _rows(connection: Connection, query: str, *params: Any) -> list[tuple[Any, ...]]:
    return connection.execute(query.encode(), params or None).fetchall()
