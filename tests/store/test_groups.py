"""A group of works that run side by side: each has the outcome that it would have alone."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest

from databases import Cluster
from dialoguedb.engine import Task, projects
from dialoguedb.errors import (
    DialogueNotFound,
    DuplicateId,
    IdempotencyConflict,
    InternalError,
    PreconditionFailed,
)
from dialoguedb.store.opening import open_store
from dialoguedb.store.postgres.store import PostgresStore
from dialoguedb.store.postgres.tx import PostgresTx
from dialoguedb.store.postgres.writer import _side_by_side
from dialoguedb.store.protocol import Job, Scope, WriteTx
from dialoguedb.store.slot import Slot, tell_slots
from grouped import House


@pytest.fixture(scope="module")
def store(cluster: Cluster) -> Iterator[PostgresStore]:
    address = cluster.new_database()
    with closing(open_store(address)) as made:
        assert isinstance(made, PostgresStore)
        yield made
    cluster.drop(address)


@pytest.fixture
def house(store: PostgresStore, request: pytest.FixtureRequest) -> House:
    """A fresh project with dialogues in two spaces."""
    made = House(store, projects.create(store, request.node.name).id)
    tasks = [made.task("dialogues.create", {"id": f"d{number}"}) for number in range(4)]
    tasks.append(made.task("dialogues.create", {"id": "n0", "namespace": "n"}))
    assert [outcome.error for outcome in made.at_once(tasks)] == [None] * 5
    return made


def test_each_dialogue_counts_its_own(house: House) -> None:
    tasks = [house.say(f"d{number % 4}") for number in range(40)] + [house.say("n0", "n")] * 7
    outcomes = house.at_once(tasks)
    found = Counter((o.result.dialogue_id, o.result.sequence) for o in outcomes)
    expected = {(f"d{number % 4}", number // 4 + 1): 1 for number in range(40)}
    assert found == expected | {("n0", number): 1 for number in range(1, 8)}


def test_messages_of_one_dialogue_keep_the_order_in_which_they_came(house: House) -> None:
    tasks = [house.say(f"d{number % 4}", id=f"m-{number}") for number in range(40)]
    sequences = [outcome.result.sequence for outcome in house.at_once(tasks)]
    assert sequences == [number // 4 + 1 for number in range(40)]


def test_of_two_that_change_one_version_one_is_refused(house: House) -> None:
    tasks = [
        house.task("dialogues.update", {"state": {"by": number}}, id="d0", match=1)
        for number in range(6)
    ] + [house.say("d1") for _ in range(6)]
    errors = [type(outcome.error) for outcome in house.at_once(tasks)]
    assert Counter(errors) == {type(None): 7, PreconditionFailed: 5}


def test_an_id_is_taken_once_across_dialogues_and_spaces(house: House) -> None:
    tasks = [
        house.say("d0", id="same"),
        house.say("d1", id="same"),
        house.say("n0", "n", id="same"),
        house.say("d2"),
    ]
    errors = [type(outcome.error) for outcome in house.at_once(tasks)]
    assert Counter(errors) == {type(None): 2, DuplicateId: 2}
    assert errors[-1] is type(None)


def test_a_key_makes_one_message_also_side_by_side(house: House) -> None:
    outcomes = house.at_once([house.say("d0", key="k") for _ in range(5)] + [house.say("d1")])
    results = [getattr(outcome.result, "answer", outcome.result) for outcome in outcomes]
    assert [outcome.error for outcome in outcomes] == [None] * 6
    assert len({result.id for result in results[:5]}) == 1


def test_a_key_makes_one_message_also_in_another_dialogue(house: House) -> None:
    outcomes = house.at_once([house.say(f"d{number}", key="k") for number in range(4)])
    assert [type(outcome.error) for outcome in outcomes] == [type(None)] + [IdempotencyConflict] * 3
    again = house.at_once([house.say("d0", key="k")])[0].result
    assert again.answer.id == outcomes[0].result.id


def test_what_one_has_queued_and_cannot_be_stored_fails_that_one_alone(house: House) -> None:
    """It comes up with whatever is sent next: that may be another one's, or the commit."""

    def bad(tx: WriteTx) -> None:
        tx.put("claims_put", [{"project_id": house.project_id, "kind": "message", "id": "a\0"}])

    for apart in (("d9",), ()):
        task = Task(Scope(house.project_id, ""), bad, apart=apart)
        outcomes = house.at_once([house.say("d0"), task, *(house.say(f"d{n}") for n in range(4))])
        errors = [type(outcome.error) for outcome in outcomes]
        assert errors == [type(None), InternalError] + [type(None)] * 4


