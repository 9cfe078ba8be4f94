"""`dialoguedb doctor`: what is wrong with a database is found, and nothing else is."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest

from databases import OWNER, Cluster
from dialoguedb.errors import StoreError
from dialoguedb.store.opening import open_store
from dialoguedb.store.upkeep.doctor import Finding, examine
from dialoguedb.store.upkeep.migrating import ROLE, migrate
from harness import cli

#: What the clusters of tests do without, for speed.
UNSAFE = ("fsync", "full_page_writes")


def wrong(address: str) -> list[Finding]:
    """What is found wrong, but for the settings of test clusters."""
    return [one for one in examine(address) if not one.ok and not one.what.startswith(UNSAFE)]


def database(address: str) -> str:
    return address.rpartition("/")[2]


@pytest.fixture
def address(cluster: Cluster) -> Iterator[str]:
    """A database with data."""
    made = cluster.new_database("canary")
    yield made
    cluster.drop(made)


def test_a_new_database_is_well(address: str) -> None:
    """Each thing that was looked at is told; nothing is wrong and nothing changes."""
    assert wrong(address) == []
    told = "\n".join(one.what for one in examine(address))
    for part in (
        "PostgreSQL 16", "extension vector 0.8", "schema 2", ROLE, "indexes are whole",
        "row-level security is off", "search index 1, by static:", "vectors, 0% of them",
        "wait for their vectors", "no failed jobs", "no standby", "max_wal_size", "checksums",
    ):  # fmt: skip
        assert part in told
    assert "citus" not in told.lower()


def test_settings_that_lose_data_are_wrong(address: str) -> None:
    """As those of test clusters are."""
    found = [one for one in examine(address) if one.what.startswith(UNSAFE)]
    assert [one.ok for one in found] == [False, False]
    assert all(one.hint for one in found)


@contextmanager
def broken(cluster: Cluster, how: str, database: str, mended: str) -> Iterator[None]:
    """Roles belong to the cluster: what is broken must be mended."""
    cluster.run(how, database)
    try:
        yield
    finally:
        cluster.run(mended, database)


@pytest.mark.parametrize(
    ("how", "mended", "told"),
    [
        (f"ALTER ROLE {ROLE} SUPERUSER", f"ALTER ROLE {ROLE} NOSUPERUSER", "has SUPERUSER"),
        (f"ALTER ROLE {ROLE} BYPASSRLS", f"ALTER ROLE {ROLE} NOBYPASSRLS", "has BYPASSRLS"),
        (f"ALTER ROLE {ROLE} CREATEROLE", f"ALTER ROLE {ROLE} NOCREATEROLE", "has CREATEROLE"),
        (f"REVOKE {ROLE} FROM {OWNER} CASCADE",
         f"GRANT {ROLE} TO {OWNER} WITH SET TRUE, ADMIN TRUE", "may not work as"),
        (f"CREATE TABLE mine (n int); ALTER TABLE mine OWNER TO {ROLE}",
         "DROP TABLE mine", "owns 1"),
        (f"GRANT CREATE ON SCHEMA dialoguedb TO {ROLE}",
         f"REVOKE CREATE ON SCHEMA dialoguedb FROM {ROLE}", "may create tables"),
        (f"GRANT TRUNCATE ON dialoguedb.messages TO {ROLE}",
         f"REVOKE TRUNCATE ON dialoguedb.messages FROM {ROLE}", "messages itself"),
        (f"REVOKE UPDATE ON dialoguedb.dialogues FROM {ROLE}",
         f"GRANT UPDATE ON dialoguedb.dialogues TO {ROLE}", "may not change the rows of dialogues"),
        (f"GRANT INSERT, UPDATE, DELETE ON dialoguedb.migrations TO {ROLE}",
         f"REVOKE INSERT, UPDATE, DELETE ON dialoguedb.migrations FROM {ROLE}",
         "may change the rows of migrations"),
        ("ALTER TABLE dialoguedb.messages ENABLE ROW LEVEL SECURITY",
         "ALTER TABLE dialoguedb.messages DISABLE ROW LEVEL SECURITY", "no row-level security of"),
        (f"ALTER ROLE {OWNER} SET synchronous_commit = off",
         f"ALTER ROLE {OWNER} RESET synchronous_commit", "synchronous_commit = off"),
        ("INSERT INTO dialoguedb.jobs (kind, key, payload, run_at, created, failed) "
         "VALUES ('embed', 'k', '{}', 0, 0, 'the endpoint refuses the key')",
         "DELETE FROM dialoguedb.jobs", "failed jobs of the kind embed"),
        ("UPDATE dialoguedb.migrations SET hash = 'x'",
         "SELECT 1", "schema"),
        ("DELETE FROM dialoguedb.migrations", "SELECT 1", "not up to date"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found_and_what_to_do(
    cluster: Cluster, address: str, how: str, mended: str, told: str
) -> None:
    """One thing is broken, and one is told."""
    with broken(cluster, how, database(address), mended):
        found = wrong(address)
    assert [told in one.what for one in found] == [True]
    assert found[0].hint


def test_an_index_that_was_not_finished_is_found(cluster: Cluster, address: str) -> None:
    """As a `CREATE INDEX CONCURRENTLY` leaves it that was stopped, or met the same key twice."""
    name = database(address)
    with pytest.raises(psycopg.errors.UniqueViolation):
        cluster.run(
            "CREATE UNIQUE INDEX CONCURRENTLY twice ON dialoguedb.messages (space_id)", name
        )
    (found,) = wrong(address)
    assert "the index twice was not finished" in found.what
    assert found.hint == "REINDEX INDEX CONCURRENTLY dialoguedb.twice"


def test_a_database_without_the_extension_or_the_schema_is_told(cluster: Cluster) -> None:
    address = cluster.new_database("bare")
    cluster.run("DROP EXTENSION vector", database(address))
    assert ["vector" in one.what or "schema" in one.what for one in wrong(address)] == [True, True]


def test_vectors_in_the_graph_are_counted(cluster: Cluster, address: str) -> None:
    cluster.run("UPDATE dialoguedb.vectors SET grown = true", database(address))
    assert any("100% of them in the graph" in one.what for one in examine(address))


def test_standbys_and_what_they_are_worth() -> None:
    """Synchronous or not, and one that writes wait for and that has gone."""
    with Cluster() as primary:
        address = primary.new_database()
        primary.run(f"GRANT pg_monitor TO {OWNER}")
        with primary.standby() as standby:
            (told,) = [one for one in examine(address) if "standbys" in one.what]
            assert "1 standbys" in told.what and ", synchronous" in told.what
            with pytest.raises(StoreError, match="read-only standby"):
                examine(standby.address(database(address)))
            primary.configure(synchronous_standby_names="")
            (told,) = [one for one in examine(address) if "standbys" in one.what]
            assert "not synchronous" in told.what and "lost" in told.hint
            primary.configure(synchronous_standby_names="*")
        (told,) = [one for one in examine(address) if "no standby" in one.what]
        assert not told.ok and "writes wait for one" in told.what


def test_the_command_prints_it_and_ends_with_1_where_something_is_wrong(address: str) -> None:
    """JSON in a pipe."""
    done = cli("doctor", "--db", address)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert {one["what"].split()[0] for one in found if not one["ok"]} == set(UNSAFE)
    assert [set(one) for one in found] == [{"ok", "what", "hint"}] * len(found)


def test_examining_changes_nothing(cluster: Cluster, address: str) -> None:
    """It can run beside servers, by a login that may only read."""

    def state() -> list[tuple[object, ...]]:
        return cluster.run(
            "SELECT c.relname, pg_relation_filenode(c.oid), c.relacl::text FROM pg_class AS c "
            "WHERE c.relnamespace = 'dialoguedb'::regnamespace ORDER BY 1",
            database(address),
        )  # fmt: skip

    before = state()
    with closing(open_store(address)):
        examine(address)
    assert state() == before
    assert migrate(address) == []
