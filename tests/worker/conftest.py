"""Background jobs, on every engine."""

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from dialoguedb.engine import projects
from dialoguedb.store.opening import open_store
from dialoguedb.store.protocol import Store
from grounds import ENGINES, Grounds
from harness import Server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have each test run once on each engine."""
    if "engine" in metafunc.fixturenames:
        marked = metafunc.definition.get_closest_marker("postgres_only") is not None
        engines = [one for one in ENGINES if one != "sqlite" or not marked]
        metafunc.parametrize("engine", engines, indirect=True, scope="session")


@pytest.fixture
def db(grounds: Grounds, engine: str) -> Iterator[str]:
    """A new database without a project."""
    ground = grounds.of(engine)
    made = ground.new("empty")
    yield str(made)
    ground.drop(made)


@pytest.fixture
def store(db: str) -> Iterator[Store]:
    with closing(open_store(db)) as opened:
        yield opened


@pytest.fixture
def project(store: Store) -> str:
    """The id of a project."""
    return projects.create(store, "one").id


@pytest.fixture
def started() -> Iterator[Callable[..., Server]]:
    """Start servers, which are stopped afterwards."""
    running: list[Server] = []

    def start(db: str, *flags: str) -> Server:
        running.append(Server(db, *flags))
        return running[-1]

    yield start
    for server in running:
        server.stop()
