"""Reads in the event loop itself: nothing that waits there keeps the loop from others."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import msgspec
import psycopg
import pytest
import uvloop

from databases import Cluster, frozen
from dialoguedb.engine import Caller, Task, dialogues, messages, projects
from dialoguedb.errors import ServiceUnavailable
from dialoguedb.models.dialogues import CreateDialogue
from dialoguedb.models.messages import ListMessages, NewMessage
from dialoguedb.server.threaded import ThreadedCarrier
from dialoguedb.store.opening import Service, open_store
from dialoguedb.store.postgres.store import PostgresStore
from dialoguedb.store.protocol import ReadTx
from harness import Server

TIMEOUT_S = 1.0
#: How long the loop may do something else; the machine of the tests may be busy.
LATE_S = 0.4
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class House(NamedTuple):
    """A database, and a kind of event loop."""

    cluster: Cluster
    store: PostgresStore
    new_loop: Callable[[], asyncio.AbstractEventLoop]

    def run(self, act: Callable[[ThreadedCarrier], Awaitable[None]]) -> float:
        """Run something with a carrier; give how long the loop was kept from others."""

        async def whole() -> float:
            carrier = ThreadedCarrier(
                self.store, asyncio.get_running_loop(), threads=2, timeout_s=TIMEOUT_S
            )
            gaps = [0.0]
            watching = asyncio.create_task(watch(gaps))
            try:
                await act(carrier)
            finally:
                watching.cancel()
                carrier.close()
            return max(gaps)

        with asyncio.Runner(loop_factory=self.new_loop) as runner:
            return runner.run(whole())


async def watch(gaps: list[float]) -> None:
    while True:
        began = time.monotonic()
        await asyncio.sleep(0.01)
        gaps.append(time.monotonic() - began - 0.01)


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    """A cluster that is frozen here."""
    with Cluster() as cluster:
        yield cluster


@pytest.fixture(params=LOOPS)
def house(own_cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[House]:
    """A new database, on both kinds of loop."""
    address = own_cluster.new_database()
    with closing(open_store(address, service=Service(timeout_s=TIMEOUT_S))) as store:
        assert isinstance(store, PostgresStore)
        yield House(own_cluster, store, LOOPS[request.param])
    own_cluster.drop(address)


async def refused(reading: Awaitable[Any]) -> None:
    with pytest.raises(ServiceUnavailable):
        await reading


@pytest.mark.parametrize("kind", ["read", "ask"])
def test_a_database_that_is_silent_does_not_stop_the_loop(house: House, kind: str) -> None:
    async def act(carrier: ThreadedCarrier) -> None:
        def reading() -> Awaitable[Any]:
            if kind == "read":
                return carrier.read(Task(None, projects.glance))
            return carrier.ask(carrier.store.search_standing)

        await asyncio.gather(*(reading() for _ in range(4)))
        with frozen(house.cluster):
            began = time.monotonic()
            await asyncio.gather(*(refused(reading()) for _ in range(4)))
            assert time.monotonic() - began < TIMEOUT_S + LATE_S
        for _ in range(100):
            try:
                await reading()
                break
            except ServiceUnavailable:
                await asyncio.sleep(0.1)
        await reading()

    assert house.run(act) < LATE_S


async def asleep(carrier: ThreadedCarrier) -> None:
    await carrier.read(Task(None, lambda tx: tx._session.all("SELECT pg_sleep(30)", {})))


@pytest.mark.parametrize("how", ["asked no more", "ended"])
def test_a_read_that_is_broken_off_leaves_no_connection_behind(house: House, how: str) -> None:
    async def act(carrier: ThreadedCarrier) -> None:
        await carrier.read(Task(None, projects.glance))
        reading = asyncio.create_task(asleep(carrier))
        await asyncio.sleep(0.2)
        if how == "asked no more":
            reading.cancel()
            for _ in range(20):
                await carrier.read(Task(None, projects.glance))

    house.run(act)
    places = house.store._pool._places
    taken = [places.take(1) for _ in range(5)]
    assert taken == [True] * 5
    assert not places.take(0)
    for _ in taken:
        places.give_back()
    assert all(session.usable for session in house.store._pool._free)
    house.store.read(None, projects.glance)


def test_a_page_that_is_long_is_read_by_a_thread(house: House) -> None:
    caller = Caller(project_id=projects.ensure_default(house.store)[0].id, request_id="")
    content = msgspec.Raw(msgspec.json.encode("wheel " * 10_000))
    said = [NewMessage(role="user", content=content)] * 20
    made = dialogues.create(caller, CreateDialogue(id="d", messages=said))
    house.store.write(made.scope, made.work)
    read_by: list[str] = []

    async def act(carrier: ThreadedCarrier) -> None:
        await carrier.read(Task(None, projects.glance))
        for limit in (2, 20):
            task = messages.list_(caller, ListMessages(dialogue_id="d", limit=limit))

            def noting(tx: ReadTx, work: Callable[[Any], Any] = task.work) -> Any:
                page = work(tx)
                read_by.append(threading.current_thread().name.rpartition("-")[0])
                return page

            page = await carrier.read(Task(task.scope, noting))
            assert len(page.items) == limit

    house.run(act)
    assert read_by == ["", "dialoguedb-reader"]


@pytest.fixture
def server(own_cluster: Cluster) -> Iterator[Server]:
    """A server whose keys have a hundred requests."""
    address = own_cluster.new_database()
    running = Server(address, "--rate-limit", "0.001", "--rate-burst", "100")
    yield running
    running.stop()
    own_cluster.drop(address)


def test_a_request_whose_key_was_guessed_wrongly_counts_once(server: Server) -> None:
    left = []
    with server.client() as client:
        for immutable in (1, 0, 1, 0):
            left.append(int(client.get("/memory").headers["x-ratelimit-remaining"]))
            with psycopg.connect(str(server.db)) as connection:
                connection.execute("UPDATE dialoguedb.projects SET immutable = %s", (immutable,))
    assert left == [99, 98, 97, 96]
