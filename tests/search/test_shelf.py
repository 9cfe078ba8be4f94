"""The index in memory against a plain model, whatever happens and however it is cut into blocks."""

import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialoguedb.search import columns, entries
from dialoguedb.search.blocks import decode_block, encode_block, pack
from dialoguedb.search.columns import Column, Vectors, WordLists
from dialoguedb.search.conditions import Conditions, FacetTest
from dialoguedb.search.entries import (
    DELETE,
    DIALOGUE,
    MEMORY,
    MESSAGE,
    NO_TEXT,
    PENDING,
    PRESENT,
    PUT,
    VECTORS,
    Entry,
    Key,
)
from dialoguedb.search.finding import Probe, find
from dialoguedb.search.merging import joined
from dialoguedb.search.shelf import NEVER, NONE, Shelf
from search.shelf_model import DIMENSION, SPACES, STATES, Change, Model

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=150)
Log = list[tuple[int, Entry]]
WORDS = "pqrstuvw"
FACETS = ("t\0sred", "t\0sblue", "mk\0n1", "mk\0sx", "n\0sada")

CHANGES = st.builds(
    Change,
    what=st.sampled_from(
        ["say"] * 5 + ["open"] * 2 + ["tag"] * 3 + ["forget"] * 2
        + ["remember", "cascade", "vectors", "vectors", "wait"]
    ),
    space=st.sampled_from([0, 0, 0, 1, 2]),
    owner=st.integers(0, 2),
    pick=st.integers(0, 59),
    created=st.integers(0, 4),
    words=st.dictionaries(st.sampled_from(WORDS), st.integers(1, 255), max_size=3),
    facets=st.lists(st.sampled_from(FACETS), unique=True, max_size=2),
    state=st.sampled_from(STATES),
    pieces=st.integers(1, 3),
)  # fmt: skip


@pytest.fixture(params=[8, columns.SEGMENT], scope="module")
def segment(request: pytest.FixtureRequest) -> Iterator[int]:
    """So many rows are a segment: few, so that many are crossed, and as many as there are."""
    with patch.object(columns, "SEGMENT", request.param):
        yield request.param


def take(shelf: Shelf, log: Log, *, together: bool) -> None:
    """Take a part of a log in, as one block or as joined blocks of its spaces, from the disk."""
    spaces = list(dict.fromkeys(space_id for space_id, _ in log))
    if together or not spaces:
        block = pack(log, DIMENSION)
    else:
        parts = [[one for one in log if one[0] == space_id] for space_id in spaces]
        packed = [encode_block(pack(part, DIMENSION)) for part in parts]
        block = joined([decode_block(data) for data in packed])
    shelf.add(block, SPACES)


def row_of(shelf: Shelf) -> dict[Key, int]:
    """The living rows, by what they stand for; nothing stands twice."""
    found: dict[Key, int] = {}
    for row in np.flatnonzero(shelf.died.first(shelf.size) == NEVER).tolist():
        place = shelf.place(row)
        key = Key(place.space_id, place.kind, place.owner, place.sequence)
        assert key not in found, f"{key} is there twice"
        found[key] = row
    return found


def check(shelf: Shelf, model: Model) -> None:
    rows = row_of(shelf)
    assert rows.keys() == model.there.keys()
    assert shelf.dead == shelf.size - len(rows)
    check_entries(shelf, model)
    check_totals(shelf, model)
    check_order(shelf, model, rows)
    check_columns(shelf, model, rows)


def check_entries(shelf: Shelf, model: Model) -> None:
    for space_id in SPACES:
        held = {entry.key(space_id): entry for entry in shelf.entries(space_id)}
        assert held.keys() == {key for key in model.there if key.space_id == space_id}
        for key, found in held.items():
            expected = model.there[key]
            assert (found.created, found.has_image) == (
                expected.entry.created,
                expected.entry.has_image,
            )
            assert (found.state, found.vectors) == (expected.state, expected.vectors), key
            assert dict(zip(found.terms, found.counts, strict=True)) == dict(
                zip(expected.entry.terms, expected.entry.counts, strict=True)
            )
            assert sorted(found.facets) == sorted(expected.entry.facets)
            assert found.parent == expected.entry.parent
            if key.kind != DIALOGUE:
                assert found.modified == expected.entry.modified


