"""Each effect happens once, whatever becomes of the workers."""

import signal
import threading
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise

import psycopg
import pytest

from databases import Cluster
from dialoguedb.engine import projects
from dialoguedb.errors import AdminError, ServiceUnavailable
from dialoguedb.runtime import Runtime, system_clock
from dialoguedb.store import jobs
from dialoguedb.store.opening import open_store
from dialoguedb.store.protocol import Store
from dialoguedb.worker.kinds import Kind
from dialoguedb.worker.task import Again, Task
from dialoguedb.worker.working import Pace, Worker
from worker.working import LEASE_S, Process, add, effects, states, store_key, until

JOBS = 200


def claimed(store: Store, kind: str, lease_s: float = 60) -> jobs.Job | None:
    return jobs.on_newest(store, None, lambda tx: jobs.claim(tx, [kind], int(lease_s * 1000)))


def finished(store: Store, job: jobs.Job) -> bool:
    return store.write(None, lambda tx: jobs.finish(tx, job))


# ── processes ────────────────────────────────────────────────────────────────────────────────


def test_two_workers_do_each_of_many_jobs_once(db: str, store: Store, project: str) -> None:
    """However they come in one another's way."""
    names = sorted(f"k{number}" for number in range(JOBS))
    with Process(db) as one, Process(db) as other:
        one.wait_for("ready")
        other.wait_for("ready")
        for name in names:
            add(store, "store", name, project=project)
        until(lambda: not states(store), "all is done", 40)
        for process in (one, other):
            process.send(signal.SIGTERM)
            assert process.ended() == 0, process.seen
    assert effects(store, project) == names


def test_the_job_of_a_killed_worker_is_taken_over(db: str, store: Store, project: str) -> None:
    """When its lease has ended; its effect happens once."""
    add(store, "wait", "a", project=project)
    with Process(db) as first:
        first.wait_for("began a")
        with Process(db) as second:
            second.wait_for("ready")
            first.send(signal.SIGKILL)
            second.wait_for("began a")
            assert effects(store, project) == []
            second.go_on()
            second.wait_for("stored a")
    assert effects(store, project) == ["a"]
    assert states(store) == {}


def test_a_worker_that_slept_past_its_lease_stores_nothing(
    db: str, store: Store, project: str
) -> None:
    """Also while the one who has the job now has not come to its end."""
    add(store, "wait", "a", project=project)
    with Process(db) as sleeper:
        sleeper.wait_for("began a")
        sleeper.send(signal.SIGSTOP)
        with Process(db) as other:
            other.wait_for("began a")
            sleeper.go_on()
            sleeper.send(signal.SIGCONT)
            sleeper.wait_for("taken over")
            assert effects(store, project) == []
            other.go_on()
            other.wait_for("stored a")
        sleeper.send(signal.SIGTERM)
        assert sleeper.ended() == 0
    assert effects(store, project) == ["a"]
    assert not any("stored" in line for line in sleeper.seen)


def test_a_long_job_keeps_its_lease(db: str, store: Store, project: str) -> None:
    """Twice as long as a lease, beside a worker that has nothing else to do."""
    add(store, "wait", "a", project=project)
    with Process(db) as one:
        one.wait_for("began a")
        idle = Worker(store, kinds={"wait": Kind(store_key)}, pace=Pace(idle_s=0.02))
        thread = threading.Thread(target=idle.run)
        thread.start()
        thread.join(2 * LEASE_S)
        idle.stop()
        thread.join()
        assert effects(store, project) == []
        one.go_on()
        one.wait_for("stored a")
    assert effects(store, project) == ["a"]


def test_a_worker_that_is_asked_to_end_leaves_the_rest_to_others(db: str, store: Store) -> None:
    """At once, and not counted as an attempt that failed."""
    add(store, "steps", "a")
    with Process(db, lease_s=600) as one:
        one.wait_for("began a")
        one.send(signal.SIGTERM)
        assert one.ended() == 0, one.seen
    (left,) = store.read(None, jobs.every)
    assert (left.state, left.attempts, left.failed) == ("due", 0, None)


# ── the effect and the end ───────────────────────────────────────────────────────────────────


