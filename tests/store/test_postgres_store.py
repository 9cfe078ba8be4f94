"""PostgreSQL: works that meet, connections that are lost, and what callers are told of it."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, NamedTuple

import msgspec
import psycopg
import pytest

from databases import Cluster
from dialoguedb.engine import Caller, Replayed, handlers, projects
from dialoguedb.errors import AdminError, DialogueDBError, ServiceUnavailable
from dialoguedb.store.opening import Service, open_store
from dialoguedb.store.postgres.store import PostgresStore
from dialoguedb.store.postgres.writer import LATE, LOST
from dialoguedb.store.protocol import Scope, Snapshot, WriteTx
from transferring import READERS, ROWS

WAIT_S = 20
TIMEOUT_S = 1.0
#: Ends the connections of a database's servers.
CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = 'dialoguedb'"
)


class Process(NamedTuple):
    """A store on the shared database, as another process would have it, and calls with it."""

    store: PostgresStore
    project_id: str

    @property
    def scope(self) -> Scope:
        return Scope(self.project_id, "")

    def call(
        self,
        name: str,
        body: Any = None,
        *,
        where: dict[str, str] | None = None,
        key: str | None = None,
        meanwhile: Callable[[], Any] | None = None,
        **query: str,
    ) -> Any:
        """Carry out an operation; `meanwhile` happens when its transaction has seen its state."""
        sent = b"" if body is None else msgspec.json.encode(body)
        request = READERS[name].read(where or {}, list(query.items()), sent)
        caller = Caller(project_id=self.project_id, request_id="r", idempotency_key=key)
        task = handlers()[name](caller, request)
        if not ROWS[name].writes:
            return self.store.read(task.scope, task.work)
        return self.store.write(task.scope, interrupted(task.work, meanwhile))


def interrupted(
    work: Callable[[WriteTx], Any], meanwhile: Callable[[], Any] | None
) -> Callable[[WriteTx], Any]:
    """Have something happen before a work, in the transaction of its first run."""
    ran: list[int] = []

    def whole(tx: WriteTx) -> Any:
        ran.append(1)
        if len(ran) == 1 and meanwhile is not None:
            meanwhile()
        return work(tx)

    return whole


@pytest.fixture(scope="module")
def address(cluster: Cluster) -> Iterator[str]:
    made = cluster.new_database()
    yield made
    cluster.drop(made)


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """A cluster whose settings the tests here change."""
    with Cluster(settings={"max_connections": "24", "max_wal_senders": "2"}) as made:
        yield made


@pytest.fixture(scope="module")
def stores(address: str) -> Iterator[tuple[PostgresStore, PostgresStore]]:
    service = Service(timeout_s=TIMEOUT_S)
    with (
        closing(open_store(address, service=service)) as one,
        closing(open_store(address, service=service)) as other,
    ):
        yield one, other


@pytest.fixture
def both(stores: tuple[PostgresStore, PostgresStore]) -> tuple[Process, Process]:
    """Two processes that work on one fresh project."""
    project_id = projects.create(stores[0], f"test {time.monotonic_ns()}").id
    one, other = Process(stores[0], project_id), Process(stores[1], project_id)
    one.call("dialogues.create")  # the space is there
    return one, other


def rows(process: Process, statement: str) -> list[tuple[Any, ...]]:
    """Ask the database itself; `:space` is the project's un-named space."""
    with psycopg.connect(process.store.address.conninfo) as connection:
        ((space,),) = connection.execute(
            "SELECT id FROM dialoguedb.spaces WHERE project_id = %s", (process.project_id,)
        ).fetchall()
        connection.execute("SET search_path = dialoguedb, public")
        return connection.execute(statement.replace(":space", str(space)).encode()).fetchall()