def check_totals(shelf: Shelf, model: Model) -> None:
    words: Counter[tuple[int, int]] = Counter()
    for key, held in model.there.items():
        words[key.space_id, key.kind] += sum(held.entry.counts)
    for kind in (MESSAGE, DIALOGUE, MEMORY):
        for space_id, space in shelf.spaces.items():
            assert space.words[kind] == words[space_id, kind]
        assert shelf.length_total[kind] == sum(words[space_id, kind] for space_id in SPACES)


def check_order(shelf: Shelf, model: Model, rows: dict[Key, int]) -> None:
    """Messages know those before and after them; dialogues their last, parent and last change."""
    dialogues = {Key(key.space_id, DIALOGUE, key.owner, 0) for key in model.last}
    for dialogue in dialogues:
        order = [rows[key] for key in model.messages(dialogue)]
        assert shelf.previous.array[order].tolist() == [NONE, *order][:-1]
        assert shelf.following.array[order].tolist() == [*order, NONE][1:]
        number = shelf.owner_number(dialogue.space_id, DIALOGUE, dialogue.owner)
        assert number != NONE or not order
        if number != NONE:
            assert shelf.tail.array[number] == (order or [NONE])[-1]
    for key, row in rows.items():
        if key.kind != MESSAGE:
            assert shelf.own_row.array[shelf.owner.array[row]] == row
            assert shelf.previous.array[row] == shelf.following.array[row] == NONE
        if key.kind == DIALOGUE:
            parent = shelf.parent.array[shelf.owner.array[row]]
            name = "" if parent == NONE else shelf.owner_names[parent]
            assert name == model.there[key].entry.parent
            assert shelf.touched.array[shelf.owner.array[row]] == model.modified[key]


def check_columns(shelf: Shelf, model: Model, rows: dict[Key, int]) -> None:
    by_space = [s.rows.first(s.rows.size).tolist() for s in shelf.spaces.values()]
    assert all(part == sorted(part) for part in by_space)
    assert sorted(row for part in by_space for row in part) == list(range(shelf.size))
    check_words(shelf, model, rows)
    probe = np.arange(-3, DIMENSION - 3, dtype=np.int8)
    dots = shelf.vectors.against(probe, shelf.size)
    some = np.arange(shelf.size)[::2]
    assert shelf.vectors.rows_against(probe, some).tolist() == dots[::2].tolist()
    for key, row in rows.items():
        first = np.frombuffer(model.there[key].vectors[:DIMENSION], np.int8).tolist()
        assert dots[row] == sum(a * b for a, b in zip(probe.tolist(), first, strict=False))
    waiting = {row for key, row in rows.items() if model.there[key].state == entries.PENDING}
    assert set(shelf.waiting().tolist()) == waiting