def test_a_job_that_is_asked_for_again_is_one(store: Store, project: str) -> None:
    """While it is due, and while it is being done; afterwards it is another one."""

    def asked(key: str) -> bool:
        return store.write(None, lambda tx: jobs.add(tx, "store", key))

    assert asked("a")
    assert not asked("a")
    taken = claimed(store, "store")
    assert taken is not None
    assert not asked("a")
    assert asked("b")
    assert finished(store, taken)
    assert asked("a")
    assert states(store) == {"store:a": "due", "store:b": "due"}


@pytest.mark.parametrize("ends", ["finish", "write"])
def test_what_a_job_writes_needs_its_lease(store: Store, project: str, ends: str) -> None:
    """The effect is not there either when the row is another's, or gone."""
    add(store, "store", "a", project=project)
    met: list[Exception] = []

    def robbed(task: Task) -> None:
        other = task.job._replace(lease="x")
        assert not finished(store, other)
        assert finished(store, task.job)
        try:
            store_key(task) if ends == "finish" else task.write(None, making("two"))
        except jobs.LeaseLost as error:
            met.append(error)
            raise

    assert Worker(store, kinds={"store": Kind(robbed)}).run(once=True) == 1
    assert len(met) == 1
    assert effects(store, project) == []
    assert [one.name for one in projects.every(store)] == ["one"]


def making(name: str) -> Callable[..., None]:
    """A work that makes a project."""

    def work(tx: object) -> None:
        from dialoguedb.store import projects as stored

        stored.insert(tx, name, name, 1)  # type: ignore[arg-type]

    return work


def test_a_job_whose_effect_fails_is_still_to_be_done(store: Store, project: str) -> None:
    """Neither the effect nor the end has happened."""
    add(store, "store", "a")

    def failing(task: Task) -> None:
        def work(tx: object) -> None:
            making("two")(tx)
            raise AdminError("no")

        task.finish(None, work)

    Worker(store, kinds={"store": Kind(failing)}).run(once=True)
    (left,) = store.read(None, jobs.every)
    assert (left.state, left.attempts) == ("later", 1)
    assert [one.name for one in projects.every(store)] == ["one"]


def test_a_job_can_be_put_off_without_end(store: Store) -> None:
    """It has not failed, however often that is."""
    add(store, "again", "a")
    count = 0

    def once_more(task: Task) -> Again | None:
        nonlocal count
        count += 1
        assert task.job.attempts == 1
        return Again() if count < 30 else None

    worker = Worker(store, kinds={"again": Kind(once_more)}, pace=Pace(attempts=2))
    assert worker.run(once=True) == 30
    assert states(store) == {}


def test_a_kind_that_is_done_again_and_again_has_one_job(store: Store) -> None:
    """Done once, it is there for the next time; several workers see to it."""
    done: list[str] = []
    kinds = {"daily": Kind(lambda task: done.append(task.job.key), each_s=3600)}
    for _ in range(2):
        Worker(store, kinds=kinds).run(once=True)
    assert done == [""]
    assert states(store) == {"daily:": "later"}


def test_jobs_of_other_kinds_are_left_to_others(store: Store, project: str) -> None:
    """Such as those of a newer release."""
    add(store, "unknown", "a")
    assert Worker(store, kinds={"store": Kind(store_key)}).run(once=True) == 0
    assert states(store) == {"unknown:a": "due"}


# ── failures ─────────────────────────────────────────────────────────────────────────────────

PACE = Pace(attempts=3, first_pause_s=0.1, longest_pause_s=0.15, idle_s=0.01)


def worked(store: Store, kind: Kind, wanted: str) -> None:
    """Work until the one job stands so."""
    worker = Worker(store, kinds={"store": kind}, pace=PACE)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        until(lambda: states(store).get("store:a", "gone") == wanted, wanted)
    finally:
        worker.stop()
        thread.join()


