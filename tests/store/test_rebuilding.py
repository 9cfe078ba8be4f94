"""An index built anew beside the one in use: whole, resumable, and never mixed with the other."""

import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dialoguedb.embed import EmbedderUnavailable
from dialoguedb.embed.patient import Patient
from dialoguedb.engine import projects
from dialoguedb.errors import AdminError
from dialoguedb.search.entries import PENDING
from dialoguedb.store import walking
from dialoguedb.store.sqlite import rebuilding
from dialoguedb.store.sqlite.index import active
from dialoguedb.store.sqlite.packing import pack
from dialoguedb.store.sqlite.rebuilding import rebuild
from dialoguedb.store.sqlite.store import SqliteStore
from dialoguedb.store.sqlite.waiting import Filling
from searching import (
    KINDS,
    Hashing,
    Tenant,
    World,
    checked,
    counts,
    held,
    opened,
    pack_all,
    reading,
    settled,
)

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=30)
OLD, NEW = ("hash:16", 16), ("hash:32", 32)


class Acting(Hashing):
    """A model that lets something happen each time it is asked."""

    def __init__(self, *what: Any, act: Any) -> None:
        super().__init__(*what)
        self.act = act

    def embed(self, texts: Sequence[str]) -> NDArray[np.int8]:
        """See `Embedder`."""
        self.act()
        return super().embed(texts)


def move(store: SqliteStore, model: Any) -> int:
    """Rebuild by a model; give how many resources were indexed on the way."""
    steps: list[int] = []
    with reading(store) as session:
        rebuild(store, session, model, done=steps.append)
    return sum(steps)


def fill(store: SqliteStore) -> None:
    filling = Filling(store)
    while filling.step():
        pass


def in_use(store: SqliteStore) -> tuple[str, int]:
    found = store.with_session(active)
    assert found is not None
    return found.embedder, found.dimension


def written(tenant: Tenant, count: int = 30) -> None:
    """Some dialogues with messages."""
    for name in "abc":
        tenant.call("dialogues.create", id=name, label=f"about {name}", tags=["x"])
    for number in range(count):
        tenant.say("abc"[number % 3], f"wheel number {number} is bent", name="Ada")
    tenant.call("memories.create", id="m", value={"likes": "trains"}, label="Travel")


def generations(store: SqliteStore) -> int:
    with reading(store) as session:
        return len(session.all("SELECT generation FROM indexes", {}))


# ── what is built ────────────────────────────────────────────────────────────────────────────


