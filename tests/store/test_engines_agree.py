"""The answers of both engines agree: the same store is searched on SQLite and on PostgreSQL.

Where all texts are compared, results and scores are the same; where PostgreSQL chooses candidates,
nearly all of the results are.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from random import Random
from typing import Any, NamedTuple

import msgspec
import pytest

from databases import Cluster
from dialoguedb.engine import Caller, handlers, projects
from dialoguedb.models.dialogues import CreateDialogue
from dialoguedb.models.memories import CreateMemory
from dialoguedb.models.messages import CreateMessages
from dialoguedb.models.search import Search
from dialoguedb.models.times import text_of
from dialoguedb.store.opening import open_store
from dialoguedb.store.protocol import Store


def _words(text: str) -> list[str]:
    return text.split()


HANDLERS = handlers()
START_MS = 1_760_000_000_000
WORDS = _words(
    "river stone garden window letter train summer music doctor kitchen paper mountain engine "
    "coffee sister harbour lantern winter bicycle market teacher ocean pencil forest ticket bread "
    "the a of and to we they in on with was went saw bought lost found painted asked for my her"
)
NAMES = ("Ada", "Bruno", "Chen")
#: Dialogues of each namespace; of the large one PostgreSQL ranks only some messages.
SIZES = {"small": 12, "other": 20, "large": 130}
IN_DIALOGUE = 10
FILTERS: list[dict[str, Any]] = [
    {},
    {"filter": {"tags": ["blue"]}},
    {"metadata": {"grade": {"$gte": 3}}},
    {"metadata": {"grade": {"$lt": 2}, "town": {"$ne": "Porto"}}},
    {"filter": {"created": {"gte": text_of(START_MS + 40 * 60_000)}}},
]


class Tenant(NamedTuple):
    """A project in a store."""

    store: Store
    caller: Caller

    def do(self, name: str, request: Any) -> None:
        task = HANDLERS[name](self.caller, request)
        self.store.write(task.scope, task.work)

    def find(self, **asked: Any) -> list[tuple[str, float]]:
        """The resources that are found, with their relevance."""
        request = msgspec.json.decode(json.dumps(asked), type=Search)
        task = HANDLERS["search.find"](self.caller, request)
        found = []
        for result in self.store.read(task.scope, task.work).results:
            item = msgspec.json.decode(result.item)
            number = (
                f"{item['dialogueId']}:{item['sequence']}" if "sequence" in item else item["id"]
            )
            found.append((number, result.relevance))
        return found


def said(chance: Random) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randint(4, 14)))


def fill(tenant: Tenant) -> None:
    """Store the same conversations, whatever the store."""
    chance = Random(7)
    minute = 0
    for namespace, count in SIZES.items():
        for number in range(count):
            name = f"{namespace}-{number}"
            tenant.do(
                "dialogues.create",
                CreateDialogue(
                    id=name,
                    namespace=namespace,
                    label=said(chance),
                    tags=[chance.choice(("blue", "red"))],
                ),
            )
            messages = []
            for _ in range(IN_DIALOGUE):
                minute += chance.choice((0, 1, 1))
                messages.append(
                    {
                        "role": "user",
                        "name": chance.choice(NAMES),
                        "content": said(chance),
                        "created": text_of(START_MS + minute * 60_000),
                        "tags": chance.choice(([], ["blue"], ["red", "blue"])),
                        "metadata": {
                            "grade": chance.randint(1, 5),
                            "town": chance.choice(("Porto", "Faro")),
                        },
                    }
                )
            body = {"dialogueId": name, "namespace": namespace, "messages": messages}
            tenant.do(
                "messages.create_batch", msgspec.json.decode(json.dumps(body), type=CreateMessages)
            )
        for number in range(count * 3):
            value = msgspec.Raw(json.dumps(said(chance)).encode())
            tenant.do(
                "memories.create",
                CreateMemory(value=value, id=f"{namespace}-m{number:03}", namespace=namespace),
            )


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[list[Tenant]]:
    """The same project on each engine."""
    file = tmp_path_factory.mktemp("agree") / "chat.db"
    with (
        closing(open_store(str(file))) as one,
        closing(open_store(cluster.new_database())) as other,
    ):
        made = [
            Tenant(store, Caller(project_id=projects.create(store, "p").id, request_id="r"))
            for store in (one, other)
        ]
        for tenant in made:
            fill(tenant)
        yield made


def asked(number: int) -> str:
    chance = Random(number)
    question = " ".join(chance.choices(WORDS, k=chance.randint(1, 6)))
    return f"{chance.choice(NAMES)} {question}" if number % 4 == 0 else question


@pytest.mark.parametrize("kind", ["message", "dialogue", "memory"])
@pytest.mark.parametrize("narrowed", FILTERS, ids=["all", "tag", "from", "both", "since"])
def test_the_same_results_and_scores_where_all_are_compared(
    tenants: list[Tenant], kind: str, narrowed: dict[str, Any]
) -> None:
    for number in range(12):
        for namespace in ("small", "other"):
            body = {"query": asked(number), "object": kind, "namespace": namespace, **narrowed}
            one, other = (tenant.find(limit=20, **body) for tenant in tenants)
            assert [score for _, score in one] == pytest.approx(
                [score for _, score in other], abs=2e-6
            ), body
            assert same_but_for_equals(one, other), body


def same_but_for_equals(one: list[tuple[str, float]], other: list[tuple[str, float]]) -> bool:
    """Tell whether two answers hold the same; what scores the same may stand in another order.

    The last score of a page may belong to more than the page holds.
    """
    last = min((round(score, 5) for _, score in one), default=0.0)

    def above(found: list[tuple[str, float]]) -> set[tuple[str, float]]:
        return {(name, round(score, 5)) for name, score in found if round(score, 5) > last}

    return above(one) == above(other)


@pytest.mark.parametrize("kind", ["message", "dialogue"])
@pytest.mark.parametrize("where", [{"namespace": "large"}, {}], ids=["space", "project"])
def test_nearly_the_same_results_where_candidates_are_chosen(
    tenants: list[Tenant], kind: str, where: dict[str, str]
) -> None:
    shared = wanted = 0
    for number in range(40):
        one, other = (
            tenant.find(query=asked(number), object=kind, limit=10, **where) for tenant in tenants
        )
        names = {name for name, _ in one}
        wanted += len(names)
        shared += len(names & {name for name, _ in other})
        scores = dict(one)
        # A dialogue counts by the best of its messages that was ranked.
        for name, score in other if kind == "message" else ():
            assert score == pytest.approx(scores.get(name, score), abs=2e-6)
    assert shared >= 0.97 * wanted, f"{shared} of {wanted}"
