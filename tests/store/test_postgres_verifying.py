"""Comparing index and rows on PostgreSQL: every kind of difference is found, and mended."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from databases import Cluster
from dialoguedb.store.differing import Report
from dialoguedb.store.index_tools import tools_of
from dialoguedb.store.opening import open_store
from dialoguedb.store.postgres.pool import connect
from dialoguedb.store.postgres.store import PostgresStore
from searching import Hashing, Tenant, opening

MODEL = Hashing(inline=True)


@pytest.fixture(scope="module")
def template(cluster: Cluster) -> Iterator[PostgresStore]:
    """A store with some of everything; a test leaves it as it was."""
    address = cluster.new_database("bare")
    store = open_store(address, embedder=MODEL.name, open_embedder=opening(MODEL))
    assert isinstance(store, PostgresStore)
    with closing(store):
        tenant = Tenant(store)
        tenant.call("dialogues.create", id="d", label="about zanzibar", tags=["x"])
        tenant.call("dialogues.create", id="t", threadOf="d")
        for number in range(10):
            tenant.say("d", f"zanzibar {number} " + "long " * 300, id=f"m{number}", tags=["y"])
        tenant.call("memories.create", id="k", value={"likes": "zanzibar"}, metadata={"n": 1})
        tenant.say("d", "zanzibar at last", metadata={"a": ["b"]}, namespace="")
        yield store
    cluster.drop(address)


@pytest.fixture
def store(template: PostgresStore) -> Iterator[PostgresStore]:
    """The same, made good before and after."""
    assert checked(template) == Report(14, 0, 0, 0, [])
    saved = {table: f"saved_{table}" for table in ("messages", "dialogues", "memories")}
    with connect(template.address) as connection:
        for table, copy in saved.items():
            connection.execute(f"CREATE TABLE {copy} AS TABLE {table}".encode())
        yield template
        for table, copy in saved.items():
            connection.execute(f"DELETE FROM {table}".encode())
            connection.execute(f"INSERT INTO {table} SELECT * FROM {copy}".encode())
            connection.execute(f"DROP TABLE {copy}".encode())
    repair(template)


def checked(store: PostgresStore) -> Report:
    with closing(tools_of(store, opening(MODEL))) as tools:
        return tools.verify(done=lambda count: None)


def repair(store: PostgresStore) -> None:
    with closing(tools_of(store, opening(MODEL))) as tools:
        tools.rebuild(MODEL, done=lambda count: None)


def change(store: PostgresStore, sql: str) -> None:
    """Change the database behind the store's back."""
    with connect(store.address) as connection:
        assert connection.execute(sql.encode()).rowcount > 0


def told(report: Report) -> list[tuple[object, ...]]:
    return [(one.kind, one.owner, one.sequence, *one.what) for one in report.first]


IMAGE = '[{"type":"text","text":"zanzibar 3 "},{"type":"image","source":{"type":"url","url":"http://x"}}]'
M3 = ("message", "d", 4)
#: What is damaged, and what is told of it: of rows, of entries, of vectors, of figures.
DAMAGES = {
    "words": (
        "UPDATE messages SET content = '\"secret\"' WHERE id = 'm3'",
        [(*M3, "words", "vectors")],
    ),
    "repeats": (
        "UPDATE messages SET content = replace(content, ' 3 ', ' 3 3 ') WHERE id = 'm3'",
        [(*M3, "words")],
    ),
    "image": (
        f"UPDATE messages SET content = '{IMAGE}' WHERE id = 'm3'",
        [(*M3, "image", "words", "vectors")],
    ),
    "name": (
        "UPDATE messages SET name = 'Ada' WHERE id = 'm3'",
        [(*M3, "words", "tags and metadata")],
    ),
    "created": ("UPDATE messages SET created = created - 1 WHERE id = 'm3'", [(*M3, "created")]),
    "modified": ("UPDATE messages SET modified = 1 WHERE id = 'm3'", [(*M3, "modified")]),
    "tags": ("UPDATE messages SET tags = '[]' WHERE id = 'm3'", [(*M3, "tags and metadata")]),
    "metadata": (
        "UPDATE memories SET metadata = '{}'",
        [("memory", "k", 0, "tags and metadata")],
    ),
    "value": ("UPDATE memories SET value = '\"tea\"'", [("memory", "k", 0, "words", "vectors")]),
    "label": (
        "UPDATE dialogues SET label = NULL WHERE id = 'd'",
        [("dialogue", "d", 0, "words", "vectors")],
    ),
    "message left over": (
        "DELETE FROM messages WHERE id = 'm3'",
        [(*M3, "left over")],
    ),
    "dialogue left over": (
        "DELETE FROM dialogues WHERE id = 't'",
        [("dialogue", "t", 0, "left over")],
    ),
    "memory left over": ("DELETE FROM memories", [("memory", "k", 0, "left over")]),
    "entry missing": (
        "DELETE FROM entries WHERE sequence = 4",
        [(*M3, "missing"), ("figures", "of messages", 0, "counts")],
    ),
    "entry of nothing": (
        "INSERT INTO entries SELECT space_id, 2, 'none', 0, 1, 1, false, 0, '', '{}', '{}' "
        "FROM entries WHERE kind = 2",
        [("memory", "none", 0, "left over"), ("figures", "of memories", 0, "counts")],
    ),
    "counts": (
        "UPDATE entries SET counts = counts || 'x' WHERE sequence = 4",
        [(*M3, "words", "tags and metadata")],
    ),
    "length": (
        "UPDATE entries SET length = length + 1 WHERE sequence = 4",
        [(*M3, "words"), ("figures", "of messages", 0, "counts")],
    ),
    "word token": ("UPDATE entries SET tokens[1] = 7 WHERE sequence = 4", [(*M3, "words")]),
    "facet token": (
        "UPDATE entries SET tokens[cardinality(tokens)] = 7 WHERE sequence = 4",
        [(*M3, "tags and metadata")],
    ),
    "facet": ("UPDATE entries SET facets = '{x}' WHERE sequence = 4", [(*M3, "tags and metadata")]),
    "vector missing": (
        "DELETE FROM vectors WHERE sequence = 4 AND piece = 1",
        [(*M3, "vectors")],
    ),
    "vectors missing": ("DELETE FROM vectors WHERE sequence = 4", [(*M3, "vectors")]),
    "vector": (
        "UPDATE vectors SET vector = vector * vector WHERE sequence = 4 AND piece = 1",
        [(*M3, "vectors")],
    ),
    "vector of nothing": (
        "INSERT INTO vectors SELECT space_id, generation, 2, 'none', 0, 0, false, vector "
        "FROM vectors WHERE kind = 2",
        [("memory", "none", 0, "left over")],
    ),
    "vector where no text is": (
        "INSERT INTO vectors SELECT space_id, generation, 1, 't', 0, 0, false, vector "
        "FROM vectors WHERE kind = 2",
        [("dialogue", "t", 0, "vectors")],
    ),
    "texts": (
        "UPDATE figures SET texts = texts + 1 WHERE kind = 1",
        [("figures", "of dialogues", 0, "counts")],
    ),
    "words of all": (
        "UPDATE figures SET words = words - 1 WHERE kind = 0",
        [("figures", "of messages", 0, "counts")],
    ),
    "figures lost": (
        "DELETE FROM figures WHERE kind = 2",
        [("figures", "of memories", 0, "counts")],
    ),
}


