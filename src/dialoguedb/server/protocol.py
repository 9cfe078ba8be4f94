"""HTTP on the socket: uvicorn's protocol, made to fit.

An answer is one packet; the head of a request has a limit; an `Upgrade` that nobody speaks here is
ignored, as HTTP says it must be (RFC 9110, 7.8), and what cannot be read as HTTP at all gets the
error envelope too.
"""

import asyncio
import re
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dialoguedb.errors import InvalidParameter
from dialoguedb.models.times import text_of
from dialoguedb.runtime import Runtime
from dialoguedb.server.answers import of_error

MAX_HEAD_BYTES = 64 * 1024
_UPGRADE = re.compile(rb"\r\nconnection:[^\r\n]*upgrade[^\r\n]*", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"


class Gathering:
    """A transport that writes once a turn of the loop.

    Head and body of an answer come as two writes; each would be a system call and a packet of its
    own, and the first would wake a client that cannot do anything with it yet.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._call_soon = loop.call_soon
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Take what is to be written; it goes out when the loop comes round."""
        if not self._held:
            self._call_soon(self._flush)
        self._held.append(data)

    def close(self) -> None:
        """Write what is held, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, []
            self._transport.write(b"".join(held))


class Protocol(HttpToolsProtocol):
    """One connection."""

    _head_bytes = 0
    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to serve a connection."""
        super().connection_made(Gathering(transport, self.loop))  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """Take bytes from the socket."""
        if self._in_head:
            if b"pgrade" in data:
                head, end, body = data.partition(_HEAD_END)
                data = _UPGRADE.sub(b"\r\nconnection: keep-alive", head) + end + body
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self.send_400_response(f"The head of the request is larger than {MAX_HEAD_BYTES} bytes")

    def on_headers_complete(self) -> None:
        """Note that the head has come."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that a head comes next."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, and close."""
        runtime = Runtime()
        request_id = runtime.uuid()
        error = InvalidParameter(f"The request cannot be read: {msg}")
        answer = of_error(error, request_id, text_of(runtime.now()))
        head = (
            f"HTTP/1.1 400 Bad Request\r\ncontent-type: {answer.content_type.decode()}\r\n"
            f"content-length: {len(answer.body)}\r\nx-request-id: {request_id}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + answer.body)
        self.transport.close()
