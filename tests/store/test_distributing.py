"""`migrate --distribute`: what Citus is told, in which order, and again after an interruption.

Citus itself is not here. A stand-in for its extension keeps what it is told and refuses what Citus
refuses of tables; that the real one takes it is seen with `DIALOGUEDB_TEST_CITUS_URL`.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from databases import OWNER, Cluster
from dialoguedb.errors import StoreError
from dialoguedb.store import statements
from dialoguedb.store.opening import open_store
from dialoguedb.store.upkeep import distributing
from dialoguedb.store.upkeep.doctor import examine
from dialoguedb.store.upkeep.migrating import ROLE, migrate
from grounds import CITUS_URL, Citus

CONTROL = "comment = 'stand-in'\ndefault_version = '{}'\nrelocatable = false\nsuperuser = true\n"
SCRIPT = """
CREATE TABLE pg_dist_partition (logicalrelid regclass PRIMARY KEY, partmethod "char",
    partkey text, colocationid int, repmodel "char", emptied boolean DEFAULT false,
    place int GENERATED ALWAYS AS IDENTITY);
GRANT ALL ON pg_dist_partition TO PUBLIC;
CREATE FUNCTION column_to_column_name(regclass, text) RETURNS text LANGUAGE sql AS 'SELECT $2';
CREATE FUNCTION create_reference_table(t regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_constraint AS k WHERE k.conrelid = t AND k.contype = 'f'
        AND NOT EXISTS (SELECT 1 FROM pg_dist_partition AS p WHERE p.logicalrelid = k.confrelid))
    THEN RAISE 'a reference table refers to a local one'; END IF;
    INSERT INTO pg_dist_partition VALUES (t, 'n', NULL, 1, 't');
