"""Looking a PostgreSQL database over: is all as it has to be? Nothing is changed."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import psycopg

from dialoguedb.errors import StoreError
from dialoguedb.store import ledger, statements
from dialoguedb.store.postgres.pool import SCHEMA, Address
from dialoguedb.store.upkeep import distributing, row_security
from dialoguedb.store.upkeep.migrating import administered, has_graph, is_current, role_of

Connection = psycopg.Connection[Any]

#: Versions of pgvector before it do not go on searching where filters have left too few.
_LEAST_VECTOR = (0, 8)
#: Vectors of an index from which its graph is used; fewer are compared one by one.
_MANY_VECTORS = 20_000
#: Seconds after which a transaction that was prepared and not finished is somebody's mistake.
_PREPARED_S = 600
#: Settings that lose what was answered, or damage it, when a machine stops; with what they must be.
_SAFE = {
    "fsync": ("on", "a crash of the machine can destroy the database"),
    "full_page_writes": ("on", "a crash of the machine can tear pages"),
    "synchronous_commit": (
        "on remote_apply remote_write local",
        "a write that was answered can be lost in a crash",
    ),
    "zero_damaged_pages": ("off", "damaged pages are emptied without a word"),
    "ignore_checksum_failure": ("off", "damaged pages are read without a word"),
}


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes:
        ok: whether it is as it has to be.
        what: what was found.
        hint: what to do, or what it means; may be empty.
    """

    ok: bool
    what: str
    hint: str = ""


def examine(db: str) -> list[Finding]:
    """Look a database over.

    Args:
        db: its address; the login should own the tables, others do not see all.
    Raises:
        StoreError: it cannot be reached, is too old, or a standby.
    """
    address = Address.of(db)
    with administered(address) as connection:
        found = [Finding(True, f"PostgreSQL {connection.info.parameter_status('server_version')}")]
        found += _vector(connection)
        try:
            current = is_current(connection, address)
        except StoreError as error:
            return [*found, Finding(False, "schema", error.message)]
        found += _schema(connection, current)
        if not _rows(connection, "SELECT to_regclass('migrations')")[0][0]:
            return found
        for look in _LOOKS:
            found += look(connection, role_of(connection))
        return found


def _vector(connection: Connection) -> Iterator[Finding]:
    rows = _rows(connection, "SELECT extversion FROM pg_extension WHERE extname = 'vector'")
    if not rows:
        yield Finding(
            False,
            "the extension vector is not in this database",
            "`dialoguedb migrate` creates it, if pgvector is installed on the server",
        )
        return
    version = str(rows[0][0])
    ok = tuple(int(part) for part in version.split(".")[:2]) >= _LEAST_VECTOR
    hint = "install pgvector 0.8 or newer, then run ALTER EXTENSION vector UPDATE"
    yield Finding(ok, f"extension vector {version}", "" if ok else hint)


def _schema(connection: Connection, current: bool) -> Iterator[Finding]:
    if not current:
        yield Finding(False, "the schema is not up to date", "run `dialoguedb migrate`")
        return
    applied = {row[0] for row in _rows(connection, "SELECT number FROM migrations")}
    known = ledger.migrations("postgres")
    waiting = [step for step in known if step.number not in applied]
    hint = "`dialoguedb migrate` finishes it when no server of the release before runs"
    yield Finding(True, f"schema {max(applied)}", hint if waiting else "")
    if newer := applied - {step.number for step in known}:
        yield Finding(True, f"schema {max(newer)} is of a newer release, which gets on with this")


def _role(connection: Connection, role: str) -> Iterator[Finding]:
    rows = _rows(
        connection,
        "SELECT oid, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, "
        "pg_has_role(current_user, oid, 'SET') FROM pg_roles WHERE rolname = %s",
        role,
    )
    if not rows:
        yield Finding(False, f"the role {role} is not there", "run `dialoguedb migrate`")
        return
    number, *may, may_set = rows[0]
    if may[0]:
        yield Finding(False, f"the role {role} has SUPERUSER", f"ALTER ROLE {role} NOSUPERUSER")
        return
    names = ("SUPERUSER", "BYPASSRLS", "CREATEROLE", "CREATEDB", "REPLICATION")
    for name, has in zip(names, may, strict=True):
        if has:
            yield Finding(False, f"the role {role} has {name}", f"ALTER ROLE {role} NO{name}")
    ((owned,),) = _rows(
        connection,
        "SELECT count(*) FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass "
        "AND refobjid = %s AND deptype = 'o'",
        number,
    )
    if owned:
        hint = f"REASSIGN OWNED BY {role} TO the owner of the database"
        yield Finding(False, f"the role {role} owns {owned} objects", hint)
    if wrong := _privileges(connection, role):
        yield Finding(
            False, f"the role {role} {'; '.join(wrong)}", "run `dialoguedb migrate` as the owner"
        )
    if not may_set:
        user = connection.info.user
        yield Finding(False, f"{user} may not work as {role}", f"GRANT {role} TO {user}")
    yield Finding(True, f"the role {role}, which servers work as")


