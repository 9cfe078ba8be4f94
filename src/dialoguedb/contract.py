"""The table of operations: the one declaration of what crosses the wire (contract 5).

Routing, decoding, validation and the OpenAPI document are read from it. An operation `room.verb`
is carried out by the function `verb` of `engine/room.py`; `service.*` belong to the server itself.
"""

from msgspec import Struct, structs

from dialoguedb import errors
from dialoguedb.errors import DialogueDBError
from dialoguedb.models import context, dialogues, memories, messages, search, summaries, transfer
from dialoguedb.models.service import Health, Readiness
from dialoguedb.operation import Method, Operation, Route

#: What every operation with a key can answer besides its own errors (contract 5).
COMMON_ERRORS: tuple[type[DialogueDBError], ...] = (
    errors.Unauthorized,
    errors.RateLimitExceeded,
    errors.InternalError,
    errors.ServiceUnavailable,
)
_BODY_ERRORS = (errors.PayloadTooLarge, errors.InvalidJson, errors.ValidationFailed)
_VALUE_ERRORS = (*_BODY_ERRORS, errors.InvalidParameter, errors.InvalidInput)
_MESSAGE_ERRORS = (
    *_VALUE_ERRORS,
    errors.MissingParameter,
    errors.DuplicateId,
    errors.InvalidImageContent,
    errors.TooManyImages,
    errors.ImageTooLarge,
    errors.ContentTooLarge,
    errors.DialogueNotFound,
    errors.DialogueEnded,
    errors.IdempotencyConflict,
)


_PAGE = ("namespace", "limit", "order", "next", "created", "startDate", "endDate")
_CREATE_MESSAGE_PATHS = (
    "/message",
    "/messages",
    "/dialogue/{dialogueId}/messages",
    "/dialogue/{dialogueId}/message",
)


def _message_routes(method: Method) -> tuple[Route, ...]:
    return tuple(
        Route(method, path)
        for path in (
            "/message/{id}",
            "/messages/{id}",
            "/dialogue/{dialogueId}/message/{id}",
            "/dialogue/{dialogueId}/messages/{id}",
        )
    )


DIALOGUES = (
    Operation(
        name="dialogues.create",
        route=Route("POST", "/dialogue"),
        summary="Create a dialogue, with its first messages if wanted",
        request=dialogues.CreateDialogue,
        response=dialogues.Dialogue,
        resource=dialogues.Dialogue,
        body="object",
        writes=True,
        idempotent=True,
        versioned=True,
        errors=(*_MESSAGE_ERRORS, errors.StateTooLarge),
    ),
    Operation(
        name="dialogues.list",
        route=Route("GET", "/dialogue"),
        summary="List dialogues, newest first",
        request=dialogues.ListDialogues,
        response=dialogues.DialoguePage,
        query=(*_PAGE, "threadOf", "query"),
        strict_query=True,
        errors=(errors.InvalidParameter,),
    ),
    Operation(
        name="dialogues.get",
        route=Route("GET", "/dialogue/{id}"),
        summary="Get a dialogue with its state and first ten messages",
        request=dialogues.NameDialogue,
        response=dialogues.Dialogue,
        required=("id",),
        versioned=True,
        errors=(errors.InvalidParameter, errors.DialogueNotFound),
    ),
    Operation(
        name="dialogues.update",
        route=Route("PUT", "/dialogue/{id}"),
        aliases=(Route("PUT", "/dialogue"),),
        summary="Replace label, tags or state of a dialogue, or append messages",
        request=dialogues.UpdateDialogue,
        response=dialogues.Dialogue,
        resource=dialogues.Dialogue,
        required=("id",),
        body="object",
        writes=True,
        idempotent=True,
        versioned=True,
        conditional=True,
        errors=(
            *_MESSAGE_ERRORS,
            errors.StateTooLarge,
            errors.ImmutableField,
            errors.PreconditionFailed,
        ),
    ),
    Operation(
        name="dialogues.delete",
        route=Route("DELETE", "/dialogue/{id}"),
        aliases=(Route("DELETE", "/dialogue"),),
        summary="Delete a dialogue; its messages remain unless cascade is set",
        request=dialogues.DeleteDialogue,
        response=dialogues.Deleted,
        resource=dialogues.Dialogue,
        required=("id",),
        query=("namespace", "cascade"),
        body="object",
        writes=True,
        conditional=True,
        errors=(
            *_VALUE_ERRORS,
            errors.MissingParameter,
            errors.DialogueNotFound,
            errors.DialogueImmutable,
            errors.PreconditionFailed,
        ),
    ),
    Operation(
        name="dialogues.threads",
        route=Route("GET", "/dialogue/{threadOf}/threads"),
        summary="List the threads of a dialogue",
        request=dialogues.ListDialogues,
        response=dialogues.DialoguePage,
        query=_PAGE,
        strict_query=True,
        errors=(errors.InvalidParameter,),
    ),
    Operation(
        name="dialogues.get_state",
        route=Route("GET", "/dialogue/{id}/state"),
        summary="Get the state of a dialogue",
        request=dialogues.NameDialogue,
        response=dialogues.DialogueState,
        answer_field="state",
        required=("id",),
        versioned=True,
        errors=(errors.InvalidParameter, errors.DialogueNotFound),
    ),
    Operation(
        name="dialogues.merge_state",
        route=Route("PUT", "/dialogue/{id}/state"),
        summary="Set keys of the state; the others stay",
        request=dialogues.MergeState,
        response=dialogues.DialogueState,
        answer_field="state",
        required=("id",),
        body="patch",
        body_field="state",
        writes=True,
        versioned=True,
        conditional=True,
        errors=(
            *_VALUE_ERRORS,
            errors.DialogueNotFound,
            errors.StateTooLarge,
            errors.PreconditionFailed,
        ),
    ),
    Operation(
        name="dialogues.act",
        route=Route("POST", "/dialogue/{id}/{action}"),
        aliases=(Route("PUT", "/dialogue/{id}/{action}"),),
        summary="End, archive, unarchive or reopen a dialogue",
        request=dialogues.ActOnDialogue,
        response=dialogues.Dialogue,
        resource=dialogues.Dialogue,
        required=("id", "action"),
        body="object",
        writes=True,
        idempotent=True,
        versioned=True,
        conditional=True,
        errors=(
            *_VALUE_ERRORS,
            errors.DialogueNotFound,
            errors.PreconditionFailed,
            errors.IdempotencyConflict,
        ),
    ),
)

