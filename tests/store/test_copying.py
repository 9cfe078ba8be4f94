"""Copying a database into another one: exactly, again and again, beside writers."""

import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from databases import Cluster
from dialoguedb.embed import open_embedder
from dialoguedb.engine import projects
from dialoguedb.errors import AdminError
from dialoguedb.store import statements
from dialoguedb.store.moving import copying, holding
from dialoguedb.store.moving.copied import CLAIMS, KEYS, OF_SPACE
from dialoguedb.store.protocol import Store
from dialoguedb.store.sqlite.index import SearchIndex
from dialoguedb.store.sqlite.store import SqliteStore
from dialoguedb.store.sqlite.verifying import verify
from towns import NewTarget, Town, asked, change, dump, opened, targets
from transferring import Here, live, world

#: Seed and length of a world.
SEEDS = st.tuples(st.integers(0, 2**32), st.integers(20, 120))
Seed = tuple[int, int]
STEPS = st.sampled_from([500, 7, 2, 1])
LONG = "--all" in sys.argv
#: A world is made of a seed, which is none the simpler for being smaller: nothing is shrunk.
FIXED = settings(
    derandomize=True, deadline=None, database=None, max_examples=60 if LONG else 4,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
QUERIES = ("My wheel is bent", "rust", "Ada")


# ── databases, and what is in them ───────────────────────────────────────────────────────────


@pytest.fixture(params=["sqlite", "postgres"])
def new_target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewTarget]:
    """Make empty databases of one engine."""
    yield from targets(request, tmp_path)


def index_of(db: str) -> list[Any]:
    """What the search index of a PostgreSQL database holds, but the hashes of space numbers."""
    space = "JOIN spaces AS s ON s.id = t.space_id"
    return [
        sorted(asked(db, f"SELECT s.project_id, s.namespace, {what} {space} {how}"), key=repr)
        for what, how in (
            ("kind, owner, sequence, created, modified, image, length, facets, "
             "cardinality(tokens), counts FROM entries AS t", ""),
            ("kind, owner, sequence, piece, vector::text FROM vectors AS t", ""),
            ("kind, SUM(texts), SUM(words) FROM figures AS t",
             "GROUP BY 1, 2, 3 HAVING SUM(texts) > 0"),
        )
    ]  # fmt: skip


def begun(source: Store, target: Store) -> bool:
    return copying.begin(source, target, source.name)


def caught_up(source: str, target: str) -> copying.Outcome:
    """Begin a copy, or go on with it."""
    with opened(source, target) as (one, other):
        assert not begun(one, other)
        return copying.catch_up(one, other)


def completed(source: str, target: str) -> copying.Outcome:
    """Finish a copy; both must be equal then, and the target's index right."""
    holding.check_unused(source, None)
    with opened(source, target) as (one, other):
        assert not begun(one, other)
        with holding.held(source, None):
            outcome = copying.complete(one, other)
        assert outcome.comparison is not None
        assert outcome.comparison.equal, outcome.comparison.differing
        copying.finish(other, one.name)
        if isinstance(other, SqliteStore):
            report = verify(other, SearchIndex(open_embedder, "static"), done=lambda count: None)
            assert report.equal, report
    assert dump(target) == dump(source)
    return outcome


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(str(tmp_path / "town.db"))


def say(place: Here, dialogue: str, count: int, **more: Any) -> None:
    for number in range(count):
        body = {"dialogueId": dialogue, "role": "user", "content": f"rust {number}"}
        place.call("messages.create", body | more)


# ── worlds ───────────────────────────────────────────────────────────────────────────────────


@FIXED
@given(SEEDS, SEEDS, SEEDS, STEPS)
def test_a_world_that_moves_and_moves_back_is_the_same_world(
    cluster: Cluster, one: Seed, two: Seed, after: Seed, step: int
) -> None:
    """In tables, exports, index and answers; with a catch-up on the way, and stretches of any size.

    It goes on living the same way in both places.
    """
    address, again = cluster.new_database(), cluster.new_database()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(copying, "STEP", step)
        town, back = Town(f"{folder}/one.db"), f"{folder}/two.db"
        town.live(world(*one), world(*two))
        caught_up(town.db, address)
        town.live(world(*after), world(*one))
        completed(town.db, address)
        completed(town.db, again)
        assert index_of(address) == index_of(again)
        caught_up(address, back)
        completed(address, back)
        assert dump(back) == dump(town.db)
        moved = town.elsewhere(back)
        assert exports(moved) == exports(town)
        assert found(moved) == found(town)
        for place in (town, moved):
            place.live(world(*two), world(*after))
        assert comparable(moved) == comparable(town)
    cluster.drop(address)
    cluster.drop(again)


def exports(town: Town) -> list[list[bytes]]:
    with town.places() as places:
        return [place.export() for place in places]


