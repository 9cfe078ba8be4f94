"""Any works that are submitted at once end as if they had been run one after the other."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from databases import Cluster
from dialoguedb.engine import Replayed, projects
from dialoguedb.models.messages import Message
from dialoguedb.store.opening import open_store
from dialoguedb.store.postgres.store import PostgresStore
from grouped import House

NAMESPACES = ("", "n", "m")
NAMES = st.sampled_from(("a", "b", "c"))
KINDS = ("say", "several", "begin", "change", "end", "keep")
KEYS = st.sampled_from((None, None, "k", "l"))


class Step(NamedTuple):
    """An operation: its name and what it is given; all ids are of its namespace."""

    namespace: str
    name: str
    body: Any = None
    key: str | None = None
    match: int | None = None
    path: str | None = None


@st.composite
def steps(draw: st.DrawFn, *, kinds: tuple[str, ...] = KINDS, calm: bool = False) -> Step:
    """Draw an operation; few names make that they meet. `calm`: hardly any fails."""
    namespace = draw(st.sampled_from(NAMESPACES[:2] if calm else NAMESPACES))

    def named() -> str:
        return f"{namespace}-{draw(st.sampled_from(('a', 'b')) if calm else NAMES)}"

    place = {"namespace": namespace} if namespace else {}
    said = {"role": "user", "content": draw(st.sampled_from(("one", "two")))}
    kind = draw(st.sampled_from(kinds))
    if kind in ("say", "several") and not calm and draw(st.booleans()):
        said["id"] = f"{namespace}-m{draw(NAMES)}"
    if kind == "say":
        body = place | said | {"dialogueId": named()}
        return Step(namespace, "messages.create", body, draw(KEYS))
    if kind == "several":
        other = {"role": "user", "content": "three"}
        body = place | {"dialogueId": named(), "messages": [said, other]}
        return Step(namespace, "messages.create_batch", body, draw(KEYS))
    if kind == "begin":
        return Step(namespace, "dialogues.create", place | {"id": named()}, draw(KEYS))
    if kind == "change":
        body = place | {"label": draw(NAMES)}
        match = draw(st.sampled_from((None, 1, 2)))
        return Step(namespace, "dialogues.update", body, match=match, path=named())
    if kind == "end":
        return Step(namespace, "dialogues.delete", path=named())
    return Step(namespace, "memories.create", place | {"id": named(), "value": 1}, draw(KEYS))


#: Appends run side by side; what else there is keeps those of its space from it, and one that
#: fails late all of its group.
GROUPS = st.one_of(
    st.lists(steps(kinds=("say", "several"), calm=True), min_size=2, max_size=14),
    st.lists(steps(kinds=("say", "several")), min_size=2, max_size=14),
    st.lists(steps(), min_size=2, max_size=14),
)


@pytest.fixture(scope="module")
def stores(cluster: Cluster) -> Iterator[tuple[PostgresStore, PostgresStore]]:
    """Two databases: one for all at once, one for one after the other."""
    addresses = [cluster.new_database(), cluster.new_database()]
    with closing(open_store(addresses[0])) as one, closing(open_store(addresses[1])) as other:
        assert isinstance(one, PostgresStore)
        assert isinstance(other, PostgresStore)
        yield one, other
    for address in addresses:
        cluster.drop(address)


def ended(house: House, group: list[Step], *, at_once: bool) -> list[Any]:
    """Run operations; give what is told of each, without times and ids that the server makes."""
    tasks = []
    for step in group:
        query = [("namespace", step.namespace)] if step.body is None and step.namespace else []
        path = {} if step.path is None else {"id": step.path}
        tasks.append(
            house.task(step.name, step.body, key=step.key, match=step.match, query=query, **path)
        )
    outcomes = house.at_once(tasks) if at_once else [house.at_once([task])[0] for task in tasks]
    return [type(one.error) if one.error else told(one.result) for one in outcomes]


def told(result: Any) -> Any:
    if isinstance(result, Replayed):
        return "again", told(result.answer)
    if isinstance(result, list):
        return [told(one) for one in result]
    if isinstance(result, Message):
        return result.dialogue_id, result.sequence, bytes(result.content)
    return type(result)


def seen(house: House) -> list[Any]:
    """Give all that is stored in the project, without times and ids that the server makes."""
    sql = (
        "SELECT s.namespace, d.id, d.total_messages, d.last_sequence, d.version, d.label, "
        "(SELECT array_agg(m.sequence || m.content ORDER BY m.sequence) FROM messages AS m "
        "WHERE m.space_id = s.id AND m.dialogue_id = d.id), "
        "(SELECT COUNT(*) FROM replies AS r WHERE r.space_id = s.id), "
        "(SELECT array_agg(v.id ORDER BY v.id) FROM memories AS v WHERE v.space_id = s.id), "
        "(SELECT COUNT(*) FROM entries AS e WHERE e.space_id = s.id), "
        "(SELECT SUM(f.texts) FROM figures AS f WHERE f.space_id = s.id), "
        "(SELECT SUM(f.words) FROM figures AS f WHERE f.space_id = s.id), "
        "(SELECT COUNT(*) FROM claims AS c WHERE c.project_id = s.project_id) "
        "FROM spaces AS s LEFT JOIN dialogues AS d ON d.space_id = s.id "
        "WHERE s.project_id = :project_id ORDER BY 1, 2"
    )
    with house.store._pool.session() as session:
        return session.all(sql, {"project_id": house.project_id})


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(groups=st.lists(GROUPS, min_size=1, max_size=3))
def test_a_group_ends_as_its_works_one_by_one(
    stores: tuple[PostgresStore, PostgresStore], groups: list[list[Step]]
) -> None:
    one, other = (House(store, projects.create(store, store.runtime.uuid()).id) for store in stores)
    for house in (one, other):
        begin = [
            Step(namespace, "dialogues.create", {"id": f"{namespace}-{name}"} | place)
            for namespace in NAMESPACES[:2]
            for name in ("a", "b")
            for place in ({"namespace": namespace} if namespace else {},)
        ]
        ended(house, begin, at_once=False)
    for group in groups:
        assert ended(one, group, at_once=True) == ended(other, group, at_once=False)
        assert seen(one) == seen(other)
