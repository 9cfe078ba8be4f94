"""A thread that writes: it takes what waits as one group, one transaction, one commit.

A group has no savepoints: they would cost each work two statements. A work that fails before it has
changed anything has its error and the others go on; if it fails later, the whole group is taken
back and its works run one by one.

When another process changes the same meanwhile, the group is taken back, too, and runs again. From
then on the processes that write into that space take turns for a while: else each would take back
the work of the others again and again.
"""

import hashlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import psycopg

from dialoguedb.errors import ServiceUnavailable
from dialoguedb.runtime import chance, monotonic_s
from dialoguedb.store.postgres.failing import AGAIN, SilentError, is_gone, translated
from dialoguedb.store.postgres.index import Used, used
from dialoguedb.store.postgres.pool import Pool, connection_of
from dialoguedb.store.postgres.session import BEGIN_WRITE, Session
from dialoguedb.store.postgres.tx import PostgresTx
from dialoguedb.store.protocol import Job, Outcome, Reach, Resolver, Scope
from dialoguedb.store.slot import Bell, tell_slots

if TYPE_CHECKING:
    from dialoguedb.store.postgres.store import PostgresStore

log = logging.getLogger("dialoguedb.store")

#: Failures by what is to be stored: they are those of one work, whosever statement meets them.
_OF_ONE = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)
#: Works in one commit at most: bounds how long the first of them waits for the others.
MAX_GROUP = 128
#: A group that takes longer holds others up, seconds; most take a tenth of it.
_LONG_S = 0.05
#: How often a group that meets others is run again, then each of its works; between two runs of a
#: work up to so many seconds pass.
TOGETHER, ATTEMPTS = 3, 20
_PAUSE_S = 0.02
#: How long the writers of a space take turns after one of them has met another, seconds.
_TURNS_S = 2.0
#: How much longer than a request waits a writer that is closed is waited for, seconds.
_GRACE_S = 2.0
LOST = ServiceUnavailable(
    "The database was lost while it stored this: it may be stored or not. Send it again with the "
    "same Idempotency-Key or ids"
)
LATE = ServiceUnavailable("The database was busy for too long; nothing was stored. Try again")


#: Stands for the spaces that are not crowded.
_REST = Scope("", "the rest")


class _AgainError(Exception):
    """The group has been taken back; its works are to run one by one."""


class _MetError(Exception):
    """The group has met others, and was taken back.

    Attributes:
        scope: where that was; of a group for several spaces None if it is not known.
    """

    def __init__(self, scope: Reach = None) -> None:
        super().__init__()
        self.scope = scope


class _LostError(Exception):
    """The connection was lost in the commit: nobody knows whether it has happened."""


