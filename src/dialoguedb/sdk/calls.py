"""Calls and their answers, without colour: what a client asks, and what it makes of the reply.

A call is an operation of the table with its fields. Both carriers take the same one, so the same
request is checked by the same rules, and a mistake is the same error, with a server or without.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, is_dataclass
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
from msgspec import UNSET, Raw, Struct

from dialoguedb.contract import OPERATIONS
from dialoguedb.errors import Detail, DialogueDBError, InvalidInput, InvalidJson, InvalidParameter
from dialoguedb.operation import Operation

#: Bytes of what is cut into several requests (contract 1.3 allows 36 MiB in a body).
REQUEST_BYTES = 16 * 1024 * 1024
_encoder = json.JSONEncoder(
    ensure_ascii=False,
    allow_nan=False,
    separators=(",", ":"),
    default=lambda value: _plain(value),
)


class Response(NamedTuple):
    """What came with an answer besides it.

    Attributes:
        operation: what was asked, such as `dialogues.get`.
        status: the HTTP status; in-process the one that a server would have answered.
        headers: by lower-case name; in-process the few that say something of the answer.
        request_id: the UUID of the request, also in the server's log.
        attempts: how often it was sent, from 1.
    """

    operation: str
    status: int
    headers: Mapping[str, str]
    request_id: str
    attempts: int = 1


class Call(Struct, frozen=True, kw_only=True):
    """One call.

    Attributes:
        operation: the row of the table.
        path: the fields in the path, by wire name.
        query: the fields in the query, by wire name, as text.
        body: the body as JSON, empty where there is none.
        if_match: the version that the dialogue must have; None when any will do.
        idempotency_key: with it the call takes effect once, however often it is sent.
    """

    operation: Operation
    path: dict[str, str]
    query: dict[str, str]
    body: bytes = b""
    if_match: int | None = None
    idempotency_key: str | None = None

    def url(self) -> str:
        """Give the path of the URL, with its fields in it."""
        path = self.operation.route.path
        for wire, value in self.path.items():
            path = path.replace("{" + wire + "}", quote(value, safe="!$&'()*+,;=:@"))
        return f"/api/v1{path}"


class Reply(NamedTuple):
    """The answer to a call: the Struct of the operation, and what came with it."""

    result: Any
    response: Response


@cache
def operation_of(name: str) -> Operation:
    """Find a row of the table."""
    return next(row for row in OPERATIONS if row.name == name)


@cache
def _in_path(operation: Operation) -> tuple[str, ...]:
    parts = operation.route.path.split("/")
    return tuple(part[1:-1] for part in parts if part.startswith("{"))


def call(
    name: str, /, *, if_match: int | None = None, idempotency_key: str | None = None, **fields: Any
) -> Call:
    """Make a call.

    Args:
        name: the operation's.
        if_match: see `Call`.
        idempotency_key: see `Call`.
        fields: by wire name; what is None or UNSET is left out, `Null` is null.
    Raises:
        InvalidParameter: an id is empty, `.` or `..`, which no URL can carry.
        InvalidInput, InvalidJson: a value has no JSON form; the message names the field.
    """
    operation = operation_of(name)
    given = {k: v for k, v in fields.items() if v is not None and v is not UNSET}
    path = {}
    for wire in _in_path(operation):
        value = given.pop(wire, "")
        if not isinstance(value, str) or value in ("", ".", ".."):
            raise InvalidParameter(
                f'Invalid {wire}: an id is a text, not empty, and not "." or ".."', field=wire
            )
        if not value.isascii():
            raise InvalidParameter(f"Invalid {wire}: an id is printable ASCII", field=wire)
        path[wire] = value
    body = b""
    if operation.body in ("array", "patch"):
        body = _array(given.pop(operation.body_field), operation.body_field)
    if operation.body == "object" and operation.route.method != "DELETE":
        # What a DELETE says goes into the query: proxies may drop its body.
        body, given = _body(given), {}
    query = {wire: _text(wire, value) for wire, value in given.items()}
    return Call(
        operation=operation,
        path=path,
        query=query,
        body=body,
        if_match=if_match,
        idempotency_key=idempotency_key,
    )


def _array(value: Any, field: str) -> bytes:
    """Write the value that a body is; one of ready JSON texts is not read again."""
    if isinstance(value, list) and value and isinstance(value[0], Raw):
        return b"[" + b",".join(map(bytes, value)) + b"]"
    return encoded(value, field)


class _Null:
    """Null, where None means that nothing is said."""


Null: _Null = _Null()


def _body(fields: dict[str, Any]) -> bytes:
    try:
        _check_keys(fields)
        return _encoder.encode(fields).encode()
    except (TypeError, ValueError, RecursionError):  # of which field, is said there
        for wire, value in fields.items():
            encoded(value, wire)
        raise


def _check_keys(value: Any) -> None:
    """Refuse keys that are no texts: JSON would make them texts, and 1 and "1" the same.

    Raises:
        TypeError: there is one.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"a key is a text, and {key!r} is none")
            if not isinstance(inner, str):
                _check_keys(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_keys(inner)


def encoded(value: Any, field: str) -> bytes:
    """Write a value as JSON.

    Raises:
        InvalidInput: it has no JSON form, such as NaN or a type that JSON does not know.
        InvalidJson: it holds half of a surrogate pair, itself, or too many levels.
    """
    try:
        _check_keys(value)
        return _encoder.encode(value).encode()
    except UnicodeEncodeError:
        raise InvalidJson(f"Invalid {field}: a text holds half of a surrogate pair") from None
    except RecursionError:
        raise InvalidJson(f"Invalid {field}: it is nested too deep") from None
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"Invalid {field}: {error}", field=field) from None


