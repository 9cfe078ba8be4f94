"""HTTP as bytes on the wire: what clients send that no well-behaved library would."""

import select
import socket
from urllib.parse import urlsplit

import httpx
import pytest

from harness import KEY, Server


def raw(server: Server, *segments: bytes) -> bytes:
    """Send bytes, a segment each, and read until the other side is silent or has closed."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(1)
        got = b""
        try:
            for segment in segments:
                connection.sendall(segment)
                if len(segments) > 1:
                    select.select([connection], [], [], 0.05)  # so that each arrives by itself
            while chunk := connection.recv(65536):
                got += chunk
        except (TimeoutError, ConnectionError):
            pass
        return got


def request(body: bytes, *headers: str) -> bytes:
    lines = [
        "POST /dialogue HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {KEY}",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_an_upgrade_that_is_offered_is_ignored(server: Server) -> None:
    """RFC 9110, 7.8. Java's client offers h2c by default; its body must not be lost."""
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ")
    body = b'{"label":"kept","message":{"role":"user","content":"the word upgrade in a body"}}'
    got = raw(server, request(body, *offer) + request(b'{"label":"next"}'))
    assert got.count(b"HTTP/1.1 200") == 2
    assert b'"label":"kept"' in got
    assert b"the word upgrade in a body" in got
    assert b'"label":"next"' in got


def test_a_head_without_end_is_refused(server: Server) -> None:
    """Nobody may fill the memory before he has shown a key."""
    got = raw(server, request(b"{}", "X-Long: " + "a" * 200_000))
    assert got.startswith(b"HTTP/1.1 400") or got == b""


@pytest.mark.parametrize("data", [b"NONSENSE\r\n\r\n", b"GET /dialogue\x00 HTTP/1.1\r\n\r\n"])
def test_what_is_no_http_gets_the_envelope(server: Server, data: bytes) -> None:
    """Contract 10.1 and 1.4: also then there is a request id."""
    head, _, body = raw(server, data).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert b"x-request-id" in head
    assert httpx.Response(400, content=body).json()["error"]["code"] == "INVALID_PARAMETER"


@pytest.mark.parametrize("at", range(0, 330, 15))
def test_an_offer_is_ignored_wherever_the_network_cuts(server: Server, at: int) -> None:
    """Identical bytes mean the same in any segmentation (RFC 9112)."""
    data = request(
        b'{"label":"a\\r\\nConnection: upgrade"}',
        "UPGRADE: H2C",
        "CONNECTION: UPGRADE, close",
    )
    got = raw(server, data[:at], data[at:])
    assert got.count(b"HTTP/1.1 200") == 1
    assert b"Connection: upgrade" in got
    assert b"connection: close" in got


def test_a_body_is_never_taken_for_a_request(api: httpx.Client, server: Server) -> None:
    """What stands in a body stays in it, however the bytes are cut."""
    inner = b"DELETE /memory/kept HTTP/1.1\r\nHost: x\r\n\r\n"
    body = b"x\r\nConnection: " + b"z" * 200 + b" upgrade\r\n" + inner
    head, _, rest = request(body, "Connection: keep-alive").partition(b"\r\n\r\n")
    got = raw(server, head, b"\r\n\r\n" + rest)
    assert got.count(b"HTTP/1.1") == 1
    assert b"INVALID_JSON" in got


@pytest.mark.parametrize("cut", [False, True])
def test_a_good_request_is_answered_before_a_bad_one_is_refused(server: Server, cut: bool) -> None:
    """RFC 9112, 9.3.2: answers come in the order of requests."""
    parts = [request(b'{"label":"first"}'), request(b'{"label":"second"}'), b"GARBAGE\r\n\r\n"]
    got = raw(server, *parts) if cut else raw(server, b"".join(parts))
    assert got.count(b"HTTP/1.1 200") == 2
    assert got.index(b"first") < got.index(b"second")


def test_trailers_without_end_are_refused(server: Server) -> None:
    """They come behind a body and belong to nothing that has a limit of its own."""
    head = request(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(head + b"2\r\n{}\r\n0\r\n")
        with pytest.raises(ConnectionError):
            for _ in range(1000):
                connection.sendall(b"a: b\r\n" * 1000)
                if select.select([connection], [], [], 0)[0] and not connection.recv(65536):
                    raise ConnectionResetError


def test_small_requests_in_one_segment_are_no_large_head(server: Server) -> None:
    """The limit is one of a head, not of what the network brings at once."""
    one = f"GET /health HTTP/1.1\r\nHost: x\r\nX: {'y' * 60}\r\n\r\n".encode()
    assert raw(server, one * 1000).count(b"HTTP/1.1 200") == 1000
