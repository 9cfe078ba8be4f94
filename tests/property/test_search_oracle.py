"""Search over random projects against an oracle in plain Python, on real stores."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialoguedb.models import dialogues, memories, messages
from dialoguedb.search import analyser, finding
from dialoguedb.store.sqlite import packing
from harness import Database
from property.search_oracle import NAMES, VOCABULARY, Doc, Expected, expected, tokens
from property.search_world import Life, World, answer_of, dump, request_of, run

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=25)
#: Scores are float32, and six digits of them are shown.
CLOSE = 1e-5


@pytest.fixture(scope="module")
def world(new_db: Callable[..., Database]) -> Iterator[World]:
    made = World(new_db("bare"))
    yield made
    made.close()


def key_of(result: Mapping[str, Any]) -> tuple[str, str, str]:
    item = result["item"]
    return result["object"], item.get("namespace", ""), item["id"]


def near(one: float, other: float) -> bool:
    return abs(one - other) <= CLOSE


def compare(
    results: Sequence[Mapping[str, Any]],
    request: Mapping[str, Any],
    docs: Sequence[Doc],
    *,
    all_ranked: bool = True,
) -> None:
    """Hold results against the oracle; where not all were ranked, they need not be the best."""
    wanted = expected(request, docs)
    keys = [key_of(result) for result in results]
    assert len(set(keys)) == len(keys)
    assert set(keys) <= wanted.keys(), "a result that does not pass"
    assert len(keys) == min(request["limit"], len(wanted)), "too few results"
    relevances = [result["relevance"] for result in results]
    assert relevances == sorted(relevances, reverse=True)
    for key, result in zip(keys, results, strict=True):
        found = wanted[key]
        assert result["item"] == {**found.doc.item}
        if result["object"] == "dialogue":
            compare_matches(result, found, all_ranked=all_ranked)
        if result["object"] != "dialogue" or all_ranked:
            assert near(result["relevance"], found.parts.relevance), (
                key,
                result["relevance"],
                found,
            )
        if result["object"] != "dialogue":
            compare_parts(result, found)
    best = sorted((one.parts.relevance for one in wanted.values()), reverse=True)[: len(keys)]
    if all_ranked:
        assert all(near(one, other) for one, other in zip(relevances, best, strict=True))


def compare_parts(result: Mapping[str, Any], found: Expected) -> None:
    parts = result["explain"]
    assert near(sum(parts.values()), result["relevance"])
    assert near(parts["words"], found.parts.words)
    assert near(parts["meaning"], found.parts.meaning)
    assert near(parts["speaker"], found.parts.speaker)


def compare_matches(result: Mapping[str, Any], found: Expected, *, all_ranked: bool) -> None:
    said = {doc.item["id"]: parts for doc, parts in found.matches}
    shown = result.get("matches", [])
    for match in shown:
        assert match["item"]["id"] in said
        assert near(match["relevance"], said[match["item"]["id"]].relevance)
    order = [match["relevance"] for match in shown]
    assert order == sorted(order, reverse=True)
    assert len({match["item"]["id"] for match in shown}) == len(shown) <= 3
    if all_ranked:
        best = [parts.relevance for _, parts in found.matches if parts.relevance > 1e-4][:3]
        assert all(near(one, other) for one, other in zip(order, best, strict=False))
        assert len(order) >= len(best)


def test_the_words_of_the_oracle_are_terms_as_they_are() -> None:
    for word in [*VOCABULARY, *map(str.lower, NAMES)]:
        assert analyser.terms(word) == analyser.query_terms(word) == tokens(word) == [word]


@FIXED
@given(st.integers(0, 2**32), st.integers(1, 30))
def test_a_search_finds_what_the_oracle_finds(world: World, seed: int, steps: int) -> None:
    """In both processes, while things are written, tagged and deleted between the searches."""
    chance = Random(seed)
    mine, other = (Life(world, world.new_project(), chance) for _ in range(2))
    with patch.object(packing, "MOST_IN_BLOCK", chance.choice([4, packing.MOST_IN_BLOCK])):
        for _ in range(3):
            mine.live(steps)
            other.live(steps // 2)
            docs = dump(world.stores[0], mine.caller)
            for _ in range(5):
                request = request_of(chance, docs)
                for store in world.stores:
                    compare(answer_of(store, mine.caller, request), request, docs)


def test_an_empty_list_is_no_value_but_the_key_is_there(world: World) -> None:
    """So the namespace of the resource itself does not stand in for it (8.3)."""
    caller, store = world.new_project(), world.stores[0]
    body = {
        "namespace": "south",
        "id": "m",
        "value": "river",
        "metadata": {"namespace": [], "k": []},
    }
    request = msgspec.json.decode(json.dumps(body), type=memories.CreateMemory)
    run(store, caller, "memories.create", request)
    for condition, found in [
        ({"namespace": "south"}, 0),
        ({"namespace": {"$ne": "south"}}, 1),
        ({"namespace": {"$nin": ["south", ""]}}, 1),
        ({"k": {"$ne": ""}}, 1),
        ({"k": ""}, 0),
        ({"k": {"$lt": "z"}}, 0),
    ]:
        request = {"query": "river", "object": "memory", "metadata": condition}
        assert len(answer_of(store, caller, request)) == found, condition


@settings(FIXED, max_examples=20)
@given(st.integers(0, 2**32), st.integers(10, 30), st.sampled_from([4, 7, 16]))
def test_where_only_candidates_are_ranked_as_many_are_found_and_they_pass(
    world: World, seed: int, steps: int, candidates: int
) -> None:
    chance = Random(seed)
    life = Life(world, world.new_project(), chance)
    life.live(steps)
    docs = dump(world.stores[0], life.caller)
    with patch.object(finding, "CANDIDATES", candidates), patch.object(finding, "_RUN", 2):
        for _ in range(12):
            request = request_of(chance, docs)
            found = answer_of(world.stores[0], life.caller, request)
            compare(found, request, docs, all_ranked=False)


@settings(FIXED, max_examples=10)
@given(st.integers(0, 2**32), st.integers(1, 30))
def test_a_store_that_is_opened_again_gives_the_same_answers(
    world: World, seed: int, steps: int
) -> None:
    """From the log, from blocks, and from blocks with a log behind them."""
    chance = Random(seed)
    life = Life(world, world.new_project(), chance)
    life.live(steps)
    docs = dump(world.stores[0], life.caller)
    requests = [request_of(chance, docs) for _ in range(10)]
    answers = [answer_of(world.stores[0], life.caller, request) for request in requests]
    for change in (lambda: None, life.pack, life.pack):
        change()
        with contextlib.closing(world.open()) as store:
            assert [answer_of(store, life.caller, request) for request in requests] == answers


@pytest.mark.parametrize("pick", [0, 1])
def test_a_change_is_known_to_the_next_search_in_every_process(world: World, pick: int) -> None:
    caller, store = world.new_project(), world.stores[pick]

    def found(**fields: Any) -> list[list[str]]:
        request = {"query": "walnut", "object": "message", **fields}
        return [
            [one["item"]["id"] for one in answer_of(each, caller, request)] for each in world.stores
        ]

    def change(name: str, kind: type, **body: Any) -> None:
        run(store, caller, name, msgspec.json.decode(json.dumps(body), type=kind))

    assert found() == [[], []]
    said = {"role": "user", "content": "walnut", "id": f"m{pick}"}
    change("dialogues.create", dialogues.CreateDialogue, id="d1", message=said)
    assert found() == [[said["id"]]] * 2
    assert found(tags=["red"]) == [[], []]
    change("messages.update", messages.UpdateMessage, id=said["id"], tags=["red"])
    assert found(tags=["red"]) == [[said["id"]]] * 2
    change("messages.update", messages.UpdateMessage, id=said["id"], tags=["blue"])
    assert found(tags=["red"]) == [[], []]
    change("messages.delete", messages.NameMessage, id=said["id"])
    assert found() == [[], []]