def check_words(shelf: Shelf, model: Model, rows: dict[Key, int]) -> None:
    """What is found in all rows, and in some, is what the texts hold."""
    known = [word for word in WORDS if word in shelf.terms]
    numbers = np.array([shelf.terms[word] for word in known], np.int64)
    wanted = np.zeros(len(shelf.terms), np.uint8)
    wanted[numbers] = np.arange(1, len(numbers) + 1)
    living = {row: key for key, row in rows.items()}
    expected = Counter(
        {
            (row, word): count
            for row, key in living.items()
            for word, count in zip(
                model.there[key].entry.terms, model.there[key].entry.counts, strict=True
            )
        }
    )
    for some in (np.arange(shelf.size), np.arange(shelf.size)[1::2]):
        read = shelf.words.among(wanted, some)
        given = zip(
            some[read.rows].tolist(), read.which.tolist(), read.counts.tolist(), strict=True
        )
        found = {(row, known[which]): count for row, which, count in given if row in living}
        assert found == {one: n for one, n in expected.items() if one[0] in set(some.tolist())}
    for count in {shelf.size, shelf.size // 2}:
        read = shelf.words.everywhere(numbers, wanted, count)
        given = zip(read.rows.tolist(), read.which.tolist(), read.counts.tolist(), strict=True)
        found = {(row, known[which]): n for row, which, n in given if row in living}
        assert found == {one: n for one, n in expected.items() if one[0] < count}


@FIXED
@given(
    st.lists(
        st.tuples(st.lists(CHANGES, min_size=1, max_size=8), st.booleans()), min_size=1, max_size=8
    )
)
def test_a_shelf_holds_what_the_model_holds_after_each_block(
    segment: int, parts: Sequence[tuple[Sequence[Change], bool]]
) -> None:
    model, shelf = Model(), Shelf(DIMENSION)
    for changes, together in parts:
        take(shelf, [one for change in changes for one in model.happen(change)], together=together)
        check(shelf, model)


# ── vectors of other models, and of none ─────────────────────────────────────────────────────


def memory(name: str, **fields: Any) -> Entry:
    return Entry(PUT, MEMORY, name, **fields)


def test_before_a_model_has_answered_there_are_no_vectors() -> None:
    shelf = Shelf(0)
    shelf.add(pack([(4, memory("a", state=PENDING, terms=["p"], counts=b"\1"))], 0), SPACES)
    shelf.add(pack([(4, memory("b", state=PRESENT, vectors=bytes(8)))], 0), SPACES)
    late = pack([(4, Entry(VECTORS, MEMORY, "a", vectors=bytes(8)))], DIMENSION)
    shelf.add(late, SPACES)
    assert [(entry.id, entry.state) for entry in shelf.entries(4)] == [
        ("a", PENDING),
        ("b", PENDING),
    ]
    probe = Probe(MEMORY, ["p"], None, Conditions(), 4, 10)
    assert [hit.place.owner for hit in find(shelf, probe)] == ["a", "b"]


@pytest.mark.parametrize("dimension", [0, 4, 12])
def test_vectors_of_another_length_are_still_to_come(dimension: int) -> None:
    shelf = Shelf(DIMENSION)
    there = memory("a", state=PRESENT, vectors=bytes(2 * dimension))
    shelf.add(pack([(4, there), (4, memory("b"))], dimension), SPACES)
    assert [entry.state for entry in shelf.entries(4)] == [PENDING, NO_TEXT]
    shelf.add(pack([(4, Entry(VECTORS, MEMORY, "a", vectors=b"1" * 12))], 12), SPACES)
    assert [entry.state for entry in shelf.entries(4)] == [PENDING, NO_TEXT]
    shelf.add(pack([(4, Entry(VECTORS, MEMORY, "a", vectors=b"1" * 16))], 8), SPACES)
    assert [entry.vectors for entry in shelf.entries(4)] == [b"1" * 16, b""]


@pytest.mark.parametrize("dimension", [1, 7, 256, 1023])
@pytest.mark.parametrize(("one", "other"), [(127, 127), (127, -127), (-127, -127), (1, -1)])
def test_products_of_vectors_are_exact(dimension: int, one: int, other: int) -> None:
    rows = Vectors(dimension)
    rows.extend(np.full((3, dimension), other, np.int8))
    vector = np.full(dimension, one, np.int8)
    assert rows.against(vector, 3).tolist() == [one * other * dimension] * 3
    assert rows.rows_against(vector, np.array([0, 2])).tolist() == [one * other * dimension] * 2


def test_an_empty_shelf_finds_nothing() -> None:
    shelf = Shelf(DIMENSION)
    shelf.add(pack([(4, Entry(DELETE, MEMORY, "gone"))], DIMENSION), SPACES)
    for kind in (MESSAGE, DIALOGUE, MEMORY):
        for space_id in (None, 4, 5):
            conditions = Conditions(
                tags=(FacetTest("t", "string", wanted=False, values=frozenset("a")),)
            )
            vector = np.ones(DIMENSION, np.int8)
            assert find(shelf, Probe(kind, ["p"], vector, conditions, space_id, 10)) == []


# ── growth ───────────────────────────────────────────────────────────────────────────────────


@FIXED
@given(st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=90), max_size=8))
def test_a_column_keeps_what_it_was_given(parts: Sequence[Sequence[int]]) -> None:
    """Also in the eyes of those who looked at it before it grew."""
    column, seen = Column(np.int64, 2), []
    for part in parts:
        seen.append((column.first(column.size), column.first(column.size).tolist()))
        if len(part) == 1:
            column.append(part[0])
        else:
            column.extend(np.array(part, np.int64))
    assert column.first(column.size).tolist() == [number for part in parts for number in part]
    assert all(view.tolist() == values for view, values in seen)


