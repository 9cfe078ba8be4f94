"""An index of PostgreSQL built anew beside the one in use: whole, resumable, and never mixed."""

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from databases import Cluster
from dialoguedb.embed import Embedder, EmbedderUnavailable
from dialoguedb.embed.patient import Patient
from dialoguedb.engine import Caller, projects
from dialoguedb.errors import AdminError, ServiceUnavailable
from dialoguedb.store import backlog, postgres_filling, postgres_rebuilding, walking
from dialoguedb.store.differing import Report
from dialoguedb.store.embedders import Embedders
from dialoguedb.store.index_tools import IndexTools, Progress, tools_of
from dialoguedb.store.opening import open_store
from dialoguedb.store.postgres import PostgresStore
from dialoguedb.store.postgres_filling import Filler
from dialoguedb.store.postgres_index import EntryIndex
from dialoguedb.store.postgres_pool import connect
from dialoguedb.store.postgres_rebuilding import Rebuilding
from dialoguedb.store.postgres_session import Session
from dialoguedb.store.postgres_settling import settle
from dialoguedb.store.postgres_verifying import verify
from dialoguedb.store.protocol import WriteTx
from searching import HANDLERS, KINDS, REQUESTS, Hashing, Tenant, World, opening

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=20)
OLD, NEW = ("hash:16", 16), ("hash:32", 32)
TESTS = str(Path(__file__).parents[1])


class Acting(Hashing):
    """A model that lets something happen each time it is asked."""

    def __init__(self, *what: Any, act: Callable[[], object]) -> None:
        super().__init__(*what)
        self.act = act

    def embed(self, texts: Sequence[str]) -> NDArray[np.int8]:
        """See `Embedder`."""
        self.act()
        return super().embed(texts)


@contextmanager
def opened(db: str, model: Embedder, *others: Embedder) -> Iterator[PostgresStore]:
    """Open a store whose index is by a model if it is new, and that knows others too."""
    store = open_store(db, embedder=model.name, open_embedder=opening(model, *others))
    assert isinstance(store, PostgresStore)
    with closing(store):
        yield store


@contextmanager
def tools(store: PostgresStore) -> Iterator[IndexTools]:
    with closing(tools_of(store, opening())) as made:
        yield made


@pytest.fixture
def db(cluster: Cluster) -> Iterator[str]:
    """A database without a schema."""
    address = cluster.new_database("bare")
    yield address
    cluster.drop(address)


def move(store: PostgresStore, model: Embedder, done: Progress | None = None) -> int:
    """Rebuild by a model; give how many resources were indexed on the way."""
    steps: list[int] = []
    with tools(store) as made:
        made.rebuild(model, done=done or steps.append)
    return sum(steps)


def fill(store: PostgresStore) -> int:
    """Give all their vectors; give how many were refused."""
    with tools(store) as made:
        filling = made.filling()
        while filling.step():
            pass
        return filling.refused


def checked(store: PostgresStore) -> Report:
    """Compare rows and index, the vectors too: as if the models were asked inside writes."""
    models = [Hashing(*what, inline=True) for what in (OLD, NEW)]
    return verify(store, EntryIndex(Embedders(opening(*models))), done=lambda count: None)


def settled(store: PostgresStore) -> None:
    """Index and rows are equal, and nothing waits."""
    report = checked(store)
    assert report.equal, report
    assert report.waiting == 0


def in_use(store: PostgresStore) -> str:
    with tools(store) as made:
        found = made.in_use()
    assert found is not None
    return found.embedder


def built(store: PostgresStore) -> int:
    with tools(store) as made:
        return made.standing(NEW[0]).built


def rows(store: PostgresStore, query: str) -> list[Any]:
    with connect(store.address) as connection:
        return connection.execute(query.encode()).fetchall()


