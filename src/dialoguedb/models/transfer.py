"""Export, import and figures on the wire: what a project holds, as records.

A record is one JSON object whose `type` says what it is. What can be worked out from the others
(`totalMessages`, `contentLength` and the like) is exported for readers; an import works it out
anew.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from dialoguedb.errors import DialogueDBError, InvalidInput, InvalidParameter
from dialoguedb.models import rules
from dialoguedb.models.fields import (
    Content,
    Count,
    Created,
    Cursor,
    Description,
    Id,
    Label,
    Limit,
    Metadata,
    Name,
    Namespace,
    Role,
    State,
    Status,
    Tags,
    Value,
)
from dialoguedb.models.limits import MAX_PAGE_ITEMS, Limits
from dialoguedb.models.messages import NewMessage
from dialoguedb.models.summaries import SummaryStatus

#: Records in one import at most: as many as a page of an export holds.
MAX_RECORDS = MAX_PAGE_ITEMS
#: The largest whole number that every JSON reader takes exactly.
_MOST = 2**53 - 1
_FROM_0 = {"hint": "use a whole number from 0"}

Number = Annotated[int, Meta(ge=1, le=_MOST, examples=[3])]
LastNumber = Annotated[
    int,
    Meta(
        ge=0,
        le=_MOST,
        description="The last sequence that the dialogue has given; it is not given again.",
        examples=[3],
        extra=_FROM_0,
    ),
]
Instant = Annotated[
    str,
    Meta(
        description="An ISO 8601 date or date-time.",
        examples=["2026-02-03T04:05:06.007Z"],
        extra={"rule": rules.instant, "error": InvalidParameter},
    ),
]
LastTime = Annotated[
    Instant, Meta(description="The last time that the server has given to a message of it.")
]
#: Worked out by an import.
Derived = Annotated[int, Meta(ge=0, le=_MOST, extra=_FROM_0)]


def _records(value: list[Any], limits: Limits) -> Sequence[DialogueDBError]:
    if len(value) <= MAX_RECORDS:
        return ()
    problem = f"{len(value)} records, at most {MAX_RECORDS} are allowed"
    return [InvalidInput(f"Invalid {{field}}: {problem}", field="", detail_code="TOO_MANY")]


class DialogueRecord(
    Struct,
    tag_field="type",
    tag="dialogue",
    rename="camel",
    forbid_unknown_fields=True,
    kw_only=True,
):
    """A dialogue, with the numbers from which its messages go on."""

    id: Id
    project_id: str | UnsetType = UNSET
    request_id: Id
    status: Status
    namespace: Namespace = ""
    thread_of: Id | UnsetType = UNSET
    label: Label | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    metadata_length: Derived | UnsetType = UNSET
    metadata_sha256: str | UnsetType = field(default=UNSET, name="metadataSHA256")
    state: State | UnsetType = UNSET
    total_messages: Derived | UnsetType = UNSET
    thread_count: Derived | UnsetType = UNSET
    last_message_created: Instant | UnsetType = UNSET
    version: Number
    created: Created
    modified: Instant
    ended_at: Instant | UnsetType = UNSET
    archived_at: Instant | UnsetType = UNSET
    last_sequence: LastNumber
    last_server_time: LastTime | UnsetType = UNSET


class MessageRecord(
    NewMessage,
    tag_field="type",
    tag="message",
    rename="camel",
    forbid_unknown_fields=True,
    kw_only=True,
):
    """A message; its dialogue, or what is left of that, comes before it."""

    id: Id
    dialogue_id: Id
    namespace: Namespace = ""
    role: Role
    name: Name | UnsetType = UNSET
    content: Content
    content_length: Derived | UnsetType = UNSET
    preview: (
        Annotated[Raw, Meta(description="Its text, cut.", extra_json_schema={"type": "string"})]
        | UnsetType
    ) = UNSET
    metadata: Metadata | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    sequence: Number
    created: Created
    modified: Instant


class DeletedDialogueRecord(
    Struct,
    tag_field="type",
    tag="deleted_dialogue",
    rename="camel",
    forbid_unknown_fields=True,
    kw_only=True,
):
    """What a deleted dialogue has left: its numbers, and the messages that follow."""

    id: Id
    namespace: Namespace = ""
    last_sequence: LastNumber
    last_server_time: LastTime | UnsetType = UNSET


class MemoryRecord(
    Struct,
    tag_field="type",
    tag="memory",
    rename="camel",
    forbid_unknown_fields=True,
    kw_only=True,
):
    """A memory."""

    id: Id
    namespace: Namespace = ""
    label: Label | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    value: Value
    tags: Tags | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    created: Created
    modified: Instant


_Plain = Annotated[str, Meta(extra={"rule": rules.text})]


class SummaryRecord(
    Struct,
    tag_field="type",
    tag="summary",
    rename="camel",
    forbid_unknown_fields=True,
    kw_only=True,
):
    """A summary, with the positions of its range; one that is processing is made anew."""

    id: Id
    dialogue_id: Id
    project_id: str | UnsetType = UNSET
    namespace: Namespace = ""
    status: SummaryStatus
    template: _Plain | UnsetType = UNSET
    error: _Plain | UnsetType = UNSET
    provider: _Plain | UnsetType = UNSET
    model: _Plain | UnsetType = UNSET
    content: _Plain | UnsetType | None = UNSET
    content_token_count: Derived = 0
    from_created: Instant | UnsetType = UNSET
    to_created: Instant | UnsetType = UNSET
    message_count: Derived = 0
    summarized_count: Derived = 0
    skipped_count: Derived = 0
    total_tokens: Derived = 0
    chunks: Derived = 0
    llm_input_tokens: Derived = 0
    llm_output_tokens: Derived = 0
    llm_total_tokens: Derived = 0
    llm_call_count: Derived = 0
    based_on: Id | UnsetType = UNSET
    stale: bool
    metadata: Metadata | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    created: Created
    modified: Instant
    incremental: bool
    start_created: (
        Annotated[
            Instant,
            Meta(description="Of the first message of the range; absent, the first there is."),
        ]
        | UnsetType
    ) = UNSET
    start_sequence: Number | UnsetType = UNSET
    end_created: (
        Annotated[
            Instant, Meta(description="Of the last message of the range; absent, there was none.")
        ]
        | UnsetType
    ) = UNSET
    end_sequence: Number | UnsetType = UNSET


Record = DialogueRecord | MessageRecord | DeletedDialogueRecord | MemoryRecord | SummaryRecord
#: Every kind of record.
RECORDS: tuple[type[Struct], ...] = (
    DialogueRecord,
    MessageRecord,
    DeletedDialogueRecord,
    MemoryRecord,
    SummaryRecord,
)
#: A record as it was written: a page is cut by its size.
Written = Annotated[
    Raw,
    Meta(
        description="A record.",
        extra_json_schema={
            "anyOf": [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in RECORDS]
        },
    ),
]


class Export(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """What to export: a namespace, or all of the project."""

    namespace: (
        Annotated[Namespace, Meta(description="Only this namespace; absent, every one.")]
        | UnsetType
    ) = UNSET
    unnamed: Annotated[
        bool,
        Meta(description="Only the un-named namespace.", extra={"error": InvalidParameter}),
    ] = False
    limit: Limit = 500
    next: Cursor | UnsetType = UNSET


class ExportPage(Struct, rename="camel", kw_only=True):
    """A page of records."""

    items: list[Written]
    next: str | None


class Restore(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Records to import into one namespace, all or none."""

    namespace: Namespace = ""
    dry_run: Annotated[
        bool,
        Meta(description="Check and count, and store nothing.", extra={"error": InvalidParameter}),
    ] = False
    records: Annotated[
        list[Record],
        Meta(
            description="Records in the order of an export; stored together or not at all.",
            extra={"rule": _records},
            extra_json_schema={"minItems": 1, "maxItems": MAX_RECORDS},
        ),
    ]