END $$;
CREATE FUNCTION create_distributed_table(t regclass, col text, colocate_with text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE grp int;
BEGIN
    IF EXISTS (SELECT 1 FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = t
        AND a.attname = col WHERE i.indrelid = t AND i.indisunique
        AND NOT a.attnum = ANY (i.indkey::int[]))
    THEN RAISE 'a unique key without the column'; END IF;
    IF colocate_with = 'none' THEN
        SELECT 1 + count(*) FROM pg_dist_partition INTO grp;
    ELSE
        SELECT colocationid INTO STRICT grp FROM pg_dist_partition
        WHERE logicalrelid = colocate_with::regclass;
    END IF;
    IF current_setting('standin.broken', true) = t::text THEN RAISE 'a disk is full'; END IF;
    INSERT INTO pg_dist_partition VALUES (t, 'h', col, grp, 's');
END $$;
CREATE FUNCTION truncate_local_data_after_distributing_table(t regclass) RETURNS void
LANGUAGE sql AS 'UPDATE pg_dist_partition SET emptied = true WHERE logicalrelid = t';
"""


@pytest.fixture(scope="module")
def standin() -> Iterator[Cluster]:
    """PostgreSQL 18, which can be told where further extensions lie."""
    with tempfile.TemporaryDirectory(prefix="ddb-citus-") as folder:
        extensions = Path(folder, "extension")
        extensions.mkdir()
        (extensions / "citus.control").write_text(CONTROL.format("14.0-1"))
        for version in ("14.0-1", "12.0-1"):
            (extensions / f"citus--{version}.sql").write_text(SCRIPT)
        for one in (Path(folder), extensions, *extensions.iterdir()):
            one.chmod(0o755)  # PostgreSQL runs as somebody else
        settings = {"extension_control_path": f"$system:{folder}"}
        with Cluster(major=18, settings=settings) as cluster:
            yield cluster


@pytest.fixture
def address(standin: Cluster) -> Iterator[str]:
    """A migrated database with the stand-in."""
    made = standin.new_database()
    standin.run(f"ALTER ROLE {ROLE} NOLOGIN")
    standin.run(f"ALTER ROLE {ROLE} RESET ALL")
    standin.run("CREATE EXTENSION citus SCHEMA public", of(made))
    yield made
    standin.drop(made)


def of(address: str) -> str:
    return address.rpartition("/")[2]


def test_all_tables_are_spread_once(standin: Cluster, address: str) -> None:
    """The catalogue first, then user data beside `dialogues`, then claims; and all told."""
    done = migrate(address, distribute=True)
    found = standin.run(
        "SELECT c.relname, p.partkey, p.colocationid, p.emptied FROM pg_dist_partition AS p "
        "JOIN pg_class AS c ON c.oid = p.logicalrelid ORDER BY p.place",
        of(address),
    )
    names = [name for name, *_ in found]
    assert names[0] == "projects"
    columns = {name: column for name, column, *_ in found}
    user = {name for name, column in columns.items() if column == "space_id"}
    assert user == statements.USER_TABLES - {"changes", "index_blocks"}
    assert columns["claims"] == "id"
    assert {"keys", "spaces", "indexes", "migrations"} <= set(names) - user
    assert "jobs" not in names
    groups = {group for name, _, group, _ in found if name in user}
    assert len(groups) == 1
    assert {group for name, _, group, _ in found if name == "claims"}.isdisjoint(groups)
    assert all(emptied for name, column, _, emptied in found if column)
    assert "table messages (distributed by space_id)" in done
    assert "table spaces (on every node)" in done
    assert migrate(address, distribute=True) == []
    assert migrate(address) == []


def test_the_role_can_reach_the_nodes(standin: Cluster, address: str) -> None:
    """Citus connects to its nodes as the role; and searches there as the role's settings say."""
    done = migrate(address, distribute=True)
    assert any(f"role {ROLE} may log in" in line for line in done)
    found = standin.run(f"SELECT rolcanlogin, rolpassword FROM pg_authid WHERE rolname = '{ROLE}'")
    assert found == [(True, None)]
    asked = "SELECT unnest(rolconfig) FROM pg_roles WHERE rolname = 'dialoguedb_app' ORDER BY 1"
    assert standin.run(asked) == [("hnsw.ef_search=400",), ("hnsw.iterative_scan=relaxed_order",)]


def test_what_was_interrupted_goes_on(standin: Cluster, address: str) -> None:
    """One line says why it stopped; what has been done stays, and the rest follows."""
    standin.run(f"ALTER ROLE {OWNER} SET standin.broken = 'messages'")
    try:
        with pytest.raises(StoreError, match="a disk is full") as caught:
            migrate(address, distribute=True)
        assert "\n" not in caught.value.message
    finally:
        standin.run(f"ALTER ROLE {OWNER} RESET standin.broken")
    with psycopg.connect(address) as connection:
        half = distributing.placed(connection)
    assert "dialogues" in half and "messages" not in half
    told = [one for one in examine(address) if not one.ok and "spread" in one.what]
    assert "messages" in told[0].what and "--distribute" in told[0].hint
    done = migrate(address)  # a database that is distributed has all its tables distributed
    assert "table messages (distributed by space_id)" in done
    assert "table dialogues (distributed by space_id)" not in done


def test_a_new_table_follows_with_its_migration(standin: Cluster, address: str) -> None:
    """Also where a server migrates by itself."""
    migrate(address, distribute=True)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(
            "DELETE FROM pg_dist_partition WHERE logicalrelid = 'dialoguedb.memories'::regclass"
        )
    assert migrate(address) == ["table memories (distributed by space_id)"]


def test_too_old_a_citus_is_refused(standin: Cluster) -> None:
    """Before 12.1 there is none for PostgreSQL 16; before 11.2 updates would be lost."""
    address = standin.new_database("bare")
    standin.run("CREATE EXTENSION citus SCHEMA public VERSION '12.0-1'", of(address))
    with pytest.raises(StoreError, match=r"Citus 12\.0-1; DialogueDB needs 12\.1"):
        migrate(address, distribute=True)
    with psycopg.connect(address) as connection:
        assert connection.execute("SELECT to_regnamespace('dialoguedb')").fetchone() == (None,)


def test_row_security_and_citus_exclude_each_other(standin: Cluster, address: str) -> None:
    """The setting of a transaction does not reach the nodes."""
    with pytest.raises(StoreError, match="row-level security cannot be had"):
        migrate(address, row_level_security=True)
    other = standin.new_database()
    migrate(other, row_level_security=True)
    standin.run("CREATE EXTENSION citus SCHEMA public", of(other))
    with pytest.raises(StoreError, match="DISABLE ROW LEVEL SECURITY"):
        migrate(other, distribute=True)
    with psycopg.connect(other) as connection:
        assert distributing.placed(connection) == {}


def test_citus_that_is_not_used_is_no_fault(standin: Cluster, address: str) -> None:
    told = [one for one in examine(address) if "Citus" in one.what]
    assert [one.ok for one in told] == [True]
    assert "--distribute" in told[0].hint
    open_store(address).close()


@pytest.mark.skipif(CITUS_URL is None, reason="DIALOGUEDB_TEST_CITUS_URL is not set")
def test_a_real_cluster_sends_each_statement_to_one_node() -> None:
    """As `doctor` reads its plans."""
    assert CITUS_URL is not None
    ground = Citus(CITUS_URL)
    address = ground.new()
    try:
        assert migrate(address, distribute=True) == []
        assert [one for one in examine(address) if not one.ok] == []
        assert any("for one node each" in one.what for one in examine(address))
    finally:
        ground.drop(address)
