"""Filters as SQL: what a search may leave out without looking at it.

They let pass all that passes, and little else: what is found is held against the filters once more
when it is read, by the one who asked.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from dialoguedb.models.times import EARLIEST_MS, LATEST_MS
from dialoguedb.search import facets
from dialoguedb.search.conditions import Conditions, FacetTest
from dialoguedb.search.entries import DIALOGUE, MEMORY, MESSAGE
from dialoguedb.search.periods import Period, TimeTest
from dialoguedb.store import statements
from dialoguedb.store.postgres.index import written
from dialoguedb.store.postgres.session import Binary
from dialoguedb.store.postgres.tokens import Where, array_of, of_facets

_NAMESPACE = facets.key_of("namespace")
#: What a key and a value stand between; see `search/facets.py`.
_NUMBER, _TEXT = "\0n", "\0s"


_ENTRY = re.compile(r"\be\.")


class Filter(NamedTuple):
    """A condition on an entry `e`: SQL that binds names, and their values."""

    sql: str
    params: Mapping[str, Any]


#: No condition.
ALL = Filter("TRUE", {})


def filter_of(
    conditions: Conditions, kind: int, where: Where, namespaces: Mapping[int, str]
) -> Filter:
    """Write conditions on resources of a kind.

    Args:
        conditions: what results must be.
        kind: MESSAGE, DIALOGUE or MEMORY.
        where: makes the tokens of the space or project.
        namespaces: of the spaces that are searched, by their numbers.
    """
    made = _Made([], {})
    for test in conditions.created:
        made.time(test, "created", "e.created")
    for test in conditions.modified:
        of_dialogue = kind == DIALOGUE
        made.time(test, "modified", "e.modified", "_dialogue" if of_dialogue else "")
    for facet in (*conditions.tags, *conditions.metadata):
        made.facet(facet, where, namespaces)
    if conditions.has_image is not None and kind == MESSAGE:
        made.add("filter_image", image=int(conditions.has_image))
    of_dialogues = conditions.dialogue_id is not None or conditions.thread_of is not None
    if kind == MEMORY and (conditions.has_image or of_dialogues):
        made.add("filter_nothing")
    elif conditions.dialogue_id is not None:
        made.add("filter_dialogue", dialogue_id=conditions.dialogue_id)
    if kind != MEMORY and conditions.thread_of is not None:
        made.add("filter_thread", thread_of=conditions.thread_of)
    return Filter(" AND ".join(made.parts), made.params) if made.parts else ALL


class _Made(NamedTuple):
    parts: list[str]
    params: dict[str, Any]

    def add(self, fragment: str, **params: Any) -> None:
        self.parts.append(self.named(fragment, **params))

    def named(self, fragment: str, **params: Any) -> str:
        """Give a fragment whose parameters have names of their own."""
        sql = statements.load("postgres")[fragment].sql
        for name, value in params.items():
            own = f"{name}_{len(self.params)}"
            self.params[own] = value
            sql = statements.renamed(sql, name, own)
        return sql

    def time(self, test: TimeTest, name: str, column: str, form: str = "") -> None:
        if isinstance(test, Period):
            start = EARLIEST_MS if test.start_ms is None else test.start_ms
            stop = LATEST_MS + 1 if test.stop_ms is None else test.stop_ms
            bounds = {f"{name}_start": start, f"{name}_stop": stop}
            self.add(f"filter_{name}{form}", **bounds)
        elif not form:
            parts = {"year": test.year or 0, "month": test.month or 0, "day": test.day or 0}
            self.parts.append(self.named("filter_date", **parts).replace(":time", column))

    def facet(self, test: FacetTest, where: Where, namespaces: Mapping[int, str]) -> None:
        if test.values is not None:
            texts = [facets.facet(test.key, value) for value in test.values]
            tokens = array_of(where(of_facets(texts)))
            accepted = self.named("filter_values", values=Binary(tokens))
        else:
            accepted = self._compared(test)
        if test.key == _NAMESPACE:
            good = [number for number, name in namespaces.items() if name and test.accepts(name)]
            prefix = written(_NAMESPACE + "\0")
            unnamed = self.named("filter_unnamed", good_spaces=good, prefix=prefix)
            accepted = f"({accepted} OR {unnamed})"
        self.parts.append(accepted if test.wanted else f"NOT ({accepted})")

    def _compared(self, test: FacetTest) -> str:
        is_text = isinstance(test.operand, str)
        prefix = written(test.key + (_TEXT if is_text else _NUMBER))
        operand = written(str(test.operand)) if is_text else repr(test.operand)
        return self.named(
            "filter_texts" if is_text else "filter_numbers",
            prefix=prefix,
            relation=test.relation,
            operand=operand,
        )


def of_messages(passing: Filter) -> Filter:
    """Say of a message that its dialogue is there and passes."""
    sql = statements.load("postgres")["filter_of_dialogue"].sql
    inner = _ENTRY.sub("d.", passing.sql)
    return Filter(sql.replace("TRUE /* conditions */", inner), passing.params)


def both(*filters: Filter) -> Filter:
    """Give a filter that holds where all hold."""
    params: dict[str, Any] = {}
    for one in filters:
        params |= one.params
    return Filter(" AND ".join(one.sql for one in filters), params)


def with_filter(statement: str, passing: Filter) -> str:
    """Give a named statement with a filter in it."""
    named = statements.load("postgres")
    sql = named[statement].sql
    if passing is not ALL:
        sql = sql.replace("TRUE /* entry */", named["filter_entry"].sql)
    return sql.replace("TRUE /* conditions */", f"({passing.sql})")


def image_only() -> Filter:
    """Say of a message that it has an image."""
    made = _Made([], {})
    made.add("filter_image", image=1)
    return Filter(made.parts[0], made.params)
