"""Jobs: what is to be done in the background, as rows beside the data that they are about.

A job is one row for as long as there is something to do. Its kind and key make it one, however
often it is asked for. A worker takes it with a lease: a random word, and a time until which nobody
else takes it, by the clock of the database. What it has done, it commits together with the end of
the job, and only if the word is still its own. So a worker that was thought dead stores nothing,
and each effect happens once.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

from dialoguedb.errors import DialogueDBError
from dialoguedb.store.protocol import Reach, ReadTx, Scope, Store, T, WriteTx, WriteWork

#: Characters of the reason why a job is given up.
_LONGEST_REASON = 500


class LeaseLost(DialogueDBError):
    """Another worker has taken this job over, or it is gone. Nothing was stored."""


class Job(NamedTuple):
    """A job that a worker has taken.

    Attributes:
        kind: what is to be done.
        key: to what; one job for each kind and key.
        project_id: whose it is: it goes with that project; None for the database's own.
        space_id: the space that it is about; None for none.
        payload: what else there is to know, as JSON.
        attempts: how often it has been taken since it last got on, this time too.
        lease: the word of the one who holds it.
    """

    kind: str
    key: str
    project_id: str | None
    space_id: int | None
    payload: str
    attempts: int
    lease: str


class Listed(NamedTuple):
    """A job, as it is shown; times in milliseconds UTC.

    `state` is `due`, `running`, `later` (from `run_at` on) or `failed`, with the reason.
    """

    kind: str
    key: str
    project_id: str | None
    state: str
    attempts: int
    run_at: int
    created: int
    failed: str | None


def add(tx: WriteTx, kind: str, key: str, payload: str = "{}", *, delay_ms: int = 0) -> bool:
    """Have something done in the background, once this transaction is committed.

    The job belongs to the project and the space of the transaction, if it has one.

    Args:
        tx: the transaction of what the job is about.
        kind: what is to be done: a kind of `worker/kinds.py`.
        key: to what.
        payload: what else there is to know, as JSON.
        delay_ms: how long not to do it yet.
    Returns: False when there is such a job already; it stays as it is.
    """
    return bool(
        tx.all(
            "jobs_add",
            kind=kind,
            key=key,
            project_id=tx.scope.project_id or None,
            space_id=tx.space_id or None,
            payload=payload,
            delay_ms=delay_ms,
            now=tx.runtime.now(),
        )
    )


def may_be_due(store: Store, kinds: Sequence[str]) -> bool:
    """Tell whether a job may be due; where reading is as dear as claiming, that is not asked."""
    if not store.inline:
        return True
    wanted, now = json.dumps(list(kinds)), store.runtime.now()
    return store.read(None, lambda tx: tx.one("jobs_due", kinds=wanted, now=now)) is not None


def has_any(tx: ReadTx, kinds: Sequence[str]) -> bool:
    """Tell whether there is a job of some kinds that has not failed."""
    return any(one.kind in kinds and one.failed is None for one in every(tx))


def claim(tx: WriteTx, kinds: Sequence[str], lease_ms: int) -> Job | None:
    """Take the job that has been due for longest and that nobody holds; None if there is none.

    Args:
        tx: of `on_newest`.
        kinds: those that can be done here.
        lease_ms: how long nobody else takes it.
    """
    row = tx.one(
        "jobs_claim",
        kinds=json.dumps(list(kinds)),
        lease=tx.runtime.uuid(),
        lease_ms=lease_ms,
        now=tx.runtime.now(),
    )
    return None if row is None else Job._make(row)


def renew(tx: WriteTx, job: Job, lease_ms: int) -> bool:
    """Hold a job for longer; False when it is lost."""
    return tx.run("jobs_renew", **_held(job), until=_now(tx) + lease_ms) > 0


def finish(tx: WriteTx, job: Job) -> bool:
    """End a job, with all that the transaction does besides; False when it is lost."""
    return tx.run("jobs_finish", **_held(job)) > 0


def drop(tx: WriteTx, kind: str, key: str) -> None:
    """End a job that there is nothing to do for any more, whoever holds it."""
    tx.run("jobs_drop", kind=kind, key=key)


def put_back(tx: WriteTx, job: Job, *, wait_ms: int, attempts: int) -> bool:
    """Have a job taken again after a while, with so many attempts behind it."""
    run_at = _now(tx) + wait_ms
    return tx.run("jobs_put_back", **_held(job), run_at=run_at, attempts=attempts) > 0


def give_up(tx: WriteTx, job: Job, reason: str) -> bool:
    """Leave a job as failed, for a person to see; nobody takes it until it is to be retried."""
    return tx.run("jobs_give_up", **_held(job), reason=reason[:_LONGEST_REASON]) > 0


def retry(tx: WriteTx, kind: str, key: str) -> bool:
    """Have a failed job taken again; False when there is no such one."""
    return tx.run("jobs_retry", kind=kind, key=key, now=_now(tx)) > 0


def every(tx: ReadTx) -> list[Listed]:
    """Give all jobs, the oldest first."""
    return [Listed._make(row) for row in tx.all("jobs_list", now=_now(tx))]


def scope_of(tx: ReadTx, space_id: int) -> Scope | None:
    """Give the scope of a space; None when its project is gone, or is being deleted."""
    row = tx.one("jobs_space", space_id=space_id)
    return None if row is None else Scope(*row)


def on_newest(store: Store, scope: Reach, work: WriteWork[T]) -> T:
    """Run a work in which each statement sees what has been committed by then, and wait for it.

    It is for what workers take from one another: in one snapshot they would all see the same jobs.
    It waits for no writer of the store, and notes nothing for search.

    Raises:
        ServiceUnavailable: the database is away.
    """
    if store.inline:  # one writes at a time: what a transaction sees is the newest
        return store.write(scope, work)
    # The driver is an extra, and who works on a file does without it.
    from dialoguedb.store.postgres.jobs import run_on_newest  # noqa: PLC0415

    return run_on_newest(store, scope, work)


def _now(tx: ReadTx) -> int:
    """Read the clock that leases go by, milliseconds. It may be late when it is used, never early.

    A lease is then shorter than it was to be, which is safe.
    """
    row = tx.one("jobs_now", now=tx.runtime.now())
    assert row is not None
    return int(row[0])


def _held(job: Job) -> dict[str, str]:
    return {"kind": job.kind, "key": job.key, "lease": job.lease}