def assert_counted(process: Process) -> None:
    """The counters of each dialogue, and the figures of the index, are those of the rows."""
    wrong = rows(
        process,
        """SELECT d.id, d.total_messages, d.thread_count, d.last_message_created
        FROM dialogues AS d WHERE d.space_id = :space AND (d.total_messages, d.thread_count,
            coalesce(d.last_message_created, 0)) IS DISTINCT FROM (
            (SELECT count(*) FROM messages AS m
                WHERE m.space_id = :space AND m.dialogue_id = d.id),
            (SELECT count(*) FROM dialogues AS t
                WHERE t.space_id = :space AND t.thread_of = d.id),
            (SELECT coalesce(max(m.created), 0) FROM messages AS m
                WHERE m.space_id = :space AND m.dialogue_id = d.id))""",
    )
    assert wrong == []
    assert rows(
        process,
        "SELECT kind, sum(texts), sum(words) FROM figures WHERE space_id = :space "
        "GROUP BY kind HAVING sum(texts) <> 0 OR sum(words) <> 0 ORDER BY kind",
    ) == rows(
        process,
        "SELECT kind, count(*), sum(length) FROM entries WHERE space_id = :space "
        "GROUP BY kind ORDER BY kind",
    )


MESSAGE = {"role": "user", "content": "My wheel is bent."}


# ── works of two processes, each of which reads what the other writes ────────────────────────


def test_a_dialogue_made_again_counts_without_what_is_deleted_meanwhile(
    both: tuple[Process, Process],
) -> None:
    """Neither writes a row of the other: one counts messages, one finds no dialogue to count."""
    one, other = both
    one.call("dialogues.create", {"id": "d", "messages": [MESSAGE | {"id": "m"}, MESSAGE]})
    one.call("dialogues.delete", where={"id": "d"})
    again = one.call(
        "dialogues.create",
        {"id": "d"},
        meanwhile=lambda: other.call("messages.delete", where={"id": "m"}),
    )
    assert again.total_messages == 1
    assert_counted(one)


def test_and_the_other_way_round(both: tuple[Process, Process]) -> None:
    one, other = both
    one.call("dialogues.create", {"id": "d", "messages": [MESSAGE | {"id": "m"}, MESSAGE]})
    one.call("dialogues.delete", where={"id": "d"})
    one.call(
        "messages.delete",
        where={"id": "m"},
        meanwhile=lambda: other.call("dialogues.create", {"id": "d"}),
    )
    assert_counted(one)


@pytest.mark.parametrize("first", ["parent", "thread"])
def test_a_parent_made_again_counts_without_a_thread_that_is_deleted_meanwhile(
    both: tuple[Process, Process], first: str
) -> None:
    one, other = both
    one.call("dialogues.create", {"id": "p"})
    one.call("dialogues.create", {"id": "t", "threadOf": "p"})
    one.call("dialogues.delete", where={"id": "p"})

    def make(process: Process, meanwhile: Callable[[], Any] | None = None) -> None:
        process.call("dialogues.create", {"id": "p"}, meanwhile=meanwhile)

    def delete(process: Process, meanwhile: Callable[[], Any] | None = None) -> None:
        process.call("dialogues.delete", where={"id": "t"}, meanwhile=meanwhile)

    if first == "parent":
        make(one, lambda: delete(other))
    else:
        delete(one, lambda: make(other))
    assert_counted(one)


@pytest.mark.parametrize("cascade", ["true", "false"])
def test_a_dialogue_made_again_goes_on_from_the_numbers_of_one_deleted_meanwhile(
    both: tuple[Process, Process], cascade: str
) -> None:
    """Its maker must not go on from a state in which the id was taken and no tombstone there."""
    one, other = both
    one.call("dialogues.create", {"id": "d", "messages": [MESSAGE, MESSAGE]})
    again = one.call(
        "dialogues.create",
        {"id": "d", "message": MESSAGE},
        meanwhile=lambda: other.call("dialogues.delete", where={"id": "d"}, cascade=cascade),
    )
    assert [message.sequence for message in again.messages] == [3]
    assert rows(one, "SELECT count(*) FROM tombstones WHERE space_id = :space") == [(0,)]
    assert_counted(one)


@pytest.mark.parametrize("value", [{}, "a bent wheel"])
def test_a_memory_made_again_is_counted_once(both: tuple[Process, Process], value: Any) -> None:
    one, other = both
    one.call("memories.create", {"id": "k", "value": value})
    one.call(
        "memories.create",
        {"id": "k", "value": value},
        meanwhile=lambda: other.call("memories.delete", where={"id": "k"}),
    )
    assert_counted(one)


