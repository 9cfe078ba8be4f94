"""Fixtures that every room of the tests shares; what they do is in `harness.py`."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from databases import Cluster, Contents
from grounds import ENGINES, Files, Grounds
from harness import Database, Server, new_project

#: Rooms whose tests are about what a server answers, whatever engine its database has.
ROOMS_OF_ALL_ENGINES = ("contract", "property", "faults", "server")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run the long rounds too")
    parser.addoption(
        "--engine", choices=ENGINES, help="of the tests for several engines, run only this one's"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Let programs that the tests start meet Ctrl-C: what runs in the background ignores it.

    And let them keep their bytecode, as installed ones do: a command takes a quarter less time.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have the tests of some rooms run once on each engine, all of one engine together."""
    definition = metafunc.definition
    if (
        "engine" in metafunc.fixturenames
        and definition.path.parent.name in ROOMS_OF_ALL_ENGINES
        and definition.get_closest_marker("sqlite") is None
    ):
        metafunc.parametrize("engine", ENGINES, indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if not _chosen(config, item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if _chosen(config, item)]


def _chosen(config: pytest.Config, item: pytest.Item) -> bool:
    """Whether a test is of this round and of this engine."""
    if "long" in item.keywords and not config.getoption("--all"):
        return False
    only = config.getoption("--engine")
    if only and item.get_closest_marker("sqlite") is not None:
        return bool(only == "sqlite")
    calls = getattr(item, "callspec", None)
    return not only or calls is None or calls.params.get("engine", only) == only


@pytest.fixture(scope="session")
def long_round(request: pytest.FixtureRequest) -> bool:
    """Whether this is the long run (`scripts/test --all`)."""
    return bool(request.config.getoption("--all"))


@pytest.fixture(scope="session", autouse=True)
def _state_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what servers put into the user's home out of there: certificates, for example."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def grounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grounds]:
    """Where databases come from, and a shared server for each engine."""
    made = Grounds(tmp_path_factory.mktemp("store"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def cluster(grounds: Grounds) -> Cluster:
    """A real PostgreSQL, shared by the session. Do not stop it."""
    return grounds.cluster()


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> str:
    """The engine of a test that runs on several; SQLite for the others."""
    return getattr(request, "param", "sqlite")


@pytest.fixture(scope="session")
def new_db(grounds: Grounds, engine: str) -> Callable[..., Database]:
    """Make databases: `new_db()` with the canary tenant, `new_db("empty")` with no project."""

    def make(contents: Contents = "canary") -> Database:
        return grounds.of(engine).new(contents)

    return make


@pytest.fixture(scope="session")
def server(grounds: Grounds, engine: str) -> Server:
    """One real server process on a fresh database, shared by the session. Do not stop it."""
    return grounds.server(engine)


@pytest.fixture
def serve(grounds: Grounds, engine: str, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers of the test's own: `serve(*flags, db=…, env={...})`; stopped afterwards.

    Without `db`, all run on one fresh database: of SQLite, that is `chat.db`.
    """
    started: list[Server] = []
    made: list[Database] = []
    ground = grounds.of(engine)

    def own(flags: tuple[str, ...]) -> Database:
        if made:
            return made[0]
        # These settings are of a database that the server makes itself.
        new = {"--db-key-file", "--embedder"} & set(flags)
        contents: Contents = "bare" if new else "canary"
        if isinstance(ground, Files):
            made.append(tmp_path / "chat.db")
            ground.fill(tmp_path / "chat.db", contents)
        else:
            made.append(ground.new(contents))
        return made[0]

    def start(*flags: str, db: Database | None = None, env: dict[str, str] | None = None) -> Server:
        started.append(Server(db or own(flags), *flags, env=env))
        return started[-1]

    yield start
    for running in started:
        running.stop()
    for db in made:
        if isinstance(db, str):
            ground.drop(db)


@pytest.fixture
def api(server: Server) -> Iterator[httpx.Client]:
    """A client with the key of a fresh project of its own on the shared server."""
    with server.client(new_project(server.db).key) as client:
        yield client


@pytest.fixture
def other_api(server: Server) -> Iterator[httpx.Client]:
    """A client of another fresh project on the same server."""
    with server.client(new_project(server.db).key) as client:
        yield client