class Restored(Struct, rename="camel", kw_only=True):
    """What an import has done."""

    imported: Annotated[Count, Meta(description="Records that were stored.")]
    skipped: Annotated[Count, Meta(description="Records that were there already, and equal.")]


class AskStats(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Nothing is asked but the figures."""


class Figures(Struct, rename="camel", kw_only=True):
    """How much there is."""

    dialogues: Count
    messages: Annotated[Count, Meta(description="Also those of deleted dialogues.")]
    memories: Count
    bytes: Annotated[Count, Meta(description="UTF-8 bytes of all contents and values.")]


class NamespaceFigures(Figures, rename="camel", kw_only=True):
    """How much there is in a namespace."""

    namespace: Annotated[str, Meta(description="Empty for the un-named one.")]


class LargeDialogue(Struct, rename="camel", omit_defaults=True, kw_only=True):
    """A dialogue and what its messages come to."""

    id: Id
    namespace: Namespace | UnsetType = UNSET
    total_messages: Count
    bytes: Annotated[Count, Meta(description="UTF-8 bytes of the contents of its messages.")]


class Stats(Struct, rename="camel", kw_only=True):
    """What a project holds."""

    namespaces: list[NamespaceFigures]
    largest_dialogues: Annotated[
        list[LargeDialogue], Meta(description="The ten with the most bytes, deleted ones too.")
    ]
    total: Figures
