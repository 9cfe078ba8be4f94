"""An index of PostgreSQL built anew beside the one in use: whole, resumable, and never mixed."""

import random
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from databases import Cluster
from dialoguedb.engine import Caller, projects
from dialoguedb.errors import ServiceUnavailable
from dialoguedb.store import backlog, walking
from dialoguedb.store.postgres import filling as postgres_filling
from dialoguedb.store.postgres import rebuilding as postgres_rebuilding
from dialoguedb.store.postgres.filling import Filler
from dialoguedb.store.postgres.pool import connect
from dialoguedb.store.postgres.rebuilding import Rebuilding
from dialoguedb.store.postgres.session import Session
from dialoguedb.store.postgres.settling import settle
from dialoguedb.store.protocol import WriteTx
from rebuilding_room import (
    NEW,
    OLD,
    Acting,
    checked,
    fill,
    in_use,
    move,
    opened,
    rows,
    settled,
    written,
)
from searching import HANDLERS, KINDS, REQUESTS, Hashing, Tenant, World

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=20)


@pytest.fixture
def db(cluster: Cluster) -> Iterator[str]:
    """A database without a schema."""
    address = cluster.new_database("bare")
    yield address
    cluster.drop(address)


# ── what is built ────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def shared(cluster: Cluster) -> Iterator[str]:
    """A database that is moved to and fro."""
    address = cluster.new_database("bare")
    with opened(address, Hashing(*OLD)):
        yield address
    cluster.drop(address)


@FIXED
@given(
    before=st.lists(st.tuples(st.integers(0, KINDS), st.integers(0, 99)), max_size=30),
    during=st.lists(st.tuples(st.integers(0, KINDS), st.integers(0, 99)), max_size=30),
    step=st.sampled_from([1, 2, 1024]),
    batch=st.sampled_from([1, 3, 256]),
    again=st.booleans(),
)
def test_the_new_index_holds_what_is_stored(
    before: list[tuple[int, int]],
    during: list[tuple[int, int]],
    step: int,
    batch: int,
    again: bool,
    shared: str,
) -> None:
    """Whatever is written, deleted or embedded while it is built, also by the same model."""
    left = list(during)

    def act() -> None:
        for kind, seed in [left.pop() for _ in range(min(3, len(left)))]:
            if kind == KINDS:
                fill(store)
            else:
                world.act(kind, random.Random(seed))

    models = [Acting(*what, act=lambda: None) for what in (OLD, NEW)]
    with pytest.MonkeyPatch.context() as patch, opened(shared, *models) as store:
        patch.setattr(walking, "STEP", step)
        patch.setattr(postgres_filling, "BATCH", batch)
        patch.setattr(postgres_rebuilding, "BATCH", batch)
        world = World(store)
        for kind, seed in before:
            world.act(kind, random.Random(seed))
        name = in_use(store)
        new = next(model for model in models if (model.name == name) == again)
        new.act = act
        move(store, new)
        new.act = lambda: None
        assert in_use(store) == new.name
        assert checked(store).equal
        fill(store)
        settled(store)
        assert rows(store, "SELECT COUNT(*) FROM indexes") == [(1,)]
        for _ in projects.delete(store, world.tenant.id):
            pass


@pytest.mark.parametrize("moment", ["embed", "_take"])
def test_a_text_that_changes_while_it_is_embedded_gets_the_vectors_of_the_new_one(
    db: str, moment: str
) -> None:
    """Before they are stored, or while they are; also of what is deleted and made again."""
    count = [0]

    def act(*_: object, **__: object) -> None:
        if count[0] < 3:
            count[0] += 1
            tenant.call("dialogues.update", id="a", label=f"changed {count[0]}")
            tenant.call("memories.delete", id="m")
            tenant.call("memories.create", id="m", value=f"again {count[0]}")
            tenant.say("a", f"said meanwhile {count[0]}")

    def acting(part: Any) -> Any:
        return lambda *args, **more: (act(), part(*args, **more))[1]

    old, new = Hashing(*OLD, inline=True), Acting(*NEW, act=lambda: None)
    with pytest.MonkeyPatch.context() as patch, opened(db, old, new) as store:
        tenant = Tenant(store)
        written(tenant)
        if moment == "embed":
            new.act = act
        else:
            patch.setattr(Filler, moment, acting(getattr(Filler, moment)))
        move(store, new)
        assert count == [3]
        settled(store)