MESSAGES = (
    Operation(
        name="messages.create",
        route=Route("POST", "/message"),
        aliases=tuple(Route("POST", path) for path in _CREATE_MESSAGE_PATHS[1:]),
        summary="Append a message to a dialogue",
        request=messages.CreateMessage,
        response=messages.Message,
        resource=messages.Message,
        required=("dialogueId",),
        query=("namespace", "dialogueId"),
        body="object",
        writes=True,
        idempotent=True,
        errors=(*_MESSAGE_ERRORS, errors.MessageNotFound),
    ),
    Operation(
        name="messages.create_batch",
        route=Route("POST", "/messages"),
        aliases=tuple(Route("POST", path) for path in _CREATE_MESSAGE_PATHS if path != "/messages"),
        summary="Append messages to a dialogue, all or none",
        request=messages.CreateMessages,
        response=list[messages.Message],
        required=("dialogueId", "messages"),
        query=("namespace", "dialogueId"),
        body="array",
        body_field="messages",
        writes=True,
        idempotent=True,
        errors=(*_MESSAGE_ERRORS, errors.MessageNotFound),
    ),
    Operation(
        name="messages.list",
        route=Route("GET", "/messages"),
        aliases=(
            Route("GET", "/dialogue/{dialogueId}/messages"),
            Route("GET", "/dialogue/{dialogueId}/message"),
        ),
        summary="List the messages of a dialogue, oldest first",
        request=messages.ListMessages,
        response=messages.MessagePage,
        query=(*_PAGE, "dialogueId"),
        strict_query=True,
        errors=(errors.MissingParameter, errors.InvalidParameter, errors.DialogueNotFound),
    ),
    Operation(
        name="messages.get",
        route=Route("GET", "/message/{id}"),
        aliases=_message_routes("GET")[1:],
        summary="Get a message",
        request=messages.NameMessage,
        response=messages.Message,
        required=("id",),
        query=("namespace", "dialogueId"),
        errors=(errors.InvalidParameter, errors.MessageNotFound),
    ),
    Operation(
        name="messages.update",
        route=Route("PUT", "/message/{id}"),
        aliases=_message_routes("PUT")[1:],
        summary="Replace the tags of a message",
        request=messages.UpdateMessage,
        response=messages.Message,
        resource=messages.Message,
        required=("id",),
        query=("namespace", "dialogueId"),
        fixed=("id",),
        body="object",
        writes=True,
        errors=(
            *_VALUE_ERRORS,
            errors.MessageNotFound,
            errors.ImmutableField,
            errors.DialogueImmutable,
        ),
    ),
    Operation(
        name="messages.delete",
        route=Route("DELETE", "/message/{id}"),
        aliases=_message_routes("DELETE")[1:],
        summary="Delete a message",
        request=messages.NameMessage,
        response=messages.DeletedMessage,
        resource=messages.Message,
        required=("id",),
        query=("namespace", "dialogueId"),
        body="object",
        writes=True,
        errors=(*_VALUE_ERRORS, errors.MessageNotFound, errors.DialogueImmutable),
    ),
)

