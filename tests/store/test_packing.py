"""Packing: blocks hold what the log held, whatever happened and whenever it was packed."""

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialoguedb.engine import projects
from dialoguedb.store import projects as rows
from dialoguedb.store.sqlite import packing
from dialoguedb.store.sqlite.packing import pack
from dialoguedb.store.sqlite.store import SqliteStore
from dialoguedb.store.sqlite.waiting import BATCH, Filling
from searching import (
    KINDS,
    WORDS,
    Hashing,
    Tenant,
    World,
    checked,
    counts,
    opened,
    pack_all,
    reading,
    settled,
)

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=40)
#: What happens besides: vectors come, the log is packed.
FILL, PACK = KINDS, KINDS + 1


@pytest.mark.parametrize("inline", [True, False])
@FIXED
@given(
    steps=st.lists(st.tuples(st.integers(0, PACK), st.integers(0, 99)), max_size=60),
    step=st.sampled_from([1, 3, 4096]),
    most=st.sampled_from([2, 8192]),
)
def test_blocks_hold_what_the_log_held(
    inline: bool,
    steps: list[tuple[int, int]],
    step: int,
    most: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """In every order of writes, deletions, late vectors and packing, in steps of any size."""
    model = Hashing(inline=inline)
    path = tmp_path_factory.mktemp("packing") / "chat.db"
    with pytest.MonkeyPatch.context() as patch, opened(path, model) as store:
        patch.setattr(packing, "STEP", step)
        patch.setattr(packing, "MOST_IN_BLOCK", most)
        world, filling = World(store), Filling(store)
        for kind, seed in steps:
            if kind == FILL:
                filling.step()
            elif kind == PACK:
                with reading(store) as session:
                    pack(store, session)
            else:
                world.act(kind, random.Random(seed))
        settled(store, world.tenant, model)
        pack_all(store)
        settled(store, world.tenant, model)
        assert counts(path)["changes"] == 0


def test_vectors_that_come_after_their_block_are_packed_too(tmp_path: Path) -> None:
    """A block of late vectors alone is a block."""
    model = Hashing()
    path = tmp_path / "chat.db"
    with opened(path, model) as store:
        tenant = Tenant(store)
        tenant.call("dialogues.create", id="d")
        for number in range(200):
            tenant.say("d", f"wheel {number}")
        pack_all(store)
        Filling(store).step()
        pack_all(store)
        assert counts(path) == {"changes": 0, "index_blocks": 2}
        assert checked(store, model).waiting == 200 - BATCH
    with opened(path, model) as store:
        assert len(store.waiting(1000)[2]) == 200 - BATCH


class Interrupted:
    """A store in which something happens just before a write."""

    def __init__(self, store: SqliteStore, act: Callable[[], object]) -> None:
        self.store = store
        self.act = act

    def write(self, scope: Any, work: Any) -> Any:
        self.act()
        return self.store.write(scope, work)


def test_of_two_who_pack_the_same_changes_one_does(tmp_path: Path) -> None:
    """The other does nothing, and what came meanwhile is still in the log."""
    model = Hashing(inline=True)
    path = tmp_path / "chat.db"
    with opened(path, model) as store, reading(store) as one, reading(store) as other:
        tenant = Tenant(store)
        tenant.call("dialogues.create", id="d")
        assert pack(Interrupted(store, lambda: pack(store, other)), one) == 0  # type: ignore[arg-type]
        assert counts(path) == {"changes": 0, "index_blocks": 1}
        tenant.say("d", "wheel")
        late = Interrupted(store, lambda: tenant.say("d", "brake"))
        assert pack(late, one) == 1  # type: ignore[arg-type]
        assert counts(path) == {"changes": 1, "index_blocks": 1}
        settled(store, tenant, model)


def test_a_step_is_written_again_only_while_a_space_is_small(tmp_path: Path) -> None:
    """Blocks grow as the space does, up to a size; then new ones begin."""
    model = Hashing(inline=True)
    path = tmp_path / "chat.db"
    with pytest.MonkeyPatch.context() as patch, opened(path, model) as store:
        patch.setattr(packing, "MOST_IN_BLOCK", 16)
        tenant = Tenant(store)
        tenant.call("dialogues.create", id="d")
        for number in range(40):
            tenant.say("d", f"wheel {number}")
            pack_all(store)
        with reading(store) as session:
            sizes = [row[0] for row in session.all("SELECT size FROM index_blocks", {})]
    assert sum(sizes) == 41
    assert max(sizes) <= 16
    assert 3 <= len(sizes) <= 8


def test_reopening_gives_the_same_answers(tmp_path: Path) -> None:
    """To the last digit, whether they come from the log, from blocks, or from both."""
    model = Hashing(inline=True)
    path = tmp_path / "chat.db"
    with opened(path, model) as store:
        tenant, chance = Tenant(store), random.Random(7)
        for name in "abc":
            tenant.call("dialogues.create", id=name, label=f"about {name}")
        for number in range(300):
            tenant.say(chance.choice("abc"), " ".join(chance.choices(WORDS, k=5)) + f" {number}")
        asked = ["bent wheel", "a rusty chain", "front brake"]
        before = [tenant.found(query, limit=50) for query in asked]
        assert all(before)
        with reading(store) as session:
            pack(store, session)
        tenant.say("a", "nothing of it")
        before = [tenant.found(query, limit=50) for query in asked]
    for _ in range(2):
        with opened(path, model) as store:
            tenant.store = store
            assert [tenant.found(query, limit=50) for query in asked] == before
            pack_all(store)


def test_an_index_that_is_built_keeps_its_log(tmp_path: Path) -> None:
    """Nothing is packed meanwhile: what has changed stands there."""
    model = Hashing(inline=True)
    with opened(tmp_path / "chat.db", model) as store:
        tenant = Tenant(store)
        tenant.call("dialogues.create", id="d")
        begin = {"embedder": "x", "dimension": 1, "analyser": 1, "active": 0, "since": 0}
        store.write(None, lambda tx: tx.run("index_begin", **begin))
        with reading(store) as session:
            assert pack(store, session) == 0
        store.write(None, lambda tx: tx.run("index_give_up", generation=2))
        with reading(store) as session:
            assert pack(store, session) == 1


# ── the erasing of projects ──────────────────────────────────────────────────────────────────


def test_nothing_of_an_erased_project_is_left(tmp_path: Path) -> None:
    """Neither in the log nor in blocks; what others have is untouched."""
    model = Hashing(inline=True)
    path = tmp_path / "chat.db"
    with opened(path, model) as store:
        going, staying = Tenant(store, "going"), Tenant(store, "staying")
        for tenant in (going, staying):
            tenant.call("dialogues.create", id="d")
            for number in range(30):
                tenant.say("d", f"zanzibar {number}")
            pack_all(store)
            tenant.say("d", "zanzibar in the log")
        before = staying.found("zanzibar", limit=50)
        for _ in projects.delete(store, going.id):
            pass
        store.forget_erased()
        assert store.index.projects() == [staying.id]
        assert staying.found("zanzibar", limit=50) == before
        assert checked(store, model).equal
        with reading(store) as session:
            (space,) = (row[0] for row in session.all("SELECT id FROM spaces", {}))
            for table in ("changes", "index_blocks"):
                rows = session.all(f"SELECT DISTINCT space_id FROM {table}", {})
                assert rows == [(space,)], table


def test_packing_beside_the_erasing_of_a_project_leaves_nothing(tmp_path: Path) -> None:
    """Before, between and after its steps: no block comes back."""
    model = Hashing(inline=True)
    path = tmp_path / "chat.db"
    with opened(path, model) as store, reading(store) as session:
        for last_step in (False, True):
            tenant = Tenant(store)
            tenant.call("dialogues.create", id="d")
            for number in range(40):
                tenant.say("d", f"zanzibar {number}")

            def erase(project_id: str = tenant.id, last_step: bool = last_step) -> None:
                store.write(None, lambda tx: rows.mark_deleting(tx, project_id, 1))
                while store.write(None, lambda tx: rows.erase_some(tx, project_id, 7)):
                    pass
                if not last_step:
                    pack(store, session)
                store.write(None, lambda tx: rows.erase_last(tx, project_id))

            if last_step:
                with reading(store) as other:
                    assert pack(Interrupted(store, erase), other) == 0  # type: ignore[arg-type]
            else:
                erase()
            assert counts(path) == {"changes": 0, "index_blocks": 0}


def test_what_waits_of_an_erased_project_holds_nothing_up(tmp_path: Path) -> None:
    """Others get their vectors, and no round goes on for ever."""
    model = Hashing()
    with opened(tmp_path / "chat.db", model) as store:
        going, staying = Tenant(store, "going"), Tenant(store, "staying")
        for tenant in (going, staying):
            tenant.call("dialogues.create", id="d")
            for number in range(80):
                tenant.say("d", f"zanzibar {number}")
        store.load_index()
        # Another process erases it: memory here does not hear of that.
        with opened(tmp_path / "chat.db", model) as other:
            for _ in projects.delete(other, going.id):
                pass
        filling, rounds = Filling(store), 0
        while filling.step():
            rounds += 1
            assert rounds < 10
        assert store.search_standing().lag == 0
        assert checked(store, model).waiting == 0


# ── other processes ──────────────────────────────────────────────────────────────────────────

#: Writes and packs without an end.
PACKER = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from dialoguedb.store.sqlite.packing import pack
from searching import Hashing, Tenant, opened, reading
with opened(Path(sys.argv[1]), Hashing(inline=True)) as store, reading(store) as session:
    tenant = Tenant(store, sys.argv[3])
    tenant.call("dialogues.create", id="d")
    print("ready", flush=True)
    for number in range(1_000_000):
        tenant.say("d", f"wheel {number} is bent")
        if number % 3 == 0:
            pack(store, session)
"""


def packer(path: Path, name: str) -> "subprocess.Popen[str]":
    tests = str(Path(__file__).parents[1])
    started = subprocess.Popen(
        [sys.executable, "-c", PACKER, str(path), tests, name], stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    return started


def test_processes_pack_together_and_are_killed_at_any_moment(tmp_path: Path) -> None:
    """Two pack one file, and are killed; the index is whole, and a third goes on."""
    path = tmp_path / "chat.db"
    model = Hashing(inline=True)
    chance = random.Random(11)
    with opened(path, model) as store:
        for turn in range(3):
            running = [packer(path, f"{turn} {number}") for number in range(2)]
            time.sleep(chance.uniform(0.02, 0.3))
            for process in running:
                process.kill()
                process.communicate()
            report = checked(store, model)
            assert report.equal, report
            assert report.checked > 0
        pack_all(store)
        assert checked(store, model).equal
        assert counts(path)["changes"] == 0
