"""Comparing index and rows: every kind of difference is found, and nothing else is."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from dialoguedb.search import blocks
from dialoguedb.store.differing import Report
from dialoguedb.store.sqlite.rebuilding import rebuild
from dialoguedb.store.sqlite.store import SqliteStore
from dialoguedb.store.sqlite.waiting import Filling
from searching import Hashing, Tenant, checked, opened, pack_all, reading


@pytest.fixture
def model() -> Hashing:
    return Hashing(inline=True)


@pytest.fixture
def store(tmp_path: Path, model: Hashing) -> Iterator[SqliteStore]:
    """A store with some of everything, most of it packed into blocks."""
    with opened(tmp_path / "chat.db", model) as made:
        tenant = Tenant(made)
        tenant.call("dialogues.create", id="d", label="about zanzibar", tags=["x"])
        tenant.call("dialogues.create", id="t", threadOf="d")
        for number in range(10):
            tenant.say("d", f"zanzibar {number} " + "long " * 300, id=f"m{number}", tags=["y"])
        pack_all(made)
        tenant.call("memories.create", id="k", value={"likes": "zanzibar"}, metadata={"n": 1})
        tenant.say("d", "zanzibar in the log", metadata={"a": ["b"]})
        yield made


def change(store: SqliteStore, sql: str, *values: object) -> None:
    """Change the file behind the store's back."""
    connection = apsw.Connection(str(store.file.path))
    connection.execute(sql, values).fetchall()
    assert connection.changes() > 0
    connection.close()


def told(report: Report) -> list[tuple[object, ...]]:
    return [(one.kind, one.owner, one.sequence, *one.what) for one in report.first]


def test_what_is_equal_is_said_to_be(store: SqliteStore, model: Hashing) -> None:
    """With how much was compared."""
    assert checked(store, model) == Report(14, 0, 0, 0, [])


IMAGE = '[{"type":"text","text":"zanzibar 3 "},{"type":"image","source":{"type":"url","url":"http://x"}}]'
DAMAGES = {
    "left over": ("DELETE FROM messages WHERE id = 'm3'", ("message", "d", 4, "left over")),
    "dialogue": ("DELETE FROM dialogues WHERE id = 't'", ("dialogue", "t", 0, "left over")),
    "memory": ("DELETE FROM memories", ("memory", "k", 0, "left over")),
    "words": (
        "UPDATE messages SET content = '\"secret\"' WHERE id = 'm3'",
        ("message", "d", 4, "words", "vectors"),
    ),
    "repeats": (
        "UPDATE messages SET content = replace(content, ' 3 ', ' 3 3 ') WHERE id = 'm3'",
        ("message", "d", 4, "words"),
    ),
    "image": (
        f"UPDATE messages SET content = '{IMAGE}' WHERE id = 'm3'",
        ("message", "d", 4, "image", "words", "vectors"),
    ),
    "name": (
        "UPDATE messages SET name = 'Ada' WHERE id = 'm3'",
        ("message", "d", 4, "words", "tags and metadata"),
    ),
    "created": (
        "UPDATE messages SET created = created - 1 WHERE id = 'm3'",
        ("message", "d", 4, "created"),
    ),
    "modified": (
        "UPDATE messages SET modified = 1 WHERE id = 'm3'",
        ("message", "d", 4, "modified"),
    ),
    "tags": (
        "UPDATE messages SET tags = '[]' WHERE id = 'm3'",
        ("message", "d", 4, "tags and metadata"),
    ),
    "metadata": ("UPDATE memories SET metadata = '{}'", ("memory", "k", 0, "tags and metadata")),
    "value": ("UPDATE memories SET value = '\"tea\"'", ("memory", "k", 0, "words", "vectors")),
    "thread": (
        "UPDATE dialogues SET thread_of = NULL WHERE id = 't'",
        ("dialogue", "t", 0, "thread"),
    ),
    "label": (
        "UPDATE dialogues SET label = NULL WHERE id = 'd'",
        ("dialogue", "d", 0, "words", "vectors"),
    ),
    "dialogue modified": (
        "UPDATE dialogues SET modified = 1 WHERE id = 'd'",
        ("dialogue", "d", 0, "modified"),
    ),
    "log lost": (
        "DELETE FROM changes WHERE number = (SELECT MIN(number) FROM changes)",
        ("memory", "k", 0, "missing"),
    ),
}


@pytest.mark.parametrize(("sql", "difference"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_difference_is_found_and_repaired(
    store: SqliteStore, model: Hashing, sql: str, difference: tuple[object, ...]
) -> None:
    """It is said what of which resource; building anew mends it."""
    change(store, sql)
    report = checked(store, model)
    assert told(report) == [difference]
    assert (report.differing, report.equal) == (1, False)
    with reading(store) as session:
        rebuild(store, session, model, done=lambda count: None)
    assert checked(store, model).equal


def test_lost_blocks_are_missing_resources(store: SqliteStore, model: Hashing) -> None:
    """Each of them is counted."""
    change(store, "DELETE FROM index_blocks")
    report = checked(store, model)
    # The dialogue's label and ten messages, and the thread; the log alone is there.
    assert report.differing == 12
    assert {what for one in report.first for what in one.what} == {"missing"}


@pytest.mark.parametrize(("step", "equal"), [(0, True), (1, True), (2, False)])
def test_a_vector_may_differ_by_a_rounding(
    store: SqliteStore, model: Hashing, step: int, equal: bool
) -> None:
    """By one in a component, and no more; in every piece of a text."""
    with reading(store) as session:
        rows = session.all("SELECT rowid, data FROM index_blocks", {})
    (where, data) = rows[0]
    block = blocks.decode_block(data)
    pieces = bytearray(block.pieces)
    assert len(pieces) > model.dimension
    pieces[7] += step if pieces[7] < 100 else -step
    block.pieces = bytes(pieces)
    change(
        store, "UPDATE index_blocks SET data = ? WHERE rowid = ?", blocks.encode_block(block), where
    )
    report = checked(store, model)
    assert report.equal == equal
    assert [one.what for one in report.first] == ([] if equal else [("vectors",)])


def test_what_an_erased_project_left_is_found(store: SqliteStore, model: Hashing) -> None:
    """Blocks of a space that is no more."""
    change(store, "INSERT INTO index_blocks VALUES (99, 1, 1, 1, x'00')")
    report = checked(store, model)
    assert (report.strays, report.differing, report.equal) == (1, 0, False)


def test_of_a_model_that_is_asked_later_it_is_known_what_waits(tmp_path: Path) -> None:
    """What waits is no difference; a resource with too few vectors is."""
    model = Hashing()
    with opened(tmp_path / "chat.db", model) as store:
        tenant = Tenant(store)
        tenant.call("dialogues.create", id="d")
        tenant.say("d", "long " * 600)
        tenant.say("d", "")
        report = checked(store, model)
        assert (report.equal, report.waiting) == (True, 1)
        asked = model.asked
        Filling(store).step()
        assert model.asked == asked + 3
        report = checked(store, model)
        assert (report.equal, report.waiting) == (True, 0)
        assert model.asked == asked + 3
        change(store, "UPDATE messages SET content = '\"\"' WHERE sequence = 1")
        assert told(checked(store, model)) == [("message", "d", 1, "words", "vectors")]