def _privileges(connection: Connection, role: str) -> list[str]:
    """Tell what a role may not do that it must, and may that it must not."""
    wrong = []
    if _rows(connection, "SELECT has_schema_privilege(%s, %s, 'CREATE')", role, SCHEMA)[0][0]:
        wrong.append(f"may create tables in {SCHEMA}")
    for table, changes, truncates in _rows(
        connection,
        "SELECT c.relname, has_table_privilege(%(role)s, c.oid, 'SELECT') AND (SELECT "
        "bool_and(has_table_privilege(%(role)s, c.oid, p.name)) "
        "FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE']) AS p(name)), "
        "has_table_privilege(%(role)s, c.oid, 'TRUNCATE, TRIGGER, REFERENCES') "
        "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %(schema)s AND c.relkind = 'r' ORDER BY c.relname",
        role=role,
        schema=SCHEMA,
    ):
        if changes == (table == "migrations"):
            wrong.append(f"{'may' if changes else 'may not'} change the rows of {table}")
        if truncates:
            wrong.append(f"may change the table {table} itself")
    return wrong


def _indexes(connection: Connection, role: str) -> Iterator[Finding]:
    rows = _rows(
        connection,
        "SELECT c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid "
        "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND NOT (i.indisvalid AND i.indisready) "
        "AND NOT EXISTS (SELECT 1 FROM pg_stat_progress_create_index AS p "
        "WHERE p.index_relid = i.indexrelid) ORDER BY c.relname",
        SCHEMA,
    )
    for (name,) in rows:
        hint = f"REINDEX INDEX CONCURRENTLY {SCHEMA}.{name}"
        yield Finding(False, f"the index {name} was not finished", hint)
    if not rows:
        yield Finding(True, "all indexes are whole")


def _row_security(connection: Connection, role: str) -> Iterator[Finding]:
    if not row_security.is_on(connection):
        yield Finding(True, "row-level security is off", "the two walls of the store hold")
        return
    if missing := row_security.unsecured(connection, role):
        hint = "run `dialoguedb migrate --row-level-security`"
        yield Finding(False, f"no row-level security of {', '.join(missing)}", hint)
        return
    hint = ""
    if slow := row_security.slowed(connection):
        hint = "words are searched without their index: a superuser can mark " + ", ".join(slow)
        hint += " as LEAKPROOF"
    yield Finding(True, "row-level security is on", hint)


def _search(connection: Connection, role: str) -> Iterator[Finding]:
    """The graph of the index in use, how much of it has grown, and what waits."""
    rows = _rows(
        connection,
        "SELECT generation, embedder, dimension FROM indexes WHERE active = 1",
    )
    if not rows:
        yield Finding(True, "no search index yet", "the first server makes it")
        return
    generation, embedder, dimension = rows[0]
    yield Finding(True, f"search index {generation}, by {embedder}")
    if dimension:
        total, grown = _vectors(connection, generation)
        there = has_graph(connection, generation)
        told = f"{total:,} vectors, {_share(grown, total)} of them in the graph"
        if not there and total > _MANY_VECTORS:
            yield Finding(False, f"{told}; there is no graph", "run `dialoguedb migrate`")
        else:
            yield Finding(True, told, "" if there else "few are compared one by one")
    ((lag,),) = _rows(connection, statements.load("postgres")["index_lag"].sql)
    hint = "`dialoguedb work`, or a server, computes them" if lag else ""
    yield Finding(True, f"{lag:,} texts wait for their vectors", hint)


def _vectors(connection: Connection, generation: int) -> tuple[int, int]:
    """Count the vectors of an index, and those in its graph: of many, by PostgreSQL's estimate."""
    query = (
        "EXPLAIN (FORMAT JSON) SELECT 1 FROM vectors WHERE generation = {0}",
        "SELECT count(*), count(*) FILTER (WHERE grown) FROM vectors WHERE generation = {0}",
        "EXPLAIN (FORMAT JSON) SELECT 1 FROM vectors WHERE grown AND generation = {0}",
    )
    about, exact, about_grown = (text.format(int(generation)) for text in query)
    ((plan,),) = _rows(connection, about)
    total = int(plan[0]["Plan"]["Plan Rows"])
    if total <= 1_000_000:
        return _rows(connection, exact)[0][:2]
    ((plan,),) = _rows(connection, about_grown)
    return total, int(plan[0]["Plan"]["Plan Rows"])


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "none"


