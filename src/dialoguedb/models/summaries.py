"""Summaries on the wire (contract 4.4, 9)."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from dialoguedb.errors import InvalidParameter
from dialoguedb.models import rules
from dialoguedb.models.fields import Count, Id, Metadata, Namespace, Stamp, Tags
from dialoguedb.models.lists import ListRequest

SummaryStatus = Literal["processing", "completed", "failed"]
#: The three, each a name.
PROCESSING: SummaryStatus = "processing"
COMPLETED: SummaryStatus = "completed"
FAILED: SummaryStatus = "failed"

Template = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="The slug of a template of the settings, whose prompt says what to write.",
        examples=["decisions"],
        extra={"rule": rules.template, "error": InvalidParameter},
    ),
]
StatusFilter = Annotated[
    SummaryStatus,
    Meta(description="Only summaries of this status.", extra={"error": InvalidParameter}),
]


class Summary(Struct, rename="camel", omit_defaults=True, kw_only=True, gc=False):
    """What a range of a dialogue's messages comes to; the messages stay as they are."""

    id: Id
    dialogue_id: Id
    project_id: str
    namespace: Namespace | UnsetType = UNSET
    status: Annotated[SummaryStatus, Meta(description="`completed` and `failed` are for good.")]
    template: Annotated[str, Meta(description="The template that was used.")] | UnsetType = UNSET
    job_id: (
        Annotated[str, Meta(description="The background job, while it is `processing`.")]
        | UnsetType
    ) = UNSET
    error: Annotated[str, Meta(description="Why it has failed, and what to do.")] | UnsetType = (
        UNSET
    )
    provider: Annotated[str, Meta(description="Whose model wrote it.")] | UnsetType = UNSET
    model: Annotated[str, Meta(description="Which model wrote it.")] | UnsetType = UNSET
    content: (
        Annotated[str, Meta(examples=["Parcel is late; refund agreed."])] | UnsetType | None
    ) = UNSET
    content_token_count: Count | UnsetType = UNSET
    from_created: (
        Annotated[Stamp, Meta(description="`created` of the first message covered.")] | UnsetType
    ) = UNSET
    to_created: (
        Annotated[Stamp, Meta(description="`created` of the last message covered.")] | UnsetType
    ) = UNSET
    message_count: Annotated[Count, Meta(description="Messages in the range.")] | UnsetType = UNSET
    summarized_count: Annotated[Count, Meta(description="Those used.")] | UnsetType = UNSET
    skipped_count: Annotated[Count, Meta(description="Those without a text.")] | UnsetType = UNSET
    total_tokens: (
        Annotated[Count, Meta(description="Tokens of the messages, estimated.")] | UnsetType
    ) = UNSET
    chunks: Annotated[Count, Meta(description="Pieces that the text was cut into.")] | UnsetType = (
        UNSET
    )
    llm_input_tokens: Count | UnsetType = UNSET
    llm_output_tokens: Count | UnsetType = UNSET
    llm_total_tokens: Count | UnsetType = UNSET
    llm_call_count: Count | UnsetType = UNSET
    based_on: (
        Annotated[Id, Meta(description="The summary that it builds on: it begins with that text.")]
        | UnsetType
    ) = UNSET
    stale: Annotated[
        bool,
        Meta(description="Whether a message has left or entered the range since."),
    ]
    metadata: Metadata | UnsetType = UNSET
    tags: (
        Annotated[Raw, Meta(extra_json_schema={"$ref": "#/components/schemas/Tags"})] | UnsetType
    ) = UNSET
    created: Stamp
    modified: Stamp


class CreateSummary(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """What to summarise: a dialogue, or a range of its messages."""

    dialogue_id: Id | UnsetType = UNSET
    id: Annotated[Id, Meta(description="An id of your own for the summary.")] | UnsetType = UNSET
    namespace: Namespace = ""
    template: Template | UnsetType = UNSET
    start_id: Annotated[Id, Meta(description="The first message; the dialogue's if absent.")] | (
        UnsetType
    ) = UNSET
    end_id: Annotated[Id, Meta(description="The last message; the newest if absent.")] | (
        UnsetType
    ) = UNSET
    incremental: Annotated[
        bool,
        Meta(
            description="Build on a summary of the same template that covers the dialogue from "
            "its first message, if there is one: its text stays, and what is new follows. Not "
            "with `startId`."
        ),
    ] = True
    metadata: Metadata | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET


class ListSummaries(ListRequest, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Which summaries to list: those of a dialogue, or of the namespace."""

    dialogue_id: Id | UnsetType = UNSET
    status: StatusFilter | UnsetType = UNSET


class NameSummary(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A summary by its id; with `dialogueId` only if it is one of that dialogue."""

    id: Id | UnsetType = UNSET
    dialogue_id: Id | UnsetType = UNSET
    namespace: Namespace = ""


class LatestSummary(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """The latest summary of a dialogue."""

    dialogue_id: Id | UnsetType = UNSET
    namespace: Namespace = ""


class SummaryPage(Struct, rename="camel", kw_only=True):
    """A page of summaries."""

    items: list[Summary]
    next: str | None