def test_what_may_meet_follows_each_other() -> None:
    def job(namespace: str, *apart: str) -> Job:
        return Job(Scope("p", namespace), lambda tx: None, None, tell_slots, apart)

    jobs = [job("", "a"), job("", "b"), job("", "a"), job("n", "a"), job("n"), job("n", "b")]
    assert _side_by_side(jobs) == [[0, 2], [1], [3, 4, 5]]
    linked = [job("", "a"), job("", "b"), job("", "c", "k"), job("", "b", "k"), job("n", "k")]
    assert _side_by_side(linked) == [[0], [1, 2, 3], [4]]
    of_all = Job(None, lambda tx: None, None, tell_slots)
    assert _side_by_side([*jobs, of_all]) == [[0, 1, 2, 3, 4, 5, 6]]


def sleep(tx: WriteTx) -> None:
    assert isinstance(tx, PostgresTx)
    tx._session.all("SELECT pg_sleep(2)", {})


@pytest.mark.parametrize("after_s", [0, 0.01, 0.3])
def test_what_comes_just_after_something_long_does_not_wait_for_its_end(
    house: House, after_s: float
) -> None:
    """As a cascade is, or an import: those who write when it begins are not kept until it ends."""
    long = Slot()
    house.store.submit([Job(Scope(house.project_id, "long"), sleep, long, tell_slots, long=True)])
    time.sleep(after_s)
    began = time.monotonic()
    for number in range(3):
        (outcome,) = house.at_once([house.say("d0")])
        assert outcome.result.sequence == number + 1
    assert time.monotonic() - began < 1
    long.result()
    assert house.at_once([house.say("d0")])[0].result.sequence == 4


def test_an_import_and_appends_beside_it_do_not_meet(house: House) -> None:
    """In one space, too: each writer counts what it stores in a row of its own."""
    records = [
        {
            "type": "memory",
            "id": f"kept-{number}",
            "value": "about a wheel " * 20,
            "created": "2026-01-01T00:00:00.000Z",
            "modified": "2026-01-01T00:00:00.000Z",
        }
        for number in range(500)
    ]
    task = house.task("transfer.restore", records)
    met = [writer.met for writer in house.store.writers]
    long = Slot()
    house.store.submit([Job(task.scope, task.work, long, tell_slots, long=True)])
    said = 0
    while long.outcome is None:
        tasks = [house.say("d0"), house.task("memories.create", {"value": "a wheel"})]
        appended, made = house.at_once(tasks)
        said += 1
        assert (appended.result.sequence, made.error) == (said, None)
    assert long.result().imported == 500
    assert said > 5  # one that waited for the import would be the only one
    assert [writer.met for writer in house.store.writers] == met


def test_an_append_to_a_dialogue_that_is_not_there_leaves_the_group_together(house: House) -> None:
    """It has changed nothing; else whoever sends such would cost all others their common commit."""
    tasks = [house.say("d0"), house.say("nowhere"), house.say("d1"), house.say("n0", "n")]
    errors = [type(outcome.error) for outcome in house.at_once(tasks)]
    assert errors == [type(None), DialogueNotFound, type(None), type(None)]
    sql = (
        "SELECT COUNT(*), COUNT(DISTINCT CAST(m.xmin AS text)) FROM messages AS m "
        "JOIN spaces AS s ON s.id = m.space_id WHERE s.project_id = :project_id"
    )
    with house.store._pool.session() as session:
        assert session.all(sql, {"project_id": house.project_id}) == [(3, 1)]
