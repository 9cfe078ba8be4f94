"""HTTP on the socket: uvicorn's protocol, made to fit.

An answer is one packet; the head of a request has a limit; an `Upgrade` that nobody speaks here is
ignored, as HTTP says it must be (RFC 9110, 7.8), and what cannot be read as HTTP at all gets the
error envelope too.
"""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dialoguedb.errors import InvalidParameter
from dialoguedb.models.times import text_of
from dialoguedb.runtime import Runtime
from dialoguedb.server.answers import of_error

MAX_HEAD_BYTES = 64 * 1024
_CONNECTION = frozenset({b"connection", b"proxy-connection"})
_OFFER = frozenset({b"upgrade", b"http2-settings"})


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

    #: Bytes that have come since a body grew or a message ended: of a head, or of trailers.
    _quiet_bytes = 0
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to serve a connection."""
        super().connection_made(Gathering(transport, self.loop))  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """Take bytes from the socket."""
        self._unset_keepalive_if_required()
        self._quiet_bytes += len(data)
        while data and not self._refused:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                data = self._declined() + data[offer.args[0] :]
                continue
            except httptools.HttpParserError:
                self.send_400_response("it is no valid HTTP")
            if self._quiet_bytes > MAX_HEAD_BYTES:
                self.send_400_response(f"its head is larger than {MAX_HEAD_BYTES} bytes")
            return

    def _declined(self) -> bytes:
        """Begin the request that offers another protocol again, without the offer.

        The parser takes what follows such a head as that other protocol, and a body for none of
        its business. So the head is written anew from its parsed fields, for a new parser.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":  # an upgrade by its nature: there is nothing to begin again
            self.send_400_response("CONNECT is for proxies")
            return b""
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (method, self.url, version)]
        for name, value in self.headers:
            if name in _CONNECTION:
                tokens = [token.strip() for token in value.split(b",")]
                value = b", ".join(token for token in tokens if token.lower() not in _OFFER)
            if value and name not in _OFFER:
                lines.append(name + b": " + value)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        return b"\r\n".join([*lines, b"", b""])

    def on_headers_complete(self) -> None:
        """Begin a request; one that offers another protocol is begun again without the offer."""
        if not self.parser.should_upgrade():
            super().on_headers_complete()
            self._quiet_bytes = 0
            self.headers = []  # trailers would be added to the request's own headers

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._quiet_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        if not self.parser.should_upgrade():
            self._quiet_bytes = 0
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read, behind the answers to what came before it, and close."""
        self._refused = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False
            if not cycle.more_body:
                return  # its answer ends the connection
            cycle.disconnected = True  # what was to be its body is none
            cycle.message_event.set()
            if self.pipeline:
                return
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
