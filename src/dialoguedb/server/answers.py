"""Answers: bodies, headers, and the error envelope (contract 1.4, 10)."""

from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from dialoguedb.errors import Detail, DialogueDBError, ServiceUnavailable
from dialoguedb.models import positions

_POSITION = positions.HEADER.lower().encode()
JSON = b"application/json; charset=utf-8"
#: What is unavailable may be back soon: a database that is started again takes about as long.
_RETRY_AFTER_S = 1
encode = msgspec.json.Encoder().encode


class Answer(NamedTuple):
    """What goes back: status, body, its type, and headers beyond those that every answer has."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: list[tuple[bytes, bytes]] = []  # noqa: RUF012 - never changed


class ErrorBody(Struct, rename="camel", kw_only=True):
    """What is wrong (contract 10.1)."""

    code: str
    message: str
    type: str
    details: tuple[Detail, ...]
    request_id: str
    timestamp: str


class ErrorEnvelope(Struct):
    """The body of every answer that is not a success."""

    error: ErrorBody


def of_error(error: DialogueDBError, request_id: str, timestamp: str) -> Answer:
    """Make the answer for an error."""
    envelope = ErrorEnvelope(
        ErrorBody(
            code=error.code,
            message=error.message,
            type=error.type,
            details=error.details,
            request_id=request_id,
            timestamp=timestamp,
        )
    )
    headers = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    if error.status == ServiceUnavailable.status and "Retry-After" not in error.headers:
        headers.append((b"retry-after", b"%d" % _RETRY_AFTER_S))
    return Answer(error.status, encode(envelope), headers=headers)


def of_result(
    result: Any,
    *,
    status: int,
    field: str,
    versioned: bool,
    replayed: bool,
    position: str | None = None,
) -> Answer:
    """Make the answer for what the engine gave.

    Args:
        result: the engine's answer.
        status: of the operation.
        field: the attribute of it that is the body; all of it if empty.
        versioned: whether its version goes into the `ETag`.
        replayed: whether an earlier request with the same idempotency key made it.
        position: where reads find what this has written; None where all do.
    """
    headers = []
    if versioned:
        headers.append((b"etag", b'"%d"' % result.version))
    if replayed:
        headers.append((b"idempotent-replayed", b"true"))
    if position is not None:
        headers.append((_POSITION, position.encode()))
    return Answer(status, encode(getattr(result, field) if field else result), headers=headers)
