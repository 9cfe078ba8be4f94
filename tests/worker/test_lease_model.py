"""Leases against a model: who holds what, and what may be taken, whatever the order of events."""

from collections.abc import Callable
from contextlib import closing
from typing import Any, NamedTuple

import apsw
import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from dialoguedb.store import jobs
from dialoguedb.store.opening import open_store
from dialoguedb.store.protocol import Store, WriteTx

#: Time passes in hours; what a test itself takes is nothing beside that.
HOUR_MS = 3_600_000
LEASE_HOURS = 2
KEYS = st.sampled_from(["a", "b", "c"])
KINDS = ("one", "other")


class Known(NamedTuple):
    """A job as the model has it; times in hours, a lease by the number of its taking."""

    run_at: float
    attempts: int = 0
    until: float = -1.0
    lease: int = 0
    failed: str | None = None

    def state(self, now: float) -> str:
        if self.failed is not None:
            return "failed"
        if self.until >= now:
            return "running"
        return "later" if self.run_at > now else "due"


def change(db: str, statement: str) -> None:
    """Change the table of jobs past the store."""
    if "://" in db:
        with psycopg.connect(db, options="-c search_path=dialoguedb", autocommit=True) as there:
            there.execute(statement.encode())
        return
    # Not by another SQLite than the store's: it would drop the locks of this process.
    with closing(apsw.Connection(db)) as file:
        file.set_busy_timeout(5_000)
        file.execute(statement)


def shift(db: str, ms: int) -> None:
    """Let time pass: what is in the table is so much longer ago."""
    change(
        db,
        f"""UPDATE jobs SET run_at = run_at - {ms}, created = created - {ms},
        leased_until = CASE WHEN leased_until = 0 THEN 0 ELSE leased_until - {ms} END""",
    )


class Leases(RuleBasedStateMachine):
    """Two stores on one database; each step is carried out by one of them."""

    stores: tuple[Store, Store]
    db: str

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.known: dict[tuple[str, str], Known] = {}
        self.taken: list[jobs.Job] = []
        change(self.db, "DELETE FROM jobs")

    def claim_with(self, store: Store, kinds: tuple[str, ...]) -> jobs.Job | None:
        lease_ms = LEASE_HOURS * HOUR_MS
        return jobs.on_newest(store, None, lambda tx: jobs.claim(tx, kinds, lease_ms))

    def held(self, number: int) -> tuple[jobs.Job, tuple[str, str], bool] | None:
        """A job that was taken once; the model says whether it still is by the same."""
        if not self.taken:
            return None
        number %= len(self.taken)
        job = self.taken[number]
        known = self.known.get((job.kind, job.key))
        return job, (job.kind, job.key), known is not None and known.lease == number + 1

    def act(self, which: int, newest: bool, work: Callable[[WriteTx], Any]) -> Any:
        store = self.stores[which]
        return jobs.on_newest(store, None, work) if newest else store.write(None, work)

    @rule(which=st.integers(0, 1), kind=st.sampled_from(KINDS), key=KEYS, delay=st.integers(0, 4))
    def add(self, which: int, kind: str, key: str, delay: int) -> None:
        made = self.act(which, False, lambda tx: jobs.add(tx, kind, key, delay_ms=delay * HOUR_MS))
        assert made == ((kind, key) not in self.known)
        if made:
            self.known[kind, key] = Known(self.now + delay)

    @rule(which=st.integers(0, 1), both=st.booleans())
    def claim(self, which: int, both: bool) -> None:
        kinds = KINDS if both else KINDS[:1]
        due = {
            name: known.run_at
            for name, known in self.known.items()
            if known.state(self.now) == "due" and name[0] in kinds
        }
        job = self.claim_with(self.stores[which], kinds)
        if job is None:
            assert not due
            return
        name = (job.kind, job.key)
        assert due[name] == min(due.values())
        before = self.known[name]
        assert job.attempts == before.attempts + 1
        self.taken.append(job)
        self.known[name] = before._replace(
            attempts=job.attempts, until=self.now + LEASE_HOURS, lease=len(self.taken)
        )

    @rule(which=st.integers(0, 1), number=st.integers(0, 50), newest=st.booleans())
    def renew(self, which: int, number: int, newest: bool) -> None:
        if (found := self.held(number)) is None:
            return
        job, name, mine = found
        lease_ms = LEASE_HOURS * HOUR_MS
        assert self.act(which, newest, lambda tx: jobs.renew(tx, job, lease_ms)) == mine
        if mine:
            self.known[name] = self.known[name]._replace(until=self.now + LEASE_HOURS)

    @rule(which=st.integers(0, 1), number=st.integers(0, 50), newest=st.booleans())
    def finish(self, which: int, number: int, newest: bool) -> None:
        if (found := self.held(number)) is None:
            return
        job, name, mine = found
        assert self.act(which, newest, lambda tx: jobs.finish(tx, job)) == mine
        if mine:
            del self.known[name]

    @rule(which=st.integers(0, 1), number=st.integers(0, 50), wait=st.integers(0, 3))
    def put_back(self, which: int, number: int, wait: int) -> None:
        if (found := self.held(number)) is None:
            return
        job, name, mine = found
        wait_ms = wait * HOUR_MS
        done = self.act(
            which, True, lambda tx: jobs.put_back(tx, job, wait_ms=wait_ms, attempts=wait)
        )
        assert done == mine
        if mine:
            self.known[name] = Known(self.now + wait, wait)

    @rule(which=st.integers(0, 1), number=st.integers(0, 50))
    def give_up(self, which: int, number: int) -> None:
        if (found := self.held(number)) is None:
            return
        job, name, mine = found
        assert self.act(which, True, lambda tx: jobs.give_up(tx, job, "no")) == mine
        if mine:
            known = self.known[name]
            self.known[name] = known._replace(until=-1.0, lease=0, failed="no")

    @rule(which=st.integers(0, 1), kind=st.sampled_from(KINDS), key=KEYS)
    def retry(self, which: int, kind: str, key: str) -> None:
        known = self.known.get((kind, key))
        failed = known is not None and known.failed is not None
        assert self.act(which, False, lambda tx: jobs.retry(tx, kind, key)) == failed
        if failed:
            self.known[kind, key] = Known(self.now)

    @rule(hours=st.integers(1, 4))
    def time_passes(self, hours: int) -> None:
        shift(self.db, hours * HOUR_MS)
        self.now += hours
        # What was to be at this very hour has just been: the test's own time has passed too.
        self.now += 0.001

    @invariant()
    def the_table_is_as_the_model(self) -> None:
        for store in self.stores:
            found = {(one.kind, one.key): one for one in store.read(None, jobs.every)}
            assert found.keys() == self.known.keys()
            for name, known in self.known.items():
                assert found[name].state == known.state(self.now), name
                assert found[name].attempts == known.attempts
                assert found[name].failed == known.failed


def test_leases_go_as_the_model_says(db: str, long_round: bool) -> None:
    with closing(open_store(db)) as one, closing(open_store(db)) as other:
        made = type("LeasesHere", (Leases,), {"stores": (one, other), "db": db})
        run_state_machine_as_test(
            made,
            settings=settings(
                max_examples=200 if long_round else 15,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
