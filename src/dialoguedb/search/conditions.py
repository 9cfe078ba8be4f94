"""What a result must be, held against one resource at a time (contract 8.2 to 8.4)."""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from dialoguedb.search.facets import Scalar, key_of
from dialoguedb.search.periods import TimeTest

_NAMESPACE = key_of("namespace")
#: JSON's kinds: Python's True equals 1, but is another kind of value.
KINDS: Mapping[type, str] = {str: "string", bool: "boolean", int: "number", float: "number"}
RELATIONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


class FacetTest(Struct, frozen=True):
    """One test of the values that a resource has under a key.

    It holds when "some value of the key is accepted" is as `wanted`; so a key that is missing
    passes only where acceptance is not wanted. Types are never mixed: 1, "1" and true differ.

    Attributes:
        key: as `facets.py` writes it: `TAGS`, or `key_of` a metadata key.
        kind: `string`, `number` or `boolean`; values of another kind are not accepted.
        wanted: whether a value must be accepted, or none may be.
        values: what is accepted, where it is a finite set; else None.
        relation: `$gt`, `$gte`, `$lt` or `$lte`, where it is no set.
        operand: what a value is compared with by the relation.
    """

    key: str
    kind: str
    wanted: bool = True
    values: frozenset[Scalar] | None = None
    relation: str = ""
    operand: Scalar = ""

    def accepts(self, value: Scalar | None) -> bool:
        """Tell whether one value is accepted; None, which is no value, never is."""
        if KINDS.get(type(value)) != self.kind:
            return False
        if self.values is not None:
            return value in self.values
        return RELATIONS[self.relation](value, self.operand)

    def holds(self, values: Iterable[Scalar]) -> bool:
        """Hold it against all values that a resource has under the key."""
        return any(map(self.accepts, values)) == self.wanted


class Facts(NamedTuple):
    """What of a resource conditions are held against.

    Attributes:
        created_ms: milliseconds since 1970 UTC.
        modified_ms: milliseconds since 1970 UTC.
        tags: its tags.
        metadata: its metadata.
        namespace: "" is the un-named one.
        has_image: of a message, whether it has an image part; of a dialogue, whether it was found
            through such a message; of a memory False.
        dialogue_id: of a message its dialogue, of a dialogue its own id, of a memory None.
        thread_of: the parent of that dialogue; None if it has none.
    """

    created_ms: int
    modified_ms: int
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] = {}
    namespace: str = ""
    has_image: bool = False
    dialogue_id: str | None = None
    thread_of: str | None = None

    def values(self, key: str) -> Sequence[Scalar]:
        """List the values of a metadata key, as `key_of` writes it.

        `namespace` is the resource's own where the metadata has no such key (8.3).
        """
        value = self.metadata.get(key.removeprefix(key_of("")))
        if value is None:
            return (self.namespace,) if key == _NAMESPACE and self.namespace else ()
        return value if isinstance(value, list) else (value,)


class Conditions(Struct, frozen=True, kw_only=True):
    """What a result must be; all of it must hold.

    Attributes:
        tags: tests of the tags.
        metadata: tests of the metadata, and of the namespace by its pseudo-key.
        created: tests of the time of creation: at most one `Period` and one `DateParts`.
        modified: tests of the time of the last change, likewise.
        has_image: None where it does not matter; see `Facts` for what it means on each object.
        dialogue_id: the dialogue, or that of the message; None for any.
        thread_of: the parent of that dialogue; None for any.
    """

    tags: tuple[FacetTest, ...] = ()
    metadata: tuple[FacetTest, ...] = ()
    created: tuple[TimeTest, ...] = ()
    modified: tuple[TimeTest, ...] = ()
    has_image: bool | None = None
    dialogue_id: str | None = None
    thread_of: str | None = None

    def hold(self, facts: Facts) -> bool:
        """Tell whether a resource is as asked, exactly."""
        return (
            (self.has_image is None or facts.has_image is self.has_image)
            and (self.dialogue_id is None or facts.dialogue_id == self.dialogue_id)
            and (self.thread_of is None or facts.thread_of == self.thread_of)
            and all(test.holds(facts.created_ms) for test in self.created)
            and all(test.holds(facts.modified_ms) for test in self.modified)
            and all(test.holds(facts.tags) for test in self.tags)
            and all(test.holds(facts.values(test.key)) for test in self.metadata)
        )
