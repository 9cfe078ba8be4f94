"""The exception tree. Each class is one error code of the wire (contract 10).

DialogueDBError
├── BadRequest (400)
│   ├── MissingParameter, InvalidParameter, InvalidInput, ValidationFailed
│   ├── DuplicateId, InvalidImageContent, TooManyImages
│   └── InvalidJson
├── TooLarge (413)
│   └── PayloadTooLarge, ContentTooLarge, StateTooLarge, ValueTooLarge, ImageTooLarge
├── RouteNotFound (404), MethodNotAllowed (405)
├── Unauthorized (401), Forbidden (403)
├── NotFound (404)
│   └── DialogueNotFound, MessageNotFound, MemoryNotFound, SummaryNotFound
├── Conflict (409)
│   ├── ImmutableField, IdempotencyConflict, DialogueImmutable, DialogueEnded
│   ├── SummaryUnderWay
│   └── PreconditionFailed (412)
├── RateLimitExceeded (429)
├── InternalError (500)
├── ServiceUnavailable (503)
│   └── StorageFull, StorageReadOnly
├── ClientError           never on the wire: what the Python client meets by itself
│   ├── ConnectionFailed, TimedOut (status 0: no answer came)
│   ├── UnexpectedAnswer  an answer that is none of this API
│   └── BatchInterrupted, ClientClosed, SummaryFailed
└── AdminError            never on the wire: what the command line tells its user
    └── StoreError        the store cannot be opened or used as asked
                          (embedders and chat logs have errors of their own beside them)
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec


class Detail(msgspec.Struct, frozen=True, omit_defaults=True):
    """One field-level part of an error (contract 10.1).

    Attributes:
        code: `REQUIRED`, `INVALID`, `NOT_FOUND`, `DUPLICATE`, `TOO_LONG`, `TOO_MANY`,
            `IMMUTABLE` or `UNKNOWN_PARAMETER`.
        message: what is wrong, for a person.
        field: the field's wire name and path, such as `messages[2].tags[0]`.
        value: a short value that helps; never content.
    """

    code: str
    message: str
    field: str | None = None
    value: str | int | None = None


class DialogueDBError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "INTERNAL_ERROR"
    status: int = 500
    type: ClassVar[str] = "server_error"
    #: The code of the detail that the error carries when it names one field.
    detail_code: ClassVar[str] = "INVALID"

    def __init__(
        self,
        message: str | None = None,
        *,
        field: str | None = None,
        value: str | int | None = None,
        details: Sequence[Detail] = (),
        detail_code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Make the error; without a message the class's docstring is the message.

        With `field` (and no `details`) the error carries one detail that names it.
        """
        self.message: str = message or (self.__doc__ or "").strip().splitlines()[0]
        if field is not None and not details:
            detail = Detail(detail_code or self.detail_code, self.message, field, value)
            details = (detail,)
        self.details: tuple[Detail, ...] = tuple(details)
        self.headers: dict[str, str] = headers or {}
        #: The request that met it, a UUID; the server's log has it too. None before any request.
        self.request_id: str | None = None
        super().__init__(self.message)

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later: no answer came, 408, 429, or any 5xx."""
        return self.status in (0, 408, 429) or (self.status >= 500 and self.status != 501)


class BadRequest(DialogueDBError):
    """The request is not valid."""

    code = "VALIDATION_ERROR"
    status = 400
    type = "validation_error"


class MissingParameter(BadRequest):
    """A required field is missing."""

    code = "MISSING_PARAMETER"
    detail_code = "REQUIRED"


class InvalidParameter(BadRequest):
    """A parameter has an invalid value."""

    code = "INVALID_PARAMETER"


class InvalidInput(BadRequest):
    """A field of the body has an invalid value."""

    code = "INVALID_INPUT"


class ValidationFailed(BadRequest):
    """Several fields are not valid."""

    code = "VALIDATION_ERROR"


class DuplicateId(BadRequest):
    """The id is already taken."""

    code = "DUPLICATE_ID"
    detail_code = "DUPLICATE"


class InvalidImageContent(BadRequest):
    """An inline image must be raw base64."""

    code = "INVALID_IMAGE_CONTENT"


class TooManyImages(BadRequest):
    """A message holds more image parts than allowed."""

    code = "TOO_MANY_IMAGES"
    detail_code = "TOO_MANY"


class InvalidJson(BadRequest):
    """The body is not valid JSON."""

    code = "INVALID_JSON"


class TooLarge(DialogueDBError):
    """The request is too large."""

    code = "PAYLOAD_TOO_LARGE"
    status = 413
    type = "validation_error"
    detail_code = "TOO_LONG"


class PayloadTooLarge(TooLarge):
    """The request body is too large."""


class ContentTooLarge(TooLarge):
    """The content of a message is too large."""

    code = "CONTENT_TOO_LARGE"


class StateTooLarge(TooLarge):
    """The state is too large."""

    code = "STATE_TOO_LARGE"


class ValueTooLarge(TooLarge):
    """The value of a memory is too large."""

    code = "VALUE_TOO_LARGE"


class ImageTooLarge(TooLarge):
    """An image is too large."""

    code = "IMAGE_TOO_LARGE"


class RouteNotFound(DialogueDBError):
    """There is no such path."""

    code = "ROUTE_NOT_FOUND"
    status = 404
    type = "validation_error"


class MethodNotAllowed(DialogueDBError):
    """The path does not take this method."""

    code = "METHOD_NOT_ALLOWED"
    status = 405
    type = "validation_error"


class Unauthorized(DialogueDBError):
    """The API key is missing or not valid."""

    code = "UNAUTHORIZED"
    status = 401
    type = "authentication_error"


class Forbidden(DialogueDBError):
    """This is not allowed here."""

    code = "FORBIDDEN"
    status = 403
    type = "authorization_error"


class NotFound(DialogueDBError):
    """The resource does not exist."""

    code = "NOT_FOUND"
    status = 404
    type = "not_found"
    detail_code = "NOT_FOUND"


class DialogueNotFound(NotFound):
    """The dialogue does not exist in this namespace."""

    code = "DIALOGUE_NOT_FOUND"


class MessageNotFound(NotFound):
    """The message does not exist in this namespace."""

    code = "MESSAGE_NOT_FOUND"


class MemoryNotFound(NotFound):
    """The memory does not exist in this namespace."""

    code = "MEMORY_NOT_FOUND"


class SummaryNotFound(NotFound):
    """The summary does not exist in this namespace."""

    code = "SUMMARY_NOT_FOUND"


class Conflict(DialogueDBError):
    """The request conflicts with the stored state."""

    code = "CONFLICT"
    status = 409
    type = "conflict"


class ImmutableField(Conflict):
    """A field cannot be changed after creation."""

    code = "IMMUTABLE_FIELD"
    detail_code = "IMMUTABLE"


class IdempotencyConflict(Conflict):
    """The idempotency key was used with another request."""

    code = "IDEMPOTENCY_CONFLICT"


class DialogueImmutable(Conflict):
    """The project's dialogues are immutable."""

    code = "DIALOGUE_IMMUTABLE"
    detail_code = "IMMUTABLE"