def test_a_job_that_fails_is_tried_later_and_then_left_with_the_reason(
    store: Store, project: str
) -> None:
    """Retried by a person, it starts anew."""
    add(store, "store", "a", project=project)
    seen: list[tuple[int, int]] = []

    def failing(task: Task) -> None:
        seen.append((task.job.attempts, store.runtime.now()))
        raise AdminError("set the key of the endpoint")

    worked(store, Kind(failing), "failed")
    assert [attempt for attempt, _ in seen] == [1, 2, 3]
    pauses = [after - before for (_, before), (_, after) in pairwise(seen)]
    assert pauses[0] >= 45
    assert pauses[1] >= 70
    (left,) = store.read(None, jobs.every)
    assert (left.failed, left.attempts) == ("set the key of the endpoint", 3)
    assert claimed(store, "store") is None
    assert store.write(None, lambda tx: jobs.retry(tx, "store", "a"))
    assert not store.write(None, lambda tx: jobs.retry(tx, "store", "a"))
    worked(store, Kind(store_key), "gone")
    assert effects(store, project) == ["a"]


def test_a_defect_is_told_without_what_it_was_about(store: Store) -> None:
    """The text of an unknown error may hold what was stored."""
    add(store, "store", "a")

    def broken(task: Task) -> None:
        raise KeyError("a secret")

    worked(store, Kind(broken), "failed")
    (left,) = store.read(None, jobs.every)
    assert left.failed is not None
    assert "KeyError" in left.failed
    assert "secret" not in left.failed


def test_what_will_pass_is_tried_without_end(store: Store) -> None:
    """No endpoint, no database: that is nothing to give up for."""
    add(store, "store", "a")
    count = 0

    def away(task: Task) -> None:
        nonlocal count
        count += 1
        if count < 8:
            raise ServiceUnavailable

    worked(store, Kind(away), "gone")
    assert count == 8


def test_a_job_that_ends_its_workers_is_given_up(db: str, store: Store) -> None:
    """It is not seen to fail, so it is counted when it is taken."""
    add(store, "store", "a")
    for _ in range(PACE.attempts):
        assert claimed(store, "store", lease_s=-1) is not None
    worked(store, Kind(store_key), "failed")
    (left,) = store.read(None, jobs.every)
    assert left.failed is not None
    assert "3 times" in left.failed


def test_a_job_that_does_not_end_is_released(store: Store, project: str) -> None:
    """Who has it next does it; the first one is refused."""
    add(store, "store", "a", project=project)
    go, began = threading.Event(), threading.Event()
    met: list[Exception] = []

    def stuck(task: Task) -> None:
        began.set()
        go.wait()
        try:
            store_key(task)
        except jobs.LeaseLost as error:
            met.append(error)
            raise

    worker = Worker(store, kinds={"store": Kind(stuck)})
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert began.wait(10)
    worker.stop()
    worker.release()
    assert states(store) == {"store:a": "due"}
    assert Worker(store, kinds={"store": Kind(store_key)}).run(once=True) == 1
    go.set()
    thread.join()
    assert len(met) == 1
    assert effects(store, project) == ["a"]


# ── clocks ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.postgres_only
@pytest.mark.parametrize("hours", [-2, 2])
def test_clocks_of_workers_do_not_matter(db: str, store: Store, project: str, hours: int) -> None:
    """A lease ends, and a job is due, by the clock of the database."""
    wrong = Runtime(lambda: system_clock() + hours * 3_600_000)
    with closing(open_store(db, runtime=wrong)) as other:
        other.write(None, lambda tx: jobs.add(tx, "store", "a"))
        mine = claimed(store, "store")
        assert mine is not None
        assert claimed(other, "store") is None
        assert jobs.on_newest(other, None, lambda tx: jobs.renew(tx, mine, 60_000))
        assert states(store) == states(other) == {"store:a": "running"}
        assert jobs.on_newest(
            other, None, lambda tx: jobs.put_back(tx, mine, wait_ms=60_000, attempts=0)
        )
        assert states(store) == {"store:a": "later"}
        assert claimed(store, "store") is None
        assert claimed(other, "store") is None


@pytest.mark.postgres_only
def test_taking_passes_over_what_another_is_taking(db: str, store: Store, cluster: Cluster) -> None:
    """It does not wait for a transaction that is under way."""
    add(store, "store", "a")
    add(store, "store", "b")
    with psycopg.connect(db) as connection:
        connection.execute("SELECT 1 FROM dialoguedb.jobs WHERE key = 'a' FOR UPDATE")
        taken = claimed(store, "store")
    assert taken is not None
    assert taken.key == "b"