def written(tenant: Tenant, count: int = 30) -> None:
    """Some dialogues with messages, and a memory."""
    for name in "abc":
        tenant.call("dialogues.create", id=name, label=f"about {name}", tags=["x"])
    for number in range(count):
        tenant.say("abc"[number % 3], f"wheel number {number} is bent", name="Ada")
    tenant.call("memories.create", id="m", value={"likes": "trains"}, label="Travel")


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


# ── what goes wrong ──────────────────────────────────────────────────────────────────────────


def interrupt(after: int = 1) -> tuple[list[int], Progress]:
    """Give what stops a build after so many steps, and what it counts."""
    steps: list[int] = []

    def done(count: int) -> None:
        steps.append(count)
        if len(steps) == after:
            raise KeyboardInterrupt

    return steps, done


def test_a_build_that_was_stopped_goes_on_where_it_was(db: str) -> None:
    """Nothing is embedded twice but the step that was under way."""
    old, new = Hashing(*OLD, inline=True), Hashing(*NEW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walking, "STEP", 4)
        with opened(db, old, new) as store:
            tenant = Tenant(store)
            written(tenant)
            steps, done = interrupt(after=4)
            with pytest.raises(KeyboardInterrupt):
                move(store, new, done)
            assert built(store) == sum(steps) > 4
            assert in_use(store) == OLD[0]
            assert tenant.found("wheel")
            tenant.say("b", "said in between")
        asked = new.asked
        with opened(db, old, new) as store:
            assert move(store, new) == 35 - sum(steps)
            assert new.asked - asked <= 36 - sum(steps)
            settled(store)


@pytest.mark.parametrize("place", ["_have_wait", "_walk", "_activate", "_drop_old"])
def test_a_build_that_was_stopped_anywhere_goes_on(db: str, place: str) -> None:
    """Right before each of its parts."""
    old, new = Hashing(*OLD, inline=True), Hashing(*NEW)
    with opened(db, old, new) as store:
        written(Tenant(store))
        calls = [0]
        part = getattr(Rebuilding, place)

        def stop(*args: Any, **more: Any) -> Any:
            calls[0] += 1
            if place == "_drop_old" and calls[0] == 1:  # it looks for older ones first
                return part(*args, **more)
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Rebuilding, place, stop)
            with pytest.raises(KeyboardInterrupt):
                move(store, new)
        assert in_use(store) == (NEW if place == "_drop_old" else OLD)[0]
        assert checked(store).equal
        if place == "_drop_old":
            with tools(store) as made:
                assert made.give_up() is False
        else:
            move(store, new)
        settled(store)
        assert rows(store, "SELECT active FROM indexes") == [(1,)]


def test_a_model_that_does_not_answer_stops_it_and_a_patient_one_does_not(db: str) -> None:
    """What was built stays."""
    waits: list[tuple[str, float]] = []
    asked = [0]

    def now_and_then() -> None:
        asked[0] += 1
        if asked[0] % 3 == 0:
            raise EmbedderUnavailable("busy", retry_after_s=0.001)

    old, flaky = Hashing(*OLD, inline=True), Acting(*NEW, act=now_and_then)
    with pytest.MonkeyPatch.context() as patch, opened(db, old, flaky) as store:
        patch.setattr(walking, "STEP", 4)
        written(Tenant(store))
        with pytest.raises(EmbedderUnavailable):
            move(store, flaky)
        assert in_use(store) == OLD[0]
        move(store, Patient(flaky, lambda *wait: waits.append(wait)))
        settled(store)
    assert set(waits) == {("busy", 0.001)}


def test_a_text_that_is_refused_is_found_by_its_words(db: str) -> None:
    """The others have their vectors."""
    old, new = Hashing(*OLD, inline=True), Hashing(*NEW)
    new.refuses = "zanzibar"
    with opened(db, old, new) as store:
        tenant = Tenant(store)
        written(tenant)
        tenant.say("a", "a zanzibar of wheels")
        assert move(store, new) == 35
        assert in_use(store) == NEW[0]
        report = checked(store)
        assert (report.equal, report.waiting) == (True, 1)
        assert tenant.found("zanzibar")[0]["content"] == "a zanzibar of wheels"
        assert fill(store) == 1
        new.refuses = ""
        assert fill(store) == 0
        settled(store)


