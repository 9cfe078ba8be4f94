"""Acts that share a connection: their statements travel together, and they fail as one."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import psycopg
import pytest

from databases import Cluster
from dialoguedb.store.postgres.pool import Address, connect
from dialoguedb.store.postgres.session import BEGIN_WRITE, Session


class Counted(Session):
    """A session that counts how often it waits."""

    waits = 0

    def _send(self, asked: Any) -> Any:
        self.waits += 1
        return super()._send(asked)


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> Iterator[str]:
    """A database with nothing in it."""
    address = cluster.new_database("bare")
    yield address
    cluster.drop(address)


@pytest.fixture
def session(database: str) -> Iterator[Counted]:
    """A session of its own, in a transaction."""
    with closing(connect(Address.of(database))) as connection:
        made = Counted(connection)
        made.begin(BEGIN_WRITE)
        yield made
        made.undo()


def add(session: Session, first: int, times: int) -> int:
    """Add one so often, each time to what the database has answered."""
    for _ in range(times):
        ((first,),) = session.all("SELECT CAST(:n AS bigint) + 1", {"n": first})
    return first


def test_acts_wait_as_often_as_the_one_that_asks_most(session: Counted) -> None:
    acts: list[Callable[[], int]] = [partial(add, session, n, n % 4) for n in range(40)]
    assert session.side_by_side(acts) == [n + n % 4 for n in range(40)]
    assert session.waits == 3


def test_what_an_act_has_queued_is_run_before_it_looks(session: Session) -> None:
    session.all("CREATE TEMPORARY TABLE kept (number bigint)", {})

    def keep(number: int) -> int:
        session.later("INSERT INTO kept VALUES (:n)", [number])
        sql = "SELECT COUNT(*) FROM kept WHERE number = :n"
        return int(session.all(sql, {"n": number})[0][0])

    assert session.side_by_side([partial(keep, n) for n in range(5)]) == [1] * 5


def test_an_act_whose_statement_fails_is_told(session: Session) -> None:
    def divide(by: int) -> str:
        try:
            return str(session.all("SELECT 1 / CAST(:by AS bigint)", {"by": by}))
        except psycopg.errors.DivisionByZero:
            raise KeyError(by) from None

    with pytest.raises(KeyError, match="0"):
        session.side_by_side([partial(divide, by) for by in (1, 0, 2)])


def test_a_failure_that_an_act_swallows_is_not_swallowed(session: Session) -> None:
    def divide(by: int) -> object:
        try:
            return session.all("SELECT 1 / CAST(:by AS bigint)", {"by": by})
        except psycopg.Error:
            return None

    with pytest.raises(psycopg.errors.DivisionByZero):
        session.side_by_side([partial(divide, by) for by in (1, 0, 2)])


def test_an_act_that_fails_breaks_the_others_off(session: Session) -> None:
    left = []

    def asking(number: int) -> int:
        try:
            return add(session, number, 3)
        finally:
            left.append(number)

    def failing() -> int:
        add(session, 0, 1)
        raise ValueError("so")

    with pytest.raises(ValueError, match="so"):
        session.side_by_side([partial(asking, 1), failing, partial(asking, 2)])
    assert sorted(left) == [1, 2]
    assert add(session, 5, 1) == 6


def test_alone_an_act_is_as_any_code(session: Counted) -> None:
    assert session.side_by_side([partial(add, session, 1, 2)]) == [3]
    assert session.side_by_side([]) == []
    assert session.waits == 2