@FIXED
@given(
    before=st.lists(st.tuples(st.integers(0, KINDS), st.integers(0, 99)), max_size=30),
    during=st.lists(st.tuples(st.integers(0, KINDS + 1), st.integers(0, 99)), max_size=30),
    step=st.sampled_from([1, 2, 1024]),
    few=st.sampled_from([0, 256]),
)
def test_the_new_index_holds_what_is_stored(
    before: list[tuple[int, int]],
    during: list[tuple[int, int]],
    step: int,
    few: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Whatever is written, deleted, embedded or packed while it is built."""
    old = Hashing(*OLD)
    path = tmp_path_factory.mktemp("rebuilding") / "chat.db"
    left = list(during)

    def act() -> None:
        for kind, seed in [left.pop() for _ in range(min(3, len(left)))]:
            if kind == KINDS:
                Filling(store).step()
            elif kind > KINDS:
                pack_all(store)
            else:
                world.act(kind, random.Random(seed))

    new = Acting(*NEW, act=act)
    with pytest.MonkeyPatch.context() as patch, opened(path, old, new) as store:
        patch.setattr(walking, "STEP", step)
        patch.setattr(rebuilding, "_FEW", few)
        world = World(store)
        for kind, seed in before:
            world.act(kind, random.Random(seed))
        store.load_index()
        move(store, new)
        assert in_use(store) == NEW
        new.act = lambda: None
        settled(store, world.tenant, new)
        fill(store)
        settled(store, world.tenant, new)
        assert all(e.state != PENDING for e in held(store, store.index, world.tenant.id).values())
        pack_all(store)
        settled(store, world.tenant, new)
        assert counts(path)["changes"] == 0
        assert generations(store) == 1


def test_searches_answer_by_the_old_index_until_the_new_one_is_whole(tmp_path: Path) -> None:
    """And by the new one from then on; in no answer are both."""
    seen: list[list[float]] = []

    def act() -> None:
        seen.append([one["meaning"] for one in tenant.found("wheel number 3 is bent", limit=100)])

    old, new = Hashing(*OLD), Acting(*NEW, act=act)
    with pytest.MonkeyPatch.context() as patch, opened(tmp_path / "chat.db", old, new) as store:
        patch.setattr(walking, "STEP", 5)
        tenant = Tenant(store)
        written(tenant)
        fill(store)
        before = [one["meaning"] for one in tenant.found("wheel number 3 is bent", limit=100)]
        assert move(store, new) == 34
        new.act = lambda: None
        after = [one["meaning"] for one in tenant.found("wheel number 3 is bent", limit=100)]
    assert len(before) == len(after) == 30
    assert before != after
    assert min(before) > 0
    assert len(seen) > 6
    assert all(one == before for one in seen)


@pytest.mark.parametrize("dimension", [16, 32])
def test_a_write_in_the_moment_of_the_cut_over_gets_the_new_models_vectors(
    dimension: int, tmp_path: Path
) -> None:
    """Between the last look at the log and the cut-over, by a process that knows the old index."""
    path = tmp_path / "chat.db"
    old, new = Hashing("hash:old", dimension, inline=True), Hashing(*NEW, inline=True)
    with opened(path, old, new) as store, opened(path, old, new) as other:
        tenant = Tenant(store)
        written(tenant)
        there = tenant.through(other)
        assert there.found("wheel")

        cut_over = rebuilding._activate

        def late(store: SqliteStore, building: Any) -> None:
            there.say("a", "written at the last moment")
            cut_over(store, building)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rebuilding, "_activate", late)
            move(store, new)
        there.say("a", "written right after")
        assert checked(store, new).differing == 1  # a vector, for a moment
        fill(store)
        settled(store, tenant, new)
        assert there.found("written right after", limit=100) == tenant.found(
            "written right after", limit=100
        )
        settled(other, there, new)


def test_a_writer_that_is_ahead_of_its_memory_mixes_nothing(tmp_path: Path) -> None:
    """It writes by the new index already, while its memory is still the old one."""
    path = tmp_path / "chat.db"
    # Of one dimension: nothing but the number of the index tells them apart.
    old, new = Hashing("hash:old", 32, inline=True), Hashing("hash:new", 32, inline=True)
    with opened(path, old, new) as store, opened(path, old, new) as other:
        tenant = Tenant(store)
        written(tenant)
        there = tenant.through(other)
        assert there.found("wheel")
        move(store, new)
        for number in range(300):  # more than memory lets wait
            there.say("a", f"written after it {number}")
        shelf = other.index._shelves[tenant.id]
        assert shelf.size == 34
        settled(other, there, new)


def test_after_a_move_the_log_is_packed_again(tmp_path: Path) -> None:
    """What the log held for the old index does not stand in the way."""
    path = tmp_path / "chat.db"
    old, new = Hashing(*OLD, inline=True), Hashing(*NEW, inline=True)
    with opened(path, old, new) as store:
        tenant = Tenant(store)
        written(tenant)
        patched = rebuilding._drop_old
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rebuilding, "_drop_old", lambda store, session: None)  # killed there
            move(store, new)
        assert counts(path)["changes"] > 30
        tenant.say("a", "one more")
        pack_all(store)
        assert counts(path)["changes"] == 0
        with reading(store) as session:
            patched(store, session)
        assert generations(store) == 1
        settled(store, tenant, new)


def test_vectors_that_come_meanwhile_are_the_old_models(tmp_path: Path) -> None:
    """They change nothing of the new index, and take nothing out of it."""
    old = Hashing(*OLD)
    new = Acting(*NEW, act=lambda: fill(store))
    with opened(tmp_path / "chat.db", old, new) as store:
        tenant = Tenant(store)
        written(tenant)
        move(store, new)
        assert old.asked > 30
        settled(store, tenant, new)
        assert len(tenant.found("wheel", limit=100)) == 30


def test_a_dialogue_is_as_modified_as_its_last_message(tmp_path: Path) -> None:
    """Also when that came while the index was built: filters by `modified` find it."""
    old = Hashing(*OLD)
    now = [1_770_000_000_000]

    def act() -> None:
        now[0] += 60_000
        tenant.say("a", "later")
        new.act = lambda: None

    new = Acting(*NEW, act=lambda: None)
    with opened(tmp_path / "chat.db", old, new) as store:
        store.runtime.now = lambda: now[0]
        tenant = Tenant(store)
        written(tenant)
        new.act = act
        move(store, new)
        assert checked(store, new).equal
        found = tenant.found(
            "about a", "dialogue", filter={"modified": {"gt": "2026-02-02T02:40:30Z"}}
        )
        assert [one["id"] for one in found] == ["a"]


# ── what goes wrong ──────────────────────────────────────────────────────────────────────────


def test_a_build_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    """Nothing is embedded twice but the step that was under way."""
    old, new = Hashing(*OLD), Hashing(*NEW)
    path = tmp_path / "chat.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walking, "STEP", 4)
        with opened(path, old, new) as store, reading(store) as session:
            tenant = Tenant(store)
            written(tenant)
            fill(store)
            steps: list[int] = []

            def done(count: int) -> None:
                steps.append(count)
                if len(steps) == 4:
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                rebuild(store, session, new, done=done)
            assert rebuilding.standing(session, new.name) == (34, sum(steps))
            assert in_use(store) == OLD
            assert tenant.found("wheel")
            tenant.say("b", "said in between")
        asked = new.asked
        with opened(path, old, new) as store:
            assert move(store, new) == 35 - sum(steps)
            assert new.asked - asked <= 36 - sum(steps)
            tenant.store = store
            settled(store, tenant, new)


def test_a_model_that_does_not_answer_stops_it_and_a_patient_one_does_not(tmp_path: Path) -> None:
    """What was built stays."""
    waits: list[tuple[str, float]] = []
    old, new = Hashing(*OLD), Hashing(*NEW)

    class Flaky(Hashing):
        def embed(self, texts: Sequence[str]) -> NDArray[np.int8]:
            self.asked += 1
            if self.asked % 3 == 0:
                raise EmbedderUnavailable("busy", retry_after_s=0.001)
            return super().embed(texts)

    flaky = Flaky(*NEW)
    with pytest.MonkeyPatch.context() as patch, opened(tmp_path / "chat.db", old, new) as store:
        patch.setattr(walking, "STEP", 4)
        tenant = Tenant(store)
        written(tenant)
        with pytest.raises(EmbedderUnavailable):
            move(store, flaky)
        assert in_use(store) == OLD
        move(store, Patient(flaky, lambda *wait: waits.append(wait)))
        settled(store, tenant, new)
    assert set(waits) == {("busy", 0.001)}


def test_a_text_that_is_refused_is_found_by_its_words(tmp_path: Path) -> None:
    """The others have their vectors."""
    old, new = Hashing(*OLD), Hashing(*NEW)
    new.refuses = "zanzibar"
    with opened(tmp_path / "chat.db", old, new) as store:
        tenant = Tenant(store)
        written(tenant)
        tenant.say("a", "a zanzibar of wheels")
        move(store, new)
        assert in_use(store) == NEW
        found = held(store, store.index, tenant.id).values()
        assert sorted(entry.state == PENDING for entry in found)[-2:] == [False, True]
        assert tenant.found("zanzibar")[0]["content"] == "a zanzibar of wheels"
        filling = Filling(store)
        while filling.step():
            pass
        assert len(filling.refused) == 1


def test_an_index_of_another_model_that_had_begun_is_given_up(tmp_path: Path) -> None:
    """And leaves nothing."""
    old, new, third = Hashing(*OLD), Hashing(*NEW), Hashing("hash:64", 64)
    path = tmp_path / "chat.db"
    with opened(path, old, new, third) as store, reading(store) as session:
        tenant = Tenant(store)
        written(tenant)
        for model in (new, third):
            with pytest.raises(KeyboardInterrupt):
                rebuild(store, session, model, done=lambda count: _interrupt())
        assert generations(store) == 2
        assert rebuilding.give_up(store, session)
        assert not rebuilding.give_up(store, session)
        assert generations(store) == 1
        assert counts(path)["index_blocks"] == 0
        assert in_use(store) == OLD
        assert pack(store, session) > 0


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_of_two_who_build_at_once_one_stops(tmp_path: Path) -> None:
    """With a message; the other one goes on."""
    old, new = Hashing(*OLD), Hashing(*NEW)
    with pytest.MonkeyPatch.context() as patch, opened(tmp_path / "chat.db", old, new) as store:
        patch.setattr(walking, "STEP", 4)
        tenant = Tenant(store)
        written(tenant)
        moved: list[int] = []

        def done(count: int) -> None:
            if not moved:
                moved.append(move(store, new))

        with reading(store) as session, pytest.raises(AdminError, match="another `dialoguedb"):
            rebuild(store, session, new, done=done)
        assert in_use(store) == NEW
        settled(store, tenant, new)


def test_a_project_that_is_erased_meanwhile_leaves_nothing(tmp_path: Path) -> None:
    """Not in the new index either."""
    old = Hashing(*OLD)
    path = tmp_path / "chat.db"

    def act() -> None:
        if going:
            for _ in projects.delete(store, going.pop().id):
                pass

    new = Acting(*NEW, act=lambda: None)
    with pytest.MonkeyPatch.context() as patch, opened(path, old, new) as store:
        patch.setattr(walking, "STEP", 4)
        going = [Tenant(store, "going")]
        staying = Tenant(store, "staying")
        written(going[0])
        written(staying)
        new.act = act
        move(store, new)
        assert checked(store, new).equal
        fill(store)
        settled(store, staying, new)
        with reading(store) as session:
            rows = session.all("SELECT DISTINCT space_id FROM index_blocks", {})
            assert rows == session.all("SELECT id FROM spaces", {})


# ── kills ────────────────────────────────────────────────────────────────────────────────────

#: Moves a store to another model, slowly enough to be killed anywhere.
MOVER = """
import sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from dialoguedb.store import walking
from dialoguedb.store.sqlite import rebuilding
from searching import Hashing, opened, reading
walking.STEP = 3
class Slow(Hashing):
    def embed(self, texts):
        time.sleep(0.004)
        return super().embed(texts)
new = Slow("hash:32", 32)
with opened(Path(sys.argv[1]), Hashing(), new) as store, reading(store) as session:
    print("ready", flush=True)
    rebuilding.rebuild(store, session, new, done=lambda count: None)
"""


def test_a_move_that_is_killed_again_and_again_arrives(tmp_path: Path) -> None:
    """Searches go on by the old index meanwhile; the new one is whole."""
    path = tmp_path / "chat.db"
    old, new = Hashing(*OLD), Hashing(*NEW)
    chance = random.Random(5)
    reached = []
    with opened(path, old, new) as store:
        tenant = Tenant(store)
        written(tenant, 150)
        fill(store)
        while in_use(store) == OLD:
            assert len(reached) < 100
            mover = subprocess.Popen(
                [sys.executable, "-c", MOVER, str(path), str(Path(__file__).parents[1])],
                stdout=subprocess.PIPE,
                text=True,
            )
            assert mover.stdout is not None
            assert mover.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0.0, 0.04))
            mover.kill()
            mover.communicate()
            tenant.say("a", f"said after kill {len(reached)}")
            assert tenant.found("wheel number 3 is bent", limit=1)[0]["meaning"] > 0
            with reading(store) as session:
                reached.append(rebuilding.standing(session, new.name).built)
        move(store, new)
        fill(store)
        settled(store, tenant, new)
        assert generations(store) == 1
    assert len(reached) > 2
    built = [one for one in reached if one]
    assert built == sorted(built)