def _jobs(connection: Connection, role: str) -> Iterator[Finding]:
    failed = _rows(
        connection,
        "SELECT kind, count(*), max(failed) FROM jobs WHERE failed IS NOT NULL "
        "GROUP BY kind ORDER BY kind",
    )
    for kind, count, reason in failed:
        hint = f"{reason}. Mend it, then `dialoguedb work --retry` (see --list)"
        yield Finding(False, f"{count} failed jobs of the kind {kind}", hint)
    if not failed:
        yield Finding(True, "no failed jobs")


def _replication(connection: Connection, role: str) -> Iterator[Finding]:
    synchronous = _setting(connection, "synchronous_standby_names")
    waits = _setting(connection, "synchronous_commit") not in ("local", "off")
    rows = _rows(connection, "SELECT application_name, state, sync_state FROM pg_stat_replication")
    following = [row for row in rows if row[1] in (None, "streaming")]
    if not following:
        hint = "what was answered survives a crash, and not the loss of the machine's disks"
        if synchronous and waits:
            yield Finding(False, "no standby follows, and writes wait for one", hint)
        else:
            yield Finding(True, "no standby follows", hint)
        return
    names = ", ".join(str(row[0] or "?") for row in following)
    if synchronous and waits:
        hint = "a write is answered when two machines have it: none is lost when one takes over"
        yield Finding(True, f"{len(following)} standbys ({names}), synchronous", hint)
    else:
        hint = "when one takes over, the last writes that were answered may be lost; set "
        yield Finding(
            True,
            f"{len(following)} standbys ({names}), not synchronous",
            hint + "synchronous_standby_names if they must not",
        )


def _settings(connection: Connection, role: str) -> Iterator[Finding]:
    for name, (safe, harm) in _SAFE.items():
        value = _setting(connection, name)
        if value not in safe.split():
            yield Finding(False, f"{name} = {value}: {harm}", f"set it to {safe.split()[0]}")
    sums = _setting(connection, "data_checksums")
    hint = "" if sums == "on" else "pg_checksums turns them on while PostgreSQL is stopped"
    yield Finding(True, f"checksums of pages: {sums}", hint)
    sizes = {
        name: _setting(connection, name)
        for name in ("shared_buffers", "max_wal_size", "checkpoint_timeout", "max_connections")
    }
    hint = "a quarter of the memory for shared_buffers, and max_wal_size of some GB, serve writes"
    small = sizes["shared_buffers"] == "128MB" or sizes["max_wal_size"] == "1GB"
    told = ", ".join(f"{name} {value}" for name, value in sizes.items())
    yield Finding(True, told, hint if small else "")


def _prepared(connection: Connection, role: str) -> Iterator[Finding]:
    """A transaction that nobody finishes holds its locks, and nothing can be cleaned up."""
    ((count,),) = _rows(
        connection,
        "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database() "
        "AND prepared < now() - make_interval(secs => %s)",
        _PREPARED_S,
    )
    if count:
        hint = "see pg_prepared_xacts; COMMIT PREPARED or ROLLBACK PREPARED ends one"
        yield Finding(False, f"{count} prepared transactions were never finished", hint)


def _citus(connection: Connection, role: str) -> Iterator[Finding]:
    if not distributing.has_citus(connection):
        return
    tables = {
        str(name)
        for (name,) in _rows(
            connection, "SELECT tablename FROM pg_tables WHERE schemaname = %s", SCHEMA
        )
    }
    planned = distributing.planned(tables)
    there = distributing.placed(connection)
    hint = "run `dialoguedb migrate --distribute`"
    if not any(spread.table in there for spread in planned):
        yield Finding(True, "Citus is here, and the tables are on this node alone", hint)
        return
    wrong = [
        spread.table
        for spread in planned
        if spread.table not in there or there[spread.table].column != spread.column
    ]
    if wrong:
        yield Finding(False, f"not spread as they have to be: {', '.join(wrong)}", hint)
        return
    user = [spread.table for spread in planned if spread.table in statements.USER_TABLES]
    groups = {there[table].group for table in user}
    together = len(groups) == 1
    yield Finding(
        together,
        f"{len(user)} tables of user data in {len(groups)} groups of nodes",
        "" if together else "update_distributed_table_colocation brings them together",
    )
    several = list(distributing.unrouted(connection))
    for name, how in several:
        yield Finding(False, f"the statement {name} is not for one node: {how}", "report this")
    if not several:
        count = len(distributing.of_one_space())
        yield Finding(True, f"all {count} statements of one space are for one node each")


#: What is looked at where there is a schema.
_LOOKS: tuple[Callable[[Connection, str], Iterator[Finding]], ...] = (
    _role,
    _indexes,
    _row_security,
    _search,
    _jobs,
    _replication,
    _settings,
    _prepared,
    _citus,
)


def _setting(connection: Connection, name: str) -> str:
    return str(_rows(connection, "SELECT current_setting(%s)", name)[0][0])


def _rows(connection: Connection, query: str, *params: Any, **named: Any) -> list[tuple[Any, ...]]:
    return connection.execute(query.encode(), named or params or None).fetchall()