def test_a_text_that_changes_while_its_vectors_are_stored_gets_others(db: str) -> None:
    """Who changes it waits for them, and sees them then."""
    changing: list[threading.Thread] = []
    put = Filler._put

    def acting(self: Filler, space: Any, key: Any, *made: Any, **more: Any) -> None:
        if key.owner == "a" and not changing:
            change = partial(tenant.call, "dialogues.update", id="a", label="changed")
            changing.append(threading.Thread(target=change))
            changing[0].start()
            while not rows(store, "SELECT 1 FROM pg_locks WHERE NOT granted"):
                assert changing[0].is_alive()
        put(self, space, key, *made, **more)

    with pytest.MonkeyPatch.context() as patch, opened(db, Hashing(*OLD), Hashing(*NEW)) as store:
        patch.setattr(Filler, "_put", acting)
        tenant = Tenant(store)
        written(tenant)
        move(store, Hashing(*NEW))
        changing[0].join()
        fill(store)
        settled(store)


def test_searches_answer_by_the_old_index_until_the_new_one_is_whole(db: str) -> None:
    """And by the new one from then on; in no answer are both."""
    seen: list[list[float]] = []

    def meanings() -> list[float]:
        found = tenant.found("wheel number 3 is bent", limit=100)
        return [one["meaning"] for one in found]

    old, new = Hashing(*OLD), Acting(*NEW, act=lambda: seen.append(meanings()))
    with pytest.MonkeyPatch.context() as patch, opened(db, old, new) as store:
        patch.setattr(walking, "STEP", 5)
        tenant = Tenant(store)
        written(tenant)
        fill(store)
        before = meanings()
        assert move(store, new) == 34
        new.act = lambda: None
        after = meanings()
    assert len(before) == len(after) == 30
    assert before != after
    assert min(before) > 0
    assert len(seen) > 6
    assert all(one == before for one in seen)


def test_the_graph_of_the_index_is_there_and_that_of_the_old_one_is_not(db: str) -> None:
    """Each index has its own."""
    old, new = Hashing(*OLD), Hashing(*NEW)
    graphs = "SELECT relname FROM pg_class WHERE relname LIKE 'vectors_graph_%' ORDER BY 1"
    with opened(db, old, new) as store:
        written(Tenant(store))
        assert rows(store, graphs) == [("vectors_graph_1",)]
        move(store, new)
        assert rows(store, graphs) == [("vectors_graph_2",)]
        assert rows(store, "SELECT DISTINCT generation FROM vectors") == [(2,)]


def test_the_vectors_of_a_large_project_are_in_the_graph_before_it_is_searched_by(db: str) -> None:
    """Those of a small one are not."""
    grown = (
        "SELECT s.project_id, bool_and(v.grown), bool_or(v.grown) FROM vectors AS v "
        "JOIN spaces AS s ON s.id = v.space_id GROUP BY 1"
    )
    old, new = Hashing(*OLD, inline=True), Hashing(*NEW)
    with pytest.MonkeyPatch.context() as patch, opened(db, old, new) as store:
        patch.setattr(backlog, "LARGE", 20)
        patch.setattr(postgres_rebuilding, "_AT_ONCE", 8)
        large, small = Tenant(store, "large"), Tenant(store, "small")
        written(large)
        written(small, 5)
        large.call("memories.create", id="n", value="elsewhere", namespace="Ada")
        move(store, new)
        assert {row[0]: row[1:] for row in rows(store, grown)} == {
            large.id: (True, True),
            small.id: (False, False),
        }
        settled(store)


# ── transactions that are open meanwhile ─────────────────────────────────────────────────────


def begun(
    tenant: Tenant, wait: Callable[[], object], operation: str, **fields: Any
) -> threading.Thread:
    """Begin an operation: its snapshot is taken when this returns; it goes on after `wait`."""
    request = msgspec.json.decode(msgspec.json.encode(fields), type=REQUESTS[operation])
    task = HANDLERS[operation](Caller(project_id=tenant.id, request_id="r"), request)
    has_read = threading.Event()

    def work(tx: WriteTx) -> object:
        tx.all("index_active")
        has_read.set()
        wait()
        return task.work(tx)

    thread = threading.Thread(target=tenant.store.write, args=(task.scope, work))
    thread.start()
    assert has_read.wait(10)
    return thread