def test_an_index_of_another_model_that_had_begun_is_given_up(db: str) -> None:
    """And leaves nothing."""
    old, new, third = Hashing(*OLD, inline=True), Hashing(*NEW), Hashing("hash:64", 64)
    with opened(db, old, new, third) as store, tools(store) as made:
        tenant = Tenant(store)
        written(tenant)
        for model in (new, third):
            with pytest.raises(KeyboardInterrupt):
                made.rebuild(model, done=interrupt()[1])
        tenant.say("a", "this waits for it too")
        assert rows(store, "SELECT active FROM indexes ORDER BY 1") == [(0,), (1,)]
        assert made.give_up()
        assert not made.give_up()
        assert rows(store, "SELECT embedder FROM indexes") == [(OLD[0],)]
        assert rows(store, "SELECT COUNT(*) FROM waiting") == [(0,)]
        assert rows(store, "SELECT DISTINCT generation FROM vectors") == [(1,)]
        settled(store)


def test_of_two_who_build_at_once_the_second_is_refused(db: str) -> None:
    """With a message; the first one goes on."""
    old, new = Hashing(*OLD, inline=True), Hashing(*NEW)
    with opened(db, old, new) as store:
        written(Tenant(store))

        def second() -> None:
            with pytest.raises(AdminError, match="another `dialoguedb reindex` is at work"):
                move(store, Hashing(*NEW))

        move(store, Acting(*NEW, act=second))
        assert in_use(store) == NEW[0]
        settled(store)


def test_who_does_not_own_the_tables_is_told_so(db: str) -> None:
    """Before anything is done."""
    with opened(db, Hashing(*OLD), Hashing(*NEW)) as store, connect(store.address) as owner:
        owner.execute("CREATE ROLE serves_only LOGIN PASSWORD 'secret'")
        try:
            owner.execute("GRANT dialoguedb_app TO serves_only WITH SET TRUE")
            login = db.replace("dialoguedb:owner@", "serves_only:secret@")
            with opened(login, Hashing(*OLD), Hashing(*NEW)) as theirs:
                with pytest.raises(AdminError, match="serves_only does not own the tables"):
                    move(theirs, Hashing(*NEW))
                assert checked(theirs).equal
            assert rows(store, "SELECT COUNT(*) FROM indexes") == [(1,)]
        finally:
            owner.execute("DROP ROLE serves_only")


def test_a_model_with_too_many_dimensions_is_refused(db: str) -> None:
    """PostgreSQL's graph could not hold its vectors."""
    large = Hashing("hash:4001", 4001)
    with opened(db, Hashing(*OLD), large) as store:
        with pytest.raises(AdminError, match="4001 dimensions"):
            move(store, large)
        assert rows(store, "SELECT COUNT(*) FROM indexes") == [(1,)]


def test_a_project_that_is_erased_meanwhile_leaves_nothing(db: str) -> None:
    """Not in the new index either."""
    going: list[Tenant] = []

    def act() -> None:
        if going:
            for _ in projects.delete(store, going.pop().id):
                pass

    old, new = Hashing(*OLD, inline=True), Acting(*NEW, act=act)
    with pytest.MonkeyPatch.context() as patch, opened(db, old, new) as store:
        patch.setattr(walking, "STEP", 4)
        going = [Tenant(store, "going")]
        staying = Tenant(store, "staying")
        written(going[0])
        written(staying)
        move(store, new)
        settled(store)
        assert rows(store, "SELECT DISTINCT space_id FROM vectors") == rows(
            store, "SELECT id FROM spaces"
        )


def test_words_of_another_release_are_made_anew(db: str) -> None:
    """Also when the model stays the same; until then nothing can be compared."""
    old, new = Hashing(*OLD, inline=True), Hashing(*NEW)
    for model in (old, new):
        with opened(db, old, new) as store, connect(store.address) as owner:
            if model is old:
                written(Tenant(store))
            owner.execute("UPDATE indexes SET analyser = 0")
            owner.execute("UPDATE entries SET tokens = '{1,2}', counts = 'x', length = 120")
            with pytest.raises(AdminError, match="another release"):
                checked(store)
            move(store, model)
            settled(store)


