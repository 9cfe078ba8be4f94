"""Where the tests of each engine get their databases, and the server that they share."""

import itertools
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import psycopg

import canary
from databases import Cluster, Contents
from dialoguedb.store.opening import open_store
from harness import Database, Server, cli, close_kept, keep_open

#: The address of a cluster with the extension `citus`; its user is a superuser.
CITUS_URL = os.environ.get("DIALOGUEDB_TEST_CITUS_URL")
#: A node of it: host and port.
Node = tuple[str, int]
ENGINES = ["sqlite", "postgres", *(["citus"] if CITUS_URL else [])]


class Ground(Protocol):
    """Makes databases of one engine."""

    def new(self, contents: Contents = "canary") -> Database:
        """Make a database; it stays until the tests end, or it is dropped."""

    def drop(self, db: Database) -> None:
        """Remove a database that no server uses any more."""


class Files:
    """The ground of SQLite: files in folders of their own. See `Ground`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._templates: dict[str, Path] = {}
        self._numbers = itertools.count(1)

    def new(self, contents: Contents = "canary") -> Path:
        db = self.folder / str(next(self._numbers)) / "chat.db"
        db.parent.mkdir()
        self.fill(db, contents)
        return db

    def fill(self, db: Path, contents: Contents) -> None:
        """Make a database in a place that the test has chosen."""
        if contents != "bare":
            shutil.copy(self._template(contents), db)

    def drop(self, db: Database) -> None:
        shutil.rmtree(Path(db).parent)

    def _template(self, contents: Contents) -> Path:
        """Make a file, once; a copy of it is there sooner than one is made."""
        if contents not in self._templates:
            file = self.folder / f"{contents}.db"
            with closing(open_store(str(file))) as store:
                if contents == "canary":
                    canary.plant(store)
            self._templates[contents] = file
        return self._templates[contents]


class Postgres:
    """The ground of PostgreSQL: a cluster, which starts with the first database. See `Ground`."""

    def __init__(self, cluster: Callable[[], Cluster]) -> None:
        self.cluster = cluster

    def new(self, contents: Contents = "canary") -> str:
        return self.cluster().new_database(contents)

    def drop(self, db: Database) -> None:
        self.cluster().drop(str(db))


class Citus:
    """The ground of Citus: a database on all nodes of a cluster that runs already. See `Ground`.

    The nodes must be reached from here by the names under which the cluster knows them.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._numbers = itertools.count(1)

    def new(self, contents: Contents = "canary") -> str:
        name = f"dialoguedb_test_{os.getpid()}_{next(self._numbers)}"
        coordinator, workers = self._nodes()
        for node in [None, *workers]:
            self._run(f"CREATE DATABASE {name}", node=node)
            for extension in ("citus", "vector"):
                self._run(f"CREATE EXTENSION {extension}", name, node=node)
        for host, port in coordinator:
            self._run(f"SELECT citus_set_coordinator_host('{host}', {port})", name)
        for host, port in workers:
            self._run(f"SELECT citus_add_node('{host}', {port})", name)
        address = self._at(name)
        if contents != "bare":
            done = cli("migrate", "--distribute", "--db", address)
            assert done.returncode == 0, done.stdout + done.stderr
        if contents == "canary":
            with closing(open_store(address)) as store:
                canary.plant(store)
        return address

    def drop(self, db: Database) -> None:
        name = urlsplit(str(db)).path.lstrip("/")
        for node in [None, *self._nodes()[1]]:
            self._run(f"DROP DATABASE {name} WITH (FORCE)", node=node)

    def _nodes(self) -> tuple[list[Node], list[Node]]:
        """The coordinator, if it is named, and the workers."""
        rows = self._run("SELECT nodename, nodeport, groupid FROM pg_dist_node")
        named = [(str(host), int(port)) for host, port, group in rows if group == 0]
        return named, [(str(host), int(port)) for host, port, group in rows if group != 0]

    def _at(self, database: str, node: Node | None = None) -> str:
        parts = urlsplit(self.url)
        login, at, place = parts.netloc.rpartition("@")
        place = place if node is None else "{}:{}".format(*node)
        return urlunsplit(parts._replace(netloc=f"{login}{at}{place}", path=f"/{database}"))

    def _run(
        self, statement: str, database: str = "", *, node: Node | None = None
    ) -> list[tuple[Any, ...]]:
        """Run a statement on a node, else on the coordinator; in the address's own database."""
        address = self._at(database or urlsplit(self.url).path.lstrip("/"), node)
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


class Grounds:
    """The grounds of all engines, and one shared server on each; made when first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Ground] = {}
        self._servers: dict[str, Server] = {}
        self._cluster: Cluster | None = None

    def cluster(self) -> Cluster:
        """The PostgreSQL of this process."""
        if self._cluster is None:
            self._cluster = Cluster()
        return self._cluster

    def of(self, engine: str) -> Ground:
        """The ground of an engine."""
        if engine not in self._made:
            self._made[engine] = self._make(engine)
        return self._made[engine]

    def _make(self, engine: str) -> Ground:
        if engine == "postgres":
            return Postgres(self.cluster)
        if engine == "citus":
            assert CITUS_URL is not None
            return Citus(CITUS_URL)
        return Files(self._folder)

    def server(self, engine: str) -> Server:
        """The shared server of an engine. Do not stop it."""
        if engine not in self._servers:
            db = self.of(engine).new()
            self._servers[engine] = Server(db)
            keep_open(str(db))
        return self._servers[engine]

    def close(self) -> None:
        """Stop the servers and the cluster."""
        for engine, server in self._servers.items():
            server.stop()
            close_kept(server.db)
            self.of(engine).drop(server.db)
        if self._cluster is not None:
            self._cluster.close()
