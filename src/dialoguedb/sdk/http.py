"""The carriers over HTTP, one for each colour. The only room of the client that knows httpx."""

import asyncio
import os
import ssl
from collections.abc import Callable
from threading import Lock, local
from typing import Any

import httpcore
import httpx

from dialoguedb import __version__
from dialoguedb.errors import ClientClosed, ConnectionFailed, InvalidParameter, TimedOut
from dialoguedb.models import positions
from dialoguedb.runtime import monotonic_s
from dialoguedb.sdk.answers import reply_of
from dialoguedb.sdk.calls import Call, Reply
from dialoguedb.settings import ClientSettings

#: Servers close a connection that has been idle for 5 s (uvicorn's default); a request must not
#: meet that.
_IDLE_S = 4.0
#: More than that no socket takes; 23 days are as good as no time-out.
_MOST_S = 2_000_000.0
_LIMITS = httpx.Limits(max_connections=200, max_keepalive_connections=100, keepalive_expiry=_IDLE_S)


def _options(settings: ClientSettings) -> dict[str, Any]:
    verify: ssl.SSLContext | bool = False  # plain HTTP needs none of the CAs, which take long
    if settings.base_url.lower().startswith("https:"):
        try:
            verify = ssl.create_default_context(cafile=settings.ca_file)
        except OSError as error:
            raise InvalidParameter(f"Invalid ca_file: {error}", field="ca_file") from error
    return {
        "base_url": settings.base_url,
        "timeout": _timeout_s(settings),
        "limits": _LIMITS,
        "verify": verify,
        "headers": {
            "Authorization": f"Bearer {settings.api_key}",
            "User-Agent": f"dialoguedb-python/{__version__}",
            "Accept": "application/json",
        },
    }


def _timeout_s(settings: ClientSettings) -> float:
    return min(settings.timeout_s, _MOST_S)


class _Hurried(httpcore.NetworkStream):
    """A connection that knows when the answer must be there.

    httpx has a time-out for each read only: a server that sends a byte a second would never end.
    """

    def __init__(self, stream: httpcore.NetworkStream, left_s: Callable[[], float]) -> None:
        self._stream = stream
        self._left_s = left_s

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left_s = self._left_s()
        if left_s <= 0:
            raise httpcore.ReadTimeout("timed out")
        return self._stream.read(max_bytes, left_s)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, *args: Any, **options: Any) -> httpcore.NetworkStream:
        return _Hurried(self._stream.start_tls(*args, **options), self._left_s)


class _Backend(httpcore.NetworkBackend):
    """Makes connections that hurry."""

    def __init__(self, left_s: Callable[[], float]) -> None:
        self._plain = httpcore.SyncBackend()
        self._left_s = left_s

    def connect_tcp(self, *args: Any, **options: Any) -> httpcore.NetworkStream:
        return _Hurried(self._plain.connect_tcp(*args, **options), self._left_s)


def _hurry(client: httpx.Client, left_s: Callable[[], float]) -> httpx.Client:
    """Give the connections of a client a time by which a whole answer must be there.

    httpx has no door for that; what stands in its place are these three names of its inside, and
    the tests of the time-out.
    """
    for carrier in (client._transport, *client._mounts.values()):
        if isinstance(carrier, httpx.HTTPTransport):
            carrier._pool._network_backend = _Backend(left_s)
    return client


