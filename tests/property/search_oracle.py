"""Search in plain Python: what a request must find, and what each result must score.

It knows a project only through what its lists say, and the rules only through contract 8 and the
docstrings of the formula. It is slow and simple.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from dialoguedb.models.times import parse_instant
from dialoguedb.search import texts

#: Words that are terms as they are written, which a test makes sure of.
VOCABULARY = ["river", "piano", "velvet", "crimson", "walnut", "harbor", "tulip", "magnet"]
VOCABULARY += ["copper", "lantern"]  # the last ones are hardly used
NAMES = ["Ada", "Tom"]
#: What the formula weighs, written down a second time.
WORDS, MEANING, SPEAKER = 0.6, 0.3, 0.1
SHARES = {0: 1.0, 1: 0.5, 2: 0.25}
SATURATION, LENGTH_SHARE, LONGEST = 0.9, 0.4, 4
MOST_REPEATS = 255
DIMENSION = 8


class ToyEmbedder:
    """A model of eight dimensions: a text's vector is the sum of its words' own."""

    name = "toy:8"
    dimension = DIMENSION
    inline = True

    def embed(self, given: Sequence[str]) -> "np.ndarray[Any, np.dtype[np.int8]]":
        return np.array([vector(text) for text in given], np.int8).reshape(-1, DIMENSION)

    def close(self) -> None:
        pass


def tokens(text: str) -> list[str]:
    return re.findall("[a-z]+|[0-9]+", text.lower())


def vector(text: str) -> list[int]:
    total = [0.0] * DIMENSION
    for word in tokens(text):
        chance = Random(word)
        total = [one + chance.uniform(-1, 1) for one in total]
    length = math.sqrt(sum(one * one for one in total)) or 1.0
    return [round(127 * one / length) for one in total]


@dataclass
class Doc:
    """A resource, as the lists show it."""

    object: str
    namespace: str
    item: Mapping[str, Any]
    words: Counter[str]
    vectors: list[list[int]]
    names: set[str] = field(default_factory=set)
    has_image: bool = False
    thread_of: str | None = None
    #: A message's place among those of its dialogue, and all of these.
    place: int = 0
    siblings: list["Doc"] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.object, self.namespace, self.item["id"]

    @property
    def dialogue_id(self) -> str | None:
        return {"message": self.item.get("dialogueId"), "dialogue": self.item["id"]}.get(
            self.object
        )

    @property
    def length(self) -> int:
        return sum(min(count, MOST_REPEATS) for count in self.words.values())

    def count(self, term: str) -> int:
        return min(self.words[term], MOST_REPEATS)


def doc_of(kind: str, namespace: str, item: Mapping[str, Any]) -> Doc:
    """Read what of a resource is searched."""
    if kind == "message":
        text = texts.of_message(json.dumps(item["content"]), item.get("name"))
    elif kind == "memory":
        text = texts.of_memory(
            json.dumps(item["value"]), item.get("label"), item.get("description")
        )
    else:
        text = texts.of_dialogue(item.get("label"))
    content = item.get("content")
    return Doc(
        kind,
        namespace,
        item,
        Counter(tokens(text.words)),
        [vector(piece) for piece in texts.pieces(text.embedded)],
        set(tokens(item.get("name", ""))) if kind == "message" else set(),
        isinstance(content, list) and any(part["type"] == "image" for part in content),
        item.get("threadOf"),
    )


def project_of(
    dialogues: Mapping[str, Sequence[Mapping[str, Any]]],
    messages: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]],
    memories: Mapping[str, Sequence[Mapping[str, Any]]],
) -> list[Doc]:
    """Put a project together from its lists: by namespace, messages also by dialogue, in order."""
    docs = [doc_of("dialogue", name, one) for name, items in dialogues.items() for one in items]
    parents = {(doc.namespace, doc.item["id"]): doc.thread_of for doc in docs}
    for name, lists in messages.items():
        for items in lists:
            said = [doc_of("message", name, one) for one in items]
            for place, doc in enumerate(said):
                doc.place, doc.siblings = place, said
                doc.thread_of = parents.get((name, doc.item["dialogueId"]))
            docs += said
    return docs + [doc_of("memory", name, one) for name, items in memories.items() for one in items]


# ── filters ──────────────────────────────────────────────────────────────────────────────────


def kind_of(value: Any) -> str:
    return "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def equals(value: Any, operand: Any) -> bool:
    return kind_of(value) == kind_of(operand) and bool(value == operand)


def compares(operator: str, value: Any, operand: Any) -> bool:
    if kind_of(value) != kind_of(operand):
        return False
    return {
        "$gt": value > operand,
        "$gte": value >= operand,
        "$lt": value < operand,
        "$lte": value <= operand,
    }[operator]


def metadata_holds(condition: Any, stored: Any) -> bool:
    """Hold a condition against a value (8.3); None where there is no such key."""
    if isinstance(condition, list):
        condition = {"$in": condition}
    if not isinstance(condition, dict):
        condition = {"$eq": condition}
    values = [] if stored is None else stored if isinstance(stored, list) else [stored]
    for operator, operand in condition.items():
        operands = operand if isinstance(operand, list) else [operand]
        if operator in ("$ne", "$nin"):
            good = not any(equals(value, one) for value in values for one in operands)
        elif operator in ("$eq", "$in"):
            good = any(equals(value, one) for value in values for one in operands)
        else:
            good = any(compares(operator, value, operand) for value in values)
        if not good:
            return False
    return True


def tags_hold(condition: Any, tags: Sequence[str]) -> bool:
    if isinstance(condition, list):
        condition = {"$in": condition}
    return (
        ("$in" not in condition or any(tag in tags for tag in condition["$in"]))
        and all(tag in tags for tag in condition.get("$all", []))
        and not any(tag in tags for tag in condition.get("$nin", []))
    )


def time_holds(bounds: Mapping[str, str], stamp: str) -> bool:
    ms = parse_instant(stamp)
    found = {
        "gte": lambda bound: ms >= bound,
        "gt": lambda bound: ms > bound,
        "lte": lambda bound: ms <= bound,
        "lt": lambda bound: ms < bound,
    }
    return all(found[name](parse_instant(text)) for name, text in bounds.items())


def passes(doc: Doc, request: Mapping[str, Any]) -> bool:
    """Tell whether a resource may be a result."""
    item, wanted = doc.item, request.get("filter", {})
    if doc.object != request["object"]:
        return False
    if request.get("namespace") and doc.namespace != request["namespace"]:
        return False
    if "dialogueId" in request and doc.dialogue_id != request["dialogueId"]:
        return False
    if "threadOf" in request and (doc.object == "memory" or doc.thread_of != request["threadOf"]):
        return False
    if "tags" in request and not tags_hold(request["tags"], item["tags"]):
        return False
    if "tags" in wanted and not tags_hold(wanted["tags"], item["tags"]):
        return False
    own = {"namespace": doc.namespace} if doc.namespace else {}
    metadata = own | item["metadata"]
    if not all(metadata_holds(c, metadata.get(k)) for k, c in request.get("metadata", {}).items()):
        return False
    return all(
        time_holds(wanted[name], item[name]) for name in ("created", "modified") if name in wanted
    )


def image_holds(doc: Doc, request: Mapping[str, Any], docs: Sequence[Doc]) -> bool:
    """Hold `hasImage` (8.4); a dialogue is found through its messages with images."""
    wanted = request.get("filter", {}).get("hasImage")
    if wanted is None or (wanted is False and doc.object != "message"):
        return True
    if doc.object == "dialogue":
        return any(one.has_image for one in heard(doc, docs))
    return doc.object == "message" and doc.has_image is wanted


def heard(dialogue: Doc, docs: Sequence[Doc]) -> list[Doc]:
    return [
        one
        for one in docs
        if one.object == "message"
        and (one.namespace, one.dialogue_id) == (dialogue.namespace, dialogue.dialogue_id)
    ]


# ── scores ───────────────────────────────────────────────────────────────────────────────────


@dataclass
class Parts:
    """What a resource scores."""

    words: float
    meaning: float
    speaker: float

    @property
    def relevance(self) -> float:
        return min(self.words + self.meaning + self.speaker, 1.0)


class Scores:
    """The scores of all resources of one kind where the asker may look."""

    def __init__(self, kind: str, request: Mapping[str, Any], docs: Sequence[Doc]) -> None:
        namespace = request.get("namespace")
        self.reach = [
            doc
            for doc in docs
            if doc.object == kind and (not namespace or doc.namespace == namespace)
        ]
        self.terms = list(dict.fromkeys(tokens(request["query"])))
        self.vector = vector(request["query"])
        texts_there = max(len(self.reach), 1)
        self.mean = sum(doc.length for doc in self.reach) / texts_there
        self.weights = {}
        for term in self.terms:
            holders = sum(doc.words[term] > 0 for doc in self.reach)
            self.weights[term] = math.log1p((texts_there - holders + 0.5) / (holders + 0.5))

    def of(self, doc: Doc) -> Parts:
        cosines = [
            sum(a * b for a, b in zip(self.vector, one, strict=True)) / 127**2
            for one in doc.vectors
        ]
        return Parts(
            WORDS * self._words(doc),
            MEANING * min(max([0.0, *cosines]), 1.0),
            SPEAKER * bool(doc.names & set(self.terms)),
        )

    def _words(self, doc: Doc) -> float:
        around = [(doc, 1.0)]
        if doc.siblings:
            around = [
                (doc.siblings[place], SHARES[abs(place - doc.place)])
                for place in range(doc.place - 2, doc.place + 3)
                if 0 <= place < len(doc.siblings)
            ]
        mean = max(self.mean, 1.0)
        length = sum(share * min(one.length, LONGEST * mean) for one, share in around)
        average = sum(share for _, share in around) * mean
        damping = SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * length / average)
        total = 0.0
        for term, weight in self.weights.items():
            held = sum(share * one.count(term) for one, share in around)
            total += weight * held / (held + damping)
        return total / (sum(self.weights.values()) or 1.0)


@dataclass
class Expected:
    """A resource that passes, its score, and of a dialogue the messages that it is found by."""

    doc: Doc
    parts: Parts
    matches: list[tuple[Doc, Parts]]


def expected(
    request: Mapping[str, Any], docs: Sequence[Doc]
) -> dict[tuple[str, str, str], Expected]:
    """Give all that pass, by what they are."""
    kind = request["object"]
    scores = Scores(kind, request, docs)
    messages = Scores("message", request, docs)
    found = {}
    for doc in docs:
        if not passes(doc, request) or not image_holds(doc, request, docs):
            continue
        matches: list[tuple[Doc, Parts]] = []
        parts = scores.of(doc)
        if kind == "dialogue":
            with_image = request.get("filter", {}).get("hasImage") is True
            said = [one for one in heard(doc, docs) if one.has_image or not with_image]
            matches = sorted(
                ((one, messages.of(one)) for one in said),
                key=lambda match: -match[1].relevance,
            )
            parts = max([parts, *(one for _, one in matches)], key=lambda one: one.relevance)
        found[doc.key] = Expected(doc, parts, matches)
    return found
