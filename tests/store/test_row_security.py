"""Row-level security, the third wall: PostgreSQL itself holds a transaction to its space."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

import dialoguedb
import walls
from databases import Cluster
from dialoguedb.engine import projects
from dialoguedb.errors import DialogueDBError, StoreError
from dialoguedb.store import statements
from dialoguedb.store.opening import open_store
from dialoguedb.store.postgres.pool import Address, connect
from dialoguedb.store.postgres.session import BEGIN_WRITE, Session
from dialoguedb.store.protocol import Job, Scope
from dialoguedb.store.slot import Slot, tell_slots
from dialoguedb.store.upkeep import row_security
from dialoguedb.store.upkeep.doctor import examine
from dialoguedb.store.upkeep.migrating import ROLE, migrate

ALL = statements.load("postgres")
SECURED = sorted((statements.USER_TABLES - {"changes", "index_blocks"}) | {"claims"})
READS = sorted(
    name for name, one in ALL.items()
    if one.scoped and one.sql.startswith(("SELECT", "UPDATE", "DELETE")) and " = :space" in one.sql
)  # fmt: skip


@pytest.fixture(scope="module")
def address(cluster: Cluster) -> Iterator[str]:
    """A secured database with the canary tenant, and two projects that use the same ids."""
    made = cluster.new_database("canary")
    migrate(made, row_level_security=True)
    fill(made)
    yield made
    cluster.drop(made)


def fill(address: str) -> walls.World:
    """Store the same in two projects, and some more in a namespace of each."""
    with closing(open_store(address)) as store:
        world = walls.fill(store)
    for name in ("one", "two"):
        with dialoguedb.open(address, project=name) as db:
            db.create_memory("a wheel", id="k-team", namespace="team")
            thing = db.create_dialogue(id="d-team", namespace="team")
            thing.save_message(role="user", content="a bicycle", id="m-team")
            db.create_dialogue(id="gone", namespace="team")
            db.delete_dialogue("gone", namespace="team")
    return world


@pytest.fixture(scope="module")
def world(cluster: Cluster, address: str) -> walls.World:
    """The ids of the two projects."""
    found = dict(cluster.run("SELECT name, id FROM dialoguedb.projects", of(address)))
    ((created,),) = cluster.run(
        "SELECT DISTINCT created FROM dialoguedb.messages WHERE id = 'shared'", of(address)
    )
    ((job,),) = cluster.run(
        "SELECT DISTINCT job FROM dialoguedb.summaries WHERE id = 'open'", of(address)
    )
    return walls.World(found["one"], found["two"], created, job)


def of(address: str) -> str:
    """The name of a database."""
    return address.rpartition("/")[2]


def numbers(cluster: Cluster, address: str) -> dict[tuple[str, str], int]:
    """The numbers of the spaces, by the names of project and namespace."""
    found = cluster.run(
        "SELECT p.name, s.namespace, s.id FROM dialoguedb.spaces AS s "
        "JOIN dialoguedb.projects AS p ON p.id = s.project_id",
        of(address),
    )
    return {(project, namespace): number for project, namespace, number in found}


@pytest.fixture
def session(address: str) -> Iterator[Session]:
    """A connection as servers have them."""
    with connect(Address.of(address), role=ROLE) as connection:
        session = Session(connection)
        session.secured = ROLE
        yield session
        session.undo()


def test_all_user_data_is_secured_once(cluster: Cluster, address: str) -> None:
    """And said so; a second run has nothing to do."""
    with psycopg.connect(address) as connection:
        assert row_security.unsecured(connection, ROLE) == []
    found = cluster.run(
        "SELECT tablename, array_agg(policyname || ' ' || roles[1] ORDER BY policyname) "
        "FROM pg_policies WHERE schemaname = 'dialoguedb' GROUP BY tablename",
        of(address),
    )
    policies = [f"spaces {ROLE}", f"upkeep {row_security.upkeep_role(ROLE)}"]
    assert sorted(found) == [(table, policies) for table in SECURED]
    assert migrate(address, row_level_security=True) == []
    assert migrate(address) == []
    assert any("row-level security is on" in one.what for one in examine(address) if one.ok)


def test_what_is_told_of_its_limits(cluster: Cluster) -> None:
    """Words go without their index until a superuser marks the operators; servers start anew."""
    told = migrate(cluster.new_database(), row_level_security=True)
    assert any("ALTER FUNCTION pg_catalog.arrayoverlap" in line for line in told)
    assert any("started again" in line for line in told)


def test_all_goes_on_as_before(address: str) -> None:
    """Reads, lists, searches in a namespace and in all, changes, deletes."""
    with dialoguedb.open(address, project="one") as db:
        assert [one.id for one in db.list_messages("shared")] == ["shared"]
        assert {one.id for one in db.search_messages("hello bicycle")} == {"shared", "m-team"}
        assert {one.id for one in db.search_messages("bicycle", namespace="team")} == {"m-team"}
        assert db.get_memory("k-team") is None
        assert db.get_memory("nothing", namespace="never-made") is None
        db.create_memory("another", id="new", namespace="made-now")
        assert db.get_memory("new", namespace="made-now") is not None
        with pytest.raises(dialoguedb.DialogueDBError):
            db.create_memory("again", id="new")
        db.delete_memory("new", namespace="made-now")
        assert db.get_memory("new", namespace="made-now") is None


def test_what_looks_after_all_spaces_still_can(address: str) -> None:
    """Counts over everything, as the role that servers take on for one statement."""
    with closing(open_store(address)) as store:
        assert store.search_standing().lag == 0
        assert store.read(None, lambda tx: tx.one("index_total")) is not None
        with pytest.raises(DialogueDBError):  # and no further than that statement
            store.read(None, lambda tx: tx._rows("SELECT count(*) FROM messages", {}))  # type: ignore[attr-defined]


def test_who_has_not_said_its_space_is_refused(session: Session) -> None:
    """An error, not an empty answer: that would look as if nothing had been stored."""
    for table in SECURED:
        with pytest.raises(psycopg.Error):
            session.all(f"SELECT 1 FROM {table}", {})
    session.begin(BEGIN_WRITE)
    session.confine([1], "x")
    session.all("SELECT count(*) FROM messages", {})
    session.undo()
    with pytest.raises(psycopg.Error):  # it was said for that transaction only
        session.all("SELECT count(*) FROM messages", {})


@pytest.mark.parametrize("name", READS)
def test_without_its_condition_a_statement_reaches_no_foreign_row(
    cluster: Cluster, address: str, session: Session, world: walls.World, name: str
) -> None:
    """The database itself gives and changes only what is the transaction's."""
    space = numbers(cluster, address)["two", ""]
    broken = walls.without_conditions(ALL[name].sql)
    values = walls.params_of(name, broken, world) | {"space": space}
    session.begin(BEGIN_WRITE)
    session.confine([space], "two")
    try:
        rows = session.all(broken, values)
    except psycopg.errors.ProgrammingError:
        rows = []  # it returns nothing
    assert {row[0] for row in rows} <= {space, 0}