MEMORIES = (
    Operation(
        name="memories.create",
        route=Route("POST", "/memory"),
        summary="Store a memory",
        request=memories.CreateMemory,
        response=memories.Memory,
        resource=memories.Memory,
        body="object",
        writes=True,
        idempotent=True,
        errors=(
            *_VALUE_ERRORS,
            errors.MissingParameter,
            errors.DuplicateId,
            errors.ValueTooLarge,
            errors.MemoryNotFound,
            errors.IdempotencyConflict,
        ),
    ),
    Operation(
        name="memories.list",
        route=Route("GET", "/memory"),
        summary="List memories, newest first",
        request=memories.ListMemories,
        response=memories.MemoryPage,
        query=_PAGE,
        strict_query=True,
        errors=(errors.InvalidParameter,),
    ),
    Operation(
        name="memories.get",
        route=Route("GET", "/memory/{id}"),
        summary="Get a memory",
        request=memories.NameMemory,
        response=memories.Memory,
        required=("id",),
        errors=(errors.InvalidParameter, errors.MemoryNotFound),
    ),
    Operation(
        name="memories.update",
        route=Route("PUT", "/memory/{id}"),
        summary="Replace the tags of a memory",
        request=memories.UpdateMemory,
        response=memories.Memory,
        resource=memories.Memory,
        required=("id",),
        fixed=("id", "namespace"),
        body="object",
        writes=True,
        errors=(
            *_VALUE_ERRORS,
            errors.MissingParameter,
            errors.MemoryNotFound,
            errors.ImmutableField,
        ),
    ),
    Operation(
        name="memories.delete",
        route=Route("DELETE", "/memory/{id}"),
        summary="Delete a memory",
        request=memories.NameMemory,
        response=dialogues.Deleted,
        resource=memories.Memory,
        required=("id",),
        body="object",
        writes=True,
        errors=(*_VALUE_ERRORS, errors.MemoryNotFound),
    ),
)

SEARCH = (
    Operation(
        name="search.find",
        route=Route("POST", "/search"),
        summary="Find messages, dialogues or memories by words and meaning",
        request=search.Search,
        response=search.SearchAnswer,
        strict_query=True,
        body="object",
        errors=(*_BODY_ERRORS, errors.InvalidParameter, errors.MissingParameter),
    ),
    Operation(
        name="search.find_by_query",
        route=Route("GET", "/search"),
        summary="Find messages, dialogues or memories, as old clients ask",
        request=search.SearchByQuery,
        response=search.SearchAnswer,
        required=("query", "object"),
        query=search.SearchByQuery.__struct_encode_fields__,
        strict_query=True,
        errors=(errors.MissingParameter, errors.InvalidParameter, errors.ValidationFailed),
    ),
)

_SUMMARY_ERRORS = (errors.InvalidParameter, errors.SummaryNotFound)

