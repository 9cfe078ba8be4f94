"""The installed program: run to its end, in a pipe or in a terminal of a given width."""

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from contextlib import chdir
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner, Result

import dialoguedb
from dialoguedb.cli.main import app
from harness import DIALOGUEDB

#: What the environment of the tests may say of a database or of colours is not for the program.
CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("DIALOGUE", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"))
}
WAIT_S = 60.0
#: For what is the same on a file: the client has tests on both.
on_server = pytest.mark.parametrize("place", ["server"], indirect=True)


class Place(NamedTuple):
    """Where data commands work: the options that say so, and the environment.

    Attributes:
        options: such as `--db chat.db`.
        env: such as the key of a server.
        folder: the working directory.
    """

    options: tuple[str, ...]
    env: dict[str, str]
    folder: Path

    def run(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a command here, as a program."""
        return program(*arguments, *self.options, env=self.env, cwd=self.folder, stdin=stdin)

    def invoked(self, *arguments: str, stdin: str = "") -> Result:
        """Run a command here, in this process: a program takes longer to start than to do it."""
        with chdir(self.folder):
            return in_process(*arguments, *self.options, env=self.env, stdin=stdin)

    def json(self, *arguments: str, stdin: str = "") -> Any:
        """The JSON that a command prints, which must succeed."""
        done = self.invoked(*arguments, stdin=stdin)
        assert (done.exit_code, done.stderr) == (0, ""), done.stderr
        return json.loads(done.stdout)

    def refused(self, *arguments: str, code: int = 1) -> Any:
        """The JSON of the error with which a command ends; it prints nothing else."""
        done = self.invoked(*arguments)
        assert (done.exit_code, done.stdout) == (code, ""), done.stdout + done.stderr
        error = json.loads(done.stderr)
        assert list(error) == ["error", "code", "type", "statusCode", "requestId", "details"]
        return error

    def client(self) -> dialoguedb.DialogueDB:
        """A client of the same database; it makes the file."""
        if self.env:
            return dialoguedb.DialogueDB(
                self.env["DIALOGUEDB_API_KEY"], self.env["DIALOGUEDB_BASE_URL"]
            )
        return dialoguedb.open(str(self.folder / self.options[1]))

    def started(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start a command here."""
        return subprocess.Popen(
            [str(DIALOGUEDB), *arguments, *self.options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=CLEAN | self.env,
            cwd=self.folder,
        )

    def screen(self, *arguments: str, width: int = 100, env: dict[str, str] | None = None) -> str:
        """What a command shows in a terminal, with its colours; it must succeed."""
        status, shown = terminal(
            *arguments, *self.options, env=self.env | (env or {}), cwd=self.folder, width=width
        )
        assert status == 0, shown
        return shown


def program(
    *arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None, stdin: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run a command in a pipe."""
    return subprocess.run(
        [str(DIALOGUEDB), *arguments],
        capture_output=True,
        input=stdin,
        encoding="utf-8",
        timeout=WAIT_S,
        env=CLEAN | (env or {}),
        cwd=cwd,
        check=False,
    )


def in_process(*arguments: str, env: dict[str, str] | None = None, stdin: str = "") -> Result:
    """Run a command in this process; it is faster."""
    others = {name: None for name in os.environ if name not in CLEAN}
    return CliRunner().invoke(app, arguments, input=stdin, env=others | (env or {}))


def terminal(
    *arguments: str,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    width: int = 100,
    interrupt: str = "",
) -> tuple[int, str]:
    """Run a command in a terminal; return exit code and screen.

    With `interrupt`, Ctrl-C is typed as soon as the screen shows this text.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    process = subprocess.Popen(
        # A session of its own, with this terminal: so that Ctrl-C reaches it.
        ["setsid", "--ctty", "--wait", str(DIALOGUEDB), *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=CLEAN | {"TERM": "xterm-256color"} | (env or {}),
        cwd=cwd,
    )
    os.close(theirs)
    screen, deadline = b"", time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if not select.select([ours], [], [], 0.1)[0]:
            continue
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        screen += chunk
        if interrupt and interrupt in screen.decode(errors="replace"):
            os.write(ours, b"\x03")
            interrupt = ""
    os.close(ours)
    return process.wait(WAIT_S), screen.decode().replace("\r\n", "\n")


def plain(screen: str) -> str:
    """A screen without its colours and movements."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen)