def test_a_write_that_began_before_is_not_missed(db: str) -> None:
    """It knows nothing of the new index, and ends before anything of it is made."""
    asked = threading.Event()
    early: list[bool] = []
    old, new = Hashing(*OLD, inline=True), Acting(*NEW, act=asked.set)
    with pytest.MonkeyPatch.context() as patch, opened(db, old, new) as store:
        # To make the graph waits for the same, but is not to be relied on.
        patch.setattr(postgres_rebuilding, "ensure_graphs", lambda *_: None)
        tenant = Tenant(store)
        written(tenant)
        writing = begun(
            tenant, lambda: early.append(asked.wait(0.5)), "memories.create", id="n", value="new"
        )
        move(store, new)
        writing.join()
        settled(store)
    assert early == [False]


def test_a_delete_that_began_before_leaves_no_vectors(db: str) -> None:
    """Its snapshot shows neither that the resource waits nor what it has got."""
    asked = threading.Event()
    early: list[bool] = []
    deleting: list[threading.Thread] = []
    old, new = Hashing(*OLD, inline=True), Acting(*NEW, act=asked.set)
    have_wait = Rebuilding._have_wait
    with opened(db, old, new) as store:
        tenant = Tenant(store)
        written(tenant)

        def late(self: Rebuilding, *args: Any, **more: Any) -> Any:
            # It knows of the new index, and begins before anything waits.
            wait = lambda: early.append(asked.wait(0.5))  # noqa: E731
            deleting.append(begun(tenant, wait, "memories.delete", id="m"))
            with pytest.MonkeyPatch.context() as inner:
                inner.setattr(postgres_rebuilding, "settle", lambda *_, **__: None)
                return have_wait(self, *args, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Rebuilding, "_have_wait", late)
            move(store, new)
        deleting[0].join()
        settled(store)
        assert early[0] is False
        assert rows(store, "SELECT COUNT(*) FROM memories") == [(0,)]


def test_a_write_across_the_cut_over_gets_the_new_models_vectors(db: str) -> None:
    """It begins by the old index, and is committed when that is not used any more."""
    old, new = Hashing(*OLD, inline=True), Hashing(*NEW, inline=True)
    cut_over = Rebuilding._activate
    moved = threading.Event()
    early: list[bool] = []
    writing: list[threading.Thread] = []
    with opened(db, old, new) as store, opened(db, old, new) as other:
        tenant = Tenant(store)
        written(tenant)
        there = tenant.through(other)

        def late(self: Rebuilding, generation: Any) -> None:
            there.say("a", "said right before")
            wait = lambda: early.append(moved.wait(0.5))  # noqa: E731
            writing.append(begun(there, wait, "memories.create", id="n", value="across it"))
            cut_over(self, generation)
            tenant.say("a", "said right after")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Rebuilding, "_activate", late)
            move(store, new)
            moved.set()
        writing[0].join()
        assert early == [False]
        report = checked(store)
        assert (report.equal, report.waiting) == (True, 2), report
        assert rows(store, "SELECT DISTINCT generation FROM vectors") == [(2,)]
        fill(store)
        settled(store)
        assert there.found("across it", "memory") == tenant.found("across it", "memory")


def test_older_transactions_are_waited_for_also_when_they_have_only_read(db: str) -> None:
    """Not who begins later, nor who has none open."""
    with (
        opened(db, Hashing(*OLD)) as store,
        psycopg.connect(db) as reader,
        psycopg.connect(db, autocommit=True) as idle,
        connect(store.address) as connection,
    ):
        session = Session(connection)
        idle.execute("SELECT 1")
        settle(session, most_s=0)
        reader.execute("SELECT 1")
        with pytest.raises(ServiceUnavailable, match="open for long"):
            settle(session, most_s=0.05)
        waiter = threading.Thread(target=settle, args=(session,), kwargs={"most_s": 10})
        waiter.start()
        waiter.join(0.05)
        assert waiter.is_alive()
        with psycopg.connect(db) as later:
            later.execute("SELECT 1")
            reader.commit()
            waiter.join(5)
            assert not waiter.is_alive()