# ── others at work, and kills ────────────────────────────────────────────────────────────────

#: Writes, changes and deletes until its input ends.
WRITER = """
import random, sys, threading
sys.path.insert(0, sys.argv[2])
from dialoguedb.store.opening import open_store
from searching import KINDS, Hashing, Tenant, World, opening
models = [Hashing("hash:16", 16, inline=True), Hashing("hash:32", 32)]
store = open_store(sys.argv[1], embedder="hash:16", open_embedder=opening(*models))
world = World.__new__(World)
world.tenant, world.count = Tenant.__new__(Tenant), int(sys.argv[3]) * 1_000_000
world.tenant.store, world.tenant.id = store, sys.argv[4]
chance, ended = random.Random(int(sys.argv[3])), threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
print("ready", flush=True)
while not ended.is_set():
    world.act(chance.randrange(KINDS), chance)
store.close()
print(world.count % 1_000_000, flush=True)
"""


def started(script: str, *arguments: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_writers_of_other_processes_go_on_through_moves(db: str) -> None:
    """They work on the same few resources, also on each other's."""
    old, new = Hashing(*OLD, inline=True), Hashing(*NEW)
    with pytest.MonkeyPatch.context() as patch, opened(db, old, new) as store:
        patch.setattr(walking, "STEP", 20)
        tenant = Tenant(store)
        written(tenant)
        writers = [started(WRITER, db, TESTS, str(number), tenant.id) for number in (1, 2)]
        for model in (new, old, old, new, new):
            move(store, model)
            fill(store)
            report = checked(store)
            assert report.equal, report
        for writer in writers:
            told, _ = writer.communicate()
            assert int(told) > 20
            assert writer.returncode == 0
        fill(store)
        settled(store)


#: Moves a database to another model, slowly enough to be killed anywhere.
MOVER = """
import sys, time
sys.path.insert(0, sys.argv[2])
from dialoguedb.store import walking
from dialoguedb.store.index_tools import tools_of
from dialoguedb.store.opening import open_store
from searching import Hashing, opening
walking.STEP = 3
class Slow(Hashing):
    def embed(self, texts):
        time.sleep(0.004)
        return super().embed(texts)
new = Slow("hash:32", 32)
store = open_store(sys.argv[1], embedder="hash:16", open_embedder=opening(Hashing(), new))
print("ready", flush=True)
tools_of(store, opening()).rebuild(new, done=lambda count: None)
"""


def test_a_move_that_is_killed_again_and_again_arrives(db: str) -> None:
    """Searches go on by the old index meanwhile; the new one is whole."""
    old, new = Hashing(*OLD, inline=True), Hashing(*NEW)
    chance = random.Random(5)
    reached = []
    with opened(db, old, new) as store:
        tenant = Tenant(store)
        written(tenant, 90)
        while in_use(store) == OLD[0]:
            assert len(reached) < 100
            mover = started(MOVER, db, TESTS)
            time.sleep(chance.uniform(0.02, 0.25))
            mover.kill()
            mover.communicate()
            tenant.say("a", f"said after kill {len(reached)}")
            assert tenant.found("wheel number 3 is bent", limit=1)[0]["meaning"] > 0
            reached.append(built(store))
        wait_for_none(store)
        move(store, new)
        fill(store)
        settled(store)
        assert rows(store, "SELECT COUNT(*) FROM indexes") == [(1,)]
    assert len(reached) > 2


def wait_for_none(store: PostgresStore) -> None:
    """Wait until PostgreSQL has seen that a process was killed that had the lock."""
    held = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"
    deadline = time.monotonic() + 10
    while rows(store, held):
        assert time.monotonic() < deadline
        time.sleep(0.005)