def comparable(town: Town) -> list[Any]:
    """What projects export, without the ids that the stores have made by themselves."""
    records = [msgspec.json.decode(record) for of in exports(town) for record in of]
    return [
        record | {"id": "made" if len(record["id"]) == 26 else record["id"]} for record in records
    ]


def found(town: Town) -> list[Any]:
    """What searches in the projects find; in no order where results are equally good."""
    told = []
    with town.places() as places:
        for place in places:
            for query in QUERIES:
                for kind in ("message", "dialogue", "memory"):
                    asked = {"query": query, "object": kind, "limit": 100}
                    answer = msgspec.json.encode(place.call("search.find", asked).results)
                    told.append(
                        sorted(
                            (one["relevance"], one["item"]["id"])
                            for one in msgspec.json.decode(answer)
                        )
                    )
    return told


@FIXED
@given(SEEDS, st.lists(SEEDS, min_size=1, max_size=3), STEPS)
def test_each_run_brings_over_what_has_changed_or_gone_since(
    new_target: NewTarget, first: Seed, then: list[Seed], step: int
) -> None:
    """Whatever happened: the last run makes both equal, and stores nothing twice."""
    target = new_target()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(copying, "STEP", step)
        town = Town(f"{folder}/one.db")
        town.live(world(*first))
        caught_up(town.db, target)
        for number, steps in enumerate(then):
            town.live(*[world(*steps), world(*first)][number % 2 :])
            caught_up(town.db, target)
            again = caught_up(town.db, target)
            assert (again.stored, again.removed) == (0, 0)
        completed(town.db, target)


# ── one thing at a time ──────────────────────────────────────────────────────────────────────


def test_keys_open_nothing_in_the_target_before_the_copy_is_complete(
    town: Town, new_target: NewTarget
) -> None:
    """Then the same ones do, and what was revoked meanwhile does not."""
    target = new_target()
    caught_up(town.db, target)
    assert dump(target)["keys"] == []
    with opened(town.db) as (store,):
        projects.revoke_key(store, projects.keys(store)[0].id)
        projects.create_key(store, "two", "second")
        projects.configure(store, "two", immutable=True, deletion_protection=True)
    completed(town.db, target)
    assert len(dump(target)["keys"]) == 3
    assert [row[6] is None for row in dump(target)["keys"]].count(False) == 1


