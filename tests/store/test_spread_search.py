"""A search that asks one space after the other, as Citus wants it, finds the same."""

from collections.abc import Iterator
from contextlib import closing
from random import Random
from typing import Any

import pytest

from databases import Cluster
from dialoguedb.store.opening import open_store
from dialoguedb.store.postgres import search as postgres_search
from searching import Tenant

WORDS = [
    "parcel", "wheel", "bent", "river", "cloud", "garden", "lamp", "piano", "bread", "train",
    "winter", "stone",
]  # fmt: skip
SPACES, DIALOGUES, MESSAGES = 3, 4, 12


@pytest.fixture(scope="module")
def tenant(cluster: Cluster) -> Iterator[Tenant]:
    chance = Random(7)
    with closing(open_store(cluster.new_database())) as store:
        made = Tenant(store)  # type: ignore[arg-type]
        for space in range(SPACES):
            for number in range(DIALOGUES):
                name, where = f"d{space}-{number}", f"space-{space}"
                made.call("dialogues.create", id=name, namespace=where, label=chance.choice(WORDS))
                for _ in range(MESSAGES):
                    text = " ".join(chance.choices(WORDS, k=chance.randint(2, 7)))
                    tags = chance.choice(([], ["blue"]))
                    made.say(name, text, namespace=where, tags=tags)
        yield made


@pytest.mark.parametrize("limits", [{}, {"EVERY": 0}, {"EVERY": 0, "EXACT": 0, "BY_GRAPH": 0}])
@pytest.mark.parametrize("kind", ["message", "dialogue"])
@pytest.mark.parametrize("more", [{}, {"tags": ["blue"]}], ids=["all", "tag"])
def test_asking_space_by_space_finds_the_same(
    tenant: Tenant,
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, int],
    kind: str,
    more: dict[str, Any],
) -> None:
    for name, value in limits.items():
        monkeypatch.setattr(postgres_search, name, value)
    for words in (WORDS[:2], WORDS[3:7], WORDS[8:9]):
        body = {"query": " ".join(words), "object": kind, "limit": 15, "explain": True, **more}
        index = tenant.store.index  # type: ignore[attr-defined]
        together = tenant.call("search.find", **body)
        monkeypatch.setattr(index, "apart", True)
        apart = tenant.call("search.find", **body)
        monkeypatch.setattr(index, "apart", False)
        assert bool(together.results) == (kind == "message" or not more)
        assert apart.results == together.results