SUMMARIES = (
    Operation(
        name="summaries.create",
        route=Route("POST", "/summary"),
        aliases=(
            Route("POST", "/summaries"),
            Route("POST", "/dialogue/{dialogueId}/compact"),
            Route("PUT", "/dialogue/{dialogueId}/compact"),
            Route("POST", "/dialogue/{dialogueId}/summary"),
        ),
        summary="Have a dialogue summarised, or a range of its messages, in the background",
        request=summaries.CreateSummary,
        response=summaries.Summary,
        resource=summaries.Summary,
        required=("dialogueId",),
        query=("namespace", "dialogueId"),
        body="object",
        writes=True,
        idempotent=True,
        status=202,
        errors=(
            *_VALUE_ERRORS,
            errors.MissingParameter,
            errors.DuplicateId,
            errors.DialogueNotFound,
            errors.MessageNotFound,
            errors.SummaryNotFound,
            errors.SummaryUnderWay,
            errors.IdempotencyConflict,
        ),
    ),
    Operation(
        name="summaries.list",
        route=Route("GET", "/summary"),
        aliases=(Route("GET", "/summaries"), Route("GET", "/dialogue/{dialogueId}/summaries")),
        summary="List the summaries of a dialogue or of the namespace, newest first",
        request=summaries.ListSummaries,
        response=summaries.SummaryPage,
        query=(*_PAGE, "dialogueId", "status"),
        strict_query=True,
        errors=(errors.InvalidParameter,),
    ),
    Operation(
        name="summaries.get",
        route=Route("GET", "/summary/{id}"),
        aliases=(Route("GET", "/summaries/{id}"),),
        summary="Get a summary",
        request=summaries.NameSummary,
        response=summaries.Summary,
        required=("id",),
        query=("namespace", "dialogueId"),
        errors=_SUMMARY_ERRORS,
    ),
    Operation(
        name="summaries.latest",
        route=Route("GET", "/dialogue/{dialogueId}/summary"),
        summary="Get the latest summary of a dialogue",
        request=summaries.LatestSummary,
        response=summaries.Summary,
        required=("dialogueId",),
        errors=_SUMMARY_ERRORS,
    ),
    Operation(
        name="summaries.delete",
        route=Route("DELETE", "/summary/{id}"),
        aliases=(Route("DELETE", "/summaries/{id}"),),
        summary="Delete a summary",
        request=summaries.NameSummary,
        response=dialogues.Deleted,
        resource=summaries.Summary,
        required=("id",),
        query=("namespace", "dialogueId"),
        body="object",
        writes=True,
        errors=(*_VALUE_ERRORS, errors.SummaryNotFound),
    ),
)
_CONTEXT = Operation(
    name="context.build",
    route=Route("POST", "/dialogue/{id}/context"),
    summary="Put together what a model should see next, within a budget of tokens",
    request=context.BuildContext,
    response=context.Context,
    required=("id",),
    strict_query=True,
    body="object",
    errors=(*_VALUE_ERRORS, errors.DialogueNotFound),
)
CONTEXT = (
    _CONTEXT,
    structs.replace(
        _CONTEXT,
        name="context.build_by_query",
        route=Route("GET", "/dialogue/{id}/context"),
        summary="The same, asked by parameters",
        body="none",
        query=tuple(wire for wire in context.BuildContext.__struct_encode_fields__ if wire != "id"),
        errors=(errors.InvalidParameter, errors.ValidationFailed, errors.DialogueNotFound),
    ),
)


TRANSFER = (
    Operation(
        name="transfer.export",
        route=Route("GET", "/export"),
        summary="Export what a namespace holds, or all of the project",
        request=transfer.Export,
        response=transfer.ExportPage,
        query=transfer.Export.__struct_encode_fields__,
        strict_query=True,
        admin=True,
        errors=(errors.InvalidParameter, errors.ValidationFailed, errors.Forbidden),
    ),
    Operation(
        name="transfer.restore",
        route=Route("POST", "/import"),
        summary="Import records of an export into a namespace, all or none",
        request=transfer.Restore,
        response=transfer.Restored,
        required=("records",),
        query=("namespace", "dryRun"),
        strict_query=True,
        body="array",
        body_field="records",
        admin=True,
        writes=True,
        idempotent=True,
        errors=(
            *(error for error in _MESSAGE_ERRORS if error is not errors.DialogueEnded),
            errors.StateTooLarge,
            errors.ValueTooLarge,
            errors.Forbidden,
        ),
    ),
    Operation(
        name="transfer.stats",
        route=Route("GET", "/stats"),
        summary="Count what the project holds, and find its largest dialogues",
        request=transfer.AskStats,
        response=transfer.Stats,
        query=(),
        strict_query=True,
        admin=True,
        errors=(errors.InvalidParameter, errors.Forbidden),
    ),
)


SERVICE = (
    Operation(
        name="service.health",
        route=Route("GET", "/health"),
        summary="Tell that the process is alive",
        response=Health,
        public=True,
    ),
    Operation(
        name="service.ready",
        route=Route("GET", "/ready"),
        summary="Tell that the store can be read and written",
        response=Readiness,
        public=True,
        errors=(errors.ServiceUnavailable,),
    ),
    Operation(
        name="service.metrics",
        route=Route("GET", "/metrics"),
        summary="Give figures for Prometheus",
        response="text/plain",
        public=True,
        errors=(errors.Forbidden,),
    ),
    Operation(
        name="service.openapi",
        route=Route("GET", "/openapi.json"),
        summary="Give this document",
        response="application/json",
        public=True,
    ),
    Operation(
        name="service.docs",
        route=Route("GET", "/docs"),
        summary="Show this document to a person",
        response="text/html",
        public=True,
    ),
)

#: Every operation; the order is that of the reference.
OPERATIONS: tuple[Operation, ...] = (
    *DIALOGUES,
    *MESSAGES,
    *MEMORIES,
    *SEARCH,
    *SUMMARIES,
    *CONTEXT,
    *TRANSFER,
    *SERVICE,
)
#: The resources of the wire that can be sent back; their fields that no body takes are read-only
#: (contract 1.3).
RESOURCES: tuple[type[Struct], ...] = (dialogues.Dialogue, messages.Message, memories.Memory)
