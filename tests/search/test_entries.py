"""Entries and blocks: packing changes nothing of what a log comes to."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dialoguedb.search import entries
from dialoguedb.search.blocks import decode_block, encode_block, pack, states_of, unpack
from dialoguedb.search.entries import (
    DELETE,
    DIALOGUE,
    KEPT,
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
from dialoguedb.search.merging import joined, merge, select
from dialoguedb.search.parts import Part, blocks_of, log_of, without_vectors

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=100)
Log = list[tuple[int, Entry]]


class Standing(NamedTuple):
    """What an index holds of a resource."""

    entry: Entry
    state: int
    vectors: bytes


class Sum(NamedTuple):
    """What a log comes to: the resources, and when each dialogue was modified last."""

    there: dict[Key, Standing]
    modified: dict[Key, int]


def dialogue_of(key: Key) -> Key:
    return Key(key.space_id, DIALOGUE, key.owner, 0)


def applied(parts: Iterable[Iterable[tuple[int, Entry]]], dimension: int) -> Sum:
    """Apply entries one by one, as they are documented."""
    there: dict[Key, Standing] = {}
    modified: dict[Key, int] = {}
    for space_id, entry in (one for part in parts for one in part):
        key = entry.key(space_id)
        before = there.get(key)
        fits = dimension > 0 and len(entry.vectors) > 0 and len(entry.vectors) % dimension == 0
        if entry.what == PUT:
            state, vectors = entry.state, entry.vectors
            if state == KEPT:
                _, state, vectors = before or (None, PENDING, b"")
            elif state == PRESENT and not fits:
                state, vectors = PENDING, b""
            there[key] = Standing(entry, state, vectors)
        elif entry.what == DELETE:
            there.pop(key, None)
        elif before is not None and before.state == PENDING and fits:
            there[key] = Standing(before.entry, PRESENT, entry.vectors)
        if key.kind == DIALOGUE and entry.what == PUT:
            modified[key] = entry.modified
        elif key.kind == MESSAGE and dialogue_of(key) in modified:
            modified[dialogue_of(key)] = max(modified[dialogue_of(key)], entry.at)
        if key.kind == DIALOGUE and entry.what == DELETE:
            modified.pop(key, None)
    return Sum(there, modified)


def shown(total: Sum) -> dict[Key, Any]:
    """What of a sum must not change; a message's id is not in a block."""
    return {
        key: (
            *msgspec.structs.astuple(
                msgspec.structs.replace(
                    one.entry, id="", at=0, modified=total.modified.get(key, one.entry.modified),
                    state=one.state, vectors=one.vectors,
                )
            ),
        )
        for key, one in total.there.items()
    }  # fmt: skip


WORDS = st.dictionaries(st.sampled_from("abcde"), st.integers(1, 255), max_size=4)


@st.composite
def logs(draw: st.DrawFn, dimension: int, spaces: Sequence[int] = (3, 1, 2)) -> Log:
    """Entries as they come: times rise, numbers of messages are not given twice."""
    log: Log = []
    used: dict[Key, Entry] = {}
    clock = 1000
    for _ in range(draw(st.integers(0, 14))):
        space_id, clock = draw(st.sampled_from(spaces)), clock + draw(st.integers(0, 3))
        kind = draw(st.sampled_from([MESSAGE, MESSAGE, DIALOGUE, MEMORY]))
        what = draw(st.sampled_from([PUT, PUT, PUT, DELETE, VECTORS]))
        name = draw(st.sampled_from("xy"))
        sequence = draw(st.integers(1, 3)) if kind == MESSAGE else 0
        entry = Entry(what, kind, "" if kind == MESSAGE else name, sequence=sequence)
        entry.dialogue_id = name if kind == MESSAGE else ""
        key = entry.key(space_id)
        there = key in used and used[key].what == PUT
        if key in used and not there and kind == MESSAGE and what == PUT:
            continue
        if what == VECTORS and key not in used:
            continue
        if what == PUT:
            words = draw(WORDS)
            entry.created = draw(st.integers(0, 5))
            entry.modified = clock
            entry.at = clock if kind == MESSAGE and not there else 0
            entry.has_image = kind == MESSAGE and draw(st.booleans())
            entry.parent = draw(st.sampled_from(["", "x", "z"])) if kind == DIALOGUE else ""
            entry.terms, entry.counts = list(words), bytes(words.values())
            entry.facets = draw(
                st.lists(st.sampled_from(["t\0sa", "t\0sb", "mk\0n1"]), unique=True)
            )
            entry.state = draw(st.sampled_from([NO_TEXT, PRESENT, PENDING, KEPT][: 3 + there]))
        elif what == DELETE:
            entry.at = clock if kind == MESSAGE else 0
        if what == VECTORS or entry.state == PRESENT:
            # Some are another model's, of another length; and those of no model are empty.
            size = draw(st.sampled_from([dimension, dimension, 2 * dimension, 3 * dimension, 0, 7]))
            entry.vectors = draw(st.binary(min_size=size, max_size=size))
        if what != VECTORS:
            used[key] = entry
        log.append((space_id, entry))
    return log