def test_a_message_id_is_taken_again_when_its_message_is_deleted_meanwhile(
    both: tuple[Process, Process],
) -> None:
    one, other = both
    one.call("dialogues.create", {"id": "d", "message": MESSAGE | {"id": "m"}})
    one.call("dialogues.create", {"id": "e"})
    made = one.call(
        "messages.create",
        MESSAGE | {"id": "m", "dialogueId": "e"},
        meanwhile=lambda: other.call("messages.delete", where={"id": "m"}),
    )
    assert made.dialogue_id == "e"
    assert_counted(one)


def record_of(dialogue_id: str, **other: Any) -> dict[str, Any]:
    at = "2026-02-03T04:05:06.007Z"
    return {
        "type": "dialogue", "id": dialogue_id, "requestId": "r", "status": "active", "version": 1,
        "created": at, "modified": at, "lastSequence": 0, **other,
    }  # fmt: skip


@pytest.mark.parametrize("order", [("t", "p"), ("p", "t")])
def test_a_thread_and_its_parent_are_imported_at_the_same_time(
    both: tuple[Process, Process], order: tuple[str, str]
) -> None:
    one, other = both
    records = {"p": record_of("p"), "t": record_of("t", threadOf="p")}
    first, second = order
    one.call(
        "transfer.restore",
        [records[first]],
        meanwhile=lambda: other.call("transfer.restore", [records[second]]),
    )
    assert one.call("dialogues.get", where={"id": "p"}).thread_count == 1
    assert_counted(one)


def test_a_message_of_a_deleted_dialogue_is_imported_while_that_is_made_again(
    both: tuple[Process, Process],
) -> None:
    one, other = both
    one.call("dialogues.create", {"id": "d", "messages": [MESSAGE | {"id": "m"}]})
    exported = one.call("transfer.export").items
    message = next(item for item in map(msgspec.json.decode, exported) if item["id"] == "m")
    one.call("dialogues.delete", where={"id": "d"}, cascade="true")
    message.pop("projectId", None)
    one.call(
        "transfer.restore",
        [message],
        meanwhile=lambda: other.call("dialogues.create", {"id": "d"}),
    )
    assert_counted(one)


class Slow:
    """A store whose first write is late: something else happens before it."""

    def __init__(self, store: PostgresStore, before: Callable[[], Any]) -> None:
        self._store = store
        self._before = [before]

    def __getattr__(self, name: str) -> Any:
        if name == "write" and self._before:
            self._before.pop()()
        return getattr(self._store, name)


def test_a_project_that_becomes_protected_meanwhile_is_not_deleted(
    both: tuple[Process, Process],
) -> None:
    one, other = both

    def protect() -> None:
        projects.configure(other.store, other.project_id, deletion_protection=True)

    slow: Any = Slow(one.store, protect)
    with pytest.raises(AdminError, match="protected"):
        list(projects.delete(slow, one.project_id))
    assert one.call("dialogues.create", {"id": "d"}).id == "d"


# ── what is waited for ───────────────────────────────────────────────────────────────────────


def test_a_project_is_erased_after_all_that_had_begun(both: tuple[Process, Process]) -> None:
    """Also after one that has only read until then: it would write into what is gone."""
    one, other = both
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert go_on.wait(WAIT_S)

    with ThreadPoolExecutor(2) as pool:
        late = pool.submit(one.call, "dialogues.create", {"id": "late"}, meanwhile=wait)
        assert begun.wait(WAIT_S)
        (space,) = rows(one, "SELECT :space")[0]
        deleting = pool.submit(lambda: list(projects.delete(other.store, other.project_id)))
        until(lambda: not marked(other), "it is marked")
        time.sleep(0.05)
        assert not deleting.done()
        go_on.set()
        assert late.result(WAIT_S).id == "late"
        deleting.result(WAIT_S)
    with psycopg.connect(one.store.address.conninfo) as connection:
        for table in ("dialogues", "entries", "figures"):
            query = f"SELECT count(*) FROM dialoguedb.{table} WHERE space_id = {space}"
            assert connection.execute(query.encode()).fetchone() == (0,), table


