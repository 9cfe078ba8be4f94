"""Search on the wire (contract 8)."""

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from dialoguedb.errors import DialogueDBError, InvalidParameter, MissingParameter
from dialoguedb.models import documents
from dialoguedb.models.fields import Bound, Id, Limit, Namespace, Prefix, Stamp
from dialoguedb.models.limits import Limits
from dialoguedb.models.messages import Message

MAX_RESULTS = 100  # contract 1.5
_WHITE = " \t\r\n"
#: The files of the zone database whose names are those of IANA; it has others beside them, two of
#: which are whatever the machine's zone is.
_ZONE_NAME = re.compile(
    r"(?!posix/|right/|posixrules|localtime)[A-Za-z][\w+-]*(?:/[\w+-]+)*", re.ASCII
)


@lru_cache(maxsize=64)
def zone_of(name: str) -> ZoneInfo:
    """Find a time zone by its IANA name.

    Raises:
        ValueError: there is none of this name.
    """
    try:
        if len(name) <= 64 and _ZONE_NAME.fullmatch(name):
            return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # no file, a folder, a file of another kind
        pass
    raise ValueError("use an IANA name such as America/Chicago or UTC")


def _zone(value: str, limits: Limits) -> Sequence[DialogueDBError]:
    try:
        zone_of(value)
    except ValueError as error:
        return [InvalidParameter(f"Invalid {{field}}: {error}", field="")]
    return ()


def _question(value: str, limits: Limits) -> Sequence[DialogueDBError]:
    return () if value.strip(_WHITE) else [MissingParameter("{field} is required", field="")]


def _document(value: Raw, limits: Limits) -> Sequence[DialogueDBError]:
    """Refuse what JSON readers read differently: of a key given twice, one would be dropped."""
    documents.value_of(value)
    twice: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                twice.append(key)
            seen.add(key)

    json.loads(bytes(value), object_pairs_hook=look)
    if twice:
        return [InvalidParameter(f"Invalid {{field}}: '{twice[0][:64]}' is given twice", field="")]
    return ()


def _tag_texts(value: list[str], limits: Limits) -> Sequence[DialogueDBError]:
    if value and all(value):
        return ()
    return [InvalidParameter("Invalid {field}: a tag must not be empty", field="")]


_PARAMETER = {"error": InvalidParameter}
_TAG_LIST = {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}}
_TAG_TESTS = {
    "anyOf": [
        _TAG_LIST,
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": False,
            "properties": dict.fromkeys(("$in", "$all", "$nin"), _TAG_LIST),
        },
    ],
    "examples": [["billing"]],
}
_SCALAR = {"type": ["string", "number", "boolean"]}
_SCALARS = {
    "anyOf": [
        {"type": "array", "minItems": 1, "items": {"type": kind}}
        for kind in ("string", "number", "boolean")
    ]
}
_ORDERED = {"type": ["string", "number"]}
_METADATA_TESTS = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [
            _SCALAR,
            _SCALARS,
            {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": False,
                "properties": {
                    **dict.fromkeys(("$eq", "$ne"), _SCALAR),
                    **dict.fromkeys(("$in", "$nin"), _SCALARS),
                    **dict.fromkeys(("$gt", "$gte", "$lt", "$lte"), _ORDERED),
                },
            },
        ]
    },
    "examples": [{"channel": "web"}],
}
_DATE = {"type": "string", "examples": ["2026-02", "last week"]}
_DATES = {
    "anyOf": [
        _DATE,
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": False,
            "properties": dict.fromkeys(("gte", "gt", "lte", "lt"), _DATE),
        },
    ]
}
_PARTS = {
    "Year": {"type": "integer", "minimum": 1, "maximum": 9999},
    "Month": {"type": "integer", "minimum": 1, "maximum": 12},
    "Day": {"type": "integer", "minimum": 1, "maximum": 31},
}
_FILTER = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "created": _DATES,
        "modified": _DATES,
        "hasImage": {"type": "boolean"},
        "tags": _TAG_TESTS,
        **{f"{time}{part}": _PARTS[part] for time in ("created", "modified") for part in _PARTS},
    },
    "examples": [{"created": "last week"}],
}

Query = Annotated[
    str,
    Meta(
        description="What to look for, in plain words.",
        examples=["late delivery"],
        extra={"rule": _question, **_PARAMETER},
        extra_json_schema={"pattern": f"[^{_WHITE}]"},
    ),
]
Object = Annotated[
    Literal["message", "dialogue", "memory"],
    Meta(description="A kind of resource.", examples=["message"], extra=_PARAMETER),
]
Timezone = Annotated[
    str,
    Meta(
        description="The IANA time zone in which dates of `filter` are read.",
        examples=["Europe/Tallinn"],
        extra={"rule": _zone, **_PARAMETER},
    ),
]
OrderBy = Annotated[
    Literal["relevance", "created", "modified"],
    Meta(
        description="How the chosen results are sorted; they are chosen by relevance.",
        extra=_PARAMETER,
    ),
]
ResultOrder = Annotated[
    Literal["asc", "desc"],
    Meta(description="The direction in which the chosen results are sorted.", extra=_PARAMETER),
]