def halves(log: Log, places: Sequence[int]) -> list[Log]:
    """Cut a log at some places."""
    ends = sorted({min(place, len(log)) for place in places} | {0, len(log)})
    return [log[start:end] for start, end in pairwise(ends)]


#: A dimension, and a log of an index of it; it is 0 while a remote model has not answered.
LOGS = st.sampled_from([0, 4]).flatmap(lambda size: st.tuples(st.just(size), logs(size)))
CUTS = st.lists(st.integers(0, 14), max_size=3)


@FIXED
@given(LOGS)
def test_entries_and_blocks_are_read_as_they_were_written(case: tuple[int, Log]) -> None:
    dimension, log = case
    listed = [entry for _, entry in log]
    assert entries.decode(entries.encode(listed)) == listed
    block = pack(log, dimension)
    again = decode_block(encode_block(block))
    assert list(unpack(again)) == list(unpack(block))


@FIXED
@given(LOGS, CUTS)
def test_packing_changes_nothing_of_what_a_log_comes_to(
    case: tuple[int, Log], places: Sequence[int]
) -> None:
    """Not on what came before, not in what comes after, wherever the log is cut."""
    dimension, log = case
    parts = halves(log, places)
    expected = shown(applied(parts, dimension))
    for first in range(len(parts)):
        packed = [list(unpack(pack(part, dimension))) for part in parts[first:]]
        assert shown(applied([*parts[:first], *packed], dimension)) == expected


@FIXED
@given(LOGS, CUTS)
def test_blocks_merge_to_what_they_come_to_one_after_the_other(
    case: tuple[int, Log], places: Sequence[int]
) -> None:
    """By whole columns where that can be, resource by resource where not."""
    dimension, log = case
    parts = halves(log, places)
    expected = shown(applied(parts, dimension))
    whole = merge([pack(part, dimension) for part in parts or [[]]], dimension)
    again = decode_block(encode_block(whole))
    assert shown(applied([list(unpack(again))], dimension)) == expected
    assert len(set(whole.terms.words)) == len(whole.terms.words)


@FIXED
@given(LOGS, st.data())
def test_a_selection_has_what_was_selected_and_no_word_more(
    case: tuple[int, Log], data: st.DataObject
) -> None:
    dimension, log = case
    block = pack([one for one in log if one[1].what == PUT], dimension)
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=block.count, max_size=block.count)))
    chosen = select(block, kept.astype(np.bool_))
    there = list(unpack(block))
    assert list(unpack(chosen)) == [one for one, wanted in zip(there, kept, strict=True) if wanted]
    left = {word for _, entry in unpack(chosen) for word in entry.terms}
    assert set(chosen.terms.words) == left


@FIXED
@given(LOGS, CUTS)
def test_blocks_are_packed_again_with_what_follows(
    case: tuple[int, Log], places: Sequence[int]
) -> None:
    dimension, log = case
    parts = halves(log, places)
    expected = shown(applied(parts, dimension))
    whole: Log = []
    for part in parts:
        whole = list(unpack(pack([*whole, *part], dimension)))
    assert shown(applied([whole], dimension)) == expected


@FIXED
@given(LOGS)
def test_nothing_comes_twice_in_a_block(case: tuple[int, Log]) -> None:
    dimension, log = case
    block = pack(log, dimension)
    kept = [e.key(s) for s, e in unpack(block) if e.what == PUT]
    assert len(kept) == len(set(kept)) == block.count
    late = [entry.key(space_id) for space_id, entry in block.late]
    assert len(late) == len(set(late))
    here = int((states_of(block) == PRESENT).sum())
    assert len(block.vectors) == here * dimension
    assert len(block.pieces) == len(block.piece_of) // 4 * dimension