class _Written:
    """How far reads must see: the newest position that answers to this client's writes named.

    So what has been written is read also where reads go to a standby that lags behind.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._newest: str | None = None

    def note(self, answered: httpx.Headers) -> None:
        """Keep what the answer to a write says."""
        position = answered.get(positions.HEADER)
        if position is not None and positions.is_position(position):
            with self._lock:
                self._newest = positions.newest(self._newest, position)

    def headers(self, call: Call) -> dict[str, str]:
        """Give what a call is to say of it."""
        if call.operation.writes or self._newest is None:
            return {}
        return {positions.HEADER: self._newest}


def _headers(call: Call) -> dict[str, str]:
    headers = {}
    if call.body:
        headers["Content-Type"] = "application/json"
    if call.if_match is not None:
        headers["If-Match"] = f'"{call.if_match}"'
    if call.idempotency_key is not None:
        headers["Idempotency-Key"] = call.idempotency_key
    return headers


def _request(
    client: httpx.Client | httpx.AsyncClient, call: Call, written: _Written
) -> httpx.Request:
    return client.build_request(
        call.operation.route.method,
        call.url(),
        params=call.query or None,
        content=call.body or None,
        headers=_headers(call) | written.headers(call),
    )


def _failure(error: Exception, settings: ClientSettings) -> ConnectionFailed:
    """Say what a failure of the connection means; the key is in none of these texts."""
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return TimedOut(
            f"No answer from {settings.base_url} within {settings.timeout_s:g} s (timeout_s)"
        )
    reason = str(error) or type(error).__name__
    return ConnectionFailed(f"No answer from {settings.base_url}: {reason}")


class HttpTransport:
    """Sends calls to a server. Thread-safe; after a fork the child has connections of its own."""

    #: An answer can be lost after the server has done what was asked.
    loses_answers = True

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._written = _Written()
        self._lock = Lock()
        self._deadlines = local()
        self._client: httpx.Client | None = None
        self._owner = 0
        self._closed = False

    def send(self, call: Call) -> Reply:
        """Send a call once and wait for its answer.

        Raises:
            ConnectionFailed, TimedOut: no whole answer came.
            DialogueDBError: the answer is an error.
        """
        self._deadlines.at_s = monotonic_s() + _timeout_s(self._settings)
        try:
            client = self._opened()
            response = client.send(_request(client, call, self._written))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            raise _failure(error, self._settings) from error
        except RuntimeError as error:  # httpx says so of a client that has just been closed
            if self._closed:
                raise ClientClosed from error
            raise
        self._written.note(response.headers)
        return reply_of(call, response.status_code, response.headers, response.content)

    def _left_s(self) -> float:
        """Tell how much time the call of this thread has left."""
        return float(self._deadlines.at_s - monotonic_s())

    def _opened(self) -> httpx.Client:
        if self._closed:
            raise ClientClosed
        if self._client is None or self._owner != os.getpid():
            with self._lock:
                if self._client is None or self._owner != os.getpid():
                    # The connections of a parent process are its own: they are left alone.
                    self._client = _hurry(httpx.Client(**_options(self._settings)), self._left_s)
                    self._owner = os.getpid()
        return self._client

    def open(self) -> None:
        """Do nothing: connections are opened as they are needed."""

    def close(self) -> None:
        """Close the connections."""
        self._closed = True
        if self._client is not None and self._owner == os.getpid():
            self._client.close()


class AsyncHttpTransport:
    """Sends calls to a server without blocking; each event loop has connections of its own."""

    loses_answers = True

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._written = _Written()
        self._lock = Lock()
        self._clients: dict[asyncio.AbstractEventLoop, httpx.AsyncClient] = {}
        self._owner = os.getpid()
        self._closed = False

    async def send(self, call: Call) -> Reply:
        """Send a call once and wait for its answer; see `HttpTransport.send`."""
        try:
            client = self._opened()
            async with asyncio.timeout(_timeout_s(self._settings)):
                response = await client.send(_request(client, call, self._written))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            raise _failure(error, self._settings) from error
        except RuntimeError as error:  # httpx says so of a client that has just been closed
            if self._closed:
                raise ClientClosed from error
            raise
        self._written.note(response.headers)
        return reply_of(call, response.status_code, response.headers, response.content)

    def _opened(self) -> httpx.AsyncClient:
        if self._closed:
            raise ClientClosed
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None or self._owner != os.getpid():
            client = self._make(loop)
        return client

    def _make(self, loop: asyncio.AbstractEventLoop) -> httpx.AsyncClient:
        if self._owner != os.getpid():  # a child leaves the connections of its parent alone
            self._clients, self._owner, self._lock = {}, os.getpid(), Lock()
        client = httpx.AsyncClient(**_options(self._settings))
        with self._lock:
            ended = [one for one in self._clients if one.is_closed()]
            for one in ended:
                del self._clients[one]
            self._clients[loop] = client
        return client

    async def aopen(self) -> None:
        """Do nothing: connections are opened as they are needed."""

    async def aclose(self) -> None:
        """Close the connections of this event loop; those of others end with theirs."""
        self._closed = True
        if self._owner == os.getpid():
            client = self._clients.pop(asyncio.get_running_loop(), None)
            if client is not None:
                await client.aclose()
