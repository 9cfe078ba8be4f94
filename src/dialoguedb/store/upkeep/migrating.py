"""Bringing a PostgreSQL database up to date: its schema, and the role that servers work as.

Ten servers may start at once: one migrates under a lock of the database, the others wait for it.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors, sql

from dialoguedb.errors import StoreError
from dialoguedb.runtime import Runtime
from dialoguedb.store import ledger
from dialoguedb.store.postgres.failing import one_line, unopened
from dialoguedb.store.postgres.pool import SCHEMA, Address, connect
from dialoguedb.store.upkeep import distributing, row_security

Connection = psycopg.Connection[Any]

#: The role that servers work as unless another is named: it owns nothing.
ROLE = "dialoguedb_app"
_ROLE_COMMENT = re.compile(r"DialogueDB; servers work as the role (.+)")
LEAST_VERSION = 16
#: Of all locks that are known by a number only, this is ours ("dialoguedb").
_LOCK = 0x6469616C6F677565
#: How often it is tried, seconds.
_RETRY_S = 0.05


@contextmanager
def administered(address: Address) -> Iterator[Connection]:
    """Connect as the login itself, to look at the database or to change its schema.

    Raises:
        StoreError: it cannot be reached, is too old, or a standby; nothing was changed. Or it has
            refused what was asked of it.
    """
    try:
        connection = connect(address)
    except psycopg.Error as error:
        raise unopened(error, address.shown) from None
    try:
        with connection:
            _check(connection, address)
            yield connection
    except psycopg.Error as error:
        raise StoreError(
            f"the database {address.shown} refuses: {one_line(error)}; what was done before stays, "
            "and `dialoguedb doctor` tells how it stands"
        ) from None


def _check(connection: Connection, address: Address) -> None:
    version = connection.info.server_version
    if version < LEAST_VERSION * 10_000:
        raise StoreError(
            f"the database {address.shown} is PostgreSQL {version // 10_000}; DialogueDB needs "
            f"{LEAST_VERSION} or newer. Nothing was changed"
        )
    if _value(connection, "SELECT pg_is_in_recovery()"):
        raise StoreError(
            f"the database {address.shown} is a read-only standby; name the primary, or all hosts "
            "of the cluster (postgresql://host1,host2/…)"
        )


def _value(connection: Connection, query: Any, *params: Any) -> Any:
    row = connection.execute(query, params).fetchone()
    return None if row is None else row[0]


def is_current(connection: Connection, address: Address) -> bool:
    """Tell whether the schema is this release's.

    A newer one will do as long as its steps only add something (expand); a step that takes
    something away (contract) has a name that says so.

    Raises:
        StoreError: it is another release's, or is damaged.
    """
    known = {step.number: step for step in ledger.migrations("postgres")}
    applied = _applied(connection, address)
    for number, name, digest in applied:
        step = known.get(number)
        if step is None and name.startswith(ledger.CONTRACT):
            raise StoreError(
                f"the database {address.shown} has schema {number} ({name}) and this release knows "
                f"schema {max(known)}: a newer one has taken away what this one needs. Run that "
                "release or a later one; nothing was changed"
            )
        if step is not None and step.hash != digest:
            raise StoreError(
                f"migration {number} of {address.shown} is not the one that this release knows; "
                "the database was made by a changed copy of DialogueDB"
            )
    needed = {number for number, step in known.items() if not step.contracts}
    return needed <= {number for number, _, _ in applied}


def _applied(connection: Connection, address: Address) -> list[tuple[int, str, str]]:
    tables = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = %s", (SCHEMA,)
    ).fetchall()
    if not tables:
        return []
    if ("migrations",) not in tables:
        raise StoreError(
            f"the schema {SCHEMA} of {address.shown} has tables and no list of its migrations: a "
            "restore of it was not finished, or it is another program's. Finish the restore, or "
            f"drop the schema if nothing in it is needed (DROP SCHEMA {SCHEMA} CASCADE)"
        )
    if not _value(connection, "SELECT has_schema_privilege(%s, 'USAGE')", SCHEMA):
        raise _no_role(connection, address, role_of(connection))
    return connection.execute(
        "SELECT number, name, hash FROM migrations ORDER BY number"
    ).fetchall()


def prepare(address: Address, runtime: Runtime) -> str:
    """See that a server can work on the database; bring an older one up to date if it may.

    Returns: the role that it is to work as.
    Raises:
        StoreError: it cannot; the message says what to do.
    """
    with administered(address) as connection:
        role = role_of(connection)
        if is_current(connection, address):
            _check_role(connection, address, role)
        else:
            bring_up_to_date(connection, address, runtime, role=role, contract=False)
        return role


def role_of(connection: Connection) -> str:
    """Give the role that servers work as on this database: its schema has it in its comment."""
    comment = _value(
        connection, "SELECT obj_description(to_regnamespace(%s), 'pg_namespace')", SCHEMA
    )
    said = _ROLE_COMMENT.fullmatch(comment or "")
    return said[1] if said else ROLE


def _check_role(connection: Connection, address: Address, role: str) -> None:
    may = connection.execute(
        "SELECT pg_has_role(current_user, oid, 'SET') FROM pg_roles WHERE rolname = %s", (role,)
    ).fetchone()
    if may is None or not may[0]:
        raise _no_role(connection, address, role)


def _no_role(connection: Connection, address: Address, role: str) -> StoreError:
    user = connection.info.user
    return StoreError(
        f"{user} may not work as the role {role} on {address.shown}; run `GRANT {role} TO {user}` "
        "as the owner, or `dialoguedb migrate --db postgresql://OWNER@…`"
    )


def bring_up_to_date(
    connection: Connection,
    address: Address,
    runtime: Runtime,
    *,
    role: str,
    contract: bool,
    distribute: bool = False,
    secure: bool = False,
) -> list[str]:
    """Apply the migrations that the database has not had, and give the role what it needs.

    Where tables are distributed or have their rows secured, new ones get the same.

    Args:
        connection: as one who may change the schema.
        address: for messages.
        runtime: the clock.
        role: what servers work as.
        contract: also apply steps that take something away from servers of the release before.
        distribute: distribute the tables, too.
        secure: secure their rows, too.
    Returns: a line for each thing that was done.
    Raises:
        StoreError: something is not allowed; what has been done before stays.
    """
    done: list[str] = []
    try:
        with _alone(connection):
            applied = {row[0] for row in _applied(connection, address)}
            for step in ledger.migrations("postgres"):
                if step.number in applied or (step.contracts and not contract):
                    continue
                _apply(connection, step, runtime)
                done.append(f"schema {step.number} ({step.name.replace('_', ' ')})")
            done += _grant(connection, address, role)
            if distribute or distributing.is_distributed(connection):
                done += distributing.distribute(connection, address, role)
            if secure or row_security.is_on(connection):
                done += row_security.secure(connection, address, role)
    except errors.InsufficientPrivilege as error:
        raise StoreError(
            f"{connection.info.user} may not bring {address.shown} up to date "
            f"({one_line(error)}); run `dialoguedb migrate --db postgresql://OWNER@…`"
        ) from None
    return done


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    # Not by waiting inside the database: making an index waits for all who have begun anything.
    while not _value(connection, "SELECT pg_try_advisory_lock(%s)", _LOCK):
        time.sleep(_RETRY_S)
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


def _apply(connection: Connection, step: ledger.Migration, runtime: Runtime) -> None:
    with connection.transaction():
        if step.number == 1:
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(_schema()))
            _ensure_vectors(connection)
        connection.execute(step.sql)
        connection.execute(
            "INSERT INTO migrations (number, name, hash, applied) VALUES (%s, %s, %s, %s)",
            (step.number, step.name, step.hash, runtime.now()),
        )


def _schema() -> sql.Identifier:
    return sql.Identifier(SCHEMA)


def _ensure_vectors(connection: Connection) -> None:
    """Have the extension that vectors need; in the schema public, where other programs find it.

    Raises:
        StoreError: it is not installed, or this login may not create it.
    """
    if _value(connection, "SELECT 1 FROM pg_extension WHERE extname = 'vector'"):
        return
    if not _value(connection, "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"):
        raise StoreError(
            "the extension vector (pgvector 0.8 or newer) is not installed on the database server; "
            "install its package (such as postgresql-16-pgvector). Nothing was changed"
        )
    try:
        with connection.transaction():
            connection.execute("CREATE EXTENSION vector SCHEMA public")
    except errors.InsufficientPrivilege:
        raise StoreError(
            f"{connection.info.user} may not create the extension vector; run `CREATE EXTENSION "
            "vector SCHEMA public` in this database as a superuser. Nothing was changed"
        ) from None


def _grant(connection: Connection, address: Address, role: str) -> list[str]:
    """Make the role that servers work as, and let it read and write, and change nothing else."""
    done = []
    if not _value(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", role):
        try:
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
        except errors.InsufficientPrivilege:
            raise StoreError(
                f"{connection.info.user} may not create the role {role}, which servers work as; "
                f"run `CREATE ROLE {role}; GRANT {role} TO {connection.info.user}` as one who may, "
                f"then this again"
            ) from None
        except (errors.DuplicateObject, errors.UniqueViolation):
            pass  # a server of another database of this cluster was faster
        else:
            done.append(f"role {role}")
    with connection.transaction():
        if not _value(connection, "SELECT pg_has_role(current_user, %s, 'SET')", role):
            connection.execute(
                sql.SQL("GRANT {} TO CURRENT_USER WITH SET TRUE").format(sql.Identifier(role))
            )
        for grant in (
            "GRANT USAGE ON SCHEMA {schema} TO {role}",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
            "REVOKE INSERT, UPDATE, DELETE ON {schema}.migrations FROM {role}",
        ):
            connection.execute(sql.SQL(grant).format(schema=_schema(), role=sql.Identifier(role)))
        if role_of(connection) != role:
            comment = sql.Literal(f"DialogueDB; servers work as the role {role}")
            connection.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(_schema(), comment))
    return done


def graph_index(connection: Connection, generation: int, dimension: int) -> None:
    """Make the graph that the vectors of an index are searched by where they are many.

    Writes go on meanwhile. Vectors enter it when they are marked as grown.

    Args:
        connection: as the owner, in no transaction.
        generation: the index.
        dimension: of its vectors, 1 to 4000.
    """
    name = sql.Identifier(f"vectors_graph_{generation}")
    connection.execute(sql.SQL("DROP INDEX IF EXISTS {}.{}").format(_schema(), name))
    connection.execute(
        sql.SQL(
            "CREATE INDEX CONCURRENTLY {} ON {}.vectors USING hnsw ((vector::halfvec({})) "
            "halfvec_ip_ops) WITH (m = 48, ef_construction = 400) WHERE grown AND generation = {}"
        ).format(name, _schema(), sql.Literal(dimension), sql.Literal(generation))
    )


def drop_graph(connection: Connection, generation: int) -> None:
    """Drop the graph of an index that is not used any more, if it is there.

    Args:
        connection: as the owner, in no transaction.
        generation: the index.
    """
    name = sql.Identifier(SCHEMA, f"vectors_graph_{generation}")
    connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(name))


def ensure_graphs(connection: Connection, address: Address) -> list[str]:
    """Make the graphs that are missing of the indexes that there are.

    Args:
        connection: as the owner, in no transaction.
        address: for messages.
    Returns: a line for each that was made.
    """
    done = []
    with _alone(connection):
        for generation, dimension in connection.execute(
            "SELECT generation, dimension FROM indexes WHERE active IN (0, 1) AND dimension > 0"
        ).fetchall():
            if not has_graph(connection, generation):
                graph_index(connection, generation, dimension)
                done.append(f"graph of the vectors of index {generation}")
    return done


def has_graph(connection: Connection, generation: int) -> bool:
    """Tell whether an index has its graph, and whole."""
    found = _value(
        connection,
        "SELECT i.indisvalid FROM pg_class AS c JOIN pg_index AS i ON i.indexrelid = c.oid "
        "WHERE c.relname = %s AND c.relnamespace = to_regnamespace(%s)",
        f"vectors_graph_{generation}",
        SCHEMA,
    )
    return bool(found)


def migrate(
    db: str,
    *,
    distribute: bool = False,
    row_level_security: bool = False,
    role: str | None = None,
    runtime: Runtime | None = None,
) -> list[str]:
    """Bring a database up to date, all steps, and do what is asked for besides.

    Args:
        db: its address; the login must own the tables, or be allowed to make them.
        distribute: spread the tables over the nodes of a Citus cluster.
        row_level_security: have PostgreSQL itself hold each transaction to its space.
        role: what servers work as from now on; None for what they worked as.
        runtime: the clock; the system's if None.
    Returns: a line for each thing that was done.
    Raises:
        StoreError: it cannot be done; the message says why and what to do.
    """
    address = Address.of(db)
    with administered(address) as connection:
        if distribute:
            distributing.check(connection, address)
        if row_level_security:
            row_security.check(connection, address)
        is_current(connection, address)
        done = bring_up_to_date(
            connection,
            address,
            runtime or Runtime(),
            role=role or role_of(connection),
            contract=True,
            distribute=distribute,
            secure=row_level_security,
        )
        return done + ensure_graphs(connection, address)