@FIXED
@given(st.lists(st.integers(0, 40), max_size=12), st.integers(0, 2**32))
def test_vectors_and_words_cross_segments(sizes: Sequence[int], seed: int) -> None:
    chance = random.Random(seed)
    with patch.object(columns, "SEGMENT", 16):
        vectors, words = Vectors(2), WordLists()
        given: list[tuple[int, int]] = []
        lists: list[dict[int, int]] = []
        for size in sizes:
            rows = [(chance.randint(-127, 127), chance.randint(-127, 127)) for _ in range(size)]
            new = [
                {
                    word: chance.randint(1, 255)
                    for word in chance.sample(range(6), chance.randint(0, 3))
                }
                for _ in range(size)
            ]
            vectors.extend(np.array(rows, np.int8).reshape(-1, 2))
            words.extend(
                np.array([word for one in new for word in one], np.int64),
                np.array([count for one in new for count in one.values()], np.uint8),
                np.cumsum([len(one) for one in new]),
            )
            given, lists = given + rows, lists + new
        probe = np.array([3, -2], np.int8)
        dots = [3 * a - 2 * b for a, b in given]
        wanted = np.array([0, 1, 0, 2, 0, 3], np.uint8)
        for count in {0, 1, 15, 16, 17, len(given)} & set(range(len(given) + 1)):
            assert vectors.against(probe, count).tolist() == dots[:count]
            some = sorted(chance.sample(range(len(given)), count))
            got = vectors.rows_against(probe, np.array(some, np.int64)).tolist()
            assert got == [dots[row] for row in some]
            found = words.everywhere(np.array([1, 3, 5]), wanted, count)
            triples = zip(
                found.rows.tolist(), found.which.tolist(), found.counts.tolist(), strict=True
            )
            assert sorted(triples) == sorted(
                (row, which, lists[row][word])
                for row in range(count)
                for which, word in enumerate((1, 3, 5))
                if word in lists[row]
            )


# ── readers beside the writer ────────────────────────────────────────────────────────────────


class Readers:
    """Threads that search all the time, in every way; what goes wrong in one is kept."""

    def __init__(
        self, shelf: Shelf, probes: Sequence[Probe], look: Callable[[Probe], None]
    ) -> None:
        self.wrong: list[BaseException] = []
        self.rounds = 0
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(probes[n:] + probes[:n], look))
            for n in range(3)
        ]

    def _run(self, probes: Sequence[Probe], look: Callable[[Probe], None]) -> None:
        try:
            while not self._stop.is_set():
                for probe in probes:
                    look(probe)
                self.rounds += 1
        except BaseException as error:
            self.wrong.append(error)

    def __enter__(self) -> "Readers":
        self._interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        sys.setswitchinterval(self._interval)


def probes_of(limit: int) -> list[Probe]:
    red = Conditions(tags=(FacetTest("t", "string", values=frozenset(["red"])),))
    here = Conditions(dialogue_id="a", thread_of="z")
    vector = np.arange(DIMENSION, dtype=np.int8)
    return [
        Probe(kind, ["p", "never", "ada"], vector, conditions, space_id, limit)
        for kind in (MESSAGE, DIALOGUE, MEMORY)
        for conditions in (Conditions(), red, here)
        for space_id in (None, *SPACES)
    ]