def _plain(value: Any) -> Any:
    """Give the plain form of what is no JSON: a Struct, a dataclass, a pydantic model.

    Raises:
        TypeError: it has none.
    """
    if isinstance(value, _Null):
        return None
    if isinstance(value, Raw | Struct):
        return json.loads(msgspec.json.encode(value))
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        plain = dict(value)
        _check_keys(plain)
        return plain
    dump = getattr(value, "model_dump", None)  # messages of the libraries of LLM providers
    if callable(dump):
        return dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no JSON form; convert it first")


def _text(wire: str, value: Any) -> str:
    """Write a parameter of the query."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidParameter(f"Invalid {wire}: it is no Unicode text", field=wire) from None
        return value
    return str(value)


#: Where `recording` has the answers of this thread or task put.
_seen: ContextVar[tuple[list[Response], ...]] = ContextVar("dialoguedb_responses", default=())


@contextmanager
def recording() -> Iterator[list[Response]]:
    """Collect what comes with the answers to the calls of this thread or task."""
    seen: list[Response] = []
    token = _seen.set((*_seen.get(), seen))
    try:
        yield seen
    finally:
        _seen.reset(token)


def record(response: Response, attempts: int) -> None:
    """Put down what came with an answer, for those who collect it."""
    for seen in _seen.get():
        seen.append(response._replace(attempts=attempts))


def cut(items: Sequence[Raw], start: int, *, most: int) -> Iterator[tuple[int, int]]:
    """Cut a long list into batches, in order.

    Args:
        items: JSON texts.
        start: where to begin.
        most: items in a batch at most; and `REQUEST_BYTES`, unless one item alone has more.
    Returns: where each batch begins and ends.
    """
    begin, held = start, 0
    for index in range(start, len(items)):
        size = len(bytes(items[index]))
        if index > begin and (index - begin == most or held + size > REQUEST_BYTES):
            yield begin, index
            begin, held = index, 0
        held += size
    if begin < len(items):
        yield begin, len(items)


_PLACE = re.compile(r"\b(messages|records)\[(\d+)\]")


def moved(error: DialogueDBError, by: int) -> None:
    """Let an error name places of the whole list, and not of the batch that begins at `by`."""

    def name(text: str) -> str:
        return _PLACE.sub(lambda found: f"{found[1]}[{int(found[2]) + by}]", text)

    error.message = name(error.message)
    error.args = (error.message,)
    error.details = tuple(
        Detail(one.code, name(one.message), one.field and name(one.field), one.value)
        for one in error.details
    )


#: Records of one import.
IMPORT_RECORDS = 500


class _Named(Struct):
    namespace: str = ""


_namespace_of = msgspec.json.Decoder(_Named).decode


def grouped(
    records: Iterable[Mapping[str, Any] | bytes | Raw],
) -> Iterator[tuple[str, list[Raw]]]:
    """Cut records into what one import takes: of one namespace, and not too many.

    What comes before an error, also one of `records`, is given before it is raised.

    Returns: the namespace, and the records of it.
    Raises:
        InvalidJson: a record is no JSON object.
    """
    held: list[Raw] = []
    held_bytes, held_namespace = 0, ""
    failure: DialogueDBError | None = None
    try:
        for index, record in enumerate(records):
            data, namespace = _placed(record, index)
            full = len(held) == IMPORT_RECORDS or held_bytes + len(data) > REQUEST_BYTES
            if held and (full or namespace != held_namespace):
                yield held_namespace, held
                held, held_bytes = [], 0
            held.append(Raw(data))
            held_bytes += len(data)
            held_namespace = namespace
    except DialogueDBError as error:
        failure = error
    if held:
        yield held_namespace, held
    if failure is not None:
        raise failure


def _placed(record: Mapping[str, Any] | bytes | Raw, index: int) -> tuple[bytes, str]:
    """Give the JSON text of a record, and its namespace."""
    place = f"records[{index}]"
    data = encoded(record, place) if isinstance(record, Mapping) else bytes(record)
    try:
        return data, _namespace_of(data).namespace
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidJson(f"{place} is no JSON object: {error}") from None
