"""Connections to PostgreSQL: made when they are needed, kept, and let go when they fail."""

import logging
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import ConnStatus

from dialoguedb.errors import ServiceUnavailable, StoreError
from dialoguedb.runtime import monotonic_s
from dialoguedb.store.postgres.failing import SilentError
from dialoguedb.store.postgres.session import Session, adapters
from dialoguedb.store.protocol import WaitFor

SCHEMES = ("postgresql://", "postgres://")
#: Where the tables are.
SCHEMA = "dialoguedb"
#: How long a new connection may take, seconds; for each host of several.
CONNECT_S = 3
#: How often a wait without a limit looks, seconds.
_LOOK_S = 60.0
#: How much too early a wait may end: the clocks of event loops are coarse.
_COARSE_S = 0.01
#: How much longer an answer is waited for than the server may take: what it says is more exact.
_GRACE_S = 1.0
#: A peer that has vanished is noticed by both sides: asked after so many seconds without a word,
#: then again, so many times.
_KEPT_ALIVE = {"idle": 5, "interval": 2, "count": 3}
#: So many vectors a search by the graph looks at, at least; of a large one more, see `search`.
REACH = 400
#: How vectors are searched (pgvector): further and further, until enough pass the filter.
SEARCH = (("hnsw.iterative_scan", "relaxed_order"), ("hnsw.ef_search", str(REACH)))


T = TypeVar("T")

# Each failure comes up as an error, and is told or logged as what it means.
logging.getLogger("psycopg").setLevel(logging.ERROR)


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

    @property
    def parts(self) -> dict[str, Any]:
        """Give it as libpq's parameters."""
        return conninfo_to_dict(self.conninfo)

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


class Connection(psycopg.Connection[tuple[object, ...]]):
    """A connection on which no answer is waited for longer than it may take.

    The server keeps its own time, but one that has been frozen or cut off cannot say so.

    Attributes:
        limit_s: how long to wait for an answer, seconds; 0 is for ever.
        warned: whether the server has sent a warning since this was set to False.
        committing: whether a commit is under way. It may take as long as a synchronous standby is
            away, and is left only for a server that has taken over: each that is left stays open
            on the server, and the next one would wait there likewise.
        address: where to look for that server.
        waiting: how to wait for the server; None where the thread may.
        used_s: when it was last given back to its pool.
    """

    limit_s = 0.0
    warned = False
    committing = False
    used_s = 0.0
    address: "Address | None" = None
    waiting: WaitFor | None = None

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
        """Run what waits for the server.

        Raises:
            SilentError: it has not answered in time; the connection is closed.
        """
        limited = self._limited(gen) if self.limit_s else gen
        if self.waiting is None:
            return super().wait(limited, *args, **options)
        longest_s = (self.limit_s or _LOOK_S) + _COARSE_S
        return _waited(limited, self.pgconn.socket, self.waiting, longest_s)

    def _limited(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        until_s = monotonic_s() + self.limit_s
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and monotonic_s() > until_s:
                    if not self.committing or self._superseded():
                        self._leave()
                        raise SilentError("the server has not answered in time")
                    until_s = monotonic_s() + self.limit_s
                wanted = gen.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result

    def _leave(self) -> None:
        """Close it, and let nobody wait for that server likewise."""
        if self.address is not None:
            _silent_since[self.address.conninfo] = monotonic_s()
            others = [one for one in _hosts_of(self.address.parts) if one != self._here]
            _latest[self.address.conninfo] = others[0] if others else self._here
        self.close()

    @property
    def _here(self) -> tuple[str, str]:
        return self.info.host, str(self.info.port)

    def heed(self, notice: psycopg.errors.Diagnostic) -> None:
        """Take note of what the server says beside its answers."""
        self.warned = self.warned or notice.severity_nonlocalized == "WARNING"

    def _superseded(self) -> bool:
        """Tell whether another of the address's hosts takes writes now."""
        if self.address is None:
            return False
        parts = self.address.parts
        others = [one for one in _hosts_of(parts) if one != self._here]
        if not others:
            return False
        with suppress(psycopg.Error), psycopg.connect(_among(parts, others)):
            return True
        return False

    @property
    def alive(self) -> bool:
        """Whether an idle connection is still there, as far as this side has been told."""
        with suppress(psycopg.Error):
            # The first takes in what the server has said, the second that it has hung up.
            self.pgconn.consume_input()
            self.pgconn.consume_input()
        return self.pgconn.status == ConnStatus.OK


def _waited(gen: Generator[Any, Any, T], fd: int, wait: WaitFor, timeout_s: float) -> T:
    """Run what waits for the server, and wait in the way that is given."""
    try:
        wanted = next(gen)
        while True:
            wanted = gen.send(wait(fd, wanted, timeout_s))
    except StopIteration as end:
        result: T = end.value
        return result


#: Of addresses with several hosts, the one that has taken writes last. It comes first: hosts that
#: are away cost time, and one that comes back may still take itself for the primary.
_latest: dict[str, tuple[str, str]] = {}
#: When a server of an address was last left because it said nothing. What nobody has used since
#: may be a connection to the same one.
_silent_since: dict[str, float] = {}


def _hosts_of(parts: dict[str, Any]) -> list[tuple[str, str]]:
    """Give the hosts of an address with their ports."""
    hosts = str(parts.get("host") or "").split(",")
    ports = str(parts.get("port") or "5432").split(",")
    return list(zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=False))


