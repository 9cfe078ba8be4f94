"""Real servers for the tests: a `dialoguedb serve` process on a real database and a real socket."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

import canary
from dialoguedb.engine import projects
from dialoguedb.store.opening import open_store
from dialoguedb.store.protocol import Store

#: A file, or the address of a PostgreSQL database.
Database = Path | str
DIALOGUEDB = Path(sys.executable).with_name("dialoguedb")
#: The key that every test server accepts for its default project.
KEY = "skv1_" + "t" * 43
START_S = 20.0
#: Made once: a client that makes its own takes longer than most tests.
TLS = httpx.create_ssl_context()


class Server:
    """A running server process.

    Attributes: `url`, `db` (its database), `key` (valid for its default project), `process`.
    """

    def __init__(
        self, db: Database, *flags: str, env: dict[str, str] | None = None, key: str | None = KEY
    ) -> None:
        self.db = db
        self.key = key
        self.flags = flags
        self.env = env
        self._lines: list[str] = []
        surroundings = {k: v for k, v in os.environ.items() if not k.startswith("DIALOGUEDB_")}
        if key is not None:
            surroundings["DIALOGUEDB_API_KEY"] = key
        self.process = subprocess.Popen(
            [str(DIALOGUEDB), "serve", "--db", str(db), "--port", "0", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=surroundings | (env or {}),
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = self._address()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line)

    def _address(self) -> str:
        """The address that the server printed; it prints it when it listens."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            found = re.search(r"https?://[\w.\[\]:-]+:\d+", self.output())
            if found:
                return found.group()
            if self.process.poll() is not None:
                self._reader.join(5)
                raise AssertionError(f"the server ended:\n{self.output()}")
            time.sleep(0.005)
        raise AssertionError(f"no address within {START_S} s:\n{self.output()}")

    def output(self) -> str:
        """All that the process printed until now, standard output and error together."""
        return "".join(self._lines)

    def client(self, key: str | None = None, **options: object) -> httpx.Client:
        """An HTTP client of this server, with `key` or else the default project's key.

        It fails the test when an answer shows something of the canary tenant.
        """
        key = key or self.key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=30,
            event_hooks={"response": [canary.watch]},
            **{"verify": TLS, **options},  # type: ignore[arg-type]
        )

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a `dialoguedb` command on this server's database, in a process of its own."""
        return cli(*arguments, "--db", str(self.db))

    def kill(self) -> None:
        """End the process at once with SIGKILL."""
        self.process.kill()
        self.process.wait()
        self._reader.join(5)

    def stop(self) -> int:
        """Ask the process to end with SIGTERM, wait for it, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return self.process.returncode


def cli(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a `dialoguedb` command in a process of its own; it must not show the canary tenant."""
    surroundings = {k: v for k, v in os.environ.items() if not k.startswith("DIALOGUEDB_")}
    done = subprocess.run(
        [str(DIALOGUEDB), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=surroundings | (env or {}),
        check=False,
    )
    canary.look(done.stdout, done.stderr)
    return done


class NewProject(NamedTuple):
    """A project made for a test: its id and a key of it."""

    id: str
    key: str


#: Stores that stay open: connecting to a server for each project would take most of the time.
_KEPT: dict[str, Store] = {}


def keep_open(address: str) -> None:
    """Keep the store of an address open for `opened`, until `close_kept`."""
    _KEPT[address] = open_store(address)


def close_kept(db: Database) -> None:
    """Close the store of a database if it was kept open."""
    if (store := _KEPT.pop(str(db), None)) is not None:
        store.close()


@contextmanager
def opened(db: Database) -> Iterator[Store]:
    """The store of a database, beside the server that runs on it."""
    if (kept := _KEPT.get(str(db))) is not None:
        yield kept
        return
    with closing(open_store(str(db))) as store:
        yield store


def new_project(db: Database, *, immutable: bool = False, admin: bool = False) -> NewProject:
    """Make a project with a key in a database, beside the server that runs on it."""
    with opened(db) as store:
        name = f"test {uuid.uuid4()}"
        project = projects.create(store, name)
        if immutable:
            projects.configure(store, project.id, immutable=True)
        return NewProject(project.id, str(projects.create_key(store, project.id, admin=admin).key))