@pytest.mark.parametrize(("sql", "differences"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_difference_is_found_and_repaired(
    store: PostgresStore, sql: str, differences: list[tuple[object, ...]]
) -> None:
    """It is said what of which resource; building anew mends it."""
    change(store, sql)
    report = checked(store)
    assert told(report) == differences
    assert (report.differing, report.equal) == (len(differences), False)
    repair(store)
    assert checked(store).equal


@pytest.mark.parametrize(("step", "equal"), [(0, True), (1, True), (2, False)])
def test_a_vector_may_differ_by_a_rounding(store: PostgresStore, step: int, equal: bool) -> None:
    """By one in a component, and no more; in every piece of a text."""
    with connect(store.address) as connection:
        found = connection.execute(
            "SELECT vector::text FROM vectors WHERE sequence = 4 AND piece = 1"
        ).fetchone()
    assert found is not None
    numbers = [int(number) for number in str(found[0]).strip("[]").split(",")]
    numbers[7] += step if numbers[7] < 100 else -step
    change(store, f"UPDATE vectors SET vector = '{numbers}' WHERE sequence = 4 AND piece = 1")
    report = checked(store)
    assert report.equal == equal
    assert told(report) == ([] if equal else [(*M3, "vectors")])


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO entries VALUES (99, 2, 'x', 0, 1, 1, false, 0, '', '{}', '{}')",
        "INSERT INTO figures VALUES (99, 0, 0, 1, 1)",
        "INSERT INTO waiting SELECT 99, generation, 2, 'x', 0, 1 FROM indexes",
        "INSERT INTO waiting SELECT id, 99, 2, 'x', 0, 1 FROM spaces LIMIT 1",
        "INSERT INTO vectors SELECT 99, generation, 2, 'x', 0, 0, false, '[1]' FROM indexes",
        "INSERT INTO vectors SELECT id, 99, 2, 'x', 0, 0, false, '[1]' FROM spaces LIMIT 1",
    ],
)
def test_what_is_of_no_space_or_no_index_is_found_and_dropped(
    store: PostgresStore, sql: str
) -> None:
    """Each row of it is counted."""
    change(store, sql)
    report = checked(store)
    assert (report.strays, report.differing, report.equal) == (1, 0, False)
    repair(store)
    assert checked(store).equal


def test_of_a_model_that_is_asked_later_it_is_known_what_waits(cluster: Cluster) -> None:
    """What waits is no difference; a resource with too few vectors is."""
    address, model = cluster.new_database("bare"), Hashing()
    store = open_store(address, embedder=model.name, open_embedder=opening(model))
    assert isinstance(store, PostgresStore)
    with closing(store), closing(tools_of(store, opening(model))) as tools:
        tenant = Tenant(store)
        tenant.call("dialogues.create", id="d")
        tenant.say("d", "long " * 600)
        tenant.say("d", "")
        report = checked(store)
        assert (report.equal, report.waiting) == (True, 1)
        filling = tools.filling()
        assert filling.waiting() == 1
        while filling.step():
            pass
        asked = model.asked
        assert asked == 3
        report = checked(store)
        assert (report.equal, report.waiting) == (True, 0)
        assert model.asked == asked
        change(store, "DELETE FROM vectors WHERE piece = 1")
        assert told(checked(store)) == [("message", "d", 1, "vectors")]
        change(store, "UPDATE messages SET content = '\"\"' WHERE sequence = 1")
        assert told(checked(store)) == [("message", "d", 1, "words", "vectors")]
    cluster.drop(address)