def _among(parts: dict[str, Any], hosts: Sequence[tuple[str, str]]) -> str:
    """Give an address with these hosts in their order."""
    given = {
        "host": ",".join(host for host, _ in hosts),
        "port": ",".join(port for _, port in hosts),
    }
    return make_conninfo("", **{"connect_timeout": CONNECT_S, **parts, **given})


def connect(
    address: Address,
    *,
    role: str | None = None,
    statement_s: float = 0,
    idle_s: float = 0,
    plain: bool = False,
) -> Connection:
    """Connect, with nothing begun.

    Args:
        address: where.
        role: the role to take on.
        statement_s: how long a statement may take; 0 is for ever.
        idle_s: how long a transaction may do nothing before the server ends it; 0 is for ever.
        plain: leave all settings of the connection as they are.
    Raises:
        psycopg.OperationalError: it cannot be reached, or refuses.
    """
    parts = address.parts
    if not plain:
        settings = {"search_path": f"{SCHEMA},public", **dict(SEARCH)}
        if role is not None:
            settings["role"] = role
        if statement_s:
            settings |= _limits(statement_s, idle_s)
            # A peer that has vanished without a word is not waited for.
            parts.setdefault("tcp_user_timeout", int(statement_s * 1000))
            for name, value in _KEPT_ALIVE.items():
                parts.setdefault(f"keepalives_{name}", value)
        options = [f"-c {name}={value}" for name, value in settings.items()]
        parts["options"] = " ".join(filter(None, [str(parts.get("options") or ""), *options]))
    parts.setdefault("connect_timeout", CONNECT_S)
    parts.setdefault("application_name", "dialoguedb")
    hosts = sorted(_hosts_of(parts), key=lambda one: one != _latest.get(address.conninfo))
    several = len(hosts) > 1 and "hostaddr" not in parts
    conninfo = _among(parts, hosts) if several else make_conninfo("", **parts)
    connection = Connection.connect(conninfo, autocommit=True, context=_Adapted())
    if several:
        _latest[address.conninfo] = (connection.info.host, str(connection.info.port))
    connection.prepare_threshold = None  # `Pipeline` does that
    connection.add_notice_handler(connection.heed)
    connection.limit_s = statement_s and statement_s + _GRACE_S
    connection.address = address
    return connection


def _limits(statement_s: float, idle_s: float) -> dict[str, str]:
    """Give the server's part of the time limits; those of TCP are for a client that vanishes."""
    statement_ms = str(int(statement_s * 1000))
    return {
        "statement_timeout": statement_ms,
        "lock_timeout": statement_ms,
        "idle_in_transaction_session_timeout": str(int(idle_s * 1000)),
        "tcp_user_timeout": statement_ms,
        **{f"tcp_keepalives_{name}": str(value) for name, value in _KEPT_ALIVE.items()},
    }


def connection_of(session: Session) -> Connection:
    """Give the connection of a session that comes from a pool."""
    assert isinstance(session.connection, Connection)
    return session.connection


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

    def __init__(
        self, address: Address, *, role: str, size: int, wait_s: float, idle_s: float = 0
    ) -> None:
        """Make it, without connecting.

        Args:
            address: where.
            role: the role that its connections take on.
            size: connections at most.
            wait_s: how long to wait for a free one, and for each statement.
            idle_s: how long a transaction may do nothing before the server ends it; 0 is for ever.
        """
        self.address = address
        self.wait_s = wait_s
        self._role = role
        self._idle_s = idle_s
        self._free: deque[Session] = deque()
        self._places = _Places(size)
        self._closed = False

    def take(self) -> Session:
        """Take a connection; it must be given back.

        Raises:
            ServiceUnavailable: all are busy, for as long as one waits.
            psycopg.OperationalError: the database cannot be reached.
        """
        if not self._places.take(self.wait_s):
            raise ServiceUnavailable("All connections to the database are busy; try again")
        try:
            while self._free:
                session = self._free.pop()
                if session.usable and self._is_good(connection_of(session)):
                    return session
                session.close()
            return self.another()
        except BaseException:
            self._places.give_back()
            raise

    def take_idle(self) -> Session | None:
        """Take a connection if one is at hand; else None. It must be given back."""
        if not self._free or not self._places.take(0):
            return None
        with suppress(IndexError):
            session = self._free.pop()
            if session.usable and self._is_good(connection_of(session)):
                return session
            session.close()
        self._places.give_back()
        return None

    def another(self) -> Session:
        """Make a connection in the place of one that is lost.

        Raises:
            psycopg.OperationalError: the database cannot be reached.
        """
        session = Session(
            connect(self.address, role=self._role, statement_s=self.wait_s, idle_s=self._idle_s)
        )
        if session.ask("row_security_on"):
            session.secured = self._role
        return session

    def _is_good(self, connection: Connection) -> bool:
        since_s = _silent_since.get(self.address.conninfo, 0.0)
        return connection.used_s > since_s and connection.alive

    def give_back(self, session: Session) -> None:
        """Give a connection back; one that is not in order is closed."""
        if session.usable and not self._closed:
            connection_of(session).used_s = monotonic_s()
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
