"""PostgreSQL for the tests: clusters with databases of their own, made in milliseconds."""

import itertools
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from benchmarks import clusters
from benchmarks.clusters import MAJOR, OWNER, PASSWORD, _free_port, _unprivileged

import canary
from dialoguedb.store.opening import open_store

__all__ = [
    "MAJOR",
    "OWNER",
    "PASSWORD",
    "Cluster",
    "Contents",
    "_free_port",
    "_unprivileged",
    "frozen",
]

#: What a new database holds: nothing but the extension, the schema, or the canary tenant too.
Contents = Literal["bare", "empty", "canary"]
_SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "32MB",
    "max_wal_size": "2GB",
}
#: Faster, and safe as long as the machine does not stop: processes may be killed.
_NO_FSYNC = {"fsync": "off", "full_page_writes": "off"}


class Cluster(clusters.Cluster):
    """A running PostgreSQL with databases of the tests."""

    def __init__(
        self,
        *,
        fsync: bool = False,
        major: int = MAJOR,
        settings: dict[str, str] | None = None,
        of: "Cluster | None" = None,
    ) -> None:
        """Make and start a cluster; `of` is the primary whose standby it is to be."""
        self._numbers = itertools.count(1)
        self._templates: set[str] = set()
        own = (_SETTINGS if fsync else _SETTINGS | _NO_FSYNC) | (settings or {})
        super().__init__(own, major=major, of=of)

    def _follower(self) -> Self:
        return type(self)(major=self.major, of=self)

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


@contextmanager
def frozen(cluster: Cluster) -> Iterator[None]:
    """Keep all processes of a cluster from running: it takes connections and says nothing."""
    first = (cluster.folder / "data" / "postmaster.pid").read_text().split()[0]
    all_of_it = [int(first), *_children(first)]
    for pid in all_of_it:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in all_of_it:
            os.kill(pid, signal.SIGCONT)


def _children(pid: str) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in found.split()]
