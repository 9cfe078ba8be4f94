"""Sweeping: what is no more leaves the blocks of the index, and nothing else changes."""

import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialoguedb.search.blocks import decode_block
from dialoguedb.store.sqlite import index, packing
from dialoguedb.store.sqlite.store import SqliteStore
from dialoguedb.store.sqlite.sweeping import sweep
from dialoguedb.store.sqlite.waiting import Filling
from searching import KINDS, Hashing, World, opened, pack_all, reading, settled

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=30)


def sweep_all(store: SqliteStore) -> int:
    with reading(store) as session:
        spaces = [row[0] for row in session.all("SELECT id FROM spaces", {})]
        return sum(sweep(store, session, space_id) for space_id in spaces)


def in_blocks(store: SqliteStore) -> tuple[int, str]:
    """How many resources the blocks hold, and all their words."""
    with reading(store) as session:
        blocks = [decode_block(row[0]) for row in session.all("SELECT data FROM index_blocks", {})]
    assert not any(block.gone for block in blocks)
    words = " ".join(word for block in blocks for word in block.terms.words)
    return sum(block.count for block in blocks), words


@pytest.mark.parametrize("inline", [True, False])
@FIXED
@given(steps=st.lists(st.tuples(st.integers(0, KINDS + 1), st.integers(0, 99)), max_size=60))
def test_sweeping_changes_nothing_but_what_is_no_more(
    inline: bool, steps: list[tuple[int, int]]
) -> None:
    """Whatever has happened: afterwards the blocks hold what lives, and answers are the same."""
    model = Hashing(inline=inline)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "MOST_IN_BLOCK", 8)
        with opened(Path(folder) / "a.db", model) as store:
            world, filling = World(store), Filling(store)
            for kind, seed in steps:
                if kind == KINDS:
                    filling.step()
                elif kind > KINDS:
                    pack_all(store)
                else:
                    world.act(kind, random.Random(seed))
            while filling.step():
                pass
            pack_all(store)
            settled(store, world.tenant, model)
            sweep_all(store)
            settled(store, world.tenant, model)
            shelf = store.index._shelves.get(world.tenant.id)
            living = 0 if shelf is None else shelf.size - shelf.dead
            if inline:  # else a resource's vectors can lie in an earlier block than itself
                assert in_blocks(store)[0] == living
            assert sweep_all(store) == 0


def test_deleted_words_leave_the_disk_when_most_is_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The packer sweeps by itself, and memory is read again without what was dead."""
    monkeypatch.setattr(index, "MOST_DEAD", 10)
    monkeypatch.setattr(packing, "WORTH", 5)
    monkeypatch.setattr(packing, "_QUIET_S", 0.05)
    model = Hashing(inline=True)
    with opened(tmp_path / "a.db", model) as store:
        tenant = World(store).tenant
        tenant.call("dialogues.create", id="d")
        for number in range(30):
            tenant.say("d", f"zanzibar {number}", id=f"m{number}")
        assert tenant.found("zanzibar", limit=100)
        pack_all(store)
        assert "zanzibar" in in_blocks(store)[1]
        for number in range(30):
            tenant.call("messages.delete", id=f"m{number}")
        tenant.say("d", "bicycle")
        assert [one["content"] for one in tenant.found("zanzibar", limit=100)] == ["bicycle"]
        for _ in range(200):
            if "zanzibar" not in in_words(store):
                break
            store._packer._closing.wait(0.05)
        assert "zanzibar" not in in_words(store)
        settled(store, tenant, model)
        assert store.index._shelves[tenant.id].dead == 0


def in_words(store: SqliteStore) -> str:
    """All words on disk: of the log and of the blocks."""
    with reading(store) as session:
        rows = session.all("SELECT entries FROM changes", {}) + session.all(
            "SELECT data FROM index_blocks", {}
        )
    return b" ".join(row[0] for row in rows).decode("latin-1")