def test_readers_see_all_that_was_there_and_nothing_that_is_not(segment: int) -> None:
    """While messages are added: no fewer than before the search, no more than after it."""
    model, shelf = Model(), Shelf(DIMENSION)
    begun, done = 0, 0
    probe = Probe(MESSAGE, ["p"], np.ones(DIMENSION, np.int8), Conditions(), None, 10**6)

    def look(_: Probe) -> None:
        least = done
        found = [hit.place for hit in find(shelf, probe)]
        assert least <= len(found) <= begun
        assert len({(place.space_id, place.owner, place.sequence) for place in found}) == len(found)

    with Readers(shelf, [probe], look) as readers:
        for number in range(60):
            said = [
                Change("say", number + n, n, n, number, {"p": 1}, ["t\0sred"], n % 3, 2)
                for n in range(1 + number % 19)
            ]
            log = [one for change in said for one in model.happen(change)]
            begun += len(log)
            take(shelf, log, together=number % 2 == 0)
            done += len(log)
    assert not readers.wrong
    assert readers.rounds > 0
    check(shelf, model)


@pytest.mark.parametrize("kind", [MESSAGE, MEMORY, DIALOGUE])
def test_readers_find_what_is_being_tagged(segment: int, kind: int) -> None:
    """A resource that is indexed anew is there once for every search, as it was or as it is."""
    shelf = Shelf(DIMENSION)

    def put(number: int, tag: str) -> tuple[int, Entry]:
        entry = Entry(PUT, kind, f"r{number}", terms=["p"], counts=b"\1", facets=[f"t\0s{tag}"])
        if kind == MESSAGE:
            entry.dialogue_id, entry.sequence = "d", number
        return 4, entry

    dialogue = Entry(PUT, DIALOGUE, "d", terms=["p"], counts=b"\1")
    there = 20
    shelf.add(pack([put(n, "a") for n in range(1, there + 1)], DIMENSION), SPACES)
    if kind == MESSAGE:
        shelf.add(pack([(4, dialogue)], DIMENSION), SPACES)
    probe = Probe(kind, ["p"], np.ones(DIMENSION, np.int8), Conditions(), None, 10**6)

    def look(_: Probe) -> None:
        assert len(find(shelf, probe)) == there

    with Readers(shelf, [probe], look) as readers:
        for turn in range(400):
            shelf.add(pack([put(turn % there + 1, "ab"[turn % 2])], DIMENSION), SPACES)
    assert not readers.wrong
    assert readers.rounds > 0


def test_readers_survive_whatever_happens(segment: int) -> None:
    model, shelf = Model(), Shelf(DIMENSION)
    probes = probes_of(limit=10)

    def look(probe: Probe) -> None:
        hits = find(shelf, probe)
        assert len(hits) <= probe.limit
        assert {hit.place.kind for hit in hits} <= {probe.kind}
        assert len({hit.place for hit in hits}) == len(hits)
        if probe.space_id is not None:
            assert {hit.place.space_id for hit in hits} <= {probe.space_id}
        assert all(0 <= hit.relevance <= 1 for hit in hits)

    chance = random.Random(1)
    whats = ["say"] * 6 + [
        "open",
        "tag",
        "tag",
        "forget",
        "remember",
        "vectors",
        "vectors",
        "cascade",
    ]
    with Readers(shelf, probes, look) as readers:
        for _ in range(150):
            changes = [
                Change(
                    chance.choice(whats), chance.randrange(3), chance.randrange(3),
                    chance.randrange(60), chance.randrange(5), {chance.choice(WORDS): 1},
                    chance.sample(FACETS, 2), chance.choice(STATES), chance.randint(1, 3),
                )
                for _ in range(chance.randint(1, 12))
            ]  # fmt: skip
            log = [one for change in changes for one in model.happen(change)]
            take(shelf, log, together=chance.random() < 0.5)
    assert not readers.wrong
    assert readers.rounds > 0
    check(shelf, model)