class DialogueEnded(Conflict):
    """The dialogue takes no new messages."""

    code = "DIALOGUE_ENDED"


class SummaryUnderWay(Conflict):
    """The same messages are being summarised under another id."""

    code = "SUMMARY_UNDER_WAY"


class PreconditionFailed(Conflict):
    """The dialogue has another version than If-Match names."""

    code = "PRECONDITION_FAILED"
    status = 412


class RateLimitExceeded(DialogueDBError):
    """Too many requests with this key."""

    code = "RATE_LIMIT_EXCEEDED"
    status = 429
    type = "rate_limit_exceeded"


class InternalError(DialogueDBError):
    """Something went wrong in the server; its log has the request id."""


class ServiceUnavailable(DialogueDBError):
    """The server cannot answer now; try again."""

    code = "SERVICE_UNAVAILABLE"
    status = 503
    type = "service_unavailable"


class StorageFull(ServiceUnavailable):
    """The disk is full; nothing was stored. Free some space and try again."""


class StorageReadOnly(ServiceUnavailable):
    """The database cannot be written; nothing was stored."""


class ClientError(DialogueDBError):
    """The client could not do what it was asked to."""

    code = "CLIENT_ERROR"
    status = 400
    type = "client_error"


class ConnectionFailed(ClientError):
    """The server could not be reached, or the connection broke before its answer."""

    code = "NETWORK_ERROR"
    status = 0
    type = "network_error"


class TimedOut(ConnectionFailed):
    """The server did not answer in time."""

    code = "TIMEOUT"


class UnexpectedAnswer(ClientError):
    """The answer is none of this API; is the address that of a DialogueDB server?"""

    code = "UNKNOWN_ERROR"
    status = 500
    type = "server_error"


class ClientClosed(ClientError):
    """The client has been closed; make a new one."""

    code = "CLIENT_CLOSED"


class SummaryFailed(ClientError):
    """The summary could not be made.

    Attributes:
        summary_id: which one; it can be read, and deleted.
    """

    code = "SUMMARY_FAILED"
    summary_id: str = ""


class BatchInterrupted(ClientError):
    """A long list of messages was stored in part; go on with `resume` and the same list.

    Attributes:
        saved: the messages that are stored for certain, in order.
        resume: give it to `save_messages` with the same list: what is stored is not stored again.
    """

    code = "BATCH_INTERRUPTED"
    status = 503
    saved: Sequence[Any] = ()
    resume: str = ""


class AdminError(DialogueDBError):
    """The command cannot be carried out."""

    status = 400


class StoreError(AdminError):
    """The database cannot be opened."""
