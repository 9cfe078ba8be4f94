"""The types of the wire's fields: each says its bounds, its rule and its meaning once.

The `rule` in a field's `extra` is checked after the type; `error` is the code of a bad value
(`InvalidInput` unless it says otherwise). Structs of requests and answers are built from these.
"""

from typing import Annotated, Literal

from msgspec import Meta, Raw

from dialoguedb.errors import InvalidParameter
from dialoguedb.models import rules

_PARAMETER = {"error": InvalidParameter}
_ID = {
    "hint": 'use printable ASCII without space and / ? # % \\ " < >, and not "." or ".."',
    **_PARAMETER,
}
_NAMESPACE = {
    "hint": "use letters, digits, _ and -, first and last a letter or digit",
    **_PARAMETER,
}

#: Any printable ASCII but space and / ? # % \ " < >, and not "." or "..".
ID_PATTERN = r"^(?!\.{1,2}$)[!$&-.0-;=@-\[\]-~]+$(?!\n)"
NAMESPACE_PATTERN = r"^(?:[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62}[A-Za-z0-9])?)?$(?!\n)"

#: For the document only: the rules check it, in one pass with what else they check.
_NO_NUL = {"pattern": r"^[^\u0000]*$"}
_STAMP = {"format": "date-time", "examples": ["2026-02-03T04:05:06.007Z"]}
_ULID = "01KB0A1B2C3D4E5F6G7H8J9KMN"

Id = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=ID_PATTERN,
        description='1 to 64 printable ASCII characters without space and / ? # % \\ " < >.',
        examples=[_ULID],
        extra=_ID,
    ),
]
Namespace = Annotated[
    str,
    Meta(
        max_length=64,
        pattern=NAMESPACE_PATTERN,
        description=(
            "Part of the resource's identity: letters, digits, _ and -, first and last a letter "
            "or digit. Absent or empty is the un-named namespace."
        ),
        examples=["user_789"],
        extra=_NAMESPACE,
    ),
]
Role = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="Who speaks: user, assistant, system, or a role of your own.",
        examples=["user"],
        extra={"rule": rules.text},
        extra_json_schema=_NO_NUL,
    ),
]
Name = Annotated[
    str,
    Meta(
        max_length=256,
        description="The speaker's name.",
        examples=["Ada"],
        extra={"rule": rules.text},
        extra_json_schema=_NO_NUL,
    ),
]
Label = Annotated[
    str,
    Meta(
        max_length=1024,
        description="A text for people.",
        examples=["Order 81"],
        extra={"rule": rules.text},
        extra_json_schema=_NO_NUL,
    ),
]
Description = Annotated[
    str,
    Meta(
        max_length=8192,
        description="What the memory is about.",
        extra={"rule": rules.text},
        extra_json_schema=_NO_NUL,
    ),
]
Tags = Annotated[
    list[Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": 64, **_NO_NUL})]],
    Meta(
        description="At most 10 tags of 1 to 64 characters; order and doubles are kept.",
        examples=[["billing", "vip"]],
        extra={"rule": rules.tags},
        extra_json_schema={"maxItems": 10},
    ),
]
Metadata = Annotated[
    Raw,
    Meta(
        description=(
            "A flat object of strings, numbers, booleans and arrays of strings; set at creation, "
            "never changed. At most 100 keys of 1 to 128 characters and 64 KiB."
        ),
        extra={"rule": rules.metadata},
        extra_json_schema={
            "type": "object",
            "maxProperties": 100,
            "propertyNames": {"minLength": 1, "maxLength": 128},
            "additionalProperties": {
                "anyOf": [
                    {"type": ["string", "number", "boolean"]},
                    {"type": "array", "items": {"type": "string"}},
                ]
            },
            "examples": [{"channel": "web", "vip": True}],
        },
    ),
]
State = Annotated[
    Raw,
    Meta(
        description="The dialogue's own data: a JSON object of any depth, at most 1 MiB.",
        extra={"rule": rules.state},
        extra_json_schema={"type": "object", "examples": [{"step": 2}]},
    ),
]
Content = Annotated[
    Raw,
    Meta(
        description=(
            "A non-empty string, an object or an array of objects (content blocks of any kind); "
            "stored and returned as sent."
        ),
        extra={"rule": rules.message_content},
        extra_json_schema={
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "object"},
                {"type": "array", "minItems": 1, "items": {"type": "object"}},
            ],
            "examples": ["Where is my parcel?"],
        },
    ),
]
Value = Annotated[
    Raw,
    Meta(
        description="What is remembered: any JSON value but null, at most 1 MiB.",
        extra={"rule": rules.memory_value},
        extra_json_schema={
            "type": ["string", "number", "boolean", "object", "array"],
            "examples": [{"theme": "dark"}],
        },
    ),
]
Created = Annotated[
    str,
    Meta(
        description="A time of creation of your own: an ISO 8601 date or date-time.",
        examples=["2026-02-03T04:05:06.007Z"],
        extra={"rule": rules.instant, **_PARAMETER},
    ),
]
Stamp = Annotated[str, Meta(description="An instant in UTC.", extra_json_schema=_STAMP)]
Count = Annotated[int, Meta(ge=0)]
Limit = Annotated[
    int,
    Meta(
        ge=1,
        description="Items in a page; more than the maximum is taken as the maximum.",
        examples=[20],
        extra=_PARAMETER,
    ),
]
Order = Annotated[
    Literal["asc", "desc"],
    Meta(description="By time of creation; ties in the order of insertion.", extra=_PARAMETER),
]
Cursor = Annotated[
    str,
    Meta(
        description="The `next` of the page before; it carries that page's other parameters.",
        extra=_PARAMETER,
    ),
]
Prefix = Annotated[
    str,
    Meta(
        description="The beginning of `created`, such as 2026-02; wins over the range.",
        examples=["2026-02"],
        extra={"rule": rules.prefix, **_PARAMETER},
    ),
]
Bound = Annotated[
    str,
    Meta(
        description="An inclusive bound of `created`: an ISO 8601 date or date-time, or a part.",
        examples=["2026-02-03"],
        extra={"rule": rules.period, **_PARAMETER},
    ),
]
Action = Annotated[
    Literal["end", "archive", "unarchive", "reopen"],
    Meta(description="What to do with the dialogue.", extra=_PARAMETER),
]
Status = Literal["active", "ended", "archived"]