class _Held:
    """A connection that is held for a group, and changed for another when it is lost."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._turns = False
        self.session: Session = pool.take()

    def take_turns(self, scope: Reach) -> None:
        """Wait until no other process that takes turns writes into a space.

        Before the transaction: one that waits inside would go on with what it saw before.
        """
        if not self._turns:
            self.session.ask("turn_take", number=_number(scope))
            self._turns = True

    def renew(self) -> None:
        """Take another connection: this one is lost."""
        self.session.close()
        self._turns = False
        # Its place stays taken.
        self.session = self._pool.another()

    def let_go(self) -> None:
        """Give the connection back."""
        try:
            self.session.undo()
            if self._turns:
                self.session.ask("turn_end")
        except psycopg.Error:
            self.session.close()
        self._pool.give_back(self.session)


class Writer:
    """See the module. Works are given from any thread; its own carries them out."""

    def __init__(self, number: int, pool: Pool, store: "PostgresStore") -> None:
        """Begin, without connecting."""
        self._number = number
        self._pool = pool
        self._store = store
        self._waiting: deque[tuple[float, Sequence[Job]]] = deque()
        self._bell = Bell()
        self._closed = False
        #: Whether it is about to see if others are held up.
        self._watching = False
        #: Since when the group at hand has been carried out; None while there is none.
        self._since_s: float | None = None
        #: Where the log of writes ended after its last commit.
        self.position: str | None = None
        #: How often something has been taken back because it met others.
        self.met = 0
        #: Spaces whose writers take turns, and until when.
        self._crowded: dict[Reach, float] = {}
        self._thread = threading.Thread(
            target=self._run, name=f"dialoguedb-writer-{number}", daemon=True
        )
        self._thread.start()

    @property
    def held_up(self) -> bool:
        """Whether something long keeps it from what comes now."""
        since_s = self._since_s
        return since_s is not None and monotonic_s() - since_s > _LONG_S

    def take(self, jobs: Sequence[Job]) -> None:
        """Have works run; returns at once."""
        self._waiting.append((monotonic_s(), jobs))
        busy = self._since_s is not None  # before the bell: it begins with these at once
        self._bell.ring()
        if busy:
            self._be_watched()

    def _be_watched(self) -> None:
        """Have one that has nothing to do see whether this one is held up."""
        others = self._store.writers
        if not any(one._watching for one in others):
            free = next((one for one in others if one._since_s is None), None)
            if free is not None:
                free._bell.ring()

    def close(self) -> None:
        """Finish what has been given, then end; a database that says nothing is left."""
        self._closed = True
        self._bell.ring()
        self._thread.join(self._pool.wait_s + _GRACE_S)
        if self._thread.is_alive():
            log.error("the database does not answer; what was sent may be stored or not")
        self._pool.close()

    def _run(self) -> None:
        while True:
            while self._waiting:
                for jobs in self._parted(self._gathered()):
                    self._carry_out(jobs)
            self._relieve()
            if self._waiting:
                continue
            if self._closed:
                return
            self._bell.wait()

    def _relieve(self) -> None:
        """Take over what has come to another writer before it was known to be held up."""
        self._watching = True
        while not self._waiting and not self._closed:
            behind = [one for one in self._store.writers if one is not self and one._waiting]
            if not behind:
                break
            late = next((one for one in behind if one.held_up), None)
            if late is None:
                time.sleep(_LONG_S)
                continue
            with suppress(IndexError):
                while True:
                    self._waiting.append(late._waiting.popleft())
        self._watching = False

    def _gathered(self) -> Sequence[Job]:
        """Take what waits as one group; who has waited for too long has gone."""
        early_s = monotonic_s() - self._pool.wait_s
        together: list[Job] = []
        while self._waiting:
            try:
                since_s, jobs = self._waiting.popleft()
            except IndexError:
                break  # another writer has taken it
            if together and len(together) + len(jobs) > MAX_GROUP:
                self._waiting.appendleft((since_s, jobs))
                break
            if since_s < early_s:
                _tell(jobs, [Outcome(job.token, None, copy(LATE)) for job in jobs])
            else:
                together += jobs
        return together

    def _parted(self, jobs: Sequence[Job]) -> list[list[Job]]:
        """Part what is for crowded spaces, or takes long, from the rest: nobody waits for it."""
        if self._crowded:
            now_s = monotonic_s()
            self._crowded = {one: end for one, end in self._crowded.items() if end > now_s}
        crowded = self._crowded
        short = [job for job in jobs if not job.long]
        parts = _by(short, lambda job: job.scope if job.scope in crowded else _REST)
        return parts + [[job] for job in jobs if job.long]

    def _carry_out(self, jobs: Sequence[Job]) -> None:
        """Commit a group and tell its outcomes."""
        self._since_s = monotonic_s()
        if self._waiting:
            self._be_watched()
        outcomes: list[Outcome] = []
        try:
            self._commit(jobs, outcomes)
        except _MetError as met:
            parts = self._parted(jobs) if met.scope else _by(jobs, lambda job: job.scope)
            for part in parts:
                self._carry_out(part)
            return
        except BaseException as error:  # noqa: BLE001 - the writer thread must live on
            told = LOST if isinstance(error, _LostError) else translated(error)
            outcomes += [Outcome(job.token, None, copy(told)) for job in jobs[len(outcomes) :]]
        self._since_s = None  # before: who is told sends the next work at once
        _tell(jobs, outcomes)

    def _commit(self, jobs: Sequence[Job], outcomes: list[Outcome]) -> None:
        """Commit works together, else one by one; `outcomes` grows as they are known."""
        held = _Held(self._pool)
        try:
            if not self._together(held, jobs, outcomes):
                for job in jobs:
                    outcomes.append(self._alone(held, job))
        finally:
            held.let_go()

    def _together(self, held: _Held, jobs: Sequence[Job], outcomes: list[Outcome]) -> bool:
        """Commit works in one transaction; False when they are to run one by one.

        Raises:
            _MetError: they are of several spaces, and are to run in parts; nothing has happened.
        """
        one_space = len({job.scope for job in jobs}) == 1
        renewed = False
        for _ in range(TOGETHER):
            try:
                if jobs[0].scope in self._crowded:
                    held.take_turns(jobs[0].scope)
                outcomes += self._attempt(held.session, jobs)
            except _AgainError:
                return False
            except _MetError as met:
                self._meet(held, jobs[0].scope if one_space else met.scope)
                if not one_space:
                    raise
            except psycopg.Error as error:
                if len(jobs) > 1 and isinstance(error, _OF_ONE):
                    held.session.undo()
                    return False
                if renewed or not is_gone(error) or isinstance(error, SilentError):
                    raise
                renewed = True  # an old connection whose database was restarted
                held.renew()
            else:
                return True
        return False

    def _meet(self, held: _Held, scope: Reach) -> None:
        """Take back what has met others in a space; from now on take turns with them."""
        held.session.undo()
        self.met += 1
        self._store.index.move()
        self._crowded[scope] = monotonic_s() + _TURNS_S

    def _alone(self, held: _Held, job: Job) -> Outcome:
        """Run one work in a transaction of its own, again if it meets others."""
        failure: BaseException | None = None
        for attempt in range(ATTEMPTS):
            try:
                if job.scope in self._crowded:
                    held.take_turns(job.scope)
                return self._attempt(held.session, [job])[0]
            except _MetError as met:
                failure = met.__cause__
                self._meet(held, job.scope)
                time.sleep(_PAUSE_S * chance() * attempt)
            except _LostError:
                held.session.close()  # the next work takes another one
                return Outcome(job.token, None, copy(LOST))
            except psycopg.Error as error:
                if isinstance(error, SilentError) or (attempt and is_gone(error)):
                    raise
                if not is_gone(error):
                    held.session.undo()
                    return Outcome(job.token, None, translated(error))
                held.renew()
        assert failure is not None
        return Outcome(job.token, None, translated(failure))

    def _attempt(self, session: Session, jobs: Sequence[Job]) -> list[Outcome]:
        """Run works in one transaction and commit it.

        Raises:
            _AgainError: nothing of it has happened; the works are to run one by one.
            _MetError: nothing of it has happened; others have changed the same.
            psycopg.Error: nothing of it has happened.
            _LostError: it may have happened.
        """
        try:
            return self._transaction(session, jobs)
        except AGAIN as error:
            raise _MetError from error

    def _transaction(self, session: Session, jobs: Sequence[Job]) -> list[Outcome]:
        session.begin(BEGIN_WRITE)
        indexes, spaces = _known(session, jobs)
        alone = len(jobs) == 1

        def acted(places: Sequence[int]) -> list[tuple[PostgresTx, Outcome]]:
            return [self._work(session, jobs[place], spaces, alone=alone) for place in places]

        acts = _side_by_side(jobs)
        made = session.side_by_side([partial(acted, places) for places in acts])
        by_place = dict(zip(chain(*acts), chain(*made), strict=True))
        works = [by_place[place] for place in range(len(jobs))]
        noted = [
            (tx.scope, tx.space_id, tx.notes)
            for tx, outcome in works
            if outcome.error is None and tx.notes
        ]
        if noted:
            if indexes is None:
                raise ServiceUnavailable("The database has no search index; restart the server")
            session.confine([space_id for _, space_id, _ in noted], "")
            self._store.index.write(session, indexes, noted, writer=self._number)
        self.position = _committed(session)
        for tx, outcome in works:
            if outcome.error is None:
                tx.committed()
        return [outcome for _, outcome in works]

    def _work(
        self, session: Session, job: Job, spaces: dict[Scope, int], *, alone: bool
    ) -> tuple[PostgresTx, Outcome]:
        """Run one work inside the open transaction.

        Args:
            session: with the transaction.
            job: the work.
            spaces: their numbers, as this transaction has found them.
            alone: whether there is no other work in it.
        """
        tx = PostgresTx(session, job.scope, self._store.runtime, self._store.index)
        try:
            if isinstance(job.scope, Scope):
                tx.make_space(spaces)
                spaces[job.scope] = tx.space_id
            result = job.work(tx)
        except psycopg.Error as error:
            if isinstance(error, AGAIN):
                raise _MetError(job.scope) from error
            if alone or is_gone(error):
                raise
            session.undo()
            raise _AgainError from None
        except Exception as error:  # noqa: BLE001 - it is the work's outcome
            if tx.wrote and not alone:
                session.undo()
                raise _AgainError from None
            if tx.wrote:
                session.undo()
                session.begin(BEGIN_WRITE)
            return tx, Outcome(job.token, None, translated(error))
        return tx, Outcome(job.token, result, None)


def _by(jobs: Sequence[Job], key: Callable[[Job], Reach]) -> list[list[Job]]:
    """Part works by a key, in their order."""
    parts: dict[Reach, list[Job]] = {}
    for job in jobs:
        parts.setdefault(key(job), []).append(job)
    return list(parts.values())


def _side_by_side(jobs: Sequence[Job]) -> list[list[int]]:
    """Part works into those that must follow each other; give their places.

    Statements of one transaction see all that it has done before. So works that may look at the
    same rows go on as if each were alone only if they do so one after the other.
    """
    if not all(isinstance(job.scope, Scope) for job in jobs):
        return [list(range(len(jobs)))]
    whole = {job.scope for job in jobs if not job.apart}
    #: The work that each one follows; itself where it is the first.
    before = list(range(len(jobs)))
    named: dict[tuple[Reach, str], int] = {}
    for place, job in enumerate(jobs):
        for name in ("",) if job.scope in whole else job.apart:
            other = named.setdefault((job.scope, name), place)
            one, other = sorted((_first(before, place), _first(before, other)))
            before[other] = one
    acts: dict[int, list[int]] = {}
    for place in range(len(jobs)):
        acts.setdefault(_first(before, place), []).append(place)
    return list(acts.values())


def _first(before: Sequence[int], place: int) -> int:
    """Give the first of the works that one must follow."""
    while before[place] != place:
        place = before[place]
    return place


def _committed(session: Session) -> str | None:
    """Commit; give where the log of writes ends then.

    Raises:
        _LostError: it may have happened or not.
        psycopg.Error: it has not.
    """
    connection = connection_of(session)
    connection.warned, connection.committing = False, True
    try:
        position = session.commit(tell_position=True)
    except psycopg.Error as error:
        if is_gone(error):
            raise _LostError from error
        raise
    finally:
        connection.committing = False
    if connection.warned:
        # Somebody has cancelled the wait for the synchronous standby: it is on this server only.
        raise _LostError
    return position


def _number(scope: Reach) -> int:
    """Give the number of a space's lock, the same in each process."""
    name = "\n".join(scope or ()).encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), signed=True)


def _known(session: Session, jobs: Sequence[Job]) -> tuple[Used | None, dict[Scope, int]]:
    """Look up at once what works need: the indexes that are written, and the spaces that there are.

    They are looked up in each transaction: a number that is remembered for longer could be of a
    project that is being deleted.
    """
    scopes = list(dict.fromkeys(job.scope for job in jobs if isinstance(job.scope, Scope)))
    asked: list[tuple[str, Mapping[str, Any]]] = [("index_used", {})]
    asked += [("spaces_find", scope._asdict()) for scope in scopes]
    indexes, *found = session.ask_all(asked)
    spaces = {scope: rows[0][0] for scope, rows in zip(scopes, found, strict=True) if rows}
    return used(indexes), spaces


def _tell(jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> None:
    """Tell each resolver of its works, once."""
    by_resolver: dict[Resolver, list[Outcome]] = {}
    for job, outcome in zip(jobs, outcomes, strict=True):
        by_resolver.setdefault(job.resolver, []).append(outcome)
    for resolver, its_own in by_resolver.items():
        try:
            resolver(its_own)
        except Exception:  # the edge of the writer thread: it must live on
            if resolver is tell_slots:
                raise
            log.exception("an outcome could not be told")
