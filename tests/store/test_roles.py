"""The role that servers work as: it owns nothing, and can do no more than it needs."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

import dialoguedb
from databases import OWNER, Cluster
from dialoguedb.errors import StoreError
from dialoguedb.store.opening import open_store
from dialoguedb.store.postgres.pool import Address, connect
from dialoguedb.store.upkeep.doctor import examine
from dialoguedb.store.upkeep.migrating import ROLE, migrate
from harness import Server, cli, new_project

LOGIN = "serving_login"


@pytest.fixture(scope="module")
def address(cluster: Cluster) -> Iterator[str]:
    """A migrated database, and a schema of another program in it."""
    made = cluster.new_database("canary")
    for statement in (
        "CREATE SCHEMA payroll",
        "CREATE TABLE payroll.salaries AS SELECT 1 AS amount",
        "CREATE TABLE dialoguedb.owned_by_other (n int)",
        "ALTER TABLE dialoguedb.owned_by_other OWNER TO postgres",
    ):
        cluster.run(statement, made.rpartition("/")[2])
    yield made
    cluster.drop(made)


@pytest.fixture
def connection(address: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A connection as servers have them."""
    with connect(Address.of(address), role=ROLE) as connection:
        yield connection


@pytest.fixture
def login(cluster: Cluster, address: str) -> Iterator[str]:
    """The address for a login that owns nothing, and may work as the role."""
    cluster.run(f"CREATE ROLE {LOGIN} LOGIN PASSWORD 'serve'")
    cluster.run(f"GRANT {ROLE} TO {LOGIN}")
    yield address.replace(f"{OWNER}:owner@", f"{LOGIN}:serve@")
    cluster.run(f"DROP OWNED BY {LOGIN}")
    cluster.run(f"DROP ROLE {LOGIN}")


@pytest.mark.parametrize(
    "order",
    [
        "CREATE TABLE dialoguedb.mine (n int)",
        "CREATE TABLE public.mine (n int)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION dialoguedb.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE INDEX mine ON dialoguedb.messages (role)",
        "CREATE POLICY mine ON dialoguedb.messages USING (true)",
        "CREATE TRIGGER mine BEFORE INSERT ON dialoguedb.messages EXECUTE FUNCTION now()",
        "CREATE ROLE mine",
        "ALTER TABLE dialoguedb.messages ADD COLUMN mine int",
        "ALTER TABLE dialoguedb.messages DISABLE ROW LEVEL SECURITY",
        "ALTER SCHEMA dialoguedb RENAME TO mine",
        "ALTER ROLE dialoguedb_app SUPERUSER",
        "ALTER SYSTEM SET fsync = off",
        "ALTER DATABASE postgres SET fsync = off",
        "DROP TABLE dialoguedb.messages",
        "DROP INDEX dialoguedb.messages_by_id",
        "DROP SCHEMA dialoguedb CASCADE",
        "DROP EXTENSION vector CASCADE",
        "TRUNCATE dialoguedb.messages",
        "VACUUM FULL dialoguedb.owned_by_other",
        "LOCK TABLE dialoguedb.migrations IN ACCESS EXCLUSIVE MODE",
        "INSERT INTO dialoguedb.migrations VALUES (9, 'x', 'x', 0)",
        "UPDATE dialoguedb.migrations SET hash = 'x'",
        "DELETE FROM dialoguedb.migrations",
        "SELECT * FROM payroll.salaries",
        "SELECT * FROM dialoguedb.owned_by_other",
        "SELECT rolpassword FROM pg_authid",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY dialoguedb.messages TO '/tmp/messages'",
        "COPY dialoguedb.messages TO PROGRAM 'cat'",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
    ],
)
def test_the_role_can_change_nothing_but_rows(
    connection: psycopg.Connection[tuple[object, ...]], order: str
) -> None:
    """Nor read what is not its own."""
    with connection.transaction(force_rollback=True):
        if order.startswith(("VACUUM", "ALTER SYSTEM")):
            connection.execute("SAVEPOINT here")
        with pytest.raises(
            (psycopg.errors.InsufficientPrivilege, psycopg.errors.ActiveSqlTransaction)
        ):
            connection.execute(order.encode())


def test_the_role_owns_nothing_and_is_nothing_more(cluster: Cluster, address: str) -> None:
    name = address.rpartition("/")[2]
    found = cluster.run(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication "
        f"FROM pg_roles WHERE rolname = '{ROLE}'"
    )
    assert found == [(False,) * 6]
    owned = cluster.run(
        "SELECT count(*) FROM pg_shdepend WHERE deptype = 'o' "
        f"AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = '{ROLE}')",
        name,
    )
    assert owned == [(0,)]


def test_every_connection_of_a_store_works_as_the_role(address: str) -> None:
    """Those that read and those that write."""
    with closing(open_store(address)) as store:
        asked = "SELECT current_user, session_user"
        for found in (
            store.read(None, lambda tx: tx._rows(asked, {})),  # type: ignore[attr-defined]
            store.write(None, lambda tx: tx._rows(asked, {})),  # type: ignore[attr-defined]
        ):
            assert found == [(ROLE, OWNER)]


def test_a_login_that_owns_nothing_can_serve(login: str, address: str) -> None:
    """The owner is needed for migrations only."""
    server = Server(login)
    try:
        with server.client(new_project(address).key) as api:
            made = api.post("/dialogue", json={"message": {"role": "user", "content": "hello"}})
            assert made.status_code == 200, made.text
            found = api.post("/search", json={"query": "hello", "object": "message"})
            assert [one["content"] for one in found.json()["items"]] == ["hello"]
    finally:
        assert server.stop() == 0


def test_a_login_without_the_role_is_told_the_grant(cluster: Cluster, login: str) -> None:
    """One line, and the exit code is 1."""
    cluster.run(f"REVOKE {ROLE} FROM {LOGIN}")
    done = cli("project", "list", "--db", login)
    assert done.returncode == 1
    assert f"GRANT {ROLE} TO {LOGIN}" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "serve@" not in done.stderr  # the password
    cluster.run(f"GRANT {ROLE} TO {LOGIN}")
    assert cli("project", "list", "--db", login).returncode == 0


def test_a_login_that_may_not_migrate_says_who_can(cluster: Cluster, login: str) -> None:
    """And leaves an empty database as it is."""
    empty = cluster.new_database("bare")
    own = login.rpartition("/")[0] + "/" + empty.rpartition("/")[2]
    with pytest.raises(StoreError, match="dialoguedb migrate --db postgresql://OWNER@"):
        open_store(own)
    with psycopg.connect(empty) as connection:
        assert connection.execute("SELECT to_regnamespace('dialoguedb')").fetchone() == (None,)


def test_another_role_can_be_named(cluster: Cluster) -> None:
    """Two installations on one cluster need not share one."""
    address = cluster.new_database("bare")
    done = migrate(address, role="second_app")
    assert "role second_app" in done
    found = examine(address)
    assert [one.ok for one in found if "second_app" in one.what] == [True]
    with closing(open_store(address)) as store:
        asked = "SELECT current_user"
        rows = store.read(None, lambda tx: tx._rows(asked, {}))  # type: ignore[attr-defined]
        assert rows == [("second_app",)]


def test_a_program_s_tables_and_roles_are_left_alone(cluster: Cluster, address: str) -> None:
    """A second migration grants nothing on what was there before."""
    cluster.run("CREATE TABLE public.theirs (n int)", address.rpartition("/")[2])
    with dialoguedb.open(address, project="p") as db:
        db.create_memory("x")
    with (
        connect(Address.of(address), role=ROLE) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT * FROM public.theirs")
