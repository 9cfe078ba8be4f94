"""Statements that travel together: prepared once, answered in order, and failing as one."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from databases import Cluster
from dialoguedb.store.postgres.failing import is_gone
from dialoguedb.store.postgres.pipeline import Pipeline, Sent
from dialoguedb.store.postgres.pool import Address, Connection, connect

_NAMES = "SELECT statement, custom_plans + generic_plans FROM pg_prepared_statements"


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> Iterator[str]:
    """A database with nothing in it."""
    address = cluster.new_database("bare")
    yield address
    cluster.drop(address)


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    """A connection of its own."""
    with closing(connect(Address.of(database))) as made:
        yield made


def test_answers_come_in_the_order_of_the_statements(connection: Connection) -> None:
    sent = [Sent("SELECT $1 + 1", (number,)) for number in range(50)]
    assert [one.rows for one in Pipeline(connection).run(sent)] == [[(n + 1,)] for n in range(50)]


def test_a_statement_is_prepared_once(connection: Connection) -> None:
    pipeline = Pipeline(connection)
    for number in range(4):
        pipeline.run([Sent("SELECT CAST($1 AS bigint) AS kept", (number,))])
    pipeline.run([Sent("SELECT CAST($1 AS bigint) AS once", (1,), prepared=False)])
    plans = dict(pipeline.run([Sent(_NAMES)])[0].rows)
    assert plans == {"SELECT CAST($1 AS bigint) AS kept": 4, _NAMES: 1}


def test_a_value_may_be_missing_at_first_and_of_a_type_later(connection: Connection) -> None:
    pipeline = Pipeline(connection)
    sql = "SELECT CAST($1 AS bigint), CAST($2 AS text)"
    for values in ((None, "a"), (1, None), (None, None), (2**40, "b"), (3, "c")):
        assert pipeline.run([Sent(sql, values)])[0].rows == [values]
    names = pipeline.run([Sent(_NAMES)])[0].rows
    assert sum(statement == sql for statement, _ in names) <= 2


def test_what_follows_a_failure_is_not_run_and_the_connection_goes_on(
    connection: Connection,
) -> None:
    pipeline = Pipeline(connection)
    pipeline.run([Sent("CREATE TEMPORARY TABLE kept (number bigint)")])
    insert = "INSERT INTO kept VALUES ($1)"
    with pytest.raises(psycopg.errors.DivisionByZero):
        pipeline.run([Sent(insert, (1,)), Sent("SELECT 1 / $1", (0,)), Sent(insert, (2,))])
    for _ in range(2):  # what was to be prepared with the failure is prepared now
        assert pipeline.run([Sent("SELECT 8 / $1", (2,))])[0].rows == [(4,)]
    assert pipeline.run([Sent(insert, (3,)), Sent(insert, (4,))])[1].changed == 1
    assert pipeline.run([Sent("SELECT number FROM kept")])[0].rows == [(3,), (4,)]


def test_answers_longer_than_what_the_network_takes_do_not_block_what_is_sent(
    connection: Connection,
) -> None:
    long = "x" * 2_000_000
    sent = [Sent("SELECT repeat($1, 2)", (long,))] * 12
    assert {len(one.rows[0][0]) for one in Pipeline(connection).run(sent)} == {4_000_000}


def test_a_server_that_ends_the_connection_is_told_as_gone(connection: Connection) -> None:
    pipeline = Pipeline(connection)
    with pytest.raises(psycopg.OperationalError):
        pipeline.run([Sent("SELECT pg_terminate_backend(pg_backend_pid())"), Sent("SELECT 1")])
    with pytest.raises(psycopg.OperationalError):
        pipeline.run([Sent("SELECT 1")])
    assert connection.closed


def test_what_a_failure_leaves_prepared_is_known(connection: Connection) -> None:
    pipeline = Pipeline(connection)
    for _ in range(5):
        with pytest.raises(psycopg.errors.DivisionByZero):
            pipeline.run([Sent("SELECT $1 + 0", (1,)), Sent("SELECT 1 / $1", (0,))])
        with pytest.raises(psycopg.errors.UndefinedTable):
            pipeline.run([Sent("SELECT $1 + 0", (1,)), Sent("SELECT $1 FROM nowhere", (0,))])
    kept = pipeline.run([Sent(_NAMES)])[0].rows
    assert sorted(statement for statement, _ in kept) == sorted(
        ["SELECT $1 + 0", "SELECT 1 / $1", _NAMES]
    )


@pytest.mark.parametrize(
    "done",
    [
        "DEALLOCATE ALL",
        "DISCARD ALL",
        "ALTER TABLE kept ADD COLUMN more text",
        "ALTER TABLE kept ALTER COLUMN number TYPE text",
    ],
)
def test_statements_that_the_server_knows_no_more_end_the_connection(
    connection: Connection, database: str, done: str
) -> None:
    """As one that was lost: whoever met it goes on with another one."""
    pipeline = Pipeline(connection)
    pipeline.run([Sent("DROP TABLE IF EXISTS kept"), Sent("CREATE TABLE kept (number bigint)")])
    reading = Sent("SELECT * FROM kept")
    pipeline.run([reading])
    pipeline.run([Sent(done, prepared=False)])
    with pytest.raises(psycopg.OperationalError) as caught:
        pipeline.run([reading])
    assert is_gone(caught.value)
    assert connection.closed
