"""Several processes that serve on one socket, and the one that sees to them.

The kernel gives each connection to a worker that waits for one. The supervisor serves nothing
itself: it starts the workers, starts another for one that has died, and passes signals on.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress

import msgspec

from dialoguedb.errors import AdminError
from dialoguedb.runtime import monotonic_s
from dialoguedb.server.board import make_board
from dialoguedb.server.serving import STOP_SIGNALS
from dialoguedb.server.worker import Told
from dialoguedb.settings import Settings

log = logging.getLogger("dialoguedb.server")

#: How long to wait before a worker that has died is replaced: it doubles while they die early.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 30.0
#: A worker that has lived as long has not died early.
_STEADY_S = 60.0
#: How much longer than its requests may take a worker is given to end.
_GRACE_S = 5.0


def supervise(settings: Settings, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Run the workers until a signal ends them.

    Args:
        settings: the server's.
        listener: where they take connections; closed when the end begins.
        ready: called once, when all of them serve.
    Raises:
        AdminError: one of them cannot start; the message says why and what to do.
    """
    board = make_board()
    try:
        asyncio.run(_Supervisor(settings, listener, board, ready).run())
    finally:
        os.close(board)


class _Supervisor:
    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        board: int,
        ready: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._board = board
        self._ready = ready
        self._processes: dict[int, Process] = {}
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """See `supervise`."""
        loop = asyncio.get_running_loop()
        for one in STOP_SIGNALS:
            loop.add_signal_handler(one, self._ask_to_stop, one)
        numbers = range(self._settings.workers)
        try:
            for told in await asyncio.gather(*map(self._start, numbers)):
                if told.error is not None and not self._stopping.is_set():
                    raise AdminError(told.error)
            if not self._stopping.is_set():
                self._ready()
            await asyncio.gather(*map(self._keep, numbers))
        finally:
            await self._end()

    async def _start(self, number: int) -> Told:
        """Start a worker; wait until it serves or has given up."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # what lies in this folder is none of its modules
            "-m",
            "dialoguedb.server.worker",
            *map(str, (self._listener.fileno(), self._board, number)),
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=(self._listener.fileno(), self._board),
            start_new_session=True,  # Ctrl-C comes to the supervisor alone, which passes it on
        )
        self._processes[number] = process
        assert process.stdin is not None
        assert process.stdout is not None
        if self._stopping.is_set():
            self._pass_on(signal.SIGTERM)
        with suppress(ConnectionError):  # it has ended: what comes next is told of that
            process.stdin.write(msgspec.json.encode(self._settings) + b"\n")
            await process.stdin.drain()
        line = await process.stdout.readline()
        if line:
            return msgspec.json.decode(line, type=Told)
        ended = _described(await process.wait())
        return Told(f"a worker {ended} before it served; the log above says why")

    async def _keep(self, number: int) -> None:
        """Replace a worker that has died, again and again."""
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            process, since_s = self._processes[number], monotonic_s()
            code = await process.wait()
            if self._stopping.is_set():
                return
            if monotonic_s() - since_s > _STEADY_S:
                pause_s = FIRST_PAUSE_S
            log.error(
                "worker %d (process %d) %s; another one starts in %g s",
                number + 1,
                process.pid,
                _described(code),
                pause_s,
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()
                    return
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            told = await self._start(number)
            if told.error is not None:
                log.error("worker %d cannot start: %s", number + 1, told.error)

    def _ask_to_stop(self, asked_by: signal.Signals) -> None:
        """Have the workers end; a second Ctrl-C does not let them finish what is under way."""
        again = self._stopping.is_set() and asked_by is signal.SIGINT
        self._stopping.set()
        self._listener.close()
        # A worker takes SIGTERM twice for one wish, and SIGINT twice for haste.
        for one in (signal.SIGINT, signal.SIGINT) if again else (signal.SIGTERM,):
            self._pass_on(one)

    def _pass_on(self, one: signal.Signals) -> None:
        for process in self._processes.values():
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.send_signal(one)

    async def _end(self) -> None:
        """Have all workers end, and see that they have."""
        self._stopping.set()
        self._pass_on(signal.SIGTERM)
        limit_s = self._settings.shutdown_seconds + self._settings.db_timeout_seconds + _GRACE_S
        running = [one for one in self._processes.values() if one.returncode is None]
        try:
            async with asyncio.timeout(limit_s):
                for process in running:
                    await process.wait()
        except TimeoutError:
            log.error("workers that have not ended within %g s are killed", limit_s)
            self._pass_on(signal.SIGKILL)
            for process in running:
                await process.wait()


def _described(code: int) -> str:
    """Say how a process has ended."""
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"