@pytest.mark.parametrize("onward", [True, False])
def test_an_id_that_was_given_again_elsewhere_is_moved(
    town: Town, new_target: NewTarget, onward: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before or behind its old place: the target holds it once at any time."""
    monkeypatch.setattr(copying, "STEP", 1)  # one place is read while the other is stored
    old, new = ("a", "b") if onward else ("b", "a")
    target = new_target()
    with town.places() as (place, _):
        place.call("dialogues.create", {"id": "a"})
        place.call("dialogues.create", {"id": "b"})
        say(place, old, 1, id="m")
        caught_up(town.db, target)
        place.call("messages.delete", {"id": "m"})
        say(place, new, 1, id="m")
    caught_up(town.db, target)
    assert dump(target)["messages"] == dump(town.db)["messages"]
    completed(town.db, target)


def test_what_was_deleted_in_masses_goes_in_steps(town: Town, new_target: NewTarget) -> None:
    """More than a stretch of it, at the beginning, in the middle and at the end."""
    target = new_target()
    with town.places() as (place, _):
        for name in ("a", "b", "c", "d", "e"):
            place.call("dialogues.create", {"id": name})
            for _ in range(12):
                said = [{"role": "user", "content": "rust"}] * 25
                place.call("messages.create_batch", {"dialogueId": name, "messages": said})
        assert caught_up(town.db, target).stored > 1_500
        for name in ("a", "c", "e"):
            place.call("dialogues.delete", {"id": name, "cascade": True})
        assert caught_up(town.db, target).removed >= 900
        place.call("dialogues.delete", {"id": "b", "cascade": True})
        place.call("dialogues.delete", {"id": "d", "cascade": True})
    completed(town.db, target)


def test_long_texts_go_over_a_few_at_a_time(town: Town, new_target: NewTarget) -> None:
    """Of messages, memories and states; and again when they have changed."""
    target = new_target()
    long = "rust" * 100_000  # not searched where it stands, for that would take its time
    image = {"type": "base64", "media_type": "image/png", "data": long}
    with town.places() as (place, _):
        for number in range(30):
            place.call("dialogues.create", {"id": f"d{number}", "state": {"a": long}})
        for _ in range(30):
            say(place, "d1", 1, content=[{"type": "image", "source": image}])
    caught_up(town.db, target)
    with town.places() as (place, _):
        for number in range(0, 30, 3):
            place.call("dialogues.update", {"id": f"d{number}", "state": {"a": long + "!"}})
            place.call("dialogues.delete", {"id": f"d{number + 1}", "cascade": True})
    completed(town.db, target)


def test_a_project_that_is_gone_goes_and_its_name_can_be_anothers(
    town: Town, new_target: NewTarget
) -> None:
    """With its spaces; also when the target was stopped in the middle of that."""
    target = new_target()
    with town.places() as places:
        for place in places:
            place.call("memories.create", {"id": "k", "value": 1, "namespace": "u1"})
    caught_up(town.db, target)
    with opened(town.db, target) as (store, other):
        list(projects.delete(store, "one"))
        projects.create(store, "one")
        next(projects.delete(other, town.ids[0]))
        next(projects.delete(other, town.ids[1]))
    outcome = caught_up(town.db, target)
    assert outcome.removed == 2
    completed(town.db, target)


def test_a_space_that_is_empty_goes_over(town: Town, new_target: NewTarget) -> None:
    """It had something once."""
    target = new_target()
    with town.places() as (place, _):
        place.call("memories.create", {"id": "k", "value": 1, "namespace": "u1"})
        place.call("memories.delete", {"id": "k", "namespace": "u1"})
    caught_up(town.db, target)
    assert (town.ids[0], "u1") in dump(target)["spaces"]
    completed(town.db, target)


def test_others_may_write_to_the_source_during_the_bulk(
    town: Town, new_target: NewTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs while there are always writes under way, then the last one without them."""
    monkeypatch.setattr(copying, "STEP", 20)
    target = new_target()
    stop, failures = threading.Event(), []

    def write() -> None:
        try:
            with town.places() as places:
                number = 0
                while not stop.is_set() or number < 3:
                    for place in places:
                        for step in world(number, 40):
                            place.clock.now_ms += 1
                            live(place, [step], named=f"writer {number}")
                    number += 1
        except BaseException as error:
            failures.append(error)
            raise

    town.live(world(1, 100), world(2, 100))
    writer = threading.Thread(target=write)
    writer.start()
    try:
        stored = [caught_up(town.db, target).stored for _ in range(5)]
    finally:
        stop.set()
        writer.join()
    assert not failures
    assert stored[0] > 0
    completed(town.db, target)


# ── comparing ────────────────────────────────────────────────────────────────────────────────

DAMAGES = {
    "messages": "UPDATE messages SET content = '\"other\"' WHERE id = 'm'",
    "dialogues": "UPDATE dialogues SET version = version + 1 WHERE id = 'd'",
    "documents": "UPDATE dialogue_documents SET state = '{}' WHERE dialogue_id = 'd'",
    "memories": "DELETE FROM memories WHERE id = 'k'",
    "tombstones": "UPDATE tombstones SET last_sequence = 7",
    "replies": "UPDATE replies SET made = '[]'",
    "claims": "INSERT INTO claims SELECT project_id, kind, 'other' FROM claims WHERE id = 'k'",
    "keys": "UPDATE keys SET admin = 1 - admin",
    "projects": "UPDATE projects SET created = created + 1 WHERE name = 'two'",
    "spaces": "DELETE FROM spaces WHERE namespace = 'u1'",
}


@pytest.fixture
def furnished(town: Town) -> Town:
    """A town with something in each table."""
    town.live([])
    with town.places() as (place, _):
        place.call("dialogues.create", {"id": "d", "state": {"a": 1}})
        place.call("dialogues.create", {"id": "gone"})
        place.call("dialogues.delete", {"id": "gone"})
        place.call("memories.create", {"id": "k", "value": 1})
        place.call("memories.create", {"id": "g", "value": 1, "namespace": "u1"})
        place.call("memories.delete", {"id": "g", "namespace": "u1"})
        say(place, "d", 2)
        say(place, "d", 1, id="m")
    return town


@pytest.mark.parametrize("table", DAMAGES)
def test_damage_of_the_target_is_found_by_comparing_and_mended_by_copying(
    furnished: Town, new_target: NewTarget, table: str
) -> None:
    """With the table, the space and the row; comparing changes nothing."""
    target, town = new_target(), furnished
    caught_up(town.db, target)
    with opened(town.db, target) as (source, copy_):
        assert copying.complete(source, copy_).comparison.equal  # type: ignore[union-attr]
    change(target, DAMAGES[table])
    damaged = dump(target)
    with opened(town.db, target) as (source, copy_):
        found = copying.compare(source, copy_).comparison
    assert dump(target) == damaged != dump(town.db)
    assert found is not None
    assert not found.equal
    told = "dialogues" if table == "documents" else table
    assert {one.table for one in found.differing} == {told}
    assert [name for name, both in found.tables().items() if not both.equal] == [told]
    spaces = [scope for scope, both in found.spaces if not both.equal]
    assert len(spaces) == (told not in ("claims", "keys", "projects", "spaces"))
    how = {"memories": "missing", "spaces": "missing", "claims": "left over"}.get(
        table, "different"
    )
    assert {one.how for one in found.differing} == {how}
    completed(town.db, target)


# ── what is refused ──────────────────────────────────────────────────────────────────────────


def test_a_target_with_something_else_in_it_is_refused(
    town: Town, new_target: NewTarget, tmp_path: Path
) -> None:
    """Naming what is there; nothing is changed."""
    target = new_target()
    with opened(target) as (store,):
        for number in range(5):
            projects.create(store, f"shop {number}")
    before = dump(target)
    with opened(town.db, target) as (one, other), pytest.raises(AdminError) as refused:
        begun(one, other)
    assert "('shop 0', 'shop 1', 'shop 2' and 2 more)" in refused.value.message
    assert dump(target) == before
    assert asked(target, "SELECT * FROM copies") == []


def test_a_copy_of_one_database_does_not_become_that_of_another(
    town: Town, new_target: NewTarget, tmp_path: Path
) -> None:
    """What the one has and the other has not would be deleted."""
    target = new_target()
    caught_up(town.db, target)
    other = Town(str(tmp_path / "other.db"))
    with opened(other.db, target) as (one, two), pytest.raises(AdminError, match="is a copy of"):
        begun(one, two)


def test_source_and_target_are_two_databases(new_target: NewTarget) -> None:
    """However they are called; an empty one stays what it was."""
    db = new_target()
    with opened(db, db) as (one, other), pytest.raises(AdminError, match="same database"):
        begun(one, other)
    assert asked(db, "SELECT * FROM copies") == []
    with opened(db) as (store,):
        projects.create(store, "one")
    with opened(db, db) as (one, other), pytest.raises(AdminError, match="another name"):
        begun(one, other)


def test_a_copy_that_is_not_finished_is_no_source(
    town: Town, new_target: NewTarget, tmp_path: Path
) -> None:
    """It lacks keys, and perhaps more."""
    half, whole = new_target(), str(tmp_path / "whole.db")
    caught_up(town.db, half)
    with opened(half, whole) as (one, other), pytest.raises(AdminError, match="not finished"):
        begun(one, other)
    completed(town.db, half)
    completed(half, whole)


def test_a_copy_that_is_complete_goes_its_own_way(town: Town, new_target: NewTarget) -> None:
    """What was written to it since is not overwritten by a run too many."""
    target = new_target()
    completed(town.db, target)
    with opened(town.db, target) as (one, other):
        assert begun(one, other)


def test_a_project_that_is_being_deleted_is_left_out_and_stops_the_last_step(
    town: Town, new_target: NewTarget
) -> None:
    """Until it is gone."""
    target = new_target()
    with town.places() as (place, _):
        say_something = {"id": "k", "value": 1}
        place.call("memories.create", say_something)
    with opened(town.db) as (store,):
        next(projects.delete(store, "one"))
    caught_up(town.db, target)
    assert [row[1] for row in dump(target)["projects"]] == ["two"]
    with opened(town.db, target) as (one, other):
        begun(one, other)
        with pytest.raises(AdminError, match=f"project delete {town.ids[0]}"):
            copying.complete(one, other)
        list(projects.delete(one, town.ids[0]))
    completed(town.db, target)


# ── keeping others from writing ──────────────────────────────────────────────────────────────


def test_nobody_writes_while_it_is_held_and_everybody_can_read(
    new_target: NewTarget,
) -> None:
    """A write waits until it is let go."""
    db = new_target()
    with opened(db, db) as (store, reader):
        projects.create(store, "one")
        written = threading.Event()

        def write() -> None:
            projects.create(store, "two")
            written.set()

        writer = threading.Thread(target=write)
        with holding.held(db, None):
            writer.start()
            assert not written.wait(0.3)
            assert [one.name for one in projects.every(reader)] == ["one"]
        writer.join()
        assert [one.name for one in projects.every(reader)] == ["one", "two"]


def test_whoever_has_it_open_is_found(
    new_target: NewTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it writes at the moment or not; and nobody is found when nobody is there."""
    monkeypatch.setattr(holding, "_ENDING_S", 0.1)
    db = new_target()
    with opened(db), pytest.raises(AdminError, match="in use"):
        holding.check_unused(db, None)
    holding.check_unused(db, None)


def test_the_last_step_keeps_every_table_that_is_copied_from_being_written() -> None:
    """A new table that is not named there could change between its copy and its comparison."""
    held = statements.load("postgres")["copy_hold"].sql
    copied = {table.name for table in (*OF_SPACE, CLAIMS, KEYS)} | {"projects", "spaces"}
    assert {name for name in copied if not re.search(rf"\b{name}\b", held)} == set()
