"""Structured logs: one JSON object a line on standard error. No key, no content, no query."""

import asyncio
import logging
import select
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from dialoguedb.models.times import text_of

_FLUSH_S = 0.2
#: Several workers write to one pipe (POSIX: `PIPE_BUF`, 512 at least).
_ATOMIC_BYTES = getattr(select, "PIPE_BUF", 512)
_encode = msgspec.json.Encoder().encode


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record; `extra={"fields": {...}}` adds members."""
        line: dict[str, Any] = {
            "time": text_of(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _encode(line).decode()


def configure(level: str) -> None:
    """Send the logs of the server and of the HTTP library to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name, least in (("dialoguedb", level), ("uvicorn", "warning"), ("asyncio", "error")):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(least.upper())


class Access(msgspec.Struct, omit_defaults=True, rename="camel"):
    """One request, as its log line says it: the operation, never the ids and values in it."""

    time: str
    level: str
    message: str
    request_id: str
    method: str
    operation: str
    status: int
    milliseconds: float
    code: str = ""
    project_id: str = ""
    key_id: str = ""


def _in_one_piece(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Join lines to as much as a pipe takes at once: between two pieces others may write to it."""
    piece = b""
    for line in lines:
        if piece and len(piece) + len(line) >= _ATOMIC_BYTES:
            yield piece
            piece = b""
        piece += line + b"\n"
    yield piece


class AccessLog:
    """Collects request lines and writes them a few times a second: a write each would cost more."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lines: list[bytes] = []

    def add(self, line: Access) -> None:
        """Take a line; it is written within a fifth of a second, or when the server stops."""
        if not self._lines:
            self._loop.call_later(_FLUSH_S, self.flush)
        self._lines.append(_encode(line))

    def flush(self) -> None:
        """Write what has been collected."""
        if self._lines:
            lines, self._lines = self._lines, []
            for whole in _in_one_piece(lines):
                sys.stderr.buffer.write(whole)
                sys.stderr.flush()
