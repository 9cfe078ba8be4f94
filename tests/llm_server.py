"""A real HTTP server that speaks OpenAI's chat completions, and can be told to misbehave.

    with LLMServer() as server:
        server.next(answered("Ada's wheel is bent."), failing(429, retry_after="7"))
        ...ask server.url...
        assert server.calls == 2

Each reply of `next` is for one request, in order; the others get `server.reply`, a right one.
"""

import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple

KEY = "sk-secret-0123456789"
Json = dict[str, Any]
_JSON = {"Content-Type": "application/json"}


class Asked(NamedTuple):
    """A request as it came over the wire."""

    path: str
    headers: dict[str, str]
    body: Json

    @property
    def text(self) -> str:
        """All that the messages say."""
        return "\n".join(message["content"] for message in self.body["messages"])


class Reply(NamedTuple):
    """What goes back.

    Attributes:
        status, headers, body: of the answer; JSON unless the body is bytes.
        wait_s: before the answer begins.
        drip_s: between two bytes of its body.
        reset: the connection is reset instead.
        missing: so many bytes of the body are announced and never come.
    """

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = MappingProxyType({})
    wait_s: float = 0.0
    drip_s: float = 0.0
    reset: bool = False
    missing: int = 0


Respond = Callable[[Json], Reply]


def completion(text: str | None, **changes: Any) -> Json:
    """The body of a right answer; finish_reason, refusal, usage and model can be changed."""
    message = {"role": "assistant", "content": text, "refusal": changes.get("refusal")}
    reason = changes.get("finish_reason", "stop")
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_741_942_800,
        "model": changes.get("model", "small"),
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
        "usage": changes.get("usage", usage),
    }


def answered(text: str | None, **changes: Any) -> Respond:
    """A right answer with this text."""
    return lambda request: Reply(body=completion(text, **changes))


def failing(status: int, *, retry_after: str | None = None) -> Respond:
    """An error, whose body quotes the key and the question, as some endpoints do."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}

    def fail(request: Json) -> Reply:
        said = f"Incorrect key {KEY} for {request['messages']}"
        return Reply(status, {"error": {"message": said, "code": "x"}}, headers)

    return fail


def raw(body: bytes, **changes: Any) -> Respond:
    """Any bytes as an answer."""
    return lambda request: Reply(body=body, **changes)


def slow(wait_s: float) -> Respond:
    """A right answer that comes late."""
    return lambda request: Reply(body=completion("late"), wait_s=wait_s)


def dripping(pause_s: float) -> Respond:
    """A right answer that comes byte by byte."""
    return lambda request: Reply(body=completion("drop by drop"), drip_s=pause_s)


def resetting(request: Json) -> Reply:
    """No answer: the connection is reset."""
    return Reply(reset=True)


def broken_off(request: Json) -> Reply:
    """An answer whose end never comes."""
    return Reply(body=completion("half"), missing=100)


class LLMServer:
    """The server, on a free port, until `close`.

    Attributes:
        url: the base, ending with /v1.
        requests: what was asked.
        reply: answers requests for which nothing else was said.
    """

    def __init__(self, reply: Respond | None = None) -> None:
        self.requests: list[Asked] = []
        self.reply = reply or answered("Ada's wheel is bent; a new one is ordered.")
        self._next: deque[Respond] = deque()
        self._gone = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def calls(self) -> int:
        """How many requests have come."""
        return len(self.requests)

    def next(self, *replies: Respond) -> None:
        """Say what the next requests get, one each."""
        self._next.extend(replies)

    def close(self) -> None:
        """Stop, and wait for what is under way."""
        self._gone.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> "LLMServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 5

            def handle(self) -> None:
                with suppress(ConnectionError):  # clients go away, as tests of time-outs want
                    super().handle()

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.requests.append(Asked(self.path, dict(self.headers), body))
                respond = server._next.popleft() if server._next else server.reply
                reply = respond(body)
                server._gone.wait(reply.wait_s)
                if reply.reset:
                    self._reset()
                else:
                    self._answer(reply)

            def _reset(self) -> None:
                now = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
                self.connection.close()
                self.close_connection = True

            def _answer(self, reply: Reply) -> None:
                is_bytes = isinstance(reply.body, bytes)
                data = reply.body if is_bytes else json.dumps(reply.body).encode()
                self.send_response(reply.status)
                for name, value in (_JSON | dict(reply.headers)).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data) + reply.missing))
                self.end_headers()
                step = 1 if reply.drip_s else max(len(data), 1)
                for at in range(0, len(data), step):
                    self.wfile.write(data[at : at + step])
                    server._gone.wait(reply.drip_s)
                self.close_connection = self.close_connection or reply.missing > 0

            def log_message(self, *args: Any) -> None:
                pass

        return Handler