def marked(process: Process) -> bool:
    """Whether the project can still be reached."""
    found = projects.every(process.store)
    return any(one.id == process.project_id and not one.deleting for one in found)


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, f"not within {WAIT_S} s: {what}"
        time.sleep(0.01)


def test_a_process_that_stops_in_a_transaction_keeps_nobody_for_long(
    both: tuple[Process, Process],
) -> None:
    """The server ends its transaction; when it goes on, its work runs again on what is there."""
    one, other = both
    one.call("dialogues.create", {"id": "d"})
    holding, ran = threading.Event(), []

    def work(tx: WriteTx) -> int:
        ran.append(1)
        tx.one("dialogues_append", id="d", count=1, newest=0, stamped=1, now=1)
        if len(ran) == 1:
            holding.set()
            time.sleep(3 * TIMEOUT_S)
        tx.run("dialogues_append", id="d", count=-1, newest=0, stamped=0, now=1)
        return len(ran)

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(one.store.write, one.scope, work)
        assert holding.wait(WAIT_S)
        until(lambda: stored(other), "the other one writes")
        assert held.result(WAIT_S) == 2
    assert one.call("dialogues.get", where={"id": "d"}).total_messages == 1


def stored(process: Process) -> bool:
    try:
        process.call("messages.create", MESSAGE | {"dialogueId": "d"})
    except ServiceUnavailable:
        return False
    return True


def test_what_has_waited_for_too_long_is_not_stored(both: tuple[Process, Process]) -> None:
    """Who has sent it has been told, or has gone: it would come as a surprise."""
    one, _ = both
    begun = threading.Semaphore(0)
    writers = len(one.store.writers)

    def slow(tx: WriteTx) -> None:
        begun.release()
        time.sleep(1.5 * TIMEOUT_S)

    with ThreadPoolExecutor(writers) as pool:
        all_busy = []
        for _ in range(writers):
            all_busy.append(pool.submit(one.store.write, one.scope, slow))
            assert begun.acquire(timeout=WAIT_S)
        with pytest.raises(ServiceUnavailable, match=LATE.message):
            one.call("dialogues.create", {"id": "late"})
        for each in all_busy:
            each.result(WAIT_S)
    with pytest.raises(DialogueDBError, match="not found"):
        one.call("dialogues.get", where={"id": "late"})


# ── connections that are lost ────────────────────────────────────────────────────────────────


def test_connections_that_were_cut_while_nobody_used_them_cost_no_request(
    cluster: Cluster, both: tuple[Process, Process]
) -> None:
    one, _ = both
    name = one.store.address.parts["dbname"]
    for number in range(3):
        one.call("dialogues.create", {"id": f"d-{number}"})
        cluster.run(CUT, name)
        assert one.call("dialogues.get", where={"id": f"d-{number}"}).id == f"d-{number}"
        cluster.run(CUT, name)


def test_a_connection_that_is_cut_in_a_work_is_replaced_and_the_work_done_once(
    cluster: Cluster, both: tuple[Process, Process]
) -> None:
    one, _ = both
    name = one.store.address.parts["dbname"]
    made = one.call(
        "dialogues.create",
        {"id": "d", "message": MESSAGE},
        meanwhile=lambda: cluster.run(CUT, name),
    )
    assert made.total_messages == 1
    assert_counted(one)


def test_a_commit_whose_answer_is_lost_says_so_and_its_key_makes_it_safe_to_repeat(
    own: Cluster,
) -> None:
    """Here the commit waits for a standby that is not there, and its connection is ended."""
    with closing(opened(own)) as store:
        project_id = projects.create(store, "one").id
        one = Process(store, project_id)
        one.call("dialogues.create", {"id": "d"})
        own.configure(synchronous_standby_names="nobody")
        with ThreadPoolExecutor(1) as pool:
            body = MESSAGE | {"dialogueId": "d"}
            sent = pool.submit(one.call, "messages.create", body, key="k")
            name = store.address.parts["dbname"]
            waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            until(lambda: bool(own.run(waiting)), "the commit waits")
            own.run(f"SELECT pg_terminate_backend(pid) FROM ({waiting}) AS w", name)
            with pytest.raises(ServiceUnavailable, match=LOST.message):
                sent.result(WAIT_S)
        own.configure(synchronous_standby_names="")
        again = one.call("messages.create", body, key="k")
        assert isinstance(again, Replayed)  # it had been stored
        assert one.call("dialogues.get", where={"id": "d"}).total_messages == 1


