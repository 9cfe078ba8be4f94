"""Whose words count in a search, and that a query is only text."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import msgspec
import pytest

from dialoguedb.engine import Caller, projects
from dialoguedb.models import dialogues, memories
from dialoguedb.search import analyser
from dialoguedb.search.analyser import terms
from dialoguedb.search.shelf import Shelf
from dialoguedb.store.sqlite import index
from property.search_oracle import VOCABULARY
from property.search_world import World, answer_of, run
from searching import Hashing, Tenant, opened


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("search") / "chat.db")
    yield made
    made.close()


# ── whose words count ────────────────────────────────────────────────────────────────────────


def talk(name: str, namespace: str, chance: Random, count: int) -> list[dict[str, Any]]:
    """Make dialogues of 25 messages each."""
    return [
        {
            "id": f"{name}-{number}",
            "namespace": namespace,
            "label": "river",
            "messages": [
                {
                    "role": "user",
                    "content": " ".join(chance.choices(VOCABULARY, k=chance.randint(1, 12))),
                }
                for _ in range(25)
            ],
        }
        for number in range(count)
    ]


def send(world: World, caller: Caller, bodies: Sequence[Mapping[str, Any]]) -> None:
    for body in bodies:
        request = msgspec.json.decode(json.dumps(body), type=dialogues.CreateDialogue)
        run(world.stores[0], caller, "dialogues.create", request)


def test_a_space_scores_the_same_beside_others_as_alone(world: World) -> None:
    """Exactly: nothing of others is in the statistics, nor in any bit of a score."""
    alone, beside, foreign = (world.new_project() for _ in range(3))
    mine = talk("mine", "north", Random(1), 4)
    send(world, alone, mine)
    send(world, beside, talk("early", "south", Random(2), 20))
    send(world, beside, mine[:2])
    send(world, foreign, [*talk("foreign", "north", Random(3), 20), *mine])
    send(world, beside, talk("between", "", Random(4), 20))
    send(world, beside, mine[2:])
    asking = Random(5)
    for kind in ("message", "dialogue"):
        for _ in range(20):
            query = " ".join(asking.choices(VOCABULARY, k=3))
            request = {"query": query, "object": kind, "namespace": "north", "limit": 100}
            first, second = (
                answer_of(world.stores[0], caller, request | {"explain": True})
                for caller in (alone, beside)
            )
            assert len(first) == (100 if kind == "message" else 4)
            assert [bare(one) for one in first] == [bare(one) for one in second]


def bare(result: Mapping[str, Any]) -> Any:
    """A result without what differs between two copies: ids, projects and times."""
    item = result["item"]
    return (
        result["relevance"],
        result["explain"],
        item.get("content"),
        item.get("dialogueId", item["id"] if "label" in item else None),
        item.get("sequence"),
        [bare(match) for match in result.get("matches", [])],
    )


# ── a query is only text ─────────────────────────────────────────────────────────────────────

QUERIES = [
    *['"', '""', '"river', "*", "riv*", "river*", "river NEAR piano", "NEAR(river piano, 2)"],
    *["content:river", "col:", "{a b}: river", "-river", "NOT river", "river AND", "OR", "^river"],
    *["river + piano", "(river", ")", "river'; DROP TABLE messages; --", "%", "_", "\\", "?1"],
    *["river\0piano", "\0", "\x01\x7f", "\u200b", "\u202eriver", "\ufeff", "\U0010ffff", "'", "`"],
    *["the of and", "who is it", "what", "...", "!?", "--", "$in", "{}", "[]", "null", ":space"],
    *["🍕", "👩\u200d👩\u200d👧", "🇪🇪", "ﷺ", "ß", "İ", "é", "e\u0301", "١٢٣", "3.14", "1e400"],
    *["river " * 10_000, " ".join(f"word{n}" for n in range(10_000)), "x" * 100_000],
    *["世界" * 5_000, "\u0301" * 1000, "a" + "\u0301" * 10_000],
]  # fmt: skip


@pytest.fixture(scope="module")
def library(world: World) -> Caller:
    """A project with a message of each query and two of ordinary words."""
    caller = world.new_project()
    texts = ["river", "piano", *QUERIES]
    for number in range(0, len(texts), 25):
        said = [{"role": "user", "content": text} for text in texts[number : number + 25]]
        send(world, caller, [{"id": f"d{number}", "messages": said, "label": "river"}])
    return caller


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: repr(query)[:20])
def test_the_syntax_of_queries_is_only_text(world: World, library: Caller, query: str) -> None:
    """Whatever it says, all that passes is found, in the order of scores between 0 and 1."""
    store = world.stores[0]
    for kind, count in (("message", len(QUERIES) + 2), ("dialogue", 3), ("memory", 0)):
        request = {"query": query, "object": kind, "limit": 100}
        found = answer_of(store, library, request)
        assert len(found) == count
        scores = [result["relevance"] for result in found]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)


SYNTAX = ['"river"', "river*", "-river", "^river", "(river", "river AND", "{river}", "river\0"]


@pytest.mark.parametrize("query", SYNTAX)
def test_syntax_around_a_word_changes_nothing_of_what_it_finds(
    world: World, library: Caller, query: str
) -> None:
    plain, odd = (
        {
            one["item"]["id"]
            for one in answer_of(
                world.stores[0],
                library,
                {"query": text, "object": "message", "limit": 100, "explain": True},
            )
            if one["explain"]["words"] > 0
        }
        for text in ("river", query)
    )
    assert plain == odd
    assert len(QUERIES) > len(plain) > 10


@pytest.mark.parametrize("text", ["🍕", "世界", "ข้าวผัด", "مرحبا", "3.14", "é", "ß", "🇪🇪"])
def test_a_text_of_any_language_is_found_by_itself(world: World, text: str) -> None:
    caller, store = world.new_project(), world.stores[0]
    for number, said in enumerate([text, "river", "tulip magnet"]):
        body = {"id": f"m{number}", "value": said}
        request = msgspec.json.decode(json.dumps(body), type=memories.CreateMemory)
        run(store, caller, "memories.create", request)
    found = answer_of(store, caller, {"query": text, "object": "memory", "explain": True})
    assert found[0]["item"]["value"] == text
    assert found[0]["explain"]["words"] > 0
    assert all(one["explain"]["words"] == 0 for one in found[1:])


# ── when memory fails ────────────────────────────────────────────────────────────────────────


class Failing:
    """Takes the place of `Shelf.add`: fails once it is armed, and then does what it should."""

    def __init__(self) -> None:
        self.armed = False
        self.failed = 0
        self._add = Shelf.add

    def __call__(self, shelf: Shelf, block: Any, namespaces: Any) -> None:
        if self.armed:
            self.armed, self.failed = False, self.failed + 1
            raise MemoryError
        self._add(shelf, block, namespaces)


@pytest.fixture
def failing() -> Iterator[Failing]:
    fails = Failing()
    with (
        patch.object(Shelf, "add", lambda *given: fails(*given)),
        patch.object(index, "MOST_PENDING", 1),
    ):
        yield fails


def test_what_is_on_disk_is_answered_so_whatever_happens_in_memory(
    world: World, failing: Failing
) -> None:
    """And the next search knows it."""
    caller, request = world.new_project(), {"query": "river", "object": "dialogue"}
    send(world, caller, talk("first", "", Random(1), 1))
    assert len(answer_of(world.stores[0], caller, request)) == 1
    failing.armed = True
    send(world, caller, talk("second", "", Random(1), 1))
    assert failing.failed == 1
    assert len(answer_of(world.stores[0], caller, request)) == 2


def test_a_search_that_failed_leaves_nothing_out_of_the_next(
    world: World, failing: Failing
) -> None:
    caller, request = world.new_project(), {"query": "river", "object": "dialogue"}
    send(world, caller, talk("first", "", Random(1), 1))
    assert len(answer_of(world.stores[1], caller, request)) == 1
    send(world, caller, talk("second", "", Random(1), 1))
    failing.armed = True
    with pytest.raises(MemoryError):
        answer_of(world.stores[1], caller, request)
    assert failing.failed == 1
    assert len(answer_of(world.stores[1], caller, request)) == 2


def test_a_project_that_has_been_erased_is_searched_in_vain(tmp_path: Path) -> None:
    """Nothing of it is found, by its own process and by another; and nobody is alarmed."""
    model = Hashing(inline=True)
    with opened(tmp_path / "a.db", model) as store, opened(tmp_path / "a.db", model) as other:
        tenant = Tenant(store)
        tenant.call("dialogues.create", id="d", namespace="n", label="wheel")
        tenant.say("d", "wheel", namespace="n")
        there = tenant.through(other)
        assert tenant.found("wheel") and there.found("wheel", "dialogue")
        for _ in projects.delete(store, tenant.id):
            pass
        for kind in ("message", "dialogue", "memory"):
            assert there.found("wheel", kind) == tenant.found("wheel", kind) == []


def test_a_long_text_is_analysed_before_its_transaction(tmp_path: Path) -> None:
    """Others can write meanwhile; and it is found by any of its words all the same."""
    model = Hashing(inline=True)
    inside: list[tuple[bool, bool]] = []

    with opened(tmp_path / "a.db", model) as store:
        connection = store._session.connection

        def watched(text: str) -> list[str]:
            inside.append((len(text) > 100_000, connection.in_transaction))
            return terms(text)

        tenant = Tenant(store)
        tenant.call("dialogues.create", id="d")
        with patch.object(analyser, "terms", watched):
            tenant.say("d", f"zanzibar {'and so on ' * 20_000} timbuktu")
            tenant.say("d", "short")
        assert inside == [(True, False), (False, True)]
        assert len(tenant.found("timbuktu")[0]["content"]) > 200_000
