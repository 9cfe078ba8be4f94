"""Read the parts of an HTTP request: body, query, headers."""

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from dialoguedb.errors import InvalidParameter, PayloadTooLarge
from dialoguedb.models import positions
from dialoguedb.models.limits import MAX_BODY_BYTES

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_KEY = re.compile(rb"[\x20-\x7e]{1,255}")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_POSITION = positions.HEADER.lower().encode()
_TAG = re.compile(r'\s*(W/)?"([^"]*)"\s*')


class ClientGone(Exception):
    """The client has closed the connection before its request was complete."""


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """Give the headers by name; one that comes several times is a list (RFC 9110, 5.3)."""
    found: dict[bytes, bytes] = dict(scope["headers"])
    if len(found) < len(scope["headers"]):
        found.clear()
        for name, value in scope["headers"]:
            found[name] = found[name] + b", " + value if name in found else value
    return found


async def body_of(receive: Receive, headers: Mapping[bytes, bytes]) -> bytes:
    """Read the body, up to 36 MiB.

    Raises:
        PayloadTooLarge: it is larger, or says that it will be.
        ClientGone: it ended too early.
    """
    stated = headers.get(b"content-length", b"")
    if stated.isdigit() and int(stated) > MAX_BODY_BYTES:
        raise _too_large()
    chunks: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise ClientGone
        chunk = event.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        if not event.get("more_body", False):
            return b"".join((*chunks, chunk)) if chunks else chunk
        chunks.append(chunk)


def _too_large() -> PayloadTooLarge:
    return PayloadTooLarge(f"The request body is larger than {MAX_BODY_BYTES} bytes (36 MiB)")


def query_of(scope: Scope) -> list[tuple[str, str]]:
    """Read the query's parameters, in order.

    Raises:
        InvalidParameter: it is not UTF-8.
    """
    raw = scope["query_string"]
    if not raw:
        return []
    try:
        return parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100
        )
    except ValueError:
        raise InvalidParameter("Invalid query: it is not UTF-8, or has over 100 parts") from None


def bearer_of(headers: Mapping[bytes, bytes]) -> bytes | None:
    """Read the API key; None when there is none."""
    scheme, _, key = headers.get(b"authorization", b"").strip().partition(b" ")
    return key.strip() or None if scheme.lower() == b"bearer" else None


def idempotency_key_of(headers: Mapping[bytes, bytes]) -> str | None:
    """Read the `Idempotency-Key`.

    Raises:
        InvalidParameter: it is not 1 to 255 printable ASCII characters.
    """
    key = headers.get(b"idempotency-key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidParameter(
            "Invalid Idempotency-Key: use 1 to 255 printable ASCII characters",
            field="Idempotency-Key",
        )
    return key.decode("ascii")


def position_of(headers: Mapping[bytes, bytes]) -> str | None:
    """Read the position that a read must not be behind; None when any will do.

    Raises:
        InvalidParameter: no answer ever had such a one.
    """
    given = headers.get(_POSITION)
    if given is None:
        return None
    position = given.decode("latin-1")
    if not positions.is_position(position):
        raise InvalidParameter(
            f"Invalid {positions.HEADER}: use that of an answer, such as 0/16B3740",
            field=positions.HEADER,
        )
    return position


def if_match_of(headers: Mapping[bytes, bytes]) -> frozenset[int] | None:
    """Read the versions that `If-Match` names; None when any will do.

    Raises:
        InvalidParameter: it is no list of entity tags.
    """
    value = headers.get(b"if-match")
    if value is None or value.strip() == b"*":
        return None
    versions = set()
    for part in value.decode("latin-1").split(","):
        tag = _TAG.fullmatch(part)
        if tag is None:
            raise InvalidParameter(
                'Invalid If-Match: use the ETag of an answer, such as "3", or *', field="If-Match"
            )
        # A weak tag matches nothing (RFC 9110, 13.1.1), nor does one that no answer ever had.
        if tag[1] is None and _VERSION.fullmatch(tag[2]):
            versions.add(int(tag[2]))
    return frozenset(versions)
