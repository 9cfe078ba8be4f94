"""Connections to PostgreSQL: made when they are needed, kept, and let go when they fail."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from dialoguedb.errors import ServiceUnavailable, StoreError
from dialoguedb.store.postgres_session import Session, adapters

SCHEMES = ("postgresql://", "postgres://")
#: Where the tables are.
SCHEMA = "dialoguedb"
#: How long a new connection may take, seconds; for each host of several.
CONNECT_S = 5
#: Statements that one connection keeps prepared; there are fewer.
_PREPARED = 400
#: How vectors are searched (pgvector): further and further, until enough pass the filter.
SEARCH = (("hnsw.iterative_scan", "relaxed_order"), ("hnsw.ef_search", "120"))


class _Adapted:
    """Tells psycopg how values are sent; it asks for no more than this of a context."""

    connection = None

    def __init__(self) -> None:
        self.adapters = adapters()


class Address(NamedTuple):
    """Where a database is.

    Attributes:
        conninfo: as libpq takes it, with the password.
        shown: for people, without it.
    """

    conninfo: str
    shown: str

    @classmethod
    def of(cls, url: str) -> "Address":
        """Read a URL.

        Raises:
            StoreError: it is none; the message does not show the password.
        """
        try:
            parts = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            raise StoreError(
                "the database address is not valid; it looks like "
                "postgresql://USER:PASSWORD@HOST:5432/DATABASE"
            ) from None
        hosts = str(parts.get("host") or parts.get("hostaddr") or "local").split(",")
        ports = str(parts.get("port") or "5432").split(",")
        if len(ports) < len(hosts):
            ports = [ports[0]] * len(hosts)
        where = ",".join(f"{host}:{port}" for host, port in zip(hosts, ports, strict=False))
        name = parts.get("dbname") or parts.get("user") or "postgres"
        if len(hosts) > 1 and "target_session_attrs" not in parts:
            parts["target_session_attrs"] = "read-write"
        return cls(make_conninfo("", **parts), f"postgresql://{where}/{name}")


def connect(
    address: Address, *, role: str | None = None, statement_s: float = 0, plain: bool = False
) -> "psycopg.Connection[tuple[object, ...]]":
    """Connect, with nothing begun.

    Args:
        address: where.
        role: the role to take on.
        statement_s: how long a statement may take; 0 is for ever.
        plain: leave all settings of the connection as they are.
    Raises:
        psycopg.OperationalError: it cannot be reached, or refuses.
    """
    parts = conninfo_to_dict(address.conninfo)
    if not plain:
        options = [str(parts.get("options") or ""), f"-c search_path={SCHEMA},public"]
        options += [f"-c {name}={value}" for name, value in SEARCH]
        if role is not None:
            options.append(f"-c role={role}")
        if statement_s:
            options.append(f"-c statement_timeout={int(statement_s * 1000)}")
            options.append(f"-c lock_timeout={int(statement_s * 1000)}")
            # A peer that has vanished without a word is not waited for.
            parts.setdefault("tcp_user_timeout", int(statement_s * 1000))
        parts["options"] = " ".join(filter(None, options))
    parts.setdefault("connect_timeout", CONNECT_S)
    parts.setdefault("application_name", "dialoguedb")
    connection = psycopg.Connection.connect(
        make_conninfo("", **parts), autocommit=True, context=_Adapted()
    )
    connection.prepare_threshold = None
    connection.prepared_max = _PREPARED
    return connection


class _Places:
    """So many places, handed to those who wait in the order in which they came.

    A semaphore gives a place to whoever asks first after it is free: with more threads than places
    some would wait for ever.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._waiting: deque[threading.Lock] = deque()
        self._guard = threading.Lock()

    def take(self, wait_s: float) -> bool:
        with self._guard:
            if self._count and not self._waiting:
                self._count -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=wait_s):
            return True
        with self._guard:
            if turn not in self._waiting:
                return True  # it came at the last moment
            self._waiting.remove(turn)
            return False

    def give_back(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._count += 1


class Pool:
    """Up to so many connections of one kind. Safe from several threads.

    A caller never waits for a database that refuses: it is told at once, and the next one tries
    anew. So service returns with the database.
    """

    def __init__(self, address: Address, *, role: str, size: int, wait_s: float) -> None:
        """Make it, without connecting.

        Args:
            address: where.
            role: the role that its connections take on.
            size: connections at most.
            wait_s: how long to wait for a free one, and for each statement.
        """
        self.address = address
        self._role = role
        self._wait_s = wait_s
        self._free: deque[Session] = deque()
        self._places = _Places(size)
        self._closed = False

    def take(self) -> Session:
        """Take a connection; it must be given back.

        Raises:
            ServiceUnavailable: all are busy, for as long as one waits.
            psycopg.OperationalError: the database cannot be reached.
        """
        if not self._places.take(self._wait_s):
            raise ServiceUnavailable("All connections to the database are busy; try again")
        try:
            while self._free:
                session = self._free.pop()
                if session.usable:
                    return session
                session.close()
            return Session(connect(self.address, role=self._role, statement_s=self._wait_s))
        except BaseException:
            self._places.give_back()
            raise

    def give_back(self, session: Session) -> None:
        """Give a connection back; one that is not in order is closed."""
        if session.usable and not self._closed:
            self._free.append(session)
        else:
            session.close()
        self._places.give_back()

    def forget(self) -> None:
        """Close those that nobody uses: one has failed, and they may be as old."""
        while self._free:
            self._free.pop().close()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Take a connection for a while, with no transaction begun."""
        session = self.take()
        try:
            yield session
        finally:
            try:
                session.undo()
            except psycopg.Error:
                session.close()
            self.give_back(session)

    def close(self) -> None:
        """Close what is free; what is taken is closed when it is given back."""
        self._closed = True
        self.forget()