def test_a_commit_that_a_standby_has_not_confirmed_is_not_taken_for_done(own: Cluster) -> None:
    """An administrator cancels the wait: PostgreSQL warns, and says that it has committed."""
    with closing(opened(own)) as store:
        project_id = projects.create(store, "one").id
        one = Process(store, project_id)
        one.call("dialogues.create", {"id": "d"})
        own.configure(synchronous_standby_names="nobody")
        with ThreadPoolExecutor(1) as pool:
            sent = pool.submit(one.call, "messages.create", MESSAGE | {"dialogueId": "d"})
            waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            until(lambda: bool(own.run(waiting)), "the commit waits")
            # Longer than a statement may take: it is not left for that.
            time.sleep(TIMEOUT_S + 1.5)
            assert not sent.done()
            assert len(own.run(waiting)) == 1
            own.run(f"SELECT pg_cancel_backend(pid) FROM ({waiting}) AS w")
            with pytest.raises(ServiceUnavailable, match=LOST.message):
                sent.result(WAIT_S)
        own.configure(synchronous_standby_names="")
        one.call("dialogues.create", {"id": "e"})


def opened(cluster: Cluster) -> PostgresStore:
    found = open_store(cluster.new_database(), service=Service(timeout_s=TIMEOUT_S))
    assert isinstance(found, PostgresStore)
    return found


def test_out_of_connections_is_told_at_once_and_passes(own: Cluster) -> None:
    with closing(opened(own)) as store:
        one = Process(store, projects.create(store, "one").id)
        own.run(CUT, store.address.parts["dbname"])
        taken = []
        with pytest.raises(psycopg.OperationalError, match="connection"):
            for _ in range(30):
                taken.append(psycopg.connect(own.address()))
        began = time.monotonic()
        with pytest.raises(ServiceUnavailable):
            one.call("dialogues.create", {"id": "d"})
        assert time.monotonic() - began < TIMEOUT_S
        for connection in taken:
            connection.close()
        free = "SELECT count(*) < 12 FROM pg_stat_activity"
        until(lambda: bool(own.run(free)[0][0]), "there are connections")
        assert one.call("dialogues.create", {"id": "d"}).id == "d"


def test_a_conflict_in_what_waits_for_the_commit_is_run_again(
    both: tuple[Process, Process],
) -> None:
    """An id that two have just made: it fails with the commit, when the work is done."""
    one, other = both

    def claim(process: Process) -> dict[str, Any]:
        return {"project_id": process.project_id, "kind": "message", "id": "same"}

    ran: list[int] = []

    def work(tx: WriteTx) -> int:
        ran.append(1)
        if len(ran) == 1:
            tx.put("claims_put", [claim(one)])
            other.store.write(other.scope, lambda tx: tx.put("claims_put", [claim(other)]))
        return len(ran)

    assert one.store.write(one.scope, work) == 2


@pytest.mark.parametrize("acts", [1, 2])
def test_a_snapshot_whose_connection_is_lost_says_that_the_database_is_away(
    own: Cluster, acts: int
) -> None:
    """Also where several read side by side, and it is no act's failure; then it is taken anew."""
    address = own.new_database()
    with closing(open_store(address)) as store:

        def reading(snapshot: Snapshot) -> Callable[[], Any]:
            return lambda: snapshot.read(None, lambda tx: tx.all("projects_list"))

        snapshot = store.snapshot()
        snapshot.side_by_side([reading(snapshot)])
        own.run(CUT, address.rpartition("/")[2])
        with pytest.raises(ServiceUnavailable):
            snapshot.side_by_side([reading(snapshot)] * acts)
        snapshot.close()
        with closing(store.snapshot()) as another:
            assert len(another.side_by_side([reading(another)] * acts)) == acts