def test_a_row_of_another_space_is_not_stored(
    cluster: Cluster, address: str, session: Session
) -> None:
    spaces = numbers(cluster, address)
    row = {"id": "x", "last_sequence": 1, "last_server_time": 1}
    session.begin(BEGIN_WRITE)
    session.confine([spaces["two", ""]], "two")
    session.all(f"{ALL['tombstones_put'].sql} RETURNING 1", row | {"space": spaces["two", ""]})
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        session.all(f"{ALL['tombstones_put'].sql} RETURNING 1", row | {"space": spaces["one", ""]})


def test_claims_are_those_of_the_project(session: Session) -> None:
    claim = {"project_id": "theirs", "kind": "dialogue", "id": "x"}
    session.begin(BEGIN_WRITE)
    session.confine([1], "mine")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        session.all(ALL["claims_take"].sql, claim)


def test_works_of_several_spaces_share_a_commit(address: str, world: walls.World) -> None:
    """Each is held to its own: what reaches for another's row fails alone."""
    with closing(open_store(address)) as store:
        one, two = world.one, world.two
        theirs = store.write(Scope(one, ""), lambda tx: tx.space_id)

        def honest(tx: Any) -> int:
            tx.run("tombstones_put", id="t", last_sequence=1, last_server_time=1)
            return int(tx.space_id)

        def reaching(tx: Any) -> int:
            return len(tx._session.all(f"SELECT 1 FROM messages WHERE space_id = {theirs}", {}))

        scopes = [Scope(project, name) for project in (one, two) for name in ("", "team", "third")]
        slots = [Slot() for _ in range(60)]
        works = [honest, reaching]
        store.submit(
            [
                Job(scopes[place % 6], works[place // 6 % 2], slot, tell_slots)
                for place, slot in enumerate(slots)
            ]
        )
        for place, slot in enumerate(slots):
            answer = slot.result()
            if works[place // 6 % 2] is reaching:
                assert answer == (1 if scopes[place % 6] == Scope(one, "") else 0)
            else:
                assert answer > 0


def test_erasing_a_project_without_its_condition_erases_no_other(cluster: Cluster) -> None:
    """The one statement that nothing else guards."""
    address = cluster.new_database()
    migrate(address, row_level_security=True)
    project = fill(address).one
    with closing(open_store(address)) as store:
        one = ALL["erase_messages"]
        broken = re.sub(r"m\.space_id IN \(.*?\)", ":project_id <> ''", one.sql)
        assert "spaces" not in broken

        def work(tx: Any) -> int:
            tx._statements = tx._statements | {one.name: one._replace(sql=broken)}
            return int(tx.run(one.name, project_id=project, most=1000))

        erased = store.write(None, work)
        assert erased == 2
        left = cluster.run("SELECT count(*) FROM dialoguedb.messages", of(address))
        assert left == [(2,)]
        for _ in projects.delete(store, "two"):
            pass
        left = cluster.run(
            "SELECT DISTINCT p.name FROM dialoguedb.dialogues AS d "
            "JOIN dialoguedb.spaces AS s ON s.id = d.space_id "
            "JOIN dialoguedb.projects AS p ON p.id = s.project_id",
            of(address),
        )
        assert left == [("one",)]


def test_the_role_for_upkeep_is_taken_on_and_not_inherited(cluster: Cluster) -> None:
    """Else its policies, which let everything pass, would be those of every statement."""
    upkeep = row_security.upkeep_role(ROLE)
    asked = (
        f"SELECT pg_has_role('{ROLE}', '{upkeep}', how) FROM unnest(ARRAY['USAGE', 'SET']) AS how"
    )
    assert cluster.run(asked) == [(False,), (True,)]
    attributes = "rolsuper OR rolbypassrls OR rolcanlogin OR rolcreaterole"
    assert cluster.run(f"SELECT {attributes} FROM pg_roles WHERE rolname = '{upkeep}'") == [
        (False,)
    ]


def test_a_server_that_ran_while_rows_were_secured_fails_loudly(cluster: Cluster) -> None:
    """It has not learned to say its space; it must not answer that nothing is there."""
    address = cluster.new_database()
    fill(address)
    with dialoguedb.open(address, project="one") as db:
        assert db.get_memory("shared") is not None
        migrate(address, row_level_security=True)
        with pytest.raises(dialoguedb.DialogueDBError):
            db.get_memory("shared")
    with dialoguedb.open(address, project="one") as db:
        assert db.get_memory("shared") is not None


def test_another_role_gets_policies_of_its_own(cluster: Cluster) -> None:
    """Without them it would see nothing, and say that nothing is there."""
    address = cluster.new_database()
    fill(address)
    migrate(address, row_level_security=True)
    done = migrate(address, role="third_app")
    assert "row-level security of messages" in done
    with dialoguedb.open(address, project="one") as db:
        assert db.get_memory("shared") is not None


# ── plans, as the role that servers work as ──────────────────────────────────────────────────

#: Rows of twenty spaces, as many as make PostgreSQL choose as it does where there are more.
MANY = """
INSERT INTO dialoguedb.messages (space_id, dialogue_id, created, sequence, id, role, content,
    content_length, metadata, tags, modified)
SELECT 1000 + n % 20, 'd' || n % 200, n, n, 'm' || n, 'user', '""', 2, '{}', '[]', n
FROM generate_series(1, 20000) AS n;
INSERT INTO dialoguedb.dialogues (space_id, id, inserted, request_id, tags, total_messages,
    thread_count, last_sequence, last_server_time, version, created, modified)
SELECT 1000 + n % 20, 'd' || n, n, 'r', '[]', 0, 0, 0, 0, 1, n, n
FROM generate_series(1, 20000) AS n;
INSERT INTO dialoguedb.entries (space_id, kind, owner, sequence, created, modified, image, length,
    counts, tokens, facets)
SELECT 1000, 0, 'd', n, n, n, false, 1, '\\x01', ARRAY[n, n + 100000], '{}'
FROM generate_series(1, 20000) AS n;
ANALYZE dialoguedb.messages, dialoguedb.dialogues, dialoguedb.entries
"""


@pytest.fixture(scope="module")
def many(cluster: Cluster, address: str) -> int:
    """A space among many rows."""
    for statement in MANY.split(";"):
        cluster.run(statement, of(address))
    return 1000


def plan(session: Session, space: int, sql: str, params: dict[str, Any]) -> str:
    """How PostgreSQL would run a statement for that role."""
    session.undo()
    session.begin(BEGIN_WRITE)
    session.confine([space], "two")
    (rows,) = session.all(f"EXPLAIN (FORMAT JSON) {sql}", params | {"space": space})
    return json.dumps(rows[0])


@pytest.mark.parametrize(
    ("name", "index", "params"),
    [
        ("messages_list_desc", "messages_pkey",
         {"dialogue_id": "d0", "start": 0, "stop": 10**9, "at": 10**9, "after": 9, "limit": 9}),
        ("messages_get", "messages_by_id", {"id": "m20"}),
        ("dialogues_append", "dialogues_pkey",
         {"id": "d20", "count": 1, "now": 1, "newest": 1, "stamped": 1}),
        ("dialogues_list_desc", "dialogues_by_created",
         {"start": 0, "stop": 10**9, "at": 10**9, "after": 9, "last": "", "limit": 9}),
    ],
)  # fmt: skip
def test_keys_are_used_under_the_policies(
    session: Session, many: int, name: str, index: str, params: dict[str, Any]
) -> None:
    """A policy is one more condition on the first column of the key; pages stay in its order."""
    told = plan(session, many, ALL[name].sql, params)
    assert f'"Index Name": "{index}"' in told
    assert '"Node Type": "Sort"' not in told
    assert "Seq Scan" not in told


def test_the_index_of_words_is_used_when_its_operators_are_known_to_tell_nothing(
    cluster: Cluster, address: str, session: Session, many: int
) -> None:
    """Until then only the key is, as `migrate` says."""
    asked = (
        "SELECT e.owner FROM entries AS e WHERE e.tokens && CAST(:words AS bigint[]) "
        "AND e.space_id = :space"
    )
    params = {"words": [1, 2]}
    assert "entries_by_token" not in plan(session, many, asked, params)
    for function in row_security.SEARCHED:
        cluster.run(f"ALTER FUNCTION pg_catalog.{function} LEAKPROOF", of(address))
    assert "entries_by_token" in plan(session, many, asked, params)
    with psycopg.connect(address) as connection:
        assert row_security.slowed(connection) == []
    assert not any(one.hint for one in examine(address) if "row-level" in one.what)


# ── bad input ────────────────────────────────────────────────────────────────────────────────


def test_who_does_not_own_the_tables_cannot_secure_them(cluster: Cluster) -> None:
    """One line, and nothing is changed."""
    address = cluster.new_database()
    cluster.run("CREATE ROLE other_login LOGIN PASSWORD 'other'")
    cluster.run(f"GRANT {ROLE} TO other_login")
    try:
        other = address.replace("dialoguedb:owner@", "other_login:other@")
        with pytest.raises(StoreError) as caught:
            migrate(other, row_level_security=True)
        assert "\n" not in caught.value.message
        with psycopg.connect(address) as connection:
            assert not row_security.is_on(connection)
    finally:
        cluster.run("DROP ROLE other_login")