@FIXED
@given(logs(4, [1]), logs(4, [2]), logs(4, [3]))
def test_joined_blocks_hold_what_each_holds(first: Log, second: Log, third: Log) -> None:
    blocks = [pack(log, 4) for log in (first, second, third)]
    found = list(unpack(joined(blocks)))
    for what in (PUT, DELETE, VECTORS):
        expected = [one for block in blocks for one in unpack(block) if one[1].what == what]
        assert [one for one in found if one[1].what == what] == expected


@FIXED
@given(logs(4, [1]), CUTS)
def test_merged_blocks_come_to_what_they_come_to_one_by_one(
    log: Log, places: Sequence[int]
) -> None:
    """Whether columns are put together or blocks are unpacked for it."""
    parts = halves(log, places)
    if not parts:
        return
    for first in range(len(parts)):
        block = merge([pack(part, 4) for part in parts[first:]], 4)
        merged = [*parts[:first], unpack(decode_block(encode_block(block)))]
        assert shown(applied(merged, 4)) == shown(applied(parts, 4))


@FIXED
@given(logs(4, [1]), CUTS, st.integers(0, 15))
def test_works_that_are_blocks_and_works_that_are_not_come_to_the_same(
    log: Log, places: Sequence[int], which: int
) -> None:
    parts = halves(log, places)
    works: list[Part] = [
        pack(part, 4) if which >> place & 1 else [entry for _, entry in part]
        for place, part in enumerate(parts)
    ]
    assert shown(applied((log_of(1, work) for work in works), 4)) == shown(applied(parts, 4))
    blocks = blocks_of([(1, work) for work in works], 4)
    assert shown(applied(map(unpack, blocks), 4)) == shown(applied(parts, 4))


@FIXED
@given(logs(4, [1]), CUTS, st.integers(0, 15))
def test_of_another_model_all_is_kept_but_the_vectors(
    log: Log, places: Sequence[int], which: int
) -> None:
    """And what has a text waits for its own."""
    parts = halves(log, places)
    works: list[Part] = [
        pack(part, 4) if which >> place & 1 else [entry for _, entry in part]
        for place, part in enumerate(parts)
    ]
    found = applied((log_of(1, without_vectors(work)) for work in works), 4).there
    expected = applied(parts, 4).there
    assert found.keys() == expected.keys()
    for key, standing in found.items():
        assert standing.vectors == b""
        assert standing.state in (PENDING, NO_TEXT)
        if expected[key].state != NO_TEXT:
            assert standing.state == PENDING


def test_a_block_without_vectors_is_joined_to_others_without_harm() -> None:
    """Of a remote model the dimension is unknown until it has answered."""
    early = pack([(1, Entry(PUT, MEMORY, "a", state=PENDING))], 0)
    late = pack([(2, Entry(PUT, MEMORY, "b", state=PRESENT, vectors=b"1234"))], 4)
    for blocks in ([early, late], [late, early]):
        found = {e.id: e for _, e in unpack(joined(blocks))}
        assert (found["b"].state, found["b"].vectors) == (PRESENT, b"1234")
        assert found["a"].state == PENDING


def test_a_kept_vector_is_that_of_the_entry_before() -> None:
    log = [
        (1, Entry(PUT, MEMORY, "a", terms=["x"], counts=b"\1", state=PRESENT, vectors=b"12345678")),
        (1, Entry(PUT, MEMORY, "a", terms=["x"], counts=b"\1", facets=["t\0sb"], state=KEPT)),
    ]
    ((_, entry),) = unpack(pack(log, 4))
    assert (entry.state, entry.vectors, entry.facets) == (PRESENT, b"12345678", ["t\0sb"])


def test_vectors_that_came_for_an_earlier_text_are_not_those_of_the_next() -> None:
    log = [
        (1, Entry(VECTORS, DIALOGUE, "d", vectors=b"1234")),
        (1, Entry(PUT, DIALOGUE, "d", terms=["new"], counts=b"\1", state=PENDING)),
    ]
    block = pack(log, 4)
    assert block.late == []
    assert [entry.state for _, entry in unpack(block)] == [PENDING]


def test_a_message_tagged_at_once_still_says_when_its_dialogue_was_modified() -> None:
    log = [
        (1, Entry(PUT, MESSAGE, "m", "d", 1, at=7, modified=7, state=NO_TEXT)),
        (1, Entry(PUT, MESSAGE, "m", "d", 1, at=0, modified=9, facets=["t\0sa"], state=NO_TEXT)),
    ]
    ((_, entry),) = unpack(pack(log, 0))
    assert (entry.at, entry.modified, entry.facets) == (7, 9, ["t\0sa"])
