"""An index of PostgreSQL that is built anew: stopped, refused, killed, and beside others."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from databases import Cluster
from dialoguedb.embed import EmbedderUnavailable
from dialoguedb.embed.patient import Patient
from dialoguedb.engine import projects
from dialoguedb.errors import AdminError
from dialoguedb.store import walking
from dialoguedb.store.index_tools import Progress
from dialoguedb.store.postgres.pool import connect
from dialoguedb.store.postgres.rebuilding import Rebuilding
from dialoguedb.store.postgres.store import PostgresStore
from rebuilding_room import (
    NEW,
    OLD,
    TESTS,
    Acting,
    built,
    checked,
    fill,
    in_use,
    move,
    opened,
    rows,
    settled,
    tools,
    written,
)
from searching import Hashing, Tenant


@pytest.fixture
def db(cluster: Cluster) -> Iterator[str]:
    """A database without a schema."""
    address = cluster.new_database("bare")
    yield address
    cluster.drop(address)


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
        written(tenant, 300)
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
    assert len(reached) > 1


def wait_for_none(store: PostgresStore) -> None:
    """Wait until PostgreSQL has seen that a process was killed that had the lock."""
    held = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"
    deadline = time.monotonic() + 10
    while rows(store, held):
        assert time.monotonic() < deadline
        time.sleep(0.005)
