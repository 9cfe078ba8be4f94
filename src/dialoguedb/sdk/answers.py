"""What an answer over HTTP says, without colour: the Struct of the operation, or an error."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
from msgspec import Raw, Struct

from dialoguedb import errors
from dialoguedb.errors import Detail, DialogueDBError, UnexpectedAnswer
from dialoguedb.operation import Operation
from dialoguedb.sdk.calls import Call, Reply, Response

#: For answers of proxies and gateways, which know none of our codes.
_BY_STATUS: Mapping[int, type[DialogueDBError]] = {
    401: errors.Unauthorized,
    403: errors.Forbidden,
    413: errors.PayloadTooLarge,
    429: errors.RateLimitExceeded,
    503: errors.ServiceUnavailable,
}


class _Error(Struct, rename="camel"):
    """What is wrong (contract 10.1); of other servers a part may be of any kind, or missing."""

    code: Any = None
    message: Any = None
    details: Any = None
    request_id: Any = None


class _Envelope(Struct):
    error: _Error


_decode_error = msgspec.json.Decoder(_Envelope).decode


@cache
def error_classes() -> Mapping[str, type[DialogueDBError]]:
    """Give the class of each error code that a server can answer."""
    found: dict[str, type[DialogueDBError]] = {}
    waiting = [errors.DialogueDBError]
    for one in waiting:
        waiting += one.__subclasses__()
        if not issubclass(one, errors.ClientError | errors.AdminError):
            found.setdefault(one.code, one)
    # Of these codes the first class is a branch of the tree; the leaf is what is raised.
    for leaf in (errors.InternalError, errors.ValidationFailed, errors.PayloadTooLarge):
        found[leaf.code] = leaf
    return found


@cache
def _decoder(operation: Operation) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(operation.response)


def reply_of(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """Read an answer.

    Raises:
        DialogueDBError: it is an error, of the class of its code.
        UnexpectedAnswer: it is none of this API.
    """
    if not 200 <= status < 300:
        raise error_of(status, headers, body)
    response = Response(call.operation.name, status, headers, headers.get("x-request-id", ""))
    operation = call.operation
    try:
        if operation.answer_field:
            version = int(headers.get("etag", "0").strip('W/"') or 0)
            result = operation.response(**{operation.answer_field: Raw(body), "version": version})
        elif operation.route.method == "DELETE" and not body:
            result = None  # a 204 says the same
        else:
            result = _decoder(operation).decode(body)
    except (msgspec.DecodeError, ValueError) as problem:
        failure = UnexpectedAnswer(
            f"The answer to {operation.name} is none of this API ({problem}); is the address that "
            "of a DialogueDB server?"
        )
        failure.request_id = response.request_id or None
        failure.status = status  # no failure of the server's: it is not sent again
        raise failure from None
    return Reply(result, response)


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> DialogueDBError:
    """Make the error that an answer says."""
    try:
        said = _decode_error(body).error
    except (msgspec.DecodeError, ValueError):
        said = _Error()
    kind = error_classes().get(_text(said.code)) or _BY_STATUS.get(status, UnexpectedAnswer)
    message = _text(said.message) or (
        f"The server or a proxy before it answered with HTTP status {status}"
    )
    error = kind(message, details=_details(said.details), headers=dict(headers))
    error.status = status
    error.request_id = _text(said.request_id) or headers.get("x-request-id")
    return error


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _details(said: Any) -> list[Detail]:
    """Read what can be read of the parts of an error."""
    return [
        Detail(
            _text(one.get("code")),
            _text(one.get("message")),
            _text(one.get("field")) or None,
            one.get("value") if isinstance(one.get("value"), str | int) else None,
        )
        for one in (said if isinstance(said, list) else ())
        if isinstance(one, dict)
    ]
