"""One of several processes that serve; `workers.py` starts it.

It is called with the numbers of its files and its own number, and told the settings on standard
input: they hold secrets, and neither arguments nor variables are the place for them. Standard
input stays open for as long as the one who started it lives.
"""

import socket
import sys
from contextlib import closing
from typing import BinaryIO

import msgspec

from dialoguedb.errors import AdminError, DialogueDBError
from dialoguedb.server import logs
from dialoguedb.server.board import Board
from dialoguedb.server.serving import serve
from dialoguedb.settings import Settings
from dialoguedb.store.opening import Service, open_store, opener
from dialoguedb.store.protocol import Store
from dialoguedb.store.sqlite.waiting import filled
from dialoguedb.worker.beside import alongside


class Told(msgspec.Struct):
    """What a worker tells, once: that it serves, or why it cannot."""

    error: str | None = None


def opened(settings: Settings, *, make: bool = True) -> Store:
    """Open the store of the settings.

    Raises:
        StoreError: it cannot be opened; the message says why and what to do.
    """
    return open_store(
        settings.db,
        key_file=settings.db_key_file,
        make=make,
        embedder=settings.embedder,
        open_embedder=opener(settings),
        service=Service(settings.db_connections, settings.db_timeout_seconds, settings.replica),
    )


def work(settings: Settings, listener_fd: int, board_fd: int, number: int, out: BinaryIO) -> None:
    """Serve until a signal ends it, or the one who started this is gone.

    Raises:
        AdminError, StoreError: it cannot start; the message says why and what to do.
    """
    logs.configure(settings.log_level)
    with (
        closing(socket.socket(fileno=listener_fd)) as listener,
        closing(opened(settings, make=False)) as store,
        filled(store),
        alongside(settings, store),
    ):
        serve(
            settings,
            store,
            listener,
            lambda: tell(out, Told()),
            board=Board(board_fd, number, settings.workers),
            lifeline=sys.stdin.fileno(),
        )


def tell(out: BinaryIO, told: Told) -> None:
    """Tell it, in a line."""
    out.write(msgspec.json.encode(told) + b"\n")
    out.flush()


def main() -> None:
    """Be a worker; exit code 1 if it cannot start."""
    listener_fd, board_fd, number = map(int, sys.argv[1:])
    line = sys.stdin.buffer.readline()
    if not line:
        return  # the one who started this is gone already
    out = sys.stdout.buffer
    try:
        settings = msgspec.json.decode(line, type=Settings)
        work(settings, listener_fd, board_fd, number, out)
    except DialogueDBError as error:
        tell(out, Told(error.message))
        sys.exit(1)
    except OSError as error:
        tell(out, Told(AdminError(f"a worker cannot start: {error}").message))
        sys.exit(1)


if __name__ == "__main__":
    main()
