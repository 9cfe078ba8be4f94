"""A real HTTP server that speaks the /embeddings protocol, and can be told to misbehave."""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-secret-0123456789"


def vector_of(text: str, dimension: int = 8) -> list[float]:
    """A vector of the text's own, not of length 1."""
    return [((hash_of(text) >> shift) % 17) - 8.25 for shift in range(0, 4 * dimension, 4)]


def hash_of(text: str) -> int:
    return int.from_bytes(text.encode() * 9) % (2**61 - 1)


def answer_to(request: dict[str, Any], dimension: int = 8) -> dict[str, Any]:
    """The right answer."""
    data = [
        {"object": "embedding", "index": i, "embedding": vector_of(text, dimension)}
        for i, text in enumerate(request["input"])
    ]
    return {"object": "list", "data": data, "model": request["model"], "usage": {}}


class Endpoint:
    """Answers as `respond(request) -> (status, headers, body)` says; right ones if it is None.

    Attributes: `url` (the base), `requests` (what was asked: path, headers, body).
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.respond: Callable[[dict[str, Any]], tuple[int, dict[str, str], Any]] | None = None
        self.drip_s = 0.0
        self.gone = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        """Stop, and wait for what is under way."""
        self.gone.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 5

            def handle(self) -> None:
                with suppress(ConnectionError):  # clients go away, as tests of time-outs want
                    super().handle()

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.requests.append((self.path, dict(self.headers), body))
                respond = endpoint.respond or (lambda request: (200, {}, answer_to(request)))
                status, headers, answer = respond(body)
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self._write(data)

            def _write(self, data: bytes) -> None:
                if not endpoint.drip_s:
                    self.wfile.write(data)
                    return
                for at in range(len(data)):
                    self.wfile.write(data[at : at + 1])
                    endpoint.gone.wait(endpoint.drip_s)

            def log_message(self, *args: Any) -> None:
                pass

        return Handler