class Narrowed(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """What every search can be asked, with a body or without."""

    limit: Limit = 10
    namespace: (
        Annotated[Namespace, Meta(description="Only of this namespace; absent, of the project.")]
        | UnsetType
    ) = UNSET
    dialogue_id: (
        Annotated[Id, Meta(description="Only this dialogue, or messages of it.")] | UnsetType
    ) = UNSET
    thread_of: (
        Annotated[Id, Meta(description="Only threads of this dialogue, or messages of them.")]
        | UnsetType
    ) = UNSET
    created: Prefix | UnsetType = UNSET
    start_date: Bound | UnsetType = UNSET
    end_date: Bound | UnsetType = UNSET
    order_by: OrderBy = "relevance"
    order: ResultOrder = "desc"
    explain: Annotated[
        bool,
        Meta(description="Return the parts of each score.", extra=_PARAMETER),
    ] = False


class Search(Narrowed, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """What to search for, and what results must be."""

    query: Query
    object: Object
    timezone: Timezone = "UTC"
    tags: (
        Annotated[
            Raw,
            Meta(
                description="Tags, any of which a result has; or $in, $all, $nin with tags each.",
                extra={"rule": _document, **_PARAMETER},
                extra_json_schema=_TAG_TESTS,
            ),
        ]
        | UnsetType
    ) = UNSET
    metadata: (
        Annotated[
            Raw,
            Meta(
                description=(
                    "By key a value, a list of values, or $eq, $ne, $in, $nin, $gt, $gte, $lt, "
                    "$lte; all must hold."
                ),
                extra={"rule": _document, **_PARAMETER},
                extra_json_schema=_METADATA_TESTS,
            ),
        ]
        | UnsetType
    ) = UNSET
    filter: (
        Annotated[
            Raw,
            Meta(
                description=(
                    "created, modified: an ISO 8601 date, a phrase such as last week, or a range "
                    "of gte, gt, lte, lt. hasImage: whether a message shows an image. Old clients' "
                    "tags, createdYear, createdMonth, createdDay and modified… too."
                ),
                extra={"rule": _document, **_PARAMETER},
                extra_json_schema=_FILTER,
            ),
        ]
        | UnsetType
    ) = UNSET


class SearchByQuery(Narrowed, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """What to search for, of the parameters of a URL (contract 8.6)."""

    query: Query | UnsetType = UNSET
    object: Object | UnsetType = UNSET
    tags: (
        Annotated[
            list[Annotated[str, Meta(extra_json_schema={"pattern": "^[^,]+$"})]],
            Meta(
                description="Tags, any of which a result has: repeated, or with commas.",
                examples=[["billing"]],
                extra={"rule": _tag_texts, **_PARAMETER},
                extra_json_schema={"minItems": 1},
            ),
        ]
        | UnsetType
    ) = UNSET


Relevance = Annotated[
    float, Meta(ge=0, le=1, description="How well it answers; higher is better.", examples=[0.71])
]
Parts = Annotated[
    dict[str, float],
    Meta(
        description="The parts of the score by name, where `explain` asked for them.",
        examples=[{"words": 0.4, "meaning": 0.31}],
    ),
]
#: Encoded once, since an answer holds it twice.
Resource = Annotated[
    Raw,
    Meta(
        description="The whole resource.",
        extra_json_schema={
            "anyOf": [
                {"$ref": f"#/components/schemas/{name}"}
                for name in ("Message", "Dialogue", "Memory")
            ]
        },
    ),
]


class MessageMatch(Struct, rename="camel", omit_defaults=True, kw_only=True):
    """A message through which a dialogue was found."""

    object: Literal["message"]
    relevance: Relevance
    item: Message
    explain: Parts | UnsetType = UNSET


class Result(Struct, rename="camel", omit_defaults=True, kw_only=True):
    """A resource that was found."""

    object: Object
    relevance: Relevance
    item: Resource
    matches: (
        Annotated[
            list[MessageMatch],
            Meta(description="Of a dialogue: at most 3 messages that match best, best first."),
        ]
        | UnsetType
    ) = UNSET
    explain: Parts | UnsetType = UNSET


class ResolvedPeriod(Struct, rename="camel", omit_defaults=True, kw_only=True, frozen=True):
    """A date filter as instants; a bound that is absent is none."""

    gte: Stamp | UnsetType = UNSET
    lt: Stamp | UnsetType = UNSET


class ResolvedFilter(Struct, rename="camel", omit_defaults=True, kw_only=True, frozen=True):
    """The date filters as they were understood."""

    created: ResolvedPeriod | UnsetType = UNSET
    modified: ResolvedPeriod | UnsetType = UNSET


class Resolved(Struct, rename="camel", omit_defaults=True, kw_only=True, frozen=True):
    """How the request was understood."""

    order_by: OrderBy
    order: ResultOrder
    candidate_order_by: Literal["relevance"]
    filter: ResolvedFilter | UnsetType = UNSET


class SearchAnswer(Struct, rename="camel", kw_only=True):
    """What was found: with relevance in `results`, bare in `items`, in the same order."""

    results: list[Result]
    request: Resolved
    items: list[Resource]
    next: None = None
